//! Traffic by the second, for floods and for what looks like one.

#![allow(dead_code, reason = "each user uses its own part")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;

use crate::net::{SECOND, Setup, Team, lines};

pub(crate) const SYN: u8 = 0x02;
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const RST: u8 = 0x04;

/// A host of ours.
pub(crate) const V: &str = "10.0.0.80";

/// An end of a packet.
pub(crate) type End = (IpAddr, u16);

pub(crate) fn end(ip: &str, port: u16) -> End {
    (ip.parse().expect(ip), port)
}

/// The `n`th address of strangers, spread over the networks.
pub(crate) fn stranger(n: u64) -> IpAddr {
    let mixed = (n as u32).wrapping_mul(0x9e37_79b1);
    IpAddr::V4(Ipv4Addr::from_bits(0x1400_0000 | (mixed >> 6)))
}

/// As [`stranger`], IPv6.
pub(crate) fn stranger6(n: u64) -> IpAddr {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    IpAddr::V6(Ipv6Addr::from_bits(
        (0x2a00 << 112) | (u128::from(mixed) << 32),
    ))
}

/// An engine in the midst of traffic.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) events: Vec<Event>,
    /// Two engines that see the same and must find the same.
    team: Team,
    team_events: Vec<Event>,
    pub(crate) packets: u64,
    /// Seconds since the start.
    pub(crate) second: i64,
    now: Timestamp,
    frame: Vec<u8>,
}

impl Scene {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            engine: setup.engine(),
            events: Vec::new(),
            team: setup.team(2),
            team_events: Vec::new(),
            packets: 0,
            second: 0,
            now: Timestamp::from_parts(SECOND, 0),
            frame: Vec::new(),
        }
    }

    /// Lets `count` moments of each of `seconds` pass; `each` says what happens in the nth.
    pub(crate) fn run(&mut self, seconds: i64, count: u64, mut each: impl FnMut(&mut Self, u64)) {
        for _ in 0..seconds {
            for n in 0..count {
                let micros = u32::try_from(n * 1_000_000 / count).expect("micros");
                self.now = Timestamp::from_parts(SECOND + self.second, micros);
                each(self, n);
            }
            self.second += 1;
        }
    }

    /// Seconds without packets, as a live sensor sees them.
    pub(crate) fn silence(&mut self, seconds: i64) {
        for _ in 0..seconds {
            let at = Timestamp::from_parts(SECOND + self.second, 0);
            self.engine.tick(at, &mut self.events);
            self.team.tick(at, &mut self.team_events);
            self.second += 1;
        }
    }

    /// Ends the capture, which two engines do alike; type, source, destination, trail and info of all events.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.engine.finish(self.now, &mut self.events);
        self.team.finish(self.now, &mut self.team_events);
        assert_eq!(lines(&self.team_events), lines(&self.events), "two engines");
        self.briefs()
    }

    pub(crate) fn briefs(&self) -> Vec<String> {
        let brief = |event: &Event| {
            format!(
                "{} {} > {} {} {} | {}",
                event.kind,
                event.src_ip.as_str(),
                event.dst_ip.as_str(),
                event.proto,
                event.trail,
                event.info
            )
        };
        self.events.iter().map(brief).collect()
    }

    /// No event, in the words of the log.
    #[track_caller]
    pub(crate) fn silent(mut self, what: &str) {
        self.finish();
        assert_eq!(lines(&self.events), Vec::<String>::new(), "{what}");
        assert!(self.packets > 1000, "{what}");
    }

    pub(crate) fn tcp(&mut self, src: End, dst: End, flags: u8, payload: &[u8]) {
        self.start(src.0, dst.0, 6, 20 + payload.len());
        self.frame.extend(src.1.to_be_bytes());
        self.frame.extend(dst.1.to_be_bytes());
        self.frame.extend([0; 8]);
        self.frame.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        self.frame.extend(payload);
        self.feed();
    }

    pub(crate) fn udp(&mut self, src: End, dst: End, length: usize) {
        self.start(src.0, dst.0, 17, 8 + length);
        self.frame.extend(src.1.to_be_bytes());
        self.frame.extend(dst.1.to_be_bytes());
        let total = u16::try_from(8 + length).expect("length");
        self.frame.extend(total.to_be_bytes());
        self.frame.extend([0, 0]);
        self.frame.resize(self.frame.len() + length, 0xa5);
        self.feed();
    }

    /// An ICMP message: 8 and 0 are echo request and reply.
    pub(crate) fn icmp(&mut self, src: IpAddr, dst: IpAddr, kind: u8) {
        let (proto, kind) = match (src.is_ipv6(), kind) {
            (false, kind) => (1, kind),
            (true, 8) => (58, 128),
            (true, _) => (58, 129),
        };
        self.start(src, dst, proto, 64);
        self.frame.push(kind);
        self.frame.resize(self.frame.len() + 63, 0);
        self.feed();
    }

    /// A web client's whole visit.
    pub(crate) fn visit(&mut self, client: End, server: End) {
        self.tcp(client, server, SYN, b"");
        self.tcp(server, client, SYN_ACK, b"");
        self.tcp(client, server, ACK, b"");
        self.tcp(
            client,
            server,
            0x18,
            b"GET /page HTTP/1.1\r\nHost: www.site.com\r\n\r\n",
        );
        self.tcp(server, client, ACK, b"");
        self.tcp(server, client, 0x18, &[b'x'; 900]);
        self.tcp(client, server, 0x11, b"");
        self.tcp(server, client, 0x11, b"");
        self.tcp(client, server, ACK, b"");
    }

    /// Ordinary traffic of one client, both ways.
    pub(crate) fn background(&mut self, n: u64) {
        let client = end("10.0.0.33", 50_000);
        let server = (stranger(1_000_000 + n % 7), 443);
        self.tcp(client, server, ACK, b"abc");
        self.tcp(server, client, ACK, &[0x17, 3, 3, 0, 9, 1, 2]);
    }

    fn start(&mut self, src: IpAddr, dst: IpAddr, proto: u8, length: usize) {
        let frame = &mut self.frame;
        frame.clear();
        frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let total = u16::try_from(20 + length).expect("length").to_be_bytes();
                frame.extend([
                    8, 0, 0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, proto, 0, 0,
                ]);
                frame.extend(src.octets());
                frame.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let total = u16::try_from(length).expect("length").to_be_bytes();
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, total[0], total[1], proto, 64]);
                frame.extend(src.octets());
                frame.extend(dst.octets());
            }
            _ => panic!("{src} and {dst} are of different families"),
        }
    }

    fn feed(&mut self) {
        self.packets += 1;
        self.engine
            .packet(LinkType::ETHERNET, self.now, &self.frame, &mut self.events);
        let (team, events) = (&mut self.team, &mut self.team_events);
        team.packet(LinkType::ETHERNET, self.now, &self.frame, events);
    }
}
