import { test, same } from './harness.js';
import * as f from '../../html/js/format.js';

const at = (text) => Date.parse(text);

test('format: thousands are apart from 10 000 on', () => {
  same([0, 742, 9999, 10000, 1234567, NaN].map(f.number), ['0', '742', '9999', '10\u202f000', '1\u202f234\u202f567', '0']);
});

test('format: a narrow column never cuts a count', () => {
  same([9999, 999999, 1000000, 12345678, 1000000000].map(f.compact), ['9999', '999\u202f999', '1M', '12.3M', '1000M']);
});

test('format: plural', () => {
  same(f.plural(1, 'threat'), '1 threat');
  same(f.plural(0, 'threat'), '0 threats');
  same(f.plural(2, 'address', 'addresses'), '2 addresses');
});

test('format: age has one unit and turns into a clock time after a day', () => {
  const t = '2026-11-24T09:00:00.500000Z';
  const after = (s) => f.age(t, at(t) + s * 1000, 60);
  same([0, 59, 60, 3599, 3600, 86399, 86400].map(after), ['0 s', '59 s', '1 min', '59 min', '1 h', '23 h', '10:00:00']);
  same(after(-30), '0 s', 'a clock that runs ahead');
  same(f.age('nonsense', at(t), 0), '');
});

test('format: the zone of the server counts, also over midnight and with half hours', () => {
  same(f.clock('2026-11-24T23:30:05Z', 60), '00:30:05');
  same(f.clock('2026-11-24T00:10:00Z', -210), '20:40:00');
  same(f.clockExact('2026-11-24T09:14:22.1170Z', 0), '09:14:22.117000');
  same(f.clockExact('2026-11-24T09:14:22Z', 0), '09:14:22');
  same(f.moment('2026-11-24T23:30:05Z', 60), '25 Nov 2026, 00:30:05');
  same(f.dayOf(at('2026-11-24T23:30:00Z'), 60), '2026-11-25');
  same([f.zoneName(0), f.zoneName(60), f.zoneName(-210)], ['UTC', 'UTC+1', 'UTC\u22123:30']);
});

test('format: days and spans', () => {
  same(f.dayName('2026-11-24'), 'Tue 24 Nov');
  same(f.dayName('2025-12-31', '2026-01-01'), 'Wed 31 Dec 2025');
  same(f.dayName('nonsense'), 'nonsense');
  same(f.span('2026-11-24T09:00:00Z', '2026-11-24T09:00:04Z'), '4 s');
  same(f.span('2026-11-24T09:00:00Z', '2026-11-24T15:13:00Z'), '6 h 13 min');
  same(f.span('2026-11-24T09:00:00Z', '2026-11-24T11:00:00Z'), '2 h');
  same(f.span('2026-11-24T09:00:00Z', '2026-11-24T08:00:00Z'), '0 s');
});

test('format: axis ticks are whole, 1-2-5, and cover the maximum', () => {
  for (const max of [0, 1, 2, 3, 7, 540, 9999, 123456]) {
    const list = f.ticks(max);
    same(list.every(Number.isInteger) && list[0] === 0 && list.at(-1) >= max && list.length <= 6 && list.length >= 2, true, `max ${max}: ${list}`);
  }
  same(f.ticks(540), [0, 500, 1000]);
  same([9999, 10000, 15500, 3000000].map(f.axis), ['9999', '10k', '15.5k', '3M']);
});

test('format: the class leaves the info text', () => {
  same(f.infoText({ info: 'lumma (malware)' }), 'lumma');
  same(f.infoText({ info: 'known attacker' }), 'known attacker');
  same(f.infoText({ info: '(malware)' }), '(malware)');
});
