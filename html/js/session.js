// Who is signed in, and what the server's clock says.
//
// States as the server names them: open, anonymous, login, change. `offer` is local: the run mode
// that may keep the shipped password still proposes to change it, once, right after signing in.

import { signal, computed, batch } from './ui.js';
import { api } from './api.js';

export const session = signal(null);
export const sessionError = signal('');
/** Show the proposal to change the shipped password although the session is open. */
export const offer = signal(false);
/** The password of this sign-in, kept in memory only until the forced change is done. */
let typed = '';
let skew = 0;

export const zone = computed(() => (session.value ? session.value.zone_minutes || 0 : 0));
/** Milliseconds of the server's clock. */
export const serverNow = () => Date.now() + skew;
/** Ticks so that ages stay true. */
export const now = signal(Date.now());
export const knownPassword = () => typed;

export function startClock() {
  setInterval(() => { if (!document.hidden) now.value = serverNow(); }, 5000);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) now.value = serverNow(); });
}

function accept(fresh) {
  const time = Date.parse(fresh.time);
  if (Number.isFinite(time)) skew = time - Date.now();
  batch(() => {
    session.value = fresh;
    sessionError.value = '';
    now.value = serverNow();
  });
}

export async function loadSession() {
  try {
    accept(await api.session());
  } catch (error) {
    if (session.value) throw error;
    sessionError.value = error.message;
  }
}

export async function signIn(username, password) {
  const fresh = await api.login(username, password);
  typed = fresh.state === 'change' || (fresh.keep_default && fresh.shipped_account) ? password : '';
  batch(() => {
    offer.value = fresh.state === 'open' && Boolean(fresh.keep_default && fresh.shipped_account);
    accept(fresh);
  });
}

export async function changePassword(body) {
  const fresh = await api.password(body);
  typed = '';
  batch(() => { offer.value = false; accept(fresh); });
}

export function keepPassword() {
  typed = '';
  offer.value = false;
}

export async function signOut() {
  await api.logout();
  typed = '';
  await loadSession();
}

/** An answer said that the session has ended or must change: ask again what it is now. */
export async function recheck(error) {
  if (error.status !== 401 && error.code !== 'must_change') return false;
  try { await loadSession(); } catch { return false; }
  return !isInside();
}

export const isInside = () => Boolean(session.value) && (session.value.state === 'open' || session.value.state === 'anonymous');
