// What stands in place of rows: loading, empty day, empty filter, failure. Each says what to do.

import { html } from './ui.js';
import { Icon } from './icon.js';
import { dayName } from './format.js';
import { isFiltered } from './view.js';
import { view, result, failure, shownDay, today, days, clearFilters, load, setDay, queryError } from './state.js';

/** Rows of the final height, so that nothing jumps. */
export function Skeleton() {
  return html`<div class="skeleton" role="status"><span class="sr">Loading threats</span>
    ${Array.from({ length: 12 }, (_, i) => html`<div class="bone" key=${i} aria-hidden="true"><i></i><i></i><i></i><i></i></div>`)}</div>`;
}

export function EmptyState() {
  if (!result.value) return html`<${Failed} />`;
  return result.value.all.threats > 0 && isFiltered(view.value) ? html`<${NoMatch} />` : html`<${NoEvents} />`;
}

function Frame({ icon, title, kind, children }) {
  return html`<div class="empty" data-testid="empty-state" data-kind=${kind}><${Icon} id=${icon} /><h2>${title}</h2>${children}</div>`;
}

function Failed() {
  const error = failure.value;
  const refused = Boolean(queryError.value);
  const title = refused ? 'This search cannot be read' : error?.code === 'offline' ? 'The server does not answer' : 'The threats could not be loaded';
  return html`<${Frame} icon=${error?.code === 'offline' ? 'offline' : 'warn'} title=${title} kind=${refused ? 'query' : 'error'}>
    <p>${refused ? queryError.value.message : error?.code === 'offline' ? 'Check that it is running and that this machine reaches it. The page tries again by itself.' : error?.message}</p>
    ${refused ? html`<button type="button" class="btn" onClick=${clearFilters}>Clear the search</button>`
    : html`<button type="button" class="btn" onClick=${() => load()}><${Icon} id="refresh" size="s" />Try again</button>`}<//>`;
}

function NoMatch() {
  const all = result.value.all.threats;
  return html`<${Frame} icon="search" title="No threat matches" kind="filter">
    <p>${all === 1 ? 'The one threat' : `All ${all} threats`} of ${dayName(shownDay.value, today.value)} ${all === 1 ? 'is' : 'are'} outside these filters. Remove one, or clear them.</p>
    <button type="button" class="btn" onClick=${clearFilters}>Clear filters</button><//>`;
}

function NoEvents() {
  const isToday = shownDay.value === today.value;
  const earlier = days.value.filter((d) => d.day < shownDay.value).at(-1);
  return html`<${Frame} icon="threats" title=${isToday ? 'No events yet today' : `No events on ${dayName(shownDay.value, today.value)}`} kind="day">
    <p>${isToday ? 'Rows appear here by themselves as soon as a sensor reports something. If you expect traffic, check that a sensor is running and that its LOG_SERVER names this machine.'
    : 'Nothing was logged on this day. Choose another one above.'}</p>
    ${earlier && html`<button type="button" class="btn" onClick=${() => setDay(earlier.day)}><${Icon} id="left" size="s" />Go to ${dayName(earlier.day, today.value)}</button>`}<//>`;
}
