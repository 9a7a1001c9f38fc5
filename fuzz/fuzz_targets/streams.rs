//! Any bytes as TLS records and as QUIC frames, taken apart for streams that are put together later:
//! the pieces lie one behind the other, what is whole stays when more follows, and the joined stream
//! holds what the pieces offer, up to the first gap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::quic::frames::{MAX_PIECES, MAX_STREAM};
use maltrail_wire::quic::{Piece, StreamBuf, crypto_pieces, crypto_stream};
use maltrail_wire::tls::{Fragment, fragments};

fuzz_target!(|data: &[u8]| {
    records(data);
    frames(data);
});

fn records(data: &[u8]) {
    let mut at = 0;
    let mut ended = false;
    for fragment in fragments(data) {
        assert!(!ended, "nothing follows a cut record");
        if fragment.whole {
            let length = u16::from_be_bytes([data[at + 3], data[at + 4]]);
            assert_eq!((fragment.kind, 3), (data[at], data[at + 1]));
            assert_eq!(fragment.bytes, &data[at + 5..][..usize::from(length)]);
            at += 5 + fragment.bytes.len();
        } else {
            let is_record = data.get(at + 1).is_none_or(|&major| major == 3);
            assert_eq!(fragment.kind, if is_record { data[at] } else { 0 });
            assert!(data.ends_with(fragment.bytes) || fragment.bytes.is_empty());
            ended = true;
        }
    }
    assert!(ended || at == data.len());
    let whole = |payload| -> Vec<Fragment<'_>> {
        fragments(payload)
            .filter(|fragment| fragment.whole)
            .collect()
    };
    assert!(whole(data).starts_with(&whole(&data[..data.len() / 2])));
}

fn frames(data: &[u8]) {
    let pieces: Vec<Piece<'_>> = crypto_pieces(data).collect();
    let mut from = data.as_ptr();
    for piece in &pieces {
        let range = piece.data.as_ptr_range();
        assert!(from < range.start && range.end <= data.as_ptr_range().end);
        from = range.end.wrapping_sub(usize::from(range.end > range.start));
    }
    let half: Vec<Piece<'_>> = crypto_pieces(&data[..data.len() / 2]).collect();
    assert!(pieces.starts_with(&half));

    let mut buffer = StreamBuf::default();
    let stream = crypto_stream(data, &mut buffer);
    let kept = &pieces[..pieces.len().min(MAX_PIECES)];
    assert_eq!(stream.lost as usize, pieces.len() - kept.len());
    let offers = |at: usize| {
        kept.iter()
            .filter_map(move |piece| piece.data.get(at.checked_sub(piece.offset)?))
    };
    for (at, byte) in stream.bytes.iter().enumerate() {
        assert!(offers(at).any(|offered| offered == byte));
    }
    let end = stream.bytes.len();
    assert!(end == MAX_STREAM || offers(end).next().is_none());
}
