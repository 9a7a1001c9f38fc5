//! One name, or many below one domain, that do not exist and are asked for over and over.
//!
//! Answers of a clock hour are counted for the full name and, for names of more than two labels, for
//! the last two labels; the one after [`MOST_ANSWERS`] is reported and the count begins anew. A
//! report of a domain lists what stood before it, from the second answer on.
//!
//! Bounds: [`NAMES`] names and [`DOMAINS`] domains, the least recently answered go first and are counted;
//! [`MAX_LIST`] bytes of listed names a domain, further ones are left out.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use maltrail_core::event::Kind;
use maltrail_core::name::HostName;

use crate::finding::Finding;
use crate::state::lru::Lru;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "no_such_domain";

/// Most answers of an hour that are not reported.
const MOST_ANSWERS: u32 = 20;
const HOUR_SECS: i64 = 3600;
/// Most names counted.
const NAMES: usize = 50_000;
/// Most domains counted; each may hold [`MAX_LIST`] bytes.
const DOMAINS: usize = 8192;
/// Most bytes of listed names. Twenty ordinary labels take 300.
const MAX_LIST: usize = 1024;
/// What machines ask for to find services, over and over.
const DISCOVERY: [&str; 3] = ["wpad", "autodiscover", "_ldap._tcp"];
const INFO: &str = "excessive no such domain (suspicious)";

/// What did not exist.
#[derive(Debug)]
pub(crate) struct NoSuchDomains {
    names: Lru<Counted<()>>,
    domains: Lru<Counted<Prefixes>>,
    seed: RandomState,
}

/// The answers for one key in one hour.
#[derive(Debug)]
struct Counted<T> {
    id: u64,
    hour: i64,
    answers: u32,
    seen: T,
}

/// What stood before a domain: comma-joined, distinct.
#[derive(Debug, Default)]
struct Prefixes(String);

impl Prefixes {
    fn add(&mut self, prefix: &str) {
        let known = self.0.split(',').any(|known| known == prefix);
        if known || self.0.len() + prefix.len() + 1 > MAX_LIST {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(prefix);
    }

    fn sorted(&self) -> String {
        let mut all: Vec<&str> = self.0.split(',').collect();
        all.sort_unstable();
        all.join(",")
    }
}

impl<T: Default> Counted<T> {
    /// Counts an answer; whether it is to be reported.
    fn count(&mut self, hour: i64) -> bool {
        if self.hour != hour {
            (self.hour, self.answers) = (hour, 0);
            self.seen = T::default();
        }
        self.answers += 1;
        self.answers > MOST_ANSWERS
    }
}

impl NoSuchDomains {
    /// Nothing answered yet.
    pub(crate) fn new() -> Self {
        Self {
            names: Lru::new(NAMES),
            domains: Lru::new(DOMAINS),
            seed: RandomState::default(),
        }
    }

    /// How many keys were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.names.evictions() + self.domains.evictions()
    }

    /// Notes an answer; what is to be reported, of the name and of its domain.
    pub(crate) fn answer(
        &mut self,
        second: i64,
        name: HostName<'_>,
    ) -> [Option<Finding<'static>>; 2] {
        let hour = second.div_euclid(HOUR_SECS);
        let text = name.as_str();
        let exact = self.of_name(hour, text).then(|| {
            let finding = Finding::heuristic(NAME, Kind::Dns, text.to_owned(), INFO);
            finding.keyed(text.to_owned())
        });
        let mut dots = text.rmatch_indices('.').map(|(dot, _)| dot);
        let domain = dots.nth(1).and_then(|dot| {
            let (prefix, domain) = (text.get(..dot)?, text.get(dot + 1..)?);
            let prefixes = self.of_domain(hour, prefix, domain)?;
            let discovery = DISCOVERY.iter().any(|word| prefixes.contains(word));
            let trail = format!("({prefixes}).{domain}");
            let finding = Finding::heuristic(NAME, Kind::Dns, trail, INFO);
            (!discovery).then(|| finding.keyed(domain.to_owned()))
        });
        [exact, domain]
    }

    fn of_name(&mut self, hour: i64, name: &str) -> bool {
        let id = self.hash(name);
        let Some(counted) = self.names.get_mut(id, |known| known.id == id) else {
            self.names.insert(
                id,
                Counted {
                    id,
                    hour,
                    answers: 1,
                    seen: (),
                },
            );
            return false;
        };
        let due = counted.count(hour);
        if due {
            counted.answers = 0;
        }
        due
    }

    /// What stood before a domain that is to be reported.
    fn of_domain(&mut self, hour: i64, prefix: &str, domain: &str) -> Option<String> {
        let id = self.hash(domain);
        let Some(counted) = self.domains.get_mut(id, |known| known.id == id) else {
            self.domains.insert(
                id,
                Counted {
                    id,
                    hour,
                    answers: 1,
                    seen: Prefixes::default(),
                },
            );
            return None;
        };
        let due = counted.count(hour);
        // The first answer of an hour is not listed.
        if counted.answers > 1 {
            counted.seen.add(prefix);
        }
        due.then(|| {
            counted.answers = 0;
            std::mem::take(&mut counted.seen).sorted()
        })
    }

    fn hash(&self, text: &str) -> u64 {
        self.seed.hash_one(text)
    }
}

/// Whether `name` looks up an address in a block list: more than four labels, the first four of
/// them numbers of an address.
pub(crate) fn is_block_list_look_up(name: HostName<'_>) -> bool {
    let mut labels = name.as_str().split('.');
    let mut numbers = labels.by_ref().take(4);
    numbers.all(|label| label.parse::<u8>().is_ok()) && labels.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(state: &mut NoSuchDomains, second: i64, name: &str) -> Vec<String> {
        let found = state.answer(second, HostName::new(name).expect("name"));
        let found = found.into_iter().flatten();
        found.map(|finding| finding.trail).collect()
    }

    fn repeat(state: &mut NoSuchDomains, second: i64, name: &str, times: usize) -> Vec<String> {
        (0..times)
            .flat_map(|_| answer(state, second, name))
            .collect()
    }

    #[test]
    fn the_twenty_first_of_a_clock_hour_is_reported_and_the_count_begins_anew() {
        let mut state = NoSuchDomains::new();
        assert_eq!(repeat(&mut state, 3599, "a.com", 20), [""; 0]);
        assert_eq!(repeat(&mut state, 3600, "a.com", 20), [""; 0]);
        assert_eq!(repeat(&mut state, 3601, "a.com", 1), ["a.com"]);
        assert_eq!(repeat(&mut state, 3602, "a.com", 20), [""; 0]);
        assert_eq!(repeat(&mut state, 3603, "a.com", 1), ["a.com"]);
    }

    #[test]
    fn names_of_a_domain_are_listed_from_the_second_on() {
        let mut state = NoSuchDomains::new();
        let found: Vec<String> = (0..21)
            .rev()
            .flat_map(|n| answer(&mut state, 0, &format!("n{n}.x.a.com")))
            .collect();
        let wanted: Vec<String> = {
            let mut names: Vec<String> = (0..20).map(|n| format!("n{n}.x")).collect();
            names.sort();
            vec![format!("({}).a.com", names.join(","))]
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn searches_for_services_are_left_out_of_domains_only() {
        let mut state = NoSuchDomains::new();
        assert_eq!(repeat(&mut state, 0, "wpad.a.com", 21), ["wpad.a.com"]);
    }

    #[test]
    fn lists_and_tables_are_bounded() {
        let mut state = NoSuchDomains::new();
        let long = "x".repeat(60);
        let found: Vec<String> = (0..21)
            .flat_map(|n| answer(&mut state, 0, &format!("n{n}.{long}.{long}.{long}.a.com")))
            .collect();
        assert!(found.len() == 1 && found[0].len() < MAX_LIST + 20);
        for n in 0..=NAMES {
            answer(&mut state, 0, &format!("zone{n}.com"));
        }
        assert!(state.evictions() > 0);
        assert_eq!(repeat(&mut state, 0, "b.com", 21), ["b.com"]);
    }

    #[test]
    fn block_lists_are_asked_with_addresses() {
        for (name, wanted) in [
            ("1.2.3.4.zen-x.org", true),
            ("1.2.3.4.org", true),
            ("1.2.3.org", false),
            ("1.2.3.256.x.org", false),
        ] {
            let found = is_block_list_look_up(HostName::new(name).expect("name"));
            assert_eq!(found, wanted, "{name}");
        }
    }
}
