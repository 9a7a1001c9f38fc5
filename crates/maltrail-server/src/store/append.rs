//! Writing day files: append-only, one write per day, kind and batch. What a sensor says beyond the line
//! goes into `DATE.json` beside `DATE.log`.
//!
//! Guarantees: a line is counted as stored only after the write that holds it has returned; a failed
//! write leaves its bytes here, and [`Appender::flush`] tries them again, going on after what a short
//! write did store; a file whose last line was cut by a crash gets a line end before anything else.
//! A file that was moved away is opened anew. Bounds: [`MAX_OPEN`] files; the caller takes no further
//! batch while a write fails, so at most one batch of lines waits here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use maltrail_core::event::EventId;
use maltrail_core::time::Day;

use super::ids::DayIds;
use super::{Store, dayfile, lock};

/// Day files kept open; senders with old events may need several.
const MAX_OPEN: usize = 8;

/// A day that is being written.
#[derive(Debug)]
struct OpenDay {
    day: Day,
    file: Option<File>,
    /// What this process appended, for days that are not in memory.
    ids: DayIds,
    waiting: Vec<u8>,
    /// `DATE.json`, and what waits for it.
    json_file: Option<File>,
    json: Vec<u8>,
    lines: u64,
    used: u64,
}

/// Appends lines to day files.
#[derive(Debug)]
pub(crate) struct Appender {
    store: Store,
    days: Vec<OpenDay>,
    clock: u64,
}

impl Appender {
    pub(crate) const fn new(store: Store) -> Self {
        Self {
            store,
            days: Vec::new(),
            clock: 0,
        }
    }

    /// Adds a line and what is said beyond it, unless its event is stored already.
    pub(crate) fn push(&mut self, day: Day, id: EventId, line: &str, json: Option<&str>) {
        self.clock += 1;
        if !self.days.iter().any(|open| open.day == day) {
            self.make_room();
            self.days.push(OpenDay::new(day));
        }
        let hot = self.store.hot(day);
        let Some(open) = self.days.iter_mut().find(|open| open.day == day) else {
            return;
        };
        open.used = self.clock;
        let new = open.ids.append(id) && hot.is_none_or(|hot| hot.ids().append(id));
        if !new {
            self.store.intake().duplicates.add(1);
            return;
        }
        open.waiting.extend_from_slice(line.as_bytes());
        open.waiting.push(b'\n');
        open.lines += 1;
        if let Some(json) = json {
            open.json.extend_from_slice(json.as_bytes());
            open.json.push(b'\n');
        }
    }

    /// Writes what waits and wakes the indexer.
    ///
    /// # Errors
    /// The first failed write; the bytes stay and the next call tries again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        let mut grown = Vec::new();
        for open in self.days.iter_mut().filter(|open| open.owes()) {
            let lines = open.lines;
            match open.write(&self.store) {
                Ok(()) => {
                    self.store.intake().stored.add(lines);
                    grown.push(open.day);
                }
                Err(error) => {
                    (open.file, open.json_file) = (None, None);
                    result = Err(error);
                }
            }
        }
        if !grown.is_empty() {
            self.store.grown(grown);
        }
        result
    }

    /// Lines that are not written yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.days.iter().map(|open| open.lines).sum()
    }

    /// Closes the least recently used day that has nothing to write.
    fn make_room(&mut self) {
        if self.days.len() < MAX_OPEN {
            return;
        }
        let idle = self
            .days
            .iter()
            .enumerate()
            .filter(|(_, open)| !open.owes());
        if let Some((at, _)) = idle.min_by_key(|(_, open)| open.used) {
            self.days.swap_remove(at);
        }
    }
}

impl OpenDay {
    fn new(day: Day) -> Self {
        Self {
            day,
            file: None,
            ids: DayIds::default(),
            waiting: Vec::new(),
            json_file: None,
            json: Vec::new(),
            lines: 0,
            used: 0,
        }
    }

    /// Whether something is not written yet.
    fn owes(&self) -> bool {
        !self.waiting.is_empty() || !self.json.is_empty()
    }

    fn write(&mut self, store: &Store) -> io::Result<()> {
        // Not while the file is removed because it is packed.
        let _writing = lock(&store.0.writing);
        let path = dayfile::path(store.log_dir(), self.day);
        append(&mut self.file, &path, &mut self.waiting)?;
        append(
            &mut self.json_file,
            &path.with_extension("json"),
            &mut self.json,
        )?;
        self.lines = 0;
        Ok(())
    }
}

/// Appends what waits to the file at `path`, which is opened anew when it was moved away.
fn append(open: &mut Option<File>, path: &Path, waiting: &mut Vec<u8>) -> io::Result<()> {
    if waiting.is_empty() {
        return Ok(());
    }
    let moved = open.as_ref().is_some_and(|file| {
        let ours = file.metadata().map(|meta| meta.ino()).ok();
        ours != std::fs::metadata(path).map(|meta| meta.ino()).ok()
    });
    if moved {
        *open = None;
    }
    let file = match open {
        Some(file) => file,
        None => {
            let mut options = OpenOptions::new();
            let mut file = options
                .append(true)
                .read(true)
                .create(true)
                .mode(0o640)
                .open(path)?;
            end_last_line(&mut file)?;
            open.insert(file)
        }
    };
    while !waiting.is_empty() {
        match file.write(waiting) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => drop(waiting.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends a line that a crash cut. Nothing to do for an empty or whole file.
pub(super) fn end_last_line(file: &mut File) -> io::Result<()> {
    let len = file.metadata()?.len();
    let mut last = [b'\n'];
    if len > 0 {
        file.read_exact_at(&mut last, len - 1)?;
    }
    if last == [b'\n'] {
        Ok(())
    } else {
        file.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::time::Zone;

    fn appender() -> (tempfile::TempDir, Appender, Day) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        (dir, Appender::new(store), "2026-11-19".parse().unwrap())
    }

    #[test]
    fn what_is_said_beyond_the_line_stands_beside_it_once() {
        let (dir, mut appender, day) = appender();
        appender.push(day, EventId(1), "one", Some("{}"));
        appender.push(day, EventId(2), "two", None);
        appender.push(day, EventId(1), "one", Some("{}"));
        appender.flush().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("2026-11-19.log"), "one\ntwo\n");
        assert_eq!(read("2026-11-19.json"), "{}\n");
        // The file of objects cannot be written: the line is stored, the object waits.
        std::fs::remove_file(dir.path().join("2026-11-19.json")).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("2026-11-19.json")).unwrap();
        appender.push(day, EventId(3), "three", Some("{3}"));
        assert!(appender.flush().is_err());
        assert_eq!(appender.waiting(), 1);
        std::fs::remove_file(dir.path().join("2026-11-19.json")).unwrap();
        appender.flush().unwrap();
        assert_eq!(read("2026-11-19.json"), "{3}\n");
        assert_eq!(read("2026-11-19.log"), "one\ntwo\nthree\n");
        assert_eq!(appender.store.intake().stored.get(), 3);
    }

    #[test]
    fn a_cut_line_is_ended_first() {
        let (dir, mut appender, day) = appender();
        let path = dir.path().join("2026-11-19.log");
        std::fs::write(&path, "half a li").unwrap();
        appender.push(day, EventId(1), "whole", None);
        appender.flush().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "half a li\nwhole\n");
    }

    #[test]
    fn a_failed_write_is_kept_counted_and_tried_again() {
        let (dir, mut appender, day) = appender();
        let path = dir.path().join("2026-11-19.log");
        std::fs::create_dir(&path).unwrap();
        appender.push(day, EventId(1), "one", None);
        assert!(appender.flush().is_err());
        assert_eq!(
            (appender.waiting(), appender.store.intake().stored.get()),
            (1, 0)
        );
        std::fs::remove_dir(&path).unwrap();
        appender.push(day, EventId(2), "two", None);
        appender.push(day, EventId(1), "one", None);
        appender.flush().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
        let counters = appender.store.intake();
        assert_eq!(
            (
                counters.stored.get(),
                counters.duplicates.get(),
                appender.waiting()
            ),
            (2, 1, 0)
        );
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let (dir, mut appender, day) = appender();
        let path = dir.path().join("2026-11-19.log");
        appender.push(day, EventId(1), "one", None);
        appender.flush().unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        appender.push(day, EventId(2), "two", None);
        appender.flush().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "two\n");
    }

    #[test]
    fn open_files_are_bounded() {
        let (_dir, mut appender, day) = appender();
        for back in 0..40 {
            appender.push(
                day.plus(-back),
                EventId(back.unsigned_abs().into()),
                "x",
                None,
            );
            appender.flush().unwrap();
        }
        assert_eq!(appender.days.len(), MAX_OPEN);
    }
}
