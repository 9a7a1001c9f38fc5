// The threat page: top bar, severity pills, overview, facets, list, detail.

import { html, useEffect, useRef, useState } from './ui.js';
import { Icon, Severity } from './icon.js';
import { number, plural, dayName } from './format.js';
import { isFiltered } from './view.js';
import { session, now } from './session.js';
import { live, wanted, toggleLive, retryAt, retryNow, startLive } from './live.js';
import { view, result, status, failure, fresh, showFresh, today, shownDay, toggleSeverity, clearFilters, load, navigate, spoken } from './state.js';
import { loadAliases } from './aliases.js';
import { Rail, Brand } from './rail.js';
import { Search } from './search.js';
import { DayPicker } from './daypicker.js';
import { Overview } from './overview.js';
import { Facets } from './facets.js';
import { ThreatTable } from './table.js';
import { Pager } from './pager.js';
import { Drawer } from './drawer.js';
import { KeyList, listenKeys } from './keys.js';

/** How old the names of addresses may be. */
const ALIASES_MS = 60_000;

export function Page() {
  const main = useRef(null);
  useEffect(() => listenKeys(), []);
  useEffect(() => {
    loadAliases();
    const timer = setInterval(() => { if (!document.hidden) loadAliases(); }, ALIASES_MS);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => startLive(() => mayReorder(main.current)), []);
  const open = Boolean(view.value.open);
  return html`<div class=${`app ${open ? 'has-drawer' : ''}`}>
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>Skip to content</a>
    <${Rail} /><${TopBar} />
    <main class="main" id="main" tabindex="-1" ref=${main}><div class="page"><${Head} /><${Trouble} /><${Overview} /><${Threats} /></div></main>
    ${open && html`<${Drawer} />`}<${KeyList} /></div>`;
}

/** New rows go straight in only where nobody is reading: top of page one, no focus, no pointer. */
function mayReorder(main) {
  return view.value.page === 1 && !view.value.open && main && main.scrollTop < 8
    && !main.querySelector('.frame:hover') && !document.activeElement?.closest?.('.frame');
}

function TopBar() {
  return html`<header class="topbar"><${Brand} cls="phone-only" /><${Search} /><span class="push"></span><${DayPicker} /><${LiveButton} /></header>`;
}

const LIVE = { live: 'Live', joining: 'Joining', off: 'Paused', offline: 'Offline', delayed: 'Delayed' };
const LIVE_HINT = { off: 'Resume live changes', delayed: 'The server gives no live stream now; the page asks again and again instead. Click to pause.' };

function LiveButton() {
  const state = live.value;
  return html`<button type="button" class="btn live-btn" data-testid="live-toggle" data-state=${state} aria-pressed=${wanted.value} title=${LIVE_HINT[state] || 'Pause live changes'} onClick=${toggleLive}>
    <span class=${`live is-${state}`}>${state === 'offline' ? html`<${Icon} id="offline" size="s" />` : state === 'off' ? html`<${Icon} id="play" size="s" />` : html`<i></i>`}<span>${LIVE[state]}</span></span></button>`;
}

function Head() {
  const r = result.value;
  const restricted = session.value.restricted || [];
  return html`<div class="page-head"><h1>Threats</h1>
    <div class="tabs" role="group" aria-label="Severity">
      <button type="button" class="tab" data-testid="sev-all" aria-pressed=${!view.value.sev.length} onClick=${() => navigate({ sev: [], page: 1 })}>All<span class="n">${r ? number(r.severity.high + r.severity.medium + r.severity.low) : ''}</span></button>
      ${['high', 'medium', 'low'].map((name) => html`<button key=${name} type="button" class="tab" data-testid=${`sev-${name}`} aria-pressed=${view.value.sev.includes(name)} onClick=${() => toggleSeverity(name)}><${Severity} severity=${name} /><span class="n">${r ? number(r.severity[name]) : ''}</span></button>`)}</div>
    ${restricted.length > 0 && html`<span class="badge badge-accent" title="Your account sees only events with an address in these networks"><${Icon} id="info" size="xs" />Only ${restricted.slice(0, 2).join(', ')}${restricted.length > 2 ? ` and ${restricted.length - 2} more` : ''}</span>`}
    ${shownDay.value !== today.value && html`<span class="badge">${dayName(shownDay.value, today.value)}</span>`}</div>`;
}

/** Trouble while older rows are on the screen. */
function Trouble() {
  const error = failure.value;
  const offline = live.value === 'offline';
  if (!result.value || (!offline && !(status.value === 'error' && error))) return null;
  const seconds = offline ? Math.max(0, Math.ceil((retryAt.value - Date.now()) / 1000)) : 0;
  void now.value;
  return html`<div class="callout callout-medium" role="status" data-testid="trouble"><${Icon} id=${offline ? 'offline' : 'warn'} /><div class="grow">
    <h2>${offline ? 'The connection to the server is lost' : 'The list could not be refreshed'}</h2>
    <p>${offline ? `These rows are the last ones received. ${seconds ? `Next attempt in about ${seconds} s.` : 'Trying again.'}` : error.message}</p></div>
    <button type="button" class="btn" onClick=${() => { if (offline) retryNow(); load(); }}>Try now</button></div>`;
}

function Threats() {
  const [filters, setFilters] = useState(false);
  const r = result.value;
  const filtered = isFiltered(view.value);
  return html`<div class="split"><div class="toolbar">
      <button type="button" class="btn btn-s filters-btn" aria-expanded=${filters} aria-controls="facets" onClick=${() => setFilters(!filters)}><${Icon} id="filter" size="s" />Filters</button>
      <span data-testid="result-count">${r ? html`<span class="total">${filtered ? `${number(r.total)} of ${plural(r.all.threats, 'threat')}` : plural(r.total, 'threat')}</span> <span class="subtle hide-narrow">in ${plural(r.events, 'event')}</span>` : html`<span class="subtle">Loading…</span>`}</span>
      ${filtered && html`<button type="button" class="linkbtn" data-testid="clear-filters" onClick=${clearFilters}>Clear filters</button>`}
      ${r?.hidden > 0 && !view.value.hidden && html`<button type="button" class="linkbtn" data-testid="show-hidden" onClick=${() => navigate({ hidden: 'only', page: 1 })}>${number(r.hidden)} hidden</button>`}
      ${view.value.hidden && html`<button type="button" class="linkbtn" data-testid="leave-hidden" onClick=${() => navigate({ hidden: '', page: 1 })}>${view.value.hidden === 'only' ? 'Hidden threats only' : 'With hidden threats'}: back</button>`}<span class="sr" role="status">${spoken.value}</span></div>
    <${Facets} open=${filters} />
    <section class="list" aria-label="Threats">
      <div class="frame">${fresh.value > 0 && html`<button type="button" class="newbar" data-testid="new-bar" onClick=${showFresh}><${Icon} id="up" size="xs" />Show ${number(fresh.value)} new ${fresh.value === 1 ? 'threat' : 'threats'}<kbd class="wide-only" aria-hidden="true">.</kbd></button>`}<span class="sr" role="status">${fresh.value > 0 ? `${fresh.value} new` : ''}</span>
        <${ThreatTable} /></div>
      <div class="listfoot"><${Pager} /></div></section></div>`;
}
