//! Which events of a day are already stored.
//!
//! Exact, at eight bytes per event: a sorted list, and a small set of recent ids that is merged into
//! it now and then. Ids that the intake has appended but the index has not read yet are kept apart,
//! so that reading them back does not count them as repeats.

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use maltrail_core::event::EventId;

/// Recent ids kept in the set before they are merged into the list.
const RECENT: usize = 64 * 1024;
/// Most appended ids that wait for the index. Beyond it repeats are found by the index only.
const PENDING: usize = 1 << 20;

/// Ids of one day.
#[derive(Debug, Default)]
pub(crate) struct DayIds {
    sorted: Vec<u64>,
    recent: HashSet<u64, RandomState>,
    pending: HashSet<u64, RandomState>,
}

impl DayIds {
    /// From the ids in an index file.
    pub(crate) fn from_stored(mut ids: Vec<u64>) -> Self {
        ids.sort_unstable();
        Self {
            sorted: ids,
            ..Self::default()
        }
    }

    /// The intake is about to append this event. False when it is stored already.
    pub(crate) fn append(&mut self, id: EventId) -> bool {
        if self.has(id.0) || self.pending.contains(&id.0) {
            return false;
        }
        if self.pending.len() < PENDING {
            self.pending.insert(id.0);
        }
        true
    }

    /// The index has read this event from the day file. False when it has read it before.
    pub(crate) fn index(&mut self, id: EventId) -> bool {
        self.pending.remove(&id.0);
        if self.has(id.0) {
            return false;
        }
        self.recent.insert(id.0);
        if self.recent.len() >= RECENT {
            self.sorted.extend(self.recent.drain());
            self.sorted.sort_unstable();
        }
        true
    }

    /// Memory in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.sorted.capacity() * 8 + (self.recent.capacity() + self.pending.capacity()) * 9
    }

    fn has(&self, id: u64) -> bool {
        self.recent.contains(&id) || self.sorted.binary_search(&id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_stored_once_whichever_way_it_comes() {
        let mut ids = DayIds::from_stored(vec![9, 3]);
        assert!(!ids.append(EventId(3)), "indexed before the restart");
        assert!(ids.append(EventId(4)));
        assert!(!ids.append(EventId(4)), "sent twice");
        assert!(
            ids.index(EventId(4)),
            "reading back what was appended is no repeat"
        );
        assert!(!ids.index(EventId(4)), "the same line twice in the file is");
        assert!(ids.index(EventId(5)), "written by a sensor");
        assert!(!ids.append(EventId(5)));
    }

    #[test]
    fn merging_loses_nothing_and_the_waiting_list_is_bounded() {
        let mut ids = DayIds::default();
        for id in 0..RECENT as u64 + 10 {
            assert!(ids.index(EventId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
        for id in 0..RECENT as u64 + 10 {
            assert!(!ids.index(EventId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
        for id in 0..PENDING as u64 + 5 {
            ids.append(EventId(id | 1 << 63));
        }
        assert_eq!(ids.pending.len(), PENDING);
    }
}
