//! `LOG_DIR/error.log`: warnings and errors, `YYYY-MM-DD HH:MM:SS message`, local time.
//!
//! The same message is written again after an hour at the earliest. Bounds: [`KNOWN`] messages are
//! remembered, the oldest is forgotten first; [`PER_MINUTE`] lines a minute, so that messages which all
//! differ cannot fill the disk either. What is left out beyond that is counted in a line of its own.
//! A file that cannot be written is tried again with the next message; nothing is said about it here, as
//! that would be a message again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use maltrail_core::time::{Timestamp, Zone};

use super::dayfile;

/// Messages that are remembered, by hash.
const KNOWN: usize = 1000;
/// Seconds after which the same message is written again.
const AGAIN_SECS: i64 = 3600;
/// Lines of one minute.
const PER_MINUTE: u32 = 60;
/// Longest message in bytes.
const MESSAGE_BYTES: usize = 2000;

/// The writer of `error.log`.
pub struct ErrorLog {
    path: PathBuf,
    zone: Zone,
    hasher: RandomState,
    written: HashMap<u64, i64>,
    /// The remembered ones, oldest first.
    order: VecDeque<u64>,
    minute: i64,
    lines: u32,
    left_out: u64,
}

impl ErrorLog {
    /// Writes into this folder; nothing is opened before there is something to write.
    #[must_use]
    pub fn new(folder: &Path, zone: Zone) -> Self {
        Self {
            path: folder.join("error.log"),
            zone,
            hasher: RandomState::new(),
            written: HashMap::new(),
            order: VecDeque::new(),
            minute: 0,
            lines: 0,
            left_out: 0,
        }
    }

    /// Writes a message, unless it is too soon for it.
    pub fn record(&mut self, now: Timestamp, message: &str) {
        let secs = now.secs();
        if !self.is_news(secs, message) {
            return;
        }
        let minute = secs.div_euclid(60);
        let mut text = String::new();
        if minute != self.minute {
            (self.minute, self.lines) = (minute, 0);
            let left_out = std::mem::take(&mut self.left_out);
            if left_out > 0 {
                self.write_line(now, &format!("{left_out} more messages"), &mut text);
            }
        }
        if self.lines >= PER_MINUTE {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        self.write_line(now, message, &mut text);
        // One write a message: whoever follows the file sees whole lines; rotation needs no signal.
        let _ = dayfile::open(&self.path).and_then(|mut file| file.write_all(text.as_bytes()));
    }

    fn is_news(&mut self, secs: i64, message: &str) -> bool {
        let key = self.hasher.hash_one(message);
        match self.written.get_mut(&key) {
            // A clock that was set back must not silence a message for long.
            Some(at) if (0..AGAIN_SECS).contains(&(secs - *at)) => false,
            Some(at) => {
                *at = secs;
                true
            }
            None => {
                if self.order.len() >= KNOWN
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.written.remove(&oldest);
                }
                self.order.push_back(key);
                self.written.insert(key, secs);
                true
            }
        }
    }

    fn write_line(&self, now: Timestamp, message: &str, out: &mut String) {
        let start = out.len();
        self.zone.write_log_time(now, out);
        out.truncate(start + "YYYY-MM-DD HH:MM:SS".len());
        out.push(' ');
        let mut end = message.len().min(MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        // A message must not forge lines.
        out.extend(message[..end].chars().map(
            |letter| {
                if letter.is_control() { ' ' } else { letter }
            },
        ));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000;

    fn log() -> (tempfile::TempDir, ErrorLog) {
        let folder = tempfile::tempdir().expect("folder");
        let log = ErrorLog::new(folder.path(), Zone::UTC);
        (folder, log)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(START + secs, 5)
    }

    fn lines(folder: &tempfile::TempDir) -> Vec<String> {
        let text = std::fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_message_is_written_once_an_hour_and_on_one_line() {
        let (folder, mut log) = log();
        for secs in [0, 1, 3599, 3600, 3601] {
            log.record(at(secs), "disk\nfull\u{1b}[2J");
        }
        log.record(at(3602), "other");
        assert_eq!(
            lines(&folder),
            [
                "2023-11-14 22:13:20 disk full [2J",
                "2023-11-14 23:13:20 disk full [2J",
                "2023-11-14 23:13:22 other",
            ]
        );
    }

    #[test]
    fn messages_that_all_differ_are_bounded_in_memory_and_on_disk() {
        let (folder, mut log) = log();
        // 22:13:20, so that this minute has 40 seconds left.
        for n in 0..KNOWN + 50 {
            log.record(at(0), &format!("message {n}"));
        }
        assert_eq!((log.written.len(), log.order.len()), (KNOWN, KNOWN));
        assert_eq!(lines(&folder).len(), PER_MINUTE as usize);
        log.record(at(40), "next minute");
        let all = lines(&folder);
        let left_out = KNOWN + 50 - PER_MINUTE as usize;
        assert_eq!(
            all[PER_MINUTE as usize..],
            [
                format!("2023-11-14 22:14:00 {left_out} more messages"),
                "2023-11-14 22:14:00 next minute".to_owned(),
            ]
        );
        // The oldest were forgotten, the latest were not.
        log.record(at(41), "message 0");
        log.record(at(41), &format!("message {}", KNOWN + 49));
        assert_eq!(lines(&folder).len(), all.len() + 1);
    }

    #[test]
    fn a_long_message_is_cut_at_a_letter_and_a_lost_folder_is_no_panic() {
        let (folder, mut log) = log();
        log.record(at(0), &"é".repeat(MESSAGE_BYTES));
        let line = lines(&folder).remove(0);
        assert_eq!(line.len(), 20 + MESSAGE_BYTES);
        std::fs::remove_dir_all(folder.path()).expect("remove");
        log.record(at(1), "gone");
    }
}
