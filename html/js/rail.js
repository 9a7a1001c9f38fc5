// The rail: the one page that exists, appearance, keys, and the account.

import { html } from './ui.js';
import { Icon } from './icon.js';
import { number } from './format.js';
import { printable } from './trail.js';
import { session, signOut } from './session.js';
import { theme, scale, SCALES, toggleTheme, nextScale } from './theme.js';
import { result, failure } from './state.js';
import { showKeys } from './keys.js';

export function Brand({ cls = '' }) {
  const logo = session.value?.logo;
  const name = logo ? logo.text : 'Maltrail';
  return html`<a class=${`brand ${cls}`} href="/">${logo?.image ? html`<img class="brand-image" src=${logo.image} alt=${name ? '' : 'Home'} />` : html`<svg viewBox="0 0 24 24" aria-hidden="true"><use href="#logo" /></svg>`}
    ${name && html`<span class="clip">${printable(name)}</span>`}</a>`;
}

export function Rail() {
  const s = session.value;
  const leave = async () => {
    try { await signOut(); } catch (error) { failure.value = error; }
  };
  return html`<nav class="rail" aria-label="Main"><${Brand} />
    <div class="nav-group"><a class="nav-item" href="/" aria-current="page"><${Icon} id="threats" /><span class="label">Threats</span>
      ${result.value && html`<span class="count">${number(result.value.all.threats)}</span>`}</a></div>
    <div class="rail-foot">
      <button type="button" class="nav-item" data-testid="theme-toggle" title=${theme.value === 'dark' ? 'Switch to the light theme' : 'Switch to the dark theme'} onClick=${toggleTheme}><${Icon} id="theme" /><span class="label">Theme</span> <span class="count">${theme.value === 'dark' ? 'dark' : 'light'}</span></button>
      <button type="button" class="nav-item" data-testid="text-size" title="Change the text size" onClick=${nextScale}><${Icon} id="text-size" /><span class="label">Text size</span> <span class="count">${SCALES[scale.value]} %</span></button>
      <button type="button" class="nav-item desk" data-testid="keys-button" onClick=${showKeys}><${Icon} id="keyboard" /><span class="label">Shortcuts</span><span class="count" aria-hidden="true"><kbd>?</kbd></span></button>
      ${s.user && html`<button type="button" class="nav-item" data-testid="sign-out" onClick=${leave} title=${`Signed in as ${s.user}, ${s.role}`}><${Icon} id="sign-out" /><span class="label">Sign out</span><span class="count clip">${s.user}</span></button>`}
      <div class="version">Maltrail ${s.version}</div></div></nav>`;
}
