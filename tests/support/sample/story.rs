//! What a storyteller has: a clock, a die, and sentences such as "asks", "visits", "talks".

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Planted, Sample};
use crate::packet::{self, End, Host, Qtype, Segment};
use crate::payload;
use crate::pcap::Frame;

/// Office resolver.
pub(super) const RESOLVER: &str = "10.20.0.2";

/// What a list says: info, severity.
#[derive(Clone, Copy)]
pub(super) struct Listed(pub(super) &'static str, pub(super) &'static str);

/// Xorshift64*: small, seeded, the same everywhere.
struct Die(u64);

impl Die {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// One thing said in a conversation.
pub(super) enum Turn {
    /// By the client.
    Up(Vec<u8>),
    /// By the server.
    Down(Vec<u8>),
}

/// The story so far.
pub(super) struct Story {
    start: u64,
    die: Die,
    next_port: u16,
    frames: Vec<Frame>,
    planted: BTreeSet<Planted>,
}

impl Story {
    pub(super) const fn new(start: u64) -> Self {
        Self {
            start,
            die: Die(0x6d61_6c74_7261_696c),
            next_port: 49_152,
            frames: Vec::new(),
            planted: BTreeSet::new(),
        }
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.die.next() % bound
    }

    /// One of these.
    pub(super) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.below(choices.len() as u64) as usize;
        choices.get(at).expect("a choice")
    }

    /// Bytes without a meaning.
    pub(super) fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.die.next() as u8).collect()
    }

    fn random32(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.die.next() as u8)
    }

    /// A client port that nobody used yet.
    pub(super) fn port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(32_768);
        self.next_port
    }

    /// A frame, seconds after the start.
    pub(super) fn frame(&mut self, at: f64, bytes: Vec<u8>) {
        let micros = self.start + (at * 1e6) as u64;
        self.frames.push(Frame { micros, bytes });
    }

    /// A detection of the shipped lists.
    pub(super) fn plant(&mut self, kind: &'static str, trail: &str, listed: Listed) {
        self.plant_as(kind, trail, listed, "(static)");
    }

    pub(super) fn plant_as(
        &mut self,
        kind: &'static str,
        trail: &str,
        Listed(info, severity): Listed,
        reference: &'static str,
    ) {
        self.planted.insert(Planted {
            kind,
            trail: trail.to_owned(),
            info,
            reference,
            severity,
        });
    }

    /// A question and its answer; returns when the answer is there.
    pub(super) fn asks(
        &mut self,
        at: f64,
        client: Host,
        name: &str,
        qtype: Qtype,
        answer: &[IpAddr],
    ) -> f64 {
        self.asks_at(at, client, Host::local(RESOLVER), name, qtype, answer)
    }

    /// The same at another resolver.
    pub(super) fn asks_at(
        &mut self,
        at: f64,
        client: Host,
        resolver: Host,
        name: &str,
        qtype: Qtype,
        answer: &[IpAddr],
    ) -> f64 {
        let (client, resolver) = (client.port(self.port()), resolver.port(53));
        self.frame(at, packet::dns_query(client, resolver, name, qtype));
        let later = at + 0.001 + self.below(15_000) as f64 / 1e6;
        self.frame(
            later,
            packet::dns_answer(client, resolver, name, qtype, answer),
        );
        later
    }

    /// Both address questions, side by side; the second one has no answer.
    pub(super) fn looks_up(&mut self, at: f64, client: Host, name: &str, address: IpAddr) -> f64 {
        let (v4, v6): (&[IpAddr], &[IpAddr]) = match address {
            IpAddr::V4(_) => (&[address], &[]),
            IpAddr::V6(_) => (&[], &[address]),
        };
        let first = self.asks(at, client, name, Qtype::A, v4);
        let second = self.asks(at + 0.0004, client, name, Qtype::Aaaa, v6);
        first.max(second)
    }

    /// A TCP connection from its first segment to its last; returns its end.
    pub(super) fn talks(&mut self, at: f64, client: End, server: End, turns: Vec<Turn>) -> f64 {
        let trip = 0.004 + self.below(30_000) as f64 / 1e6;
        self.frame(at, packet::syn(client, server));
        self.frame(at + trip, packet::syn_ack(server, client));
        let mut seq = [client, server].map(|end| packet::first_seq(end).wrapping_add(1));
        let mut now = at + trip + 0.0001;
        self.segment(now, [client, server], seq, false, &[]);
        for turn in turns {
            let (ends, payload, side) = match &turn {
                Turn::Up(payload) => ([client, server], payload, 0),
                Turn::Down(payload) => ([server, client], payload, 1),
            };
            now += if side == 0 { 0.0003 } else { trip };
            let numbers = |seq: [u32; 2], side: usize| [seq[side], seq[1 - side]];
            self.segment(now, ends, numbers(seq, side), false, payload);
            seq[side] = seq[side].wrapping_add(payload.len() as u32);
            let back = [ends[1], ends[0]];
            self.segment(now + 0.0002, back, numbers(seq, 1 - side), false, &[]);
        }
        now += 0.05;
        self.segment(now, [client, server], seq, true, &[]);
        let closing = [seq[1], seq[0].wrapping_add(1)];
        self.segment(now + trip, [server, client], closing, true, &[]);
        let last = [closing[1], closing[0].wrapping_add(1)];
        self.segment(now + trip + 0.0001, [client, server], last, false, &[]);
        now + trip
    }

    fn segment(
        &mut self,
        at: f64,
        [src, dst]: [End; 2],
        [seq, ack]: [u32; 2],
        fin: bool,
        payload: &[u8],
    ) {
        let segment = Segment {
            seq,
            ack: Some(ack),
            fin,
            psh: !payload.is_empty(),
            ..Segment::default()
        };
        self.frame(at, packet::tcp(src, dst, segment, payload));
    }

    /// A TLS connection to `name` with some encrypted exchanges.
    pub(super) fn visits(
        &mut self,
        at: f64,
        client: Host,
        server: Host,
        name: &str,
        exchanges: u64,
    ) -> f64 {
        let mut turns = vec![
            Turn::Up(payload::client_hello(name, self.random32())),
            Turn::Down(payload::server_hello(self.random32())),
        ];
        for _ in 0..exchanges {
            let request = 60 + self.below(300) as usize;
            let response = 80 + self.below(900) as usize;
            turns.push(Turn::Up(payload::tls_data(&self.noise(request))));
            turns.push(Turn::Down(payload::tls_data(&self.noise(response))));
        }
        let port = self.port();
        self.talks(at, client.port(port), server.port(443), turns)
    }

    pub(super) fn finish(mut self) -> Sample {
        self.frames.sort_by_key(|frame| frame.micros);
        Sample {
            frames: self.frames,
            planted: self.planted.into_iter().collect(),
        }
    }
}
