//! Text of a configuration file → raw settings with line numbers.
//!
//! The reference's file looks like INI and is not (`NAME value`, indented lists); read directly,
//! `rust-ini` turns it into nonsense without an error. So each line is classified here
//! (`classify`), written as canonical INI in which the section is the line number, and *that* text
//! is what `rust-ini` parses. Both forms work, freely mixed, and every message names the user's line.

use ini::{Ini, ParseOption};

use super::diagnose::{Level, Message, excerpt};
use super::options::{self, Kind};

/// One setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSetting {
    /// Name in capitals.
    pub name: String,
    /// Value, or the items of a block.
    pub value: RawValue,
    /// Line it starts on, counted from 1.
    pub line: usize,
}

/// A value before its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawValue {
    /// After `NAME ` or `NAME =`.
    Scalar(String),
    /// Indented lines below `NAME`.
    Block(Vec<String>),
}

/// What one line is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Section(&'a str),
    Item(&'a str),
    /// Name, value and whether an equals sign stood between them.
    Pair(&'a str, &'a str, bool),
    Open(&'a str),
    Garbled,
}

/// Reads `text` (of the file called `place`, for messages). Never fails: what cannot be understood
/// becomes a message of level error.
pub fn parse(text: &str, place: &str) -> (Vec<RawSetting>, Vec<Message>) {
    let (canonical, mut messages) = canonical_ini(text, place);
    let settings = match read_canonical(&canonical) {
        Ok(settings) => settings,
        Err(error) => {
            // Not reachable by any text, as the canonical form is our own; said rather than hidden.
            messages.push(message(
                Level::Error,
                place,
                None,
                None,
                format!("cannot be read: {error}"),
            ));
            Vec::new()
        }
    };
    (settings, messages)
}

fn message(
    level: Level,
    place: &str,
    line: Option<usize>,
    option: Option<&str>,
    text: String,
) -> Message {
    Message {
        level,
        place: place.to_owned(),
        line,
        option: option.map(str::to_owned),
        text,
    }
}

fn canonical_ini(text: &str, place: &str) -> (String, Vec<Message>) {
    use std::fmt::Write as _;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut ini = String::with_capacity(text.len() * 2);
    let mut messages = Vec::new();
    let mut block: Option<&str> = None;
    for (at, raw) in text.split('\n').enumerate() {
        let line = at + 1;
        let mut say = |level, option: Option<&str>, text: String| {
            messages.push(message(level, place, Some(line), option, text));
        };
        match classify(raw.trim_end_matches('\r'), block.is_some()) {
            Line::Nothing => {}
            Line::Section(name) => {
                block = None;
                if !["server", "sensor", "all"].contains(&name.to_ascii_lowercase().as_str()) {
                    say(
                        Level::Warning,
                        None,
                        format!(
                            "unknown section [{}] (known: Server, Sensor, All)",
                            excerpt(name)
                        ),
                    );
                }
            }
            Line::Item(item) => {
                let name = block.unwrap_or_default();
                let _ = writeln!(
                    ini,
                    "[{line}]\n{}[] = {}",
                    name.to_ascii_uppercase(),
                    one_line(item)
                );
            }
            Line::Pair(name, value, equals) => {
                let upper = name.to_ascii_uppercase();
                let opens = equals && value.is_empty() && takes_items(&upper);
                block = opens.then_some(name);
                let key = if opens { format!("{upper}[]") } else { upper };
                let _ = writeln!(ini, "[{line}]\n{key} = {}", one_line(value));
            }
            Line::Open(name) => {
                block = Some(name);
                let _ = writeln!(ini, "[{line}]\n{}[] = {END}", name.to_ascii_uppercase());
            }
            Line::Garbled => {
                block = None;
                let word = raw
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_ascii_uppercase();
                let hint = options::nearest(&word).map_or_else(String::new, |known| {
                    format!(" (did you mean `{known} value`?)")
                });
                say(
                    Level::Error,
                    None,
                    format!("`{}` is not `NAME value`{hint}", excerpt(raw.trim())),
                );
            }
        }
    }
    (ini, messages)
}

/// A value as it stands in the canonical text. For `rust-ini` a lone carriage return ends a line and a
/// backslash before the end of a line continues it, whatever the options say; so the one becomes a
/// blank, and [`END`] follows each value.
fn one_line(value: &str) -> String {
    value.replace('\r', " ") + END
}

/// Ends each value of the canonical text.
const END: &str = "|";

fn takes_items(name: &str) -> bool {
    options::find(name).map_or_else(
        || name.starts_with("BLACKLIST_"),
        |option| {
            matches!(
                option.kind,
                Kind::Block | Kind::Networks | Kind::Words | Kind::Endpoints | Kind::Receivers
            )
        },
    )
}

fn classify(line: &str, in_block: bool) -> Line<'_> {
    let indented = line.starts_with([' ', '\t']);
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
        return Line::Nothing;
    }
    if let Some(section) = trimmed.strip_prefix('[') {
        return cut_comment(section)
            .strip_suffix(']')
            .map_or(Line::Garbled, |name| Line::Section(name.trim()));
    }
    if indented && in_block {
        return Line::Item(unquote(cut_comment(trimmed)));
    }
    let end = trimmed
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let (name, rest) = trimmed.split_at(end);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Line::Garbled;
    }
    if let Some(value) = rest.trim_start().strip_prefix('=') {
        return Line::Pair(name, unquote(cut_comment(value.trim_start())), true);
    }
    match rest.chars().next() {
        // A name followed by a blank and nothing is an empty text; the name alone opens a block.
        None if line.ends_with([' ', '\t']) => Line::Pair(name, "", false),
        None => Line::Open(name),
        Some(' ' | '\t') => match unquote(cut_comment(rest.trim_start())) {
            "" if rest.trim_start().starts_with('#') => Line::Open(name),
            value => Line::Pair(name, value, false),
        },
        Some(_) => Line::Garbled,
    }
}

/// Cuts an inline comment: `#` at the start or after a blank, outside quotes.
fn cut_comment(value: &str) -> &str {
    let quoted = value
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let from = quoted
        .and_then(|quote| value.get(1..)?.find(quote))
        .map_or(0, |at| at + 2);
    let mut before = if from == 0 { b' ' } else { b'x' };
    for (at, byte) in value.bytes().enumerate().skip(from) {
        if byte == b'#' && matches!(before, b' ' | b'\t') {
            return value.get(..at).unwrap_or(value).trim_end();
        }
        before = byte;
    }
    value.trim_end()
}

/// Strips outer quotes of one kind, as often as they match.
fn unquote(value: &str) -> &str {
    let mut value = value.trim();
    for quote in ['"', '\''] {
        while let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            value = inner.trim();
        }
    }
    value
}

fn read_canonical(text: &str) -> Result<Vec<RawSetting>, ini::ParseError> {
    let form = ParseOption {
        enabled_quote: false,
        enabled_escape: false,
        ..ParseOption::default()
    };
    let ini = Ini::load_from_str_opt(text, form)?;
    let mut settings: Vec<RawSetting> = Vec::new();
    for (section, properties) in &ini {
        let line = section
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        for (key, value) in properties.iter() {
            let value = value.strip_suffix(END).unwrap_or(value).trim_end();
            let Some(name) = key.strip_suffix("[]") else {
                settings.push(RawSetting {
                    name: key.to_owned(),
                    value: RawValue::Scalar(value.to_owned()),
                    line,
                });
                continue;
            };
            match settings.last_mut() {
                Some(RawSetting {
                    name: open,
                    value: RawValue::Block(items),
                    ..
                }) if open == name && !value.is_empty() => {
                    items.push(value.to_owned());
                }
                _ => settings.push(RawSetting {
                    name: name.to_owned(),
                    value: RawValue::Block(Vec::new()),
                    line,
                }),
            }
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(text: &str) -> Option<(String, String)> {
        let (settings, messages) = parse(text, "f");
        assert_eq!(messages, [], "{text:?}");
        match settings.as_slice() {
            [
                RawSetting {
                    name,
                    value: RawValue::Scalar(value),
                    ..
                },
            ] => Some((name.clone(), value.clone())),
            _ => None,
        }
    }

    #[test]
    fn both_forms_give_the_same_setting() {
        for text in [
            "HTTP_PORT 8338",
            "http_port = 8338",
            "HTTP_PORT=8338",
            "HTTP_PORT\t8338",
            "\u{feff}HTTP_PORT 8338\r",
            "HTTP_PORT 8338 # note",
            "HTTP_PORT \"8338\"  # note",
            "  HTTP_PORT 8338",
            "[Server]\nHTTP_PORT = '8338'",
        ] {
            assert_eq!(
                scalar(text),
                Some(("HTTP_PORT".into(), "8338".into())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn values_keep_what_ini_would_spoil() {
        for value in [
            r"\bfoo\d",
            "http://h:8338/x",
            "tcp[tcpflags] == tcp-syn",
            "a#b",
            "it's",
            "50%",
            "x;y",
            "ä€",
            "[section]",
            "k=v",
        ] {
            assert_eq!(
                scalar(&format!("PROXY_ADDRESS {value}")),
                Some(("PROXY_ADDRESS".into(), value.into())),
                "{value}"
            );
            assert_eq!(
                scalar(&format!("PROXY_ADDRESS = {value}"))
                    .map(|pair| pair.1)
                    .as_deref(),
                Some(value)
            );
        }
        assert_eq!(
            scalar("HEADER_LOGO \"color:#fff # x\" # c")
                .map(|pair| pair.1)
                .as_deref(),
            Some("color:#fff # x")
        );
        assert_eq!(
            scalar("CAPTURE_FILTER "),
            Some(("CAPTURE_FILTER".into(), String::new()))
        );
        assert_eq!(
            scalar("CAPTURE_FILTER ="),
            Some(("CAPTURE_FILTER".into(), String::new()))
        );
    }

    #[test]
    fn blocks_take_indented_lines_until_the_next_name() {
        let text = "USERS\n  a:1:0:\n# note\n\n\tb:2:0: # two\nHTTP_PORT 1\nUSERS =\n c\n";
        let (settings, messages) = parse(text, "f");
        assert_eq!(messages, []);
        let blocks: Vec<&RawValue> = settings
            .iter()
            .filter(|s| s.name == "USERS")
            .map(|s| &s.value)
            .collect();
        assert_eq!(
            blocks,
            [
                &RawValue::Block(vec!["a:1:0:".into(), "b:2:0:".into()]),
                &RawValue::Block(vec!["c".into()])
            ]
        );
        assert_eq!(settings[1].line, 6);
    }

    #[test]
    fn garbled_lines_are_named_with_a_hint() {
        let (settings, messages) = parse(
            "LOG_DIR /x\nHTTP-PORT: 8338\n[Servers]\n!!!\n",
            "maltrail.conf",
        );
        assert_eq!(settings.len(), 1, "the good line is kept");
        let text: Vec<String> = messages.iter().map(ToString::to_string).collect();
        assert_eq!(
            text[0],
            "maltrail.conf:2: `HTTP-PORT: 8338` is not `NAME value` (did you mean `HTTP_PORT value`?)"
        );
        assert_eq!(
            text[1],
            "maltrail.conf:3: unknown section [Servers] (known: Server, Sensor, All)"
        );
        assert_eq!(text[2], "maltrail.conf:4: `!!!` is not `NAME value`");
        assert_eq!(messages[1].level, Level::Warning);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_pairs_survive(text in "(?s).{0,200}", value in "[a-z0-9:/.,%\\\\\\[\\]=-]{1,30}") {
            let _ = parse(&text, "f");
            let (settings, _) = parse(&format!("{text}\nLOG_DIR {value}"), "f");
            let last = settings.last().map(|setting| (setting.name.as_str(), &setting.value));
            if !value.starts_with('=') {
                prop_assert_eq!(last, Some(("LOG_DIR", &RawValue::Scalar(value))));
            }
        }
    }
}
