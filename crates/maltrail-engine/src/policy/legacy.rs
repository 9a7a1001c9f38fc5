//! The old sensor's throttle: of equal events within a bucket of seconds, two are written.
//!
//! The first event of a bucket empties the record and is not recorded itself; a later one is written
//! unless its trail was recorded with either of its addresses, and then recorded with both. What is not
//! written is lost, but counted.
//!
//! Bounds: the number of records, and the bytes of [`Limits`]; beyond them events are written without a
//! record, and that is counted.

use hashbrown::HashTable;
use maltrail_core::event::Event;

use super::key::{Key, Seed};
use super::merge::ALLOCATION;
use super::{Limits, PolicyCounters};

/// What a record costs beside its text.
const PLACE: usize = size_of::<Key>() * 2 + ALLOCATION;

/// The record of one bucket.
#[derive(Debug)]
pub(super) struct Legacy {
    /// Seconds of a bucket.
    divisor: i64,
    bucket: Option<i64>,
    records: HashTable<Key>,
    seed: Seed,
    max_records: usize,
    limits: Limits,
    bytes: usize,
}

impl Legacy {
    pub(super) fn new(workers: u32, max_records: usize, limits: Limits) -> Self {
        Self {
            divisor: i64::from(workers.max(1)),
            bucket: None,
            records: HashTable::new(),
            seed: Seed::default(),
            max_records,
            limits,
            bytes: 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes an event while `others` bytes are held elsewhere.
    pub(super) fn event(
        &mut self,
        event: Event,
        others: usize,
        out: &mut Vec<Event>,
        counters: &mut PolicyCounters,
    ) {
        let bucket = event.time.secs().div_euclid(self.divisor);
        if self.bucket != Some(bucket) {
            self.bucket = Some(bucket);
            self.records.clear();
            self.bytes = 0;
            out.push(event);
            return;
        }
        let ends = [event.src_ip.as_str(), event.dst_ip.as_str()];
        if ends.iter().any(|end| self.has(end, &event.trail)) {
            counters.throttled += event.details.count();
            return;
        }
        let mut ends = ends.iter();
        let recorded = ends.all(|end| self.record(end, &event.trail, others));
        counters.saturations += u64::from(!recorded);
        out.push(event);
    }

    fn has(&self, address: &str, trail: &str) -> bool {
        let hash = self.seed.hash(address, trail);
        let found = self.records.find(hash, |key| key.is(address, trail));
        found.is_some()
    }

    /// Whether there is room.
    fn record(&mut self, address: &str, trail: &str, others: usize) -> bool {
        let is_full = self.bytes.saturating_add(others) >= self.limits.bytes;
        if is_full || self.records.len() >= self.max_records {
            return false;
        }
        if !self.has(address, trail) {
            let key = Key::new(address, trail);
            self.bytes += key.heap_bytes() + PLACE;
            let seed = &self.seed;
            self.records
                .insert_unique(key.hash(seed), key, |key| key.hash(seed));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, event};
    use super::*;

    fn written(legacy: &mut Legacy, events: impl IntoIterator<Item = Event>) -> (usize, u64, u64) {
        written_beside(legacy, 0, events)
    }

    fn written_beside(
        legacy: &mut Legacy,
        others: usize,
        events: impl IntoIterator<Item = Event>,
    ) -> (usize, u64, u64) {
        let (mut out, mut counters) = (Vec::new(), PolicyCounters::default());
        for event in events {
            legacy.event(event, others, &mut out, &mut counters);
        }
        (out.len(), counters.throttled, counters.saturations)
    }

    #[test]
    fn a_bucket_has_as_many_seconds_as_there_are_workers() {
        let events = || (0..12).map(|second| at(second, event("192.0.2.1", 1, 2, "t")));
        let mut one = Legacy::new(1, 100, Limits::DEFAULT);
        assert_eq!(written(&mut one, events()), (12, 0, 0));
        // Two of each four.
        let mut four = Legacy::new(4, 100, Limits::DEFAULT);
        assert_eq!(written(&mut four, events()), (6, 6, 0));
    }

    #[test]
    fn either_end_counts() {
        let mut legacy = Legacy::new(1, 100, Limits::DEFAULT);
        let there = || event("192.0.2.1", 1, 2, "t");
        let mut back = there();
        std::mem::swap(&mut back.src_ip, &mut back.dst_ip);
        assert_eq!(written(&mut legacy, [there(), there(), back]), (2, 1, 0));
    }

    #[test]
    fn records_are_bounded() {
        let many = || (0..100).map(|n| event("192.0.2.1", 1, 2, &format!("t{n}")));
        let mut few = Legacy::new(1, 10, Limits::DEFAULT);
        assert_eq!(written(&mut few, many()), (100, 0, 94));
        let mut small = Legacy::new(
            1,
            1000,
            Limits {
                bytes: 1000,
                ..Limits::DEFAULT
            },
        );
        let (lines, throttled, saturations) = written(&mut small, many());
        assert_eq!((lines, throttled), (100, 0));
        assert!((80..99).contains(&saturations), "{saturations}");
        assert!((1000..1300).contains(&small.bytes()), "{}", small.bytes());
        // What is held elsewhere leaves less room.
        let mut beside = Legacy::new(1, 1000, small.limits);
        assert_eq!(written_beside(&mut beside, 1000, many()), (100, 0, 99));
        assert_eq!(beside.bytes(), 0);
    }
}
