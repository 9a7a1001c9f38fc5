//! Rules that take more than one packet, or more than one part of the engine.

use std::sync::Arc;

use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_wire::LinkType;

use crate::net::{
    A, AAAA, C, R, S, Setup, ask, at, check, check_setup, feed, ip, ping, question, syn, tcp, udp,
};
use crate::vectors::rows;

const LISTED: &str = "203.0.113.7,badnet,r\n";
const EVIL: &str = "evil.com,x,r\n";

#[test]
fn an_interleaved_syn_is_reported_once_a_second() {
    let (listed, other) = (syn(C, S), syn(C, "192.0.2.77:80"));
    let packets = [
        (at(0), listed.clone()),
        (at(0), other.clone()),
        (at(0), listed.clone()),
        (at(1), other),
        (at(1), listed),
    ];
    check(LISTED, &packets, &["IP 203.0.113.7"; 2]);
}

#[test]
fn syns_of_other_ports_do_not_repeat() {
    let packets = [(at(0), syn(C, S)), (at(0), syn("192.0.2.10:40001", S))];
    check(LISTED, &packets, &["IP 203.0.113.7"; 2]);
}

#[test]
fn a_segment_that_is_no_syn_leaves_the_burst_slot_alone() {
    let packets = [
        (at(0), syn(C, S)),
        (at(0), tcp(C, S, 0x10)),
        (at(0), syn(C, S)),
    ];
    check(LISTED, &packets, &["IP 203.0.113.7"]);
}

#[test]
fn datagrams_repeat_by_payload() {
    let to = "203.0.113.7:4444";
    let packets = [
        (at(0), udp(C, to, b"one")),
        (at(0), udp(C, to, b"one")),
        (at(0), udp(C, to, b"two")),
        (at(1), udp(C, to, b"two")),
    ];
    check(LISTED, &packets, &["IP 203.0.113.7"; 3]);
}

#[test]
fn pings_never_repeat() {
    let packets = [
        (at(0), ping("192.0.2.10", "203.0.113.7")),
        (at(0), ping("192.0.2.10", "203.0.113.7")),
    ];
    check(LISTED, &packets, &["IP 203.0.113.7"; 2]);
}

#[test]
fn a_datagram_matches_a_row_with_its_port() {
    let rows = "203.0.113.7:4444,c2,r\n";
    check(
        rows,
        &[(at(0), udp(C, "203.0.113.7:4444", b"x"))],
        &["IPORT 203.0.113.7:4444"],
    );
    check(
        rows,
        &[(at(0), udp("203.0.113.7:4444", C, b"x"))],
        &["IPORT 203.0.113.7:4444"],
    );
    check(rows, &[(at(0), udp(C, "203.0.113.7:4445", b"x"))], &[]);
}

#[test]
fn port_53_is_for_names_only() {
    // Not a message, an answer, and a query that goes to the port of the client.
    let rows = "198.51.100.53,bad resolver,r\nevil.com,x,r\n";
    check(rows, &[(at(0), udp(C, R, b"xyz"))], &[]);
    check(
        rows,
        &[(at(0), udp(R, C, &question("evil.com", A, 1, 0x8180)))],
        &["DNS evil.com"],
    );
    let wanted = ["IP 198.51.100.53", "DNS evil.com"];
    check(
        rows,
        &[(at(0), udp(R, C, &question("evil.com", A, 1, 0x0100)))],
        &wanted,
    );
    // Names that stay inside are not even asked for at a listed resolver.
    check(rows, &[(at(0), ask("evil.local", A))], &[]);
}

#[test]
fn different_questions_of_one_socket_are_all_examined() {
    let packets = [
        (at(0), ask("a.evil.com", A)),
        (at(0), ask("b.evil.com", A)),
        (at(0), ask("b.evil.com", A)),
    ];
    check(EVIL, &packets, &["DNS (a).evil.com", "DNS (b).evil.com"]);
}

#[test]
fn both_address_questions_of_a_name_are_one_event() {
    let both = [(at(0), ask("evil.com", A)), (at(0), ask("evil.com", AAAA))];
    check(EVIL, &both, &["DNS evil.com"]);
    let reverse = [(at(0), ask("evil.com", AAAA)), (at(0), ask("evil.com", A))];
    check(EVIL, &reverse, &["DNS evil.com"]);
    let resolver = "198.51.100.53,x,r\n";
    check(resolver, &both, &["IP 198.51.100.53 (evil.com)"]);
}

#[test]
fn other_questions_are_not_folded() {
    let evil = ["DNS evil.com"; 2];
    let seconds = [(at(0), ask("evil.com", A)), (at(1), ask("evil.com", AAAA))];
    check(EVIL, &seconds, &evil);
    let repeated = |port| udp(port, R, &question("evil.com", A, 1, 0x0100));
    let sockets = [
        (at(0), repeated("192.0.2.10:5000")),
        (at(0), repeated("192.0.2.10:5001")),
    ];
    check(EVIL, &sockets, &evil);
    let types = [(at(0), ask("evil.com", A)), (at(0), ask("evil.com", 16))];
    check(EVIL, &types, &evil);
    let aaaa = udp(
        "192.0.2.11:40000",
        R,
        &question("evil.com", AAAA, 1, 0x0100),
    );
    check(EVIL, &[(at(0), ask("evil.com", A)), (at(0), aaaa)], &evil);
    // A listed client is one trail, but two names are two things it asked for.
    let client = [(at(0), ask("a.com", A)), (at(0), ask("b.com", AAAA))];
    check("192.0.2.10,x,r\n", &client, &["IP 192.0.2.10"; 2]);
}

#[test]
fn a_tick_ends_a_second_and_makes_no_event() {
    let setup = Setup::new(EVIL);
    let mut engine = setup.engine();
    assert_eq!(feed(&mut engine, &[(at(0), ask("evil.com", A))]).len(), 1);
    let mut events = Vec::new();
    engine.tick(at(1), &mut events);
    assert_eq!(events, []);
    // The memory of second 0 is gone, as it is after a packet of another second.
    assert_eq!(
        feed(&mut engine, &[(at(0), ask("evil.com", AAAA))]).len(),
        1
    );
}

#[test]
fn whitelisted_ends_drop_everything_but_names() {
    let rows = "9.9.9.9,x,r\nevil.com,y,r\n";
    let mut setup = Setup::new(rows);
    setup.whitelist = "192.0.2.0/24\n".to_owned();
    let to = "9.9.9.9:53";
    let packets = [
        (at(0), syn(C, "9.9.9.9:443")),
        (at(0), syn("9.9.9.9:443", C)),
        (at(0), ping("192.0.2.10", "9.9.9.9")),
        (at(0), udp(C, to, &question("evil.com", A, 1, 0x0100))),
    ];
    check_setup(&setup, &packets, &["DNS evil.com"]);
    let mut engine = setup.engine();
    feed(&mut engine, &packets);
    assert_eq!(engine.counters().whitelisted, 4);
}

/// Rows of verified examples. Each packet is reported when nothing is whitelisted.
#[test]
fn whitelist_rows() {
    for row in rows::<6>(include_str!("../data/whitelist.tsv"), 13) {
        let [id, trails, entry, packet, wanted, _basis] = row;
        let frame = match packet.split_once(' ') {
            Some((_, name)) => udp("192.0.2.10:5000", R, &question(name, A, 1, 0x0100)),
            None if packet == "v6" => syn("[2001:db8::66]:40000", "[2001:db8::1]:443"),
            None => syn(C, S),
        };
        let reported = |whitelist: &str| {
            let mut setup = Setup::new(&format!("{trails}\n"));
            setup.whitelist = whitelist.to_owned();
            setup.feed(&[(at(0), frame.clone())]).len()
        };
        assert_eq!(reported(""), 1, "{id}");
        assert_eq!(reported(entry).to_string(), wanted, "{id}");
    }
}

#[test]
fn a_name_found_clean_alerts_once_its_trail_arrives() {
    let setup = Setup::new("");
    let mut engine = setup.engine();
    let asked: Vec<_> = (0..4).map(|n| (at(n), ask("www.evil.com", A))).collect();
    assert_eq!(feed(&mut engine, &asked), [""; 0]);
    assert_eq!(
        engine.counters().clean_names,
        2,
        "known from the third question on"
    );
    engine.set_trails(Setup::new(EVIL).trail_set(), setup.whitelist());
    // The same packet in the same second is no repetition under another set.
    let found = feed(&mut engine, &[(at(3), ask("www.evil.com", A))]);
    assert_eq!(
        found,
        [
            "\"2023-11-14 22:13:23.000000\" sensor1 192.0.2.10 40000 198.51.100.53 53 UDP DNS \
          (www).evil.com x r"
        ]
    );
}

#[test]
fn a_new_set_takes_trails_and_whitelist_away() {
    let setup = Setup::new("203.0.113.7,badnet,r\nevil.com,x,r\n");
    let packets = |second| [(at(second), syn(C, S)), (at(second), ask("evil.com", A))];
    let mut engine = setup.engine();
    assert_eq!(feed(&mut engine, &packets(0)).len(), 2);
    let white = Whitelist::parse(["203.0.113.7\nevil.com\n"]);
    engine.set_trails(setup.trail_set(), Arc::new(white));
    assert_eq!(feed(&mut engine, &packets(1)), [""; 0]);
    engine.set_trails(setup.trail_set(), setup.whitelist());
    assert_eq!(feed(&mut engine, &packets(2)).len(), 2);
    let empty = TrailSet::empty().expect("set");
    engine.set_trails(Arc::new(empty), setup.whitelist());
    assert_eq!(feed(&mut engine, &packets(3)), [""; 0]);
    assert_eq!(engine.counters().trail_sets, 3);
}

#[test]
fn every_packet_is_counted_once() {
    let mut engine = Setup::new(LISTED).engine();
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    let packets = [
        (at(0), syn(C, S)),
        (at(0), syn(C, S)),
        (at(0), tcp(C, S, 0x10)),
        (at(0), udp(C, "192.0.2.77:99", b"x")),
        (at(0), ping("192.0.2.10", "192.0.2.77")),
        (at(0), ip("192.0.2.10", "192.0.2.77", 47, b"")),
        (at(0), ip("192.0.2.10", "192.0.2.77", 89, b"")),
        (at(0), ask("clean.com", A)),
        (at(0), ask("clean.local", A)),
        (at(0), arp),
    ];
    feed(&mut engine, &packets);
    let counts: Vec<(&str, u64)> = engine.counters().iter().filter(|&(_, n)| n > 0).collect();
    assert_eq!(
        counts,
        [
            ("packets", 10),
            ("unobserved", 2),
            ("repeats", 1),
            ("events", 1),
            ("link_arp", 1),
            ("protocol_ignored", 1),
            ("seen_syn", 1),
            ("seen_datagram", 1),
            ("seen_contact", 2),
            ("seen_dns_query", 1),
            ("events_ip", 1),
        ]
    );
}

#[test]
fn link_types_may_take_turns() {
    let frame = syn(C, S);
    let mut engine = Setup::new(LISTED).engine();
    let mut events = Vec::new();
    for second in 0..3 {
        engine.packet(LinkType::ETHERNET, at(2 * second), &frame, &mut events);
        engine.packet(LinkType::RAW, at(2 * second + 1), &frame[14..], &mut events);
    }
    assert_eq!(events.len(), 6);
}

#[test]
fn the_bounds_of_remembered_names_hold() {
    let mut setup = Setup::new("");
    setup.detect.domain_cache_entries = 64;
    let mut engine = setup.engine();
    for n in 0..200 {
        for second in 0..2 {
            feed(&mut engine, &[(at(second), ask(&format!("n{n}.com"), A))]);
        }
    }
    assert_eq!(engine.counters().clean_name_evictions, 200 - 64);
}
