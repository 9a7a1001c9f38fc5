//! Trails that are regular expressions over host names.
//!
//! All expressions are searched at once: the leftmost match wins, among several there the first in
//! file order. They are matched case-insensitively and unanchored. The few that need look-around run
//! one by one in a bounded backtracking engine. Expressions that were cut inside an open group are
//! repaired by dropping the cut alternative.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::limits::{PATTERN_PROGRAM_BYTES, TRAIL_PATTERNS};

/// Steps after which a look-around expression gives up on a name.
const BACKTRACK_LIMIT: usize = 10_000;

/// Where an expression matched in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternHit {
    /// First byte of the match.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
    /// The row of the expression.
    pub(super) row: u32,
}

/// The compiled expressions of a set.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    linear: Option<Regex>,
    /// Rows of `linear`'s patterns.
    rows: Vec<u32>,
    /// Expressions with look-around, and their rows.
    look: Vec<(fancy_regex::Regex, u32)>,
    /// What the operator should know.
    pub(super) report: PatternReport,
}

/// What became of the expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternReport {
    /// Expressions in use.
    pub usable: usize,
    /// Expressions that were cut and are used without their last alternative.
    pub repaired: Vec<String>,
    /// Expressions that do not compile, with the reason.
    pub unusable: Vec<(String, String)>,
}

impl Patterns {
    /// Compiles `patterns` (text, row), in order. With `repair`, cut expressions are closed.
    pub(super) fn compile<'a>(
        patterns: impl Iterator<Item = (&'a str, u32)>,
        repair: bool,
    ) -> Self {
        let mut compiled = Self::default();
        let mut texts = Vec::new();
        for (text, row) in patterns.take(TRAIL_PATTERNS) {
            let Err(error) = linear(&[text]) else {
                texts.push(text.to_owned());
                compiled.rows.push(row);
                continue;
            };
            let closed = repair
                .then(|| close_groups(text))
                .flatten()
                .filter(|closed| linear(&[closed.as_str()]).is_ok());
            if let Some(closed) = closed {
                compiled.report.repaired.push(text.to_owned());
                texts.push(closed);
                compiled.rows.push(row);
            } else if let Some(look) = with_look_around(text) {
                compiled.look.push((look, row));
            } else {
                compiled.report.unusable.push((text.to_owned(), error));
            }
        }
        if !texts.is_empty() {
            match linear(&texts) {
                Ok(regex) => compiled.linear = Some(regex),
                Err(error) => {
                    compiled.rows.clear();
                    compiled
                        .report
                        .unusable
                        .push((format!("all {} expressions together", texts.len()), error));
                }
            }
        }
        compiled.report.usable = compiled.rows.len() + compiled.look.len();
        compiled
    }

    /// The leftmost match in `name`.
    pub(super) fn find(&self, name: &str) -> Option<PatternHit> {
        let mut best = self
            .linear
            .as_ref()
            .and_then(|regex| regex.find(name))
            .and_then(|found| {
                let row = self.rows.get(found.pattern().as_usize()).copied()?;
                Some(PatternHit {
                    start: found.start(),
                    end: found.end(),
                    row,
                })
            });
        for (regex, row) in &self.look {
            let Ok(Some(found)) = regex.find(name) else {
                continue;
            };
            if best.is_none_or(|best| (found.start(), *row) < (best.start, best.row)) {
                best = Some(PatternHit {
                    start: found.start(),
                    end: found.end(),
                    row: *row,
                });
            }
        }
        best
    }
}

fn linear<T: AsRef<str>>(texts: &[T]) -> Result<Regex, String> {
    Regex::builder()
        .syntax(syntax::Config::new().case_insensitive(true))
        .configure(Regex::config().nfa_size_limit(Some(PATTERN_PROGRAM_BYTES)))
        .build_many(texts)
        .map_err(|error| {
            error
                .syntax_error()
                .map_or_else(|| error.to_string(), |cause| cause.to_string())
        })
}

fn with_look_around(text: &str) -> Option<fancy_regex::Regex> {
    let look = ["(?=", "(?!", "(?<=", "(?<!"]
        .iter()
        .any(|group| text.contains(group));
    if !look {
        return None;
    }
    let mut builder = fancy_regex::RegexBuilder::new(text);
    builder
        .case_insensitive(true)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .ok()
}

/// `a(b|c|d` → `a(b|c)`: cuts at the last `|` of the innermost open group and closes all groups.
/// `None` when the text does not end inside a group that holds a `|`.
fn close_groups(text: &str) -> Option<String> {
    // Per open group: position of its last `|`.
    let mut groups: Vec<Option<usize>> = Vec::new();
    let mut in_class = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'(' => groups.push(None),
            b')' => {
                groups.pop();
            }
            b'|' => {
                if let Some(last) = groups.last_mut() {
                    *last = Some(at);
                }
            }
            _ => {}
        }
    }
    let cut = (*groups.last()?)?;
    Some(format!("{}{}", text.get(..cut)?, ")".repeat(groups.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(patterns: &[&str], name: &str) -> Option<(usize, usize, u32)> {
        let compiled = Patterns::compile(patterns.iter().copied().zip(0..), true);
        compiled.find(name).map(|hit| (hit.start, hit.end, hit.row))
    }

    #[test]
    fn the_leftmost_match_wins_then_file_order() {
        assert_eq!(
            find(&[r"ab[0-9]+\.com", r"b[0-9]+\.com"], "ab1.com"),
            Some((0, 7, 0))
        );
        assert_eq!(
            find(&[r"b[0-9]+\.com", r"ab[0-9]+\.com"], "ab1.com"),
            Some((0, 7, 1))
        );
        assert_eq!(find(&[r"^q[0-9]+\.pw$"], "aq77.pw"), None);
        assert_eq!(find(&[r"^[A-Z]{2}\D\.biz$"], "abx.biz"), Some((0, 7, 0)));
    }

    #[test]
    fn look_around_runs_in_the_other_engine() {
        assert_eq!(
            find(&[r"b[0-9]+\.com", r"(?<!x)a[0-9]+(?=\.net)"], "a12.net"),
            Some((0, 3, 1))
        );
        assert_eq!(find(&[r"(?<!x)a[0-9]+(?=\.net)"], "xa12.net"), None);
    }

    #[test]
    fn cut_expressions_are_closed_or_reported() {
        let cut = r"\b[a-z0-9]{1,3}\-(alpha|beta|gamma|b";
        assert_eq!(
            close_groups(cut).as_deref(),
            Some(r"\b[a-z0-9]{1,3}\-(alpha|beta|gamma)")
        );
        assert_eq!(close_groups("a(b(c|d").as_deref(), Some("a(b(c))"));
        assert_eq!(close_groups("a[(|]"), None);
        let repaired = Patterns::compile([(cut, 7)].into_iter(), true);
        assert_eq!(repaired.report.repaired, [cut]);
        assert_eq!(
            repaired
                .find("ab-beta.com")
                .map(|hit| (hit.start, hit.end, hit.row)),
            Some((0, 7, 7))
        );
        assert_eq!(
            repaired.find("ab-b.com"),
            None,
            "the cut alternative is dropped"
        );
        let left = Patterns::compile([(cut, 7)].into_iter(), false);
        assert_eq!((left.report.usable, left.report.unusable.len()), (0, 1));
    }
}
