//! One event for the two address questions of a name.
//!
//! A client asks for A and AAAA side by side. When one of them was reported, the same finding for
//! the other type is folded into it: same client, same question, same kind and trail (and, where the
//! resolver is what was found, same resolver), same second. Questions of one type never fold into
//! each other: a repeated A question is a second event, as it is without IPv6.
//!
//! Bound: [`CAPACITY`] findings of the current second. When full, the one noted first goes and is
//! counted; its other half is then an event of its own.

use std::net::IpAddr;

use maltrail_core::event::Kind;

use crate::finding::Finding;
use crate::flow::Flow;
use crate::observation::AddressType;

/// Most reported questions remembered: those of one second, and a busy client has a few.
pub(crate) const CAPACITY: usize = 128;

/// What was reported in the current second.
#[derive(Debug)]
pub(crate) struct Folds {
    second: i64,
    reported: Vec<Reported>,
    /// The one replaced next, once full.
    oldest: usize,
    evictions: u64,
}

#[derive(Debug)]
struct Reported {
    address_type: AddressType,
    client: IpAddr,
    /// The receiver, when it is part of what was found.
    resolver: Option<IpAddr>,
    kind: Kind,
    trail: String,
    name: String,
}

impl Folds {
    /// Nothing reported yet.
    pub(crate) fn new() -> Self {
        Self {
            second: i64::MIN,
            reported: Vec::new(),
            oldest: 0,
            evictions: 0,
        }
    }

    /// How many findings were forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Forgets what was reported in other seconds than `second`.
    pub(crate) fn advance(&mut self, second: i64) {
        if self.second != second {
            self.second = second;
            self.reported.clear();
            self.oldest = 0;
        }
    }

    /// Whether this finding belongs to an event that was made for the other address type; if not, it
    /// is remembered as reported.
    pub(crate) fn folds(
        &mut self,
        second: i64,
        flow: &Flow,
        name: &str,
        address_type: AddressType,
        finding: &Finding<'_>,
    ) -> bool {
        self.advance(second);
        let resolver = (finding.kind != Kind::Dns).then_some(flow.dst.ip);
        let other_half = |reported: &Reported| {
            reported.address_type != address_type
                && reported.client == flow.src.ip
                && reported.resolver == resolver
                && reported.kind == finding.kind
                && reported.trail == finding.trail
                && reported.name == name
        };
        if self.reported.iter().any(other_half) {
            return true;
        }
        self.remember(Reported {
            address_type,
            client: flow.src.ip,
            resolver,
            kind: finding.kind.clone(),
            trail: finding.trail.clone(),
            name: name.to_owned(),
        });
        false
    }

    fn remember(&mut self, reported: Reported) {
        if self.reported.len() < CAPACITY {
            self.reported.push(reported);
        } else if let Some(place) = self.reported.get_mut(self.oldest) {
            *place = reported;
            self.oldest = self.oldest.saturating_add(1) % CAPACITY;
            self.evictions += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    struct Asker(Folds);

    impl Asker {
        /// Whether the finding `kind` for `name` of `client` is folded.
        fn ask(
            &mut self,
            second: i64,
            client: &str,
            name: &str,
            address_type: AddressType,
        ) -> bool {
            self.ask_at(
                second,
                client,
                "198.51.100.53:53",
                Kind::Dns,
                name,
                address_type,
            )
        }

        fn ask_at(
            &mut self,
            second: i64,
            client: &str,
            resolver: &str,
            kind: Kind,
            name: &str,
            address_type: AddressType,
        ) -> bool {
            let finding = Finding::heuristic("x", kind, "evil.com".into(), "x");
            let flow = flow(client, resolver, "UDP");
            self.0.folds(second, &flow, name, address_type, &finding)
        }
    }

    use AddressType::{A, Aaaa};

    #[test]
    fn the_other_type_folds_in_either_order() {
        let mut asker = Asker(Folds::new());
        assert!(!asker.ask(1, "192.0.2.10:4000", "evil.com", A));
        assert!(asker.ask(1, "192.0.2.10:4001", "evil.com", Aaaa));
        assert!(!asker.ask(2, "192.0.2.10:4000", "evil.com", Aaaa));
        assert!(asker.ask(2, "192.0.2.10:4001", "evil.com", A));
    }

    #[test]
    fn the_same_type_another_client_name_or_second_does_not() {
        let mut asker = Asker(Folds::new());
        assert!(!asker.ask(1, "192.0.2.10:4000", "evil.com", A));
        assert!(!asker.ask(1, "192.0.2.10:4001", "evil.com", A));
        assert!(!asker.ask(1, "192.0.2.11:4000", "evil.com", Aaaa));
        assert!(!asker.ask(1, "192.0.2.10:4000", "www.evil.com", Aaaa));
        assert!(!asker.ask(2, "192.0.2.10:4000", "evil.com", Aaaa));
    }

    #[test]
    fn a_listed_resolver_is_reported_even_when_another_was() {
        let mut asker = Asker(Folds::new());
        let mut ask = |resolver, address_type| {
            asker.ask_at(
                1,
                "192.0.2.10:4000",
                resolver,
                Kind::Ip,
                "evil.com",
                address_type,
            )
        };
        assert!(!ask("198.51.100.53:53", A));
        assert!(!ask("198.51.100.54:53", Aaaa));
        assert!(ask("198.51.100.53:53", Aaaa));
    }

    #[test]
    fn a_full_second_forgets_the_first_and_counts_it() {
        let mut asker = Asker(Folds::new());
        for n in 0..=CAPACITY {
            assert!(!asker.ask(1, "192.0.2.10:4000", &format!("n{n}.com"), A));
        }
        assert_eq!((asker.0.reported.len(), asker.0.evictions()), (CAPACITY, 1));
        assert!(asker.ask(1, "192.0.2.10:4000", "n1.com", Aaaa));
        assert!(!asker.ask(1, "192.0.2.10:4000", "n0.com", Aaaa));
    }
}
