//! From what is wanted, what is there and what was written before to the steps between. Nothing is changed here.
//!
//! A file that the manifest does not know with its present contents is never written over: the plan is refused, or, where
//! files may be edited, the present one is kept. The configuration is always kept.

use std::path::{Path, PathBuf};

use super::manifest::{Care, Digest, Entry, Manifest};
use super::step::{Found, Owner, Site, Step};

/// Something that an installation consists of.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Where.
    pub(crate) path: PathBuf,
    /// What.
    pub(crate) what: What,
}

/// What it is.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A folder; with `data`, what it holds is the user's.
    Folder { mode: u32, owner: Owner, data: bool },
    /// A file; without `body` it is not built yet.
    File {
        mode: u32,
        owner: Owner,
        care: Care,
        body: Option<Vec<u8>>,
    },
    /// A symbolic link to this.
    Link(PathBuf),
}

/// What is to be done with files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// In this order; empty when all is as wanted.
    pub(crate) steps: Vec<Step>,
    /// What a person shall know.
    pub(crate) notes: Vec<String>,
    /// Why this is not to be done at all.
    pub(crate) refused: Vec<String>,
    /// What the manifest says afterwards.
    pub(crate) manifest: Manifest,
}

/// Compares `items` with what is there. `list` is where the manifest goes.
///
/// # Errors
/// When something cannot be read.
pub(crate) fn plan(
    items: &[Item],
    list: &Path,
    site: &Site,
    old: &Manifest,
) -> anyhow::Result<Plan> {
    let mut planner = Planner {
        site,
        old,
        folders: Vec::new(),
        writes: Vec::new(),
        plan: Plan::default(),
    };
    planner.plan.manifest.user.clone_from(&old.user);
    for item in items {
        planner.parents(&item.path);
        match &item.what {
            What::Folder { mode, owner, data } => planner.folder(&item.path, *mode, *owner, *data),
            What::File { .. } => planner.file(item)?,
            What::Link(target) => planner.link(&item.path, target)?,
        }
    }
    planner.stale()?;
    Ok(planner.finish(list))
}

struct Planner<'a> {
    site: &'a Site,
    old: &'a Manifest,
    folders: Vec<Step>,
    writes: Vec<Step>,
    plan: Plan,
}

impl Planner<'_> {
    /// Folders on the way.
    fn parents(&mut self, path: &Path) {
        let mut missing: Vec<&Path> = path.ancestors().skip(1).collect();
        missing.reverse();
        for folder in missing {
            if folder != Path::new("/") {
                self.folder(folder, 0o755, Owner::Root, false);
            }
        }
    }

    fn folder(&mut self, path: &Path, mode: u32, owner: Owner, data: bool) {
        if self.plan.manifest.entries.contains_key(path) {
            return;
        }
        if self.site.has_folder(path) {
            self.keep(path);
            return;
        }
        if !matches!(self.site.look(path), Ok(Found::Nothing)) {
            self.refuse(path, "is no folder");
            return;
        }
        let path = path.to_owned();
        self.folders.push(Step::MakeFolder {
            path: path.clone(),
            mode,
            owner,
        });
        let entry = if data { Entry::Data } else { Entry::Folder };
        self.plan.manifest.entries.insert(path, entry);
    }

    fn file(&mut self, item: &Item) -> anyhow::Result<()> {
        let What::File {
            mode,
            owner,
            care,
            body,
        } = &item.what
        else {
            return Ok(());
        };
        let path = &item.path;
        let found = self.site.look(path)?;
        let wanted = body.as_deref().map(Digest::of);
        let known = self.old.entries.contains_key(path);
        let as_wanted = matches!(&found, Found::File(digest) if Some(*digest) == wanted);
        let as_written = matches!(&found, Found::File(digest) if self.old.wrote(path, *digest));
        let write = |replaces| Step::Write {
            path: path.clone(),
            mode: *mode,
            owner: *owner,
            body: body.clone(),
            replaces,
        };
        let entry = Entry::File {
            care: *care,
            digests: wanted.into_iter().collect(),
        };
        match (found, *care) {
            (Found::Nothing, _) => {
                self.writes.push(write(false));
                self.plan.manifest.entries.insert(path.clone(), entry);
            }
            // Equal by chance: it stays whose it is.
            _ if as_wanted && !known => {}
            _ if as_wanted => {
                self.plan.manifest.entries.insert(path.clone(), entry);
            }
            (_, Care::Config) => return self.beside(item),
            _ if as_written => {
                self.writes.push(write(true));
                self.plan.manifest.entries.insert(path.clone(), entry);
            }
            (_, Care::Editable) if known => {
                self.keep(path);
                self.note(format!(
                    "kept: {} was changed here; remove it and install again to have the new one",
                    path.display()
                ));
            }
            _ if known => self.refuse(path, "was changed since it was installed"),
            _ => self.refuse(path, "is not of this installation"),
        }
        Ok(())
    }

    /// The configuration stays; the shipped one goes beside it.
    fn beside(&mut self, item: &Item) -> anyhow::Result<()> {
        let mut name = item.path.clone().into_os_string();
        name.push(".new");
        let mut shipped = item.clone();
        shipped.path = name.into();
        if let What::File { care, .. } = &mut shipped.what {
            *care = Care::Editable;
        }
        self.keep(&item.path);
        self.note(format!(
            "kept: {} is yours; the shipped one is beside it as {}",
            item.path.display(),
            shipped.path.display()
        ));
        self.file(&shipped)
    }

    fn link(&mut self, path: &Path, target: &Path) -> anyhow::Result<()> {
        let known = matches!(self.old.entries.get(path), Some(Entry::Link(_)));
        let step = |replaces| Step::Link {
            path: path.to_owned(),
            target: target.to_owned(),
            replaces,
        };
        match self.site.look(path)? {
            Found::Nothing => self.writes.push(step(false)),
            Found::Link(present) if present == target && known => {}
            Found::Link(present) if present == target => return Ok(()),
            Found::Link(present)
                if self.old.entries.get(path) == Some(&Entry::Link(present.clone())) =>
            {
                self.writes.push(step(true));
            }
            _ => {
                self.refuse(path, "is not of this installation");
                return Ok(());
            }
        }
        let entry = Entry::Link(target.to_owned());
        self.plan.manifest.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// What an earlier version wrote and this one does not.
    fn stale(&mut self) -> anyhow::Result<()> {
        for (path, entry) in &self.old.entries {
            if self.plan.manifest.entries.contains_key(path) {
                continue;
            }
            match (self.site.look(path)?, entry) {
                (Found::File(digest), Entry::File { .. }) if self.old.wrote(path, digest) => {
                    self.writes.push(Step::Remove(path.clone()));
                }
                (Found::Link(present), Entry::Link(target)) if present == *target => {
                    self.writes.push(Step::Remove(path.clone()));
                }
                (Found::Nothing, _) => {}
                (Found::Folder, _) => self.keep(path),
                _ => {
                    self.keep(path);
                    self.note(format!(
                        "kept: {} was changed here; this version does not need it",
                        path.display()
                    ));
                }
            }
        }
        Ok(())
    }

    fn finish(self, list: &Path) -> Plan {
        let mut plan = self.plan;
        // Before anything else but its own folder, so that an installation that is cut off knows what is its own.
        let (first, folders): (Vec<_>, Vec<_>) = self.folders.into_iter().partition(
            |step| matches!(step, Step::MakeFolder { path, .. } if list.starts_with(path)),
        );
        plan.steps = first;
        if !folders.is_empty() || !self.writes.is_empty() {
            plan.steps
                .push(Step::Record(self.old.joined(&plan.manifest)));
            plan.steps.extend(folders);
            plan.steps.extend(self.writes);
        }
        if !plan.steps.is_empty() || plan.manifest != *self.old {
            plan.steps.push(Step::Record(plan.manifest.clone()));
        }
        plan
    }

    fn keep(&mut self, path: &Path) {
        if let Some(entry) = self.old.entries.get(path) {
            let entries = &mut self.plan.manifest.entries;
            entries.insert(path.to_owned(), entry.clone());
        }
    }

    fn note(&mut self, text: String) {
        self.plan.notes.push(text);
    }

    fn refuse(&mut self, path: &Path, why: &str) {
        self.plan.refused.push(format!("{} {why}", path.display()));
    }
}
