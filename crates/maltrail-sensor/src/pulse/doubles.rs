//! The same packet seen again within [`WINDOW_MICROS`]: a mirror that copies both directions of two ports.
//!
//! What makes a packet the same: addresses, identification, length, and the first bytes of TCP or UDP
//! with their checksum, which covers the rest. Time to live and link layer may differ. A
//! retransmission has a new identification or TCP timestamp. Where neither tells (IPv6, or an
//! identification of 0) only segments with data or SYN count, as duplicate ACKs are alike by nature.
//!
//! A fixed table of [`SLOTS`] places, overwritten by what comes later: it may miss copies and never
//! invents one but by a collision of 63 bits. Only the first copy counts, so that a flood of equal packets
//! is no mirror fault.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use maltrail_core::time::Timestamp;
use maltrail_wire::{Flags, Packet, Transport};

/// Remembered packets: at one in 32 of a million packets a second, 100 ms are 3125.
pub(super) const SLOTS: usize = 4096;
/// How long after the first a copy comes at most.
const WINDOW_MICROS: i64 = 100_000;
/// Bytes of the transport header that are compared; the checksum is among them.
const TRANSPORT_BYTES: usize = 24;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Hash of the packet, its lowest bit set once a copy was seen; 0 for an empty slot.
    key: u64,
    at: i64,
}

#[derive(Debug)]
pub(super) struct Doubles {
    slots: Box<[Slot]>,
    seed: u64,
}

impl Doubles {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
            // Nobody shall prepare packets that collide.
            seed: RandomState::new().hash_one(0u8) | 1,
        }
    }

    /// Whether the packet is the first copy of one seen before; `None` when it cannot be told.
    pub(super) fn see(&mut self, at: Timestamp, ip: &[u8], packet: &Packet<'_>) -> Option<bool> {
        if !is_comparable(ip, packet) {
            return None;
        }
        let key = self.key(ip, packet) & !1;
        let place = (key >> 40) as usize % SLOTS;
        let slot = self.slots.get_mut(place)?;
        let near = (at.micros().saturating_sub(slot.at)).unsigned_abs() <= WINDOW_MICROS as u64;
        if slot.key & !1 == key && near {
            let first_copy = slot.key & 1 == 0;
            slot.key |= 1;
            return Some(first_copy);
        }
        *slot = Slot {
            key,
            at: at.micros(),
        };
        Some(false)
    }

    fn key(&self, ip: &[u8], packet: &Packet<'_>) -> u64 {
        // Identification and lengths, but neither type of service nor time to live.
        let (fixed, addresses) = match packet.ip.src {
            IpAddr::V4(_) => (ip.get(2..8), ip.get(12..20)),
            IpAddr::V6(_) => (ip.get(4..7), ip.get(8..40)),
        };
        let transport = packet.ip.payload;
        let transport = transport.get(..TRANSPORT_BYTES).unwrap_or(transport);
        [
            fixed.unwrap_or_default(),
            addresses.unwrap_or_default(),
            transport,
        ]
        .into_iter()
        .fold(self.seed, mix)
    }
}

/// Folds bytes into a hash, eight at a time.
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
        hash = (product as u64 ^ (product >> 64) as u64).rotate_left(23);
    }
    hash
}

fn is_comparable(ip: &[u8], packet: &Packet<'_>) -> bool {
    let repeated = match packet.ip.dst {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    };
    let identified = packet.ip.src.is_ipv4() && ip.get(4..6).is_some_and(|id| id != [0, 0]);
    let telling = match packet.transport {
        Transport::Tcp(tcp) => !tcp.payload.is_empty() || tcp.flags.contains(Flags::SYN),
        Transport::Udp(_) => true,
        Transport::Icmp { .. } | Transport::Other(_) => false,
    };
    !repeated && (identified || telling)
}

#[cfg(test)]
mod tests {
    use maltrail_wire::{IpPacket, LinkType, network};

    use super::super::tests::{HOST, SERVER, segment};
    use super::*;

    fn see(doubles: &mut Doubles, micros: i64, frame: &[u8]) -> Option<bool> {
        let ip = network(LinkType::ETHERNET, frame).expect("Ethernet").ip;
        let packet = Packet::from_ip(IpPacket::parse(ip).expect("IP")).expect("TCP");
        doubles.see(
            Timestamp::from_micros(1_790_000_000_000_000 + micros),
            ip,
            &packet,
        )
    }

    #[test]
    fn only_the_first_copy_within_the_window_counts() {
        let mut doubles = Doubles::new();
        let frame = segment(HOST, SERVER, 9, 1, None);
        let mut routed = frame.clone();
        routed[14 + 8] = 63; // time to live
        assert_eq!(see(&mut doubles, 0, &frame), Some(false));
        assert_eq!(see(&mut doubles, WINDOW_MICROS, &routed), Some(true));
        assert_eq!(
            see(&mut doubles, WINDOW_MICROS, &frame),
            Some(false),
            "a flood, not a mirror"
        );
        assert_eq!(
            see(&mut doubles, 3 * WINDOW_MICROS, &frame),
            Some(false),
            "too late"
        );
        assert_eq!(
            see(
                &mut doubles,
                3 * WINDOW_MICROS,
                &segment(HOST, SERVER, 9, 2, None)
            ),
            Some(false)
        );
    }

    #[test]
    fn duplicate_acknowledgements_without_identification_cannot_be_told() {
        let mut frame = segment(HOST, SERVER, 0, 1, None);
        let mut doubles = Doubles::new();
        assert_eq!(see(&mut doubles, 0, &frame), Some(false), "it has data");
        frame.truncate(14 + 40);
        frame[14 + 3] = 40; // total length
        assert_eq!(see(&mut doubles, 0, &frame), None);
        frame[14 + 5] = 1; // identification
        assert_eq!(see(&mut doubles, 0, &frame), Some(false));
        frame[14 + 16] = 224; // multicast
        assert_eq!(see(&mut doubles, 0, &frame), None);
    }

    #[test]
    fn a_full_table_forgets_and_does_not_grow() {
        let mut doubles = Doubles::new();
        for seq in 0..4 * SLOTS as u32 {
            assert_eq!(
                see(&mut doubles, 0, &segment(HOST, SERVER, 1, seq, None)),
                Some(false)
            );
        }
        assert_eq!(doubles.slots.len(), SLOTS);
    }
}
