// Icons from the sprite, and the severity mark: full, half, empty diamond with its word.

import { html } from './ui.js';
import { severityWord } from './format.js';

export function Icon({ id, size = '' }) {
  return html`<svg class=${`i ${size && `i-${size}`}`} aria-hidden="true"><use href=${`/icons.svg#${id}`} /></svg>`;
}

export function Mark({ severity }) {
  return html`<svg viewBox="0 0 12 12" aria-hidden="true"><use href=${`/icons.svg#sev-${known(severity)}`} /></svg>`;
}

export function Severity({ severity, children }) {
  return html`<span class=${`sev sev-${known(severity)}`}><${Mark} severity=${severity} /><span class="word">${children || severityWord(severity)}</span></span>`;
}

const known = (severity) => (severity === 'high' || severity === 'low' ? severity : 'medium');
