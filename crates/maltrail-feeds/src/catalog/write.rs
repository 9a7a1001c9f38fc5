//! Writing the catalog: a new file each time, renamed over the old one.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, params};
use tempfile::{NamedTempFile, TempPath};

use super::bucket::{self, Change, GONE_DAYS, Record, bucket_of, tail_of};
use super::listing::{LISTS, ListKind, Listed, Listings, Place};
use super::{APPLICATION, Catalog, CatalogError, FILE, VERSION};

/// Parts in which the records of a first build are sorted, so that only a share of them is in memory twice.
const PARTS: u64 = 16;
/// Days between two looks through all buckets for what can be forgotten.
const SWEEP_DAYS: u16 = 30;

const TABLES: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lists(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, info TEXT NOT NULL,
    reference TEXT NOT NULL, aliases TEXT NOT NULL, digest BLOB NOT NULL, confidence INTEGER, fetched_at INTEGER NOT NULL,
    first_day INTEGER NOT NULL, last_day INTEGER, entries INTEGER NOT NULL, blocks TEXT NOT NULL, keys BLOB NOT NULL);
CREATE TABLE buckets(id INTEGER PRIMARY KEY, records BLOB NOT NULL);
";

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogOutcome {
    /// Lists of this build.
    pub lists: usize,
    /// Lists that differ from the build before.
    pub changed: usize,
    /// Keys of lists that are new there.
    pub added: usize,
    /// Keys of lists that are no longer there.
    pub removed: usize,
    /// Entries of lists beyond the bound, which it does not know.
    pub left_out: usize,
    /// Whether there was no catalog to continue.
    pub fresh: bool,
}

/// Puts what a build saw into the catalog of `folder`.
pub(super) fn record(
    folder: &Path,
    listings: Listings,
    now: u64,
    owner: Option<(u32, u32)>,
) -> Result<CatalogOutcome, CatalogError> {
    let path = folder.join(FILE);
    let former = Catalog::open(folder).ok();
    let fresh = former.is_none();
    let wrap = |source| CatalogError::Database {
        path: path.clone(),
        source,
    };
    let io_error = |source| CatalogError::Write {
        path: path.clone(),
        source,
    };
    let day = u16::try_from(now / 86_400).unwrap_or(u16::MAX);
    let mut plan = Plan {
        now: i64::try_from(now).unwrap_or(i64::MAX),
        day,
        outcome: CatalogOutcome {
            lists: listings.len(),
            left_out: listings.left_out(),
            fresh,
            ..CatalogOutcome::default()
        },
    };
    let file = match former {
        None => {
            let file = beside(folder).map_err(io_error)?;
            plan.make(&file, listings).map_err(wrap)?;
            file
        }
        Some(former) => {
            // A damaged file must not be an obstacle for ever: the next build makes it anew.
            let damaged = |error| {
                let _ = fs::remove_file(&path);
                wrap(error)
            };
            let differences = plan.compare(&former, listings).map_err(damaged)?;
            if differences.is_none() {
                return Ok(plan.outcome);
            }
            let file = beside(folder).map_err(io_error)?;
            fs::copy(&path, &file).map_err(io_error)?;
            plan.change(&file, differences).map_err(damaged)?;
            file
        }
    };
    publish(file, folder, &path, owner).map_err(io_error)?;
    Ok(plan.outcome)
}

fn beside(folder: &Path) -> io::Result<TempPath> {
    tempfile::Builder::new()
        .prefix(".trails-")
        .suffix(".db.new")
        .tempfile_in(folder)
        .map(NamedTempFile::into_temp_path)
}

fn publish(
    file: TempPath,
    folder: &Path,
    target: &Path,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let open = fs::File::open(&file)?;
    // Other users read it: the server may run under another account.
    rustix::fs::fchmod(&open, rustix::fs::Mode::from_raw_mode(0o644))?;
    if let Some((user, group)) = owner {
        let (user, group) = (
            rustix::fs::Uid::from_raw(user),
            rustix::fs::Gid::from_raw(group),
        );
        rustix::fs::fchown(&open, Some(user), Some(group))?;
    }
    open.sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// A file that nobody else sees yet: neither journal nor syncing.
fn scratch(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// A list of the former catalog.
struct Former {
    id: u16,
    digest: Vec<u8>,
    gone: bool,
}

/// What differs from the former catalog.
#[derive(Default)]
struct Differences {
    lists: Vec<(u16, Listed, bool)>,
    back: Vec<u16>,
    gone: Vec<u16>,
    keys: Vec<Change>,
    sweep: bool,
}

impl Differences {
    const fn is_none(&self) -> bool {
        self.lists.is_empty() && self.back.is_empty() && self.gone.is_empty() && !self.sweep
    }
}

struct Plan {
    now: i64,
    day: u16,
    outcome: CatalogOutcome,
}

impl Plan {
    /// Writes a catalog of these lists alone.
    fn make(&mut self, file: &Path, listings: Listings) -> rusqlite::Result<()> {
        let mut connection = scratch(file)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO meta VALUES('swept', ?)", [self.day])?;
        for (id, list) in (0..).zip(&listings.lists) {
            self.put_list(&transaction, id, list, true)?;
            self.outcome.added += list.places.len();
        }
        self.outcome.changed = listings.len();
        let mut insert = transaction.prepare("INSERT INTO buckets VALUES(?, ?)")?;
        let mut records: Vec<(u64, u16)> = Vec::new();
        let mut bytes = Vec::new();
        for part in 0..PARTS {
            records.clear();
            for (id, list) in (0..).zip(&listings.lists) {
                let from = |part: u64| {
                    list.places
                        .partition_point(|place| place.hash() >> 60 < part)
                };
                let places = list.places.get(from(part)..from(part + 1));
                let places = places.unwrap_or_default().iter();
                records.extend(places.map(|place| (place.hash(), id)));
            }
            records.sort_unstable();
            for bucket in records.chunk_by(|left, right| bucket_of(left.0) == bucket_of(right.0)) {
                bytes.clear();
                for &(hash, list) in bucket {
                    let record = Record {
                        tail: tail_of(hash),
                        list,
                        first: self.day,
                        last: 0,
                    };
                    record.encode(&mut bytes);
                }
                let id = bucket.first().map(|(hash, _)| bucket_of(*hash));
                insert.execute(params![id, bytes])?;
            }
        }
        drop(insert);
        transaction.commit()
    }

    fn put_list(
        &self,
        connection: &Connection,
        id: u16,
        list: &Listed,
        new: bool,
    ) -> rusqlite::Result<()> {
        let keys = list.encoded();
        let digest = list.digest(&keys);
        let entries = i64::try_from(list.places.len()).unwrap_or(i64::MAX);
        let fetched = list
            .fetched_at
            .and_then(|at| i64::try_from(at).ok())
            .unwrap_or(self.now);
        if new {
            let mut insert = connection.prepare_cached(
                "INSERT INTO lists VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, ?11, ?12, ?13)",
            )?;
            insert.execute(params![
                id,
                list.kind.number(),
                list.name,
                list.info,
                list.reference,
                list.aliases,
                digest,
                list.confidence,
                fetched,
                self.day,
                entries,
                list.blocks,
                keys
            ])?;
        } else {
            let mut update = connection.prepare_cached(
                "UPDATE lists SET reference = ?2, aliases = ?3, digest = ?4, confidence = ?5, fetched_at = ?6, \
                 last_day = NULL, entries = ?7, blocks = ?8, keys = ?9 WHERE id = ?1",
            )?;
            update.execute(params![
                id,
                list.reference,
                list.aliases,
                digest,
                list.confidence,
                fetched,
                entries,
                list.blocks,
                keys
            ])?;
        }
        Ok(())
    }

    /// What of these lists differs from the former catalog.
    fn compare(&mut self, former: &Catalog, listings: Listings) -> rusqlite::Result<Differences> {
        let connection = &former.connection;
        let mut differences = Differences::default();
        let mut known = known_lists(connection)?;
        let mut used: BTreeSet<u16> = known.values().map(|list| list.id).collect();
        let swept: u16 =
            connection.query_row("SELECT value FROM meta WHERE name = 'swept'", [], |row| {
                row.get(0)
            })?;
        differences.sweep = self.day.saturating_sub(swept) >= SWEEP_DAYS;
        for list in listings.lists {
            let name = (list.kind, list.name.clone(), list.info.clone());
            let Some(before) = known.remove(&name) else {
                let limit = u16::try_from(LISTS).unwrap_or(u16::MAX);
                let Some(id) = (0..limit).find(|id| !used.contains(id)) else {
                    self.outcome.left_out += list.places.len();
                    continue;
                };
                used.insert(id);
                self.note(&mut differences, id, &[], &list.places);
                differences.lists.push((id, list, true));
                continue;
            };
            if before.digest == list.digest(&list.encoded()) {
                if before.gone {
                    differences.back.push(before.id);
                }
                continue;
            }
            let keys: Vec<u8> = connection.query_row(
                "SELECT keys FROM lists WHERE id = ?",
                [before.id],
                |row| row.get(0),
            )?;
            let old: Vec<Place> = keys.as_chunks().0.iter().map(Place::decode).collect();
            self.note(&mut differences, before.id, &old, &list.places);
            differences.lists.push((before.id, list, false));
        }
        differences.gone = known
            .values()
            .filter(|list| !list.gone)
            .map(|list| list.id)
            .collect();
        self.outcome.changed =
            differences.lists.len() + differences.back.len() + differences.gone.len();
        differences.keys.sort_unstable();
        Ok(differences)
    }

    /// Notes the keys that only one of two sorted lists has.
    fn note(&mut self, differences: &mut Differences, list: u16, old: &[Place], new: &[Place]) {
        let mut old = old.iter().map(|place| place.hash()).peekable();
        let mut new = new.iter().map(|place| place.hash()).peekable();
        loop {
            let (hash, listed) = match (old.peek().copied(), new.peek().copied()) {
                (None, None) => break,
                (Some(left), Some(right)) if left == right => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some(left), right) if right.is_none_or(|right| left < right) => {
                    old.next();
                    self.outcome.removed += 1;
                    (left, false)
                }
                (_, right) => {
                    new.next();
                    self.outcome.added += 1;
                    (right.unwrap_or_default(), true)
                }
            };
            differences.keys.push(Change { hash, list, listed });
        }
    }

    /// Writes differences into a copy of the former catalog.
    fn change(&self, file: &Path, differences: Differences) -> rusqlite::Result<()> {
        let mut connection = scratch(file)?;
        let transaction = connection.transaction()?;
        for (id, list, new) in &differences.lists {
            self.put_list(&transaction, *id, list, *new)?;
        }
        for id in &differences.back {
            transaction.execute(
                "UPDATE lists SET last_day = NULL, fetched_at = ? WHERE id = ?",
                params![self.now, id],
            )?;
        }
        for id in &differences.gone {
            transaction.execute(
                "UPDATE lists SET last_day = ? WHERE id = ?",
                params![self.day, id],
            )?;
        }
        let changes = differences.keys;
        for changes in changes.chunk_by(|left, right| bucket_of(left.hash) == bucket_of(right.hash))
        {
            let Some(id) = changes.first().map(|change| bucket_of(change.hash)) else {
                continue;
            };
            let mut records = records_of(&transaction, id)?;
            if bucket::apply(&mut records, changes, self.day) {
                bucket::sweep(&mut records, self.day, |_| true);
                put_records(&transaction, id, &records)?;
            }
        }
        if differences.sweep {
            self.sweep(&transaction)?;
        }
        transaction.commit()
    }

    /// Looks through everything for what can be forgotten.
    fn sweep(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "DELETE FROM lists WHERE last_day < ?",
            [self.day.saturating_sub(GONE_DAYS)],
        )?;
        let lists: BTreeSet<u16> = connection
            .prepare("SELECT id FROM lists")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for id in 0..=u16::MAX {
            let mut records = records_of(connection, id)?;
            if bucket::sweep(&mut records, self.day, |list| lists.contains(&list)) {
                put_records(connection, id, &records)?;
            }
        }
        connection.execute("UPDATE meta SET value = ? WHERE name = 'swept'", [self.day])?;
        Ok(())
    }
}

type Name = (ListKind, String, String);

fn known_lists(connection: &Connection) -> rusqlite::Result<HashMap<Name, Former>> {
    let mut statement = connection
        .prepare("SELECT id, kind, name, info, digest, last_day IS NOT NULL FROM lists")?;
    let rows = statement.query_map([], |row| {
        Ok((
            (super::kind(row.get(1)?), row.get(2)?, row.get(3)?),
            Former {
                id: row.get(0)?,
                digest: row.get(4)?,
                gone: row.get(5)?,
            },
        ))
    })?;
    rows.collect()
}

fn records_of(connection: &Connection, bucket: u16) -> rusqlite::Result<Vec<Record>> {
    use rusqlite::OptionalExtension as _;
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT records FROM buckets WHERE id = ?")?
        .query_row([bucket], |row| row.get(0))
        .optional()?;
    Ok(bucket::decode(&bytes.unwrap_or_default()))
}

fn put_records(connection: &Connection, bucket: u16, records: &[Record]) -> rusqlite::Result<()> {
    let mut bytes = Vec::with_capacity(records.len() * Record::BYTES);
    records.iter().for_each(|record| record.encode(&mut bytes));
    connection
        .prepare_cached("INSERT OR REPLACE INTO buckets VALUES(?, ?)")?
        .execute(params![bucket, bytes])?;
    Ok(())
}
