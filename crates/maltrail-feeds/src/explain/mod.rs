//! Parts of the answer to "why is this reported, or not?" that need no sensor: what was asked for, and which
//! line of a whitelist hides it.
//!
//! A line is found by asking [`Whitelist`] about that line alone, so the rules are the sensor's own.

mod indicator;

use std::net::IpAddr;

use maltrail_core::trail::Whitelist;

pub use indicator::{INDICATOR_BYTES, Indicator, host_of, refang};

/// A text with the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// How the file is called in answers.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its file.
    pub file: String,
    /// Its number, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

/// What a whitelist is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// A name of traffic: parents count.
    Name(&'a str),
    /// An address of traffic.
    Address(IpAddr),
    /// A trail when the set is built: parents do not count.
    Trail(&'a str),
}

impl Question<'_> {
    fn is_answered_by(self, whitelist: &Whitelist) -> bool {
        match self {
            Self::Name(name) => whitelist.covers_name(name),
            Self::Address(address) => whitelist.covers_address(address),
            Self::Trail(key) => whitelist.drops_trail(key),
        }
    }
}

/// The first line of these whitelists that covers what is asked about.
pub fn covering_line(lists: &[Named], question: Question<'_>) -> Option<Line> {
    let whole = Whitelist::parse(lists.iter().map(|list| list.text.as_str()));
    if !question.is_answered_by(&whole) {
        return None;
    }
    lists.iter().find_map(|list| {
        let covers = |line: &str| question.is_answered_by(&Whitelist::parse([line]));
        let (line, text) = (1..)
            .zip(list.text.lines())
            .find(|(_, line)| covers(line))?;
        Some(Line {
            file: list.name.clone(),
            line,
            text: text.trim().to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_covers_is_named() {
        let named = |name: &str, text: &str| Named {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let lists = [
            named("a.txt", "# good\ngoogle.com\n\n8.8.8.0/24 # resolver\n"),
            named("b.txt", "mine.example\n"),
        ];
        let find = |question| {
            covering_line(&lists, question)
                .map(|line| format!("{}:{} {}", line.file, line.line, line.text))
        };
        assert_eq!(
            find(Question::Name("x.google.com")).as_deref(),
            Some("a.txt:2 google.com")
        );
        assert_eq!(
            find(Question::Address([8, 8, 8, 8].into())).as_deref(),
            Some("a.txt:4 8.8.8.0/24 # resolver")
        );
        assert_eq!(
            find(Question::Trail("mine.example")).as_deref(),
            Some("b.txt:1 mine.example")
        );
        assert_eq!(find(Question::Trail("x.google.com")), None);
        assert_eq!(find(Question::Name("good.example")), None);
    }
}
