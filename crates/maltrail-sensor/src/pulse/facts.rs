//! What a [`Pulse`](super::Pulse) has counted: sums that several workers can be added up from.

use maltrail_core::time::Timestamp;

/// VLANs that are told apart on one interface; further ones are counted together.
pub const MAX_VLANS: usize = 64;

/// Counts since the start. `sampled` and what follows it are of the packets looked at, about one in
/// thirty-two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PulseFacts {
    /// Frames shown.
    pub packets: u64,
    /// Frames that were longer on the wire than captured.
    pub cut: u64,
    /// Frames longer than the interface's MTU allows.
    pub oversized: u64,
    /// Time of the last frame.
    pub last: Timestamp,
    /// Its distance from the clock when both were last compared.
    pub skew_micros: i64,
    /// Comparisons in a row with too large a distance.
    pub skewed_ticks: u32,
    /// Frames looked at.
    pub sampled: u64,
    /// Longest of them, as on the wire.
    pub longest: u32,
    /// Packets of which copies can be told.
    pub comparable: u64,
    /// Copies among them.
    pub doubled: u64,
    /// TCP segments.
    pub tcp: u64,
    /// Segments of established connections from our networks to others.
    pub outward: u64,
    /// Segments of established connections from others to our networks.
    pub inward: u64,
    /// DNS questions.
    pub dns_questions: u64,
    /// DNS answers.
    pub dns_answers: u64,
    /// VLANs; the number 0 stands for frames without a tag.
    pub vlans: Vec<VlanFacts>,
    /// Frames of VLANs beyond [`MAX_VLANS`].
    pub other_vlans: u64,
}

/// One VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanFacts {
    /// Its number.
    pub id: u16,
    /// Frames looked at.
    pub frames: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
}

impl PulseFacts {
    pub(super) fn vlan(&mut self, id: u16, at: Timestamp) {
        let known = self.vlans.iter_mut().find(|vlan| vlan.id == id);
        if let Some(vlan) = known {
            vlan.frames += 1;
            vlan.last = vlan.last.max(at);
        } else if self.vlans.len() < MAX_VLANS {
            self.vlans.push(VlanFacts {
                id,
                frames: 1,
                first: at,
                last: at,
            });
        } else {
            self.other_vlans += 1;
        }
    }

    /// Adds what another worker has seen on the same interface.
    pub fn merge(&mut self, other: &Self) {
        for (sum, add) in self.counts_mut().into_iter().zip(other.counts()) {
            *sum = sum.saturating_add(add);
        }
        self.longest = self.longest.max(other.longest);
        if other.last > self.last {
            (self.last, self.skew_micros) = (other.last, other.skew_micros);
        }
        // A clock is wrong for all workers or for none: one that sees it right wins, unless it has
        // seen nothing.
        self.skewed_ticks = match (self.packets == other.packets, other.packets) {
            (true, _) => other.skewed_ticks,
            (false, 0) => self.skewed_ticks,
            _ => self.skewed_ticks.min(other.skewed_ticks),
        };
        for vlan in &other.vlans {
            if let Some(known) = self.vlans.iter_mut().find(|known| known.id == vlan.id) {
                known.frames += vlan.frames;
                known.first = known.first.min(vlan.first);
                known.last = known.last.max(vlan.last);
            } else if self.vlans.len() < MAX_VLANS {
                self.vlans.push(*vlan);
            } else {
                self.other_vlans += vlan.frames;
            }
        }
    }

    /// The counts since `before`; what is no count stays.
    pub fn since(&self, before: &Self) -> Self {
        let mut fresh = self.clone();
        for (count, earlier) in fresh.counts_mut().into_iter().zip(before.counts()) {
            *count = count.saturating_sub(earlier);
        }
        fresh
    }

    const fn counts(&self) -> [u64; 11] {
        [
            self.packets,
            self.cut,
            self.oversized,
            self.sampled,
            self.comparable,
            self.doubled,
            self.tcp,
            self.outward,
            self.inward,
            self.dns_questions,
            self.dns_answers,
        ]
    }

    const fn counts_mut(&mut self) -> [&mut u64; 11] {
        [
            &mut self.packets,
            &mut self.cut,
            &mut self.oversized,
            &mut self.sampled,
            &mut self.comparable,
            &mut self.doubled,
            &mut self.tcp,
            &mut self.outward,
            &mut self.inward,
            &mut self.dns_questions,
            &mut self.dns_answers,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(secs, 0)
    }

    #[test]
    fn workers_add_up_and_the_latest_packet_tells_the_time() {
        let mut one = PulseFacts {
            packets: 5,
            doubled: 1,
            last: at(10),
            skew_micros: 1,
            skewed_ticks: 9,
            ..PulseFacts::default()
        };
        one.vlan(7, at(3));
        let mut two = PulseFacts {
            packets: 2,
            dns_answers: 4,
            last: at(12),
            skew_micros: 2,
            skewed_ticks: 3,
            longest: 99,
            ..PulseFacts::default()
        };
        two.vlan(7, at(1));
        two.vlan(8, at(5));
        one.merge(&two);
        assert_eq!(
            (one.packets, one.doubled, one.dns_answers, one.longest),
            (7, 1, 4, 99)
        );
        assert_eq!(
            (one.last, one.skew_micros, one.skewed_ticks),
            (at(12), 2, 3)
        );
        assert_eq!(one.vlans.len(), 2);
        assert_eq!(
            (one.vlans[0].frames, one.vlans[0].first, one.vlans[0].last),
            (2, at(1), at(3))
        );
        one.merge(&PulseFacts::default());
        assert_eq!(
            (one.packets, one.skewed_ticks),
            (7, 3),
            "an idle worker says nothing"
        );
        let fresh = one.since(&two);
        assert_eq!(
            (fresh.packets, fresh.dns_answers, fresh.last),
            (5, 0, at(12))
        );
    }

    #[test]
    fn vlans_are_bounded() {
        let mut facts = PulseFacts::default();
        for id in 0..100 {
            facts.vlan(id, at(1));
        }
        assert_eq!((facts.vlans.len(), facts.other_vlans), (MAX_VLANS, 36));
        let mut other = PulseFacts::default();
        other.vlan(4000, at(1));
        facts.merge(&other);
        assert_eq!((facts.vlans.len(), facts.other_vlans), (MAX_VLANS, 37));
    }
}
