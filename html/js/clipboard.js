// Copy buttons that say when they have copied.

import { html, useState } from './ui.js';
import { Icon } from './icon.js';

/** Works without a secure context, too: plain HTTP pages have no clipboard API. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'sr';
    const host = document.querySelector('dialog[open]') || document.body;
    host.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label, testid, icon = 'copy', cls = 'btn', iconOnly = false }) {
  const [state, setState] = useState('');
  const copy = async () => {
    setState((await copyText(typeof text === 'function' ? text() : text)) ? 'Copied' : 'Copying is blocked');
    setTimeout(() => setState(''), 1600);
  };
  return html`<button type="button" class=${cls} data-testid=${testid} aria-label=${iconOnly ? label : undefined} title=${iconOnly ? label : undefined} onClick=${copy}>
    <${Icon} id=${state === 'Copied' ? 'check' : icon} size="s" />${!iconOnly && (state || label)}<span class="sr" role="status">${state}</span></button>`;
}
