//! The host that a client names in HTTP/2 without encryption (RFC 9113, header compression RFC 7541).
//!
//! Read are the frames behind the connection preface, or a segment that starts with a HEADERS frame of
//! a client. Only the value of `:authority` written out is taken; what refers to an earlier request
//! names a host that was seen then. Of the Huffman code, the letters that a host name may have are known,
//! any other ends the value.
//!
//! Bounds: [`MAX_FRAMES`], [`MAX_FIELDS`], [`MAX_AUTHORITY`].

/// What a client's connection starts with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Most frames before the HEADERS; clients send settings and a window.
const MAX_FRAMES: usize = 8;
/// Most fields before `:authority`; it is one of the first four.
const MAX_FIELDS: usize = 32;
/// Longest host, with a port.
pub const MAX_AUTHORITY: usize = 262;

const HEADERS: u8 = 1;
/// Flags of HEADERS (RFC 9113 §6.2).
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
const KNOWN_FLAGS: u8 = 0x2d;
/// Largest payload that needs no agreement.
const MAX_FRAME: usize = 16_384;
/// Index of `:authority` in the static table (RFC 7541 appendix A).
const AUTHORITY: u32 = 1;

/// Where a host is written.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityBuf {
    bytes: [u8; MAX_AUTHORITY],
    len: usize,
}

impl Default for AuthorityBuf {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_AUTHORITY],
            len: 0,
        }
    }
}

impl AuthorityBuf {
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    fn text(&self) -> Option<&str> {
        let bytes = self
            .bytes
            .get(..self.len)
            .filter(|bytes| !bytes.is_empty())?;
        std::str::from_utf8(bytes).ok()
    }
}

/// The host of the first request in a segment, as sent.
#[inline]
#[must_use]
pub fn authority<'b>(payload: &[u8], buffer: &'b mut AuthorityBuf) -> Option<&'b str> {
    match payload {
        [b'P', b'R', b'I', b' ', ..] => {
            let frames = payload.strip_prefix(PREFACE)?;
            in_frames(frames, buffer)
        }
        // Length, type, flags and stream of a request that fits one frame.
        [0, _, _, HEADERS, flags, 0..=0x7f, ..] if flags & !KNOWN_FLAGS == 0 => {
            let block = headers(payload)?;
            // Requests begin with their method, scheme or path, which the static table knows.
            matches!(block.first(), Some(0x82..=0x87 | 0x41..=0x45)).then_some(())?;
            in_block(block, buffer)
        }
        _ => None,
    }
}

fn in_frames<'b>(mut frames: &[u8], buffer: &'b mut AuthorityBuf) -> Option<&'b str> {
    for _ in 0..MAX_FRAMES {
        if frames.get(3) == Some(&HEADERS) {
            return in_block(headers(frames)?, buffer);
        }
        let length = frame_length(frames)?;
        frames = frames.get(FRAME_HEADER.saturating_add(length)..)?;
    }
    None
}

fn frame_length(frame: &[u8]) -> Option<usize> {
    let &[high, middle, low] = frame.first_chunk()?;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    (length <= MAX_FRAME).then_some(length)
}

/// The header block of a HEADERS frame of a client, as far as it is in the segment.
fn headers(frame: &[u8]) -> Option<&[u8]> {
    let length = frame_length(frame)?;
    let (header, rest) = frame.split_first_chunk::<FRAME_HEADER>()?;
    let &[_, _, _, _, flags, a, b, c, stream] = header;
    // Clients use odd streams.
    if stream & 1 == 0 || (a & 0x7f, b, c, stream) == (0, 0, 0, 0) {
        return None;
    }
    let mut block = rest.get(..length).unwrap_or(rest);
    if flags & PADDED != 0 {
        let (&padding, padded) = block.split_first()?;
        block = padded.get(..padded.len().checked_sub(usize::from(padding))?)?;
    }
    if flags & PRIORITY != 0 {
        block = block.get(5..)?;
    }
    Some(block)
}

fn in_block<'b>(mut block: &[u8], buffer: &'b mut AuthorityBuf) -> Option<&'b str> {
    for _ in 0..MAX_FIELDS {
        let &first = block.first()?;
        // RFC 7541 §6: indexed; literal, added to the table; size of the table; literal, not added.
        let (bits, value) = match first {
            0x80.. => (7, false),
            0x40..0x80 => (6, true),
            0x20..0x40 => (5, false),
            _ => (4, true),
        };
        let (index, rest) = integer(block, bits)?;
        block = rest;
        if !value {
            continue;
        }
        if index == 0 {
            block = string(block)?.1;
        }
        let (value, rest) = string(block)?;
        block = rest;
        if index == AUTHORITY {
            value.write(buffer)?;
            return buffer.text();
        }
    }
    None
}

/// A number with a prefix of so many bits (RFC 7541 §5.1).
fn integer(bytes: &[u8], bits: u32) -> Option<(u32, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let limit = (1_u32 << bits) - 1;
    let mut number = u32::from(first) & limit;
    if number < limit {
        return Some((number, rest));
    }
    for shift in [0, 7, 14] {
        let (&next, after) = rest.split_first()?;
        rest = after;
        number = number.checked_add(u32::from(next & 0x7f) << shift)?;
        if next & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

/// A value as sent.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    coded: bool,
}

/// A string and what follows it (RFC 7541 §5.2).
fn string(bytes: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let coded = bytes.first()? & 0x80 != 0;
    let (length, rest) = integer(bytes, 7)?;
    let (bytes, rest) = rest.split_at_checked(length as usize)?;
    Some((Text { bytes, coded }, rest))
}

impl Text<'_> {
    fn write(self, buffer: &mut AuthorityBuf) -> Option<()> {
        buffer.len = 0;
        if !self.coded {
            return self.bytes.iter().try_for_each(|&byte| buffer.push(byte));
        }
        let (mut code, mut bits) = (0_u32, 0_u32);
        for &byte in self.bytes {
            code = code << 8 | u32::from(byte);
            bits += 8;
            while let Some((letter, taken)) = letter(code, bits) {
                buffer.push(letter)?;
                bits -= taken;
                code &= (1 << bits) - 1;
            }
            // No letter of a host is longer than eight bits.
            if bits > 8 {
                return None;
            }
        }
        // The rest is filled up with ones (RFC 7541 §5.2).
        (bits < 8 && code == (1 << bits) - 1).then_some(())
    }
}

/// The letters of a length of code, in the order of their codes, and the first code
/// (RFC 7541 appendix B).
const CODES: [(u32, u32, &[u8]); 4] = [
    (5, 0x00, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, b"&*,;XZ"),
];

/// The letter at the start of the lowest `bits` of `code`, and how many of them it takes.
fn letter(code: u32, bits: u32) -> Option<(u8, u32)> {
    CODES.iter().find_map(|&(length, first, letters)| {
        let start = code >> bits.checked_sub(length)?;
        let at = start.checked_sub(first)? as usize;
        letters.get(at).map(|&letter| (letter, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(payload: &[u8]) -> Option<String> {
        let mut buffer = AuthorityBuf::default();
        authority(payload, &mut buffer).map(str::to_owned)
    }

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
        [
            &[0, length[0], length[1], kind, flags, 0, 0, 0, stream],
            payload,
        ]
        .concat()
    }

    /// RFC 7541 C.3.1 and C.4.1: GET http://www.example.com/, plain and in the Huffman code.
    const PLAIN: &[u8] = b"\x82\x86\x84\x41\x0fwww.example.com";
    const CODED: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";

    #[test]
    fn the_examples_of_the_standard_are_read() {
        for block in [PLAIN, CODED] {
            let request = frame(HEADERS, 0x05, 1, block);
            assert_eq!(found(&request).as_deref(), Some("www.example.com"));
            let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
            let whole = [PREFACE, &settings, &request].concat();
            assert_eq!(found(&whole).as_deref(), Some("www.example.com"));
        }
    }

    #[test]
    fn padding_priority_and_other_fields_are_passed() {
        let block = [
            &[3, 0x80, 0, 0, 0, 1][..],
            b"\x3f\xe1\x1f",
            CODED,
            &[0, 0, 0],
        ]
        .concat();
        let with_size = frame(HEADERS, 0x2d, 3, &block);
        let whole = [PREFACE, &with_size].concat();
        assert_eq!(found(&whole).as_deref(), Some("www.example.com"));
        let literal = b"\x82\x40\x01a\x01b\x01\x05x.com";
        let request = frame(HEADERS, 0x04, 1, literal);
        assert_eq!(found(&request).as_deref(), Some("x.com"));
    }

    #[test]
    fn what_is_no_request_of_a_client_names_nothing() {
        for other in [
            frame(HEADERS, 0x04, 2, PLAIN),
            frame(HEADERS, 0x04, 0, PLAIN),
            frame(HEADERS, 0xc4, 1, PLAIN),
            frame(HEADERS, 0x04, 1, b"\x88\x41\x01a"),
            frame(0, 0x04, 1, PLAIN),
            frame(HEADERS, 0x04, 1, b"\x82\x86\x84\xbe"),
            frame(HEADERS, 0x04, 1, b"\x82\x41\x82\xff\xff"),
            frame(HEADERS, 0x04, 1, b"\x82\x41\x00"),
        ] {
            assert_eq!(found(&other), None, "{other:?}");
        }
        let long = [&b"\x82\x41\x7f\x88\x01"[..], &[b'a'; 263]].concat();
        assert_eq!(found(&frame(HEADERS, 0x04, 1, &long)), None);
        let fits = [&b"\x82\x41\x7f\x87\x01"[..], &[b'a'; 262]].concat();
        assert_eq!(
            found(&frame(HEADERS, 0x04, 1, &fits)),
            Some("a".repeat(262))
        );
    }

    #[test]
    fn every_letter_of_the_code_has_its_own() {
        for (length, first, letters) in CODES {
            for (at, &wanted) in (0_u32..).zip(letters) {
                assert_eq!(letter(first + at, length), Some((wanted, length)));
            }
        }
        let all: std::collections::HashSet<u8> = CODES
            .iter()
            .flat_map(|(_, _, letters)| letters.iter().copied())
            .collect();
        assert_eq!(all.len(), 10 + 26 + 32 + 6);
    }

    #[test]
    fn every_prefix_and_flipped_byte_is_survived() {
        let whole = [PREFACE, &frame(HEADERS, 0x05, 1, CODED)].concat();
        for length in 0..whole.len() {
            assert_eq!(found(&whole[..length]), None, "{length} bytes");
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Some(name) = found(&bytes) {
                    assert!(!name.is_empty() && name.len() <= MAX_AUTHORITY);
                }
            }
        }
    }
}
