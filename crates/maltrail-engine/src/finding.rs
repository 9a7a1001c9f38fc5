//! What a detector returns: what was found, not yet where and when.

use std::borrow::Cow;
use std::net::IpAddr;

use maltrail_core::event::{Details, Event, HEURISTIC, Kind, Members, Reason};
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::Trail;

use crate::flow::{Endpoint, Flow};

/// The rule of findings that a trail explains; heuristics have their own names.
pub(crate) const TRAIL: &str = "trail";

/// One finding. Made only when there is something to report, so it may allocate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding<'a> {
    /// What kind of indicator matched.
    pub(crate) kind: Kind,
    /// The indicator, with the parts that do not belong to it in parentheses.
    pub(crate) trail: String,
    /// What it is.
    pub(crate) info: Cow<'a, str>,
    /// Where it comes from.
    pub(crate) reference: Cow<'a, str>,
    /// What decided.
    pub(crate) why: Why<'a>,
}

/// What decided that something is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why<'a> {
    /// [`TRAIL`], or the name of a heuristic.
    rule: &'static str,
    /// The trail's key, or what the heuristic recognised.
    key: Cow<'a, str>,
    /// What was looked at; `None` when only the caller knows.
    field: Option<Field>,
}

impl<'a> Finding<'a> {
    /// What `row` lists.
    pub(crate) fn listed(kind: Kind, trail: String, row: Trail<'a>) -> Self {
        Self {
            kind,
            trail,
            info: Cow::Borrowed(row.info),
            reference: Cow::Borrowed(row.reference),
            why: Why {
                rule: TRAIL,
                key: Cow::Borrowed(row.key),
                field: None,
            },
        }
    }

    /// What the heuristic `rule` found.
    pub(crate) fn heuristic(
        rule: &'static str,
        kind: Kind,
        trail: String,
        info: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            kind,
            trail,
            info: info.into(),
            reference: Cow::Borrowed(HEURISTIC),
            why: Why {
                rule,
                key: Cow::Borrowed(""),
                field: None,
            },
        }
    }

    /// The same with what was recognised.
    pub(crate) fn keyed(mut self, key: impl Into<Cow<'a, str>>) -> Self {
        self.why.key = key.into();
        self
    }

    /// The same, found in `field`.
    pub(crate) fn at(mut self, field: Field) -> Self {
        self.why.field = Some(field);
        self
    }

    /// Whether the heuristic of this name found it.
    pub(crate) fn is_of(&self, rule: &str) -> bool {
        self.why.rule == rule
    }

    /// Whether it was found in what the caller was looking at.
    pub(crate) const fn stands_in_part(&self) -> bool {
        self.why.field.is_none()
    }

    /// Why it is reported, when its field begins at `offset` of the evidence and `field` is what
    /// the caller was looking at.
    pub(crate) fn reason(&self, field: Field, offset: Option<u16>) -> Reason {
        Reason {
            rule: Cow::Borrowed(self.why.rule),
            key: self.why.key.clone().into_owned(),
            field: Cow::Borrowed(self.why.field.unwrap_or(field).name()),
            offset,
            source: self.reference.clone().into_owned(),
        }
    }

    /// The event of this finding in a packet of `flow`.
    pub(crate) fn into_event(
        self,
        sensor: &str,
        time: Timestamp,
        flow: &Flow,
        details: Details,
    ) -> Event {
        Event {
            time,
            sensor: sensor.to_owned(),
            src_ip: flow.src.ip.into(),
            src_port: port(flow.src),
            dst_ip: flow.dst.ip.into(),
            dst_port: port(flow.dst),
            proto: Cow::Borrowed(flow.proto),
            kind: self.kind,
            trail: self.trail,
            info: self.info.into_owned(),
            reference: self.reference.into_owned(),
            details,
        }
    }
}

/// A part of a packet that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Nothing in particular: what counts is that the packet was sent.
    Packet,
    /// The sender's address, maybe with its port.
    Source,
    /// The receiver's address, maybe with its port.
    Destination,
    /// The name that a resolver is asked for.
    DnsQuestion,
    /// A name that stands for the one asked for.
    DnsCname,
    /// An address that a name has.
    DnsAddress,
    /// The server's name in a TLS hello.
    TlsSni,
    /// The server's name in a QUIC hello.
    QuicSni,
    /// A server's certificate.
    TlsCertificate,
    /// What a SOCKS proxy is asked for.
    SocksTarget,
    /// The host that a request names.
    HttpHost,
    /// The target of a request.
    HttpTarget,
    /// The body of a request.
    HttpBody,
    /// `User-Agent`.
    HttpUserAgent,
    /// `Content-Type` of a response.
    HttpContentType,
    /// A response, head or body.
    HttpResponse,
}

impl Field {
    /// The name in events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Source => "ip.src",
            Self::Destination => "ip.dst",
            Self::DnsQuestion => "dns.question",
            Self::DnsCname => "dns.cname",
            Self::DnsAddress => "dns.address",
            Self::TlsSni => "tls.sni",
            Self::QuicSni => "quic.sni",
            Self::TlsCertificate => "tls.certificate",
            Self::SocksTarget => "socks.target",
            Self::HttpHost => "http.host",
            Self::HttpTarget => "http.target",
            Self::HttpBody => "http.body",
            Self::HttpUserAgent => "http.user_agent",
            Self::HttpContentType => "http.content_type",
            Self::HttpResponse => "http.response",
        }
    }
}

fn port(end: Endpoint) -> Members {
    end.port.map_or_else(Members::none, Members::from)
}

/// `<address> (<name>)`: an address with what it was used for.
pub(crate) fn address_for(address: IpAddr, name: &str) -> String {
    format!("{address} ({name})")
}

/// `(<all but the last label>).<last label>`.
pub(crate) fn name_and_tld(name: HostName<'_>) -> String {
    let text = name.as_str();
    parent_of(text, text.len().saturating_sub(name.tld().len()))
}

/// `(<labels>).<parent>`, or the name itself when `start`, where the parent begins, is 0.
pub(crate) fn parent_of(name: &str, start: usize) -> String {
    let dropped = start.checked_sub(1).and_then(|dot| name.get(..dot));
    match (dropped, name.get(start..)) {
        (Some(dropped), Some(parent)) => format!("({dropped}).{parent}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    fn finding() -> Finding<'static> {
        Finding::listed(
            Kind::Ip,
            "203.0.113.7".into(),
            Trail {
                key: "203.0.113.0/24",
                info: "badnet",
                reference: "r",
            },
        )
    }

    #[test]
    fn a_reason_says_which_row_decided_and_where() {
        let reason = finding().reason(Field::Packet, Some(3));
        assert_eq!(
            (
                reason.rule.as_ref(),
                reason.key.as_str(),
                reason.field.as_ref()
            ),
            ("trail", "203.0.113.0/24", "packet")
        );
        assert_eq!((reason.offset, reason.source.as_str()), (Some(3), "r"));
        let own = finding().at(Field::Source).reason(Field::Packet, None);
        assert_eq!(own.field, "ip.src");
        let counted = Finding::heuristic("port_scanning", Kind::Ip, String::new(), "x");
        let reason = counted.keyed("k").reason(Field::Packet, None);
        assert_eq!(
            (
                reason.rule.as_ref(),
                reason.key.as_str(),
                reason.source.as_str()
            ),
            ("port_scanning", "k", HEURISTIC)
        );
    }

    #[test]
    fn an_event_has_the_ends_of_its_packet() {
        let time = Timestamp::from_parts(1_700_000_000, 7);
        let flow = flow("192.0.2.10:0", "[2001:db8::66]:443", "TCP");
        let event = finding().into_event("sensor1", time, &flow, Details::default());
        assert_eq!((event.time, event.sensor.as_str()), (time, "sensor1"));
        assert_eq!(
            (event.src_ip.as_str(), event.src_port.as_str()),
            ("192.0.2.10", "-")
        );
        assert_eq!(
            (event.dst_ip.as_str(), event.dst_port.as_str()),
            ("2001:db8::66", "443")
        );
        assert_eq!(
            (event.proto.as_ref(), event.info.as_str()),
            ("TCP", "badnet")
        );
    }

    #[test]
    fn ports_of_a_protocol_without_any_are_empty() {
        let flow = flow("192.0.2.10", "203.0.113.7", "GRE");
        let event = finding().into_event("s", Timestamp::default(), &flow, Details::default());
        assert_eq!(
            (event.src_port.as_str(), event.dst_port.as_str()),
            ("-", "-")
        );
    }

    #[test]
    fn parents_stand_outside_the_parentheses() {
        assert_eq!(parent_of("a.b.evil.com", 4), "(a.b).evil.com");
        assert_eq!(parent_of("evil.com", 0), "evil.com");
        let name = HostName::new("a.b.evil.com").unwrap();
        assert_eq!(name_and_tld(name), "(a.b.evil).com");
    }
}
