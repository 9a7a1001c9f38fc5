//! What an alert says: the twelve fields of the reference, cleaned.
//!
//! Every text comes from the network. Control characters, line ends and characters that reorder or hide text are
//! replaced here, once; the syntax of a body is the business of [`form`](super::form).

use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;

/// Names and order of the fields.
pub(crate) const NAMES: [&str; 12] = [
    "timestamp",
    "sensor",
    "severity",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "proto",
    "type",
    "trail",
    "info",
    "reference",
];
/// Longest text in characters.
const MAX_CHARS: usize = 1000;

/// The fields, in the order of [`NAMES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertFields([String; 12]);

impl AlertFields {
    /// Cleans the columns that follow `severity`, with the sensor first.
    pub(crate) fn new(at: Timestamp, severity: Severity, columns: [&str; 10]) -> Self {
        let [sensor, rest @ ..] = columns;
        let mut rest = rest.into_iter();
        let mut next = || clean(rest.next().unwrap_or_default());
        Self([
            at.secs().to_string(),
            clean(sensor),
            severity.as_str().to_owned(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
        ])
    }

    /// The field of this name.
    pub(crate) fn get(&self, name: &str) -> &str {
        let at = NAMES.iter().position(|known| *known == name);
        at.and_then(|at| self.0.get(at)).map_or("", String::as_str)
    }

    /// As the queue keeps them.
    pub(crate) fn stored(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// From the queue.
    pub(crate) fn restored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// One object with exactly these keys in this order; the timestamp is a number.
    pub(crate) fn json(&self) -> String {
        let members = NAMES.iter().zip(&self.0).map(|(name, value)| {
            if *name == "timestamp" {
                format!("\"{name}\": {value}")
            } else {
                format!("\"{name}\": {}", quoted(value))
            }
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    }
}

/// A JSON string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn clean(text: &str) -> String {
    let mut cleaned: String = text
        .chars()
        .take(MAX_CHARS)
        .map(|c| match c {
            c if c.is_control() => ' ',
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => '\u{fffd}',
            c => c,
        })
        .collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn fields(trail: &str, info: &str) -> AlertFields {
        AlertFields::new(
            Timestamp::from_parts(1_700_000_000, 5),
            Severity::High,
            [
                "s1",
                "10.0.0.1",
                "4000",
                "198.51.100.7",
                "53",
                "UDP",
                "DNS",
                trail,
                info,
                "(static)",
            ],
        )
    }

    #[test]
    fn the_object_has_the_twelve_keys_in_order_whatever_they_hold() {
        let fields = fields("x\",\"injected\":\"y", "a\u{202e}b\r\nc\0");
        assert_eq!(
            fields.json(),
            "{\"timestamp\": 1700000000, \"sensor\": \"s1\", \"severity\": \"high\", \"src_ip\": \"10.0.0.1\", \
             \"src_port\": \"4000\", \"dst_ip\": \"198.51.100.7\", \"dst_port\": \"53\", \"proto\": \"UDP\", \
             \"type\": \"DNS\", \"trail\": \"x\\\",\\\"injected\\\":\\\"y\", \"info\": \"a\u{fffd}b  c \", \
             \"reference\": \"(static)\"}"
        );
        assert_eq!(
            AlertFields::restored(&fields.stored()),
            Some(fields.clone())
        );
        assert_eq!((fields.get("type"), fields.get("nothing")), ("DNS", ""));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ä".repeat(MAX_CHARS + 1);
        let cut = fields(&long, "x").get("trail").to_owned();
        assert_eq!(cut.chars().count(), MAX_CHARS + 1);
        assert!(cut.ends_with('…'));
    }
}
