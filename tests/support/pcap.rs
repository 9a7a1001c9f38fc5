//! Capture files, written byte by byte so that nothing but the frames decides about them.

/// A frame and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds since 1970.
    pub micros: u64,
    /// The bytes on the wire.
    pub bytes: Vec<u8>,
}

/// Link type of Ethernet.
pub const ETHERNET: u32 = 1;

/// A classic capture: little endian, microseconds.
#[must_use]
pub fn pcap(link: u32, frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4u32.to_le_bytes());
    out.extend([2u16, 4].map(u16::to_le_bytes).concat());
    out.extend([0u32, 0, 65_535, link].map(u32::to_le_bytes).concat());
    for frame in frames {
        let length = length(frame);
        let head = [
            (frame.micros / 1_000_000) as u32,
            (frame.micros % 1_000_000) as u32,
            length,
            length,
        ];
        out.extend(head.map(u32::to_le_bytes).concat());
        out.extend(&frame.bytes);
    }
    out
}

/// The same frames as pcapng: a section, one interface, enhanced packets with microseconds.
#[must_use]
pub fn pcapng(link: u32, frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4du32.to_le_bytes());
    section.extend([1u16, 0].map(u16::to_le_bytes).concat());
    section.extend(u64::MAX.to_le_bytes());
    block(&mut out, 0x0a0d_0d0a, &section);
    let mut interface = Vec::new();
    interface.extend([link as u16, 0].map(u16::to_le_bytes).concat());
    interface.extend(65_535u32.to_le_bytes());
    block(&mut out, 1, &interface);
    for frame in frames {
        let length = length(frame);
        let head = [
            0,
            (frame.micros >> 32) as u32,
            frame.micros as u32,
            length,
            length,
        ];
        let mut packet = head.map(u32::to_le_bytes).concat();
        packet.extend(&frame.bytes);
        packet.resize(packet.len().next_multiple_of(4), 0);
        block(&mut out, 6, &packet);
    }
    out
}

fn length(frame: &Frame) -> u32 {
    u32::try_from(frame.bytes.len()).expect("a frame of less than 4 GiB")
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(body.len() + 12).expect("a block of less than 4 GiB");
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend(length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Vec<Frame> {
        vec![Frame {
            micros: 1_700_000_000_000_042,
            bytes: vec![1, 2, 3, 4, 5],
        }]
    }

    #[test]
    fn a_record_has_seconds_microseconds_and_both_lengths() {
        let file = pcap(ETHERNET, &one());
        assert_eq!(file.len(), 24 + 16 + 5);
        assert_eq!(file[24..28], 1_700_000_000u32.to_le_bytes());
        assert_eq!(file[28..40], [42, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn blocks_are_padded_and_say_their_length_twice() {
        let file = pcapng(ETHERNET, &one());
        let packet = &file[28 + 20..];
        assert_eq!(packet.len(), 32 + 8);
        assert_eq!(packet[4..8], 40u32.to_le_bytes());
        assert_eq!(packet[36..], 40u32.to_le_bytes());
    }
}
