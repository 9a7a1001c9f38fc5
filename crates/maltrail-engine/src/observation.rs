//! What a packet shows, before anybody decides what it means.
//!
//! Observations borrow from the packet (and, for names, from the engine's scratch buffer); making
//! one copies nothing else.

use maltrail_core::name::HostName;
use maltrail_wire::dns::{CLASS_IN, Message, rtype};
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
    /// What a resolver answers.
    DnsAnswer(DnsAnswer<'a>),
}

impl Observation<'_> {
    /// Names of all kinds, in the order of [`Observation::index`].
    pub(crate) const NAMES: [&'static str; 7] = [
        "syn",
        "datagram",
        "contact",
        "dns_query",
        "http_request",
        "http_response",
        "dns_answer",
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
            Self::DnsAnswer(_) => 6,
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

/// An answer with the first question that it repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DnsAnswer<'a> {
    /// The name asked for, without those that never leave a site.
    pub(crate) name: HostName<'a>,
    /// The record type asked for.
    pub(crate) qtype: u16,
    /// The class asked for.
    pub(crate) qclass: u16,
    /// The whole message.
    pub(crate) message: Message<'a>,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is an answer, though maybe without records.
    Success {
        /// Whether it is that of a resolver, rather than of the name's own server.
        recursion: bool,
    },
    /// A resolver says that the name does not exist.
    NoSuchName,
    /// Anything else.
    Other,
}

impl DnsAnswer<'_> {
    /// Whether the name is looked up, as in [`DnsQuery::is_matched`].
    pub(crate) const fn is_matched(&self) -> bool {
        self.qclass == CLASS_IN && self.qtype != rtype::PTR
    }

    /// How the question ended. AD and CD, which tell about signatures, make no difference.
    pub(crate) const fn outcome(&self) -> Outcome {
        const AD_CD: u8 = 0x30;
        match self.message.header().flags_low() & !AD_CD {
            0x80 => Outcome::Success { recursion: true },
            0x00 => Outcome::Success { recursion: false },
            0x83 => Outcome::NoSuchName,
            _ => Outcome::Other,
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
