//! Rules of `BLACKLIST`: one a line, lines are alternatives; a line is conditions joined by ` and `; a
//! condition is `FIELD OPERATOR EXPRESSION`.
//!
//! compat: an operator that starts with `!` negates, any other does not; expressions ignore letter case
//! and are searched anywhere. `filter` is info and reference as they stand in the line.

use std::borrow::Cow;

use maltrail_core::limits::EVENT_COLUMNS;
use regex::{Regex, RegexBuilder};

use crate::store::table::push_column;

/// Most memory of one compiled expression in bytes.
const REGEX_BYTES: usize = 4 << 20;

/// The columns of an event.
pub(crate) type Columns<'a> = [Cow<'a, str>; EVENT_COLUMNS];

/// What a condition looks at: a column by its place, or info and reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Column(usize),
    Filter,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "src_ip" => Self::Column(2),
            "src_port" => Self::Column(3),
            "dst_ip" => Self::Column(4),
            "dst_port" => Self::Column(5),
            "protocol" => Self::Column(6),
            "type" => Self::Column(7),
            "trail" => Self::Column(8),
            "filter" => Self::Filter,
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct Condition {
    field: Field,
    negated: bool,
    expression: Regex,
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let (field, rest) = text.trim().split_once(char::is_whitespace)?;
        let (operator, expression) = rest.trim_start().split_once(char::is_whitespace)?;
        Some(Self {
            field: Field::named(field)?,
            negated: operator.starts_with('!'),
            expression: compile(expression.trim())?,
        })
    }

    fn holds(&self, columns: &Columns<'_>) -> bool {
        let found = match self.field {
            Field::Column(at) => columns
                .get(at)
                .is_some_and(|column| self.expression.is_match(column)),
            Field::Filter => {
                let mut rest = String::new();
                for column in columns.iter().skip(9) {
                    push_column(column, &mut rest);
                }
                self.expression.is_match(rest.trim_start())
            }
        };
        found != self.negated
    }
}

/// An expression as the old options mean it.
pub(crate) fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(REGEX_BYTES)
        .build()
        .ok()
}

/// The rules of one list.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Vec<Condition>>);

impl Rules {
    /// Reads the lines of an option. `None` when one of them is no rule: half a list is none.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let rule = |line: &str| line.split(" and ").map(Condition::parse).collect();
        let rules: Option<Vec<Vec<Condition>>> = lines.into_iter().map(rule).collect();
        rules.map(Self)
    }

    /// Whether any rule holds.
    pub(crate) fn hold(&self, columns: &Columns<'_>) -> bool {
        self.0
            .iter()
            .any(|rule| rule.iter().all(|condition| condition.holds(columns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::event::line::split_columns;

    const LINE: &str = r#""2026-11-24 10:00:01.000000" s 10.0.0.6 5500 66.66.66.66 443 TCP URL "a b.example/x" "known attacker" blocklist.de"#;

    fn holds(rules: &[&str]) -> Option<bool> {
        let columns = split_columns(LINE).unwrap();
        Rules::parse(rules.iter().copied()).map(|rules| rules.hold(&columns))
    }

    #[test]
    fn conditions_are_joined_and_lines_are_alternatives() {
        for (rules, wanted) in [
            (&["src_ip !~ ^192.168. and dst_port ~ ^443$"][..], true),
            (&["src_ip !~ ^10. and dst_port ~ ^443$"], false),
            (&["dst_port ~ ^80$", "type ~ url"], true),
            (&["trail ~ a b.example"], true),
            (&["filter ~ ^\"known attacker\" blocklist"], true),
            (&["protocol == tcp and src_port is 55"], true),
            (&["filter !~ attacker"], false),
        ] {
            assert_eq!(holds(rules), Some(wanted), "{rules:?}");
        }
    }

    #[test]
    fn one_bad_line_spoils_the_list() {
        for bad in [
            "nosuch ~ x",
            "src_ip ~",
            "src_ip",
            "",
            "src_ip ~ (",
            "type ~ a{999}{999}",
        ] {
            assert_eq!(holds(&["src_ip ~ 10", bad]), None, "{bad}");
        }
    }
}
