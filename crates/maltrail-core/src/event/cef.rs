//! CEF: what `SYSLOG_SERVER` gets.
//!
//! ```text
//! Nov 14 22:13:20 HOST CEF:0|Maltrail|sensor|VERSION|DATE OF TRAILS|info|0-2|src=.. spt=.. dst=.. dpt=.. trail=.. ref=..
//! ```
//!
//! compat: byte for byte the reference's datagram but for the version: no priority in front, no newline
//! behind, local time, `|` escaped in the info only and `=` in trail and reference only. Within RFC 5424
//! ([`Cef::write_rfc5424`]) the record from `CEF:` on is the message.

use std::fmt::{self, Write as _};

use super::Event;
use super::port::PortValue;
use super::severity::{RemoteSeverity, Severity};
use crate::VERSION;
use crate::time::{Day, Zone};

/// Facility of RFC 5424 messages: local0.
const FACILITY: u8 = 16;
/// Longest host name in an RFC 5424 header.
const HOST_BYTES: usize = 255;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What a record says besides its event.
#[derive(Clone, Copy, Debug)]
pub struct Cef<'a> {
    /// Name of this host.
    pub host: &'a str,
    /// Day of the trail set, the record's "signature".
    pub trails: Day,
    /// `REMOTE_SEVERITY_REGEX`.
    pub severity: &'a RemoteSeverity,
    /// Zone of the time in front.
    pub zone: &'a Zone,
}

impl Cef<'_> {
    /// Appends the datagram.
    pub fn write_datagram(&self, event: &Event, out: &mut String) {
        let mut time = String::with_capacity(26);
        self.zone.write_log_time(event.time, &mut time);
        let part = |from, to| time.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().unwrap_or_default();
        let month = MONTHS.get(month.wrapping_sub(1)).copied();
        let (month, day) = (month.unwrap_or_default(), part(8, 10));
        let _ = write!(out, "{month} {day} {} {} ", part(11, 19), self.host);
        self.write_record(event, out);
    }

    /// Appends an RFC 5424 message with the record as its text: facility local0; severity 2 (critical)
    /// for high, 4 (warning) for medium, 6 (informational) for low.
    pub fn write_rfc5424(&self, event: &Event, out: &mut String) {
        let level = match self.severity.of(&event.info) {
            Severity::High => 2,
            Severity::Medium => 4,
            Severity::Low => 6,
        };
        let host: String = self
            .host
            .chars()
            .filter(char::is_ascii_graphic)
            .take(HOST_BYTES)
            .collect();
        let host = if host.is_empty() { "-" } else { &host };
        let _ = write!(
            out,
            "<{}>1 {} {host} maltrail - event - ",
            FACILITY * 8 + level,
            event.time.to_rfc3339()
        );
        self.write_record(event, out);
    }

    /// Appends the record from `CEF:` on.
    fn write_record(&self, event: &Event, out: &mut String) {
        let severity = self.severity.of(&event.info).cef();
        let _ = write!(
            out,
            "CEF:0|Maltrail|sensor|{VERSION}|{}|{}|{severity}|src={} spt={} dst={} dpt={} trail={} ref={}",
            self.trails,
            Escaped(&event.info, '|'),
            event.src_ip,
            event.src_port_value(),
            event.dst_ip,
            event.dst_port_value(),
            Escaped(&event.trail, '='),
            Escaped(&event.reference, '='),
        );
    }
}

impl fmt::Display for PortValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(port) => port.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A text with backslashes and one more letter escaped, and each line break as a blank.
struct Escaped<'a>(&'a str, char);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\r' | '\n' => f.write_char(' ')?,
                letter if letter == '\\' || letter == self.1 => write!(f, "\\{letter}")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::SHIPPED_SEVERITY_REGEX;

    fn with<T>(line: &str, check: impl FnOnce(&Cef<'_>, &Event) -> T) -> T {
        let severity = RemoteSeverity::new(Some(SHIPPED_SEVERITY_REGEX)).expect("compiles");
        let zone = Zone::named("Europe/Berlin").expect("zone data");
        let cef = Cef {
            host: "box",
            trails: "2026-01-02".parse().expect("day"),
            severity: &severity,
            zone: &zone,
        };
        check(&cef, &Event::parse_line(line, &Zone::UTC).expect("line"))
    }

    /// The vectors are played through the engine (`maltrail-engine/tests/it/rows.rs`); they are all in
    /// UTC and in November.
    #[test]
    fn time_is_local_and_days_have_two_digits() {
        let line =
            "\"2024-01-31 23:30:05.000001\" s 192.0.2.1 - 203.0.113.7 443 TCP IP x \"a|b\" c=d\n";
        let text = with(line, |cef, event| {
            let mut out = String::new();
            cef.write_datagram(event, &mut out);
            out
        });
        let wanted = format!(
            "Feb 01 00:30:05 box CEF:0|Maltrail|sensor|{VERSION}|2026-01-02|a\\|b|1|\
             src=192.0.2.1 spt=0 dst=203.0.113.7 dpt=443 trail=x ref=c\\=d"
        );
        assert_eq!(text, wanted);
    }

    /// RFC 5424 §6: `<PRI>1 SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP SD SP MSG`.
    #[test]
    fn rfc_5424_has_its_header_and_the_record() {
        for (info, priority) in [("\"x (malware)\"", 130), ("x", 132), ("scanning", 134)] {
            let line = format!(
                "\"2023-11-14 22:13:20.123456\" s 192.0.2.1 1 203.0.113.7 443 TCP IP x {info} r\n"
            );
            let text = with(&line, |cef, event| {
                let mut out = String::new();
                let host = "b\u{e4} x\n";
                Cef { host, ..*cef }.write_rfc5424(event, &mut out);
                out
            });
            let head =
                format!("<{priority}>1 2023-11-14T22:13:20.123456Z bx maltrail - event - CEF:0|");
            assert!(text.starts_with(&head), "{text}");
            assert!(text.ends_with(" trail=x ref=r"), "{text}");
        }
    }
}
