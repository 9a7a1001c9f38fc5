//! `LOG_JSON_PROFILE`: `DATE.json` in the shape that other tools read.
//!
//! [`encode`] gives the function that appends one line for an event. `eve` (`eve.rs`) is the alert
//! record that Suricata writes, `ecs` (`ecs.rs`) is a document of the Elastic Common Schema 8. Both
//! have fields for one value where an event may hold several: they get the first, and a member `maltrail`
//! holds our own object whole.
//!
//! What both need to know of an event beyond its columns is worked out here.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::json::JsonEvent;
use super::{Event, Kind, Members};
use crate::addr::{parse_ip, parse_ip_port, parse_net};
use crate::config::JsonProfile;
use crate::time::Zone;

/// Appends an event as one line, with its newline.
pub type Encode = fn(&Event, &Zone, &mut String);

/// The function for a profile.
#[must_use]
pub fn encode(profile: JsonProfile) -> Encode {
    match profile {
        JsonProfile::Maltrail => |event, zone, out| out.push_str(&event.to_json_line(zone)),
        JsonProfile::Eve => |event, zone, out| push(&super::eve::Record::of(event, zone), out),
        JsonProfile::Ecs => |event, zone, out| push(&super::ecs::Document::of(event, zone), out),
    }
}

fn push(object: &impl Serialize, out: &mut String) {
    out.push_str(&serde_json::to_string(object).unwrap_or_default());
    out.push('\n');
}

/// Our own object inside of a record.
pub(super) struct Own<'a>(pub(super) JsonEvent<'a>);

impl Serialize for Own<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The first address of a column.
pub(super) fn first_address(column: &Members) -> Option<IpAddr> {
    column.addresses().next()
}

/// The protocol above TCP and UDP in which the indicator stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Application {
    Dns,
    Http,
    Tls,
    Quic,
}

impl Application {
    /// By what was looked at; of an event read from a line, by its type and ports.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let field = event.details.reasons.first().map(|reason| &reason.field);
        if let Some(field) = field {
            return match field.split('.').next()? {
                "dns" => Some(Self::Dns),
                "http" => Some(Self::Http),
                "tls" => Some(Self::Tls),
                "quic" => Some(Self::Quic),
                _ => None,
            };
        }
        let port = |port: u16| {
            let ends = [event.src_port_value(), event.dst_port_value()];
            ends.iter().any(|end| end.first() == Some(port))
        };
        match event.kind {
            Kind::Dns if port(53) => Some(Self::Dns),
            Kind::Url | Kind::Http | Kind::Ua | Kind::Path => Some(Self::Http),
            Kind::Cert => Some(Self::Tls),
            _ => None,
        }
    }
}

/// What the trail column is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Indicator {
    /// An address, perhaps with a port.
    Address(IpAddr, Option<u16>),
    /// A network, in its text form.
    Network(String),
    /// A host name.
    Name(String),
    /// Host and what follows it, the part after the host with its slash.
    Url(String, String),
    /// A port.
    Port(u16),
    /// A user agent.
    Agent(String),
    /// A certificate's fingerprint.
    Certificate(String),
    /// Anything else.
    Other(String),
}

impl Indicator {
    pub(super) fn of(event: &Event) -> Self {
        let trail = event.trail.as_str();
        let other = || Self::Other(trail.to_owned());
        match event.kind {
            Kind::Ip | Kind::IpPort => address(trail).unwrap_or_else(other),
            Kind::Dns => name(trail).unwrap_or_else(other),
            Kind::Url => url(trail).unwrap_or_else(other),
            Kind::Port => trail.parse().map_or_else(|_| other(), Self::Port),
            Kind::Ua => Self::Agent(trail.to_owned()),
            Kind::Cert => Self::Certificate(trail.to_owned()),
            _ => other(),
        }
    }
}

/// `203.0.113.7`, `203.0.113.7:443`, `203.0.113.0/24`, each perhaps with ` (note)` behind.
fn address(trail: &str) -> Option<Indicator> {
    let (head, _) = trail.split_once(' ').unwrap_or((trail, ""));
    if let Some(address) = parse_ip(head) {
        return Some(Indicator::Address(address, None));
    }
    if let Some((address, port)) = parse_ip_port(head) {
        return Some(Indicator::Address(address, Some(port)));
    }
    parse_net(head).map(|network| Indicator::Network(network.to_string()))
}

/// `(www).evil.example` is the name `www.evil.example`; an address with a name behind it is an answer.
fn name(trail: &str) -> Option<Indicator> {
    if let Some(address) = address(trail) {
        return Some(address);
    }
    let name = without_marks(trail);
    let plausible = !name.is_empty() && !name.contains([' ', '/']);
    plausible.then_some(Indicator::Name(name))
}

/// `evil.example/bad.php(?x=1)` is the URL without the marks.
fn url(trail: &str) -> Option<Indicator> {
    let plain = without_marks(trail);
    let cut = plain.find('/').unwrap_or(plain.len());
    let (host, rest) = plain.split_at(cut);
    (!host.is_empty()).then(|| Indicator::Url(host.to_owned(), rest.to_owned()))
}

/// A trail without the parentheses around what does not belong to the indicator. Those that were in the
/// URL itself go as well: the log line does not tell them apart.
fn without_marks(trail: &str) -> String {
    trail.replace(['(', ')'], "")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::{Direction, Evidence, Reason};

    /// The event of a line's columns after the sensor, with one reason whose field this is.
    pub(in crate::event) fn event(columns: &str, field: &str) -> Event {
        let line = format!("\"2023-11-14 22:13:20.123456\" s1 {columns}\n");
        let mut event = Event::parse_line(&line, &Zone::UTC).expect("line");
        if !field.is_empty() {
            event.details.direction = Some(Direction::Out);
            event.details.evidence = Evidence::around(b"evidence", None).0;
            event.details.reasons.push(Reason {
                rule: "trail".into(),
                key: "k".into(),
                field: field.to_owned().into(),
                offset: None,
                source: event.reference.clone(),
            });
        }
        event
    }

    /// One line that parses.
    pub(in crate::event) fn parsed(profile: JsonProfile, event: &Event) -> Value {
        let mut out = String::new();
        encode(profile)(event, &Zone::UTC, &mut out);
        assert!(
            out.ends_with("}\n") && out.matches('\n').count() == 1,
            "{out}"
        );
        serde_json::from_str(&out).expect("json")
    }

    #[test]
    fn the_default_profile_is_our_own_object() {
        let event = event(
            "192.0.2.1 1 203.0.113.7 443 TCP IP 203.0.113.7 x r",
            "ip.dst",
        );
        let mut out = String::new();
        encode(JsonProfile::default())(&event, &Zone::UTC, &mut out);
        assert_eq!(out, event.to_json_line(&Zone::UTC));
    }

    #[test]
    fn every_profile_holds_our_own_object_whole() {
        let event = event(
            "192.0.2.1,192.0.2.2 - 203.0.113.7 443 TCP IP 203.0.113.7 x r",
            "ip.dst",
        );
        let own = parsed(JsonProfile::Maltrail, &event);
        for profile in [JsonProfile::Eve, JsonProfile::Ecs] {
            assert_eq!(parsed(profile, &event)["maltrail"], own, "{profile:?}");
        }
    }

    #[test]
    fn trails_tell_what_they_are_about() {
        let address = |text: &str, port| Indicator::Address(text.parse().expect("address"), port);
        let text = str::to_owned;
        for (columns, wanted) in [
            ("IP 203.0.113.7", address("203.0.113.7", None)),
            (
                "IP \"203.0.113.7 (evil.example)\"",
                address("203.0.113.7", None),
            ),
            (
                "IP 203.0.113.0/24",
                Indicator::Network(text("203.0.113.0/24")),
            ),
            ("IPORT 203.0.113.7:443", address("203.0.113.7", Some(443))),
            (
                "IPORT [2001:db8::66]:443",
                address("2001:db8::66", Some(443)),
            ),
            (
                "DNS (www).evil.example",
                Indicator::Name(text("www.evil.example")),
            ),
            ("DNS \"203.0.113.7 (a.com)\"", address("203.0.113.7", None)),
            ("DNS \"no name\"", Indicator::Other(text("no name"))),
            (
                "URL evil.example/bad.php(?x=1)",
                Indicator::Url(text("evil.example"), text("/bad.php?x=1")),
            ),
            (
                "URL (evil.example)",
                Indicator::Url(text("evil.example"), text("")),
            ),
            ("URL /only/path", Indicator::Other(text("/only/path"))),
            ("PORT 445", Indicator::Port(445)),
            ("PORT x", Indicator::Other(text("x"))),
            (
                "UA \"sqlmap/1 (x)\"",
                Indicator::Agent(text("sqlmap/1 (x)")),
            ),
            ("CERT ab12", Indicator::Certificate(text("ab12"))),
            ("PATH x", Indicator::Other(text("x"))),
        ] {
            let event = event(
                &format!("192.0.2.1 1 203.0.113.7 443 TCP {columns} x r"),
                "",
            );
            assert_eq!(Indicator::of(&event), wanted, "{columns}");
        }
    }

    #[test]
    fn the_application_is_that_of_the_first_reason() {
        let of = |columns: &str, field: &str| Application::of(&event(columns, field));
        let dns = "192.0.2.1 1 203.0.113.7 53 UDP DNS a.com x r";
        assert_eq!(of(dns, "dns.question"), Some(Application::Dns));
        assert_eq!(of(dns, "tls.sni"), Some(Application::Tls));
        assert_eq!(of(dns, "quic.sni"), Some(Application::Quic));
        assert_eq!(of(dns, "ip.dst"), None);
        assert_eq!(of(dns, ""), Some(Application::Dns), "by type and port");
        assert_eq!(
            of("192.0.2.1 1 203.0.113.7 443 TCP DNS a.com x r", ""),
            None
        );
        assert_eq!(
            of("192.0.2.1 1 203.0.113.7 80 TCP URL a.com/ x r", ""),
            Some(Application::Http)
        );
    }
}
