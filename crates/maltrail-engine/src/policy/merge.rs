//! Several events as one: the first of them, the distinct values of four columns, and the count.
//!
//! Ports, destinations and protocols are collected; everything else is what the first event says, and
//! the reasons of events with another info stand beside its own.
//! One event that was never joined by another comes back as it was. An event that has several members in
//! a column, as merged ones do, brings each of them.
//!
//! Bounds: [`MAX_VALUES`] values a column unless the owner allows fewer; what does not fit is left out and
//! counted, while the count of events stays exact.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use maltrail_core::event::details::MAX_REASONS;
use maltrail_core::event::{Event, Members, Reason};
use maltrail_core::time::Timestamp;

use super::key::Seed;

/// Distinct values of a column that are kept: as many as the reference keeps events. A line with that
/// many in each column still fits into a datagram.
pub(super) const MAX_VALUES: usize = 1000;

/// What an allocation costs beyond its bytes.
pub(super) const ALLOCATION: usize = 16;

/// Events merged into one.
#[derive(Debug)]
pub(super) struct Merge {
    first: Event,
    count: u64,
    /// None until a second event comes.
    columns: Option<Box<[Column; COLUMNS]>>,
    bytes: usize,
}

/// Source port, destination, its port, protocol.
const COLUMNS: usize = 4;

impl Merge {
    /// The first event.
    pub(super) fn new(first: Event) -> Self {
        Self {
            count: first.details.count(),
            bytes: size_of::<Self>() + heap_bytes(&first),
            columns: None,
            first,
        }
    }

    /// Whether it is of this source and trail.
    pub(super) fn is_of(&self, source: &str, trail: &str) -> bool {
        self.first.src_ip.as_str() == source && self.first.trail == trail
    }

    /// Hash of its source and trail.
    pub(super) fn hash(&self, seed: &Seed) -> u64 {
        seed.hash(self.first.src_ip.as_str(), &self.first.trail)
    }

    /// Time of the first event.
    pub(super) const fn time(&self) -> Timestamp {
        self.first.time
    }

    /// Bytes that are held, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event; how many of its values found no room among `limit`.
    pub(super) fn add(&mut self, event: &Event, limit: usize) -> u64 {
        self.count = self.count.saturating_add(event.details.count());
        if self.first.info != event.info {
            self.explain(event);
        }
        if !self.is_widened_by(event) {
            return 0;
        }
        let columns = self.columns.get_or_insert_with(|| {
            self.bytes += size_of::<[Column; COLUMNS]>() + ALLOCATION;
            Box::default()
        });
        let mut left_out = 0;
        let firsts = texts(&self.first);
        for ((column, first), text) in columns.iter_mut().zip(firsts).zip(texts(event)) {
            let before = column.bytes();
            left_out += column.add(first, text, limit);
            self.bytes += column.bytes() - before;
        }
        left_out
    }

    /// Adds the reasons of an event that says something else than the first.
    fn explain(&mut self, event: &Event) {
        let reasons = &mut self.first.details.reasons;
        for reason in &event.details.reasons {
            let known = reasons.iter().any(|known| {
                (&known.rule, &known.key, &known.field, &known.source)
                    == (&reason.rule, &reason.key, &reason.field, &reason.source)
            });
            if known || reasons.len() >= MAX_REASONS {
                continue;
            }
            self.bytes += reason_bytes(reason);
            // The evidence is that of the first event.
            let offset = None;
            reasons.push(Reason {
                offset,
                ..reason.clone()
            });
        }
    }

    /// Whether a column with `limit` values would have to leave out one of the event's.
    pub(super) fn is_full_for(&self, event: &Event, limit: usize) -> bool {
        self.columns(event).any(|(column, first, text)| {
            !column.has_all(first, text) && column.len(first) + text.split(',').count() > limit
        })
    }

    /// Whether the event has a value that is not among those held.
    pub(super) fn is_widened_by(&self, event: &Event) -> bool {
        let mut columns = self.columns(event);
        columns.any(|(column, first, text)| !column.has_all(first, text))
    }

    /// Columns with the text of the first event and the one of this.
    fn columns<'a>(
        &'a self,
        event: &'a Event,
    ) -> impl Iterator<Item = (&'a Column, &'a str, &'a str)> {
        static NONE: [Column; COLUMNS] = [const { Column::new() }; COLUMNS];
        let columns = self.columns.as_deref().unwrap_or(&NONE);
        let texts = texts(&self.first).into_iter().zip(texts(event));
        columns
            .iter()
            .zip(texts)
            .map(|(column, (first, text))| (column, first, text))
    }

    /// The one event.
    pub(super) fn into_event(self) -> Event {
        let mut event = self.first;
        event.details.count = self.count;
        if let Some(columns) = self.columns {
            let [src_port, dst_ip, dst_port, proto] = *columns;
            for (column, members) in [
                (src_port, &mut event.src_port),
                (dst_ip, &mut event.dst_ip),
                (dst_port, &mut event.dst_port),
            ] {
                if let Some(text) = column.into_text() {
                    *members = Members::from_text(&text);
                }
            }
            if let Some(text) = proto.into_text() {
                event.proto = Cow::Owned(text);
            }
        }
        event
    }
}

fn texts(event: &Event) -> [&str; COLUMNS] {
    [
        event.src_port.as_str(),
        event.dst_ip.as_str(),
        event.dst_port.as_str(),
        &event.proto,
    ]
}

/// Bytes of an allocation; none for nothing.
const fn of(length: usize) -> usize {
    if length == 0 { 0 } else { length + ALLOCATION }
}

fn reason_bytes(reason: &Reason) -> usize {
    size_of_val(reason) + of(reason.key.len()) + of(reason.source.len())
}

/// Bytes that an event keeps outside itself, about.
fn heap_bytes(event: &Event) -> usize {
    let details = &event.details;
    let reasons: usize = details.reasons.iter().map(reason_bytes).sum();
    let proto = match &event.proto {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => of(text.capacity()),
    };
    of(event.sensor.capacity())
        + of(event.src_ip.as_str().len())
        + of(event.src_port.as_str().len())
        + of(event.dst_ip.as_str().len())
        + of(event.dst_port.as_str().len())
        + proto
        + of(event.trail.capacity())
        + of(event.info.capacity())
        + of(event.reference.capacity())
        + of(reasons)
        + of(details.evidence.as_bytes().len())
}

/// Distinct values, sorted by their derived order. None while they are those of the first event, whose
/// text the owner has.
#[derive(Debug, Default)]
struct Column {
    values: Vec<Value>,
    /// Bytes of the texts among them.
    texts: usize,
}

impl Column {
    const fn new() -> Self {
        Self {
            values: Vec::new(),
            texts: 0,
        }
    }

    fn add(&mut self, first: &str, text: &str, limit: usize) -> u64 {
        if self.values.is_empty() {
            if first == text {
                return 0;
            }
            // Those of the first event are in its line already.
            self.insert(first, usize::MAX);
        }
        self.insert(text, limit)
    }

    fn insert(&mut self, text: &str, limit: usize) -> u64 {
        let mut left_out = 0;
        for value in text.split(',').map(Value::of) {
            match self.values.binary_search(&value) {
                Ok(_) => {}
                Err(_) if self.values.len() >= limit => left_out += 1,
                Err(at) => {
                    if let Value::Text(text) = &value {
                        self.texts += text.len() + ALLOCATION;
                    }
                    self.values.insert(at, value);
                }
            }
        }
        left_out
    }

    fn len(&self, first: &str) -> usize {
        match self.values.len() {
            0 => first.split(',').count(),
            some => some,
        }
    }

    fn has_all(&self, first: &str, text: &str) -> bool {
        if first == text {
            return true;
        }
        let mut values = text.split(',').map(Value::of);
        values.all(|value| self.values.binary_search(&value).is_ok())
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Value>() + self.texts
    }

    /// The values, numbers first, then texts by their bytes; none when there is a single one.
    fn into_text(self) -> Option<String> {
        if self.values.len() < 2 {
            return None;
        }
        let mut numbers = Vec::new();
        let mut texts = Vec::new();
        for value in &self.values {
            match value {
                Value::Number(number) => numbers.push(*number),
                other => texts.push(other.to_string()),
            }
        }
        texts.sort_unstable();
        let numbers = numbers.iter().map(u16::to_string);
        let all: Vec<String> = numbers.chain(texts).collect();
        Some(all.join(","))
    }
}

/// A value of a column, as small as it can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(u16),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// `-`.
    Absent,
    Text(Box<str>),
}

impl Value {
    /// Reads a value that is written back as the very same text.
    fn of(text: &str) -> Self {
        if text == "-" {
            return Self::Absent;
        }
        let plain = !text.starts_with(['0', '+']);
        if let Some(number) = text.parse().ok().filter(|_| plain) {
            return Self::Number(number);
        }
        if let Ok(address) = text.parse() {
            return Self::V4(address);
        }
        match text.parse::<Ipv6Addr>() {
            Ok(address) if address.to_string() == text => Self::V6(address),
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
            Self::Absent => f.write_str("-"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::event::Evidence;

    use super::super::tests::event;
    use super::*;

    fn column<const N: usize>(values: [&str; N]) -> Option<String> {
        let mut column = Column::default();
        for value in values {
            assert_eq!(column.add(values[0], value, MAX_VALUES), 0);
        }
        column.into_text()
    }

    #[test]
    fn columns_are_sorted_as_numbers_texts_and_nothing() {
        let text = |values| column::<3>(values).expect("several");
        assert_eq!(text(["443", "9", "80"]), "9,80,443");
        assert_eq!(text(["-", "22", "3"]), "3,22,-");
        assert_eq!(
            text(["192.0.2.9", "192.0.2.100", "192.0.2.10"]),
            "192.0.2.10,192.0.2.100,192.0.2.9"
        );
        assert_eq!(
            text(["fe80::1", "2001:db8::1", "192.0.2.1"]),
            "192.0.2.1,2001:db8::1,fe80::1"
        );
        assert_eq!(text(["UDP", "ICMP", "TCP"]), "ICMP,TCP,UDP");
        // Texts come back as they were.
        assert_eq!(text(["007", "70000", "7"]), "7,007,70000");
        assert_eq!(
            text(["2001:DB8::1", "2001:db8:0::1", "-"]),
            "-,2001:DB8::1,2001:db8:0::1"
        );
        assert_eq!(column(["22", "22"]), None);
    }

    #[test]
    fn members_are_merged_one_by_one() {
        let mut merge = Merge::new(event("203.0.113.7", 1, 443, "t"));
        let mut more = event("203.0.113.7", 2, 22, "t");
        more.details.count = 3;
        more.dst_port = Members::from_text("22,-,443");
        assert_eq!(merge.add(&more, MAX_VALUES), 0);
        let merged = merge.into_event();
        assert_eq!(merged.dst_port.as_str(), "22,443,-");
        assert_eq!(merged.details.count, 4);
    }

    #[test]
    fn one_event_comes_back_as_it_was() {
        let mut one = event("203.0.113.7", 1, 443, "t");
        one.dst_port = Members::from_text("443,80");
        one.details.count = 5;
        one.details.evidence = Evidence::around(b"bytes", None).0;
        one.details.reasons.push(Reason {
            rule: "trail".into(),
            key: "t".into(),
            field: "ip.dst".into(),
            offset: None,
            source: "r".to_owned(),
        });
        assert_eq!(Merge::new(one.clone()).into_event(), one);
    }

    #[test]
    fn reasons_of_another_info_are_kept() {
        let because = |rule: &'static str, offset| Reason {
            rule: rule.into(),
            key: String::new(),
            field: "packet".into(),
            offset,
            source: "r".to_owned(),
        };
        let with = |info: &str, rule| {
            let mut event = event("203.0.113.7", 1, 443, "t");
            event.info = info.to_owned();
            event.details.reasons.push(because(rule, Some(4)));
            event
        };
        let mut merge = Merge::new(with("known attacker", "trail"));
        let before = merge.bytes();
        merge.add(&with("known attacker", "other"), MAX_VALUES);
        merge.add(
            &with("potential port scanning", "port_scanning"),
            MAX_VALUES,
        );
        merge.add(
            &with("potential port scanning", "port_scanning"),
            MAX_VALUES,
        );
        assert!(merge.bytes() > before);
        for n in 0..40 {
            let mut more = with("another", "x");
            more.details.reasons[0].key = n.to_string();
            merge.add(&more, MAX_VALUES);
        }
        let reasons = merge.into_event().details.reasons;
        assert_eq!(reasons.len(), MAX_REASONS);
        assert_eq!(reasons[0], because("trail", Some(4)));
        assert_eq!(reasons[1], because("port_scanning", None));
    }

    #[test]
    fn a_full_column_leaves_out_values_and_counts_on() {
        let mut merge = Merge::new(event("203.0.113.7", 1, 443, "t"));
        let mut left_out = 0;
        for port in 1..=40 {
            let more = event("203.0.113.7", port, 443, "t");
            assert_eq!(merge.is_full_for(&more, 10), port > 10, "{port}");
            assert_eq!(merge.is_widened_by(&more), port > 1, "{port}");
            left_out += merge.add(&more, 10);
        }
        assert_eq!(left_out, 30);
        let merged = merge.into_event();
        assert_eq!(merged.src_port.as_str(), "1,2,3,4,5,6,7,8,9,10");
        assert_eq!(merged.details.count, 41);
    }

    #[test]
    fn what_is_held_is_counted() {
        let mut merge = Merge::new(event("203.0.113.7", 1, 443, "t"));
        let single = merge.bytes();
        assert!(single >= size_of::<Event>());
        for port in 2..1000 {
            merge.add(&event("203.0.113.7", port, 443, "t"), MAX_VALUES);
        }
        let grown = merge.bytes() - single;
        assert!((998 * 4..100_000).contains(&grown), "{grown}");
        for port in 2..1000 {
            merge.add(&event("203.0.113.7", port, 443, "t"), MAX_VALUES);
        }
        assert_eq!(merge.bytes() - single, grown, "known values cost nothing");
    }
}
