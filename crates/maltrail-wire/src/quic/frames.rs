//! Frames of an Initial packet, and the handshake bytes in them (RFC 9000, 19).
//!
//! Clients cut the handshake into pieces and send them in any order between pings and padding. The
//! pieces are put in the order of their offsets; the stream ends at the first byte that is missing.

use crate::cursor::Cursor;

/// Most bytes of the handshake stream. One packet holds less.
pub const MAX_STREAM: usize = 2048;
/// Most pieces kept. Browsers send up to a dozen.
pub const MAX_PIECES: usize = 64;
/// Most ranges in an ACK frame that are passed. A first packet acknowledges nothing.
const MAX_RANGES: u64 = 64;

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const ACK_ECN: u64 = 0x03;
const CRYPTO: u64 = 0x06;

/// Room for the handshake bytes of one packet.
#[derive(Clone, Debug)]
pub struct StreamBuf([u8; MAX_STREAM]);

impl Default for StreamBuf {
    fn default() -> Self {
        Self([0; MAX_STREAM])
    }
}

/// The start of a handshake stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces<'a> {
    /// The bytes up to the first gap.
    pub bytes: &'a [u8],
    /// How many pieces were left out because there were more than [`MAX_PIECES`].
    pub lost: u32,
}

/// Part of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Where it starts.
    pub offset: usize,
    /// Its bytes.
    pub data: &'a [u8],
}

/// The pieces in `frames`, as they come. Other frames than a first packet may hold end the walk.
pub fn crypto_pieces(frames: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut cursor = Cursor::new(frames);
    std::iter::from_fn(move || next_piece(&mut cursor))
}

/// The handshake bytes in `frames`, from the start of the stream on. Other frames than a first
/// packet may hold end the walk. A single piece stays where it is; more are put together in `out`.
#[must_use]
pub fn crypto_stream<'a>(frames: &'a [u8], out: &'a mut StreamBuf) -> Pieces<'a> {
    let mut pieces = [Piece::default(); MAX_PIECES];
    let (mut count, mut lost) = (0_usize, 0_u32);
    let mut cursor = Cursor::new(frames);
    while let Some(piece) = next_piece(&mut cursor) {
        match pieces.get_mut(count) {
            Some(place) => (*place, count) = (piece, count.saturating_add(1)),
            None => lost = lost.saturating_add(1),
        }
    }
    let pieces = pieces.get_mut(..count).unwrap_or_default();
    let bytes = match pieces {
        [Piece { offset: 0, data }] => data,
        _ => join(pieces, out),
    };
    Pieces { bytes, lost }
}

/// The next CRYPTO frame.
fn next_piece<'a>(cursor: &mut Cursor<'a>) -> Option<Piece<'a>> {
    // Each round takes a byte at least, and a packet is short.
    loop {
        let padding = cursor.rest().iter().take_while(|&&byte| byte == 0).count();
        cursor.take(padding)?;
        match cursor.varint()? {
            PADDING | PING => {}
            kind @ (ACK | ACK_ECN) => pass_ack(cursor, kind == ACK_ECN)?,
            CRYPTO => {
                let offset = cursor.varint()?;
                let length = usize::try_from(cursor.varint()?).ok()?;
                let data = cursor.take(length)?;
                // A stream that starts so late has nothing for us.
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                return Some(Piece { offset, data });
            }
            _ => return None,
        }
    }
}

fn pass_ack(cursor: &mut Cursor<'_>, ecn: bool) -> Option<()> {
    cursor.varint()?; // largest
    cursor.varint()?; // delay
    let ranges = cursor.varint().filter(|&ranges| ranges <= MAX_RANGES)?;
    cursor.varint()?; // first range
    let counts = if ecn { 3 } else { 0 };
    for _ in 0..ranges.saturating_mul(2).saturating_add(counts) {
        cursor.varint()?;
    }
    Some(())
}

/// The pieces in the order of their offsets, up to the first gap. Where they overlap, the first
/// bytes stay.
fn join<'a>(pieces: &mut [Piece<'_>], out: &'a mut StreamBuf) -> &'a [u8] {
    pieces.sort_unstable_by_key(|piece| (piece.offset, piece.data.len()));
    let mut end = 0_usize;
    for piece in pieces {
        let Some(known) = end.checked_sub(piece.offset) else {
            break;
        };
        let fresh = piece.data.get(known..).unwrap_or_default();
        let room = out.0.get_mut(end..).unwrap_or_default();
        let length = fresh.len().min(room.len());
        for (to, &byte) in room.iter_mut().zip(fresh) {
            *to = byte;
        }
        end = end.saturating_add(length);
    }
    out.0.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto(offset: u16, data: &[u8]) -> Vec<u8> {
        let offset = (0x4000 | offset).to_be_bytes();
        let length = (0x4000 | u16::try_from(data.len()).unwrap()).to_be_bytes();
        [&[6], &offset[..], &length, data].concat()
    }

    #[track_caller]
    fn check(frames: &[Vec<u8>], wanted: &[u8]) {
        let frames = frames.concat();
        let mut out = StreamBuf::default();
        assert_eq!(
            crypto_stream(&frames, &mut out).bytes,
            wanted,
            "{frames:02x?}"
        );
    }

    #[test]
    fn pieces_come_in_any_order_among_other_frames() {
        let (ping, padding) = (vec![1], vec![0; 9]);
        check(&[crypto(0, b"abc")], b"abc");
        check(&[ping.clone(), crypto(0, b"abc"), padding.clone()], b"abc");
        check(
            &[
                crypto(5, b"fg"),
                padding,
                crypto(0, b"ab"),
                ping,
                crypto(2, b"cde"),
            ],
            b"abcdefg",
        );
    }

    #[test]
    fn acknowledgements_are_passed() {
        let ack = vec![2, 9, 0, 1, 0, 1, 2];
        let ack_ecn = vec![3, 9, 0, 0, 0, 1, 1, 1];
        check(&[ack, ack_ecn, crypto(0, b"abc")], b"abc");
        let endless = vec![2, 9, 0, 0x41, 0, 0];
        check(&[endless, vec![0; 600], crypto(0, b"abc")], b"");
    }

    #[test]
    fn other_frames_end_the_walk() {
        check(&[crypto(0, b"abc"), vec![0x1c], crypto(3, b"def")], b"abc");
        check(&[vec![0x08], crypto(0, b"abc")], b"");
    }

    #[test]
    fn a_gap_ends_the_stream() {
        check(&[crypto(0, b"abc"), crypto(4, b"efg")], b"abc");
        check(&[crypto(1, b"bc")], b"");
        check(&[], b"");
    }

    #[test]
    fn overlapping_pieces_keep_the_first_bytes() {
        check(
            &[crypto(0, b"abcd"), crypto(2, b"XYef"), crypto(1, b"Q")],
            b"abcdef",
        );
    }

    #[test]
    fn a_cut_piece_is_left_out() {
        let frames = [crypto(0, b"ab"), crypto(2, b"cd")].concat();
        let mut out = StreamBuf::default();
        for cut in 0..frames.len() {
            let bytes = crypto_stream(&frames[..cut], &mut out).bytes;
            assert_eq!(
                bytes,
                if cut < 7 { &b""[..] } else { b"ab" },
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn too_many_pieces_are_counted_and_too_long_a_stream_is_cut() {
        let frames: Vec<u8> = (0..70).flat_map(|offset| crypto(offset, b"x")).collect();
        let mut out = StreamBuf::default();
        let pieces = crypto_stream(&frames, &mut out);
        assert_eq!((pieces.bytes.len(), pieces.lost), (MAX_PIECES, 6));
        let frames = [crypto(0, &[7; 1500]), crypto(1500, &[8; 1500])].concat();
        let pieces = crypto_stream(&frames, &mut out);
        assert_eq!((pieces.bytes.len(), pieces.lost), (MAX_STREAM, 0));
        assert!(pieces.bytes.ends_with(&[8; 548]));
    }
}
