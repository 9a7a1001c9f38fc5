//! One day's index file: SQLite, WAL, one writer.
//!
//! Holds the dictionaries, the atoms with their sets, one row per event, and how far the day file
//! has been read. Everything of a batch, the offset included, is one transaction, so the file is
//! right or older, never half. It can be deleted at any time: the day file rebuilds it. A file with
//! another [`VERSION`], or that SQLite finds damaged, is dropped.

use std::path::{Path, PathBuf};

use maltrail_core::time::{Day, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::ids::DayIds;
use super::table::{Atom, AtomKey, DayTable, Dict, Hours, Rest, Set};

/// Version of the layout, in `user_version`.
const VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE text (dict INTEGER, id INTEGER, value TEXT NOT NULL, PRIMARY KEY (dict, id)) WITHOUT ROWID;
CREATE TABLE atom (id INTEGER PRIMARY KEY,
  src INTEGER, norm INTEGER, kind INTEGER, trail INTEGER, info INTEGER, reference INTEGER,
  count INTEGER, first INTEGER, last INTEGER,
  h_sensor INTEGER, h_sport INTEGER, h_dst INTEGER, h_dport INTEGER, h_proto INTEGER,
  hours BLOB, srcs BLOB, dsts BLOB, sports BLOB, dports BLOB, protos BLOB, sensors BLOB);
CREATE TABLE event (id INTEGER PRIMARY KEY, eid INTEGER, time INTEGER, hour INTEGER, atom INTEGER,
  sensor INTEGER, sport INTEGER, dst INTEGER, dport INTEGER, proto INTEGER, offset INTEGER, len INTEGER);
CREATE INDEX event_atom ON event (atom, time);
";

/// One row of `event`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRow {
    pub(crate) eid: u64,
    pub(crate) time: Timestamp,
    pub(crate) hour: u8,
    pub(crate) atom: u32,
    pub(crate) rest: Rest,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// How far a day file has been read, and what was found beside events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the day file that are in the index.
    pub(crate) offset: u64,
    /// Id of the file's first line: another one means another file.
    pub(crate) head: u64,
    /// Lines that are not events.
    pub(crate) bad_lines: u64,
    /// Lines that repeat an event.
    pub(crate) duplicates: u64,
    /// Events beyond the table's bound.
    pub(crate) overflow: u64,
}

/// What the index file holds of a day.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: DayTable,
    pub(crate) ids: DayIds,
    pub(crate) progress: Progress,
}

/// Something is wrong with the index file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("its numbers do not fit together")]
    Inconsistent,
}

impl IndexError {
    /// Whether the file has to be rebuilt; otherwise (disk full, no permission) it is good but stale.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Inconsistent => true,
            Self::Sqlite(rusqlite::Error::SqliteFailure(cause, text)) => {
                matches!(cause.code, DatabaseCorrupt | NotADatabase)
                    || text
                        .as_deref()
                        .is_some_and(|text| text.starts_with("no such"))
            }
            Self::Sqlite(error) => matches!(
                error,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnIndex(..)
            ),
        }
    }
}

/// Path of a day's index file.
pub(crate) fn path(index_dir: &Path, day: Day) -> PathBuf {
    index_dir.join(format!("{day}.sqlite"))
}

/// Deletes a day's index file.
pub(crate) fn remove(index_dir: &Path, day: Day) {
    let base = path(index_dir, day);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = base.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

/// The writer's side of an index file.
#[derive(Debug)]
pub(crate) struct DayDb {
    connection: Connection,
    texts: u32,
    addrs: u32,
    ports: u32,
    atoms: u32,
}

impl DayDb {
    /// Opens or creates the file and reads it whole.
    pub(crate) fn open(
        index_dir: &Path,
        day: Day,
        empty: DayTable,
    ) -> Result<(Self, Loaded), IndexError> {
        let connection = Connection::open(path(index_dir, day))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // Events touch atoms all over the file: keep its pages at hand, and move them from the log into
        // the file every 64 MB instead of every 4.
        connection.pragma_update(None, "cache_size", -32_768)?;
        connection.pragma_update(None, "wal_autocheckpoint", 16_384)?;
        connection.set_prepared_statement_cache_capacity(16);
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        } else if version != VERSION {
            return Err(IndexError::Inconsistent);
        }
        let mut db = Self {
            connection,
            texts: 0,
            addrs: 0,
            ports: 0,
            atoms: 0,
        };
        let loaded = db.load(empty)?;
        Ok((db, loaded))
    }

    /// Stores one batch: what is new in the dictionaries, the touched atoms, the events and the
    /// progress, in one transaction.
    pub(crate) fn commit(
        &mut self,
        table: &DayTable,
        atoms: &[u32],
        events: &[EventRow],
        progress: Progress,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        write_texts(&transaction, 0, &table.texts, self.texts)?;
        write_texts(&transaction, 1, &table.addrs, self.addrs)?;
        write_texts(&transaction, 2, &table.ports, self.ports)?;
        let known = atoms.iter().copied().filter(|&id| id < self.atoms);
        write_atoms(
            &transaction,
            table,
            known.chain(self.atoms..table.atoms.len() as u32),
        )?;
        write_events(&transaction, events)?;
        for (key, value) in [
            ("offset", progress.offset),
            ("head", progress.head),
            ("bad_lines", progress.bad_lines),
            ("duplicates", progress.duplicates),
            ("overflow", progress.overflow),
            ("generation", table.generation),
            ("events", table.events),
        ] {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![key, value as i64])?;
        }
        transaction.commit()?;
        (self.texts, self.addrs, self.ports) =
            (table.texts.len(), table.addrs.len(), table.ports.len());
        self.atoms = table.atoms.len() as u32;
        Ok(())
    }

    /// Lets the file grow no more, as a full disk would; `None` lifts the limit.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: Option<u32>) {
        let pages = pages.unwrap_or(1 << 30);
        // SQLite raises a limit below the present size to that size.
        let set = format!("PRAGMA max_page_count = {pages}");
        self.connection
            .query_row(&set, [], |_| Ok(()))
            .expect("pragma");
    }

    fn load(&mut self, mut table: DayTable) -> Result<Loaded, IndexError> {
        self.texts = read_texts(&self.connection, 0, &mut table.texts)?;
        self.addrs = read_texts(&self.connection, 1, &mut table.addrs)?;
        self.ports = read_texts(&self.connection, 2, &mut table.ports)?;
        let meta = |key| meta(&self.connection, key);
        table.generation = meta("generation")?;
        read_atoms(&self.connection, &mut table)?;
        self.atoms = table.atoms.len() as u32;
        if table.events != meta("events")? {
            return Err(IndexError::Inconsistent);
        }
        let mut statement = self.connection.prepare("SELECT eid FROM event")?;
        let ids = statement.query_map([], |row| row.get::<_, i64>(0))?;
        let ids = ids
            .map(|id| id.map(|id| id as u64))
            .collect::<Result<Vec<_>, _>>()?;
        if ids.len() as u64 != table.events {
            return Err(IndexError::Inconsistent);
        }
        let progress = Progress {
            offset: meta("offset")?,
            head: meta("head")?,
            bad_lines: meta("bad_lines")?,
            duplicates: meta("duplicates")?,
            overflow: meta("overflow")?,
        };
        Ok(Loaded {
            table,
            ids: DayIds::from_stored(ids),
            progress,
        })
    }
}

/// The readers' side: events of a day.
#[derive(Debug)]
pub(crate) struct DayReader {
    connection: Connection,
}

impl DayReader {
    /// Opens an existing file.
    pub(crate) fn open(index_dir: &Path, day: Day) -> Result<Self, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path(index_dir, day), flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(2))?;
        Ok(Self { connection })
    }

    /// The newest `limit` events of an atom before a place in time and day file.
    pub(crate) fn newest(
        &self,
        atom: u32,
        (time, offset): (Timestamp, u64),
        limit: usize,
    ) -> Result<Vec<EventRow>, IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT eid, time, hour, atom, sensor, sport, dst, dport, proto, offset, len FROM event
             WHERE atom = ?1 AND time <= ?2 AND (time < ?2 OR offset < ?3)
             ORDER BY time DESC, offset DESC LIMIT ?4",
        )?;
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let rows = statement.query_map(
            params![atom, time.micros(), offset, limit as i64],
            event_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// At most `limit` events stored after row `after`, in order, and the number of the last row.
    pub(crate) fn after(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<EventRow>, i64), IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT eid, time, hour, atom, sensor, sport, dst, dport, proto, offset, len, id FROM event
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = statement.query(params![after, limit as i64])?;
        let (mut events, mut last) = (Vec::new(), after);
        while let Some(row) = rows.next()? {
            events.push(event_row(row)?);
            last = row.get(11)?;
        }
        Ok((events, last))
    }

    /// Number of events, and how far the day file was read.
    pub(crate) fn totals(&self) -> Result<(u64, u64), IndexError> {
        Ok((
            meta(&self.connection, "events")?,
            meta(&self.connection, "offset")?,
        ))
    }
}

fn meta(connection: &Connection, key: &str) -> Result<u64, IndexError> {
    let value: Option<i64> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0) as u64)
}

fn write_texts(
    connection: &Connection,
    dict: u8,
    texts: &Dict,
    from: u32,
) -> Result<(), IndexError> {
    let mut insert = connection.prepare_cached("INSERT INTO text VALUES (?1, ?2, ?3)")?;
    for id in from..texts.len() {
        insert.execute(params![dict, id, texts.get(id)])?;
    }
    Ok(())
}

fn read_texts(connection: &Connection, dict: u8, texts: &mut Dict) -> Result<u32, IndexError> {
    let mut statement =
        connection.prepare("SELECT id, value FROM text WHERE dict = ?1 ORDER BY id")?;
    let mut rows = statement.query([dict])?;
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        let value = row
            .get_ref(1)?
            .as_str()
            .map_err(|_| IndexError::Inconsistent)?;
        if texts.intern(value) != Some(id) {
            return Err(IndexError::Inconsistent);
        }
    }
    Ok(texts.len())
}

fn write_atoms(
    connection: &Connection,
    table: &DayTable,
    atoms: impl Iterator<Item = u32>,
) -> Result<(), IndexError> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO atom VALUES
         (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)",
    )?;
    for id in atoms {
        let Some(atom) = table.atoms.get(id as usize) else {
            continue;
        };
        let (key, head) = (atom.key, atom.head);
        insert.execute(params![
            id,
            key.src,
            key.norm,
            key.kind,
            key.trail,
            key.info,
            key.reference,
            atom.count as i64,
            atom.first.micros(),
            atom.last.micros(),
            head.sensor,
            head.sport,
            head.dst,
            head.dport,
            head.proto,
            atom.hours.to_blob(),
            atom.src.to_blob(),
            atom.dst.to_blob(),
            atom.sport.to_blob(),
            atom.dport.to_blob(),
            atom.proto.to_blob(),
            atom.sensor.to_blob(),
        ])?;
    }
    Ok(())
}

fn read_atoms(connection: &Connection, table: &mut DayTable) -> Result<(), IndexError> {
    let mut statement = connection.prepare("SELECT * FROM atom ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, u32>(0)? as usize != table.atoms.len() {
            return Err(IndexError::Inconsistent);
        }
        let set = |column| -> Result<Set, IndexError> {
            let blob = row
                .get_ref(column)?
                .as_blob()
                .map_err(|_| IndexError::Inconsistent)?;
            Ok(Set::from_blob(blob))
        };
        let atom = Atom {
            key: AtomKey {
                src: row.get(1)?,
                norm: row.get(2)?,
                kind: row.get(3)?,
                trail: row.get(4)?,
                info: row.get(5)?,
                reference: row.get(6)?,
            },
            threat: u32::MAX,
            count: row.get::<_, i64>(7)? as u64,
            first: Timestamp::from_micros(row.get(8)?),
            last: Timestamp::from_micros(row.get(9)?),
            head: Rest {
                sensor: row.get(10)?,
                sport: row.get(11)?,
                dst: row.get(12)?,
                dport: row.get(13)?,
                proto: row.get(14)?,
            },
            hours: Hours::from_blob(
                row.get_ref(15)?
                    .as_blob()
                    .map_err(|_| IndexError::Inconsistent)?,
            ),
            src: set(16)?,
            dst: set(17)?,
            sport: set(18)?,
            dport: set(19)?,
            proto: set(20)?,
            sensor: set(21)?,
        };
        table.restore(atom).map_err(|_| IndexError::Inconsistent)?;
    }
    Ok(())
}

fn write_events(connection: &Connection, events: &[EventRow]) -> Result<(), IndexError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO event (eid, time, hour, atom, sensor, sport, dst, dport, proto, offset, len)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    )?;
    for event in events {
        let rest = event.rest;
        insert.execute(params![
            event.eid as i64,
            event.time.micros(),
            event.hour,
            event.atom,
            rest.sensor,
            rest.sport,
            rest.dst,
            rest.dport,
            rest.proto,
            event.offset as i64,
            event.len,
        ])?;
    }
    Ok(())
}

fn event_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        eid: row.get::<_, i64>(0)? as u64,
        time: Timestamp::from_micros(row.get(1)?),
        hour: row.get(2)?,
        atom: row.get(3)?,
        rest: Rest {
            sensor: row.get(4)?,
            sport: row.get(5)?,
            dst: row.get(6)?,
            dport: row.get(7)?,
            proto: row.get(8)?,
        },
        offset: row.get::<_, i64>(9)? as u64,
        len: row.get(10)?,
    })
}
