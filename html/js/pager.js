// Pages: where the reader is, how many rows, and the neighbours of the current page.

import { html } from './ui.js';
import { Icon } from './icon.js';
import { number } from './format.js';
import { SIZES } from './view.js';
import { result, view, pages, setPage, setSize, linkTo } from './state.js';

export function Pager() {
  if (!result.value || !result.value.total) return null;
  const { page, size } = view.value;
  const total = result.value.total;
  const from = total ? (page - 1) * size + 1 : 0;
  const go = (n) => (e) => {
    if (e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
    e.preventDefault();
    setPage(n);
  };
  return html`<nav class="pager" aria-label="Pages">
    <span data-testid="page-info">${number(from)}–${number(Math.min(page * size, total))} of ${number(total)}</span>
    <label class="push sizes row">Rows <select class="select select-s" value=${size} onChange=${(e) => setSize(Number(e.currentTarget.value))}>
      ${SIZES.map((n) => html`<option key=${n} value=${n} selected=${n === size}>${n}</option>`)}</select></label>
    <ol><li><button type="button" class="pagebtn" data-testid="page-prev" aria-label="Previous page" disabled=${page <= 1} onClick=${go(page - 1)}><${Icon} id="left" size="s" /></button></li>
      ${around(page, pages.value).map((n, i) => html`<li key=${n || `gap${i}`} class=${n ? '' : 'gap'}>${n ? html`<a href=${linkTo({ page: n })} aria-label=${`Page ${n}`} aria-current=${n === page ? 'page' : undefined} onClick=${go(n)}>${n}</a>` : html`<span aria-hidden="true">…</span>`}</li>`)}
      <li><button type="button" class="pagebtn" data-testid="page-next" aria-label="Next page" disabled=${page >= pages.value} onClick=${go(page + 1)}><${Icon} id="right" size="s" /></button></li></ol></nav>`;
}

/** First, last, and two on each side of `page`; 0 stands for a gap. */
export function around(page, last) {
  const list = [];
  for (let n = 1; n <= last; n += 1) {
    if (n === 1 || n === last || Math.abs(n - page) <= 1) list.push(n);
    else if (list[list.length - 1] !== 0) list.push(0);
  }
  return list;
}
