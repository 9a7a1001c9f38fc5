// The detail of one threat: a sentence first, then why, numbers, hours, full sets, raw events.
//
// A column beside the list on wide screens (not modal), over it below 1280 px, and modal on the
// phone, where it covers the page. Loaded per threat; a newer request cancels the older one.

import { html, useEffect, useLayoutEffect, useRef, useState, signal } from './ui.js';
import { Icon, Severity } from './icon.js';
import { Trail, Service } from './table.js';
import { HourBars, ValueSet, EventTable } from './detail-parts.js';
import { trailText, trailKey, defang, printable } from './trail.js';
import { number, moment, span, age, isRecent, infoText, clockShort } from './format.js';
import { whatHappened, whyFlagged } from './sentence.js';
import { makeChip } from './query.js';
import { CopyButton } from './clipboard.js';
import { api } from './api.js';
import { now, zone, recheck } from './session.js';
import { view, rows, shownDay, addChip } from './state.js';
import { TriageBar, Notes } from './triage.js';
import { leaveDetail, stepDetail } from './keys.js';

const detail = signal(null);
const trouble = signal(null);

export function Drawer() {
  const id = view.value.open;
  const day = shownDay.value;
  const row = rows.value.find((t) => t.id === id);
  const version = row ? row.count : 0;
  const panel = useRef(null);
  const title = useRef(null);
  const [modal, setModal] = useState(isPhone());

  useEffect(() => fetchDetail(id, day), [id, day, throttled(version)]);
  useEffect(() => {
    const media = matchMedia('(max-width: 767px)');
    const on = () => setModal(media.matches);
    media.addEventListener('change', on);
    return () => media.removeEventListener('change', on);
  }, []);
  useLayoutEffect(() => {
    if (!modal) return undefined;
    const others = [...document.querySelectorAll('.rail, .topbar, .main')];
    others.forEach((el) => { el.inert = true; });
    return () => others.forEach((el) => { el.inert = false; });
  }, [modal]);
  const known = detail.value?.threat.id === id ? detail.value : null;
  const threat = row || known?.threat;
  useEffect(() => { if (threat && !stillWalking()) title.current?.focus({ preventScroll: true }); panel.current?.querySelector('.drawer-scroll')?.scrollTo(0, 0); }, [id, Boolean(threat)]);

  return html`<${modal ? 'section' : 'aside'} class="drawer" ref=${panel} data-testid="drawer" aria-label="Threat" role=${modal ? 'dialog' : undefined} aria-modal=${modal ? 'true' : undefined}>
    <${Bar} threat=${threat} id=${id} />
    <div class="drawer-scroll">${threat ? html`<${Body} threat=${threat} known=${known} title=${title} />` : trouble.value?.id === id ? html`<${Lost} error=${trouble.value} />` : html`<p class="subtle" role="status">Loading…</p>`}</div>
    ${threat && html`<${Foot} threat=${threat} />`}<//>`;
}

const isPhone = () => matchMedia('(max-width: 767px)').matches;
/** With `j`/`k` the focus stays where it is; only opening moves it. */
const stillWalking = () => Boolean(document.activeElement?.closest?.('.drawer-bar'));

/** The raw events follow a growing count in steps, not each event. */
const throttled = (count) => (count < 200 ? count : Math.floor(count / 50));

function fetchDetail(id, day) {
  if (!id || !day) return undefined;
  const abort = new AbortController();
  api.threat(id, day, abort.signal).then((answer) => {
    detail.value = answer;
    trouble.value = null;
  }, async (error) => {
    if (error.name === 'AbortError' || await recheck(error)) return;
    trouble.value = { id, message: error.message, missing: error.status === 404 };
  });
  return () => abort.abort();
}

function Lost({ error }) {
  return html`<div class="empty"><${Icon} id="warn" /><h2>${error.missing ? 'This threat is not in this day' : 'The detail could not be loaded'}</h2>
    <p>${error.missing ? 'The link may belong to another day, or the day file is gone.' : error.message}</p><button type="button" class="btn" onClick=${leaveDetail}>Back to the list</button></div>`;
}

function Bar({ threat, id }) {
  const at = rows.value.findIndex((t) => t.id === id);
  return html`<div class="drawer-bar"><button type="button" class="btn btn-quiet btn-icon phone-only" aria-label="Back to the list" onClick=${leaveDetail}><${Icon} id="back" /></button>
    ${threat && html`<${Severity} severity=${threat.severity} /><span class="subtle">·</span><span class="mono muted" title="Threat id">${threat.uid}</span>`}
    <span class="push subtle wide-only">${at >= 0 ? `${at + 1} of ${rows.value.length} on this page` : ''}</span>
    <span class="push phone-only"></span>
    <button type="button" class="btn btn-quiet btn-icon" aria-label="Previous threat" disabled=${at <= 0} onClick=${() => stepDetail(-1)}><${Icon} id="up" /></button>
    <button type="button" class="btn btn-quiet btn-icon" aria-label="Next threat" disabled=${at < 0 || at >= rows.value.length - 1} onClick=${() => stepDetail(1)}><${Icon} id="down" /></button>
    <${CopyButton} text=${() => location.href} label="Copy link" icon="link" cls="btn btn-quiet btn-icon" iconOnly=${true} />
    <button type="button" class="btn btn-quiet btn-icon" data-testid="drawer-close" aria-label="Close" onClick=${leaveDetail}><${Icon} id="x" /></button></div>`;
}

const Says = ({ parts }) => parts.map((p) => (typeof p === 'string' ? p : html`<strong>${p.strong}</strong>`));

function Body({ threat: t, known, title }) {
  const full = known?.threat || t;
  return html`
    <header class="stack-s"><h2 class="title" tabindex="-1" ref=${title}><span class="trail"><${Trail} trail=${t.trail} /></span></h2>
      <p class="facts"><span class="type">${t.type}</span><span>${infoText(t)}</span>${t.class && html`<span class="subtle">·</span><span class="muted">${t.class}</span>`}</p></header>
    <p class="says"><${Says} parts=${whatHappened(t, zone.value)} /> <${Says} parts=${whyFlagged(t)} /></p>
    <${TriageBar} threat=${t} />
    <${Numbers} threat=${t} />
    <${Why} threat=${t} />
    <${Notes} threat=${t} />
    <${HourBars} hours=${t.hours} />
    <section class="sec"><div class="sec-head"><h3>Who and where</h3><span class="push">a click filters the list</span></div><div class="sets">
      <${ValueSet} title="Sources" field="src" set=${full.src} /><${ValueSet} title="Destinations" field="dst" set=${full.dst} />
      <${ValueSet} title="Dest. ports" field="port" set=${full.dport} ports=${true} /><${ValueSet} title="Source ports" set=${full.sport} ports=${true} />
      <${ValueSet} title="Protocols" field="proto" set=${full.proto} /><${ValueSet} title="Sensors" field="sensor" set=${full.sensor} /></div></section>
    <${EventTable} known=${known} trouble=${trouble.value?.id === t.id ? trouble.value : null} />`;
}

function Numbers({ threat: t }) {
  const z = zone.value;
  const recent = isRecent(t.last, now.value);
  return html`<dl class="flow"><div><dt>Events</dt><dd>${number(t.count)}</dd></div>
    <div><dt>Sources</dt><dd>${number(t.src.total)}</dd></div><div><dt>Destinations</dt><dd>${number(t.dst.total)}</dd></div>
    <div><dt>Service</dt><dd class="row row-tight"><${Service} threat=${t} /></dd></div>
    <div class="wide"><dt>First seen</dt><dd><time datetime=${t.first}>${moment(t.first, z)}</time></dd></div>
    <div class="wide"><dt>Last seen</dt><dd><time datetime=${t.last}>${recent ? `${age(t.last, now.value, z)} ago, ${clockShort(t.last, z)}` : moment(t.last, z)}</time>${t.count > 1 && html`<span class="subtle"> after ${span(t.first, t.last)}</span>`}</dd></div></dl>`;
}

const ORIGIN = { static: 'Static list of the trails', feed: 'Feed', heuristic: 'Behaviour seen by the sensor', custom: 'Your own list' };

function Why({ threat: t }) {
  return html`<section class="sec"><div class="sec-head"><h3>Why it is flagged</h3></div><div class="why"><dl class="dl">
    <dt>Matched</dt><dd><span class="trail">${printable(trailKey(t.trail) || trailText(t.trail))}</span></dd>
    <dt>Reported as</dt><dd>${infoText(t)}${t.class && html`<span class="sub">class ${t.class}</span>`}</dd>
    <dt>Origin</dt><dd>${ORIGIN[t.origin] || 'Not named'}${t.reference && html`<span class="sub">${t.reference}</span>`}</dd></dl></div></section>`;
}

function Foot({ threat: t }) {
  const key = trailKey(t.trail);
  return html`<div class="drawer-foot"><${CopyButton} text=${trailText(t.trail)} label="Copy trail" testid="copy-trail" />
    <${CopyButton} text=${defang(trailText(t.trail))} label="Copy defanged" testid="copy-defanged" />
    <span class="push wide-only"></span>
    ${key && html`<button type="button" class="btn btn-quiet" onClick=${() => addChip(makeChip('trail', key))}><${Icon} id="filter" size="s" />Only this trail</button>`}</div>`;
}

