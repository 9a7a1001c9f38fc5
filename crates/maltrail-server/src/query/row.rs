//! A threat as the API shows it.

use maltrail_core::addr::parse_ip;
use serde::Serialize;
use std::collections::BTreeSet;

use crate::desk::{Cases, Status};
use crate::store::table::{Atom, DayTable, Dict, Set, Threat};
use crate::store::uid::uid_text;

/// Values of a set that are listed; the total is exact.
pub(crate) const MAX_VALUES: usize = 100;

/// A set of values.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Values {
    values: Vec<String>,
    total: usize,
}

/// One row.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Threat)]
pub(crate) struct Row {
    pub(crate) id: String,
    uid: String,
    kind: &'static str,
    severity: &'static str,
    count: u64,
    first: String,
    last: String,
    hours: [u32; 24],
    src: Values,
    dst: Values,
    sport: Values,
    dport: Values,
    proto: Values,
    sensor: Values,
    #[serde(rename = "type")]
    event_type: String,
    trail: String,
    info: String,
    class: String,
    reference: String,
    origin: &'static str,
    /// `in`, `out` or empty.
    direction: &'static str,
    /// Which ports are the service's: `dport`, `sport` or empty.
    service: &'static str,
    /// As of the last event: a resolved threat that goes on is new again.
    status: Status,
    /// Account that works on it; empty for nobody.
    assignee: String,
    tags: Vec<String>,
    /// Number of notes.
    notes: u32,
    hidden: bool,
}

impl Row {
    /// The row of a threat.
    pub(crate) fn new(table: &DayTable, threat: &Threat, cases: &Cases) -> Self {
        let case = cases.get(threat.id);
        let text = |id| table.texts.get(id).to_owned();
        let head = table.atoms.get(threat.head as usize).map(|atom| atom.key);
        let column = |pick: fn(&crate::store::table::AtomKey) -> u32| {
            head.as_ref().map(|key| text(pick(key))).unwrap_or_default()
        };
        let mut hours = [0; 24];
        for atom in table.atoms_of(threat) {
            atom.hours.add_to(&mut hours);
        }
        let values =
            |dict, pick: fn(&Atom) -> &Set, order: Order| collect(table, threat, dict, pick, order);
        Self {
            id: format!("{:016x}", threat.id),
            uid: uid_text(threat.uid, threat.kind),
            kind: threat.kind.as_str(),
            severity: threat.severity.as_str(),
            count: threat.count,
            first: threat.first.to_rfc3339(),
            last: threat.last.to_rfc3339(),
            hours,
            src: values(&table.addrs, |atom| &atom.src, Order::Address),
            dst: values(&table.addrs, |atom| &atom.dst, Order::Address),
            sport: values(&table.ports, |atom| &atom.sport, Order::Number),
            dport: values(&table.ports, |atom| &atom.dport, Order::Number),
            proto: values(&table.texts, |atom| &atom.proto, Order::Text),
            sensor: values(&table.texts, |atom| &atom.sensor, Order::Text),
            event_type: column(|key| key.kind),
            trail: column(|key| key.trail),
            info: column(|key| key.info),
            class: text(threat.class),
            reference: column(|key| key.reference),
            origin: threat.origin.as_str(),
            direction: threat.side.direction(),
            service: match threat.side {
                crate::store::table::Side::None => "",
                side if side.shows_dst() => "dport",
                _ => "sport",
            },
            status: cases.status(threat),
            assignee: case.map_or_else(String::new, |case| case.assignee.clone()),
            tags: case.map_or_else(Vec::new, |case| case.tags.clone()),
            notes: case.map_or(0, |case| case.notes),
            hidden: case.is_some_and(|case| case.hidden),
        }
    }
}

#[derive(Clone, Copy)]
enum Order {
    Address,
    Number,
    Text,
}

fn collect(
    table: &DayTable,
    threat: &Threat,
    dict: &Dict,
    pick: fn(&Atom) -> &Set,
    order: Order,
) -> Values {
    let ids: BTreeSet<u32> = table
        .atoms_of(threat)
        .flat_map(|atom| pick(atom).iter())
        .collect();
    let mut values: Vec<(u128, &str)> = ids
        .iter()
        .map(|&id| dict.get(id))
        .filter(|value| !value.is_empty())
        .map(|value| match order {
            Order::Address => (address_rank(value), value),
            Order::Number => (value.parse().unwrap_or(u128::MAX), value),
            Order::Text => (0, value),
        })
        .collect();
    let total = values.len();
    values.sort_unstable();
    values.truncate(MAX_VALUES);
    Values {
        values: values
            .into_iter()
            .map(|(_, value)| value.to_owned())
            .collect(),
        total,
    }
}

/// Orders addresses: IPv4 by number, then IPv6 by number, then other text.
pub(crate) fn address_rank(text: &str) -> u128 {
    match parse_ip(text) {
        Some(std::net::IpAddr::V4(address)) => u128::from(u32::from(address)),
        Some(std::net::IpAddr::V6(address)) => u128::from(address).max(1 << 32),
        None => u128::MAX,
    }
}
