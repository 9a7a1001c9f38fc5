//! Whether a finding becomes an event. Detectors know nothing of it.
//!
//! ```text
//! events of all workers, in (time, line) order
//!   └─► ignore rules ─► condense ──────────────► throttle ─► written
//!                          └─ groups ─► ignore ────┘ └─ held ─► summaries
//! ```
//!
//! [`Policy`] runs once, behind the workers; whitelisted addresses are dropped before it, in the
//! engine. Time is that of the events and of the calls.
//!
//! Guarantee: nothing is lost. The counts ([`Details::count`](maltrail_core::event::Details::count)) of what
//! comes out and of what was ignored add up to those of what went in, in every mode but the legacy one,
//! which drops events and counts them, and at every bound.
//!
//! Bounds: [`Limits`].

mod condense;
pub(crate) mod ignore;
mod key;
mod legacy;
mod merge;
#[cfg(test)]
mod tests;
mod throttle;
pub(crate) mod whitelist;

use std::sync::Arc;

use maltrail_core::config::ThrottleMode;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;

use self::condense::{Condenser, Outcome};
use self::ignore::{IgnoreRules, Verdict};
use self::legacy::Legacy;
use self::throttle::Throttle;

/// What a policy is told once: the options `EVENT_THROTTLE_…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// How equal events are throttled.
    pub throttle: ThrottleMode,
    /// Seconds of a window.
    pub window_secs: u32,
    /// Events of a window that are written.
    pub burst: u32,
    /// Pairs of address and trail that are throttled at once.
    pub max_keys: usize,
    /// Workers that capture: seconds of a bucket of the legacy mode.
    pub workers: u32,
}

/// How much is held at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Groups that are condensed at once.
    pub(crate) groups: usize,
    /// Distinct values of a column in one group or summary.
    pub(crate) values: usize,
    /// Bytes of all groups and throttled keys with what they hold, about; one event may pass it.
    pub(crate) bytes: usize,
}

impl Limits {
    /// What the reference keeps; the bytes, so that a flood of distinct pairs stays below 100 MB of
    /// memory with what the allocator adds.
    pub(crate) const DEFAULT: Self = Self {
        groups: 50_000,
        values: merge::MAX_VALUES,
        bytes: 64 << 20,
    };
}

/// What was counted. Events are counted with what they stand for, lines one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyCounters {
    /// Events that came in.
    pub events: u64,
    /// Events that were ignored.
    pub ignored: u64,
    /// Searches of the ignore expression that gave up; the events were kept.
    pub gave_up: u64,
    /// Events that joined a group.
    pub condensed: u64,
    /// Groups that were handed on as one line each.
    pub groups: u64,
    /// Events that the throttle held, or dropped in legacy mode.
    pub throttled: u64,
    /// Summary lines of the throttle.
    pub summarized: u64,
    /// Throttled keys that were forgotten to make room.
    pub evictions: u64,
    /// Events that were not condensed, or not recorded in legacy mode, for lack of room.
    pub saturations: u64,
    /// Values that found no room in a summary line.
    pub left_out: u64,
    /// Lines that came out.
    pub written: u64,
}

impl PolicyCounters {
    /// Names and values, in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("policy.events", self.events),
            ("policy.ignored", self.ignored),
            ("policy.gave_up", self.gave_up),
            ("policy.condensed", self.condensed),
            ("policy.groups", self.groups),
            ("policy.throttled", self.throttled),
            ("policy.summarized", self.summarized),
            ("policy.evictions", self.evictions),
            ("policy.saturations", self.saturations),
            ("policy.left_out", self.left_out),
            ("policy.written", self.written),
        ]
        .into_iter()
    }
}

/// Decides which events are written, and as how many lines.
#[derive(Debug)]
pub struct Policy {
    ignore: Arc<IgnoreRules>,
    condenser: Condenser,
    mode: Mode,
    counters: PolicyCounters,
    /// Room for the text of an event that the ignore expression searches.
    text: String,
}

#[derive(Debug)]
enum Mode {
    Summarize(Box<Throttle>),
    Legacy(Box<Legacy>),
    Off,
}

impl Policy {
    /// A policy that holds nothing.
    #[must_use]
    pub fn new(config: PolicyConfig, ignore: Arc<IgnoreRules>) -> Self {
        Self::with_limits(&config, ignore, Limits::DEFAULT)
    }

    fn with_limits(config: &PolicyConfig, ignore: Arc<IgnoreRules>, limits: Limits) -> Self {
        let mode = match config.throttle {
            ThrottleMode::Summarize => Mode::Summarize(Box::new(Throttle::new(config, limits))),
            ThrottleMode::Legacy => {
                let legacy = Legacy::new(config.workers, config.max_keys, limits);
                Mode::Legacy(Box::new(legacy))
            }
            ThrottleMode::Off => Mode::Off,
        };
        Self {
            ignore,
            condenser: Condenser::new(limits),
            mode,
            counters: PolicyCounters::default(),
            text: String::new(),
        }
    }

    /// Takes new ignore rules; they hold for groups, too, that are handed out later.
    pub fn set_ignore(&mut self, ignore: Arc<IgnoreRules>) {
        self.ignore = ignore;
    }

    /// Takes an event; appends to `out` what is to be written now.
    pub fn event(&mut self, event: Event, out: &mut Vec<Event>) {
        let count = event.details.count();
        self.counters.events += count;
        if self.ignores(&event) {
            return;
        }
        match self.condenser.event(event) {
            Outcome::Passed(event) => self.throttle(event, out),
            Outcome::Refused(event) => {
                self.counters.saturations += count;
                self.throttle(event, out);
            }
            Outcome::Joined(full) => {
                self.counters.condensed += count;
                if let Some(group) = full {
                    self.group(group, out);
                }
            }
        }
    }

    /// Lets time pass: appends the summaries of windows that are over at `now`, and with
    /// `flush_condensed` the groups. Windows follow packet time in a replay and the clock live, where
    /// groups are due every ten seconds.
    pub fn housekeep(&mut self, now: Timestamp, flush_condensed: bool, out: &mut Vec<Event>) {
        if flush_condensed {
            self.flush(out);
        }
        if let Mode::Summarize(throttle) = &mut self.mode {
            let first = out.len();
            throttle.housekeep(now.secs(), out, &mut self.counters);
            self.counters.written += (out.len() - first) as u64;
        }
    }

    /// Appends everything that is held. The policy may be used on.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.flush(out);
        if let Mode::Summarize(throttle) = &mut self.mode {
            let first = out.len();
            throttle.finish(out, &mut self.counters);
            self.counters.written += (out.len() - first) as u64;
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &PolicyCounters {
        &self.counters
    }

    /// Bytes that groups and throttled keys hold, about.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let throttle = match &self.mode {
            Mode::Summarize(throttle) => throttle.bytes(),
            Mode::Legacy(legacy) => legacy.bytes(),
            Mode::Off => 0,
        };
        self.condenser.bytes() + throttle
    }

    fn flush(&mut self, out: &mut Vec<Event>) {
        for group in self.condenser.take() {
            self.group(group, out);
        }
    }

    /// A group as one event, which goes the way of all others.
    fn group(&mut self, group: Event, out: &mut Vec<Event>) {
        self.counters.groups += 1;
        if !self.ignores(&group) {
            self.throttle(group, out);
        }
    }

    fn ignores(&mut self, event: &Event) -> bool {
        let verdict = self.ignore.judge(event, &mut self.text);
        self.counters.gave_up += u64::from(verdict == Verdict::GaveUp);
        if verdict == Verdict::Ignored {
            self.counters.ignored += event.details.count();
        }
        verdict == Verdict::Ignored
    }

    fn throttle(&mut self, event: Event, out: &mut Vec<Event>) {
        let first = out.len();
        let (others, counters) = (self.condenser.bytes(), &mut self.counters);
        match &mut self.mode {
            Mode::Summarize(throttle) => throttle.event(event, others, out, counters),
            Mode::Legacy(legacy) => legacy.event(event, others, out, counters),
            Mode::Off => out.push(event),
        }
        self.counters.written += (out.len() - first) as u64;
    }
}
