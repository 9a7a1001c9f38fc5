//! Headers against etherparse: packets built by its `PacketBuilder`, also damaged ones, decode to
//! what its `SlicedPacket` finds. `SlicedPacket` refuses what we keep (cut and mismatched lengths),
//! so the comparison runs one way: what it accepts, we accept with the same result.

use etherparse::{
    NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice, VlanId,
    ether_type::{IPV4, IPV6},
};
use maltrail_wire::{Drop, LinkType, Packet, Transport, TransportDrop, decode};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Spec {
    vlan_tags: usize,
    v6: bool,
    kind: Kind,
    ports: (u16, u16),
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    TcpOptions,
    Udp,
    Ping,
}

impl Spec {
    fn build(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let vlan = |id: u16| VlanId::try_new(id).expect("VLAN id");
        match self.vlan_tags {
            0 if self.v6 => self.transport(ethernet.ipv6([1; 16], [2; 16], 64)),
            0 => self.transport(ethernet.ipv4([192, 0, 2, 10], [203, 0, 113, 7], 64)),
            1 if self.v6 => {
                self.transport(ethernet.single_vlan(vlan(5)).ipv6([1; 16], [2; 16], 64))
            }
            1 => self.transport(ethernet.single_vlan(vlan(5)).ipv4(
                [192, 0, 2, 10],
                [203, 0, 113, 7],
                64,
            )),
            _ if self.v6 => self.transport(
                ethernet
                    .double_vlan(vlan(5), vlan(6))
                    .ipv6([1; 16], [2; 16], 64),
            ),
            _ => self.transport(ethernet.double_vlan(vlan(5), vlan(6)).ipv4(
                [192, 0, 2, 10],
                [203, 0, 113, 7],
                64,
            )),
        }
    }

    fn transport(&self, ip: PacketBuilderStep<etherparse::IpHeaders>) -> Vec<u8> {
        let mut frame = Vec::new();
        let (src, dst) = self.ports;
        let written = match self.kind {
            Kind::Tcp => ip
                .tcp(src, dst, 7, 1024)
                .syn()
                .write(&mut frame, &self.payload),
            Kind::TcpOptions => ip
                .tcp(src, dst, 7, 1024)
                .psh()
                .ack(9)
                .options_raw(&[2, 4, 5, 0xb4, 1, 1, 1, 0])
                .expect("options")
                .write(&mut frame, &self.payload),
            Kind::Udp => ip.udp(src, dst).write(&mut frame, &self.payload),
            Kind::Ping if self.v6 => ip
                .icmpv6_echo_request(src, dst)
                .write(&mut frame, &self.payload),
            Kind::Ping => ip
                .icmpv4_echo_request(src, dst)
                .write(&mut frame, &self.payload),
        };
        written.expect("frame");
        frame
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        0..3_usize,
        any::<bool>(),
        prop::sample::select(vec![Kind::Tcp, Kind::TcpOptions, Kind::Udp, Kind::Ping]),
        any::<(u16, u16)>(),
        prop::collection::vec(any::<u8>(), 0..64),
    )
        .prop_map(|(vlan_tags, v6, kind, ports, payload)| Spec {
            vlan_tags,
            v6,
            kind,
            ports,
            payload,
        })
}

/// What both decoders can be compared by.
#[derive(Debug, PartialEq)]
enum View<'a> {
    Tcp(u16, u16, u32, u8, &'a [u8]),
    Udp(u16, u16, &'a [u8]),
    Icmp { v6: bool, echo_request: bool },
}

fn ours<'a>(packet: &Packet<'a>) -> Option<View<'a>> {
    Some(match packet.transport {
        Transport::Tcp(tcp) => View::Tcp(
            tcp.src_port,
            tcp.dst_port,
            tcp.seq,
            tcp.flags.bits(),
            tcp.payload,
        ),
        Transport::Udp(udp) => View::Udp(udp.src_port, udp.dst_port, udp.payload),
        Transport::Icmp { v6, echo_request } => View::Icmp { v6, echo_request },
        Transport::Other(_) => return None,
    })
}

fn theirs<'a>(transport: &TransportSlice<'a>) -> Option<View<'a>> {
    Some(match transport {
        TransportSlice::Tcp(tcp) => View::Tcp(
            tcp.source_port(),
            tcp.destination_port(),
            tcp.sequence_number(),
            tcp.slice()[13],
            tcp.payload(),
        ),
        TransportSlice::Udp(udp) => {
            View::Udp(udp.source_port(), udp.destination_port(), udp.payload())
        }
        TransportSlice::Icmpv4(icmp) => View::Icmp {
            v6: false,
            echo_request: icmp.slice()[0] == 8,
        },
        TransportSlice::Icmpv6(icmp) => View::Icmp {
            v6: true,
            echo_request: icmp.slice()[0] == 128,
        },
        TransportSlice::Igmp(_) => return None,
    })
}

/// Compares where the oracle has an opinion; returns whether a transport layer was compared.
fn compare(frame: &[u8]) -> Result<bool, TestCaseError> {
    let Ok(oracle) = SlicedPacket::from_ethernet(frame) else {
        return Ok(false);
    };
    let (src, dst, fragmented, authenticated) = match &oracle.net {
        Some(NetSlice::Ipv4(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.is_payload_fragmented(),
            // compat: AH over IPv4 is a protocol with a label, not entered.
            ip.extensions().auth.is_some(),
        ),
        Some(NetSlice::Ipv6(ip)) => (
            std::net::IpAddr::V6(ip.header().source_addr()),
            std::net::IpAddr::V6(ip.header().destination_addr()),
            ip.is_payload_fragmented(),
            false,
        ),
        _ => return Ok(false),
    };
    if fragmented || authenticated {
        return Ok(false);
    }
    let packet = match decode(LinkType::ETHERNET, frame) {
        // Protocols without a label are ignored on purpose.
        Err(Drop::Transport(TransportDrop::Protocol(_) | TransportDrop::IcmpTruncated)) => {
            prop_assert!(oracle.transport.is_none());
            return Ok(false);
        }
        other => other.map_err(|reason| TestCaseError::fail(format!("{reason:?}")))?,
    };
    prop_assert_eq!((packet.ip.src, packet.ip.dst), (src, dst));
    let Some(expected) = oracle.transport.as_ref().and_then(theirs) else {
        return Ok(false);
    };
    prop_assert_eq!(ours(&packet), Some(expected));
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn built_packets_agree_with_the_oracle(spec in spec()) {
        prop_assert!(compare(&spec.build())?, "nothing was compared");
    }

    #[test]
    fn damaged_packets_agree_where_the_oracle_accepts_them(
        spec in spec(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        padding in 0..20_usize,
    ) {
        let mut frame = spec.build();
        frame.extend(vec![0xee; padding]);
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        compare(&frame)?;
    }

    #[test]
    fn any_bytes_decode_to_slices_of_themselves(
        link in prop::sample::select(vec![0_u16, 1, 6, 7, 8, 9, 10, 12, 18, 51, 101, 108, 113, 117, 228, 276]),
        known in prop::sample::select(vec![0_u16, IPV4.0, IPV6.0, 0x8100, 0x8864]),
        bytes in prop::collection::vec(any::<u8>(), 0..160),
    ) {
        let mut frame = bytes;
        // A plausible EtherType and version now and then, so that the walk goes on.
        if known != 0 && let Some([type0, type1, version, ..]) = frame.get_mut(12..) {
            [*type0, *type1] = known.to_be_bytes();
            *version = if known == IPV6.0 { 0x60 } else { 0x45 };
        }
        if let Ok(packet) = maltrail_wire::Decoder::new(LinkType(link)).decode(&frame) {
            let (outer, inner) = (frame.as_ptr_range(), packet.ip.payload.as_ptr_range());
            prop_assert!(packet.ip.payload.is_empty()
                || (outer.start <= inner.start && inner.end <= outer.end));
            match ours(&packet) {
                Some(View::Tcp(.., payload)) => {
                    prop_assert!(packet.ip.payload.ends_with(payload));
                    prop_assert!(payload.len() + 14 <= packet.ip.payload.len());
                }
                Some(View::Udp(.., payload)) => {
                    prop_assert!(payload.is_empty() || payload.len() + 8 <= packet.ip.payload.len());
                }
                _ => {}
            }
        }
    }
}

/// One packet of each protocol over each IP version, with and without a VLAN tag.
fn samples() -> Vec<Spec> {
    let mut all = Vec::new();
    for kind in [Kind::Tcp, Kind::TcpOptions, Kind::Udp, Kind::Ping] {
        for (vlan_tags, v6) in [(0, false), (0, true), (1, false), (2, true)] {
            all.push(Spec {
                vlan_tags,
                v6,
                kind,
                ports: (40000, 443),
                payload: b"payload".to_vec(),
            });
        }
    }
    all
}

#[test]
fn a_prefix_is_refused_or_says_the_same() {
    for spec in samples() {
        let frame = spec.build();
        let whole = decode(LinkType::ETHERNET, &frame).expect("packet");
        let mut decoded = 0;
        for cut in 0..frame.len() {
            let Ok(part) = decode(LinkType::ETHERNET, &frame[..cut]) else {
                assert_eq!(decoded, 0, "{spec:?}: {cut} bytes say less than fewer did");
                continue;
            };
            decoded += 1;
            assert_eq!(
                (part.ip.src, part.ip.dst, part.ip.proto, part.ports()),
                (whole.ip.src, whole.ip.dst, whole.ip.proto, whole.ports()),
                "{spec:?} {cut}"
            );
            assert!(part.ip.truncated, "{spec:?} {cut}");
            assert!(whole.ip.payload.starts_with(part.ip.payload));
        }
        assert!(decoded > spec.payload.len(), "{spec:?}");
    }
}

#[test]
fn any_changed_byte_agrees_with_the_oracle_where_it_accepts_it() {
    let mut compared = 0_usize;
    for spec in samples() {
        let mut frame = spec.build();
        for at in 0..frame.len() {
            let original = frame[at];
            for bit in 0..8 {
                frame[at] = original ^ 1 << bit;
                let found = compare(&frame);
                compared += usize::from(
                    found.unwrap_or_else(|error| panic!("{spec:?} byte {at} bit {bit}: {error}")),
                );
            }
            frame[at] = original;
        }
    }
    // Addresses, ports, numbers, checksums and payloads are more than half of the bits.
    assert!(compared > 16 * 8 * 20, "{compared} packets were compared");
}
