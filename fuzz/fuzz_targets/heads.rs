//! Any segments and QUIC datagrams of a few connections: no panic; what waits stays within its bounds and
//! is gone at the end; the same packets give the same events again.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use maltrail_core::addr::NetworkSet;
use maltrail_core::config::{Config, Environment};
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::{TrailSet, TrailSetBuilder, Whitelist};
use maltrail_engine::{Engine, EngineConfig};
use maltrail_wire::LinkType;

/// Most bytes that wait, of the 32 MiB that heads of all kinds may hold.
const MAX_BYTES: u64 = 16 << 20;
const MAX_HEADS: u64 = 1 << 14;

static TRAILS: LazyLock<Arc<TrailSet>> = LazyLock::new(|| {
    let mut builder = TrailSetBuilder::new(Whitelist::default());
    for key in ["evil.com", "203.0.113.7", "/a.php", "com"] {
        builder.push(key, "x (malware)", "(static)");
    }
    Arc::new(builder.finish(true).expect("small"))
});

fuzz_target!(|data: &[u8]| {
    assert_eq!(run(data), run(data));
});

/// Starts of messages, so that the fuzzer need not find them.
const STARTS: [&[u8]; 6] = [
    b"",
    b"GET /a.php HTTP/1.1\r\nHost: evil.com\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03",
    b"\x16\x03\x03\x00\x80\x0b\x00\x00\x7c\x00\x00\x70\x00\x00\x60",
    b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
];

fn run(data: &[u8]) -> Vec<Event> {
    let environment = Environment::default();
    let root = std::path::Path::new("/");
    let (config, _) = Config::parse("USE_HEURISTICS true", "f", root, &environment).expect("valid");
    let config = EngineConfig {
        sensor: "s".into(),
        detect: config.detect,
        home: NetworkSet::private(),
        user_agents: Arc::default(),
    };
    let mut engine = Engine::new(config, Arc::clone(&TRAILS), Arc::default());
    let mut out = Vec::new();
    let mut rest = data;
    let mut at = 0;
    // Flow and start, flags, sequence number, length, payload; again and again.
    while let [what, flags, seq, seq_low, length, tail @ ..] = rest {
        let (payload, after) = tail.split_at(usize::from(*length).min(tail.len()));
        let start = STARTS[usize::from(what >> 3) % STARTS.len()];
        let payload = [start, payload].concat();
        let seq = u32::from(*seq) << 8 | u32::from(*seq_low);
        let frame = if *what == 0xff {
            udp(&payload)
        } else {
            tcp(*what, *flags, seq.wrapping_sub(100), &payload)
        };
        engine.packet(LinkType::RAW, Timestamp::from_micros(at), &frame, &mut out);
        let counters = engine.counters();
        assert!(counters.heads_bytes <= MAX_BYTES && counters.heads_waiting <= MAX_HEADS);
        assert_eq!(counters.heads_bytes == 0, counters.heads_waiting == 0);
        (rest, at) = (after, at + 250_000);
    }
    engine.finish(Timestamp::from_micros(at), &mut out);
    let counters = engine.counters();
    assert_eq!((counters.heads_bytes, counters.heads_waiting), (0, 0));
    assert_eq!(counters.events, out.len() as u64);
    out
}

fn ip(proto: u8, back: bool, transport: &[u8]) -> Vec<u8> {
    let (mut src, mut dst) = ([192, 0, 2, 10], [203, 0, 113, 8]);
    if back {
        std::mem::swap(&mut src, &mut dst);
    }
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0];
    [&header[..], &src, &dst, transport].concat()
}

/// A segment of one of two connections, in either direction.
fn tcp(what: u8, flags: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    let (back, dns) = (what & 1 != 0, what & 2 != 0);
    let (mut src, mut dst) = (40_000_u16, if dns { 53_u16 } else { 80 });
    if back {
        std::mem::swap(&mut src, &mut dst);
    }
    // Most segments are data of an established connection.
    let flags = if what & 4 != 0 { 0x18 } else { flags };
    let ports = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    let rest = [0, 0, 0, 0, 0x50, flags, 0, 9, 0, 0, 0, 0];
    let segment = [&ports[..], &seq.to_be_bytes(), &rest, payload].concat();
    ip(6, back, &segment)
}

fn udp(payload: &[u8]) -> Vec<u8> {
    ip(
        17,
        false,
        &[&[0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0], payload].concat(),
    )
}
