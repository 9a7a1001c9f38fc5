//! Several engines find what one finds, in the same order, wherever the packets of a round end.

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_wire::LinkType;
use proptest::prelude::*;

use crate::net::{A, AAAA, Setup, client_hello, question, segment, segment_at, syn, tcp, udp};

const TRAILS: &str = "203.0.113.7,badnet,r\nevil.com,x,r\n203.0.113.9:4444,c2,r\n\
                      shop.org/bad.php,m,(static)\nd[0-9]+\\.biz,dga,(static)\n";

/// Hosts of ours, and of others.
const HOSTS: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "192.168.7.9",
    "203.0.113.7",
    "203.0.113.9",
    "198.51.100.53",
    "198.51.100.54",
];

fn host() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(HOSTS.to_vec())
}

/// A frame that counts for one of the detectors that look at many packets, or says something by itself.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ends = (host(), host(), 0_u16..64);
    // Few long domains with many names, so that they are exhausted.
    let long = "[a-z0-9]{1,3}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    prop_oneof![
        4 => ends.clone().prop_map(|(src, dst, n)| syn(&format!("{src}:{}", 2000 + n), &format!("{dst}:{n}"))),
        2 => ends.clone().prop_map(|(src, dst, n)| udp(&format!("{src}:{}", 2000 + n), &format!("{dst}:{}", 100 + n), b"x")),
        1 => ends.clone().prop_map(|(src, dst, n)| tcp(&format!("{src}:1"), &format!("{dst}:{n}"), 0x01)),
        2 => (ends.clone(), "[a-z]{1,2}").prop_map(|((src, dst, n), path)| {
            let text = format!("GET /{path}/x HTTP/1.1\r\nHost: shop.org\r\n\r\n");
            segment(&format!("{src}:{}", 2000 + n), &format!("{dst}:80"), 0x18, text.as_bytes())
        }),
        1 => (host(), host(), 0_u32..3).prop_map(|(src, dst, part)| {
            let parts = ["GET /bad.p", "hp HTTP/1.1\r\nHost: sh", "op.org\r\n\r\n"];
            let before: usize = parts[..part as usize].iter().map(|part| part.len()).sum();
            let bytes = parts[part as usize].as_bytes();
            segment_at(&format!("{src}:77"), &format!("{dst}:80"), 0x18, 1 + before as u32, bytes)
        }),
        2 => (host(), prop::sample::select(vec!["evil.com", "d7.biz", "clean.org"]), prop::sample::select(vec![A, AAAA]))
            .prop_map(|(src, name, kind)| udp(&format!("{src}:999"), "9.9.9.9:53", &question(name, kind, 1, 0x100))),
        2 => (host(), "[a-e]{1,4}").prop_map(|(dst, name)| {
            udp("9.9.9.9:53", &format!("{dst}:999"), &question(&format!("{name}.nowhere.org"), A, 1, 0x8183))
        }),
        1 => (host(), long).prop_map(|(src, name)| {
            udp(&format!("{src}:998"), "9.9.9.9:53", &question(&format!("{name}.zone.org"), A, 1, 0x100))
        }),
        1 => (host(), host()).prop_map(|(src, dst)| segment(&format!("{src}:5"), &format!("{dst}:443"), 0x18, &client_hello("evil.com"))),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// The frames with their times, and the last time.
fn timed(input: &[(i64, Vec<u8>)]) -> (Vec<(Timestamp, &[u8])>, Timestamp) {
    let mut now = 1_700_000_000_000_000;
    let frames = input.iter().map(|(step, frame)| {
        now += step;
        (Timestamp::from_micros(now), frame.as_slice())
    });
    let frames: Vec<_> = frames.collect();
    (frames, Timestamp::from_micros(now))
}

fn run(setup: &Setup, workers: usize, input: &[(i64, Vec<u8>)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut team = setup.team(workers);
    let (frames, last) = timed(input);
    for (at, frame) in frames {
        team.packet(LinkType::ETHERNET, at, frame, &mut events);
    }
    team.finish(last, &mut events);
    events
}

fn alone(setup: &Setup, input: &[(i64, Vec<u8>)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut engine = setup.engine();
    let (frames, last) = timed(input);
    for (at, frame) in frames {
        engine.packet(LinkType::ETHERNET, at, frame, &mut events);
    }
    engine.finish(last, &mut events);
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_number_of_engines_finds_the_same(
        input in prop::collection::vec((0_i64..40_000, frame()), 200..900),
        workers in 1_usize..6,
    ) {
        let setup = Setup::new(TRAILS);
        let (one, several) = (alone(&setup, &input), run(&setup, workers, &input));
        prop_assert!(!one.is_empty());
        let apart = several.iter().zip(&one).find(|(several, one)| several != one);
        prop_assert_eq!(apart, None);
        prop_assert_eq!(several.len(), one.len());
    }
}

/// A zone whose names are long and asked for by many, beyond what is reported: the one detector that
/// changes what another says.
#[test]
fn long_names_of_an_exhausted_zone_are_reported_alike() {
    let tail = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let input: Vec<(i64, Vec<u8>)> = (0..1300)
        .map(|n| {
            let name = format!("n{n}{tail}.zone.org");
            let src = format!("{}:{}", HOSTS[n % 4], 1024 + n);
            (1000, udp(&src, "9.9.9.9:53", &question(&name, A, 1, 0x100)))
        })
        .collect();
    let setup = Setup::new("");
    let one = alone(&setup, &input);
    let of = |rule: &str| {
        let is = |event: &&Event| event.details.reasons[0].rule == rule;
        one.iter().filter(is).count()
    };
    assert_eq!((of("dns_exhaustion"), of("long_domain")), (1, 1000));
    for workers in [1, 2, 4] {
        assert_eq!(run(&setup, workers, &input), one, "{workers} workers");
    }
}

/// Two questions that come whole with one segment are two messages: neither is a reason of the other.
#[test]
fn messages_of_one_packet_stay_apart() {
    let counted = |name: &str| {
        let message = question(name, A, 1, 0x100);
        let length = u16::try_from(message.len()).expect("length").to_be_bytes();
        [&length[..], &message].concat()
    };
    let stream = [counted("evil.com"), counted("evil.com")].concat();
    let (head, rest) = stream.split_at(7);
    let (src, dst) = ("10.0.0.1:999", "9.9.9.9:53");
    let next = 1 + head.len() as u32;
    let input = [
        (0, segment_at(src, dst, 0x18, 1, head)),
        (0, segment_at(src, dst, 0x18, next, rest)),
    ];
    let setup = Setup::new(TRAILS);
    let one = alone(&setup, &input);
    assert_eq!(one.len(), 2, "{one:?}");
    assert_eq!(run(&setup, 2, &input), one);
}
