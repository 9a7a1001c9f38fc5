//! Many names below one domain, as floods of random names and tunnels through DNS ask for them.
//!
//! Counted are distinct names within a window of [`WINDOW_SECS`] that starts with the first of them, for
//! the domain and for each client of it; the question after [`MOST_NAMES`] are known is reported, once
//! an hour for the domain and once for each further client that does so alone. Trails of the name
//! are looked up all the same.
//!
//! Left out: names of two labels, names whose first label is an address written with dashes,
//! domains with a word that ends in `bl` (block lists), and what a client asks in a window with
//! one of [`DISCOVERY`].
//!
//! Bounds: [`DOMAINS`] keys with up to [`FEW`] names each; of these, [`BUSY`] with more, which hold
//! [`SLOTS`] hashes each (8 MiB in all). The least recently asked go first and are counted.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use maltrail_core::event::Kind;
use maltrail_core::name::HostName;

use crate::finding::Finding;
use crate::state::lru::Lru;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "dns_exhaustion";

/// Most names of a window that are not reported.
pub(crate) const MOST_NAMES: usize = 1000;
/// Length of a window.
const WINDOW_SECS: u64 = 60;
/// How long a reported key is quiet.
const QUIET_SECS: u64 = 3600;
/// Most keys: domains, and clients with a domain.
const DOMAINS: usize = 50_000;
/// Names that a key holds without a place among the busy ones.
const FEW: usize = 8;
/// Most keys with more names.
const BUSY: usize = 1024;
/// Hashes of a busy key: twice [`MOST_NAMES`], so that probes are short.
const SLOTS: usize = 2048;
/// What machines ask for to find services; zones with such names are those of a site.
const DISCOVERY: [&str; 3] = ["wpad", "autodiscover", "_ldap._tcp"];
const INFO: &str = "potential dns exhaustion (suspicious)";

/// Where the domain of `name` starts: its last two labels, or three below a short second label such
/// as `co.uk`. `None` for names of two labels.
pub(crate) fn domain_start(name: HostName<'_>) -> Option<usize> {
    let text = name.as_str();
    let mut dots = text.rmatch_indices('.').map(|(dot, _)| dot);
    let (last, second) = (dots.next()?, dots.next()?);
    let short = last.saturating_sub(second) <= 4;
    match dots.next() {
        Some(third) if short => Some(third + 1),
        _ => Some(second + 1),
    }
}

/// What names were asked for.
#[derive(Debug)]
pub(crate) struct Exhaustion {
    keys: Lru<Key>,
    busy: Lru<Busy>,
    seed: RandomState,
}

#[derive(Debug)]
struct Key {
    id: u64,
    window: i64,
    /// When it was reported last.
    reported: Option<i64>,
    names: [u32; FEW],
    len: u8,
    crowded: bool,
    discovery: bool,
}

impl Key {
    const fn new(id: u64, second: i64) -> Self {
        Self {
            id,
            window: second,
            reported: None,
            names: [0; FEW],
            len: 0,
            crowded: false,
            discovery: false,
        }
    }

    fn is_quiet(&self, second: i64) -> bool {
        self.reported
            .is_some_and(|reported| second.abs_diff(reported) <= QUIET_SECS)
    }
}

/// The names of a busy key, as an open-addressing set of hashes; 0 is a free place.
#[derive(Debug)]
struct Busy {
    id: u64,
    hashes: Box<[u32]>,
    len: usize,
}

impl Busy {
    fn new(id: u64, names: &[u32]) -> Self {
        let mut busy = Self {
            id,
            hashes: vec![0; SLOTS].into_boxed_slice(),
            len: 0,
        };
        for &name in names {
            busy.insert(name);
        }
        busy
    }

    fn insert(&mut self, name: u32) {
        if self.len >= MOST_NAMES {
            return;
        }
        // Ends: at most half of the places are taken.
        for probe in 0..SLOTS {
            let at = (name as usize).wrapping_add(probe) % SLOTS;
            match self.hashes.get_mut(at) {
                Some(place) if *place == 0 => {
                    *place = name;
                    self.len += 1;
                    return;
                }
                Some(place) if *place == name => return,
                _ => {}
            }
        }
    }
}

/// What one more name means for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// Nothing yet.
    Few,
    /// It is to be reported.
    Due,
    /// It was, lately.
    Known,
}

/// What a question is for its domain.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What is to be reported.
    pub(crate) finding: Option<Finding<'static>>,
    /// Whether the domain is exhausted now.
    pub(crate) exhausted: bool,
}

impl Exhaustion {
    /// Nothing asked for yet.
    pub(crate) fn new() -> Self {
        Self {
            keys: Lru::new(DOMAINS),
            busy: Lru::new(BUSY),
            seed: RandomState::default(),
        }
    }

    /// How many keys, and names of busy keys, were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.keys.evictions() + self.busy.evictions()
    }

    /// Notes that `client` asks for `name`. `is_white` says whether a domain is whitelisted.
    #[inline]
    pub(crate) fn question(
        &mut self,
        second: i64,
        client: IpAddr,
        name: HostName<'_>,
        is_white: impl Fn(&str) -> bool,
    ) -> Verdict {
        let Some(start) = domain_start(name) else {
            return Verdict::default();
        };
        if is_dashed_address(name.first_label()) {
            return Verdict::default();
        }
        let text = name.as_str();
        let domain = text.get(start..).unwrap_or(text);
        let sub = text.get(..start.saturating_sub(1)).unwrap_or(text);
        let hash = self.hash(sub, 0) as u32 | 1;
        let discovery = DISCOVERY.contains(&sub);
        let all = self.hash(domain, 0);
        let of_client = self.hash(domain, self.seed.hash_one(client));
        let alone = self.count(second, of_client, hash, discovery);
        // Who looks for services of the zone is left out of its sum, so that he excuses nobody else.
        let together = if self.searches(of_client) {
            Count::Few
        } else {
            self.count(second, all, hash, false)
        };
        let counts = [together, alone];
        let exhausted = counts.iter().any(|count| *count != Count::Few);
        // A client that does so alone is one more finding, also when the domain is known.
        if !counts.contains(&Count::Due) || is_white(domain) || has_block_list_word(text) {
            return Verdict {
                finding: None,
                exhausted: exhausted && !is_white(domain),
            };
        }
        for id in [all, of_client] {
            self.report(second, id);
        }
        let trail = format!("({sub}).{domain}");
        let finding = Finding::heuristic(NAME, Kind::Dns, trail, INFO);
        Verdict {
            finding: Some(finding.keyed(domain.to_owned())),
            exhausted,
        }
    }

    /// Whether the domain of `name` was reported lately.
    pub(crate) fn is_exhausted(&mut self, second: i64, name: HostName<'_>) -> bool {
        let Some(start) = domain_start(name) else {
            return false;
        };
        let domain = name.as_str().get(start..).unwrap_or_default();
        let id = self.hash(domain, 0);
        let key = self.keys.get_mut(id, |key| key.id == id);
        key.is_some_and(|key| key.is_quiet(second))
    }

    /// Whether this key's window has one of [`DISCOVERY`].
    fn searches(&mut self, id: u64) -> bool {
        let key = self.keys.get_mut(id, |key| key.id == id);
        key.is_some_and(|key| key.discovery)
    }

    #[inline]
    fn count(&mut self, second: i64, id: u64, name: u32, discovery: bool) -> Count {
        let is = |key: &Key| key.id == id;
        let Some(key) = self.keys.get_mut(id, is) else {
            let mut key = Key::new(id, second);
            (key.len, key.discovery) = (1, discovery);
            if let Some(first) = key.names.first_mut() {
                *first = name;
            }
            self.keys.insert(id, key);
            return Count::Few;
        };
        // Packets may come a little out of order.
        if second.abs_diff(key.window) > WINDOW_SECS {
            (key.window, key.len) = (second, 0);
            (key.crowded, key.discovery) = (false, false);
        }
        key.discovery |= discovery;
        let (known, discovery) = (key.is_quiet(second), key.discovery);
        let len = usize::from(key.len);
        if !key.crowded {
            let names = key.names.get(..len).unwrap_or_default();
            if names.contains(&name) {
                return Count::Few;
            }
            if let Some(place) = key.names.get_mut(len) {
                *place = name;
                key.len += 1;
                return Count::Few;
            }
            key.crowded = true;
            let names = key.names;
            self.crowd(id, &names);
        }
        let Some(busy) = self.busy.get_mut(id, |busy| busy.id == id) else {
            // Its names were forgotten: it begins anew.
            self.crowd(id, &[name]);
            return Count::Few;
        };
        if busy.len < MOST_NAMES {
            busy.insert(name);
            return Count::Few;
        }
        match (known, discovery) {
            (true, _) => Count::Known,
            (false, true) => Count::Few,
            (false, false) => Count::Due,
        }
    }

    #[cold]
    fn crowd(&mut self, id: u64, names: &[u32]) {
        if let Some(old) = self.busy.get_mut(id, |busy| busy.id == id) {
            *old = Busy::new(id, names);
        } else {
            self.busy.insert(id, Busy::new(id, names));
        }
    }

    fn report(&mut self, second: i64, id: u64) {
        if let Some(key) = self.keys.get_mut(id, |key| key.id == id) {
            key.reported = Some(second);
        }
    }

    #[inline]
    fn hash(&self, text: &str, with: u64) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(with);
        text.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether a label is an address such as `192-0-2-1`.
fn is_dashed_address(label: &str) -> bool {
    if !label.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    label.split('-').count() == 4 && label.split('-').all(number)
}

/// Whether a word of `name` ends in `bl`.
fn has_block_list_word(name: &str) -> bool {
    name.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .any(|word| word.ends_with("bl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11));

    fn ask(state: &mut Exhaustion, second: i64, client: IpAddr, name: &str) -> Option<String> {
        let name = HostName::new(name).expect("name");
        let verdict = state.question(second, client, name, |domain| domain == "white.com");
        verdict.finding.map(|finding| finding.trail)
    }

    /// The trails reported while `client` asks for this many names below `zone`.
    fn flood(
        state: &mut Exhaustion,
        second: i64,
        client: IpAddr,
        names: std::ops::Range<usize>,
        zone: &str,
    ) -> Vec<String> {
        names
            .filter_map(|n| ask(state, second, client, &format!("s{n}.{zone}")))
            .collect()
    }

    #[test]
    fn a_domain_has_two_labels_or_three_below_a_short_one() {
        for (name, wanted) in [
            ("a.com", None),
            ("x.a.com", Some("a.com")),
            ("y.x.evil.com", Some("evil.com")),
            ("y.x.a.com", Some("x.a.com")),
            ("x.victim.co.uk", Some("victim.co.uk")),
            ("victim.co.uk", Some("co.uk")),
            ("x.victim.info.uk", Some("info.uk")),
        ] {
            let found = domain_start(HostName::new(name).expect("name"));
            assert_eq!(found.map(|start| &name[start..]), wanted, "{name}");
        }
    }

    #[test]
    fn each_client_that_floods_alone_is_named_and_others_are_not() {
        let mut state = Exhaustion::new();
        assert_eq!(
            flood(&mut state, 0, CLIENT, 0..1002, "a.com"),
            ["(s1000).a.com"]
        );
        assert_eq!(ask(&mut state, 1, OTHER, "www.a.com"), None);
        assert_eq!(flood(&mut state, 2, OTHER, 0..1002, "a.com").len(), 1);
        assert_eq!(flood(&mut state, 3, OTHER, 0..1002, "a.com").len(), 0);
        let name = HostName::new("www.a.com").expect("name");
        assert!(state.is_exhausted(4, name) && !state.is_exhausted(3605, name));
    }

    #[test]
    fn many_clients_together_are_a_flood() {
        let mut state = Exhaustion::new();
        let client = |n: usize| IpAddr::from([10, 0, (n / 250) as u8, (n % 250) as u8]);
        let found: Vec<String> = (0..1100)
            .filter_map(|n| ask(&mut state, 0, client(n), &format!("s{n}.a.com")))
            .collect();
        assert_eq!(found, ["(s1000).a.com"]);
    }

    #[test]
    fn an_hour_later_it_may_be_reported_again() {
        let mut state = Exhaustion::new();
        assert_eq!(flood(&mut state, 0, CLIENT, 0..1001, "a.com").len(), 1);
        assert_eq!(flood(&mut state, 3000, CLIENT, 0..1001, "a.com").len(), 0);
        assert_eq!(flood(&mut state, 3700, CLIENT, 0..1001, "a.com").len(), 1);
    }

    #[test]
    fn what_is_left_out() {
        let mut state = Exhaustion::new();
        assert_eq!(flood(&mut state, 0, CLIENT, 0..1100, "white.com").len(), 0);
        assert_eq!(flood(&mut state, 0, CLIENT, 0..1100, "rbl.a.com").len(), 0);
        ask(&mut state, 0, CLIENT, "wpad.b.com");
        assert_eq!(flood(&mut state, 0, CLIENT, 0..1100, "b.com").len(), 0);
        assert!(is_dashed_address("192-0-2-1") && !is_dashed_address("192-0-2"));
        assert!(!is_dashed_address("a-0-2-1"));
    }

    #[test]
    fn full_tables_forget_and_count_and_the_flood_is_still_found() {
        let mut state = Exhaustion::new();
        for n in 0..DOMAINS {
            ask(&mut state, 0, CLIENT, &format!("www.zone{n}.com"));
        }
        assert!(state.evictions() > 0);
        for zone in 0..=BUSY {
            flood(
                &mut state,
                1,
                CLIENT,
                0..FEW + 2,
                &format!("busy{zone}.com"),
            );
        }
        assert_eq!(state.busy.len(), BUSY);
        assert_eq!(flood(&mut state, 2, CLIENT, 0..1001, "a.com").len(), 1);
    }
}
