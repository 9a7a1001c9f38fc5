//! User agents that were examined and found clean: a network has few, each seen again and again.
//!
//! A table of [`SLOTS`] places; a value has one place by its seeded hash, and a newcomer replaces
//! what is there. Whole values are compared, so a collision costs a search and never a verdict.
//! Values longer than [`VALUE_BYTES`] are examined each time.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// Places of the table: 256 kB in all.
pub(crate) const SLOTS: usize = 1024;
/// Longest value that is kept. A browser's has about 110 bytes.
pub(crate) const VALUE_BYTES: usize = 254;

/// The memory of clean user agents.
#[derive(Debug)]
pub(crate) struct CleanAgents {
    slots: Box<[Slot]>,
    seed: RandomState,
    evictions: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    len: u16,
    bytes: [u8; VALUE_BYTES],
}

impl Slot {
    const EMPTY: Self = Self {
        len: 0,
        bytes: [0; VALUE_BYTES],
    };

    fn holds(&self, value: &[u8]) -> bool {
        usize::from(self.len) == value.len() && self.bytes.get(..value.len()) == Some(value)
    }
}

/// Where a value that is not known would be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

impl CleanAgents {
    /// No value yet.
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![Slot::EMPTY; SLOTS].into_boxed_slice(),
            seed: RandomState::default(),
            evictions: 0,
        }
    }

    /// How many values were replaced.
    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// `None` when `value` is known to be clean; otherwise its place.
    #[inline]
    pub(crate) fn unknown(&self, value: &[u8]) -> Option<Place> {
        let mut hasher = self.seed.build_hasher();
        hasher.write(value);
        let place = hasher.finish() as usize & (SLOTS - 1);
        let known = self.slots.get(place).is_some_and(|slot| slot.holds(value));
        (!known || value.is_empty()).then_some(Place(place))
    }

    /// Notes that `value` was examined and is clean.
    pub(crate) fn admit(&mut self, value: &[u8], place: Place) {
        let Some(slot) = self.slots.get_mut(place.0) else {
            return;
        };
        let (Some(bytes), Ok(len)) = (
            slot.bytes.get_mut(..value.len()),
            u16::try_from(value.len()),
        ) else {
            return;
        };
        bytes.copy_from_slice(value);
        self.evictions += u64::from(slot.len > 0);
        slot.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_are_remembered() {
        let mut agents = CleanAgents::new();
        let place = agents.unknown(b"a browser").unwrap();
        agents.admit(b"a browser", place);
        assert!(agents.unknown(b"a browser").is_none());
        assert!(agents.unknown(b"a browser/2").is_some());
        assert!(agents.unknown(b"a browse").is_some());
        assert!(agents.unknown(b"").is_some());
    }

    #[test]
    fn long_values_are_not_kept() {
        let mut agents = CleanAgents::new();
        for (length, kept) in [(VALUE_BYTES, true), (VALUE_BYTES + 1, false)] {
            let value = vec![b'x'; length];
            let place = agents.unknown(&value).unwrap();
            agents.admit(&value, place);
            assert_eq!(agents.unknown(&value).is_none(), kept);
        }
    }

    #[test]
    fn the_table_is_filled_and_replaced() {
        let mut agents = CleanAgents::new();
        for n in 0..20 * SLOTS {
            let value = n.to_string();
            let place = agents.unknown(value.as_bytes()).unwrap();
            agents.admit(value.as_bytes(), place);
            assert!(agents.unknown(value.as_bytes()).is_none());
        }
        let full = (20 * SLOTS - SLOTS) as u64;
        assert!(agents.evictions() >= full && agents.evictions() < full + SLOTS as u64 / 4);
    }
}
