// One plain sentence on what happened, and one on why it is flagged.
//
// Only facts that the threat itself holds. Words of certainty are those of a list or a rule
// ("matched", "is on"), never "infected". Result: a list of strings and `{strong}` parts.

import { plural, clockShort, infoText } from './format.js';
import { trailText, trailKey, printable } from './trail.js';

/** Longest text in a sentence; the whole trail stands above it. */
const LONGEST = 90;

const strong = (text) => ({ strong: printable(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text) });

/** What happened, as parts. */
export function whatHappened(threat, zone) {
  const count = threat.count === 1 ? 'once' : plural(threat.count, 'time');
  const from = clockShort(threat.first, zone);
  const to = clockShort(threat.last, zone);
  const when = threat.count === 1 || from === to ? [' at ', from] : [' between ', from, ' and ', to];
  return [...action(threat), ', ', strong(count), ...when, '.', ...grouping(threat)];
}

/** Why it is flagged, as parts. */
export function whyFlagged(threat) {
  const name = infoText(threat);
  switch (threat.origin) {
    case 'heuristic': return ['A behaviour check of the sensor reported ', strong(name), '.'];
    case 'custom': return [strong(trailKey(threat.trail)), ' is on your own list', named(name), '.'];
    case 'static': return [strong(trailKey(threat.trail)), ' is on the static list', named(name), '.'];
    case 'feed': return [strong(trailKey(threat.trail)), ' is listed by the feed ', strong(threat.reference), named(name), '.'];
    default: return ['The event names no list.', ...(name ? [' It is reported as ', strong(name), '.'] : [])];
  }
}

const named = (name) => (name ? ` as ${name}` : '');

function who(set, what) {
  return set.total === 1 ? set.values[0] : plural(set.total, what, what === 'address' ? 'addresses' : `${what}s`);
}

function action(threat) {
  const source = strong(who(threat.src, 'address'));
  const key = strong(trailText(threat.trail));
  const target = strong(who(threat.dst, 'address'));
  const isSource = threat.src.values.includes(trailKey(threat.trail));
  if (threat.kind === 'dga') return [source, ' looked up generated names'];
  if (threat.kind === 'exhaustion') return ['Names below ', strong(trailKey(threat.trail)), ' were looked up by ', source];
  if (isSource) return [source, ', itself the trail, sent traffic to ', target];
  switch (threat.type) {
    case 'DNS': return [source, ' looked up ', key];
    case 'URL': case 'HTTP': return [source, ' sent a web request that matched ', key, ' to ', target];
    case 'UA': return [source, ' used the client name ', key, ' towards ', target];
    case 'CERT': return [source, ' met a certificate that matched ', key, ' at ', target];
    default: return ['Traffic of ', source, ' to ', target, ' matched ', key];
  }
}

function grouping(threat) {
  if (threat.kind === 'flood') return [' More than 50 sources share this trail, so they stand in one row.'];
  if (threat.kind === 'dga') return [' The names are grouped by host and family.'];
  return [];
}
