//! The JSON object that `LOGSTASH_SERVER` gets.
//!
//! compat: byte for byte the reference's: fixed order of members, a blank behind each comma and colon,
//! ASCII only, numbers where the columns hold one number. The sensor is the host's name, not
//! `SENSOR_NAME`. Texts are whole: line breaks are escaped, not replaced.

use std::fmt::Write as _;

use super::port::PortValue;
use super::severity::RemoteSeverity;
use super::{Event, Kind};

/// Appends the object of an event; no newline.
pub fn write(event: &Event, host: &str, severity: &RemoteSeverity, out: &mut String) {
    let _ = write!(out, "{{\"timestamp\": {}", event.time.secs());
    let mut member = |name: &str, value: Value<'_>| {
        let _ = write!(out, ", \"{name}\": ");
        value.write(out);
    };
    member("sensor", Value::Text(host));
    member("severity", Value::Text(severity.of(&event.info).as_str()));
    member("src_ip", Value::Text(event.src_ip.as_str()));
    member("src_port", event.src_port_value().into());
    member("dst_ip", Value::Text(event.dst_ip.as_str()));
    member("dst_port", event.dst_port_value().into());
    member("proto", Value::Text(&event.proto));
    member("type", Value::Text(event.kind.as_str()));
    member("trail", trail(event));
    member("info", Value::Text(&event.info));
    member("reference", Value::Text(&event.reference));
    out.push('}');
}

/// A port that is under attack is a number.
fn trail(event: &Event) -> Value<'_> {
    let port = (event.kind == Kind::Port)
        .then(|| event.trail.parse::<u16>().ok())
        .flatten()
        .filter(|port| port.to_string() == event.trail);
    port.map_or(Value::Text(&event.trail), Value::Number)
}

enum Value<'a> {
    Number(u16),
    Text(&'a str),
}

impl<'a> From<PortValue<'a>> for Value<'a> {
    fn from(port: PortValue<'a>) -> Self {
        match port {
            PortValue::Number(port) => Self::Number(port),
            PortValue::Text(text) => Self::Text(text),
        }
    }
}

impl Value<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Text(text) => write_text(text, out),
        }
    }
}

/// A JSON text in printable ASCII.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Zone;

    /// The vectors are played through the engine (`maltrail-engine/tests/it/rows.rs`); these are the
    /// rest: several members, and a port that only looks like a number.
    #[test]
    fn only_single_ports_are_numbers() {
        let line =
            "\"2023-11-14 22:13:20.123456\" s 192.0.2.1 1,2 203.0.113.7 443 TCP PORT 0445 x r\n";
        let event = Event::parse_line(line, &Zone::UTC).expect("line");
        let mut out = String::new();
        write(&event, "box", &RemoteSeverity::default(), &mut out);
        let wanted = r#"{"timestamp": 1700000000, "sensor": "box", "severity": "medium", "src_ip": "192.0.2.1", "src_port": "1,2", "dst_ip": "203.0.113.7", "dst_port": 443, "proto": "TCP", "type": "PORT", "trail": "0445", "info": "x", "reference": "r"}"#;
        assert_eq!(out, wanted);
    }

    proptest! {
        #[test]
        fn any_text_is_ascii_json_that_reads_back(text in any::<String>()) {
            let mut out = String::new();
            write_text(&text, &mut out);
            prop_assert!(out.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("json"), text);
        }
    }
}
