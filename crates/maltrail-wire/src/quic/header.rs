//! The long header of an Initial packet, as far as it is not protected (RFC 9000, 17.2.2).
//!
//! ```text
//! | 1 f tt rr pp | version 4 | DCID <1> | SCID <1> | token <varint> | length varint | number ...
//! ```

use crate::cursor::Cursor;

/// Connection ids are at most this long in versions 1 and 2.
const MAX_ID: usize = 20;
/// The id that a client chooses for the server at first is at least this long (RFC 9000, 7.2).
/// Servers answer to the client's own id, which is mostly shorter, and with other keys.
const MIN_FIRST_ID: usize = 8;

const LONG: u8 = 0x80;
const TYPE: u8 = 0x30;

/// A version whose Initial keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

impl Version {
    const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            _ => None,
        }
    }

    /// The type bits of an Initial packet.
    const fn initial(self) -> u8 {
        match self {
            Self::V1 => 0x00,
            Self::V2 => 0x10,
        }
    }
}

/// An Initial packet that may be the first of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial<'a> {
    /// The version.
    pub version: Version,
    /// The connection id that the client chose for the server.
    pub dcid: &'a [u8],
    /// What comes before the packet number.
    pub header: &'a [u8],
    /// The packet number and what follows, to the end of the packet; protected. Shorter than stated
    /// when the datagram is cut.
    pub protected: &'a [u8],
    /// The stated length of `protected`.
    pub stated: u64,
}

impl<'a> Initial<'a> {
    /// The packet that `datagram` starts with.
    #[inline]
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let &[first, a, b, c, d] = datagram.first_chunk()?;
        if first & LONG == 0 {
            return None;
        }
        let version = Version::of(u32::from_be_bytes([a, b, c, d]))?;
        if first & TYPE != version.initial() {
            return None;
        }
        Self::rest(version, datagram)
    }

    /// The packet behind this one in the datagram that it starts, if it is of the same kind.
    #[must_use]
    pub fn next(&self, datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = self.header.len().checked_add(self.protected.len())?;
        let rest = datagram.get(length..)?;
        Some((Self::parse(rest)?, rest))
    }

    fn rest(version: Version, datagram: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(datagram);
        cursor.take(5)?;
        let dcid = id(&mut cursor)?;
        id(&mut cursor)?;
        let token = usize::try_from(cursor.varint()?).ok()?;
        cursor.take(token)?;
        let stated = cursor.varint()?;
        let rest = cursor.rest();
        let header = datagram.get(..datagram.len().checked_sub(rest.len())?)?;
        let length = usize::try_from(stated).unwrap_or(usize::MAX);
        let protected = cursor.up_to(length);
        (dcid.len() >= MIN_FIRST_ID).then_some(Self {
            version,
            dcid,
            header,
            protected,
            stated,
        })
    }
}

fn id<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = usize::from(cursor.u8()?);
    if length > MAX_ID {
        return None;
    }
    cursor.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, version: u32, dcid: usize, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend(version.to_be_bytes());
        bytes.push(u8::try_from(dcid).unwrap());
        bytes.extend(vec![7; dcid]);
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn the_parts_of_a_packet() {
        // SCID of 2, token of 3, length 4 in two bytes, and a byte of the next packet.
        let tail = [2, 8, 8, 3, 9, 9, 9, 0x40, 4, 1, 2, 3, 4, 5];
        let bytes = packet(0xc1, 1, 8, &tail);
        let initial = Initial::parse(&bytes).unwrap();
        assert_eq!((initial.version, initial.dcid), (Version::V1, &[7; 8][..]));
        assert_eq!(initial.header, &bytes[..bytes.len() - 5]);
        assert_eq!((initial.protected, initial.stated), (&[1, 2, 3, 4][..], 4));
        let cut = Initial::parse(&bytes[..bytes.len() - 3]).unwrap();
        assert_eq!((cut.protected, cut.stated), (&[1, 2][..], 4));
        for cut in 0..bytes.len() - 5 {
            assert_eq!(Initial::parse(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn packets_follow_each_other_in_a_datagram() {
        let first = packet(0xc1, 1, 8, &[0, 0, 3, 1, 2, 3]);
        let second = packet(0xc2, 1, 9, &[0, 0, 1, 4]);
        let both = [&first[..], &second].concat();
        let initial = Initial::parse(&both).unwrap();
        let (next, rest) = initial.next(&both).unwrap();
        assert_eq!((next.dcid, next.protected), (&[7; 9][..], &[4][..]));
        assert_eq!((rest, next.next(rest)), (&second[..], None));
        let handshake = [&first[..], &packet(0xe0, 1, 8, &[0, 0, 0])].concat();
        assert_eq!(initial.next(&handshake), None);
    }

    #[test]
    fn only_initials_of_known_versions_with_a_first_id() {
        let tail = [0, 0, 1, 0xff];
        for (first, version, dcid, taken) in [
            (0xc0, 1, 8, true),
            (0xcf, 1, 20, true),
            (0x80, 1, 8, true), // the fixed bit may be greased
            (0xd0, 0x6b33_43cf, 8, true),
            (0xc0, 0x6b33_43cf, 8, false),
            (0xd0, 1, 8, false), // 0-RTT
            (0xe0, 1, 8, false), // Handshake
            (0x40, 1, 8, false), // short header
            (0xc0, 0, 8, false), // version negotiation
            (0xc0, 0xff00_001d, 8, false),
            (0xc0, 1, 7, false),
            (0xc0, 1, 21, false),
        ] {
            let bytes = packet(first, version, dcid, &tail);
            assert_eq!(
                Initial::parse(&bytes).is_some(),
                taken,
                "{first:#x} {version:#x} {dcid}"
            );
        }
    }
}
