//! Heads of streams: the first bytes of a message that did not come in one segment.
//!
//! ```text
//! segment ─► fits a waiting head? ─ yes ─► put there ─► complete? ─► examined as if in one segment
//!                │ no
//!                └─► complete in itself, or no message ─► examined as it is, nothing copied
//!                    message that goes on, or a gap before it ─► waits as a new head
//! ```
//!
//! A head is examined once, when it is complete, with the time and the ends of its first packet. An
//! HTTP request that is not complete is examined with what is there after [`PATIENCE`] seconds, when
//! its server answers, its client closes, or it has to make room; should it go on, only what is new is
//! reported. Other messages tell nothing before they are complete. So a split message gives the
//! events of a whole one, later by what the sender took to send it and by 2 s at most for what is
//! there; that is chosen over examining first segments at once because a request tells another story
//! before its `Host` is known.
//!
//! The first bytes of a place win; how systems differ in that is not looked at. Segments that no
//! receiver takes (without ACK) never add to a head. A first segment is recognised by the SYN before
//! it or, without one, by what it looks like. After a message in parts, repetitions of them mean
//! nothing.
//!
//! Bounds: [`MAX_HEADS`] heads and [`MAX_HELD`] bytes of them; the head used least recently makes room.
//! [`pieces::LIMIT`] bytes a head, [`MAX_AGE`] seconds. [`openings::PLACES`] awaited messages.
//! [`MAX_REPORTED`] reports remembered a head.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_wire::{Packet, TcpSegment};

use crate::flow::Flow;

pub(crate) mod message;
pub(crate) mod openings;
pub(crate) mod pieces;
pub(crate) mod table;

use message::{Kind, Start};
use openings::{Opening, Openings, Place};
use pieces::{LIMIT, Pieces};
use table::Table;

/// Most heads that wait.
pub(crate) const MAX_HEADS: usize = 1 << 14;
/// Most bytes of all heads; QUIC has as much again, which makes the 32 MiB of design §7.
pub(crate) const MAX_HELD: usize = 16 << 20;
/// Seconds after which what is there is examined.
pub(crate) const PATIENCE: i64 = 2;
/// Seconds after which a head is given up. Servers wait about as long for the rest of a request.
pub(crate) const MAX_AGE: i64 = 30;
/// Most reports of an incomplete head that are remembered.
const MAX_REPORTED: usize = 16;
/// Places of the filter.
const FILTER: usize = 1 << 15;

/// A message of which not all is there.
#[derive(Debug)]
pub(crate) struct Head {
    /// The ends of its first packet.
    pub(crate) flow: Flow,
    /// The time of its first packet.
    pub(crate) at: Timestamp,
    /// The sequence number of its first byte.
    pub(crate) seq: u32,
    /// What it is, once its first byte is there.
    pub(crate) kind: Option<Kind>,
    /// What is there.
    pub(crate) pieces: Pieces,
    /// How much of it was examined.
    pub(crate) examined: usize,
    /// Whether messages before it were examined.
    pub(crate) advanced: bool,
    /// What was reported then.
    reported: Vec<u64>,
}

impl Head {
    pub(crate) const fn new(flow: Flow, at: Timestamp, seq: u32, kind: Option<Kind>) -> Self {
        Self {
            flow,
            at,
            seq,
            kind,
            pieces: Pieces::new(),
            examined: 0,
            advanced: false,
            reported: Vec::new(),
        }
    }

    /// Forgets `count` bytes that were examined; what follows came at `at`.
    pub(crate) fn advance(&mut self, count: usize, at: Timestamp) {
        self.pieces.advance(count);
        self.seq = self.seq.wrapping_add(count as u32);
        self.at = at;
        (self.examined, self.advanced) = (0, true);
        self.reported = Vec::new();
        if self.pieces.start().is_empty() {
            self.kind = None;
        }
    }
}

/// What happened to heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Heads begun.
    pub(crate) begun: u64,
    /// Heads completed.
    pub(crate) completed: u64,
    /// Heads that made room for others.
    pub(crate) evicted: u64,
    /// Heads given up at [`LIMIT`].
    pub(crate) too_long: u64,
    /// Heads given up because a gap in them was not filled before the stream left them behind.
    pub(crate) gaps: u64,
    /// Heads given up after [`MAX_AGE`].
    pub(crate) expired: u64,
    /// Heads that turned out to be no message, or were closed or overtaken by a new connection.
    pub(crate) dropped: u64,
    /// Segments left out because of too many gaps.
    pub(crate) pieces_lost: u64,
    /// Segments of messages that were examined already.
    pub(crate) repeated: u64,
}

/// Where a segment stands in what is known about its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Nothing is known.
    Anywhere,
    /// It is what comes next, or it is far from it.
    Next,
    /// So many bytes at its start were examined before.
    Over(usize),
    /// All of it was examined.
    Known,
    /// Something is missing before it, from this sequence number on.
    Ahead(u32),
}

/// All heads of one engine.
#[derive(Debug)]
pub(crate) struct Heads {
    keys: [u64; 3],
    openings: Openings,
    /// How many heads a hash has, as far as a byte counts; most segments end here.
    filter: Box<[u8]>,
    table: Table,
    held: usize,
    /// Most bytes of heads.
    most_held: usize,
    /// The last second in which ages were looked at.
    swept: i64,
    /// Room for a handshake put together.
    pub(crate) record: Vec<u8>,
    pub(crate) seen: Seen,
}

impl Heads {
    /// The share of one of `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        let seed = RandomState::default();
        Self {
            most_held: MAX_HELD / workers.max(1),
            keys: [1_u8, 2, 3].map(|n| seed.hash_one(n)),
            openings: Openings::new(),
            filter: vec![0; FILTER].into_boxed_slice(),
            table: Table::new(MAX_HEADS / workers.max(1)),
            held: 0,
            swept: i64::MIN,
            record: Vec::with_capacity(LIMIT + 5),
            seen: Seen::default(),
        }
    }

    /// How many heads wait, and the bytes they hold.
    pub(crate) const fn held(&self) -> (usize, usize) {
        (self.table.len(), self.held)
    }

    /// The direction of a segment.
    #[inline]
    pub(crate) fn place(&self, packet: &Packet<'_>, tcp: &TcpSegment<'_>) -> Place {
        let [one, two, three] = self.keys;
        let end = |ip: IpAddr, port: u16| {
            let word = match ip {
                IpAddr::V4(v4) => u64::from(v4.to_bits()) << 16,
                IpAddr::V6(v6) => {
                    let bits = v6.to_bits();
                    fold((bits >> 64) as u64 ^ two, bits as u64 ^ three)
                }
            };
            word ^ u64::from(port) ^ one
        };
        let src = end(packet.ip.src, tcp.src_port);
        let dst = end(packet.ip.dst, tcp.dst_port);
        Place {
            // A product is the same for both directions.
            hash: fold(src, dst),
            upward: src < dst,
        }
    }

    /// Whether a head of either direction may wait; wrong now and then, but only when it says yes.
    #[inline]
    pub(crate) fn may_wait(&self, place: Place) -> bool {
        self.table.len() != 0
            && self
                .filter
                .get(place.hash as usize & (FILTER - 1))
                .is_some_and(|&count| count != 0)
    }

    /// Where a segment from `start` on stands.
    #[inline]
    pub(crate) fn position(&mut self, place: Place, start: u32, len: usize) -> Position {
        let Some(opening) = self.openings.get(place) else {
            return Position::Anywhere;
        };
        let ahead = start.wrapping_sub(opening.next);
        if ahead == 0 {
            return Position::Next;
        }
        if opening.holds && (ahead as usize) < LIMIT {
            return Position::Ahead(opening.next);
        }
        let behind = opening.next.wrapping_sub(start) as usize;
        if behind > LIMIT {
            return Position::Next;
        }
        if len > behind {
            return Position::Over(behind);
        }
        if opening.known {
            self.seen.repeated += 1;
            return Position::Known;
        }
        Position::Next
    }

    /// A message is awaited at `next`. `known`: what came before was examined in parts.
    pub(crate) fn awaits(&mut self, place: Place, next: u32, known: bool) {
        let holds = true;
        self.openings.set(place, Opening { next, holds, known });
    }

    /// What came before `next` is examined, and nothing is awaited.
    pub(crate) fn examined(&mut self, place: Place, next: u32) {
        let (holds, known) = (false, true);
        self.openings.set(place, Opening { next, holds, known });
    }

    /// No message is awaited in a direction of which something is known.
    pub(crate) fn settle(&mut self, place: Place) {
        if self.openings.get(place).is_some_and(|known| known.holds) {
            self.openings.settle(place);
        }
    }

    /// What a payload starts with.
    #[inline]
    pub(crate) fn start(&mut self, payload: &[u8], dns: bool) -> Start {
        message::start(payload, dns, &mut self.record)
    }

    /// Takes out the head of a direction.
    pub(crate) fn take(&mut self, place: Place, flow: &Flow) -> Option<Head> {
        let at = self.table.find(place, flow)?;
        self.remove(at)
    }

    /// Takes out the head used least recently.
    pub(crate) fn take_oldest(&mut self) -> Option<Head> {
        let at = self.table.oldest()?;
        self.remove(at)
    }

    /// Takes out a head that has to make room before one with `held` bytes is added.
    pub(crate) fn take_for(&mut self, held: usize) -> Option<Head> {
        if !self.table.is_full() && self.held.saturating_add(held) <= self.most_held {
            return None;
        }
        let head = self.take_oldest()?;
        self.seen.evicted += 1;
        Some(head)
    }

    /// Adds a head, for which there is room.
    pub(crate) fn put(&mut self, place: Place, head: Head) {
        self.held = self.held.saturating_add(head.pieces.held());
        if let Some(count) = self.filter.get_mut(place.hash as usize & (FILTER - 1)) {
            // What counted to the end is never taken back, as nobody knows how far.
            *count = count.saturating_add(1);
        }
        self.table.insert(place, head);
    }

    fn remove(&mut self, at: u32) -> Option<Head> {
        let place = self.table.place(at)?;
        let head = self.table.remove(at)?;
        self.held = self.held.saturating_sub(head.pieces.held());
        if let Some(count) = self.filter.get_mut(place.hash as usize & (FILTER - 1))
            && *count != u8::MAX
        {
            *count = count.saturating_sub(1);
        }
        Some(head)
    }

    /// Whether ages have to be looked at: once a second, and when time jumps.
    #[inline]
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        let second = now.secs();
        if self.table.len() == 0 || (second <= self.swept && self.swept - second < MAX_AGE) {
            return false;
        }
        self.swept = second;
        true
    }

    /// Slots in which heads may stand.
    pub(crate) fn slots(&self) -> u32 {
        self.table.slots()
    }

    /// Takes out the head of a slot if it has waited for `seconds`; how long it has.
    pub(crate) fn take_aged(&mut self, at: u32, now: Timestamp) -> Option<(Place, Head, i64)> {
        let head = self.table.get(at)?;
        let age = now.secs().saturating_sub(head.at.secs()).saturating_abs();
        let worth = age >= MAX_AGE
            || (age >= PATIENCE
                && head.kind == Some(Kind::Http)
                && head.pieces.start().len() > head.examined);
        if !worth {
            return None;
        }
        let place = self.table.place(at)?;
        Some((place, self.remove(at)?, age))
    }

    /// Leaves of `events`, from `first` on, those that the head did not bring before.
    pub(crate) fn keep_new(
        &self,
        head: &mut Head,
        events: &mut Vec<Event>,
        first: usize,
        mut forget: impl FnMut(&Event),
    ) {
        let [key, ..] = self.keys;
        let before = head.reported.len();
        let mut at = first;
        while let Some(event) = events.get(at) {
            let hash = foldhash::fast::FixedState::with_seed(key)
                .hash_one((event.kind.as_str(), event.trail.as_str()));
            if head
                .reported
                .iter()
                .take(before)
                .any(|&known| known == hash)
            {
                forget(event);
                events.remove(at);
            } else {
                if head.reported.len() < MAX_REPORTED {
                    head.reported.push(hash);
                }
                at += 1;
            }
        }
    }
}

/// Both halves of a product, mixed.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ (product >> 64) as u64
}
