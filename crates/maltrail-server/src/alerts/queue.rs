//! The durable queue: tables of alerts in `LOG_DIR/state.sqlite`.
//!
//! An alert and the note that its threat was told of are written in one transaction, so a threat is queued once and
//! never forgotten, whenever the server dies. An alert leaves the queue after its receiver took it. Bounds:
//! [`CAPACITY`] waiting alerts (beyond it the oldest of the lowest severity is dropped and counted), [`MAX_DEAD`]
//! undeliverable ones (the oldest is forgotten and counted), [`MAX_SEEN`] threats.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::fields::AlertFields;
use crate::store::counters::Counter;
use crate::store::lock;

/// Alerts that wait at most.
pub(crate) const CAPACITY: u64 = 10_000;
/// Undeliverable alerts that are kept.
pub(crate) const MAX_DEAD: u64 = 1_000;
/// Threats that are remembered.
const MAX_SEEN: usize = 200_000;
/// A moment to try again that lies further ahead was made before the clock jumped back.
const FARTHEST: i64 = 2 * 3_600_000_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS alert_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, queued INTEGER NOT NULL,
  threat INTEGER NOT NULL, reason TEXT NOT NULL, severity INTEGER NOT NULL, fields TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL, dead INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX IF NOT EXISTS alert_due ON alert_queue (dead, due, id);
CREATE TABLE IF NOT EXISTS alert_seen (threat INTEGER PRIMARY KEY, severity INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alert_mark (one INTEGER PRIMARY KEY CHECK (one = 1), since INTEGER NOT NULL);
";

/// Why a threat alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    New,
    Risen,
    Ongoing,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Risen => "risen",
            Self::Ongoing => "ongoing",
        }
    }
}

/// What was told of a threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) severity: Severity,
    /// Time of its newest event then.
    pub(crate) last: Timestamp,
}

/// An alert to be queued.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) threat: u64,
    pub(crate) reason: Reason,
    pub(crate) seen: Seen,
    pub(crate) fields: AlertFields,
}

/// An alert that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) queued: Timestamp,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) fields: AlertFields,
}

/// An alert as the API lists it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Alert)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    /// `waiting`, or `dead`: it could not be delivered.
    state: &'static str,
    /// RFC 3339.
    queued: String,
    threat: String,
    /// `new`, `risen` or `ongoing`.
    reason: String,
    attempts: u32,
    /// Why the last attempt failed.
    error: Option<String>,
    severity: String,
    src: String,
    trail: String,
    info: String,
}

/// Since the start, but `waiting` and `dead`, which are as they stand.
#[derive(Debug, Default, Serialize)]
pub(crate) struct AlertCounters {
    pub(crate) waiting: Counter,
    pub(crate) dead: Counter,
    pub(crate) queued: Counter,
    pub(crate) sent: Counter,
    /// Attempts that failed and are repeated.
    pub(crate) retries: Counter,
    /// Alerts that became undeliverable.
    pub(crate) failed: Counter,
    /// Alerts dropped because the queue was full.
    pub(crate) dropped: Counter,
    /// Undeliverable alerts that newer ones pushed out of the list.
    pub(crate) forgotten: Counter,
    /// Times that the queue could not be read or written.
    pub(crate) errors: Counter,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    connection: Mutex<Connection>,
    /// Set when the threads shall end. std lock: held to look at it.
    halt: Mutex<bool>,
    wake: Condvar,
    capacity: u64,
    pub(crate) counters: AlertCounters,
}

impl Queue {
    /// Opens the tables. The file is there already, with the right mode.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(SCHEMA)?;
        let queue = Self {
            connection: Mutex::new(connection),
            halt: Mutex::new(false),
            wake: Condvar::new(),
            capacity: CAPACITY,
            counters: AlertCounters::default(),
        };
        queue.count(&queue.connection())?;
        Ok(queue)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }

    fn change<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let connection = self.connection();
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        self.count(&connection)?;
        Ok(done)
    }

    fn count(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.counters.waiting.set(number(connection, 0)?);
        self.counters.dead.set(number(connection, 1)?);
        Ok(())
    }

    /// The moment before which nothing alerts: made at the first start with alerts.
    pub(crate) fn since(&self, now: Timestamp) -> rusqlite::Result<Timestamp> {
        self.change(|connection| {
            connection.execute(
                "INSERT OR IGNORE INTO alert_mark VALUES (1, ?1)",
                [now.micros()],
            )?;
            connection.query_row("SELECT since FROM alert_mark", [], |row| {
                Ok(Timestamp::from_micros(row.get(0)?))
            })
        })
    }

    /// Alerts are off: when they are on again they begin anew.
    pub(crate) fn begin_anew(&self) -> rusqlite::Result<()> {
        self.change(|connection| {
            connection.execute_batch("DELETE FROM alert_mark; DELETE FROM alert_seen;")
        })
    }

    /// What was told of threats.
    pub(crate) fn seen(&self) -> rusqlite::Result<HashMap<u64, Seen>> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT threat, severity, last FROM alert_seen")?;
        let rows = query.query_map([], |row| {
            let severity = match row.get(1)? {
                3 => Severity::High,
                2 => Severity::Medium,
                _ => Severity::Low,
            };
            let last = Timestamp::from_micros(row.get(2)?);
            Ok((
                row.get::<_, i64>(0)?.cast_unsigned(),
                Seen { severity, last },
            ))
        })?;
        rows.collect()
    }

    /// Queues alerts and notes that their threats were told of: all, or none.
    pub(crate) fn add(&self, fresh: &[Fresh], now: Timestamp) -> rusqlite::Result<()> {
        let dropped = self.change(|connection| {
            let mut note =
                connection.prepare_cached("INSERT OR REPLACE INTO alert_seen VALUES (?1, ?2, ?3)")?;
            let mut queue = connection.prepare_cached(
                "INSERT INTO alert_queue (queued, threat, reason, severity, fields, due) VALUES (?1, ?2, ?3, ?4, ?5, ?1)",
            )?;
            for alert in fresh {
                let threat = alert.threat.cast_signed();
                let severity = alert.seen.severity as u8;
                note.execute(params![threat, severity, alert.seen.last.micros()])?;
                let (reason, fields) = (alert.reason.as_str(), alert.fields.stored());
                queue.execute(params![now.micros(), threat, reason, severity, fields])?;
            }
            let over = number(connection, 0)?.saturating_sub(self.capacity);
            connection.execute(
                "DELETE FROM alert_queue WHERE id IN
                 (SELECT id FROM alert_queue WHERE dead = 0 ORDER BY severity, id LIMIT ?1)",
                [over.cast_signed()],
            )?;
            Ok(over)
        })?;
        self.counters.queued.add(fresh.len() as u64);
        if dropped > 0 {
            self.counters.dropped.add(dropped);
            tracing::warn!(
                dropped,
                "alerts: the queue is full; the oldest of the lowest severity were dropped"
            );
        }
        self.wake.notify_all();
        Ok(())
    }

    /// Forgets threats whose newest event is older than `before`, and more when there are too many. Returns the
    /// moment before which nothing alerts now.
    pub(crate) fn settle(
        &self,
        seen: &mut HashMap<u64, Seen>,
        before: Timestamp,
    ) -> rusqlite::Result<Timestamp> {
        let mut before = before;
        if seen.len() > MAX_SEEN {
            let mut times: Vec<Timestamp> = seen.values().map(|seen| seen.last).collect();
            times.sort_unstable();
            // Room for a tenth, so that this is not done each time.
            let at = times.get(seen.len() - MAX_SEEN / 10 * 9);
            before = before.max(at.copied().unwrap_or(before));
        }
        let since = self.change(|connection| {
            connection.execute("DELETE FROM alert_seen WHERE last <= ?1", [before.micros()])?;
            connection.execute(
                "UPDATE alert_mark SET since = max(since, ?1)",
                [before.micros()],
            )?;
            connection.query_row("SELECT since FROM alert_mark", [], |row| row.get(0))
        })?;
        seen.retain(|_, seen| seen.last > before);
        Ok(Timestamp::from_micros(since))
    }

    /// The next alert that is due.
    pub(crate) fn due(&self, now: Timestamp) -> rusqlite::Result<Option<Waiting>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT id, queued, reason, attempts, fields FROM alert_queue
             WHERE dead = 0 AND (due <= ?1 OR due > ?2) ORDER BY due, id LIMIT 1",
        )?;
        let bounds = [now.micros(), now.plus_micros(FARTHEST).micros()];
        query
            .query_row(bounds, |row| {
                let fields: String = row.get(4)?;
                Ok(Waiting {
                    id: row.get(0)?,
                    queued: Timestamp::from_micros(row.get(1)?),
                    reason: row.get(2)?,
                    attempts: row.get(3)?,
                    fields: AlertFields::restored(&fields).ok_or(rusqlite::Error::InvalidQuery)?,
                })
            })
            .optional()
    }

    /// The receiver took it.
    pub(crate) fn sent(&self, id: i64) -> rusqlite::Result<()> {
        self.change(|connection| {
            connection.execute("DELETE FROM alert_queue WHERE id = ?1", [id])
        })?;
        self.counters.sent.add(1);
        Ok(())
    }

    /// Try again later.
    pub(crate) fn retry(&self, id: i64, due: Timestamp, error: &str) -> rusqlite::Result<()> {
        self.change(|connection| {
            connection.execute(
                "UPDATE alert_queue SET attempts = attempts + 1, due = ?2, error = ?3 WHERE id = ?1",
                params![id, due.micros(), error],
            )
        })?;
        self.counters.retries.add(1);
        Ok(())
    }

    /// It cannot be delivered.
    pub(crate) fn bury(&self, id: i64, error: &str) -> rusqlite::Result<()> {
        let forgotten = self.change(|connection| {
            connection.execute(
                "UPDATE alert_queue SET attempts = attempts + 1, dead = 1, error = ?2 WHERE id = ?1",
                params![id, error],
            )?;
            let over = number(connection, 1)?.saturating_sub(MAX_DEAD);
            connection.execute(
                "DELETE FROM alert_queue WHERE id IN
                 (SELECT id FROM alert_queue WHERE dead = 1 ORDER BY id LIMIT ?1)",
                [over.cast_signed()],
            )?;
            Ok(over)
        })?;
        self.counters.failed.add(1);
        self.counters.forgotten.add(forgotten);
        Ok(())
    }

    /// Waiting and undeliverable alerts, newest first.
    pub(crate) fn list(&self, before: Option<i64>, limit: usize) -> rusqlite::Result<Vec<Listed>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT id, dead, queued, threat, reason, attempts, error, fields FROM alert_queue
             WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![before, limit], |row| {
            let fields: String = row.get(7)?;
            let fields = AlertFields::restored(&fields);
            let text = |name| {
                let fields = fields.as_ref();
                fields.map_or_else(String::new, |fields| fields.get(name).to_owned())
            };
            Ok(Listed {
                id: row.get(0)?,
                state: if row.get(1)? { "dead" } else { "waiting" },
                queued: Timestamp::from_micros(row.get(2)?).to_rfc3339(),
                threat: format!("{:016x}", row.get::<_, i64>(3)?.cast_unsigned()),
                reason: row.get(4)?,
                attempts: row.get(5)?,
                error: row.get(6)?,
                severity: text("severity"),
                src: text("src_ip"),
                trail: text("trail"),
                info: text("info"),
            })
        })?;
        rows.collect()
    }

    /// Waits for a time, or until something is queued (`for_news`) or the threads shall end.
    pub(crate) fn wait(&self, time: Duration, for_news: bool) {
        let halt = lock(&self.halt);
        if *halt {
            return;
        }
        if for_news {
            drop(self.wake.wait_timeout(halt, time));
        } else {
            drop(self.wake.wait_timeout_while(halt, time, |halt| !*halt));
        }
    }

    /// Whether the threads shall end.
    pub(crate) fn is_over(&self) -> bool {
        *lock(&self.halt)
    }

    /// Asks the threads to end.
    pub(crate) fn stop(&self) {
        *lock(&self.halt) = true;
        self.wake.notify_all();
    }
}

fn number(connection: &Connection, dead: u8) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM alert_queue WHERE dead = ?1")?
        .query_row([dead], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::fields::tests::fields;
    use super::*;

    pub(crate) fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn fresh(threat: u64, severity: Severity) -> Fresh {
        Fresh {
            threat,
            reason: Reason::New,
            seen: Seen {
                severity,
                last: at(threat.cast_signed()),
            },
            fields: fields(&format!("t{threat}.example"), "x"),
        }
    }

    fn trails(queue: &Queue) -> Vec<String> {
        let listed = queue.list(None, 100).unwrap();
        listed.into_iter().map(|alert| alert.trail).collect()
    }

    #[test]
    fn what_was_queued_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.sqlite");
        {
            let queue = Queue::open(&path).unwrap();
            assert_eq!(queue.since(at(5)).unwrap(), at(5));
            queue
                .add(&[fresh(1, Severity::High), fresh(2, Severity::Low)], at(10))
                .unwrap();
            queue.retry(1, at(20), "answer 500").unwrap();
        }
        let queue = Queue::open(&path).unwrap();
        assert_eq!(queue.since(at(9)).unwrap(), at(5));
        let due = queue.due(at(15)).unwrap().unwrap();
        assert_eq!((due.id, due.attempts, due.queued), (2, 0, at(10)));
        queue.sent(2).unwrap();
        assert!(queue.due(at(15)).unwrap().is_none(), "it is not due yet");
        let due = queue.due(at(20)).unwrap().unwrap();
        assert_eq!((due.id, due.attempts), (1, 1));
        assert_eq!(due.fields, fields("t1.example", "x"));
        let early = at(20 - 2 * FARTHEST);
        assert!(queue.due(early).unwrap().is_some(), "the clock jumped back");
        let seen = queue.seen().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[&2], fresh(2, Severity::Low).seen);
        assert_eq!(queue.counters.waiting.get(), 1);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_of_the_lowest_severity_and_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(&dir.path().join("state.sqlite")).unwrap();
        queue.capacity = 3;
        for (threat, severity) in [
            (1, Severity::High),
            (2, Severity::Low),
            (3, Severity::Low),
            (4, Severity::Medium),
            (5, Severity::High),
        ] {
            queue.add(&[fresh(threat, severity)], at(1)).unwrap();
        }
        assert_eq!(trails(&queue), ["t5.example", "t4.example", "t1.example"]);
        assert_eq!(
            (queue.counters.dropped.get(), queue.counters.queued.get()),
            (2, 5)
        );
    }

    #[test]
    fn undeliverable_alerts_are_kept_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&dir.path().join("state.sqlite")).unwrap();
        queue
            .connection()
            .execute_batch("PRAGMA synchronous = OFF")
            .unwrap();
        for n in 1..=MAX_DEAD + 2 {
            queue.add(&[fresh(n, Severity::High)], at(1)).unwrap();
            queue.bury(n.cast_signed(), "answer 404").unwrap();
        }
        assert_eq!(
            (queue.counters.dead.get(), queue.counters.forgotten.get()),
            (MAX_DEAD, 2)
        );
        let listed = queue.list(Some(4), 10).unwrap();
        assert_eq!(listed.len(), 1, "1 and 2 were forgotten");
        assert_eq!(
            (listed[0].id, listed[0].state, listed[0].error.as_deref()),
            (3, "dead", Some("answer 404"))
        );
        assert!(queue.due(at(10)).unwrap().is_none());
    }

    #[test]
    fn old_threats_are_settled_and_never_alert_again() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&dir.path().join("state.sqlite")).unwrap();
        queue.since(at(1)).unwrap();
        queue
            .add(
                &[fresh(10, Severity::High), fresh(20, Severity::High)],
                at(1),
            )
            .unwrap();
        let mut seen = queue.seen().unwrap();
        assert_eq!(queue.settle(&mut seen, at(10)).unwrap(), at(10));
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [20]);
        assert_eq!(queue.seen().unwrap(), seen);
        for n in 0..=MAX_SEEN as u64 {
            let told = Seen {
                severity: Severity::Low,
                last: at(100 + n.cast_signed()),
            };
            seen.insert(1000 + n, told);
        }
        let since = queue.settle(&mut seen, at(10)).unwrap();
        assert!(seen.len() <= MAX_SEEN / 10 * 9 && seen.len() > MAX_SEEN / 2);
        assert!(seen.values().all(|seen| seen.last > since));
    }
}
