// The threat table: two-line rows, sort buttons, one tab stop per row set (roving), states.
//
// The link of the trail is the row's focus target; other cells repeat as filter buttons for the
// pointer only, because the detail offers the same filters to the keyboard.

import { html, Component } from './ui.js';
import { Icon, Severity } from './icon.js';
import { trailParts, trailText, trailKey, printable } from './trail.js';
import { direction, portLabel, portRisk } from './ports.js';
import { number, compact, plural, age, isRecent, clock, clockShort, infoText, moment } from './format.js';
import { makeChip } from './query.js';
import { aliasOf } from './aliases.js';
import { now, zone } from './session.js';
import { rows, result, status, view, selected, flash, sortBy, openThreat, addChip, linkTo } from './state.js';
import { StatusCell } from './triage.js';
import { EmptyState, Skeleton } from './states.js';

const COLUMNS = [
  ['risk', 'Risk', 'c-sev'], ['trail', 'Threat', 'c-what'], ['src', 'Source', 'c-src'], ['dst', 'Destination', 'c-dst'],
  ['count', 'Events', 'c-n num'], ['last', 'Last seen', 'c-seen'], ['sensor', 'Sensor', 'c-sensor'], ['', 'Status', 'c-st'],
];

/** Stands for the id in the link that all rows share, so that opening one redraws two rows, not all. */
const ANY_ID = '0'.repeat(16);

export function ThreatTable() {
  const list = rows.value;
  const current = list.some((t) => t.id === selected.value) ? selected.value : list[0]?.id;
  if (!result.value) return status.value === 'error' ? html`<${EmptyState} />` : html`<${Skeleton} />`;
  if (!list.length) return html`<${EmptyState} />`;
  const base = linkTo({ open: ANY_ID });
  return html`<table class=${`table threats ${status.value === 'loading' ? 'is-stale' : ''}`} role="table" aria-busy=${status.value === 'loading'}>
    <caption class="sr">Threats, ${result.value.total} in all. Sort with the buttons in the head, open a row with Enter.</caption>
    <thead role="rowgroup"><tr role="row">${COLUMNS.map((c) => html`<${Head} key=${c[2]} column=${c} />`)}</tr></thead>
    <tbody role="rowgroup">${list.map((t) => html`<${Row} key=${t.id} threat=${t} current=${t.id === current}
      open=${t.id === view.value.open} flash=${flash.value.has(t.id)} base=${base} />`)}</tbody>
  </table>`;
}

function Head({ column: [key, label, cls] }) {
  const { sort, dir } = view.value;
  if (!key) return html`<th role="columnheader" scope="col" class=${cls}><span class="th">${label}</span></th>`;
  const on = sort === key;
  return html`<th role="columnheader" scope="col" class=${cls} aria-sort=${on ? (dir === 'asc' ? 'ascending' : 'descending') : undefined}>
    <button type="button" data-testid=${`sort-${key}`} onClick=${() => sortBy(key)}>${label}
      <${Icon} id="sort" size=${`xs ${on ? (dir === 'asc' ? 'is-up' : '') : 'is-off'}`} /></button></th>`;
}

class Row extends Component {
  shouldComponentUpdate(next) {
    const p = this.props;
    return next.threat !== p.threat || next.current !== p.current || next.open !== p.open || next.flash !== p.flash || next.base !== p.base;
  }

  render({ threat: t, current, open, flash: isNew, base }) {
    const href = base.replace(ANY_ID, t.id);
    const activate = (e) => {
      if (e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
      if (window.getSelection()?.toString() && e.detail > 0 && !e.target.closest('a')) return;
      e.preventDefault();
      selected.value = t.id;
      openThreat(t.id);
    };
    return html`<tr role="row" class=${`${open ? 'is-open' : ''} ${isNew ? 'is-new' : ''}`} data-testid="threat-row" data-id=${t.id}
      data-severity=${t.severity} data-trail=${t.trail} onClick=${activate}>
      <td role="cell" class="c-sev"><${Severity} severity=${t.severity} /></td>
      <td role="cell" class="c-what"><div class="two">
        <a class="trail clip" href=${href} tabindex=${current ? 0 : -1} aria-current=${open ? 'true' : undefined}
          title=${printable(trailText(t.trail))} onFocus=${() => { selected.value = t.id; }}><${Trail} trail=${t.trail} /></a>
        <span class="sub">${t.type && html`<${Filter} chip=${makeChip('type', t.type)} cls="type" label=${`Only type ${t.type}`}>${t.type}<//>`}<span class="clip">${printable(infoText(t))}${t.class && t.class !== 'malware' ? ` · ${t.class}` : ''}</span></span></div></td>
      <td role="cell" class="c-src"><${Source} threat=${t} /></td>
      <td role="cell" class="c-dst"><${Destination} threat=${t} /></td>
      <td role="cell" class="c-n num"><span class="cell"><${Spark} hours=${t.hours} /><span title=${number(t.count)}>${compact(t.count)}</span></span></td>
      <td role="cell" class="c-seen"><${Seen} threat=${t} /></td>
      <td role="cell" class="c-sensor"><${Several} set=${t.sensor} field="sensor" many="sensors" cls="muted" /></td>
      <td role="cell" class="c-st"><${StatusCell} threat=${t} /></td>
    </tr>`;
  }
}

/** A trail with its key bright and its variable part quiet. */
export function Trail({ trail }) {
  const parts = trailParts(trail);
  if (!parts.length) return html`<span class="v">no trail</span>`;
  return parts.map((p) => (p.variable ? html`<span class="v">${printable(p.text)}</span>` : printable(p.text)));
}

/** A value that filters by itself: click keeps, Alt-click excludes. */
function Filter({ chip, cls, label, children }) {
  const act = (e) => {
    e.preventDefault();
    addChip(e.altKey ? `-${chip}` : chip);
  };
  return html`<button type="button" class=${`cellbtn ${cls}`} tabindex="-1" title=${`${label}. Alt-click excludes.`} onClick=${act}>${children}</button>`;
}

function Several({ set, field, many, cls = '' }) {
  if (set.total !== 1) {
    return html`<span class="clip plain" title=${set.values.slice(0, 12).join('\n') + (set.total > 12 ? '\n…' : '')}>${plural(set.total, many.slice(0, -1), many)}</span>`;
  }
  return html`<${Filter} chip=${makeChip(field, set.values[0])} cls=${`clip ${cls}`} label=${`Only ${set.values[0]}`}>${set.values[0]}<//>`;
}

/** A named address: the name is shown, the address filters. */
function Named({ field, address, name }) {
  return html`<${Filter} chip=${makeChip(field, address)} cls="clip plain" label=${`Only ${address}`}>${printable(name)}<//>`;
}

function Source({ threat: t }) {
  const self = t.src.total === 1 && t.src.values[0] === trailKey(t.trail);
  const ports = t.sport.total === 1 ? `from port ${t.sport.values[0]}` : t.sport.total ? `from ${number(t.sport.total)} ports` : '';
  const name = t.src.total === 1 ? aliasOf(t.src.values[0]) : '';
  if (name) return html`<div class="two"><${Named} field="src" address=${t.src.values[0]} name=${name} /><span class="sub addr"><span class="clip">${t.src.values[0]}</span></span></div>`;
  const below = t.src.total > 1 ? t.src.values.slice(0, 3).join(', ') : ports;
  return html`<div class="two"><${Several} set=${t.src} field="src" many="hosts" cls=${`addr ${self ? 'subtle' : ''}`} />
    <span class=${`sub ${t.src.total > 1 ? 'addr' : ''}`}><span class="clip">${below}</span></span></div>`;
}

function Destination({ threat: t }) {
  const self = t.dst.total === 1 && t.dst.values[0] === trailKey(t.trail);
  const name = t.dst.total === 1 ? aliasOf(t.dst.values[0]) : '';
  return html`<div class="two">${name ? html`<${Named} field="dst" address=${t.dst.values[0]} name=${name} />` : html`<${Several} set=${t.dst} field="dst" many="hosts" cls=${`addr ${self ? 'subtle' : ''}`} />`}
    <span class="sub"><${Service} threat=${t} /></span></div>`;
}

/** Direction and service port; a risky port is named in amber. */
export function Service({ threat }) {
  const { dir, ports } = direction(threat);
  if (!ports.total) return html`<span class="clip">no port</span>`;
  const one = ports.total === 1 ? ports.values[0] : '';
  const risky = ports.values.filter((p) => portRisk(p));
  const text = one ? portLabel(one) : plural(ports.total, 'port');
  const title = risky.length ? risky.slice(0, 6).map((p) => `${p}: ${portRisk(p)}`).join('\n') : ports.values.slice(0, 12).join(', ');
  return html`${dir && html`<${Icon} id=${dir} size="xs" />`}<span class="sr">${dir === 'out' ? 'reply from port ' : 'request to port '}</span>
    <span class=${`clip ${risky.length ? 'warn' : ''}`} title=${title}>${text}${risky.length && !one ? `, ${risky.length} risky` : ''}</span>`;
}

function Seen({ threat: t }) {
  const z = zone.value;
  return html`<div class="two"><time class="swap" datetime=${t.last} title=${moment(t.last, z)}><span class="rel">${age(t.last, now.value, z)}${isRecent(t.last, now.value) && html`<span class="sr"> ago</span>`}</span><span class="exact" aria-hidden="true">${clock(t.last, z)}</span></time>
    <span class="sub">${t.count > 1 ? `since ${clockShort(t.first, z)}` : 'once'}</span></div>`;
}

/** 24 bars, one for each hour; the busiest stands out. */
export function Spark({ hours }) {
  const top = Math.max(...hours, 1);
  const peak = hours.indexOf(top);
  return html`<svg class="spark" viewBox="0 0 58 16" preserveAspectRatio="none" aria-hidden="true">${hours.map((n, h) => {
    const height = n ? Math.max(1.5, (n / top) * 16) : 0;
    return n ? html`<rect key=${h} x=${h * 2.42} y=${16 - height} width="1.7" height=${height} class=${h === peak ? 'pk' : ''} />` : null;
  })}</svg>`;
}
