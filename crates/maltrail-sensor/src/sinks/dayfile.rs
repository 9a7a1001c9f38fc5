//! `LOG_DIR/YYYY-MM-DD.log` and `.json`: one line an event, local day of the event.
//!
//! Lines of a batch go out in one write, so a reader that follows the file sees whole lines. What a
//! full disk refuses is kept (up to 1 MiB) and tried again with the next batch; a line that was cut by
//! a short write is completed first. A file that was moved away, as logrotate does, is opened anew.
//! Whatever the umask, the group may read a file that is made here: the server may run as another user.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use maltrail_core::event::Event;
use maltrail_core::time::{Day, Zone};
use tracing::{error, info};

/// Bytes kept for a file that cannot be written; beyond it events are lost and counted.
const BACKLOG_BYTES: usize = 1 << 20;

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Lines.
    Log,
    /// JSON objects.
    Json,
}

impl Extension {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Json => "json",
        }
    }
}

/// The log folder cannot be used.
#[derive(Debug)]
pub struct DayFileError {
    folder: PathBuf,
    source: io::Error,
}

impl std::fmt::Display for DayFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot write into the log folder `{}`: {} (LOG_DIR names it; run as its owner or change it)",
            self.folder.display(),
            self.source
        )
    }
}

impl std::error::Error for DayFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Writer of one kind of day file.
pub struct DayFile {
    folder: PathBuf,
    extension: Extension,
    open: Option<(Day, File)>,
    /// Bytes of the open day that are not written yet.
    backlog: Vec<u8>,
    failing: bool,
    /// Events since the last report.
    stored: usize,
    lost: usize,
}

impl DayFile {
    /// Makes the folder when it is absent and checks that files can be made in it.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(folder: &Path, extension: Extension) -> Result<Self, DayFileError> {
        let prepare = || -> io::Result<()> {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)?;
            let probe = folder.join(format!(".probe-{}", std::process::id()));
            File::create(&probe)?;
            std::fs::remove_file(probe)
        };
        prepare().map_err(|source| DayFileError {
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            extension,
            open: None,
            backlog: Vec::new(),
            failing: false,
            stored: 0,
            lost: 0,
        })
    }

    /// Appends events as `encode` writes them, one line each; returns how many were stored and how many
    /// were lost. Those of earlier batches that were kept are among them; the rest is kept.
    pub fn write(
        &mut self,
        events: &[Event],
        encode: impl Fn(&Event, &mut String),
        zone: &Zone,
    ) -> (usize, usize) {
        let mut text = String::new();
        for event in events {
            let day = zone.day(event.time);
            if self.open.as_ref().is_none_or(|(open, _)| *open != day) {
                self.flush();
                self.turn_to(day);
            }
            text.clear();
            encode(event, &mut text);
            if self.backlog.len() + text.len() <= BACKLOG_BYTES || self.flush() {
                self.backlog.extend_from_slice(text.as_bytes());
            } else {
                self.lost += 1;
            }
        }
        self.flush();
        (
            std::mem::take(&mut self.stored),
            std::mem::take(&mut self.lost),
        )
    }

    /// Tries a last time to write what was kept; returns how many events were stored and how many are
    /// lost.
    pub fn finish(&mut self) -> (usize, usize) {
        if !self.flush() {
            self.give_up("the program ends");
        }
        (
            std::mem::take(&mut self.stored),
            std::mem::take(&mut self.lost),
        )
    }

    /// Forgets the backlog.
    fn give_up(&mut self, occasion: &str) {
        let count = lines(&self.backlog);
        error!("{occasion} with {count} log lines that could not be written; they are lost");
        self.lost += count;
        self.backlog.clear();
    }

    fn path(&self, day: Day) -> PathBuf {
        self.folder
            .join(format!("{day}.{}", self.extension.as_str()))
    }

    /// Opens the file of a day. What the old one still owes is lost with it, and said.
    fn turn_to(&mut self, day: Day) {
        if !self.backlog.is_empty() {
            self.give_up("the day ends");
        }
        self.open = match open(&self.path(day)) {
            Ok(file) => Some((day, file)),
            Err(error) => {
                self.complain(&error);
                None
            }
        };
    }

    /// Writes the backlog; true when nothing is left.
    fn flush(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        self.reopen_if_moved();
        let Some((_, file)) = &mut self.open else {
            return false;
        };
        while !self.backlog.is_empty() {
            match file.write(&self.backlog) {
                Ok(0) => return false,
                Ok(count) => {
                    self.stored += lines(self.backlog.get(..count).unwrap_or_default());
                    self.backlog.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.complain(&error);
                    return false;
                }
            }
        }
        if std::mem::take(&mut self.failing) {
            info!("log lines are written again");
        }
        true
    }

    fn reopen_if_moved(&mut self) {
        let Some((day, file)) = &self.open else {
            return;
        };
        let path = self.path(*day);
        let same = file.metadata().and_then(|open| {
            let there = std::fs::metadata(&path)?;
            Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
        });
        if !same.unwrap_or(false) {
            let day = *day;
            match open(&path) {
                Ok(file) => self.open = Some((day, file)),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// One message when trouble starts, not one an event.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            error!(
                "cannot write log lines to `{}`: {error}; they are kept and tried again",
                self.folder.display()
            );
        }
    }
}

/// Events in whole lines.
fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Read by the group.
const GROUP_READS: u32 = 0o040;

/// Opens a log file for appending, and makes it when it is absent: mode 0644 less the umask, but read by
/// the group in any case.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o644);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            let mode = file.metadata()?.mode() & 0o7777;
            if mode & GROUP_READS == 0 {
                file.set_permissions(Permissions::from_mode(mode | GROUP_READS))?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn event(line_time: &str) -> Event {
        let line =
            format!("\"{line_time}\" s 192.0.2.1 1 203.0.113.7 443 TCP IP 203.0.113.7 x r\n");
        Event::parse_line(&line, &Zone::UTC).expect("line")
    }

    fn write(file: &mut DayFile, events: &[Event]) -> (usize, usize) {
        file.write(
            events,
            |event, out| event.write_line(&Zone::UTC, out),
            &Zone::UTC,
        )
    }

    #[test]
    fn events_go_to_the_file_of_their_day() {
        let folder = tempfile::tempdir().expect("folder");
        let mut file = DayFile::open(&folder.path().join("a/b"), Extension::Log).expect("open");
        let events = [
            event("2023-11-14 23:59:59.999999"),
            event("2023-11-15 00:00:00.000000"),
            event("2023-11-14 12:00:00.000000"),
        ];
        assert_eq!(write(&mut file, &events), (3, 0));
        let read = |day: &str| {
            fs::read_to_string(folder.path().join(format!("a/b/{day}.log"))).expect("file")
        };
        assert_eq!(
            read("2023-11-14"),
            events[0].to_line(&Zone::UTC) + &events[2].to_line(&Zone::UTC)
        );
        assert_eq!(read("2023-11-15"), events[1].to_line(&Zone::UTC));
    }

    #[test]
    fn a_moved_file_is_opened_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let mut file = DayFile::open(folder.path(), Extension::Log).expect("open");
        let path = folder.path().join("2023-11-14.log");
        write(&mut file, &[event("2023-11-14 12:00:00.000000")]);
        fs::rename(&path, folder.path().join("rotated")).expect("rename");
        write(&mut file, &[event("2023-11-14 12:00:01.000000")]);
        assert_eq!(
            fs::read_to_string(&path).expect("new file").lines().count(),
            1
        );
    }

    #[test]
    fn what_a_full_disk_refuses_is_written_later_and_beyond_the_bound_counted() {
        let folder = tempfile::tempdir().expect("folder");
        let mut file = DayFile::open(folder.path(), Extension::Log).expect("open");
        let one = event("2023-11-14 12:00:00.000000");
        // The device that is always full stands in the place of the day's file.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("2023-11-14.log"))
            .expect("link");
        assert_eq!(write(&mut file, std::slice::from_ref(&one)), (0, 0));
        assert!(file.failing);
        let many = vec![one.clone(); BACKLOG_BYTES / one.to_line(&Zone::UTC).len() + 10];
        let (stored, lost) = write(&mut file, &many);
        assert!(stored == 0 && lost > 0 && lost < many.len() / 2, "{lost}");
        fs::remove_file(folder.path().join("2023-11-14.log")).expect("remove");
        let (stored, late) = write(&mut file, std::slice::from_ref(&one));
        let text = fs::read_to_string(folder.path().join("2023-11-14.log")).expect("file");
        assert!(
            text.lines()
                .all(|line| format!("{line}\n") == one.to_line(&Zone::UTC))
        );
        // Every event is in the file or counted as lost.
        assert_eq!(text.lines().count(), stored);
        assert_eq!(stored + lost + late, many.len() + 2);
        assert!(!file.failing && file.finish() == (0, 0));
    }

    #[test]
    fn what_is_kept_when_the_day_or_the_program_ends_is_counted() {
        let folder = tempfile::tempdir().expect("folder");
        let mut file = DayFile::open(folder.path(), Extension::Json).expect("open");
        for day in ["2023-11-14", "2023-11-15"] {
            let path = folder.path().join(format!("{day}.json"));
            std::os::unix::fs::symlink("/dev/full", path).expect("link");
        }
        let first = event("2023-11-14 12:00:00.000000");
        let second = event("2023-11-15 12:00:00.000000");
        assert_eq!(write(&mut file, &[first.clone(), first]), (0, 0));
        assert_eq!(
            write(&mut file, &[second]),
            (0, 2),
            "the day before is over"
        );
        assert_eq!(file.finish(), (0, 1));
    }

    /// The umask is the process's: a file that exists already is left as it is, a new one is read by the
    /// group.
    #[test]
    fn the_group_reads_what_is_made_here() {
        let folder = tempfile::tempdir().expect("folder");
        let mode = |path: &Path| fs::metadata(path).expect("file").mode() & 0o777;
        let old = folder.path().join("old");
        fs::write(&old, "x").expect("file");
        fs::set_permissions(&old, Permissions::from_mode(0o600)).expect("mode");
        drop(open(&old).expect("opens"));
        assert_eq!(mode(&old), 0o600);
        let strict = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
        let new = folder.path().join("new");
        let made = open(&new);
        rustix::process::umask(strict);
        drop(made.expect("opens"));
        assert_eq!(mode(&new), 0o640);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_a_remedy() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("file"), "").expect("file");
        let error = DayFile::open(&folder.path().join("file/logs"), Extension::Log)
            .err()
            .expect("error")
            .to_string();
        assert!(
            error.contains("cannot write into the log folder") && error.contains("LOG_DIR"),
            "{error}"
        );
    }
}
