//! Points in time and calendar days.
//!
//! A [`Timestamp`] is what a packet carries: microseconds since the Unix epoch, UTC. Day files, log
//! lines and the dashboard's day picker need the local calendar; [`Zone`] is the one place where the
//! two meet. Nothing here reads a clock except [`Timestamp::now`], which only programs call.

use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

const MICROS: i64 = 1_000_000;

/// Microseconds since 1970-01-01T00:00:00Z. Ordering is chronological.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From whole microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From seconds and microseconds, as a capture record holds them. Saturates instead of
    /// overflowing on absurd input.
    pub const fn from_parts(secs: i64, micros: u32) -> Self {
        Self(secs.saturating_mul(MICROS).saturating_add(micros as i64))
    }

    /// The wall clock. For programs only: the engine gets its time from packets.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded towards the past.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// Microseconds within the second, `0..1_000_000`.
    pub const fn subsec_micros(self) -> u32 {
        self.0.rem_euclid(MICROS) as u32
    }

    /// This point moved by `micros`, saturating.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Reads an RFC 3339 time with an offset; `None` when it is none.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        // The longest form has nanoseconds and an offset with a sign.
        let time: jiff::Timestamp = (text.len() <= 40).then(|| text.parse().ok()).flatten()?;
        Some(Self::from_micros(time.as_microsecond()))
    }

    /// RFC 3339 in UTC with six fraction digits, for JSON.
    pub fn to_rfc3339(self) -> String {
        let clamped = self.to_jiff();
        let at = TimeZone::UTC.to_datetime(clamped);
        format!(
            "{}T{}.{:06}Z",
            DateText(at.date()),
            ClockText(at),
            self.subsec_micros()
        )
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

/// A calendar day, `YYYY-MM-DD`, in whatever zone its maker used. Names day files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(civil::Date);

impl Day {
    /// The day with these numbers, or `None` where the calendar has none.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        if !(1970..=9999).contains(&year) {
            return None;
        }
        civil::Date::new(year, month, day).ok().map(Self)
    }

    /// The day after (or before, when negative). Stays put at the calendar's ends.
    pub fn plus(self, days: i32) -> Self {
        let span = jiff::Span::new().try_days(days);
        let moved = span.and_then(|span| self.0.checked_add(span));
        Self(moved.unwrap_or(self.0))
    }

    /// Whole days from `earlier` to `self`; negative when `earlier` lies later.
    pub fn days_since(self, earlier: Self) -> i64 {
        fn ordinal(date: civil::Date) -> i64 {
            date.duration_since(civil::date(1970, 1, 1)).as_secs() / 86_400
        }
        ordinal(self.0) - ordinal(earlier.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DateText(self.0).fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a day of the form `YYYY-MM-DD` between 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day of the form YYYY-MM-DD")]
pub struct DayError;

impl FromStr for Day {
    type Err = DayError;

    /// Accepts `YYYY-MM-DD` with exactly these digits.
    fn from_str(text: &str) -> Result<Self, DayError> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
            return Err(DayError);
        }
        let year = digits(bytes, 0, 4).ok_or(DayError)?;
        let month = digits(bytes, 5, 2).ok_or(DayError)?;
        let day = digits(bytes, 8, 2).ok_or(DayError)?;
        Self::new(year as i16, month as i8, day as i8).ok_or(DayError)
    }
}

/// A time zone: turns timestamps into local calendar text and back.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The machine's zone (`TZ`, else `/etc/localtime`); UTC when there is none.
    pub fn local() -> Self {
        Self(TimeZone::system())
    }

    /// A zone by its IANA name, such as `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Minutes east of UTC at `at`, for the dashboard's clock.
    pub fn offset_minutes(&self, at: Timestamp) -> i32 {
        self.0.to_offset(at.to_jiff()).seconds() / 60
    }

    /// The local day of `at`.
    pub fn day(&self, at: Timestamp) -> Day {
        Day(self.0.to_datetime(at.to_jiff()).date())
    }

    /// The local hour of `at`, `0..24`.
    pub fn hour(&self, at: Timestamp) -> u8 {
        self.0.to_datetime(at.to_jiff()).hour().unsigned_abs()
    }

    /// Writes `YYYY-MM-DD HH:MM:SS.uuuuuu`, the form of log lines.
    pub fn write_log_time(&self, at: Timestamp, out: &mut String) {
        use fmt::Write as _;
        let local = self.0.to_datetime(at.to_jiff());
        let _ = write!(
            out,
            "{} {}.{:06}",
            DateText(local.date()),
            ClockText(local),
            at.subsec_micros()
        );
    }

    /// Reads `YYYY-MM-DD HH:MM:SS[.u{1,6}]` as local time. A time that the clock shows twice (end
    /// of summer time) is taken as the earlier one, a skipped one as if the clock had run on.
    pub fn parse_log_time(&self, text: &str) -> Option<Timestamp> {
        let (date, clock) = text.split_once(' ')?;
        let day: Day = date.parse().ok()?;
        let bytes = clock.as_bytes();
        if bytes.len() < 8 || bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
            return None;
        }
        let (hour, minute, second) = (
            digits(bytes, 0, 2)?,
            digits(bytes, 3, 2)?,
            digits(bytes, 6, 2)?,
        );
        let micros = match bytes.get(8) {
            None => 0,
            Some(b'.') if (10..=15).contains(&bytes.len()) => {
                let count = bytes.len() - 9;
                digits(bytes, 9, count)? * 10u32.pow(6 - count as u32)
            }
            Some(_) => return None,
        };
        let time = civil::Time::new(hour as i8, minute as i8, second as i8, 0).ok()?;
        let offset = match self
            .0
            .to_ambiguous_timestamp(day.0.to_datetime(time))
            .offset()
        {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
        };
        let at = offset.to_timestamp(day.0.to_datetime(time)).ok()?;
        Some(Timestamp::from_parts(at.as_second(), micros))
    }
}

struct DateText(civil::Date);

impl fmt::Display for DateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }
}

struct ClockText(civil::DateTime);

impl fmt::Display for ClockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02}:{:02}:{:02}",
            self.0.hour(),
            self.0.minute(),
            self.0.second()
        )
    }
}

/// The number written by exactly `count` ASCII digits at `at`.
fn digits(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    bytes
        .get(at..at + count)?
        .iter()
        .try_fold(0u32, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + u32::from(byte - b'0'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_back() {
        let time = Timestamp::from_parts(1_700_000_000, 123_456);
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
        let east = Timestamp::parse_rfc3339("2023-11-14T23:13:20.5+01:00");
        assert_eq!(east, Some(Timestamp::from_parts(1_700_000_000, 500_000)));
        for bad in [
            "",
            "2023-11-14",
            "2023-11-14T23:13:20",
            "now",
            &"9".repeat(60),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    fn log_time(zone: &Zone, at: Timestamp) -> String {
        let mut out = String::new();
        zone.write_log_time(at, &mut out);
        out
    }

    #[test]
    fn log_time_is_local_and_keeps_six_digits() {
        let at = Timestamp::from_parts(1_700_000_000, 1);
        assert_eq!(log_time(&Zone::UTC, at), "2023-11-14 22:13:20.000001");
        let berlin = Zone::named("Europe/Berlin").expect("zone data");
        assert_eq!(log_time(&berlin, at), "2023-11-14 23:13:20.000001");
        assert_eq!(
            berlin
                .day(Timestamp::from_parts(1_700_002_800, 0))
                .to_string(),
            "2023-11-15"
        );
        assert_eq!(berlin.offset_minutes(at), 60);
    }

    #[test]
    fn log_time_round_trips() {
        for zone in [
            Zone::UTC,
            Zone::named("America/New_York").expect("zone data"),
        ] {
            for micros in [0, 1, 999_999] {
                let at = Timestamp::from_parts(1_699_999_999, micros);
                assert_eq!(zone.parse_log_time(&log_time(&zone, at)), Some(at));
            }
        }
    }

    #[test]
    fn a_repeated_hour_is_read_as_the_earlier_one() {
        // 2023-10-29 02:30 happens twice in Berlin: at 00:30 and at 01:30 UTC.
        let berlin = Zone::named("Europe/Berlin").expect("zone data");
        let at = berlin.parse_log_time("2023-10-29 02:30:00.000000");
        assert_eq!(at, Zone::UTC.parse_log_time("2023-10-29 00:30:00"));
    }

    #[test]
    fn fractions_may_be_short_or_absent() {
        let half = Zone::UTC
            .parse_log_time("2023-11-14 22:13:20.5")
            .expect("time");
        assert_eq!(half.subsec_micros(), 500_000);
        assert!(Zone::UTC.parse_log_time("2023-11-14 22:13:20").is_some());
    }

    #[test]
    fn garbled_times_are_refused() {
        for text in [
            "",
            " ",
            "2023-11-14",
            "2023-13-14 22:13:20",
            "2023-02-30 00:00:00",
            "2023-11-14 24:00:00",
            "2023-11-14 22:13:20.",
            "2023-11-14 22:13:20.1234567",
            "2023-11-14 22:13:20x",
            "2023-1-14 22:13:20",
            "+023-11-14 22:13:20",
            "2023-11-14T22:13:20",
            "２０２３-11-14 22:13:20",
        ] {
            assert_eq!(Zone::UTC.parse_log_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn days_count_and_move() {
        let day: Day = "2024-02-28".parse().expect("day");
        assert_eq!(day.plus(2).to_string(), "2024-03-01");
        assert_eq!(day.plus(2).days_since(day), 2);
        assert_eq!(day.days_since(day.plus(400)), -400);
        assert!("2024-02-30".parse::<Day>().is_err());
        assert!("1969-12-31".parse::<Day>().is_err());
    }

    #[test]
    fn extreme_timestamps_do_not_panic() {
        for micros in [i64::MIN, -1, 0, i64::MAX] {
            let at = Timestamp::from_micros(micros);
            let _ = (
                log_time(&Zone::UTC, at),
                at.to_rfc3339(),
                Zone::UTC.day(at),
                Zone::UTC.hour(at),
            );
        }
        assert_eq!(Timestamp::from_micros(-1).secs(), -1);
        assert_eq!(Timestamp::from_micros(-1).subsec_micros(), 999_999);
    }
}
