//! Pieces of streams that go on from packet to packet: TLS records and CRYPTO frames that were
//! written are read back, cut and damaged ones never say more than their bytes hold.

use maltrail_wire::quic::frames::{MAX_PIECES, MAX_STREAM};
use maltrail_wire::quic::{Piece, StreamBuf, crypto_pieces, crypto_stream};
use maltrail_wire::tls::{Fragment, fragments};
use proptest::prelude::*;

type Record = (u8, u8, Vec<u8>);

/// Records as RFC 8446, 5.1 lays them out: type, version 3.x, length, bytes.
fn write_records(records: &[Record]) -> Vec<u8> {
    let write = |(kind, minor, bytes): &Record| {
        let length = u16::try_from(bytes.len()).expect("length").to_be_bytes();
        [&[*kind, 3, *minor], &length[..], bytes].concat()
    };
    records.iter().flat_map(write).collect()
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec((any::<u8>(), any::<u8>(), bytes), 0..6)
}

fn whole(payload: &[u8]) -> Vec<Fragment<'_>> {
    fragments(payload).filter(|found| found.whole).collect()
}

/// What holds for any payload; returns how many bytes its whole records have.
fn check_records(payload: &[u8]) -> Result<usize, TestCaseError> {
    let mut at = 0;
    let mut ended = false;
    for found in fragments(payload) {
        prop_assert!(!ended, "something follows a cut record");
        if found.whole {
            prop_assert_eq!((found.kind, 3), (payload[at], payload[at + 1]));
            prop_assert_eq!(found.bytes, &payload[at + 5..][..found.bytes.len()]);
            at += 5 + found.bytes.len();
        } else {
            ended = true;
            let left = (payload.len() - at).saturating_sub(5);
            prop_assert!(found.bytes.is_empty() || found.bytes.len() == left);
        }
    }
    prop_assert!(ended || at == payload.len());
    Ok(at)
}

/// The variable-length integer of RFC 9000, 16, in `1 << log` bytes.
fn varint(value: u16, log: u8) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    let mut out = bytes[8 - (1 << log)..].to_vec();
    out[0] |= log << 6;
    out
}

/// A CRYPTO frame (RFC 9000, 19.6), its integers in two, four or eight bytes.
fn crypto(offset: u16, data: &[u8], log: u8) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("length");
    [&[6], &varint(offset, log)[..], &varint(length, log), data].concat()
}

type Frame = (u16, Vec<u8>, u8);

fn pieces() -> impl Strategy<Value = Vec<Frame>> {
    let data = prop::collection::vec(any::<u8>(), 0..60);
    prop::collection::vec((0..400_u16, data, 1..4_u8), 0..MAX_PIECES + 8)
}

/// What holds for any frames: pieces lie one behind the other, and the stream is made of them.
fn check_frames(frames: &[u8]) -> Result<usize, TestCaseError> {
    let found: Vec<Piece<'_>> = crypto_pieces(frames).collect();
    let taken: usize = found.iter().map(|piece| 3 + piece.data.len()).sum();
    prop_assert!(taken <= frames.len());
    for piece in &found {
        let (outer, inner) = (frames.as_ptr_range(), piece.data.as_ptr_range());
        prop_assert!(outer.start < inner.start && inner.end <= outer.end);
    }
    let mut buffer = StreamBuf::default();
    let stream = crypto_stream(frames, &mut buffer);
    let kept = &found[..found.len().min(MAX_PIECES)];
    prop_assert_eq!(
        usize::try_from(stream.lost).expect("count"),
        found.len() - kept.len()
    );
    let offers = |at: usize| {
        kept.iter()
            .filter_map(move |piece| piece.data.get(at.checked_sub(piece.offset)?))
    };
    for (at, byte) in stream.bytes.iter().enumerate() {
        prop_assert!(offers(at).any(|offered| offered == byte), "byte {at}");
    }
    let end = stream.bytes.len();
    prop_assert!(
        end == MAX_STREAM || offers(end).next().is_none(),
        "ends early"
    );
    Ok(found.len())
}

proptest! {
    #[test]
    fn written_records_are_read_back(records in records(), cut in any::<prop::sample::Index>()) {
        let payload = write_records(&records);
        let wanted: Vec<Fragment<'_>> = records
            .iter()
            .map(|(kind, _, bytes)| Fragment { kind: *kind, bytes, whole: true })
            .collect();
        prop_assert_eq!(fragments(&payload).collect::<Vec<_>>(), wanted.clone());
        // A cut payload has the same records up to the cut.
        let cut = &payload[..cut.index(payload.len() + 1)];
        check_records(cut)?;
        prop_assert!(wanted.starts_with(&whole(cut)));
    }

    #[test]
    fn any_bytes_as_records_keep_the_bounds(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        lengths in prop::collection::vec(0..30_u8, 0..4),
    ) {
        // Plausible headers now and then, so that the walk goes on.
        let mut at = 0;
        for length in lengths {
            if let Some([_, major, _, high, low, ..]) = bytes.get_mut(at..) {
                (*major, *high, *low) = (3, 0, length);
            }
            at += 5 + usize::from(length);
        }
        check_records(&bytes)?;
    }

    #[test]
    fn written_pieces_are_read_back(pieces in pieces(), padding in 0..3_usize) {
        let mut frames = Vec::new();
        for (offset, data, log) in &pieces {
            frames.extend(crypto(*offset, data, *log));
            frames.extend(vec![0; padding]); // PADDING
            frames.push(1); // PING
        }
        let wanted: Vec<Piece<'_>> = pieces
            .iter()
            .map(|(offset, data, _)| Piece { offset: usize::from(*offset), data })
            .collect();
        prop_assert_eq!(crypto_pieces(&frames).collect::<Vec<_>>(), wanted);
        check_frames(&frames)?;
    }

    #[test]
    fn any_bytes_as_frames_keep_the_bounds(
        bytes in prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..300),
    ) {
        check_frames(&bytes)?;
    }
}

fn sample_records() -> Vec<u8> {
    write_records(&[
        (22, 1, vec![1, 0, 0, 1, 9]),
        (20, 3, vec![1]),
        (22, 3, vec![]),
        (23, 3, vec![7; 9]),
    ])
}

fn sample_frames() -> Vec<u8> {
    let ack = [2, 0x40, 9, 0, 1, 0, 1, 2];
    [
        &crypto(4, b"efgh", 1)[..],
        &[0, 0, 1],
        &ack,
        &crypto(0, b"abcd", 2),
        &crypto(6, b"ghij", 3),
    ]
    .concat()
}

#[test]
fn prefixes_of_records_never_say_more() {
    let payload = sample_records();
    let all = whole(&payload);
    assert_eq!(all.len(), 4);
    let mut before = 0;
    for cut in 0..=payload.len() {
        let read = check_records(&payload[..cut]).expect("bounds");
        assert!(before <= read && read <= cut, "{cut} bytes");
        assert!(all.starts_with(&whole(&payload[..cut])), "{cut} bytes");
        before = read;
    }
    assert_eq!(before, payload.len());
}

#[test]
fn any_changed_byte_of_records_keeps_the_bounds() {
    let mut payload = sample_records();
    for at in 0..payload.len() {
        let original = payload[at];
        for value in 0..=u8::MAX {
            payload[at] = value;
            check_records(&payload).unwrap_or_else(|error| panic!("byte {at} = {value}: {error}"));
        }
        payload[at] = original;
    }
}

#[test]
fn prefixes_of_frames_never_say_more() {
    let frames = sample_frames();
    let all: Vec<Piece<'_>> = crypto_pieces(&frames).collect();
    assert_eq!(all.len(), 3);
    for cut in 0..=frames.len() {
        check_frames(&frames[..cut]).expect("bounds");
        let found: Vec<Piece<'_>> = crypto_pieces(&frames[..cut]).collect();
        assert!(all.starts_with(&found), "{cut} bytes");
        assert_eq!(found.len() == 3, cut == frames.len(), "{cut} bytes");
    }
    let mut buffer = StreamBuf::default();
    assert_eq!(crypto_stream(&frames, &mut buffer).bytes, b"abcdefghij");
}

#[test]
fn any_changed_byte_of_frames_keeps_the_bounds() {
    let mut frames = sample_frames();
    for at in 0..frames.len() {
        let original = frames[at];
        for value in 0..=u8::MAX {
            frames[at] = value;
            check_frames(&frames).unwrap_or_else(|error| panic!("byte {at} = {value}: {error}"));
        }
        frames[at] = original;
    }
}
