// Parts of the detail: hours of one threat, complete value sets, raw events.

import { html, useState } from './ui.js';
import { ticks, axis, number, plural, clockExact, zoneName, dayName } from './format.js';
import { portName, portRisk } from './ports.js';
import { makeChip } from './query.js';
import { aliasOf } from './aliases.js';
import { printable } from './trail.js';
import { Trail } from './table.js';
import { CopyButton } from './clipboard.js';
import { zone } from './session.js';
import { addChip, shownDay, today } from './state.js';

/** Sets longer than this become a searchable list. */
const INLINE = 20;
const H = 84;

export function HourBars({ hours }) {
  const marks = ticks(Math.max(...hours));
  const top = marks[marks.length - 1];
  const peak = hours.indexOf(Math.max(...hours));
  const label = `Events per hour. Busiest from ${String(peak).padStart(2, '0')}:00 with ${hours[peak]}.`;
  return html`<section class="sec"><div class="sec-head"><h3>Hours</h3><span class="push">${dayName(shownDay.value, today.value)}, ${zoneName(zone.value)}</span></div>
    <div class="plot plot-mid"><div class="y" aria-hidden="true">${[...marks].reverse().map((m) => html`<span key=${m}>${axis(m)}</span>`)}</div>
    <svg viewBox=${`0 0 480 ${H}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      ${marks.map((m) => html`<line key=${m} class="g" x1="0" x2="480" y1=${H - (m / top) * H} y2=${H - (m / top) * H} />`)}
      ${hours.map((n, h) => n > 0 && html`<rect key=${h} class="b-n" x=${h * 20 + 2} y=${H - Math.max(1, (n / top) * H)} width="16" height=${Math.max(1, (n / top) * H)} />`)}</svg>
    <div class="x" aria-hidden="true">${[0, 6, 12, 18, 24].map((h) => html`<span key=${h}>${String(h).padStart(2, '0')}:00</span>`)}</div></div></section>`;
}

export function ValueSet({ title, field, set, ports = false }) {
  const [find, setFind] = useState('');
  if (!set.total) return null;
  const long = set.values.length > INLINE;
  const hits = find ? set.values.filter((v) => v.toLowerCase().includes(find.toLowerCase())) : set.values;
  const shown = long && !find ? hits.slice(0, INLINE) : hits;
  return html`<div class="set"><div class="set-head"><h4>${title}</h4><span class="subtle">${number(set.total)}</span>
    ${long && html`<input class="input input-s" type="search" placeholder="Find" aria-label=${`Find in ${title.toLowerCase()}`} value=${find} onInput=${(e) => setFind(e.currentTarget.value)} />`}</div>
    <ul class="values">${shown.map((v) => html`<li key=${v}><${Value} field=${field} value=${v} ports=${ports} /></li>`)}
      ${rest(set, hits.length, shown.length)}</ul></div>`;
}

/** Says what the list leaves out: values beyond the first ones, and those the server keeps. */
function rest(set, hits, shown) {
  const texts = [];
  if (!hits) texts.push(`none of ${number(set.values.length)} contains this`);
  if (hits > shown) texts.push(`${number(hits - shown)} more, type to find one`);
  if (set.total > set.values.length) texts.push(`${number(set.values.length)} of ${number(set.total)} are listed`);
  return texts.length > 0 && html`<li class="subtle rest">${texts.join(' · ')}</li>`;
}

function Value({ field, value, ports }) {
  const risk = ports ? portRisk(value) : '';
  const name = ports ? portName(value) : '';
  const alias = field === 'src' || field === 'dst' ? aliasOf(value) : '';
  const text = html`<span class="addr">${value}</span>${alias && html`<span class="muted">${printable(alias)}</span>`}${name && html`<span class=${risk ? 'warn' : 'subtle'}>${name}</span>`}${risk && !name && html`<span class="warn">${risk}</span>`}`;
  if (!field) return html`<span class="value">${text}</span>`;
  const chip = makeChip(field, value);
  return html`<button type="button" class="value" title=${`Only ${value}. Alt-click excludes.`} onClick=${(e) => addChip(e.altKey ? `-${chip}` : chip)}>${text}</button>`;
}

export function EventTable({ known, trouble }) {
  const [raw, setRaw] = useState(false);
  if (!known) return html`<section class="sec"><div class="sec-head"><h3>Events</h3></div><p class="subtle" role="status">${trouble ? trouble.message : 'Loading…'}</p></section>`;
  const { events, events_total: total } = known;
  const lines = () => events.map((e) => e.line).join('\n');
  return html`<section class="sec"><div class="sec-head"><h3>Events</h3><span class="subtle">${events.length < total ? `newest ${number(events.length)} of ${number(total)}` : plural(total, 'event')}</span>
    <span class="push row row-tight"><button type="button" class="btn btn-s btn-quiet" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>Log lines</button><${CopyButton} cls="btn btn-s btn-quiet" text=${lines} label="Copy lines" /></span></div>
    ${raw ? html`<pre class="lines scroll-x" tabindex="0" role="region" aria-label="Log lines">${lines()}</pre>` : html`<${Rows} events=${events} />`}</section>`;
}

function Rows({ events }) {
  const z = zone.value;
  return html`<div class="scroll-x events" tabindex="0" role="region" aria-label="Events"><table class="table table-s">
    <thead><tr><th scope="col">Time</th><th scope="col">Source</th><th scope="col">Destination</th><th scope="col">Proto</th><th scope="col">Sensor</th><th scope="col">Trail</th></tr></thead>
    <tbody>${events.map((e, i) => html`<tr key=${i}><td class="addr nowrap"><time datetime=${e.time}>${clockExact(e.time, z)}</time></td><td class="addr nowrap">${end(e.src_ip, e.src_port)}</td><td class="addr nowrap">${end(e.dst_ip, e.dst_port)}</td>
      <td class="muted">${e.proto}</td><td class="muted nowrap">${e.sensor}</td><td class="nowrap"><span class="trail"><${Trail} trail=${e.trail} /></span></td></tr>`)}</tbody></table></div>`;
}

/** `10.0.0.5:53122`, `[2001:db8::1]:443`; no port for protocols without one. */
export function end(ip, port) {
  const has = port !== '' && port !== '-' && port != null;
  if (!has) return String(ip);
  return String(ip).includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
