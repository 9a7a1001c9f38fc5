//! User agents of malware, scanners and tools.
//!
//! The list is the user's to edit: one regular expression a line, searched without letter case;
//! lines that start with `#` are comments. Taken literally are lines with ` (compatible`, lines that
//! do not compile, and lines of plain text with parentheses that could never match themselves (a
//! list of user agents as they are sent). All lines are one expression: the leftmost match counts,
//! at one place the first line.
//!
//! Bounds: [`MAX_PROGRAM_BYTES`] for the compiled list, [`MAX_AGENT`] bytes of a value.

use std::borrow::Cow;

use maltrail_core::event::Kind;
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;

use crate::finding::Finding;
use crate::web::text::{Plus, decode, shown};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "user_agent";

const INFO: &str = "user agent (suspicious)";

/// Most bytes of a value that are looked at.
const MAX_AGENT: usize = 2048;
/// Size limit of the compiled list: a broken list must not eat the memory.
const MAX_PROGRAM_BYTES: usize = 64 * 1024 * 1024;
/// Memory for searching, per thread. The shipped list fills a part of it.
const SEARCH_BYTES: usize = 8 * 1024 * 1024;

/// Values with one of these are never reported.
const KNOWN: [&str; 8] = [
    "AntiVir-NGUpd",
    "TMSPS",
    "AVGSETUP",
    "SDDS",
    "Sophos",
    "Symantec",
    "internal dummy connection",
    "Microsoft-CryptoAPI",
];

/// A user agent as it is sent, shortened; such a line is never meant as an expression.
const AS_SENT: &str = " (compatible";

/// The list of user agents, compiled.
#[derive(Clone, Debug, Default)]
pub struct UserAgents {
    expression: Option<Regex>,
    lines: usize,
    literal: usize,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the list of user agents is too large to be compiled: {0}")]
pub struct UserAgentsError(#[source] BuildError);

/// Why an expression does not compile.
type BuildError = Box<meta::BuildError>;

impl UserAgents {
    /// Compiles a list.
    ///
    /// # Errors
    /// When all lines together are too large.
    pub fn parse(text: &str) -> Result<Self, UserAgentsError> {
        // One line can be too large for all: then each is compiled by itself before.
        Self::with(text, is_sound).or_else(|_| Self::with(text, |line| compile(line).is_ok()))
    }

    fn with(text: &str, fits: fn(&str) -> bool) -> Result<Self, UserAgentsError> {
        let mut agents = Self::default();
        let mut all = String::with_capacity(text.len() * 2);
        let lines = text.lines().map(|line| line.trim_end_matches('\r'));
        for line in lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if agents.lines > 0 {
                all.push('|');
            }
            agents.lines += 1;
            match expression(line, fits) {
                Some(expression) => all.extend(["(?:", &expression, ")"]),
                None => {
                    agents.literal += 1;
                    all.push_str(&regex_syntax::escape(line));
                }
            }
        }
        if agents.lines > 0 {
            agents.expression = Some(compile(&all).map_err(UserAgentsError)?);
        }
        Ok(agents)
    }

    /// Number of lines.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lines
    }

    /// Whether there is no line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// How many lines are taken literally.
    #[must_use]
    pub const fn literal_lines(&self) -> usize {
        self.literal
    }

    /// The finding for a `User-Agent` value as sent.
    pub(crate) fn check(&self, value: &[u8], buffer: &mut Vec<u8>) -> Option<Finding<'static>> {
        let value = value.get(..MAX_AGENT).unwrap_or(value);
        let agent = if value.contains(&b'%') {
            decode(value, Plus::Kept, buffer);
            buffer.as_slice()
        } else {
            value
        };
        let agent = agent.trim_ascii();
        let hit = self.expression.as_ref()?.find(agent)?;
        if KNOWN.iter().any(|word| contains(agent, word.as_bytes())) {
            return None;
        }
        let before = agent.get(..hit.start()).unwrap_or_default();
        let after = agent.get(hit.end()..).unwrap_or_default();
        let matched = agent.get(hit.range()).unwrap_or_default();
        let said = escaped(matched);
        let key = shown(matched);
        let trail = match (before.is_empty(), after.is_empty()) {
            (true, true) => said,
            (true, false) => format!("{said}({})", escaped(after)),
            (false, true) => format!("({}){said}", escaped(before)),
            (false, false) => format!("{said} ({})", escaped(agent)),
        };
        Some(Finding::heuristic(NAME, Kind::Ua, trail, INFO).keyed(key))
    }
}

/// Whether `text` has `word`, whatever the letter case.
fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// Text inside a trail: parentheses that are its own have a backslash.
fn escaped(bytes: &[u8]) -> String {
    let text = shown(bytes);
    let text = text.trim_end_matches('\\');
    text.replace('(', "\\(").replace(')', "\\)")
}

fn compile(expression: &str) -> Result<Regex, BuildError> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true);
    // Of a long list no literals come that all of it begins with, and looking for them takes as long as
    // all the rest; nor do automata that are built in advance fit.
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_PROGRAM_BYTES))
        .hybrid_cache_capacity(SEARCH_BYTES)
        .which_captures(WhichCaptures::Implicit)
        .auto_prefilter(false)
        .onepass(false)
        .dfa(false);
    let built = Regex::builder()
        .syntax(syntax)
        .configure(config)
        .build(expression);
    built.map_err(Box::new)
}

/// Whether a line is an expression at all. Compiling each of a long list to find out takes 50 ms.
fn is_sound(text: &str) -> bool {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true)
        .build()
        .parse(text)
        .is_ok()
}

/// The expression that a line is; `None` when it is taken literally, also when it does not `fit`.
fn expression(line: &str, fits: fn(&str) -> bool) -> Option<Cow<'_, str>> {
    if line.contains(AS_SENT) {
        return None;
    }
    if !line.contains([
        '\\', '[', ']', '^', '$', '*', '+', '?', '{', '}', '|', '(', ')',
    ]) {
        return Some(Cow::Borrowed(line));
    }
    if repeats_a_repetition(line) || has_late_flags(line) {
        return None;
    }
    let text = translated(line);
    let plain = !line.contains(['\\', '[', ']', '^', '$', '*', '+', '?', '{', '}', '|']);
    let means = if plain {
        compile(&text).ok()?.is_match(line.as_bytes())
    } else {
        fits(&text)
    };
    means.then_some(text)
}

/// `C++`: no expression where lists come from, and the language's name.
fn repeats_a_repetition(line: &str) -> bool {
    let escape =
        |at: usize| at.checked_sub(1).and_then(|at| line.as_bytes().get(at)) == Some(&b'\\');
    let mut pairs = line.as_bytes().windows(2).enumerate();
    pairs.any(|(at, pair)| matches!(pair, [b'+' | b'*', b'+' | b'*']) && !escape(at))
}

/// Flags for the whole expression behind its start: no expression where lists come from.
fn has_late_flags(line: &str) -> bool {
    line.rfind("(?i)").is_some_and(|at| at > 0)
}

/// What lists write differently: `\Z` for the end, a brace that repeats nothing, `\>` in a class.
fn translated(line: &str) -> Cow<'_, str> {
    if !line.contains(['\\', '{']) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 4);
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => match rest.next() {
                Some('Z') => out.push_str("\\z"),
                Some(sign @ ('<' | '>')) => out.push(sign),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '{' if !rest
                .as_str()
                .starts_with(|next: char| next.is_ascii_digit()) =>
            {
                out.push_str("\\{");
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, agent: &str, wanted: Option<&str>) {
        let agents = UserAgents::parse(list).unwrap();
        let found = agents.check(agent.as_bytes(), &mut Vec::new());
        let found = found.map(|finding| finding.trail);
        assert_eq!(found.as_deref(), wanted, "{list}: {agent}");
    }

    #[test]
    fn lines_are_expressions_in_their_order() {
        check("# no\nbad\nbadder\n", "xbadder", Some("bad (xbadder)"));
        check("zz\nb.d\n", "a bid zz", Some("bid (a bid zz)"));
        check(r"\Aab\Z", "AB", Some("AB"));
        check(r"\Aab\Z", "abc", None);
        check(r"\(\) { :;", "() { :; x", Some("\\(\\) { :;( x)"));
        check(
            r"<script src=[^\>]*>",
            "<script src=a>",
            Some("<script src=a>"),
        );
        check("", "anything", None);
    }

    #[test]
    fn lines_that_cannot_be_expressions_are_literal() {
        check(
            "a (compatible; B.C)",
            "a (compatible; B.C)",
            Some("a \\(compatible; B.C\\)"),
        );
        check("a (compatible; B.C)", "a (compatible; BxC)", None);
        check("a (x; &)", "a (x; &)", Some("a \\(x; &\\)"));
        check("a (x; &)", "a x; &", None);
        check("bot (scan|search)", "bot scan", Some("bot scan"));
        check("Custom C++", "custom c++/1", Some("custom c++(/1)"));
        check("Custom C++", "custom cc", None);
        check("a|(?i)b", "a|(?i)b", Some("a|\\(?i\\)b"));
        check("a|(?i)b", "b", None);
        check("(?i)b", "B", Some("B"));
        check("open(", "open(x", Some("open\\((x)"));
        let agents = UserAgents::parse("a\nb(\nc (x)\n").unwrap();
        assert_eq!((agents.len(), agents.literal_lines()), (3, 2));
    }

    #[test]
    fn a_line_that_is_too_large_costs_that_line() {
        let agents = UserAgents::parse("bad\n(?:a{1000}){1000}{100}\n").unwrap();
        assert_eq!((agents.len(), agents.literal_lines()), (2, 1));
        assert!(agents.check(b"bad", &mut Vec::new()).is_some());
    }

    #[test]
    fn known_programs_are_left_alone() {
        check("backdoor", "symantec Backdoor", None);
        check("backdoor", "%20a%20backdoor", Some("(a )backdoor"));
    }
}
