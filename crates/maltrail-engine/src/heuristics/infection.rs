//! Infections: one of our hosts tries a service that worms like on many hosts.
//!
//! Reported when more than [`MOST_HOSTS`] distinct hosts were tried at one of [`PORTS`] within a
//! window, with the ends of the first of those packets, if the source belongs to the network that
//! most sources of connections do ([`Prefix`]): what comes from elsewhere is a scan of us.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use maltrail_core::event::Kind;

use super::scans::Alert;
use crate::finding::Finding;
use crate::flow::{Endpoint, Flow};
use crate::state::window::{Due, Windows};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "infection";

/// Most hosts that are no infection.
pub(crate) const MOST_HOSTS: usize = 32;

/// Most sources with a service: one holds 33 addresses in 850 bytes, and those that count are ours.
pub(crate) const MOST_KEYS: usize = 8192;

/// Services that worms spread by.
const PORTS: [u16; 9] = [135, 139, 445, 1433, 3389, 6379, 6892, 6893, 6901];

/// Who tried which service on whom.
pub(crate) type Services = Windows<(IpAddr, u16), IpAddr, { MOST_HOSTS + 1 }>;

/// Whether this port is one of a service that worms spread by.
#[inline]
pub(crate) fn is_service(port: u16) -> bool {
    PORTS.contains(&port)
}

/// What makes a source ours: the first two octets, or a whole IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    V4([u8; 2]),
    V6(u128),
}

impl Prefix {
    /// The prefix of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(v6) => Self::V6(v6.to_bits()),
        }
    }

    /// The most common prefix; of equally common ones that with the larger text.
    pub(crate) fn most_common(sources: impl Iterator<Item = IpAddr>) -> Option<Self> {
        let mut counts: HashMap<Self, u32, RandomState> = HashMap::default();
        for source in sources {
            *counts.entry(Self::of(source)).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        let common = counts.into_iter().filter(|&(_, count)| count == most);
        let texts = common.map(|(prefix, _)| (prefix.text(), prefix));
        texts
            .max_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, prefix)| prefix)
    }

    fn text(self) -> String {
        match self {
            Self::V4([a, b]) => format!("{a}.{b}."),
            Self::V6(bits) => IpAddr::from(bits.to_be_bytes()).to_string(),
        }
    }
}

/// The report of one infection.
pub(crate) fn alert(due: Due<(IpAddr, u16), IpAddr>) -> Alert {
    let (src, port) = due.key;
    Alert {
        at: None,
        flow: Flow {
            src: Endpoint {
                ip: src,
                port: Some(due.first.src_port),
            },
            dst: Endpoint {
                ip: due.first.value,
                port: Some(port),
            },
            proto: "TCP",
        },
        finding: Finding::heuristic(NAME, Kind::Port, port.to_string(), "potential infection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(sources: &[&str]) -> Option<Prefix> {
        Prefix::most_common(sources.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn the_most_common_prefix_wins_and_then_the_larger_text() {
        assert_eq!(common(&[]), None);
        let two = ["10.0.0.1", "10.0.3.4", "192.168.0.1"];
        assert_eq!(common(&two), Some(Prefix::V4([10, 0])));
        // Text, not number: "9.1." comes after "192.168.".
        assert_eq!(
            common(&["192.168.0.1", "9.1.0.1"]),
            Some(Prefix::V4([9, 1]))
        );
        let v6 = ["2001:db8::1", "192.168.0.1"];
        assert_eq!(common(&v6), Some(Prefix::of(v6[0].parse().unwrap())));
        let other = ["2001:db8::1", "2001:db8::2", "2001:db8::2"];
        assert_eq!(common(&other), Some(Prefix::of(other[1].parse().unwrap())));
    }

    #[test]
    fn nine_services_count() {
        assert_eq!((0..=u16::MAX).filter(|&port| is_service(port)).count(), 9);
        assert!(is_service(445) && !is_service(446) && !is_service(80));
    }
}
