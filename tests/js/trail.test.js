import { test, same } from './harness.js';
import { trailParts, trailText, trailKey, defang, printable } from '../../html/js/trail.js';

const parts = (trail) => trailParts(trail).map((p) => (p.variable ? `<${p.text}>` : p.text));

test('trail: the variable part is apart, with the dot beside it', () => {
  same(parts('(www).evil.example'), ['<www.>', 'evil.example']);
  same(parts('evil.example(/path?x=1)'), ['evil.example', '</path?x=1>']);
  same(parts('evil.example.(x)'), ['evil.example', '<.x>']);
  same(parts('evil.example'), ['evil.example']);
  same(parts('(a)(b).c'), ['<a>', '<b>', '.c']);
});

test('trail: escaped parentheses are literal', () => {
  same(parts('\\(x\\).com'), ['(x).com']);
  same(parts('a(b\\)c)d'), ['a', '<b)c>', 'd']);
});

test('trail: hostile forms never fail', () => {
  same(parts('(open'), ['(open']);
  same(parts(')('), [')(']);
  same(parts('()'), []);
  same(parts(''), []);
  same(parts('\\'), ['\\']);
  same(parts('('.repeat(3000)).length, 1);
});

test('trail: key and full text', () => {
  same(trailKey('(www).evil.example'), 'evil.example');
  same(trailKey('evil.example(/a) '), 'evil.example');
  same(trailKey('..evil..'), 'evil');
  same(trailText('(www).evil.example(/x)'), 'www.evil.example/x');
});

test('trail: characters that turn the text around are spelled out', () => {
  same(printable('a\u202egnp.exe'), 'a\\u{202e}gnp.exe');
  same(printable('b\u00fccher.example \u4f8b'), 'b\u00fccher.example \u4f8b', 'letters stay');
  same(printable('x\u0000\n'), 'x\\u{0}\\u{a}');
});

test('trail: defanged text is no link', () => {
  same(defang('http://evil.example/a.html'), 'hxxp[://]evil[.]example/a[.]html');
  same(defang('HTTPS://x.y'), 'hxxpS[://]x[.]y');
  same(defang('2001:db8::1'), '2001:db8::1');
});
