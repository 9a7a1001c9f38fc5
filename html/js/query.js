// The search text: chips and free text joined into the one `q` that the server parses.
//
// Each chip is a complete expression of the search language (spec: fields, AND, OR, NOT, quotes).
// Joining must not change what a chip means: a chip with an operator is put into parentheses, and
// an unclosed quote of a chip is closed before the next one starts. The text being typed comes
// last and goes out as it is, so that an error position counts in what the reader sees.

/** Joins to `{q, parts}`; each part says where the chip (or the text, index -1) starts in `q`. */
export function composeQuery(chips, text) {
  const sources = chips.map((body, index) => ({ body, index }));
  if (text.trim()) sources.push({ body: text, index: -1 });
  const parts = [];
  let q = '';
  for (const { body, index } of sources) {
    if (q) q += ' ';
    const wrap = sources.length > 1 && needsWrap(body);
    const closed = index >= 0 && sources.length > 1 ? closeQuote(body) : body;
    if (wrap) q += '(';
    parts.push({ index, start: q.length, end: q.length + body.length });
    q += closed;
    if (wrap) q += ')';
  }
  return { q, parts };
}

/** Finds the chip (or -1 for the text) and the offset in it that a server position points at. */
export function locate(parts, position) {
  for (const part of parts) {
    if (position <= part.end) return { index: part.index, offset: Math.max(0, position - part.start) };
  }
  const last = parts[parts.length - 1];
  return last ? { index: last.index, offset: last.end - last.start } : { index: -1, offset: 0 };
}

/** Server positions count characters, script positions UTF-16 units. */
export function unitOffset(text, characters) {
  return [...text].slice(0, characters).join('').length;
}

/** Splits a chip for display: `-src:10.0.0.0/8` is not, src, 10.0.0.0/8. */
export function describeChip(chip) {
  const m = /^(-?)([a-z]+):(?=\S)([^]*)$/i.exec(chip);
  if (m && !hasOperator(chip)) return { not: m[1] === '-', field: m[2].toLowerCase(), value: unquote(m[3]) };
  const negated = /^-(?=[^\s-])/.test(chip) && !hasOperator(chip);
  return { not: negated, field: '', value: negated ? chip.slice(1) : chip };
}

/** Builds the chip for one value, quoted when the language would read it differently. */
export function makeChip(field, value, not = false) {
  return `${not ? '-' : ''}${field}:${exactAddress(field, value) || quoteValue(value)}`;
}

/** Adds a chip; its opposite (include against exclude) goes. */
export function withChip(chips, chip) {
  const opposite = chip.startsWith('-') ? chip.slice(1) : `-${chip}`;
  const rest = chips.filter((c) => c !== opposite && c !== chip);
  return [...rest, chip];
}

export const withoutChip = (chips, chip) => chips.filter((c) => c !== chip);

/** An IPv4 address alone is a substring (10.0.0.1 also finds 10.0.0.17); as a /32 it is exact. */
function exactAddress(field, value) {
  return (field === 'src' || field === 'dst') && /^\d+\.\d+\.\d+\.\d+$/.test(value) ? `${value}/32` : '';
}

function quoteValue(value) {
  const text = String(value).replaceAll('"', ' ').trim();
  return /^[\w.:/@%+=~-]+$/.test(text) && !/^[<>=!]/.test(text) ? text : `"${text}"`;
}

function unquote(value) {
  return /^"[^"]*"$/.test(value) ? value.slice(1, -1) : value;
}

function outsideQuotes(text) {
  return text.replace(/"[^"]*("|$)/g, (m) => '_'.repeat(m.length));
}

function hasOperator(text) {
  return /\s|[()]|\|\||&&/.test(outsideQuotes(text).trim());
}

function needsWrap(text) {
  const bare = outsideQuotes(text);
  return /(^|\s)(or|and|not)(\s|$)|\|\||&&/i.test(bare);
}

function closeQuote(text) {
  return (text.match(/"/g) || []).length % 2 ? `${text}"` : text;
}
