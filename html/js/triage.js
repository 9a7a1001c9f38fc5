// What people decide about a threat: status, assignee, tags, hidden, and the thread of notes.
//
// Everything is kept by the server and shared; a change comes back as a row by the live stream, and at once as
// the answer of our own request. Readers without the right to change see the same, without the controls.

import { html, useEffect, useState, signal } from './ui.js';
import { Icon } from './icon.js';
import { moment, plural } from './format.js';
import { makeChip } from './query.js';
import { api } from './api.js';
import { session, zone, recheck } from './session.js';
import { rows, shownDay, addChip, patchThreat, load, view } from './state.js';

export const STATUS = { new: 'New', investigating: 'Investigating', resolved: 'Resolved', false_positive: 'False positive' };
const MARK = { new: 'st-new', investigating: 'st-inv', resolved: 'st-res', false_positive: 'st-fp' };
/** Limits of the server, so that a field can say so before it is sent. */
const TAG_CHARS = 24;
const NOTE_CHARS = 4000;

/** `{id, message}` of a change that was refused. */
export const triageError = signal(null);

export const mayTriage = () => session.value?.state === 'open' && (session.value.role === 'analyst' || session.value.role === 'admin');

export function StatusMark({ status, quiet = false }) {
  const known = STATUS[status] ? status : 'new';
  return html`<span class=${`status status-${MARK[known].slice(3)} ${quiet ? 'is-quiet' : ''}`}><svg viewBox="0 0 14 14" aria-hidden="true"><use href=${`#${MARK[known]}`} /></svg><span class="word">${STATUS[known]}</span></span>`;
}

/** Two letters for an account. */
export const initials = (name) => {
  const parts = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = parts.length > 1 ? parts[0].slice(0, 1) + parts[1].slice(0, 1) : name.slice(0, 2);
  return letters.toUpperCase();
};

/** Sends a change for one threat; the row shows it at once. */
export async function decide(threat, change) {
  triageError.value = null;
  try {
    await api.triage({ day: shownDay.value, ids: [threat.id], ...change });
    patchThreat(threat.id, applied(threat, change));
    if ('hidden' in change) load({ quiet: true });
  } catch (error) {
    if (await recheck(error)) return;
    triageError.value = { id: threat.id, message: error.message };
  }
}

/** What the change makes of the row, until the server says it itself. */
function applied(threat, change) {
  const patch = {};
  for (const part of ['status', 'assignee', 'hidden']) if (part in change) patch[part] = change[part];
  if (change.add_tags || change.remove_tags) {
    const gone = change.remove_tags || [];
    patch.tags = [...new Set([...threat.tags, ...(change.add_tags || []).map((t) => t.trim().toLowerCase())])].filter((t) => !gone.includes(t)).sort();
  }
  return patch;
}

/** By a key: the open threat, else the selected row. */
export function decideAt(id, change) {
  const threat = rows.value.find((t) => t.id === id);
  if (threat && mayTriage()) decide(threat, change);
}

export function TriageBar({ threat }) {
  if (!mayTriage()) {
    return html`<div class="triage"><${StatusMark} status=${threat.status} />${threat.assignee && html`<span class="muted">assigned to ${threat.assignee}</span>`}
      ${threat.tags.map((tag) => html`<${Tag} key=${tag} tag=${tag} />`)}</div>`;
  }
  const failed = triageError.value?.id === threat.id ? triageError.value.message : '';
  return html`<div class="triage"><div class="btn-group" role="group" aria-label="Status">
      ${Object.keys(STATUS).map((status) => html`<button key=${status} type="button" class="btn" data-testid=${`status-${status}`} aria-pressed=${threat.status === status}
        onClick=${() => decide(threat, { status })}><svg class="i i-s" viewBox="0 0 14 14" aria-hidden="true"><use href=${`#${MARK[status]}`} /></svg>${STATUS[status]}</button>`)}</div>
    <${Assignee} threat=${threat} />
    <button type="button" class="btn btn-quiet" data-testid="hide" aria-pressed=${threat.hidden} title=${threat.hidden ? 'Show it in the list again' : 'Take it out of the list, for everybody'}
      onClick=${() => decide(threat, { hidden: !threat.hidden })}>${threat.hidden ? 'Show again' : 'Hide'}</button>
    <${Tags} threat=${threat} />
    ${failed && html`<p class="error triage-error" role="alert"><${Icon} id="warn" size="s" /><span>${failed}</span></p>`}</div>`;
}

const people = signal(null);

function Assignee({ threat }) {
  useEffect(() => {
    if (!people.value) api.assignees().then((a) => { people.value = a.assignees; }, () => { people.value = null; });
  }, []);
  const names = [...new Set([...(people.value || []), threat.assignee].filter(Boolean))];
  return html`<label class="row row-tight"><span class="sr">Assigned to</span><select class="select select-m" data-testid="assignee" value=${threat.assignee}
    onChange=${(e) => decide(threat, { assignee: e.currentTarget.value })}><option value="">Nobody</option>
    ${names.map((name) => html`<option key=${name} value=${name}>${name === session.value.user ? `${name} (me)` : name}</option>`)}</select></label>`;
}

/** A tag filters the list; with `remove` it can be taken off. */
export function Tag({ tag, remove }) {
  const chip = makeChip('tag', tag);
  return html`<span class="tag"><button type="button" class="tag-text" title=${`Only tag ${tag}. Alt-click excludes.`} onClick=${(e) => addChip(e.altKey ? `-${chip}` : chip)}>${tag}</button>
    ${remove && html`<button type="button" class="tag-x" aria-label=${`Remove tag ${tag}`} onClick=${() => remove(tag)}><${Icon} id="x" size="xs" /></button>`}</span>`;
}

function Tags({ threat }) {
  const [text, setText] = useState('');
  const add = (e) => {
    e.preventDefault();
    const tags = text.split(',').map((t) => t.trim()).filter(Boolean);
    if (!tags.length) return;
    setText('');
    decide(threat, { add_tags: tags });
  };
  return html`<form class="tags" onSubmit=${add}>${threat.tags.map((tag) => html`<${Tag} key=${tag} tag=${tag} remove=${(t) => decide(threat, { remove_tags: [t] })} />`)}
    <input class="input input-s" data-testid="tag-input" aria-label="Add a tag" placeholder="Add a tag" maxlength=${TAG_CHARS * 4} value=${text} onInput=${(e) => setText(e.currentTarget.value)} /></form>`;
}

/** The thread; loaded with the threat and again when its number of notes changes. */
export function Notes({ threat }) {
  const [notes, setNotes] = useState(null);
  const [text, setText] = useState('');
  const [error, setError] = useState('');
  const day = shownDay.value;
  const id = threat.id;
  const reload = () => api.notes(id, day).then((a) => { setNotes(a.notes); setError(''); }, (e) => setError(e.message));
  useEffect(() => { setNotes(null); setText(''); }, [id]);
  useEffect(() => { if (threat.notes > 0 || notes) reload(); }, [id, threat.notes]);
  const act = async (work) => {
    try { await work(); await reload(); return true; } catch (e) { if (!(await recheck(e))) setError(e.message); return false; }
  };
  const add = async (e) => {
    e?.preventDefault();
    if (text.trim() && await act(() => api.addNote(id, day, text))) setText('');
  };
  const writes = mayTriage();
  if (!writes && !threat.notes) return null;
  return html`<section class="sec" aria-label="Notes"><div class="sec-head"><h3>Notes</h3>${threat.notes > 0 && html`<span class="subtle">${plural(threat.notes, 'note')}</span>`}</div><div class="notes">
    ${(notes || []).map((note) => html`<${Note} key=${note.id} note=${note} act=${act} />`)}
    ${writes && html`<form class="field" onSubmit=${add}><textarea class="area" rows="2" data-testid="note-input" aria-label="Add a note" placeholder="Add a note. Everybody who sees this threat can read it." maxlength=${NOTE_CHARS}
      value=${text} onInput=${(e) => setText(e.currentTarget.value)} onKeyDown=${(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) add(e); }}></textarea>
      ${text.trim() && html`<div class="row"><button type="submit" class="btn btn-primary btn-s" data-testid="note-add">Add note</button><span class="hint"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div>`}</form>`}
    ${error && html`<p class="error" role="alert"><${Icon} id="warn" size="s" /><span>${error}</span></p>`}</div></section>`;
}

function Note({ note, act }) {
  const own = mayTriage() && (note.author === session.value.user || session.value.role === 'admin');
  const [sure, setSure] = useState(false);
  return html`<article class="note" data-testid="note"><span class="who" aria-hidden="true">${initials(note.author)}</span>
    <header><b>${note.author}</b><time datetime=${note.at}>${moment(note.at, zone.value)}</time>${note.edited && html`<span class="subtle">edited</span>`}
      ${own && html`<button type="button" class="linkbtn push" onBlur=${() => setSure(false)} onClick=${() => (sure ? act(() => api.deleteNote(note.id)) : setSure(true))}>${sure ? 'Really delete?' : 'Delete'}</button>`}</header>
    <p>${note.text}</p></article>`;
}

/** The status cell of a row. */
export function StatusCell({ threat }) {
  const first = threat.tags.slice(0, 1);
  const more = threat.tags.length - first.length;
  return html`<div class="two"><${StatusMark} status=${threat.status} quiet=${threat.status === 'new'} />
    <span class="sub">${threat.assignee && html`<abbr class="who" title=${`Assigned to ${threat.assignee}`}>${initials(threat.assignee)}</abbr>`}
      ${first.map((tag) => html`<span key=${tag} class="tag clip">${tag}</span>`)}${more > 0 && html`<span class="subtle" title=${threat.tags.join(', ')}>+${more}</span>`}</span></div>`;
}

/** What the keys of the list do with a threat. */
export const KEY_STATUS = { e: 'resolved', i: 'investigating', f: 'false_positive' };
export const openOrSelected = (selected) => view.value.open || selected;
