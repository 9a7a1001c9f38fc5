//! Reading numbers and counted bytes off the front of a slice.
//!
//! A read that does not fit takes nothing and is `None`; [`Cursor::up_to`] alone is content with
//! what is left, as a segment may end before the length it states.

/// The bytes not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A length of three bytes.
    #[inline]
    pub(crate) fn u24(&mut self) -> Option<usize> {
        let [a, b, c] = self.array()?;
        usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A QUIC integer (RFC 9000, 16): the first two bits say how many bytes it has.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let value = match first >> 6 {
            0 => u64::from(self.u8()?),
            1 => u64::from(self.u16()? & 0x3fff),
            2 => u64::from(self.u32()? & 0x3fff_ffff),
            _ => u64::from_be_bytes(self.array()?) & 0x3fff_ffff_ffff_ffff,
        };
        Some(value)
    }

    /// Exactly `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// `len` bytes, or what is left of them.
    #[inline]
    pub(crate) fn up_to(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_rfc_9000_a1() {
        let cases: [(&[u8], u64); 5] = [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(cursor.varint(), Some(value));
            assert_eq!(cursor.rest(), b"");
            for cut in 0..bytes.len() {
                let mut cursor = Cursor::new(&bytes[..cut]);
                assert_eq!(cursor.varint(), None);
                assert_eq!(cursor.rest(), &bytes[..cut], "nothing taken");
            }
        }
    }

    #[test]
    fn reads_take_what_they_return() {
        let mut cursor = Cursor::new(&[1, 0, 2, 0, 0, 3, 4, 5, 6]);
        assert_eq!(
            (cursor.u8(), cursor.u16(), cursor.u24()),
            (Some(1), Some(2), Some(3))
        );
        assert_eq!((cursor.take(4), cursor.u32()), (None, None));
        assert_eq!(
            (cursor.take(2), cursor.up_to(9)),
            (Some(&[4, 5][..]), &[6][..])
        );
        assert_eq!(cursor.u8(), None);
    }
}
