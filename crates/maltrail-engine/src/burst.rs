//! Bursts: packets that repeat within a second are examined once.
//!
//! A SYN repeats when second, both addresses and both ports are those of the last SYN, or of the
//! last SYN that was reported. A UDP datagram repeats when, besides, its payload has the same length
//! and the same first [`HEAD`] bytes, so that two questions of one socket are two. Other packets
//! never repeat.
//!
//! State: four slots, overwritten; nothing grows.

use crate::flow::Flow;

/// Payload bytes that are compared.
pub(crate) const HEAD: usize = 64;

/// The last packets of each kind.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    syn: Memory<Syn>,
    datagram: Memory<Datagram>,
}

/// The last one seen and the last one reported.
#[derive(Debug)]
struct Memory<K> {
    seen: Option<K>,
    reported: Option<K>,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            seen: None,
            reported: None,
        }
    }
}

impl<K: PartialEq> Memory<K> {
    #[inline]
    fn repeats(&mut self, key: K) -> bool {
        if self.seen.as_ref() == Some(&key) {
            return true;
        }
        let repeats = self.reported.as_ref() == Some(&key);
        self.seen = Some(key);
        repeats
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Syn {
    second: i64,
    flow: Flow,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Datagram {
    second: i64,
    len: usize,
    flow: Flow,
    head: [u8; HEAD],
}

impl Bursts {
    /// Whether this SYN was examined already.
    #[inline]
    pub(crate) fn syn_repeats(&mut self, second: i64, flow: &Flow) -> bool {
        let flow = *flow;
        self.syn.repeats(Syn { second, flow })
    }

    /// Whether this datagram was examined already.
    #[inline]
    pub(crate) fn datagram_repeats(&mut self, second: i64, flow: &Flow, payload: &[u8]) -> bool {
        let mut head = [0; HEAD];
        for (to, from) in head.iter_mut().zip(payload) {
            *to = *from;
        }
        self.datagram.repeats(Datagram {
            second,
            len: payload.len(),
            flow: *flow,
            head,
        })
    }

    /// Remembers that the last SYN was reported.
    pub(crate) fn syn_reported(&mut self) {
        self.syn.reported.clone_from(&self.syn.seen);
    }

    /// Remembers that the last datagram was reported.
    pub(crate) fn datagram_reported(&mut self) {
        self.datagram.reported.clone_from(&self.datagram.seen);
    }

    /// Forgets what was seen without a report, as another trail set may judge it otherwise.
    pub(crate) fn forget_seen(&mut self) {
        self.syn.seen = None;
        self.datagram.seen = None;
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
