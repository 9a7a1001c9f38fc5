//! Packet bytes as typed views.
//!
//! Frame bytes go in, borrowed views come out: link layer, IP, TCP, UDP, ICMP, DNS, HTTP, TLS and QUIC
//! hellos. The crate knows nothing of trails, events or configuration.
//!
//! Guarantees: no allocation, no `unsafe`, no reachable panic (indexing and unwrapping are denied
//! outside tests), every loop bounded by a named constant. A frame cut by the capture length keeps
//! what was readable; what cannot be used comes back as a small `Copy` reason for a counter.
//!
//! Start at [`decode`] for a frame and at [`dns::Message::parse`] for a DNS payload; [`tls`] and [`quic`] read
//! what is said in the clear before a connection is encrypted.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod cursor;
pub mod dns;
pub mod http;
pub mod http2;
pub mod icmp;
pub mod ip;
pub mod link;
pub mod packet;
pub mod proto;
pub mod quic;
pub mod socks;
pub mod tcp;
pub mod tls;
pub mod udp;

pub use ip::{IpDrop, IpPacket};
pub use link::{LinkDrop, LinkGuess, LinkType, Network, network};
pub use packet::{Decoder, Drop, Packet, Transport, TransportDrop, decode};
pub use proto::proto_label;
pub use tcp::{Flags, TcpSegment};
pub use udp::UdpDatagram;
