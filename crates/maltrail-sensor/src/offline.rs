//! Replay of capture files with one state, in the order given, by one worker or by several.
//!
//! Several workers get the packets in rounds of [`ROUND`]; what they note is merged round by round, in
//! the order of the packets, so that events, and what policy makes of them, are those of one worker.
//!
//! ```text
//! file ─► Dispatcher ─┬► worker 0: Engine::note ─┬► Merger ─► Outbox
//!                     └► worker 1: Engine::note ─┘
//! ```
//!
//! Bounds: [`ROUNDS`] rounds in the queue of each worker and behind it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use maltrail_core::config::TimestampSource;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{Counters, Dispatcher, Engine, Merger, Notes, Window};
use maltrail_wire::LinkType;
use tracing::{info, warn};

use crate::capture::file::{CaptureFile, Problem, Record};
use crate::observables::StoreFeed;
use crate::outbox::Outbox;

/// Packets of a round.
const ROUND: usize = 4096;
/// Rounds that may wait for a worker, and for the thread that merges.
const ROUNDS: usize = 4;
/// How often what was seen goes to the store, in seconds of packet time.
const STORE_SECS: i64 = 60;

/// How files are replayed.
pub(crate) struct Replay<'a> {
    pub(crate) timestamps: TimestampSource,
    /// Multiple of the capture's pace; `None` is as fast as possible.
    pub(crate) speed: Option<f64>,
    /// BPF expression, when one was given.
    pub(crate) filter: Option<&'a str>,
    /// Bytes of a frame that are looked at.
    pub(crate) snaplen: usize,
    pub(crate) stop: &'a AtomicBool,
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) packets: u64,
    /// Packets that the filter of the command line left out.
    pub(crate) filtered: u64,
    /// Time of the last packet.
    last: Timestamp,
}

/// What takes the packets of a replay.
pub(crate) trait Taker {
    /// Takes a packet.
    fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8]);
    /// Examines what it has taken; how many events that makes up to now.
    fn settle(&mut self) -> u64;
    /// Nothing will follow. What its engines have counted.
    fn finish(self: Box<Self>, last: Timestamp) -> (Vec<Counters>, Outbox);
}

impl Replay<'_> {
    /// Reads `files` in order.
    ///
    /// # Errors
    /// When a file cannot be opened, is no capture, or breaks before its first packet.
    pub(crate) fn run(
        &self,
        files: &[impl AsRef<Path>],
        taker: &mut dyn Taker,
    ) -> (Replayed, anyhow::Result<()>) {
        let mut replayed = Replayed::default();
        for (number, path) in (1..).zip(files) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.file(number, path.as_ref(), taker, &mut replayed) {
                return (replayed, Err(error));
            }
        }
        (replayed, Ok(()))
    }

    fn file(
        &self,
        number: usize,
        path: &Path,
        taker: &mut dyn Taker,
        replayed: &mut Replayed,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let (packets, events) = (replayed.packets, taker.settle());
        let (input, size): (Box<dyn Read>, String) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), "standard input".to_owned())
        } else {
            let file = File::open(path)
                .with_context(|| format!("cannot open the capture `{}`", path.display()))?;
            let size = file.metadata().map_or(0, |meta| meta.len());
            (Box::new(file), format!("{size} bytes"))
        };
        let mut capture = CaptureFile::open(input)
            .map_err(|error| anyhow::anyhow!("`{}` {error}", path.display()))?;
        let mut filters = Filters::new(self.filter);
        let mut pace = Pace::new(self.speed);
        let broken = loop {
            if self.stop.load(Ordering::Relaxed) {
                break None;
            }
            match capture.next_record() {
                Ok(Some(record)) => {
                    self.record(&record, &mut filters, &mut pace, taker, replayed)?;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let found = taker.settle() - events;
        if let Some(error) = broken {
            if replayed.packets == packets && !matches!(error.problem, Problem::Truncated) {
                bail!("`{}` {error}", path.display());
            }
            warn!("`{}` {error}; what came before it was read", path.display());
        }
        info!(
            "[{number}] {}: {size} ({} packet(s), {found} event(s)) in {:.2}s",
            path.display(),
            replayed.packets - packets,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn record(
        &self,
        record: &Record<'_>,
        filters: &mut Filters<'_>,
        pace: &mut Pace,
        taker: &mut dyn Taker,
        replayed: &mut Replayed,
    ) -> anyhow::Result<()> {
        pace.wait(record.at, self.stop, || {
            taker.settle();
        });
        replayed.packets += 1;
        if !filters.admits(record)? {
            replayed.filtered += 1;
            return Ok(());
        }
        let at = match self.timestamps {
            TimestampSource::Pcap => record.at,
            TimestampSource::WallClock => Timestamp::now(),
        };
        replayed.last = at;
        let frame = record.frame.get(..self.snaplen).unwrap_or(record.frame);
        taker.packet(LinkType(record.link), at, frame);
        Ok(())
    }
}

impl Replayed {
    /// Time of the last packet.
    pub(crate) const fn last(&self) -> Timestamp {
        self.last
    }
}

/// Seconds of packet time, as housekeeping needs them.
#[derive(Default)]
struct Seconds {
    now: Option<i64>,
    stored: Option<i64>,
}

impl Seconds {
    /// Whether another second begins.
    fn turns(&mut self, at: Timestamp) -> bool {
        self.now.replace(at.secs()) != Some(at.secs())
    }

    /// Whether what was seen is to be stored.
    fn stores(&mut self) -> bool {
        let Some(now) = self.now else { return false };
        let since = *self.stored.get_or_insert(now);
        let due = now.abs_diff(since) >= STORE_SECS.unsigned_abs();
        if due {
            self.stored = Some(now);
        }
        due
    }
}

/// The longest wait of a replay for the store, which is much slower than packets from a file.
const STORE_WAIT: Duration = Duration::from_secs(30);

fn store(feed: Option<&StoreFeed>, window: Option<Window>) {
    if let (Some(feed), Some(window)) = (feed, window) {
        feed.put_within(window, STORE_WAIT);
    }
}

/// One worker.
pub(crate) struct Alone {
    engine: Engine,
    outbox: Outbox,
    store: Option<StoreFeed>,
    seconds: Seconds,
    events: Vec<Event>,
}

impl Alone {
    pub(crate) fn new(engine: Engine, outbox: Outbox, store: Option<StoreFeed>) -> Self {
        Self {
            engine,
            outbox,
            store,
            seconds: Seconds::default(),
            events: Vec::new(),
        }
    }
}

impl Taker for Alone {
    fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8]) {
        self.engine.packet(link, at, frame, &mut self.events);
        self.outbox.put(&mut self.events);
        if self.seconds.turns(at) {
            self.outbox.housekeep(at);
            if self.seconds.stores() {
                store(self.store.as_ref(), self.engine.take_seen());
            }
        }
    }

    fn settle(&mut self) -> u64 {
        self.outbox.admitted()
    }

    fn finish(mut self: Box<Self>, last: Timestamp) -> (Vec<Counters>, Outbox) {
        self.engine.finish(last, &mut self.events);
        self.outbox.put(&mut self.events);
        store(self.store.as_ref(), self.engine.take_seen());
        (vec![self.engine.counters()], self.outbox)
    }
}

/// What is done to a worker's engine.
#[derive(Clone, Copy)]
enum Act {
    Packet(LinkType),
    Time,
}

/// The packets of one worker in a round.
#[derive(Default)]
struct Round {
    /// What is done, when, under which number, and the end of its bytes.
    acts: Vec<(Act, Timestamp, u64, usize)>,
    bytes: Vec<u8>,
    /// Whether what was seen is handed over.
    store: bool,
    /// Whether nothing follows: the last packet of all had this number and time.
    last: Option<(u64, Timestamp)>,
}

/// What the merging thread is told about a round.
struct RoundEnd {
    /// The seconds that began in it: the housekeeping of policy.
    now: Timestamp,
    /// Where to say how many events there are.
    reply: Option<Sender<u64>>,
}

/// Several workers.
pub(crate) struct Team {
    dispatcher: Dispatcher,
    rounds: Vec<Round>,
    packets: usize,
    order: u64,
    seconds: Seconds,
    now: Timestamp,
    to_workers: Vec<Sender<Round>>,
    ends: Sender<RoundEnd>,
    workers: Vec<JoinHandle<Counters>>,
    merging: JoinHandle<(Outbox, Counters)>,
}

impl Team {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(
        engines: Vec<Engine>,
        dispatcher: Dispatcher,
        merger: Merger,
        outbox: Outbox,
        feed: Option<&StoreFeed>,
    ) -> io::Result<Self> {
        let (mut to_workers, mut from_workers, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        for (index, engine) in engines.into_iter().enumerate() {
            let (sender, rounds) = bounded(ROUNDS);
            let (notes, receiver) = bounded(ROUNDS);
            to_workers.push(sender);
            from_workers.push(receiver);
            let feed = feed.cloned();
            let thread = std::thread::Builder::new()
                .name(format!("worker {index}"))
                .spawn(move || work(engine, &rounds, &notes, feed.as_ref()))?;
            workers.push(thread);
        }
        let (ends, coming) = bounded(ROUNDS);
        let merging = std::thread::Builder::new()
            .name("merge".to_owned())
            .spawn(move || merge(merger, outbox, &coming, &from_workers))?;
        Ok(Self {
            dispatcher,
            rounds: to_workers.iter().map(|_| Round::default()).collect(),
            packets: 0,
            order: 0,
            seconds: Seconds::default(),
            now: Timestamp::default(),
            to_workers,
            ends,
            workers,
            merging,
        })
    }

    fn act(&mut self, worker: usize, act: Act, at: Timestamp, frame: &[u8]) {
        if let Some(round) = self.rounds.get_mut(worker) {
            round.bytes.extend_from_slice(frame);
            let end = round.bytes.len();
            round.acts.push((act, at, self.order, end));
        }
    }

    /// Hands the round over.
    fn hand_over(&mut self, reply: Option<Sender<u64>>) {
        self.packets = 0;
        for (round, worker) in self.rounds.iter_mut().zip(&self.to_workers) {
            // Only a worker that has panicked takes none.
            let _ = worker.send(std::mem::take(round));
        }
        let now = self.now;
        let _ = self.ends.send(RoundEnd { now, reply });
    }
}

impl Taker for Team {
    fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8]) {
        self.order += 1;
        let route = self.dispatcher.route(link, at, frame);
        if route.turn {
            for worker in 0..self.rounds.len() {
                self.act(worker, Act::Time, at, &[]);
            }
        }
        self.act(route.worker, Act::Packet(link), at, frame);
        self.packets += 1;
        let turns = self.seconds.turns(at);
        self.now = at;
        if turns && self.seconds.stores() {
            for round in &mut self.rounds {
                round.store = true;
            }
        }
        // Policy keeps house where a second begins, so a round ends there.
        if turns || self.packets >= ROUND {
            self.hand_over(None);
        }
    }

    fn settle(&mut self) -> u64 {
        let (reply, count) = bounded(1);
        self.hand_over(Some(reply));
        count.recv().unwrap_or_default()
    }

    fn finish(mut self: Box<Self>, last: Timestamp) -> (Vec<Counters>, Outbox) {
        self.order += 1;
        let end = Some((self.order, last));
        for round in &mut self.rounds {
            (round.last, round.store) = (end, true);
        }
        self.now = last;
        self.hand_over(None);
        drop((self.to_workers, self.ends));
        let (outbox, census) = match self.merging.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let mut counters: Vec<Counters> = self
            .workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect();
        counters.push(census);
        (counters, outbox)
    }
}

fn work(
    mut engine: Engine,
    rounds: &Receiver<Round>,
    notes: &Sender<Notes>,
    feed: Option<&StoreFeed>,
) -> Counters {
    for round in rounds {
        let mut start = 0;
        for (act, at, order, end) in round.acts {
            match act {
                Act::Packet(link) => {
                    let frame = round.bytes.get(start..end).unwrap_or_default();
                    engine.note(order, link, at, frame);
                }
                Act::Time => engine.note_time(order, at),
            }
            start = end;
        }
        if let Some((order, last)) = round.last {
            engine.note_end(order, last);
        }
        if round.store {
            store(feed, engine.take_seen());
        }
        if notes.send(engine.take_notes()).is_err() {
            break;
        }
    }
    engine.counters()
}

fn merge(
    mut merger: Merger,
    mut outbox: Outbox,
    ends: &Receiver<RoundEnd>,
    workers: &[Receiver<Notes>],
) -> (Outbox, Counters) {
    let mut events = Vec::new();
    let mut last = Timestamp::default();
    for end in ends {
        for (index, worker) in workers.iter().enumerate() {
            if let Ok(notes) = worker.recv() {
                merger.put(index, notes);
            }
        }
        merger.merge(u64::MAX, &mut events);
        outbox.put(&mut events);
        outbox.housekeep(end.now);
        last = end.now;
        if let Some(reply) = end.reply {
            let _ = reply.send(outbox.admitted());
        }
    }
    merger.finish(last, &mut events);
    outbox.put(&mut events);
    (outbox, merger.counters())
}

/// The compiled filter for each link type met.
struct Filters<'a> {
    expression: Option<&'a str>,
    programs: Vec<(u16, pcap::BpfProgram)>,
}

impl<'a> Filters<'a> {
    const fn new(expression: Option<&'a str>) -> Self {
        Self {
            expression,
            programs: Vec::new(),
        }
    }

    fn admits(&mut self, record: &Record<'_>) -> anyhow::Result<bool> {
        let Some(expression) = self.expression else {
            return Ok(true);
        };
        if let Some((_, program)) = self.programs.iter().find(|(link, _)| *link == record.link) {
            return Ok(program.filter(record.frame));
        }
        let program = pcap::Capture::dead(pcap::Linktype(i32::from(record.link)))
            .and_then(|capture| capture.compile(expression, true))
            .map_err(|error| {
                anyhow::anyhow!(
                    "the filter `{expression}` does not compile for link type {}: {error}",
                    record.link
                )
            })?;
        let admitted = program.filter(record.frame);
        self.programs.push((record.link, program));
        Ok(admitted)
    }
}

/// Keeps the capture's own pace, or a multiple of it.
struct Pace {
    speed: Option<f64>,
    /// When the first packet was played, and its time.
    start: Option<(Instant, Timestamp)>,
}

impl Pace {
    const fn new(speed: Option<f64>) -> Self {
        Self { speed, start: None }
    }

    /// Waits for the moment of `at`; `before` is done when it is not there yet.
    fn wait(&mut self, at: Timestamp, stop: &AtomicBool, before: impl FnOnce()) {
        /// Longest nap, so that a stop is heeded.
        const NAP: Duration = Duration::from_millis(50);
        let Some(speed) = self.speed else { return };
        let (started, first) = *self.start.get_or_insert_with(|| (Instant::now(), at));
        let micros = (at.micros() - first.micros()).max(0) as f64 / speed;
        let due = started + Duration::from_micros(micros as u64);
        if due > Instant::now() {
            before();
        }
        while let Some(left) = due
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}
