//! `LOG_DIR/meta.sqlite`: every address and name that the sensor saw, for searches that look back.
//!
//! ```text
//! workers: Observables ─ take(), every minute ─► StoreFeed ─ queue of 4 windows ─► own thread: Store ─► SQLite
//! ```
//!
//! SQLite never delays a packet: a window that finds the queue full is lost and counted, and so is
//! one that SQLite refuses. A refusal is said at once and repeated at most once an hour.

mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use maltrail_engine::Window;
use tracing::warn;

pub use store::{MAX_ROWS, Store, StoreError};

/// Windows that may wait: four minutes of one worker. One of 200,000 keys takes some 10 MB.
const QUEUE_WINDOWS: usize = 4;
/// How often a lasting failure is repeated.
const REPEAT: Duration = Duration::from_secs(3600);

/// What was counted.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Rows of windows that were merged into the file.
    pub rows_merged: AtomicU64,
    /// Windows that the file did not take.
    pub flush_errors: AtomicU64,
    /// Windows that found the queue full.
    pub windows_lost: AtomicU64,
    /// Rows that were deleted because there were too many.
    pub rows_pruned: AtomicU64,
}

enum Job {
    Merge(Window),
    Prune,
    Stop,
}

/// Hands windows to the thread of the store; each worker may have its own.
#[derive(Clone, Debug)]
pub struct StoreFeed {
    jobs: Sender<Job>,
    counters: Arc<StoreCounters>,
}

impl StoreFeed {
    /// Hands a window over without waiting; whether it was taken.
    pub fn put(&self, window: Window) -> bool {
        self.put_within(window, Duration::ZERO)
    }

    /// As [`StoreFeed::put`], but waits for room: for the last window, when no packet waits any more.
    pub fn put_within(&self, window: Window, wait: Duration) -> bool {
        if window.is_empty() {
            return true;
        }
        let job = Job::Merge(window);
        let taken = if wait.is_zero() {
            self.jobs.try_send(job).is_ok()
        } else {
            self.jobs.send_timeout(job, wait).is_ok()
        };
        if !taken {
            self.counters.windows_lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Asks for the file to be pruned; after each update of the trails. While the queue is full, the
    /// next time will do.
    pub fn prune(&self) {
        let _ = self.jobs.try_send(Job::Prune);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &StoreCounters {
        &self.counters
    }
}

/// The thread that owns the file.
#[derive(Debug)]
pub struct StoreThread {
    feed: StoreFeed,
    /// Says nothing, and ends with the thread.
    done: Receiver<()>,
}

impl StoreThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(store: Store) -> std::io::Result<Self> {
        let (jobs, waiting) = bounded(QUEUE_WINDOWS);
        let (running, done) = bounded(0);
        let counters = Arc::<StoreCounters>::default();
        let mut worker = Worker {
            store,
            counters: Arc::clone(&counters),
            said: None,
            unsaid: 0,
        };
        std::thread::Builder::new()
            .name("observables".to_owned())
            .spawn(move || {
                worker.run(&waiting);
                // From here on windows are refused; only then is the end told.
                drop(waiting);
                drop(running);
            })?;
        Ok(Self {
            feed: StoreFeed { jobs, counters },
            done,
        })
    }

    /// A way to hand windows over.
    #[must_use]
    pub fn feed(&self) -> StoreFeed {
        self.feed.clone()
    }

    /// Lets the thread finish what waits; whether it did so in time. What was not stored by then is
    /// lost, the file stays whole.
    pub fn finish(self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let asked = self.feed.jobs.send_timeout(Job::Stop, within).is_ok();
        let left = until.saturating_duration_since(Instant::now());
        // The thread holds the other end until it ends.
        asked
            && self.done.recv_timeout(left)
                == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    }
}

/// What the thread works with.
struct Worker {
    store: Store,
    counters: Arc<StoreCounters>,
    /// When a failure was last said.
    said: Option<Instant>,
    /// Failures since.
    unsaid: u64,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            let done = match job {
                Job::Merge(window) => self.store.merge(&window).map(|rows| {
                    self.counters.rows_merged.fetch_add(rows, Ordering::Relaxed);
                }),
                Job::Prune => self.store.prune(MAX_ROWS).map(|rows| {
                    self.counters.rows_pruned.fetch_add(rows, Ordering::Relaxed);
                }),
                Job::Stop => return,
            };
            if let Err(error) = done {
                self.counters.flush_errors.fetch_add(1, Ordering::Relaxed);
                self.complain(&error, Instant::now());
            }
        }
    }

    /// Says a failure unless one was said lately; whether it did.
    fn complain(&mut self, error: &StoreError, now: Instant) -> bool {
        if self
            .said
            .is_some_and(|said| now.duration_since(said) < REPEAT)
        {
            self.unsaid += 1;
            return false;
        }
        let more = match std::mem::take(&mut self.unsaid) {
            0 => String::new(),
            unsaid => format!("; {unsaid} more failed since this was last said"),
        };
        warn!("{error}: what was seen in the last minute is not stored{more}");
        self.said = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::time::Timestamp;
    use maltrail_engine::Observables;

    use super::*;

    fn window(name: &str) -> Window {
        let mut seen = Observables::new();
        seen.name(Timestamp::from_parts(1_700_000_000, 0), name);
        seen.take()
    }

    fn count(path: &std::path::Path) -> u64 {
        let file = rusqlite::Connection::open(path).expect("file");
        let count = file.query_row("SELECT count(*) FROM observables", [], |row| {
            row.get::<_, i64>(0)
        });
        u64::try_from(count.expect("count")).expect("count")
    }

    #[test]
    fn what_was_put_is_stored_when_the_thread_has_finished() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("meta.sqlite");
        let thread = StoreThread::spawn(Store::open(&path).expect("store")).expect("thread");
        let feed = thread.feed();
        for n in 0..20 {
            let put = feed.put_within(window(&format!("n{n}.example")), Duration::from_secs(20));
            assert!(put, "{n}");
        }
        assert!(feed.put(window_of_nothing()), "nothing needs no room");
        feed.prune();
        assert!(thread.finish(Duration::from_secs(20)));
        assert_eq!(count(&path), 20);
        assert_eq!(feed.counters().rows_merged.load(Ordering::Relaxed), 20);
        assert_eq!(feed.counters().flush_errors.load(Ordering::Relaxed), 0);
        // Nobody takes windows any more.
        assert!(!feed.put(window("late.example")));
    }

    fn window_of_nothing() -> Window {
        Window::default()
    }

    /// Another program holds the file: windows wait, then are lost, and nobody waits for them.
    #[test]
    fn a_file_that_is_locked_costs_windows_and_no_time() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("meta.sqlite");
        let thread = StoreThread::spawn(Store::open(&path).expect("store")).expect("thread");
        let other = rusqlite::Connection::open(&path).expect("file");
        other.execute_batch("BEGIN EXCLUSIVE").expect("lock");
        let feed = thread.feed();
        let started = Instant::now();
        let mut lost = 0;
        for n in 0..10 {
            lost += u64::from(!feed.put(window(&format!("n{n}.example"))));
        }
        assert!(started.elapsed() < Duration::from_secs(4), "it waited");
        // Four wait, and one may have been taken out.
        assert!((5..=6).contains(&lost), "{lost}");
        assert_eq!(feed.counters().windows_lost.load(Ordering::Relaxed), lost);
        other.execute_batch("ROLLBACK").expect("unlock");
        assert!(thread.finish(Duration::from_secs(20)));
        assert_eq!(count(&path), 10 - lost);
    }

    #[test]
    fn a_refused_window_is_lost_counted_and_said_once_an_hour() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("meta.sqlite");
        let store = Store::open(&path).expect("store");
        let other = rusqlite::Connection::open(&path).expect("file");
        other
            .execute_batch("DROP TABLE observables")
            .expect("dropped");
        let counters = Arc::<StoreCounters>::default();
        let mut worker = Worker {
            store,
            counters: Arc::clone(&counters),
            said: None,
            unsaid: 0,
        };
        let (jobs, waiting) = bounded(8);
        for job in [
            Job::Merge(window("a.example")),
            Job::Merge(window("b.example")),
            Job::Stop,
        ] {
            jobs.send(job).expect("room");
        }
        worker.run(&waiting);
        assert_eq!(counters.flush_errors.load(Ordering::Relaxed), 2);
        assert_eq!(counters.rows_merged.load(Ordering::Relaxed), 0);
        assert_eq!(worker.unsaid, 1);
        let error = worker
            .store
            .merge(&window("c.example"))
            .expect_err("no table");
        let said = worker.said.expect("said");
        assert!(!worker.complain(&error, said + REPEAT - Duration::from_secs(1)));
        assert!(worker.complain(&error, said + REPEAT));
        assert_eq!(worker.unsaid, 0);
    }
}
