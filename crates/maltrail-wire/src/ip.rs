//! IPv4 and IPv6 headers, up to the transport protocol.
//!
//! The header views are etherparse's; the walk over IPv6 extension headers (hop-by-hop, routing,
//! fragment, destination options, AH) and the choice of where the payload ends are ours.
//!
//! **Where a payload ends.** At the length that the IP header states, so link padding is not
//! payload. The captured length counts instead when the stated length is 0 (left by offloading, or
//! a jumbogram) or too short for the headers of an unfragmented packet (IP plus the fixed part of
//! TCP, UDP or ICMP): such a packet is malformed either way, and a wrong length must not hide it.
//! A stated length beyond the captured bytes sets [`IpPacket::truncated`]. Checksums are ignored.
//!
//! **Fragments.** First fragments go on with [`IpPacket::fragment`] set. A later IPv4 fragment is
//! dropped ([`IpDrop::FragmentLater`]). A later IPv6 fragment stays a packet of protocol 44, which
//! has a label of its own, so its addresses are still matched.
//!
//! **Bounds.** At most [`MAX_EXTENSION_HEADERS`] extension headers. When the chain is longer or is
//! cut, the packet keeps the number of the header that could not be passed as its protocol.

use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, err};

use crate::{proto, tcp, udp};

/// Most extension headers walked: RFC 8200 section 4.1 lists eight places, one per kind with
/// destination options twice.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Length of the fixed IPv6 header.
const IPV6_HEADER_LEN: usize = 40;
/// Length of the part of an ICMP header that every message has.
const ICMP_HEADER_LEN: usize = 8;

/// Why bytes are not a usable IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpDrop {
    /// The header is cut.
    Truncated,
    /// The version is neither 4 nor 6.
    Version,
    /// An IPv4 header length below 20.
    HeaderLength,
    /// An IPv4 fragment other than the first.
    FragmentLater,
}

/// Addresses, protocol and payload of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol of the payload, after extension headers.
    pub proto: u8,
    /// Bytes after the IP headers.
    pub payload: &'a [u8],
    /// Whether the packet is a piece of a larger one.
    pub fragment: bool,
    /// Whether the packet was longer than what was captured.
    pub truncated: bool,
}

impl<'a> IpPacket<'a> {
    /// Reads a packet from the first byte of its IP header.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpDrop> {
        match bytes.first().ok_or(IpDrop::Truncated)? >> 4 {
            4 => ipv4(bytes),
            6 => ipv6(bytes),
            _ => Err(IpDrop::Version),
        }
    }
}

fn ipv4(bytes: &[u8]) -> Result<IpPacket<'_>, IpDrop> {
    use err::ipv4::{HeaderError, HeaderSliceError};
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => IpDrop::Truncated,
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => IpDrop::Version,
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => {
            IpDrop::HeaderLength
        }
    })?;
    if header.fragments_offset().value() != 0 {
        return Err(IpDrop::FragmentLater);
    }
    let extent = Extent {
        proto: header.protocol().0,
        start: header.slice().len(),
        fragment: header.more_fragments(),
    };
    let (payload, truncated) = extent.cut(bytes, usize::from(header.total_len()));
    Ok(IpPacket {
        src: IpAddr::V4(header.source_addr()),
        dst: IpAddr::V4(header.destination_addr()),
        proto: extent.proto,
        payload,
        fragment: extent.fragment,
        truncated,
    })
}

fn ipv6(bytes: &[u8]) -> Result<IpPacket<'_>, IpDrop> {
    use err::ipv6::{HeaderError, HeaderSliceError};
    let header = Ipv6HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => IpDrop::Truncated,
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => IpDrop::Version,
    })?;
    let extent = walk_extensions(bytes, header.next_header().0);
    let stated = match usize::from(header.payload_length()) {
        0 => 0,
        length => IPV6_HEADER_LEN.saturating_add(length),
    };
    let (payload, truncated) = extent.cut(bytes, stated);
    Ok(IpPacket {
        src: IpAddr::V6(header.source_addr()),
        dst: IpAddr::V6(header.destination_addr()),
        proto: extent.proto,
        payload,
        fragment: extent.fragment,
        truncated,
    })
}

/// What the headers say about the payload: its protocol, where it starts, whether it is a piece.
#[derive(Clone, Copy)]
struct Extent {
    proto: u8,
    start: usize,
    fragment: bool,
}

impl Extent {
    /// The payload of a packet whose header states `stated` bytes in all (0: not stated), and
    /// whether some of it was not captured.
    #[inline]
    fn cut(self, packet: &[u8], stated: usize) -> (&[u8], bool) {
        // A tiny first fragment may end inside the transport header, so only the IP part is sure.
        let least = if self.fragment {
            0
        } else {
            transport_header_len(self.proto)
        };
        let sane = stated != 0 && stated >= self.start.saturating_add(least);
        let end = if sane {
            stated.min(packet.len())
        } else {
            packet.len()
        };
        (
            packet.get(self.start..end).unwrap_or_default(),
            sane && stated > packet.len(),
        )
    }
}

/// Length of the fixed part of the transport header, 0 for protocols that are not looked into.
const fn transport_header_len(proto: u8) -> usize {
    match proto {
        proto::TCP => tcp::HEADER_LEN,
        proto::UDP => udp::HEADER_LEN,
        proto::ICMP | proto::ICMPV6 => ICMP_HEADER_LEN,
        _ => 0,
    }
}

fn walk_extensions(packet: &[u8], first: u8) -> Extent {
    let mut extent = Extent {
        proto: first,
        start: IPV6_HEADER_LEN,
        fragment: false,
    };
    for _ in 0..MAX_EXTENSION_HEADERS {
        let Some(step) = packet
            .get(extent.start..)
            .and_then(|rest| extension(extent.proto, rest))
        else {
            break;
        };
        extent.fragment |= step.fragment;
        if step.later {
            break;
        }
        extent.proto = step.next;
        extent.start = extent.start.saturating_add(step.len);
    }
    extent
}

/// One passed extension header.
struct Step {
    next: u8,
    len: usize,
    /// The packet is a piece of a larger one.
    fragment: bool,
    /// What follows is the middle of something, not a header.
    later: bool,
}

/// The extension header of kind `kind` at the start of `rest`; `None` when `kind` is none, or when
/// the header is cut.
#[inline]
fn extension(kind: u8, rest: &[u8]) -> Option<Step> {
    let words_unit = match kind {
        proto::HOP_BY_HOP | proto::ROUTING | proto::DSTOPTS => 8,
        proto::AH => 4,
        proto::FRAGMENT => return fragment(rest),
        _ => return None,
    };
    let &[next, length] = rest.first_chunk::<2>()?;
    // RFC 8200: 8-byte units without the first. RFC 4302: 4-byte units minus 2.
    let units = usize::from(length).saturating_add(if kind == proto::AH { 2 } else { 1 });
    let len = units.saturating_mul(words_unit);
    (len <= rest.len()).then_some(Step {
        next,
        len,
        fragment: false,
        later: false,
    })
}

fn fragment(rest: &[u8]) -> Option<Step> {
    let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
    let later = header.fragment_offset().value() != 0;
    Some(Step {
        next: header.next_header().0,
        len: header.slice().len(),
        fragment: later || header.more_fragments(),
        later,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 28-byte IPv4 packet, 192.0.2.10 to 203.0.113.7, with 8 payload bytes of protocol 47.
    fn v4() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 28]; // version and header length, TOS, total length
        bytes.extend([0x12, 0x34, 0, 0]); // identification, flags and fragment offset
        bytes.extend([64, 47, 0, 0]); // TTL, protocol, checksum
        bytes.extend([192, 0, 2, 10, 203, 0, 113, 7]);
        bytes.extend(b"payload!");
        bytes
    }

    /// An IPv6 packet whose fixed header names `first` and states the length of `rest`.
    fn v6(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend([first, 64]);
        bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66]);
        bytes.extend(rest);
        bytes
    }

    /// An 8-byte options header that is followed by `next`.
    const fn options(next: u8) -> [u8; 8] {
        [next, 0, 1, 4, 0, 0, 0, 0]
    }

    #[test]
    fn v4_fields() {
        let bytes = v4();
        let ip = IpPacket::parse(&bytes).unwrap();
        assert_eq!(ip.src.to_string(), "192.0.2.10");
        assert_eq!(ip.dst.to_string(), "203.0.113.7");
        assert_eq!((ip.proto, ip.payload), (47, &b"payload!"[..]));
        assert!(!ip.fragment && !ip.truncated);
    }

    #[test]
    fn v4_payload_ends_at_a_sane_total_length() {
        let cases: [(u16, &[u8], bool); 6] = [
            (28, b"payload!", false),
            (24, b"payl", false),
            (20, b"", false),
            (19, b"payload!", false), // shorter than its own header
            (0, b"payload!", false),  // left by offloading
            (1500, b"payload!", true),
        ];
        for (total, payload, truncated) in cases {
            let mut bytes = v4();
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            let ip = IpPacket::parse(&bytes).unwrap();
            assert_eq!(
                (ip.payload, ip.truncated),
                (payload, truncated),
                "total length {total}"
            );
        }
    }

    #[test]
    fn a_total_length_without_room_for_the_transport_header_is_not_believed() {
        for (proto, header) in [(proto::TCP, 20), (proto::UDP, 8), (proto::ICMP, 8)] {
            let mut bytes = v4();
            bytes.resize(60, 0xaa);
            bytes[9] = proto;
            bytes[3] = 20 + header - 1;
            assert_eq!(
                IpPacket::parse(&bytes).unwrap().payload.len(),
                40,
                "protocol {proto}"
            );
            bytes[3] = 20 + header;
            let ip = IpPacket::parse(&bytes).unwrap();
            assert_eq!(ip.payload.len(), usize::from(header), "protocol {proto}");
            // The first fragment of a datagram may be that short.
            bytes[3] = 20 + header - 1;
            bytes[6] = 0x20;
            let ip = IpPacket::parse(&bytes).unwrap();
            assert_eq!(
                (ip.payload.len(), ip.fragment),
                (usize::from(header) - 1, true)
            );
        }
    }

    #[test]
    fn v4_fragments() {
        let mut bytes = v4();
        bytes[6] = 0x20; // more fragments
        assert!(IpPacket::parse(&bytes).unwrap().fragment);
        bytes[6] = 0x40; // do not fragment
        assert!(!IpPacket::parse(&bytes).unwrap().fragment);
        for offset in [[0x00, 0x01], [0x20, 0x01], [0x1f, 0xff]] {
            bytes[6..8].copy_from_slice(&offset);
            assert_eq!(IpPacket::parse(&bytes), Err(IpDrop::FragmentLater));
        }
    }

    #[test]
    fn v4_options_are_skipped_and_need_their_bytes() {
        let mut bytes = v4();
        bytes[0] = 0x46;
        assert_eq!(IpPacket::parse(&bytes).unwrap().payload, b"oad!");
        bytes[0] = 0x4f;
        assert_eq!(IpPacket::parse(&bytes), Err(IpDrop::Truncated));
        bytes[0] = 0x44;
        assert_eq!(IpPacket::parse(&bytes), Err(IpDrop::HeaderLength));
        bytes[0] = 0x55;
        assert_eq!(IpPacket::parse(&bytes), Err(IpDrop::Version));
    }

    #[test]
    fn v6_length_rules_match_those_of_v4() {
        let cases: [(u16, &[u8], bool); 4] = [
            (8, b"payload!", false),
            (4, b"payl", false),
            (0, b"payload!", false),
            (9, b"payload!", true),
        ];
        for (length, payload, truncated) in cases {
            let mut bytes = v6(47, b"payload!");
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            let ip = IpPacket::parse(&bytes).unwrap();
            assert_eq!((ip.proto, ip.payload), (47, payload), "length {length}");
            assert_eq!(ip.truncated, truncated, "length {length}");
        }
    }

    #[test]
    fn v6_walks_every_kind_of_extension() {
        let chain = [
            &options(proto::ROUTING)[..],
            &options(proto::AH),
            // AH: 4 + 2 words of 4 bytes = 24 bytes.
            &[
                proto::DSTOPTS,
                4,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
            // Destination options of 16 bytes.
            &[47, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            b"inner",
        ]
        .concat();
        let bytes = v6(proto::HOP_BY_HOP, &chain);
        let ip = IpPacket::parse(&bytes).unwrap();
        assert_eq!((ip.proto, ip.payload), (47, &b"inner"[..]));
        assert!(!ip.fragment && !ip.truncated);
    }

    #[test]
    fn v6_first_fragments_go_on_and_later_ones_keep_their_addresses() {
        let piece = |offset_and_more: u16| {
            let [o0, o1] = offset_and_more.to_be_bytes();
            v6(
                proto::FRAGMENT,
                &[&[47, 0, o0, o1, 0, 0, 0, 1][..], b"inner"].concat(),
            )
        };
        let (atomic, first, later) = (piece(0), piece(1), piece(185 << 3 | 1));
        let parse = |bytes| IpPacket::parse(bytes).map(|ip| (ip.proto, ip.fragment));
        assert_eq!(parse(&atomic), Ok((47, false)));
        assert_eq!(parse(&first), Ok((47, true)));
        assert_eq!(parse(&later), Ok((proto::FRAGMENT, true)));
        assert_eq!(IpPacket::parse(&first).unwrap().payload, b"inner");
    }

    #[test]
    fn v6_a_cut_extension_leaves_its_own_number() {
        let bytes = v6(proto::HOP_BY_HOP, &options(47));
        let ip = IpPacket::parse(&bytes[..47]).unwrap();
        assert_eq!(
            (ip.proto, ip.payload.len(), ip.truncated),
            (proto::HOP_BY_HOP, 7, true)
        );
        assert_eq!(IpPacket::parse(&bytes).unwrap().proto, 47);
        let bytes = v6(proto::FRAGMENT, &[47, 0, 0, 0]);
        assert_eq!(IpPacket::parse(&bytes).unwrap().proto, proto::FRAGMENT);
    }

    #[test]
    fn v6_a_full_chain_is_walked_and_a_longer_one_stops_at_the_bound() {
        let chain = |headers: usize| {
            let mut rest = options(proto::DSTOPTS).repeat(headers - 1);
            rest.extend(options(47));
            rest.extend(b"inner");
            v6(proto::DSTOPTS, &rest)
        };
        let full = chain(MAX_EXTENSION_HEADERS);
        assert_eq!(IpPacket::parse(&full).unwrap().payload, b"inner");
        let longer = chain(MAX_EXTENSION_HEADERS + 1);
        assert_eq!(IpPacket::parse(&longer).unwrap().proto, proto::DSTOPTS);
    }

    #[test]
    fn short_headers_are_truncated() {
        for (bytes, header) in [(v4(), 20), (v6(47, b""), 40)] {
            for cut in 0..header {
                assert_eq!(
                    IpPacket::parse(&bytes[..cut]),
                    Err(IpDrop::Truncated),
                    "{cut} bytes"
                );
            }
            assert!(IpPacket::parse(&bytes[..header]).is_ok());
        }
    }

    #[test]
    fn each_header_is_read_as_its_own_version_only() {
        assert_eq!(ipv4(&v6(47, &[0; 8])), Err(IpDrop::Version));
        let mut long = v4();
        long.extend([0; 20]); // as long as the other header
        assert_eq!(ipv6(&long), Err(IpDrop::Version));
        for version in (0..16).filter(|version| ![4, 6].contains(version)) {
            long[0] = version << 4 | 5;
            assert_eq!(IpPacket::parse(&long), Err(IpDrop::Version), "{version}");
        }
    }
}
