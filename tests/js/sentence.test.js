import { test, same } from './harness.js';
import { whatHappened, whyFlagged } from '../../html/js/sentence.js';

const set = (...values) => ({ values, total: values.length });
const threat = (over) => ({ kind: 'plain', type: 'DNS', trail: '(www).evil.example', info: 'lumma (malware)', class: 'malware', reference: '(static)', origin: 'static',
  count: 742, first: '2026-11-24T08:14:22Z', last: '2026-11-24T14:28:00Z', src: set('10.0.0.5'), dst: set('10.0.0.53'), ...over });
const text = (parts) => parts.map((p) => p.strong ?? p).join('');

test('sentence: a lookup', () => {
  same(text(whatHappened(threat(), 60)), '10.0.0.5 looked up www.evil.example, 742 times between 09:14 and 15:28.');
});

test('sentence: a long trail is cut, it stands in full above', () => {
  const said = text(whatHappened(threat({ trail: 'a'.repeat(5000) }), 0));
  same(said.length < 200 && said.includes('…'), true);
});

test('sentence: a single event', () => {
  same(text(whatHappened(threat({ count: 1, last: '2026-11-24T08:14:22Z' }), 0)), '10.0.0.5 looked up www.evil.example, once at 08:14.');
});

test('sentence: a trail that is the source', () => {
  same(text(whatHappened(threat({ type: 'IP', trail: '203.0.113.7', src: set('203.0.113.7'), dst: { values: ['10.0.0.1'], total: 120 }, count: 3 }), 0)),
    '203.0.113.7, itself the trail, sent traffic to 120 addresses, 3 times between 08:14 and 14:28.');
});

test('sentence: a flood says why it is one row', () => {
  same(text(whatHappened(threat({ kind: 'flood', src: { values: [], total: 51 } }), 0)).endsWith('More than 50 sources share this trail, so they stand in one row.'), true);
});

test('sentence: why, by origin, in words of a list', () => {
  same(text(whyFlagged(threat())), 'evil.example is on the static list as lumma.');
  same(text(whyFlagged(threat({ origin: 'feed', reference: 'urlhaus' }))), 'evil.example is listed by the feed urlhaus as lumma.');
  same(text(whyFlagged(threat({ origin: 'heuristic', info: 'potential port scanning' }))), 'A behaviour check of the sensor reported potential port scanning.');
  same(text(whyFlagged(threat({ origin: '', reference: '' }))), 'The event names no list. It is reported as lumma.');
});
