//! Whether the capture shows a network as it is: the faults of mirror ports, clocks and filters.
//!
//! One [`Pulse`] belongs to one interface of one worker and is shown every frame. Every frame costs a
//! few comparisons; about one in [`SAMPLE`] is decoded. Which ones is decided by bits of the packet
//! itself (identification and checksum), so that of a packet that comes twice both are looked at, and
//! neither VLAN tags nor link addresses change the choice.
//!
//! ```text
//! frame ─► lengths, time ─► sample ─► doubled? direction, DNS, VLAN ─► PulseFacts ─► faults()
//! ```
//!
//! Bounds: 4096 remembered packets, [`MAX_VLANS`] VLANs, [`MAX_LINKS`] link types.
//! It never decides about an event: a fault is something to tell a person.

mod announce;
mod doubles;
mod facts;
mod faults;
mod links;
mod sample;

use std::sync::Arc;

use maltrail_core::addr::NetworkSet;
use maltrail_core::time::Timestamp;
use maltrail_wire::dns::Header;
use maltrail_wire::{Decoder, Flags, IpPacket, LinkType, Packet, Transport};

pub use announce::Announcer;
pub use facts::{MAX_VLANS, PulseFacts, VlanFacts};
pub use faults::{FAULT_IDS, Fault, Severity, faults};
pub use links::{LinkState, MAX_LISTED};

use doubles::Doubles;

/// One packet in this many is decoded.
pub const SAMPLE: u64 = 32;
/// Link types with a decoder of their own; frames of further ones are only counted.
pub const MAX_LINKS: usize = 8;
/// Ethernet header with two VLAN tags: what a frame may have beside its MTU.
const FRAME_HEADER: u32 = 22;
/// A packet whose time is farther than this from the clock shows that one of both is wrong.
const SKEW_MICROS: i64 = 5_000_000;

/// Watches the frames of one interface.
#[derive(Debug)]
pub struct Pulse {
    home: Arc<NetworkSet>,
    frame_limit: u32,
    /// Bits of a packet that must be zero for it to be looked at.
    mask: u8,
    decoders: Vec<Decoder>,
    doubles: Doubles,
    facts: PulseFacts,
    /// Packets at the last tick.
    ticked: u64,
}

impl Pulse {
    /// For an interface with this MTU, in a network where `home` is ours. An MTU of 0 is that of
    /// Ethernet, 1500.
    pub fn new(home: Arc<NetworkSet>, mtu: u32) -> Self {
        let mtu = if mtu == 0 { 1500 } else { mtu };
        Self {
            home,
            frame_limit: mtu.saturating_add(FRAME_HEADER),
            mask: sample::MASK,
            decoders: Vec::new(),
            doubles: Doubles::new(),
            facts: PulseFacts::default(),
            ticked: 0,
        }
    }

    /// For the interface of this name; `any` mixes interfaces, the loop among them, so that no frame
    /// is too long for it.
    pub fn of_interface(name: &str, home: Arc<NetworkSet>) -> Self {
        let mtu = match name {
            "any" => u32::MAX,
            name => LinkState::read(name).map_or(0, |link| link.mtu),
        };
        Self::new(home, mtu)
    }

    /// Looks at every packet: for the few seconds of `-T`.
    #[must_use]
    pub const fn thorough(mut self) -> Self {
        self.mask = 0;
        self
    }

    /// Shows a frame as captured, and how long it was on the wire.
    #[inline]
    pub fn frame(&mut self, link: LinkType, at: Timestamp, frame: &[u8], wire_len: u32) {
        let facts = &mut self.facts;
        facts.packets += 1;
        facts.last = at;
        facts.cut += u64::from(wire_len as usize > frame.len());
        facts.oversized += u64::from(wire_len > self.frame_limit);
        if sample::is_chosen(link, frame, self.mask) {
            self.look(link, at, frame, wire_len);
        }
    }

    /// Compares the time of the last packet with the clock; for housekeeping, once a second.
    pub fn tick(&mut self, now: Timestamp) {
        if self.facts.packets == self.ticked {
            return;
        }
        self.ticked = self.facts.packets;
        let skew = self.facts.last.micros().saturating_sub(now.micros());
        self.facts.skew_micros = skew;
        if skew.saturating_abs() > SKEW_MICROS {
            self.facts.skewed_ticks = self.facts.skewed_ticks.saturating_add(1);
        } else {
            self.facts.skewed_ticks = 0;
        }
    }

    /// What was seen so far.
    pub const fn facts(&self) -> &PulseFacts {
        &self.facts
    }

    #[inline(never)]
    fn look(&mut self, link: LinkType, at: Timestamp, frame: &[u8], wire_len: u32) {
        self.facts.sampled += 1;
        self.facts.longest = self.facts.longest.max(wire_len);
        self.facts.vlan(sample::vlan(link, frame), at);
        let Some(decoder) = decoder(&mut self.decoders, link) else {
            return;
        };
        let Ok(network) = decoder.network(frame) else {
            return;
        };
        let Ok(ip) = IpPacket::parse(network.ip) else {
            return;
        };
        let Ok(packet) = Packet::from_ip(ip) else {
            return;
        };
        // Linux' cooked captures mix interfaces: a packet that is forwarded shows up at each of them.
        if link != LinkType::LINUX_SLL && link != LinkType::LINUX_SLL2 {
            let seen = self.doubles.see(at, network.ip, &packet);
            self.facts.comparable += u64::from(seen.is_some());
            self.facts.doubled += u64::from(seen == Some(true));
        }
        match packet.transport {
            Transport::Tcp(tcp) => {
                let established = tcp.flags.contains(Flags::ACK)
                    && !tcp.flags.contains(Flags::SYN)
                    && !tcp.flags.contains(Flags::RST);
                self.facts.tcp += 1;
                if established {
                    match (
                        self.home.contains(packet.ip.src),
                        self.home.contains(packet.ip.dst),
                    ) {
                        (true, false) => self.facts.outward += 1,
                        (false, true) => self.facts.inward += 1,
                        _ => {}
                    }
                }
            }
            Transport::Udp(udp) if udp.src_port == 53 || udp.dst_port == 53 => {
                match Header::parse(udp.payload).map(Header::is_response) {
                    Some(true) => self.facts.dns_answers += 1,
                    Some(false) => self.facts.dns_questions += 1,
                    None => {}
                }
            }
            _ => {}
        }
    }
}

/// The decoder of a link type, made when it is first needed.
fn decoder(decoders: &mut Vec<Decoder>, link: LinkType) -> Option<&mut Decoder> {
    let known = decoders.iter().position(|decoder| decoder.link() == link);
    let place = known.unwrap_or(decoders.len());
    if known.is_none() && decoders.len() < MAX_LINKS {
        decoders.push(Decoder::new(link));
    }
    decoders.get_mut(place)
}

#[cfg(test)]
pub(crate) mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    pub(crate) const HOST: [u8; 4] = [192, 168, 1, 10];
    pub(crate) const SERVER: [u8; 4] = [203, 0, 113, 7];

    pub(crate) fn pulse() -> Pulse {
        Pulse::new(Arc::new(NetworkSet::private()), 1500)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + millis * 1000)
    }

    /// An established TCP segment with this identification and sequence number, with a VLAN tag or
    /// without.
    pub(crate) fn segment(
        src: [u8; 4],
        dst: [u8; 4],
        id: u16,
        seq: u32,
        vlan: Option<u16>,
    ) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut ip =
            etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, src, dst).expect("short");
        ip.identification = id;
        let ip = etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default());
        let mut frame = Vec::new();
        let payload = b"some data of a stream";
        match vlan {
            Some(vlan) => builder
                .single_vlan(vlan.try_into().expect("12 bits"))
                .ip(ip)
                .tcp(40_000, 443, seq, 512)
                .ack(1)
                .write(&mut frame, payload),
            None => builder
                .ip(ip)
                .tcp(40_000, 443, seq, 512)
                .ack(1)
                .write(&mut frame, payload),
        }
        .expect("memory");
        frame
    }

    fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(HOST, SERVER, 64)
            .udp(src_port, dst_port)
            .write(&mut frame, payload)
            .expect("memory");
        frame
    }

    fn show(pulse: &mut Pulse, millis: i64, frame: &[u8]) {
        pulse.frame(LinkType::ETHERNET, at(millis), frame, frame.len() as u32);
    }

    #[test]
    fn a_share_is_looked_at_and_of_a_pair_both_or_neither() {
        let mut pulse = pulse();
        for id in 0..8000u16 {
            let frame = segment(HOST, SERVER, id, u32::from(id) * 77, None);
            show(&mut pulse, i64::from(id), &frame);
            // The second copy carries a tag: the two ends of a port are mirrored.
            let copy = segment(HOST, SERVER, id, u32::from(id) * 77, Some(5));
            show(&mut pulse, i64::from(id), &copy);
        }
        let facts = pulse.facts();
        let share = facts.sampled as f64 / facts.packets as f64;
        assert!(
            (0.02..0.045).contains(&share),
            "one in {SAMPLE}, not {share}"
        );
        assert_eq!(
            facts.doubled * 2,
            facts.comparable,
            "each packet came twice"
        );
    }

    #[test]
    fn a_thorough_look_leaves_nothing_out() {
        let mut pulse = pulse().thorough();
        for id in 0..100 {
            show(&mut pulse, 0, &segment(HOST, SERVER, id, 1, None));
        }
        assert_eq!(pulse.facts().sampled, 100);
    }

    #[test]
    fn a_retransmission_is_no_copy() {
        let mut pulse = pulse();
        for id in (0..8000u16).step_by(2) {
            let seq = u32::from(id) * 77;
            show(
                &mut pulse,
                i64::from(id),
                &segment(HOST, SERVER, id, seq, None),
            );
            show(
                &mut pulse,
                i64::from(id) + 1,
                &segment(HOST, SERVER, id + 1, seq, None),
            );
        }
        assert!(pulse.facts().comparable > 120, "{:?}", pulse.facts());
        assert_eq!(pulse.facts().doubled, 0);
    }

    #[test]
    fn the_same_packet_later_or_on_a_mixed_capture_is_no_copy() {
        let mut pulse = pulse();
        for id in 0..4000u16 {
            let frame = segment(HOST, SERVER, id, 7, None);
            show(&mut pulse, i64::from(id) * 500, &frame);
            show(&mut pulse, i64::from(id) * 500 + 150, &frame);
            let mut cooked = vec![0; 14];
            cooked.extend([8, 0]);
            cooked.extend(&frame[14..]);
            for _ in 0..2 {
                pulse.frame(
                    LinkType::LINUX_SLL,
                    at(i64::from(id) * 500),
                    &cooked,
                    cooked.len() as u32,
                );
            }
        }
        assert!(pulse.facts().comparable > 150, "{:?}", pulse.facts());
        assert_eq!(pulse.facts().doubled, 0);
    }

    #[test]
    fn directions_follow_home() {
        let mut pulse = pulse();
        for id in 0..4000u16 {
            show(&mut pulse, 0, &segment(HOST, SERVER, id, 1, None));
            show(&mut pulse, 0, &segment(HOST, [10, 0, 0, 1], id, 1, None));
        }
        let facts = pulse.facts();
        assert!(facts.outward > 60 && facts.inward == 0, "{facts:?}");
        assert!(
            facts.tcp > facts.outward + 60,
            "traffic among our own has no direction: {facts:?}"
        );
    }

    #[test]
    fn dns_is_seen_by_question_and_answer() {
        let mut pulse = pulse();
        for id in 0..3000u16 {
            let [high, low] = id.to_be_bytes();
            let question = [
                high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1,
            ];
            show(&mut pulse, 0, &udp(40_000, 53, &question));
            let mut answer = question;
            answer[2] = 0x81;
            if id < 1000 {
                show(&mut pulse, 0, &udp(53, 40_000, &answer));
            }
        }
        let facts = pulse.facts();
        assert!(
            facts.dns_questions > 50 && facts.dns_answers > 15,
            "{facts:?}"
        );
        assert!(facts.dns_questions > facts.dns_answers + 20, "{facts:?}");
    }

    #[test]
    fn lengths_are_compared_for_every_frame() {
        let mut pulse = pulse();
        let frame = segment(HOST, SERVER, 1, 1, None);
        pulse.frame(LinkType::ETHERNET, at(0), &frame, 1522);
        pulse.frame(LinkType::ETHERNET, at(0), &frame, 1523);
        show(&mut pulse, 0, &frame);
        assert_eq!(
            (
                pulse.facts().packets,
                pulse.facts().cut,
                pulse.facts().oversized
            ),
            (3, 2, 1)
        );
        let mut jumbo = Pulse::new(Arc::new(NetworkSet::private()), 9000);
        jumbo.frame(LinkType::ETHERNET, at(0), &frame, 9014);
        assert_eq!(jumbo.facts().oversized, 0);
    }

    #[test]
    fn the_mtu_is_that_of_the_interface() {
        let home = || Arc::new(NetworkSet::private());
        let limit = |name| Pulse::of_interface(name, home()).frame_limit;
        let lo = LinkState::read("lo").expect("lo");
        assert_eq!(limit("lo"), lo.mtu + FRAME_HEADER);
        assert_eq!(limit("any"), u32::MAX);
        assert_eq!(limit("no-such-interface"), 1522);
    }

    #[test]
    fn a_wrong_clock_shows_at_ticks_with_new_packets() {
        let mut pulse = pulse();
        for second in 0..4 {
            show(&mut pulse, second * 1000, &[]);
            pulse.tick(at(second * 1000 + 6000));
        }
        assert_eq!(
            (pulse.facts().skewed_ticks, pulse.facts().skew_micros),
            (4, -6_000_000)
        );
        pulse.tick(at(99_000));
        assert_eq!(pulse.facts().skewed_ticks, 4, "silence is no skew");
        show(&mut pulse, 100_000, &[]);
        pulse.tick(at(101_000));
        assert_eq!(pulse.facts().skewed_ticks, 0);
    }

    #[test]
    fn no_bytes_and_no_link_type_panic() {
        let mut pulse = pulse();
        let frame = segment(HOST, SERVER, 0, 0, Some(7));
        for link in [0, 1, 9, 12, 101, 108, 113, 228, 229, 276, 9999]
            .into_iter()
            .chain(400..420)
        {
            for cut in 0..=frame.len() {
                pulse.frame(LinkType(link), at(0), &frame[..cut], u32::MAX);
                pulse.look(LinkType(link), at(0), &frame[..cut], 0);
            }
        }
        assert_eq!(
            pulse.decoders.len(),
            MAX_LINKS,
            "the first keep their decoder"
        );
    }
}
