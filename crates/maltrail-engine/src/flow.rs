//! Who talks to whom: the endpoints of a packet, as it travels.
//!
//! Source and destination stay those of the packet; nothing is turned into client and server.

use std::net::IpAddr;

use maltrail_wire::{Packet, Transport};

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address.
    pub(crate) ip: IpAddr,
    /// The port, for TCP and UDP.
    pub(crate) port: Option<u16>,
}

/// Both ends of a packet and its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The sender.
    pub(crate) src: Endpoint,
    /// The receiver.
    pub(crate) dst: Endpoint,
    /// The protocol's name in events.
    pub(crate) proto: &'static str,
}

impl Flow {
    /// The flow that `packet` belongs to.
    #[inline]
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
        let ports = packet.ports();
        Self {
            src: Endpoint {
                ip: packet.ip.src,
                port: ports.map(|(src, _)| src),
            },
            dst: Endpoint {
                ip: packet.ip.dst,
                port: ports.map(|(_, dst)| dst),
            },
            proto: match packet.transport {
                Transport::Tcp(_) => "TCP",
                Transport::Udp(_) => "UDP",
                Transport::Icmp { v6: false, .. } => "ICMP",
                Transport::Icmp { v6: true, .. } => "ICMPV6",
                Transport::Other(label) => label,
            },
        }
    }

    /// The other direction.
    pub(crate) const fn reverse(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            proto: self.proto,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A flow written `address:port` > `address:port`, or addresses alone.
    pub(crate) fn flow(src: &str, dst: &str, proto: &'static str) -> Flow {
        let end = |text: &str| match text.parse::<std::net::SocketAddr>() {
            Ok(socket) => Endpoint {
                ip: socket.ip(),
                port: Some(socket.port()),
            },
            Err(_) => Endpoint {
                ip: text.parse().unwrap(),
                port: None,
            },
        };
        Flow {
            src: end(src),
            dst: end(dst),
            proto,
        }
    }

    #[test]
    fn protocols_without_ports_have_none() {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0];
        bytes.extend([192, 0, 2, 10, 203, 0, 113, 7, 0, 80, 0, 81]);
        let packet = maltrail_wire::decode(maltrail_wire::LinkType::RAW, &bytes).unwrap();
        assert_eq!(Flow::of(&packet), flow("192.0.2.10", "203.0.113.7", "GRE"));
        bytes[9] = 17;
        let packet = maltrail_wire::decode(maltrail_wire::LinkType::RAW, &bytes).unwrap();
        assert_eq!(
            Flow::of(&packet),
            flow("192.0.2.10:80", "203.0.113.7:81", "UDP")
        );
    }
}
