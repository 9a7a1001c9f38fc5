//! What no list may make a trail of: names that everybody uses, whole top-level domains and public suffixes,
//! one's own networks, public resolvers, and networks so large that they say nothing. One such line costs
//! that line; a list with many of them is refused as a whole ([`Canaries::is_spoilt`]).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, parse_ip, parse_ip_port, parse_net};

/// Shortest prefixes of a network that a list may name.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;
/// Lines that a list may have wrong whatever its length.
const SOME: usize = 3;

/// Names, one a line: exact ones and every parent of them.
static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("canary/names.txt").lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(|name| {
            std::iter::successors(Some(name), |name| {
                name.split_once('.').map(|(_, rest)| rest)
            })
        })
        .collect()
});

/// Public suffixes of two labels, one a line.
static SUFFIXES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("canary/suffixes.txt").lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// Public resolvers: what asks them is no finding, and a trail would hit every machine.
const RESOLVERS: [&str; 16] = [
    "1.0.0.1",
    "1.1.1.1",
    "8.8.4.4",
    "8.8.8.8",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.220.220",
    "208.67.222.222",
    "4.2.2.1",
    "4.2.2.2",
    "64.6.64.6",
    "2001:4860:4860::8888",
    "2001:4860:4860::8844",
    "2606:4700:4700::1111",
    "2606:4700:4700::1001",
    "2620:fe::fe",
];

/// Networks that are nobody's or one's own: "this" network, loopback, private and shared use, link-local,
/// multicast and broadcast.
const SPECIAL: [&str; 12] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/127",
    "fc00::/7",
    "fe80::/10",
];

/// What entries are held against.
#[derive(Clone, Debug)]
pub struct Canaries {
    own: NetworkSet,
    resolvers: Vec<IpAddr>,
}

impl Canaries {
    /// With the networks that are ours (`HOME_NETWORKS`).
    pub fn new(home: &NetworkSet) -> Self {
        let special = SPECIAL.iter().filter_map(|text| parse_net(text));
        // Who calls half the world home means something else by it.
        let home = home
            .networks()
            .into_iter()
            .filter(|network| !is_vast(*network));
        Self {
            own: NetworkSet::new(home.chain(special)),
            resolvers: RESOLVERS.iter().filter_map(|text| parse_ip(text)).collect(),
        }
    }

    /// Why an entry may not be a trail. URLs with a path may be on any host: people put malware on good
    /// ones.
    pub fn hit(&self, text: &str) -> Option<&'static str> {
        if let Some(network) = parse_net(text) {
            return self.network(network);
        }
        let host = match text.split_once('/') {
            Some(("", _)) => return None,
            Some((host, "")) => host,
            Some((host, _)) => return self.local_host(host),
            None => text,
        };
        if let Some(address) = parse_ip(host).or_else(|| Some(parse_ip_port(host)?.0)) {
            return self.address(address);
        }
        let host = host.split(':').next().unwrap_or_default();
        name(host)
    }

    /// Whether a list has so many wrong lines that it cannot be what it was.
    pub const fn is_spoilt(hits: usize, lines: usize) -> bool {
        let share = lines / 100;
        hits > if share > SOME { share } else { SOME }
    }

    fn address(&self, address: IpAddr) -> Option<&'static str> {
        if self.own.contains(address) {
            Some("an address of one's own or of nobody")
        } else if self.resolvers.contains(&address) {
            Some("a public resolver that everybody uses")
        } else {
            None
        }
    }

    fn network(&self, network: IpNet) -> Option<&'static str> {
        if is_vast(network) {
            return Some("a network so large that it says nothing");
        }
        let touches = |other: &IpNet| {
            other.contains(&network.network()) || network.contains(&other.network())
        };
        if self.own.networks().iter().any(touches) {
            Some("a network of one's own or of nobody")
        } else if self
            .resolvers
            .iter()
            .any(|address| network.contains(address))
        {
            Some("a network with a public resolver that everybody uses")
        } else {
            None
        }
    }

    /// The host of a URL with a path.
    fn local_host(&self, host: &str) -> Option<&'static str> {
        let address = parse_ip(host).or_else(|| Some(parse_ip_port(host)?.0))?;
        self.own
            .contains(address)
            .then_some("an address of one's own or of nobody")
    }
}

fn is_vast(network: IpNet) -> bool {
    match network {
        IpNet::V4(_) => network.prefix_len() < SHORTEST_V4,
        IpNet::V6(_) => network.prefix_len() < SHORTEST_V6,
    }
}

fn name(host: &str) -> Option<&'static str> {
    let lower = host.trim_matches('.').to_ascii_lowercase();
    let lower = lower.strip_prefix("www.").unwrap_or(&lower);
    let lower = lower.strip_prefix("*.").unwrap_or(lower);
    let is_label = !lower.is_empty()
        && lower.len() < 64
        && lower
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_label && lower.bytes().any(|byte| byte.is_ascii_alphabetic()) && !is_digest(lower) {
        Some("a whole top-level domain")
    } else if SUFFIXES.contains(lower) {
        Some("a public suffix: half a country's names")
    } else if NAMES.contains(lower) {
        Some("a name that everybody uses")
    } else {
        None
    }
}

/// Fingerprints of certificates look like labels.
fn is_digest(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_uses_is_no_trail() {
        let canaries = Canaries::new(&NetworkSet::new(parse_net("203.0.113.0/24")));
        let hits = [
            "google.com",
            "www.Google.com",
            "*.google.com",
            "www.google.com",
            "googleapis.com",
            "com",
            "co.uk",
            "github.com/",
            "microsoft.com:443",
            "0.0.0.0/0",
            "0.0.0.0",
            "127.0.0.1",
            "10.0.0.0/8",
            "192.168.1.7",
            "203.0.113.9",
            "203.0.113.9:80",
            "203.0.113.9/x",
            "203.0.112.0/22",
            "128.0.0.0/1",
            "::/0",
            "2000::/3",
            "::1",
            "fe80::1",
            "8.8.8.8",
            "8.8.8.0/24",
            "8.8.8.8:53",
            "[2606:4700:4700::1111]:443",
            "224.0.0.1",
        ];
        for text in hits {
            assert!(canaries.hit(text).is_some(), "{text}");
        }
        let fine = [
            "evil.biz",
            "google.com.evil.biz",
            "github.com/x/y.exe",
            "5.9.9.9",
            "5.9.9.0/24",
            "5.9.9.9:80",
            "5.0.0.0/8",
            "2a00:1450::/32",
            "/gate.php",
            "google.evil",
            "sub.evil.co.uk",
            "0123456789abcdef0123456789abcdef01234567",
            "8.8.8.9",
            "",
        ];
        for text in fine {
            assert_eq!(canaries.hit(text), None, "{text}");
        }
    }

    #[test]
    fn a_few_wrong_lines_are_forgiven() {
        for (hits, lines, spoilt) in [
            (3, 3, false),
            (4, 10, true),
            (10, 1000, false),
            (11, 1000, true),
        ] {
            assert_eq!(
                Canaries::is_spoilt(hits, lines),
                spoilt,
                "{hits} of {lines}"
            );
        }
    }

    #[test]
    fn the_lists_are_clean() {
        assert!(NAMES.len() > 250 && SUFFIXES.len() > 100);
        for name in NAMES.iter().chain(SUFFIXES.iter()) {
            let good = name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
            });
            assert!(good, "{name}");
        }
        assert!(
            SUFFIXES
                .iter()
                .all(|suffix| suffix.matches('.').count() == 1)
        );
    }
}
