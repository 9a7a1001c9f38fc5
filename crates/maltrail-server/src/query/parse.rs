//! Query text → [`Expr`].
//!
//! ```text
//! or   = and { ("OR" | "||") and }
//! and  = not { ["AND" | "&&"] not }
//! not  = { "NOT" | "!" | "-" } term
//! term = "(" or ")" | field ":" value { "," value } | "\"" phrase "\"" | word
//! value = { "!=" } ( "/" expression "/" | "\"" phrase "\"" | text )
//! ```
//!
//! Lenient where a person is still typing: an unclosed quote or parenthesis ends with the text, an
//! operator without its operand and a field without a value match everything. What cannot be
//! understood is an error with its position. Bounds: [`MAX_CHARS`], [`MAX_TERMS`], [`MAX_DEPTH`].

use maltrail_core::addr::{parse_ip, parse_net};
use maltrail_core::event::Severity;

use super::ast::{Direction, Expr, Expression, Field, Pattern, Range};
use super::period::period;
use crate::desk::Status;

/// Longest query in characters.
pub(crate) const MAX_CHARS: usize = 4096;
/// Most values of all terms together: each costs a pass over the day's texts.
pub(crate) const MAX_TERMS: usize = 128;
/// Deepest nesting of parentheses and negations.
pub(crate) const MAX_DEPTH: usize = 64;

/// A query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct QueryError {
    /// Character offset, from 0.
    pub(crate) position: usize,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

/// Reads a query. Empty text means everything.
pub(crate) fn parse(text: &str) -> Result<Expr, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_CHARS {
        return Err(error(
            MAX_CHARS,
            format!("The query is longer than {MAX_CHARS} characters."),
        ));
    }
    let mut parser = Parser {
        chars,
        at: 0,
        terms: 0,
        depth: 0,
        expressions: 0,
    };
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr.unwrap_or(Expr::All)),
        Some(_) => Err(error(parser.at, "No parenthesis is open here.".into())),
    }
}

/// A part of a query that stands for itself, as the page shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chip {
    /// Character offsets, end exclusive.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) expr: Expr,
}

/// The parts that must all match, in order; a query of alternatives is one part.
pub(crate) fn chips(text: &str) -> Result<Vec<Chip>, QueryError> {
    let whole = parse(text)?;
    let mut parser = Parser {
        chars: text.chars().collect(),
        at: 0,
        terms: 0,
        depth: 0,
        expressions: 0,
    };
    let mut chips = Vec::new();
    loop {
        if parser.take(&Operator::And) {
            continue;
        }
        let Some(_) = parser.peek() else { break };
        if matches!(parser.operator(), Some((Operator::Or, _))) {
            let (from, to) = trimmed(&parser.chars);
            let expr = whole;
            return Ok(vec![Chip { from, to, expr }]);
        }
        let from = parser.at;
        let expr = parser.not()?;
        let to = parser.at;
        chips.extend(expr.map(|expr| Chip { from, to, expr }));
    }
    Ok(chips)
}

/// Where the text starts and ends without white space around it.
fn trimmed(chars: &[char]) -> (usize, usize) {
    let solid = |letter: &char| !letter.is_whitespace();
    let from = chars.iter().position(solid).unwrap_or(0);
    let to = chars.iter().rposition(solid).map_or(0, |at| at + 1);
    (from, to)
}

fn error(position: usize, message: String) -> QueryError {
    QueryError { position, message }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    terms: usize,
    depth: usize,
    expressions: usize,
}

#[derive(PartialEq)]
enum Operator {
    Or,
    And,
    Not,
}

impl Parser {
    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        while self
            .chars
            .get(self.at)
            .is_some_and(|letter| letter.is_whitespace())
        {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    /// The operator that starts here and its length.
    fn operator(&mut self) -> Option<(Operator, usize)> {
        let first = self.peek()?;
        let second = self.chars.get(self.at + 1).copied();
        match (first, second) {
            ('|', Some('|')) => return Some((Operator::Or, 2)),
            ('&', Some('&')) => return Some((Operator::And, 2)),
            ('!', _) => return Some((Operator::Not, 1)),
            ('-', Some(next)) if !next.is_whitespace() => return Some((Operator::Not, 1)),
            _ => {}
        }
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let ends = |letter: &&char| !(letter.is_whitespace() || matches!(letter, '(' | ')'));
        let word: String = rest.iter().take_while(ends).take(4).collect();
        let operator = match word.to_ascii_uppercase().as_str() {
            "OR" => Operator::Or,
            "AND" => Operator::And,
            "NOT" => Operator::Not,
            _ => return None,
        };
        Some((operator, word.len()))
    }

    fn take(&mut self, wanted: &Operator) -> bool {
        match self.operator() {
            Some((operator, len)) if operator == *wanted => {
                self.at += len;
                true
            }
            _ => false,
        }
    }

    /// `None` stands for nothing written, which is neutral.
    fn or(&mut self) -> Result<Option<Expr>, QueryError> {
        let mut parts = Vec::new();
        loop {
            parts.extend(self.and()?);
            if !self.take(&Operator::Or) {
                break;
            }
        }
        Ok(join(parts, Expr::Or))
    }

    fn and(&mut self) -> Result<Option<Expr>, QueryError> {
        let mut parts = Vec::new();
        loop {
            if self.take(&Operator::And) {
                continue;
            }
            let end = matches!(self.operator(), Some((Operator::Or, _)))
                || matches!(self.peek(), None | Some(')'));
            if end {
                break;
            }
            parts.extend(self.not()?);
        }
        Ok(join(parts, Expr::And))
    }

    fn not(&mut self) -> Result<Option<Expr>, QueryError> {
        let start = self.at;
        let mut negations = 0;
        while self.take(&Operator::Not) {
            negations += 1;
        }
        if matches!(self.peek(), None | Some(')'))
            || matches!(self.operator(), Some((Operator::Or | Operator::And, _)))
        {
            return Ok(None);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(
                start,
                format!("The query is nested deeper than {MAX_DEPTH} levels."),
            ));
        }
        let term = self.term()?;
        self.depth -= 1;
        Ok(match term {
            Some(term) if negations % 2 == 1 => Some(Expr::Not(Box::new(term))),
            term => term,
        })
    }

    fn term(&mut self) -> Result<Option<Expr>, QueryError> {
        if self.peek() == Some('(') {
            self.at += 1;
            let inner = self.or()?;
            if self.peek() == Some(')') {
                self.at += 1;
            }
            return Ok(inner);
        }
        let start = self.at;
        if self.chars.get(self.at) == Some(&'"') {
            let phrase = self.quoted();
            return self.free(start, &phrase).map(Some);
        }
        if let Some((field, len)) = self.field() {
            self.at += len;
            return self.values(field).map(Some);
        }
        let word = self.word();
        self.free(start, &word).map(Some)
    }

    fn free(&mut self, start: usize, text: &str) -> Result<Expr, QueryError> {
        self.count(start)?;
        Ok(if text.is_empty() {
            Expr::All
        } else {
            Expr::Free(text.to_lowercase())
        })
    }

    fn count(&mut self, start: usize) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(error(
                start,
                format!("The query has more than {MAX_TERMS} values."),
            ));
        }
        Ok(())
    }

    /// A known field name with its colon, and the length of both.
    fn field(&self) -> Option<(Field, usize)> {
        let rest = self.chars.get(self.at..)?;
        let colon = rest.iter().take(16).position(|&letter| letter == ':')?;
        let name: String = rest.get(..colon)?.iter().collect();
        Some((Field::named(&name.to_ascii_lowercase())?, colon + 1))
    }

    /// The values after the colon; none means everything.
    fn values(&mut self, field: Field) -> Result<Expr, QueryError> {
        let mut patterns = Vec::new();
        loop {
            let start = self.at;
            let negations = self.not_equal();
            let mut value = if let Some(source) = self.expression() {
                self.count(start)?;
                self.expressions += 1;
                if self.expressions > MAX_EXPRESSIONS {
                    let text = format!("The query has more than {MAX_EXPRESSIONS} expressions.");
                    return Err(error(start, text));
                }
                let source = (start + 2 * negations + 1, source);
                Some(expression(field, start, &source.1, source.0)?)
            } else {
                let literal = self.chars.get(self.at) == Some(&'"');
                let text = if literal { self.quoted() } else { self.value() };
                if text.is_empty() {
                    None
                } else {
                    self.count(start)?;
                    Some(pattern(field, &text, literal).map_err(|message| error(start, message))?)
                }
            };
            if negations % 2 == 1 {
                value = value.map(|value| Pattern::Other(Box::new(value)));
            }
            patterns.extend(value);
            if self.chars.get(self.at) != Some(&',') {
                break;
            }
            self.at += 1;
        }
        Ok(if patterns.is_empty() {
            Expr::All
        } else {
            Expr::Field(field, patterns)
        })
    }

    /// Reads `!=`, which may be repeated; how often it stands there.
    fn not_equal(&mut self) -> usize {
        let start = self.at;
        while self.chars.get(self.at..self.at + 2) == Some(&['!', '=']) {
            self.at += 2;
        }
        (self.at - start) / 2
    }

    /// What stands between two slashes, when a value follows neither inside nor behind: a path such as
    /// `/gate.php` or `/a/b` is none. A slash inside is written `\/`.
    fn expression(&mut self) -> Option<String> {
        let rest = self.chars.get(self.at..)?;
        let inner = rest.strip_prefix(&['/'])?;
        let mut escaped = false;
        let mut ends = (0..).zip(inner).filter(|&(_, &letter)| {
            let ends = letter == '/' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let closes = |at: usize| match inner.get(at + 1) {
            None => true,
            Some(next) => next.is_whitespace() || matches!(next, ',' | ')'),
        };
        let end = ends.find(|&(at, _)| closes(at)).map(|(at, _)| at)?;
        let source: String = inner.get(..end)?.iter().collect();
        if source.is_empty() {
            return None;
        }
        self.at += end + 2;
        Some(source)
    }

    /// Text up to the closing quote or the end.
    fn quoted(&mut self) -> String {
        self.at += 1;
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&letter| letter == '"');
        let text = rest.iter().take(len.unwrap_or(rest.len())).collect();
        self.at += len.map_or(rest.len(), |len| len + 1);
        text
    }

    fn word(&mut self) -> String {
        self.until(|letter| letter.is_whitespace())
    }

    fn value(&mut self) -> String {
        self.until(|letter| letter.is_whitespace() || letter == ',')
    }

    /// Text up to `ends`, or a parenthesis that was not opened inside the text itself.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> String {
        let (start, mut open) = (self.at, 0);
        while let Some(&letter) = self.chars.get(self.at) {
            match letter {
                '(' => open += 1,
                ')' if open == 0 => break,
                ')' => open -= 1,
                _ if ends(letter) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.chars
            .get(start..self.at)
            .unwrap_or_default()
            .iter()
            .collect()
    }
}

fn join(mut parts: Vec<Expr>, many: impl Fn(Vec<Expr>) -> Expr) -> Option<Expr> {
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(many(parts)),
    }
}

fn pattern(field: Field, text: &str, literal: bool) -> Result<Pattern, String> {
    let lower = text.to_lowercase();
    Ok(match field {
        Field::Src | Field::Dst if !literal => return address(&lower),
        Field::First | Field::Last | Field::Time => Pattern::Period(period(text)?),
        Field::New if lower == "today" => Pattern::New,
        Field::New => return Err(format!("`{text}` is not known here; write new:today.")),
        Field::Country | Field::Asn => {
            return Err(format!(
                "`{}:` cannot be answered: the server has no table that says where addresses are.",
                field.name()
            ));
        }
        Field::Port | Field::Count => range(&lower).map_or(Pattern::Never, Pattern::Number),
        Field::Severity => Pattern::Severity(match lower.as_str() {
            "high" | "hi" | "3" => Severity::High,
            "medium" | "med" | "2" => Severity::Medium,
            "low" | "lo" | "1" => Severity::Low,
            _ => {
                return Err(format!(
                    "`{text}` is not a severity; write high, medium or low."
                ));
            }
        }),
        Field::Direction => Pattern::Direction(match lower.as_str() {
            "in" | "inbound" | "ingress" | "req" | "request" => Direction::In,
            "out" | "outbound" | "egress" | "resp" | "response" | "reply" => Direction::Out,
            _ => return Err(format!("`{text}` is not a direction; write in or out.")),
        }),
        Field::Status => Pattern::Status(Status::named(&lower).ok_or_else(|| {
            format!("`{text}` is not a status; write new, investigating, resolved or fp.")
        })?),
        _ => words(&lower, literal),
    })
}

/// Most memory of a compiled expression in bytes: it bounds what a letter of the day's texts costs, whatever
/// somebody writes.
const EXPRESSION_BYTES: usize = 32 * 1024;
/// Memory for what an expression remembers while it runs.
const EXPRESSION_CACHE: usize = 1024 * 1024;
/// Most expressions of a query.
const MAX_EXPRESSIONS: usize = 8;

/// Compiles an expression whose first character stands at `inside` of the query.
fn expression(
    field: Field,
    start: usize,
    source: &str,
    inside: usize,
) -> Result<Pattern, QueryError> {
    let no_text = matches!(
        field,
        Field::Count
            | Field::Severity
            | Field::Direction
            | Field::Status
            | Field::First
            | Field::Last
            | Field::Time
            | Field::New
            | Field::Country
            | Field::Asn
    );
    if no_text {
        let text = format!("`{}:` takes no expression.", field.name());
        return Err(error(start, text));
    }
    let letters = |bytes: usize| source.get(..bytes).map_or(0, |head| head.chars().count());
    // Classes of all of Unicode would fill an expression's memory at once; texts off the wire are ASCII.
    let parsed = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(source);
    if let Err(wrong) = parsed {
        let (at, what) = match &wrong {
            regex_syntax::Error::Parse(wrong) => {
                (wrong.span().start.offset, wrong.kind().to_string())
            }
            regex_syntax::Error::Translate(wrong) => {
                (wrong.span().start.offset, wrong.kind().to_string())
            }
            _ => (0, "it cannot be read".to_owned()),
        };
        let text = format!("The expression is wrong here: {what}.");
        return Err(error(inside + letters(at), text));
    }
    regex::bytes::RegexBuilder::new(source)
        .case_insensitive(true)
        .unicode(false)
        .size_limit(EXPRESSION_BYTES)
        .dfa_size_limit(EXPRESSION_CACHE)
        .nest_limit(MAX_DEPTH as u32)
        .build()
        .map(|compiled| Pattern::Regex(Expression(std::sync::Arc::new(compiled))))
        .map_err(|_| {
            error(
                inside,
                "The expression is too large; use fewer repetitions.".into(),
            )
        })
}

fn words(lower: &str, literal: bool) -> Pattern {
    if literal || !lower.contains('*') {
        return Pattern::Substring(lower.to_owned());
    }
    Pattern::Glob(lower.split('*').map(str::to_owned).collect())
}

fn address(lower: &str) -> Result<Pattern, String> {
    if let Some((head, bits)) = lower.split_once('/') {
        if let Some(network) = parse_net(lower) {
            return Ok(Pattern::Network(network));
        }
        return match parse_ip(head) {
            Some(_) if bits.is_empty() => Ok(Pattern::Substring(head.to_owned())),
            Some(_) => Err(format!("`/{bits}` is not a prefix length of {head}.")),
            None => Ok(words(lower, false)),
        };
    }
    match parse_ip(lower) {
        Some(address) if address.is_ipv6() => Ok(Pattern::Address(address)),
        _ => Ok(words(lower, false)),
    }
}

/// `443`, `1000-2000`, `>n`, `<n`, `>=n`, `<=n`.
fn range(text: &str) -> Option<Range> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (from, to) = if let Some(rest) = text.strip_prefix(">=") {
        (number(rest)?, u64::MAX)
    } else if let Some(rest) = text.strip_prefix("<=") {
        (0, number(rest)?)
    } else if let Some(rest) = text.strip_prefix('>') {
        (number(rest)?.checked_add(1)?, u64::MAX)
    } else if let Some(rest) = text.strip_prefix('<') {
        (0, number(rest)?.checked_sub(1)?)
    } else if let Some((from, to)) = text.split_once('-') {
        (number(from)?, number(to)?)
    } else {
        (number(text)?, number(text)?)
    };
    Some(Range { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(text: &str) -> Expr {
        Expr::Free(text.into())
    }

    fn sev(severity: Severity) -> Expr {
        Expr::Field(Field::Severity, vec![Pattern::Severity(severity)])
    }

    fn not(expr: Expr) -> Expr {
        Expr::Not(Box::new(expr))
    }

    #[test]
    fn or_binds_looser_than_and_than_not() {
        for text in [
            "a b OR c",
            "a AND b || c",
            "a && b or c",
            "(a b) OR c",
            "a b OR c)".trim_end_matches(')'),
        ] {
            assert_eq!(
                parse(text),
                Ok(Expr::Or(vec![
                    Expr::And(vec![free("a"), free("b")]),
                    free("c")
                ])),
                "{text}"
            );
        }
        assert_eq!(
            parse("NOT a b"),
            Ok(Expr::And(vec![not(free("a")), free("b")]))
        );
        assert_eq!(
            parse("a (b OR c)"),
            Ok(Expr::And(vec![
                free("a"),
                Expr::Or(vec![free("b"), free("c")])
            ]))
        );
    }

    #[test]
    fn negations_are_equal() {
        for text in [
            "-sev:high",
            "!sev:high",
            "NOT sev:high",
            "not sev:3",
            "-sev:HI",
            "!!!sev:high",
            "(-sev:high)",
        ] {
            assert_eq!(parse(text), Ok(not(sev(Severity::High))), "{text}");
        }
        assert_eq!(parse("!!sev:high"), Ok(sev(Severity::High)));
    }

    #[test]
    fn half_typed_queries_match_everything_else() {
        for text in [
            "", "  ", "OR", "NOT", "src:", "AND", "()", "(", "!", "\"\"", "src:,", "NOT OR",
        ] {
            assert_eq!(parse(text), Ok(Expr::All), "{text:?}");
        }
        for text in [
            "a OR", "OR a", "a AND", "(a", "\"a", "a NOT", "((a)", "a ()",
        ] {
            assert_eq!(parse(text), Ok(free("a")), "{text:?}");
        }
        assert_eq!(
            parse("info:\"cobalt str"),
            Ok(Expr::Field(
                Field::Info,
                vec![Pattern::Substring("cobalt str".into())]
            ))
        );
        assert_eq!(parse("-"), Ok(free("-")));
    }

    #[test]
    fn values_are_lists_quotes_are_literal() {
        let substring = |text: &str| Pattern::Substring(text.into());
        assert_eq!(
            parse("type:DNS,http"),
            Ok(Expr::Field(
                Field::Type,
                vec![substring("dns"), substring("http")]
            ))
        );
        assert_eq!(
            parse("info:\"a,b*\""),
            Ok(Expr::Field(Field::Info, vec![substring("a,b*")]))
        );
        assert_eq!(
            parse("trail:*.ru"),
            Ok(Expr::Field(
                Field::Trail,
                vec![Pattern::Glob(vec![String::new(), ".ru".into()])]
            ))
        );
        assert_eq!(
            parse("trail:(www).x"),
            Ok(Expr::Field(Field::Trail, vec![substring("(www).x")]))
        );
        assert_eq!(
            parse("(trail:x)"),
            Ok(Expr::Field(Field::Trail, vec![substring("x")]))
        );
        assert_eq!(parse("\"OR\""), Ok(free("or")));
        assert_eq!(
            parse("1.1.1.1:53"),
            Ok(free("1.1.1.1:53")),
            "an unknown field is text"
        );
    }

    #[test]
    fn numbers_and_networks() {
        let range = |from, to| Pattern::Number(Range { from, to });
        for (text, wanted) in [
            ("port:443", range(443, 443)),
            ("port:1000-2000", range(1000, 2000)),
            ("port:>1024", range(1025, u64::MAX)),
            ("port:<=5", range(0, 5)),
            ("port:<5", range(0, 4)),
            ("port:>=5", range(5, u64::MAX)),
            ("port:http", Pattern::Never),
            ("port:<0", Pattern::Never),
            ("port:!=53", Pattern::Other(Box::new(range(53, 53)))),
        ] {
            assert_eq!(
                parse(text),
                Ok(Expr::Field(Field::Port, vec![wanted])),
                "{text}"
            );
        }
        let network = |text: &str| {
            Ok(Expr::Field(
                Field::Src,
                vec![Pattern::Network(parse_net(text).unwrap())],
            ))
        };
        assert_eq!(parse("src:10.10.3.0/16"), network("10.10.0.0/16"));
        assert_eq!(parse("src:2a00:1450::/32"), network("2a00:1450::/32"));
        assert!(
            matches!(parse("src:2001:db8::1"), Ok(Expr::Field(_, patterns)) if matches!(patterns[0], Pattern::Address(_)))
        );
        assert_eq!(
            parse("src:10.10"),
            Ok(Expr::Field(
                Field::Src,
                vec![Pattern::Substring("10.10".into())]
            ))
        );
    }

    #[test]
    fn what_cannot_be_understood_has_a_position() {
        for (text, position) in [
            ("sev:urgent", 4),
            ("ä sev:high,x", 11),
            ("dir:up", 4),
            ("src:10.0.0.0/33", 4),
            ("a )", 2),
            ("status:maybe", 7),
        ] {
            assert_eq!(
                parse(text).map_err(|error| error.position),
                Err(position),
                "{text}"
            );
        }
    }

    #[test]
    fn bounds_hold() {
        assert!(parse(&"(".repeat(MAX_DEPTH + 1)).is_err());
        assert!(parse(&"(".repeat(MAX_DEPTH - 1)).is_ok());
        assert!(parse(&"a ".repeat(MAX_TERMS + 1)).is_err());
        assert!(parse(&"a".repeat(MAX_CHARS + 1)).is_err());
        assert!(parse(&"trail:/a/ ".repeat(MAX_EXPRESSIONS)).is_ok());
        assert!(parse(&"trail:/a/ ".repeat(MAX_EXPRESSIONS + 1)).is_err());
        assert!(parse("trail:/^[a-z]{20,}\\.(top|xyz)$/").is_ok());
        assert!(parse("trail:/.{0,100}\\w+ä/").is_ok());
        assert!(
            parse(&"!".repeat(MAX_CHARS)).is_ok(),
            "a row of negations is a loop, not a recursion"
        );
    }

    #[test]
    fn no_text_panics() {
        let pieces = [
            "a", " ", "(", ")", "\"", "!", "-", "OR", "AND", "src:", "port:>", ",", "*", "/", "ß",
            "|", "&&", ":",
        ];
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            if let Err(error) = parse(&text) {
                assert!(error.position <= text.chars().count());
            }
        }
    }
}
