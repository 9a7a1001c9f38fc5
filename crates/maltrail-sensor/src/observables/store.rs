//! The file: one table of observables, in the form that older sensors write and read.
//!
//! An IPv4 address is a BLOB of four bytes, an IPv6 address one of sixteen, a name is TEXT. A window is
//! merged in one transaction: counts add up, first and last times widen. A file with another layout, of
//! another program or damaged is refused and left as it is.
//!
//! Bound: [`MAX_ROWS`] rows are left by [`Store::prune`]. The rows to go are those with the lowest
//! `log2(1 + count) + log2(1 + days between first and last) + last / 30 days`: often seen, over a long
//! time, or lately is worth keeping.

use std::f64::consts::LN_2;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maltrail_engine::{Observable, Row, Window};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, TransactionBehavior, params};

/// Rows that a prune leaves.
pub const MAX_ROWS: u64 = 2_000_000;

/// How long another program may hold the file.
const BUSY: Duration = Duration::from_secs(8);

/// Version of the layout.
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS observables(observable, flags INTEGER, first_seen INTEGER, last_seen INTEGER, count INTEGER, PRIMARY KEY(observable)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta_info(key TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO meta_info VALUES ('schema_version', 1);
";

const INSERT: &str = "INSERT OR IGNORE INTO observables (observable, flags, first_seen, last_seen, count) VALUES (?1, ?2, ?3, ?4, 0)";

const UPDATE: &str = "UPDATE observables SET first_seen = min(first_seen, ?2), last_seen = max(last_seen, ?3), count = count + ?4 WHERE observable = ?1";

const PRUNE: &str = "DELETE FROM observables WHERE observable IN (SELECT observable FROM observables ORDER BY worth(count, first_seen, last_seen) LIMIT ?1)";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be created or opened.
    #[error("cannot open `{}`: {source} (the folder must be writable; USE_CONDENSED_STORAGE false does without)", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        #[source]
        /// Why.
        source: io::Error,
    },
    /// It is a database of something else.
    #[error("`{}` is not a file of observables: {what} (move it away, a new one is made then)", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// SQLite does not take it.
    #[error("`{}`: {source}{}", .path.display(), remedy(.source))]
    Sqlite {
        /// The file.
        path: PathBuf,
        #[source]
        /// Why.
        source: rusqlite::Error,
    },
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            " (the file is damaged: move it away, a new one is made then)"
        }
        Some(DatabaseBusy) => " (another program holds the file)",
        _ => "",
    }
}

/// The open file.
#[derive(Debug)]
pub struct Store {
    file: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or creates it, readable by all.
    ///
    /// # Errors
    /// When it cannot be written, is no such file, or is damaged. It is not changed then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create(path).map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })?;
        let sqlite = |source| StoreError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        file.busy_timeout(BUSY).map_err(sqlite)?;
        if let Some(what) = foreign(&file).map_err(sqlite)? {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                what,
            });
        }
        file.pragma_update(None, "journal_mode", "DELETE")
            .map_err(sqlite)?;
        file.pragma_update(None, "synchronous", "NORMAL")
            .map_err(sqlite)?;
        file.execute_batch(SCHEMA).map_err(sqlite)?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        file.create_scalar_function("worth", 3, flags, |row| Ok(worth(row)))
            .map_err(sqlite)?;
        let store = Self {
            file,
            path: path.to_owned(),
        };
        for statement in [INSERT, UPDATE] {
            // Also says whether the columns are there.
            store.file.prepare_cached(statement).map_err(sqlite)?;
        }
        Ok(store)
    }

    /// Adds a window; how many rows it had. All of it or nothing.
    ///
    /// # Errors
    /// When SQLite refuses it.
    pub fn merge(&mut self, window: &Window) -> Result<u64, StoreError> {
        merge(&mut self.file, window).map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        })
    }

    /// Deletes the rows that are worth least beyond `max_rows`, and gives their space back; how many
    /// they were.
    ///
    /// # Errors
    /// When SQLite refuses it.
    pub fn prune(&mut self, max_rows: u64) -> Result<u64, StoreError> {
        prune(&mut self.file, max_rows).map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        })
    }
}

/// Creates the file when there is none.
fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o644)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is wrong with a file that is not ours; an empty one is.
fn foreign(file: &Connection) -> rusqlite::Result<Option<String>> {
    let mut tables = Vec::new();
    let mut query =
        file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 100")?;
    for name in query.query_map([], |row| row.get::<_, String>(0))? {
        tables.push(name?);
    }
    let has = |name: &str| tables.iter().any(|table| table == name);
    if tables.is_empty() {
        return Ok(None);
    }
    if !has("observables") {
        return Ok(Some("it has other tables".to_owned()));
    }
    let mut query = file.prepare("SELECT name FROM pragma_table_info('observables')")?;
    let columns = query.query_map([], |row| row.get::<_, String>(0))?;
    let columns: Vec<String> = columns.collect::<Result<_, _>>()?;
    if columns != ["observable", "flags", "first_seen", "last_seen", "count"] {
        return Ok(Some(format!("its columns are {}", columns.join(", "))));
    }
    if !has("meta_info") {
        return Ok(None);
    }
    let query = "SELECT CAST(value AS INTEGER) FROM meta_info WHERE key = 'schema_version'";
    let version: Option<i64> = file.query_row(query, [], |row| row.get(0)).optional()?;
    Ok(version
        .filter(|&version| version != VERSION)
        .map(|version| format!("its layout is version {version}, not {VERSION}")))
}

fn merge(file: &mut Connection, window: &Window) -> rusqlite::Result<u64> {
    let mut rows: Vec<(Key<'_>, Row<'_>)> = window.rows().map(|row| (Key::of(&row), row)).collect();
    // Rows that are neighbours in the file are written together.
    rows.sort_unstable_by_key(|&(key, _)| key);
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        let mut update = transaction.prepare_cached(UPDATE)?;
        for (key, row) in &rows {
            let count = i64::try_from(row.count).unwrap_or(i64::MAX);
            insert.execute(params![key, row.flags, row.first_seen, row.last_seen])?;
            update.execute(params![key, row.first_seen, row.last_seen, count])?;
        }
    }
    transaction.commit()?;
    Ok(rows.len() as u64)
}

fn prune(file: &mut Connection, max_rows: u64) -> rusqlite::Result<u64> {
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let rows = transaction.query_row("SELECT count(*) FROM observables", [], count)?;
    let over = rows.saturating_sub(i64::try_from(max_rows).unwrap_or(i64::MAX));
    if over <= 0 {
        return Ok(0);
    }
    let deleted = transaction.execute(PRUNE, [over])?;
    transaction.commit()?;
    file.execute_batch("VACUUM")?;
    Ok(deleted as u64)
}

/// How much a row is worth; its columns are count, first and last second.
fn worth(row: &Context<'_>) -> f64 {
    const DAY: f64 = 86_400.0;
    let number = |column| match row.get_raw(column) {
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        // Of another program; worth nothing.
        _ => 0.0,
    };
    let (count, first, last) = (number(0), number(1), number(2));
    let span = (last - first) / DAY;
    count.max(0.0).ln_1p() / LN_2 + span.max(0.0).ln_1p() / LN_2 + last / (30.0 * DAY)
}

/// A key as SQLite sorts them: texts before blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Name(&'a str),
    V4([u8; 4]),
    V6([u8; 16]),
}

impl<'a> Key<'a> {
    const fn of(row: &Row<'a>) -> Self {
        match row.observable {
            Observable::Name(name) => Self::Name(name),
            Observable::Address(IpAddr::V4(address)) => Self::V4(address.octets()),
            Observable::Address(IpAddr::V6(address)) => Self::V6(address.octets()),
        }
    }
}

impl ToSql for Key<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Name(name) => ValueRef::Text(name.as_bytes()),
            Self::V4(octets) => ValueRef::Blob(octets),
            Self::V6(octets) => ValueRef::Blob(octets),
        }))
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::time::Timestamp;
    use maltrail_engine::Observables;

    use super::*;

    fn new_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("meta.sqlite");
        (folder, path)
    }

    fn seen(second: i64, src: &str, dst: &str, names: &[&str]) -> Window {
        let at = Timestamp::from_parts(second, 0);
        let mut seen = Observables::new();
        seen.packet(at, src.parse().expect(src), dst.parse().expect(dst));
        for name in names {
            seen.name(at, name);
        }
        seen.take()
    }

    /// Observable as SQL writes it, flags, first, last, count.
    fn rows(path: &Path) -> Vec<(String, i64, i64, i64, i64)> {
        let file = Connection::open(path).expect("file");
        let mut query = file
            .prepare("SELECT quote(observable), flags, first_seen, last_seen, count FROM observables ORDER BY 1")
            .expect("query");
        let rows = query
            .query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })
            .expect("rows");
        rows.map(|row| row.expect("row")).collect()
    }

    fn row(
        text: &str,
        flags: i64,
        first: i64,
        last: i64,
        count: i64,
    ) -> (String, i64, i64, i64, i64) {
        (text.to_owned(), flags, first, last, count)
    }

    #[test]
    fn a_new_file_has_the_layout_of_older_sensors() {
        let (_folder, path) = new_folder();
        let mut store = Store::open(&path).expect("store");
        let window = seen(
            100,
            "10.0.0.5",
            "2001:db8::1",
            &["evil.example", "evil.example"],
        );
        assert_eq!(store.merge(&window).expect("merged"), 3);
        let window = seen(90, "10.0.0.5", "203.0.113.7", &[]);
        assert_eq!(store.merge(&window).expect("merged"), 2);
        assert_eq!(
            rows(&path),
            [
                row("'evil.example'", 1, 100, 100, 2),
                row("X'0A000005'", 2, 90, 100, 2),
                row("X'20010DB8000000000000000000000001'", 4, 100, 100, 1),
                row("X'CB007107'", 4, 90, 90, 1),
            ]
        );
        let file = Connection::open(&path).expect("file");
        let one = |sql: &str| -> String {
            let value = file.query_row(sql, [], |row| row.get(0));
            value.expect(sql)
        };
        assert_eq!(
            one("SELECT sql FROM sqlite_schema WHERE name = 'observables'"),
            "CREATE TABLE observables(observable, flags INTEGER, first_seen INTEGER, last_seen INTEGER, count INTEGER, PRIMARY KEY(observable)) WITHOUT ROWID"
        );
        assert_eq!(
            one("SELECT sql FROM sqlite_schema WHERE name = 'meta_info'"),
            "CREATE TABLE meta_info(key TEXT PRIMARY KEY, value)"
        );
        assert_eq!(
            one("SELECT key || '=' || value || typeof(value) FROM meta_info"),
            "schema_version=1integer"
        );
        assert_eq!(one("PRAGMA journal_mode"), "delete");
        let mode = std::fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let synchronous = store
            .file
            .query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
        assert_eq!(synchronous.expect("pragma"), 1);
    }

    /// As an older sensor leaves it.
    #[test]
    fn an_existing_file_goes_on() {
        let (_folder, path) = new_folder();
        let old = Connection::open(&path).expect("file");
        old.execute_batch(
            "CREATE TABLE observables(observable, flags INTEGER, first_seen INTEGER, last_seen INTEGER, count INTEGER, PRIMARY KEY(observable)) WITHOUT ROWID;
             CREATE TABLE meta_info(key TEXT PRIMARY KEY, value);
             INSERT INTO meta_info VALUES ('schema_version', 1);
             INSERT INTO observables VALUES (x'0A000005', 2, 50, 60, 7), ('evil.example', 1, 500, 600, 9), (x'08080808', 4, 1, 2, 3);",
        )
        .expect("layout");
        drop(old);
        let mut store = Store::open(&path).expect("store");
        store
            .merge(&seen(100, "10.0.0.5", "10.0.0.6", &["evil.example"]))
            .expect("merged");
        assert_eq!(
            rows(&path),
            [
                row("'evil.example'", 1, 100, 600, 10),
                row("X'08080808'", 4, 1, 2, 3),
                row("X'0A000005'", 2, 50, 100, 8),
                row("X'0A000006'", 2, 100, 100, 1),
            ]
        );
    }

    #[test]
    fn foreign_and_damaged_files_are_refused_and_stay() {
        let other = |sql: &str| {
            let (folder, path) = new_folder();
            let file = Connection::open(&path).expect("file");
            file.execute_batch(sql).expect(sql);
            drop(file);
            let before = std::fs::read(&path).expect("file");
            let error = Store::open(&path).expect_err(sql).to_string();
            assert_eq!(std::fs::read(&path).expect("file"), before, "{sql}");
            drop(folder);
            error
        };
        let error = other("CREATE TABLE bookmarks(x)");
        assert!(
            error.contains("other tables") && error.contains("move it away"),
            "{error}"
        );
        let error = other("CREATE TABLE observables(observable, flags)");
        assert!(error.contains("columns are observable, flags"), "{error}");
        let layout = SCHEMA.replace(", 1)", ", 2)");
        let error = other(&layout);
        assert!(error.contains("version 2"), "{error}");

        let (_folder, path) = new_folder();
        std::fs::write(
            &path,
            "no database at all, but long enough to be read as one",
        )
        .expect("file");
        let error = Store::open(&path).expect_err("damaged").to_string();
        assert!(
            error.contains("damaged") && error.contains("meta.sqlite"),
            "{error}"
        );
        let (folder, _) = new_folder();
        let error = Store::open(&folder.path().join("none/meta.sqlite")).expect_err("no folder");
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
    }

    #[test]
    fn a_window_is_merged_whole_or_not_at_all() {
        let (_folder, path) = new_folder();
        let mut store = Store::open(&path).expect("store");
        // Names come before addresses, so one row is written before the other fails.
        store
            .file
            .execute_batch("CREATE TRIGGER no BEFORE INSERT ON observables WHEN typeof(NEW.observable) = 'blob' BEGIN SELECT raise(ABORT, 'no'); END")
            .expect("trigger");
        let window = seen(1, "10.0.0.5", "10.0.0.6", &["evil.example"]);
        assert!(store.merge(&window).is_err());
        assert!(rows(&path).is_empty());
        store
            .file
            .execute_batch("DROP TRIGGER no")
            .expect("trigger");
        assert_eq!(store.merge(&window).expect("merged"), 3);
    }

    #[test]
    fn what_is_worth_least_is_pruned() {
        let (_folder, path) = new_folder();
        let mut store = Store::open(&path).expect("store");
        let day = 86_400;
        let now = 1_700_000_000;
        let scores = [
            // 1 + 0 + 655.9 = 656.9
            ("once", now, now, 1),
            // 10 + 0 + 655.9 = 665.9
            ("often", now, now, 1023),
            // 1.6 + 5 + 655.9 = 662.4
            ("long", now - 31 * day, now, 2),
            // 1 + 0 + 653.9 = 654.9
            ("older", now - 60 * day, now - 60 * day, 1),
            // 10 + 0 + 645.9 = 655.9
            ("often, long ago", now - 300 * day, now - 300 * day, 1023),
        ];
        for (name, first, last, count) in scores {
            let values = params![name, 1, first, last, count];
            let insert = "INSERT INTO observables VALUES (?1, ?2, ?3, ?4, ?5)";
            store.file.execute(insert, values).expect(name);
        }
        let names = || -> Vec<String> { rows(&path).into_iter().map(|row| row.0).collect() };
        assert_eq!(store.prune(5).expect("pruned"), 0);
        assert_eq!(store.prune(3).expect("pruned"), 2);
        assert_eq!(names(), ["'long'", "'often'", "'once'"]);
        assert_eq!(store.prune(2).expect("pruned"), 1);
        assert_eq!(names(), ["'long'", "'often'"]);
        assert_eq!(store.prune(1).expect("pruned"), 1);
        assert_eq!(names(), ["'often'"]);
    }

    #[test]
    fn pruned_space_is_given_back() {
        let (_folder, path) = new_folder();
        let mut store = Store::open(&path).expect("store");
        let mut names = Observables::new();
        for n in 0..20_000 {
            names.name(
                Timestamp::from_parts(n, 0),
                &format!("some-long-name-{n}.example"),
            );
        }
        store.merge(&names.take()).expect("merged");
        let size = || std::fs::metadata(&path).expect("file").len();
        let before = size();
        assert_eq!(store.prune(1000).expect("pruned"), 19_000);
        assert!(size() < before / 10, "{} of {before}", size());
    }
}
