//! Trails that are regular expressions over host names.
//!
//! The leftmost match of all expressions wins, among several there the first in file order. They are
//! matched case-insensitively and unanchored. One pass over the name says which expressions could
//! match ([`literals`]), and only those are searched; what has no literal is searched all at once. The
//! few that need look-around run one by one in a bounded backtracking engine. Expressions that were cut inside an open group are
//! repaired by dropping the cut alternative.

mod literals;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;

use self::literals::Prefilter;
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
    prefilter: Option<Prefilter>,
    /// Expressions of the prefilter, and their rows.
    filtered: Vec<(Regex, u32)>,
    /// All others in one.
    rest: Option<Regex>,
    /// Rows of the patterns of `rest`.
    rest_rows: Vec<u32>,
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
        let mut literals = Vec::new();
        let mut rest = Vec::new();
        let mut room = PATTERN_PROGRAM_BYTES;
        for (text, row) in patterns.take(TRAIL_PATTERNS) {
            let (text, regex) = match linear(&[text]) {
                Ok(regex) => (text.to_owned(), regex),
                Err(error) => {
                    let closed = repair.then(|| close_groups(text)).flatten();
                    let closed = closed.and_then(|closed| {
                        let regex = linear(&[closed.as_str()]).ok()?;
                        Some((closed, regex))
                    });
                    if let Some(closed) = closed {
                        compiled.report.repaired.push(text.to_owned());
                        closed
                    } else {
                        match with_look_around(text) {
                            Some(look) => compiled.look.push((look, row)),
                            None => compiled.report.unusable.push((text.to_owned(), error)),
                        }
                        continue;
                    }
                }
            };
            let fits = room.checked_sub(regex.memory_usage());
            match (literals::of_expression(&text), fits) {
                (Some(known), Some(left)) => {
                    room = left;
                    literals.push(known);
                    compiled.filtered.push((regex, row));
                }
                _ => {
                    rest.push(text);
                    compiled.rest_rows.push(row);
                }
            }
        }
        compiled.prefilter = Prefilter::new(&literals);
        if !rest.is_empty() {
            match linear(&rest) {
                Ok(regex) => compiled.rest = Some(regex),
                Err(error) => {
                    compiled.rest_rows.clear();
                    compiled
                        .report
                        .unusable
                        .push((format!("all {} expressions together", rest.len()), error));
                }
            }
        }
        compiled.report.usable =
            compiled.filtered.len() + compiled.rest_rows.len() + compiled.look.len();
        compiled
    }

    /// The leftmost match in `name`.
    pub(super) fn find(&self, name: &str) -> Option<PatternHit> {
        let mut best = self.rest.as_ref().and_then(|regex| {
            let found = regex.find(name)?;
            let row = self.rest_rows.get(found.pattern().as_usize()).copied()?;
            Some(PatternHit {
                start: found.start(),
                end: found.end(),
                row,
            })
        });
        let mut last = None;
        let candidates = self.prefilter.iter();
        for candidate in candidates.flat_map(|prefilter| prefilter.candidates(name)) {
            // Literals of one expression often come together.
            if last.replace(candidate) == Some(candidate) {
                continue;
            }
            let Some((regex, row)) = self.filtered.get(usize::from(candidate)) else {
                continue;
            };
            if let Some(found) = regex.find(name) {
                best = first(best, found.start(), found.end(), *row);
            }
        }
        for (regex, row) in &self.look {
            let Ok(Some(found)) = regex.find(name) else {
                continue;
            };
            best = first(best, found.start(), found.end(), *row);
        }
        best
    }
}

/// The one of two matches that starts first, or stands first in the file.
fn first(best: Option<PatternHit>, start: usize, end: usize, row: u32) -> Option<PatternHit> {
    match best {
        Some(best) if (best.start, best.row) <= (start, row) => Some(best),
        _ => Some(PatternHit { start, end, row }),
    }
}

fn linear<T: AsRef<str>>(texts: &[T]) -> Result<Regex, String> {
    Regex::builder()
        .syntax(syntax::Config::new().case_insensitive(true))
        .configure(
            Regex::config()
                .nfa_size_limit(Some(PATTERN_PROGRAM_BYTES))
                // No groups are asked for, and automata built in advance only make the start longer.
                .which_captures(WhichCaptures::Implicit)
                .onepass(false)
                .dfa(false),
        )
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

    /// With and without a literal, in both orders: the same rule.
    #[test]
    fn a_literal_changes_no_result() {
        let (with, without) = (r"evil[0-9]+\.com", r"[a-e]v[a-z]+[0-9]");
        assert_eq!(find(&[with, without], "x.evil7.com"), Some((2, 11, 0)));
        assert_eq!(find(&[without, with], "x.evil7.com"), Some((2, 7, 0)));
        assert_eq!(find(&[with, without], "bvx1.evil7.com"), Some((0, 4, 1)));
        assert_eq!(find(&[with], "evil.example.com"), None);
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
