//! A threat as a row of an export: one list of names for CSV, JSON and NDJSON.
//!
//! Value sets are complete here, unlike on a page. CSV cells cannot become formulas in a spreadsheet.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::query::row::address_rank;
use crate::store::table::{Atom, DayTable, Dict, Set, Threat};
use crate::store::uid::uid_text;

/// Names of the columns, in order.
pub(crate) const COLUMNS: [&str; 15] = [
    "severity",
    "uid",
    "events",
    "first_seen",
    "last_seen",
    "sensors",
    "sources",
    "destinations",
    "ports",
    "protocols",
    "type",
    "trail",
    "info",
    "reference",
    "tags",
];

/// One row. The order of the fields is that of [`COLUMNS`].
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    severity: &'static str,
    uid: String,
    events: u64,
    first_seen: String,
    last_seen: String,
    sensors: Vec<&'a str>,
    sources: Vec<&'a str>,
    destinations: Vec<&'a str>,
    /// Destination ports.
    ports: Vec<&'a str>,
    protocols: Vec<&'a str>,
    #[serde(rename = "type")]
    event_type: &'a str,
    trail: &'a str,
    info: &'a str,
    reference: &'a str,
    tags: Vec<String>,
}

impl<'a> Record<'a> {
    /// The row of a threat with what people have written about it.
    pub(crate) fn new(table: &'a DayTable, threat: &'a Threat, tags: Vec<String>) -> Self {
        let head = table.atoms.get(threat.head as usize).map(|atom| atom.key);
        let text = |id: Option<u32>| id.map_or("", |id| table.texts.get(id));
        let set = |dict, pick: fn(&Atom) -> &Set, rank| values(table, threat, dict, pick, rank);
        Self {
            severity: threat.severity.as_str(),
            uid: uid_text(threat.uid, threat.kind),
            events: threat.count,
            first_seen: threat.first.to_rfc3339(),
            last_seen: threat.last.to_rfc3339(),
            sensors: set(&table.texts, |atom| &atom.sensor, by_text),
            sources: set(&table.addrs, |atom| &atom.src, address_rank),
            destinations: set(&table.addrs, |atom| &atom.dst, address_rank),
            ports: set(&table.ports, |atom| &atom.dport, by_number),
            protocols: set(&table.texts, |atom| &atom.proto, by_text),
            event_type: text(head.map(|key| key.kind)),
            trail: text(head.map(|key| key.trail)),
            info: text(head.map(|key| key.info)),
            reference: text(head.map(|key| key.reference)),
            tags,
        }
    }

    /// The cells of a CSV row.
    pub(crate) fn cells(&self) -> [String; 15] {
        let set = |values: &[&str]| harmless(&values.join("|"));
        [
            self.severity.to_owned(),
            self.uid.clone(),
            self.events.to_string(),
            self.first_seen.clone(),
            self.last_seen.clone(),
            set(&self.sensors),
            set(&self.sources),
            set(&self.destinations),
            set(&self.ports),
            set(&self.protocols),
            harmless(self.event_type),
            harmless(self.trail),
            harmless(self.info),
            harmless(self.reference),
            harmless(&self.tags.join("|")),
        ]
    }
}

const fn by_text(_: &str) -> u128 {
    0
}

fn by_number(text: &str) -> u128 {
    text.parse().unwrap_or(u128::MAX)
}

/// Every value of a set, in order.
fn values<'a>(
    table: &'a DayTable,
    threat: &Threat,
    dict: &'a Dict,
    pick: fn(&Atom) -> &Set,
    rank: fn(&str) -> u128,
) -> Vec<&'a str> {
    let ids: BTreeSet<u32> = table
        .atoms_of(threat)
        .flat_map(|atom| pick(atom).iter())
        .collect();
    let mut ranked: Vec<(u128, &str)> = ids
        .iter()
        .map(|&id| dict.get(id))
        .filter(|value| !value.is_empty())
        .map(|value| (rank(value), value))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, value)| value).collect()
}

/// A cell that no spreadsheet takes for a formula: an apostrophe goes before what would begin one. Line ends
/// and the full-width forms count, because some programs skip or fold them.
pub(crate) fn harmless(cell: &str) -> String {
    const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if cell.starts_with(STARTS) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::{Fields, FloodRule, tests::event};

    #[test]
    fn cells_cannot_start_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in ["", "a=1", "'=1", " =1", "10.0.0.1", "[x]"] {
            assert_eq!(harmless(cell), cell);
        }
    }

    #[test]
    fn sets_are_complete_and_ordered_by_number() {
        let mut table = DayTable::new(FloodRule::Own);
        for n in (0..300).rev() {
            let dst = format!("203.0.113.{}", n % 150);
            let port = (1000 + n).to_string();
            let fields = Fields {
                dst: &dst,
                dport: &port,
                ..event(n, "10.0.0.1", "x.example", "=cmd")
            };
            table.add(&fields).unwrap();
        }
        let record = Record::new(&table, &table.threats[0], vec!["apt".into(), "x".into()]);
        assert_eq!((record.ports.len(), record.destinations.len()), (300, 150));
        assert_eq!(
            record.destinations[..3],
            ["203.0.113.0", "203.0.113.1", "203.0.113.2"]
        );
        let cells = record.cells();
        assert_eq!(cells[2], "300");
        assert_eq!(cells[12], "'=cmd");
        assert_eq!(cells[14], "apt|x");
        assert!(cells[8].starts_with("1000|1001|") && cells[8].ends_with("|1299"));
        let names = serde_json::to_value(&record).unwrap();
        for name in COLUMNS {
            assert!(names.get(name).is_some(), "{name}");
        }
        assert_eq!(names.as_object().unwrap().len(), COLUMNS.len());
    }
}
