// Numbers, times and counts as the reader sees them. Pure: the clock and the zone are arguments.

const THIN = '\u202f';
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** Thousands are set apart by a thin space from 10 000 on. */
export function number(n) {
  const text = String(Math.round(Number(n) || 0));
  return text.length < 5 ? text : text.replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** `1 threat`, `2 threats`. */
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

const two = (n) => String(n).padStart(2, '0');
const shifted = (time, zone) => new Date(Date.parse(time) + zone * 60_000);

/** Age in one unit; a day and older gives the clock time instead. */
export function age(time, now, zone) {
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return clock(time, zone);
}

export const isRecent = (time, now) => now - Date.parse(time) < 86_400_000;

/** `09:14:22` in the zone of the server. */
export function clock(time, zone) {
  const d = shifted(time, zone);
  return Number.isNaN(d.getTime()) ? '' : `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

export const clockShort = (time, zone) => clock(time, zone).slice(0, 5);

/** `09:14:22.117034`: the fraction as the sensor wrote it. */
export function clockExact(time, zone) {
  const fraction = /\.(\d{1,6})/.exec(time);
  return clock(time, zone) + (fraction ? `.${fraction[1].padEnd(6, '0')}` : '');
}

/** `24 Nov 2026, 09:14:22`. */
export function moment(time, zone) {
  const d = shifted(time, zone);
  if (Number.isNaN(d.getTime())) return '';
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}, ${clock(time, zone)}`;
}

/** `Tue 24 Nov` for a calendar day; the year is added when it is not the one of `today`. */
export function dayName(day, today = day) {
  const d = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(d.getTime())) return day;
  const year = day.slice(0, 4) === today.slice(0, 4) ? '' : ` ${d.getUTCFullYear()}`;
  return `${DAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}${year}`;
}

/** Time between two moments: `4 s`, `12 min`, `6 h 13 min`. */
export function span(first, last) {
  const seconds = Math.max(0, Math.round((Date.parse(last) - Date.parse(first)) / 1000));
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** `UTC+1`, `UTC−3:30`. */
export function zoneName(zone) {
  if (!zone) return 'UTC';
  const minutes = Math.abs(zone);
  const tail = minutes % 60 ? `:${two(minutes % 60)}` : '';
  return `UTC${zone < 0 ? '\u2212' : '+'}${Math.floor(minutes / 60)}${tail}`;
}

/** The calendar day of a moment in the zone of the server. */
export const dayOf = (ms, zone) => new Date(ms + zone * 60_000).toISOString().slice(0, 10);

/** Whole-number axis ticks, step 1, 2 or 5 times a power of ten; the last one covers `max`. */
export function ticks(max, wanted = 3) {
  const raw = Math.max(1, max) / Math.max(1, wanted - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw));
  const list = [0];
  while (list[list.length - 1] < max) list.push(list[list.length - 1] + step);
  if (list.length === 1) list.push(step);
  return list;
}

/** Axis labels stay short: `1.5k`, `20k`, `3M`. */
export function axis(n) {
  if (n < 10_000) return String(n);
  const [unit, letter] = n < 1_000_000 ? [1000, 'k'] : [1_000_000, 'M'];
  return `${Number((n / unit).toFixed(1))}${letter}`;
}

/** A count that fits a narrow column: exact below a million, then `12.3M`. */
export const compact = (n) => (n < 1_000_000 ? number(n) : axis(n));

/** The info text without its trailing class. */
export const infoText = (threat) => threat.info.replace(/\s*\([^()]*\)\s*$/, '') || threat.info;

export const severityWord = (severity) => ({ high: 'High', medium: 'Medium', low: 'Low' })[severity] || 'Medium';
