import { test, same } from './harness.js';
import { parseView, formatView, isDay, addDays, firstDir, DEFAULTS, MAX_CHIPS, filterKey, rowsKey } from '../../html/js/view.js';

test('view: an empty query string is the default view', () => {
  same(parseView(''), DEFAULTS);
  same(formatView(parseView('')), '');
});

test('view: every part round-trips', () => {
  const v = { day: '2026-11-20', chips: ['type:dns,http', '-src:10.0.0.0/8', 'info:"a & b=c"'], text: 'x y+z%', sev: ['high', 'low'],
    sort: 'src', dir: 'desc', hidden: 'only', page: 3, size: 100, open: '0123456789abcdef' };
  same(parseView(formatView(v)), v);
});

test('view: a chip with a comma stays one chip', () => {
  same(parseView('?q=type%3Adns%2Chttp').chips, ['type:dns,http']);
});

test('view: nonsense falls back to defaults', () => {
  const v = parseView('?day=2026-02-30&sev=evil,HIGH&sort=__proto__&dir=up&page=-4&size=7&hidden=all&open=<script>');
  same([v.day, v.sev, v.sort, v.dir, v.hidden, v.page, v.size, v.open], ['', [], 'risk', 'desc', '', 1, 50, '']);
});

test('view: the number of chips is bounded and duplicates fold', () => {
  const many = Array.from({ length: 200 }, (_, i) => `q=chip${i}`).join('&');
  same(parseView(`?${many}`).chips.length, MAX_CHIPS);
  same(parseView('?q=a&q=a&q=+').chips, ['a']);
});

test('view: the first direction of a column is not written', () => {
  same(firstDir('src'), 'asc');
  same(firstDir('count'), 'desc');
  same(formatView({ ...DEFAULTS, sort: 'src', dir: 'asc' }), '?sort=src');
  same(formatView({ ...DEFAULTS, sort: 'src', dir: 'desc' }), '?sort=src&dir=desc');
});

test('view: the open threat changes neither the rows nor the filter', () => {
  const open = { ...DEFAULTS, open: '0123456789abcdef' };
  same(rowsKey(open) === rowsKey(DEFAULTS), true);
  same(filterKey({ ...DEFAULTS, page: 2 }) === filterKey(DEFAULTS), true);
  same(rowsKey({ ...DEFAULTS, page: 2 }) === rowsKey(DEFAULTS), false);
});

test('view: days exist or not', () => {
  same(['2024-02-29', '2026-02-29', '2026-13-01', '2026-1-1', ''].map(isDay), [true, false, false, false, false]);
  same(addDays('2026-03-01', -1), '2026-02-28');
  same(addDays('2026-12-31', 1), '2027-01-01');
});
