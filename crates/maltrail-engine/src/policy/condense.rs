//! Many small events of one cause as one: those of scanners, attackers and bad user agents.
//!
//! An event whose info has one of the [`KEYWORDS`] joins the group of its source and trail. The owner
//! takes the groups every few seconds and at the end. A group in which a column has no room for a
//! new value is handed out at once and begins anew, so that no value is lost.
//!
//! Bounds: the groups and values of [`Limits`], and three quarters of its bytes, so that what is condensed never
//! takes the throttle's room. Beyond the groups or bytes an event is refused: it goes on alone, and is
//! counted by the owner.

use hashbrown::HashTable;
use maltrail_core::event::Event;

use super::Limits;
use super::key::Seed;
use super::merge::{ALLOCATION, Merge};

/// Infos that are condensed contain one of these.
const KEYWORDS: [&str; 7] = [
    "attacker",
    "reputation",
    "scanner",
    "user agent",
    "tor exit",
    "port scanning",
    "potential infection",
];

/// What a group costs beside itself: its places in the list and in the table.
const PLACE: usize = 32 + ALLOCATION;

/// What became of an event.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is not of the kind that is condensed.
    Passed(Event),
    /// It is, and there is no room.
    Refused(Event),
    /// It joined a group; a group that was full is handed out.
    Joined(Option<Event>),
}

/// The groups.
#[derive(Debug)]
pub(super) struct Condenser {
    #[expect(
        clippy::vec_box,
        reason = "a growing list would copy megabytes while packets wait"
    )]
    groups: Vec<Box<Merge>>,
    /// Places in `groups`, by source and trail.
    table: HashTable<u32>,
    seed: Seed,
    limits: Limits,
    bytes: usize,
}

impl Condenser {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            groups: Vec::new(),
            table: HashTable::new(),
            seed: Seed::default(),
            limits,
            bytes: 0,
        }
    }

    /// Bytes that are held, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn event(&mut self, event: Event) -> Outcome {
        if !KEYWORDS.iter().any(|&word| event.info.contains(word)) {
            return Outcome::Passed(event);
        }
        let hash = self.seed.hash(event.src_ip.as_str(), &event.trail);
        let is_full = self.bytes >= self.limits.bytes / 4 * 3;
        let groups = &mut self.groups;
        let same = |&at: &u32| {
            let group = groups.get(at as usize);
            group.is_some_and(|group| group.is_of(event.src_ip.as_str(), &event.trail))
        };
        let place = self.table.find(hash, same).copied();
        let Some(group) = place.and_then(|at| groups.get_mut(at as usize)) else {
            if is_full || groups.len() >= self.limits.groups {
                return Outcome::Refused(event);
            }
            self.open(hash, event);
            return Outcome::Joined(None);
        };
        let before = group.bytes();
        let ends =
            group.is_full_for(&event, self.limits.values) || is_full && group.is_widened_by(&event);
        let handed_out = if ends {
            let old = std::mem::replace(&mut **group, Merge::new(event));
            Some(old.into_event())
        } else {
            group.add(&event, self.limits.values);
            None
        };
        self.bytes = (self.bytes + group.bytes()).saturating_sub(before);
        Outcome::Joined(handed_out)
    }

    /// All groups, in the order of their first events; none are left.
    pub(super) fn take(&mut self) -> Vec<Event> {
        self.table.clear();
        self.bytes = 0;
        let mut groups = std::mem::take(&mut self.groups);
        groups.sort_by_key(|group| group.time());
        groups.into_iter().map(|group| group.into_event()).collect()
    }

    fn open(&mut self, hash: u64, event: Event) {
        let Ok(place) = u32::try_from(self.groups.len()) else {
            return;
        };
        let group = Box::new(Merge::new(event));
        self.bytes += group.bytes() + PLACE;
        self.groups.push(group);
        let (groups, seed) = (&self.groups, &self.seed);
        self.table.insert_unique(hash, place, |&at| {
            let group = groups.get(at as usize);
            group.map_or(0, |group| group.hash(seed))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    const LIMITS: Limits = Limits {
        groups: 3,
        values: 5,
        bytes: 1 << 20,
    };

    fn scan(source: &str, port: u16) -> Event {
        let mut event = event(source, 1, port, "t");
        event.info = "mass scanner".to_owned();
        event
    }

    /// What came out, as destination ports and count.
    fn brief(events: &[Event]) -> Vec<(String, u64)> {
        let brief = |event: &Event| (event.dst_port.to_string(), event.details.count);
        events.iter().map(brief).collect()
    }

    #[test]
    fn infos_with_a_keyword_are_condensed() {
        for (info, condensed) in [
            ("known attacker", true),
            ("bad reputation", true),
            ("mass scanner", true),
            ("user agent (suspicious)", true),
            ("tor exit node", true),
            ("potential port scanning", true),
            ("potential infection", true),
            ("potential udp scanning", false),
            ("lumma (malware)", false),
        ] {
            let mut event = event("192.0.2.1", 1, 2, "t");
            event.info = info.to_owned();
            let outcome = Condenser::new(LIMITS).event(event);
            assert_eq!(
                matches!(outcome, Outcome::Joined(None)),
                condensed,
                "{info}"
            );
            assert_eq!(matches!(outcome, Outcome::Passed(_)), !condensed, "{info}");
        }
    }

    #[test]
    fn a_full_group_is_handed_out_and_begins_anew() {
        let mut condenser = Condenser::new(LIMITS);
        for port in [1, 2, 3, 4, 5, 5, 1] {
            let outcome = condenser.event(scan("192.0.2.1", port));
            assert!(matches!(outcome, Outcome::Joined(None)), "{outcome:?}");
        }
        let Outcome::Joined(Some(full)) = condenser.event(scan("192.0.2.1", 6)) else {
            panic!("the group had no room");
        };
        assert_eq!(brief(&[full]), [("1,2,3,4,5".to_owned(), 7)]);
        assert_eq!(brief(&condenser.take()), [("6".to_owned(), 1)]);
        assert_eq!(condenser.bytes(), 0);
        assert!(condenser.take().is_empty());
    }

    #[test]
    fn groups_are_bounded() {
        let mut condenser = Condenser::new(LIMITS);
        for n in 0..3 {
            let outcome = condenser.event(scan(&format!("192.0.2.{n}"), 1));
            assert!(matches!(outcome, Outcome::Joined(None)));
        }
        let outcome = condenser.event(scan("192.0.2.9", 1));
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        // Those that are there take more.
        let outcome = condenser.event(scan("192.0.2.0", 1));
        assert!(matches!(outcome, Outcome::Joined(None)), "{outcome:?}");
        assert_eq!(condenser.take().len(), 3);
        let outcome = condenser.event(scan("192.0.2.9", 1));
        assert!(matches!(outcome, Outcome::Joined(None)), "{outcome:?}");
    }

    #[test]
    fn bytes_are_bounded() {
        let mut condenser = Condenser::new(Limits {
            groups: 1000,
            values: 1000,
            bytes: 20_000,
        });
        let mut joined = 0;
        while let Outcome::Joined(None) = condenser.event(scan(&format!("192.0.2.{joined}"), 1)) {
            joined += 1;
        }
        assert!((5..40).contains(&joined), "{joined}");
        assert!((15_000..17_000).contains(&condenser.bytes()));
        // What takes no room is counted, what would take some ends the group.
        let outcome = condenser.event(scan("192.0.2.0", 1));
        assert!(matches!(outcome, Outcome::Joined(None)), "{outcome:?}");
        let outcome = condenser.event(scan("192.0.2.0", 2));
        let Outcome::Joined(Some(old)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(brief(&[old]), [("1".to_owned(), 2)]);
    }
}
