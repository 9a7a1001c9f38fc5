//! QUIC hellos that did not come in one packet.
//!
//! The CRYPTO frames of a client's first packets are pieces of one stream, in any order, and stay
//! apart by the client's first connection id, from which their keys are made. A hello is over when its
//! name is known or all of it is there; repetitions of its packets mean nothing then.
//!
//! Bound: [`MAX_FLIGHTS`] hellos of [`LIMIT`](crate::heads::pieces::LIMIT) bytes, 16 MiB at most; the one
//! used least recently makes room and is counted. One older than [`MAX_AGE`] seconds starts anew.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use maltrail_core::time::Timestamp;
use maltrail_wire::quic::crypto_pieces;
use maltrail_wire::tls::ClientHello;
use maltrail_wire::{Packet, Transport};

use crate::flow::Flow;
use crate::heads::MAX_AGE;
use crate::heads::pieces::Pieces;
use crate::state::lru::Lru;

/// Most hellos put together at a time, with those that are over.
pub(crate) const MAX_FLIGHTS: usize = 1024;
/// Connection ids are at most this long in versions 1 and 2.
const MAX_ID: usize = 20;

/// A connection id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    bytes: [u8; MAX_ID],
    len: usize,
}

impl Id {
    fn new(id: &[u8]) -> Self {
        let mut bytes = [0; MAX_ID];
        for (place, &byte) in bytes.iter_mut().zip(id) {
            *place = byte;
        }
        let len = id.len().min(MAX_ID);
        Self { bytes, len }
    }
}

impl std::ops::Deref for Id {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl PartialEq<&[u8]> for Id {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

/// What is there of a hello.
#[derive(Debug)]
struct Flight {
    flow: Flow,
    id: Id,
    since: Timestamp,
    over: bool,
    pieces: Pieces,
}

/// The start of a hello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// What is there without a gap.
    pub(crate) bytes: &'a [u8],
    /// When its first packet came.
    pub(crate) since: Timestamp,
}

/// All hellos that are put together.
#[derive(Debug)]
pub(crate) struct Flights {
    flights: Lru<Flight>,
    seed: RandomState,
    /// How many flights there ever were; without any, nobody has to look.
    begun: u64,
}

impl Flights {
    /// The share of one of `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            flights: Lru::new(MAX_FLIGHTS / workers.max(1)),
            seed: RandomState::default(),
            begun: 0,
        }
    }

    /// How many hellos were begun.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// How many made room for others.
    pub(crate) const fn evictions(&self) -> u64 {
        self.flights.evictions()
    }

    fn hash(&self, flow: &Flow) -> u64 {
        let number = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let ports = (flow.src.port, flow.dst.port);
        self.seed
            .hash_one((number(flow.src.ip), number(flow.dst.ip), ports))
    }

    /// The first id of the client that sent `packet`, if its hello is not over.
    pub(crate) fn awaited(&mut self, packet: &Packet<'_>) -> Option<Id> {
        if self.begun == 0 || !matches!(packet.transport, Transport::Udp(_)) {
            return None;
        }
        let flow = Flow::of(packet);
        let hash = self.hash(&flow);
        let flight = self.flights.get_mut(hash, |known| known.flow == flow)?;
        (!flight.over).then_some(flight.id)
    }

    /// Adds what stands in the frames of one packet; what is there then, unless the hello was over.
    pub(crate) fn add(
        &mut self,
        at: Timestamp,
        flow: Flow,
        id: &[u8],
        frames: &[u8],
    ) -> Option<Part<'_>> {
        crypto_pieces(frames).next()?;
        let hash = self.hash(&flow);
        if !self.flights.touch(hash, |known| known.flow == flow) {
            self.begun += 1;
            self.flights.insert(hash, Flight::new(at, flow, id));
        }
        let flight = self.flights.get_mut(hash, |known| known.flow == flow)?;
        let age = at.secs().saturating_sub(flight.since.secs());
        if flight.id != id || age.saturating_abs() > MAX_AGE {
            self.begun += 1;
            *flight = Flight::new(at, flow, id);
        }
        if flight.over {
            return None;
        }
        for piece in crypto_pieces(frames) {
            flight.pieces.add(piece.offset, piece.data);
        }
        let bytes = flight.pieces.start();
        let named = ClientHello::in_messages(bytes).is_some_and(|it| it.server_name().is_some());
        if named || is_whole(bytes) {
            flight.over = true;
        }
        Some(Part {
            bytes: flight.pieces.start(),
            since: flight.since,
        })
    }
}

impl Flight {
    fn new(since: Timestamp, flow: Flow, id: &[u8]) -> Self {
        Self {
            flow,
            id: Id::new(id),
            since,
            over: false,
            pieces: Pieces::new(),
        }
    }
}

/// Whether `stream` holds all of its first message, or something that is no hello.
pub(crate) fn is_whole(stream: &[u8]) -> bool {
    match stream.split_first_chunk() {
        Some((&[1, a, b, c], body)) => {
            usize::try_from(u32::from_be_bytes([0, a, b, c])).is_ok_and(|len| body.len() >= len)
        }
        _ => stream.first().is_some_and(|&kind| kind != 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;
    use crate::heads::pieces::LIMIT;

    fn crypto(offset: u16, data: &[u8]) -> Vec<u8> {
        let offset = (0x4000 | offset).to_be_bytes();
        let length = (0x4000 | u16::try_from(data.len()).unwrap()).to_be_bytes();
        [&[6], &offset[..], &length, data].concat()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_parts(second, 0)
    }

    fn key(port: u16) -> Flow {
        let src = format!("192.0.2.10:{port}");
        flow(&src, "203.0.113.7:443", "UDP")
    }

    #[test]
    fn pieces_of_one_client_come_together() {
        let mut flights = Flights::new(1);
        let (id, other) = ([7; 8], [8; 8]);
        let part = flights
            .add(at(1), key(1), &id, &crypto(4, b"efgh"))
            .unwrap();
        assert_eq!((part.bytes, part.since), (&b""[..], at(1)));
        flights.add(at(1), key(2), &id, &crypto(0, b"\x01XXX"));
        let part = flights.add(at(2), key(1), &id, &crypto(0, b"\x01\0\0\x04"));
        let part = part.unwrap();
        assert_eq!((part.bytes, part.since), (&b"\x01\0\0\x04efgh"[..], at(1)));
        let over = flights.add(at(3), key(1), &id, &crypto(0, b"\x01\0\0\x04"));
        assert!(over.is_none(), "it is over");
        let part = flights.add(at(3), key(1), &other, &crypto(0, b"\x01"));
        assert_eq!(part.unwrap().since, at(3), "another client");
        let part = flights.add(at(40), key(1), &other, &crypto(0, b"\x01"));
        assert_eq!(part.unwrap().since, at(40), "too old");
    }

    #[test]
    fn the_bounds_hold() {
        let mut flights = Flights::new(1);
        for port in 0..5000 {
            let far = u16::try_from(LIMIT - 2).unwrap();
            flights.add(at(1), key(port), &[7; 8], &crypto(far, b"xyz"));
        }
        let held: usize = flights.flights.iter().map(|it| it.pieces.held()).sum();
        assert!(held <= MAX_FLIGHTS * LIMIT && held > 0, "{held}");
        assert_eq!(flights.flights.len(), MAX_FLIGHTS);
        assert_eq!(flights.evictions(), 5000 - MAX_FLIGHTS as u64);
    }
}
