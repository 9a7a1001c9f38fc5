//! Events that the operator does not want to see: rules about the two ends, and an expression.
//!
//! A rule is a line `src_ip;src_port;dst_ip;dst_port`; `*` stands for any value, `-` for the port of
//! protocols without one. Addresses are compared as numbers; an event with several addresses in a
//! column is matched by `*` alone. The expression is searched, in any letter case, in the event written as
//! `(sec, usec, 'src', sport, 'dst', dport, 'PROTO', 'TYPE', 'trail', 'info', 'ref')`.
//!
//! Bounds: [`MAX_RULES`] rules, [`MAX_FAULTS`] described faults a file (the rest is counted), and
//! `BACKTRACK_LIMIT` steps a search. An event costs at most 16 look-ups, however many rules there are. An event
//! whose search gives up is kept and counted: hiding is what must be certain.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use fancy_regex::{Regex, RegexBuilder};
use maltrail_core::addr::parse_ip;
use maltrail_core::event::{Event, Members};

/// Rules that are kept: what four files of the largest hand-kept lists hold. Around 6 MiB.
pub const MAX_RULES: usize = 65_536;

/// Faults of one text that are described.
pub const MAX_FAULTS: usize = 20;

/// Steps after which a search gives up; a plain search in a line needs a few hundred.
const BACKTRACK_LIMIT: usize = 100_000;

/// A value of a column, or none for any.
type Any<T> = Option<T>;

/// The port column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Port {
    /// `-`: the protocol has none.
    Absent,
    Number(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rule {
    src_ip: Any<IpAddr>,
    src_port: Any<Port>,
    dst_ip: Any<IpAddr>,
    dst_port: Any<Port>,
}

impl Rule {
    /// Which columns have a value, as a number below 16.
    fn shape(&self) -> u16 {
        u16::from(self.src_ip.is_some())
            | u16::from(self.src_port.is_some()) << 1
            | u16::from(self.dst_ip.is_some()) << 2
            | u16::from(self.dst_port.is_some()) << 3
    }

    /// What is left of an event's columns in the rule of this shape that would match it; `None` when a
    /// wanted column has no single value.
    fn of_shape(&self, shape: u16) -> Option<Self> {
        fn want<T: Copy>(wanted: bool, value: Any<T>) -> Option<Any<T>> {
            if !wanted {
                return Some(None);
            }
            value.map(Some)
        }
        Some(Self {
            src_ip: want(shape & 1 != 0, self.src_ip)?,
            src_port: want(shape & 2 != 0, self.src_port)?,
            dst_ip: want(shape & 4 != 0, self.dst_ip)?,
            dst_port: want(shape & 8 != 0, self.dst_port)?,
        })
    }
}

/// A line that is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Lines that are no rules: the first [`MAX_FAULTS`] of them, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFaults {
    /// The first ones.
    pub described: Vec<RuleFault>,
    /// All of them.
    pub count: usize,
}

/// The rules and the expression. Immutable; a reload makes a new one.
#[derive(Debug, Default)]
pub struct IgnoreRules {
    rules: HashSet<Rule>,
    /// Bit `n` is set when there is a rule of shape `n`.
    shapes: u16,
    expression: Option<Regex>,
}

/// What [`IgnoreRules::retain`] has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Events that were dropped.
    pub events: u64,
    /// Events that were kept because the search in them gave up.
    pub gave_up: u64,
}

/// What rules and expression say about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    /// Kept, because the search gave up.
    GaveUp,
    Ignored,
}

impl IgnoreRules {
    /// Adds the rules of a text; what is no rule is left out and described.
    pub fn add(&mut self, text: &str) -> RuleFaults {
        let mut faults = RuleFaults::default();
        for (line, text) in (1..).zip(text.lines()) {
            let fault = match parse(text) {
                Ok(None) => continue,
                Ok(Some(rule)) if self.rules.len() < MAX_RULES || self.rules.contains(&rule) => {
                    self.shapes |= 1 << rule.shape();
                    self.rules.insert(rule);
                    continue;
                }
                Ok(Some(_)) => format!("more than {MAX_RULES} rules"),
                Err(fault) => fault,
            };
            faults.count += 1;
            if faults.described.len() < MAX_FAULTS {
                faults.described.push(RuleFault { line, why: fault });
            }
        }
        faults
    }

    /// Sets the expression; an empty one is none.
    ///
    /// # Errors
    /// When it does not compile; then there is none.
    pub fn set_expression(&mut self, text: Option<&str>) -> Result<(), Box<fancy_regex::Error>> {
        self.expression = None;
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let mut builder = RegexBuilder::new(text);
            builder
                .case_insensitive(true)
                .backtrack_limit(BACKTRACK_LIMIT);
            self.expression = Some(builder.build().map_err(Box::new)?);
        }
        Ok(())
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.expression.is_none()
    }

    /// Whether there is an expression.
    #[must_use]
    pub const fn has_expression(&self) -> bool {
        self.expression.is_some()
    }

    /// Drops what is ignored.
    pub fn retain(&self, events: &mut Vec<Event>) -> Ignored {
        let mut ignored = Ignored::default();
        if self.is_empty() {
            return ignored;
        }
        let mut text = String::new();
        events.retain(|event| {
            let verdict = self.judge(event, &mut text);
            ignored.events += u64::from(verdict == Verdict::Ignored);
            ignored.gave_up += u64::from(verdict == Verdict::GaveUp);
            verdict != Verdict::Ignored
        });
        ignored
    }

    /// Judges one event; `text` is room to write it in.
    pub(super) fn judge(&self, event: &Event, text: &mut String) -> Verdict {
        if self.has_rule_for(event) {
            return Verdict::Ignored;
        }
        let Some(expression) = &self.expression else {
            return Verdict::Kept;
        };
        text.clear();
        write_tuple(event, text);
        match expression.is_match(text) {
            Ok(true) => Verdict::Ignored,
            Ok(false) => Verdict::Kept,
            Err(_) => Verdict::GaveUp,
        }
    }

    fn has_rule_for(&self, event: &Event) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let columns = Rule {
            src_ip: parse_ip(event.src_ip.as_str()),
            src_port: port(&event.src_port, &event.proto),
            dst_ip: parse_ip(event.dst_ip.as_str()),
            dst_port: port(&event.dst_port, &event.proto),
        };
        (0..16)
            .filter(|shape| self.shapes >> shape & 1 == 1)
            .any(|shape| {
                columns
                    .of_shape(shape)
                    .is_some_and(|rule| self.rules.contains(&rule))
            })
    }
}

/// The port of a column with a single one.
fn port(column: &Members, proto: &str) -> Option<Port> {
    match column.as_str() {
        // Port 0 is written as `-`, too.
        "-" if matches!(proto, "TCP" | "UDP") => Some(Port::Number(0)),
        "-" => Some(Port::Absent),
        text => text.parse().ok().map(Port::Number),
    }
}

/// Reads a line; `None` for an empty one or a comment.
fn parse(line: &str) -> Result<Option<Rule>, String> {
    // compat: blanks inside a line do not count, and a comment may follow a rule.
    let line: String = line
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let text = line.split_once('#').map_or(line.as_str(), |(rule, _)| rule);
    if text.is_empty() {
        return Ok(None);
    }
    let fields: Vec<&str> = text.split(';').collect();
    let [src_ip, src_port, dst_ip, dst_port] = fields[..] else {
        return Err(format!(
            "{} fields instead of four: `src_ip;src_port;dst_ip;dst_port`",
            fields.len()
        ));
    };
    Ok(Some(Rule {
        src_ip: field(src_ip, address)?,
        src_port: field(src_port, port_number)?,
        dst_ip: field(dst_ip, address)?,
        dst_port: field(dst_port, port_number)?,
    }))
}

fn field<T>(text: &str, parse: fn(&str) -> Result<T, String>) -> Result<Any<T>, String> {
    if text == "*" {
        return Ok(None);
    }
    parse(text).map(Some)
}

fn address(text: &str) -> Result<IpAddr, String> {
    parse_ip(text).ok_or_else(|| {
        let hint = if text.contains('/') {
            " (networks belong into USER_WHITELIST)"
        } else {
            ""
        };
        format!("`{}` is neither an address nor `*`{hint}", short(text))
    })
}

fn port_number(text: &str) -> Result<Port, String> {
    if text == "-" {
        return Ok(Port::Absent);
    }
    text.parse()
        .map(Port::Number)
        .map_err(|_| format!("`{}` is neither a port, `-` nor `*`", short(text)))
}

/// Enough of a text to recognise it.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The event as the expression sees it.
fn write_tuple(event: &Event, out: &mut String) {
    let _ = write!(
        out,
        "({}, {}, ",
        event.time.secs(),
        event.time.subsec_micros()
    );
    quote(event.src_ip.as_str(), out);
    number(&event.src_port, &event.proto, out);
    quote(event.dst_ip.as_str(), out);
    number(&event.dst_port, &event.proto, out);
    for text in [
        &*event.proto,
        event.kind.as_str(),
        &event.trail,
        &event.info,
    ] {
        quote(text, out);
    }
    quote(&event.reference, out);
    out.truncate(out.len() - ", ".len());
    out.push(')');
}

/// A port and the separator: bare when it is one number.
fn number(column: &Members, proto: &str, out: &mut String) {
    match port(column, proto) {
        Some(Port::Number(port)) => {
            let _ = write!(out, "{port}, ");
        }
        Some(Port::Absent) | None => quote(column.as_str(), out),
    }
}

/// A text in quotes, and the separator.
fn quote(text: &str, out: &mut String) {
    // compat: double quotes only around a text with single quotes and no double ones.
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter == mark => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push(mark);
    out.push_str(", ");
}

#[cfg(test)]
mod tests {
    use maltrail_core::time::Zone;

    use super::*;

    const SYN: &str = "\"2023-11-14 22:13:20.000000\" sensor1 192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 badnet ref\n";
    const ECHO: &str = "\"2023-11-14 22:13:20.000000\" sensor1 192.0.2.10 - 203.0.113.7 - ICMP IP 203.0.113.7 badnet ref\n";

    fn event(line: &str) -> Event {
        Event::parse_line(line, &Zone::UTC).expect("line")
    }

    fn tuple(event: &Event) -> String {
        let mut out = String::new();
        write_tuple(event, &mut out);
        out
    }

    fn with_expression(text: &str) -> IgnoreRules {
        let mut rules = IgnoreRules::default();
        rules.set_expression(Some(text)).expect("expression");
        rules
    }

    /// How many of these events are left.
    fn left(rules: &IgnoreRules, lines: &[&str]) -> usize {
        let mut events = lines.iter().map(|line| event(line)).collect();
        let ignored = rules.retain(&mut events);
        assert_eq!(ignored.events as usize + events.len(), lines.len());
        events.len()
    }

    /// Rows of verified examples; `basis` says which of them differ from the reference, and why.
    #[test]
    fn vectors() {
        let rows: Vec<&str> = include_str!("../../tests/data/ignore.tsv")
            .lines()
            .skip(1)
            .collect();
        assert_eq!(rows.len(), 18);
        for row in rows {
            let columns: Vec<&str> = row.split('\t').collect();
            let [id, kind, value, packet, wanted, _basis] = columns[..] else {
                panic!("{row}");
            };
            let mut rules = IgnoreRules::default();
            match kind {
                "rule" => drop(rules.add(value)),
                // One that does not compile is off.
                _ => drop(rules.set_expression(Some(value))),
            }
            let line = if packet == "SYN" { SYN } else { ECHO };
            assert_eq!(left(&rules, &[line]).to_string(), wanted, "{id}");
        }
    }

    #[test]
    fn addresses_are_compared_as_numbers() {
        let mut rules = IgnoreRules::default();
        assert_eq!(rules.add("2001:DB8:0:0::1;*;*;*\n").count, 0);
        let line = "\"2023-11-14 22:13:20.000000\" s 2001:db8::1 1 2001:db8::2 443 TCP IP 2001:db8::2 x r\n";
        assert_eq!(left(&rules, &[line, SYN]), 1);
    }

    /// Four columns, each of which decides.
    #[test]
    fn every_column_decides() {
        for rule in [
            "192.0.2.11;40000;203.0.113.7;443",
            "192.0.2.10;40001;203.0.113.7;443",
            "192.0.2.10;40000;203.0.113.8;443",
            "192.0.2.10;40000;203.0.113.7;444",
            "*;-;*;*",
            "*;0;*;*",
        ] {
            let mut rules = IgnoreRules::default();
            assert_eq!(rules.add(rule).count, 0, "{rule}");
            assert_eq!(left(&rules, &[SYN]), 1, "{rule}");
        }
    }

    #[test]
    fn several_addresses_are_matched_by_a_star_alone() {
        let line = SYN.replace("192.0.2.10", "192.0.2.10,192.0.2.11");
        let mut rules = IgnoreRules::default();
        drop(rules.add("192.0.2.10;*;*;*"));
        assert_eq!(left(&rules, &[&line]), 1);
        drop(rules.add("*;*;203.0.113.7;*"));
        assert_eq!(left(&rules, &[&line]), 0);
    }

    #[test]
    fn faults_are_named_by_line_and_the_rest_is_used() {
        let mut rules = IgnoreRules::default();
        let faults = rules.add(
            "# mine\n1.2.3.4;*;*\n\nhost;*;*;*\n*;99999;*;*\n*;*;10.0.0.0/8;*\n*;*;*;1 # ok\n",
        );
        let lines: Vec<usize> = faults.described.iter().map(|fault| fault.line).collect();
        assert_eq!((lines, faults.count, rules.len()), (vec![2, 4, 5, 6], 4, 1));
        assert!(faults.described[0].why.starts_with("3 fields"));
        assert!(faults.described[3].why.contains("USER_WHITELIST"));
    }

    #[test]
    fn rules_and_faults_are_bounded() {
        let mut text = String::new();
        for number in 0..MAX_RULES + 30 {
            let _ = writeln!(
                text,
                "10.{}.{}.{};*;*;*",
                number >> 16,
                number >> 8 & 255,
                number & 255
            );
        }
        let mut rules = IgnoreRules::default();
        let faults = rules.add(&text);
        assert_eq!(rules.len(), MAX_RULES);
        assert_eq!((faults.count, faults.described.len()), (30, MAX_FAULTS));
        // Rules that are there already cost nothing.
        assert_eq!(rules.add("10.0.0.1;*;*;*").count, 0);
    }

    #[test]
    fn the_tuple_quotes_and_escapes() {
        let echo = event(ECHO);
        let mut event = event(SYN);
        assert_eq!(
            tuple(&event),
            "(1700000000, 0, '192.0.2.10', 40000, '203.0.113.7', 443, 'TCP', 'IP', '203.0.113.7', 'badnet', 'ref')"
        );
        event.trail = "it's".to_owned();
        event.info = "it's \"b\\d\"".to_owned();
        event.reference = "a\tb\u{7}\u{e9}".to_owned();
        assert!(tuple(&event).ends_with("\"it's\", 'it\\'s \"b\\\\d\"', 'a\\tb\\x07\u{e9}')"));
        assert!(tuple(&echo).contains("'192.0.2.10', '-', '203.0.113.7', '-', 'ICMP'"));
    }

    /// A search that would take for ever ends; its event is kept and counted.
    #[test]
    fn a_search_that_gives_up_keeps_the_event() {
        let rules = with_expression("(a|b|ab)*(?>~)");
        let mut slow = event(SYN);
        slow.trail = "ab".repeat(30);
        let mut events = vec![slow];
        let ignored = rules.retain(&mut events);
        assert_eq!((events.len(), ignored.gave_up), (1, 1));
    }
}
