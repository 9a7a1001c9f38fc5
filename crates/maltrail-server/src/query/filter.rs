//! A query made ready for one table.
//!
//! Each value of the query is tested once against every text of the day's dictionaries; what stays
//! is a bit per text. Asking a threat is then a matter of looking up bits of its numbers, so one pass
//! over 200,000 threats costs milliseconds whatever the query says.

use maltrail_core::addr::parse_ip;
use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;
use memchr::memmem;
use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Direction, Expr, Field, Moments, Pattern};
use crate::desk::{Case, Cases, Status};
use crate::store::table::{Atom, DayTable, Dict, Set, Side, Threat};
use crate::store::uid::uid_text;

/// A bit per id of a dictionary.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// For ids `0..len`, none set.
    pub(crate) fn new(len: u32) -> Self {
        Self(vec![0; len as usize / 64 + 1])
    }

    fn of(dict: &Dict, mut test: impl FnMut(&str) -> bool) -> Self {
        let mut bits = Self::new(dict.len());
        for id in 0..dict.len() {
            if test(dict.get(id)) {
                bits.set(id);
            }
        }
        bits
    }

    /// Sets the bit; tells whether it was clear.
    pub(crate) fn set(&mut self, id: u32) -> bool {
        let Some(word) = self.0.get_mut(id as usize / 64) else {
            return false;
        };
        let bit = 1 << (id % 64);
        let clear = *word & bit == 0;
        *word |= bit;
        clear
    }

    fn get(&self, id: u32) -> bool {
        self.0
            .get(id as usize / 64)
            .is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn any(&self, set: &Set) -> bool {
        set.iter().any(|id| self.get(id))
    }
}

/// Later than every event.
const FOREVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// Threats chosen by what people decided about them, each up to the time of its last event.
#[derive(Debug, Default)]
pub(crate) struct Chosen(HashMap<u64, Timestamp>);

impl Chosen {
    fn new(cases: &Cases, test: impl Fn(&Case) -> bool) -> Self {
        let chosen = cases.iter().filter(|(_, case)| test(case));
        Self(chosen.map(|(id, _)| (id, FOREVER)).collect())
    }

    /// Those of a status other than new. A resolved threat is chosen until its next event.
    fn with_status(cases: &Cases, test: impl Fn(Status) -> bool) -> Self {
        let until = |case: &Case| {
            if cases.status_of(case, FOREVER) == case.status {
                FOREVER
            } else {
                case.decided
            }
        };
        let chosen = cases.iter().filter(|(_, case)| test(case.status));
        Self(chosen.map(|(id, case)| (id, until(case))).collect())
    }

    fn contains(&self, threat: &Threat) -> bool {
        self.0
            .get(&threat.id)
            .is_some_and(|until| threat.last <= *until)
    }
}

/// A query compiled for one table. Valid until the table or the cases change.
#[derive(Debug)]
pub(crate) enum Filter {
    All,
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Never,
    Free {
        needle: String,
        texts: Bits,
        addrs: Bits,
        ports: Bits,
        tagged: Chosen,
    },
    /// What people decided.
    Chosen(Chosen),
    Noted(Arc<std::collections::HashSet<u64>>),
    /// Some event at such a time.
    Active(Vec<Moments>),
    /// Trails without their variable parts.
    Norm(Bits),
    Src(Bits),
    Dst(Bits),
    /// Shown ports.
    Port(Bits),
    Proto(Bits),
    Sensor(Bits),
    /// A column of the first event.
    Head(Field, Bits),
    Class(Bits),
    Pattern(Field, Pattern),
}

impl Filter {
    /// Compiles `expr`.
    pub(crate) fn new(expr: &Expr, table: &DayTable, cases: &Cases) -> Self {
        let all = |parts: &[Expr]| -> Vec<Self> {
            parts
                .iter()
                .map(|part| Self::new(part, table, cases))
                .collect()
        };
        match expr {
            Expr::All => Self::All,
            Expr::And(parts) => Self::And(all(parts)),
            Expr::Or(parts) => Self::Or(all(parts)),
            Expr::Not(part) => Self::Not(Box::new(Self::new(part, table, cases))),
            Expr::Free(needle) => {
                let find = |dict| {
                    let mut finder = Finder::new(needle);
                    Bits::of(dict, |text| finder.is_in(text))
                };
                Self::Free {
                    needle: needle.clone(),
                    texts: find(&table.texts),
                    addrs: find(&table.addrs),
                    ports: find(&table.ports),
                    tagged: Chosen::new(cases, |case| {
                        case.tags.iter().any(|tag| tag.contains(needle.as_str()))
                    }),
                }
            }
            Expr::Field(field, patterns) => {
                let mut parts: Vec<Self> = patterns
                    .iter()
                    .map(|pattern| Self::value(*field, pattern, table, cases))
                    .collect();
                if parts.len() == 1 {
                    parts.pop().unwrap_or(Self::All)
                } else {
                    Self::Or(parts)
                }
            }
        }
    }

    fn value(field: Field, pattern: &Pattern, table: &DayTable, cases: &Cases) -> Self {
        match (field, pattern) {
            (_, Pattern::Other(inner)) => {
                Self::Not(Box::new(Self::value(field, inner, table, cases)))
            }
            (_, Pattern::Never) => Self::Never,
            (_, Pattern::Status(Status::New)) => {
                let triaged = Chosen::with_status(cases, |status| status != Status::New);
                Self::Not(Box::new(Self::Chosen(triaged)))
            }
            (_, Pattern::Status(wanted)) => {
                Self::Chosen(Chosen::with_status(cases, |status| status == *wanted))
            }
            (Field::Tag, _) => Self::Chosen(Chosen::new(cases, |case| {
                let mut test = TextTest::new(pattern);
                case.tags.iter().any(|tag| test.matches(tag))
            })),
            (_, Pattern::Threats(threats)) => Self::Noted(Arc::clone(threats)),
            (Field::Time, Pattern::Moments(moments)) => Self::Active(moments.clone()),
            (_, Pattern::Unseen(seen)) => {
                let is_new = |norm: &str| !seen.0.contains(&super::novelty::hash(norm));
                Self::Norm(Bits::of(&table.texts, is_new))
            }
            (Field::Port, Pattern::Regex(_)) => Self::Port(text_bits(&table.ports, pattern)),
            (Field::Src, _) => Self::Src(address_bits(&table.addrs, pattern)),
            (Field::Dst, _) => Self::Dst(address_bits(&table.addrs, pattern)),
            (Field::Port, Pattern::Number(range)) => Self::Port(Bits::of(&table.ports, |port| {
                port.parse().is_ok_and(|port: u64| range.contains(port))
            })),
            (Field::Proto, _) => Self::Proto(text_bits(&table.texts, pattern)),
            (Field::Sensor, _) => Self::Sensor(text_bits(&table.texts, pattern)),
            (Field::Type | Field::Trail | Field::Info | Field::Reference, _) => {
                Self::Head(field, text_bits(&table.texts, pattern))
            }
            (Field::Class, _) => Self::Class(text_bits(&table.texts, pattern)),
            _ => Self::Pattern(field, pattern.clone()),
        }
    }

    /// Whether the threat matches.
    pub(crate) fn matches(&self, table: &DayTable, threat: &Threat) -> bool {
        let any = |test: &dyn Fn(&Atom) -> bool| table.atoms_of(threat).any(test);
        match self {
            Self::All => true,
            Self::Never => false,
            Self::And(parts) => parts.iter().all(|part| part.matches(table, threat)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(table, threat)),
            Self::Not(part) => !part.matches(table, threat),
            Self::Chosen(chosen) => chosen.contains(threat),
            Self::Noted(threats) => threats.contains(&threat.id),
            Self::Active(moments) => {
                any(&|atom| moments.iter().any(|moments| moments.has_event_of(atom)))
            }
            Self::Norm(bits) => any(&|atom| bits.get(atom.key.norm)),
            Self::Src(bits) => any(&|atom| bits.any(&atom.src)),
            Self::Dst(bits) => any(&|atom| bits.any(&atom.dst)),
            Self::Proto(bits) => any(&|atom| bits.any(&atom.proto)),
            Self::Sensor(bits) => any(&|atom| bits.any(&atom.sensor)),
            Self::Port(bits) => match threat.side {
                Side::None => false,
                side if side.shows_dst() => any(&|atom| bits.any(&atom.dport)),
                _ => any(&|atom| bits.any(&atom.sport)),
            },
            Self::Class(bits) => bits.get(threat.class),
            Self::Head(field, bits) => {
                head_column(table, threat, *field).is_some_and(|id| bits.get(id))
            }
            Self::Pattern(field, pattern) => matches_pattern(threat, *field, pattern),
            Self::Free {
                needle,
                texts,
                addrs,
                ports,
                tagged,
            } => {
                let in_head = [Field::Type, Field::Trail, Field::Info, Field::Reference]
                    .iter()
                    .any(|&field| {
                        head_column(table, threat, field).is_some_and(|id| texts.get(id))
                    });
                in_head
                    || tagged.contains(threat)
                    || threat.severity.as_str().contains(needle.as_str())
                    || uid_text(threat.uid, threat.kind)
                        .to_lowercase()
                        .contains(needle.as_str())
                    || any(&|atom| {
                        addrs.any(&atom.src)
                            || addrs.any(&atom.dst)
                            || ports.any(&atom.sport)
                            || ports.any(&atom.dport)
                            || texts.any(&atom.proto)
                            || texts.any(&atom.sensor)
                    })
            }
        }
    }
}

fn head_column(table: &DayTable, threat: &Threat, field: Field) -> Option<u32> {
    let key = &table.atoms.get(threat.head as usize)?.key;
    Some(match field {
        Field::Type => key.kind,
        Field::Trail => key.trail,
        Field::Info => key.info,
        _ => key.reference,
    })
}

fn matches_pattern(threat: &Threat, field: Field, pattern: &Pattern) -> bool {
    match (field, pattern) {
        (Field::Severity, Pattern::Severity(severity)) => threat.severity == *severity,
        (Field::Direction, Pattern::Direction(direction)) => match direction {
            Direction::In => threat.side == Side::In,
            Direction::Out => threat.side == Side::Out,
        },
        (Field::Count, Pattern::Number(range)) => range.contains(threat.count),
        (Field::First, Pattern::Moments(moments)) => {
            moments.iter().any(|moments| moments.contains(threat.first))
        }
        (Field::Last, Pattern::Moments(moments)) => {
            moments.iter().any(|moments| moments.contains(threat.last))
        }
        (Field::Uid, _) => TextTest::new(pattern).matches(&uid_text(threat.uid, threat.kind)),
        (Field::Origin, _) => TextTest::new(pattern).matches(threat.origin.as_str()),
        _ => false,
    }
}

fn text_bits(dict: &Dict, pattern: &Pattern) -> Bits {
    let mut test = TextTest::new(pattern);
    Bits::of(dict, |text| test.matches(text))
}

fn address_bits(dict: &Dict, pattern: &Pattern) -> Bits {
    match pattern {
        Pattern::Network(network) => Bits::of(dict, |text| {
            parse_ip(text).is_some_and(|address| network.contains(&address.to_canonical()))
        }),
        Pattern::Networks(networks) => Bits::of(dict, |text| {
            parse_ip(text).is_some_and(|address| networks.0.contains(address))
        }),
        Pattern::Address(wanted) => Bits::of(dict, |text| parse_ip(text) == Some(*wanted)),
        _ => text_bits(dict, pattern),
    }
}

/// Looks for a lower-case needle, letter case aside.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    needle: &'a str,
    finder: memmem::Finder<'a>,
    lower: Vec<u8>,
}

impl<'a> Finder<'a> {
    fn new(needle: &'a str) -> Self {
        Self {
            needle,
            finder: memmem::Finder::new(needle),
            lower: Vec::new(),
        }
    }

    fn is_in(&mut self, text: &str) -> bool {
        if text.len() < self.needle.len() && text.is_ascii() {
            return false;
        }
        if !text.is_ascii() {
            return text.to_lowercase().contains(self.needle);
        }
        self.lower.clear();
        self.lower
            .extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        self.finder.find(&self.lower).is_some()
    }
}

/// A pattern over texts.
pub(crate) enum TextTest<'a> {
    Find(Box<Finder<'a>>),
    Glob(&'a [String]),
    Regex(&'a regex::bytes::Regex),
    Never,
}

impl<'a> TextTest<'a> {
    /// Patterns of other kinds match no text.
    pub(crate) fn new(pattern: &'a Pattern) -> Self {
        match pattern {
            Pattern::Substring(needle) => Self::Find(Box::new(Finder::new(needle))),
            Pattern::Glob(parts) => Self::Glob(parts),
            Pattern::Regex(expression) => Self::Regex(&expression.0),
            _ => Self::Never,
        }
    }

    pub(crate) fn matches(&mut self, text: &str) -> bool {
        match self {
            Self::Find(finder) => finder.is_in(text),
            Self::Glob(parts) => glob(parts, &text.to_lowercase()),
            Self::Regex(expression) => expression.is_match(text.as_bytes()),
            Self::Never => false,
        }
    }
}

/// Parts between stars, anchored at both ends; each part at its leftmost place.
fn glob(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|only| only == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// Which severities are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Severities(u8);

impl Severities {
    /// All of them.
    pub(crate) const ALL: Self = Self(0b1110);

    /// Reads `high,medium,low`; empty text means all. `None` for an unknown word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::ALL);
        }
        text.split(',').try_fold(Self(0), |set, word| {
            let severity = match word.trim() {
                "high" => Severity::High,
                "medium" => Severity::Medium,
                "low" => Severity::Low,
                _ => return None,
            };
            Some(Self(set.0 | 1 << severity as u8))
        })
    }

    /// Whether `severity` is wanted.
    pub(crate) const fn contain(self, severity: Severity) -> bool {
        self.0 >> severity as u8 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse::parse;
    use crate::store::table::{Fields, FloodRule, tests::event};

    fn table() -> DayTable {
        let mut table = DayTable::new(FloodRule::Own);
        let dns = event(1, "10.10.0.5", "(www).evil.ru", "cobalt strike (malware)");
        let scan = Fields {
            src: "203.0.113.9",
            sport: "51000",
            dst: "10.0.0.7",
            dport: "23",
            proto: "TCP",
            kind: "IP",
            sensor: "edge",
            reference: "blocklist.de",
            ..event(2, "", "203.0.113.9", "mass scanner")
        };
        let six = Fields {
            src: "2A00:1450::5",
            kind: "HTTP",
            ..event(3, "", "six.example", "odd thing (suspicious)")
        };
        for fields in [dns, scan, six, scan] {
            table.add(&fields).unwrap();
        }
        table
    }

    /// The trails of the threats that match, in order.
    fn found(query: &str) -> Vec<String> {
        let table = table();
        let filter = Filter::new(&parse(query).unwrap(), &table, &Cases::default());
        let threats = table
            .threats
            .iter()
            .filter(|threat| filter.matches(&table, threat));
        threats
            .map(|threat| {
                table
                    .texts
                    .get(table.atoms[threat.head as usize].key.trail)
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn every_field_finds_its_column() {
        let (evil, scan, six) = ("(www).evil.ru", "203.0.113.9", "six.example");
        for (query, wanted) in [
            ("", vec![evil, scan, six]),
            ("sev:high", vec![evil]),
            ("-sev:high", vec![scan, six]),
            ("sev:high,low", vec![evil, scan]),
            ("type:dns,http", vec![evil, six]),
            ("type:d", vec![evil]),
            ("src:10.10.0.0/16", vec![evil]),
            ("src:10.10.*", vec![evil]),
            ("src:0.10", vec![evil]),
            ("src:10.*", vec![evil]),
            ("src:2a00:1450::/32", vec![six]),
            ("src:2a00:1450:0::5", vec![six]),
            ("dst:10.0.0.7", vec![scan]),
            ("port:53", vec![evil, six]),
            ("port:20-30", vec![scan]),
            ("port:51000", vec![]),
            ("port:!=53", vec![scan]),
            ("port:telnet", vec![]),
            ("count:2", vec![scan]),
            ("events:>=1", vec![evil, scan, six]),
            ("proto:tcp", vec![scan]),
            ("sensor:edge", vec![scan]),
            ("trail:*.ru", vec![evil]),
            ("trail:.RU", vec![evil]),
            ("trail:*.r", vec![]),
            ("info:\"cobalt strike\"", vec![evil]),
            ("info:cobalt strike", vec![evil]),
            ("class:mal", vec![evil]),
            ("class:suspicious", vec![six]),
            ("dir:in", vec![evil, scan, six]),
            ("dir:out", vec![]),
            ("ref:blocklist", vec![scan]),
            ("origin:feed", vec![scan]),
            ("MASS", vec![scan]),
            ("51000", vec![scan]),
            ("medium", vec![six]),
            ("edge OR six", vec![scan, six]),
            ("(sev:high OR sev:med) type:http", vec![six]),
            ("tag:apt", vec![]),
            ("NOT tag:apt status:new", vec![evil, scan, six]),
            ("1.1.1.1:53", vec![]),
        ] {
            assert_eq!(found(query), wanted, "{query}");
        }
    }

    #[test]
    fn uids_are_searched_as_shown() {
        let table = table();
        let uid = uid_text(table.threats[0].uid, table.threats[0].kind);
        assert_eq!(found(&format!("uid:{uid}")).len(), 1);
        assert_eq!(found(&uid[..6].to_uppercase()).len(), 1);
    }

    #[test]
    fn globs_are_anchored() {
        let parts = |text: &str| text.split('*').map(str::to_owned).collect::<Vec<_>>();
        for (pattern, text, wanted) in [
            ("*.ru", "x.ru", true),
            ("*.ru", "x.ru.com", false),
            ("a*b*c", "a-b-c", true),
            ("a*b", "ab", true),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(glob(&parts(pattern), text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn severities() {
        assert_eq!(Severities::parse(""), Some(Severities::ALL));
        let set = Severities::parse("high,low").unwrap();
        assert!(
            set.contain(Severity::High)
                && !set.contain(Severity::Medium)
                && set.contain(Severity::Low)
        );
        assert_eq!(Severities::parse("urgent"), None);
    }
}
