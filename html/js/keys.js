// Keys of the threat page, and the list of them (`?`).
//
// Single keys act only outside fields and without Ctrl, Alt or Meta. Arrows walk the rows when
// the focus is on the page or in the table; inside the detail they scroll it as usual.

import { html, useEffect, useRef, signal } from './ui.js';
import { Icon } from './icon.js';
import { rows, selected, view, openThreat, closeThreat, setPage, fresh, showFresh } from './state.js';
import { box, closeExamples } from './search.js';
import { decideAt, mayTriage, openOrSelected, KEY_STATUS } from './triage.js';

const shown = signal(false);
export const showKeys = () => { shown.value = true; };

const LIST = [
  ['/', 'Search'], ['j  k', 'Next, previous row'], ['↓  ↑', 'The same, in the table'], ['Enter', 'Open the row'], ['Esc', 'Close the detail, clear the search'],
  ['→  ←', 'Next, previous page'], ['.', 'Show new threats'], ['i', 'Investigating: the open or selected threat'], ['e', 'Resolved'], ['f', 'False positive'], ['n', 'Write a note'], ['t', 'Add a tag'], ['-', 'On a filter value: exclude it'], ['?', 'This list'],
];

export function KeyList() {
  const dialog = useRef(null);
  useEffect(() => { if (shown.value && dialog.current && !dialog.current.open) dialog.current.showModal(); });
  if (!shown.value) return null;
  return html`<dialog class="keys" ref=${dialog} aria-labelledby="keys-title" onClose=${() => { shown.value = false; }} onClick=${(e) => { if (e.target === e.currentTarget) e.currentTarget.close(); }}>
    <div class="keys-body"><div class="card-head"><h2 id="keys-title">Shortcuts</h2><button type="button" class="btn btn-quiet btn-s btn-icon push" aria-label="Close" onClick=${() => dialog.current.close()}><${Icon} id="x" /></button></div>
    <dl class="keys-list">${LIST.map(([key, text]) => html`<div key=${key}><dt>${key.split('  ').map((k) => html`<kbd key=${k}>${k}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl></div></dialog>`;
}

/** Installs the handler; returns its removal. */
export function listenKeys() {
  addEventListener('keydown', onKey);
  return () => removeEventListener('keydown', onKey);
}

function onKey(e) {
  if (e.defaultPrevented || e.ctrlKey || e.altKey || e.metaKey || shown.value) return;
  if (e.target.closest?.('input, textarea, select, [contenteditable]')) return;
  const act = action(e);
  if (!act) return;
  e.preventDefault();
  act();
}

function action(e) {
  const inList = !e.target.closest?.('.drawer, .scroll-x, .facets, dialog');
  switch (e.key) {
    case '/': return () => { box.current?.focus(); box.current?.select(); };
    case '?': return showKeys;
    case 'j': return () => step(1);
    case 'k': return () => step(-1);
    case 'ArrowDown': return inList ? () => step(1) : null;
    case 'ArrowUp': return inList ? () => step(-1) : null;
    case 'ArrowRight': return inList ? () => setPage(view.value.page + 1) : null;
    case 'ArrowLeft': return inList ? () => setPage(view.value.page - 1) : null;
    case '.': return fresh.value ? showFresh : null;
    case 'e': case 'i': case 'f': return mayTriage() ? () => decideAt(openOrSelected(selected.value), { status: KEY_STATUS[e.key] }) : null;
    case 'n': return fieldOfDetail('note-input');
    case 't': return fieldOfDetail('tag-input');
    case 'Escape': return escape();
    default: return null;
  }
}

/** Puts the focus into a field of the detail; opens it for the selected row first. */
function fieldOfDetail(testid) {
  const id = openOrSelected(selected.value);
  if (!id || !mayTriage()) return null;
  return () => {
    if (!view.value.open) openThreat(id);
    requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector(`.drawer [data-testid="${testid}"]`)?.focus()));
  };
}

function escape() {
  if (closeExamples()) return () => box.current?.focus();
  if (view.value.open) return () => leaveDetail();
  return null;
}

/** Closes the detail and gives the focus back to its row. */
export function leaveDetail() {
  const id = view.value.open;
  closeThreat();
  requestAnimationFrame(() => focusRow(id));
}

function step(by) {
  const list = rows.value;
  if (!list.length) return;
  const open = view.value.open;
  const at = list.findIndex((t) => t.id === (open || selected.value));
  const touched = open || document.activeElement?.closest('[data-testid="threat-row"]');
  const next = list[Math.min(list.length - 1, Math.max(0, at < 0 || !touched ? Math.max(0, at) : at + by))];
  selected.value = next.id;
  if (open) {
    openThreat(next.id);
    document.querySelector(`[data-id="${next.id}"]`)?.scrollIntoView({ block: 'nearest' });
  } else {
    requestAnimationFrame(() => focusRow(next.id));
  }
}

/** Walks to the neighbour while the detail is open (its own buttons). */
export const stepDetail = (by) => step(by);

function focusRow(id) {
  if (!/^[0-9a-f]{16}$/.test(id)) return;
  const link = document.querySelector(`[data-id="${id}"] a.trail`);
  link?.focus({ preventScroll: true });
  link?.closest('tr').scrollIntoView({ block: 'nearest' });
}
