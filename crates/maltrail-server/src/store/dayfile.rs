//! Day files: `LOG_DIR/YYYY-MM-DD.log`, event lines, append-only. They are the truth.
//!
//! Only names of exactly that form, and the same with `.gz`, count as days. A day's lines are those of its
//! archive, then those of its plain file (lines that came after it was packed), as one row of bytes: offsets
//! stay what they are when a day is packed. Files are read by offset in chunks of whole lines, so bytes
//! appended by any writer, ours or a sensor on this machine, are seen alike.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use maltrail_core::time::Day;

use super::archive::{Archive, Mark};
use super::known::{ArchiveStamp, Known};

/// Bytes read at once: about 30,000 lines, one transaction of the index.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// Times that a day is opened anew because its files changed meanwhile.
const TRIES: usize = 3;

/// Path of a day's file.
pub(crate) fn path(log_dir: &Path, day: Day) -> PathBuf {
    log_dir.join(format!("{day}.log"))
}

/// Path of a day's archive.
pub(crate) fn archive_path(log_dir: &Path, day: Day) -> PathBuf {
    log_dir.join(format!("{day}.log.gz"))
}

/// The day that a file name stands for.
pub(crate) fn day_of_name(name: &str) -> Option<Day> {
    name.strip_suffix(".gz")
        .unwrap_or(name)
        .strip_suffix(".log")?
        .parse()
        .ok()
}

/// Every day with a file, newest first, and its size where that is known without inflating an archive.
pub(crate) fn list(log_dir: &Path) -> io::Result<Vec<(Day, Option<u64>)>> {
    let mut days: BTreeMap<Day, (Option<u64>, bool)> = BTreeMap::new();
    for entry in std::fs::read_dir(log_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((name, day)) = name
            .to_str()
            .and_then(|name| Some((name, day_of_name(name)?)))
        else {
            continue;
        };
        // Follows links, so that a day may lie on another disk.
        let Ok(meta) = std::fs::metadata(entry.path()) else {
            continue;
        };
        if meta.is_file() {
            let known = days.entry(day).or_default();
            if name.ends_with(".gz") {
                known.1 = true;
            } else {
                known.0 = Some(meta.len());
            }
        }
    }
    let size = |(day, (plain, packed)): (Day, (Option<u64>, bool))| {
        let size = match (plain, packed) {
            (size, false) => size,
            (plain, true) => listed_size(log_dir, day, plain.is_some()),
        };
        (day, size)
    };
    Ok(days.into_iter().rev().map(size).collect())
}

/// Size of a day with an archive, from what the archive's end or an earlier reading says: whoever lists days
/// does so often and must not walk through each of them.
fn listed_size(log_dir: &Path, day: Day, with_plain: bool) -> Option<u64> {
    let (archive, meta) = open(&archive_path(log_dir, day)).ok()??;
    let mark = Mark::of(&archive).ok()?;
    let stamp = ArchiveStamp::of(&meta);
    let known = || Known::read(&log_dir.join("index"), day).archive_len(stamp);
    let packed = mark.map(|mark| mark.total).or_else(known)?;
    if !with_plain {
        return Some(packed);
    }
    let (plain, meta) = open(&path(log_dir, day)).ok()??;
    let again = match mark {
        Some(mark) if mark.covers(&plain).ok()? => mark.size,
        _ => 0,
    };
    Some(packed + meta.len().saturating_sub(again))
}

/// Whether a day has lines, or may have.
pub(crate) fn exists(log_dir: &Path, day: Day) -> bool {
    size_of(&path(log_dir, day)) > 0 || size_of(&archive_path(log_dir, day)) > 0
}

/// Bytes that a day takes on the disk, packed or not: tells whether it may have changed.
pub(crate) fn disk_bytes(log_dir: &Path, day: Day) -> u64 {
    size_of(&path(log_dir, day)) + size_of(&archive_path(log_dir, day))
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path)
        .ok()
        .filter(|meta| meta.is_file())
        .map_or(0, |meta| meta.len())
}

/// A day's lines.
#[derive(Debug)]
pub(crate) struct DayFile {
    archive: Option<Packed>,
    plain: Option<Plain>,
}

#[derive(Debug)]
struct Packed {
    archive: Archive,
    inode: u64,
    /// Size of the plain bytes, once it is known.
    len: OnceLock<u64>,
    stamp: ArchiveStamp,
    /// Where what is known of the day is kept.
    index_dir: PathBuf,
    day: Day,
}

#[derive(Debug)]
struct Plain {
    file: File,
    inode: u64,
    /// Bytes at its start that are in the archive already.
    packed: u64,
}

/// Which files a [`DayFile`] is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inodes {
    pub(crate) archive: Option<u64>,
    pub(crate) plain: Option<u64>,
}

impl Inodes {
    /// Those of a day now.
    pub(crate) fn of(log_dir: &Path, day: Day) -> Self {
        let inode = |path: PathBuf| {
            let meta = std::fs::metadata(path)
                .ok()
                .filter(std::fs::Metadata::is_file);
            meta.map(|meta| meta.ino())
        };
        Self {
            archive: inode(archive_path(log_dir, day)),
            plain: inode(path(log_dir, day)),
        }
    }
}

impl DayFile {
    /// The lines of a day.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub(crate) fn open(log_dir: &Path, day: Day) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let opened = Self::open_once(log_dir, day);
            let seen = opened.as_ref().map(Self::inodes).unwrap_or_default();
            tries += 1;
            // The day may have been packed between the two files.
            if seen == Inodes::of(log_dir, day) || tries == TRIES {
                return opened;
            }
        }
    }

    fn open_once(log_dir: &Path, day: Day) -> io::Result<Self> {
        let archive = match open(&archive_path(log_dir, day))? {
            Some((file, meta)) => {
                let mark = Mark::of(&file)?;
                let stamp = ArchiveStamp::of(&meta);
                let index_dir = log_dir.join("index");
                let known = Known::read(&index_dir, day).archive_len(stamp);
                let len = OnceLock::new();
                let archive = Archive::new(file)?;
                if let Some(known) = archive.known_len().or(known) {
                    let _ = len.set(known);
                }
                let inode = meta.ino();
                let packed = Packed {
                    archive,
                    inode,
                    len,
                    stamp,
                    index_dir,
                    day,
                };
                Some((packed, mark))
            }
            None => None,
        };
        let mark = archive.as_ref().and_then(|(_, mark)| *mark);
        let plain = match open(&path(log_dir, day))? {
            Some((file, meta)) => {
                let packed = match mark {
                    Some(mark) if mark.covers(&file)? => mark.size,
                    _ => 0,
                };
                let inode = meta.ino();
                Some(Plain {
                    file,
                    inode,
                    packed,
                })
            }
            None => None,
        };
        if archive.is_none() && plain.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            archive: archive.map(|(packed, _)| packed),
            plain,
        })
    }

    /// The lines of a plain file.
    #[cfg(test)]
    pub(crate) fn plain(file: File) -> Self {
        let plain = Plain {
            file,
            inode: 0,
            packed: 0,
        };
        Self {
            archive: None,
            plain: Some(plain),
        }
    }

    /// Which files these are.
    pub(crate) fn inodes(&self) -> Inodes {
        Inodes {
            archive: self.archive.as_ref().map(|packed| packed.inode),
            plain: self.plain.as_ref().map(|plain| plain.inode),
        }
    }

    /// Size in bytes, where it need not be found by inflating an archive.
    pub(crate) fn known_len(&self) -> Option<u64> {
        let packed = match &self.archive {
            Some(packed) => *packed.len.get()?,
            None => 0,
        };
        Some(packed + self.plain_len())
    }

    /// Size in bytes. An archive of others is inflated once to find it.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.packed_len()? + self.plain_len())
    }

    fn plain_len(&self) -> u64 {
        self.plain.as_ref().map_or(0, |plain| {
            let len = plain.file.metadata().map_or(0, |meta| meta.len());
            len.saturating_sub(plain.packed)
        })
    }

    fn packed_len(&self) -> io::Result<u64> {
        let Some(packed) = &self.archive else {
            return Ok(0);
        };
        if let Some(len) = packed.len.get() {
            return Ok(*len);
        }
        let len = packed.archive.len()?;
        Known::update(&packed.index_dir, packed.day, |known| {
            known.archive = Some((packed.stamp, len));
        });
        Ok(*packed.len.get_or_init(|| len))
    }

    /// Reads some bytes at `offset`; 0 at the end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut before = 0;
        if let Some(packed) = &self.archive {
            let count = match packed.len.get() {
                Some(len) if offset >= *len => 0,
                _ => packed.archive.read_at(buffer, offset)?,
            };
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            // Its size is known now, and kept.
            before = self.packed_len()?;
        }
        match &self.plain {
            Some(plain) if offset >= before => {
                plain.file.read_at(buffer, offset - before + plain.packed)
            }
            _ => Ok(0),
        }
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = buffer.get_mut(count..).unwrap_or_default();
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whole lines from `offset` on, at most [`CHUNK_BYTES`]. Empty when no line is complete. A stretch
    /// of that size without a line end is returned as it is, so that a damaged file cannot stop the
    /// reader.
    pub(crate) fn read_chunk(&self, offset: u64, chunk: &mut Vec<u8>) -> io::Result<()> {
        chunk.resize(CHUNK_BYTES, 0);
        let mut used = 0;
        while let Some(free) = chunk.get_mut(used..).filter(|free| !free.is_empty()) {
            match self.read_at(free, offset + used as u64) {
                Ok(0) => break,
                Ok(count) => used += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(used);
        match chunk.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => chunk.truncate(end + 1),
            None if used < CHUNK_BYTES => chunk.clear(),
            None => {}
        }
        Ok(())
    }

    /// The line at `offset` without its newline.
    fn read_line(&self, offset: u64, len: usize) -> Option<String> {
        let mut line = vec![0; len.min(maltrail_core::limits::EVENT_LINE_BYTES)];
        self.read_exact_at(&mut line, offset).ok()?;
        String::from_utf8(line).ok()
    }

    /// The lines at `places` (offset and length without the newline), by offset. Read in the file's order, so that no
    /// part of an archive is inflated twice.
    pub(crate) fn read_lines(
        &self,
        places: impl IntoIterator<Item = (u64, usize)>,
    ) -> HashMap<u64, String> {
        let mut places: Vec<(u64, usize)> = places.into_iter().collect();
        places.sort_unstable();
        let line = |(offset, len)| Some((offset, self.read_line(offset, len)?));
        places.into_iter().filter_map(line).collect()
    }

    /// Number of lines, for days that have no index yet.
    pub(crate) fn count_lines(&self) -> io::Result<u64> {
        let mut buffer = vec![0; 256 << 10];
        let (mut lines, mut at) = (0, 0);
        loop {
            let count = self.read_at(&mut buffer, at)?;
            if count == 0 {
                return Ok(lines);
            }
            at += count as u64;
            let read = buffer.get(..count).unwrap_or_default();
            lines += memchr::memchr_iter(b'\n', read).count() as u64;
        }
    }
}

/// A regular file; `None` when there is nothing, or something else.
fn open(path: &Path) -> io::Result<Option<(File, std::fs::Metadata)>> {
    // A named pipe would wait for its writer.
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match File::open(path) {
        Ok(file) => {
            let meta = file.metadata()?;
            Ok(Some((file, meta)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn day() -> Day {
        "2026-11-20".parse().unwrap()
    }

    fn pack(dir: &Path) {
        let source = File::open(path(dir, day())).unwrap();
        let size = source.metadata().unwrap().len();
        super::super::archive::pack(&source, size, &archive_path(dir, day()), &|| true).unwrap();
    }

    fn all(dir: &Path) -> String {
        let file = DayFile::open(dir, day()).unwrap();
        let mut chunk = Vec::new();
        file.read_chunk(0, &mut chunk).unwrap();
        assert_eq!(file.len().unwrap(), chunk.len() as u64);
        assert_eq!(file.known_len(), Some(chunk.len() as u64));
        assert_eq!(list(dir).unwrap(), [(day(), Some(chunk.len() as u64))]);
        String::from_utf8(chunk).unwrap()
    }

    #[test]
    fn only_exact_names_are_days() {
        for bad in [
            "notaday.log",
            "2026-11-2.log",
            "2026-11-20.log.1.gz",
            "2026-11-20.gz",
            "2026-11-20.log.gz.gz",
            "2026-11-20.log.gz.new",
            "2026-02-30.log",
            "2026-11-20",
        ] {
            assert_eq!(day_of_name(bad), None, "{bad}");
        }
        assert!(day_of_name("2026-11-20.log").is_some());
        assert!(day_of_name("2026-11-20.log.gz").is_some());
    }

    #[test]
    fn a_chunk_ends_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let file = DayFile::plain(File::open(&path).unwrap());
        let mut chunk = Vec::new();
        file.read_chunk(0, &mut chunk).unwrap();
        assert_eq!(chunk, b"one\ntwo\n");
        file.read_chunk(8, &mut chunk).unwrap();
        assert!(chunk.is_empty(), "an unfinished line waits");
        std::fs::write(&path, vec![b'x'; CHUNK_BYTES + 5]).unwrap();
        let file = DayFile::plain(File::open(&path).unwrap());
        file.read_chunk(0, &mut chunk).unwrap();
        assert_eq!(
            chunk.len(),
            CHUNK_BYTES,
            "a stretch without a line end is passed over"
        );
    }

    #[test]
    fn a_day_is_its_archive_and_then_its_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let plain = path(dir.path(), day());
        std::fs::write(&plain, "one\ntwo\n").unwrap();
        assert_eq!(all(dir.path()), "one\ntwo\n");
        pack(dir.path());
        assert_eq!(all(dir.path()), "one\ntwo\n", "packed and not removed yet");
        let mut file = File::options().append(true).open(&plain).unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(
            all(dir.path()),
            "one\ntwo\nthree\n",
            "a late line before the removal"
        );
        std::fs::remove_file(&plain).unwrap();
        assert_eq!(all(dir.path()), "one\ntwo\n");
        std::fs::write(&plain, "late\n").unwrap();
        assert_eq!(all(dir.path()), "one\ntwo\nlate\n");
        let file = DayFile::open(dir.path(), day()).unwrap();
        assert_eq!(file.count_lines().unwrap(), 3);
        let lines = file.read_lines([(8, 4), (4, 3), (0, 3), (90, 3)]);
        assert_eq!(
            (lines[&0].as_str(), lines[&4].as_str(), lines[&8].as_str()),
            ("one", "two", "late")
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_size_of_an_archive_of_others_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("index")).unwrap();
        let path = archive_path(dir.path(), day());
        let mut encoder = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        encoder.write_all(b"one\ntwo\n").unwrap();
        encoder.finish().unwrap();
        assert_eq!(list(dir.path()).unwrap(), [(day(), None)]);
        assert_eq!(DayFile::open(dir.path(), day()).unwrap().len().unwrap(), 8);
        assert_eq!(all(dir.path()), "one\ntwo\n", "and is known from then on");
        std::fs::write(super::path(dir.path(), day()), "late\n").unwrap();
        assert_eq!(all(dir.path()), "one\ntwo\nlate\n");
    }
}
