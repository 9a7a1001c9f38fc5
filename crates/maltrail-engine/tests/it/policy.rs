//! From packets to what is written: the engine's events through the policy, as tables of verified
//! examples, and what only both together show.

use std::sync::Arc;

use maltrail_core::config::ThrottleMode;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{IgnoreRules, Policy, PolicyConfig};
use maltrail_wire::LinkType;

use crate::net::{A, C, R, S, SECOND, Setup, at, lines, ping, question, segment, syn, udp};
use crate::vectors::{expected, rows, setup};

type Packets = Vec<(Timestamp, Vec<u8>)>;

/// The shipped options with those of a row, and the row's others.
fn options(text: &str) -> (PolicyConfig, String) {
    let mut config = PolicyConfig {
        throttle: ThrottleMode::Off,
        window_secs: 60,
        burst: 3,
        max_keys: 50_000,
        workers: 1,
    };
    let mut others = Vec::new();
    for option in text.split("; ") {
        match option.split_once(' ') {
            Some(("EVENT_THROTTLE_MODE", mode)) => {
                config.throttle = match mode {
                    "summarize" => ThrottleMode::Summarize,
                    "legacy" => ThrottleMode::Legacy,
                    "off" => ThrottleMode::Off,
                    _ => panic!("{mode}"),
                };
            }
            Some(("EVENT_THROTTLE_BURST", burst)) => config.burst = burst.parse().expect(burst),
            Some(("EVENT_THROTTLE_WINDOW", secs)) => config.window_secs = secs.parse().expect(secs),
            _ => others.push(option),
        }
    }
    (config, others.join("; "))
}

/// The packets of a row: groups joined by ` + `, each of a kind and `key=value` words. Questions of
/// one group come from ports that count up, the nth with microsecond n; other packets count on.
fn packets(text: &str) -> Packets {
    let mut packets = Packets::new();
    let (mut second, mut micros) = (0, 0);
    for group in text.split(" + ") {
        let (kind, words) = group.split_once(' ').unwrap_or((group, ""));
        let word = |name: &str, usual: &str| {
            let mut pairs = words.split(' ').filter_map(|word| word.split_once('='));
            let found = pairs.find(|(key, _)| *key == name);
            found.map_or(usual, |(_, value)| value).to_owned()
        };
        let number = |name: &str| -> i64 { word(name, "0").parse().expect(group) };
        let frame = match kind {
            "ask" => {
                let port: u16 = word("port", "5000").parse().expect(group);
                let client = word("client", "192.0.2.10");
                let name = word("name", "evil-domain.com");
                for n in 0..u16::try_from(number("n")).expect(group) {
                    let from = format!("{client}:{}", port + n);
                    let frame = udp(&from, R, &question(&name, A, 1, 0x0100));
                    let second = SECOND + i64::from(n) * number("every");
                    packets.push((Timestamp::from_parts(second, n.into()), frame));
                }
                continue;
            }
            "second" => {
                (second, micros) = (second + 1, 0);
                continue;
            }
            "syn" => syn(
                &format!("203.0.113.7:{}", number("sport")),
                &word("to", "-"),
            ),
            "echo" => ping("203.0.113.7", &word("to", "-")),
            "get" => segment(
                &format!("192.0.2.10:{}", number("sport")),
                "203.0.113.7:80",
                0x18,
                b"GET /index.html HTTP/1.1\r\nHost: site-a.com\r\nUser-Agent: sqlmap\r\n\r\n",
            ),
            _ => panic!("{group}"),
        };
        packets.push((Timestamp::from_parts(SECOND + second, micros), frame));
        micros += 1;
    }
    packets
}

/// What is written of these packets; the clock goes on by them, as in a replay.
fn written(
    setup: &Setup,
    config: &PolicyConfig,
    ignore: IgnoreRules,
    packets: &Packets,
) -> (Vec<Event>, Policy) {
    let mut engine = setup.engine();
    let mut policy = Policy::new(config.clone(), Arc::new(ignore));
    let (mut found, mut out) = (Vec::new(), Vec::new());
    for (time, frame) in packets {
        engine.packet(LinkType::ETHERNET, *time, frame, &mut found);
        for event in found.drain(..) {
            policy.event(event, &mut out);
        }
        policy.housekeep(*time, false, &mut out);
    }
    let last = packets.last().map_or_else(|| at(0), |(last, _)| *last);
    engine.finish(last, &mut found);
    for event in found {
        policy.event(event, &mut out);
    }
    policy.finish(&mut out);
    (out, policy)
}

/// Lines in an order that does not depend on when summaries are due.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn throttling_and_condensing() {
    for row in rows::<6>(include_str!("../data/throttle.tsv"), 20) {
        let [id, config, trails, sent, wanted, basis] = row;
        let (config, others) = options(config);
        let others = if others.is_empty() { "-" } else { &others };
        let setup = setup(trails, others);
        let (out, policy) = written(&setup, &config, IgnoreRules::default(), &packets(sent));
        let found = sorted(lines(&out));
        assert_eq!(found, sorted(expected(wanted)), "{id} ({basis})");
        let counters = policy.counters();
        assert_eq!(counters.written, out.len() as u64, "{id}");
        if config.throttle != ThrottleMode::Legacy {
            let sum: u64 = out.iter().map(|event| event.details.count()).sum();
            assert_eq!(sum, counters.events, "{id}");
        }
    }
}

/// The rows of ignore rules and expressions with packets.
#[test]
fn ignored_packets() {
    for row in rows::<6>(include_str!("../data/ignore.tsv"), 18) {
        let [id, kind, value, packet, wanted, basis] = row;
        let mut ignore = IgnoreRules::default();
        match kind {
            "rule" => drop(ignore.add(value)),
            // One that does not compile is off.
            _ => drop(ignore.set_expression(Some(value))),
        }
        let frame = match packet {
            "SYN" => syn(C, S),
            _ => ping("192.0.2.10", "203.0.113.7"),
        };
        let setup = Setup::new("203.0.113.7,badnet,ref");
        let (config, _) = options("-");
        let (out, policy) = written(&setup, &config, ignore, &vec![(at(0), frame)]);
        assert_eq!(out.len().to_string(), wanted, "{id} ({basis})");
        assert_eq!(policy.counters().ignored, 1 - out.len() as u64, "{id}");
    }
}

/// A rule about any of several ports does not hide the group, one about its source does.
#[test]
fn groups_pass_the_ignore_rules_again() {
    let sent = packets("syn sport=1 to=192.0.2.10:20 + syn sport=2 to=192.0.2.11:21");
    let setup = Setup::new("203.0.113.7,known attacker,feed");
    let (config, _) = options("-");
    let run = |expression| {
        let mut ignore = IgnoreRules::default();
        ignore.set_expression(Some(expression)).expect(expression);
        let (out, policy) = written(&setup, &config, ignore, &sent);
        (out.len(), policy.counters().ignored)
    };
    assert_eq!(run("nothing"), (1, 0));
    assert_eq!(run("'192.0.2.10,192.0.2.11'"), (0, 2));
    assert_eq!(run("'203.0.113.7', 1, "), (1, 1));
}

/// Live, groups are handed out when they are due, and throttled like other events.
#[test]
fn groups_that_are_due_are_throttled() {
    let setup =
        Setup::new("203.0.113.7,known attacker,feed").with("DISABLED_HEURISTICS port_scanning");
    let mut engine = setup.engine();
    let (config, _) = options("EVENT_THROTTLE_MODE summarize");
    let mut policy = Policy::new(config, Arc::new(IgnoreRules::default()));
    let (mut found, mut out) = (Vec::new(), Vec::new());
    for second in 0..120 {
        let to = format!("192.0.2.10:{}", 1000 + second);
        engine.packet(
            LinkType::ETHERNET,
            at(second),
            &syn("203.0.113.7:1", &to),
            &mut found,
        );
        for event in found.drain(..) {
            policy.event(event, &mut out);
        }
        policy.housekeep(at(second), second % 10 == 9, &mut out);
    }
    // Three groups of ten seconds, then a summary; the same again a minute later.
    let counts =
        |out: &[Event]| -> Vec<u64> { out.iter().map(|event| event.details.count()).collect() };
    assert_eq!(counts(&out), [10, 10, 10, 30, 10, 10, 10]);
    policy.finish(&mut out);
    assert_eq!(counts(&out), [10, 10, 10, 30, 10, 10, 10, 30]);
    let ports = out[3].dst_port.as_str();
    assert!(
        ports.starts_with("1030,1031,") && ports.ends_with(",1059"),
        "{ports}"
    );
}
