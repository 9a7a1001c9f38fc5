// The figures line above the chart: events, threats, severity, sources, trails of the shown set.

import { html } from './ui.js';
import { Mark } from './icon.js';
import { number } from './format.js';
import { isFiltered } from './view.js';
import { result, view } from './state.js';
import { Histogram } from './histogram.js';

export function Overview() {
  const r = result.value;
  const of = (n) => (r && isFiltered(view.value) ? html`<span class="d">of ${number(n)}</span>` : null);
  const value = (n) => (r ? number(n) : html`<span class="subtle">–</span>`);
  return html`<section class="card overview" aria-label="Overview"><dl class="figures">
    <div class="figure"><dt>Events</dt><dd class="v">${value(r?.events)}${of(r?.all.events)}</dd></div>
    <div class="figure"><dt>Threats</dt><dd class="v">${value(r?.total)}${of(r?.all.threats)}</dd></div>
    <div class="figure figure-sev"><dt>Severity</dt><dd class="v">${['high', 'medium', 'low'].map((s) => html`<span key=${s} class=${`sev sev-${s} ${view.value.sev.length && !view.value.sev.includes(s) ? 'is-out' : ''}`}>
      <${Mark} severity=${s} /><span class="sr">${s} </span>${value(r?.severity[s])}</span>`)}</dd></div>
    <div class="figure opt1"><dt>Sources</dt><dd class="v">${value(r?.sources)}</dd></div>
    <div class="figure opt1"><dt>Trails</dt><dd class="v">${value(r?.trails)}</dd></div>
  </dl><${Histogram} /></section>`;
}
