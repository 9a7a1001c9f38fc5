//! What holds for every stream of events, in every mode and at every bound.

use std::sync::Arc;

use maltrail_core::config::ThrottleMode;
use maltrail_core::event::{Details, Event, Kind, Members};
use maltrail_core::time::Timestamp;
use proptest::prelude::*;

use super::ignore::IgnoreRules;
use super::{Limits, Policy, PolicyConfig};

/// An event of a second that does not matter.
pub(super) fn event(source: &str, port: u16, dst_port: u16, trail: &str) -> Event {
    Event {
        time: Timestamp::from_parts(1_700_000_000, 0),
        sensor: "s".to_owned(),
        src_ip: Members::from_text(source),
        src_port: Members::from(port),
        dst_ip: Members::from_text("203.0.113.7"),
        dst_port: Members::from(dst_port),
        proto: "TCP".into(),
        kind: Kind::Ip,
        trail: trail.to_owned(),
        info: "badnet".to_owned(),
        reference: "r".to_owned(),
        details: Details {
            count: 1,
            ..Details::default()
        },
    }
}

/// The event, so many seconds later.
pub(super) fn at(second: i64, mut event: Event) -> Event {
    event.time = Timestamp::from_parts(1_700_000_000 + second, 0);
    event
}

fn config(throttle: ThrottleMode) -> PolicyConfig {
    PolicyConfig {
        throttle,
        window_secs: 60,
        burst: 3,
        max_keys: 50_000,
        workers: 1,
    }
}

fn policy(config: &PolicyConfig, limits: Limits) -> Policy {
    Policy::with_limits(config, Arc::new(IgnoreRules::default()), limits)
}

/// How many events stand behind these.
fn sum(events: &[Event]) -> u64 {
    events.iter().map(|event| event.details.count()).sum()
}

/// What is done with a policy.
#[derive(Clone, Debug)]
enum Step {
    Event(Box<Event>),
    Housekeep(i64, bool),
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    let info = prop::sample::select(vec!["badnet", "mass scanner", "ignore me", "tor exit x"]);
    let found = (
        (0u8..6, 0u8..4, 0u16..9, 0u16..3),
        (info, -5i64..200, 0u64..4, "[ab]{1,2}"),
    );
    let found = found.prop_map(
        |((source, other, port, dst_port), (info, second, count, trail))| {
            let mut event = at(
                second,
                event(&format!("10.0.0.{source}"), port, dst_port, &trail),
            );
            event.info = info.to_owned();
            event.dst_ip = Members::from_text(&format!("10.0.0.{other},-,{other}"));
            event.details.count = count;
            Step::Event(Box::new(event))
        },
    );
    prop_oneof![
        30 => found,
        2 => (-5i64..300, any::<bool>()).prop_map(|(now, flush)| Step::Housekeep(now, flush)),
        1 => Just(Step::Finish),
    ]
}

proptest! {
    #[test]
    fn no_event_is_lost(
        steps in prop::collection::vec(step(), 0..200),
        mode in prop::sample::select(vec![
            ThrottleMode::Summarize, ThrottleMode::Legacy, ThrottleMode::Off,
        ]),
        (window_secs, burst, max_keys, workers) in (1u32..70, 1u32..5, prop_oneof![1usize..9, Just(10_000)], 0u32..5),
        groups in 0usize..5,
        values in 1usize..6,
        bytes in prop_oneof![0usize..20_000, Just(Limits::DEFAULT.bytes)],
    ) {
        let config = PolicyConfig { throttle: mode, window_secs, burst, max_keys, workers };
        let mut rules = IgnoreRules::default();
        rules.set_expression(Some("ignore me")).unwrap();
        let limits = Limits { groups, values, bytes };
        let mut policy = Policy::with_limits(&config, Arc::new(rules), limits);
        let mut given = 0;
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Event(event) => {
                    given += event.details.count();
                    policy.event(*event, &mut out);
                }
                Step::Housekeep(now, flush) => {
                    let now = Timestamp::from_parts(1_700_000_000 + now, 0);
                    policy.housekeep(now, flush, &mut out);
                }
                Step::Finish => policy.finish(&mut out),
            }
            // One event may pass the bound.
            prop_assert!(policy.held_bytes() < bytes + 4000, "{}", policy.held_bytes());
        }
        policy.finish(&mut out);
        let counters = policy.counters();
        let lost = match mode {
            ThrottleMode::Legacy => counters.throttled,
            _ => 0,
        };
        prop_assert_eq!(sum(&out) + counters.ignored + lost, given);
        prop_assert_eq!(counters.events, given);
        prop_assert_eq!(counters.written, out.len() as u64);
        if mode != ThrottleMode::Legacy {
            prop_assert_eq!(policy.held_bytes(), 0);
        }
    }
}

/// Groups, held events and summaries add up while a flood of pairs passes every bound.
#[test]
fn a_flood_of_distinct_pairs_is_counted_exactly_in_bounded_memory() {
    const PAIRS: u32 = 200_000;
    let small = Limits {
        bytes: 8 << 20,
        ..Limits::DEFAULT
    };
    for (limits, max_keys) in [(Limits::DEFAULT, 50_000), (small, 10_000_000)] {
        let mut config = config(ThrottleMode::Summarize);
        config.max_keys = max_keys;
        let mut policy = policy(&config, limits);
        let (mut out, mut written, mut most) = (Vec::new(), 0, 0);
        for n in 0..PAIRS {
            let [_, a, b, c] = n.to_be_bytes();
            let mut found = event(&format!("10.{a}.{b}.{c}"), 1, 2, &format!("{n}.example"));
            if n % 4 == 0 {
                found.info = "mass scanner".to_owned();
            }
            // Beyond the burst, so that events are held.
            for _ in 0..5 {
                policy.event(found.clone(), &mut out);
            }
            written += sum(&out);
            out.clear();
            most = most.max(policy.held_bytes());
        }
        policy.finish(&mut out);
        written += sum(&out);
        assert_eq!(written, 5 * u64::from(PAIRS));
        let counters = policy.counters();
        assert!(counters.evictions > 100_000, "{counters:?}");
        // Fewer than 50,000 groups at once in either case.
        assert_eq!(
            counters.saturations > 0,
            limits.bytes == small.bytes,
            "{counters:?}"
        );
        assert!(most <= limits.bytes + 2000, "{most}");
        assert!(most > limits.bytes / 3, "{most}");
    }
}
