//! Waiting heads, found by their flow, in the order of their last use.
//!
//! ```text
//! buckets: hash ─► first slot of a chain          slots: head, place, chain, newer, older
//!                                                 newest ⇄ ... ⇄ oldest          free ─► free ...
//! ```
//!
//! Bound: the capacity given to [`Table::new`], reserved there. Callers make room before they add.

use super::Head;
use super::openings::Place;
use crate::flow::Flow;

/// The place of no slot.
const NONE: u32 = u32::MAX;

/// Heads of at most `capacity` directions.
#[derive(Debug)]
pub(crate) struct Table {
    buckets: Box<[u32]>,
    slots: Vec<Slot>,
    capacity: usize,
    /// First of the slots without a head, chained.
    free: u32,
    newest: u32,
    oldest: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot {
    head: Option<Head>,
    place: Place,
    chain: u32,
    newer: u32,
    older: u32,
}

impl Table {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 20);
        Self {
            buckets: vec![NONE; capacity.next_power_of_two()].into_boxed_slice(),
            slots: Vec::with_capacity(capacity),
            capacity,
            free: NONE,
            newest: NONE,
            oldest: NONE,
            len: 0,
        }
    }

    /// How many heads wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether a further head would be one too many.
    pub(crate) const fn is_full(&self) -> bool {
        self.len >= self.capacity
    }

    /// The slot of a flow's head.
    pub(crate) fn find(&self, place: Place, flow: &Flow) -> Option<u32> {
        let mut at = *self.buckets.get(self.bucket(place))?;
        // Ends: chains are disjoint lists of slots.
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.place == place && slot.head.as_ref().is_some_and(|head| head.flow == *flow) {
                return Some(at);
            }
            at = slot.chain;
        }
        None
    }

    /// The head used least recently.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The head in a slot.
    pub(crate) fn get(&self, at: u32) -> Option<&Head> {
        self.slots.get(at as usize)?.head.as_ref()
    }

    /// The direction of the head in a slot.
    pub(crate) fn place(&self, at: u32) -> Option<Place> {
        self.slots.get(at as usize).map(|slot| slot.place)
    }

    /// How many slots were ever used at once; heads stand in slots below.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Adds a head that is not held; dropped when the table is full, which callers see to.
    pub(crate) fn insert(&mut self, place: Place, head: Head) {
        let slot = Slot {
            head: Some(head),
            place,
            chain: NONE,
            newer: NONE,
            older: NONE,
        };
        let at = if let Some(free) = self.slots.get_mut(self.free as usize) {
            let rest = free.chain;
            *free = slot;
            std::mem::replace(&mut self.free, rest)
        } else if self.slots.len() < self.capacity {
            self.slots.push(slot);
            self.slots() - 1
        } else {
            return;
        };
        self.len += 1;
        let bucket = self.bucket(place);
        if let Some(first) = self.buckets.get_mut(bucket) {
            let rest = std::mem::replace(first, at);
            if let Some(slot) = self.slots.get_mut(at as usize) {
                slot.chain = rest;
            }
        }
        self.link_newest(at);
    }

    /// Takes the head out of a slot.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Head> {
        let slot = self.slots.get_mut(at as usize)?;
        let head = slot.head.take()?;
        let (place, rest) = (slot.place, slot.chain);
        self.unlink(at);
        self.unchain(place, at, rest);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.chain = self.free;
        }
        self.free = at;
        self.len = self.len.saturating_sub(1);
        Some(head)
    }

    /// There is a power of two of buckets.
    fn bucket(&self, place: Place) -> usize {
        (place.hash as usize ^ usize::from(place.upward)) & (self.buckets.len() - 1)
    }

    fn unchain(&mut self, place: Place, at: u32, rest: u32) {
        let bucket = self.bucket(place);
        let Some(first) = self.buckets.get_mut(bucket) else {
            return;
        };
        if *first == at {
            *first = rest;
            return;
        }
        let mut before = *first;
        while let Some(slot) = self.slots.get_mut(before as usize) {
            if slot.chain == at {
                slot.chain = rest;
                return;
            }
            before = slot.chain;
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
    use maltrail_core::time::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::flow::tests::flow;

    fn key(n: u16) -> (Place, Flow) {
        let place = Place {
            hash: u64::from(n % 3),
            upward: n.is_multiple_of(2),
        };
        let port = format!("192.0.2.1:{n}");
        (place, flow(&port, "203.0.113.7:80", "TCP"))
    }

    proptest! {
        /// The same heads, in the same order, as a list.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((any::<bool>(), 0u16..12), 0..200)) {
            let mut table = Table::new(5);
            let mut model: Vec<u16> = Vec::new();
            for (add, n) in steps {
                let (place, flow) = key(n);
                let held = model.iter().position(|&known| known == n);
                let found = table.find(place, &flow);
                prop_assert_eq!(found.is_some(), held.is_some());
                match (found, held) {
                    (Some(at), Some(held)) => {
                        prop_assert_eq!(table.remove(at).map(|head| head.flow), Some(flow));
                        model.remove(held);
                    }
                    _ if add => {
                        if table.is_full() {
                            let oldest = table.oldest().unwrap();
                            table.remove(oldest);
                            model.remove(0);
                        }
                        table.insert(place, Head::new(flow, Timestamp::default(), 0, None));
                        model.push(n);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                let oldest = table.oldest().and_then(|at| table.get(at)).map(|head| head.flow);
                prop_assert_eq!(oldest, model.first().map(|&n| key(n).1));
            }
        }
    }
}
