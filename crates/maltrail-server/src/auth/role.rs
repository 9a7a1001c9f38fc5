//! Roles: what an account may do beside reading.
//!
//! The number in `USERS` gives one (below 1000: admin, else viewer); the state file may hold another for a
//! name. That one counts only while the number stays on the same side of 1000, and never raises a
//! restricted account above analyst. There is always an admin left.

use maltrail_core::config::UserEntry;
use rusqlite::{Connection, OptionalExtension, params};

use super::state_file::StateError;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS role (name TEXT, restricted INTEGER, role TEXT NOT NULL,
  PRIMARY KEY (name, restricted)) WITHOUT ROWID;
";

/// Coarse rights; a later one may all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Reads.
    Viewer,
    /// Also writes triage, notes and tags.
    Analyst,
    /// Also manages accounts, and reads the audit log.
    Admin,
}

impl Role {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        let all = [Self::Viewer, Self::Analyst, Self::Admin];
        all.into_iter().find(|role| role.word() == word)
    }

    /// What `USERS` says.
    const fn of_entry(entry: &UserEntry) -> Self {
        if entry.is_restricted() {
            Self::Viewer
        } else {
            Self::Admin
        }
    }

    fn fits(self, entry: &UserEntry) -> bool {
        !entry.is_restricted() || self < Self::Admin
    }
}

/// The role in force. When the state file cannot be read it is the least one.
pub(super) fn role_of(connection: &Connection, entry: &UserEntry) -> Role {
    let stored = connection
        .prepare_cached("SELECT role FROM role WHERE name = ?1 AND restricted = ?2")
        .and_then(|mut query| {
            let key = params![entry.name, entry.is_restricted()];
            query
                .query_row(key, |row| row.get::<_, String>(0))
                .optional()
        });
    match stored {
        Ok(word) => word
            .and_then(|word| Role::parse(&word))
            .filter(|role| role.fits(entry))
            .unwrap_or_else(|| Role::of_entry(entry)),
        Err(error) => {
            tracing::error!(%error, "accounts: cannot read roles from the state file");
            Role::Viewer
        }
    }
}

/// Gives the accounts of a name another role; returns the one they had. Belongs into a transaction.
pub(super) fn change_role(
    connection: &Connection,
    entries: &[UserEntry],
    name: &str,
    role: Role,
) -> Result<Role, RoleError> {
    let (ours, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.name == name);
    let first = *ours.first().ok_or(RoleError::Unknown)?;
    if !ours.iter().all(|entry| role.fits(entry)) {
        return Err(RoleError::Restricted);
    }
    let before = role_of(connection, first);
    let is_admin = |entry: &UserEntry| role_of(connection, entry) == Role::Admin;
    let loses = role < Role::Admin && ours.iter().any(|entry| is_admin(entry));
    if loses && !others.iter().any(|entry| is_admin(entry)) {
        return Err(RoleError::LastAdmin);
    }
    for entry in ours {
        let key = params![name, entry.is_restricted()];
        connection.execute("DELETE FROM role WHERE name = ?1 AND restricted = ?2", key)?;
        if role != Role::of_entry(entry) {
            connection.execute(
                "INSERT INTO role VALUES (?1, ?2, ?3)",
                params![name, entry.is_restricted(), role.word()],
            )?;
        }
    }
    Ok(before)
}

/// Why a role stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    #[error("USERS has no account of this name.")]
    Unknown,
    #[error("An account with a number of 1000 or more can be viewer or analyst, not admin.")]
    Restricted,
    #[error("This is the last admin; make another account admin first.")]
    LastAdmin,
    #[error("the state file cannot be used: {0}")]
    State(#[from] StateError),
}

impl From<rusqlite::Error> for RoleError {
    fn from(error: rusqlite::Error) -> Self {
        Self::State(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, uid: u32) -> UserEntry {
        UserEntry::parse(&format!("{name}:{}:{uid}:", "0".repeat(64))).unwrap()
    }

    fn file() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn the_number_bounds_the_role() {
        let file = file();
        let users = [entry("a", 0), entry("b", 0), entry("r", 1000)];
        let change = |name: &str, role| change_role(&file, &users, name, role);
        assert_eq!(role_of(&file, &users[0]), Role::Admin);
        assert_eq!(role_of(&file, &users[2]), Role::Viewer);
        assert_eq!(change("r", Role::Analyst).unwrap(), Role::Viewer);
        assert_eq!(role_of(&file, &users[2]), Role::Analyst);
        assert!(matches!(
            change("r", Role::Admin),
            Err(RoleError::Restricted)
        ));
        assert_eq!(change("a", Role::Viewer).unwrap(), Role::Admin);
        assert_eq!(role_of(&file, &users[0]), Role::Viewer);
        assert!(matches!(change("x", Role::Viewer), Err(RoleError::Unknown)));
        // Another number in USERS is another account.
        assert_eq!(role_of(&file, &entry("r", 0)), Role::Admin);
        assert_eq!(role_of(&file, &entry("a", 1000)), Role::Viewer);
    }

    #[test]
    fn an_admin_is_left() {
        let file = file();
        let users = [entry("a", 0), entry("b", 1), entry("r", 1000)];
        let change = |name: &str, role| change_role(&file, &users, name, role);
        change("a", Role::Analyst).unwrap();
        assert!(matches!(
            change("b", Role::Analyst),
            Err(RoleError::LastAdmin)
        ));
        assert_eq!(role_of(&file, &users[1]), Role::Admin);
        change("a", Role::Admin).unwrap();
        change("b", Role::Viewer).unwrap();
        assert!(matches!(
            change("a", Role::Viewer),
            Err(RoleError::LastAdmin)
        ));
        // One name with two entries is one person.
        let twice = [entry("a", 0), entry("a", 5)];
        assert!(matches!(
            change_role(&file, &twice, "a", Role::Viewer),
            Err(RoleError::LastAdmin)
        ));
    }
}
