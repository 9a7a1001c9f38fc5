//! View of a UDP datagram (RFC 768).
//!
//! ```text
//!  0      2      4      6      8
//!  | src  | dst  | len  | sum  | payload ...
//! ```
//!
//! Only the ports (4 bytes) are needed; a datagram cut inside its header has an empty payload. The
//! payload ends at the UDP length where that is sane (at least the header, not beyond the bytes
//! given); otherwise it runs to the end, as offloading and fragments leave lengths that do not fit.

/// Bytes without which a datagram is dropped: the two ports.
pub const MIN_LEN: usize = 4;
/// Length of the full header, where the payload starts.
pub const HEADER_LEN: usize = 8;

/// Ports and payload of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpDatagram<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes after the header.
    pub payload: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Reads a datagram; `None` when the ports are cut off.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let &[s0, s1, d0, d1] = bytes.first_chunk::<MIN_LEN>()?;
        Some(Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            payload: payload(bytes),
        })
    }
}

fn payload(bytes: &[u8]) -> &[u8] {
    let Some((&[.., l0, l1, _, _], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return &[];
    };
    usize::from(u16::from_be_bytes([l0, l1]))
        .checked_sub(HEADER_LEN)
        .and_then(|stated| rest.get(..stated))
        .unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(length: u16) -> Vec<u8> {
        let mut bytes = vec![0x9c, 0x40, 0x00, 0x35];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0]); // checksum
        bytes.extend(b"hello");
        bytes
    }

    #[test]
    fn ports_and_payload() {
        let bytes = datagram(13);
        let udp = UdpDatagram::parse(&bytes).unwrap();
        assert_eq!(
            (udp.src_port, udp.dst_port, udp.payload),
            (40000, 53, &b"hello"[..])
        );
    }

    #[test]
    fn a_sane_length_ends_the_payload_and_any_other_does_not() {
        let cases: [(u16, &[u8]); 5] = [
            (10, b"he"),
            (8, b""),
            (0, b"hello"),
            (7, b"hello"),
            (14, b"hello"),
        ];
        for (length, expected) in cases {
            let bytes = datagram(length);
            assert_eq!(
                UdpDatagram::parse(&bytes).unwrap().payload,
                expected,
                "length {length}"
            );
        }
    }

    #[test]
    fn four_bytes_are_enough_and_three_are_not() {
        let bytes = datagram(13);
        assert_eq!(UdpDatagram::parse(&bytes[..3]), None);
        for cut in 4..8 {
            let udp = UdpDatagram::parse(&bytes[..cut]).unwrap();
            assert_eq!((udp.dst_port, udp.payload), (53, &b""[..]));
        }
    }

    #[test]
    fn any_changed_byte_moves_its_own_field_only() {
        let bytes = datagram(13);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let udp = UdpDatagram::parse(&changed).unwrap();
                assert_eq!(udp.src_port != 40000, at < 2, "byte {at}");
                assert_eq!(udp.dst_port != 53, (2..4).contains(&at), "byte {at}");
                let end = 8 + udp.payload.len();
                assert_eq!(udp.payload, &changed[8..end], "byte {at}");
                // 13 becomes 12 and 9, which are sane, or what does not fit.
                assert!(end == 13 || at == 5 && [9, 12].contains(&end), "byte {at}");
            }
        }
    }
}
