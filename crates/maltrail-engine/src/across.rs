//! How one engine reaches the [`Census`]: it has its own, or it notes down what to tell it.
//!
//! A worker among several does the latter. Its [`Notes`] hold, packet by packet, what the census is to
//! be asked and the events that are certain, in the order in which an engine alone would have
//! reported them; whoever merges the workers ([`crate::merger`]) asks and reports.
//!
//! Bound: the notes of one batch, which the caller limits by the packets between two
//! [`Engine::take_notes`](crate::Engine::take_notes): one note a packet, and few more for those that say something.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use maltrail_core::event::Event;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_wire::{Packet, Transport};

use crate::brief::Brief;
use crate::burst;
use crate::census::Census;
use crate::finding::Finding;
use crate::flow::Flow;
use crate::heuristics::web_scanning::Place;

/// The census, here or elsewhere.
#[derive(Debug)]
pub(crate) enum Across {
    /// This engine works alone.
    Here(Box<Census>),
    /// This engine is one of several.
    Elsewhere(Notes),
}

/// What one worker has to say since it was asked last.
#[derive(Debug, Default)]
pub struct Notes {
    pub(crate) items: Vec<Noted>,
    /// Names and messages of the items.
    bytes: Vec<u8>,
    /// Where the items of the packet at hand begin.
    first: usize,
    order: u64,
    pub(crate) seed: RandomState,
}

/// An item and where it belongs among those of all workers.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) order: u64,
    pub(crate) item: Item,
}

/// Part of [`Notes::bytes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    start: u32,
    len: u32,
}

/// One thing that is said.
#[derive(Debug)]
pub(crate) enum Item {
    /// Time passes.
    Time(Timestamp),
    /// A packet; what follows belongs to it.
    Packet(Timestamp, Brief),
    /// The packet is a SYN, a probe, or a datagram that counts.
    Syn,
    Probe,
    Datagram,
    /// A message of the packet begins behind this many events; what follows belongs to it.
    Message(u32),
    /// The message, behind this many events, is nothing if its packet repeats: a SYN, or a datagram with
    /// this hash.
    Burst(u32, Option<u64>),
    /// Something listed was found in the SYN, or in the datagram.
    Listed {
        syn: bool,
    },
    /// A request for a place.
    Request(Box<(Flow, Place)>),
    /// A question, behind this many events of the packet.
    Question {
        after: u32,
        at: Timestamp,
        flow: Box<Flow>,
        name: Piece,
        message: Piece,
    },
    /// An answer says that there is no such name; whether it counts, and what is said if its domain
    /// is not exhausted.
    Missing {
        after: u32,
        at: Timestamp,
        flow: Box<Flow>,
        name: Piece,
        message: Piece,
        counted: bool,
        generated: Option<Box<Event>>,
    },
    /// The long name asked for last is reported, or something else if its domain is exhausted.
    Long(u32, Box<(Option<Event>, Option<Event>)>),
    /// An event that is certain.
    Event(Box<Event>),
}

impl Item {
    /// How many events of the packet come before.
    const fn after(&self) -> Option<usize> {
        match self {
            Self::Message(after)
            | Self::Question { after, .. }
            | Self::Missing { after, .. }
            | Self::Burst(after, _)
            | Self::Long(after, _) => Some(*after as usize),
            _ => None,
        }
    }
}

impl Notes {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many things are said.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All of it; nothing is left.
    pub(crate) fn take(&mut self) -> Self {
        let fresh = Self {
            items: Vec::with_capacity(self.items.len()),
            seed: self.seed.clone(),
            ..Self::default()
        };
        std::mem::replace(self, fresh)
    }

    /// What follows belongs to the packet with this number.
    #[inline]
    pub(crate) fn begin(&mut self, order: u64) {
        self.order = order;
        self.first = self.items.len();
    }

    #[inline]
    pub(crate) fn push(&mut self, item: Item) {
        let order = self.order;
        self.items.push(Noted { order, item });
    }

    /// Keeps a text.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Piece {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(bytes);
        Piece {
            start,
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }

    /// A text that was kept.
    pub(crate) fn kept(&self, piece: Piece) -> &[u8] {
        self.bytes
            .get(piece.start as usize..)
            .and_then(|rest| rest.get(..piece.len as usize))
            .unwrap_or_default()
    }

    /// Puts the events of the packet at hand between its notes.
    #[inline]
    pub(crate) fn settle(&mut self, events: &mut Vec<Event>) {
        if !events.is_empty() {
            self.weave(events);
        }
    }

    #[cold]
    fn weave(&mut self, events: &mut Vec<Event>) {
        let order = self.order;
        let notes: Vec<Noted> = self
            .items
            .drain(self.first.min(self.items.len())..)
            .collect();
        let mut events = events.drain(..).map(|event| Noted {
            order,
            item: Item::Event(Box::new(event)),
        });
        let mut told = 0;
        for note in notes {
            if let Some(after) = note.item.after() {
                let due = after.saturating_sub(told);
                self.items.extend(events.by_ref().take(due));
                told = told.max(after);
            }
            self.items.push(note);
        }
        self.items.extend(events);
    }
}

impl Across {
    /// Notes a SYN.
    #[inline]
    pub(crate) fn syn(&mut self, flow: &Flow) {
        match self {
            Self::Here(census) => census.scans.syn(flow),
            Self::Elsewhere(notes) => notes.push(Item::Syn),
        }
    }

    /// Notes a segment that only probes a port.
    #[inline]
    pub(crate) fn probe(&mut self, flow: &Flow) {
        match self {
            Self::Here(census) => census.scans.probe(flow),
            Self::Elsewhere(notes) => notes.push(Item::Probe),
        }
    }

    /// Notes a datagram outside port 53.
    #[inline]
    pub(crate) fn datagram(&mut self, flow: &Flow) {
        match self {
            Self::Here(census) => census.scans.datagram(flow),
            Self::Elsewhere(notes) => notes.push(Item::Datagram),
        }
    }

    /// Notes an HTTP request for `path`.
    #[inline]
    pub(crate) fn request(&mut self, at: Timestamp, flow: &Flow, path: &[u8]) {
        match self {
            Self::Here(census) => census.scans.request(at, flow, path),
            Self::Elsewhere(notes) => {
                if let Some(place) = Place::of(&notes.seed, at, flow, path) {
                    notes.push(Item::Request(Box::new((*flow, place))));
                }
            }
        }
    }

    /// Says that a message begins behind `told` events of the packet. The first one begins with it.
    #[inline]
    pub(crate) fn message(&mut self, told: usize) {
        if let Self::Elsewhere(notes) = self
            && (told > 0 || notes.items.len() > notes.first.saturating_add(1))
        {
            notes.push(Item::Message(u32::try_from(told).unwrap_or(u32::MAX)));
        }
    }

    /// Whether this packet was examined already, as far as is known here; `told` events of it came
    /// before.
    #[inline]
    pub(crate) fn repeats(
        &mut self,
        at: Timestamp,
        flow: &Flow,
        packet: &Packet<'_>,
        told: usize,
    ) -> bool {
        let payload = match packet.transport {
            Transport::Tcp(tcp) if tcp.flags.is_syn() => None,
            Transport::Udp(udp) => Some(udp.payload),
            _ => return false,
        };
        match self {
            Self::Here(census) => match payload {
                None => census.bursts.syn_repeats(at.secs(), flow),
                Some(payload) => census.bursts.datagram_repeats(at.secs(), flow, payload),
            },
            Self::Elsewhere(notes) => {
                let seed = &notes.seed;
                let hash = payload.map(|payload| {
                    let head = payload.get(..burst::HEAD).unwrap_or(payload);
                    seed.hash_one((payload.len(), head))
                });
                notes.push(Item::Burst(u32::try_from(told).unwrap_or(u32::MAX), hash));
                false
            }
        }
    }

    /// Says that something listed was found in the SYN, or in the datagram.
    pub(crate) fn listed(&mut self, syn: bool) {
        match self {
            Self::Here(census) if syn => census.bursts.syn_listed(),
            Self::Here(census) => census.bursts.datagram_listed(),
            Self::Elsewhere(notes) => notes.push(Item::Listed { syn }),
        }
    }
}

/// A name that an answer says does not exist.
#[derive(Debug)]
pub(crate) struct Missing<'a> {
    pub(crate) name: HostName<'a>,
    /// Whether it counts.
    pub(crate) counted: bool,
    /// What the name itself looks like.
    pub(crate) generated: Option<Finding<'static>>,
}
