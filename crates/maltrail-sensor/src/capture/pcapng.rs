//! The pcapng format (draft-ietf-opsawg-pcapng): sections, interfaces and packet blocks.
//!
//! Each interface has its own link type, time resolution and offset. Blocks of other types are
//! skipped. Bounds: 4,096 interfaces a section; a block has at most 16 MiB.

use std::io::Read;

use maltrail_core::time::Timestamp;

use super::file::{Found, Order, Problem, RECORD_BYTES};
use super::source::Source;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
/// Interfaces of a section that are remembered; packets of further ones are garbled.
const INTERFACES: usize = 4096;

/// Reading state.
#[derive(Debug, Default)]
pub(super) struct Ng {
    order: Order,
    interfaces: Vec<Interface>,
    /// Time of the last packet, for blocks without one.
    last: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    /// Ticks a second.
    resolution: u64,
    /// Seconds added to each time.
    offset: i64,
    snaplen: u32,
}

/// Where a packet stands inside its block.
struct Packet {
    interface: usize,
    ticks: Option<u64>,
    from: usize,
    captured: u32,
    wire_bytes: u32,
}

impl Ng {
    /// Whether the bytes start with a section header.
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(&SECTION.to_le_bytes()) && order_of(head).is_some()
    }

    /// The next packet, at the front of the source then.
    pub(super) fn find<R: Read>(
        &mut self,
        source: &mut Source<R>,
    ) -> Result<Option<Found>, Problem> {
        loop {
            source.mark();
            let Some((kind, length)) = self.block(source)? else {
                return Ok(None);
            };
            let bytes = source.peek(length).map_err(Problem::Input)?;
            if bytes.len() < length {
                return Err(Problem::Truncated);
            }
            let body = bytes.get(8..length - 4).unwrap_or_default();
            match kind {
                SECTION => self.interfaces.clear(),
                INTERFACE => self.interface(body)?,
                ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                    let packet = self.packet(kind, body)?;
                    return self.found(&packet, length).map(Some);
                }
                _ => {}
            }
            source.take(length).map_err(Problem::Input)?;
        }
    }

    fn found(&mut self, packet: &Packet, length: usize) -> Result<Found, Problem> {
        let interface = self
            .interfaces
            .get(packet.interface)
            .ok_or(Problem::Garbled("a packet of an unknown interface"))?;
        if let Some(ticks) = packet.ticks {
            self.last = interface.time(ticks);
        }
        Ok(Found {
            at: self.last,
            link: interface.link,
            wire_bytes: packet.wire_bytes,
            length,
            from: 8 + packet.from,
            captured: packet.captured,
        })
    }

    /// Type and length of the block at the front; `None` at the end of the input.
    fn block<R: Read>(&mut self, source: &mut Source<R>) -> Result<Option<(u32, usize)>, Problem> {
        let head = source.peek(12).map_err(Problem::Input)?;
        if head.is_empty() {
            return Ok(None);
        }
        if head.len() < 12 {
            return Err(Problem::Truncated);
        }
        // The section's type reads the same in both byte orders; its third word tells which it is.
        if head.starts_with(&SECTION.to_le_bytes()) {
            self.order = order_of(head).ok_or(Problem::Garbled("a section without byte order"))?;
        }
        let kind = self.order.u32(head, 0).ok_or(Problem::Truncated)?;
        let length = self.order.u32(head, 4).ok_or(Problem::Truncated)?;
        if length < 12 || !length.is_multiple_of(4) || length > RECORD_BYTES {
            return Err(Problem::Garbled("a block of impossible length"));
        }
        Ok(Some((kind, length as usize)))
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), Problem> {
        if self.interfaces.len() >= INTERFACES {
            return Err(Problem::Garbled("too many interfaces"));
        }
        let short = Problem::Garbled("an interface block that is too short");
        let (Some(link), Some(snaplen)) = (self.order.u16(body, 0), self.order.u32(body, 4)) else {
            return Err(short);
        };
        let mut interface = Interface {
            link,
            resolution: 1_000_000,
            offset: 0,
            snaplen,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while let (Some(code), Some(length)) =
            (self.order.u16(options, 0), self.order.u16(options, 2))
        {
            let Some(value) = options.get(4..4 + usize::from(length)) else {
                break;
            };
            match (code, value) {
                (0, _) => break,
                (9, &[exponent]) => interface.resolution = resolution(exponent),
                (14, value) => {
                    let words = (self.order.u32(value, 0), self.order.u32(value, 4));
                    if let (Some(first), Some(second)) = words {
                        let (high, low) = if self.order.big_endian {
                            (first, second)
                        } else {
                            (second, first)
                        };
                        interface.offset = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                    }
                }
                _ => {}
            }
            options = options
                .get(4 + usize::from(length).next_multiple_of(4)..)
                .unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&self, kind: u32, body: &[u8]) -> Result<Packet, Problem> {
        let word = |at| {
            self.order
                .u32(body, at)
                .ok_or(Problem::Garbled("a packet block that is too short"))
        };
        let ticks =
            |at| Ok::<_, Problem>(Some(u64::from(word(at)?) << 32 | u64::from(word(at + 4)?)));
        Ok(match kind {
            SIMPLE_PACKET => {
                let wire_bytes = word(0)?;
                let snaplen = self
                    .interfaces
                    .first()
                    .map_or(0, |interface| interface.snaplen);
                let limit = if snaplen == 0 { u32::MAX } else { snaplen };
                Packet {
                    interface: 0,
                    ticks: None,
                    from: 4,
                    captured: wire_bytes.min(limit),
                    wire_bytes,
                }
            }
            PACKET => {
                let interface = self.order.u16(body, 0).unwrap_or_default();
                Packet {
                    interface: interface.into(),
                    ticks: ticks(4)?,
                    from: 20,
                    captured: word(12)?,
                    wire_bytes: word(16)?,
                }
            }
            _ => Packet {
                interface: word(0)? as usize,
                ticks: ticks(4)?,
                from: 20,
                captured: word(12)?,
                wire_bytes: word(16)?,
            },
        })
    }
}

impl Interface {
    fn time(&self, ticks: u64) -> Timestamp {
        let secs = ticks / self.resolution;
        let micros = u128::from(ticks % self.resolution) * 1_000_000 / u128::from(self.resolution);
        let secs = i64::try_from(secs)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset);
        Timestamp::from_parts(secs, u32::try_from(micros).unwrap_or_default())
    }
}

/// `if_tsresol`: ticks a second as a power of ten, or of two with the top bit set.
fn resolution(exponent: u8) -> u64 {
    let base: u64 = if exponent & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(exponent & 0x7f))
        .unwrap_or(1_000_000)
}

fn order_of(head: &[u8]) -> Option<Order> {
    [false, true]
        .into_iter()
        .map(|big_endian| Order { big_endian })
        .find(|order| order.u32(head, 8) == Some(0x1a2b_3c4d))
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::read;

    fn block(kind: u32, body: &[u8], big_endian: bool) -> Vec<u8> {
        let u32 = |value: u32| {
            if big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = body.len() as u32 + 12;
        [&u32(kind)[..], &u32(length), &body, &u32(length)].concat()
    }

    fn words(values: &[u32], big_endian: bool) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| {
                if big_endian {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                }
            })
            .collect()
    }

    fn sample(big_endian: bool) -> Vec<u8> {
        let halves = |high: u16, low: u16| {
            if big_endian {
                [high.to_be_bytes(), low.to_be_bytes()].concat()
            } else {
                [high.to_le_bytes(), low.to_le_bytes()].concat()
            }
        };
        let packet = |interface, ticks, frame: &[u8]| {
            [
                words(&[interface, 0, ticks, frame.len() as u32, 99], big_endian),
                frame.to_vec(),
            ]
            .concat()
        };
        // Interface 1 has link type 101 and nanoseconds (option 9 = 9).
        let nano = [
            halves(101, 0),
            words(&[65_535], big_endian),
            halves(9, 1),
            vec![9, 0, 0, 0],
            halves(0, 0),
        ]
        .concat();
        [
            block(
                0x0a0d_0d0a,
                &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], big_endian),
                big_endian,
            ),
            block(
                1,
                &[halves(1, 0), words(&[4], big_endian)].concat(),
                big_endian,
            ),
            block(1, &nano, big_endian),
            block(5, b"statistics", big_endian),
            block(6, &packet(0, 2_000_001, b"abc"), big_endian),
            block(6, &packet(1, 3_000_000_999, b"de"), big_endian),
            block(
                3,
                &[words(&[9], big_endian), b"wxyz".to_vec()].concat(),
                big_endian,
            ),
        ]
        .concat()
    }

    #[test]
    fn interfaces_differ_in_link_and_resolution() {
        for big_endian in [false, true] {
            let (records, error) = read(&sample(big_endian));
            assert_eq!(error, None);
            assert_eq!(
                records,
                [
                    (2_000_001, 1, b"abc".to_vec()),
                    (3_000_000, 101, b"de".to_vec()),
                    (3_000_000, 1, b"wxyz".to_vec())
                ]
            );
        }
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_panics() {
        let whole = sample(false);
        for cut in 0..whole.len() {
            read(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                read(&bytes);
            }
        }
    }

    #[test]
    fn unknown_interfaces_are_named() {
        let mut bytes = sample(false);
        bytes.truncate(28);
        bytes.extend(block(6, &words(&[5, 0, 0, 0, 0], false), false));
        assert_eq!(
            read(&bytes).1.as_deref(),
            Some("is damaged at byte 28: a packet of an unknown interface")
        );
    }
}
