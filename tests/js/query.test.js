import { test, same } from './harness.js';
import { composeQuery, locate, unitOffset, describeChip, makeChip, withChip, withoutChip } from '../../html/js/query.js';

const q = (chips, text = '') => composeQuery(chips, text).q;

test('query: chips and text are joined by a space', () => {
  same(q([], ''), '');
  same(q(['type:dns', '-src:10.0.0.1'], 'evil'), 'type:dns -src:10.0.0.1 evil');
  same(q([], '  '), '');
});

test('query: a chip with OR keeps its meaning beside another one', () => {
  same(q(['sev:high OR type:dns', 'src:10.0.0.1']), '(sev:high OR type:dns) src:10.0.0.1');
  same(q(['sev:high || type:dns'], 'x'), '(sev:high || type:dns) x');
  same(q(['sev:high OR type:dns']), 'sev:high OR type:dns', 'alone it needs none');
});

test('query: OR inside quotes or inside a word is not an operator', () => {
  same(q(['info:"this or that"', 'a']), 'info:"this or that" a');
  same(q(['trail:tor.example', 'a']), 'trail:tor.example a');
});

test('query: an open quote of a chip does not swallow the next one', () => {
  same(q(['info:"cobalt', 'sev:high']), 'info:"cobalt" sev:high');
  same(q(['sev:high'], '"cobalt'), 'sev:high "cobalt', 'the text being typed goes out as it is');
});

test('query: a server position is found in the chip or the text', () => {
  const { parts, q: text } = composeQuery(['a OR b', 'type:dns'], '(x');
  same(text, '(a OR b) type:dns (x');
  same(locate(parts, text.indexOf('(x')), { index: -1, offset: 0 });
  same(locate(parts, text.indexOf('OR')), { index: 0, offset: 2 });
  same(locate(parts, text.indexOf('dns')), { index: 1, offset: 5 });
  same(locate(parts, 999), { index: -1, offset: 2 });
  same(locate([], 3), { index: -1, offset: 0 });
});

test('query: positions count characters, not UTF-16 units', () => {
  same(unitOffset('a\u{1F600}b(', 3), 4);
});

test('query: a chip is shown as not, field and value', () => {
  same(describeChip('-src:10.0.0.0/8'), { not: true, field: 'src', value: '10.0.0.0/8' });
  same(describeChip('info:"cobalt strike"'), { not: false, field: 'info', value: 'cobalt strike' });
  same(describeChip('sev:high OR type:dns'), { not: false, field: '', value: 'sev:high OR type:dns' });
  same(describeChip('-evil'), { not: true, field: '', value: 'evil' });
  same(describeChip('src:'), { not: false, field: '', value: 'src:' });
});

test('query: values are quoted when the language would read them differently', () => {
  same(makeChip('src', '10.0.0.5'), 'src:10.0.0.5/32', 'an address alone would match 10.0.0.50');
  same(makeChip('trail', '10.0.0.5'), 'trail:10.0.0.5');
  same(makeChip('src', '2001:db8::1', true), '-src:2001:db8::1');
  same(makeChip('trail', 'a b'), 'trail:"a b"');
  same(makeChip('trail', 'a,b'), 'trail:"a,b"', 'a comma means OR');
  same(makeChip('trail', '*.x'), 'trail:"*.x"', 'a star means anything');
  same(makeChip('trail', '/cgi(x)'), 'trail:"/cgi(x)"');
  same(makeChip('trail', 'say "hi"'), 'trail:"say  hi"');
});

test('query: including removes the exclusion of the same value, and back', () => {
  same(withChip(['a', '-type:DNS'], 'type:DNS'), ['a', 'type:DNS']);
  same(withChip(['type:DNS'], '-type:DNS'), ['-type:DNS']);
  same(withChip(['type:DNS', 'b'], 'type:DNS'), ['b', 'type:DNS']);
  same(withoutChip(['a', 'b'], 'a'), ['b']);
});
