// The gate: sign in, and set a new password when the shipped one was used.

import { html, useEffect, useRef, useState } from './ui.js';
import { Icon } from './icon.js';
import { Brand } from './rail.js';
import { session, signIn, changePassword, keepPassword, knownPassword, offer, signOut } from './session.js';

const MIN_LENGTH = 8;

function Gate({ children }) {
  const secure = location.protocol === 'https:';
  return html`<div class="gate"><main id="main"><${Brand} />${children}</main>
    <footer><span>Maltrail ${session.value.version}</span><span>${location.host}</span>${secure && html`<span>encrypted</span>`}</footer></div>`;
}

function ErrorLine({ id, text, testid }) {
  return html`<p class="error" id=${id} role="alert" data-testid=${testid}>${text && html`<${Icon} id="warn" size="s" />`}<span>${text}</span></p>`;
}

/** Seconds that are left of a wait the server asked for. */
function useWait(done) {
  const [until, setUntil] = useState(0);
  const [, tick] = useState(0);
  useEffect(() => {
    if (!until) return undefined;
    const timer = setInterval(() => { if (Date.now() >= until) { setUntil(0); done(); } else tick((n) => n + 1); }, 500);
    return () => clearInterval(timer);
  }, [until]);
  return [Math.max(0, Math.ceil((until - Date.now()) / 1000)), (seconds) => setUntil(Date.now() + seconds * 1000)];
}

export function Login() {
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const [wait, startWait] = useWait(() => setError(''));
  const name = useRef(null);
  const pass = useRef(null);
  useEffect(() => { document.title = 'Maltrail · Sign in'; name.current.focus(); }, []);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || wait) return;
    if (!name.current.value.trim() || !pass.current.value) {
      setError('Enter a user name and a password.');
      (name.current.value.trim() ? pass : name).current.focus();
      return;
    }
    setBusy(true);
    setError('');
    try {
      await signIn(name.current.value.trim(), pass.current.value);
    } catch (cause) {
      setError(cause.message);
      if (cause.code === 'wait') startWait(cause.retryAfter || 5);
      else if (cause.code === 'denied') { pass.current.value = ''; pass.current.focus(); }
      setBusy(false);
    }
  };
  const text = wait ? `Too many attempts. Try again in ${wait} s.` : error;
  const described = text ? 'login-error' : undefined;
  return html`<${Gate}><form class="panel" aria-labelledby="gate-title" data-testid="login-form" onSubmit=${submit} novalidate><h1 id="gate-title">Sign in</h1>
    <div class="field"><label for="user">User name</label><input class="input input-l" id="user" ref=${name} data-testid="login-username" autocomplete="username" autocapitalize="off" spellcheck="false" aria-describedby=${described} /></div>
    <div class="field"><label for="pass">Password</label><input class="input input-l" id="pass" ref=${pass} type="password" data-testid="login-password" autocomplete="current-password" aria-invalid=${error ? 'true' : undefined} aria-describedby=${described} />
      <${ErrorLine} id="login-error" testid="login-error" text=${text} /></div>
    <button class="btn btn-primary" type="submit" data-testid="login-submit" aria-disabled=${busy || wait > 0}>${busy ? 'Signing in…' : 'Sign in'}</button>
    ${session.value.shipped_account && html`<p class="hint-line">First start? Sign in as <span class="mono">admin</span> with password <span class="mono">admin</span>. You then set your own.</p>`}</form><//>`;
}

function Check({ done, children }) {
  return html`<li class=${done ? 'good' : ''}><${Icon} id=${done ? 'check' : 'todo'} size="xs" />${children}<span class="sr">${done ? ', done' : ', missing'}</span></li>`;
}

export function Change() {
  const s = session.value;
  const optional = offer.value;
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [asks] = useState(!knownPassword());
  const current = useRef(null);
  const code = useRef(null);
  const first = useRef(null);
  useEffect(() => { document.title = 'Maltrail · Set a new password'; first.current.focus(); }, []);
  const old = () => (asks ? current.current.value : knownPassword());
  const long = [...next].length >= MIN_LENGTH;
  const own = next !== '' && next !== s.user && next !== (asks ? current.current?.value : knownPassword());
  const same = next !== '' && next === again;
  const submit = async (e) => {
    e.preventDefault();
    if (busy) return;
    if (!long || !own || !same) { setError({ text: !long ? `Use ${MIN_LENGTH} characters or more.` : !own ? 'Choose one that is neither the old password nor the user name.' : 'The two fields differ. Type the new password again.' }); return; }
    setBusy(true);
    setError(null);
    try {
      const body = { current: old(), new: next };
      if (s.code_required) body.code = code.current.value.trim();
      await changePassword(body);
    } catch (cause) {
      setError({ text: cause.message, code: cause.code });
      if (cause.code === 'code') code.current?.focus();
      setBusy(false);
    }
  };
  return html`<${Gate}><form class="panel" aria-labelledby="gate-title" data-testid="change-form" onSubmit=${submit} novalidate>
    <div class="stack-s"><p class="step">One time only</p><h1 id="gate-title">Set a new password</h1></div>
    <p class="muted">You came in with the password that everyone knows. ${optional ? 'Set your own before others can reach this machine.' : 'Nothing else opens until it is changed.'}</p>
    <input class="sr" type="text" autocomplete="username" value=${s.user} tabindex="-1" aria-hidden="true" readonly />
    ${asks && html`<div class="field"><label for="cur">Current password</label><input class="input input-l" id="cur" ref=${current} type="password" data-testid="change-current" autocomplete="current-password" /></div>`}
    <div class="field"><label for="n1">New password</label><input class="input input-l" id="n1" ref=${first} type="password" data-testid="change-new" autocomplete="new-password" value=${next} aria-describedby="checks" onInput=${(e) => setNext(e.currentTarget.value)} />
      <ul class="checks" id="checks"><${Check} done=${long}>${MIN_LENGTH} characters or more<//><${Check} done=${own}>not the old one, not the user name<//><${Check} done=${same}>both fields are the same<//></ul></div>
    <div class="field"><label for="n2">Once more</label><input class="input input-l" id="n2" type="password" data-testid="change-repeat" autocomplete="new-password" value=${again} onInput=${(e) => setAgain(e.currentTarget.value)} /></div>
    ${s.code_required && html`<div class="field"><label for="code">One-time code</label><input class="input input-l mono" id="code" ref=${code} data-testid="change-code" autocomplete="one-time-code" inputmode="text" autocapitalize="off" spellcheck="false" aria-describedby="code-hint" aria-invalid=${error?.code === 'code' ? 'true' : undefined} />
      <span class="hint" id="code-hint">The server printed it when it started. It proves that this is your machine.</span></div>`}
    <${ErrorLine} id="change-error" testid="change-error" text=${error?.text || ''} />
    <button class="btn btn-primary" type="submit" data-testid="change-submit" aria-disabled=${busy}>${busy ? 'Saving…' : 'Save and go on'}</button>
    ${optional ? html`<button class="btn btn-quiet" type="button" data-testid="change-keep" onClick=${keepPassword}>Keep for now</button>` : html`<button class="btn btn-quiet" type="button" onClick=${() => signOut().catch((cause) => setError({ text: cause.message }))}>Sign out</button>`}</form><//>`;
}
