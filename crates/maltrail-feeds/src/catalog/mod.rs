//! `trails.db`, beside `TRAILS_FILE`: which lists name a key, where, since when, and what they say about it.
//!
//! ```text
//! assemble ─► Listings (12 bytes an entry) ─ Catalog::record ─► trails.db ─ Catalog::find ─► Vec<Listing>
//! ```
//!
//! The file is SQLite with two tables: `lists` (one row a list: names, comments, digest, its keys with their
//! lines) and `buckets` (the records of [`bucket`]). It is never changed in place: an update writes a copy
//! and renames it over, so a reader has one whole state for as long as it likes, and a killed update leaves
//! the old one. A list whose digest is unchanged is not touched, of a changed one only the differences are
//! written, and an update without a difference writes nothing.
//!
//! Guarantees: the first day of a key survives updates and gaps; a key that is no longer listed keeps its
//! last day for a year. Keys are known by a hash of 64 bits ([`key_hash`]): a list can be named for a key
//! that merely has the same hash, at random once in ten million sets. Bounds: 60,000 lists; in a bucket 256
//! records that are no longer listed.

mod blocks;
mod bucket;
mod listing;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use maltrail_core::time::Day;
use maltrail_core::trail::key::key_hash;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

pub(crate) use blocks::{Blocks, is_reference};
pub(crate) use listing::ListId;
pub use listing::{FeedFacts, ListKind, Listings};
pub use write::CatalogOutcome;

use bucket::{bucket_of, tail_of};
use listing::Place;

/// Name of the file.
pub const FILE: &str = "trails.db";
/// Changes with the form of the file; one of another form is made anew.
const VERSION: i64 = 1;
/// `mtcg`, so that tools tell the file from others.
const APPLICATION: i64 = 0x6d74_6367;

/// One list that names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What kind of list it is.
    pub kind: ListKind,
    /// Its file, or the feed's name.
    pub list: String,
    /// The label it gives.
    pub info: String,
    /// The origin it gives.
    pub reference: String,
    /// Line of its file, when it has lines and still names the key.
    pub line: Option<u32>,
    /// What the comments above the entry point to.
    pub urls: Vec<String>,
    /// Other names, as the file gives them.
    pub aliases: String,
    /// Day on which it was first seen there.
    pub first: Option<Day>,
    /// Day since which it is no longer there; `None` while it is.
    pub last: Option<Day>,
    /// How far the feed is to be trusted, 0 to 100.
    pub confidence: Option<u8>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSummary {
    /// What kind of list it is.
    pub kind: ListKind,
    /// Its file, or the feed's name.
    pub list: String,
    /// The label it gives.
    pub info: String,
    /// Distinct keys it names.
    pub entries: u64,
    /// Day on which the list was first seen.
    pub first: Option<Day>,
    /// Day since which the list is gone.
    pub last: Option<Day>,
    /// When its present state was fetched, in seconds since 1970.
    pub fetched_at: u64,
}

/// Why the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is none yet.
    #[error("there is no `{}` yet: `sensor update` makes it", .0.display())]
    Missing(PathBuf),
    /// It is of another version, or no catalog.
    #[error("`{}` is no catalog of this version: the next build makes it anew", .0.display())]
    Other(PathBuf),
    /// It cannot be read or written.
    #[error("cannot use `{}`: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file system refuses.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An open catalog, read-only.
pub struct Catalog {
    connection: Connection,
    path: PathBuf,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.path).finish()
    }
}

impl Catalog {
    /// Opens the catalog of a folder. What an update does meanwhile is not seen: open it again.
    ///
    /// # Errors
    /// When there is none or it is none of this version.
    pub fn open(folder: &Path) -> Result<Self, CatalogError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(CatalogError::Missing(path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let wrap = |source| CatalogError::Database {
            path: path.clone(),
            source,
        };
        let connection = Connection::open_with_flags(&path, flags).map_err(wrap)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let version = pragma("user_version").map_err(wrap)?;
        if (version, pragma("application_id").map_err(wrap)?) != (VERSION, APPLICATION) {
            return Err(CatalogError::Other(path));
        }
        Ok(Self { connection, path })
    }

    /// Puts what a build saw into the catalog of a folder, or makes it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be written; the former one then stays as it was.
    pub fn record(
        folder: &Path,
        listings: Listings,
        now: u64,
        owner: Option<(u32, u32)>,
    ) -> Result<CatalogOutcome, CatalogError> {
        write::record(folder, listings, now, owner)
    }

    /// The lists that name this key (in normal form), those that still do first.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn find(&self, key: &str) -> Result<Vec<Listing>, CatalogError> {
        self.find_hash(key_hash(key))
            .map_err(|source| self.error(source))
    }

    fn find_hash(&self, hash: u64) -> rusqlite::Result<Vec<Listing>> {
        let records: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT records FROM buckets WHERE id = ?")?
            .query_row([bucket_of(hash)], |row| row.get(0))
            .optional()?;
        let mut found = Vec::new();
        for record in bucket::decode(&records.unwrap_or_default()) {
            if record.tail == tail_of(hash) {
                found.extend(self.listing(hash, record)?);
            }
        }
        found.sort_by_key(|listing: &Listing| listing.last.is_some());
        Ok(found)
    }

    fn listing(&self, hash: u64, record: bucket::Record) -> rusqlite::Result<Option<Listing>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT kind, name, info, reference, aliases, confidence, last_day, blocks, keys FROM lists WHERE id = ?",
        )?;
        statement
            .query_row([record.list], |row| {
                let gone: Option<u16> = row.get(6)?;
                let last = if record.last > 0 {
                    Some(record.last)
                } else {
                    gone
                };
                let keys = row.get_ref(8)?.as_blob().unwrap_or_default();
                let line = line_of(keys, hash).filter(|_| last.is_none());
                Ok(Listing {
                    kind: kind(row.get(0)?),
                    list: row.get(1)?,
                    info: row.get(2)?,
                    reference: row.get(3)?,
                    line,
                    urls: line.map_or_else(Vec::new, |line| {
                        let blocks = row.get_ref(7).ok();
                        let text = blocks.as_ref().and_then(|text| text.as_str().ok());
                        blocks::urls_of(text.unwrap_or_default(), line)
                    }),
                    aliases: row.get(4)?,
                    first: day(record.first),
                    last: last.and_then(day),
                    confidence: row.get(5)?,
                })
            })
            .optional()
    }

    /// All lists, by kind and name.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn lists(&self) -> Result<Vec<ListSummary>, CatalogError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT kind, name, info, entries, first_day, last_day, fetched_at FROM lists ORDER BY kind, name, info",
            )?;
            let rows = statement.query_map(params![], |row| {
                Ok(ListSummary {
                    kind: kind(row.get(0)?),
                    list: row.get(1)?,
                    info: row.get(2)?,
                    entries: row.get::<_, i64>(3)?.unsigned_abs(),
                    first: day(row.get(4)?),
                    last: row.get::<_, Option<u16>>(5)?.and_then(day),
                    fetched_at: row.get::<_, i64>(6)?.unsigned_abs(),
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> CatalogError {
        CatalogError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

fn kind(number: i64) -> ListKind {
    let at = usize::try_from(number).ok();
    at.and_then(|at| ListKind::ALL.get(at).copied())
        .unwrap_or(ListKind::Static)
}

fn day(number: u16) -> Option<Day> {
    Day::new(1970, 1, 1).map(|epoch| epoch.plus(number.into()))
}

/// The line of a key in a list's sorted places.
fn line_of(keys: &[u8], hash: u64) -> Option<u32> {
    let places = keys.as_chunks::<{ Place::BYTES }>().0;
    let at = places
        .binary_search_by_key(&hash, |bytes| Place::decode(bytes).hash())
        .ok()?;
    let place = Place::decode(places.get(at)?);
    Some(place.line).filter(|line| *line > 0)
}

#[cfg(test)]
mod tests;
