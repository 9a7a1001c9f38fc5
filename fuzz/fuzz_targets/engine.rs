//! Any bytes as frames of one capture: no panic, and the same frames give the same events again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use maltrail_core::addr::NetworkSet;
use maltrail_core::config::{Config, Environment};
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::{TrailSetBuilder, Whitelist};
use maltrail_engine::{Engine, EngineConfig};
use maltrail_wire::LinkType;

fuzz_target!(|data: &[u8]| {
    assert_eq!(run(data), run(data));
});

fn run(data: &[u8]) -> Vec<Event> {
    let environment = Environment::default();
    let (config, _) = Config::parse(
        "USE_HEURISTICS true",
        "f",
        std::path::Path::new("/"),
        &environment,
    )
    .expect("valid");
    let mut builder = TrailSetBuilder::new(Whitelist::default());
    for key in [
        "evil.com",
        "203.0.113.7",
        "203.0.113.7:443",
        "2001:db8::/32",
        "0.0.0.0/0",
        r"a[0-9]+\.b",
        "com",
    ] {
        builder.push(key, "x (malware)", "(static)");
    }
    let trails = Arc::new(builder.finish(true).expect("small"));
    let engine = EngineConfig {
        sensor: "s".into(),
        detect: config.detect,
        home: NetworkSet::private(),
        user_agents: Arc::default(),
    };
    let mut engine = Engine::new(engine, trails, Arc::default());
    let mut out = Vec::new();
    // Link type, length, frame; again and again.
    let mut rest = data;
    let mut at = 0;
    while let [link, length, tail @ ..] = rest {
        let (frame, after) = tail.split_at(usize::from(*length).min(tail.len()));
        engine.packet(
            LinkType(u16::from(*link)),
            Timestamp::from_micros(at),
            frame,
            &mut out,
        );
        (rest, at) = (after, at + 250_000);
    }
    engine.finish(Timestamp::from_micros(at), &mut out);
    out
}
