//! Any bytes as a datagram and as the frames in one: parts lie inside, the stream is no longer than
//! its frames, and comes back from frames that hold it in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::quic::{self, Initial, PacketBuf, StreamBuf, crypto_stream};
use maltrail_wire::tls::ClientHello;

fuzz_target!(|data: &[u8]| {
    let mut packet = PacketBuf::default();
    if let Some(initial) = Initial::parse(data) {
        assert!(initial.header.len() + initial.protected.len() <= data.len());
        assert!((8..=20).contains(&initial.dcid.len()));
        if let Ok(frames) = quic::open(&initial, &mut packet) {
            let number_len = initial.protected.len() - 16 - frames.len();
            assert!((1..=4).contains(&number_len));
            check_frames(frames);
        }
    }
    check_frames(data);
});

fn check_frames(frames: &[u8]) {
    let mut stream = StreamBuf::default();
    let bytes = crypto_stream(frames, &mut stream).bytes.to_vec();
    assert!(bytes.len() <= frames.len());
    if bytes.len() < 0x4000 {
        let length = (0x4000 | bytes.len() as u16).to_be_bytes();
        let again = [&[0, 1, 6, 0][..], &length, &bytes].concat();
        let mut other = StreamBuf::default();
        assert_eq!(crypto_stream(&again, &mut other).bytes, bytes);
    }
    if let Some(name) = ClientHello::in_messages(&bytes).and_then(|hello| hello.server_name()) {
        assert!(name.len() < bytes.len());
    }
}
