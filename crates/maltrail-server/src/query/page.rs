//! One pass of a filter over a table: the page, exact totals, facets and histogram.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use maltrail_core::event::Severity;
use serde::Serialize;

use super::ast::Expr;
use super::cursor::{Cursor, Key, Place};
use super::filter::{Bits, Filter, Severities};
use super::row::{Row, address_rank};
use crate::desk::Cases;
use crate::store::table::{Atom, DayTable, Dict, Set, Side, Threat, derive};
use crate::store::uid::uid_text;

/// Most rows of a page.
pub(crate) const MAX_LIMIT: usize = 500;
/// Values of a facet that are listed.
const MAX_FACET: usize = 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest {
    pub(crate) expr: Expr,
    pub(crate) severities: Severities,
    pub(crate) sort: Sort,
    pub(crate) descending: bool,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    /// Only what comes after this place.
    pub(crate) after: Option<Place<'static>>,
    pub(crate) facets: bool,
    pub(crate) histogram: bool,
    pub(crate) hidden: Hidden,
}

/// What becomes of threats that somebody hid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hidden {
    #[default]
    Exclude,
    Include,
    Only,
}

impl Hidden {
    /// By its name in the API.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "exclude" => Self::Exclude,
            "include" => Self::Include,
            "only" => Self::Only,
            _ => return None,
        })
    }

    /// Whether a threat is part of the answer.
    pub(crate) const fn admits(self, hidden: bool) -> bool {
        match self {
            Self::Exclude => !hidden,
            Self::Include => true,
            Self::Only => hidden,
        }
    }
}

/// What rows are ordered by. Ties: more events first, then the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Risk,
    Uid,
    Count,
    First,
    Last,
    Src,
    Dst,
    Dport,
    Proto,
    Type,
    Trail,
    Info,
    Sensor,
    Severity,
}

impl Sort {
    /// By its name in the API.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "risk" => Self::Risk,
            "uid" => Self::Uid,
            "count" => Self::Count,
            "first" => Self::First,
            "last" => Self::Last,
            "src" => Self::Src,
            "dst" => Self::Dst,
            "dport" => Self::Dport,
            "proto" => Self::Proto,
            "type" => Self::Type,
            "trail" => Self::Trail,
            "info" => Self::Info,
            "sensor" => Self::Sensor,
            "severity" => Self::Severity,
            _ => return None,
        })
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Risk => "risk",
            Self::Uid => "uid",
            Self::Count => "count",
            Self::First => "first",
            Self::Last => "last",
            Self::Src => "src",
            Self::Dst => "dst",
            Self::Dport => "dport",
            Self::Proto => "proto",
            Self::Type => "type",
            Self::Trail => "trail",
            Self::Info => "info",
            Self::Sensor => "sensor",
            Self::Severity => "severity",
        }
    }
}

/// Threats and events.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Whole {
    threats: u64,
    events: u64,
}

/// A number per severity.
#[derive(Clone, Copy, Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct PerSeverity {
    high: u64,
    medium: u64,
    low: u64,
}

impl PerSeverity {
    pub(crate) fn add(&mut self, severity: Severity, count: u64) {
        match severity {
            Severity::High => self.high += count,
            Severity::Medium => self.medium += count,
            Severity::Low => self.low += count,
        }
    }
}

/// One value of a facet.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FacetValue {
    value: String,
    count: u64,
}

/// How the filtered threats spread over columns.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Facets {
    severity: Vec<FacetValue>,
    #[serde(rename = "type")]
    event_type: Vec<FacetValue>,
    class: Vec<FacetValue>,
    sensor: Vec<FacetValue>,
    origin: Vec<FacetValue>,
    source: Vec<FacetValue>,
    /// Without their variable parts.
    trail: Vec<FacetValue>,
    /// Of the service side.
    port: Vec<FacetValue>,
    status: Vec<FacetValue>,
    tag: Vec<FacetValue>,
}

/// The answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page {
    pub(crate) generation: u64,
    pub(crate) total: u64,
    pub(crate) events: u64,
    all: Whole,
    pub(crate) severity: PerSeverity,
    sources: u64,
    trails: u64,
    /// Threats that the filter selects and that somebody hid.
    hidden: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Vec<PerSeverity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facets: Option<Facets>,
    pub(crate) threats: Vec<Row>,
    /// Where the next page begins; `null` when this one is the last.
    next: Option<String>,
}

/// Answers a request.
pub(crate) fn page(table: &DayTable, cases: &Cases, request: &PageRequest) -> Page {
    let filter = Filter::new(&request.expr, table, cases);
    let mut sums = Sums::new(table, cases, request);
    let mut found: Vec<u32> = Vec::new();
    for (at, threat) in table.threats.iter().enumerate() {
        if !threat.is_live() || !filter.matches(table, threat) {
            continue;
        }
        let is_hidden = cases.is_hidden(threat.id);
        sums.hidden += u64::from(is_hidden);
        if !request.hidden.admits(is_hidden) {
            continue;
        }
        sums.severity.add(threat.severity, 1);
        if request.severities.contain(threat.severity) {
            sums.take(threat);
            found.push(at as u32);
        }
    }
    let (rows, next) = ordered(table, request, found);
    let threats = rows
        .into_iter()
        .filter_map(|at| table.threats.get(at as usize));
    Page {
        generation: table.generation,
        total: sums.total,
        events: sums.events,
        all: Whole {
            threats: table.threat_count(),
            events: table.events,
        },
        severity: sums.severity,
        sources: sums.source_count,
        trails: sums.trail_count,
        hidden: sums.hidden,
        threats: threats
            .map(|threat| Row::new(table, threat, cases))
            .collect(),
        facets: sums.facets.take().map(|facets| facets.finish(table)),
        histogram: sums.histogram.take(),
        next: next.map(|cursor| cursor.encode()),
    }
}

/// The id of every threat of the filtered set, in order.
pub(crate) fn all_ids(table: &DayTable, cases: &Cases, request: &PageRequest) -> Vec<u64> {
    let filter = Filter::new(&request.expr, table, cases);
    let found = |threat: &&Threat| {
        threat.is_live()
            && request.severities.contain(threat.severity)
            && request.hidden.admits(cases.is_hidden(threat.id))
            && filter.matches(table, threat)
    };
    let found = (0..)
        .zip(&table.threats)
        .filter(|(_, threat)| found(threat))
        .map(|(at, _)| at)
        .collect();
    let whole = PageRequest {
        limit: usize::MAX,
        offset: 0,
        after: None,
        ..request.clone()
    };
    let (places, _) = ordered(table, &whole, found);
    places
        .into_iter()
        .filter_map(|at| table.threats.get(at as usize).map(|threat| threat.id))
        .collect()
}

/// Totals of the filtered set.
struct Sums<'a> {
    table: &'a DayTable,
    cases: &'a Cases,
    hidden: u64,
    total: u64,
    events: u64,
    severity: PerSeverity,
    sources: Bits,
    source_count: u64,
    trails: Bits,
    trail_count: u64,
    histogram: Option<Vec<PerSeverity>>,
    facets: Option<FacetCounts>,
}

impl<'a> Sums<'a> {
    fn new(table: &'a DayTable, cases: &'a Cases, request: &PageRequest) -> Self {
        Self {
            table,
            cases,
            hidden: 0,
            total: 0,
            events: 0,
            severity: PerSeverity::default(),
            sources: Bits::new(table.addrs.len()),
            source_count: 0,
            trails: Bits::new(table.texts.len()),
            trail_count: 0,
            histogram: request.histogram.then(|| vec![PerSeverity::default(); 24]),
            facets: request.facets.then(|| FacetCounts::new(table)),
        }
    }

    fn take(&mut self, threat: &Threat) {
        self.total += 1;
        self.events += threat.count;
        let mut hours = [0; 24];
        for atom in self.table.atoms_of(threat) {
            for source in atom.src.iter() {
                self.source_count += u64::from(self.sources.set(source));
            }
            self.trail_count += u64::from(self.trails.set(atom.key.norm));
            if self.histogram.is_some() {
                atom.hours.add_to(&mut hours);
            }
        }
        for (slot, count) in self.histogram.iter_mut().flatten().zip(hours) {
            slot.add(threat.severity, u64::from(count));
        }
        if let Some(facets) = &mut self.facets {
            facets.take(self.table, threat, self.cases);
        }
    }
}

struct FacetCounts {
    severity: PerSeverity,
    /// Threats per address, trail and port, by its number.
    sources: Vec<u32>,
    trails: Vec<u32>,
    ports: Vec<u32>,
    kinds: HashMap<u32, u64>,
    classes: HashMap<u32, u64>,
    sensors: HashMap<u32, u64>,
    origins: HashMap<&'static str, u64>,
    statuses: HashMap<&'static str, u64>,
    tags: HashMap<String, u64>,
}

impl FacetCounts {
    fn new(table: &DayTable) -> Self {
        let of = |dict: &Dict| vec![0; dict.len() as usize];
        Self {
            severity: PerSeverity::default(),
            sources: of(&table.addrs),
            trails: of(&table.texts),
            ports: of(&table.ports),
            kinds: HashMap::new(),
            classes: HashMap::new(),
            sensors: HashMap::new(),
            origins: HashMap::new(),
            statuses: HashMap::new(),
            tags: HashMap::new(),
        }
    }

    fn take(&mut self, table: &DayTable, threat: &Threat, cases: &Cases) {
        *self
            .statuses
            .entry(cases.status(threat).as_str())
            .or_default() += 1;
        for tag in cases.get(threat.id).into_iter().flat_map(|case| &case.tags) {
            *self.tags.entry(tag.clone()).or_default() += 1;
        }
        self.severity.add(threat.severity, 1);
        if let Some(atom) = table.atoms.get(threat.head as usize) {
            *self.kinds.entry(atom.key.kind).or_default() += 1;
        }
        *self.classes.entry(threat.class).or_default() += 1;
        *self.origins.entry(threat.origin.as_str()).or_default() += 1;
        let sensors: Set = table
            .atoms_of(threat)
            .flat_map(|atom| atom.sensor.iter())
            .collect();
        for sensor in sensors.iter() {
            *self.sensors.entry(sensor).or_default() += 1;
        }
        let norms: Set = table.atoms_of(threat).map(|atom| atom.key.norm).collect();
        raise(&mut self.trails, &norms);
        let union = |pick: fn(&Atom) -> &Set| -> Set {
            let ids = table.atoms_of(threat).flat_map(|atom| pick(atom).iter());
            ids.collect()
        };
        raise(&mut self.sources, &union(|atom| &atom.src));
        match threat.side {
            Side::None => {}
            side if side.shows_dst() => raise(&mut self.ports, &union(|atom| &atom.dport)),
            _ => raise(&mut self.ports, &union(|atom| &atom.sport)),
        }
    }

    fn finish(self, table: &DayTable) -> Facets {
        let texts = &table.texts;
        let by_id = |counts: HashMap<u32, u64>| {
            top(counts
                .into_iter()
                .map(|(id, count)| (texts.get(id).to_owned(), count)))
        };
        let by_name = |counts: HashMap<&'static str, u64>| {
            top(counts
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count)))
        };
        let PerSeverity { high, medium, low } = self.severity;
        let severities = [("high", high), ("medium", medium), ("low", low)];
        Facets {
            severity: top(severities
                .map(|(name, count)| (name.to_owned(), count))
                .into_iter()),
            event_type: by_id(self.kinds),
            class: by_id(self.classes),
            sensor: by_id(self.sensors),
            origin: by_name(self.origins),
            status: by_name(self.statuses),
            tag: top(self.tags.into_iter()),
            source: top_ids(&self.sources, &table.addrs),
            trail: top_ids(&self.trails, texts),
            port: top_ids(&self.ports, &table.ports),
        }
    }
}

fn raise(counts: &mut [u32], ids: &Set) {
    for id in ids.iter() {
        if let Some(count) = counts.get_mut(id as usize) {
            *count += 1;
        }
    }
}

/// The most frequent texts. Only those that can be among them are copied.
pub(crate) fn top_ids(counts: &[u32], dict: &Dict) -> Vec<FacetValue> {
    let mut ids: Vec<(u32, u32)> = (0..)
        .zip(counts)
        .filter(|&(id, &count)| count > 0 && !dict.get(id).is_empty())
        .map(|(id, &count)| (count, id))
        .collect();
    let order = |left: &(u32, u32), right: &(u32, u32)| {
        let by_count = right.0.cmp(&left.0);
        by_count.then_with(|| dict.get(left.1).cmp(dict.get(right.1)))
    };
    if ids.len() > MAX_FACET {
        ids.select_nth_unstable_by(MAX_FACET, order);
        ids.truncate(MAX_FACET);
    }
    top(ids
        .into_iter()
        .map(|(count, id)| (dict.get(id).to_owned(), count.into())))
}

fn top(counts: impl Iterator<Item = (String, u64)>) -> Vec<FacetValue> {
    let mut values: Vec<FacetValue> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(value, count)| FacetValue { value, count })
        .collect();
    values.sort_unstable_by(|left, right| {
        right
            .count
            .cmp(&left.count)
            .then_with(|| left.value.cmp(&right.value))
    });
    values.truncate(MAX_FACET);
    values
}

fn key<'a>(table: &'a DayTable, threat: &Threat, sort: Sort) -> Key<'a> {
    let head = table.atoms.get(threat.head as usize);
    let head_text =
        |pick: fn(&Atom) -> u32| Key::text(head.map_or("", |atom| table.texts.get(pick(atom))));
    let smallest = |pick: fn(&Atom) -> &Set, rank: &dyn Fn(u32) -> u128| {
        let ranks = table
            .atoms_of(threat)
            .flat_map(|atom| pick(atom).iter())
            .map(rank);
        Key::Number(ranks.min().unwrap_or(u128::MAX))
    };
    let smallest_text = |pick: fn(&Atom) -> &Set| {
        let texts = table
            .atoms_of(threat)
            .flat_map(|atom| pick(atom).iter())
            .map(|id| table.texts.get(id));
        Key::text(texts.min().unwrap_or(""))
    };
    let micros = |at: maltrail_core::time::Timestamp| {
        Key::Number((i128::from(at.micros()) + (1 << 64)) as u128)
    };
    match sort {
        Sort::Risk => Key::Float(derive::risk(threat.base_risk, threat.count)),
        Sort::Uid => Key::Text(Cow::Owned(uid_text(threat.uid, threat.kind))),
        Sort::Count => Key::Number(threat.count.into()),
        Sort::First => micros(threat.first),
        Sort::Last => micros(threat.last),
        Sort::Severity => Key::Number(threat.severity as u128),
        Sort::Src => smallest(|atom| &atom.src, &|id| address_rank(table.addrs.get(id))),
        Sort::Dst => smallest(|atom| &atom.dst, &|id| address_rank(table.addrs.get(id))),
        Sort::Dport => smallest(|atom| &atom.dport, &|id| {
            table.ports.get(id).parse().unwrap_or(u128::MAX)
        }),
        Sort::Proto => smallest_text(|atom| &atom.proto),
        Sort::Sensor => smallest_text(|atom| &atom.sensor),
        Sort::Type => head_text(|atom| atom.key.kind),
        Sort::Trail => head_text(|atom| atom.key.trail),
        Sort::Info => head_text(|atom| atom.key.info),
    }
}

/// The asked-for stretch of `found` in order, and where the next one begins. Only that much is sorted.
fn ordered(table: &DayTable, request: &PageRequest, found: Vec<u32>) -> (Vec<u32>, Option<Cursor>) {
    let end = request.offset.saturating_add(request.limit);
    if request.limit == 0 {
        return (Vec::new(), None);
    }
    let place = |at: u32| {
        let threat = table.threats.get(at as usize)?;
        let place = Place {
            key: key(table, threat, request.sort),
            count: threat.count,
            id: threat.id,
        };
        let after = request.after.as_ref();
        let beyond =
            |after: &Place<'_>| after.compare(&place, request.descending) == Ordering::Less;
        after.is_none_or(beyond).then_some((place, at))
    };
    let mut placed: Vec<(Place<'_>, u32)> = found.into_iter().filter_map(place).collect();
    let compare = |left: &(Place<'_>, u32), right: &(Place<'_>, u32)| {
        left.0.compare(&right.0, request.descending)
    };
    let more = end < placed.len();
    if more {
        placed.select_nth_unstable_by(end, compare);
        placed.truncate(end);
    }
    placed.sort_unstable_by(compare);
    let last = placed.last().filter(|_| more);
    let next = last.map(|(place, _)| Cursor {
        sort: request.sort.name().to_owned(),
        descending: request.descending,
        place: Place {
            key: match &place.key {
                Key::Text(text) => Key::Text(Cow::Owned(text.clone().into_owned())),
                Key::Float(value) => Key::Float(*value),
                Key::Number(value) => Key::Number(*value),
            },
            ..*place
        },
    });
    let rows = placed.into_iter().skip(request.offset).map(|(_, at)| at);
    (rows.collect(), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse::parse;
    use crate::store::table::{FloodRule, tests::event};
    use serde_json::{Value, json};

    fn request(query: &str) -> PageRequest {
        PageRequest {
            expr: parse(query).unwrap(),
            severities: Severities::ALL,
            sort: Sort::Risk,
            descending: true,
            limit: 50,
            offset: 0,
            after: None,
            facets: true,
            histogram: true,
            hidden: Hidden::Exclude,
        }
    }

    fn table() -> DayTable {
        let mut table = DayTable::new(FloodRule::Own);
        for n in 0..120_i64 {
            let src = format!("10.0.0.{}", n % 40);
            table
                .add(&event(n * 600, &src, "a.example", "lumma (malware)"))
                .unwrap();
            table
                .add(&event(n * 600, &src, "b.example", "mass scanner"))
                .unwrap();
        }
        table
    }

    fn ask(table: &DayTable, request: &PageRequest) -> Value {
        serde_json::to_value(page(table, &Cases::default(), request)).unwrap()
    }

    #[test]
    fn totals_are_those_of_the_filtered_set() {
        let table = table();
        let mut high = request("");
        high.severities = Severities::parse("high").unwrap();
        let answer = ask(&table, &high);
        assert_eq!(
            (&answer["total"], &answer["events"]),
            (&json!(40), &json!(120))
        );
        assert_eq!(answer["all"], json!({"threats": 80, "events": 240}));
        assert_eq!(
            answer["severity"],
            json!({"high": 40, "medium": 0, "low": 40}),
            "without sev"
        );
        assert_eq!(
            (&answer["sources"], &answer["trails"]),
            (&json!(40), &json!(1))
        );
        let hours: u64 = answer["histogram"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| h["high"].as_u64().unwrap())
            .sum();
        assert_eq!(
            (hours, answer["histogram"].as_array().unwrap().len()),
            (120, 24)
        );
        assert_eq!(
            answer["facets"]["class"],
            json!([{"value": "malware", "count": 40}])
        );
        assert_eq!(
            answer["facets"]["sensor"],
            json!([{"value": "s1", "count": 40}])
        );
    }

    #[test]
    fn pages_together_are_the_whole_in_order() {
        let table = table();
        for sort in [
            "risk", "uid", "count", "first", "last", "src", "dst", "dport", "proto", "type",
            "trail", "info", "sensor", "severity",
        ] {
            for descending in [false, true] {
                let mut whole = request("");
                (whole.sort, whole.descending, whole.limit) =
                    (Sort::named(sort).unwrap(), descending, 500);
                let all: Vec<String> = page(&table, &Cases::default(), &whole)
                    .threats
                    .into_iter()
                    .map(|row| row.id)
                    .collect();
                let mut joined = Vec::new();
                for offset in (0..90).step_by(30) {
                    let mut part = whole.clone();
                    (part.limit, part.offset) = (30, offset);
                    joined.extend(
                        page(&table, &Cases::default(), &part)
                            .threats
                            .into_iter()
                            .map(|row| row.id),
                    );
                }
                assert_eq!((all.len(), &all), (80, &joined), "{sort}");
            }
        }
        let mut by_src = request("trail:a.example");
        (by_src.sort, by_src.descending) = (Sort::Src, false);
        let rows = ask(&table, &by_src);
        let third = &rows["threats"][2]["src"];
        assert_eq!(
            third,
            &json!({"values": ["10.0.0.2"], "total": 1}),
            "by number, not by text"
        );
    }

    #[test]
    fn cursors_neither_repeat_nor_hide_rows_while_others_come() {
        for sort in ["risk", "first", "src", "trail", "uid", "count"] {
            for descending in [false, true] {
                let mut table = table();
                let mut part = request("");
                (part.sort, part.descending, part.limit) =
                    (Sort::named(sort).unwrap(), descending, 7);
                let mut whole = part.clone();
                whole.limit = 500;
                let wanted: Vec<String> = page(&table, &Cases::default(), &whole)
                    .threats
                    .into_iter()
                    .map(|row| row.id)
                    .collect();
                let mut joined = Vec::new();
                for n in 0.. {
                    let answer = page(&table, &Cases::default(), &part);
                    joined.extend(answer.threats.into_iter().map(|row| row.id));
                    let Some(next) = answer.next else { break };
                    let cursor = Cursor::decode(&next).unwrap();
                    assert_eq!(
                        (cursor.sort.as_str(), cursor.descending),
                        (sort, descending)
                    );
                    part.after = Some(cursor.place);
                    // New threats at both ends of most orders.
                    for src in ["1.1.1.1", "250.1.1.1"] {
                        let trail = format!("new-{n}.example");
                        table.add(&event(n * 86_000, src, &trail, "x")).unwrap();
                    }
                }
                let old: Vec<&String> = joined.iter().filter(|id| wanted.contains(id)).collect();
                assert_eq!(
                    old,
                    wanted.iter().collect::<Vec<_>>(),
                    "{sort} {descending}"
                );
                let mut once = joined.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), joined.len(), "{sort}: a row came twice");
            }
        }
    }

    #[test]
    fn the_most_frequent_sources_trails_and_ports_are_facets() {
        let mut table = table();
        for n in 0..3 {
            let (port, trail) = ((8000 + n).to_string(), format!("c{n}.example"));
            let fields = crate::store::table::Fields {
                dport: &port,
                ..event(n, "10.0.0.1", &trail, "x")
            };
            table.add(&fields).unwrap();
        }
        let facets = &ask(&table, &request(""))["facets"];
        assert_eq!(
            facets["source"][0],
            json!({"value": "10.0.0.1", "count": 5})
        );
        assert_eq!(facets["source"].as_array().unwrap().len(), 20);
        assert_eq!(
            facets["trail"][0],
            json!({"value": "a.example", "count": 40})
        );
        assert_eq!(
            facets["port"],
            json!([{"value": "53", "count": 80}, {"value": "8000", "count": 1},
                {"value": "8001", "count": 1}, {"value": "8002", "count": 1}])
        );
    }

    #[test]
    fn a_long_set_is_cut_but_counted() {
        let mut table = DayTable::new(FloodRule::Own);
        for n in 0..300 {
            let port = (1000 + n).to_string();
            let fields = crate::store::table::Fields {
                dport: &port,
                ..event(n, "10.0.0.1", "x.example", "i")
            };
            table.add(&fields).unwrap();
        }
        let ports = &ask(&table, &request(""))["threats"][0]["dport"];
        assert_eq!(
            (&ports["total"], ports["values"].as_array().map(Vec::len)),
            (&json!(300), Some(100))
        );
    }
}
