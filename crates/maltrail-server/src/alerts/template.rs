//! `ALERT_FORMAT` as a template: `%(field)s` stands for a field, `%%` for a per cent sign.
//!
//! A template that begins with `{` or `[` is JSON, and stays JSON whatever the fields hold: inside a string a value is
//! escaped; outside of one it becomes a number (`timestamp`, ports), the object (`json`) or a string with its quotes.
//! That is tried with sample values when the template is read.

use std::sync::LazyLock;

use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;

use super::fields::{AlertFields, NAMES, quoted};

/// Longest template in bytes.
const MAX_BYTES: usize = 16 << 10;

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    JsonString,
    JsonValue,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Field(&'static str, Place),
}

/// A template that was read.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    is_json: bool,
}

/// Values that break what can be broken.
static SAMPLE: LazyLock<AlertFields> = LazyLock::new(|| {
    AlertFields::new(
        Timestamp::from_parts(1, 0),
        Severity::High,
        ["\"\\", "x", "80", "x", "-", "x", "x", "{\"", "x", "x"],
    )
});

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let is_json = text.trim_start().starts_with(['{', '[']);
        let template = Self {
            pieces: pieces(text, is_json)?,
            is_json,
        };
        let sample = template.fill(&SAMPLE, str::to_owned);
        if is_json && serde_json::from_str::<serde::de::IgnoredAny>(&sample).is_err() {
            return Err("begins like JSON and is none with the fields filled in".to_owned());
        }
        Ok(template)
    }

    /// Whether it gives JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// The body. `escape` is applied to each text first: what the receiver's markup needs.
    pub(crate) fn fill(&self, fields: &AlertFields, escape: impl Fn(&str) -> String) -> String {
        let mut body = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => body.push_str(text),
                Piece::Field(name, place) => body.push_str(&value(name, *place, fields, &escape)),
            }
        }
        body
    }
}

fn value(
    name: &str,
    place: Place,
    fields: &AlertFields,
    escape: impl Fn(&str) -> String,
) -> String {
    let text = if name == "json" {
        fields.json()
    } else {
        fields.get(name).to_owned()
    };
    match place {
        Place::JsonValue if name == "json" => text,
        Place::JsonValue
            if name == "timestamp" || (name.ends_with("_port") && is_plain_number(&text)) =>
        {
            text
        }
        Place::JsonValue => quoted(&escape(&text)),
        Place::JsonString => {
            let quoted = quoted(&escape(&text));
            quoted
                .get(1..quoted.len() - 1)
                .unwrap_or_default()
                .to_owned()
        }
        Place::Text => escape(&text),
    }
}

/// JSON knows no leading zeros.
fn is_plain_number(text: &str) -> bool {
    text.parse::<u16>()
        .is_ok_and(|number| number.to_string() == text)
}

fn pieces(text: &str, is_json: bool) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal) = (Vec::new(), String::new());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if c != '%' {
            (in_string, escaped) = match c {
                _ if escaped => (in_string, false),
                '\\' => (in_string, in_string),
                '"' => (!in_string, false),
                _ => (in_string, false),
            };
            literal.push(c);
            rest = after;
        } else if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
        } else {
            let found = after
                .strip_prefix('(')
                .and_then(|after| after.split_once(")s"));
            let Some((name, after)) = found else {
                return Err(
                    "has a % that begins no %(field)s; write %% for a per cent sign".into(),
                );
            };
            let name = NAMES.iter().chain(&["json"]).find(|known| **known == name);
            let Some(name) = name else {
                return Err(
                    format!("names a field that there is not; use {NAMES:?} or json")
                        .replace('"', ""),
                );
            };
            if escaped {
                return Err("has a backslash before a %(field)s".into());
            }
            let place = match (is_json, in_string) {
                (false, _) => Place::Text,
                (true, true) => Place::JsonString,
                (true, false) => Place::JsonValue,
            };
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            pieces.push(Piece::Field(name, place));
            rest = after;
        }
    }
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::fields;
    use super::*;
    use serde_json::{Value, json};

    fn fill(template: &str, trail: &str) -> String {
        let template = Template::read(template).unwrap();
        template.fill(&fields(trail, "lumma (malware)"), str::to_owned)
    }

    #[test]
    fn the_shipped_text_gives_the_body_of_the_reference() {
        let shipped = r#"{"text": "%(severity)s: %(src_ip)s -> %(trail)s (%(info)s)"}"#;
        assert_eq!(
            fill(shipped, "evil.example"),
            r#"{"text": "high: 10.0.0.1 -> evil.example (lumma (malware))"}"#
        );
        let body: Value = serde_json::from_str(&fill(shipped, r#"x","injected":"y (z)"#)).unwrap();
        assert_eq!(
            body,
            json!({"text": r#"high: 10.0.0.1 -> x","injected":"y (z) (lumma (malware))"#})
        );
    }

    #[test]
    fn values_outside_of_strings_are_whole_values() {
        let body = fill(
            r#"{"t": %(timestamp)s, "p": %(dst_port)s, "trail": %(trail)s, "e": %(json)s, "s": "%(json)s \"%(type)s 100%%"}"#,
            "\"",
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["t"], &body["p"], &body["trail"], &body["e"]["trail"]),
            (
                &json!(1_700_000_000),
                &json!(53),
                &json!("\""),
                &json!("\"")
            )
        );
        let text = body["s"].as_str().unwrap();
        assert!(text.ends_with(" \"DNS 100%"), "{text}");
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for (template, wanted) in [
            ("%(nothing)s", "names a field"),
            ("100% sure", "begins no"),
            ("%(trail)d", "begins no"),
            (r#"{"a": "%(trail)s}"#, "begins like JSON"),
            (r#"{"a": %(trail)s %(info)s}"#, "begins like JSON"),
            (r#"{"a": "\%(trail)s"}"#, "backslash"),
            (&"x".repeat(MAX_BYTES + 1), "longer"),
        ] {
            let error = Template::read(template).unwrap_err();
            assert!(error.contains(wanted), "{template}: {error}");
        }
    }

    #[test]
    fn a_text_template_is_not_json() {
        assert_eq!(fill("%(type)s \"%(trail)s\"", "a\"b"), "DNS \"a\"b\"");
    }
}
