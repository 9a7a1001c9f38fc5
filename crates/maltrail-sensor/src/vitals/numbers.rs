//! The numbers themselves: plain public fields, all since the start unless they say otherwise.

use maltrail_core::time::Timestamp;
use maltrail_engine::Counters;

use crate::pulse::PulseFacts;

/// What one worker writes at its housekeeping.
#[derive(Clone, Debug, Default)]
pub struct WorkerVitals {
    /// Packets given to its engine.
    pub packets: u64,
    /// Whether it is in its capture loop.
    pub alive: bool,
    /// When it last did its housekeeping, by the wall clock.
    pub heartbeat: Timestamp,
    /// A copy of its engine's counters.
    pub counters: Counters,
    /// Findings by detector.
    pub rules: Vec<(&'static str, u64)>,
    /// Packets whose processing panicked.
    pub panics: u64,
    /// Packets whose processing was timed.
    pub timed_packets: u64,
    /// Nanoseconds that those took together.
    pub timed_nanos: u64,
    /// What the kernel counted for its sockets.
    pub interfaces: Vec<InterfaceVitals>,
    /// What its packets looked like, by interface.
    pub pulse: Vec<(String, PulseFacts)>,
}

/// What the kernel counted for one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceVitals {
    /// Its name.
    pub name: String,
    /// Packets that passed the filter.
    pub received: u64,
    /// Packets dropped for want of room.
    pub dropped: u64,
    /// Packets dropped by the interface or its driver.
    pub interface_dropped: u64,
}

impl InterfaceVitals {
    /// Adds what another socket of the same interface has counted.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.dropped += other.dropped;
        self.interface_dropped += other.interface_dropped;
    }
}

/// The trail set in use and how it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailVitals {
    /// Trails in use.
    pub count: u64,
    /// 1 for the set of the start, one more for each accepted reload.
    pub generation: u64,
    /// Accepted reloads.
    pub reloads: u64,
    /// Reloads that failed because the file was unreadable.
    pub failed: u64,
    /// Reloads refused by TRAIL_RELOAD_MIN_RATIO.
    pub rejected: u64,
    /// When the trails file was last known to be up to date; `None` with the built-in trails.
    pub written: Option<Timestamp>,
    /// How the feeds stood at the last update.
    pub feeds: Vec<FeedVitals>,
}

/// One feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedVitals {
    /// Its name.
    pub name: String,
    /// Entries of its last good answer.
    pub entries: u64,
    /// When it last answered well.
    pub success: Option<Timestamp>,
    /// Whether its last answer was none or a bad one.
    pub failing: bool,
}

/// What policy did with events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyVitals {
    /// Events handed to policy.
    pub events: u64,
    /// Events dropped by ignore rules.
    pub ignored: u64,
    /// Events held or dropped by the throttle.
    pub throttled: u64,
    /// Summary lines.
    pub summarized: u64,
    /// Keys of the throttle evicted at their cap.
    pub evictions: u64,
    /// Keys of condensing and of the store refused at their caps.
    pub saturations: u64,
    /// Events handed to the sinks.
    pub written: u64,
}

/// What the sinks did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkVitals {
    /// Events written to the local log.
    pub written: u64,
    /// Events that the local log could not take.
    pub failed: u64,
    /// Events dropped because the sinks were too slow.
    pub dropped: u64,
    /// Remote endpoints.
    pub endpoints: Vec<EndpointVitals>,
}

/// One remote endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointVitals {
    /// `host:port`, as configured.
    pub name: String,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that could not be sent.
    pub lost: u64,
}

/// What the condensed store did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservableVitals {
    /// Rows merged into it.
    pub merged: u64,
    /// Flushes that failed.
    pub flush_errors: u64,
}

/// Counters of several engines added up by name, in the order of [`Counters::iter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSums(Vec<(&'static str, u64)>);

impl EngineSums {
    /// Adds the counters of one engine.
    pub fn add(&mut self, counters: &Counters) {
        // All engines name the same counters in the same order; a name out of place is looked for.
        for (place, (name, value)) in counters.iter().enumerate() {
            let known = match self.0.get(place) {
                Some((known, _)) if *known == name => Some(place),
                _ => self.0.iter().position(|(known, _)| *known == name),
            };
            match known.and_then(|place| self.0.get_mut(place)) {
                Some((_, sum)) => *sum = sum.saturating_add(value),
                None => self.0.push((name, value)),
            }
        }
    }

    /// The sum of this name; 0 for an unknown one.
    pub fn get(&self, name: &str) -> u64 {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, sum)| *sum)
    }

    /// The sums of these names together.
    pub fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.get(name)).sum()
    }

    /// Every sum with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_by_name() {
        let one = Counters {
            packets: 5,
            events: 2,
            ..Counters::default()
        };
        let two = Counters {
            packets: u64::MAX - 1,
            heads_bytes: 7,
            ..Counters::default()
        };
        let mut sums = EngineSums::default();
        sums.add(&one);
        sums.add(&two);
        assert_eq!(sums.get("packets"), u64::MAX, "full counters stay full");
        assert_eq!((sums.get("events"), sums.get("heads_bytes")), (2, 7));
        assert_eq!(sums.sum(&["events", "heads_bytes", "no such counter"]), 9);
        assert_eq!(sums.iter().count(), one.iter().count());
    }
}
