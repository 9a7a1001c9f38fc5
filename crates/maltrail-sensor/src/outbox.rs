//! From events to sinks: policy, once, behind all workers.
//!
//! Whoever stands at the end of detection owns the outbox: the only worker, or the thread that merges
//! several. Live, condensed groups are handed out every [`FLUSH`] and a full queue of the sinks drops
//! events; a replay as fast as possible holds groups to its end and waits for room, so that its
//! events do not depend on the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{IgnoreRules, Policy, PolicyCounters};

use crate::sinks::{SinkFacts, SinkThread};
use crate::vitals::{PolicyVitals, Vitals};

/// How often condensed groups are handed out (`spec` sensor §11).
const FLUSH: Duration = Duration::from_secs(10);
/// Events handed to the sinks at once in a replay.
const BATCH: usize = 256;

/// How time passes for an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As on the clock: a live capture, or a replay at a visible pace.
    Clock,
    /// As the packets say, as fast as possible.
    Packets,
}

/// Policy and what comes behind it.
pub(crate) struct Outbox {
    policy: Policy,
    sinks: SinkThread,
    vitals: Arc<Vitals>,
    pace: Pace,
    flushed: Instant,
    /// What is to be handed to the sinks.
    ready: Vec<Event>,
}

/// What an outbox has counted at its end.
pub(crate) struct Sent {
    pub(crate) policy: PolicyCounters,
    pub(crate) sinks: SinkFacts,
}

impl Outbox {
    pub(crate) fn new(policy: Policy, sinks: SinkThread, vitals: Arc<Vitals>, pace: Pace) -> Self {
        Self {
            policy,
            sinks,
            vitals,
            pace,
            flushed: Instant::now(),
            ready: Vec::new(),
        }
    }

    /// Takes events; `events` is empty then.
    #[inline]
    pub(crate) fn put(&mut self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for event in events.drain(..) {
            self.policy.event(event, &mut self.ready);
        }
        if self.pace == Pace::Clock || self.ready.len() >= BATCH {
            self.hand_over();
        }
    }

    /// Takes new ignore rules.
    pub(crate) fn set_ignore(&mut self, rules: Arc<IgnoreRules>) {
        self.policy.set_ignore(rules);
    }

    /// Lets time pass, once a second: windows that are over are summarised.
    pub(crate) fn housekeep(&mut self, now: Timestamp) {
        let flush = self.pace == Pace::Clock && self.flushed.elapsed() >= FLUSH;
        if flush {
            self.flushed = Instant::now();
        }
        self.policy.housekeep(now, flush, &mut self.ready);
        self.hand_over();
        self.publish();
    }

    /// Events that came in and were not ignored.
    pub(crate) fn admitted(&self) -> u64 {
        let counters = self.policy.counters();
        counters.events.saturating_sub(counters.ignored)
    }

    /// Writes everything that waits, and ends the sinks.
    pub(crate) fn finish(mut self) -> Sent {
        self.policy.finish(&mut self.ready);
        let rest = std::mem::take(&mut self.ready);
        // Nobody waits behind these: they may take their time.
        if !rest.is_empty() {
            self.sinks.put(rest);
        }
        self.publish();
        let watch = self.sinks.watch();
        self.sinks.finish();
        Sent {
            policy: *self.policy.counters(),
            sinks: watch.facts(),
        }
    }

    fn hand_over(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let ready = std::mem::take(&mut self.ready);
        match self.pace {
            Pace::Clock => self.sinks.offer(ready),
            Pace::Packets => self.sinks.put(ready),
        }
    }

    fn publish(&self) {
        let counters = self.policy.counters();
        self.vitals.policy(PolicyVitals {
            events: counters.events,
            ignored: counters.ignored,
            throttled: counters.throttled,
            summarized: counters.summarized,
            evictions: counters.evictions,
            saturations: counters.saturations,
            written: counters.written,
        });
    }
}
