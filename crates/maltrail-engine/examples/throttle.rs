//! Memory and exactness of the policy under a flood of 1,000,000 distinct pairs of source and trail.
//!
//! `cargo run -p maltrail-engine --release --example throttle`

#![allow(clippy::print_stdout, reason = "the figures are what this is for")]
#![allow(
    clippy::disallowed_methods,
    reason = "reads its own memory and the clock"
)]

use std::sync::Arc;
use std::time::Instant;

use maltrail_core::config::ThrottleMode;
use maltrail_core::event::{Details, Event, Evidence, Kind, Members, Reason};
use maltrail_core::time::Timestamp;
use maltrail_engine::{IgnoreRules, Policy, PolicyConfig};

const PAIRS: u64 = 1_000_000;

/// What a flood is made of: events of a pair, seconds it lasts, keys that are allowed.
const FLOODS: [(&str, u64, i64, usize, &str); 6] = [
    ("one event a pair", 1, 60, 50_000, "badnet (malware)"),
    ("eight events a pair", 8, 60, 50_000, "badnet (malware)"),
    (
        "the same, MAX_KEYS 10,000,000",
        8,
        60,
        10_000_000,
        "badnet (malware)",
    ),
    ("condensed", 1, 60, 50_000, "mass scanner (suspicious)"),
    ("every second one condensed", 8, 60, 10_000_000, "either"),
    (
        "the same for ten minutes, groups flushed every 10 s",
        8,
        600,
        10_000_000,
        "either",
    ),
];

fn main() {
    let (page, at_start) = (4096, resident_pages());
    for (name, each, seconds, max_keys, info) in FLOODS {
        let config = PolicyConfig {
            throttle: ThrottleMode::Summarize,
            window_secs: 60,
            burst: 3,
            max_keys,
            workers: 1,
        };
        let mut policy = Policy::new(config, Arc::new(IgnoreRules::default()));
        let started = Instant::now();
        let (mut out, mut written, mut lines, mut most, mut held) = (Vec::new(), 0, 0, 0, 0);
        let mut take = |out: &mut Vec<Event>| {
            lines += out.len();
            written += out.iter().map(|event| event.details.count()).sum::<u64>();
            out.clear();
        };
        let mut flushed = 0;
        for n in 0..PAIRS {
            let second = (n as i64) * seconds / PAIRS as i64;
            for again in 0..each {
                let info = match (info, n % 2) {
                    ("either", 0) => "mass scanner (suspicious)",
                    ("either", _) => "badnet (malware)",
                    _ => info,
                };
                policy.event(event(n, again, second, info), &mut out);
            }
            if n % 1000 == 0 {
                let flush = seconds > 60 && second >= flushed + 10;
                flushed = if flush { second } else { flushed };
                policy.housekeep(time(second), flush, &mut out);
                most = most.max(resident_pages());
                held = held.max(policy.held_bytes());
            }
            take(&mut out);
        }
        policy.finish(&mut out);
        take(&mut out);
        let taken = PAIRS * each;
        let nanos = started.elapsed().as_nanos() / u128::from(taken);
        let resident = (most.saturating_sub(at_start) * page) as f64 / 1e6;
        println!(
            "{name}: {taken} events in, {written} stand behind {lines} lines; held {:.1} MB, \
             resident at most {:.1} MB above the start, {nanos} ns an event with making it",
            held as f64 / 1e6,
            resident,
        );
        println!("  {:?}", policy.counters());
        assert_eq!(written, taken, "no event is lost");
        assert!(resident <= 100.0, "{resident} MB");
    }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_parts(1_700_000_000 + second, 0)
}

/// An event as the engine makes them of a question.
fn event(n: u64, again: u64, second: i64, info: &str) -> Event {
    let [.., a, b, c] = n.to_be_bytes();
    let trail = format!("(host{n}).some-listed-name-{}.example", n % 1000);
    let reason = Reason {
        rule: "trail".into(),
        key: format!("some-listed-name-{}.example", n % 1000),
        field: "dns.question".into(),
        offset: Some(12),
        source: "(static)".to_owned(),
    };
    Event {
        time: time(second),
        sensor: "sensor-of-the-house".to_owned(),
        src_ip: Members::from_text(&format!("10.{a}.{b}.{c}")),
        src_port: Members::from((1024 + again) as u16),
        dst_ip: Members::from_text("198.51.100.53"),
        dst_port: Members::from(53),
        proto: "UDP".into(),
        kind: Kind::Dns,
        trail,
        info: info.to_owned(),
        reference: "(static)".to_owned(),
        details: Details {
            count: 1,
            direction: None,
            reasons: vec![reason],
            evidence: Evidence::around(&[7; 60], None).0,
        },
    }
}

/// Pages of this process in memory.
fn resident_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    resident.unwrap_or_default()
}
