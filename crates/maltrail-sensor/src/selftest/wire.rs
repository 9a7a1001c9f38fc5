//! Frames, byte by byte. Checksums are left out: the sensor does not look at them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP flags.
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;
pub(super) const SYN_ACK: u8 = 0x12;
pub(super) const DATA: u8 = 0x18;
/// A SYN that offers congestion notification (RFC 3168).
pub(super) const ECN_SYN: u8 = 0xc2;
/// FIN, PSH, URG.
pub(super) const XMAS: u8 = 0x29;

/// Protocol numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const GRE: u8 = 47;
pub(super) const ICMP6: u8 = 58;

/// EtherTypes.
pub(super) const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;

/// An IPv4 end of a packet.
pub(super) const fn v4(address: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = address;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

/// An IPv6 end of a packet: `2001:db8:NET::HOST`.
pub(super) const fn v6(net: u16, host: u16, port: u16) -> SocketAddr {
    let address = Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host);
    SocketAddr::new(IpAddr::V6(address), port)
}

/// A length as a header has it.
pub(super) fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// Bytes with their length before them.
pub(super) fn counted(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len())[..], bytes].concat()
}

/// A TCP segment.
pub(super) fn tcp(ports: (u16, u16), seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + payload.len());
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram.
pub(super) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(length(8 + payload.len()));
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// An echo request of the version of `of`, with as many bytes of data.
pub(super) fn echo(of: IpAddr, data: usize) -> (u8, Vec<u8>) {
    let (proto, kind) = match of {
        IpAddr::V4(_) => (ICMP, 8),
        IpAddr::V6(_) => (ICMP6, 128),
    };
    let mut bytes = vec![kind];
    bytes.resize(8 + data, 0);
    (proto, bytes)
}

/// An IP packet of whatever version the addresses have; nothing when they differ in it.
pub(super) fn packet(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + payload.len());
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes.extend([0x45, 0]);
            bytes.extend(length(20 + payload.len()));
            bytes.extend([0, 0, 0, 0, 64, proto, 0, 0]);
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(length(payload.len()));
            bytes.extend([proto, 64]);
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
        }
        _ => return bytes,
    }
    bytes.extend(payload);
    bytes
}

/// An Ethernet frame.
pub(super) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An Ethernet frame with an IP packet.
pub(super) fn frame(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    let ether_type = match src {
        IpAddr::V4(_) => ETHER_IPV4,
        IpAddr::V6(_) => ETHER_IPV6,
    };
    ethernet(ether_type, &packet(src, dst, proto, payload))
}

/// A VLAN tag, and what it says to be behind it.
pub(super) fn tagged(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 100], &ether_type.to_be_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use maltrail_wire::ip::IpPacket;
    use maltrail_wire::{LinkType, Transport, decode};

    use super::*;

    #[test]
    fn frames_are_read_as_they_were_meant() {
        for (src, dst) in [
            (v4([192, 0, 2, 10], 4), v4([203, 0, 113, 7], 80)),
            (v6(1, 1, 4), v6(2, 7, 80)),
        ] {
            let segment = tcp((src.port(), dst.port()), 77, DATA, b"abc");
            let ip = packet(src.ip(), dst.ip(), TCP, &segment);
            let read = IpPacket::parse(&ip).expect("IP");
            assert_eq!((read.src, read.dst, read.proto), (src.ip(), dst.ip(), TCP));
            assert!(!read.truncated);
            let frame = frame(src.ip(), dst.ip(), TCP, &segment);
            let read = decode(LinkType::ETHERNET, &frame).expect("frame");
            let Transport::Tcp(tcp) = read.transport else {
                panic!("{read:?}");
            };
            assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq), (4, 80, 77));
            assert_eq!(tcp.payload, b"abc");
        }
    }
}
