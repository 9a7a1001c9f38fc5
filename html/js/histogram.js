// Events per hour of the day, stacked by severity, with a table form of the same figures.

import { html, useState } from './ui.js';
import { Severity } from './icon.js';
import { ticks, axis, number, zoneName, plural } from './format.js';
import { zone } from './session.js';
import { histogram, shownDay, today } from './state.js';

const H = 66;
const STEP = 30;
const ORDER = [['low', 'b-low'], ['medium', 'b-med'], ['high', 'b-high']];

export const hourTotal = (b) => b.high + b.medium + b.low;
const pad = (n) => String(n).padStart(2, '0');
const range = (h) => `${pad(h)}:00\u2009–\u2009${pad(h + 1)}:00`;

export function Histogram() {
  const [asTable, setAsTable] = useState(false);
  const [hover, setHover] = useState(-1);
  const hours = histogram.value || Array.from({ length: 24 }, () => ({ high: 0, medium: 0, low: 0 }));
  return html`<div class="chart">
    <div class="chart-head"><span class="wide-only">Events per hour, ${zoneName(zone.value)}</span>
      ${['high', 'medium', 'low'].map((s) => html`<span class="legend" key=${s}><${Severity} severity=${s} /></span>`)}
      <span class="push readout">${hover >= 0 && hours[hover] ? html`<b>${range(hover)}</b> ${plural(hourTotal(hours[hover]), 'event')}` : ''}</span>
      <button type="button" class="linkbtn" aria-expanded=${asTable} onClick=${() => setAsTable(!asTable)}>${asTable ? 'Show as chart' : 'Show as table'}</button></div>
    ${asTable ? html`<${HourTable} hours=${hours} />` : html`<${Plot} hours=${hours} hover=${hover} setHover=${setHover} />`}
  </div>`;
}

function Plot({ hours, hover, setHover }) {
  const marks = ticks(Math.max(...hours.map(hourTotal)));
  const top = marks[marks.length - 1];
  const move = (e) => {
    const box = e.currentTarget.getBoundingClientRect();
    setHover(Math.min(23, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * 24))));
  };
  return html`<div class="plot">
    <div class="y" aria-hidden="true">${[...marks].reverse().map((m) => html`<span key=${m}>${axis(m)}</span>`)}</div>
    <svg viewBox=${`0 0 ${24 * STEP} ${H}`} preserveAspectRatio="none" role="img" aria-label=${describe(hours)} onPointerMove=${move} onPointerLeave=${() => setHover(-1)}>
      ${marks.map((m) => html`<line key=${m} class="g" x1="0" x2=${24 * STEP} y1=${H - (m / top) * H} y2=${H - (m / top) * H} />`)}
      ${hover >= 0 && html`<rect class="brush" x=${hover * STEP} y="0" width=${STEP} height=${H} />`}
      ${hours.map((b, h) => html`<${Bar} key=${h} bucket=${b} hour=${h} top=${top} />`)}
    </svg>
    <div class="x" aria-hidden="true">${[0, 3, 6, 9, 12, 15, 18, 21, 24].map((h) => html`<span key=${h}>${pad(h)}:00</span>`)}</div></div>`;
}

function Bar({ bucket, hour, top }) {
  let y = H;
  return html`<g>${ORDER.map(([name, cls]) => {
    if (!bucket[name]) return null;
    const height = Math.max(1, (bucket[name] / top) * H);
    y -= height;
    return html`<rect key=${name} class=${cls} x=${hour * STEP + 3} y=${y} width=${STEP - 6} height=${height} />`;
  })}</g>`;
}

function HourTable({ hours }) {
  return html`<div class="scroll-x hours" tabindex="0" role="region" aria-label="Events per hour"><table class="table table-s">
    <thead><tr><th scope="col">Hour</th><th scope="col" class="num">High</th><th scope="col" class="num">Medium</th><th scope="col" class="num">Low</th><th scope="col" class="num">All</th></tr></thead>
    <tbody>${hours.map((b, h) => html`<tr key=${h}><th scope="row">${range(h)}</th><td class="num">${number(b.high)}</td><td class="num">${number(b.medium)}</td><td class="num">${number(b.low)}</td><td class="num">${number(hourTotal(b))}</td></tr>`)}</tbody></table></div>`;
}

/** The chart in one sentence. */
function describe(hours) {
  const totals = hours.map(hourTotal);
  const all = totals.reduce((a, b) => a + b, 0);
  if (!all) return `No events on ${shownDay.value}.`;
  const peak = totals.indexOf(Math.max(...totals));
  return `Events per hour ${shownDay.value === today.value ? 'today' : `on ${shownDay.value}`}, stacked by severity. ${plural(all, 'event')}; busiest from ${pad(peak)}:00 with ${totals[peak]}.`;
}
