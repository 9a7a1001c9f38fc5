// One day at a time: previous and next day with events, a native date field, back to today.

import { html } from './ui.js';
import { Icon } from './icon.js';
import { addDays, isDay } from './view.js';
import { dayName, plural } from './format.js';
import { days, shownDay, today, setDay } from './state.js';

/** Keeps a year that is still being typed (0002) from being taken for a day. */
const EARLIEST = '2000-01-01';

export function DayPicker() {
  const day = shownDay.value;
  if (!day) return null;
  const [back, forth] = neighbours(days.value, day, today.value);
  const known = days.value.find((d) => d.day === day);
  const pick = (e) => { if (isDay(e.currentTarget.value) && e.currentTarget.validity.valid && e.currentTarget.value !== day) setDay(e.currentTarget.value); };
  return html`<div class="day" role="group" aria-label="Day">
    <button type="button" class="btn btn-icon" data-testid="day-prev" disabled=${!back} aria-label=${back ? `Earlier: ${dayName(back, today.value)}` : 'No earlier day with events'} onClick=${() => setDay(back)}><${Icon} id="left" size="s" /></button>
    <label class="btn day-face" title=${known ? plural(known.events, 'event') : undefined}><${Icon} id="calendar" size="s" />
      <span class="day-word" aria-hidden="true">${day === today.value ? 'Today' : dayName(day, today.value)}</span>
      <span class="sr">Day, ${dayName(day, today.value)}</span>
      <input class="day-input" type="date" data-testid="day-input" value=${day} max=${today.value} min=${days.value[0]?.day || EARLIEST} onChange=${pick} onClick=${showPicker} /></label>
    <button type="button" class="btn btn-icon" data-testid="day-next" disabled=${!forth} aria-label=${forth ? `Later: ${dayName(forth, today.value)}` : 'No later day'} onClick=${() => setDay(forth)}><${Icon} id="right" size="s" /></button></div>`;
}

function showPicker(e) {
  try { e.currentTarget.showPicker(); } catch { /* the field itself can be typed into */ }
}

/** Nearest days with events on both sides; today is always reachable. Without a list: day by day. */
export function neighbours(list, day, today) {
  if (!list.length) return [addDays(day, -1), day < today ? addDays(day, 1) : ''];
  const back = list.filter((d) => d.day < day).at(-1)?.day || '';
  const next = list.find((d) => d.day > day)?.day || '';
  return [back, next || (day < today ? today : '')];
}
