//! One datagram → the line to store, or the reason why not.
//!
//! Both forms are read: `<epoch second> <line>` and the bare line. The line is stored byte for byte
//! (final line ends aside), so it must be a whole event: eleven columns, a time, a type, no control
//! characters. The day file is that of the epoch second in the server's zone, else of the line.

use std::io;
use std::time::{Duration, Instant};

use maltrail_core::event::line::split_columns;
use maltrail_core::event::seal::is_sealed;
use maltrail_core::event::{EventId, Kind, LineError};
use maltrail_core::time::{Day, Timestamp, Zone};

use crate::store::counters::IntakeCounters;

/// Events further ahead than this are refused: a sender with a wrong clock, or a forger who wants
/// day files of the future.
pub(crate) const MAX_AHEAD_SECS: i64 = 86_400;
/// Events older than this are refused. A sensor that was offline for months may still deliver; a
/// forger cannot create more than 367 day files.
pub(crate) const MAX_AGE_SECS: i64 = 366 * 86_400;
/// A disk that stays full is said again after this time.
const REPEAT: Duration = Duration::from_secs(600);
/// The line's own time may differ from the epoch second by the distance of two zones (26 hours).
const MAX_ZONE_SECS: i64 = 26 * 3600;

/// A line to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted<'a> {
    pub(crate) day: Day,
    pub(crate) id: EventId,
    pub(crate) line: &'a str,
}

/// Why a datagram is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reject {
    #[error("it is not UTF-8")]
    Utf8,
    #[error("{0}")]
    Line(#[from] LineError),
    #[error("it is sealed with a UDP_KEY, and this server has none")]
    Sealed,
    #[error("it is dated more than one day ahead of the server's clock")]
    Ahead,
    #[error("it is older than 366 days")]
    Old,
    #[error("{0}")]
    Object(&'static str),
    #[error("its epoch second and the time in its line are more than 26 hours apart")]
    Disagree,
}

impl Reject {
    /// Counts the reason.
    pub(crate) fn count(self, counters: &IntakeCounters) {
        counters.rejected.add(1);
        match self {
            Self::Utf8 => counters.rejected_utf8.add(1),
            Self::Line(_) | Self::Object(_) | Self::Sealed => counters.rejected_line.add(1),
            Self::Ahead | Self::Old | Self::Disagree => counters.rejected_time.add(1),
        }
    }
}

/// Checks datagrams. Remembers the last second and day: neighbours mostly share them, and asking the
/// time zone is the dearest step.
#[derive(Debug)]
pub(crate) struct Checker {
    zone: Zone,
    second: (String, i64),
    day: Option<(i64, Day)>,
}

impl Checker {
    pub(crate) const fn new(zone: Zone) -> Self {
        Self {
            zone,
            second: (String::new(), 0),
            day: None,
        }
    }

    /// Seconds of a log time; `None` when it is not one.
    fn secs(&mut self, time: &str) -> Option<i64> {
        let (head, fraction) = time.split_at_checked(19).unwrap_or((time, ""));
        let digits = fraction.strip_prefix('.').is_some_and(|digits| {
            (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if head == self.second.0 && (digits || fraction.is_empty()) {
            return Some(self.second.1);
        }
        let secs = self.zone.parse_log_time(time)?.secs();
        self.second = (head.to_owned(), secs);
        Some(secs)
    }

    fn day(&mut self, secs: i64) -> Day {
        match self.day {
            Some((known, day)) if known == secs => day,
            _ => {
                let day = self.zone.day(Timestamp::from_parts(secs, 0));
                self.day = Some((secs, day));
                day
            }
        }
    }

    /// Checks one datagram.
    pub(crate) fn check<'a>(
        &mut self,
        datagram: &'a [u8],
        now: Timestamp,
    ) -> Result<Accepted<'a>, Reject> {
        if is_sealed(datagram) {
            return Err(Reject::Sealed);
        }
        let text = std::str::from_utf8(datagram).map_err(|_| Reject::Utf8)?;
        let text = text.trim_end_matches(['\r', '\n']);
        let (epoch, line) = split_epoch(text)?;
        self.check_line(line, epoch, now)
    }

    /// Checks a line, and the second that was told with it.
    pub(crate) fn check_line<'a>(
        &mut self,
        line: &'a str,
        epoch: Option<i64>,
        now: Timestamp,
    ) -> Result<Accepted<'a>, Reject> {
        let columns = split_columns(line)?;
        let [time, _, _, _, _, _, _, kind, ..] = &columns;
        let line_secs = self.secs(time).ok_or(LineError::Time)?;
        Kind::parse(kind).ok_or(LineError::Kind)?;
        let at = epoch.unwrap_or(line_secs);
        let age = now.secs() - at;
        if age < -MAX_AHEAD_SECS {
            return Err(Reject::Ahead);
        }
        if age > MAX_AGE_SECS {
            return Err(Reject::Old);
        }
        if (at - line_secs).abs() > MAX_ZONE_SECS {
            return Err(Reject::Disagree);
        }
        let day = self.day(at);
        Ok(Accepted {
            day,
            id: EventId::of_line(line),
            line,
        })
    }
}

fn split_epoch(text: &str) -> Result<(Option<i64>, &str), LineError> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok((None, text));
    }
    let (epoch, line) = text.split_once(' ').ok_or(LineError::Epoch)?;
    let digits = epoch.len() <= 12 && epoch.bytes().all(|byte| byte.is_ascii_digit());
    let epoch = digits
        .then(|| epoch.parse().ok())
        .flatten()
        .ok_or(LineError::Epoch)?;
    Ok((Some(epoch), line))
}

/// Tells about rejected datagrams and failed writes, at most once per period.
#[derive(Debug)]
pub(crate) struct RejectReport {
    period: Duration,
    rejects: Option<(Reject, u64)>,
    told_rejects: Option<Instant>,
    told_write: Option<Instant>,
}

impl RejectReport {
    pub(crate) const fn new(period: Duration) -> Self {
        Self {
            period,
            rejects: None,
            told_rejects: None,
            told_write: None,
        }
    }

    /// Remembers a rejected datagram.
    pub(crate) fn note(&mut self, reason: Reject) {
        let count = self.rejects.map_or(0, |(_, count)| count);
        self.rejects = Some((reason, count + 1));
    }

    /// Says what was rejected since the last time, if anything.
    pub(crate) fn tell(&mut self, counters: &IntakeCounters) {
        if self
            .told_rejects
            .is_some_and(|at| at.elapsed() < self.period)
        {
            return;
        }
        if let Some((reason, count)) = self.rejects.take() {
            self.told_rejects = Some(Instant::now());
            let total = counters.rejected.get();
            tracing::warn!(count, total, %reason, "intake: datagrams rejected; the last one because of this reason");
        }
    }

    /// Says that a day file cannot be written, once, and again after [`REPEAT`].
    pub(crate) fn write_failed(&mut self, error: &io::Error) {
        if self.told_write.is_none_or(|at| at.elapsed() >= REPEAT) {
            self.told_write = Some(Instant::now());
            tracing::error!(%error, "intake: cannot write the day file; events wait and the write is tried again. Free space or fix the permissions of LOG_DIR");
        }
    }

    /// Says that day files can be written again.
    pub(crate) fn write_works(&mut self) {
        if self.told_write.take().is_some() {
            tracing::info!("intake: the day file is written again; what waited is stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A well-formed line dated 2026-11-19, as in the recorded examples; 1795075200 is that day.
    const EV: &str = r#""2026-11-19 08:00:00.000000" s1 10.0.0.5 1 8.8.8.8 53 UDP DNS evil.example "lumma (malware)" (static)"#;
    const NOW: Timestamp = Timestamp::from_parts(1_795_075_200 + 5 * 86_400, 0);

    fn stored(datagram: &str) -> Option<(String, String)> {
        Checker::new(Zone::UTC)
            .check(datagram.as_bytes(), NOW)
            .ok()
            .map(|accepted| (accepted.day.to_string(), accepted.line.to_owned()))
    }

    fn reason(datagram: &[u8]) -> Option<Reject> {
        Checker::new(Zone::UTC).check(datagram, NOW).err()
    }

    #[test]
    fn recorded_datagrams_are_stored_as_before() {
        let wanted = Some(("2026-11-19".to_owned(), EV.to_owned()));
        assert_eq!(stored(&format!("1795075200 {EV}\n")), wanted, "U01");
        assert_eq!(stored(&format!("1795075200 {EV}")), wanted, "U02");
        assert_eq!(stored(&format!("{EV}\n")), wanted, "U03");
    }

    #[test]
    fn a_remembered_second_changes_nothing() {
        let mut checker = Checker::new(Zone::UTC);
        for fraction in [".000000", ".5", "", ".", ".1234567", ".12x", "x", ".000001"] {
            let line = EV.replace(".000000", fraction);
            let fresh = Checker::new(Zone::UTC).check(line.as_bytes(), NOW);
            assert_eq!(checker.check(line.as_bytes(), NOW), fresh, "{fraction}");
        }
    }

    #[test]
    fn recorded_junk_is_dropped() {
        for (name, datagram) in [
            ("U05", String::new()),
            ("U06", "hello".into()),
            ("U08", "12345".into()),
            ("U11", "-1 x".into()),
            ("U13", "9".repeat(30) + " x"),
            ("U16", "2026-11-19 08:00:00.0 s1".into()),
            ("U17", "17950x abc".into()),
            ("U18", format!(" 1795075200 {EV}")),
            ("U23", "+5 x".into()),
            ("U23", "1795075200.5 x".into()),
        ] {
            assert!(reason(datagram.as_bytes()).is_some(), "{name}");
        }
        assert_eq!(reason(b"\xff\xfe\x00"), Some(Reject::Utf8), "U07");
    }

    #[test]
    fn what_the_reference_stored_unchecked_is_refused() {
        assert_eq!(
            reason(b"86400 "),
            Some(Reject::Line(LineError::Columns(1))),
            "U09"
        );
        assert_eq!(
            reason(b"0 hi there"),
            Some(Reject::Line(LineError::Columns(2))),
            "U10"
        );
        assert_eq!(
            reason(format!("86400 {EV}").as_bytes()),
            Some(Reject::Old),
            "U14"
        );
        assert_eq!(
            reason(format!("99999999999 {EV}").as_bytes()),
            Some(Reject::Ahead),
            "U12"
        );
        let ahead = NOW.secs() + MAX_AHEAD_SECS + 1;
        assert_eq!(
            reason(format!("{ahead} {EV}").as_bytes()),
            Some(Reject::Ahead)
        );
        assert_eq!(
            reason(format!("{} {EV}", NOW.secs()).as_bytes()),
            Some(Reject::Disagree)
        );
        assert_eq!(
            reason(format!("1795075200 {EV}\n{EV}\r\n").as_bytes())
                .map(|reason| reason.to_string()),
            Some(LineError::Control(11).to_string()),
            "U04: a line end inside cannot forge a second record"
        );
        let control = EV.replace("s1", "a\x1b[31mred\x07b");
        assert!(
            matches!(
                reason(control.as_bytes()),
                Some(Reject::Line(LineError::Control(2)))
            ),
            "U19"
        );
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_panics_or_breaks_the_line() {
        let datagram = format!("1795075200 {EV}");
        let mut checker = Checker::new(Zone::UTC);
        for end in 0..datagram.len() {
            let _ = checker.check(&datagram.as_bytes()[..end], NOW);
        }
        for at in 0..datagram.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128] {
                let mut bytes = datagram.clone().into_bytes();
                bytes[at] ^= flip;
                if let Ok(accepted) = checker.check(&bytes, NOW) {
                    assert!(!accepted.line.contains(['\n', '\r']));
                }
            }
        }
    }
}
