//! Events as lines and datagrams, written from the description of the format, not with the code
//! under test.

use std::time::{SystemTime, UNIX_EPOCH};

/// An event of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Seconds since 1970.
    pub secs: u64,
    /// Microseconds of the second.
    pub micros: u32,
    /// Source address.
    pub src: &'a str,
    /// Source port.
    pub sport: u16,
    /// Destination address.
    pub dst: &'a str,
    /// Destination port.
    pub dport: u16,
    /// Protocol.
    pub proto: &'a str,
    /// Type column.
    pub kind: &'a str,
    /// Trail, without blanks and quotes.
    pub trail: &'a str,
    /// Info, which may hold blanks.
    pub info: &'a str,
    /// Reference.
    pub reference: &'a str,
}

impl Default for Sighting<'_> {
    fn default() -> Self {
        Self {
            secs: now(),
            micros: 1,
            src: "10.20.10.13",
            sport: 40_000,
            dst: "10.20.0.2",
            dport: 53,
            proto: "UDP",
            kind: "DNS",
            trail: "evil.example",
            info: "demo (malware)",
            reference: "(static)",
        }
    }
}

impl Sighting<'_> {
    /// The line of the day file, in UTC.
    #[must_use]
    pub fn line(&self) -> String {
        let (day, second) = (self.secs / 86_400, self.secs % 86_400);
        format!(
            "\"{} {:02}:{:02}:{:02}.{:06}\" office {} {} {} {} {} {} {} \"{}\" {}\n",
            date(day),
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.micros,
            self.src,
            self.sport,
            self.dst,
            self.dport,
            self.proto,
            self.kind,
            self.trail,
            self.info,
            self.reference
        )
    }

    /// What a sensor sends to its server.
    #[must_use]
    pub fn datagram(&self) -> String {
        format!("{} {}", self.secs, self.line())
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Today in UTC.
#[must_use]
pub fn today() -> String {
    date(now() / 86_400)
}

/// Yesterday in UTC, and its second of this time of day.
#[must_use]
pub fn yesterday_at(hour: u64, minute: u64) -> (String, u64) {
    let day = now() / 86_400 - 1;
    (date(day), day * 86_400 + hour * 3600 + minute * 60)
}

/// A day as `YYYY-MM-DD`, by the days-to-civil rule for years from 1970.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_right() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(59), "1970-03-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_780), "2026-11-23");
    }

    #[test]
    fn a_line_has_eleven_columns() {
        let line = Sighting {
            secs: 1_795_425_240,
            ..Sighting::default()
        }
        .line();
        assert_eq!(
            line,
            "\"2026-11-23 09:14:00.000001\" office 10.20.10.13 40000 10.20.0.2 53 UDP DNS evil.example \"demo (malware)\" (static)\n"
        );
    }
}
