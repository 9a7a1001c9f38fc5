//! Who changed what: an append-only list in the state file.
//!
//! A change is recorded in the transaction that makes it, so neither is there without the other. The database
//! itself refuses to change or delete entries. Only signed-in users and the console cause entries; what a
//! stranger tries goes to the log, so nobody can fill the list from outside.

use maltrail_core::time::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

/// Longest name of an object in characters.
const OBJECT_CHARS: usize = 256;
/// Longest value before or after in characters.
const VALUE_CHARS: usize = 4096;
/// The actor of commands on the server's console.
pub(crate) const CONSOLE: &str = "(console)";

/// Created by [`StateFile::open`](crate::auth::state_file::StateFile::open).
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL,
  address TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL, was TEXT, became TEXT);
CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
";

/// A change, as its maker reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// User name, `token NAME`, or [`CONSOLE`].
    pub(crate) actor: &'a str,
    /// The client's address; empty for the console.
    pub(crate) address: &'a str,
    /// Area and verb, such as `triage.status`.
    pub(crate) action: &'static str,
    /// What was changed, such as a threat's id.
    pub(crate) object: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) at: Timestamp,
}

/// A recorded change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) actor: String,
    pub(crate) address: String,
    pub(crate) action: String,
    pub(crate) object: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// Which entries are asked for. Empty fields ask for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) actor: Option<&'a str>,
    /// An action or the area before its dot.
    pub(crate) action: Option<&'a str>,
    pub(crate) object: Option<&'a str>,
    /// Only entries older than the one of this id.
    pub(crate) before: Option<i64>,
    pub(crate) limit: usize,
}

/// Records a change. Call it inside the change's transaction.
pub(crate) fn record(connection: &Connection, change: &Change<'_>) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO audit (at, actor, address, action, object, was, became) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            change.at.micros(),
            cut(change.actor, OBJECT_CHARS),
            change.address,
            change.action,
            cut(change.object, OBJECT_CHARS),
            change.from.map(|text| cut(text, VALUE_CHARS)),
            change.to.map(|text| cut(text, VALUE_CHARS)),
        ])?;
    Ok(())
}

/// Entries, newest first.
pub(crate) fn entries(
    connection: &Connection,
    wanted: &Wanted<'_>,
) -> rusqlite::Result<Vec<Entry>> {
    let mut query = connection.prepare_cached(
        "SELECT id, at, actor, address, action, object, was, became FROM audit
         WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR action = ?2 OR substr(action, 1, length(?2) + 1) = ?2 || '.')
         AND (?3 IS NULL OR object = ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5",
    )?;
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let rows = query.query_map(
        params![
            wanted.actor,
            wanted.action,
            wanted.object,
            wanted.before,
            limit
        ],
        |row| {
            Ok(Entry {
                id: row.get(0)?,
                at: Timestamp::from_micros(row.get(1)?).to_rfc3339(),
                actor: row.get(2)?,
                address: row.get(3)?,
                action: row.get(4)?,
                object: row.get(5)?,
                from: row.get(6)?,
                to: row.get(7)?,
            })
        },
    )?;
    rows.collect()
}

fn cut(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change<'a>(actor: &'a str, action: &'static str, object: &'a str) -> Change<'a> {
        Change {
            actor,
            address: "10.0.0.1",
            action,
            object,
            from: None,
            to: Some("x"),
            at: Timestamp::from_micros(0),
        }
    }

    fn filled() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        for (actor, action, object) in [
            ("ann", "triage.status", "1"),
            ("bob", "triage.tags", "1"),
            ("ann", "triagex.status", "2"),
            ("ann", "user.role", "bob"),
        ] {
            record(&connection, &change(actor, action, object)).unwrap();
        }
        connection
    }

    fn ids(connection: &Connection, wanted: &Wanted<'_>) -> Vec<i64> {
        let entries = entries(connection, wanted).unwrap();
        entries.into_iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn entries_come_newest_first_and_by_what_is_wanted() {
        let connection = filled();
        let all = Wanted {
            limit: 10,
            ..Wanted::default()
        };
        assert_eq!(ids(&connection, &all), [4, 3, 2, 1]);
        let wanted = |actor, action, object, before| Wanted {
            actor,
            action,
            object,
            before,
            limit: 2,
        };
        assert_eq!(
            ids(&connection, &wanted(Some("ann"), None, None, None)),
            [4, 3]
        );
        assert_eq!(
            ids(&connection, &wanted(Some("ann"), None, None, Some(3))),
            [1]
        );
        assert_eq!(
            ids(&connection, &wanted(None, Some("triage"), None, None)),
            [2, 1]
        );
        assert_eq!(
            ids(&connection, &wanted(None, Some("triage.tags"), None, None)),
            [2]
        );
        assert_eq!(
            ids(&connection, &wanted(None, None, Some("bob"), None)),
            [4]
        );
    }

    #[test]
    fn nothing_changes_or_deletes_an_entry() {
        let connection = filled();
        for statement in [
            "DELETE FROM audit",
            "UPDATE audit SET actor = 'eve' WHERE id = 1",
        ] {
            let error = connection.execute(statement, []).unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
        let all = Wanted {
            limit: 10,
            ..Wanted::default()
        };
        assert_eq!(ids(&connection, &all).len(), 4);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let connection = filled();
        let long = "ä".repeat(OBJECT_CHARS + 10);
        record(&connection, &change("ann", "x.y", &long)).unwrap();
        let wanted = Wanted {
            limit: 1,
            ..Wanted::default()
        };
        let entry = entries(&connection, &wanted).unwrap().pop().unwrap();
        assert_eq!(entry.object.chars().count(), OBJECT_CHARS);
    }
}
