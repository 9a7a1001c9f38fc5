//! Text that a match must contain, so that nearly every name is cleared by one pass over it.
//!
//! Of each expression one set of literals is taken of which every match holds at least one: the
//! parts of a sequence are alternatives to choose from, and the one whose shortest literal is
//! longest says most. Expressions without such a set are not covered here.
//!
//! Bounds: [`MAX_LITERALS`] a set; a set needs at least [`MIN_LITERAL`] bytes in each literal.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_syntax::hir::{Hir, HirKind};

/// Most literals of one expression. The longest shipped one has about 150.
const MAX_LITERALS: usize = 1024;
/// Fewest bytes that say something: `.pw` does, `co` does not.
const MIN_LITERAL: usize = 3;

/// The literals of one expression.
pub(super) type Literals = Vec<Vec<u8>>;

/// What a match of `expression` must contain one of; `None` when nothing useful is known.
pub(super) fn of_expression(expression: &str) -> Option<Literals> {
    let hir = regex_syntax::parse(expression).ok()?;
    required(&hir).filter(|literals| shortest(literals) >= MIN_LITERAL)
}

/// Recursion ends at the parser's own limit of nesting.
fn required(hir: &Hir) -> Option<Literals> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Capture(group) => required(&group.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(shortest),
        HirKind::Alternation(branches) => {
            let mut all = Literals::new();
            for branch in branches {
                all.append(&mut required(branch)?);
                if all.len() > MAX_LITERALS {
                    return None;
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// The length of the shortest literal.
fn shortest(literals: &Literals) -> usize {
    literals.iter().map(Vec::len).min().unwrap_or_default()
}

/// Which expressions a name could match.
#[derive(Debug)]
pub(super) struct Prefilter {
    automaton: AhoCorasick,
    /// The expression of each literal.
    owners: Vec<u16>,
}

impl Prefilter {
    /// Looks for the literals of each expression, in order. `None` when there are none or too many.
    pub(super) fn new(literals: &[Literals]) -> Option<Self> {
        let owned = literals.iter().zip(0_u16..);
        let owned = owned.flat_map(|(set, owner)| set.iter().map(move |literal| (literal, owner)));
        let (texts, owners): (Vec<_>, Vec<_>) = owned.unzip();
        if texts.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(texts)
            .ok()?;
        Some(Self { automaton, owners })
    }

    /// The expressions of which a literal stands in `name`; one may come several times.
    #[inline]
    pub(super) fn candidates<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u16> + 'a {
        self.automaton
            .find_overlapping_iter(name)
            .filter_map(|found| self.owners.get(found.pattern().as_usize()).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(expression: &str) -> Option<Vec<String>> {
        let literals = of_expression(expression)?;
        Some(
            literals
                .into_iter()
                .map(|text| String::from_utf8(text).expect("text"))
                .collect(),
        )
    }

    fn check(expression: &str, wanted: &[&str]) {
        assert_eq!(
            texts(expression).unwrap_or_default(),
            wanted,
            "{expression}"
        );
    }

    #[test]
    fn the_part_that_says_most_is_taken() {
        check(r"byethost[0-9]+\.com", &["byethost"]);
        check(r"[a-z]{1}\.AppJiagu\.com", &[".appjiagu.com"]);
        check(r"(ab|cd)?evil[0-9]+\.(com|net)", &["evil"]);
        check(r"^[a-z]{2}\-[a-z]{2,3}\.(top|club)$", &["top", "club"]);
        check(r"(?:advert|\w{1,3}xspot)[0-9]\.biz", &["advert", "xspot"]);
        check(r"(evil)+x", &["evil"]);
    }

    #[test]
    fn what_need_not_be_there_says_nothing() {
        for expression in [
            "[a-z]+",
            "(evil)?",
            "(evil|[a-z]+)",
            "evil|",
            "ab",
            "a.b",
            "(",
        ] {
            assert_eq!(texts(expression), None, "{expression}");
        }
    }

    #[test]
    fn a_set_is_bounded() {
        let many: Vec<String> = (0..=MAX_LITERALS)
            .map(|n| format!("{}y", n + 1000))
            .collect();
        assert_eq!(texts(&format!("({})", many.join("|"))), None);
    }

    #[test]
    fn candidates_are_those_with_a_literal_in_the_name() {
        let literals = [r"byethost[0-9]+\.com", r"seek[0-9]+\.mootseek"]
            .map(|expression| of_expression(expression).expect("literals"));
        let filter = Prefilter::new(&literals).expect("filter");
        let of = |name| filter.candidates(name).collect::<Vec<_>>();
        assert_eq!(of("a.byethost.org"), [0]);
        assert_eq!(of("ByetHost.mootSeek.com"), [0, 1]);
        assert!(of("www.example.com").is_empty());
    }
}
