//! Every address and name that was seen: when first, when last, how often.
//!
//! ```text
//! address ─► recent (direct-mapped: key, place) ─hit─► tally += 1
//!                └─miss─► table (hash ─► place) ─► known: tally += 1 │ new: appended, or refused when full
//! ```
//!
//! It is called for both ends of every packet, so what was seen a moment ago costs a multiplication
//! and two cache lines, and nothing allocates but the first packet and [`Observables::take`]. That hands the
//! window out for the store that keeps them ([`Window::rows`]) and starts an empty one.
//!
//! Bounds: [`MAX_KEYS`] addresses and names a window, [`NAME_BYTES`] of names; new ones beyond are
//! refused and counted, known ones count on. All room is reserved with the first packet of a window and touched
//! as it fills. Keys come from packets, so the tables have seeded hashes.
//!
//! Not recorded: unspecified, broadcast and multicast addresses.

use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use maltrail_core::addr::is_local;
use maltrail_core::time::Timestamp;

/// Addresses and names of one window.
pub const MAX_KEYS: usize = 200_000;

/// Bytes of the names of one window: 40 each if it were names alone.
pub const NAME_BYTES: usize = 8 << 20;

/// Flags of a row: a DNS name.
const DNS: u8 = 1;
/// Flags of a row: a local address.
const LOCAL: u8 = 1 << 1;
/// Flags of a row: an address elsewhere.
const REMOTE: u8 = 2 << 1;

/// Places of the recent IPv4 and IPv6 addresses: 32 and 64 KiB, of which only what is in use is in a
/// cache.
const RECENT_BITS: [u32; 2] = [12, 11];

/// A window in memory.
#[derive(Debug)]
pub struct Observables {
    v4: Seen<u32>,
    v6: Seen<u128>,
    names: Seen<Span>,
    /// The names, one after the other.
    text: String,
    max_keys: usize,
    refused: u64,
}

/// Where a name stands in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

impl Default for Observables {
    fn default() -> Self {
        Self::new()
    }
}

impl Observables {
    /// An empty window.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(MAX_KEYS)
    }

    fn bounded(max_keys: usize) -> Self {
        let [v4, v6] = RECENT_BITS;
        Self {
            v4: Seen::new(v4),
            v6: Seen::new(v6),
            names: Seen::new(0),
            text: String::new(),
            max_keys,
            refused: 0,
        }
    }

    /// Records both ends of a packet with a valid IP header.
    #[inline]
    pub fn packet(&mut self, at: Timestamp, src: IpAddr, dst: IpAddr) {
        let second = at.secs();
        self.address(second, src);
        self.address(second, dst);
    }

    /// Records a DNS name, in lower case, of a question or an answer.
    pub fn name(&mut self, at: Timestamp, name: &str) {
        let hash = self.names.seed.hash_one(name);
        let text = &self.text;
        let known = |span: &Span| text.get(span.start..span.end) == Some(name);
        let place = match self.names.find(hash, known) {
            Some(place) => Some(place),
            None => self.new_name(hash, name),
        };
        match place {
            Some(place) => self.names.count(place, at.secs()),
            None => self.refused += 1,
        }
    }

    #[cold]
    fn new_name(&mut self, hash: u64, name: &str) -> Option<u32> {
        let (start, end) = (self.text.len(), self.text.len() + name.len());
        if !self.room() || end > NAME_BYTES {
            return None;
        }
        if self.text.capacity() == 0 {
            self.text.reserve_exact(NAME_BYTES);
        }
        self.text.push_str(name);
        self.names.append(hash, Span { start, end }, self.max_keys)
    }

    /// Hands the window out and starts an empty one.
    #[must_use]
    pub fn take(&mut self) -> Window {
        Window {
            v4: self.v4.take(),
            v6: self.v6.take(),
            names: self.names.take(),
            text: std::mem::take(&mut self.text),
        }
    }

    /// Addresses and names in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.tallies.len() + self.v6.tallies.len() + self.names.tallies.len()
    }

    /// Whether nothing was seen since the last window was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often something new was not recorded because the window was full, in all windows.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn room(&self) -> bool {
        self.len() < self.max_keys
    }

    #[inline]
    fn address(&mut self, second: i64, address: IpAddr) {
        // Numbers from here on: a copied `IpAddr` stalls the loads of its parts.
        match address {
            IpAddr::V4(address) => {
                let key = address.to_bits();
                if !self.v4.recent(key, key, second) {
                    self.other_v4(second, key);
                }
            }
            IpAddr::V6(address) => {
                let key = u128::from_ne_bytes(address.octets());
                // Interface identifiers and prefixes both tell hosts apart.
                let folded = (key ^ (key >> 64)) as u64;
                if !self
                    .v6
                    .recent(key, (folded ^ (folded >> 32)) as u32, second)
                {
                    self.other_v6(second, key);
                }
            }
        }
    }

    /// An address that was not seen a moment ago. The excluded ones get here each time.
    #[cold]
    fn other_v4(&mut self, second: i64, key: u32) {
        let address = Ipv4Addr::from_bits(key);
        if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
            return;
        }
        let room = self.room().then_some(self.max_keys);
        if !self.v4.other(key, second, room) {
            self.refused += 1;
        }
    }

    #[cold]
    fn other_v6(&mut self, second: i64, key: u128) {
        let address = Ipv6Addr::from(key.to_ne_bytes());
        if address.is_unspecified() || address.is_multicast() {
            return;
        }
        let room = self.room().then_some(self.max_keys);
        if !self.v6.other(key, second, room) {
            self.refused += 1;
        }
    }
}

/// What was seen of one key.
#[derive(Clone, Debug)]
struct Tally<K> {
    key: K,
    hash: u64,
    first: i64,
    last: i64,
    count: u64,
}

/// Tallies of one kind of keys.
#[derive(Debug)]
struct Seen<K> {
    tallies: Vec<Tally<K>>,
    /// Places in `tallies`.
    table: HashTable<u32>,
    /// Keys seen lately, with their places; a place that does not have the key is no hit.
    recent: Box<[(K, u32)]>,
    /// Where the key of the last miss belongs in `recent`.
    slot: usize,
    bits: u32,
    seed: RandomState,
}

impl<K: Copy + Eq + Default> Seen<K> {
    fn new(bits: u32) -> Self {
        Self {
            tallies: Vec::new(),
            table: HashTable::new(),
            recent: vec![(K::default(), u32::MAX); 1 << bits].into_boxed_slice(),
            slot: 0,
            bits,
            seed: RandomState::default(),
        }
    }

    /// Counts a key that was seen lately; `mixed` are bits of it that tell keys apart.
    #[inline]
    fn recent(&mut self, key: K, mixed: u32, second: i64) -> bool {
        // The golden ratio spreads neighbours (Knuth, multiplicative hashing).
        self.slot = (mixed.wrapping_mul(0x9e37_79b9) >> (32 - self.bits)) as usize;
        let Some((recent, place)) = self.recent.get(self.slot) else {
            return false;
        };
        let place = *place;
        if *recent != key || self.tallies.len() <= place as usize {
            return false;
        }
        self.count(place, second);
        true
    }

    /// Counts a key after [`Seen::recent`] did not know it. With `room`, a new one is taken among so
    /// many; otherwise whether it was known.
    fn other(&mut self, key: K, second: i64, room: Option<usize>) -> bool
    where
        K: Hash,
    {
        let hash = self.seed.hash_one(key);
        let place = self.find(hash, |known| *known == key);
        let place = place.or_else(|| self.append(hash, key, room?));
        let Some(place) = place else {
            return false;
        };
        if let Some(recent) = self.recent.get_mut(self.slot) {
            *recent = (key, place);
        }
        self.count(place, second);
        true
    }

    fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<u32> {
        let same = |&place: &u32| {
            let tally = self.tallies.get(place as usize);
            tally.is_some_and(|tally| is(&tally.key))
        };
        self.table.find(hash, same).copied()
    }

    /// Adds a key; the first one reserves room for `room` of them.
    fn append(&mut self, hash: u64, key: K, room: usize) -> Option<u32> {
        let place = u32::try_from(self.tallies.len()).ok()?;
        if self.tallies.capacity() == 0 {
            self.tallies.reserve_exact(room);
        }
        self.tallies.push(Tally {
            key,
            hash,
            first: i64::MAX,
            last: i64::MIN,
            count: 0,
        });
        let tallies = &self.tallies;
        let hash_of = |&place: &u32| tallies.get(place as usize).map_or(0, |tally| tally.hash);
        if self.table.capacity() == 0 {
            self.table.reserve(room, hash_of);
        }
        self.table.insert_unique(hash, place, hash_of);
        Some(place)
    }

    #[inline]
    fn count(&mut self, place: u32, second: i64) {
        if let Some(tally) = self.tallies.get_mut(place as usize) {
            tally.first = tally.first.min(second);
            tally.last = tally.last.max(second);
            tally.count += 1;
        }
    }

    /// The tallies. The table keeps its room.
    fn take(&mut self) -> Vec<Tally<K>> {
        self.table.clear();
        for (_, place) in &mut self.recent {
            *place = u32::MAX;
        }
        std::mem::take(&mut self.tallies)
    }
}

/// What was seen in one window.
#[derive(Debug, Default)]
pub struct Window {
    v4: Vec<Tally<u32>>,
    v6: Vec<Tally<u128>>,
    names: Vec<Tally<Span>>,
    text: String,
}

/// One address or name of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Who it was.
    pub observable: Observable<'a>,
    /// Bit 0: a DNS name; bits 1 and 2: 1 a local address, 2 one elsewhere.
    pub flags: u8,
    /// Second in which it was first seen in the window.
    pub first_seen: i64,
    /// Second in which it was last seen.
    pub last_seen: i64,
    /// How often.
    pub count: u64,
}

/// An address or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observable<'a> {
    /// An address.
    Address(IpAddr),
    /// A DNS name.
    Name(&'a str),
}

impl Window {
    /// Addresses and names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each with what was seen of it.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let v4 = self.v4.iter().map(|tally| {
            let address = IpAddr::V4(Ipv4Addr::from_bits(tally.key));
            tally.row(Observable::Address(address), scope(is_local(address)))
        });
        let v6 = self.v6.iter().map(|tally| {
            let address = Ipv6Addr::from(tally.key.to_ne_bytes());
            let first = address.octets()[0];
            let is_local = address.is_loopback() || matches!(first, 0xfc..=0xfe);
            tally.row(Observable::Address(address.into()), scope(is_local))
        });
        let names = self.names.iter();
        let names = names.map(|tally| {
            let name = self.text.get(tally.key.start..tally.key.end);
            tally.row(Observable::Name(name.unwrap_or_default()), DNS)
        });
        v4.chain(v6).chain(names)
    }
}

const fn scope(is_local: bool) -> u8 {
    if is_local { LOCAL } else { REMOTE }
}

impl<K> Tally<K> {
    const fn row<'a>(&self, observable: Observable<'a>, flags: u8) -> Row<'a> {
        Row {
            observable,
            flags,
            first_seen: self.first,
            last_seen: self.last,
            count: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_parts(second, 999_999)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    /// Text, flags, first, last and count of each row.
    fn rows(window: &Window) -> Vec<(String, u8, i64, i64, u64)> {
        let row = |row: Row<'_>| {
            let text = match row.observable {
                Observable::Address(address) => address.to_string(),
                Observable::Name(name) => name.to_owned(),
            };
            (text, row.flags, row.first_seen, row.last_seen, row.count)
        };
        let mut rows: Vec<_> = window.rows().map(row).collect();
        rows.sort();
        rows
    }

    #[test]
    fn addresses_and_names_have_first_last_count_and_flags() {
        let mut seen = Observables::new();
        seen.packet(at(100), ip("10.0.0.5"), ip("203.0.113.7"));
        seen.packet(at(90), ip("203.0.113.7"), ip("10.0.0.5"));
        seen.packet(at(120), ip("2001:db8::1"), ip("fd00::5"));
        seen.packet(at(121), ip("fe80::1"), ip("::1"));
        seen.name(at(100), "evil.example");
        seen.name(at(101), "evil.example");
        let row =
            |text: &str, flags, first, last, count| (text.to_owned(), flags, first, last, count);
        assert_eq!(seen.len(), 7);
        assert_eq!(
            rows(&seen.take()),
            [
                row("10.0.0.5", 2, 90, 100, 2),
                row("2001:db8::1", 4, 120, 120, 1),
                row("203.0.113.7", 4, 90, 100, 2),
                row("::1", 2, 121, 121, 1),
                row("evil.example", 1, 100, 101, 2),
                row("fd00::5", 2, 120, 120, 1),
                row("fe80::1", 2, 121, 121, 1),
            ]
        );
        // The next window starts from nothing.
        assert!(seen.is_empty());
        seen.packet(at(200), ip("10.0.0.5"), ip("2001:db8::1"));
        seen.name(at(201), "evil.example");
        assert_eq!(
            rows(&seen.take()),
            [
                row("10.0.0.5", 2, 200, 200, 1),
                row("2001:db8::1", 4, 200, 200, 1),
                row("evil.example", 1, 201, 201, 1),
            ]
        );
        assert!(seen.take().is_empty());
    }

    #[test]
    fn addresses_of_nobody_are_left_out() {
        let mut seen = Observables::new();
        for [src, dst] in [
            ["0.0.0.0", "255.255.255.255"],
            ["224.0.0.251", "239.255.255.250"],
            ["::", "ff02::fb"],
        ] {
            seen.packet(at(1), ip(src), ip(dst));
        }
        assert!(seen.take().is_empty());
        seen.packet(at(1), ip("0.0.0.1"), ip("223.255.255.255"));
        seen.packet(at(1), ip("240.0.0.1"), ip("feff::1"));
        assert_eq!(seen.take().len(), 4);
        assert_eq!(seen.refused(), 0);
    }

    #[test]
    fn the_window_is_bounded_and_known_keys_count_on() {
        let mut seen = Observables::bounded(100);
        for round in 0..2 {
            for n in 0..60u32 {
                let v4 = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
                let v6 = IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) + u128::from(n)));
                seen.packet(at(round), v4, v6);
                seen.name(at(round), &format!("n{n}.example"));
            }
            assert_eq!(seen.len(), 100);
        }
        assert_eq!(seen.refused(), 2 * (180 - 100));
        let counts: Vec<u64> = rows(&seen.take()).into_iter().map(|row| row.4).collect();
        assert_eq!(counts, [2; 100]);
        seen.name(at(3), "late.example");
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn names_are_bounded_in_bytes() {
        let mut seen = Observables::new();
        let long = "a".repeat(200);
        let names = u32::try_from(NAME_BYTES / 208 + 10).expect("number");
        for n in 0..names {
            seen.name(at(0), &format!("{n:08}{long}"));
        }
        assert_eq!((seen.len(), seen.refused()), (NAME_BYTES / 208, 10));
        let window = seen.take();
        assert_eq!(window.text.capacity(), NAME_BYTES);
        let first = window.rows().next().expect("row").observable;
        assert_eq!(first, Observable::Name(&format!("00000000{long}")));
        // The next window has its own room.
        seen.name(at(0), &long);
        assert_eq!((seen.len(), seen.refused()), (1, 10));
    }

    #[test]
    fn the_bound_is_what_the_reference_keeps() {
        let mut seen = Observables::new();
        for n in 0..200_010u32 {
            let [_, a, b, c] = n.to_be_bytes();
            let address = IpAddr::from([10, a, b, c]);
            seen.packet(at(0), address, address);
        }
        assert_eq!((seen.len(), seen.refused()), (200_000, 20));
    }

    proptest! {
        /// As a plain map counts.
        #[test]
        fn nothing_is_counted_twice_or_not_at_all(
            packets in prop::collection::vec((0i64..50, 0u32..4000, 0u32..4000, any::<bool>()), 0..3000),
            takes in prop::collection::btree_set(0usize..3000, 0..4),
        ) {
            let mut seen = Observables::new();
            let mut wanted: BTreeMap<String, (i64, i64, u64)> = BTreeMap::new();
            for (n, (second, src, dst, is_v6)) in packets.into_iter().enumerate() {
                let [src, dst] = [src, dst].map(|n| match is_v6 {
                    // Hosts of one network, and networks with one host.
                    true if n % 2 == 0 => {
                        IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | u128::from(n)))
                    }
                    true => IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | (u128::from(n) << 80) | 1)),
                    false => IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | n)),
                });
                seen.packet(at(second), src, dst);
                for address in [src, dst] {
                    let tally = wanted.entry(address.to_string()).or_insert((second, second, 0));
                    *tally = (tally.0.min(second), tally.1.max(second), tally.2 + 1);
                }
                if takes.contains(&n) {
                    check(&seen.take(), std::mem::take(&mut wanted))?;
                }
            }
            check(&seen.take(), wanted)?;
        }
    }

    fn check(
        window: &Window,
        wanted: BTreeMap<String, (i64, i64, u64)>,
    ) -> Result<(), TestCaseError> {
        let found: BTreeMap<_, _> = rows(window)
            .into_iter()
            .map(|(text, _, first, last, count)| (text, (first, last, count)))
            .collect();
        prop_assert_eq!(found, wanted);
        Ok(())
    }
}
