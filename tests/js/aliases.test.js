import { test, same } from './harness.js';
import { aliasOf, parse, setAliases } from '../../html/js/aliases.js';

test('aliases: addresses are numbers, whatever their spelling', () => {
  same(parse('::ffff:10.0.0.1') === parse('10.0.0.1'), true);
  same(parse('2001:DB8::1') === parse('2001:db8:0:0:0:0:0:1'), true);
  same(parse('::') === 0n, true);
  for (const bad of ['', 'host', '10.0.0.256', '10.0.0', '1::2::3', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7', '12345::', ':', '::g', '::1.2.3']) same([bad, parse(bad)], [bad, null]);
});

test('aliases: the closest name counts, and of equal ones the first', () => {
  setAliases([
    { address: '10.0.0.5', label: 'printer' },
    { address: '10.0.0.5', label: 'old name' },
    { address: '10.0.0.0/8', label: 'wide' },
    { address: '10.0.0.0/24', label: 'office' },
    { address: '10.0.0.8-10.0.0.11', label: 'desks' },
    { address: '2001:db8::/32', label: 'six' },
    { address: 'nonsense', label: 'x' },
    { address: '10.0.0.0/40', label: 'x' },
  ]);
  const names = ['10.0.0.5', '10.0.0.9', '10.0.0.7', '10.9.9.9', '11.0.0.1', '2001:db8:ffff::1', '2001:db9::', 'host'].map(aliasOf);
  same(names, ['printer', 'desks', 'office', 'wide', '', 'six', '', '']);
  setAliases([]);
  same(aliasOf('10.0.0.5'), '');
});
