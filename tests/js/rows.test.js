import { test, same } from './harness.js';
import { replaceRows, joinMessages, newSince } from '../../html/js/rows.js';

const t = (id, count = 1) => ({ id, count });

test('rows: changed rows are replaced in place, new ones are not inserted', () => {
  const rows = [t('a'), t('b'), t('c')];
  const next = replaceRows(rows, [t('b', 9), t('x')]);
  same(next, [t('a'), t('b', 9), t('c')]);
  same(next[0] === rows[0], true, 'untouched rows keep their identity');
  same(replaceRows(rows, [t('x')]) === rows, true, 'nothing visible changed');
});

test('rows: messages of one frame join, the last form wins', () => {
  const joined = joinMessages([
    { generation: 1, threats: [t('a', 1), t('b', 1)], total: 5 },
    { ids: ['b'] },
    { generation: 2, threats: [t('a', 2)], total: 6 },
  ]);
  same(joined.threats, [t('a', 2)]);
  same(joined.removed, ['b']);
  same(joined.last.total, 6);
});

test('rows: a threat that comes back after a remove stays', () => {
  same(joinMessages([{ ids: ['a'] }, { threats: [t('a')] }]).removed, []);
  same(joinMessages([{}, null].filter(Boolean)).threats, []);
});

test('rows: new threats are counted from exact totals', () => {
  same([newSince(10, 13), newSince(10, 10), newSince(10, 4)], [3, 0, 0]);
});
