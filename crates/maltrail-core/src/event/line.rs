//! The log line: eleven columns separated by one blank.
//!
//! ```text
//! "YYYY-MM-DD HH:MM:SS.uuuuuu" sensor src_ip src_port dst_ip dst_port proto type trail info reference
//! ```
//!
//! A column that is empty is written `-`; CR and LF become one blank each; a column with a blank or
//! a double quote is quoted and its quotes doubled. Everything else passes unchanged. A datagram to
//! a log server is the packet's epoch second, a blank, the line and a newline. Reading accepts what
//! the reference and its older versions wrote and refuses everything else with a reason.

use std::borrow::Cow;
use std::fmt;

use crate::event::{Details, Event, Kind, Members};
use crate::limits::{EVENT_COLUMNS, EVENT_LINE_BYTES};
use crate::time::{Timestamp, Zone};

/// Identity of an event: the first 64 bits of the SHA-256 of its line without the newline. The same
/// event arriving by file and by datagram has the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u64);

impl EventId {
    /// The id of a line (a final newline does not count).
    pub fn of_line(line: &str) -> Self {
        let digest = ring::digest::digest(
            &ring::digest::SHA256,
            line.trim_end_matches(['\r', '\n']).as_bytes(),
        );
        let head = digest
            .as_ref()
            .first_chunk::<8>()
            .copied()
            .unwrap_or_default();
        Self(u64::from_be_bytes(head))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a line is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any sensor writes.
    #[error("the line has more than {EVENT_LINE_BYTES} bytes")]
    TooLong,
    /// A quote that opens and never closes, or text glued to a closing quote.
    #[error("column {0}: the quotes do not match")]
    Quotes(usize),
    /// Not eleven columns.
    #[error("{0} columns instead of {EVENT_COLUMNS}")]
    Columns(usize),
    /// The first column is not a time.
    #[error("column 1 is not a time of the form YYYY-MM-DD HH:MM:SS.uuuuuu")]
    Time,
    /// The type column is not a word of A-Z.
    #[error("column 8 is not a type in capital letters")]
    Kind,
    /// A control character, which could forge further lines or terminal output.
    #[error("column {0} holds a control character")]
    Control(usize),
    /// A datagram that starts with a digit has no epoch second before the line.
    #[error("no epoch second before the line")]
    Epoch,
}

/// Last second whose local time has a year of four digits in every zone: 9999-12-30 22:00 UTC.
const LAST_SECOND: i64 = 253_402_207_200;

impl Event {
    /// Appends the line, with its newline, to `out`.
    pub fn write_line(&self, zone: &Zone, out: &mut String) {
        out.push('"');
        zone.write_log_time(self.time, out);
        out.push('"');
        let columns: [&str; EVENT_COLUMNS - 1] = [
            &self.sensor,
            self.src_ip.as_str(),
            self.src_port.as_str(),
            self.dst_ip.as_str(),
            self.dst_port.as_str(),
            &self.proto,
            self.kind.as_str(),
            &self.trail,
            &self.info,
            &self.reference,
        ];
        for column in columns {
            out.push(' ');
            write_column(column, out);
        }
        out.push('\n');
    }

    /// The line with its newline.
    pub fn to_line(&self, zone: &Zone) -> String {
        let mut out = String::with_capacity(160);
        self.write_line(zone, &mut out);
        out
    }

    /// The datagram for a log server: epoch second, blank, line, newline.
    pub fn to_datagram(&self, zone: &Zone) -> String {
        let mut out = format!("{} ", self.time.secs());
        self.write_line(zone, &mut out);
        out
    }

    /// Reads a line. A final newline is optional.
    ///
    /// # Errors
    /// Says which column is wrong and why; nothing is guessed.
    pub fn parse_line(line: &str, zone: &Zone) -> Result<Self, LineError> {
        let columns = split_columns(line.trim_end_matches(['\r', '\n']))?;
        let [
            time,
            sensor,
            src_ip,
            src_port,
            dst_ip,
            dst_port,
            proto,
            kind,
            trail,
            info,
            reference,
        ] = columns;
        Ok(Self {
            time: zone.parse_log_time(&time).ok_or(LineError::Time)?,
            sensor: text(&sensor),
            src_ip: Members::from_text(&src_ip),
            src_port: Members::from_text(&src_port),
            dst_ip: Members::from_text(&dst_ip),
            dst_port: Members::from_text(&dst_port),
            proto: Cow::Owned(text(&proto)),
            kind: Kind::parse(&kind).ok_or(LineError::Kind)?,
            trail: text(&trail),
            info: text(&info),
            reference: text(&reference),
            details: Details::default(),
        })
    }

    /// Reads a datagram: a line with or without an epoch second in front. With it, the event's time
    /// is that second with the line's microseconds (the line's text is local to the *sensor's*
    /// zone); without it, the line's own time read in `zone`.
    ///
    /// # Errors
    /// As [`Event::parse_line`].
    pub fn parse_datagram<'a>(
        datagram: &'a str,
        zone: &Zone,
    ) -> Result<(Self, &'a str), LineError> {
        if !datagram.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok((Self::parse_line(datagram, zone)?, datagram));
        }
        let (epoch, line) = datagram.split_once(' ').ok_or(LineError::Epoch)?;
        let digits = epoch.len() <= 12 && epoch.bytes().all(|byte| byte.is_ascii_digit());
        let secs = digits.then(|| epoch.parse::<i64>().ok()).flatten();
        let secs = secs
            .filter(|&secs| secs <= LAST_SECOND)
            .ok_or(LineError::Epoch)?;
        let mut event = Self::parse_line(line, zone)?;
        event.time = Timestamp::from_parts(secs, event.time.subsec_micros());
        Ok((event, line))
    }
}

fn text(column: &str) -> String {
    if column == "-" {
        String::new()
    } else {
        column.to_owned()
    }
}

fn write_column(column: &str, out: &mut String) {
    if column.is_empty() {
        out.push('-');
        return;
    }
    let quoted = column.contains([' ', '"', '\r', '\n']);
    if quoted {
        out.push('"');
    }
    for letter in column.chars() {
        match letter {
            '\r' | '\n' => out.push(' '),
            '"' => out.push_str("\"\""),
            other => out.push(other),
        }
    }
    if quoted {
        out.push('"');
    }
}

/// Splits a line into its columns with quotes undone.
///
/// # Errors
/// When the columns are not eleven, quotes do not match or a control character other than TAB
/// (which the reference passes through) is present.
pub fn split_columns(line: &str) -> Result<[Cow<'_, str>; EVENT_COLUMNS], LineError> {
    if line.len() > EVENT_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let mut columns: [Cow<'_, str>; EVENT_COLUMNS] = Default::default();
    let mut count = 0;
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (column, after) = next_column(text).ok_or(LineError::Quotes(count + 1))?;
        if column
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Err(LineError::Control(count + 1));
        }
        if let Some(slot) = columns.get_mut(count) {
            *slot = column;
        }
        count += 1;
        rest = after;
    }
    if count == EVENT_COLUMNS {
        Ok(columns)
    } else {
        Err(LineError::Columns(count))
    }
}

fn next_column(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(match text.split_once(' ') {
            Some((column, after)) => (Cow::Borrowed(column), Some(after)),
            None => (Cow::Borrowed(text), None),
        });
    };
    let mut doubled = false;
    let mut from = 0;
    loop {
        let end = from + quoted.get(from..)?.find('"')?;
        let after = quoted.get(end + 1..)?;
        if after.starts_with('"') {
            doubled = true;
            from = end + 2;
            continue;
        }
        let inner = quoted.get(..end)?;
        let column = if doubled {
            Cow::Owned(inner.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(inner)
        };
        return match after.strip_prefix(' ') {
            Some(after) => Some((column, Some(after))),
            None if after.is_empty() => Some((column, None)),
            None => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::addr::parse_ip;

    fn sample() -> Event {
        Event {
            time: Timestamp::from_parts(1_700_000_000, 123_456),
            sensor: "sensor1".into(),
            src_ip: parse_ip("192.0.2.10").expect("address").into(),
            src_port: 40_000.into(),
            dst_ip: parse_ip("203.0.113.7").expect("address").into(),
            dst_port: 443.into(),
            proto: "TCP".into(),
            kind: Kind::Ip,
            trail: "203.0.113.7".into(),
            info: "badnet (malware)".into(),
            reference: "(static)".into(),
            details: Details::default(),
        }
    }

    /// `spec/sensor_vectors/event_line.tsv` and `log_server_datagram.tsv`: the columns that vary.
    fn vectors() -> Vec<(Event, &'static str)> {
        let with = |change: fn(&mut Event)| {
            let mut event = sample();
            change(&mut event);
            event
        };
        vec![
            (
                sample(),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 "badnet (malware)" (static)"#,
            ),
            (
                with(|e| {
                    e.src_port = 0.into();
                    e.info = "badnet".into();
                    e.reference = "ref".into();
                }),
                "sensor1 192.0.2.10 - 203.0.113.7 443 TCP IP 203.0.113.7 badnet ref",
            ),
            (
                with(|e| {
                    e.src_port = Members::none();
                    e.dst_port = Members::none();
                    e.proto = "ICMP".into();
                    e.info = "badnet".into();
                    e.reference = "ref".into();
                }),
                "sensor1 192.0.2.10 - 203.0.113.7 - ICMP IP 203.0.113.7 badnet ref",
            ),
            (
                with(|e| {
                    e.info = r#"he said "hi""#.into();
                    e.reference = "ref".into();
                }),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 "he said ""hi""" ref"#,
            ),
            (
                with(|e| {
                    e.info = r"a|b=c\d".into();
                    e.reference = r"r|e=f\ g".into();
                }),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 a|b=c\d "r|e=f\ g""#,
            ),
            (
                with(|e| {
                    e.info = "a, b".into();
                    e.reference = "x,y".into();
                }),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 "a, b" x,y"#,
            ),
            (
                with(|e| {
                    e.info = "naïve € 😀".into();
                    e.reference = "réf".into();
                }),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 "naïve € 😀" réf"#,
            ),
            (
                with(|e| {
                    e.info = String::new();
                    e.reference = String::new();
                }),
                "sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 - -",
            ),
            (
                with(|e| {
                    e.info = "a\tb".into();
                    e.reference = "ref".into();
                }),
                "sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 a\tb ref",
            ),
            (
                with(|e| {
                    e.kind = Kind::Url;
                    e.trail = r#"site-a.com/bad.php(?x="1"|2)"#.into();
                    e.info = "m".into();
                    e.dst_port = 80.into();
                }),
                r#"sensor1 192.0.2.10 40000 203.0.113.7 80 TCP URL "site-a.com/bad.php(?x=""1""|2)" m (static)"#,
            ),
        ]
    }

    #[test]
    fn lines_and_datagrams_are_the_reference_s_byte_for_byte() {
        for (event, columns) in vectors() {
            let line = format!("\"2023-11-14 22:13:20.123456\" {columns}\n");
            assert_eq!(event.to_line(&Zone::UTC), line);
            assert_eq!(event.to_datagram(&Zone::UTC), format!("1700000000 {line}"));
            assert_eq!(Event::parse_line(&line, &Zone::UTC), Ok(event));
        }
    }

    #[test]
    fn each_line_break_becomes_one_blank() {
        let mut event = sample();
        event.trail = "Domain Seized \r\n".into();
        let line = event.to_line(&Zone::UTC);
        assert!(line.contains("\"Domain Seized   \""), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn datagrams_of_a_sensor_in_another_zone_keep_its_line_and_the_true_time() {
        let berlin = Zone::named("Europe/Berlin").expect("zone data");
        let datagram = sample().to_datagram(&berlin);
        let (event, line) = Event::parse_datagram(&datagram, &Zone::UTC).expect("event");
        assert_eq!(event.time, sample().time);
        assert!(line.starts_with("\"2023-11-14 23:13:20.123456\" "));
        let (old, _) =
            Event::parse_datagram(&sample().to_line(&Zone::UTC), &Zone::UTC).expect("event");
        assert_eq!(
            old.time,
            sample().time,
            "the form without an epoch second is accepted"
        );
    }

    #[test]
    fn hostile_lines_are_refused_with_a_reason() {
        let good = sample().to_line(&Zone::UTC);
        for (line, wanted) in [
            (String::new(), LineError::Columns(1)),
            (good.replace(" (static)", ""), LineError::Columns(10)),
            (good.trim_end().to_owned() + " more", LineError::Columns(12)),
            (good.replace("2023-11-14", "2023-02-30"), LineError::Time),
            (good.replace(" IP ", " ip "), LineError::Kind),
            (
                good.replace("(malware)\"", "(malware)"),
                LineError::Quotes(10),
            ),
            (
                good.replace("(malware)\"", "(malware)\"x"),
                LineError::Quotes(10),
            ),
            (
                good.replace("sensor1", "sen\x1b[2Jsor"),
                LineError::Control(2),
            ),
            (good.replace("sensor1", "a\nb"), LineError::Control(2)),
            ("x".repeat(EVENT_LINE_BYTES + 1), LineError::TooLong),
        ] {
            assert_eq!(
                Event::parse_line(&line, &Zone::UTC),
                Err(wanted),
                "{:.80}",
                line
            );
        }
        assert_eq!(
            Event::parse_datagram("17000", &Zone::UTC).err(),
            Some(LineError::Epoch)
        );
        assert_eq!(
            Event::parse_datagram("9999999999999999999999 x", &Zone::UTC).err(),
            Some(LineError::Epoch)
        );
    }

    #[test]
    fn every_prefix_and_every_flipped_byte_is_read_without_panic() {
        let good = sample().to_datagram(&Zone::UTC);
        for end in 0..good.len() {
            let _ = Event::parse_datagram(&good[..end], &Zone::UTC);
        }
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 0x02;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = Event::parse_datagram(text, &Zone::UTC);
            }
        }
    }

    #[test]
    fn the_id_is_that_of_the_line_without_its_newline() {
        // First 8 bytes of SHA-256("abc"), FIPS 180-2 appendix B.1.
        assert_eq!(EventId::of_line("abc\n").to_string(), "ba7816bf8f01cfea");
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(
            secs in 0i64..4_000_000_000, micros in 0u32..1_000_000,
            trail in "[^\\x00-\\x1f\\x7f]{0,40}", info in "[^\\x00-\\x1f\\x7f]{0,40}", sensor in "[a-z \"\\\\]{0,9}",
        ) {
            let clean = |text: String| if text == "-" { String::new() } else { text };
            let event = Event {
                time: Timestamp::from_parts(secs, micros),
                trail: clean(trail), info: clean(info), sensor: clean(sensor),
                ..sample()
            };
            let line = event.to_line(&Zone::UTC);
            prop_assert_eq!(Event::parse_line(&line, &Zone::UTC), Ok(event));
        }
    }
}
