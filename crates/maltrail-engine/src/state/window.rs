//! Sliding windows: how many distinct values a key showed of late.
//!
//! A value counts for the seconds of one window from its last sighting on. To know that `N` values
//! count, the `N` seen last are enough, so a key holds `N` values and its answer is exact, however
//! many there were. When the `N`th one arrives the key is due, with the oldest value it holds as
//! detail; the sweep that comes with the next second takes what is due. A key is due once a window.
//!
//! Bounds: [`MAX_KEYS`] keys of `N` values, in place. When full, the key not seen for longest goes and is
//! counted; one with more than one value, still within its window, is spared a few times, so that a
//! flood of single packets from invented addresses does not hide a scan. What is due is bounded by
//! the same number; beyond it a key stays to become due with its next packet, which is counted.
//! All memory is reserved at the start and touched as keys come; a sighting allocates nothing.
//! Hashes are seeded at random, as strangers choose the keys; no result depends on them.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::clock::Moment;
use super::lru::Lru;

/// Most keys of one table.
pub(crate) const MAX_KEYS: usize = 50_000;
/// How many keys worth keeping an insertion passes over.
const SPARED: usize = 4;

/// What a table is about: its hash and its equality.
pub(crate) trait Key: Copy + Ord {
    /// Writes what tells keys apart.
    fn write(self, hasher: &mut impl Hasher);
}

/// Source and destination.
impl Key for (IpAddr, IpAddr) {
    fn write(self, hasher: &mut impl Hasher) {
        match self {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let high = u64::from(src.to_bits()) << 32;
                hasher.write_u64(high | u64::from(dst.to_bits()));
            }
            (src, dst) => {
                write_address(src, hasher);
                write_address(dst, hasher);
            }
        }
    }
}

/// Source and destination port.
impl Key for (IpAddr, u16) {
    fn write(self, hasher: &mut impl Hasher) {
        write_address(self.0, hasher);
        hasher.write_u16(self.1);
    }
}

fn write_address(address: IpAddr, hasher: &mut impl Hasher) {
    match address {
        IpAddr::V4(v4) => hasher.write_u32(v4.to_bits()),
        IpAddr::V6(v6) => hasher.write_u128(v6.to_bits()),
    }
}

/// A value, and the port from which it was first approached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting<V> {
    /// What is counted.
    pub(crate) value: V,
    /// The source port of the packet that brought it.
    pub(crate) src_port: u16,
}

#[derive(Clone, Copy, Debug)]
struct Held<V> {
    what: Sighting<V>,
    seen: u32,
}

/// One key with the values it showed last, in the order of their arrival.
#[derive(Debug)]
struct Watched<K, V, const N: usize> {
    key: K,
    held: [Held<V>; N],
    len: u8,
    /// The second in whose sweep it was taken last; a window later it may be due again.
    quiet: Option<u32>,
}

impl<K: Key, V: Copy + Eq, const N: usize> Watched<K, V, N> {
    fn new(key: K, what: Sighting<V>, now: Moment) -> Self {
        let first = Held {
            what,
            seen: now.second(),
        };
        Self {
            key,
            held: [first; N],
            len: 1,
            quiet: None,
        }
    }

    fn held(&self) -> &[Held<V>] {
        self.held.get(..usize::from(self.len)).unwrap_or_default()
    }

    #[inline]
    fn note(&mut self, what: Sighting<V>, now: Moment) {
        let len = usize::from(self.len);
        let held = self.held.get_mut(..len).unwrap_or_default();
        if let Some(known) = held.iter_mut().find(|held| held.what.value == what.value) {
            // What no longer counted comes as something new, so its place is the last one.
            if now.counts(known.seen) {
                known.seen = now.second();
                return;
            }
        }
        self.forget_old(now);
        if usize::from(self.len) == N {
            self.forget_oldest(now);
        }
        if let Some(place) = self.held.get_mut(usize::from(self.len)) {
            let seen = now.second();
            *place = Held { what, seen };
            self.len += 1;
        }
    }

    /// Drops what does not count any more, and keeps the order.
    fn forget_old(&mut self, now: Moment) {
        let mut kept = 0;
        for at in 0..usize::from(self.len) {
            let Some(&held) = self.held.get(at) else {
                continue;
            };
            if now.counts(held.seen)
                && let Some(place) = self.held.get_mut(kept)
            {
                *place = held;
                kept += 1;
            }
        }
        self.len = kept as u8;
    }

    fn forget_oldest(&mut self, now: Moment) {
        let age = |held: &Held<V>| now.age(held.seen);
        let ages = self.held().iter().map(age).enumerate();
        // Of equal ages the one that came first goes.
        let oldest = ages.rev().max_by_key(|&(_, age)| age);
        if let Some((at, _)) = oldest {
            self.held.copy_within(at.saturating_add(1).., at);
            self.len = self.len.saturating_sub(1);
        }
    }

    /// Whether `N` values count and nothing was due within a window.
    #[inline]
    fn is_due(&self, now: Moment) -> bool {
        usize::from(self.len) == N
            && self.held.iter().all(|held| now.counts(held.seen))
            && self.quiet.is_none_or(|taken| !now.next().counts(taken))
    }

    fn is_active(&self, now: Moment) -> bool {
        self.held().iter().any(|held| now.counts(held.seen))
    }
}

/// A key that showed `N` values within a window, and the oldest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due<K, V> {
    /// The key.
    pub(crate) key: K,
    /// The value that arrived first.
    pub(crate) first: Sighting<V>,
}

/// All keys of one kind.
#[derive(Debug)]
pub(crate) struct Windows<K, V, const N: usize> {
    keys: Lru<Watched<K, V, N>>,
    due: Vec<Due<K, V>>,
    refused: u64,
    limit: usize,
    seed: RandomState,
}

impl<K: Key, V: Copy + Eq, const N: usize> Windows<K, V, N> {
    /// Nothing seen, room for `capacity` keys.
    pub(crate) fn new(capacity: usize) -> Self {
        const { assert!(N > 1 && N < 128) };
        Self {
            keys: Lru::new(capacity),
            due: Vec::new(),
            refused: 0,
            limit: capacity,
            seed: RandomState::default(),
        }
    }

    /// How many keys were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.keys.evictions()
    }

    /// How often a key could not become due because too many were.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Notes that `key` showed a value.
    #[inline]
    pub(crate) fn note(&mut self, key: K, what: Sighting<V>, now: Moment) {
        let hash = self.hash(key);
        let Some(watched) = self.keys.get_mut(hash, |held| held.key == key) else {
            self.keys
                .spare_oldest(SPARED, |held| held.len > 1 && held.is_active(now));
            self.keys.insert(hash, Watched::new(key, what, now));
            return;
        };
        watched.note(what, now);
        if !watched.is_due(now) {
            return;
        }
        if self.due.len() >= self.limit {
            self.refused += 1;
            return;
        }
        watched.quiet = Some(now.next().second());
        if let Some(first) = watched.held().first() {
            let first = first.what;
            self.due.push(Due { key, first });
        }
    }

    /// Takes what is due, sorted by key.
    pub(crate) fn take_due(&mut self) -> Vec<Due<K, V>> {
        let mut due = std::mem::take(&mut self.due);
        // Twins are keys that were forgotten and came again within a second.
        due.sort_by_key(|due| due.key);
        due.dedup_by_key(|due| due.key);
        due
    }

    /// Lets a key be due with its next packet, as it was not reported.
    pub(crate) fn retry(&mut self, key: K) {
        let hash = self.hash(key);
        if let Some(watched) = self.keys.get_mut(hash, |held| held.key == key) {
            watched.quiet = None;
        }
    }

    /// Keys with a value that counts.
    pub(crate) fn active(&self, now: Moment) -> impl Iterator<Item = K> {
        let active = self.keys.iter().filter(move |held| held.is_active(now));
        active.map(|held| held.key)
    }

    /// Forgets everything but what is due.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
    }

    #[inline]
    fn hash(&self, key: K) -> u64 {
        let mut hasher = self.seed.build_hasher();
        key.write(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u32 = 30;

    fn key(n: u32) -> (IpAddr, u16) {
        (IpAddr::from(n.to_be_bytes()), 445)
    }

    fn now(second: u32) -> Moment {
        Moment::new(second, WINDOW)
    }

    fn sighting(value: u16) -> Sighting<u16> {
        let src_port = 1;
        Sighting { value, src_port }
    }

    type Three = Windows<(IpAddr, u16), u16, 3>;

    /// Values of key 1 by second; the seconds in which it was due, with the value shown.
    fn due(seen: &[(u32, u16)]) -> Vec<(u32, u16)> {
        let mut windows = Three::new(8);
        let mut found = Vec::new();
        for &(second, value) in seen {
            windows.note(key(1), sighting(value), now(second));
            found.extend(
                windows
                    .take_due()
                    .iter()
                    .map(|due| (second, due.first.value)),
            );
        }
        found
    }

    #[test]
    fn distinct_values_count_until_a_window_after_their_last_sighting() {
        assert_eq!(due(&[(0, 1), (0, 2), (0, 2), (0, 3)]), [(0, 1)]);
        assert_eq!(due(&[(0, 1), (15, 2), (29, 3)]), [(29, 1)]);
        assert_eq!(due(&[(0, 1), (15, 2), (30, 3)]), []);
        assert_eq!(due(&[(0, 1), (10, 1), (15, 2), (39, 3)]), [(39, 1)]);
        assert_eq!(due(&[(0, 1), (15, 2), (30, 1), (31, 3)]), [(31, 2)]);
    }

    #[test]
    fn a_key_is_due_once_a_window() {
        let seen: Vec<(u32, u16)> = (0..70).map(|second| (second, second as u16)).collect();
        // Taken at 3, so the next ones are taken 30 and 60 seconds after.
        assert_eq!(due(&seen), [(2, 0), (32, 30), (62, 60)]);
    }

    #[test]
    fn the_seconds_may_wrap() {
        let near = u32::MAX - 1;
        assert_eq!(due(&[(near, 1), (u32::MAX, 2), (0, 3)]), [(0, 1)]);
    }

    #[test]
    fn what_is_due_comes_sorted_and_once() {
        let mut windows = Three::new(8);
        for n in [3, 1, 2] {
            for value in 1..6 {
                windows.note(key(n), sighting(value), now(7));
            }
        }
        let keys: Vec<_> = windows.take_due().iter().map(|due| due.key).collect();
        assert_eq!(keys, [key(1), key(2), key(3)]);
        assert_eq!(windows.take_due(), []);
        windows.retry(key(2));
        windows.note(key(2), sighting(1), now(8));
        assert_eq!(windows.take_due().len(), 1);
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_keeps_what_counts_more() {
        let mut windows = Three::new(4);
        windows.note(key(1), sighting(1), now(0));
        windows.note(key(1), sighting(2), now(0));
        for n in 2..1000 {
            windows.note(key(n), sighting(1), now(1));
        }
        assert_eq!((windows.keys.len(), windows.evictions()), (4, 999 - 4));
        windows.note(key(1), sighting(3), now(2));
        assert_eq!(windows.take_due().len(), 1, "the flood did not hide key 1");
        // Once its window is over it is like any other.
        for n in 2..9 {
            windows.note(key(n), sighting(1), now(99));
        }
        assert!(windows.active(now(99)).all(|active| active != key(1)));
    }

    #[test]
    fn what_is_due_is_bounded_and_comes_later() {
        let mut windows = Windows::<(IpAddr, u16), u16, 2>::new(2);
        for n in 0..4 {
            for value in 0..2 {
                windows.note(key(n), sighting(value), now(0));
            }
        }
        assert_eq!((windows.due.len(), windows.refused()), (2, 2));
        windows.take_due();
        windows.note(key(3), sighting(0), now(0));
        assert_eq!(windows.take_due().len(), 1);
    }

    proptest! {
        /// Due in exactly the seconds in which a list of everything ever seen says so.
        #[test]
        fn agrees_with_counting_everything(
            seen in prop::collection::vec((0u32..12, 0u16..6), 0..80),
        ) {
            let (mut second, mut next) = (0, 0);
            let mut windows = Three::new(8);
            let mut all: Vec<(u32, u16)> = Vec::new();
            for (ahead, value) in seen {
                second += ahead;
                all.push((second, value));
                windows.note(key(1), sighting(value), now(second));
                let recent = all.iter().filter(|&&(seen, _)| second - seen < WINDOW);
                let values: std::collections::HashSet<u16> = recent.map(|&(_, value)| value).collect();
                let wanted = values.len() >= 3 && second + 1 >= next;
                if wanted {
                    next = second + 1 + WINDOW;
                }
                prop_assert_eq!(windows.take_due().len(), usize::from(wanted), "{:?}", all);
            }
        }
    }
}
