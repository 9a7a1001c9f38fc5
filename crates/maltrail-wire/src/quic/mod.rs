//! The first packet of a QUIC client (RFC 9000, 9001, 9369): its keys follow from bytes in the
//! packet, so anybody on the path can read the ClientHello in it.
//!
//! ```text
//! datagram ─ Initial::parse ─► Initial ─ open ─► frames ─ crypto_stream ─► handshake messages
//! ```
//!
//! The first step reads a few bytes and refuses nearly everything; the second derives keys and checks the tag, so
//! bytes that no client sent for this version are never taken for frames. One packet is read at a
//! time; [`Initial::next`] leads to the one behind it, [`crypto_pieces`] is what streams over several
//! packets are put together from.
//!
//! Bounds: [`initial::MAX_PACKET`], [`frames::MAX_STREAM`], [`frames::MAX_PIECES`].

pub mod frames;
pub mod header;
pub mod initial;

pub use frames::{Piece, Pieces, StreamBuf, crypto_pieces, crypto_stream};
pub use header::{Initial, Version};
pub use initial::{InitialDrop, PacketBuf, open};
