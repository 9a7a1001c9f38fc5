//! The first few equal events of a window are written, the others are held and become one summary.
//!
//! ```text
//!             ┌── fewer than BURST ──► written
//! (source, trail) ─┤
//!             └── else ──► held: first event, distinct values, count ─┬─ window over ─┐
//!                                                                     ├─ key evicted ─┼─► summary
//!                                                                     └─ end ─────────┘
//! ```
//!
//! The key of an event is its source and trail, or its destination and trail when only that one is known
//! already: question and answer are equal. A window begins with its first event and is over when an
//! event or the clock is [`window_secs`](super::PolicyConfig) later, or an event earlier than its start.
//! No event is lost: the counts of what comes out add up to those of what went in.
//!
//! Bounds: `max_keys` keys and the bytes of [`Limits`] for everything held, which one event may pass.
//! At a bound the hundredth of the keys whose windows began first is evicted with its summaries. Of a
//! column, the values of [`Limits`] are kept, others are counted as left out.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use maltrail_core::event::Event;

use super::key::{Key, Seed};
use super::merge::{ALLOCATION, Merge};
use super::{Limits, PolicyConfig, PolicyCounters};

/// What an entry costs beside itself and its key: its places in slots, table and order.
const PLACE: usize = 64 + ALLOCATION;

/// The keys.
#[derive(Debug)]
pub(super) struct Throttle {
    window_secs: i64,
    burst: u32,
    max_keys: usize,
    limits: Limits,
    slots: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    /// Slots by key.
    table: HashTable<u32>,
    /// Slots by the start of their windows.
    order: BTreeSet<(i64, u32)>,
    seed: Seed,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Second in which the window began.
    start: i64,
    /// Second of the last event.
    last: i64,
    /// Events of the window that were written.
    written: u32,
    held: Option<Box<Merge>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.heap_bytes() + PLACE + held_bytes(self.held.as_deref())
    }
}

impl Throttle {
    pub(super) fn new(config: &PolicyConfig, limits: Limits) -> Self {
        Self {
            window_secs: i64::from(config.window_secs.max(1)),
            burst: config.burst.max(1),
            max_keys: config.max_keys.clamp(1, u32::MAX as usize),
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            order: BTreeSet::new(),
            seed: Seed::default(),
            bytes: 0,
        }
    }

    /// Bytes that are held, about.
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
        while self.bytes.saturating_add(others) >= self.limits.bytes && !self.order.is_empty() {
            self.evict(out, counters);
        }
        let second = event.time.secs();
        let Some(at) = self.slot_of(&event) else {
            if self.order.len() >= self.max_keys {
                self.evict(out, counters);
            }
            self.open(&event);
            out.push(event);
            return;
        };
        let Some(entry) = self.slots.get_mut(at as usize).and_then(Option::as_mut) else {
            return out.push(event);
        };
        entry.last = second;
        if second < entry.start || second.saturating_sub(entry.start) >= self.window_secs {
            self.order.remove(&(entry.start, at));
            self.order.insert((second, at));
            entry.start = second;
            entry.written = 1;
            if let Some(held) = entry.held.take() {
                self.bytes = self.bytes.saturating_sub(held_bytes(Some(&held)));
                summarize(held, out, counters);
            }
            out.push(event);
        } else if entry.written < self.burst {
            entry.written += 1;
            out.push(event);
        } else {
            counters.throttled += event.details.count();
            let before = held_bytes(entry.held.as_deref());
            match &mut entry.held {
                Some(held) => {
                    counters.left_out += held.add(&event, self.limits.values);
                }
                None => entry.held = Some(Box::new(Merge::new(event))),
            }
            let after = held_bytes(entry.held.as_deref());
            self.bytes = (self.bytes + after).saturating_sub(before);
        }
    }

    /// Summarizes windows that are over at `now`, and forgets the keys that had no event in the last
    /// one's time. A window that begins more than its length ahead is over, too: the clock went back.
    pub(super) fn housekeep(
        &mut self,
        now: i64,
        out: &mut Vec<Event>,
        counters: &mut PolicyCounters,
    ) {
        while let Some(&(start, at)) = self.order.first() {
            if now.saturating_sub(start) < self.window_secs {
                break;
            }
            let idle = self.slots.get_mut(at as usize).and_then(Option::as_mut);
            let idle = idle.is_none_or(|entry| now.saturating_sub(entry.last) >= self.window_secs);
            if idle {
                self.forget(start, at, out, counters);
            } else {
                self.restart(start, at, now, out, counters);
            }
        }
        while let Some(&(start, at)) = self.order.last() {
            if start.saturating_sub(now) <= self.window_secs {
                break;
            }
            self.forget(start, at, out, counters);
        }
    }

    /// Summarizes everything; no key is left.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
        let mut held: Vec<Box<Merge>> = Vec::new();
        for (_, at) in std::mem::take(&mut self.order) {
            let entry = self.slots.get_mut(at as usize).and_then(Option::take);
            held.extend(entry.and_then(|entry| entry.held));
        }
        self.slots.clear();
        self.free.clear();
        self.table.clear();
        self.bytes = 0;
        held.sort_by_key(|held| held.time());
        for held in held {
            summarize(held, out, counters);
        }
    }

    fn slot_of(&self, event: &Event) -> Option<u32> {
        let find = |address: &str| {
            let hash = self.seed.hash(address, &event.trail);
            let same = |&at: &u32| {
                let entry = self.slots.get(at as usize).and_then(Option::as_ref);
                entry.is_some_and(|entry| entry.key.is(address, &event.trail))
            };
            self.table.find(hash, same).copied()
        };
        find(event.src_ip.as_str()).or_else(|| find(event.dst_ip.as_str()))
    }

    /// A window of the event's source and trail, with this event as the first.
    fn open(&mut self, event: &Event) {
        let second = event.time.secs();
        let entry = Box::new(Entry {
            key: Key::new(event.src_ip.as_str(), &event.trail),
            start: second,
            last: second,
            written: 1,
            held: None,
        });
        let hash = entry.key.hash(&self.seed);
        self.bytes += entry.bytes();
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // At most `max_keys` slots, which are fewer than 2³².
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.slots.get_mut(at as usize) {
            *slot = Some(entry);
        }
        self.order.insert((second, at));
        let (slots, seed) = (&self.slots, &self.seed);
        self.table.insert_unique(hash, at, |&at| {
            let entry = slots.get(at as usize).and_then(Option::as_ref);
            entry.map_or(0, |entry| entry.key.hash(seed))
        });
    }

    /// A new window without an event.
    fn restart(
        &mut self,
        start: i64,
        at: u32,
        now: i64,
        out: &mut Vec<Event>,
        counters: &mut PolicyCounters,
    ) {
        self.order.remove(&(start, at));
        let Some(entry) = self.slots.get_mut(at as usize).and_then(Option::as_mut) else {
            return;
        };
        self.order.insert((now, at));
        (entry.start, entry.written) = (now, 0);
        if let Some(held) = entry.held.take() {
            self.bytes = self.bytes.saturating_sub(held_bytes(Some(&held)));
            summarize(held, out, counters);
        }
    }

    fn forget(&mut self, start: i64, at: u32, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
        self.order.remove(&(start, at));
        let Some(entry) = self.slots.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(at);
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        let hash = entry.key.hash(&self.seed);
        if let Ok(place) = self.table.find_entry(hash, |&other| other == at) {
            place.remove();
        }
        if let Some(held) = entry.held {
            summarize(held, out, counters);
        }
    }

    /// Forgets the hundredth of the keys whose windows began first.
    fn evict(&mut self, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
        for _ in 0..self.order.len().div_ceil(100) {
            let Some(&(start, at)) = self.order.first() else {
                return;
            };
            counters.evictions += 1;
            self.forget(start, at, out, counters);
        }
    }
}

/// Bytes of a merge with its allocation.
fn held_bytes(held: Option<&Merge>) -> usize {
    held.map_or(0, |held| held.bytes() + ALLOCATION)
}

fn summarize(held: Box<Merge>, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
    counters.summarized += 1;
    out.push(held.into_event());
}

#[cfg(test)]
mod tests {
    use maltrail_core::config::ThrottleMode;

    use super::super::tests::{at, event};
    use super::*;

    fn throttle(max_keys: usize, limits: Limits) -> Throttle {
        let config = PolicyConfig {
            throttle: ThrottleMode::Summarize,
            window_secs: 60,
            burst: 3,
            max_keys,
            workers: 1,
        };
        Throttle::new(&config, limits)
    }

    /// A throttle with what came out of it.
    struct Run {
        throttle: Throttle,
        out: Vec<Event>,
        counters: PolicyCounters,
    }

    impl Run {
        fn new(max_keys: usize) -> Self {
            Self {
                throttle: throttle(max_keys, Limits::DEFAULT),
                out: Vec::new(),
                counters: PolicyCounters::default(),
            }
        }

        fn events(&mut self, second: i64, count: u16, source: &str) {
            for port in 0..count {
                let found = at(second, event(source, 100 + port, 2, "t"));
                self.throttle
                    .event(found, 0, &mut self.out, &mut self.counters);
            }
        }

        fn housekeep(&mut self, second: i64) {
            let now = 1_700_000_000 + second;
            self.throttle
                .housekeep(now, &mut self.out, &mut self.counters);
        }

        /// Source, second and count of the lines since the last call.
        fn lines(&mut self) -> Vec<(String, i64, u64)> {
            let line = |event: Event| {
                let second = event.time.secs() - 1_700_000_000;
                (event.src_ip.to_string(), second, event.details.count)
            };
            self.out.drain(..).map(line).collect()
        }

        fn counts(&mut self) -> Vec<u64> {
            self.lines()
                .into_iter()
                .map(|(_, _, count)| count)
                .collect()
        }
    }

    #[test]
    fn the_clock_ends_windows_and_idle_keys_are_forgotten() {
        let mut run = Run::new(10);
        run.events(0, 5, "192.0.2.1");
        run.housekeep(59);
        assert_eq!(run.counts(), [1, 1, 1]);
        run.events(59, 1, "192.0.2.1");
        // Busy: a new window without an event begins, so that three more are written.
        run.housekeep(60);
        assert_eq!(run.lines(), [("192.0.2.1".to_owned(), 0, 3)]);
        run.events(61, 4, "192.0.2.1");
        assert_eq!(run.counts(), [1, 1, 1]);
        // Idle for a window.
        run.housekeep(120);
        assert_eq!((run.counts(), run.throttle.order.len()), (vec![1], 1));
        run.housekeep(180);
        assert_eq!((run.counts(), run.throttle.order.len()), (vec![], 0));
        assert_eq!(run.throttle.bytes(), 0);
        assert!(run.throttle.table.is_empty());
    }

    #[test]
    fn an_event_ends_a_window_that_is_over_or_lies_ahead() {
        let mut run = Run::new(10);
        run.events(0, 4, "192.0.2.1");
        run.events(59, 1, "192.0.2.1");
        assert_eq!(run.counts(), [1, 1, 1]);
        run.events(60, 1, "192.0.2.1");
        assert_eq!(run.counts(), [2, 1]);
        run.events(60, 3, "192.0.2.1");
        assert_eq!(run.counts(), [1, 1]);
        run.events(59, 3, "192.0.2.1");
        assert_eq!(run.counts(), [1, 1, 1, 1]);
        // A window far ahead ends none of the others late, and ends when the clock is back.
        run.events(1_000_000, 4, "192.0.2.9");
        run.events(0, 4, "192.0.2.8");
        assert_eq!(run.counts(), [1; 6]);
        run.housekeep(60);
        let ended = [
            ("192.0.2.8".to_owned(), 0, 1),
            ("192.0.2.9".to_owned(), 1_000_000, 1),
        ];
        assert_eq!(run.lines(), ended);
    }

    #[test]
    fn an_answer_has_the_key_of_its_question() {
        let mut run = Run::new(10);
        run.events(0, 3, "192.0.2.1");
        assert_eq!(run.counts(), [1, 1, 1]);
        let mut answer = at(0, event("203.0.113.7", 2, 100, "t"));
        answer.dst_ip = "192.0.2.1".parse::<std::net::IpAddr>().expect("ip").into();
        run.throttle
            .event(answer.clone(), 0, &mut run.out, &mut run.counters);
        assert!(run.counts().is_empty());
        // Where the source has a key of its own, that one counts.
        run.throttle.open(&answer);
        run.throttle
            .event(answer.clone(), 0, &mut run.out, &mut run.counters);
        assert_eq!(run.counts(), [1]);
        // Another trail is another key.
        answer.trail = "other".to_owned();
        run.throttle
            .event(answer, 0, &mut run.out, &mut run.counters);
        assert_eq!(run.counts(), [1]);
    }

    #[test]
    fn the_oldest_hundredth_is_evicted_with_its_summaries() {
        let mut run = Run::new(200);
        for n in 0..200 {
            run.events(n, 5, &format!("192.0.2.{n}"));
        }
        assert_eq!((run.lines().len(), run.counters.evictions), (600, 0));
        run.events(200, 1, "198.51.100.1");
        let evicted = [
            ("192.0.2.0".to_owned(), 0, 2),
            ("192.0.2.1".to_owned(), 1, 2),
            ("198.51.100.1".to_owned(), 200, 1),
        ];
        assert_eq!(run.lines(), evicted);
        run.events(200, 1, "198.51.100.2");
        assert_eq!((run.lines().len(), run.counters.evictions), (1, 2));
        // Their places are used again.
        assert_eq!(run.throttle.slots.len(), 200);
    }

    #[test]
    fn beyond_the_values_of_a_column_counts_go_on() {
        let mut run = Run::new(10);
        run.throttle.limits.values = 4;
        run.events(0, 13, "192.0.2.1");
        assert_eq!(run.counters.left_out, 6);
        run.out.clear();
        run.throttle.finish(&mut run.out, &mut run.counters);
        assert_eq!(run.out[0].src_port.as_str(), "103,104,105,106");
        assert_eq!(run.counts(), [10]);
        assert_eq!(run.counters.throttled, 10);
        assert_eq!(run.counters.summarized, 1);
    }

    #[test]
    fn what_is_held_elsewhere_leaves_less_room() {
        let limits = Limits {
            bytes: 50_000,
            ..Limits::DEFAULT
        };
        let mut keys = [0, 40_000].map(|others| {
            let mut throttle = throttle(100_000, limits);
            let (mut out, mut counters) = (Vec::new(), PolicyCounters::default());
            for n in 0..2000 {
                let found = event(&format!("192.0.2.{n}"), 1, 2, "t");
                throttle.event(found, others, &mut out, &mut counters);
                assert!(throttle.bytes() + others < limits.bytes + 1000);
            }
            assert_eq!(out.len(), 2000);
            assert!(counters.evictions > 1500, "{counters:?}");
            throttle.order.len()
        });
        keys.sort_unstable();
        assert!((50..80).contains(&keys[0]), "{keys:?}");
        assert!((250..400).contains(&keys[1]), "{keys:?}");
    }
}
