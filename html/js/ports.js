// Ports: their names, which ones deserve a second look, and on which side the service is.
//
// `direction` follows the rule of the search field `dir:` in its order, over the value sets of a
// threat: a side "is a service" when each of its listed ports is. The step "exactly one side is
// ephemeral" needs no code: the other side then holds a lower port, which the last step finds.

const NAMES = new Map(Object.entries({
  21: 'ftp', 22: 'ssh', 23: 'telnet', 25: 'smtp', 53: 'dns', 80: 'http', 110: 'pop3', 123: 'ntp', 135: 'rpc',
  137: 'netbios', 139: 'netbios', 143: 'imap', 161: 'snmp', 389: 'ldap', 443: 'https', 445: 'smb', 465: 'smtps',
  514: 'syslog', 587: 'smtp', 636: 'ldaps', 993: 'imaps', 995: 'pop3s', 1080: 'socks', 1433: 'mssql', 1521: 'oracle',
  2049: 'nfs', 3306: 'mysql', 3389: 'rdp', 4444: 'metasploit', 5432: 'postgres', 5900: 'vnc', 6379: 'redis',
  8080: 'http-alt', 8443: 'https-alt', 9200: 'elastic', 27017: 'mongo',
}));

const RISKY = new Map(Object.entries({
  23: 'telnet, no encryption', 445: 'SMB, lateral movement', 1337: 'backdoor', 3389: 'remote desktop',
  4444: 'Metasploit default', 5900: 'VNC, remote screen', 6666: 'IRC botnet', 6667: 'IRC control', 9001: 'Tor',
  12345: 'NetBus', 31337: 'elite backdoor',
}));

const SERVICES = new Set([20, 21, 22, 23, 25, 53, 67, 68, 69, 80, 110, 123, 135, 137, 138, 139, 143, 161, 162, 389,
  443, 445, 465, 514, 587, 636, 993, 995, 1080, 1433, 1521, 3128, 3306, 3389, 5060, 5432, 5900, 6379, 6667, 8000,
  8080, 8118, 8443, 8888, 9200, 27017]);

export const portName = (port) => NAMES.get(String(port)) || '';
export const portRisk = (port) => RISKY.get(String(port)) || '';
/** `53 dns`, or the number alone. */
export const portLabel = (port) => (portName(port) ? `${port} ${portName(port)}` : String(port));

/** `{dir: 'in'|'out'|'', ports}`: `in` shows the destination ports, `out` the source ports. */
export function direction(threat) {
  const sports = numbers(threat.sport.values);
  const dports = numbers(threat.dport.values);
  if (!sports.length || !dports.length) {
    return { dir: '', ports: dports.length ? threat.dport : threat.sport };
  }
  return inward(threat, sports, dports)
    ? { dir: 'in', ports: threat.dport }
    : { dir: 'out', ports: threat.sport };
}

function inward(threat, sports, dports) {
  const trail = threat.trail.replace(/[()]/g, '').trim();
  const host = addressOf(trail);
  if (host && threat.dst.values.includes(host)) return true;
  if (host && threat.src.values.includes(host)) return false;
  if (threat.dst.values.includes(trail)) return true;
  const [s, d] = [sports.every(isService), dports.every(isService)];
  if (s !== d) return d;
  return Math.min(...dports) <= Math.min(...sports);
}

/** The address of an `ip:port` trail, or ''. IPv6 may stand in brackets or bare. */
function addressOf(trail) {
  const m = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(trail) || /^\[([0-9a-f:.]+)\]:\d+$/i.exec(trail)
    || /^([0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*):\d+$/i.exec(trail);
  return m ? m[1] : '';
}

const numbers = (values) => values.filter((v) => /^\d+$/.test(v)).map(Number);
const isService = (port) => port < 1024 || SERVICES.has(port);
