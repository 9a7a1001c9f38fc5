//! Files put in their place whole: written beside the target, synced, renamed over it.

use std::fs;
use std::io;
use std::path::Path;

/// Writes a file beside `target`, readable for all and given to `owner`, syncs it and renames it over
/// `target`; its size. The old file stays when anything fails.
pub(crate) fn place(
    target: &Path,
    owner: Option<(u32, u32)>,
    write: impl FnOnce(&fs::File) -> io::Result<()>,
) -> io::Result<u64> {
    let folder = folder_of(target);
    let file = tempfile::Builder::new()
        .prefix(".trails-")
        .suffix(".new")
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

/// The folder of a file; the current one for a bare name.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}
