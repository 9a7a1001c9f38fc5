//! TCP segments on their way to what examines them: as they are, or put together.
//!
//! A message that was put together goes through [`Engine::decoded`] as a segment of its own, so it is
//! judged by the same code as one that came whole. See [`heads`](crate::heads).

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_wire::http::Request;
use maltrail_wire::tls;
use maltrail_wire::{Flags, IpPacket, Packet, TcpSegment, Transport, proto};

use super::Engine;
use crate::extract::DNS_PORT;
use crate::flow::Flow;
use crate::heads::message::{self, End, Kind, Start};
use crate::heads::openings::Place;
use crate::heads::pieces::LIMIT;
use crate::heads::{Head, MAX_AGE, Position};

/// What became of a segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They are to be examined as they are.
    Stays,
    /// They are, or were, part of a message over several segments.
    Taken,
}

impl Engine {
    /// A packet on its way; whether it is to be examined as it is. What it completes is examined here.
    #[inline]
    pub(super) fn routed(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        out: &mut Vec<Event>,
    ) -> bool {
        const CONTROL: u8 = Flags::SYN.bits() | Flags::FIN.bits() | Flags::RST.bits();
        match &packet.transport {
            Transport::Tcp(tcp)
                if (!tcp.payload.is_empty() || tcp.flags.bits() & CONTROL != 0)
                    && !packet.ip.fragment =>
            {
                self.segment(at, packet, tcp, out)
            }
            _ => true,
        }
    }

    /// Examines what waits, in the order of its last use, and forgets it: the capture ends.
    pub(super) fn end_heads(&mut self, out: &mut Vec<Event>) {
        while let Some(head) = self.heads.take_oldest() {
            self.conclude(head, out);
        }
        self.count_heads();
    }

    /// Examines what has waited long enough.
    pub(super) fn age_heads(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        for slot in 0..self.heads.slots() {
            let Some((place, mut head, age)) = self.heads.take_aged(slot, now) else {
                continue;
            };
            if age >= MAX_AGE {
                self.heads.seen.expired += 1;
                self.conclude(head, out);
            } else {
                self.examine_part(&mut head, out);
                self.heads.put(place, head);
            }
        }
        self.count_heads();
    }

    fn count_heads(&mut self) {
        let (waiting, bytes) = self.heads.held();
        self.counters.heads(self.heads.seen, waiting, bytes);
    }

    #[inline]
    fn segment(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        tcp: &TcpSegment<'_>,
        out: &mut Vec<Event>,
    ) -> bool {
        let place = self.heads.place(packet, tcp);
        if tcp.flags.contains(Flags::SYN) {
            return self.opening(at, place, packet, tcp, out);
        }
        let takes = tcp.flags.contains(Flags::ACK) || tcp.flags.contains(Flags::RST);
        let taken = takes && self.stream(at, place, packet, tcp, tcp.seq, out) == Fate::Taken;
        self.counters.head_segments += u64::from(taken);
        !taken
    }

    /// A segment that opens a connection, maybe with data (RFC 7413).
    #[cold]
    #[inline(never)]
    fn opened_with_data(
        &mut self,
        at: Timestamp,
        place: Place,
        packet: &Packet<'_>,
        tcp: &TcpSegment<'_>,
        out: &mut Vec<Event>,
    ) -> Fate {
        let first = tcp.seq.wrapping_add(1);
        let fate = self.stream(at, place, packet, tcp, first, out);
        if fate == Fate::Stays && self.heads.start(tcp.payload, is_dns(tcp)) != Start::Other {
            self.show(at, &Flow::of(packet), tcp.payload, out);
            let end = first.wrapping_add(tcp.payload.len() as u32);
            self.heads.awaits(place, end, true);
            return Fate::Taken;
        }
        fate
    }

    #[inline]
    fn opening(
        &mut self,
        at: Timestamp,
        place: Place,
        packet: &Packet<'_>,
        tcp: &TcpSegment<'_>,
        out: &mut Vec<Event>,
    ) -> bool {
        let first = tcp.seq.wrapping_add(1);
        let data = !tcp.payload.is_empty();
        // The same SYN once more brings nothing new.
        if !data || self.heads.position(place, first, tcp.payload.len()) != Position::Known {
            if self.heads.may_wait(place) {
                self.overtaken(place, &Flow::of(packet), out);
            }
            self.heads.awaits(place, first, false);
            if !data || self.opened_with_data(at, place, packet, tcp, out) == Fate::Stays {
                return true;
            }
        }
        let bare = Packet {
            transport: Transport::Tcp(TcpSegment {
                payload: &[],
                ..*tcp
            }),
            ..*packet
        };
        self.decoded_aside(at, &bare, out);
        false
    }

    /// A new connection has the ends of one whose head waits.
    #[cold]
    #[inline(never)]
    fn overtaken(&mut self, place: Place, flow: &Flow, out: &mut Vec<Event>) {
        if let Some(head) = self.heads.take(place, flow) {
            self.heads.seen.dropped += 1;
            self.conclude(head, out);
        }
    }

    /// [`Engine::decoded`] for packets that are not as they came, which are few.
    #[cold]
    #[inline(never)]
    fn decoded_aside(&mut self, at: Timestamp, packet: &Packet<'_>, out: &mut Vec<Event>) {
        self.decoded(at, packet, out);
    }

    /// Where the bytes of a segment belong, the first of which has the number `start`.
    #[inline]
    fn stream(
        &mut self,
        at: Timestamp,
        place: Place,
        packet: &Packet<'_>,
        tcp: &TcpSegment<'_>,
        start: u32,
        out: &mut Vec<Event>,
    ) -> Fate {
        if self.heads.may_wait(place)
            && self.waiting(at, place, packet, tcp, start, out) == Fate::Taken
        {
            return Fate::Taken;
        }
        let (mut start, mut payload) = (start, tcp.payload);
        let position = self.heads.position(place, start, payload.len());
        let mut found = self.heads.start(payload, is_dns(tcp));
        let first = match position {
            Position::Anywhere if found == Start::Other => return Fate::Stays,
            Position::Known => {
                self.count_heads();
                return Fate::Taken;
            }
            Position::Ahead(first) => Some(first),
            Position::Anywhere | Position::Next => None,
            Position::Over(known) => {
                // Part of it was sent before, unless it stands for itself.
                if matches!(found, Start::Other | Start::Cut(_))
                    && let Some(fresh) = payload.get(known..)
                    && let next = self.heads.start(fresh, is_dns(tcp))
                    && next != Start::Other
                {
                    (start, payload, found) = (start.wrapping_add(known as u32), fresh, next);
                }
                None
            }
        };
        let end = start.wrapping_add(payload.len() as u32);
        let kind = match found {
            Start::Other if first.is_none() => {
                self.heads.settle(place);
                return Fate::Stays;
            }
            Start::Other if payload.is_empty() || is_response(payload) => {
                return Fate::Stays;
            }
            Start::Other => None,
            Start::Cut(kind) => Some(kind),
            Start::Whole(kind) if first.is_some() && !message::is_own_start(payload) => {
                found = Start::Cut(kind);
                None
            }
            Start::Enough => {
                self.heads.examined(place, end);
                None
            }
            Start::Whole(_) => {
                if first.is_none() {
                    self.heads.awaits(place, end, false);
                }
                None
            }
        };
        if matches!(found, Start::Whole(_) | Start::Enough) {
            let dns = found == Start::Whole(Kind::Dns);
            if dns && message::message(payload) != Ok(tcp.payload.len()) {
                self.show_messages(at, &Flow::of(packet), payload, out);
                return Fate::Taken;
            }
            if payload.len() != tcp.payload.len() {
                self.show(at, &Flow::of(packet), payload, out);
                return Fate::Taken;
            }
            return Fate::Stays;
        }
        // What the capture cut off will never come.
        if packet.ip.truncated {
            return Fate::Stays;
        }
        self.begin(at, place, packet, payload, (start, first, kind), out);
        Fate::Taken
    }

    /// A new head, whose first byte has the number `first`, or that of the segment.
    #[cold]
    #[inline(never)]
    fn begin(
        &mut self,
        at: Timestamp,
        place: Place,
        packet: &Packet<'_>,
        payload: &[u8],
        (start, first, kind): (u32, Option<u32>, Option<Kind>),
        out: &mut Vec<Event>,
    ) {
        let seq = first.unwrap_or(start);
        let kind = if first.is_none() { kind } else { None };
        self.heads.seen.begun += 1;
        let head = Head::new(Flow::of(packet), at, seq, kind);
        self.grow(
            at,
            place,
            head,
            start.wrapping_sub(seq) as usize,
            payload,
            out,
        );
    }

    /// A segment of a connection for which something may wait, in either direction.
    #[cold]
    #[inline(never)]
    fn waiting(
        &mut self,
        at: Timestamp,
        place: Place,
        packet: &Packet<'_>,
        tcp: &TcpSegment<'_>,
        start: u32,
        out: &mut Vec<Event>,
    ) -> Fate {
        let flow = Flow::of(packet);
        // A server that answers has the request; unless it only asks for the body.
        if (!tcp.payload.is_empty() && !asks_for_body(tcp.payload))
            || tcp.flags.contains(Flags::RST)
        {
            self.examine_waiting(place.reverse(), &flow.reverse(), None, out);
        }
        let fate = if tcp.payload.is_empty() {
            Fate::Stays
        } else {
            self.continued(at, place, flow, tcp, start, out)
        };
        if tcp.flags.contains(Flags::RST) {
            self.examine_waiting(place, &flow, None, out);
        } else if tcp.flags.contains(Flags::FIN) {
            self.examine_waiting(place, &flow, Some(end_of(start, tcp)), out);
        }
        self.count_heads();
        fate
    }

    /// Examines what is there of a direction's head, which goes on waiting; with `end`, only if the
    /// stream is known up to there.
    fn examine_waiting(
        &mut self,
        place: Place,
        flow: &Flow,
        end: Option<u32>,
        out: &mut Vec<Event>,
    ) {
        if let Some(mut head) = self.heads.take(place, flow) {
            let known = head.seq.wrapping_add(head.pieces.start().len() as u32);
            if end.is_none_or(|end| end == known) {
                self.examine_part(&mut head, out);
            }
            self.heads.put(place, head);
        }
    }

    /// A segment that may belong to the head of its direction.
    fn continued(
        &mut self,
        at: Timestamp,
        place: Place,
        flow: Flow,
        tcp: &TcpSegment<'_>,
        start: u32,
        out: &mut Vec<Event>,
    ) -> Fate {
        let Some(mut head) = self.heads.take(place, &flow) else {
            return Fate::Stays;
        };
        let ahead = start.wrapping_sub(head.seq);
        let behind = head.seq.wrapping_sub(start) as usize;
        let (offset, payload) = if (ahead as usize) < LIMIT {
            (ahead as usize, tcp.payload)
        } else if behind <= LIMIT {
            match tcp.payload.get(behind..) {
                Some(fresh) if !fresh.is_empty() => (0, fresh),
                _ => {
                    self.heads.seen.repeated += 1;
                    self.heads.put(place, head);
                    return Fate::Taken;
                }
            }
        } else {
            self.heads.seen.gaps += 1;
            self.leave(place, head, out);
            return Fate::Stays;
        };
        if head.kind.is_none() && offset == 0 {
            match self.heads.start(payload, is_dns(tcp)) {
                Start::Cut(kind) | Start::Whole(kind) => head.kind = Some(kind),
                Start::Enough => head.kind = Some(Kind::Tls),
                // What waits behind it is no message either.
                Start::Other => {
                    self.heads.seen.dropped += 1;
                    self.leave(place, head, out);
                    return Fate::Stays;
                }
            }
        }
        self.grow(at, place, head, offset, payload, out);
        Fate::Taken
    }

    /// Adds bytes to a head, examines what is complete and lets it wait for the rest.
    fn grow(
        &mut self,
        at: Timestamp,
        place: Place,
        mut head: Head,
        offset: usize,
        payload: &[u8],
        out: &mut Vec<Event>,
    ) {
        let fits = head.pieces.add(offset, payload);
        self.heads.seen.pieces_lost += u64::from(!fits && offset + payload.len() <= LIMIT);
        if self.completes(at, &mut head, out) {
            self.heads.awaits(place, head.seq, true);
        } else if head.pieces.start().len() >= LIMIT {
            self.heads.seen.too_long += 1;
            self.leave(place, head, out);
        } else {
            while let Some(other) = self.heads.take_for(head.pieces.held()) {
                self.conclude(other, out);
            }
            self.heads.put(place, head);
        }
        self.count_heads();
    }

    /// Examines the complete messages of a head; whether nothing is left to wait for.
    fn completes(&mut self, at: Timestamp, head: &mut Head, out: &mut Vec<Event>) -> bool {
        let bytes = head.pieces.start();
        let Some(kind) = head.kind.filter(|_| !bytes.is_empty()) else {
            return false;
        };
        let (done, end) = match kind {
            Kind::Http => message::requests(bytes),
            Kind::Dns => message::messages(bytes),
            Kind::Tls => self.handshake(head, out),
        };
        if done > 0 {
            if kind == Kind::Http {
                self.show_head(head, done, out);
            } else if kind == Kind::Dns {
                let bytes = head.pieces.start().get(..done).unwrap_or_default();
                self.show_messages(head.at, &head.flow, bytes, out);
            }
            self.heads.seen.completed += 1;
            head.advance(done, at);
        }
        match end {
            End::Cut => false,
            // A piece behind a gap belongs to the next message.
            End::Whole => head.pieces.is_empty(),
            End::Other => {
                self.heads.seen.dropped += 1;
                true
            }
        }
    }

    /// Examines a handshake once it shows all that is of interest; how much of it that is.
    fn handshake(&mut self, head: &Head, out: &mut Vec<Event>) -> (usize, End) {
        let bytes = head.pieces.start();
        let mut record = std::mem::take(&mut self.heads.record);
        let mut end = message::handshake(bytes, &mut record);
        if end == End::Cut && message::shows(&record) {
            end = End::Whole;
        }
        if end == End::Whole {
            self.show(head.at, &head.flow, &record, out);
        }
        self.heads.record = record;
        match end {
            End::Whole => (bytes.len(), End::Whole),
            other => (0, other),
        }
    }

    /// Gives up a head whose stream goes on without it.
    fn leave(&mut self, place: Place, head: Head, out: &mut Vec<Event>) {
        if head.advanced {
            self.heads.examined(place, head.seq);
        } else {
            self.heads.settle(place);
        }
        self.conclude(head, out);
    }

    /// Examines what is there of a head that nothing will be added to.
    fn conclude(&mut self, mut head: Head, out: &mut Vec<Event>) {
        if head.kind.is_some() {
            return self.examine_part(&mut head, out);
        }
        // The start is missing: what comes first may still be a message of its own.
        let bytes = head.pieces.first_run();
        if Request::parse(bytes).is_some() || tls::is_handshake(bytes) {
            self.show(head.at, &head.flow, bytes, out);
        }
    }

    /// Examines what is there of a request, if that is more than was examined.
    fn examine_part(&mut self, head: &mut Head, out: &mut Vec<Event>) {
        let bytes = head.pieces.start();
        let length = bytes.len();
        if head.kind == Some(Kind::Http)
            && length > head.examined
            && Request::parse(bytes).is_some()
        {
            self.show_head(head, length, out);
            head.examined = length;
        }
    }

    /// Examines the first `length` bytes of a head and reports what is new.
    fn show_head(&mut self, head: &mut Head, length: usize, out: &mut Vec<Event>) {
        let before = out.len();
        let bytes = head.pieces.start().get(..length).unwrap_or_default();
        self.show(head.at, &head.flow, bytes, out);
        let counters = &mut self.counters;
        self.heads
            .keep_new(head, out, before, |event| counters.take_back(event));
    }

    /// Examines DNS messages one by one.
    fn show_messages(&mut self, at: Timestamp, flow: &Flow, bytes: &[u8], out: &mut Vec<Event>) {
        let mut rest = bytes;
        while let Ok(length) = message::message(rest)
            && let Some((message, after)) = rest.split_at_checked(length)
        {
            self.show(at, flow, message, out);
            rest = after;
        }
    }

    /// Examines `payload` as if it had come in one segment.
    fn show(&mut self, at: Timestamp, flow: &Flow, payload: &[u8], out: &mut Vec<Event>) {
        self.counters.head_messages += 1;
        let packet = Packet {
            ip: IpPacket {
                src: flow.src.ip,
                dst: flow.dst.ip,
                proto: proto::TCP,
                payload,
                fragment: false,
                truncated: false,
            },
            transport: Transport::Tcp(TcpSegment {
                src_port: flow.src.port.unwrap_or_default(),
                dst_port: flow.dst.port.unwrap_or_default(),
                seq: 0,
                flags: Flags::ACK,
                payload,
            }),
        };
        self.decoded_aside(at, &packet, out);
    }
}

const fn is_dns(tcp: &TcpSegment<'_>) -> bool {
    tcp.src_port == DNS_PORT || tcp.dst_port == DNS_PORT
}

const fn end_of(start: u32, tcp: &TcpSegment<'_>) -> u32 {
    start.wrapping_add(tcp.payload.len() as u32)
}

/// Whether this starts a response, and is not the end of a request's first line.
fn is_response(payload: &[u8]) -> bool {
    payload.starts_with(b"HTTP/") && payload.get(8) == Some(&b' ')
}

/// Whether a server asks for the rest of a request (RFC 9110, 15.2).
fn asks_for_body(payload: &[u8]) -> bool {
    payload.starts_with(b"HTTP/1.") && payload.get(8..10) == Some(b" 1")
}
