// The search box: chips, free text that filters while typing, the error under it, the examples.

import { html, useEffect, useRef, useState, signal } from './ui.js';
import { Icon } from './icon.js';
import { describeChip } from './query.js';
import { view, queryError, setText, removeChip, navigate, result } from './state.js';

const TYPING_MS = 220;
/** Focus from anywhere (`/`). */
export const box = { current: null };
const helpOpen = signal(false);
export const closeExamples = () => { const was = helpOpen.value; helpOpen.value = false; return was; };

export function Search() {
  const [draft, setDraft] = useState(view.value.text);
  const timer = useRef(0);
  const input = useRef(null);
  const text = view.value.text;
  useEffect(() => { box.current = input.current; }, []);
  useEffect(() => { clearTimeout(timer.current); setDraft(text); }, [text]);

  const type = (value) => {
    setDraft(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setText(value), TYPING_MS);
  };
  const commit = () => {
    clearTimeout(timer.current);
    const chip = draft.trim();
    if (!chip) return;
    setDraft('');
    navigate({ text: '', chips: [...view.value.chips.filter((c) => c !== chip), chip], page: 1 });
  };
  const edit = (chip) => {
    clearTimeout(timer.current);
    navigate({ chips: view.value.chips.filter((c) => c !== chip), text: chip, page: 1 });
    input.current.focus();
  };
  const key = (e) => {
    if (e.key === 'Backspace' && !draft && view.value.chips.length) {
      e.preventDefault();
      edit(view.value.chips.at(-1));
    } else if (e.key === 'Escape') {
      e.stopPropagation();
      if (helpOpen.value) helpOpen.value = false;
      else if (draft) { setDraft(''); clearTimeout(timer.current); setText(''); } else e.currentTarget.blur();
    }
  };
  const error = queryError.value;
  return html`<form class="q" role="search" aria-label="Threats" onSubmit=${(e) => { e.preventDefault(); commit(); }}>
    <div class="q-box" onMouseDown=${(e) => { if (e.target === e.currentTarget) { e.preventDefault(); input.current.focus(); } }}>
      <${Icon} id="search" />
      ${view.value.chips.length > 0 && html`<span class="q-chips">${view.value.chips.map((c, i) => html`<${Chip} key=${c} chip=${c} bad=${error?.index === i} edit=${edit} />`)}</span>`}
      <input class="q-input" ref=${input} type="text" data-testid="query-input" aria-label="Search threats" autocomplete="off" autocapitalize="off" spellcheck="false"
        enterkeyhint="search" placeholder="Search, or filter with field:value" value=${draft} aria-invalid=${error ? 'true' : undefined}
        aria-describedby=${error ? 'query-error' : undefined} onInput=${(e) => type(e.currentTarget.value)} onKeyDown=${key} />
      <button type="button" class="btn btn-quiet btn-s btn-icon" aria-label="Search language" aria-expanded=${helpOpen.value} aria-controls="q-help" onClick=${() => { helpOpen.value = !helpOpen.value; }}><${Icon} id="help" /></button>
      <kbd class="wide-only" aria-hidden="true">/</kbd></div>
    ${error && html`<${Problem} error=${error} />`}
    ${helpOpen.value && !error && html`<${Examples} take=${(v) => { helpOpen.value = false; clearTimeout(timer.current); setText(v); input.current.focus(); }} />`}
  </form>`;
}

function Chip({ chip, bad, edit }) {
  const { not, field, value } = describeChip(chip);
  return html`<span class=${`chip ${bad ? 'is-bad' : ''}`} data-testid="chip" data-chip=${chip}>
    <button type="button" class="chip-text" title="Edit this filter" onClick=${() => edit(chip)}>${not && html`<span class="op">not </span>`}${field && html`<b>${field}:</b>`}${value}</button>
    <button type="button" class="chip-x" aria-label=${`Remove filter ${chip}`} onClick=${() => removeChip(chip)}><${Icon} id="x" size="xs" /></button></span>`;
}

/** Says what is wrong and marks the character it is wrong at. */
function Problem({ error }) {
  const [before, at, after] = [error.source.slice(0, error.offset), error.source.slice(error.offset, error.offset + 1), error.source.slice(error.offset + 1)];
  return html`<div class="q-pop q-error" id="query-error" role="alert" data-testid="query-error">
    <${Icon} id="warn" size="s" /><div><p>${error.placed && html`<b>${error.index >= 0 ? `Filter ${error.index + 1}, position` : 'Position'} ${error.offset + 1}: </b>`}${error.message}</p>
    ${error.placed && html`<code class="mono">${before}<mark>${at || '\u00a0'}</mark>${after}</code>`}
    ${result.value && html`<p class="subtle">The rows below are those of the last search that could be read.</p>`}</div></div>`;
}

const EXAMPLES = [
  ['sev:high', 'severity: high, medium, low'], ['type:dns,http', 'one of several values'], ['-class:suspicious', 'a leading minus excludes'],
  ['src:10.0.0.0/8', 'network, part of an address, or 10.20.*'], ['dst:8.8.8.8', 'destination'], ['port:443,8080', 'service ports; 1000-2000, >1024'],
  ['count:>=100', 'number of events'], ['trail:*.ru', 'trail, with * for anything'], ['dir:out', 'in: request to a service; out: reply of one'],
  ['info:"cobalt strike"', 'quotes keep words together'], ['sev:high,med OR type:http', 'OR joins; a space means AND'], ['NOT type:dns', 'the same as -type:dns'],
  ['(sev:high OR sev:med) type:http', 'parentheses group'],
];

function Examples({ take }) {
  return html`<div class="q-pop q-help" id="q-help" role="region" aria-label="Search language">
    <p class="subtle">Words match anything in a row. A field narrows it:</p>
    <ul>${EXAMPLES.map(([code, text]) => html`<li key=${code}><button type="button" class="opt" onClick=${() => take(code)}><code>${code}</code><span>${text}</span></button></li>`)}</ul>
    <p class="subtle q-foot"><span><kbd>Enter</kbd> makes a chip</span><span><kbd>Backspace</kbd> edits the last one</span><span><kbd>Esc</kbd> clears</span></p></div>`;
}

