//! One remote receiver: a bounded queue, a thread that sends what is in it, and the count of losses.
//!
//! ```text
//! sinks thread ─ offer ─► queue (QUEUE_EVENTS) ─► thread: encode ─► Link (UDP, TCP, TLS)
//!                  └ full: lost, counted
//! ```
//!
//! **Invariants.** `offer` never waits live. During a replay it waits for a receiver that keeps up, at
//! most [`PATIENCE`] for one that does not. Each event offered is in the end either sent or lost, and
//! losses are said at once, then at most every [`SAY_AGAIN`].

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded, select};
use maltrail_core::event::Event;
use tracing::{info, warn};

use super::encoder::Encoder;
use super::ending::Ending;

/// Events that wait for one receiver. Each has about 1 kB and is shared between receivers.
pub(super) const QUEUE_EVENTS: usize = 16_384;
/// Pause between two messages about the same receiver.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Longest wait of a replay for a receiver that takes nothing.
const PATIENCE: Duration = Duration::from_millis(250);
/// What an event that was taken adds to the patience that is left: a receiver of 20,000 events a
/// second never loses any.
const EARNED: Duration = Duration::from_micros(50);

/// What became of a message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is on its way.
    Sent,
    /// It is on its way, but the one before turned out to be lost.
    SentAfterLoss,
    /// It is lost.
    Lost(io::Error),
    /// It is lost to trouble that was told before.
    StillLost,
}

/// A way to a receiver.
pub(super) trait Link: Send {
    /// Sends a message, or says that it is lost.
    fn deliver(&mut self, message: &[u8], ending: &Ending) -> Outcome;

    /// Says goodbye.
    fn close(&mut self) {}
}

/// What waits in a queue.
#[derive(Debug)]
pub(super) enum Item {
    /// An event.
    Event(Arc<Event>),
    /// A message that is no event, as it is; not counted.
    Beat(Arc<str>),
}

/// Numbers of one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFacts {
    /// `LOG_SERVER`, `SYSLOG_SERVER` or `LOGSTASH_SERVER`.
    pub option: &'static str,
    /// The entry, as written.
    pub address: Arc<str>,
    /// Events that were to be sent.
    pub offered: u64,
    /// Events sent.
    pub sent: u64,
    /// Events lost.
    pub lost: u64,
    /// Whether the last try failed.
    pub failing: bool,
}

impl EndpointFacts {
    /// Events that wait.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.offered
            .saturating_sub(self.sent.saturating_add(self.lost))
    }
}

/// Counters of a receiver and what was said about it.
#[derive(Debug)]
pub(super) struct State {
    option: &'static str,
    address: Arc<str>,
    offered: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    losses: Option<Instant>,
    trouble: Option<Instant>,
}

impl State {
    pub(super) fn new(option: &'static str, address: &str) -> Arc<Self> {
        Arc::new(Self {
            option,
            address: address.into(),
            offered: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            said: Mutex::default(),
        })
    }

    pub(super) fn facts(&self) -> EndpointFacts {
        // In this order, so that an event on its way is never missing.
        let (lost, sent) = (&self.lost, &self.sent);
        let (lost, sent) = (lost.load(Ordering::Acquire), sent.load(Ordering::Acquire));
        EndpointFacts {
            option: self.option,
            address: Arc::clone(&self.address),
            offered: self.offered.load(Ordering::Acquire),
            sent,
            lost,
            failing: self.failing.load(Ordering::Relaxed),
        }
    }

    fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Release);
        if self.failing.swap(false, Ordering::Relaxed) {
            info!("events reach {} `{}` again", self.option, self.address);
        }
    }

    /// What was taken for sent is lost.
    fn unsend(&self) {
        let less = self
            .sent
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |sent| {
                sent.checked_sub(1)
            });
        if less.is_ok() {
            self.lose(1);
        }
    }

    pub(super) fn lose(&self, count: u64) {
        let lost = self.lost.fetch_add(count, Ordering::AcqRel) + count;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if is_due(&mut said.losses) {
            warn!(
                "{} `{}`: {lost} {} lost so far",
                self.option,
                self.address,
                if lost == 1 { "event" } else { "events" }
            );
        }
    }

    /// Tells of a failure.
    pub(super) fn trouble(&self, error: &io::Error) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if is_due(&mut said.trouble) {
            self.failing.store(true, Ordering::Relaxed);
            warn!(
                "cannot send events to {} `{}`: {error}; tried again, losses are counted",
                self.option, self.address
            );
        }
    }

    /// Counts what was not sent when the time was over, and tells of all losses.
    pub(super) fn settle(&self) {
        let facts = self.facts();
        self.lost.fetch_add(facts.waiting(), Ordering::AcqRel);
        let lost = facts.lost + facts.waiting();
        if lost > 0 {
            warn!(
                "{} `{}` did not get {lost} of {} events",
                self.option, self.address, facts.offered
            );
        }
    }
}

/// Whether it is time to say something again; then it counts as said.
fn is_due(said: &mut Option<Instant>) -> bool {
    let due = said.is_none_or(|at| at.elapsed() >= SAY_AGAIN);
    if due {
        *said = Some(Instant::now());
    }
    due
}

/// The queue's near end.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    queue: Sender<Item>,
    state: Arc<State>,
    /// Takes heartbeats.
    pub(super) beats: bool,
}

/// What is left of a replay's patience with a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(PATIENCE)
    }
}

impl Endpoint {
    pub(super) fn facts(&self) -> EndpointFacts {
        self.state.facts()
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Hands an event over, or counts it as lost.
    pub(super) fn offer(&self, event: &Arc<Event>, patience: Option<&mut Patience>) {
        self.state.offered.fetch_add(1, Ordering::AcqRel);
        let item = match self.queue.try_send(Item::Event(Arc::clone(event))) {
            Ok(()) => {
                if let Some(patience) = patience {
                    patience.0 = PATIENCE.min(patience.0 + EARNED);
                }
                return;
            }
            Err(TrySendError::Full(item) | TrySendError::Disconnected(item)) => item,
        };
        let Some(patience) = patience.filter(|patience| !patience.0.is_zero()) else {
            return self.state.lose(1);
        };
        let started = Instant::now();
        let result = self.queue.send_timeout(item, patience.0);
        patience.0 = patience.0.saturating_sub(started.elapsed());
        match result {
            Ok(()) => patience.0 = PATIENCE.min(patience.0 + EARNED),
            Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => {
                self.state.lose(1);
            }
        }
    }

    /// Sends a message that is no event, if there is room.
    pub(super) fn beat(&self, message: Arc<str>) {
        let _ = self.queue.try_send(Item::Beat(message));
    }
}

/// A receiver before it has a thread.
pub(super) struct Plan {
    pub(super) state: Arc<State>,
    pub(super) encoder: Encoder,
    pub(super) link: Box<dyn Link>,
    pub(super) beats: bool,
}

impl Plan {
    /// Starts the thread. It tells through the returned channel, by closing it, that it has ended.
    pub(super) fn spawn(self, ending: Ending) -> io::Result<(Endpoint, Receiver<()>)> {
        let (queue, items) = bounded(QUEUE_EVENTS);
        let (done, has_ended) = bounded(0);
        let endpoint = Endpoint {
            queue,
            state: Arc::clone(&self.state),
            beats: self.beats,
        };
        let mut sending = Sending {
            state: self.state,
            encoder: self.encoder,
            link: self.link,
            ending,
            message: String::new(),
        };
        let _: JoinHandle<()> = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                sending.run(&items);
                drop(done);
            })?;
        Ok((endpoint, has_ended))
    }
}

/// What the thread works with.
struct Sending {
    state: Arc<State>,
    encoder: Encoder,
    link: Box<dyn Link>,
    ending: Ending,
    message: String,
}

impl Sending {
    fn run(&mut self, items: &Receiver<Item>) {
        let ending = self.ending.clone();
        loop {
            select! {
                recv(items) -> item => match item {
                    Ok(item) => self.send(item),
                    Err(_) => break,
                },
                recv(ending.stop()) -> _ => break,
            }
        }
        while !self.ending.is_over()
            && let Ok(item) = items.try_recv()
        {
            self.send(item);
        }
        self.link.close();
    }

    fn send(&mut self, item: Item) {
        match item {
            Item::Event(event) => {
                if !self.encoder.encode(&event, &mut self.message) {
                    return self.state.lose(1);
                }
                match self.link.deliver(self.message.as_bytes(), &self.ending) {
                    Outcome::Sent => self.state.sent(),
                    Outcome::SentAfterLoss => {
                        self.state.unsend();
                        self.state.sent();
                    }
                    Outcome::Lost(error) => {
                        self.state.trouble(&error);
                        self.state.lose(1);
                    }
                    Outcome::StillLost => self.state.lose(1),
                }
            }
            Item::Beat(text) => {
                if let Outcome::Lost(error) = self.link.deliver(text.as_bytes(), &self.ending) {
                    self.state.trouble(&error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_is_said_at_once_and_then_once_a_minute() {
        let mut said = None;
        assert!(is_due(&mut said));
        assert!(!is_due(&mut said));
        said = Instant::now().checked_sub(SAY_AGAIN);
        assert!(is_due(&mut said) && !is_due(&mut said));
    }

    #[test]
    fn what_turns_out_to_be_lost_is_moved_not_counted_twice() {
        let state = State::new("LOG_SERVER", "192.0.2.1:8337");
        state.offered.fetch_add(3, Ordering::Relaxed);
        state.unsend();
        assert_eq!(state.facts().lost, 0, "nothing was sent yet");
        state.sent();
        state.sent();
        state.unsend();
        let facts = state.facts();
        assert_eq!((facts.sent, facts.lost, facts.waiting()), (1, 1, 1));
        state.settle();
        let facts = state.facts();
        assert_eq!((facts.sent, facts.lost, facts.waiting()), (1, 2, 0));
    }
}
