//! Where events go.
//!
//! ```text
//! worker ─ bounded queue ─► sinks thread: day files │ console
//!                              └─ bounded queue each ─► a thread each: LOG_SERVER │ SYSLOG_SERVER │ LOGSTASH_SERVER
//! ```
//!
//! **Invariants.** Day files are written before a remote receiver is thought of. A receiver that is
//! dead, slow or has no address delays neither a packet nor the day file nor another receiver; what it
//! does not get is counted for it ([`EndpointFacts`]) and said. At the end, what waits is sent for
//! at most [`FLUSH`]. Threads that hang then, as in a name look-up, are left behind.

mod dayfile;
mod encoder;
mod ending;
mod endpoint;
mod errorlog;
mod receivers;
mod stream;
mod tls;
mod udp;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use maltrail_core::config::{Config, LogFormat};
use maltrail_core::event::{Event, profiles};
use maltrail_core::time::Zone;
use tracing::warn;

pub use dayfile::{DayFile, DayFileError, Extension};
pub use endpoint::EndpointFacts;
pub use errorlog::ErrorLog;

use ending::Ender;
use endpoint::{Endpoint, Patience, Plan};
use writer::{Batch, Writer};

/// Batches of events that may wait. A batch comes from one read of the capture, so this is far more
/// than a sink that works ever needs; one that does not work costs at most this much memory.
const QUEUE_BATCHES: usize = 1024;
/// Longest time for what waits for receivers when the program ends.
pub const FLUSH: Duration = Duration::from_secs(5);
/// Part of it in which senders that were at work close what they had open.
const GRACE: Duration = Duration::from_millis(200);
/// Most receivers: each has a thread and a queue.
const RECEIVERS: usize = 64;

/// A sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The log folder.
    #[error(transparent)]
    DayFile(#[from] DayFileError),
    /// A receiver of syslog over TLS.
    #[error("SYSLOG_SERVER `{0}`: {1}")]
    Tls(String, String),
    /// More receivers than there are threads for.
    #[error(
        "{0} receivers in LOG_SERVER, SYSLOG_SERVER and LOGSTASH_SERVER; {RECEIVERS} are possible"
    )]
    TooMany(usize),
}

/// Counters that the worker and the summary read.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Events written to the day file (`DATE.log`; `DATE.json` when that is the only one).
    pub written: AtomicU64,
    /// Events that a day file could not take.
    pub failed: AtomicU64,
    /// Events sent to `LOG_SERVER`; counted at the end.
    pub sent: AtomicU64,
    /// Events that could not be sent to `LOG_SERVER`; counted at the end.
    pub unsent: AtomicU64,
    /// Events dropped because the queue was full.
    pub dropped: AtomicU64,
}

impl SinkCounters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Numbers of all sinks at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFacts {
    /// Events written to the day file.
    pub written: u64,
    /// Events that a day file could not take.
    pub failed: u64,
    /// Events dropped because the queue of the sinks was full.
    pub dropped: u64,
    /// Each remote receiver.
    pub receivers: Vec<EndpointFacts>,
}

impl SinkFacts {
    /// Events lost by any sink: a receiver that did not get one counts as much as a file.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let remote: u64 = self.receivers.iter().map(|one| one.lost).sum();
        self.failed + self.dropped + remote
    }
}

/// The sinks of a configuration.
pub struct Sinks {
    zone: Zone,
    line_file: Option<DayFile>,
    json_file: Option<DayFile>,
    json: profiles::Encode,
    console: bool,
    plans: Vec<Plan>,
    counters: Arc<SinkCounters>,
}

impl Sinks {
    /// Opens what the configuration names. `console` prints events as well.
    ///
    /// # Errors
    /// When the log folder cannot be made or written, or TLS cannot be spoken with a receiver. That a
    /// receiver is not there is none.
    pub fn open(config: &Config, console: bool) -> Result<Self, SinkError> {
        let output = &config.output;
        let local = !output.disable_local;
        let file = |extension, wanted: &[LogFormat]| {
            (local && wanted.contains(&output.format))
                .then(|| DayFile::open(&config.log_dir, extension))
                .transpose()
        };
        let elsewhere = !output.log_servers.is_empty() || !output.syslog_servers.is_empty();
        Ok(Self {
            zone: Zone::local(),
            line_file: file(Extension::Log, &[LogFormat::Line, LogFormat::Both])?,
            json_file: file(Extension::Json, &[LogFormat::Json, LogFormat::Both])?,
            json: profiles::encode(output.json_profile),
            plans: receivers::plans(config)?,
            // Events must go somewhere that keeps them.
            console: console || !(local || elsewhere),
            counters: Arc::default(),
        })
    }

    /// Runs the sinks in threads of their own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(self) -> std::io::Result<SinkThread> {
        let (sender, receiver) = bounded(QUEUE_BATCHES);
        let (ender, ending) = ending::ending();
        let mut endpoints = Vec::with_capacity(self.plans.len());
        let mut running = Vec::with_capacity(self.plans.len());
        for plan in self.plans {
            let (endpoint, done) = plan.spawn(ending.clone())?;
            endpoints.push(endpoint);
            running.push(done);
        }
        let watch = SinkWatch {
            counters: self.counters,
            endpoints: endpoints.into(),
        };
        let mut writer = Writer {
            zone: self.zone,
            line_file: self.line_file,
            json_file: self.json_file,
            json: self.json,
            console: self.console,
            patience: vec![Patience::default(); watch.endpoints.len()],
            watch: watch.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(SinkThread {
            sender,
            watch,
            thread,
            running,
            ender,
        })
    }
}

/// Numbers of the sinks, and heartbeats, for other threads.
#[derive(Clone, Debug)]
pub struct SinkWatch {
    counters: Arc<SinkCounters>,
    endpoints: Arc<[Endpoint]>,
}

impl SinkWatch {
    /// Numbers of this moment.
    #[must_use]
    pub fn facts(&self) -> SinkFacts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SinkFacts {
            written: load(&self.counters.written),
            failed: load(&self.counters.failed),
            dropped: load(&self.counters.dropped),
            receivers: self.endpoints.iter().map(Endpoint::facts).collect(),
        }
    }

    /// Sends a heartbeat to every `LOG_SERVER`; false when none takes it (`LOG_SERVER_FORMAT line`, or no
    /// server at all). Never waits.
    pub fn beat(&self, json: String) -> bool {
        let message: Arc<str> = json.into();
        let mut any = false;
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.beats) {
            endpoint.beat(Arc::clone(&message));
            any = true;
        }
        any
    }
}

/// The worker's end of the queue.
pub struct SinkThread {
    sender: Sender<Batch>,
    watch: SinkWatch,
    thread: JoinHandle<()>,
    /// Each closes when a receiver's thread ends.
    running: Vec<Receiver<()>>,
    ender: Ender,
}

impl SinkThread {
    /// Hands a batch over, waiting for room: for replay, where waiting loses nothing.
    pub fn put(&self, events: Vec<Event>) {
        let count = events.len();
        let batch = Batch {
            events,
            patient: true,
        };
        if self.sender.send(batch).is_err() {
            SinkCounters::add(&self.watch.counters.dropped, count);
        }
    }

    /// Hands a batch over, or drops and counts it when the queue is full: for live capture.
    pub fn offer(&self, events: Vec<Event>) {
        let batch = Batch {
            events,
            patient: false,
        };
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.sender.try_send(batch)
        {
            let before = self.watch.counters.dropped.load(Ordering::Relaxed);
            SinkCounters::add(&self.watch.counters.dropped, batch.events.len());
            if before == 0 {
                warn!("events are dropped: the sinks cannot keep up (the summary counts them)");
            }
        }
    }

    /// Numbers of this moment.
    #[must_use]
    pub fn facts(&self) -> SinkFacts {
        self.watch.facts()
    }

    /// A handle for other threads.
    #[must_use]
    pub fn watch(&self) -> SinkWatch {
        self.watch.clone()
    }

    /// Writes what waits, sends what can be sent within [`FLUSH`], and ends. Says what each receiver
    /// did not get.
    pub fn finish(self) -> Arc<SinkCounters> {
        drop(self.sender);
        if self.thread.join().is_err() {
            warn!("the sink thread ended with a panic; its last events may be lost");
        }
        let deadline = Instant::now() + FLUSH;
        // Senders give up a little earlier, so that each has counted before the numbers are final.
        self.ender.end(deadline - GRACE);
        for running in &self.running {
            let _ = running.recv_deadline(deadline);
        }
        for endpoint in self.watch.endpoints.iter() {
            endpoint.state().settle();
        }
        let counters = self.watch.counters.as_ref();
        for facts in self.watch.facts().receivers {
            if facts.option == "LOG_SERVER" {
                counters.sent.fetch_add(facts.sent, Ordering::Relaxed);
                counters.unsent.fetch_add(facts.lost, Ordering::Relaxed);
            }
        }
        self.watch.counters
    }
}

#[cfg(test)]
mod tests;
