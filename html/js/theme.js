// Theme and text size of this browser. `theme-boot.js` applies them before the first paint.

import { signal } from './ui.js';

export const SCALES = [90, 100, 110, 125, 140];
const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');

export const theme = signal(root.dataset.theme || (system.matches ? 'dark' : 'light'));
export const scale = signal(Number(root.dataset.scale || 1));

system.addEventListener('change', () => {
  if (!root.dataset.theme) theme.value = system.matches ? 'dark' : 'light';
});

export function toggleTheme() {
  theme.value = theme.value === 'dark' ? 'light' : 'dark';
  root.dataset.theme = theme.value;
  remember('mt_theme', theme.value);
}

export function nextScale() {
  scale.value = (scale.value + 1) % SCALES.length;
  root.dataset.scale = String(scale.value);
  remember('mt_scale', String(scale.value));
}

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* storage is off: the choice holds for this page */ }
}
