//! Which events of a day are already stored.
//!
//! Exact, at eight bytes per event: sorted runs, each at least twice as long as the next, and a small
//! set of recent ids that becomes a run when it is full. So no call takes long but the rare one that
//! merges long runs, and intake and index, which share this behind one lock, do not hold each other up. Ids that the intake has appended but the index has not read yet are kept apart,
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
    /// Longest first.
    runs: Vec<Vec<u64>>,
    recent: HashSet<u64, RandomState>,
    pending: HashSet<u64, RandomState>,
}

impl DayIds {
    /// From the ids in an index file.
    pub(crate) fn from_stored(mut ids: Vec<u64>) -> Self {
        ids.sort_unstable();
        Self {
            runs: vec![ids],
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
            let mut run: Vec<u64> = self.recent.drain().collect();
            run.sort_unstable();
            while self
                .runs
                .last()
                .is_some_and(|last| last.len() < 2 * run.len())
            {
                run = merge(&self.runs.pop().unwrap_or_default(), &run);
            }
            self.runs.push(run);
        }
        true
    }

    /// Memory in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.runs
            .iter()
            .map(|run| run.capacity() * 8)
            .sum::<usize>()
            + (self.recent.capacity() + self.pending.capacity()) * 9
    }

    fn has(&self, id: u64) -> bool {
        self.recent.contains(&id) || self.runs.iter().any(|run| run.binary_search(&id).is_ok())
    }
}

/// Two sorted runs as one.
fn merge(left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left, right);
    while let (Some((&a, after_a)), Some((&b, after_b))) = (left.split_first(), right.split_first())
    {
        if a <= b {
            merged.push(a);
            left = after_a;
        } else {
            merged.push(b);
            right = after_b;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
    merged
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
        for id in 0..5 * RECENT as u64 + 10 {
            assert!(ids.index(EventId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
        assert!(ids.runs.len() <= 3 && ids.runs.is_sorted_by(|a, b| a.len() >= 2 * b.len()));
        for id in 0..5 * RECENT as u64 + 10 {
            assert!(!ids.index(EventId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
        for id in 0..PENDING as u64 + 5 {
            ids.append(EventId(id | 1 << 63));
        }
        assert_eq!(ids.pending.len(), PENDING);
    }
}
