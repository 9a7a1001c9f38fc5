//! Events from sensors, by UDP.
//!
//! ```text
//! socket ─► receive thread (udp) ─► bounded queue of batches ─► writer thread (line, store::append) ─► day file
//! ```
//!
//! Nothing here touches the index: the indexer reads the day file like any other. A line counts as
//! stored only when the write that holds it has returned.

pub(crate) mod line;
mod object;
pub(crate) mod udp;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use maltrail_core::time::Timestamp;

use crate::fleet::Fleet;
use crate::store::Store;
use crate::store::append::Appender;
use object::Object;
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
    pub(crate) fn start(
        socket: UdpIntake,
        store: Store,
        fleet: Arc<Fleet>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (batches, queue) = sync_channel(QUEUE);
        let (ending, counting) = (Arc::clone(&stop), store.clone());
        let receiver = std::thread::Builder::new()
            .name("udp-intake".into())
            .spawn(move || socket.run(&ending, &counting, &batches))?;
        let ending = Arc::clone(&stop);
        let writer = std::thread::Builder::new()
            .name("day-file".into())
            .spawn(move || write_batches(&queue, &store, &fleet, &ending))?;
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
fn write_batches(queue: &Receiver<Batch>, store: &Store, fleet: &Fleet, stop: &AtomicBool) {
    let mut appender = Appender::new(store.clone());
    let mut report = line::RejectReport::new(REPORT);
    let mut checker = line::Checker::new(store.zone().clone());
    loop {
        match queue.recv_timeout(REPORT) {
            Ok(batch) => take(
                &batch,
                fleet,
                &mut checker,
                store,
                &mut appender,
                &mut report,
            ),
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
        report.write_works();
    }
}

fn take(
    batch: &Batch,
    fleet: &Fleet,
    checker: &mut line::Checker,
    store: &Store,
    appender: &mut Appender,
    report: &mut line::RejectReport,
) {
    let now = Timestamp::now();
    for (datagram, source) in batch.datagrams() {
        let taken = if datagram.starts_with(b"{") {
            object(datagram, source, fleet, checker, store, appender, now)
        } else {
            checker.check(datagram, now).map(|accepted| {
                appender.push(accepted.day, accepted.id, accepted.line, None);
            })
        };
        if let Err(reason) = taken {
            reason.count(store.intake());
            report.note(reason);
        }
    }
}

/// Takes an object of a sensor that sends JSON.
fn object(
    datagram: &[u8],
    source: IpAddr,
    fleet: &Fleet,
    checker: &mut line::Checker,
    store: &Store,
    appender: &mut Appender,
    now: Timestamp,
) -> Result<(), line::Reject> {
    let text = std::str::from_utf8(datagram).map_err(|_| line::Reject::Utf8)?;
    match object::read(text)? {
        Object::Heartbeat(said) => {
            if !fleet.hear(now, Some(source), said) {
                return Err(line::Reject::Object("its heartbeat names no sensor"));
            }
            store.intake().heartbeats.add(1);
        }
        Object::Event {
            line,
            epoch,
            members,
        } => {
            let accepted = checker.check_line(&line, epoch, now)?;
            let json = object::json_line(accepted.id, members);
            appender.push(accepted.day, accepted.id, accepted.line, json.as_deref());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::event::Event;
    use maltrail_core::time::Zone;

    use super::*;

    #[test]
    fn objects_are_events_or_heartbeats_and_anything_else_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(folder.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        let (fleet, mut appender) = (Fleet::default(), Appender::new(store.clone()));
        let mut checker = line::Checker::new(Zone::UTC);
        let now = Timestamp::now();
        let line = format!(
            "\"{}\" s 10.0.0.5 1 203.0.113.7 443 TCP IP 203.0.113.7 x r\n",
            now.to_rfc3339().replace('T', " ").trim_end_matches('Z')
        );
        let event = Event::parse_line(&line, &Zone::UTC).unwrap();
        let datagram = event.to_json_datagram(&Zone::UTC).unwrap();
        let mut take = |datagram: &str| {
            let source = IpAddr::from([192, 0, 2, 9]);
            let bytes = datagram.as_bytes();
            object(
                bytes,
                source,
                &fleet,
                &mut checker,
                &store,
                &mut appender,
                now,
            )
        };
        assert_eq!(take(&datagram), Ok(()));
        assert_eq!(take(&datagram), Ok(()));
        assert_eq!(
            take(r#"{"maltrail":1,"kind":"heartbeat","sensor":"edge","pps":1}"#),
            Ok(())
        );
        assert!(take(r#"{"maltrail":1,"kind":"heartbeat"}"#).is_err());
        assert!(take(r#"{"maltrail":1,"kind":"event","line":"no event"}"#).is_err());
        assert!(
            take(&datagram.replace("TCP IP", "TCP\\nIP")).is_err(),
            "no second line"
        );
        appender.flush().unwrap();
        let counters = store.intake();
        assert_eq!(
            (
                counters.stored.get(),
                counters.duplicates.get(),
                counters.heartbeats.get()
            ),
            (1, 1, 1)
        );
        let day = Zone::UTC.day(now);
        let read = |kind: &str| {
            std::fs::read_to_string(folder.path().join(format!("{day}.{kind}"))).unwrap()
        };
        assert_eq!(read("log"), line);
        let kept: serde_json::Value = serde_json::from_str(&read("json")).unwrap();
        assert_eq!(
            (&kept["trail"], &kept["line"]),
            (&"203.0.113.7".into(), &serde_json::Value::Null)
        );
        let contacts = fleet.contacts(now, folder.path());
        assert_eq!(
            (contacts.len(), contacts[0].from),
            (1, Some([192, 0, 2, 9].into()))
        );
    }
}
