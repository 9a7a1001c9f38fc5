//! Doing the steps of a plan. A file is written beside its place and renamed; whoever runs the old program goes on with it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::layout::Layout;
use super::step::{Owner, Site, Step};
use super::system::{self, Account};

/// Where steps are done, and for whom.
pub(crate) struct Hands<'a> {
    pub(crate) site: &'a Site,
    pub(crate) layout: &'a Layout,
    /// Name of the services' user.
    pub(crate) user: &'a str,
}

impl Hands<'_> {
    /// Does them all.
    ///
    /// # Errors
    /// With the first step that fails; the message lists what was done and what was not.
    pub(crate) fn apply(&self, steps: &[Step]) -> anyhow::Result<()> {
        for (at, step) in steps.iter().enumerate() {
            if let Err(error) = self.step(step) {
                let list = |title: &str, steps: &[Step]| {
                    let lines: Vec<String> = steps
                        .iter()
                        .map(|step| format!("\n    {}", step.describe()))
                        .collect();
                    match lines.len() {
                        0 => format!("\n{title}: nothing"),
                        _ => format!("\n{title}:{}", lines.concat()),
                    }
                };
                bail!(
                    "failed: {}: {error:#}{}{}\nRun this again when the cause is removed: it goes on from here.",
                    step.describe(),
                    list("done", &steps[..at]),
                    list("not done", &steps[at..]),
                );
            }
        }
        Ok(())
    }

    fn step(&self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::MakeUser(name) => system::make_user(name)?,
            Step::RemoveUser(name) => system::remove_user(name)?,
            Step::MakeFolder { path, mode, owner } => {
                let place = self.site.place(path);
                fs::create_dir(&place)?;
                fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
                self.give(&place, *owner)?;
            }
            Step::Write {
                path,
                mode,
                owner,
                body,
                ..
            } => {
                let body = body.as_deref().context("it is not built")?;
                self.write(path, *mode, *owner, body)?;
            }
            Step::Link { path, target, .. } => self.link(path, target)?,
            Step::Remove(path) => fs::remove_file(self.site.place(path))?,
            Step::RemoveTree(path) => fs::remove_dir_all(self.site.place(path))?,
            Step::RemoveFolder(path) => remove_if_empty(&self.site.place(path))?,
            Step::Record(manifest) => self.write(
                &self.layout.manifest(),
                0o644,
                Owner::Root,
                manifest.text().as_bytes(),
            )?,
            Step::Forget => match fs::remove_file(self.site.place(&self.layout.manifest())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            },
            Step::Systemd(arguments) => crate::shell::program("systemctl", arguments).check()?,
        }
        Ok(())
    }

    fn write(&self, path: &Path, mode: u32, owner: Owner, body: &[u8]) -> anyhow::Result<()> {
        let place = self.site.place(path);
        let folder = place.parent().context("it has no folder")?;
        let mut file = tempfile::Builder::new()
            .prefix(".maltrail-")
            .tempfile_in(folder)?;
        file.write_all(body)?;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode))?;
        self.give(file.path(), owner)?;
        file.as_file().sync_all()?;
        file.persist(&place)?;
        Ok(())
    }

    fn link(&self, path: &Path, target: &Path) -> anyhow::Result<()> {
        let place = self.site.place(path);
        let folder = place.parent().context("it has no folder")?;
        // Made beside and renamed, so that there is no moment without a program of this name.
        let beside = tempfile::Builder::new()
            .prefix(".maltrail-")
            .tempdir_in(folder)?;
        let new = beside.path().join("link");
        symlink(target, &new)?;
        fs::rename(&new, &place)?;
        Ok(())
    }

    fn give(&self, place: &Path, owner: Owner) -> anyhow::Result<()> {
        if self.site.root.is_some() {
            return Ok(());
        }
        let account =
            || Account::find(self.user).with_context(|| format!("there is no user {}", self.user));
        let (uid, gid) = match owner {
            Owner::Root => (0, 0),
            Owner::Readers => (0, account()?.gid),
            Owner::Service => {
                let account = account()?;
                (account.uid, account.gid)
            }
        };
        chown(place, Some(uid), Some(gid))?;
        Ok(())
    }
}

fn remove_if_empty(place: &Path) -> anyhow::Result<()> {
    match fs::remove_dir(place) {
        Err(error)
            if !matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error.into())
        }
        _ => Ok(()),
    }
}
