//! What a query means.

use ipnet::IpNet;
use maltrail_core::addr::NetworkSet;
use maltrail_core::event::Severity;
use maltrail_core::time::{Day, Timestamp};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::desk::Status;
use crate::store::table::Atom;

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// Everything.
    All,
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// Lower-case text in any column.
    Free(String),
    /// Any of the values in that field.
    Field(Field, Vec<Pattern>),
}

impl Expr {
    /// Whether a threat that matches can stop matching when it grows.
    pub(crate) fn can_lose(&self) -> bool {
        match self {
            Self::All | Self::Free(_) => false,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::can_lose),
            Self::Not(_) => true,
            Self::Field(field, _) => !matches!(
                field,
                Field::Src | Field::Dst | Field::Sensor | Field::Proto | Field::Uid
            ),
        }
    }

    /// Every value asked of `wanted`, with the `!=` taken off.
    pub(crate) fn values_mut(&mut self, wanted: Field, change: &mut impl FnMut(&mut Pattern)) {
        match self {
            Self::All | Self::Free(_) => {}
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.values_mut(wanted, change);
                }
            }
            Self::Not(part) => part.values_mut(wanted, change),
            Self::Field(field, patterns) if *field == wanted => {
                for mut pattern in patterns {
                    while let Pattern::Other(inner) = pattern {
                        pattern = inner;
                    }
                    change(pattern);
                }
            }
            Self::Field(..) => {}
        }
    }
}

/// A column that can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Src,
    Dst,
    Port,
    Count,
    Proto,
    Sensor,
    Type,
    Trail,
    Info,
    Uid,
    Class,
    Severity,
    Direction,
    Reference,
    Origin,
    Tag,
    Note,
    Status,
    /// Time of the first event.
    First,
    /// Time of the last event.
    Last,
    /// Time of any event.
    Time,
    /// Name that somebody gave an address, on either side.
    Alias,
    /// Whether the trail was seen on an earlier day.
    New,
    /// Places of addresses, for which there is no data yet.
    Country,
    Asn,
}

impl Field {
    /// Every field, as it is called first.
    pub(crate) const ALL: [(Self, &'static str); 25] = [
        (Self::Src, "src"),
        (Self::Dst, "dst"),
        (Self::Port, "port"),
        (Self::Count, "count"),
        (Self::Proto, "proto"),
        (Self::Sensor, "sensor"),
        (Self::Type, "type"),
        (Self::Trail, "trail"),
        (Self::Info, "info"),
        (Self::Uid, "uid"),
        (Self::Class, "class"),
        (Self::Severity, "sev"),
        (Self::Direction, "dir"),
        (Self::Reference, "ref"),
        (Self::Origin, "origin"),
        (Self::Tag, "tag"),
        (Self::Note, "note"),
        (Self::Status, "status"),
        (Self::First, "first"),
        (Self::Last, "last"),
        (Self::Time, "time"),
        (Self::Alias, "alias"),
        (Self::New, "new"),
        (Self::Country, "country"),
        (Self::Asn, "asn"),
    ];

    /// How it is called.
    pub(crate) fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(field, _)| *field == self);
        named.map_or("", |(_, name)| name)
    }

    /// The field of this name, in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = if name == "events" { "count" } else { name };
        let named = Self::ALL.iter().find(|(_, known)| *known == name);
        named.map(|(field, _)| *field)
    }
}

/// One value of a term.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Lower-case text inside the column.
    Substring(String),
    /// Lower-case parts between `*`, anchored at both ends.
    Glob(Vec<String>),
    /// An IPv6 address in any spelling.
    Address(IpAddr),
    Network(IpNet),
    Number(Range),
    Severity(Severity),
    Direction(Direction),
    /// The opposite of a value: `!=`.
    Other(Box<Self>),
    Status(Status),
    /// These threats: what a pattern over notes became ([`crate::desk::Desk::resolve`]).
    Threats(Arc<HashSet<u64>>),
    /// Text that an expression finds, letter case aside.
    Regex(Expression),
    /// A stretch of time as it is written; [`super::resolve`] makes it [`Pattern::Moments`].
    Period(Period),
    /// Stretches of time.
    Moments(Vec<Moments>),
    /// Addresses inside any of these: what a pattern over aliases became.
    Networks(Networks),
    /// Seen for the first time on the first day shown.
    New,
    /// Trails that are not among these: what [`Pattern::New`] became.
    Unseen(Seen),
    /// Matches no row, as a word does where a number is asked for.
    Never,
}

/// An expression that runs in linear time.
#[derive(Clone, Debug)]
pub(crate) struct Expression(pub(crate) Arc<regex::bytes::Regex>);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// Many networks in one pattern.
#[derive(Clone, Debug)]
pub(crate) struct Networks(pub(crate) Arc<NetworkSet>);

impl PartialEq for Networks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Trails of earlier days, as hashes of their norms.
#[derive(Clone, Debug)]
pub(crate) struct Seen(pub(crate) Arc<HashSet<u64>>);

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A point in time as precisely as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Minutes of the day shown, in the zone of the server.
    Clock(u16),
    Day(Day),
    Moment(Timestamp),
}

/// From a point on, up to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Option<Edge>,
    pub(crate) to: Option<Edge>,
}

/// An end of a period: where the point's own minute, day or microsecond starts, or where it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) point: Point,
    pub(crate) over: bool,
}

/// Times from..to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moments {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// The hours of the day that it touches, a bit each.
    pub(crate) hours: u32,
}

impl Moments {
    pub(crate) fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Whether an atom has an event in it. Its first and last event count by their time, those between by
    /// their hour of the day, which is all that is known of them.
    pub(crate) fn has_event_of(self, atom: &Atom) -> bool {
        if self.contains(atom.first) || self.contains(atom.last) {
            return true;
        }
        let overlaps = atom.first < self.to && self.from <= atom.last;
        atom.count > 2 && overlaps && atom.hours.in_any(self.hours)
    }
}

/// Numbers from..=to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Range {
    pub(crate) const fn contains(self, value: u64) -> bool {
        self.from <= value && value <= self.to
    }
}

/// Where the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}
