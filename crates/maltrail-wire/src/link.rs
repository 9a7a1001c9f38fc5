//! Link layer: from the first byte of a frame to the first byte of its IP header.
//!
//! | link type | rule |
//! |---|---|
//! | raw IP (12, 101, 228, 229) | IP at 0 |
//! | null, loop (0, 108) | 4-byte address family, either byte order |
//! | PPP (9) | protocol 00 21 or 00 57 at 2, IP at 4 |
//! | Linux cooked v2 (276) | EtherType at 0, payload at 20 |
//! | Ethernet and the others with a fixed place | EtherType in the two bytes before the payload |
//! | anything else | [`LinkGuess`] |
//!
//! Behind an EtherType: up to [`MAX_VLAN_TAGS`] VLAN tags, then IP or a PPPoE session with IP.
//! MPLS is not entered. The IP version is not compared with the EtherType: the packet's own
//! version field decides.

pub mod guess;

pub use guess::LinkGuess;

/// Most VLAN tags passed. Provider networks use two, with a service tag around them three.
pub const MAX_VLAN_TAGS: usize = 4;

const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;
const ETHER_VLAN: u16 = 0x8100;
const ETHER_IPV6: u16 = 0x86dd;
const ETHER_MPLS: u16 = 0x8847;
const ETHER_MPLS_MULTICAST: u16 = 0x8848;
const ETHER_PPPOE_DISCOVERY: u16 = 0x8863;
const ETHER_PPPOE_SESSION: u16 = 0x8864;
const ETHER_VLAN_SERVICE: u16 = 0x88a8;
const ETHER_VLAN_OLD_QINQ: u16 = 0x9100;
/// Values below this are lengths of an IEEE 802.3 frame, not types.
const ETHER_TYPE_MIN: u16 = 0x0600;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// PPP protocols from here on are control protocols (RFC 1661 section 2).
const PPP_CONTROL_MIN: u16 = 0x8000;

/// Length of a PPPoE session header up to the PPP protocol.
const PPPOE_HEADER_LEN: usize = 6;
/// Length of a Linux cooked v2 header.
const SLL2_HEADER_LEN: usize = 20;

/// A link type number, as libpcap and capture files use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// Token ring.
    pub const TOKEN_RING: Self = Self(6);
    /// ARCnet.
    pub const ARCNET: Self = Self(7);
    /// SLIP.
    pub const SLIP: Self = Self(8);
    /// PPP with address and control bytes.
    pub const PPP: Self = Self(9);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// Raw IP, as libpcap numbers it on Linux.
    pub const RAW: Self = Self(12);
    /// OpenBSD packet filter state.
    pub const PFSYNC: Self = Self(18);
    /// Raw IP, as capture files number it.
    pub const RAW_FILE: Self = Self(101);
    /// OpenBSD loopback.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = Self(113);
    /// OpenBSD packet filter log.
    pub const PFLOG: Self = Self(117);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);

    /// Whether the place of the IP header is known; otherwise it has to be guessed.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.has_own_rule() || self.payload_offset().is_some()
    }

    const fn has_own_rule(self) -> bool {
        matches!(
            self,
            Self::NULL
                | Self::LOOP
                | Self::PPP
                | Self::RAW
                | Self::RAW_FILE
                | Self::IPV4
                | Self::IPV6
                | Self::LINUX_SLL2
        )
    }

    /// Where the payload starts, for link types whose EtherType is the two bytes before it.
    const fn payload_offset(self) -> Option<usize> {
        Some(match self {
            Self::ETHERNET => 14,
            Self::TOKEN_RING => 22,
            Self::ARCNET => 6,
            Self::SLIP | Self::LINUX_SLL => 16,
            Self::FDDI => 21,
            Self::PFSYNC => 4,
            Self::PFLOG => 48,
            _ => return None,
        })
    }
}

/// Why a frame leads to no IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkDrop {
    /// The link header is cut.
    Truncated,
    /// ARP.
    Arp,
    /// MPLS, which is not entered.
    Mpls,
    /// PPPoE discovery.
    PppoeDiscovery,
    /// LCP or another PPP control protocol.
    PppControl,
    /// PPP without its address and control bytes.
    PppFraming,
    /// An IEEE 802.3 frame with a length in place of the EtherType.
    Llc,
    /// More than [`MAX_VLAN_TAGS`] VLAN tags.
    VlanDepth,
    /// A loopback frame of an address family other than IP.
    AddressFamily,
    /// Another EtherType or PPP protocol, given as found.
    NotIp(u16),
    /// A link type whose layout is unknown; see [`LinkGuess`].
    UnknownLink,
    /// A link type whose layout is unknown, and no place in this frame looks like an IP header.
    NoGuess,
}

/// The network layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network<'a> {
    /// Everything from the first byte of the IP header on.
    pub ip: &'a [u8],
}

/// Finds the IP header of `frame`. Stateless, so frames of unknown link types are refused; use
/// [`LinkGuess::network`] for them.
#[inline]
pub fn network(link: LinkType, frame: &[u8]) -> Result<Network<'_>, LinkDrop> {
    if let Some(offset) = link.payload_offset() {
        return typed(frame, offset);
    }
    match link {
        LinkType::RAW | LinkType::RAW_FILE | LinkType::IPV4 | LinkType::IPV6 => {
            Ok(Network { ip: frame })
        }
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::PPP => ppp(frame),
        LinkType::LINUX_SLL2 => cooked_v2(frame),
        _ => Err(LinkDrop::UnknownLink),
    }
}

/// A frame whose EtherType is the two bytes before `offset`.
#[inline]
fn typed(frame: &[u8], offset: usize) -> Result<Network<'_>, LinkDrop> {
    let (ether_type, rest) = frame
        .get(offset.saturating_sub(2)..)
        .and_then(<[u8]>::split_first_chunk::<2>)
        .ok_or(LinkDrop::Truncated)?;
    ether(u16::from_be_bytes(*ether_type), rest)
}

/// What follows an EtherType.
#[inline]
fn ether(mut ether_type: u16, mut rest: &[u8]) -> Result<Network<'_>, LinkDrop> {
    for _ in 0..=MAX_VLAN_TAGS {
        match ether_type {
            ETHER_IPV4 | ETHER_IPV6 => return Ok(Network { ip: rest }),
            ETHER_VLAN | ETHER_VLAN_SERVICE | ETHER_VLAN_OLD_QINQ => {
                let (&[_, _, inner0, inner1], tail) =
                    rest.split_first_chunk::<4>().ok_or(LinkDrop::Truncated)?;
                ether_type = u16::from_be_bytes([inner0, inner1]);
                rest = tail;
            }
            ETHER_PPPOE_SESSION => return pppoe(rest),
            other => return Err(not_ip(other)),
        }
    }
    Err(LinkDrop::VlanDepth)
}

const fn not_ip(ether_type: u16) -> LinkDrop {
    match ether_type {
        ETHER_ARP => LinkDrop::Arp,
        ETHER_MPLS | ETHER_MPLS_MULTICAST => LinkDrop::Mpls,
        ETHER_PPPOE_DISCOVERY => LinkDrop::PppoeDiscovery,
        0..ETHER_TYPE_MIN => LinkDrop::Llc,
        other => LinkDrop::NotIp(other),
    }
}

fn pppoe(session: &[u8]) -> Result<Network<'_>, LinkDrop> {
    let (protocol, ip) = session
        .get(PPPOE_HEADER_LEN..)
        .and_then(<[u8]>::split_first_chunk::<2>)
        .ok_or(LinkDrop::Truncated)?;
    ppp_payload(u16::from_be_bytes(*protocol), ip)
}

fn ppp(frame: &[u8]) -> Result<Network<'_>, LinkDrop> {
    let (&[first0, first1, protocol0, protocol1], ip) =
        frame.split_first_chunk::<4>().ok_or(LinkDrop::Truncated)?;
    let found = ppp_payload(u16::from_be_bytes([protocol0, protocol1]), ip);
    // compat: a frame that starts with its protocol, without FF 03, is not entered.
    if found.is_err() && matches!(u16::from_be_bytes([first0, first1]), PPP_IPV4 | PPP_IPV6) {
        return Err(LinkDrop::PppFraming);
    }
    found
}

const fn ppp_payload(protocol: u16, ip: &[u8]) -> Result<Network<'_>, LinkDrop> {
    match protocol {
        PPP_IPV4 | PPP_IPV6 => Ok(Network { ip }),
        PPP_CONTROL_MIN.. => Err(LinkDrop::PppControl),
        other => Err(LinkDrop::NotIp(other)),
    }
}

/// Address family 2 is IPv4 everywhere. IPv6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on
/// FreeBSD, 30 on macOS; compat: 35 (0x23) is accepted, too.
fn loopback(frame: &[u8]) -> Result<Network<'_>, LinkDrop> {
    let (family, ip) = frame.split_first_chunk::<4>().ok_or(LinkDrop::Truncated)?;
    let is_ip = |family| matches!(family, 2 | 10 | 24 | 28 | 30 | 35);
    if is_ip(u32::from_le_bytes(*family)) || is_ip(u32::from_be_bytes(*family)) {
        Ok(Network { ip })
    } else {
        Err(LinkDrop::AddressFamily)
    }
}

/// ```text
///  0         2         4           8        10     11       12        20
///  | EtherType | reserved | interface | hardware | type | addr len | address | payload
/// ```
fn cooked_v2(frame: &[u8]) -> Result<Network<'_>, LinkDrop> {
    let (header, rest) = frame
        .split_first_chunk::<SLL2_HEADER_LEN>()
        .ok_or(LinkDrop::Truncated)?;
    let &[type0, type1, ..] = header;
    ether(u16::from_be_bytes([type0, type1]), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &[u8] = b"\x45 the packet";

    fn check(link: LinkType, header: &[u8], expected: Result<(), LinkDrop>) {
        let frame = [header, IP].concat();
        let found = network(link, &frame);
        assert_eq!(
            found,
            expected.map(|()| Network { ip: IP }),
            "{link:?} {header:02x?}"
        );
        if expected.is_ok() {
            for cut in 0..header.len() {
                let cut_frame = network(link, &header[..cut]);
                assert_eq!(cut_frame, Err(LinkDrop::Truncated), "{link:?} cut at {cut}");
            }
        }
    }

    /// An Ethernet header whose last bytes, from the EtherType on, are `tail`.
    fn ethernet(tail: &[u8]) -> Vec<u8> {
        [&[0xaa; 12][..], tail].concat()
    }

    #[test]
    fn ethernet_types() {
        let cases: [(&[u8], Result<(), LinkDrop>); 8] = [
            (&[0x08, 0x00], Ok(())),
            (&[0x86, 0xdd], Ok(())),
            (&[0x08, 0x06], Err(LinkDrop::Arp)),
            (&[0x88, 0x47], Err(LinkDrop::Mpls)),
            (&[0x88, 0x48], Err(LinkDrop::Mpls)),
            (&[0x88, 0x63], Err(LinkDrop::PppoeDiscovery)),
            (&[0x00, 0x26], Err(LinkDrop::Llc)),
            (&[0x88, 0xcc], Err(LinkDrop::NotIp(0x88cc))),
        ];
        for (tail, expected) in cases {
            check(LinkType::ETHERNET, &ethernet(tail), expected);
        }
    }

    #[test]
    fn vlan_tags_of_every_kind_up_to_the_bound() {
        let tagged = |tags: usize| {
            let kinds = [[0x88, 0xa8], [0x81, 0x00], [0x91, 0x00]];
            let mut tail = Vec::new();
            for tag in 0..tags {
                tail.extend(kinds[tag % kinds.len()]);
                tail.extend([0x00, 0x64]);
            }
            tail.extend([0x08, 0x00]);
            ethernet(&tail)
        };
        for tags in 0..=MAX_VLAN_TAGS {
            check(LinkType::ETHERNET, &tagged(tags), Ok(()));
        }
        check(
            LinkType::ETHERNET,
            &tagged(MAX_VLAN_TAGS + 1),
            Err(LinkDrop::VlanDepth),
        );
    }

    #[test]
    fn pppoe_sessions() {
        let session = |protocol: [u8; 2]| {
            ethernet(&[
                0x88,
                0x64,
                0x11,
                0x00,
                0,
                1,
                0,
                0x2a,
                protocol[0],
                protocol[1],
            ])
        };
        check(LinkType::ETHERNET, &session([0x00, 0x21]), Ok(()));
        check(LinkType::ETHERNET, &session([0x00, 0x57]), Ok(()));
        check(
            LinkType::ETHERNET,
            &session([0xc0, 0x21]),
            Err(LinkDrop::PppControl),
        );
        check(
            LinkType::ETHERNET,
            &session([0x80, 0x21]),
            Err(LinkDrop::PppControl),
        );
        check(
            LinkType::ETHERNET,
            &session([0x00, 0xfd]),
            Err(LinkDrop::NotIp(0xfd)),
        );
        let in_vlan = ethernet(&[
            0x81, 0x00, 0, 5, 0x88, 0x64, 0x11, 0x00, 0, 1, 0, 0x2a, 0x00, 0x21,
        ]);
        check(LinkType::ETHERNET, &in_vlan, Ok(()));
    }

    #[test]
    fn every_fixed_offset_reads_the_type_before_it() {
        let offsets = [
            (1, 14),
            (6, 22),
            (7, 6),
            (8, 16),
            (10, 21),
            (18, 4),
            (113, 16),
            (117, 48),
        ];
        for (link, offset) in offsets {
            let mut header = vec![0; offset];
            header[offset - 2..].copy_from_slice(&[0x86, 0xdd]);
            check(LinkType(link), &header, Ok(()));
            header[offset - 2..].copy_from_slice(&[0x08, 0x06]);
            check(LinkType(link), &header, Err(LinkDrop::Arp));
        }
    }

    #[test]
    fn raw_links_start_with_ip() {
        for link in [12, 101, 228, 229] {
            check(LinkType(link), &[], Ok(()));
        }
    }

    #[test]
    fn loopback_families_in_either_byte_order() {
        for link in [LinkType::NULL, LinkType::LOOP] {
            for family in [2_u32, 10, 24, 28, 30, 35] {
                check(link, &family.to_le_bytes(), Ok(()));
                check(link, &family.to_be_bytes(), Ok(()));
            }
            check(link, &7_u32.to_le_bytes(), Err(LinkDrop::AddressFamily));
            check(link, &[2, 0, 0, 2], Err(LinkDrop::AddressFamily));
        }
    }

    #[test]
    fn ppp_needs_its_address_and_control_bytes() {
        check(LinkType::PPP, &[0xff, 0x03, 0x00, 0x21], Ok(()));
        check(LinkType::PPP, &[0xff, 0x03, 0x00, 0x57], Ok(()));
        check(
            LinkType::PPP,
            &[0xff, 0x03, 0xc0, 0x21],
            Err(LinkDrop::PppControl),
        );
        check(LinkType::PPP, &[0x00, 0x21], Err(LinkDrop::PppFraming));
        check(LinkType::PPP, &[0x00, 0x57], Err(LinkDrop::PppFraming));
    }

    #[test]
    fn cooked_v2_reads_its_type_and_passes_tags() {
        let mut header = [0; SLL2_HEADER_LEN];
        header[..2].copy_from_slice(&[0x08, 0x00]);
        check(LinkType::LINUX_SLL2, &header, Ok(()));
        header[..2].copy_from_slice(&[0x81, 0x00]);
        let tagged = [&header[..], &[0, 5, 0x86, 0xdd]].concat();
        check(LinkType::LINUX_SLL2, &tagged, Ok(()));
        header[..2].copy_from_slice(&[0x08, 0x06]);
        check(LinkType::LINUX_SLL2, &header, Err(LinkDrop::Arp));
    }

    #[test]
    fn a_link_type_is_known_exactly_when_a_rule_applies() {
        for number in 0..=300 {
            let refused = network(LinkType(number), &[0; 64]) == Err(LinkDrop::UnknownLink);
            assert_eq!(LinkType(number).is_known(), !refused, "link type {number}");
        }
        assert!(!LinkType(51).is_known());
    }
}
