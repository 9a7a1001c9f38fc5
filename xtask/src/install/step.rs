//! One thing that an installation does, so that all of them can be shown, counted and tested before the first is done.

use std::path::{Path, PathBuf};

use super::manifest::Manifest;

/// Whom a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// root alone.
    Root,
    /// root, and the group of the services may read.
    Readers,
    /// The user of the services.
    Service,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the user of the services.
    MakeUser(String),
    /// Make a folder.
    MakeFolder {
        path: PathBuf,
        mode: u32,
        owner: Owner,
    },
    /// Write a file, whole or not at all.
    Write {
        path: PathBuf,
        mode: u32,
        owner: Owner,
        /// `None` when it is not built yet, which only a plan that is merely shown may have.
        body: Option<Vec<u8>>,
        replaces: bool,
    },
    /// Make a symbolic link.
    Link {
        path: PathBuf,
        target: PathBuf,
        replaces: bool,
    },
    /// Remove a file or link.
    Remove(PathBuf),
    /// Remove a folder, if nothing is in it.
    RemoveFolder(PathBuf),
    /// Remove a folder with everything in it.
    RemoveTree(PathBuf),
    /// Remove the user of the services.
    RemoveUser(String),
    /// Write the manifest.
    Record(Manifest),
    /// Remove the manifest.
    Forget,
    /// Ask systemd.
    Systemd(Vec<&'static str>),
}

impl Step {
    /// In words.
    pub(crate) fn describe(&self) -> String {
        let verb = |replaces: &bool| if *replaces { "replace" } else { "write" };
        match self {
            Self::MakeUser(name) => format!("make the system user {name}"),
            Self::MakeFolder { path, mode, owner } => {
                let whose = match owner {
                    Owner::Root => "root",
                    Owner::Readers => "root, readable for the services",
                    Owner::Service => "the services' user",
                };
                format!("make the folder {} ({mode:04o}, {whose})", path.display())
            }
            Self::Write {
                path,
                body,
                replaces,
                ..
            } => {
                let later = if body.is_none() {
                    " (after it is built)"
                } else {
                    ""
                };
                format!("{} {}{later}", verb(replaces), path.display())
            }
            Self::Link {
                path,
                target,
                replaces,
            } => format!(
                "{} the link {} -> {}",
                verb(replaces),
                path.display(),
                target.display()
            ),
            Self::Remove(path) => format!("remove {}", path.display()),
            Self::RemoveFolder(path) => {
                format!("remove the folder {}, if it is empty", path.display())
            }
            Self::RemoveTree(path) => {
                format!("remove the folder {} and all in it", path.display())
            }
            Self::RemoveUser(name) => format!("remove the system user {name}"),
            Self::Record(manifest) => {
                format!(
                    "note what is installed ({} entries)",
                    manifest.entries.len()
                )
            }
            Self::Forget => "remove the note of what is installed".into(),
            Self::Systemd(arguments) => format!("systemctl {}", arguments.join(" ")),
        }
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    File(super::manifest::Digest),
    Link(PathBuf),
    Folder,
    Other,
}

/// The machine's files, or those below `--root`. It only reads.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Stands in front of every path.
    pub(crate) root: Option<PathBuf>,
}

impl Site {
    /// Where a path of the finished system is now.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        match &self.root {
            // `join` would throw the root away for an absolute path.
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// What is at this path.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn look(&self, path: &Path) -> anyhow::Result<Found> {
        use anyhow::Context as _;
        let place = self.place(path);
        let meta = match std::fs::symlink_metadata(&place) {
            Ok(meta) => meta,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Found::Nothing);
            }
            Err(error) => {
                let hint = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => " (root can)",
                    _ => "",
                };
                return Err(error)
                    .with_context(|| format!("cannot look at {}{hint}", place.display()));
            }
        };
        let read = || format!("cannot read {}", place.display());
        Ok(if meta.is_file() {
            let bytes = std::fs::read(&place).with_context(read)?;
            Found::File(super::manifest::Digest::of(&bytes))
        } else if meta.is_symlink() {
            Found::Link(std::fs::read_link(&place).with_context(read)?)
        } else if meta.is_dir() {
            Found::Folder
        } else {
            Found::Other
        })
    }

    /// Whether there is a folder, or a link to one.
    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        self.place(path).is_dir()
    }
}
