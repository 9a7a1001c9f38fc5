import { test, same } from './harness.js';
import { around } from '../../html/js/pager.js';
import { neighbours } from '../../html/js/daypicker.js';
import { end } from '../../html/js/detail-parts.js';

test('paging: first, last and the neighbours, gaps between', () => {
  same(around(1, 1), [1]);
  same(around(1, 4), [1, 2, 0, 4]);
  same(around(5, 9), [1, 0, 4, 5, 6, 0, 9]);
  same(around(2, 3), [1, 2, 3]);
});

test('paging: earlier and later day skip days without events', () => {
  const list = [{ day: '2026-11-18' }, { day: '2026-11-20' }];
  same(neighbours(list, '2026-11-24', '2026-11-24'), ['2026-11-20', '']);
  same(neighbours(list, '2026-11-20', '2026-11-24'), ['2026-11-18', '2026-11-24'], 'today is always reachable');
  same(neighbours(list, '2026-11-18', '2026-11-24'), ['', '2026-11-20']);
  same(neighbours([], '2026-11-01', '2026-11-24'), ['2026-10-31', '2026-11-02'], 'without a list day by day');
});

test('paging: an end of a flow is written unambiguously', () => {
  same(end('10.0.0.5', 53), '10.0.0.5:53');
  same(end('2001:db8::1', '443'), '[2001:db8::1]:443');
  same([end('10.0.0.5', '-'), end('10.0.0.5', ''), end('10.0.0.5', null)], ['10.0.0.5', '10.0.0.5', '10.0.0.5']);
});
