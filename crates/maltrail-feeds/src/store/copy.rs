//! Entries of one feed in a file: written as they are parsed, read as they are built in. Neither way lies
//! the list in memory, so that one of five million rows needs no more than one of five.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maltrail_core::trail::csv;
use ring::digest::{Context, SHA256};
use tempfile::NamedTempFile;

use crate::fetch::hex;
use crate::formats::Entry;

/// Largest copy in bytes: ten million rows of a hundred.
pub(super) const COPY_BYTES: u64 = 1 << 30;

/// The entries of a feed.
#[derive(Clone, Debug)]
pub struct FeedRows {
    /// Name of the feed.
    pub feed: String,
    /// How far it can be trusted, 0 to 100.
    pub confidence: u8,
    rows: usize,
    digest: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Vec<Entry>>),
    File(Arc<File>),
}

impl FeedRows {
    /// Entries that are in memory.
    pub fn of(feed: &str, entries: Vec<Entry>) -> Self {
        let mut context = Context::new(&SHA256);
        for text in entries
            .iter()
            .flat_map(|entry| [&entry.text, &entry.info, &entry.reference])
        {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        Self {
            digest: hex(context.finish().as_ref()),
            feed: feed.to_owned(),
            confidence: 50,
            rows: entries.len(),
            place: Place::Memory(Arc::new(entries)),
        }
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// SHA-256 of all of it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Calls `row(trail, info, reference)` for each entry, in order.
    ///
    /// # Errors
    /// When the copy cannot be read to its end.
    pub fn each(&self, mut row: impl FnMut(&str, &str, &str)) -> io::Result<()> {
        match &self.place {
            Place::Memory(entries) => {
                for entry in entries.iter() {
                    row(&entry.text, &entry.info, &entry.reference);
                }
            }
            Place::File(file) => {
                csv::read(At { file, offset: 0 }, row)?;
            }
        }
        Ok(())
    }
}

/// A reader with a place of its own in a shared file.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Opens a copy that has this digest and so many rows.
pub(super) fn open(path: &Path, feed: &str, digest: &str, rows: usize) -> Result<FeedRows, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_or(0, |meta| meta.len());
    if size > COPY_BYTES {
        return Err(format!("more than {COPY_BYTES} bytes"));
    }
    let input = At {
        file: &file,
        offset: 0,
    };
    let mut hashed = Hashed {
        inner: input,
        context: Context::new(&SHA256),
    };
    let counts = csv::read(&mut hashed, |_, _, _| {}).map_err(|error| error.to_string())?;
    if hex(hashed.context.finish().as_ref()) != digest {
        return Err("it is not what was kept (its digest differs)".to_owned());
    }
    if counts.rows != rows || counts.malformed > 0 {
        return Err(format!("{} entries instead of {rows}", counts.rows));
    }
    Ok(FeedRows {
        feed: feed.to_owned(),
        confidence: 50,
        rows,
        digest: digest.to_owned(),
        place: Place::File(Arc::new(file)),
    })
}

/// SHA-256 of a file.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    let mut hashed = Hashed {
        inner: BufReader::with_capacity(1 << 16, File::open(path)?),
        context: Context::new(&SHA256),
    };
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(hex(hashed.context.finish().as_ref()))
}

/// A reader that digests what it hands out.
struct Hashed<R> {
    inner: R,
    context: Context,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A copy that is being written.
pub struct CopyWriter {
    rows: csv::Writer<Tee>,
    count: usize,
    feed: String,
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    /// Why it will have no name.
    failure: Option<String>,
}

/// A complete copy.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its digest; none when it has no name and is gone with this process.
    pub(crate) digest: Option<String>,
    /// Its rows.
    pub(crate) rows: FeedRows,
    /// Why it has no name.
    pub(crate) failure: Option<String>,
}

impl CopyWriter {
    pub(super) fn new(folder: &Path, owner: Option<(u32, u32)>, feed: &str) -> io::Result<Self> {
        let named = fs::create_dir_all(folder).and_then(|()| temporary(folder));
        let (file, failure) = match named {
            Ok(file) => (file, None),
            // Without a place of its own it lives as long as this update.
            Err(error) => (temporary(&std::env::temp_dir())?, Some(error.to_string())),
        };
        Ok(Self {
            rows: csv::Writer::new(Tee {
                file,
                context: Context::new(&SHA256),
                bytes: 0,
            }),
            count: 0,
            feed: feed.to_owned(),
            folder: folder.to_owned(),
            owner,
            failure,
        })
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// When there is no room, or the copy becomes larger than any list is.
    pub fn row(&mut self, text: &str, info: &str, reference: &str) -> io::Result<()> {
        self.count += 1;
        self.rows.row(text, info, reference)
    }

    /// Gives the copy the name of its digest.
    pub(crate) fn finish(self) -> io::Result<Kept> {
        let tee = self.rows.finish()?;
        let digest = hex(tee.context.finish().as_ref());
        let target = super::path_of(&self.folder, &self.feed, &digest, super::COPY_END);
        let named = match (self.failure, target) {
            (Some(failure), _) => Err((tee.file, failure)),
            (None, None) => Err((tee.file, "its name is no file name".to_owned())),
            (None, Some(target)) => persist(tee.file, &target, self.owner),
        };
        let (file, failure) = match named {
            Ok(file) => (file, None),
            Err((file, failure)) => (file.into_file(), Some(failure)),
        };
        Ok(Kept {
            digest: failure.is_none().then(|| digest.clone()),
            failure,
            rows: FeedRows {
                feed: self.feed,
                confidence: 50,
                rows: self.count,
                digest,
                place: Place::File(Arc::new(file)),
            },
        })
    }
}

pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(super::NEW_START)
        .suffix(super::NEW_END)
        .tempfile_in(folder)
}

/// Renames a complete file into its place: readable for all, given to `owner`, synced.
pub(super) fn persist(
    file: NamedTempFile,
    target: &Path,
    owner: Option<(u32, u32)>,
) -> Result<File, (NamedTempFile, String)> {
    let ready = || -> io::Result<()> {
        rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o644))?;
        if let Some((user, group)) = owner {
            let user = rustix::fs::Uid::from_raw(user);
            let group = rustix::fs::Gid::from_raw(group);
            rustix::fs::fchown(file.as_file(), Some(user), Some(group))?;
        }
        file.as_file().sync_all()
    };
    if let Err(error) = ready() {
        return Err((file, error.to_string()));
    }
    file.persist(target)
        .map_err(|error| (error.file, error.error.to_string()))
}

struct Tee {
    file: NamedTempFile,
    context: Context,
    bytes: u64,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > COPY_BYTES {
            return Err(io::Error::other(format!(
                "its entries need more than {COPY_BYTES} bytes"
            )));
        }
        let count = self.file.write(bytes)?;
        self.context.update(bytes.get(..count).unwrap_or(bytes));
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
