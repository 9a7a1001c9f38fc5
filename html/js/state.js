// What the threat page shows, and the named actions that change it.
//
// `view` mirrors the address bar and is the only input; `result` is the last good answer and stays
// on the screen while a new one loads or a query is refused. Bound: one page of rows, one detail.

import { signal, computed, batch, untracked } from './ui.js';
import { parseView, formatView, filterKey, rowsKey, isFiltered, firstDir } from './view.js';
import { composeQuery, locate, unitOffset, withChip, withoutChip } from './query.js';
import { replaceRows, newSince } from './rows.js';
import { api } from './api.js';
import { session, recheck, serverNow, zone } from './session.js';
import { dayOf } from './format.js';

export const view = signal(parseView(location.search));
export const result = signal(null);
export const facets = signal(null);
export const histogram = signal(null);
/** idle | loading | ready | error */
export const status = signal('idle');
export const failure = signal(null);
/** `{message, index, offset, source}` of a refused query. */
export const queryError = signal(null);
export const fresh = signal(0);
/** Said to screen readers after a load the reader asked for; live changes stay silent here. */
export const spoken = signal('');
export const flash = signal(new Set());
export const days = signal([]);
export const selected = signal('');

export const today = computed(() => (session.value ? session.value.day : ''));
export const shownDay = computed(() => view.value.day || today.value);
export const rows = computed(() => (result.value ? result.value.threats : []));
export const pages = computed(() => (result.value ? Math.max(1, Math.ceil(result.value.total / view.value.size)) : 1));
export const composed = computed(() => composeQuery(view.value.chips, view.value.text));
/** Server parameters that choose the set, shared by list and stream. */
const setKey = computed(() => JSON.stringify({ day: shownDay.value, q: composed.value.q, sev: view.value.sev.join(','), hidden: view.value.hidden }));
export const setParams = computed(() => JSON.parse(setKey.value));

let running = null;
let loadedFilter = '';
let loadedTotal = 0;

/** Changes the view; `replace` for what Back should not step through. */
export function navigate(patch, { replace = false } = {}) {
  const next = { ...view.value, ...patch };
  const url = `/${formatView(next)}`;
  if (url !== location.pathname + location.search) history[replace ? 'replaceState' : 'pushState'](null, '', url);
  view.value = next;
}

addEventListener('popstate', () => { view.value = parseView(location.search); });

export const addChip = (chip) => navigate({ chips: withChip(view.value.chips, chip), page: 1 });
export const removeChip = (chip) => navigate({ chips: withoutChip(view.value.chips, chip), page: 1 });
export const clearFilters = () => navigate({ chips: [], text: '', sev: [], hidden: '', page: 1 });
export const setText = (text) => navigate({ text, page: 1 }, { replace: true });
export const setPage = (page) => navigate({ page: Math.min(Math.max(1, page), pages.value) });
export const setSize = (size) => navigate({ size, page: 1 });
export const openThreat = (id) => navigate({ open: id }, { replace: Boolean(view.value.open) });
export const closeThreat = () => navigate({ open: '' });
export const linkTo = (patch) => `/${formatView({ ...view.value, ...patch })}`;

export function setDay(day) {
  navigate({ day: day === today.value ? '' : day, page: 1, open: '' });
}

export function toggleSeverity(name) {
  const sev = view.value.sev.includes(name) ? view.value.sev.filter((s) => s !== name) : [...view.value.sev, name];
  navigate({ sev: sev.length === 3 ? [] : sev, page: 1 });
}

export function sortBy(key) {
  const { sort, dir } = view.value;
  const next = sort === key ? (dir === 'asc' ? 'desc' : 'asc') : firstDir(key);
  navigate({ sort: key, dir: next, page: 1 });
}

/** Loads the rows for the view. `quiet` keeps the screen calm (live refresh). */
export async function load({ quiet = false, mark = false } = {}) {
  const v = untracked(() => view.value);
  const key = filterKey(v) + untracked(() => shownDay.value);
  const wantsSides = quiet || key !== loadedFilter || !facets.value;
  if (running) running.abort();
  const abort = new AbortController();
  running = abort;
  if (!quiet) status.value = 'loading';
  const before = new Set(rows.peek().map((t) => t.id));
  try {
    const answer = await api.threats({
      ...setParams.peek(), sort: v.sort, dir: v.dir, limit: v.size, offset: (v.page - 1) * v.size,
      include: wantsSides ? 'facets,histogram' : '',
    }, abort.signal);
    if (running !== abort) return;
    accept(answer, key, mark ? before : null);
    if (!quiet) spoken.value = answer.total === 1 ? '1 threat' : `${answer.total} threats`;
  } catch (error) {
    if (error.name === 'AbortError' || running !== abort) return;
    await refuse(error);
  }
}

function accept(answer, key, before) {
  running = null;
  loadedFilter = key;
  loadedTotal = answer.total;
  batch(() => {
    result.value = answer;
    if (answer.facets) facets.value = answer.facets;
    if (answer.histogram) histogram.value = answer.histogram;
    status.value = 'ready';
    failure.value = null;
    queryError.value = null;
    fresh.value = 0;
    flash.value = new Set(before ? answer.threats.map((t) => t.id).filter((id) => !before.has(id)) : []);
  });
  if (!answer.threats.length && answer.total > 0 && view.value.page > pages.value) navigate({ page: pages.value }, { replace: true });
}

async function refuse(error) {
  running = null;
  if (await recheck(error)) return;
  batch(() => {
    status.value = error.code === 'query' && result.value ? 'ready' : 'error';
    if (error.code === 'query') {
      queryError.value = placeError(error);
      failure.value = result.value ? null : error;
    } else {
      failure.value = error;
    }
  });
}

function placeError(error) {
  const { q, parts } = composed.peek();
  const at = locate(parts, unitOffset(q, error.position ?? 0));
  const source = at.index < 0 ? view.peek().text : view.peek().chips[at.index] || '';
  return { message: error.message, index: at.index, offset: at.offset, source, placed: error.position !== null };
}

/** Changes one row on the screen; the stream brings the server's own form of it. */
export function patchThreat(id, patch) {
  const known = result.peek();
  const row = known?.threats.find((t) => t.id === id);
  if (row) result.value = { ...known, threats: replaceRows(known.threats, [{ ...row, ...patch }]) };
}

/** Chart, facets and distinct counts only; the rows on the screen stay as they are. */
export async function loadSides() {
  if (running) return;
  const params = setParams.peek();
  try {
    const answer = await api.threats({ ...params, limit: 1, include: 'facets,histogram' });
    if (running || params !== setParams.peek() || !result.value) return;
    batch(() => {
      facets.value = answer.facets;
      histogram.value = answer.histogram;
      const { sources, trails, all } = answer;
      result.value = { ...result.value, sources, trails, all };
    });
  } catch { /* the stream reports trouble; the next change asks again */ }
}

/** Applies live changes: visible rows in place, totals at once, new rows only counted (`announce`). */
export function applyChanges({ threats, removed, last }, announce) {
  const current = result.peek();
  if (!current) return;
  batch(() => {
    const next = { ...current, threats: replaceRows(current.threats, threats) };
    if (removed.length) next.threats = next.threats.filter((t) => !removed.includes(t.id));
    if (last) {
      const grown = last.total - current.total;
      const events = last.events - current.events;
      Object.assign(next, { total: last.total, events: last.events, severity: last.severity || current.severity, generation: last.generation });
      next.all = { threats: current.all.threats + Math.max(0, grown), events: current.all.events + Math.max(0, events) };
    }
    result.value = next;
    if (announce) announceFresh();
  });
}

/** Says how many threats came since the rows were loaded. */
export function announceFresh() {
  fresh.value = result.value ? newSince(loadedTotal, result.value.total) : 0;
}

/** Shows what came in: first page, newest order of the current sort. */
export function showFresh() {
  if (view.value.page !== 1) navigate({ page: 1 });
  load({ quiet: true, mark: true });
}

/** Drops everything of the last session. */
export function forget() {
  if (running) running.abort();
  running = null;
  loadedFilter = '';
  batch(() => {
    result.value = null;
    facets.value = null;
    histogram.value = null;
    status.value = 'idle';
    failure.value = null;
    queryError.value = null;
    fresh.value = 0;
    days.value = [];
  });
}

export async function loadDays() {
  try {
    const answer = await api.days();
    days.value = answer.days.filter((d) => d.events > 0).sort((a, b) => (a.day < b.day ? -1 : 1));
  } catch { /* the picker works without it, day by day */ }
}

/** True when the server's calendar day has moved on. */
export const dayHasTurned = () => Boolean(session.value) && dayOf(serverNow(), zone.value) !== session.value.day;

export { isFiltered, rowsKey };
