//! A query as JSON, so that a page or a program shows it without reading the language itself.
//!
//! `{"all":true}`, `{"and":[..]}`, `{"or":[..]}`, `{"not":..}`, `{"text":".."}` or
//! `{"field":"src","values":[..]}`; a value is an object with one member that says how it compares.

use serde_json::{Value, json};

use super::ast::{Direction, Edge, Expr, Pattern, Point};

/// The query.
pub(crate) fn outline(expr: &Expr) -> Value {
    let all = |parts: &[Expr]| -> Vec<Value> { parts.iter().map(outline).collect() };
    match expr {
        Expr::All => json!({"all": true}),
        Expr::And(parts) => json!({"and": all(parts)}),
        Expr::Or(parts) => json!({"or": all(parts)}),
        Expr::Not(part) => json!({"not": outline(part)}),
        Expr::Free(text) => json!({"text": text}),
        Expr::Field(field, patterns) => {
            let values: Vec<Value> = patterns.iter().map(value).collect();
            json!({"field": field.name(), "values": values})
        }
    }
}

fn value(pattern: &Pattern) -> Value {
    match pattern {
        Pattern::Substring(text) => json!({"contains": text}),
        Pattern::Glob(parts) => json!({"glob": parts.join("*")}),
        Pattern::Address(address) => json!({"address": address.to_string()}),
        Pattern::Network(network) => json!({"network": network.to_string()}),
        Pattern::Number(range) => {
            let to = (range.to < u64::MAX).then_some(range.to);
            json!({"number": {"from": range.from, "to": to}})
        }
        Pattern::Severity(severity) => json!({"is": severity.as_str()}),
        Pattern::Direction(Direction::In) => json!({"is": "in"}),
        Pattern::Direction(Direction::Out) => json!({"is": "out"}),
        Pattern::Status(status) => json!({"is": status.as_str()}),
        Pattern::Other(inner) => json!({"not": value(inner)}),
        Pattern::Regex(expression) => json!({"regex": expression.0.as_str()}),
        Pattern::Period(period) => {
            json!({"time": {"from": period.from.map(edge), "to": period.to.map(edge)}})
        }
        Pattern::New => json!({"is": "today"}),
        Pattern::Never => json!({"nothing": true}),
        Pattern::Moments(_) | Pattern::Networks(_) | Pattern::Unseen(_) | Pattern::Threats(_) => {
            json!({"looked_up": true})
        }
    }
}

/// `09:00`, and `09:00 over` where the whole minute counts.
fn edge(edge: Edge) -> String {
    let text = match edge.point {
        Point::Clock(minutes) => format!("{:02}:{:02}", minutes / 60, minutes % 60),
        Point::Day(day) => day.to_string(),
        Point::Moment(at) => at.to_rfc3339(),
    };
    if edge.over { text + " over" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse::{chips, parse};

    /// Query, and what it means or where it is wrong.
    const VECTORS: &str = include_str!("vectors.tsv");

    #[test]
    fn every_vector_means_what_it_says() {
        let mut checked = 0;
        for (number, line) in (1..).zip(VECTORS.lines()) {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let (query, wanted) = line.split_once('\t').unwrap();
            let meaning = match parse(query) {
                Ok(expr) => outline(&expr).to_string(),
                Err(error) => format!("error at {}", error.position),
            };
            let wanted = match wanted.strip_prefix('{') {
                Some(_) => serde_json::from_str::<Value>(wanted).unwrap().to_string(),
                None => wanted.to_owned(),
            };
            assert_eq!(meaning, wanted, "line {number}: {query}");
            checked += 1;
        }
        assert!(checked > 100, "{checked} vectors");
    }

    #[test]
    fn chips_are_the_parts_that_must_all_match() {
        let texts = |query: &str| -> Vec<String> {
            let letters: Vec<char> = query.chars().collect();
            let part =
                |chip: &crate::query::parse::Chip| letters[chip.from..chip.to].iter().collect();
            chips(query).unwrap().iter().map(part).collect()
        };
        for (query, wanted) in [
            ("", vec![]),
            (
                "  sev:high  type:dns,http ",
                vec!["sev:high", "type:dns,http"],
            ),
            ("a AND NOT b && (c OR d)", vec!["a", "NOT b", "(c OR d)"]),
            (" a b OR c ", vec!["a b OR c"]),
            ("-info:\"x y\" ä", vec!["-info:\"x y\"", "ä"]),
            ("trail:/a b/ x", vec!["trail:/a b/", "x"]),
            ("src: a", vec!["src:", "a"]),
        ] {
            assert_eq!(texts(query), wanted, "{query}");
        }
    }
}
