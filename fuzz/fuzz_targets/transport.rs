//! Any bytes as an IP packet, a TCP segment, a UDP datagram and an ICMP message: every field is the
//! one that the RFC puts there, and the payload starts and ends where the header says.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use maltrail_wire::icmp::is_echo_request;
use maltrail_wire::{IpPacket, TcpSegment, UdpDatagram};

fuzz_target!(|data: &[u8]| {
    ip(data);
    tcp(data);
    udp(data);
    let kind = data.first().copied();
    assert_eq!(is_echo_request(1, data), kind.map(|kind| kind == 8));
    assert_eq!(is_echo_request(58, data), kind.map(|kind| kind == 128));
});

fn ip(data: &[u8]) {
    let Ok(packet) = IpPacket::parse(data) else {
        return;
    };
    let (src, dst, header) = match data[0] >> 4 {
        4 => {
            assert_eq!(packet.proto, data[9]);
            assert_eq!(u16::from_be_bytes([data[6] & 0x1f, data[7]]), 0);
            assert_eq!(packet.fragment, data[6] & 0x20 != 0);
            (&data[12..16], &data[16..20], usize::from(data[0] & 15) * 4)
        }
        6 => (&data[8..24], &data[24..40], 40),
        version => panic!("version {version} was read"),
    };
    assert_eq!(bytes(packet.src), src);
    assert_eq!(bytes(packet.dst), dst);
    let start = packet.payload.as_ptr() as usize - data.as_ptr() as usize;
    assert!(packet.payload.is_empty() || start >= header);
    assert!(packet.payload.is_empty() || start + packet.payload.len() <= data.len());
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn tcp(data: &[u8]) {
    let Some(tcp) = TcpSegment::parse(data) else {
        assert!(data.len() < 14);
        return;
    };
    assert_eq!(data[..2], tcp.src_port.to_be_bytes());
    assert_eq!(data[2..4], tcp.dst_port.to_be_bytes());
    assert_eq!(data[4..8], tcp.seq.to_be_bytes());
    assert_eq!(data[13], tcp.flags.bits());
    assert!(!(tcp.flags.is_syn() && tcp.flags.is_syn_ack()));
    let start = (usize::from(data[12] >> 4) * 4).max(20);
    assert_eq!(tcp.payload, data.get(start..).unwrap_or_default());
}

fn udp(data: &[u8]) {
    let Some(udp) = UdpDatagram::parse(data) else {
        assert!(data.len() < 4);
        return;
    };
    assert_eq!(data[..2], udp.src_port.to_be_bytes());
    assert_eq!(data[2..4], udp.dst_port.to_be_bytes());
    let Some(behind) = data.get(8..) else {
        assert!(udp.payload.is_empty());
        return;
    };
    let stated = usize::from(u16::from_be_bytes([data[4], data[5]]));
    let sane = (8..=data.len()).contains(&stated);
    let length = if sane { stated - 8 } else { behind.len() };
    assert_eq!(udp.payload, &behind[..length]);
}
