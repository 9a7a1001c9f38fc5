//! View of the 12-byte message header.
//!
//! ```text
//!  0    2        3         4         6         8           10           12
//!  | id | QR OPCODE AA TC RD | RA Z AD CD RCODE | questions | answers | authority | additional |
//! ```

/// Length of a message header.
pub const HEADER_LEN: usize = 12;

/// A message header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// The header at the start of `bytes`; `None` when it is cut.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// Transaction number.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.word(0)
    }

    /// Byte 2: QR, opcode, AA, TC, RD.
    #[must_use]
    pub const fn flags_high(self) -> u8 {
        self.0[2]
    }

    /// Byte 3: RA, Z, AD, CD, response code.
    #[must_use]
    pub const fn flags_low(self) -> u8 {
        self.0[3]
    }

    /// Whether this is a response.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.flags_high() & 0x80 != 0
    }

    /// Operation; 0 is a standard query.
    #[must_use]
    pub const fn opcode(self) -> u8 {
        self.flags_high() >> 3 & 0x0f
    }

    /// Whether the sender cut the message.
    #[must_use]
    pub const fn is_truncated(self) -> bool {
        self.flags_high() & 0x02 != 0
    }

    /// Response code; 0 is success, 3 is NXDOMAIN.
    #[must_use]
    pub const fn rcode(self) -> u8 {
        self.flags_low() & 0x0f
    }

    /// Whether this is a whole standard query: QR, opcode and TC clear; AA, RD and byte 3 free.
    #[must_use]
    pub const fn is_standard_query(self) -> bool {
        self.flags_high() & 0xfa == 0
    }

    /// How many questions the message claims.
    #[must_use]
    pub const fn question_count(self) -> u16 {
        self.word(4)
    }

    /// How many answer records the message claims.
    #[must_use]
    pub const fn answer_count(self) -> u16 {
        self.word(6)
    }

    /// How many authority records the message claims.
    #[must_use]
    pub const fn authority_count(self) -> u16 {
        self.word(8)
    }

    /// How many additional records the message claims.
    #[must_use]
    pub const fn additional_count(self) -> u16 {
        self.word(10)
    }

    /// The big-endian word at `at`, which is one of the even offsets above.
    const fn word(self, at: usize) -> u16 {
        let [a, b, _, _, e, f, g, h, i, j, k, l] = *self.0;
        let pair = match at {
            0 => [a, b],
            4 => [e, f],
            6 => [g, h],
            8 => [i, j],
            _ => [k, l],
        };
        u16::from_be_bytes(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_flags(high: u8, low: u8) -> [u8; HEADER_LEN] {
        [0x12, 0x34, high, low, 0, 1, 0, 2, 0, 3, 1, 4]
    }

    #[test]
    fn fields() {
        let bytes = with_flags(0x81, 0x83);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.id(), 0x1234);
        assert_eq!((header.question_count(), header.answer_count()), (1, 2));
        assert_eq!(
            (header.authority_count(), header.additional_count()),
            (3, 260)
        );
        assert!(header.is_response() && !header.is_truncated());
        assert_eq!((header.opcode(), header.rcode()), (0, 3));
        assert_eq!((header.flags_high(), header.flags_low()), (0x81, 0x83));
    }

    #[test]
    fn a_standard_query_leaves_aa_rd_and_byte_3_free() {
        for (high, expected) in [
            (0x00, true),
            (0x01, true),  // RD
            (0x04, true),  // AA
            (0x02, false), // TC
            (0x10, false), // opcode 2
            (0x80, false), // QR
        ] {
            let bytes = with_flags(high, 0xff);
            let header = Header::parse(&bytes).unwrap();
            assert_eq!(header.is_standard_query(), expected, "{high:#04x}");
        }
        let bytes = with_flags(0x2a, 0);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.opcode(), header.is_truncated()), (5, true));
    }

    #[test]
    fn twelve_bytes_are_needed() {
        let bytes = with_flags(0, 0);
        assert!(Header::parse(&bytes).is_some());
        assert_eq!(Header::parse(&bytes[..11]), None);
    }
}
