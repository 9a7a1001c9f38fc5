// Facets beside the list. A click keeps a value, Alt-click or `-` excludes it, again takes it off.

import { html, useState } from './ui.js';
import { Icon } from './icon.js';
import { number } from './format.js';
import { makeChip } from './query.js';
import { facets, view, result, addChip, removeChip } from './state.js';

const GROUPS = [['type', 'Type', true], ['status', 'Status', false], ['class', 'Class', false], ['tag', 'Tag', false], ['sensor', 'Sensor', false], ['origin', 'Origin', false]];
const ORIGINS = { static: 'static list', feed: 'feeds', heuristic: 'behaviour', custom: 'own lists' };
const STATUSES = { new: 'new', investigating: 'investigating', resolved: 'resolved', false_positive: 'false positive' };
const SHOWN = 6;

export function Facets({ open }) {
  return html`<aside class=${`facets ${open ? 'is-shown' : ''}`} id="facets" aria-label="Filters">
    ${GROUPS.map((g) => html`<${Group} key=${g[0]} group=${g} />`)}
    ${result.value?.total > 0 && html`<p class="facet-hint subtle">Alt-click or <kbd>-</kbd> excludes.</p>`}</aside>`;
}

function Group({ group: [field, title, mono] }) {
  const [all, setAll] = useState(false);
  const list = withChosen(field, (facets.value?.[field] || []).filter((f) => f.value !== ''));
  if (!list.length) return null;
  const top = Math.max(...list.map((f) => f.count), 1);
  const shown = all ? list : list.slice(0, SHOWN);
  return html`<fieldset><legend class="sr">${title}</legend><div class="facet-title" aria-hidden="true">${title}</div>
    <div class="facet-list">${shown.map((f) => html`<${Value} key=${f.value} field=${field} value=${f.value} count=${f.count} top=${top} mono=${mono} />`)}</div>
    ${list.length > SHOWN && html`<button type="button" class="more" onClick=${() => setAll(!all)}>${all ? 'Fewer' : `${list.length - SHOWN} more`}</button>`}</fieldset>`;
}

/** A chosen or excluded value stays visible when its count falls to zero. */
function withChosen(field, list) {
  const have = new Set(list.map((f) => makeChip(field, f.value).toLowerCase()));
  const missing = view.value.chips
    .map((c) => c.replace(/^-/, ''))
    .filter((c) => c.startsWith(`${field}:`) && /^[^\s(),*"]+$/.test(c) && !have.has(c.toLowerCase()))
    .map((c) => ({ value: c.slice(field.length + 1), count: 0 }));
  return [...list, ...missing];
}

/** The chip as the reader wrote it; the search does not distinguish case. */
const chosen = (chip) => view.value.chips.find((c) => c.toLowerCase() === chip.toLowerCase());

function Value({ field, value, count, top, mono }) {
  const chip = makeChip(field, value);
  const kept = chosen(chip);
  const out = chosen(`-${chip}`);
  const label = { origin: ORIGINS, status: STATUSES }[field]?.[value] || value;
  const act = (exclude) => {
    const next = exclude ? `-${chip}` : chip;
    if (kept || out) removeChip(kept || out);
    else addChip(next);
  };
  const key = (e) => {
    if (e.key !== '-' || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    act(true);
  };
  return html`<button type="button" class=${`facet ${count || kept || out ? '' : 'zero'} ${out ? 'is-out' : ''}`} aria-pressed=${kept || out ? 'true' : 'false'}
    data-testid=${`facet-${field}`} data-value=${value} onClick=${(e) => act(e.altKey)} onKeyDown=${key}>
    ${out && html`<span class="op">not</span>`}<span class=${`clip ${mono ? 'mono' : ''}`}>${label}</span>
    <${Icon} id=${out ? 'x' : 'check'} size="xs" />
    <svg class="bar" viewBox="0 0 34 3" aria-hidden="true"><rect class="track" width="34" height="3" rx="1.5" /><rect class="fill" width=${count ? Math.max(2, (count / top) * 34) : 0} height="3" rx="1.5" /></svg>
    <span class="c">${number(count)}</span></button>`;
}
