//! One entry for a whole frame: link layer, IP, transport.
//!
//! [`decode`] is stateless; [`Decoder`] adds the guess for unknown link types. Both keep to this
//! order, each step with its own reason for refusing: [`network`] → [`IpPacket::parse`] →
//! [`Packet::from_ip`]. Callers that want the addresses of packets whose transport is not usable
//! take the steps themselves, through [`Decoder::ip`].

use crate::icmp::is_echo_request;
use crate::ip::{IpDrop, IpPacket};
use crate::link::{LinkDrop, LinkGuess, LinkType, Network, network};
use crate::proto::{self, proto_label};
use crate::tcp::TcpSegment;
use crate::udp::UdpDatagram;

/// Why the payload of an IP packet is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportDrop {
    /// A TCP header cut before the end of its flags.
    TcpTruncated,
    /// A UDP header cut inside its ports.
    UdpTruncated,
    /// An ICMP message without its type.
    IcmpTruncated,
    /// A protocol without a label, given as found.
    Protocol(u8),
}

/// Why a frame is not a usable packet: the layer and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// Refused by the link layer.
    Link(LinkDrop),
    /// Refused by the IP layer.
    Ip(IpDrop),
    /// Refused by the transport layer.
    Transport(TransportDrop),
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason once, in the order of [`Drop::index`]. Values found in a packet stand as 0.
    pub const ALL: [Self; 20] = [
        Self::Link(LinkDrop::Truncated),
        Self::Link(LinkDrop::Arp),
        Self::Link(LinkDrop::Mpls),
        Self::Link(LinkDrop::PppoeDiscovery),
        Self::Link(LinkDrop::PppControl),
        Self::Link(LinkDrop::PppFraming),
        Self::Link(LinkDrop::Llc),
        Self::Link(LinkDrop::VlanDepth),
        Self::Link(LinkDrop::AddressFamily),
        Self::Link(LinkDrop::NotIp(0)),
        Self::Link(LinkDrop::UnknownLink),
        Self::Link(LinkDrop::NoGuess),
        Self::Ip(IpDrop::Truncated),
        Self::Ip(IpDrop::Version),
        Self::Ip(IpDrop::HeaderLength),
        Self::Ip(IpDrop::FragmentLater),
        Self::Transport(TransportDrop::TcpTruncated),
        Self::Transport(TransportDrop::UdpTruncated),
        Self::Transport(TransportDrop::IcmpTruncated),
        Self::Transport(TransportDrop::Protocol(0)),
    ];

    /// Position of this reason in [`Drop::ALL`], for an array of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self.row().0
    }

    /// Stable name of this reason, for counters and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (usize, &'static str) {
        match self {
            Self::Link(LinkDrop::Truncated) => (0, "link_truncated"),
            Self::Link(LinkDrop::Arp) => (1, "link_arp"),
            Self::Link(LinkDrop::Mpls) => (2, "link_mpls"),
            Self::Link(LinkDrop::PppoeDiscovery) => (3, "link_pppoe_discovery"),
            Self::Link(LinkDrop::PppControl) => (4, "link_ppp_control"),
            Self::Link(LinkDrop::PppFraming) => (5, "link_ppp_framing"),
            Self::Link(LinkDrop::Llc) => (6, "link_llc"),
            Self::Link(LinkDrop::VlanDepth) => (7, "link_vlan_depth"),
            Self::Link(LinkDrop::AddressFamily) => (8, "link_address_family"),
            Self::Link(LinkDrop::NotIp(_)) => (9, "link_not_ip"),
            Self::Link(LinkDrop::UnknownLink) => (10, "link_unknown"),
            Self::Link(LinkDrop::NoGuess) => (11, "link_no_guess"),
            Self::Ip(IpDrop::Truncated) => (12, "ip_truncated"),
            Self::Ip(IpDrop::Version) => (13, "ip_version"),
            Self::Ip(IpDrop::HeaderLength) => (14, "ip_header_length"),
            Self::Ip(IpDrop::FragmentLater) => (15, "ip_fragment_later"),
            Self::Transport(TransportDrop::TcpTruncated) => (16, "tcp_truncated"),
            Self::Transport(TransportDrop::UdpTruncated) => (17, "udp_truncated"),
            Self::Transport(TransportDrop::IcmpTruncated) => (18, "icmp_truncated"),
            Self::Transport(TransportDrop::Protocol(_)) => (19, "protocol_ignored"),
        }
    }
}

impl From<LinkDrop> for Drop {
    fn from(reason: LinkDrop) -> Self {
        Self::Link(reason)
    }
}

impl From<IpDrop> for Drop {
    fn from(reason: IpDrop) -> Self {
        Self::Ip(reason)
    }
}

impl From<TransportDrop> for Drop {
    fn from(reason: TransportDrop) -> Self {
        Self::Transport(reason)
    }
}

/// The transport layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(TcpSegment<'a>),
    /// A UDP datagram.
    Udp(UdpDatagram<'a>),
    /// An ICMP or ICMPv6 message.
    Icmp {
        /// Whether it is ICMPv6.
        v6: bool,
        /// Whether it is an echo request; other messages are not matched.
        echo_request: bool,
    },
    /// Another protocol that has a label; only its addresses are of interest.
    Other(&'static str),
}

/// A decoded packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Addresses, protocol and the bytes after the IP headers.
    pub ip: IpPacket<'a>,
    /// What those bytes are.
    pub transport: Transport<'a>,
}

impl<'a> Packet<'a> {
    /// Reads the transport layer of an IP packet.
    #[inline]
    pub fn from_ip(ip: IpPacket<'a>) -> Result<Self, TransportDrop> {
        let transport = match ip.proto {
            proto::TCP => {
                Transport::Tcp(TcpSegment::parse(ip.payload).ok_or(TransportDrop::TcpTruncated)?)
            }
            proto::UDP => {
                Transport::Udp(UdpDatagram::parse(ip.payload).ok_or(TransportDrop::UdpTruncated)?)
            }
            proto::ICMP | proto::ICMPV6 => Transport::Icmp {
                v6: ip.proto == proto::ICMPV6,
                echo_request: is_echo_request(ip.proto, ip.payload)
                    .ok_or(TransportDrop::IcmpTruncated)?,
            },
            other => Transport::Other(proto_label(other).ok_or(TransportDrop::Protocol(other))?),
        };
        Ok(Self { ip, transport })
    }

    /// Source and destination port of TCP and UDP.
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp(tcp) => Some((tcp.src_port, tcp.dst_port)),
            Transport::Udp(udp) => Some((udp.src_port, udp.dst_port)),
            Transport::Icmp { .. } | Transport::Other(_) => None,
        }
    }
}

/// Decodes a frame of a known link type.
#[inline]
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Drop> {
    finish(network(link, frame)?)
}

#[inline]
fn finish(network: Network<'_>) -> Result<Packet<'_>, Drop> {
    Ok(Packet::from_ip(IpPacket::parse(network.ip)?)?)
}

/// Decodes the frames of one capture, with the guess that unknown link types need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    link: LinkType,
    guess: LinkGuess,
}

impl Decoder {
    /// A decoder for frames of link type `link`.
    #[must_use]
    pub const fn new(link: LinkType) -> Self {
        Self {
            link,
            guess: LinkGuess::new(),
        }
    }

    /// The link type of the frames.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// What has been guessed; `locked()` stays `None` for known link types.
    #[must_use]
    pub const fn guess(&self) -> &LinkGuess {
        &self.guess
    }

    /// Finds the IP header of a frame.
    #[inline]
    pub fn network<'a>(&mut self, frame: &'a [u8]) -> Result<Network<'a>, LinkDrop> {
        match network(self.link, frame) {
            Err(LinkDrop::UnknownLink) => self.guess.network(frame),
            known => known,
        }
    }

    /// Decodes a frame up to its IP headers.
    #[inline]
    pub fn ip<'a>(&mut self, frame: &'a [u8]) -> Result<IpPacket<'a>, Drop> {
        Ok(IpPacket::parse(self.network(frame)?.ip)?)
    }

    /// Decodes a frame.
    #[inline]
    pub fn decode<'a>(&mut self, frame: &'a [u8]) -> Result<Packet<'a>, Drop> {
        finish(self.network(frame)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A raw IPv4 packet of protocol `proto` without a stated length.
    fn packet(proto: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0];
        bytes.extend([192, 0, 2, 10, 203, 0, 113, 7]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        let mut names = HashSet::new();
        for (position, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position);
            assert!(
                names.insert(reason.name()),
                "{} appears twice",
                reason.name()
            );
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
        assert_eq!(Drop::Link(LinkDrop::NotIp(0x88cc)).name(), "link_not_ip");
        assert_eq!(
            Drop::Transport(TransportDrop::Protocol(89)).name(),
            "protocol_ignored"
        );
    }

    #[test]
    fn each_protocol_gets_its_view() {
        let check = |proto, payload: &[u8], expected: Result<&str, TransportDrop>| {
            let bytes = packet(proto, payload);
            let found = decode(LinkType::RAW, &bytes).map(|packet| match packet.transport {
                Transport::Tcp(_) => "tcp",
                Transport::Udp(_) => "udp",
                Transport::Icmp {
                    v6: false,
                    echo_request: true,
                } => "ping",
                Transport::Icmp {
                    v6: true,
                    echo_request: true,
                } => "ping6",
                Transport::Icmp {
                    echo_request: false,
                    ..
                } => "icmp",
                Transport::Other(label) => label,
            });
            assert_eq!(found, expected.map_err(Drop::Transport), "protocol {proto}");
        };
        check(6, &[0; 14], Ok("tcp"));
        check(6, &[0; 13], Err(TransportDrop::TcpTruncated));
        check(17, &[0; 4], Ok("udp"));
        check(17, &[0; 3], Err(TransportDrop::UdpTruncated));
        check(1, &[8], Ok("ping"));
        check(1, &[0], Ok("icmp"));
        check(1, &[], Err(TransportDrop::IcmpTruncated));
        check(58, &[128], Ok("ping6"));
        check(47, &[], Ok("GRE"));
        check(89, &[1, 2], Err(TransportDrop::Protocol(89)));
    }

    #[test]
    fn ports_belong_to_tcp_and_udp_only() {
        let ports = |proto| {
            let bytes = packet(proto, &[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02]);
            decode(LinkType::RAW, &bytes).unwrap().ports()
        };
        assert_eq!(ports(6), Some((1, 2)));
        assert_eq!(ports(17), Some((1, 2)));
        assert_eq!(ports(47), None);
    }

    #[test]
    fn a_decoder_guesses_unknown_link_types_only() {
        let bytes = [&[0xff; 5][..], &packet(47, &[])].concat();
        let mut stated = bytes.clone();
        stated[8] = 20;
        assert_eq!(
            decode(LinkType(51), &stated),
            Err(Drop::Link(LinkDrop::UnknownLink))
        );
        let mut decoder = Decoder::new(LinkType(51));
        assert_eq!(
            decoder.decode(&stated).unwrap().transport,
            Transport::Other("GRE")
        );
        assert_eq!(
            (decoder.link(), decoder.guess().locked()),
            (LinkType(51), None)
        );
        assert_eq!(decoder.ip(&stated).unwrap().proto, 47);
        assert_eq!(decoder.guess().locked(), Some(5));
        let mut raw = Decoder::new(LinkType::RAW);
        assert_eq!(raw.decode(&stated), Err(Drop::Ip(IpDrop::Version)));
    }
}
