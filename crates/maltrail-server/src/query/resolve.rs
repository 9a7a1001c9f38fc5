//! What a query means on these days, for this person: times, names of addresses and what is new become values
//! that one pass over a table can look up.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use maltrail_core::addr::{NetworkSet, parse_ip, parse_net};
use maltrail_core::time::Zone;

use super::ast::{Expr, Field, Networks, Pattern};
use super::filter::TextTest;
use super::period::moments;
use super::span::Span;
use crate::desk::aliases::{Alias, is_within};

impl Expr {
    /// Whether it asks for this field.
    pub(crate) fn asks(&self, wanted: Field) -> bool {
        match self {
            Self::All | Self::Free(_) => false,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.asks(wanted)),
            Self::Not(part) => part.asks(wanted),
            Self::Field(field, _) => *field == wanted,
        }
    }

    /// Turns times into moments of these days.
    pub(crate) fn resolve_times(&mut self, zone: &Zone, span: Span) {
        for field in [Field::First, Field::Last, Field::Time] {
            self.values_mut(field, &mut |pattern| {
                if let Pattern::Period(period) = pattern {
                    *pattern = Pattern::Moments(moments(*period, zone, span.days()));
                }
            });
        }
    }

    /// Turns names of addresses into the addresses, on either side. Of somebody who sees some networks only
    /// (`visible`, empty: all) only names inside count.
    pub(crate) fn resolve_aliases(&mut self, aliases: &[Alias], visible: &[IpNet]) {
        match self {
            Self::All | Self::Free(_) => {}
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.resolve_aliases(aliases, visible);
                }
            }
            Self::Not(part) => part.resolve_aliases(aliases, visible),
            Self::Field(Field::Alias, patterns) => {
                let of = |pattern: &Pattern| addresses(pattern, aliases, visible);
                let patterns: Vec<Self> = patterns.iter().map(of).collect();
                *self = Self::Or(patterns);
            }
            Self::Field(..) => {}
        }
    }
}

fn addresses(pattern: &Pattern, aliases: &[Alias], visible: &[IpNet]) -> Expr {
    if let Pattern::Other(inner) = pattern {
        return Expr::Not(Box::new(addresses(inner, aliases, visible)));
    }
    let mut test = TextTest::new(pattern);
    let named = aliases.iter().filter(|alias| {
        test.matches(&alias.label) && (visible.is_empty() || is_within(alias, visible))
    });
    let networks = NetworkSet::new(named.flat_map(|alias| networks(&alias.address)));
    let networks = Pattern::Networks(Networks(Arc::new(networks)));
    Expr::Or(vec![
        Expr::Field(Field::Src, vec![networks.clone()]),
        Expr::Field(Field::Dst, vec![networks]),
    ])
}

/// An address, a network or a range as networks.
fn networks(text: &str) -> Vec<IpNet> {
    if let Some(net) = parse_net(text).or_else(|| parse_ip(text).map(IpNet::from)) {
        return vec![net];
    }
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((parse_ip(first.trim())?, parse_ip(last.trim())?)));
    match ends {
        Some((IpAddr::V4(first), IpAddr::V4(last))) if first <= last => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
        }
        Some((IpAddr::V6(first), IpAddr::V6(last))) if first <= last => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
        }
        _ => Vec::new(),
    }
}
