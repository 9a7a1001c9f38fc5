// Live changes: one event stream for the set on the screen.
//
// States: off (paused by the reader), joining, live, offline, delayed (the server answers but gives
// no stream: the page asks at each attempt instead). Messages are joined once per frame,
// so a burst costs one render per frame; a re-query (order, facets, chart) runs at most every
// 1.5 s. Reconnects back off from 1 s to 30 s and start again at once when the network returns.

import { signal, effect } from './ui.js';
import { api } from './api.js';
import { joinMessages } from './rows.js';
import { announceFresh, applyChanges, load, loadSides, result, setParams } from './state.js';
import { loadSession, isInside } from './session.js';

/** A new stream may take this long before the page stops saying "live". */
const HELLO_MS = 3000;
const REQUERY_MS = 1500;
const SIDES_MS = 6000;
const RETRY_MAX_S = 30;
/** Messages kept for one frame; a hidden tab gets no frames, so beyond this it re-queries. */
const QUEUE_MAX = 256;

export const live = signal('joining');
export const wanted = signal(true);
/** When the next attempt starts, in milliseconds of this browser. */
export const retryAt = signal(0);

let source = null;
let retry = 0;
let timer = 0;
let queue = [];
let overflow = false;
let frame = 0;
let lastQuery = 0;
let queryTimer = 0;
let queryDue = 0;
let mayReorder = () => false;

/** Starts; `reorder()` says whether new rows may be put in directly. */
export function startLive(reorder) {
  mayReorder = reorder;
  const stopEffect = effect(() => {
    const params = setParams.value;
    if (wanted.value) open(params); else close('off');
  });
  addEventListener('online', retryNow);
  addEventListener('offline', lost);
  document.addEventListener('visibilitychange', onVisible);
  addEventListener('pagehide', onLeave);
  addEventListener('pageshow', onReturn);
  return () => {
    stopEffect();
    close('off');
    removeEventListener('online', retryNow);
    removeEventListener('offline', lost);
    document.removeEventListener('visibilitychange', onVisible);
    removeEventListener('pagehide', onLeave);
    removeEventListener('pageshow', onReturn);
  };
}

export function toggleLive() {
  wanted.value = !wanted.value;
  if (wanted.value) load({ quiet: true });
}

export function retryNow() {
  if (wanted.value && live.value !== 'live') open(setParams.peek());
}

function open(params) {
  close(live.peek() === 'live' ? 'live' : 'joining');
  timer = setTimeout(() => { if (live.peek() === 'live') live.value = 'joining'; }, HELLO_MS);
  const mine = new EventSource(api.streamUrl(params));
  source = mine;
  mine.addEventListener('hello', (e) => {
    const again = retry > 0;
    clearTimeout(timer);
    retry = 0;
    retryAt.value = 0;
    live.value = 'live';
    const known = result.peek();
    const generation = parse(e.data).generation;
    if (again || (known && generation !== known.generation)) load({ quiet: true });
  });
  mine.addEventListener('upsert', (e) => push(parse(e.data)));
  mine.addEventListener('remove', (e) => push(parse(e.data)));
  mine.addEventListener('resync', () => load({ quiet: true }));
  mine.onerror = () => { if (source === mine) lost(); };
}

function close(state) {
  clearTimeout(timer);
  if (source) source.close();
  source = null;
  queue = [];
  live.value = state;
}

/** The stream broke: say so, ask whether the session still holds, try again later. */
function lost() {
  if (!wanted.peek()) return;
  close(live.peek() === 'delayed' ? 'delayed' : 'offline');
  retry += 1;
  const seconds = Math.min(RETRY_MAX_S, 2 ** (retry - 1)) * (0.85 + Math.random() * 0.3);
  retryAt.value = Date.now() + seconds * 1000;
  timer = setTimeout(async () => {
    try { await loadSession(); } catch { live.value = 'offline'; lost(); return; }
    if (!isInside() || !wanted.peek()) return;
    if (retry > 1) ask();
    open(setParams.peek());
    live.value = retry > 1 ? 'delayed' : 'offline';
  }, seconds * 1000);
}

/** One query in place of the stream: rows where they may move, else totals and chart only. */
function ask() {
  if (mayReorder()) load({ quiet: true, mark: true }); else loadSides();
}

function push(message) {
  if (queue.length >= QUEUE_MAX) { queue = []; overflow = true; }
  queue.push(message);
  if (!frame) frame = requestAnimationFrame(flush);
}

function flush() {
  frame = 0;
  const messages = queue;
  queue = [];
  if (!messages.length) return;
  const joined = joinMessages(messages);
  const known = result.peek();
  if (known && joined.last && joined.last.generation < known.generation) return;
  const reorder = mayReorder();
  applyChanges(joined, !reorder);
  scheduleQuery(reorder || overflow);
  overflow = false;
}

/** Order, facets and chart come from a query: soon when rows may move, else now and then. */
function scheduleQuery(reorder) {
  const due = Math.max(Date.now() + 150, lastQuery + (reorder ? REQUERY_MS : SIDES_MS));
  if (queryTimer && due >= queryDue) return;
  clearTimeout(queryTimer);
  queryDue = due;
  queryTimer = setTimeout(() => {
    queryTimer = 0;
    lastQuery = Date.now();
    if (mayReorder()) { load({ quiet: true, mark: true }); return; }
    announceFresh();
    loadSides();
  }, due - Date.now());
}

/** A page that the browser keeps for Back must not keep one of its six connections to the server. */
function onLeave() {
  close('off');
}

function onReturn(e) {
  if (!e.persisted || !wanted.peek()) return;
  open(setParams.peek());
  load({ quiet: true });
}

function onVisible() {
  if (document.hidden || !wanted.peek()) return;
  if (live.peek() === 'live') scheduleQuery(mayReorder());
  else retryNow();
}

function parse(text) {
  try { return JSON.parse(text); } catch { return {}; }
}
