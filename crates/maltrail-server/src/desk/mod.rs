//! What people say about threats: status, assignee, tags, notes, hidden threats; their saved views and the
//! names they give addresses.
//!
//! Kept in the state file, because no day file can give it back; cases are in memory as well, since every
//! query looks at them. A threat is named by its 64-bit id, which is the same on every day, so a decision
//! holds for all days. Each change is in the audit by the same transaction.
//!
//! Bounds: [`MAX_CASES`], [`notes::MAX_NOTES`] and [`notes::MAX_OF_THREAT`], [`views::MAX_OF_USER`],
//! [`aliases::MAX_ALIASES`]. What is beyond is refused with the reason; nothing is thrown away by itself.

pub(crate) mod aliases;
mod case;
pub(crate) mod notes;
pub(crate) mod views;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use maltrail_core::time::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::watch;

pub(crate) use case::{Case, Cases, MAX_TAGS, Status, tag};

use crate::audit::{self, Change};
use crate::auth::state_file::StateFile;
use crate::query::ast::{Expr, Field, Pattern};
use crate::query::filter::TextTest;
use crate::store::lock;

/// Threats that somebody may have decided about.
pub(crate) const MAX_CASES: usize = 200_000;
/// Threats of one edit.
pub(crate) const MAX_EDIT: usize = 10_000;
/// Longest reason in characters.
const REASON_CHARS: usize = 500;

/// Created by [`StateFile::open`].
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS threat_case (threat INTEGER PRIMARY KEY, status TEXT NOT NULL, decided INTEGER NOT NULL,
  assignee TEXT NOT NULL, reason TEXT NOT NULL, tags TEXT NOT NULL, hidden INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY AUTOINCREMENT, threat INTEGER NOT NULL, author TEXT NOT NULL,
  at INTEGER NOT NULL, edited INTEGER, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS note_threat ON note (threat);
CREATE TABLE IF NOT EXISTS view (id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, name TEXT NOT NULL,
  shared INTEGER NOT NULL, first INTEGER NOT NULL, query TEXT NOT NULL, UNIQUE (owner, name));
CREATE TABLE IF NOT EXISTS alias (address TEXT PRIMARY KEY, label TEXT NOT NULL) WITHOUT ROWID;
";

/// Who makes a change.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) at: Timestamp,
    /// May change what others wrote.
    pub(crate) admin: bool,
}

/// Why a change is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// Says what is wrong with what was sent.
    #[error("{0}")]
    Invalid(String),
    /// Says what is full and what to remove.
    #[error("{0}")]
    Full(String),
    #[error("There is nothing of that number.")]
    Missing,
    #[error("Only its author or an administrator may change this.")]
    Foreign,
    #[error(transparent)]
    File(#[from] rusqlite::Error),
}

/// A change to one or many cases. Absent parts stay as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    pub(crate) status: Option<Status>,
    pub(crate) assignee: Option<String>,
    pub(crate) reason: Option<String>,
    /// Replaces all tags.
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) add_tags: Vec<String>,
    pub(crate) remove_tags: Vec<String>,
    pub(crate) hidden: Option<bool>,
}

impl Edit {
    /// Brings tags into their one spelling and refuses what is too long.
    fn checked(mut self) -> Result<Self, DeskError> {
        let spell = |tags: Vec<String>| -> Result<Vec<String>, DeskError> {
            tags.iter()
                .map(|text| tag(text).map_err(DeskError::Invalid))
                .collect()
        };
        self.tags = self.tags.map(spell).transpose()?;
        self.add_tags = spell(self.add_tags)?;
        self.remove_tags = spell(self.remove_tags)?;
        let long = self
            .reason
            .as_ref()
            .is_some_and(|text| text.chars().count() > REASON_CHARS);
        if long {
            let text = format!("`reason` has at most {REASON_CHARS} characters; write a note.");
            return Err(DeskError::Invalid(text));
        }
        Ok(self)
    }

    fn apply(&self, old: &Case, at: Timestamp) -> Result<Case, DeskError> {
        let mut case = old.clone();
        if let Some(status) = self.status {
            // Also without a change: deciding again puts a reopened threat to rest again.
            (case.status, case.decided) = (status, at);
        }
        if let Some(assignee) = &self.assignee {
            case.assignee.clone_from(assignee);
        }
        if let Some(reason) = &self.reason {
            case.reason = reason.trim().to_owned();
        }
        if let Some(tags) = &self.tags {
            case.tags.clone_from(tags);
        }
        case.tags.extend(self.add_tags.iter().cloned());
        case.tags.retain(|tag| !self.remove_tags.contains(tag));
        case.tags.sort_unstable();
        case.tags.dedup();
        if case.tags.len() > MAX_TAGS {
            let text = format!("A threat has at most {MAX_TAGS} tags; remove some first.");
            return Err(DeskError::Invalid(text));
        }
        if let Some(hidden) = self.hidden {
            case.hidden = hidden;
        }
        Ok(case)
    }
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    file: Arc<StateFile>,
    /// Held by a change from its reading to its end. Taken before every other lock here.
    writer: Mutex<()>,
    /// Readers hold it for one pass over a day; they may ask the file meanwhile, writers never
    /// hold the file while they wait for it.
    cases: RwLock<Cases>,
    changes: watch::Sender<u64>,
    /// `IP_ALIASES`.
    configured: aliases::Configured,
}

impl Desk {
    /// Reads all cases. `reopen`: `REOPEN_RESOLVED`.
    pub(crate) fn open(
        file: Arc<StateFile>,
        reopen: bool,
        configured: &[(String, String)],
    ) -> Result<Self, DeskError> {
        let all = read_cases(&file.connection())?;
        Ok(Self {
            file,
            writer: Mutex::default(),
            cases: RwLock::new(Cases::new(all, reopen)),
            changes: watch::Sender::new(0),
            configured: aliases::Configured::new(configured),
        })
    }

    /// The cases as they stand.
    pub(crate) fn cases(&self) -> RwLockReadGuard<'_, Cases> {
        self.cases.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with each change to a case.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Applies an edit to threats; returns how many it changed. All or none.
    pub(crate) fn edit(&self, threats: &[u64], edit: Edit, who: &Who) -> Result<usize, DeskError> {
        let edit = edit.checked()?;
        if threats.len() > MAX_EDIT {
            let text = format!("At most {MAX_EDIT} threats are changed at once; select fewer.");
            return Err(DeskError::Invalid(text));
        }
        let _writer = lock(&self.writer);
        let mut changed: Vec<(u64, Case, Case)> = Vec::new();
        {
            let cases = self.cases();
            let mut new = 0;
            for &threat in threats {
                let old = cases.get(threat).cloned().unwrap_or_default();
                let case = edit.apply(&old, who.at)?;
                if case != old && !(case.is_blank() && old.is_blank()) {
                    new += usize::from(cases.get(threat).is_none());
                    changed.push((threat, old, case));
                }
            }
            if cases.len() + new > MAX_CASES {
                let text = format!(
                    "{MAX_CASES} threats have been worked on, which is as many as are kept; set some back to new."
                );
                return Err(DeskError::Full(text));
            }
        }
        {
            let mut connection = self.file.connection();
            let transaction = connection.transaction()?;
            for (threat, old, case) in &changed {
                write_case(&transaction, *threat, case)?;
                record_case(&transaction, *threat, old, case, who)?;
            }
            transaction.commit()?;
        }
        let count = changed.len();
        self.put(changed.into_iter().map(|(threat, _, case)| (threat, case)));
        Ok(count)
    }

    /// Makes changed cases visible. Needs the writer's lock.
    fn put(&self, changed: impl IntoIterator<Item = (u64, Case)>) {
        let mut cases = self.cases.write().unwrap_or_else(PoisonError::into_inner);
        cases.put(changed);
        let generation = cases.generation;
        drop(cases);
        self.changes.send_replace(generation);
    }

    /// Looks up which threats have the notes that a query asks for. Do it before a pass over a day.
    pub(crate) fn resolve(&self, expr: &mut Expr) -> Result<(), DeskError> {
        let mut failed = None;
        expr.values_mut(Field::Note, &mut |pattern| {
            if matches!(pattern, Pattern::Threats(_)) {
                return;
            }
            let found = {
                let mut test = TextTest::new(pattern);
                self.noted(|text| test.matches(text))
            };
            match found {
                Ok(threats) => *pattern = Pattern::Threats(Arc::new(threats)),
                Err(error) => failed = Some(error),
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Tags in use and on how many threats, most used first.
    pub(crate) fn tags(&self) -> Vec<(String, usize)> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (_, case) in self.cases().iter() {
            for tag in &case.tags {
                *counts.entry(tag.clone()).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
        counts
    }
}

/// The id as audit and API write it.
pub(crate) fn id_text(threat: u64) -> String {
    format!("{threat:016x}")
}

fn read_cases(connection: &Connection) -> rusqlite::Result<HashMap<u64, Case>> {
    let mut all = HashMap::new();
    let mut query = connection.prepare(
        "SELECT threat, status, decided, assignee, reason, tags, hidden FROM threat_case",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let tags: String = row.get(5)?;
        let case = Case {
            status: Status::named(&row.get::<_, String>(1)?).unwrap_or_default(),
            decided: Timestamp::from_micros(row.get(2)?),
            assignee: row.get(3)?,
            reason: row.get(4)?,
            tags: tags
                .split(',')
                .filter(|tag| !tag.is_empty())
                .map(str::to_owned)
                .collect(),
            hidden: row.get(6)?,
            notes: 0,
        };
        all.insert(row.get::<_, i64>(0)?.cast_unsigned(), case);
    }
    let mut query = connection.prepare("SELECT threat, count(*) FROM note GROUP BY threat")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let case: &mut Case = all
            .entry(row.get::<_, i64>(0)?.cast_unsigned())
            .or_default();
        case.notes = row.get(1)?;
    }
    Ok(all)
}

fn write_case(connection: &Connection, threat: u64, case: &Case) -> rusqlite::Result<()> {
    if case.is_blank() {
        connection
            .prepare_cached("DELETE FROM threat_case WHERE threat = ?1")?
            .execute([threat.cast_signed()])?;
        return Ok(());
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO threat_case VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            threat.cast_signed(),
            case.status.as_str(),
            case.decided.micros(),
            case.assignee,
            case.reason,
            case.tags.join(","),
            case.hidden
        ])?;
    Ok(())
}

/// One entry for each part that changed.
fn record_case(
    connection: &Connection,
    threat: u64,
    old: &Case,
    new: &Case,
    who: &Who,
) -> rusqlite::Result<()> {
    let hidden = |case: &Case| if case.hidden { "hidden" } else { "shown" }.to_owned();
    let decided = old.decided != new.decided;
    let parts: [(&'static str, bool, String, String); 5] = [
        (
            "triage.status",
            decided,
            old.status.as_str().to_owned(),
            new.status.as_str().to_owned(),
        ),
        (
            "triage.assignee",
            old.assignee != new.assignee,
            old.assignee.clone(),
            new.assignee.clone(),
        ),
        (
            "triage.reason",
            old.reason != new.reason,
            old.reason.clone(),
            new.reason.clone(),
        ),
        (
            "triage.tags",
            old.tags != new.tags,
            old.tags.join(","),
            new.tags.join(","),
        ),
        (
            "triage.hidden",
            old.hidden != new.hidden,
            hidden(old),
            hidden(new),
        ),
    ];
    for (action, _, from, to) in parts.iter().filter(|part| part.1) {
        record(
            connection,
            who,
            action,
            &id_text(threat),
            Some(from),
            Some(to),
        )?;
    }
    Ok(())
}

fn record(
    connection: &Connection,
    who: &Who,
    action: &'static str,
    object: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> rusqlite::Result<()> {
    let change = Change {
        actor: &who.name,
        address: &who.address.to_string(),
        action,
        object,
        from,
        to,
        at: who.at,
    };
    audit::record(connection, &change)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audit::{Entry, Wanted};

    pub(crate) fn desk(dir: &std::path::Path) -> Desk {
        let file = StateFile::open(&dir.join("state.sqlite")).unwrap();
        Desk::open(Arc::new(file), true, &[]).unwrap()
    }

    pub(crate) fn who(name: &str, at: i64) -> Who {
        Who {
            name: name.into(),
            address: [10, 0, 0, 1].into(),
            at: Timestamp::from_micros(at),
            admin: false,
        }
    }

    pub(crate) fn audit_of(desk: &Desk) -> Vec<Entry> {
        let wanted = Wanted {
            limit: 100,
            ..Wanted::default()
        };
        audit::entries(&desk.file.connection(), &wanted).unwrap()
    }

    fn resolve() -> Edit {
        Edit {
            status: Some(Status::Resolved),
            ..Edit::default()
        }
    }

    #[test]
    fn an_edit_changes_what_it_names_is_kept_and_recorded() {
        let dir = tempfile::tempdir().unwrap();
        {
            let desk = desk(dir.path());
            let edit = Edit {
                status: Some(Status::Investigating),
                assignee: Some("bob".into()),
                add_tags: vec!["APT".into(), "b".into(), "apt".into()],
                ..Edit::default()
            };
            assert_eq!(desk.edit(&[1, u64::MAX], edit, &who("ann", 5)).unwrap(), 2);
            let second = Edit {
                remove_tags: vec!["B".into()],
                reason: Some(" seen before ".into()),
                hidden: Some(true),
                ..Edit::default()
            };
            assert_eq!(desk.edit(&[u64::MAX], second, &who("bob", 6)).unwrap(), 1);
            assert_eq!(desk.tags(), [("apt".into(), 2), ("b".into(), 1)]);
        }
        let desk = desk(dir.path());
        let case = desk.cases().get(u64::MAX).cloned().unwrap();
        let wanted = Case {
            status: Status::Investigating,
            decided: Timestamp::from_micros(5),
            assignee: "bob".into(),
            reason: "seen before".into(),
            tags: vec!["apt".into()],
            hidden: true,
            notes: 0,
        };
        assert_eq!(case, wanted);
        let audit = audit_of(&desk);
        let told: Vec<_> = audit
            .iter()
            .take(3)
            .map(|entry| {
                (
                    &*entry.action,
                    entry.from.as_deref(),
                    entry.to.as_deref(),
                    &*entry.object,
                )
            })
            .collect();
        let object = "ffffffffffffffff";
        assert_eq!(
            told,
            [
                ("triage.hidden", Some("shown"), Some("hidden"), object),
                ("triage.tags", Some("apt,b"), Some("apt"), object),
                ("triage.reason", Some(""), Some("seen before"), object),
            ]
        );
        assert_eq!(audit.len(), 9);
    }

    #[test]
    fn an_edit_that_says_nothing_new_is_not_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let nothing = Edit {
            hidden: Some(false),
            remove_tags: vec!["x".into()],
            status: Some(Status::New),
            ..Edit::default()
        };
        assert_eq!(desk.edit(&[1], nothing, &who("ann", 5)).unwrap(), 0);
        assert!(audit_of(&desk).is_empty() && desk.cases().len() == 0);
    }

    #[test]
    fn setting_back_to_new_forgets_the_case() {
        let dir = tempfile::tempdir().unwrap();
        {
            let desk = desk(dir.path());
            desk.edit(&[1], resolve(), &who("ann", 5)).unwrap();
            let back = Edit {
                status: Some(Status::New),
                ..Edit::default()
            };
            assert_eq!(desk.edit(&[1], back, &who("ann", 6)).unwrap(), 1);
        }
        assert_eq!(desk(dir.path()).cases().len(), 0);
    }

    #[test]
    fn a_wrong_part_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let tags: Vec<String> = (0..=MAX_TAGS).map(|n| format!("t{n}")).collect();
        let many = Edit {
            add_tags: tags,
            ..resolve()
        };
        let bad = Edit {
            add_tags: vec!["a,b".into()],
            ..resolve()
        };
        let long = Edit {
            reason: Some("x".repeat(REASON_CHARS + 1)),
            ..resolve()
        };
        for edit in [many, bad, long] {
            let error = desk.edit(&[1], edit, &who("ann", 1)).unwrap_err();
            assert!(matches!(error, DeskError::Invalid(_)), "{error}");
        }
        let threats: Vec<u64> = (0..=MAX_EDIT as u64).collect();
        assert!(desk.edit(&threats, resolve(), &who("ann", 1)).is_err());
        assert!(audit_of(&desk).is_empty() && desk.cases().len() == 0);
    }

    #[test]
    fn a_full_desk_refuses_new_cases_and_still_changes_old_ones() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let case = Case {
            status: Status::Resolved,
            ..Case::default()
        };
        desk.put((0..MAX_CASES as u64).map(|threat| (threat, case.clone())));
        let error = desk
            .edit(&[MAX_CASES as u64], resolve(), &who("ann", 1))
            .unwrap_err();
        assert!(matches!(error, DeskError::Full(_)), "{error}");
        assert_eq!(desk.edit(&[5], resolve(), &who("ann", 9)).unwrap(), 1);
    }
}
