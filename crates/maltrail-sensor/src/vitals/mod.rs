//! What a running sensor knows about itself: plain numbers, written by those who count and read by
//! those who report.
//!
//! ```text
//! workers (housekeeping) ─┐                      ┌─► metrics::text ─► StatsServer (HTTP)
//! policy, sinks, reloads ─┴► Vitals ─► Snapshot ─┼─► line (console)
//!                                                ├─► pulse::faults
//!                                                └─► heartbeat ─► LOG_SERVER │ status-SENSOR.json
//! ```
//!
//! Invariants: nothing here is touched per packet; a writer holds a lock only while it copies numbers;
//! a [`Snapshot`] is a copy and never changes. Bounds: as many workers as were announced, at most
//! [`MAX_INTERFACES`] interfaces a worker and [`MAX_ENDPOINTS`] endpoints.

pub mod heartbeat;
pub mod line;
pub mod metrics;
mod names;
mod numbers;
pub mod stats;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use maltrail_core::config::Config;
use maltrail_core::time::Timestamp;
use maltrail_engine::Counters;

use crate::pulse::{Fault, LinkState, MAX_LISTED, PulseFacts};

pub(crate) use status::{free_bytes, status_path};

pub use numbers::{
    EndpointVitals, EngineSums, FeedVitals, InterfaceVitals, ObservableVitals, PolicyVitals,
    SinkVitals, TrailVitals, WorkerVitals,
};

/// Interfaces that are kept for one worker; more than any machine mirrors to.
pub const MAX_INTERFACES: usize = 256;
/// Remote endpoints that are kept.
pub const MAX_ENDPOINTS: usize = 256;

/// What does not change while the sensor runs.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `SENSOR_NAME`.
    pub sensor: String,
    /// When the capture began.
    pub started: Timestamp,
    /// How many workers were started.
    pub workers: usize,
    /// Whether a capture filter is in force.
    pub filtered: bool,
    /// `UPDATE_PERIOD`, when this sensor builds its trails itself.
    pub update_period_secs: Option<u64>,
    /// `LOG_DIR`, when there are local log files.
    pub log_dir: Option<PathBuf>,
}

impl Setup {
    /// Of a sensor with this configuration.
    pub fn new(config: &Config, workers: usize, started: Timestamp) -> Self {
        let updates = !config.trails.disable_updates;
        Self {
            sensor: config.detect.sensor_name.clone(),
            started,
            workers,
            filtered: !config.capture.filter.is_empty(),
            update_period_secs: updates.then_some(config.trails.update_period_secs),
            log_dir: (!config.output.disable_local).then(|| config.log_dir.clone()),
        }
    }
}

/// Numbers of the running sensor, shared through an `Arc`.
#[derive(Debug)]
pub struct Vitals {
    setup: Setup,
    // Std locks: each is held for the time of a copy, a few times a second.
    workers: Box<[Mutex<WorkerVitals>]>,
    common: Mutex<Common>,
}

/// What is not counted by workers.
#[derive(Clone, Debug, Default)]
struct Common {
    trails: TrailVitals,
    policy: PolicyVitals,
    sinks: SinkVitals,
    observables: ObservableVitals,
    /// What is counted over all workers.
    census: Counters,
    links: Vec<LinkState>,
    faults: Vec<Fault>,
}

/// All numbers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What does not change.
    pub setup: Setup,
    /// When the copy was made.
    pub time: Timestamp,
    /// Each worker.
    pub workers: Vec<WorkerVitals>,
    /// Counters of all engines together.
    pub engine: EngineSums,
    /// Findings by detector, of all workers together.
    pub rules: BTreeMap<&'static str, u64>,
    /// What the kernel counted, by interface, of all workers together.
    pub interfaces: Vec<InterfaceVitals>,
    /// What the capture looked like, by interface, of all workers together.
    pub pulse: Vec<(String, PulseFacts)>,
    /// The trail set in use.
    pub trails: TrailVitals,
    /// What became of events.
    pub policy: PolicyVitals,
    /// What became of lines and datagrams.
    pub sinks: SinkVitals,
    /// The condensed store.
    pub observables: ObservableVitals,
    /// The machine's interfaces, as last looked at.
    pub links: Vec<LinkState>,
    /// What is wrong, as last judged.
    pub faults: Vec<Fault>,
    /// Bytes free for the log folder.
    pub log_free_bytes: Option<u64>,
}

impl Vitals {
    /// For a sensor that starts now.
    pub fn new(setup: Setup) -> Self {
        let workers = (0..setup.workers)
            .map(|_| Mutex::new(WorkerVitals::default()))
            .collect();
        let common = Common {
            trails: TrailVitals {
                generation: 1,
                ..TrailVitals::default()
            },
            ..Common::default()
        };
        Self {
            setup,
            workers,
            common: Mutex::new(common),
        }
    }

    /// What does not change.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Lets worker `index` write its numbers; meant for its housekeeping, once a second. An index
    /// that was not announced changes nothing.
    pub fn worker(&self, index: usize, write: impl FnOnce(&mut WorkerVitals)) {
        if let Some(worker) = self.workers.get(index) {
            let mut worker = locked(worker);
            write(&mut worker);
            worker.interfaces.truncate(MAX_INTERFACES);
            worker.pulse.truncate(MAX_INTERFACES);
        }
    }

    /// Changes what is known of the trail set.
    pub fn trails(&self, write: impl FnOnce(&mut TrailVitals)) {
        write(&mut locked(&self.common).trails);
    }

    /// Replaces the numbers of policy.
    pub fn policy(&self, policy: PolicyVitals) {
        locked(&self.common).policy = policy;
    }

    /// Replaces the numbers of the sinks.
    pub fn sinks(&self, mut sinks: SinkVitals) {
        sinks.endpoints.truncate(MAX_ENDPOINTS);
        locked(&self.common).sinks = sinks;
    }

    /// Replaces the numbers of the condensed store.
    pub fn observables(&self, observables: ObservableVitals) {
        locked(&self.common).observables = observables;
    }

    /// Replaces what is counted over all workers, when there are several.
    pub fn census(&self, counters: Counters) {
        locked(&self.common).census = counters;
    }

    /// Replaces what is known of the machine's interfaces.
    pub fn links(&self, mut links: Vec<LinkState>) {
        links.truncate(MAX_LISTED);
        locked(&self.common).links = links;
    }

    /// Replaces what is wrong.
    pub fn faults(&self, faults: Vec<Fault>) {
        locked(&self.common).faults = faults;
    }

    /// A copy of everything. Asks the file system for the space left; not for a worker's thread.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let common = locked(&self.common).clone();
        let mut snapshot = Snapshot {
            setup: self.setup.clone(),
            time: now,
            workers: self
                .workers
                .iter()
                .map(|worker| locked(worker).clone())
                .collect(),
            trails: common.trails,
            policy: common.policy,
            sinks: common.sinks,
            observables: common.observables,
            links: common.links,
            faults: common.faults,
            log_free_bytes: self.setup.log_dir.as_deref().and_then(free_bytes),
            ..Snapshot::default()
        };
        snapshot.add_up();
        snapshot.engine.add(&common.census);
        for (rule, count) in common.census.rules().filter(|&(_, count)| count > 0) {
            *snapshot.rules.entry(rule).or_default() += count;
        }
        snapshot
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // A writer that panicked left whole numbers behind, perhaps not all of them.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshot {
    /// Sums over the workers.
    fn add_up(&mut self) {
        for worker in &self.workers {
            self.engine.add(&worker.counters);
            for &(rule, count) in &worker.rules {
                *self.rules.entry(rule).or_default() += count;
            }
            for interface in &worker.interfaces {
                match self
                    .interfaces
                    .iter_mut()
                    .find(|known| known.name == interface.name)
                {
                    Some(known) => known.add(interface),
                    None => self.interfaces.push(interface.clone()),
                }
            }
            for (name, facts) in &worker.pulse {
                match self.pulse.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => known.merge(facts),
                    None => self.pulse.push((name.clone(), facts.clone())),
                }
            }
        }
    }

    /// Packets given to all workers.
    pub fn packets(&self) -> u64 {
        self.workers.iter().map(|worker| worker.packets).sum()
    }

    /// Packets that the kernel or the interface dropped.
    pub fn dropped(&self) -> u64 {
        let lost = |interface: &InterfaceVitals| interface.dropped + interface.interface_dropped;
        self.interfaces.iter().map(lost).sum()
    }

    /// Workers in their capture loop.
    pub fn alive(&self) -> usize {
        self.workers.iter().filter(|worker| worker.alive).count()
    }

    /// Seconds since the capture began.
    pub fn uptime_secs(&self) -> u64 {
        secs_between(self.setup.started, self.time)
    }

    /// Mean time that a packet takes, where it was measured.
    pub fn nanos_per_packet(&self) -> Option<u64> {
        let timed: u64 = self.workers.iter().map(|worker| worker.timed_packets).sum();
        let nanos: u64 = self.workers.iter().map(|worker| worker.timed_nanos).sum();
        nanos.checked_div(timed)
    }

    /// Age of the trails file; `None` with the built-in trails.
    pub fn trails_age_secs(&self) -> Option<u64> {
        Some(secs_between(self.trails.written?, self.time))
    }
}

/// Whole seconds from `from` to `to`, 0 when the clock went back.
fn secs_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.micros().saturating_sub(from.micros()) / 1_000_000).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sensor of two workers, an hour after its start, in which all is well.
    pub(crate) fn healthy(at_secs: i64) -> Snapshot {
        let vitals = Vitals::new(Setup {
            sensor: "edge \"1\"".to_owned(),
            started: Timestamp::from_parts(1_790_000_000, 0),
            workers: 2,
            filtered: false,
            update_period_secs: Some(86_400),
            log_dir: None,
        });
        let elapsed = u64::try_from(at_secs).unwrap_or_default();
        for index in 0..2 {
            vitals.worker(index, |worker| {
                worker.alive = true;
                worker.packets = elapsed * 100 + index as u64;
                worker.heartbeat = Timestamp::from_parts(1_790_000_000 + at_secs, 0);
                worker.counters.packets = worker.packets;
                worker.counters.events = 3;
                worker.rules = vec![("port_scanning", 2)];
                worker.timed_packets = 4;
                worker.timed_nanos = 2000;
                worker.interfaces = vec![InterfaceVitals {
                    name: "eth7".to_owned(),
                    received: elapsed * 100,
                    dropped: 1,
                    interface_dropped: 0,
                }];
            });
        }
        vitals.trails(|trails| {
            trails.count = 1000;
            trails.written = Some(Timestamp::from_parts(1_790_000_000 - 100, 0));
        });
        vitals.snapshot(Timestamp::from_parts(1_790_000_000 + at_secs, 250_000))
    }

    #[test]
    fn workers_add_up() {
        let snapshot = healthy(10);
        assert_eq!(snapshot.packets(), 2001);
        assert_eq!(snapshot.engine.get("events"), 6);
        assert_eq!(snapshot.rules.get("port_scanning"), Some(&4));
        assert_eq!(snapshot.interfaces.len(), 1, "one interface, two sockets");
        assert_eq!(
            (snapshot.interfaces[0].received, snapshot.dropped()),
            (2000, 2)
        );
        assert_eq!(snapshot.nanos_per_packet(), Some(500));
        assert_eq!(
            (snapshot.uptime_secs(), snapshot.trails_age_secs()),
            (10, Some(110))
        );
        assert_eq!((snapshot.alive(), snapshot.trails.generation), (2, 1));
    }

    #[test]
    fn a_worker_that_was_not_announced_changes_nothing() {
        let vitals = Vitals::new(Setup::default());
        vitals.worker(7, |worker| worker.packets = 1);
        assert_eq!(vitals.snapshot(Timestamp::default()).packets(), 0);
        assert_eq!(
            vitals.snapshot(Timestamp::default()).nanos_per_packet(),
            None
        );
    }

    #[test]
    fn names_of_the_outside_are_bounded() {
        let vitals = Vitals::new(Setup {
            workers: 1,
            ..Setup::default()
        });
        vitals.worker(0, |worker| {
            worker.interfaces = vec![InterfaceVitals::default(); MAX_INTERFACES + 5];
        });
        vitals.sinks(SinkVitals {
            endpoints: vec![EndpointVitals::default(); MAX_ENDPOINTS + 5],
            ..SinkVitals::default()
        });
        let snapshot = vitals.snapshot(Timestamp::default());
        assert_eq!(snapshot.workers[0].interfaces.len(), MAX_INTERFACES);
        assert_eq!(snapshot.sinks.endpoints.len(), MAX_ENDPOINTS);
    }

    #[test]
    fn a_writer_that_panicked_does_not_silence_the_others() {
        let vitals = Vitals::new(Setup {
            workers: 1,
            ..Setup::default()
        });
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            vitals.worker(0, |_| panic!("a bug in a worker"));
        }));
        assert!(broken.is_err());
        vitals.worker(0, |worker| worker.packets = 5);
        assert_eq!(vitals.snapshot(Timestamp::default()).packets(), 5);
    }
}
