//! A bounded map that forgets what was not used for longest.
//!
//! ```text
//! buckets: hash ─► first slot of a chain          slots: value, hash, chain, newer, older
//!                                                 newest ⇄ ... ⇄ oldest
//! ```
//!
//! Callers bring the hash and the comparison, so keys may be borrowed while values are inline.
//!
//! Bound: the capacity given to [`Lru::new`]. All memory is reserved there (and touched only as
//! slots fill); afterwards nothing allocates. When full, an insertion takes the slot of the least
//! recently used value and counts an eviction.

/// The place of no slot.
const NONE: u32 = u32::MAX;

/// A map of at most `capacity` values.
#[derive(Debug)]
pub(crate) struct Lru<T> {
    /// First slot of each chain, plus one; 0 for none, so that fresh memory is an empty table.
    buckets: Box<[u32]>,
    slots: Vec<Slot<T>>,
    capacity: usize,
    newest: u32,
    oldest: u32,
    evictions: u64,
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    hash: u64,
    /// Next slot of the chain, plus one.
    chain: u32,
    newer: u32,
    older: u32,
}

impl<T> Lru<T> {
    /// An empty map for `capacity` values, at least one and at most 2³¹.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 31);
        Self {
            buckets: vec![0; capacity.next_power_of_two()].into_boxed_slice(),
            slots: Vec::with_capacity(capacity),
            capacity,
            newest: NONE,
            oldest: NONE,
            evictions: 0,
        }
    }

    /// How many values are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many values were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Whether the value with this hash that `is` recognises is held; it is the newest then.
    #[inline]
    pub(crate) fn touch(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> bool {
        let Some(at) = self.find(hash, is) else {
            return false;
        };
        if at != self.newest {
            self.unlink(at);
            self.link_newest(at);
        }
        true
    }

    /// The value with this hash that `is` recognises; it is the newest then.
    #[inline]
    pub(crate) fn get_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let at = self.find(hash, is)?;
        if at != self.newest {
            self.unlink(at);
            self.link_newest(at);
        }
        self.slots.get_mut(at as usize).map(|slot| &mut slot.value)
    }

    /// Before an insertion into a full map: makes the oldest value the newest as long as `keep`
    /// wants it, `tries` times at most, so that something worth less is forgotten.
    pub(crate) fn spare_oldest(&mut self, tries: usize, keep: impl Fn(&T) -> bool) {
        if self.slots.len() < self.capacity {
            return;
        }
        for _ in 0..tries {
            let at = self.oldest;
            match self.slots.get(at as usize) {
                Some(slot) if at != self.newest && keep(&slot.value) => {
                    self.unlink(at);
                    self.link_newest(at);
                }
                _ => return,
            }
        }
    }

    /// All values, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &slot.value)
    }

    /// The value touched or added last.
    #[inline]
    pub(crate) fn newest_mut(&mut self) -> Option<&mut T> {
        let slot = self.slots.get_mut(self.newest as usize);
        slot.map(|slot| &mut slot.value)
    }

    /// All values, to be changed, in no order that means anything.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().map(|slot| &mut slot.value)
    }

    /// Adds a value that is not held. The oldest one goes when the map is full.
    pub(crate) fn insert(&mut self, hash: u64, value: T) {
        let at = if self.slots.len() < self.capacity {
            self.slots.push(Slot {
                value,
                hash,
                chain: 0,
                newer: NONE,
                older: NONE,
            });
            self.slots.len() as u32 - 1
        } else {
            let at = self.oldest;
            self.unlink(at);
            self.unchain(at);
            if let Some(slot) = self.slots.get_mut(at as usize) {
                (slot.value, slot.hash) = (value, hash);
            }
            self.evictions += 1;
            at
        };
        self.chain(hash, at);
        self.link_newest(at);
    }

    /// Forgets everything; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.buckets.fill(0);
        (self.newest, self.oldest) = (NONE, NONE);
    }

    #[inline]
    fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        let mut link = *self.buckets.get(self.bucket(hash))?;
        // Ends: chains are disjoint lists of slots.
        while let Some(at) = link.checked_sub(1) {
            let slot = self.slots.get(at as usize)?;
            if slot.hash == hash && is(&slot.value) {
                return Some(at);
            }
            link = slot.chain;
        }
        None
    }

    /// The bucket of a hash: there is a power of two of them.
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn chain(&mut self, hash: u64, at: u32) {
        let bucket = self.bucket(hash);
        if let Some(first) = self.buckets.get_mut(bucket) {
            let rest = std::mem::replace(first, at + 1);
            if let Some(slot) = self.slots.get_mut(at as usize) {
                slot.chain = rest;
            }
        }
    }

    fn unchain(&mut self, at: u32) {
        let Some((hash, rest)) = self
            .slots
            .get(at as usize)
            .map(|slot| (slot.hash, slot.chain))
        else {
            return;
        };
        let bucket = self.bucket(hash);
        let mut link = self.buckets.get(bucket).copied().unwrap_or_default();
        if link == at + 1 {
            if let Some(first) = self.buckets.get_mut(bucket) {
                *first = rest;
            }
            return;
        }
        while let Some(before) = link.checked_sub(1)
            && let Some(slot) = self.slots.get_mut(before as usize)
        {
            if slot.chain == at + 1 {
                slot.chain = rest;
                return;
            }
            link = slot.chain;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else {
            return;
        };
        let (newer, older) = (slot.newer, slot.older);
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let next = std::mem::replace(&mut self.newest, at);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            (slot.newer, slot.older) = (NONE, next);
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values are their own hash, so values with equal low bits share a bucket.
    fn touch(lru: &mut Lru<u64>, value: u64) -> bool {
        lru.touch(value, |&held| held == value)
    }

    #[test]
    fn a_full_map_forgets_what_was_not_used_for_longest() {
        let mut lru = Lru::new(3);
        for value in [1, 2, 3] {
            lru.insert(value, value);
        }
        assert!(touch(&mut lru, 1));
        lru.insert(4, 4);
        assert!(!touch(&mut lru, 2), "2 was the oldest");
        assert!(touch(&mut lru, 1) && touch(&mut lru, 3) && touch(&mut lru, 4));
        assert_eq!((lru.len(), lru.evictions()), (3, 1));
    }

    #[test]
    fn values_of_one_hash_are_told_apart() {
        let mut lru = Lru::new(4);
        lru.insert(7, "a");
        lru.insert(7, "b");
        assert!(lru.touch(7, |&held| held == "a") && lru.touch(7, |&held| held == "b"));
        assert!(!lru.touch(7, |&held| held == "c"));
    }

    #[test]
    fn a_full_map_spares_what_is_worth_more_for_so_many_tries() {
        let mut lru = Lru::new(3);
        for value in [1, 2, 3] {
            lru.spare_oldest(1, |_| true);
            lru.insert(value, value);
        }
        lru.spare_oldest(1, |&value| value == 1);
        lru.insert(4, 4);
        assert_eq!(lru.iter().copied().collect::<Vec<_>>(), [1, 4, 3]);
        lru.spare_oldest(2, |_| true);
        lru.insert(5, 5);
        assert!(!touch(&mut lru, 4), "3 and 1 were spared, no more tries");
        let mut one = Lru::new(1);
        one.insert(1, 1);
        one.spare_oldest(9, |_| true);
        one.insert(2, 2);
        assert!(touch(&mut one, 2));
    }

    #[test]
    fn a_value_may_be_changed_and_is_the_newest_then() {
        let mut lru = Lru::new(2);
        lru.insert(1, (1, 0));
        lru.insert(2, (2, 0));
        lru.get_mut(1, |held| held.0 == 1).unwrap().1 = 9;
        assert!(lru.get_mut(3, |held| held.0 == 3).is_none());
        lru.insert(3, (3, 0));
        assert_eq!(lru.get_mut(1, |held| held.0 == 1), Some(&mut (1, 9)));
        assert!(lru.get_mut(2, |held| held.0 == 2).is_none());
    }

    #[test]
    fn a_cleared_map_is_empty_and_usable() {
        let mut lru = Lru::new(2);
        for value in [1, 2, 3] {
            lru.insert(value, value);
        }
        lru.clear();
        assert!(!touch(&mut lru, 3));
        lru.insert(3, 3);
        assert!(touch(&mut lru, 3));
        assert_eq!(lru.len(), 1);
    }

    proptest! {
        /// The same answers as a list in order of use.
        #[test]
        fn agrees_with_a_list(capacity in 1usize..9, steps in prop::collection::vec(0u64..24, 0..300)) {
            let mut lru = Lru::new(capacity);
            let mut model: Vec<u64> = Vec::new();
            for value in steps {
                let held = model.iter().position(|&known| known == value);
                prop_assert_eq!(touch(&mut lru, value), held.is_some());
                match held {
                    Some(at) => { model.remove(at); }
                    None => lru.insert(value, value),
                }
                model.push(value);
                if model.len() > capacity {
                    model.remove(0);
                }
                prop_assert_eq!(lru.len(), model.len());
            }
        }
    }
}
