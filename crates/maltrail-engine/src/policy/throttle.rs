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
    held: Option<Merge>,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.key.heap_bytes()
            + PLACE
            // Of a merge, its own size is part of the entry's.
            + self.held.as_ref().map_or(0, Merge::bytes)
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
                self.bytes = self.bytes.saturating_sub(held.bytes());
                summarize(held, out, counters);
            }
            out.push(event);
        } else if entry.written < self.burst {
            entry.written += 1;
            out.push(event);
        } else {
            counters.throttled += event.details.count();
            let before = entry.held.as_ref().map_or(0, Merge::bytes);
            let after = match &mut entry.held {
                Some(held) => {
                    counters.left_out += held.add(&event, self.limits.values);
                    held.bytes()
                }
                None => entry.held.insert(Merge::new(event)).bytes(),
            };
            self.bytes = (self.bytes + after).saturating_sub(before);
        }
    }

    /// Summarizes windows that are over at `now`, and forgets the keys that had no event in the last
    /// one's time.
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
    }

    /// Summarizes everything; no key is left.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
        let mut held: Vec<Merge> = Vec::new();
        for (_, at) in std::mem::take(&mut self.order) {
            let entry = self.slots.get_mut(at as usize).and_then(Option::take);
            held.extend(entry.and_then(|entry| entry.held));
        }
        self.slots.clear();
        self.free.clear();
        self.table.clear();
        self.bytes = 0;
        held.sort_by_key(Merge::time);
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
            self.bytes = self.bytes.saturating_sub(held.bytes());
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

fn summarize(held: Merge, out: &mut Vec<Event>, counters: &mut PolicyCounters) {
    counters.summarized += 1;
    out.push(held.into_event());
}
