// Merging of live changes into the rows on the screen, without moving anything under the pointer.

/** Replaces rows by id; order and length stay. Returns the same array when nothing changed. */
export function replaceRows(rows, changed) {
  const byId = new Map(changed.map((t) => [t.id, t]));
  let touched = false;
  const next = rows.map((row) => {
    const fresh = byId.get(row.id);
    if (!fresh) return row;
    touched = true;
    return fresh;
  });
  return touched ? next : rows;
}

/** Threats that came since the page was loaded, from the exact totals. */
export const newSince = (loadedTotal, total) => Math.max(0, total - loadedTotal);

/** Joins messages that arrived within one frame: the newest form of each threat, last totals. */
export function joinMessages(messages) {
  const threats = new Map();
  const removed = new Set();
  let last = null;
  for (const m of messages) {
    for (const t of m.threats || []) { threats.set(t.id, t); removed.delete(t.id); }
    for (const id of m.ids || []) { removed.add(id); threats.delete(id); }
    if (m.threats) last = m;
  }
  return { threats: [...threats.values()], removed: [...removed], last };
}
