//! Where events go. One thread owns all sinks and is fed through one bounded queue.

mod dayfile;
mod udp;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use maltrail_core::config::{Config, LogFormat};
use maltrail_core::event::Event;
use maltrail_core::time::Zone;
use tracing::warn;

pub use dayfile::{DayFile, DayFileError, Extension};
pub use udp::UdpSink;

/// Batches of events that may wait. A batch comes from one read of the capture, so this is far more
/// than a sink that works ever needs; one that does not work costs at most this much memory.
const QUEUE_BATCHES: usize = 1024;

/// Counters that the worker and the summary read.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Events written to the day file.
    pub written: AtomicU64,
    /// Events that a day file could not take.
    pub failed: AtomicU64,
    /// Events sent to the log server.
    pub sent: AtomicU64,
    /// Events that could not be sent.
    pub unsent: AtomicU64,
    /// Events dropped because the queue was full.
    pub dropped: AtomicU64,
}

impl SinkCounters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The sinks of a configuration.
pub struct Sinks {
    zone: Zone,
    line_file: Option<DayFile>,
    json_file: Option<DayFile>,
    udp: Option<UdpSink>,
    console: bool,
    counters: Arc<SinkCounters>,
}

impl Sinks {
    /// Opens what the configuration names. `console` prints events as well.
    ///
    /// # Errors
    /// When the log folder cannot be made or written.
    pub fn open(config: &Config, console: bool) -> Result<Self, DayFileError> {
        let output = &config.output;
        let local = !output.disable_local;
        let file = |extension, wanted: &[LogFormat]| {
            (local && wanted.contains(&output.format))
                .then(|| DayFile::open(&config.log_dir, extension))
                .transpose()
        };
        Ok(Self {
            zone: Zone::local(),
            line_file: file(Extension::Log, &[LogFormat::Line, LogFormat::Both])?,
            json_file: file(Extension::Json, &[LogFormat::Json, LogFormat::Both])?,
            udp: output.log_server.as_deref().map(UdpSink::new),
            // Events must go somewhere.
            console: console || (!local && output.log_server.is_none()),
            counters: Arc::default(),
        })
    }

    /// Writes a batch to every sink.
    fn write(&mut self, events: &[Event]) {
        let mut datagrams = 0;
        if let Some(file) = &mut self.line_file {
            let stored = file.write(
                events,
                |event, out| event.write_line(&self.zone, out),
                &self.zone,
            );
            SinkCounters::add(&self.counters.written, stored);
            SinkCounters::add(&self.counters.failed, events.len() - stored);
        }
        if let Some(file) = &mut self.json_file {
            file.write(
                events,
                |event, out| out.push_str(&event.to_json_line(&self.zone)),
                &self.zone,
            );
        }
        if let Some(udp) = &mut self.udp {
            for event in events {
                datagrams += usize::from(udp.send(&event.to_datagram(&self.zone)));
            }
            SinkCounters::add(&self.counters.sent, datagrams);
            SinkCounters::add(&self.counters.unsent, events.len() - datagrams);
        }
        if self.console {
            let mut out = std::io::stderr().lock();
            for event in events {
                let _ = out.write_all(event.to_line(&self.zone).as_bytes());
            }
        }
    }

    /// Runs the sinks in a thread of their own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(mut self) -> std::io::Result<SinkThread> {
        let (sender, receiver): (Sender<Vec<Event>>, Receiver<Vec<Event>>) = bounded(QUEUE_BATCHES);
        let counters = Arc::clone(&self.counters);
        let thread = std::thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || {
                for events in receiver {
                    self.write(&events);
                }
            })?;
        Ok(SinkThread {
            sender,
            counters,
            thread,
        })
    }
}

/// The worker's end of the queue.
pub struct SinkThread {
    sender: Sender<Vec<Event>>,
    counters: Arc<SinkCounters>,
    thread: JoinHandle<()>,
}

impl SinkThread {
    /// Hands a batch over, waiting for room: for replay, where waiting loses nothing.
    pub fn put(&self, events: Vec<Event>) {
        let count = events.len();
        if self.sender.send(events).is_err() {
            SinkCounters::add(&self.counters.dropped, count);
        }
    }

    /// Hands a batch over, or drops and counts it when the queue is full: for live capture.
    pub fn offer(&self, events: Vec<Event>) {
        if let Err(TrySendError::Full(events) | TrySendError::Disconnected(events)) =
            self.sender.try_send(events)
        {
            let before = self.counters.dropped.load(Ordering::Relaxed);
            SinkCounters::add(&self.counters.dropped, events.len());
            if before == 0 {
                warn!("events are dropped: the sinks cannot keep up (the summary counts them)");
            }
        }
    }

    /// Writes what waits and ends.
    pub fn finish(self) -> Arc<SinkCounters> {
        drop(self.sender);
        if self.thread.join().is_err() {
            warn!("the sink thread ended with a panic; its last events may be lost");
        }
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use maltrail_core::config::Environment;

    use super::*;

    /// Syslog is not sent yet, so it must not silence the terminal.
    #[test]
    fn events_always_have_a_place_to_go() {
        let console = |text: &str| {
            let read = Config::parse(text, "f", Path::new("/"), &Environment::default());
            let (config, _) = read.expect("valid");
            Sinks::open(&config, false)
                .expect("no folder is needed")
                .console
        };
        assert!(console("DISABLE_LOCAL_LOG_STORAGE true\n"));
        assert!(console(
            "DISABLE_LOCAL_LOG_STORAGE true\nSYSLOG_SERVER 192.0.2.1:514\n"
        ));
        assert!(!console(
            "DISABLE_LOCAL_LOG_STORAGE true\nLOG_SERVER 127.0.0.1:9\n"
        ));
    }
}
