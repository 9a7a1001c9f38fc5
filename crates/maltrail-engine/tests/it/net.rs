//! Packets and an engine to feed them to.

#![allow(dead_code, reason = "each test and bench uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader};
use maltrail_core::addr::NetworkSet;
use maltrail_core::config::DetectConfig;
use maltrail_core::event::Event;
use maltrail_core::time::{Timestamp, Zone};
use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_engine::{Dispatcher, Engine, EngineConfig, Merger, Steering, UserAgents};
use maltrail_wire::LinkType;

/// Link type of all frames made here.
pub(crate) const ETHERNET: LinkType = LinkType::ETHERNET;

/// The list that ships.
static USER_AGENTS: LazyLock<Arc<UserAgents>> = LazyLock::new(|| {
    let text = include_str!("../../../../trails/data/ua.txt");
    Arc::new(UserAgents::parse(text).expect("user agents"))
});

/// When vectors happen: 2023-11-14 22:13:20 UTC.
pub(crate) const SECOND: i64 = 1_700_000_000;

/// A client, a server and a resolver of the vectors.
pub(crate) const C: &str = "192.0.2.10:40000";
pub(crate) const S: &str = "203.0.113.7:443";
pub(crate) const R: &str = "198.51.100.53:53";

/// The start of `second` seconds after [`SECOND`].
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_parts(SECOND + second, 0)
}

fn headers(src: IpAddr, dst: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ethernet.ipv4(src.octets(), dst.octets(), 64),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ethernet.ipv6(src.octets(), dst.octets(), 64),
        _ => panic!("{src} and {dst} are of different families"),
    }
}

fn sockets(src: &str, dst: &str) -> (SocketAddr, SocketAddr) {
    let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}"));
    (parse(src), parse(dst))
}

/// An Ethernet frame with a TCP segment without payload.
pub(crate) fn tcp(src: &str, dst: &str, flags: u8) -> Vec<u8> {
    segment(src, dst, flags, &[])
}

/// An Ethernet frame with a TCP segment.
pub(crate) fn segment(src: &str, dst: &str, flags: u8, payload: &[u8]) -> Vec<u8> {
    segment_at(src, dst, flags, 1, payload)
}

/// An Ethernet frame with a TCP segment whose sequence number is `seq`.
pub(crate) fn segment_at(src: &str, dst: &str, flags: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = sockets(src, dst);
    let mut header = TcpHeader::new(src.port(), dst.port(), seq, 0x2000);
    for (bit, flag) in [
        (0x01, &mut header.fin),
        (0x02, &mut header.syn),
        (0x04, &mut header.rst),
        (0x08, &mut header.psh),
        (0x10, &mut header.ack),
        (0x20, &mut header.urg),
        (0x40, &mut header.ece),
        (0x80, &mut header.cwr),
    ] {
        *flag = flags & bit != 0;
    }
    let mut frame = Vec::new();
    let builder = headers(src.ip(), dst.ip()).tcp_header(header);
    builder.write(&mut frame, payload).expect("frame");
    frame
}

/// A SYN.
pub(crate) fn syn(src: &str, dst: &str) -> Vec<u8> {
    tcp(src, dst, 0x02)
}

/// An Ethernet frame with a UDP datagram.
pub(crate) fn udp(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = sockets(src, dst);
    let mut frame = Vec::new();
    let builder = headers(src.ip(), dst.ip()).udp(src.port(), dst.port());
    builder.write(&mut frame, payload).expect("frame");
    frame
}

/// An Ethernet frame with an IP packet of any protocol.
pub(crate) fn ip(src: &str, dst: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}"));
    let mut frame = Vec::new();
    headers(parse(src), parse(dst))
        .write(&mut frame, IpNumber(proto), payload)
        .expect("frame");
    frame
}

/// A TLS record with a ClientHello of the usual length that names `name`.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    long_hello(name, 43)
}

/// The same with a key share of so many bytes before the name.
pub(crate) fn long_hello(name: &str, key_share: usize) -> Vec<u8> {
    let counted = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("length");
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let server_name = counted(&[vec![0], counted(name.as_bytes())].concat());
    let mut extensions = Vec::new();
    for (kind, data) in [
        (0x0a0a_u16, vec![]),
        (23, vec![]),
        (43, vec![4, 3, 4, 3, 3]),
        (13, vec![7; 18]),
        (51, vec![8; key_share]),
        (0, server_name),
        (16, vec![9; 14]),
        (21, vec![0; 200]),
    ] {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(counted(&data));
    }
    let mut body = vec![3, 3];
    body.extend([0x55; 32]);
    body.push(32);
    body.extend([0x66; 32]);
    body.extend(counted(&[0x13; 32]));
    body.extend([1, 0]);
    body.extend(counted(&extensions));
    let message = [&[1, 0][..], &counted(&body)].concat();
    [&[22, 3, 1][..], &counted(&message)].concat()
}

/// The payload of a row of `tls_quic.tsv`.
pub(crate) fn hello_row(id: &str) -> Vec<u8> {
    let mut rows = include_str!("../data/tls_quic.tsv").lines();
    let row = rows.find_map(|row| row.strip_prefix(id)?.strip_prefix('\t'));
    let hex = row.and_then(|row| row.split('\t').nth(7)).expect(id);
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// An echo request between IPv4 addresses.
pub(crate) fn ping(src: &str, dst: &str) -> Vec<u8> {
    ip(src, dst, 1, &[8, 0, 0, 0, 0, 0, 0, 0])
}

/// A DNS message with one question.
pub(crate) fn question(name: &str, qtype: u16, qclass: u16, flags: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend(qclass.to_be_bytes());
    bytes
}

/// A question of [`C`] to [`R`], class IN.
pub(crate) fn ask(name: &str, qtype: u16) -> Vec<u8> {
    udp(C, R, &question(name, qtype, 1, 0x0100))
}

/// Question types.
pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

/// What a test engine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) trails: String,
    pub(crate) whitelist: String,
    pub(crate) detect: DetectConfig,
    pub(crate) repair: bool,
}

impl Setup {
    /// The base of the vectors: heuristics on, and of the shipped whitelist what they need.
    pub(crate) fn new(trails: &str) -> Self {
        Self {
            trails: trails.to_owned(),
            whitelist: "google.com\n8.8.8.8\nlocal\n".to_owned(),
            detect: DetectConfig {
                sensor_name: "sensor1".to_owned(),
                heuristics: true,
                disabled_heuristics: Vec::new(),
                scan_window_secs: 30,
                check_certificates: true,
                check_sni: true,
                check_missing_host: false,
                check_host_domains: false,
                domain_cache_entries: 1000,
                ddos: maltrail_core::config::DdosConfig::default(),
            },
            repair: true,
        }
    }

    /// Applies options written `NAME value; NAME value`, or `-`.
    pub(crate) fn with(mut self, options: &str) -> Self {
        for option in options.split("; ").filter(|&option| option != "-") {
            match option.split_once(' ').expect(option) {
                ("DISABLED_HEURISTICS", name) => {
                    self.detect.disabled_heuristics.push(name.to_owned());
                }
                ("SCAN_WINDOW", seconds) => {
                    self.detect.scan_window_secs = seconds.parse().expect(seconds);
                }
                ("USE_HEURISTICS", "false") => self.detect.heuristics = false,
                ("CHECK_HOST_DOMAINS", "true") => self.detect.check_host_domains = true,
                ("CHECK_MISSING_HOST", "true") => self.detect.check_missing_host = true,
                ("CHECK_TLS_SNI", "false") => self.detect.check_sni = false,
                ("CHECK_TLS_CERTIFICATES", "false") => self.detect.check_certificates = false,
                // Without effect: `CHECK_TLS_SNI` decides.
                ("USE_FAST_PREFILTER" | "FAST_FLOW_CUTOFF", _) => {}
                ("REPAIR_TRUNCATED_TRAILS", "false") => self.repair = false,
                _ => panic!("option {option}"),
            }
        }
        self
    }

    pub(crate) fn whitelist(&self) -> Arc<Whitelist> {
        Arc::new(Whitelist::parse([self.whitelist.as_str()]))
    }

    pub(crate) fn trail_set(&self) -> Arc<TrailSet> {
        let whitelist = Whitelist::parse([self.whitelist.as_str()]);
        let set = TrailSet::from_csv(self.trails.as_bytes(), whitelist, self.repair);
        Arc::new(set.expect("trails"))
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            sensor: "sensor1".to_owned(),
            detect: self.detect.clone(),
            home: NetworkSet::private(),
            user_agents: Arc::clone(&USER_AGENTS),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.config(), self.trail_set(), self.whitelist())
    }

    /// So many engines that work as one.
    pub(crate) fn team(&self, workers: usize) -> Team {
        let (trails, whitelist) = (self.trail_set(), self.whitelist());
        let scout = |_| {
            let (trails, whitelist) = (Arc::clone(&trails), Arc::clone(&whitelist));
            Engine::scout(self.config(), trails, whitelist, workers)
        };
        Team {
            scouts: (0..workers).map(scout).collect(),
            merger: Merger::new(self.config(), Arc::clone(&whitelist)),
            dispatcher: Dispatcher::new(Steering::new(NetworkSet::private(), workers)),
            order: 0,
            round: 0,
        }
    }

    /// The lines of the events of these packets, which are the same for any number of workers.
    #[track_caller]
    pub(crate) fn feed(&self, packets: &[(Timestamp, Vec<u8>)]) -> Vec<String> {
        lines(&self.events(packets))
    }

    #[track_caller]
    pub(crate) fn events(&self, packets: &[(Timestamp, Vec<u8>)]) -> Vec<Event> {
        let last = packets.last().map_or_else(|| at(0), |(last, _)| *last);
        let mut events = Vec::new();
        let mut engine = self.engine();
        for (at, frame) in packets {
            engine.packet(LinkType::ETHERNET, *at, frame, &mut events);
        }
        engine.finish(last, &mut events);
        for workers in [2, 3] {
            let mut team = self.team(workers);
            let mut found = Vec::new();
            for (at, frame) in packets {
                team.packet(LinkType::ETHERNET, *at, frame, &mut found);
            }
            team.finish(last, &mut found);
            assert_eq!(lines(&found), lines(&events), "{workers} workers");
            assert_eq!(found, events, "{workers} workers");
        }
        events
    }
}

/// Several engines that work as one.
pub(crate) struct Team {
    scouts: Vec<Engine>,
    merger: Merger,
    dispatcher: Dispatcher,
    order: u64,
    round: usize,
}

impl Team {
    /// Most packets between two merges; a prime, so that rounds end anywhere.
    const ROUND: usize = 97;

    pub(crate) fn packet(
        &mut self,
        link: LinkType,
        at: Timestamp,
        frame: &[u8],
        out: &mut Vec<Event>,
    ) {
        self.order += 1;
        let route = self.dispatcher.route(link, at, frame);
        if route.turn {
            self.time(at);
        }
        self.scouts[route.worker].note(self.order, link, at, frame);
        self.round += 1;
        if self.round == Self::ROUND {
            self.merge(out);
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.order += 1;
        self.time(now);
        self.merge(out);
    }

    pub(crate) fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.order += 1;
        for scout in &mut self.scouts {
            scout.note_end(self.order, now);
        }
        self.merge(out);
        self.merger.finish(now, out);
    }

    fn time(&mut self, now: Timestamp) {
        for scout in &mut self.scouts {
            scout.note_time(self.order, now);
        }
    }

    fn merge(&mut self, out: &mut Vec<Event>) {
        self.round = 0;
        for (worker, scout) in self.scouts.iter_mut().enumerate() {
            self.merger.put(worker, scout.take_notes());
        }
        self.merger.merge(u64::MAX, out);
        assert_eq!(self.merger.waiting(), 0);
    }
}

/// Feeds Ethernet frames with their times; the lines of their events.
pub(crate) fn feed(engine: &mut Engine, packets: &[(Timestamp, Vec<u8>)]) -> Vec<String> {
    let mut events = Vec::new();
    for (at, frame) in packets {
        engine.packet(LinkType::ETHERNET, *at, frame, &mut events);
    }
    let last = packets.last().map_or_else(|| at(0), |(last, _)| *last);
    engine.finish(last, &mut events);
    lines(&events)
}

/// Log lines in UTC, without their newline.
pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    let zone = Zone::named("UTC").expect("zone");
    let line = |event: &Event| event.to_line(&zone).trim_end_matches('\n').to_owned();
    events.iter().map(line).collect()
}

/// Feeds the packets, one event is expected for each entry of `wanted`: `TYPE trail`.
#[track_caller]
pub(crate) fn check(trails: &str, packets: &[(Timestamp, Vec<u8>)], wanted: &[&str]) {
    check_setup(&Setup::new(trails), packets, wanted);
}

#[track_caller]
pub(crate) fn check_setup(setup: &Setup, packets: &[(Timestamp, Vec<u8>)], wanted: &[&str]) {
    let events = setup.events(packets);
    let brief = |event: &Event| format!("{} {}", event.kind, event.trail);
    let found: Vec<String> = events.iter().map(brief).collect();
    assert_eq!(
        found,
        wanted,
        "trails:\n{}packets:\n{:02x?}\nlines:\n{:#?}",
        setup.trails,
        packets,
        lines(&events)
    );
}
