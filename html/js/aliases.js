// Names of addresses: those that people gave and those of IP_ALIASES, which may name networks and ranges.
//
// A name of one address comes before that of a network, a small network before a large one, and people's
// names before the configuration's. Addresses are compared as numbers, so spelling does not matter.

import { signal } from './ui.js';
import { api } from './api.js';

/** Answers that are remembered; then all are forgotten. */
const CACHE_MAX = 5000;
const MAPPED = 0xffffn << 32n;

const spans = signal([]);
let cache = new Map();

/** Reads the names; without an answer the old ones stay. */
export async function loadAliases() {
  try { setAliases((await api.aliases()).aliases); } catch { /* names are a convenience */ }
}

export function setAliases(aliases) {
  const next = aliases.map((alias) => ({ ...span(alias.address), label: alias.label })).filter((s) => s.first != null);
  // Stable, so of equal spans the first stays first: the server lists people's names before the others.
  next.sort((a, b) => (a.last - a.first < b.last - b.first ? -1 : a.last - a.first > b.last - b.first ? 1 : 0));
  if (JSON.stringify(next, big) === JSON.stringify(spans.peek(), big)) return;
  cache = new Map();
  spans.value = next;
}

const big = (_, value) => (typeof value === 'bigint' ? String(value) : value);

/** The name of an address, or an empty text. */
export function aliasOf(address) {
  const all = spans.value;
  if (!all.length) return '';
  const known = cache.get(address);
  if (known != null) return known;
  const number = parse(address);
  const found = number == null ? '' : all.find((s) => s.first <= number && number <= s.last)?.label || '';
  if (cache.size >= CACHE_MAX) cache.clear();
  cache.set(address, found);
  return found;
}

/** First and last address of `a`, `a/n` or `a-b`. */
function span(text) {
  const [head, bits] = text.split('/');
  if (bits !== undefined) {
    const at = parse(head);
    const size = head.includes(':') ? 128 : 32;
    const host = size - Number(bits);
    if (at == null || !/^\d{1,3}$/.test(bits) || host < 0) return {};
    const first = (at >> BigInt(host)) << BigInt(host);
    return { first, last: first + (1n << BigInt(host)) - 1n };
  }
  const single = parse(text);
  if (single != null) return { first: single, last: single };
  const [from, to] = text.split('-').map((part) => parse(part.trim()));
  return from != null && to != null && from <= to ? { first: from, last: to } : {};
}

/** An address as a number of 128 bits, IPv4 in the mapped range; `null` for other text. */
export function parse(text) {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (four) {
    const parts = four.slice(1).map(Number);
    return parts.some((part) => part > 255) ? null : parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n) | MAPPED;
  }
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text) || !text.includes(':')) return null;
  const tail = text.includes('.') ? parse(text.slice(text.lastIndexOf(':') + 1)) : null;
  if (text.includes('.') && tail == null) return null;
  const plain = tail == null ? text : `${text.slice(0, text.lastIndexOf(':') + 1)}${((tail >> 16n) & 0xffffn).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  const halves = plain.split('::');
  if (halves.length > 2) return null;
  const groups = halves.map((half) => (half ? half.split(':') : []));
  const missing = 8 - groups.flat().length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = halves.length === 2 ? [...groups[0], ...Array(missing).fill('0'), ...groups[1]] : groups[0];
  if (!all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  return all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}
