//! Bursts: packets that repeat within a second are examined once.
//!
//! A SYN repeats when second, both addresses and both ports are those of the last SYN, or of the
//! last SYN that was reported. A UDP datagram repeats when, besides, its payload has the same length
//! and the same first [`HEAD`] bytes, so that two questions of one socket are two. Other packets
//! never repeat.
//!
//! State: four slots, overwritten; nothing grows.

use std::net::IpAddr;

use crate::flow::Flow;

/// Payload bytes that are compared.
pub(crate) const HEAD: usize = 64;

/// The last packets of each kind: seen, and reported.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    syn: Option<Ends>,
    syn_reported: Option<Ends>,
    datagram: Option<Datagram>,
    datagram_reported: Option<Datagram>,
}

/// Who sent a packet to whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    // Compared in this order: what differs between neighbours in a capture comes first.
    ports: (Option<u16>, Option<u16>),
    second: i64,
    src: IpAddr,
    dst: IpAddr,
}

impl Ends {
    #[inline]
    const fn new(second: i64, flow: &Flow) -> Self {
        Self {
            ports: (flow.src.port, flow.dst.port),
            second,
            src: flow.src.ip,
            dst: flow.dst.ip,
        }
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
        let repeats = self.syn == ends || self.syn_reported == ends;
        self.syn = ends;
        repeats
    }

    /// Whether this datagram was examined already.
    #[inline]
    pub(crate) fn datagram_repeats(&mut self, second: i64, flow: &Flow, payload: &[u8]) -> bool {
        let ends = Ends::new(second, flow);
        let is = |known: &Datagram| known.is(&ends, payload);
        let repeats = self.datagram.as_ref().is_some_and(is)
            || self.datagram_reported.as_ref().is_some_and(is);
        let last = self.datagram.get_or_insert_with(|| Datagram::empty(ends));
        last.set(ends, payload);
        repeats
    }

    /// Remembers that the last SYN was reported.
    pub(crate) const fn syn_reported(&mut self) {
        self.syn_reported = self.syn;
    }

    /// Remembers that the last datagram was reported.
    pub(crate) const fn datagram_reported(&mut self) {
        self.datagram_reported = self.datagram;
    }

    /// Forgets what was seen without a report, as another trail set may judge it otherwise.
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
    fn one_slot_remembers_one_syn_and_reported_ones_have_their_own() {
        let mut bursts = Bursts::default();
        let listed = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        let other = flow("192.0.2.10:40001", "203.0.113.7:443", "TCP");
        assert!(!bursts.syn_repeats(1, &listed));
        bursts.syn_reported();
        assert!(!bursts.syn_repeats(1, &other));
        assert!(bursts.syn_repeats(1, &listed), "reported before");
        assert!(!bursts.syn_repeats(1, &other), "pushed out of its slot");
    }

    #[test]
    fn datagrams_with_another_payload_do_not_repeat() {
        let mut bursts = Bursts::default();
        let flow = flow("192.0.2.10:40000", "203.0.113.7:4444", "UDP");
        let long = [7; HEAD + 2];
        assert!(!bursts.datagram_repeats(1, &flow, b"ab"));
        assert!(bursts.datagram_repeats(1, &flow, b"ab"));
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
    fn only_reported_packets_outlive_a_new_trail_set() {
        let mut bursts = Bursts::default();
        let flow = flow("192.0.2.10:40000", "203.0.113.7:443", "TCP");
        assert!(!bursts.syn_repeats(1, &flow));
        bursts.forget_seen();
        assert!(!bursts.syn_repeats(1, &flow));
        bursts.syn_reported();
        bursts.forget_seen();
        assert!(bursts.syn_repeats(1, &flow));
    }
}
