// Start: ask who is signed in, then show the gate or the page, and keep the data in step.

import { html, render, effect, untracked } from './ui.js';
import { session, sessionError, offer, loadSession, startClock } from './session.js';
import { view, result, load, forget, loadDays, shownDay, rowsKey, isFiltered, dayHasTurned } from './state.js';
import { Login, Change } from './login.js';
import { Page } from './page.js';
import { Icon, loadSprite } from './icon.js';
import { number } from './format.js';
import './theme.js';

const DAY_CHECK_MS = 30_000;

function Root() {
  const s = session.value;
  if (!s) return sessionError.value ? html`<${Unreachable} />` : null;
  if (s.state === 'login') return html`<${Login} />`;
  if (s.state === 'change' || offer.value) return html`<${Change} />`;
  return html`<${Page} />`;
}

function Unreachable() {
  return html`<main class="gate"><div class="empty" role="alert" data-testid="empty-state" data-kind="offline"><${Icon} id="offline" /><h1>The server does not answer</h1>
    <p>${sessionError.value} Check that it is running, then try again.</p><button type="button" class="btn" onClick=${loadSession}>Try again</button></div></main>`;
}

const inside = () => session.value && (session.value.state === 'open' || session.value.state === 'anonymous') && !offer.value;

let lastRows = '';
effect(() => {
  if (!inside()) { lastRows = ''; untracked(forget); return; }
  const key = rowsKey(view.value) + shownDay.value;
  if (key === lastRows) return;
  lastRows = key;
  untracked(load);
});

let daysLoaded = false;
effect(() => {
  if (inside() && !daysLoaded) { daysLoaded = true; loadDays(); }
  if (!inside()) daysLoaded = false;
});

effect(() => {
  const r = result.value;
  if (!inside() || !r) return;
  document.title = `Maltrail · ${isFiltered(view.value) ? `${number(r.total)}/${number(r.all.threats)}` : `${number(r.total)} threats`}`;
});

setInterval(() => { if (inside() && dayHasTurned()) { daysLoaded = false; loadSession().catch(() => {}); } }, DAY_CHECK_MS);

startClock();
loadSprite();
render(html`<${Root} />`, document.getElementById('root'));
loadSession();
