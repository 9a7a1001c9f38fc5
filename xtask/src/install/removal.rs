//! From what was written and what is still there to the steps that remove it. Nothing is changed here.
//!
//! What is not as it was written stays, as do configuration and data, unless all is to be purged. What stays is listed in
//! the manifest that is left, so that a later installation or purge still knows it.

use std::path::{Path, PathBuf};

use super::manifest::{Care, Entry, Manifest};
use super::plan::Plan;
use super::step::{Found, Site, Step};

/// Compares what was written with what is there, in order to remove it.
///
/// # Errors
/// When something cannot be read.
pub(crate) fn removal(
    old: &Manifest,
    list: &Path,
    site: &Site,
    purge: bool,
) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    let mut folders = Vec::new();
    let left = &mut plan.manifest;
    for (path, entry) in &old.entries {
        let found = site.look(path)?;
        let (gone, step) = match (entry, &found) {
            (_, Found::Nothing) => continue,
            (Entry::Folder, _) => {
                folders.push(path);
                continue;
            }
            (Entry::Data, Found::Folder) => (purge, Step::RemoveTree(path.clone())),
            (Entry::File { care, .. }, Found::File(digest)) => {
                let as_written = *care != Care::Config && old.wrote(path, *digest);
                (as_written || purge, Step::Remove(path.clone()))
            }
            (Entry::Link(target), Found::Link(present)) => {
                (present == target, Step::Remove(path.clone()))
            }
            _ => (false, Step::Remove(path.clone())),
        };
        if gone {
            plan.steps.push(step);
        } else {
            let why = match entry {
                Entry::Data
                | Entry::File {
                    care: Care::Config, ..
                } if !purge => "--purge removes it",
                _ => "it was changed here",
            };
            plan.notes.push(format!("kept: {} ({why})", path.display()));
            left.entries.insert(path.clone(), entry.clone());
        }
    }
    match &old.user {
        Some(user) if purge => plan.steps.push(Step::RemoveUser(user.clone())),
        Some(user) => {
            plan.notes
                .push(format!("kept: the user {user} (--purge removes it)"));
            left.user = Some(user.clone());
        }
        None => {}
    }
    let rest: Vec<PathBuf> = left.entries.keys().cloned().collect();
    let something = !rest.is_empty() || left.user.is_some();
    let (needed, empty): (Vec<_>, Vec<_>) = folders.into_iter().partition(|folder| {
        rest.iter().any(|path| path.starts_with(folder)) || something && list.starts_with(folder)
    });
    for folder in needed {
        left.entries.insert(folder.clone(), Entry::Folder);
    }
    plan.steps.push(if something {
        Step::Record(left.clone())
    } else {
        Step::Forget
    });
    // A folder comes after what is in it.
    let folders = empty.into_iter().rev();
    plan.steps
        .extend(folders.map(|folder| Step::RemoveFolder(folder.clone())));
    Ok(plan)
}
