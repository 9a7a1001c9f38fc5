//! Packet → observation.
//!
//! A packet shows one thing or nothing. Names that never leave a site (a last label such as
//! `local`, or `.intranet.` inside) are left out here, for DNS only: `spec` sensor §6.

use maltrail_core::name::HostName;
use maltrail_wire::dns::{Message, Name, NameBuf};
use maltrail_wire::http::{Request, Response};
use maltrail_wire::{Packet, TcpSegment, Transport, UdpDatagram};

use crate::heuristics::port_scanning::is_probe;
use crate::matching::inner_label;
use crate::observation::{DnsAnswer, DnsQuery, Observation};

/// The port of DNS.
pub(crate) const DNS_PORT: u16 = 53;

/// What `packet` shows. `name` is where a name goes in lower case; `probes` says that segments which
/// only a scanner sends are looked for, and show nothing else then (`spec` sensor §7).
#[inline]
pub(crate) fn observe<'a>(
    packet: &Packet<'a>,
    probes: bool,
    name: &'a mut NameBuf,
) -> Option<Observation<'a>> {
    match packet.transport {
        Transport::Tcp(tcp) if tcp.flags.is_syn() => Some(Observation::Syn),
        // Such packets are counted as probes; no receiver takes their payload.
        Transport::Tcp(tcp) if probes && is_probe(tcp.flags) => None,
        Transport::Tcp(tcp) => match dns_over_tcp(&tcp) {
            Some(message) => dns(message, name),
            None => http(tcp.payload),
        },
        Transport::Udp(udp) if is_dns(&udp) => dns(udp.payload, name),
        Transport::Udp(_) => Some(Observation::Datagram),
        Transport::Icmp { echo_request, .. } => echo_request.then_some(Observation::Contact),
        Transport::Other(_) => Some(Observation::Contact),
    }
}

const fn is_dns(udp: &UdpDatagram<'_>) -> bool {
    udp.src_port == DNS_PORT || udp.dst_port == DNS_PORT
}

/// The only message of a segment, without the length before it (RFC 1035 §4.2.2).
#[inline]
pub(crate) fn dns_over_tcp<'a>(tcp: &TcpSegment<'a>) -> Option<&'a [u8]> {
    if tcp.src_port != DNS_PORT && tcp.dst_port != DNS_PORT {
        return None;
    }
    let (&prefix, message) = tcp.payload.split_first_chunk()?;
    (usize::from(u16::from_be_bytes(prefix)) == message.len()).then_some(message)
}

/// An HTTP message that starts with this segment, on any port.
#[inline]
fn http(payload: &[u8]) -> Option<Observation<'_>> {
    if let Some(response) = Response::parse(payload) {
        return Some(Observation::HttpResponse(response));
    }
    Request::parse(payload).map(Observation::HttpRequest)
}

/// The first question of a whole standard query, or of an answer, with a usable name.
fn dns<'a>(payload: &'a [u8], name: &'a mut NameBuf) -> Option<Observation<'a>> {
    let message = Message::parse(payload).ok()?;
    let header = message.header();
    if !header.is_standard_query() && !header.is_response() {
        return None;
    }
    let question = message.first_question().ok()?;
    let name = outside_name(question.name, name)?;
    if header.is_response() {
        return Some(Observation::DnsAnswer(DnsAnswer {
            name,
            qtype: question.qtype,
            qclass: question.qclass,
            message,
        }));
    }
    Some(Observation::DnsQuery(DnsQuery {
        name,
        qtype: question.qtype,
        qclass: question.qclass,
    }))
}

/// `name` in lower case, if it is a host name that may leave a site.
#[inline]
pub(crate) fn outside_name<'a>(name: Name<'_>, buffer: &'a mut NameBuf) -> Option<HostName<'a>> {
    name.write_lower(buffer).ok()?;
    let name = HostName::new(buffer.as_str()?)?;
    (!stays_inside(name)).then_some(name)
}

/// Whether a resolver is asked for something that never leaves a site.
#[inline]
fn stays_inside(name: HostName<'_>) -> bool {
    is_site_suffix(last_label(name)) || inner_label(name.as_str(), "intranet.").is_some()
}

/// The last label. Most are two or three bytes long, so a plain loop is the shortest way.
#[inline]
fn last_label<'a>(name: HostName<'a>) -> &'a str {
    let text = name.as_str();
    let dot = text.bytes().rposition(|byte| byte == b'.');
    dot.and_then(|dot| text.get(dot.saturating_add(1)..))
        .unwrap_or(text)
}

/// Whether names that end with this label are a site's own, which are not looked at.
pub(crate) fn is_site_suffix(label: &str) -> bool {
    matches!(
        label,
        "alienvault"
            | "arpa"
            | "corp"
            | "example"
            | "guest"
            | "home"
            | "internal"
            | "intra"
            | "intran"
            | "intranet"
            | "lan"
            | "local"
            | "localdomain"
            | "localnet"
            | "test"
            | "url"
            | "workgroup"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `name` with these flags, type A, class IN.
    fn query(flags: [u8; 2], questions: u8, name: &str) -> Vec<u8> {
        let mut bytes = vec![
            0x12, 0x34, flags[0], flags[1], 0, questions, 0, 0, 0, 0, 0, 0,
        ];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    }

    fn name_of(payload: &[u8]) -> Option<String> {
        let mut buffer = NameBuf::new();
        match dns(payload, &mut buffer)? {
            Observation::DnsQuery(query) => Some(query.name.as_str().to_owned()),
            Observation::DnsAnswer(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_comes_in_lower_case() {
        let found = name_of(&query([1, 0], 1, "WWW.Evil-Domain.COM"));
        assert_eq!(found.as_deref(), Some("www.evil-domain.com"));
    }

    #[test]
    fn only_whole_standard_queries_with_a_question_count() {
        for (flags, seen) in [
            ([0x01, 0x00], true),
            ([0x04, 0x30], true),  // AA; AD and CD
            ([0x02, 0x00], false), // TC
            ([0x80, 0x00], false), // QR
            ([0x11, 0x00], false), // opcode
        ] {
            assert_eq!(
                name_of(&query(flags, 1, "a.com")).is_some(),
                seen,
                "{flags:?}"
            );
        }
        assert_eq!(name_of(&query([1, 0], 0, "a.com")), None);
    }

    #[test]
    fn names_that_stay_inside_are_left_out() {
        for name in [
            "evil.local",
            "evil.workgroup",
            "7.113.0.203.in-addr.arpa",
            "a.intranet.evil.com",
            "a.intranet.com",
            "evil",
            "a b.com",
            "evil.c_m",
        ] {
            assert_eq!(name_of(&query([1, 0], 1, name)), None, "{name}");
        }
        for name in [
            "intranet.evil.com",
            "local.evil.com",
            "xintranet.a.com",
            "evil.locals",
        ] {
            assert_eq!(name_of(&query([1, 0], 1, name)).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_cut_query_or_bytes_that_are_no_text_show_nothing() {
        let whole = query([1, 0], 1, "www.evil.com");
        for cut in 0..whole.len() {
            assert_eq!(name_of(&whole[..cut]), None, "{cut} bytes");
        }
        let mut odd = whole.clone();
        odd[14] = 0xff;
        assert_eq!(name_of(&odd), None);
    }
}
