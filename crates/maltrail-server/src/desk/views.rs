//! Saved views: a name for a state of the page, private or shared, one of them the first thing its owner sees.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Desk, DeskError, Who, record};
use crate::store::lock;

/// Views of one user.
pub(crate) const MAX_OF_USER: u32 = 100;
/// Views in all.
const MAX_VIEWS: u32 = 5_000;
/// Longest name in characters.
const NAME_CHARS: usize = 60;
/// Longest query string in bytes.
const QUERY_BYTES: usize = 4096;

/// A view as somebody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct View {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) owner: String,
    /// Others see it too.
    pub(crate) shared: bool,
    /// What its owner sees first.
    pub(crate) default: bool,
    /// The page's query string, without `?`.
    pub(crate) query: String,
}

/// A new view, or all of a changed one.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewView {
    pub(crate) name: String,
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) shared: bool,
    #[serde(default)]
    pub(crate) default: bool,
}

impl Desk {
    /// A user's own views and those that others share, by name.
    pub(crate) fn views(&self, user: &str) -> Result<Vec<View>, DeskError> {
        let connection = self.file.connection();
        let mut query = connection.prepare_cached(
            "SELECT id, name, owner, shared, first, query FROM view WHERE owner = ?1 OR shared
             ORDER BY owner <> ?1, lower(name), id",
        )?;
        let views = query.query_map([user], |row| {
            Ok(View {
                id: row.get(0)?,
                name: row.get(1)?,
                owner: row.get(2)?,
                shared: row.get(3)?,
                default: row.get(4)?,
                query: row.get(5)?,
            })
        })?;
        let mut views: Vec<View> = views.collect::<Result<_, _>>()?;
        for view in views.iter_mut().filter(|view| view.owner != user) {
            view.default = false;
        }
        Ok(views)
    }

    /// Saves a new view; returns its number.
    pub(crate) fn add_view(&self, view: &NewView, who: &Who) -> Result<i64, DeskError> {
        let name = checked(view)?;
        let _writer = lock(&self.writer);
        let mut connection = self.file.connection();
        let transaction = connection.transaction()?;
        let (own, all): (u32, u32) = transaction.query_row(
            "SELECT count(*) FILTER (WHERE owner = ?1), count(*) FROM view",
            [&who.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if own >= MAX_OF_USER || all >= MAX_VIEWS {
            let text = format!(
                "A user has at most {MAX_OF_USER} views, all together {MAX_VIEWS}; delete some."
            );
            return Err(DeskError::Full(text));
        }
        is_free(&transaction, &who.name, name, None)?;
        transaction.execute(
            "INSERT INTO view (owner, name, shared, first, query) VALUES (?1, ?2, ?3, 0, ?4)",
            params![who.name, name, view.shared, view.query],
        )?;
        let id = transaction.last_insert_rowid();
        set_default(&transaction, &who.name, id, view.default)?;
        record(&transaction, who, "view.add", name, None, Some(&view.query))?;
        transaction.commit()?;
        Ok(id)
    }

    /// Changes a view of one's own; an administrator may change shared ones of others.
    pub(crate) fn edit_view(&self, id: i64, view: &NewView, who: &Who) -> Result<(), DeskError> {
        let name = checked(view)?;
        let _writer = lock(&self.writer);
        let mut connection = self.file.connection();
        let transaction = connection.transaction()?;
        let old = own(&transaction, id, who)?;
        is_free(&transaction, &old.owner, name, Some(id))?;
        transaction.execute(
            "UPDATE view SET name = ?2, shared = ?3, query = ?4 WHERE id = ?1",
            params![id, name, view.shared, view.query],
        )?;
        if old.owner == who.name {
            set_default(&transaction, &who.name, id, view.default)?;
        }
        record(
            &transaction,
            who,
            "view.edit",
            name,
            Some(&old.query),
            Some(&view.query),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Deletes a view.
    pub(crate) fn delete_view(&self, id: i64, who: &Who) -> Result<(), DeskError> {
        let _writer = lock(&self.writer);
        let mut connection = self.file.connection();
        let transaction = connection.transaction()?;
        let old = own(&transaction, id, who)?;
        transaction.execute("DELETE FROM view WHERE id = ?1", [id])?;
        record(
            &transaction,
            who,
            "view.delete",
            &old.name,
            Some(&old.query),
            None,
        )?;
        transaction.commit()?;
        Ok(())
    }
}

struct Known {
    owner: String,
    name: String,
    query: String,
}

/// The view, if `who` may change it. A private view of another is not there.
fn own(connection: &Connection, id: i64, who: &Who) -> Result<Known, DeskError> {
    let mut query =
        connection.prepare_cached("SELECT owner, name, query, shared FROM view WHERE id = ?1")?;
    let found = query.query_row([id], |row| {
        let known = Known {
            owner: row.get(0)?,
            name: row.get(1)?,
            query: row.get(2)?,
        };
        Ok((known, row.get::<_, bool>(3)?))
    });
    match found.optional()? {
        Some((known, _)) if known.owner == who.name => Ok(known),
        Some((known, true)) if who.admin => Ok(known),
        Some((_, true)) => Err(DeskError::Foreign),
        _ => Err(DeskError::Missing),
    }
}

fn is_free(
    connection: &Connection,
    owner: &str,
    name: &str,
    but: Option<i64>,
) -> Result<(), DeskError> {
    let taken: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM view WHERE owner = ?1 AND name = ?2 AND id IS NOT ?3)",
        params![owner, name, but],
        |row| row.get(0),
    )?;
    if taken {
        let text =
            format!("There is a view `{name}` already; choose another name or change that one.");
        return Err(DeskError::Invalid(text));
    }
    Ok(())
}

fn set_default(
    connection: &Connection,
    owner: &str,
    id: i64,
    default: bool,
) -> rusqlite::Result<()> {
    let update = if default {
        "UPDATE view SET first = (id = ?2) WHERE owner = ?1"
    } else {
        "UPDATE view SET first = 0 WHERE owner = ?1 AND id = ?2"
    };
    connection.execute(update, params![owner, id])?;
    Ok(())
}

fn checked(view: &NewView) -> Result<&str, DeskError> {
    let name = view.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.contains(char::is_control) {
        let text = format!("A view's name has 1 to {NAME_CHARS} characters.");
        return Err(DeskError::Invalid(text));
    }
    if view.query.len() > QUERY_BYTES || view.query.contains(char::is_control) {
        let text = format!("A view's query string has at most {QUERY_BYTES} bytes.");
        return Err(DeskError::Invalid(text));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{desk, who};
    use super::*;

    fn view(name: &str, shared: bool, default: bool) -> NewView {
        NewView {
            name: name.into(),
            query: "q=sev%3Ahigh".into(),
            shared,
            default,
        }
    }

    fn names(desk: &Desk, user: &str) -> Vec<(String, bool)> {
        let views = desk.views(user).unwrap();
        views
            .into_iter()
            .map(|view| (view.name, view.default))
            .collect()
    }

    #[test]
    fn a_user_sees_own_and_shared_views_with_one_default() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let ann = who("ann", 1);
        let bob = who("bob", 1);
        let first = desk.add_view(&view("mine", false, true), &ann).unwrap();
        desk.add_view(&view("all", true, true), &ann).unwrap();
        let of_bob = desk.add_view(&view("mine", false, true), &bob).unwrap();
        assert_eq!(
            names(&desk, "ann"),
            [("all".into(), true), ("mine".into(), false)]
        );
        assert_eq!(
            names(&desk, "bob"),
            [("mine".into(), true), ("all".into(), false)],
            "another's default is none of bob's"
        );
        let taken = desk.edit_view(first, &view("all", false, false), &ann);
        assert!(matches!(taken, Err(DeskError::Invalid(_))));
        desk.edit_view(first, &view("my own", false, true), &ann)
            .unwrap();
        assert_eq!(
            names(&desk, "ann"),
            [("all".into(), false), ("my own".into(), true)]
        );
        assert!(matches!(
            desk.delete_view(of_bob, &ann),
            Err(DeskError::Missing)
        ));
    }

    #[test]
    fn others_may_not_change_a_shared_view_but_administrators_may() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let id = desk
            .add_view(&view("all", true, false), &who("ann", 1))
            .unwrap();
        let foreign = desk.delete_view(id, &who("bob", 2));
        assert!(matches!(foreign, Err(DeskError::Foreign)));
        let admin = Who {
            admin: true,
            ..who("root", 3)
        };
        desk.edit_view(id, &view("ours", true, true), &admin)
            .unwrap();
        assert_eq!(names(&desk, "ann"), [("ours".into(), false)]);
        desk.delete_view(id, &admin).unwrap();
        assert!(desk.views("ann").unwrap().is_empty());
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let ann = who("ann", 1);
        for name in ["", " ", "a\nb", &"x".repeat(NAME_CHARS + 1)] {
            assert!(desk.add_view(&view(name, false, false), &ann).is_err());
        }
        let long = NewView {
            query: "x".repeat(QUERY_BYTES + 1),
            ..view("n", false, false)
        };
        assert!(desk.add_view(&long, &ann).is_err());
        for n in 0..MAX_OF_USER {
            desk.add_view(&view(&format!("v{n}"), false, false), &ann)
                .unwrap();
        }
        let full = desk.add_view(&view("more", false, false), &ann);
        assert!(matches!(full, Err(DeskError::Full(_))));
        assert!(
            desk.add_view(&view("more", false, false), &who("bob", 1))
                .is_ok()
        );
    }
}
