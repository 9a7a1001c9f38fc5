//! Names reported to be asked for by a client, so that the answer is not reported again.
//!
//! An entry holds for [`WINDOW_SECS`] seconds of packet time, in both directions: capture files may
//! hold an answer before its question.
//!
//! Bound: [`CAPACITY`] entries. One whose time is over goes first; otherwise the one noted first
//! goes and is counted, and its answer may then be a second event.

use std::net::IpAddr;

/// Most names remembered.
pub(crate) const CAPACITY: usize = 256;
/// How long an answer may take. Resolvers give up earlier.
pub(crate) const WINDOW_SECS: u64 = 30;

/// What was reported lately.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    entries: Vec<Entry>,
    /// The one replaced next, once full.
    oldest: usize,
    evictions: u64,
}

#[derive(Debug)]
struct Entry {
    second: i64,
    client: IpAddr,
    name: String,
}

impl Entry {
    const fn holds(&self, second: i64) -> bool {
        self.second.abs_diff(second) <= WINDOW_SECS
    }
}

impl Reported {
    /// How many entries were forgotten before their time to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Whether `name` was reported for `client` lately.
    pub(crate) fn knows(&self, second: i64, client: IpAddr, name: &str) -> bool {
        let same =
            |entry: &Entry| entry.holds(second) && entry.client == client && entry.name == name;
        self.entries.iter().any(same)
    }

    /// Notes that `name` is reported for `client`.
    pub(crate) fn note(&mut self, second: i64, client: IpAddr, name: &str) {
        let reusable =
            |entry: &Entry| !entry.holds(second) || (entry.client == client && entry.name == name);
        let place = self.entries.iter().position(reusable);
        let entry = Entry {
            second,
            client,
            name: name.to_owned(),
        };
        if let Some(place) = place.and_then(|place| self.entries.get_mut(place)) {
            *place = entry;
        } else if self.entries.len() < CAPACITY {
            self.entries.push(entry);
        } else if let Some(place) = self.entries.get_mut(self.oldest) {
            *place = entry;
            self.oldest = self.oldest.saturating_add(1) % CAPACITY;
            self.evictions += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11));

    #[test]
    fn an_entry_is_for_its_client_name_and_time() {
        let mut reported = Reported::default();
        reported.note(100, ONE, "evil.com");
        assert!(reported.knows(100, ONE, "evil.com"));
        assert!(reported.knows(130, ONE, "evil.com") && reported.knows(70, ONE, "evil.com"));
        assert!(!reported.knows(131, ONE, "evil.com") && !reported.knows(69, ONE, "evil.com"));
        assert!(!reported.knows(100, TWO, "evil.com"));
        assert!(!reported.knows(100, ONE, "www.evil.com"));
    }

    #[test]
    fn the_same_again_and_what_is_over_take_no_room() {
        let mut reported = Reported::default();
        for second in 0..5 {
            reported.note(second, ONE, "evil.com");
        }
        assert_eq!(reported.entries.len(), 1);
        assert!(reported.knows(34, ONE, "evil.com"), "noted last at 4");
        reported.note(35, TWO, "other.com");
        assert_eq!(reported.entries.len(), 1);
        assert!(reported.knows(35, TWO, "other.com"));
    }

    #[test]
    fn when_full_the_one_noted_first_goes_and_is_counted() {
        let mut reported = Reported::default();
        for n in 0..=CAPACITY {
            reported.note(1, ONE, &format!("n{n}.com"));
        }
        assert_eq!(
            (reported.entries.len(), reported.evictions()),
            (CAPACITY, 1)
        );
        assert!(!reported.knows(1, ONE, "n0.com"));
        assert!(reported.knows(1, ONE, "n1.com") && reported.knows(1, ONE, "n256.com"));
    }

    #[test]
    fn any_time_is_taken() {
        let mut reported = Reported::default();
        reported.note(i64::MIN, ONE, "evil.com");
        assert!(!reported.knows(i64::MAX, ONE, "evil.com"));
    }
}
