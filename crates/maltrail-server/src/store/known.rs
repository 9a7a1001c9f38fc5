//! What is known of a day beside its index: `index/DATE.known`, a few words of text.
//!
//! Saves finding it out again: the plain size of an archive of others, and the number of events of a day whose
//! index file was removed to save space. Everything here can be deleted.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use maltrail_core::time::Day;

/// Most bytes of such a file.
const MAX_BYTES: u64 = 1024;

/// What tells one state of an archive from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveStamp {
    size: u64,
    mtime: i64,
    nanos: i64,
}

impl ArchiveStamp {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.len(),
            mtime: meta.mtime(),
            nanos: meta.mtime_nsec(),
        }
    }
}

/// The words of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// An archive and the size of its plain bytes.
    pub(crate) archive: Option<(ArchiveStamp, u64)>,
    /// The size of the day's lines and the number of their events.
    pub(crate) events: Option<(u64, u64)>,
}

impl Known {
    pub(crate) fn path(index_dir: &Path, day: Day) -> PathBuf {
        index_dir.join(format!("{day}.known"))
    }

    /// What is kept; nothing when the file is missing or damaged.
    pub(crate) fn read(index_dir: &Path, day: Day) -> Self {
        let mut text = String::new();
        let file = std::fs::File::open(Self::path(index_dir, day));
        let _ = file.and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        let mut known = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["archive", size, mtime, nanos, len] => {
                    known.archive = archive(size, mtime, nanos, len)
                }
                ["events", size, events] => {
                    known.events = size.parse().ok().zip(events.parse().ok())
                }
                _ => {}
            }
        }
        known
    }

    /// Changes what is kept. A file that cannot be written costs time later, nothing else.
    pub(crate) fn update(index_dir: &Path, day: Day, change: impl FnOnce(&mut Self)) {
        let mut known = Self::read(index_dir, day);
        change(&mut known);
        let mut text = String::new();
        if let Some((stamp, len)) = known.archive {
            let ArchiveStamp { size, mtime, nanos } = stamp;
            text += &format!("archive {size} {mtime} {nanos} {len}\n");
        }
        if let Some((size, events)) = known.events {
            text += &format!("events {size} {events}\n");
        }
        let path = Self::path(index_dir, day);
        let new = path.with_extension("known.new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
        if let Err(error) = written {
            tracing::debug!(%day, %error, "index: cannot note what is known of a day");
        }
    }

    /// The plain size of the archive that `stamp` describes.
    pub(crate) fn archive_len(&self, stamp: ArchiveStamp) -> Option<u64> {
        self.archive
            .filter(|(known, _)| *known == stamp)
            .map(|(_, len)| len)
    }
}

fn archive(size: &str, mtime: &str, nanos: &str, len: &str) -> Option<(ArchiveStamp, u64)> {
    let stamp = ArchiveStamp {
        size: size.parse().ok()?,
        mtime: mtime.parse().ok()?,
        nanos: nanos.parse().ok()?,
    };
    Some((stamp, len.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let day: Day = "2026-11-20".parse().unwrap();
        assert_eq!(Known::read(dir.path(), day), Known::default());
        let stamp = ArchiveStamp {
            size: 7,
            mtime: -1,
            nanos: 9,
        };
        Known::update(dir.path(), day, |known| known.archive = Some((stamp, 100)));
        Known::update(dir.path(), day, |known| known.events = Some((100, 3)));
        let known = Known::read(dir.path(), day);
        assert_eq!(known.archive_len(stamp), Some(100));
        assert_eq!(known.events, Some((100, 3)));
        assert_eq!(known.archive_len(ArchiveStamp { size: 8, ..stamp }), None);
        for damaged in ["archive 7 -1 9\nevents 1 x\n", "\0\u{ffff}", "events 5"] {
            std::fs::write(Known::path(dir.path(), day), damaged).unwrap();
            assert_eq!(Known::read(dir.path(), day), Known::default(), "{damaged}");
        }
    }
}
