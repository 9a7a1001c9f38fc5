//! `LOG_DIR/state.sqlite`: what cannot be rebuilt from day files. Here passwords that replace the ones in
//! `USERS`, and sign-ins; [`audit`] and [`desk`](crate::desk) keep their own tables in the same
//! file. Mode 0600.
//!
//! `USERS` stays the truth: a replaced password remembers the `USERS` hash that it replaces and
//! counts only while that entry still stands there.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use maltrail_core::time::Timestamp;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use crate::audit::{self, Change};
use crate::store::lock;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS password (name TEXT, entry TEXT, hash TEXT NOT NULL, changed INTEGER NOT NULL,
  PRIMARY KEY (name, entry)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (token BLOB PRIMARY KEY, name TEXT NOT NULL, entry TEXT NOT NULL,
  address TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed_in (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
";

/// A password that stands in for the one of a `USERS` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Argon2id, PHC form.
    pub(crate) hash: String,
    /// The user chose another password; false when the same one was only stored better.
    pub(crate) changed: bool,
}

/// A stored sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// User name.
    pub(crate) name: String,
    /// What the account's password was at sign-in, as a fingerprint.
    pub(crate) entry: String,
    /// Client address or network.
    pub(crate) address: String,
    pub(crate) created: Timestamp,
    pub(crate) used: Timestamp,
}

/// SHA-256 of the token: the token itself is stored nowhere.
pub(crate) type TokenHash = [u8; 32];

/// The file.
#[derive(Debug)]
pub(crate) struct StateFile(Mutex<Connection>);

impl StateFile {
    /// Opens or creates the file.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let schemas = [
            SCHEMA,
            super::role::SCHEMA,
            super::tokens::SCHEMA,
            audit::SCHEMA,
            crate::desk::SCHEMA,
        ];
        for schema in schemas {
            connection.execute_batch(schema)?;
        }
        Ok(Self(Mutex::new(connection)))
    }

    /// The file itself, for the tables that other parts keep in it. Others wait meanwhile.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.0)
    }

    /// Another connection that only reads, for long questions: others do not wait meanwhile.
    pub(crate) fn reader(&self) -> Result<Connection, StateError> {
        let path = lock(&self.0).path().unwrap_or_default().to_owned();
        let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reader.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(reader)
    }

    /// Makes changes that belong together: all of them are kept, or none.
    pub(crate) fn change<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = lock(&self.0);
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// The password that replaces this entry's.
    pub(crate) fn replaced(&self, name: &str, entry: &str) -> Result<Option<Replaced>, StateError> {
        let connection = lock(&self.0);
        let mut query = connection
            .prepare_cached("SELECT hash, changed FROM password WHERE name = ?1 AND entry = ?2")?;
        let found = query.query_row([name, entry], |row| {
            Ok(Replaced {
                hash: row.get(0)?,
                changed: row.get(1)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Replaces the password of an entry; `change` is recorded with it.
    pub(crate) fn replace_password(
        &self,
        name: &str,
        entry: &str,
        new: &Replaced,
        change: Option<&Change<'_>>,
    ) -> Result<(), StateError> {
        self.change(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO password VALUES (?1, ?2, ?3, ?4)",
                params![name, entry, new.hash, new.changed],
            )?;
            change.map_or(Ok(()), |change| Ok(audit::record(connection, change)?))
        })
    }

    /// Every sign-in.
    pub(crate) fn sessions(&self) -> Result<Vec<(TokenHash, Session)>, StateError> {
        let connection = lock(&self.0);
        let mut query =
            connection.prepare("SELECT token, name, entry, address, created, used FROM session")?;
        let rows = query.query_map([], |row| {
            let session = Session {
                name: row.get(1)?,
                entry: row.get(2)?,
                address: row.get(3)?,
                created: Timestamp::from_micros(row.get(4)?),
                used: Timestamp::from_micros(row.get(5)?),
            };
            Ok((row.get::<_, TokenHash>(0)?, session))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Stores a new sign-in, and when its account last signed in.
    pub(crate) fn sign_in(
        &self,
        token: &TokenHash,
        session: &Session,
        change: &Change<'_>,
    ) -> Result<(), StateError> {
        self.change(|connection| {
            put_session(connection, token, session)?;
            connection.execute(
                "INSERT OR REPLACE INTO signed_in VALUES (?1, ?2)",
                params![session.name, session.created.micros()],
            )?;
            Ok(audit::record(connection, change)?)
        })
    }

    /// When each account last signed in, also those that left `USERS`.
    pub(crate) fn signed_in(&self) -> Result<BTreeMap<String, Timestamp>, StateError> {
        let connection = lock(&self.0);
        let mut query = connection.prepare_cached("SELECT name, at FROM signed_in")?;
        let rows = query.query_map([], |row| {
            Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Stores a sign-in that was used again.
    pub(crate) fn put_session(
        &self,
        token: &TokenHash,
        session: &Session,
    ) -> Result<(), StateError> {
        Ok(put_session(&lock(&self.0), token, session)?)
    }

    /// Forgets a sign-in; `change` is recorded with it.
    pub(crate) fn drop_session(
        &self,
        token: &TokenHash,
        change: Option<&Change<'_>>,
    ) -> Result<(), StateError> {
        self.change(|connection| {
            connection.execute("DELETE FROM session WHERE token = ?1", [token.as_slice()])?;
            change.map_or(Ok(()), |change| Ok(audit::record(connection, change)?))
        })
    }
}

fn put_session(
    connection: &Connection,
    token: &TokenHash,
    session: &Session,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.as_slice(),
            session.name,
            session.entry,
            session.address,
            session.created.micros(),
            session.used.micros()
        ],
    )?;
    Ok(())
}

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn passwords_and_sign_ins_survive_and_strangers_cannot_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.sqlite");
        let replaced = Replaced {
            hash: "$argon2id$x".into(),
            changed: true,
        };
        let session = Session {
            name: "admin".into(),
            entry: "e".into(),
            address: "10.0.0.1".into(),
            created: Timestamp::from_micros(1),
            used: Timestamp::from_micros(2),
        };
        {
            let state = StateFile::open(&path).unwrap();
            state
                .replace_password("admin", "entry", &replaced, None)
                .unwrap();
            state.put_session(&[7; 32], &session).unwrap();
            state.put_session(&[8; 32], &session).unwrap();
            state.drop_session(&[8; 32], None).unwrap();
        }
        let state = StateFile::open(&path).unwrap();
        assert_eq!(state.replaced("admin", "entry").unwrap(), Some(replaced));
        assert_eq!(state.replaced("admin", "another entry").unwrap(), None);
        assert_eq!(state.sessions().unwrap(), vec![([7; 32], session)]);
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }
}
