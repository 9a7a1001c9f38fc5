//! Bursts: packets that repeat within a second are examined once.
//!
//! A SYN repeats when second, both addresses and both ports are those of the last SYN, or of the
//! last SYN in which something listed was found. A UDP datagram repeats when, besides, its payload has the same length
//! and the same first [`HEAD`] bytes, so that two questions of one socket are two. Other packets
//! never repeat.
//!
//! State: four slots, overwritten; nothing grows.

use std::net::IpAddr;

use crate::flow::Flow;

/// Payload bytes that are compared.
pub(crate) const HEAD: usize = 64;

/// The last packets of each kind, and the last ones with something listed.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    syn: Option<Ends>,
    syn_listed: Option<Ends>,
    datagram: Option<Datagram>,
    datagram_listed: Option<Datagram>,
}

/// Who sent a packet to whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    // Compared in this order: what differs between neighbours in a capture comes first.
    ports: (u16, u16),
    second: i64,
    v6: bool,
    src: u128,
    dst: u128,
}

impl Ends {
    #[inline]
    fn new(second: i64, flow: &Flow) -> Self {
        Self {
            ports: (
                flow.src.port.unwrap_or_default(),
                flow.dst.port.unwrap_or_default(),
            ),
            second,
            v6: flow.src.ip.is_ipv6(),
            src: number(flow.src.ip),
            dst: number(flow.dst.ip),
        }
    }
}

/// An address as a number; families are told apart by [`Ends::v6`].
#[inline]
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Datagram {
    ends: Ends,
    len: usize,
    head: [u8; HEAD],
}

impl Datagram {
    const fn empty(ends: Ends) -> Self {
        Self {
            ends,
            len: 0,
            head: [0; HEAD],
        }
    }

    #[inline]
    fn is(&self, ends: &Ends, payload: &[u8]) -> bool {
        let head = payload.get(..HEAD).unwrap_or(payload);
        self.ends == *ends && self.len == payload.len() && self.head.starts_with(head)
    }

    /// Overwrites this one. What stands behind a shorter head is never compared.
    #[inline]
    fn set(&mut self, ends: Ends, payload: &[u8]) {
        self.ends = ends;
        self.len = payload.len();
        match payload.first_chunk::<HEAD>() {
            Some(head) => self.head = *head,
            None => {
                if let Some(head) = self.head.get_mut(..payload.len()) {
                    head.copy_from_slice(payload);
                }
            }
        }
    }
}

impl Bursts {
    /// Whether this SYN was examined already.
    #[inline]
    pub(crate) fn syn_repeats(&mut self, second: i64, flow: &Flow) -> bool {
        let ends = Some(Ends::new(second, flow));
        let repeats = self.syn == ends || self.syn_listed == ends;
        self.syn = ends;
        repeats
    }

    /// Whether this datagram was examined already.
    #[inline]
    pub(crate) fn datagram_repeats(&mut self, second: i64, flow: &Flow, payload: &[u8]) -> bool {
        let ends = Ends::new(second, flow);
        let is = |known: &Datagram| known.is(&ends, payload);
        let repeats =
            self.datagram.as_ref().is_some_and(is) || self.datagram_listed.as_ref().is_some_and(is);
        let last = self.datagram.get_or_insert_with(|| Datagram::empty(ends));
        last.set(ends, payload);
        repeats
    }

    /// Remembers that something listed was found in the last SYN.
    pub(crate) const fn syn_listed(&mut self) {
        self.syn_listed = self.syn;
    }

    /// Remembers that something listed was found in the last datagram.
    pub(crate) const fn datagram_listed(&mut self) {
        self.datagram_listed = self.datagram;
    }

    /// Forgets packets in which nothing was found, as another trail set may judge it otherwise.
    pub(crate) const fn forget_seen(&mut self) {
        self.syn = None;
        self.datagram = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    #[test]
    fn a_syn_repeats_within_its_second_only() {
        let mut bursts = Bursts::default();
        let flow = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        assert!(!bursts.syn_repeats(1, &flow));
        assert!(bursts.syn_repeats(1, &flow));
        assert!(!bursts.syn_repeats(2, &flow));
    }

    #[test]
    fn one_slot_remembers_one_syn_and_listed_ones_have_their_own() {
        let mut bursts = Bursts::default();
        let listed = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        let other = flow("192.0.2.10:40001", "203.0.113.7:443", "TCP");
        assert!(!bursts.syn_repeats(1, &listed));
        bursts.syn_listed();
        assert!(!bursts.syn_repeats(1, &other));
        assert!(bursts.syn_repeats(1, &listed), "listed before");
        assert!(!bursts.syn_repeats(1, &other), "pushed out of its slot");
    }

    #[test]
    fn every_part_of_the_ends_counts() {
        let first = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        for (src, dst) in [
            ("192.0.2.11:40000", "203.0.113.7:443"),
            ("192.0.2.10:40001", "203.0.113.7:443"),
            ("192.0.2.10:40000", "203.0.113.8:443"),
            ("192.0.2.10:40000", "203.0.113.7:444"),
            ("[::c000:20a]:40000", "[::cb00:7107]:443"),
        ] {
            let mut bursts = Bursts::default();
            assert!(!bursts.syn_repeats(1, &first));
            assert!(
                !bursts.syn_repeats(1, &flow(src, dst, "TCP")),
                "{src} {dst}"
            );
        }
    }

    #[test]
    fn datagrams_with_another_payload_do_not_repeat() {
        let mut bursts = Bursts::default();
        let flow = flow("192.0.2.10:40000", "203.0.113.7:4444", "UDP");
        let long = [7; HEAD + 2];
        assert!(!bursts.datagram_repeats(1, &flow, b"ab"));
        assert!(bursts.datagram_repeats(1, &flow, b"ab"));
        assert!(!bursts.datagram_repeats(1, &flow, b"ab\0"), "longer");
        assert!(!bursts.datagram_repeats(1, &flow, b"ab"), "shorter");
        assert!(!bursts.datagram_repeats(1, &flow, b"ac"));
        assert!(
            !bursts.datagram_repeats(1, &flow, b"ab\0"),
            "another length"
        );
        assert!(!bursts.datagram_repeats(1, &flow, &long));
        let mut tail = long;
        tail[HEAD] = 8;
        assert!(bursts.datagram_repeats(1, &flow, &tail), "beyond the head");
        tail[HEAD - 1] = 8;
        assert!(!bursts.datagram_repeats(1, &flow, &tail));
    }

    #[test]
    fn only_listed_packets_outlive_a_new_trail_set() {
        let mut bursts = Bursts::default();
        let flow = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        assert!(!bursts.syn_repeats(1, &flow));
        bursts.forget_seen();
        assert!(!bursts.syn_repeats(1, &flow));
        bursts.syn_listed();
        bursts.forget_seen();
        assert!(bursts.syn_repeats(1, &flow));
    }
}
