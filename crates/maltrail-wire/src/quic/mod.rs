//! The first packet of a QUIC client (RFC 9000, 9001, 9369): its keys follow from bytes in the
//! packet, so anybody on the path can read the ClientHello in it.
//!
//! ```text
//! datagram ─ Initial::parse ─► Initial ─ open ─► frames ─ crypto_stream ─► handshake messages
//! ```
//!
//! The first step reads a few bytes and refuses nearly everything; the second derives keys and checks the tag, so
//! bytes that no client sent for this version are never taken for frames. One datagram is read, and
//! of it the first packet.
//!
//! Bounds: [`initial::MAX_PACKET`], [`frames::MAX_STREAM`], [`frames::MAX_PIECES`].

pub mod frames;
pub mod header;
pub mod initial;

pub use frames::{Pieces, StreamBuf, crypto_stream};
pub use header::{Initial, Version};
pub use initial::{InitialDrop, PacketBuf, open};
