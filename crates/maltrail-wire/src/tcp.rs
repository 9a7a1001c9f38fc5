//! View of a TCP segment (RFC 9293).
//!
//! ```text
//!  0      2      4      8      12     13     14
//!  | src  | dst  | seq  | ack  | off  | flags| window, sum, urgent, options, payload ...
//! ```
//!
//! The first 14 bytes are needed; what follows may be cut. The payload starts at the data offset;
//! an offset beyond the bytes given leaves it empty, an offset inside the fixed header counts as
//! the fixed header's end.

/// Bytes without which a segment is dropped: everything up to and including the flags.
pub const MIN_LEN: usize = 14;
/// Length of the header without options.
pub const HEADER_LEN: usize = 20;

/// The flag byte of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Wraps the raw flag byte.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The raw flag byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags set in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the segment opens a connection: SYN set, ACK, RST and FIN clear. ECN and other
    /// flags are free, so an ECN-capable client (0xC2) counts.
    #[must_use]
    pub const fn is_syn(self) -> bool {
        const DECIDING: u8 = Flags::SYN.0 | Flags::ACK.0 | Flags::RST.0 | Flags::FIN.0;
        self.0 & DECIDING == Self::SYN.0
    }

    /// Whether the segment accepts a connection: SYN and ACK set, RST and FIN clear.
    #[must_use]
    pub const fn is_syn_ack(self) -> bool {
        const DECIDING: u8 = Flags::SYN.0 | Flags::ACK.0 | Flags::RST.0 | Flags::FIN.0;
        self.0 & DECIDING == Self::SYN.0 | Self::ACK.0
    }
}

/// Ports, flags and payload of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first payload byte (of the SYN, if set).
    pub seq: u32,
    /// Flag byte.
    pub flags: Flags,
    /// Bytes from the data offset on.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Reads a segment; `None` when it is cut before the end of the flags.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let &[s0, s1, d0, d1, q0, q1, q2, q3, _, _, _, _, offset, flags] =
            bytes.first_chunk::<MIN_LEN>()?;
        let start = usize::from(offset >> 4).saturating_mul(4).max(HEADER_LEN);
        Some(Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            flags: Flags(flags),
            payload: bytes.get(start..).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset_words: u8, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0x9c, 0x40, 0x01, 0xbb]; // 40000 -> 443
        bytes.extend([0, 0, 0, 7]); // sequence
        bytes.extend([0, 0, 0, 0]); // acknowledgement
        bytes.extend([offset_words << 4, flags]);
        bytes.extend([0x20, 0, 0, 0, 0, 0]); // window, checksum, urgent pointer
        bytes.extend(b"ABCDEFGH");
        bytes
    }

    #[test]
    fn fields_and_payload() {
        let bytes = segment(5, 0x18);
        let tcp = TcpSegment::parse(&bytes).unwrap();
        assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq), (40000, 443, 7));
        assert_eq!(tcp.flags, Flags::PSH.union(Flags::ACK));
        assert_eq!(tcp.payload, b"ABCDEFGH");
    }

    #[test]
    fn the_data_offset_moves_the_payload() {
        let cases: [(u8, &[u8]); 5] = [
            (6, b"EFGH"),
            (7, b""),
            (15, b""),
            (0, b"ABCDEFGH"),
            (4, b"ABCDEFGH"),
        ];
        for (words, expected) in cases {
            let bytes = segment(words, 0x10);
            assert_eq!(
                TcpSegment::parse(&bytes).unwrap().payload,
                expected,
                "offset {words}"
            );
        }
    }

    #[test]
    fn fourteen_bytes_are_enough_and_thirteen_are_not() {
        let bytes = segment(5, 0x02);
        assert_eq!(TcpSegment::parse(&bytes[..13]), None);
        let tcp = TcpSegment::parse(&bytes[..14]).unwrap();
        assert!(tcp.flags.is_syn());
        assert_eq!(tcp.payload, b"");
    }

    #[test]
    fn a_syn_ignores_ecn_push_and_urgent_flags_only() {
        for bits in [0x02, 0xc2, 0x42, 0x82, 0x0a, 0x22] {
            assert!(Flags::from_bits(bits).is_syn(), "{bits:#04x}");
        }
        for bits in [0x00, 0x12, 0x03, 0x06, 0x10, 0x01, 0x29, 0xd2] {
            assert!(!Flags::from_bits(bits).is_syn(), "{bits:#04x}");
        }
        assert!(Flags::from_bits(0x52).is_syn_ack());
        assert!(!Flags::from_bits(0x16).is_syn_ack());
        assert!(!Flags::from_bits(0x02).is_syn_ack());
    }

    #[test]
    fn contains_wants_every_flag() {
        let flags = Flags::from_bits(0x12);
        assert!(flags.contains(Flags::SYN) && flags.contains(Flags::SYN.union(Flags::ACK)));
        assert!(!flags.contains(Flags::SYN.union(Flags::FIN)));
    }

    #[test]
    fn any_changed_byte_moves_its_own_field_only() {
        let bytes = segment(5, 0x18);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let tcp = TcpSegment::parse(&changed).unwrap();
                assert_eq!(tcp.src_port != 40000, at < 2, "byte {at}");
                assert_eq!(tcp.dst_port != 443, (2..4).contains(&at), "byte {at}");
                assert_eq!(tcp.seq != 7, (4..8).contains(&at), "byte {at}");
                assert_eq!(tcp.flags.bits() != 0x18, at == 13, "byte {at}");
                assert!(at == 12 || tcp.payload == &changed[20..], "byte {at}");
                assert!(changed[20..].ends_with(tcp.payload), "byte {at}");
            }
        }
    }
}
