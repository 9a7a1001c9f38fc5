//! What the last build was made of: `feeds/build.json`. It only saves work: a missing, damaged or foreign
//! record means that the next build is made in full.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::place::{folder_of, place};

/// Largest record read. It has some 200 bytes.
const LIMIT: u64 = 64 << 10;

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Size.
    pub bytes: u64,
    /// Seconds and nanoseconds of its last change.
    modified: (i64, i64),
}

impl Stamp {
    /// `None` when there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// The last build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Digest of everything that it was made of.
    pub inputs: String,
    /// The file that was published, or that [`super::rollback`] put back in its place.
    pub file: Option<Stamp>,
    /// Its rows.
    pub rows: usize,
    /// When its inputs were last looked at, in seconds since 1970.
    pub checked: u64,
    /// The archive or folder that a person named, for the updates that the clock makes.
    pub from: Option<PathBuf>,
    /// `ETag` of a set that came whole from a server.
    pub etag: Option<String>,
    /// Rows of the set before it.
    pub former_rows: Option<usize>,
}

impl Record {
    /// The record of the set in `folder`.
    pub(super) fn read(folder: &Path) -> Self {
        let mut text = Vec::new();
        let read =
            fs::File::open(path(folder)).and_then(|file| file.take(LIMIT).read_to_end(&mut text));
        read.ok()
            .and_then(|_| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// Replaces it.
    pub(super) fn write(&self, folder: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let path = path(folder);
        fs::create_dir_all(folder_of(&path))?;
        place(&path, owner, |mut file| file.write_all(&text)).map(|_| ())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("feeds/build.json")
}

/// The archive or folder that the set in `file` was last made from, if it is still there.
pub(super) fn former_source(file: &Path) -> Option<PathBuf> {
    let from = Record::read(folder_of(file)).from?;
    from.exists().then_some(from)
}

/// When the set in `file` was last known to be what its sources say, in seconds since 1970: the later of
/// its last change and the last update that found nothing new. `None` when there is no such file.
pub fn checked(file: &Path) -> Option<u64> {
    let stamp = Stamp::of(file)?;
    let record = Record::read(folder_of(file));
    let written = u64::try_from(stamp.modified.0).unwrap_or(0);
    Some(if record.file == Some(stamp) {
        written.max(record.checked)
    } else {
        written
    })
}
