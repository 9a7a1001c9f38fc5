// A trail as text: which part is the key, which part varies, and how it is copied.
//
// A group in parentheses is the variable part; `\(` and `\)` are literal characters. The key is
// what remains; dots at its ends belong to the variable part beside them. Never fails: an
// unclosed parenthesis is ordinary text.

/** Splits into `[{text, variable}]` without grouping parentheses; empty parts are dropped. */
export function trailParts(trail) {
  const parts = [];
  let key = '';
  for (let i = 0; i < trail.length; i += 1) {
    const c = trail[i];
    if (c === '\\' && (trail[i + 1] === '(' || trail[i + 1] === ')')) {
      key += trail[i + 1];
      i += 1;
      continue;
    }
    const close = c === '(' ? closing(trail, i) : -1;
    if (close < 0) {
      key += c;
      continue;
    }
    if (key) parts.push({ text: key, variable: false });
    key = '';
    parts.push({ text: literal(trail.slice(i + 1, close)), variable: true });
    i = close;
  }
  if (key) parts.push({ text: key, variable: false });
  return moveDots(parts).filter((p) => p.text);
}

/** The whole text as seen on the wire, without grouping parentheses. */
export const trailText = (trail) => trailParts(trail).map((p) => p.text).join('');

/** For the eye: characters that draw nothing or turn the text around are spelled out. */
export const printable = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
  (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

/** The key: the trail without its variable parts, trimmed of spaces and dots. */
export function trailKey(trail) {
  const text = trailParts(trail).filter((p) => !p.variable).map((p) => p.text).join('');
  return text.trim().replace(/^\.+|\.+$/g, '');
}

/** A form that no program turns into a link. */
export function defang(text) {
  return text.replace(/http/gi, 'hxxp').replaceAll('://', '[://]').replaceAll('.', '[.]');
}

function closing(trail, open) {
  for (let i = open + 1; i < trail.length; i += 1) {
    if (trail[i] === ')' && trail[i - 1] !== '\\') return i;
  }
  return -1;
}

const literal = (text) => text.replace(/\\([()])/g, '$1');

function moveDots(parts) {
  for (let i = 0; i < parts.length; i += 1) {
    if (!parts[i].variable) continue;
    const next = parts[i + 1];
    const previous = parts[i - 1];
    if (i === 0 && next && !next.variable && next.text.startsWith('.')) {
      parts[i].text += '.';
      next.text = next.text.slice(1);
    }
    if (i === parts.length - 1 && previous && !previous.variable && previous.text.endsWith('.')) {
      parts[i].text = `.${parts[i].text}`;
      previous.text = previous.text.slice(0, -1);
    }
  }
  return parts;
}
