// Icons from the sprite, and the severity mark: full, half, empty diamond with its word.
//
// The sprite is put into the page once, so that the mark for "offline" is there when the server is not.

import { html } from './ui.js';
import { severityWord } from './format.js';

export function Icon({ id, size = '' }) {
  return html`<svg class=${`i ${size && `i-${size}`}`} aria-hidden="true"><use href=${`#${id}`} /></svg>`;
}

export function Mark({ severity }) {
  return html`<svg viewBox="0 0 12 12" aria-hidden="true"><use href=${`#sev-${known(severity)}`} /></svg>`;
}

export function Severity({ severity, children }) {
  return html`<span class=${`sev sev-${known(severity)}`}><${Mark} severity=${severity} /><span class="word">${children || severityWord(severity)}</span></span>`;
}

/** Fetches the sprite of our own origin into the page; without it the words still stand. */
export async function loadSprite() {
  try {
    const text = await (await fetch('/icons.svg')).text();
    const sprite = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
    if (sprite.nodeName !== 'svg') return;
    sprite.setAttribute('class', 'sr');
    sprite.setAttribute('aria-hidden', 'true');
    document.body.append(document.importNode(sprite, true));
  } catch { /* see above */ }
}

const known = (severity) => (severity === 'high' || severity === 'low' ? severity : 'medium');
