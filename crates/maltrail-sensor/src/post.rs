//! Where one worker captures: its sockets, and what is noticed about them.
//!
//! An interface that fails is said, shown as a fault, and tried again every [`AGAIN`] until it is back.
//!
//! Bounds: [`TURN`] packets of one interface before the others get their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maltrail_core::addr::NetworkSet;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use tracing::{error, info, warn};

use crate::capture::live::{Frame, Interface, Opener};
use crate::observables::StoreFeed;
use crate::pulse::Pulse;
use crate::vitals::{InterfaceVitals, Vitals, WorkerVitals};

/// Packets taken from one interface before the others get their turn.
const TURN: usize = 1024;
/// One packet in so many is timed.
const TIMED: u64 = 64;
/// Pause between two tries to open an interface that has failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How often what was seen goes to the store (`spec` sensor §14).
const STORE: Duration = Duration::from_secs(60);

/// The sockets of one worker.
pub(crate) struct Post {
    index: usize,
    opener: Opener,
    home: Arc<NetworkSet>,
    taps: Vec<Tap>,
    /// Places of interfaces that have failed, and since when they were not tried.
    failed: Vec<(usize, Instant)>,
    /// Kernel counters of sockets that have failed.
    gone: Vec<InterfaceVitals>,
    vitals: Arc<Vitals>,
    numbers: WorkerVitals,
    store: Option<StoreFeed>,
    stored: Instant,
    /// How long the kernel may keep a packet back.
    lag: i64,
}

struct Tap {
    /// Its place in `MONITOR_INTERFACE`.
    at: usize,
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
        opener: Opener,
        interfaces: Vec<Interface>,
        home: &Arc<NetworkSet>,
        vitals: Arc<Vitals>,
        store: Option<StoreFeed>,
        timeout_ms: u32,
    ) -> Self {
        let taps = interfaces.into_iter().enumerate();
        let taps = taps.map(|(at, interface)| Tap::new(at, interface, home));
        Self {
            index,
            taps: taps.collect(),
            opener,
            home: Arc::clone(home),
            failed: Vec::new(),
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
    pub(crate) fn turn(&mut self, mut each: impl FnMut(LinkType, Timestamp, &[u8])) -> Turn {
        let mut turn = Turn {
            packets: 0,
            until: Timestamp::from_micros(i64::MAX),
        };
        let mut failed = None;
        for (place, tap) in self.taps.iter_mut().enumerate() {
            match tap.turn(&mut self.numbers, self.lag, &mut each) {
                Ok(packets) => turn.packets += packets,
                Err(error) => {
                    error!(
                        "capture on `{}` ended: {error}; it is tried again",
                        tap.interface.name()
                    );
                    failed = Some(place);
                }
            }
            turn.until = turn.until.min(tap.until);
        }
        if let Some(place) = failed {
            let mut tap = self.taps.swap_remove(place);
            let stats = tap.stats();
            match self.gone.iter_mut().find(|known| known.name == stats.name) {
                Some(known) => known.add(&stats),
                None => self.gone.push(stats),
            }
            self.failed.push((tap.at, Instant::now()));
        }
        if self.taps.is_empty() {
            turn.until = Timestamp::from_micros(Timestamp::now().micros() - self.lag);
        }
        turn
    }

    /// Opens an interface that has failed, if one is due and there.
    fn open_again(&mut self) {
        let due = |(_, since): &(usize, Instant)| since.elapsed() >= AGAIN;
        let Some(place) = self.failed.iter().position(due) else {
            return;
        };
        let (at, _) = self.failed.swap_remove(place);
        match self.opener.open(at) {
            Ok(interface) => {
                info!("capturing on `{}` again", interface.name());
                self.taps.push(Tap::new(at, interface, &self.home));
            }
            Err(_) => self.failed.push((at, Instant::now())),
        }
    }

    /// Publishes its numbers, and hands on who was seen; for housekeeping, once a second.
    pub(crate) fn housekeep(&mut self, now: Timestamp, engine: &mut Engine) {
        self.open_again();
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
        let mut all = self.gone.clone();
        for tap in &mut self.taps {
            let stats = tap.stats();
            match all.iter_mut().find(|known| known.name == stats.name) {
                Some(known) => known.add(&stats),
                None => all.push(stats),
            }
        }
        self.numbers.interfaces = all;
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
    fn new(at: usize, interface: Interface, home: &Arc<NetworkSet>) -> Self {
        Self {
            at,
            pulse: Pulse::of_interface(interface.name(), Arc::clone(home)),
            interface,
            until: Timestamp::default(),
        }
    }

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
