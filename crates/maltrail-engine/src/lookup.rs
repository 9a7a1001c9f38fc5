//! What the engine would say about one indicator by itself, for a person who asks.
//!
//! The functions here are those that packets go through, called with a made-up packet; nothing is looked up
//! in another way. Heuristics, which need more than one indicator, are not asked. Whitelists are not
//! applied, so that what they hide can be shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;
use maltrail_core::trail::{Trail, TrailSet, Whitelist};
use maltrail_wire::tls::Sha1;

use crate::extract::is_site_suffix;
use crate::finding::{Field, Finding};
use crate::flow::{Endpoint, Flow};
use crate::heuristics::Enabled;
use crate::heuristics::user_agent::UserAgents;
use crate::matching::{cert, domain, ip, url};
use crate::web::text::{Host, Url};

/// Port of a made-up other end: one of those that clients use.
const OTHER_PORT: u16 = 40_000;
/// Port of a listed address that is asked for without one: the most likely one, and a web port.
const WEB_PORT: u16 = 443;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The type column of the event.
    pub kind: Kind,
    /// The trail column: the key, with what does not belong to it in parentheses.
    pub shown: String,
    /// The key of the row that decided; what was recognised, for a user agent.
    pub key: String,
    /// Its label.
    pub info: String,
    /// Its origin.
    pub reference: String,
}

impl Match {
    fn of(finding: Finding<'_>) -> Self {
        let key = finding.reason(Field::Packet, None).key;
        Self {
            kind: finding.kind,
            shown: finding.trail,
            key,
            info: finding.info.into_owned(),
            reference: finding.reference.into_owned(),
        }
    }

    fn of_row(kind: Kind, shown: String, row: Trail<'_>) -> Self {
        Self::of(Finding::listed(kind, shown, row))
    }
}

/// What is found of an address, and for which packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressMatch {
    /// What the row says.
    pub found: Match,
    /// A connection to it is reported.
    pub as_destination: bool,
    /// A connection from it is reported.
    pub as_source: bool,
}

/// Whether questions for this name are passed over, as it ends with a label of a site's own names.
pub fn is_site_name(name: &str) -> bool {
    is_site_suffix(name.rsplit('.').next().unwrap_or(name))
}

/// A name that is asked for or named by a hello.
pub fn name(trails: &TrailSet, name: &str) -> Option<Match> {
    let name = HostName::new(name)?;
    let enabled = Enabled::OFF;
    domain::check(trails, &Whitelist::default(), enabled, name).map(Match::of)
}

/// A request for `path` at `host`, both as sent.
pub fn request(trails: &TrailSet, host: &str, path: &str) -> Option<Match> {
    let mut url = Url::default();
    url.set(Host::Sent(host.as_bytes()), path.as_bytes());
    url::check(trails, &url, None, &mut url::Scratch::default()).map(Match::of)
}

/// An address, with a port when one is known.
pub fn address(trails: &TrailSet, address: IpAddr, port: Option<u16>) -> Option<AddressMatch> {
    let other = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let flow = Flow {
        src: Endpoint {
            ip: other,
            port: Some(OTHER_PORT),
        },
        dst: Endpoint {
            ip: address,
            port: Some(port.unwrap_or(WEB_PORT)),
        },
        proto: "TCP",
    };
    let with_port = port.and_then(|port| trails.ip_port(address, port));
    let found = with_port.map_or_else(
        || {
            let row = trails.ip(address)?;
            Some(Match::of_row(Kind::Ip, address.to_string(), row))
        },
        |row| Some(Match::of_row(Kind::IpPort, row.key.to_owned(), row)),
    )?;
    // A row of the web port is not what was asked for.
    let counts = |finding: Finding<'_>| port.is_some() || finding.kind == Kind::Ip;
    Some(AddressMatch {
        as_destination: ip::syn(trails, &flow).is_some_and(counts),
        as_source: ip::syn(trails, &flow.reverse()).is_some_and(counts),
        found,
    })
}

/// A server's certificate.
pub fn certificate(trails: &TrailSet, sha1: &Sha1) -> Option<Match> {
    cert::check(trails, sha1).map(Match::of)
}

/// A `User-Agent`.
pub fn agent(agents: &UserAgents, text: &str) -> Option<Match> {
    agents
        .check(text.as_bytes(), &mut Vec::new())
        .map(Match::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: &str) -> TrailSet {
        TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).unwrap()
    }

    #[track_caller]
    fn check(found: Option<Match>, wanted: Option<(&str, &str)>) {
        let found = found.map(|found| (found.key, found.shown));
        let wanted = wanted.map(|(key, shown)| (key.to_owned(), shown.to_owned()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn names_and_requests_are_found_by_parent_expression_and_path() {
        let set =
            set("evil.com,x,r\ndga[0-9]+\\.bad\\.net,y,(static)\n/gate.php?id=,z,r\na.com/b,u,r\n");
        check(name(&set, "a.evil.com"), Some(("evil.com", "(a).evil.com")));
        let pattern = r"dga[0-9]+\.bad\.net";
        check(
            name(&set, "w.dga7.bad.net"),
            Some((pattern, "(w).dga7.bad.net")),
        );
        check(name(&set, "good.com"), None);
        check(name(&set, "nolabel"), None);
        let gate = Some(("/gate.php?id=", "(h.com)/gate.php?id=(5)"));
        check(request(&set, "h.com", "/gate.php?id=5"), gate);
        check(
            request(&set, "a.com:81", "/B/"),
            Some(("a.com/b", "a.com/b(/)")),
        );
        check(request(&set, "a.com", "/c"), None);
    }

    #[test]
    fn addresses_are_found_by_port_network_and_direction() {
        let set = set(
            "203.0.113.7,known attacker,r\n203.0.113.7:443,x (malware),r\n198.51.100.0/24,y,r\n",
        );
        let at = |text: &str, port| {
            let found = address(&set, text.parse().unwrap(), port)?;
            Some((found.found.key, found.as_destination, found.as_source))
        };
        assert_eq!(
            at("203.0.113.7", Some(443)),
            Some(("203.0.113.7:443".into(), true, false))
        );
        assert_eq!(
            at("203.0.113.7", Some(80)),
            Some(("203.0.113.7".into(), false, true))
        );
        assert_eq!(
            at("198.51.100.9", None),
            Some(("198.51.100.0/24".into(), true, true))
        );
        assert_eq!(at("192.0.2.1", None), None);
    }

    #[test]
    fn certificates_and_agents() {
        let set = set("000102030405060708090a0b0c0d0e0f10111213,c2,sslbl\n");
        let sha1: Sha1 = std::array::from_fn(|at| at as u8);
        assert_eq!(
            certificate(&set, &sha1).map(|found| found.kind),
            Some(Kind::Cert)
        );
        let agents = UserAgents::parse("BadBot/[0-9]\n").unwrap();
        assert_eq!(
            agent(&agents, "BadBot/7 x").map(|found| found.key),
            Some("BadBot/7".into())
        );
        assert_eq!(agent(&agents, "curl/8"), None);
    }
}
