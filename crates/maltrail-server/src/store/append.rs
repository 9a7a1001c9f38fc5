//! Writing day files: append-only, one write per day, kind and batch. What a sensor says beyond the line
//! goes into `DATE.json` beside `DATE.log`.
//!
//! Guarantees: a line is counted as stored only after the write that holds it has returned; a failed
//! write leaves its bytes here, and [`Appender::flush`] tries them again, going on in the middle of a line
//! where a full disk cut it; a file whose last line was cut by a crash gets a line end before anything else.
//! A file that was moved away is opened anew. Bounds: [`MAX_OPEN`] files; the caller takes no further
//! batch while a write fails, so at most one batch of lines waits here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use maltrail_core::event::EventId;
use maltrail_core::time::Day;

use super::ids::DayIds;
use super::trace::Window;
use super::{Store, dayfile, lock};

/// Day files kept open; senders with old events may need several.
const MAX_OPEN: usize = 8;

/// A day that is being written.
#[derive(Debug)]
struct OpenDay {
    day: Day,
    /// What this process appended, for days that are not in memory.
    ids: DayIds,
    /// `DATE.log`
    log: Target,
    /// `DATE.json`
    json: Target,
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
        open.log.add(line);
        open.lines += 1;
        if let Some(json) = json {
            open.json.add(json);
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
                    (open.log.file, open.json.file) = (None, None);
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
            ids: DayIds::default(),
            log: Target::default(),
            json: Target::default(),
            lines: 0,
            used: 0,
        }
    }

    /// Whether something is not written yet.
    fn owes(&self) -> bool {
        !self.log.waiting.is_empty() || !self.json.waiting.is_empty()
    }

    fn write(&mut self, store: &Store) -> io::Result<()> {
        // Not while the file is removed because it is packed.
        let _writing = lock(&store.0.writing);
        let _window = store.0.trace.enter(Window::Append);
        let path = dayfile::path(store.log_dir(), self.day);
        self.log.append(&path)?;
        self.json.append(&path.with_extension("json"))?;
        self.lines = 0;
        Ok(())
    }
}

/// A file, and whole lines that wait for it.
#[derive(Debug, Default)]
struct Target {
    file: Option<File>,
    waiting: Vec<u8>,
    /// Bytes of the first line that a failed write left in the file.
    done: usize,
}

impl Target {
    fn add(&mut self, line: &str) {
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
    }

    /// Appends what waits to the file at `path`, which is opened anew when it was moved away. On an error, what
    /// was written is taken off; a line of which a part was written is gone on with when that part
    /// still ends the file, and written anew otherwise.
    fn append(&mut self, path: &Path) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let moved = self.file.as_ref().is_some_and(|file| {
            let ours = file.metadata().map(|meta| meta.ino()).ok();
            ours != std::fs::metadata(path).map(|meta| meta.ino()).ok()
        });
        if moved {
            self.file = None;
        }
        let is_new = self.file.is_none();
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                options.append(true).read(true).create(true).mode(0o640);
                none.insert(options.open(path)?)
            }
        };
        let begun = self.waiting.get(..self.done).unwrap_or_default();
        let goes_on = !begun.is_empty() && ends_with(file, begun)?;
        if !goes_on && (is_new || !begun.is_empty()) {
            end_last_line(file)?;
        }
        if !goes_on {
            self.done = 0;
        }
        let result = write_rest(file, &self.waiting, &mut self.done);
        let written = self.waiting.get(..self.done).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
        self.waiting.drain(..whole);
        self.done -= whole;
        result
    }
}

fn write_rest(file: &mut File, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn ends_with(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let Some(at) = file.metadata()?.len().checked_sub(bytes.len() as u64) else {
        return Ok(false);
    };
    let mut end = vec![0; bytes.len()];
    file.read_exact_at(&mut end, at)?;
    Ok(end == bytes)
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
    fn a_line_that_a_full_disk_cut_is_gone_on_with() {
        let (dir, mut appender, day) = appender();
        let path = dir.path().join("2026-11-19.log");
        appender.push(day, EventId(1), "one", None);
        appender.flush().unwrap();
        for (end, wanted) in [
            // As it was left.
            ("one\ntw", "one\ntwo\nthree\n"),
            // Another program wrote behind it, or somebody made room.
            ("one\ntwother\n", "one\ntwother\ntwo\nthree\n"),
            ("one\ntwoth", "one\ntwoth\ntwo\nthree\n"),
            ("", "two\nthree\n"),
        ] {
            for closed in [false, true] {
                std::fs::write(&path, end).unwrap();
                let target = &mut appender.days[0].log;
                target.waiting = b"two\nthree\n".to_vec();
                target.done = 2;
                if closed {
                    target.file = None;
                }
                appender.flush().unwrap();
                assert_eq!(
                    std::fs::read_to_string(&path).unwrap(),
                    wanted,
                    "{end:?} {closed}"
                );
                assert_eq!(appender.days[0].log.done, 0);
            }
        }
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
