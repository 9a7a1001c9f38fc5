//! What a query means.

use ipnet::IpNet;
use maltrail_core::event::Severity;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::desk::Status;

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
}

impl Field {
    /// The field of this name, in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "src" => Self::Src,
            "dst" => Self::Dst,
            "port" => Self::Port,
            "count" | "events" => Self::Count,
            "proto" => Self::Proto,
            "sensor" => Self::Sensor,
            "type" => Self::Type,
            "trail" => Self::Trail,
            "info" => Self::Info,
            "uid" => Self::Uid,
            "class" => Self::Class,
            "sev" => Self::Severity,
            "dir" => Self::Direction,
            "ref" => Self::Reference,
            "origin" => Self::Origin,
            "tag" => Self::Tag,
            "note" => Self::Note,
            "status" => Self::Status,
            _ => return None,
        })
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
    /// Matches no row, as a word does where a number is asked for.
    Never,
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
