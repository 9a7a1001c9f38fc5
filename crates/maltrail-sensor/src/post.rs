//! Where one worker captures: its sockets, and what is noticed about them.
//!
//! Bounds: [`TURN`] packets of one interface before the others get their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use maltrail_core::addr::NetworkSet;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use tracing::{error, warn};

use crate::capture::live::{Frame, Interface};
use crate::observables::StoreFeed;
use crate::pulse::Pulse;
use crate::vitals::{InterfaceVitals, Vitals, WorkerVitals};

/// Packets taken from one interface before the others get their turn.
const TURN: usize = 1024;
/// One packet in so many is timed.
const TIMED: u64 = 64;
/// How often what was seen goes to the store (`spec` sensor §14).
const STORE: Duration = Duration::from_secs(60);

/// The sockets of one worker.
pub(crate) struct Post {
    index: usize,
    taps: Vec<Tap>,
    /// Kernel counters of interfaces that have failed.
    gone: Vec<InterfaceVitals>,
    vitals: Arc<Vitals>,
    numbers: WorkerVitals,
    store: Option<StoreFeed>,
    stored: Instant,
    /// How long the kernel may keep a packet back.
    lag: i64,
}

struct Tap {
    interface: Interface,
    pulse: Pulse,
    /// All packets up to this time were seen.
    until: Timestamp,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) packets: usize,
    /// All packets up to this time were seen, in microseconds.
    pub(crate) until: Timestamp,
}

impl Post {
    pub(crate) fn new(
        index: usize,
        interfaces: Vec<Interface>,
        home: &Arc<NetworkSet>,
        vitals: Arc<Vitals>,
        store: Option<StoreFeed>,
        timeout_ms: u32,
    ) -> Self {
        let tap = |interface: Interface| Tap {
            pulse: Pulse::of_interface(interface.name(), Arc::clone(home)),
            interface,
            until: Timestamp::default(),
        };
        Self {
            index,
            taps: interfaces.into_iter().map(tap).collect(),
            gone: Vec::new(),
            vitals,
            numbers: WorkerVitals {
                alive: true,
                ..WorkerVitals::default()
            },
            store,
            stored: Instant::now(),
            // A block of the ring is handed over after the timeout, or sooner when it is full.
            lag: i64::from(timeout_ms) * 1000 + 50_000,
        }
    }

    /// Takes what the interfaces have and gives it to `each`. A packet in which that panics is lost and
    /// counted.
    ///
    /// # Errors
    /// When every interface has failed.
    pub(crate) fn turn(
        &mut self,
        mut each: impl FnMut(LinkType, Timestamp, &[u8]),
    ) -> anyhow::Result<Turn> {
        let mut turn = Turn {
            packets: 0,
            until: Timestamp::from_micros(i64::MAX),
        };
        let mut failed = None;
        for (at, tap) in self.taps.iter_mut().enumerate() {
            match tap.turn(&mut self.numbers, self.lag, &mut each) {
                Ok(packets) => turn.packets += packets,
                Err(error) => {
                    error!("capture on `{}` ended: {error}", tap.interface.name());
                    failed = Some(at);
                }
            }
            turn.until = turn.until.min(tap.until);
        }
        if let Some(at) = failed {
            let mut tap = self.taps.swap_remove(at);
            self.gone.push(tap.stats());
            if self.taps.is_empty() {
                bail!("no interface is left to capture on");
            }
        }
        Ok(turn)
    }

    /// Publishes its numbers, and hands on who was seen; for housekeeping, once a second.
    pub(crate) fn housekeep(&mut self, now: Timestamp, engine: &mut Engine) {
        for tap in &mut self.taps {
            tap.pulse.tick(now);
        }
        self.numbers.heartbeat = now;
        self.publish(engine);
        if self.stored.elapsed() >= STORE {
            self.stored = Instant::now();
            if let (Some(store), Some(window)) = (&self.store, engine.take_seen()) {
                store.put(window);
            }
        }
    }

    /// The last numbers; the sockets are closed.
    pub(crate) fn finish(mut self, engine: &mut Engine) {
        self.numbers.alive = false;
        self.publish(engine);
        if let (Some(store), Some(window)) = (&self.store, engine.take_seen()) {
            store.put_within(window, Duration::from_secs(2));
        }
        for stats in &self.numbers.interfaces {
            if stats.dropped > 0 {
                warn!(
                    "`{}`: the kernel dropped {} of {} packets (CAPTURE_BUFFER_SIZE gives it more room)",
                    stats.name, stats.dropped, stats.received
                );
            }
        }
    }

    fn publish(&mut self, engine: &Engine) {
        let counters = engine.counters();
        self.numbers.rules = counters.rules().collect();
        self.numbers.counters = counters;
        let present = self.taps.iter_mut().map(Tap::stats);
        self.numbers.interfaces = present.chain(self.gone.iter().cloned()).collect();
        let pulse = |tap: &Tap| (tap.interface.name().to_owned(), tap.pulse.facts().clone());
        self.numbers.pulse = self.taps.iter().map(pulse).collect();
        let numbers = self.numbers.clone();
        self.vitals
            .worker(self.index, |published| *published = numbers);
    }
}

impl Drop for Post {
    /// A worker that ends unasked is seen to be gone.
    fn drop(&mut self) {
        self.vitals
            .worker(self.index, |published| published.alive = false);
    }
}

impl Tap {
    fn turn(
        &mut self,
        numbers: &mut WorkerVitals,
        lag: i64,
        each: &mut impl FnMut(LinkType, Timestamp, &[u8]),
    ) -> Result<usize, pcap::Error> {
        let link = self.interface.link();
        let asked = Timestamp::now();
        for taken in 0..TURN {
            match self.interface.next_frame()? {
                Some(Frame {
                    at,
                    bytes: frame,
                    wire_len,
                }) => {
                    numbers.packets += 1;
                    self.until = at;
                    self.pulse.frame(link, at, frame, wire_len);
                    let started = numbers.packets.is_multiple_of(TIMED).then(Instant::now);
                    if catch_unwind(AssertUnwindSafe(|| each(link, at, frame))).is_err() {
                        numbers.panics += 1;
                        error!(
                            "a packet could not be examined: please report this; it is left out"
                        );
                    }
                    if let Some(started) = started {
                        numbers.timed_packets += 1;
                        let nanos = u64::try_from(started.elapsed().as_nanos());
                        numbers.timed_nanos += nanos.unwrap_or_default();
                    }
                }
                None => {
                    let seen = asked.micros().saturating_sub(lag);
                    self.until = self.until.max(Timestamp::from_micros(seen));
                    return Ok(taken);
                }
            }
        }
        Ok(TURN)
    }

    fn stats(&mut self) -> InterfaceVitals {
        let stats = self.interface.stats();
        InterfaceVitals {
            name: self.interface.name().to_owned(),
            received: stats.received,
            dropped: stats.dropped,
            interface_dropped: stats.interface_dropped,
        }
    }
}
