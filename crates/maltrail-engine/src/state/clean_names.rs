//! Names that were examined and found clean, so that popular ones are examined once.
//!
//! A name enters at its second sighting: the first only leaves a fingerprint at the door, so names
//! that are asked for once, such as those of tunnels, push nobody out. A verdict holds for one trail
//! set; [`CleanNames::clear`] comes with the next.
//!
//! Bounds: the capacity (`DOMAIN_CACHE_ENTRIES`) of names, the least recently asked one goes first;
//! [`KEY_BYTES`] bytes a name, longer ones are examined each time; about two fingerprints an entry,
//! overwritten. Hashes are seeded at random, as names are chosen by strangers.
//! A fingerprint that collides only lets a name in early; membership itself compares whole names.

use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::lru::Lru;

/// Longest name that is kept. With its length and links an entry fills 88 bytes.
pub(crate) const KEY_BYTES: usize = 63;

/// The memory of clean names.
#[derive(Debug)]
pub(crate) struct CleanNames {
    names: Lru<Name>,
    /// Fingerprints of names seen once; 0 for none.
    door: Box<[u32]>,
    seed: RandomState,
}

#[derive(Debug)]
struct Name {
    len: u8,
    bytes: [u8; KEY_BYTES],
}

impl Name {
    fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_BYTES];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        Some(Self { len, bytes })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Proof that a name was looked for and is not known to be clean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown {
    hash: u64,
}

impl CleanNames {
    /// No name yet, room for `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        let doors = capacity.clamp(32, 1 << 30).next_power_of_two() * 2;
        Self {
            names: Lru::new(capacity),
            door: vec![0; doors].into_boxed_slice(),
            seed: RandomState::default(),
        }
    }

    /// How many names were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.names.evictions()
    }

    /// `None` when `name` is known to be clean; otherwise what [`CleanNames::admit`] needs after the
    /// examination.
    #[inline]
    pub(crate) fn unknown(&mut self, name: &str) -> Option<Unknown> {
        let mut hasher = self.seed.build_hasher();
        hasher.write(name.as_bytes());
        let hash = hasher.finish();
        let known = self
            .names
            .touch(hash, |held| held.as_bytes() == name.as_bytes());
        (!known).then_some(Unknown { hash })
    }

    /// Notes that `name` was examined and is clean.
    #[inline]
    pub(crate) fn admit(&mut self, name: &str, unknown: Unknown) {
        let hash = unknown.hash;
        let at = hash as usize & (self.door.len() - 1);
        let fingerprint = (hash >> 32) as u32 | 1;
        let Some(door) = self.door.get_mut(at) else {
            return;
        };
        if std::mem::replace(door, fingerprint) != fingerprint {
            return;
        }
        if let Some(key) = Name::new(name.as_bytes()) {
            self.names.insert(hash, key);
        }
    }

    /// Forgets all verdicts.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.door.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a clean name; whether it had to be examined.
    fn ask(names: &mut CleanNames, name: &str) -> bool {
        let unknown = names.unknown(name);
        if let Some(unknown) = unknown {
            names.admit(name, unknown);
        }
        unknown.is_some()
    }

    #[test]
    fn a_name_is_examined_twice_and_then_known() {
        let mut names = CleanNames::new(64);
        let examined: Vec<bool> = (0..4).map(|_| ask(&mut names, "clean.com")).collect();
        assert_eq!(examined, [true, true, false, false]);
        assert!(ask(&mut names, "clean.org"));
    }

    #[test]
    fn a_name_whose_hash_is_that_of_a_clean_one_is_examined() {
        let mut names = CleanNames::new(64);
        let unknown = names.unknown("listed.com").unwrap();
        for _ in 0..2 {
            names.admit("clean.com", unknown);
        }
        assert_eq!(names.names.len(), 1);
        assert!(names.unknown("listed.com").is_some());
    }

    #[test]
    fn a_new_trail_set_begins_with_nothing_known() {
        let mut names = CleanNames::new(64);
        for _ in 0..3 {
            ask(&mut names, "clean.com");
        }
        names.clear();
        assert!(ask(&mut names, "clean.com") && ask(&mut names, "clean.com"));
        assert!(!ask(&mut names, "clean.com"));
    }

    #[test]
    fn the_bound_holds_and_losses_are_counted() {
        let mut names = CleanNames::new(64);
        for n in 0..1000 {
            let name = format!("host{n}.com");
            assert!(ask(&mut names, &name) && ask(&mut names, &name));
        }
        assert_eq!(names.names.len(), 64);
        assert_eq!(names.evictions(), 1000 - 64);
        assert!(!ask(&mut names, "host999.com"), "the newest is known");
        assert!(ask(&mut names, "host0.com"), "the oldest is not");
    }

    #[test]
    fn names_asked_once_push_nobody_out() {
        let mut names = CleanNames::new(64);
        for _ in 0..2 {
            ask(&mut names, "popular.com");
        }
        for n in 0..10_000 {
            ask(&mut names, &format!("x{n}.tunnel.com"));
        }
        assert!(!ask(&mut names, "popular.com"));
    }

    #[test]
    fn names_too_long_to_keep_are_examined_each_time() {
        let mut names = CleanNames::new(64);
        let fits = format!("{}.com", "a".repeat(KEY_BYTES - 4));
        let long = format!("{}.com", "a".repeat(KEY_BYTES - 3));
        for _ in 0..2 {
            ask(&mut names, &fits);
            ask(&mut names, &long);
        }
        assert!(!ask(&mut names, &fits));
        assert!(ask(&mut names, &long));
    }
}
