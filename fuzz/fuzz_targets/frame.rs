//! Any frame of any link type: views stay inside the frame, headers and payload add up, and
//! cutting the frame never changes what the rest says.
//!
//! Input: two bytes of link type, big-endian, then the frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::{Decoder, Drop, LinkType, Packet, Transport, decode};

fuzz_target!(|data: &[u8]| {
    let Some((link, frame)) = data.split_first_chunk() else {
        return;
    };
    let link = LinkType(u16::from_be_bytes(*link));
    let mut decoder = Decoder::new(link);
    let first = decoder.decode(frame);
    assert_eq!(
        first,
        decoder.decode(frame),
        "a frame decodes the same twice in a row"
    );
    match first {
        Ok(packet) => check(frame, &packet),
        Err(reason) => assert_eq!(Drop::ALL[reason.index()].name(), reason.name()),
    }
    if link.is_known() {
        assert_eq!(decode(link, frame), first, "no guess for a known link type");
        let cut = frame.len() / 2;
        if let (Ok(part), Ok(whole)) = (decode(link, &frame[..cut]), first) {
            assert_eq!((part.ip.src, part.ip.dst), (whole.ip.src, whole.ip.dst));
            assert!(part.ip.proto != whole.ip.proto || part.ports() == whole.ports());
        }
    }
});

fn check(frame: &[u8], packet: &Packet<'_>) {
    assert!(is_inside(frame, packet.ip.payload));
    let (header, payload) = match packet.transport {
        Transport::Tcp(tcp) => (14, tcp.payload),
        Transport::Udp(udp) => (4, udp.payload),
        Transport::Icmp { .. } => (1, &[][..]),
        Transport::Other(label) => {
            assert!(!label.is_empty());
            return;
        }
    };
    assert!(is_inside(packet.ip.payload, payload));
    assert!(header + payload.len() <= packet.ip.payload.len());
}

fn is_inside(outer: &[u8], inner: &[u8]) -> bool {
    let (outer, range) = (outer.as_ptr_range(), inner.as_ptr_range());
    inner.is_empty() || (outer.start <= range.start && range.end <= outer.end)
}
