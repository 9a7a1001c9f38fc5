//! DNS answers: the table of verified examples, and what takes more than one packet.

use crate::net::{A, AAAA, C, R, Setup, ask, at, check, check_setup, feed, lines, question, udp};
use crate::vectors::{expected, rows, setup, unhex};

#[test]
fn dns_responses() {
    for row in rows::<8>(include_str!("../data/dns_response.tsv"), 31) {
        let [id, config, trails, src, dst, payload, wanted, basis] = row;
        let frame = udp(
            &format!("{src}:53"),
            &format!("{dst}:40000"),
            &unhex(payload),
        );
        let mut engine = setup(trails, config).engine();
        let found = feed(&mut engine, &[(at(0), frame)]);
        assert_eq!(found, expected(wanted), "{id} ({basis})");
    }
}

/// A record of an answer.
#[derive(Clone, Copy)]
enum Data<'a> {
    A([u8; 4]),
    Aaaa([u8; 16]),
    Cname(&'a str),
}

fn wire(name: &str) -> Vec<u8> {
    let label = |label: &str| {
        [
            &[u8::try_from(label.len()).expect("label")],
            label.as_bytes(),
        ]
        .concat()
    };
    let mut bytes: Vec<u8> = name.split('.').flat_map(label).collect();
    bytes.push(0);
    bytes
}

/// An answer of [`R`] to `client` with these flags.
fn answer_to(client: &str, flags: u16, name: &str, qtype: u16, records: &[Data<'_>]) -> Vec<u8> {
    let mut bytes = question(name, qtype, 1, flags);
    bytes[7] = u8::try_from(records.len()).expect("count");
    for record in records {
        let (rtype, data): (u16, Vec<u8>) = match record {
            Data::A(address) => (1, address.to_vec()),
            Data::Aaaa(address) => (28, address.to_vec()),
            Data::Cname(target) => (5, wire(target)),
        };
        bytes.extend([0xc0, 0x0c]);
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).expect("length").to_be_bytes());
        bytes.extend(data);
    }
    udp(R, client, &bytes)
}

fn answer(name: &str, qtype: u16, records: &[Data<'_>]) -> Vec<u8> {
    answer_to(C, 0x8180, name, qtype, records)
}

const EVIL: &str = "evil.com,x,r\n";
const CLEAN: Data<'_> = Data::A([192, 0, 2, 99]);

#[test]
fn an_answer_is_silent_when_its_question_was_reported() {
    let packets = [
        (at(0), ask("www.evil.com", A)),
        (at(0), ask("www.evil.com", AAAA)),
        (at(1), answer("www.evil.com", A, &[CLEAN])),
        (at(1), answer("www.evil.com", AAAA, &[])),
    ];
    check(EVIL, &packets, &["DNS (www).evil.com"]);
    let mut engine = Setup::new(EVIL).engine();
    feed(&mut engine, &packets);
    assert_eq!(engine.counters().answers_known, 2);
}

#[test]
fn an_answer_without_its_question_is_reported_once_a_while() {
    let seen = answer("evil.com", A, &[CLEAN]);
    let packets = [
        (at(0), seen.clone()),
        (at(0), answer("evil.com", AAAA, &[])),
        (at(20), seen.clone()),
        (at(31), seen.clone()),
        (
            at(31),
            answer_to("192.0.2.11:40000", 0x8180, "evil.com", A, &[]),
        ),
    ];
    check(EVIL, &packets, &["DNS evil.com"; 3]);
    // Another client's question leaves it as it is.
    let other = udp("192.0.2.11:40000", R, &question("evil.com", A, 1, 0x0100));
    check(EVIL, &[(at(0), other), (at(0), seen)], &["DNS evil.com"; 2]);
}

#[test]
fn which_answers_name_what_was_asked_for() {
    for (flags, events) in [
        (0x8180, 1),
        (0x8580, 1),
        (0x81b0, 1), // AD, CD
        (0x8400, 1), // the zone's own server
        (0x8183, 0), // no such name
        (0x8182, 0),
        (0x81c0, 0), // reserved bit
        (0x0280, 0), // neither query nor answer
    ] {
        let mut engine = Setup::new(EVIL).engine();
        let found = feed(
            &mut engine,
            &[(at(0), answer_to(C, flags, "evil.com", A, &[]))],
        );
        assert_eq!(found.len(), events, "{flags:#x}");
    }
    for name in ["evil.local", "a.intranet.evil.com", "4.3.2.1.in-addr.arpa"] {
        check(
            "evil.local,x,r\nevil.com,x,r\narpa,x,r\n",
            &[(at(0), answer(name, A, &[]))],
            &[],
        );
    }
    check(EVIL, &[(at(0), answer("evil.com", 12, &[]))], &[]);
    check(
        EVIL,
        &[(at(0), udp(R, C, &question("evil.com", A, 3, 0x8180)))],
        &[],
    );
}

#[test]
fn names_are_matched_without_heuristics_and_addresses_are_not() {
    let rows = "evil.com,x,r\n203.0.113.99,sinkhole abuse.ch (malware),(static)\n";
    let setup = Setup::new(rows);
    let packets = [(at(0), answer("evil.com", A, &[Data::A([203, 0, 113, 99])]))];
    check_setup(&setup, &packets, &["DNS evil.com", "DNS (evil).com"]);
    check_setup(
        &setup.clone().with("USE_HEURISTICS false"),
        &packets,
        &["DNS evil.com"],
    );
    check_setup(
        &setup.with("DISABLED_HEURISTICS sinkhole"),
        &packets,
        &["DNS evil.com"],
    );
}

#[test]
fn aliases_lead_to_listed_names() {
    let chain = [
        Data::Cname("a.clean.net"),
        Data::Cname("cdn.Evil.com"),
        CLEAN,
    ];
    check(
        EVIL,
        &[(at(0), answer("shop.org", A, &chain))],
        &["DNS (cdn).evil.com"],
    );
    let both = [
        (at(0), ask("shop.org", A)),
        (at(0), answer("shop.org", A, &chain)),
        (at(0), answer("shop.org", AAAA, &chain[..2])),
    ];
    check(EVIL, &both, &["DNS (cdn).evil.com"]);
    let found = Setup::new(EVIL).feed(&both);
    assert_eq!(
        found,
        [
            "\"2023-11-14 22:13:20.000000\" sensor1 198.51.100.53 53 192.0.2.10 40000 UDP DNS \
          (cdn).evil.com x r"
        ]
    );
}

#[test]
fn an_alias_inside_the_listed_zone_is_the_same_finding() {
    let inside = [Data::Cname("evil.com")];
    let packets = [
        (at(0), ask("www.evil.com", A)),
        (at(0), answer("www.evil.com", A, &inside)),
    ];
    check(EVIL, &packets, &["DNS (www).evil.com"]);
    // Another row is another finding, and so is a name that only ends alike.
    let rows = "evil.com,x,r\nworse.net,y,r\nil.com,z,r\n";
    let outside = [Data::Cname("worse.net"), Data::Cname("il.com")];
    let packets = [
        (at(0), ask("www.evil.com", A)),
        (at(0), answer("www.evil.com", A, &outside)),
    ];
    check(
        rows,
        &packets,
        &["DNS (www).evil.com", "DNS worse.net", "DNS il.com"],
    );
    // A whitelisted name says nothing about where it leads.
    let google = [Data::Cname("evil.com")];
    check(
        EVIL,
        &[(at(0), answer("www.google.com", A, &google))],
        &["DNS evil.com"],
    );
}

#[test]
fn long_aliases_are_those_of_providers() {
    let long = "abcdefghijklmnopqrstuvwxyz.cloud.net";
    check(
        "",
        &[(at(0), answer("shop.org", A, &[Data::Cname(long)]))],
        &[],
    );
    check(
        "",
        &[(at(0), answer(long, A, &[]))],
        &["DNS (abcdefghijklmnopqrstuvwxyz).cloud.net"],
    );
}

#[test]
fn too_many_aliases_are_counted() {
    let mut records = vec![Data::Cname("clean.net"); 16];
    records.push(Data::Cname("evil.com"));
    let mut engine = Setup::new(EVIL).engine();
    assert_eq!(
        feed(&mut engine, &[(at(0), answer("shop.org", A, &records))]),
        [""; 0]
    );
    assert_eq!(engine.counters().answer_targets_lost, 1);
    let found = feed(
        &mut engine,
        &[(at(0), answer("shop2.org", A, &records[1..]))],
    );
    assert_eq!(found.len(), 1);
}

#[test]
fn every_address_counts_in_both_families() {
    let rows = "2001:db8::99,sinkhole x (malware),r\n203.0.113.98,parking site,r\n\
                203.0.113.7,badnet,r\n198.51.100.0/28,sinkhole net (malware),r\n";
    let parked = Data::A([203, 0, 113, 98]);
    let sinkhole = Data::Aaaa(
        "2001:db8::99"
            .parse::<std::net::Ipv6Addr>()
            .expect("v6")
            .octets(),
    );
    let line = |records: &[Data<'_>]| {
        let found = feed(
            &mut Setup::new(rows).engine(),
            &[(at(0), answer("a.b.org", A, records))],
        );
        let info = |line: &String| line.split('"').nth(3).unwrap_or_default().to_owned();
        found.iter().map(info).collect::<Vec<String>>()
    };
    assert_eq!(
        line(&[CLEAN, Data::A([203, 0, 113, 7]), sinkhole]),
        ["sinkholed by x (malware)"]
    );
    assert_eq!(line(&[parked, sinkhole]), ["parked site (suspicious)"]);
    assert_eq!(
        line(&[Data::A([198, 51, 100, 9])]),
        ["sinkholed by net (malware)"]
    );
    assert_eq!(line(&[CLEAN]), [""; 0]);
}

#[test]
fn made_up_names_can_be_left_out_and_are_only_for_the_unlisted() {
    let made_up = answer_to(C, 0x8183, "qxz7k2vw9p4m.com", A, &[]);
    let packets = [(at(0), made_up.clone()), (at(0), made_up)];
    // One datagram in a second counts once; a second later it is another.
    check("", &packets, &["DNS (qxz7k2vw9p4m).com"]);
    check_setup(
        &Setup::new("").with("DISABLED_HEURISTICS entropy"),
        &packets,
        &[],
    );
    check_setup(&Setup::new("").with("USE_HEURISTICS false"), &packets, &[]);
    check("com,tld,r\n", &packets, &[]);
    let mut setup = Setup::new("");
    setup.whitelist = "qxz7k2vw9p4m.com\n".to_owned();
    check_setup(&setup, &packets, &[]);
}

#[test]
fn names_in_answers_push_nobody_out_of_the_clean_ones() {
    let mut setup = Setup::new("");
    setup.detect.domain_cache_entries = 64;
    let mut engine = setup.engine();
    for n in 0..200 {
        let name = format!("x{n}.tunnel.com");
        feed(
            &mut engine,
            &[(at(n), ask(&name, A)), (at(n), answer(&name, A, &[CLEAN]))],
        );
    }
    assert_eq!(engine.counters().clean_name_evictions, 0);
}

#[test]
fn a_full_memory_of_reported_names_is_counted() {
    let mut engine = Setup::new(EVIL).engine();
    let mut events = 0;
    for n in 0..300 {
        let name = format!("n{n}.evil.com");
        events += feed(&mut engine, &[(at(0), answer(&name, A, &[]))]).len();
    }
    assert_eq!((events, engine.counters().reported_evictions), (300, 44));
}

#[test]
fn every_prefix_and_flipped_byte_of_an_answer_is_survived() {
    let chain = [
        Data::Cname("cdn.evil.com"),
        CLEAN,
        Data::A([203, 0, 113, 99]),
    ];
    let whole = answer("shop.org", A, &chain);
    let rows = "evil.com,x,r\n203.0.113.99,sinkhole a,r\n";
    let mut engine = Setup::new(rows).engine();
    let mut events = Vec::new();
    for at_byte in 0..whole.len() {
        for (payload, second) in [(whole[..at_byte].to_vec(), 0), (whole.clone(), 100)] {
            let mut payload = payload;
            if second != 0 {
                payload[at_byte] ^= 0x41;
            }
            engine.packet(
                maltrail_wire::LinkType::ETHERNET,
                at(second),
                &payload,
                &mut events,
            );
        }
    }
    let counters = engine.counters();
    assert_eq!(counters.packets, 2 * whole.len() as u64);
    assert!(
        lines(&events).iter().all(|line| line.contains(" DNS ")),
        "{events:#?}"
    );
}
