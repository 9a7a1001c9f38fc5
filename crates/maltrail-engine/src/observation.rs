//! What a packet shows, before anybody decides what it means.
//!
//! Observations borrow from the packet (and, for names, from the engine's scratch buffer); making
//! one copies nothing else.

use maltrail_core::name::HostName;
use maltrail_wire::dns::{CLASS_IN, rtype};
use maltrail_wire::http::{Request, Response};

/// One thing seen in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation<'a> {
    /// A TCP segment that opens a connection.
    Syn,
    /// A UDP datagram outside port 53.
    Datagram,
    /// A packet of which only the addresses count: ICMP echo requests and labelled protocols.
    Contact,
    /// A question to a resolver.
    DnsQuery(DnsQuery<'a>),
    /// The start of an HTTP request.
    HttpRequest(Request<'a>),
    /// The start of an HTTP response.
    HttpResponse(Response<'a>),
}

impl Observation<'_> {
    /// Names of all kinds, in the order of [`Observation::index`].
    pub(crate) const NAMES: [&'static str; 6] = [
        "syn",
        "datagram",
        "contact",
        "dns_query",
        "http_request",
        "http_response",
    ];

    /// Position of this kind in [`Observation::NAMES`].
    pub(crate) const fn index(&self) -> usize {
        match self {
            Self::Syn => 0,
            Self::Datagram => 1,
            Self::Contact => 2,
            Self::DnsQuery(_) => 3,
            Self::HttpRequest(_) => 4,
            Self::HttpResponse(_) => 5,
        }
    }
}

/// The first question of a whole standard query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DnsQuery<'a> {
    /// The name asked for, without those that never leave a site.
    pub(crate) name: HostName<'a>,
    /// The record type.
    pub(crate) qtype: u16,
    /// The class.
    pub(crate) qclass: u16,
}

impl DnsQuery<'_> {
    /// Whether trails are looked up: class IN, and no reverse name.
    pub(crate) const fn is_matched(&self) -> bool {
        self.qclass == CLASS_IN && self.qtype != rtype::PTR
    }

    /// Which of the two address questions this is, if any.
    pub(crate) const fn address_type(&self) -> Option<AddressType> {
        match self.qtype {
            rtype::A => Some(AddressType::A),
            rtype::AAAA => Some(AddressType::Aaaa),
            _ => None,
        }
    }
}

/// The question types that a client asks side by side for one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressType {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}
