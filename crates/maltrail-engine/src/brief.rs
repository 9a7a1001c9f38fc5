//! What is left of a packet when its bytes are gone: what is counted over all hosts.

use std::net::IpAddr;

use maltrail_wire::{Flags, Packet, Transport};

use crate::flow::{Endpoint, Flow};

/// A packet without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// Ports; 0 where the protocol has none.
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) carries: Carries,
    /// Bytes from the IP header on.
    pub(crate) bytes: u32,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// A segment, and whether an HTTP request starts in it.
    Tcp(Flags, bool),
    Udp,
    /// Whether it is an echo request.
    Icmp(bool),
    Other,
}

impl Brief {
    /// What is left of `packet`.
    #[inline]
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
        let (src_port, dst_port) = packet.ports().unwrap_or_default();
        Self {
            src: packet.ip.src,
            dst: packet.ip.dst,
            src_port,
            dst_port,
            carries: match packet.transport {
                Transport::Tcp(tcp) => Carries::Tcp(tcp.flags, is_request(tcp.payload)),
                Transport::Udp(_) => Carries::Udp,
                Transport::Icmp { echo_request, .. } => Carries::Icmp(echo_request),
                Transport::Other(_) => Carries::Other,
            },
            bytes: length(packet),
        }
    }
}

impl Brief {
    /// Its two ends; the protocol is named when it is TCP or UDP.
    pub(crate) const fn flow(&self) -> Flow {
        let proto = match self.carries {
            Carries::Tcp(..) => "TCP",
            Carries::Udp => "UDP",
            Carries::Icmp(_) | Carries::Other => "",
        };
        Flow {
            src: Endpoint {
                ip: self.src,
                port: Some(self.src_port),
            },
            dst: Endpoint {
                ip: self.dst,
                port: Some(self.dst_port),
            },
            proto,
        }
    }
}

/// Bytes from the IP header on.
#[inline]
fn length(packet: &Packet<'_>) -> u32 {
    let header = if packet.ip.dst.is_ipv6() { 40 } else { 20 };
    u32::try_from(packet.ip.payload.len())
        .unwrap_or(u32::MAX)
        .saturating_add(header)
}

/// Whether a request line starts here.
#[inline]
fn is_request(payload: &[u8]) -> bool {
    let Some(head) = payload.first_chunk::<4>() else {
        return false;
    };
    matches!(
        head,
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"DELE" | b"OPTI" | b"PATC" | b"PRI "
    )
}
