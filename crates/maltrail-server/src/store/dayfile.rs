//! Day files: `LOG_DIR/YYYY-MM-DD.log`, event lines, append-only. They are the truth.
//!
//! Only names of exactly that form count as days. Files are read by offset in chunks of whole
//! lines, so bytes appended by any writer, ours or a sensor on this machine, are seen alike.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use maltrail_core::time::Day;

/// Bytes read at once: about 30,000 lines, one transaction of the index.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// Path of a day's file.
pub(crate) fn path(log_dir: &Path, day: Day) -> PathBuf {
    log_dir.join(format!("{day}.log"))
}

/// The day that a file name stands for.
pub(crate) fn day_of_name(name: &str) -> Option<Day> {
    name.strip_suffix(".log")?.parse().ok()
}

/// Every day with a file and the file's size, newest first.
pub(crate) fn list(log_dir: &Path) -> io::Result<Vec<(Day, u64)>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(log_dir)? {
        let entry = entry?;
        let day = entry.file_name().to_str().and_then(day_of_name);
        let size = entry
            .metadata()
            .ok()
            .filter(|meta| meta.is_file())
            .map(|meta| meta.len());
        if let (Some(day), Some(size)) = (day, size) {
            days.push((day, size));
        }
    }
    days.sort_unstable_by(|left, right| right.cmp(left));
    Ok(days)
}

/// Size of a day's file; 0 when there is none.
pub(crate) fn size(log_dir: &Path, day: Day) -> u64 {
    std::fs::metadata(path(log_dir, day)).map_or(0, |meta| meta.len())
}

/// Whole lines from `offset` on, at most [`CHUNK_BYTES`]. Empty when no line is complete. A stretch
/// of that size without a line end is returned as it is, so that a damaged file cannot stop the
/// reader.
pub(crate) fn read_chunk(file: &File, offset: u64, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.resize(CHUNK_BYTES, 0);
    let mut used = 0;
    while let Some(free) = chunk.get_mut(used..).filter(|free| !free.is_empty()) {
        match file.read_at(free, offset + used as u64) {
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
pub(crate) fn read_line(file: &File, offset: u64, len: usize) -> Option<String> {
    let mut line = vec![0; len.min(maltrail_core::limits::EVENT_LINE_BYTES)];
    file.read_exact_at(&mut line, offset).ok()?;
    String::from_utf8(line).ok()
}

/// Number of lines of a file, for days that have no index yet.
pub(crate) fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut lines = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(lines);
        }
        let read = buffer.get(..count).unwrap_or_default();
        lines += read.iter().filter(|&&byte| byte == b'\n').count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_days() {
        for bad in [
            "notaday.log",
            "2026-11-2.log",
            "2026-11-20.log.gz",
            "2026-02-30.log",
            "2026-11-20",
        ] {
            assert_eq!(day_of_name(bad), None, "{bad}");
        }
        assert!(day_of_name("2026-11-20.log").is_some());
    }

    #[test]
    fn a_chunk_ends_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let file = File::open(&path).unwrap();
        let mut chunk = Vec::new();
        read_chunk(&file, 0, &mut chunk).unwrap();
        assert_eq!(chunk, b"one\ntwo\n");
        read_chunk(&file, 8, &mut chunk).unwrap();
        assert!(chunk.is_empty(), "an unfinished line waits");
        std::fs::write(&path, vec![b'x'; CHUNK_BYTES + 5]).unwrap();
        read_chunk(&File::open(&path).unwrap(), 0, &mut chunk).unwrap();
        assert_eq!(
            chunk.len(),
            CHUNK_BYTES,
            "a stretch without a line end is passed over"
        );
    }
}
