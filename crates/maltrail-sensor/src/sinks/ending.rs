//! How senders learn that the program ends, and by when.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// A sender's view of the end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    deadline: Arc<OnceLock<Instant>>,
    stop: Receiver<Infallible>,
}

/// The other side: who ends it.
#[derive(Debug)]
pub(super) struct Ender {
    deadline: Arc<OnceLock<Instant>>,
    /// Dropped, it wakes everybody.
    stop: Sender<Infallible>,
}

/// Both sides.
pub(super) fn ending() -> (Ender, Ending) {
    let deadline = Arc::new(OnceLock::new());
    let (sender, receiver) = bounded(0);
    let ender = Ender {
        deadline: Arc::clone(&deadline),
        stop: sender,
    };
    let ending = Ending {
        deadline,
        stop: receiver,
    };
    (ender, ending)
}

impl Ender {
    /// Ends: what waits may be sent until `deadline`.
    pub(super) fn end(self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        drop(self.stop);
    }
}

impl Ending {
    /// The channel that closes at the end.
    pub(super) const fn stop(&self) -> &Receiver<Infallible> {
        &self.stop
    }

    /// Time left; `None` while no end is in sight.
    pub(super) fn left(&self) -> Option<Duration> {
        let deadline = self.deadline.get()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the program ends.
    pub(super) fn has_come(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// Whether no time is left.
    pub(super) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Sleeps, but not beyond the end.
    pub(super) fn sleep(&self, pause: Duration) {
        match self.stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // The end has come already: short naps until the deadline remain naps.
                let left = self.left().unwrap_or_default();
                std::thread::sleep(pause.min(left).min(Duration::from_millis(5)));
            }
            Ok(never) => match never {},
        }
    }

    #[cfg(test)]
    pub(super) fn never() -> Self {
        let (ender, ending) = ending();
        // Kept open for the test's life.
        std::mem::forget(ender);
        ending
    }
}
