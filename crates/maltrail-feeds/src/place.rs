//! Files put in their place whole: written beside the target, synced, renamed over it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How the names of files that are being written begin and end.
const PREFIX: &str = ".trails-";
const SUFFIX: &str = ".new";

/// Writes a file beside `target`, readable for all and given to `owner`, syncs it and renames it over
/// `target`; its size. The old file stays when anything fails.
pub(crate) fn place(
    target: &Path,
    owner: Option<(u32, u32)>,
    write: impl FnOnce(&fs::File) -> io::Result<()>,
) -> io::Result<u64> {
    let folder = folder_of(target);
    let file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(folder)?;
    write(file.as_file())?;
    // Other users read the set: sensor and server may run under different accounts.
    rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o644))?;
    if let Some((user, group)) = owner {
        let (user, group) = (
            rustix::fs::Uid::from_raw(user),
            rustix::fs::Gid::from_raw(group),
        );
        rustix::fs::fchown(file.as_file(), Some(user), Some(group))?;
    }
    file.as_file().sync_all()?;
    let bytes = file.as_file().metadata()?.len();
    file.persist(target).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(bytes)
}

/// The right to write trails, held by one process at a time; released when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes it for the set in `folder`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another has it; each with the path of the lock.
    pub(crate) fn take(folder: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let path = folder.join(".update.lock");
        let file = match fs::File::create(&path) {
            Ok(file) => file,
            Err(error) => return Err((path, error)),
        };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(error) => Err((path, error.into())),
        }
    }
}

/// Removes what a killed update left beside the set in `folder`. Only with the [`Lock`].
pub(crate) fn sweep(folder: &Path) {
    for folder in [folder.to_owned(), folder.join("data"), folder.join("feeds")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                // One that stays is tried again by the next update.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The folder of a file; the current one for a bare name.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}
