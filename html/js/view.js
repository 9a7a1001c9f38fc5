// The address bar: every state of the page in one plain object, and back.
//
// Invariants: `parseView(formatView(v))` equals `v` for every view that `parseView` can give,
// and hostile or stale query strings give a valid view (unknown values fall back to defaults).
// Chips are repeated `q` parameters, so a comma inside a chip survives a reload.

export const SIZES = [25, 50, 100];
export const SEVERITIES = ['high', 'medium', 'low'];
export const SORT_KEYS = ['risk', 'trail', 'src', 'dst', 'count', 'last', 'sensor'];
/** Beside the default, which leaves out what somebody hid. */
const HIDDEN = ['include', 'only'];
export const MAX_CHIPS = 32;
const MAX_TEXT = 2000;

export const DEFAULTS = Object.freeze({
  day: '', chips: [], text: '', sev: [], sort: 'risk', dir: 'desc', hidden: '', page: 1, size: 50, open: '',
});

/** Ordering that a reader expects at the first click on a column. */
export function firstDir(sort) {
  return sort === 'risk' || sort === 'count' || sort === 'last' ? 'desc' : 'asc';
}

/** Reads `location.search`. */
export function parseView(search) {
  const p = new URLSearchParams(search);
  const sort = SORT_KEYS.includes(p.get('sort')) ? p.get('sort') : DEFAULTS.sort;
  const dir = p.get('dir') === 'asc' || p.get('dir') === 'desc' ? p.get('dir') : firstDir(sort);
  return {
    day: isDay(p.get('day')) ? p.get('day') : '',
    chips: unique(p.getAll('q').map((c) => c.trim().slice(0, MAX_TEXT)).filter(Boolean)).slice(0, MAX_CHIPS),
    text: (p.get('text') || '').slice(0, MAX_TEXT),
    sev: SEVERITIES.filter((s) => (p.get('sev') || '').split(',').includes(s)),
    sort, dir,
    hidden: HIDDEN.includes(p.get('hidden')) ? p.get('hidden') : '',
    page: natural(p.get('page')) || 1,
    size: SIZES.includes(Number(p.get('size'))) ? Number(p.get('size')) : DEFAULTS.size,
    open: /^[0-9a-f]{16}$/.test(p.get('open') || '') ? p.get('open') : '',
  };
}

/** Writes the shortest query string for a view; defaults are left out. */
export function formatView(v) {
  const p = new URLSearchParams();
  if (v.day) p.set('day', v.day);
  for (const chip of v.chips) p.append('q', chip);
  if (v.text) p.set('text', v.text);
  if (v.sev.length) p.set('sev', v.sev.join(','));
  if (v.sort !== DEFAULTS.sort) p.set('sort', v.sort);
  if (v.dir !== firstDir(v.sort)) p.set('dir', v.dir);
  if (v.page > 1) p.set('page', String(v.page));
  if (v.size !== DEFAULTS.size) p.set('size', String(v.size));
  if (v.hidden) p.set('hidden', v.hidden);
  if (v.open) p.set('open', v.open);
  const text = p.toString();
  return text ? `?${text}` : '';
}

/** What decides which rows belong to the result (not their order or page). */
export const filterKey = (v) => JSON.stringify([v.day, v.chips, v.text, v.sev, v.hidden]);
/** What decides which rows are on the screen. */
export const rowsKey = (v) => JSON.stringify([filterKey(v), v.sort, v.dir, v.page, v.size]);

export const isFiltered = (v) => v.chips.length > 0 || v.text.trim() !== '' || v.sev.length > 0 || v.hidden !== '';

/** A calendar day `YYYY-MM-DD` that exists. */
export function isDay(text) {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text || '')) return false;
  const at = Date.parse(`${text}T00:00:00Z`);
  return Number.isFinite(at) && new Date(at).toISOString().slice(0, 10) === text;
}

/** The day `n` days after `day`. */
export function addDays(day, n) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + n * 86_400_000).toISOString().slice(0, 10);
}

function natural(text) {
  return /^[1-9]\d{0,6}$/.test(text || '') ? Number(text) : 0;
}

function unique(list) {
  return [...new Set(list)];
}
