//! Events from sensors, by UDP.
//!
//! ```text
//! socket ─► receive thread (udp) ─► bounded queue of batches ─► writer thread (line, store::append) ─► day file
//! ```
//!
//! Nothing here touches the index: the indexer reads the day file like any other. A line counts as
//! stored only when the write that holds it has returned.

pub(crate) mod line;
pub(crate) mod udp;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use maltrail_core::time::Timestamp;

use crate::store::Store;
use crate::store::append::Appender;
use udp::{Batch, UdpIntake};

/// Batches between the two threads; each holds up to [`udp::BATCH_BYTES`].
const QUEUE: usize = 32;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Rejected lines are reported at most this often.
const REPORT: Duration = Duration::from_secs(10);

/// The running intake.
#[derive(Debug)]
pub(crate) struct Intake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Intake {
    /// Starts both threads on a bound socket.
    pub(crate) fn start(socket: UdpIntake, store: Store) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (batches, queue) = sync_channel(QUEUE);
        let (ending, counting) = (Arc::clone(&stop), store.clone());
        let receiver = std::thread::Builder::new()
            .name("udp-intake".into())
            .spawn(move || socket.run(&ending, &counting, &batches))?;
        let ending = Arc::clone(&stop);
        let writer = std::thread::Builder::new()
            .name("day-file".into())
            .spawn(move || write_batches(&queue, &store, &ending))?;
        Ok(Self {
            stop,
            threads: vec![receiver, writer],
        })
    }

    /// Ends both threads after what was received is written (or the disk refuses it).
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Takes batches until the receiver hangs up.
fn write_batches(queue: &Receiver<Batch>, store: &Store, stop: &AtomicBool) {
    let mut appender = Appender::new(store.clone());
    let mut report = line::RejectReport::new(REPORT);
    let mut checker = line::Checker::new(store.zone().clone());
    loop {
        match queue.recv_timeout(REPORT) {
            Ok(batch) => take(&batch, &mut checker, store, &mut appender, &mut report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        report.tell(store.intake());
        while let Err(error) = appender.flush() {
            store.intake().write_errors.add(1);
            report.write_failed(&error);
            if stop.load(Ordering::Acquire) {
                tracing::error!(
                    lines = appender.waiting(),
                    "intake: stopping with unwritten events"
                );
                return;
            }
            std::thread::sleep(RETRY);
        }
    }
}

fn take(
    batch: &Batch,
    checker: &mut line::Checker,
    store: &Store,
    appender: &mut Appender,
    report: &mut line::RejectReport,
) {
    let now = Timestamp::now();
    for datagram in batch.datagrams() {
        match checker.check(datagram, now) {
            Ok(accepted) => appender.push(accepted.day, accepted.id, accepted.line),
            Err(reason) => {
                reason.count(store.intake());
                report.note(reason);
            }
        }
    }
}
