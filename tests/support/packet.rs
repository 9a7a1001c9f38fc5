//! Frames of Ethernet, as one line each: who, to whom, what.
//!
//! Lengths and checksums are right (etherparse computes them); everything else is fixed or given, so
//! that the same call gives the same bytes. A host of the own network has its own MAC address and
//! may sit behind one or two VLAN tags; every other host is seen with the gateway's.

use std::net::IpAddr;

use etherparse::ip_number::GRE;
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader,
    PacketBuilder, PacketBuilderStep, TcpHeader, VlanId,
};

use crate::payload;

/// VLAN tags in front of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tags {
    /// None.
    #[default]
    None,
    /// One 802.1Q tag.
    One(u16),
    /// A service tag (802.1ad) and a customer tag.
    Two(u16, u16),
}

/// An address on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    ip: IpAddr,
    mac: [u8; 6],
    tags: Tags,
}

/// A host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    host: Host,
    port: u16,
}

/// MAC address of the gateway, and so of everything behind it.
const GATEWAY: [u8; 6] = [0x02, 0, 0x5e, 0, 0, 0x01];

/// A record type of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qtype {
    /// An IPv4 address.
    A = 1,
    /// A name for an address.
    Ptr = 12,
    /// A mail server.
    Mx = 15,
    /// Text.
    Txt = 16,
    /// An IPv6 address.
    Aaaa = 28,
}

impl Host {
    /// A host of the own network.
    ///
    /// # Panics
    /// When `ip` is not an address.
    #[must_use]
    pub fn local(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        let mac = match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                [0x02, 0x20, a, b, c, d]
            }
            IpAddr::V6(v6) => {
                let last = v6.octets();
                [0x02, 0x60, last[12], last[13], last[14], last[15]]
            }
        };
        let tags = Tags::None;
        Self { ip, mac, tags }
    }

    /// A host behind the gateway.
    ///
    /// # Panics
    /// When `ip` is not an address.
    #[must_use]
    pub fn remote(ip: &str) -> Self {
        let host = Self::local(ip);
        Self {
            mac: GATEWAY,
            ..host
        }
    }

    /// The same host in a VLAN.
    #[must_use]
    pub const fn tagged(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }

    /// One end of a flow.
    #[must_use]
    pub const fn port(self, port: u16) -> End {
        End { host: self, port }
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// Ethernet, tags and IP from `src` to `dst`; the IPv6 header is followed by `extensions`.
fn ip_with(src: Host, dst: Host, extensions: Ipv6Extensions) -> PacketBuilderStep<IpHeaders> {
    let headers = match (src.ip, dst.ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = Ipv4Header {
                source: from.octets(),
                destination: to.octets(),
                time_to_live: 64,
                dont_fragment: true,
                ..Ipv4Header::default()
            };
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                source: from.octets(),
                destination: to.octets(),
                hop_limit: 64,
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(header, extensions)
        }
        (from, to) => panic!("{from} and {to} are of two families"),
    };
    let ethernet = PacketBuilder::ethernet2(src.mac, dst.mac);
    let id = |id| VlanId::try_new(id).expect("a VLAN id");
    let tags = if src.tags == Tags::None {
        dst.tags
    } else {
        src.tags
    };
    match tags {
        Tags::None => ethernet.ip(headers),
        Tags::One(vlan) => ethernet.single_vlan(id(vlan)).ip(headers),
        Tags::Two(outer, inner) => ethernet.double_vlan(id(outer), id(inner)).ip(headers),
    }
}

fn ip(src: Host, dst: Host) -> PacketBuilderStep<IpHeaders> {
    ip_with(src, dst, Ipv6Extensions::default())
}

/// Writing to memory fails only when a payload is longer than IP allows.
const FITS: &str = "a payload that fits into a packet";

/// A UDP datagram.
#[must_use]
pub fn udp(src: End, dst: End, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ip(src.host, dst.host)
        .udp(src.port, dst.port)
        .write(&mut frame, payload)
        .expect(FITS);
    frame
}

/// A question for `name`.
#[must_use]
pub fn dns_query(client: End, resolver: End, name: &str, qtype: Qtype) -> Vec<u8> {
    let message = payload::dns_question(client.port, name, qtype);
    udp(client, resolver, &message)
}

/// The answer to that question: these addresses, which may be none.
#[must_use]
pub fn dns_answer(
    client: End,
    resolver: End,
    name: &str,
    qtype: Qtype,
    addresses: &[IpAddr],
) -> Vec<u8> {
    let message = payload::dns_answer(client.port, name, qtype, addresses);
    udp(resolver, client, &message)
}

/// Flags of a TCP segment; the acknowledgement flag is set where a number is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledged so far.
    pub ack: Option<u32>,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// PSH.
    pub psh: bool,
    /// ECE and CWR, as a SYN that asks for ECN has them.
    pub ecn: bool,
}

/// A TCP segment.
#[must_use]
pub fn tcp(src: End, dst: End, segment: Segment, payload: &[u8]) -> Vec<u8> {
    tcp_over(ip(src.host, dst.host), src, dst, segment, payload)
}

fn tcp_over(
    step: PacketBuilderStep<IpHeaders>,
    src: End,
    dst: End,
    segment: Segment,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(src.port, dst.port, segment.seq, 64_240);
    header.acknowledgment_number = segment.ack.unwrap_or_default();
    header.ack = segment.ack.is_some();
    (header.syn, header.fin, header.rst) = (segment.syn, segment.fin, segment.rst);
    header.psh = segment.psh;
    (header.ece, header.cwr) = (segment.ecn, segment.ecn);
    let mut frame = Vec::new();
    step.tcp_header(header)
        .write(&mut frame, payload)
        .expect(FITS);
    frame
}

/// The opening segment of a connection.
#[must_use]
pub fn syn(src: End, dst: End) -> Vec<u8> {
    let segment = Segment {
        seq: first_seq(src),
        syn: true,
        ..Segment::default()
    };
    tcp(src, dst, segment, &[])
}

/// The same, asking for ECN.
#[must_use]
pub fn syn_ecn(src: End, dst: End) -> Vec<u8> {
    let segment = Segment {
        seq: first_seq(src),
        syn: true,
        ecn: true,
        ..Segment::default()
    };
    tcp(src, dst, segment, &[])
}

/// The opening segment behind an IPv6 header with destination options.
#[must_use]
pub fn syn_behind_options(src: End, dst: End) -> Vec<u8> {
    // PadN over the whole header: option 1, four bytes of zeros.
    let options = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[1, 4, 0, 0, 0, 0]).expect("options");
    let extensions = Ipv6Extensions {
        destination_options: Some(options),
        ..Ipv6Extensions::default()
    };
    let segment = Segment {
        seq: first_seq(src),
        syn: true,
        ..Segment::default()
    };
    let step = ip_with(src.host, dst.host, extensions);
    tcp_over(step, src, dst, segment, &[])
}

/// The answer of `server` to the opening segment of `client`.
#[must_use]
pub fn syn_ack(server: End, client: End) -> Vec<u8> {
    let segment = Segment {
        seq: first_seq(server),
        ack: Some(first_seq(client).wrapping_add(1)),
        syn: true,
        ..Segment::default()
    };
    tcp(server, client, segment, &[])
}

/// A refusal of a connection.
#[must_use]
pub fn refused(server: End, client: End) -> Vec<u8> {
    let segment = Segment {
        ack: Some(first_seq(client).wrapping_add(1)),
        rst: true,
        ..Segment::default()
    };
    tcp(server, client, segment, &[])
}

/// The first segment with a payload that `src` sends over an open connection.
#[must_use]
pub fn tcp_data(src: End, dst: End, payload: &[u8]) -> Vec<u8> {
    let segment = Segment {
        seq: first_seq(src).wrapping_add(1),
        ack: Some(first_seq(dst).wrapping_add(1)),
        psh: true,
        ..Segment::default()
    };
    tcp(src, dst, segment, payload)
}

/// Sequence number of the first segment that this end sends.
#[must_use]
pub fn first_seq(end: End) -> u32 {
    let low = match end.host.ip {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() as u32,
    };
    low.wrapping_mul(0x9e37_79b9) ^ u32::from(end.port).wrapping_mul(0x85eb_ca6b)
}

/// An echo request of ICMP or ICMPv6, by family.
#[must_use]
pub fn echo(src: Host, dst: Host, seq: u16) -> Vec<u8> {
    icmp(src, dst, seq, true)
}

/// The reply of `src` to such a request.
#[must_use]
pub fn echo_reply(src: Host, dst: Host, seq: u16) -> Vec<u8> {
    icmp(src, dst, seq, false)
}

fn icmp(src: Host, dst: Host, seq: u16, request: bool) -> Vec<u8> {
    const ID: u16 = 0x4d54;
    let data = b"abcdefghijklmnopqrstuvwabcdefghi";
    let (step, mut frame) = (ip(src, dst), Vec::new());
    match (src.ip, request) {
        (IpAddr::V4(_), true) => step
            .icmpv4_echo_request(ID, seq)
            .write(&mut frame, data)
            .expect(FITS),
        (IpAddr::V4(_), false) => step
            .icmpv4_echo_reply(ID, seq)
            .write(&mut frame, data)
            .expect(FITS),
        (IpAddr::V6(_), true) => step
            .icmpv6_echo_request(ID, seq)
            .write(&mut frame, data)
            .expect(FITS),
        (IpAddr::V6(_), false) => step
            .icmpv6_echo_reply(ID, seq)
            .write(&mut frame, data)
            .expect(FITS),
    }
    frame
}

/// A GRE packet with a small IPv4 packet inside.
#[must_use]
pub fn gre(src: Host, dst: Host) -> Vec<u8> {
    let mut payload = vec![0, 0, 0x08, 0x00];
    let inner = PacketBuilder::ipv4([172, 16, 9, 1], [172, 16, 9, 2], 64).udp(7000, 7001);
    inner.write(&mut payload, b"keepalive").expect(FITS);
    let mut frame = Vec::new();
    ip(src, dst).write(&mut frame, GRE, &payload).expect(FITS);
    frame
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn a_query_has_its_name_in_wire_form_and_right_checksums() {
        let client = Host::local("10.20.10.13").tagged(Tags::One(40));
        let resolver = Host::local("10.20.0.2");
        let frame = dns_query(
            client.port(40000),
            resolver.port(53),
            "ab.test",
            Qtype::Aaaa,
        );
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        assert_eq!(packet.vlan_ids()[..], [VlanId::try_new(40).unwrap()]);
        let (Some(NetSlice::Ipv4(net)), Some(TransportSlice::Udp(udp))) =
            (&packet.net, &packet.transport)
        else {
            panic!("{packet:?}")
        };
        let header = net.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
        assert_eq!(udp.checksum(), sum.unwrap());
        let message = udp.payload();
        assert_eq!(
            message[2..6],
            [1, 0, 0, 1],
            "recursion desired, one question"
        );
        assert_eq!(message[12..], *b"\x02ab\x04test\x00\x00\x1c\x00\x01");
    }

    #[test]
    fn an_echo_is_of_the_family_of_its_ends() {
        let v6 = echo(Host::local("fd00:20::1"), Host::remote("2001:db8::1"), 7);
        let packet = SlicedPacket::from_ethernet(&v6).unwrap();
        assert!(matches!(packet.transport, Some(TransportSlice::Icmpv6(_))));
        let v4 = echo(Host::local("10.20.0.1"), Host::remote("192.0.2.40"), 7);
        let packet = SlicedPacket::from_ethernet(&v4).unwrap();
        assert!(matches!(packet.transport, Some(TransportSlice::Icmpv4(_))));
    }

    #[test]
    fn a_handshake_acknowledges_what_was_sent() {
        let client = Host::local("10.20.10.13").port(50000);
        let server = Host::remote("203.0.113.10").port(443);
        let tcp = |frame: &[u8]| match SlicedPacket::from_ethernet(frame).unwrap().transport {
            Some(TransportSlice::Tcp(tcp)) => tcp.to_header(),
            other => panic!("{other:?}"),
        };
        let (first, second) = (tcp(&syn(client, server)), tcp(&syn_ack(server, client)));
        let third = tcp(&tcp_data(client, server, b"x"));
        assert!(first.syn && !first.ack && second.syn && second.ack && !third.syn);
        assert_eq!(
            second.acknowledgment_number,
            first.sequence_number.wrapping_add(1)
        );
        assert_eq!(
            third.acknowledgment_number,
            second.sequence_number.wrapping_add(1)
        );
    }
}
