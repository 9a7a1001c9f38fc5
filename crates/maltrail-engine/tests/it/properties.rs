//! What holds for every input.

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use proptest::prelude::*;

use crate::net::{
    A, AAAA, C, R, S, Setup, ask, at, client_hello, hello_row, ping, question, segment, syn, udp,
};

const TRAILS: &str = "203.0.113.7,badnet,r\nevil.com,x,r\n203.0.113.9:4444,c2,r\n\
                      2001:db8::66,bad6,r\n198.51.100.0/28,net,r\nd[0-9]+\\.biz,dga,(static)\n";

type Input = Vec<(u16, i64, Vec<u8>)>;

/// A frame that shows something.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    let name = "[a-d0-9.-]{0,12}(evil|d7|clean)\\.(com|biz|onion\\.to)";
    prop_oneof![
        (0u16..4).prop_map(|port| syn(&format!("192.0.2.10:{port}"), S)),
        (0u8..16).prop_map(|host| ping("192.0.2.10", &format!("198.51.100.{host}"))),
        Just(udp(C, "203.0.113.9:4444", b"x")),
        Just(syn("[2001:db8::1]:1", "[2001:db8::66]:443")),
        name.prop_map(|name| segment(C, S, 0x18, &client_hello(&name))),
        Just(segment(S, C, 0x18, &hello_row("cert_match"))),
        Just(udp(C, S, &hello_row("quic_upper"))),
        (name, prop_oneof![Just(A), Just(AAAA)]).prop_map(|(name, qtype)| ask(&name, qtype)),
    ]
}

/// A frame, often damaged.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (
        sample(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    );
    prop_oneof![
        sample(),
        damaged.prop_map(|(mut frame, at, value, cut)| {
            let at = at.index(frame.len());
            frame[at] = value;
            if cut {
                frame.truncate(at);
            }
            frame
        }),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let link =
        prop_oneof![4 => Just(1u16), 1 => prop::sample::select(vec![0, 9, 12, 51, 113, 276])];
    prop::collection::vec((link, -2i64..3, frame()), 0..40)
}

fn run(engine: &mut Engine, input: &Input) -> Vec<Event> {
    let mut events = Vec::new();
    for (link, second, frame) in input {
        engine.packet(LinkType(*link), at(*second), frame, &mut events);
        engine.tick(at(*second), &mut events);
    }
    events
}

proptest! {
    #[test]
    fn the_same_input_gives_the_same_events(input in input()) {
        let setup = Setup::new(TRAILS);
        let (mut one, mut two) = (setup.engine(), setup.engine());
        prop_assert_eq!(run(&mut one, &input), run(&mut two, &input));
    }

    /// Also when frames are damaged, links differ and time steps back.
    #[test]
    fn several_engines_find_the_same_in_anything(input in input(), workers in 2_usize..5) {
        let setup = Setup::new(TRAILS);
        let (mut engine, mut team) = (setup.engine(), setup.team(workers));
        let (mut one, mut several) = (Vec::new(), Vec::new());
        for (link, second, frame) in &input {
            engine.packet(LinkType(*link), at(*second), frame, &mut one);
            team.packet(LinkType(*link), at(*second), frame, &mut several);
        }
        engine.finish(at(9), &mut one);
        team.finish(at(9), &mut several);
        prop_assert_eq!(several, one);
    }

    #[test]
    fn every_frame_ends_in_one_counter(input in input()) {
        let mut engine = Setup::new(TRAILS).engine();
        let events = run(&mut engine, &input);
        let counters = engine.counters();
        let ends = counters.drops.iter().sum::<u64>()
            + counters.observations.iter().sum::<u64>()
            + counters.unobserved
            + counters.hellos
            + counters.repeats
            + counters.head_segments;
        prop_assert_eq!(ends, input.len() as u64 + counters.head_messages);
        prop_assert_eq!(counters.events, events.len() as u64);
        prop_assert_eq!(counters.kinds.iter().sum::<u64>(), events.len() as u64);
    }

    /// Remembering clean names changes nothing but the work.
    #[test]
    fn memory_of_names_does_not_change_events(
        names in prop::collection::vec("[ab]{1,2}\\.(evil|clean)\\.com", 0..60),
    ) {
        let input: Input = (0i64..)
            .zip(&names)
            .map(|(second, name)| (1, second, ask(name, A)))
            .collect();
        let mut engine = Setup::new(TRAILS).engine();
        let events = run(&mut engine, &input);
        let listed = names.iter().filter(|name| name.ends_with("evil.com")).count();
        prop_assert_eq!(events.len(), listed);
    }

    #[test]
    fn a_formerly_clean_name_alerts_under_a_new_set(
        names in prop::collection::vec("[ab]{1,2}\\.zone\\.com", 0..40),
        last in "[ab]{1,2}\\.zone\\.com",
    ) {
        let setup = Setup::new("");
        let mut engine = setup.engine();
        let input: Input = names.iter().map(|name| (1, 0, ask(name, A))).collect();
        prop_assert_eq!(run(&mut engine, &input), []);
        engine.set_trails(Setup::new("zone.com,x,r\n").trail_set(), setup.whitelist());
        let events = run(&mut engine, &vec![(1, 0, ask(&last, A))]);
        prop_assert_eq!(events.len(), 1, "{}", last);
    }

    #[test]
    fn any_time_is_taken(micros in any::<i64>()) {
        let mut engine = Setup::new(TRAILS).engine();
        let mut events = Vec::new();
        let at = Timestamp::from_micros(micros);
        engine.packet(LinkType::ETHERNET, at, &syn(C, S), &mut events);
        engine.tick(at, &mut events);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(events[0].time, at);
    }

    #[test]
    fn any_label_bytes_are_taken(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..9)) {
        let mut payload = question("x", A, 1, 0x0100);
        payload.truncate(12);
        for label in &labels {
            payload.push(u8::try_from(label.len()).unwrap());
            payload.extend(label);
        }
        payload.extend([0, 0, 1, 0, 1]);
        let mut engine = Setup::new(TRAILS).engine();
        let mut events = Vec::new();
        engine.packet(LinkType::ETHERNET, at(0), &udp(C, R, &payload), &mut events);
        let counters = engine.counters();
        prop_assert_eq!(counters.observations.iter().sum::<u64>() + counters.unobserved, 1);
    }
}
