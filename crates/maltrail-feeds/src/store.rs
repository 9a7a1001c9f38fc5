//! The last good copy of each feed and the record of how it answered, in `feeds/` beside the trails.
//!
//! `status.json` is the only thing that is trusted, and it is replaced whole: it names the digest of each
//! copy, and the digest is part of the copy's file name. New copies lie unnamed until [`Store::commit`]
//! renames the new record into place, so an update that is interrupted or refused changes nothing. A copy
//! whose bytes are not those of its digest is dropped. Bounds: a copy has at most as many bytes as a
//! download, the record 16 MB.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use maltrail_core::trail::csv;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::fetch::BODY_BYTES;
use crate::formats::Entry;
use crate::place::place;

/// Name of the record.
const STATUS: &str = "status.json";
/// Largest record read.
const STATUS_BYTES: u64 = 16 << 20;
/// End of a copy's file name.
const COPY_END: &str = ".copy.csv";

/// How a feed stands. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedStatus {
    /// Its name.
    pub name: String,
    /// Its first address.
    pub url: String,
    /// When it last answered well.
    pub last_success: Option<u64>,
    /// When it was last asked.
    pub last_attempt: u64,
    /// Entries of its last good answer.
    pub entries: usize,
    /// Entries of that answer beyond those of the one before.
    pub change: i64,
    /// What was wrong with its last answer.
    pub error: Option<String>,
    /// `ETag` of its last good answer.
    pub etag: Option<String>,
    /// `Last-Modified` of its last good answer.
    pub last_modified: Option<String>,
    /// Age of the copy, when the last update used it.
    pub copy_age_secs: Option<u64>,
    /// SHA-256 of the copy.
    pub digest: Option<String>,
}

/// The folder of copies.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    status: BTreeMap<String, FeedStatus>,
    notes: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    feeds: Vec<FeedStatus>,
}

impl Store {
    /// Reads the record of `folder`. A damaged one counts as none, with a note.
    pub fn open(folder: &Path, owner: Option<(u32, u32)>) -> Self {
        let path = folder.join(STATUS);
        let mut notes = Vec::new();
        let record = match read_bounded(&path, STATUS_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                notes.push(format!(
                    "`{}` is damaged ({error}): copies of feeds start anew",
                    path.display()
                ));
                Record::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => {
                notes.push(format!("cannot read `{}`: {error}", path.display()));
                Record::default()
            }
        };
        let by_name = |status: FeedStatus| (status.name.clone(), status);
        Self {
            folder: folder.to_owned(),
            owner,
            status: record.feeds.into_iter().map(by_name).collect(),
            notes,
        }
    }

    /// How a feed stood before; the default for one that was never asked.
    pub fn status(&self, name: &str) -> FeedStatus {
        self.status.get(name).cloned().unwrap_or_default()
    }

    /// The records of all feeds, by name.
    pub fn all(&self) -> Vec<FeedStatus> {
        self.status.values().cloned().collect()
    }

    /// What a person should know: damaged copies, copies that could not be kept.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The last good entries of a feed. A damaged copy is dropped with a note.
    pub fn copy(&mut self, name: &str) -> Option<Vec<Entry>> {
        let status = self.status.get_mut(name)?;
        let digest = status.digest.clone()?;
        let path = path_of(&self.folder, name, &digest)?;
        match read_copy(&path, &digest, status.entries) {
            Ok(entries) => Some(entries),
            Err(reason) => {
                self.notes.push(format!(
                    "the copy `{}` of {name} is dropped: {reason}",
                    path.display()
                ));
                // Without a copy nothing may be asked for "only if changed".
                (status.digest, status.etag, status.last_modified) = (None, None, None);
                status.entries = 0;
                None
            }
        }
    }

    /// Keeps the entries of a feed beside the older ones; the digest of the copy. Nothing when it cannot be
    /// kept, with a note: the update itself goes on.
    pub fn keep(&mut self, name: &str, entries: &[Entry]) -> Option<String> {
        match self.write_copy(name, entries) {
            Ok(digest) => Some(digest),
            Err(error) => {
                self.notes
                    .push(format!("no copy of {name} is kept: {error}"));
                None
            }
        }
    }

    fn write_copy(&self, name: &str, entries: &[Entry]) -> io::Result<String> {
        let mut sink = Digesting {
            context: Context::new(&SHA256),
            bytes: 0,
        };
        write_entries(&mut sink, entries)?;
        if sink.bytes > BODY_BYTES {
            return Err(io::Error::other("larger than a download may be"));
        }
        let digest = hex(sink.context.finish().as_ref());
        let path = path_of(&self.folder, name, &digest)
            .ok_or_else(|| io::Error::other("its name is no file name"))?;
        fs::create_dir_all(&self.folder)?;
        place(&path, self.owner, |file| write_entries(file, entries))?;
        Ok(digest)
    }

    /// Sets how a feed stands; it holds from the next [`Self::commit`] on.
    pub fn set(&mut self, status: FeedStatus) {
        self.status.insert(status.name.clone(), status);
    }

    /// Puts the record in its place and removes copies that it does not name.
    ///
    /// # Errors
    /// When the record cannot be written; the old one and its copies then stay.
    pub fn commit(&self) -> io::Result<()> {
        let record = Record { feeds: self.all() };
        let text = serde_json::to_vec_pretty(&record).map_err(io::Error::other)?;
        fs::create_dir_all(&self.folder)?;
        place(&self.folder.join(STATUS), self.owner, |mut file| {
            file.write_all(&text)
        })?;
        self.sweep();
        Ok(())
    }

    /// Removes copies that the record on disk does not name.
    pub fn sweep(&self) {
        let named = Self::open(&self.folder, None);
        let kept: Vec<PathBuf> = named
            .status
            .values()
            .filter_map(|status| path_of(&self.folder, &status.name, status.digest.as_deref()?))
            .collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_copy = entry.file_name().to_string_lossy().ends_with(COPY_END);
            if is_copy && !kept.contains(&path) {
                // One that stays is removed by the next update.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Where a copy lies; `None` for a name or digest that is no part of a file name.
fn path_of(folder: &Path, name: &str, digest: &str) -> Option<PathBuf> {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    (plain(name) && plain(digest)).then(|| {
        let short: String = digest.chars().take(16).collect();
        folder.join(format!("{name}.{short}{COPY_END}"))
    })
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_copy(path: &Path, digest: &str, count: usize) -> Result<Vec<Entry>, String> {
    let bytes = read_bounded(path, BODY_BYTES).map_err(|error| error.to_string())?;
    if hex(ring::digest::digest(&SHA256, &bytes).as_ref()) != digest {
        return Err("it is not what was kept (its digest differs)".to_owned());
    }
    let mut entries = Vec::new();
    csv::read(bytes.as_slice(), |text, info, reference| {
        entries.push(Entry {
            text: text.to_owned(),
            info: info.to_owned(),
            reference: reference.to_owned(),
        });
    })
    .map_err(|error| error.to_string())?;
    if entries.len() != count {
        return Err(format!("{} entries instead of {count}", entries.len()));
    }
    Ok(entries)
}

fn write_entries(sink: impl Write, entries: &[Entry]) -> io::Result<()> {
    let mut writer = csv::Writer::new(sink);
    for entry in entries {
        writer.row(&entry.text, &entry.info, &entry.reference)?;
    }
    writer.finish().map(|_| ())
}

struct Digesting {
    context: Context,
    bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(texts: &[&str]) -> Vec<Entry> {
        let entry = |text: &&str| Entry {
            text: (*text).to_owned(),
            info: "a \"label\", quoted".to_owned(),
            reference: "x.org".to_owned(),
        };
        texts.iter().map(entry).collect()
    }

    fn kept(folder: &Path, texts: &[&str]) -> Store {
        let mut store = Store::open(folder, None);
        let digest = store.keep("zeus", &entries(texts));
        assert!(digest.is_some(), "{:?}", store.notes());
        store.set(FeedStatus {
            name: "zeus".to_owned(),
            entries: texts.len(),
            digest,
            ..FeedStatus::default()
        });
        store
    }

    fn copies(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).expect("folder").flatten();
        files
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with(COPY_END))
            .collect()
    }

    #[test]
    fn what_is_kept_comes_back_and_only_a_commit_counts() {
        let root = tempfile::tempdir().expect("folder");
        kept(root.path(), &["a.biz", "b.biz/x,y"])
            .commit()
            .expect("commit");
        // Never committed: as if interrupted.
        kept(root.path(), &["c.biz"]);
        assert_eq!(copies(root.path()).len(), 2);
        let mut store = Store::open(root.path(), None);
        assert_eq!(store.copy("zeus"), Some(entries(&["a.biz", "b.biz/x,y"])));
        store.sweep();
        assert_eq!(copies(root.path()).len(), 1, "the unnamed copy is gone");
        assert!(store.copy("zeus").is_some());
        kept(root.path(), &["d.biz"]).commit().expect("commit");
        assert_eq!(copies(root.path()).len(), 1, "the older copy is gone");
        assert_eq!(store.notes(), [] as [String; 0]);
    }

    #[test]
    fn damaged_copies_are_dropped_with_a_note() {
        let root = tempfile::tempdir().expect("folder");
        kept(root.path(), &["a.biz", "b.biz"])
            .commit()
            .expect("commit");
        let path = copies(root.path()).remove(0);
        let good = fs::read(&path).expect("copy");
        let mut flipped = good.clone();
        flipped[0] ^= 1;
        for bad in [&good[..good.len() / 2], &flipped, b""] {
            fs::write(&path, bad).expect("file");
            let mut store = Store::open(root.path(), None);
            assert_eq!(store.copy("zeus"), None);
            assert!(store.notes()[0].contains("of zeus is dropped"));
            assert_eq!(store.status("zeus").digest, None);
        }
        fs::write(&path, &good).expect("file");
        assert!(Store::open(root.path(), None).copy("zeus").is_some());
    }

    #[test]
    fn a_damaged_record_is_none_and_hostile_names_reach_no_file() {
        let root = tempfile::tempdir().expect("folder");
        fs::write(root.path().join(STATUS), "{\"feeds\": [").expect("file");
        let store = Store::open(root.path(), None);
        assert!(store.all().is_empty() && store.notes()[0].contains("is damaged"));
        assert_eq!(path_of(root.path(), "../x", "ab"), None);
        assert_eq!(path_of(root.path(), "x", "../ab"), None);
    }
}
