//! The last good copy of each feed and the record of how it answered, in `feeds/` beside the trails.
//!
//! `status.json` is the only thing that is trusted, and it is replaced whole: it names the digest of each
//! copy, and the digest is part of the copy's file name. New copies lie unnamed until [`Store::commit`]
//! renames the new record into place, so an update that is interrupted changes nothing, and one that is
//! refused only the record of its attempts ([`Store::give_up`]). A copy whose bytes are not those of its
//! digest is dropped. Bounds: a copy has at most a gigabyte, the record 16 MB.

mod copy;
mod status;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use copy::Kept;
pub use copy::{CopyWriter, FeedRows};
pub use status::{FeedStatus, Pending};

use crate::fetch::{Body, LIST_BYTES, hex};
use crate::place::{folder_of, place};

/// Name of the record.
const STATUS: &str = "status.json";
/// Largest record read.
const STATUS_BYTES: u64 = 16 << 20;
/// End of a copy's file name.
const COPY_END: &str = ".copy.csv";
/// End of an archive's file name.
const ARCHIVE_END: &str = ".tar.gz";
/// End of the file name of a list of the user's.
const LIST_END: &str = ".list.txt";
/// Ends of all copies.
const ENDS: [&str; 3] = [COPY_END, ARCHIVE_END, LIST_END];
/// Start and end of the names of files that are being written.
const NEW_START: &str = ".copy-";
const NEW_END: &str = ".new";

/// How the feeds of the set in `trails_file` stood at its last update, by name.
pub fn statuses(trails_file: &Path) -> Vec<FeedStatus> {
    Store::open(&folder_of(trails_file).join("feeds"), None).all()
}

/// The folder of copies.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    /// As on disk.
    before: BTreeMap<String, FeedStatus>,
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
        let status: BTreeMap<_, _> = record.feeds.into_iter().map(by_name).collect();
        Self {
            folder: folder.to_owned(),
            owner,
            before: status.clone(),
            status,
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

    /// Adds a note.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// The last good entries of a feed, if there is a copy.
    ///
    /// # Errors
    /// When the copy is not what was kept; [`Self::forget`] then says so.
    pub fn copy(&self, name: &str) -> Result<Option<FeedRows>, String> {
        let Some((path, digest, entries)) = self.kept(name, COPY_END) else {
            return Ok(None);
        };
        let rows = copy::open(&path, name, digest, entries);
        rows.map(Some)
            .map_err(|reason| dropped(&path, name, &reason))
    }

    /// The last good archive of a feed, if there is one.
    ///
    /// # Errors
    /// When the archive is not what was kept.
    pub fn archive(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let Some((path, digest, _)) = self.kept(name, ARCHIVE_END) else {
            return Ok(None);
        };
        let reason = match copy::digest_of(&path) {
            Ok(found) if found == digest => return Ok(Some(path)),
            Ok(_) => "it is not what was kept (its digest differs)".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(dropped(&path, name, &reason))
    }

    /// The text of the last good answer of a list of the user's, if there is one.
    ///
    /// # Errors
    /// When it is not what was kept.
    pub(crate) fn list(&self, name: &str) -> Result<Option<String>, String> {
        let Some((path, digest, _)) = self.kept(name, LIST_END) else {
            return Ok(None);
        };
        let reason = match read_bounded(&path, LIST_BYTES) {
            Ok(bytes) => {
                let found = ring::digest::digest(&ring::digest::SHA256, &bytes);
                if hex(found.as_ref()) == digest {
                    return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
                }
                "it is not what was kept (its digest differs)".to_owned()
            }
            Err(error) => error.to_string(),
        };
        Err(dropped(&path, name, &reason))
    }

    fn kept(&self, name: &str, end: &str) -> Option<(PathBuf, &str, usize)> {
        let status = self.status.get(name)?;
        let digest = status.digest.as_deref()?;
        let path = path_of(&self.folder, name, digest, end)?;
        Some((path, digest, status.entries))
    }

    /// Drops what is known of a damaged copy, with a note.
    pub(crate) fn forget(&mut self, name: &str, note: String) {
        self.notes.push(note);
        if let Some(status) = self.status.get_mut(name) {
            // Without a copy nothing may be asked for "only if changed".
            *status = FeedStatus {
                name: status.name.clone(),
                url: status.url.clone(),
                last_success: status.last_success,
                ..FeedStatus::default()
            };
        }
    }

    /// Where large bodies are put while they are used; none when it cannot be made.
    pub(crate) fn spool(&self) -> Option<&Path> {
        fs::create_dir_all(&self.folder).ok()?;
        Some(&self.folder)
    }

    /// A new copy beside the older one.
    ///
    /// # Errors
    /// When there is no room for one anywhere.
    pub fn writer(&self, name: &str) -> io::Result<CopyWriter> {
        CopyWriter::new(&self.folder, self.owner, name)
    }

    /// Keeps an archive beside the older one; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep_archive(&self, name: &str, body: &mut Body) -> io::Result<PathBuf> {
        self.keep(name, body, ARCHIVE_END)
    }

    /// Keeps a list of the user's beside the older one; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep_list(&self, name: &str, body: &mut Body) -> io::Result<PathBuf> {
        self.keep(name, body, LIST_END)
    }

    fn keep(&self, name: &str, body: &mut Body, end: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let target = path_of(&self.folder, name, body.digest(), end)
            .ok_or_else(|| io::Error::other("its name is no file name"))?;
        let mut file = copy::temporary(&self.folder)?;
        io::copy(body.open()?, file.as_file_mut())?;
        copy::persist(file, &target, self.owner).map_err(|(_, reason)| io::Error::other(reason))?;
        Ok(target)
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
        self.write(self.all())
    }

    /// Ends an update that is refused: copies and counts stay as they were, only the attempts are recorded.
    ///
    /// # Errors
    /// When the record cannot be written; the old one and its copies then stay.
    pub fn give_up(&self) -> io::Result<()> {
        let attempted = |status: &FeedStatus| {
            let before = self.before.get(&status.name);
            before.map_or_else(
                || FeedStatus::default().with_attempt_of(status),
                |before| before.clone().with_attempt_of(status),
            )
        };
        let record: Vec<_> = self.status.values().map(attempted).collect();
        if record.iter().eq(self.before.values()) {
            self.sweep();
            return Ok(());
        }
        self.write(record)
    }

    fn write(&self, feeds: Vec<FeedStatus>) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&Record { feeds }).map_err(io::Error::other)?;
        fs::create_dir_all(&self.folder)?;
        place(&self.folder.join(STATUS), self.owner, |mut file| {
            file.write_all(&text)
        })?;
        self.sweep();
        Ok(())
    }

    /// Removes copies that the record on disk does not name, and what interrupted updates left.
    pub fn sweep(&self) {
        let named = Self::open(&self.folder, None);
        let kept: Vec<PathBuf> = named
            .status
            .values()
            .filter_map(|status| Some((&status.name, status.digest.as_deref()?)))
            .flat_map(|(name, digest)| ENDS.map(|end| path_of(&self.folder, name, digest, end)))
            .flatten()
            .collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_copy = ENDS.iter().any(|end| name.ends_with(end));
            let is_unfinished = name.starts_with(NEW_START) && name.ends_with(NEW_END);
            if is_unfinished || (is_copy && !kept.contains(&path)) {
                // One that stays is removed by the next update.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn dropped(path: &Path, name: &str, reason: &str) -> String {
    format!(
        "the copy `{}` of {name} is dropped: {reason}",
        path.display()
    )
}

/// Where a copy lies; `None` for a name or digest that is no part of a file name.
fn path_of(folder: &Path, name: &str, digest: &str, end: &str) -> Option<PathBuf> {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    (plain(name) && plain(digest)).then(|| {
        let short: String = digest.chars().take(16).collect();
        // Points and hyphens keep the names of feeds and digests apart.
        let between = if end == ARCHIVE_END { "-" } else { "." };
        folder.join(format!("{name}{between}{short}{end}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Entry;

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
        let mut writer = store.writer("zeus").expect("room");
        for entry in entries(texts) {
            writer
                .row(&entry.text, &entry.info, &entry.reference)
                .expect("room");
        }
        let kept = writer.finish().expect("room");
        assert!(kept.digest.is_some(), "{:?}", kept.failure);
        assert_eq!(read(&kept.rows), entries(texts));
        store.set(FeedStatus {
            name: "zeus".to_owned(),
            entries: texts.len(),
            digest: kept.digest,
            ..FeedStatus::default()
        });
        store
    }

    fn read(rows: &FeedRows) -> Vec<Entry> {
        let mut entries = Vec::new();
        let each = rows.each(|text, info, reference| {
            entries.push(Entry {
                text: text.to_owned(),
                info: info.to_owned(),
                reference: reference.to_owned(),
            });
        });
        each.expect("rows");
        entries
    }

    fn copied(store: &Store) -> Option<Vec<Entry>> {
        store.copy("zeus").expect("sound").as_ref().map(read)
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).expect("folder").flatten();
        files
            .map(|entry| entry.path())
            .filter(|path| !path.ends_with(STATUS))
            .collect()
    }

    #[test]
    fn what_is_kept_comes_back_and_only_a_commit_counts() {
        let root = tempfile::tempdir().expect("folder");
        kept(root.path(), &["a.biz", "b.biz/x,y"])
            .commit()
            .expect("commit");
        // Never committed: as if interrupted, one of them while it was written.
        kept(root.path(), &["c.biz"]);
        fs::write(root.path().join(".copy-x.new"), "half").expect("file");
        assert_eq!(files(root.path()).len(), 3);
        let store = Store::open(root.path(), None);
        assert_eq!(copied(&store), Some(entries(&["a.biz", "b.biz/x,y"])));
        store.sweep();
        assert_eq!(files(root.path()).len(), 1, "the unnamed copy is gone");
        assert!(copied(&store).is_some());
        kept(root.path(), &["d.biz"]).commit().expect("commit");
        assert_eq!(files(root.path()).len(), 1, "the older copy is gone");
        assert_eq!(store.notes(), [] as [String; 0]);
    }

    #[test]
    fn a_refused_update_leaves_its_attempts_and_nothing_else() {
        let root = tempfile::tempdir().expect("folder");
        kept(root.path(), &["a.biz"]).commit().expect("commit");
        let mut store = kept(root.path(), &["b.biz", "c.biz"]);
        store.set(FeedStatus {
            last_attempt: 77,
            http_status: Some(200),
            ..store.status("zeus")
        });
        store.set(FeedStatus {
            name: "new".to_owned(),
            last_attempt: 77,
            entries: 5,
            error: Some("answer 503".to_owned()),
            ..FeedStatus::default()
        });
        store.give_up().expect("record");
        let store = Store::open(root.path(), None);
        assert_eq!(copied(&store), Some(entries(&["a.biz"])));
        let (zeus, new) = (store.status("zeus"), store.status("new"));
        assert_eq!((zeus.last_attempt, zeus.entries), (77, 1));
        assert_eq!((new.last_attempt, new.entries), (77, 0));
        assert_eq!(new.error.as_deref(), Some("answer 503"));
        assert_eq!(files(root.path()).len(), 1);
    }

    #[test]
    fn archives_are_kept_whole() {
        let root = tempfile::tempdir().expect("folder");
        let mut store = Store::open(root.path(), None);
        let mut body = Body::of(b"not really an archive").expect("body");
        let path = store.keep_archive("maltrail", &mut body).expect("room");
        store.set(FeedStatus {
            name: "maltrail".to_owned(),
            digest: Some(body.digest().to_owned()),
            ..FeedStatus::default()
        });
        store.commit().expect("commit");
        assert_eq!(store.archive("maltrail"), Ok(Some(path.clone())));
        fs::write(&path, "another").expect("file");
        assert!(store.archive("maltrail").is_err());
    }

    #[test]
    fn damaged_copies_are_dropped_with_a_note() {
        let root = tempfile::tempdir().expect("folder");
        kept(root.path(), &["a.biz", "b.biz"])
            .commit()
            .expect("commit");
        let path = files(root.path()).remove(0);
        let good = fs::read(&path).expect("copy");
        let mut flipped = good.clone();
        flipped[0] ^= 1;
        for bad in [&good[..good.len() / 2], &flipped, b""] {
            fs::write(&path, bad).expect("file");
            let mut store = Store::open(root.path(), None);
            let note = store.copy("zeus").expect_err("damaged");
            assert!(note.contains("of zeus is dropped"), "{note}");
            store.forget("zeus", note);
            assert_eq!(store.status("zeus").digest, None);
            assert!(store.copy("zeus").expect("none").is_none());
        }
        fs::write(&path, &good).expect("file");
        assert!(copied(&Store::open(root.path(), None)).is_some());
    }

    #[test]
    fn a_damaged_record_is_none_and_hostile_names_reach_no_file() {
        let root = tempfile::tempdir().expect("folder");
        fs::write(root.path().join(STATUS), "{\"feeds\": [").expect("file");
        let store = Store::open(root.path(), None);
        assert!(store.all().is_empty() && store.notes()[0].contains("is damaged"));
        assert_eq!(path_of(root.path(), "../x", "ab", COPY_END), None);
        assert_eq!(path_of(root.path(), "x", "../ab", COPY_END), None);
    }
}
