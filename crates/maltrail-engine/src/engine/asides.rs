//! Names said where few look: DNS questions away from port 53, the second and later questions of a
//! message, what a SOCKS proxy is asked for, and hosts in HTTP/2 without encryption.
//!
//! They come beside what the packet shows otherwise, and only trails and [`long_domain`] look at
//! them. A datagram away from port 53 counts as a question only if it is one from its first byte to
//! its last, as most datagrams there are something else.
//!
//! Bounds: those of [`maltrail_wire`], 16 questions a message among them.
//!
//! [`long_domain`]: crate::heuristics::long_domain

use maltrail_core::event::Event;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_wire::dns::{CLASS_IN, Message, Question, rtype};
use maltrail_wire::http2::{self, AuthorityBuf};
use maltrail_wire::{Packet, Transport, UdpDatagram, socks};

use super::report::{Report, Seen};
use super::{Engine, Names};
use crate::extract::{DNS_PORT, outside_name};
use crate::finding::{Field, Finding};
use crate::flow::Flow;
use crate::web::text::without_port;

/// The class of questions that ask for an answer to themselves alone (RFC 6762 §5.4).
const CLASS_IN_UNICAST: u16 = 0x8001;
/// Bytes of the header, and of type and class behind a name.
const HEADER: usize = 12;
const TYPE_AND_CLASS: usize = 4;

/// Names beside what a packet shows.
enum Aside<'a> {
    /// Questions to a resolver, without those that are looked at elsewhere.
    Questions(Message<'a>, usize),
    /// The target of a proxy.
    Socks(&'a [u8]),
    /// What may be HTTP/2.
    Http2(&'a [u8]),
}

impl<'a> Aside<'a> {
    /// Nearly every packet ends at a byte or two.
    #[inline]
    fn of(packet: &Packet<'a>) -> Option<Self> {
        match packet.transport {
            Transport::Tcp(tcp) if matches!(tcp.payload.first(), Some(4 | 5)) => {
                socks::target(tcp.payload).map(Self::Socks)
            }
            Transport::Tcp(tcp) if may_be_http2(tcp.payload) => Some(Self::Http2(tcp.payload)),
            Transport::Udp(udp) => Self::questions(&udp),
            _ => None,
        }
    }

    #[inline]
    fn questions(udp: &UdpDatagram<'a>) -> Option<Self> {
        let counts = udp.payload.get(4..HEADER)?;
        if udp.src_port == DNS_PORT || udp.dst_port == DNS_PORT {
            let many = counts.first_chunk().copied().map(u16::from_be_bytes)? > 1;
            let message = many.then(|| Message::parse(udp.payload).ok())??;
            let asks = message.header().is_standard_query();
            return asks.then_some(Self::Questions(message, 1));
        }
        if !matches!(counts, [0, 1, 0, 0, 0, 0, 0, 0 | 1]) {
            return None;
        }
        is_one_question(udp.payload).map(|message| Self::Questions(message, 0))
    }
}

/// Whether a segment starts with the preface of HTTP/2 or with a HEADERS frame.
#[inline]
const fn may_be_http2(payload: &[u8]) -> bool {
    matches!(payload, [b'P', b'R', b'I', ..] | [0, _, _, 1, ..])
}

/// The message that is one question, maybe with options (RFC 6891 §6.1.2), and nothing else.
fn is_one_question(payload: &[u8]) -> Option<Message<'_>> {
    const ROOT_AND_OPT: [u8; 3] = [0, 0, 41];
    let message = Message::parse(payload).ok()?;
    let header = message.header();
    let question = message.first_question().ok()?;
    let class = matches!(question.qclass, CLASS_IN | CLASS_IN_UNICAST);
    if !header.is_standard_query() || !class || question.qtype == 0 {
        return None;
    }
    // A root label ends the name; nothing before a question could be pointed at.
    let name = memchr::memchr(0, payload.get(HEADER..)?)?;
    let rest = payload.get(HEADER + name + 1 + TYPE_AND_CLASS..)?;
    let whole = match header.additional_count() {
        0 => rest.is_empty(),
        _ => rest.starts_with(&ROOT_AND_OPT),
    };
    whole.then_some(message)
}

impl Engine {
    /// Looks at what is said beside everything else.
    #[inline]
    pub(super) fn asides(
        &mut self,
        at: Timestamp,
        flow: &Flow,
        packet: &Packet<'_>,
        out: &mut Vec<Event>,
    ) {
        if let Some(aside) = Aside::of(packet) {
            self.aside(at, flow, packet, &aside, out);
        }
    }

    #[cold]
    fn aside(
        &mut self,
        at: Timestamp,
        flow: &Flow,
        packet: &Packet<'_>,
        aside: &Aside<'_>,
        out: &mut Vec<Event>,
    ) {
        let mut names = Names {
            trails: &self.trails,
            whitelist: &self.whitelist,
            enabled: self.enabled,
            clean: &mut self.clean_names,
        };
        let mut report = Report {
            at,
            flow,
            seen: Seen::of(packet),
            config: &self.config,
            whitelist: &self.whitelist,
            counters: &mut self.counters,
            first: out.len(),
            out,
        };
        match *aside {
            Aside::Questions(message, skip) => {
                let questions = message.questions().skip(skip);
                for question in questions.filter(is_matched) {
                    let Some(name) = outside_name(question.name, &mut self.name) else {
                        continue;
                    };
                    report.counters.asides += 1;
                    if let Some(finding) = names.check(name, report.counters) {
                        report.finding(finding.at(Field::DnsQuestion));
                    }
                }
            }
            Aside::Socks(target) => {
                if let Some(finding) = host(target, &mut names, &mut report) {
                    report.seen.look(Field::SocksTarget, target);
                    report.finding(finding);
                }
            }
            Aside::Http2(payload) => {
                let mut buffer = AuthorityBuf::default();
                let authority = http2::authority(payload, &mut buffer);
                let authority = authority.map(without_port).unwrap_or_default();
                if let Some(finding) = host(authority.as_bytes(), &mut names, &mut report) {
                    report.finding(finding.at(Field::HttpHost));
                }
            }
        }
    }
}

/// What is known about a host that is named.
fn host<'t>(
    named: &[u8],
    names: &mut Names<'t, '_>,
    report: &mut Report<'_>,
) -> Option<Finding<'t>> {
    let lower = std::str::from_utf8(named).ok()?.to_ascii_lowercase();
    let name = HostName::new(&lower)?;
    report.counters.asides += 1;
    names.check(name, report.counters)
}

/// As for the first question: trails are about names of the Internet.
const fn is_matched(question: &Question<'_>) -> bool {
    question.qtype != rtype::PTR && matches!(question.qclass, CLASS_IN | CLASS_IN_UNICAST)
}
