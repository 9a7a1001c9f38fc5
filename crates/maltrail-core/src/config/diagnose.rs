//! What is said about a configuration: where, what, and what to do.

use std::fmt;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Note,
    /// Probably a mistake; the program goes on with a stated value.
    Warning,
    /// The program cannot start.
    Error,
}

/// One message, shown as `maltrail.conf:41: HTTP_PORT: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// File, `environment` or `built-in default`.
    pub place: String,
    /// Line in that file, counted from 1.
    pub line: Option<usize>,
    /// Option it is about.
    pub option: Option<String>,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(option) = &self.option {
            write!(f, ": {option}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Text of a file, shortened and without control characters, for use inside a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
