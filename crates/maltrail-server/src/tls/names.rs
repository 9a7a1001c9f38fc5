//! The names and addresses of this machine, for its own certificate.
//!
//! Read from `/proc` and `/etc/hosts`, never asked of the network. Left out: addresses that change by
//! themselves (temporary IPv6) and those that no URL can hold (link-local). Bounds: [`MAX_NAMES`],
//! [`MAX_BYTES`] of each file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most names and addresses in a certificate.
pub(crate) const MAX_NAMES: usize = 100;
/// Most bytes read of a file. A router's routing table may be large; its own addresses stand first.
const MAX_BYTES: u64 = 1 << 20;
/// Flags of `/proc/net/if_inet6`: temporary, failed, deprecated or not confirmed yet.
const PASSING: u8 = 0x01 | 0x08 | 0x20 | 0x40;

/// What names this machine, sorted: `localhost`, its host name, names of `/etc/hosts`, its addresses,
/// and `configured` (`HTTP_ADDRESS`).
pub(crate) fn of_machine(configured: Option<&str>) -> Vec<String> {
    Sources {
        host_name: read("/proc/sys/kernel/hostname"),
        hosts: read("/etc/hosts"),
        fib_trie: read("/proc/net/fib_trie"),
        if_inet6: read("/proc/net/if_inet6"),
    }
    .names(configured)
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // A machine without one of these files has fewer names.
    let _ = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Texts that name the machine.
#[derive(Debug, Default)]
struct Sources {
    host_name: String,
    hosts: String,
    fib_trie: String,
    if_inet6: String,
}

impl Sources {
    fn names(&self, configured: Option<&str>) -> Vec<String> {
        let mut addresses: BTreeSet<IpAddr> =
            [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into();
        addresses.extend(local_v4(&self.fib_trie));
        addresses.extend(local_v6(&self.if_inet6));
        let mut names: Vec<String> = vec!["localhost".into()];
        let configured = configured.filter(|host| maltrail_core::addr::parse_ip(host).is_none());
        names.extend(
            [Some(self.host_name.as_str()), configured]
                .into_iter()
                .flatten()
                .filter_map(host_name),
        );
        names.extend(hosts_names(&self.hosts, &addresses));
        names.extend(addresses.iter().map(ToString::to_string));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names.truncate(MAX_NAMES);
        names.sort_unstable();
        names
    }
}

/// A host name that a certificate can hold, in lower case.
fn host_name(text: &str) -> Option<String> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let fits = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    fits.then_some(name)
}

/// `|-- ADDRESS` lines followed by `/32 host LOCAL`.
fn local_v4(fib_trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(
                last.filter(|address| !address.is_link_local())
                    .map(IpAddr::from),
            );
        }
    }
    found
}

/// `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, all in hex.
fn local_v6(if_inet6: &str) -> Vec<IpAddr> {
    let row = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
        let address = Ipv6Addr::from(address);
        (flags & PASSING == 0 && !address.is_unicast_link_local()).then_some(address.into())
    };
    if_inet6.lines().filter_map(row).collect()
}

/// Names that `/etc/hosts` gives to one of our addresses.
fn hosts_names(hosts: &str, own: &BTreeSet<IpAddr>) -> Vec<String> {
    let mut names = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(maltrail_core::addr::parse_ip);
        if address.is_some_and(|address| own.contains(&address) || address.is_loopback()) {
            names.extend(words.filter_map(host_name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 169.254.3.3\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
    const INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\nfe8000000000000000fc00fffe000001 04 40 20 80     eth0\nfd000000000000000000000000000002 04 40 00 82     eth0\nfd0000000000000000000000000000aa 04 40 00 01     eth0\nfd0000000000000000000000000000bb 04 40 00 a0     eth0\nbroken\n";

    #[test]
    fn names_and_lasting_addresses_are_found_each_once() {
        let sources = Sources {
            host_name: "Box.Example\n".into(),
            hosts: "127.0.1.1 box.example box # this one\n192.0.2.2 sensor.lan\n192.0.2.9 other.lan\n::1 localhost ip6-localhost\nnonsense\n".into(),
            fib_trie: FIB.into(),
            if_inet6: INET6.into(),
        };
        let wanted = [
            "127.0.0.1",
            "192.0.2.2",
            "::1",
            "box",
            "box.example",
            "fd00::2",
            "ip6-localhost",
            "localhost",
            "maltrail.lan",
            "sensor.lan",
        ];
        assert_eq!(sources.names(Some("maltrail.lan")), wanted);
        assert_eq!(
            Sources::default().names(Some("0.0.0.0")),
            ["127.0.0.1", "::1", "localhost"]
        );
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_left_out() {
        for bad in ["", "a b", "a..b", "évil", "<x>", &"a".repeat(64), "."] {
            assert_eq!(host_name(bad), None, "{bad}");
        }
        assert_eq!(host_name(" A.b. ").as_deref(), Some("a.b"));
    }

    #[test]
    fn the_number_of_names_is_bounded_and_the_sure_ones_stay() {
        let hosts: String = (0..500).map(|n| format!("127.0.0.1 n{n}\n")).collect();
        let sources = Sources {
            hosts,
            ..Sources::default()
        };
        let names = sources.names(None);
        assert_eq!(names.len(), MAX_NAMES);
        assert!(names.contains(&"localhost".to_owned()));
    }
}
