//! Notes on threats: a thread with author and time.

use std::collections::HashSet;

use maltrail_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{Case, Desk, DeskError, Who, id_text, record};
use crate::store::lock;

/// Notes in all.
pub(crate) const MAX_NOTES: u32 = 100_000;
/// Notes on one threat.
pub(crate) const MAX_OF_THREAT: u32 = 500;
/// Longest note in characters.
const NOTE_CHARS: usize = 4000;

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Note {
    pub(crate) id: i64,
    /// The threat's id, 16 hex digits.
    pub(crate) threat: String,
    pub(crate) author: String,
    /// RFC 3339.
    pub(crate) at: String,
    /// When its text was last changed.
    pub(crate) edited: Option<String>,
    pub(crate) text: String,
}

impl Note {
    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let time = |micros: i64| Timestamp::from_micros(micros).to_rfc3339();
        Ok(Self {
            id: row.get(0)?,
            threat: id_text(row.get::<_, i64>(1)?.cast_unsigned()),
            author: row.get(2)?,
            at: time(row.get(3)?),
            edited: row.get::<_, Option<i64>>(4)?.map(time),
            text: row.get(5)?,
        })
    }
}

impl Desk {
    /// The thread of a threat, oldest first.
    pub(crate) fn notes(&self, threat: u64) -> Result<Vec<Note>, DeskError> {
        let connection = self.file.connection();
        let mut query = connection.prepare_cached(
            "SELECT id, threat, author, at, edited, text FROM note WHERE threat = ?1 ORDER BY id",
        )?;
        let notes = query.query_map([threat.cast_signed()], Note::of_row)?;
        Ok(notes.collect::<Result<_, _>>()?)
    }

    /// Threats with a note that passes the test.
    pub(crate) fn noted(
        &self,
        mut test: impl FnMut(&str) -> bool,
    ) -> Result<HashSet<u64>, DeskError> {
        let connection = self.file.connection();
        let mut query = connection.prepare_cached("SELECT threat, text FROM note")?;
        let mut rows = query.query([])?;
        let mut threats = HashSet::new();
        while let Some(row) = rows.next()? {
            if test(row.get_ref(1)?.as_str().unwrap_or_default()) {
                threats.insert(row.get::<_, i64>(0)?.cast_unsigned());
            }
        }
        Ok(threats)
    }

    /// Adds a note.
    pub(crate) fn add_note(&self, threat: u64, text: &str, who: &Who) -> Result<Note, DeskError> {
        let text = checked(text)?;
        let _writer = lock(&self.writer);
        let mut case = self.case(threat);
        if case.notes >= MAX_OF_THREAT {
            let text = format!(
                "This threat has {MAX_OF_THREAT} notes, which is as many as it may have; delete some."
            );
            return Err(DeskError::Full(text));
        }
        let id = {
            let mut connection = self.file.connection();
            let transaction = connection.transaction()?;
            let all: u32 =
                transaction.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?;
            if all >= MAX_NOTES {
                let text = format!(
                    "There are {MAX_NOTES} notes, which is as many as are kept; delete some."
                );
                return Err(DeskError::Full(text));
            }
            transaction.execute(
                "INSERT INTO note (threat, author, at, text) VALUES (?1, ?2, ?3, ?4)",
                params![threat.cast_signed(), who.name, who.at.micros(), text],
            )?;
            let id = transaction.last_insert_rowid();
            record(
                &transaction,
                who,
                "note.add",
                &id_text(threat),
                None,
                Some(text),
            )?;
            transaction.commit()?;
            id
        };
        case.notes += 1;
        self.put([(threat, case)]);
        Ok(Note {
            id,
            threat: id_text(threat),
            author: who.name.clone(),
            at: who.at.to_rfc3339(),
            edited: None,
            text: text.to_owned(),
        })
    }

    /// Changes the text of a note.
    pub(crate) fn edit_note(&self, id: i64, text: &str, who: &Who) -> Result<(), DeskError> {
        let text = checked(text)?;
        let _writer = lock(&self.writer);
        let old = {
            let mut connection = self.file.connection();
            let transaction = connection.transaction()?;
            let old = own(&transaction, id, who)?;
            transaction.execute(
                "UPDATE note SET text = ?2, edited = ?3 WHERE id = ?1",
                params![id, text, who.at.micros()],
            )?;
            let object = id_text(old.threat);
            record(
                &transaction,
                who,
                "note.edit",
                &object,
                Some(&old.text),
                Some(text),
            )?;
            transaction.commit()?;
            old
        };
        self.put([(old.threat, self.case(old.threat))]);
        Ok(())
    }

    /// Deletes a note.
    pub(crate) fn delete_note(&self, id: i64, who: &Who) -> Result<(), DeskError> {
        let _writer = lock(&self.writer);
        let old = {
            let mut connection = self.file.connection();
            let transaction = connection.transaction()?;
            let old = own(&transaction, id, who)?;
            transaction.execute("DELETE FROM note WHERE id = ?1", [id])?;
            let object = id_text(old.threat);
            record(
                &transaction,
                who,
                "note.delete",
                &object,
                Some(&old.text),
                None,
            )?;
            transaction.commit()?;
            old
        };
        let mut case = self.case(old.threat);
        case.notes = case.notes.saturating_sub(1);
        self.put([(old.threat, case)]);
        Ok(())
    }

    fn case(&self, threat: u64) -> Case {
        self.cases().get(threat).cloned().unwrap_or_default()
    }
}

struct Known {
    threat: u64,
    author: String,
    text: String,
}

fn find(connection: &Connection, id: i64) -> Result<Known, DeskError> {
    let mut query =
        connection.prepare_cached("SELECT threat, author, text FROM note WHERE id = ?1")?;
    let known = query.query_row([id], |row| {
        Ok(Known {
            threat: row.get::<_, i64>(0)?.cast_unsigned(),
            author: row.get(1)?,
            text: row.get(2)?,
        })
    });
    known.optional()?.ok_or(DeskError::Missing)
}

/// The note, if `who` may change it.
fn own(connection: &Connection, id: i64, who: &Who) -> Result<Known, DeskError> {
    let known = find(connection, id)?;
    if known.author == who.name || who.admin {
        Ok(known)
    } else {
        Err(DeskError::Foreign)
    }
}

fn checked(text: &str) -> Result<&str, DeskError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NOTE_CHARS {
        let text = format!("A note has 1 to {NOTE_CHARS} characters.");
        return Err(DeskError::Invalid(text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{audit_of, desk, who};
    use super::*;

    #[test]
    fn notes_are_a_thread_that_their_authors_may_change() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let first = desk
            .add_note(7, " <b>odd</b>\nhost ", &who("ann", 1))
            .unwrap();
        desk.add_note(7, "known", &who("bob", 2)).unwrap();
        desk.add_note(8, "other", &who("bob", 3)).unwrap();
        assert_eq!(first.text, "<b>odd</b>\nhost");
        assert_eq!(desk.cases().get(7).unwrap().notes, 2);
        let foreign = desk.edit_note(first.id, "x", &who("bob", 4)).unwrap_err();
        assert!(matches!(foreign, DeskError::Foreign));
        desk.edit_note(first.id, "odd host", &who("ann", 5))
            .unwrap();
        let admin = Who {
            admin: true,
            ..who("root", 6)
        };
        desk.delete_note(desk.notes(8).unwrap()[0].id, &admin)
            .unwrap();
        assert!(desk.cases().get(8).is_none(), "nothing is left to keep");
        let thread = desk.notes(7).unwrap();
        let told: Vec<_> = thread
            .iter()
            .map(|note| (&*note.author, &*note.text, note.edited.is_some()))
            .collect();
        assert_eq!(told, [("ann", "odd host", true), ("bob", "known", false)]);
        let missing = desk.delete_note(99, &admin).unwrap_err();
        assert!(matches!(missing, DeskError::Missing));
        let actions: Vec<String> = audit_of(&desk)
            .into_iter()
            .map(|entry| entry.action)
            .collect();
        assert_eq!(
            actions,
            [
                "note.delete",
                "note.edit",
                "note.add",
                "note.add",
                "note.add"
            ]
        );
    }

    #[test]
    fn notes_are_found_by_their_text_and_counted_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        {
            let desk = desk(dir.path());
            desk.add_note(7, "Lateral movement", &who("ann", 1))
                .unwrap();
            desk.add_note(u64::MAX, "benign", &who("ann", 1)).unwrap();
        }
        let desk = desk(dir.path());
        assert_eq!(desk.cases().get(u64::MAX).unwrap().notes, 1);
        let found = desk.noted(|text| text.contains("Lateral")).unwrap();
        assert_eq!(found, HashSet::from([7]));
    }

    #[test]
    fn too_much_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        for text in ["", " \n ", &"x".repeat(NOTE_CHARS + 1)] {
            let error = desk.add_note(1, text, &who("ann", 1)).unwrap_err();
            assert!(matches!(error, DeskError::Invalid(_)));
        }
        for n in 0..MAX_OF_THREAT {
            desk.add_note(1, "x", &who("ann", n.into())).unwrap();
        }
        let full = desk.add_note(1, "x", &who("ann", 1)).unwrap_err();
        assert!(matches!(full, DeskError::Full(_)));
        let fill = format!(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {})
             INSERT INTO note (threat, author, at, text) SELECT 2, 'a', 0, 't' FROM n",
            MAX_NOTES - MAX_OF_THREAT
        );
        desk.file.connection().execute(&fill, []).unwrap();
        let full = desk.add_note(3, "x", &who("ann", 1)).unwrap_err();
        assert!(matches!(full, DeskError::Full(_)));
    }
}
