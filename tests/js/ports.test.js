import { test, same } from './harness.js';
import { direction, portLabel, portName, portRisk } from '../../html/js/ports.js';

const set = (...values) => ({ values: values.map(String), total: values.length });
const threat = (over) => ({ trail: 'evil.example', src: set('10.0.0.5'), dst: set('10.0.0.53'), sport: set(51000), dport: set(53), ...over });
const dir = (over) => { const d = direction(threat(over)); return [d.dir, d.ports.values.join()]; };

test('ports: one side only has no direction', () => {
  same(dir({ sport: set() }), ['', '53']);
  same(dir({ dport: set('-') }), ['', '51000']);
  same(dir({ sport: set(), dport: set() }), ['', '']);
});

test('ports: rule 1, an ip:port trail decides by its address', () => {
  same(dir({ trail: '10.0.0.53(:40000)', sport: set(80), dport: set(40000) }), ['in', '40000']);
  same(dir({ trail: '10.0.0.5:443', sport: set(443), dport: set(80) }), ['out', '443']);
  same(dir({ trail: '[2001:db8::9]:4444', src: set('10.0.0.5'), dst: set('2001:db8::9'), sport: set(22), dport: set(60000) }), ['in', '60000']);
});

test('ports: rule 2, a trail that is the destination', () => {
  same(dir({ trail: '10.0.0.53', sport: set(80), dport: set(50000) }), ['in', '50000']);
});

test('ports: rule 3, exactly one side is a service', () => {
  same(dir({}), ['in', '53']);
  same(dir({ sport: set(80), dport: set(51000) }), ['out', '80']);
  same(dir({ sport: set(6379), dport: set(2000) }), ['out', '6379'], 'a known service above 1023');
});

test('ports: rule 4, exactly one side is ephemeral', () => {
  same(dir({ sport: set(40000), dport: set(2000) }), ['in', '2000']);
  same(dir({ sport: set(2000), dport: set(40000) }), ['out', '2000']);
  same(dir({ sport: set(40000, 50000), dport: set(2000, 60000) }), ['in', '2000,60000'], 'sets, too');
});

test('ports: rule 5, the lower port wins and a tie is in', () => {
  same(dir({ sport: set(2000), dport: set(3000) }), ['out', '2000']);
  same(dir({ sport: set(53), dport: set(53) }), ['in', '53']);
  same(dir({ sport: set(443), dport: set(80) }), ['in', '80']);
});

test('ports: a side is a service only when all its ports are', () => {
  same(dir({ sport: set(51000, 8080), dport: set(80, 443) }), ['in', '80,443']);
});

test('ports: names and risks', () => {
  same(portLabel('53'), '53 dns');
  same(portLabel('12'), '12');
  same([portName(3389), portRisk('3389'), portRisk('443')], ['rdp', 'remote desktop', '']);
});
