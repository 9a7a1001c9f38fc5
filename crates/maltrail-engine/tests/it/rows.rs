//! Rows of the vectors that no other table plays: bursts, lines of whole events, spellings of IPv6,
//! and what a flood of names must not hide.

use std::net::IpAddr;

use maltrail_core::VERSION;
use maltrail_core::addr::parse_ip;
use maltrail_core::config::options::SHIPPED_SEVERITY_REGEX;
use maltrail_core::event::cef::Cef;
use maltrail_core::event::{Event, RemoteSeverity, logstash};
use maltrail_core::time::{Timestamp, Zone};
use maltrail_core::trail::Whitelist;
use maltrail_wire::LinkType;

use crate::net::{A, C, R, S, SECOND, Setup, at, feed, lines, ping, question, segment, syn, udp};
use crate::vectors::{expected, rows, setup, unhex};

type Packets = Vec<(Timestamp, Vec<u8>)>;

fn micros(micros: u32) -> Timestamp {
    Timestamp::from_parts(SECOND, micros)
}

fn event(micros: u32, rest: &str) -> String {
    format!("\"2023-11-14 22:13:20.{micros:06}\" sensor1 {rest}")
}

fn ask(from: &str, name: &str) -> Vec<u8> {
    udp(from, R, &question(name, A, 1, 0x0100))
}

#[test]
fn bursts_of_questions_are_told_apart_by_name() {
    let packets = |names: [&str; 2]| {
        let frames = names.map(|name| ask("192.0.2.10:5000", name));
        (0..).map(micros).zip(frames).collect::<Packets>()
    };
    let line = "192.0.2.10 5000 198.51.100.53 53 UDP DNS evil-domain.com x r";
    let evil = Setup::new("evil-domain.com,x,r");
    let two = packets(["good-domain.com", "evil-domain.com"]);
    let found = evil.feed(&two);
    assert_eq!(found, [event(1, line)], "dns_burst_two_names");
    let twice = packets(["evil-domain.com"; 2]);
    let found = evil.feed(&twice);
    assert_eq!(found, [event(0, line)], "dns_burst_retransmit");
}

#[test]
fn syns_to_two_listed_hosts_push_each_other_out() {
    let hosts = [
        ("203.0.113.7", "x"),
        ("203.0.113.8", "y"),
        ("203.0.113.7", "x"),
    ];
    let packets: Packets = (0..)
        .zip(hosts)
        .map(|(n, (host, _))| (micros(n), syn("192.0.2.10:1", &format!("{host}:443"))))
        .collect();
    let wanted: Vec<String> = (0..)
        .zip(hosts)
        .map(|(n, (host, info))| {
            event(
                n,
                &format!("192.0.2.10 1 {host} 443 TCP IP {host} {info} r"),
            )
        })
        .collect();
    let setup = Setup::new("203.0.113.7,x,r\n203.0.113.8,y,r");
    assert_eq!(setup.feed(&packets), wanted, "syn_interleaved");
}

/// The packets of a row of `event_line.tsv`.
fn packets(id: &str) -> Packets {
    let http = |from: &str, to: &str, text: &[u8]| segment(from, to, 0x18, text);
    let frame = match id {
        "syn_zero_port" => syn("192.0.2.10:0", S),
        "icmp" => return vec![(micros(1), ping("192.0.2.10", "203.0.113.7"))],
        "dns" => ask(C, "www.evil-domain.com"),
        "url_equals" => http(
            C,
            "203.0.113.7:80",
            b"GET /bad.php?x=\"1\"|2 HTTP/1.1\r\nHost: site-a.com\r\n\r\n",
        ),
        "title_newline" => http(
            "203.0.113.7:80",
            C,
            b"HTTP/1.1 200 OK\r\n\r\n<title>Domain Seized\r\nby =X|Y\\</title>",
        ),
        "port_event" => {
            let host = |n| syn("192.168.1.5:40000", &format!("203.0.113.{n}:445"));
            let later = (at(1), segment("192.0.2.99:1", "192.0.2.98:2", 0x10, b""));
            let hosts = (1..=33).map(|n| (at(0), host(n)));
            return hosts.chain([later]).collect();
        }
        "v6_ipport" => return vec![(at(0), syn("[2001:db8::1]:40000", "[2001:db8::66]:443"))],
        _ => syn(C, S),
    };
    vec![(micros(123_456), frame)]
}

/// What the engine makes of a row of `event_line.tsv`.
fn whole_events(id: &str, trails: &str) -> Vec<Event> {
    // The one row whose trails are escaped.
    let tab = id == "tab_info";
    let trails = if tab {
        trails.replace("\\t", "\t")
    } else {
        trails.to_owned()
    };
    let mut events = Vec::new();
    let mut engine = setup(&trails, "-").engine();
    for (time, frame) in packets(id) {
        engine.packet(LinkType::ETHERNET, time, &frame, &mut events);
    }
    events
}

#[test]
fn whole_events_as_lines() {
    for row in rows::<5>(include_str!("../data/event_line.tsv"), 17) {
        let [id, trails, _, sensor, wanted] = row;
        let mut events = whole_events(id, trails);
        for event in &mut events {
            // Engines of tests share one name.
            event.sensor = sensor.to_owned();
        }
        assert_eq!(lines(&events), expected(wanted), "{id}");
    }
}

#[test]
fn whole_events_as_datagrams_for_a_log_server() {
    let trails = rows::<5>(include_str!("../data/event_line.tsv"), 17);
    for [id, wanted] in rows::<2>(include_str!("../data/log_server_datagram.tsv"), 14) {
        let of_row = |row: &&[&'static str; 5]| row[0] == id;
        let events = whole_events(id, trails.iter().find(of_row).expect(id)[1]);
        let found: String = events.iter().map(|e| e.to_datagram(&Zone::UTC)).collect();
        assert_eq!(found, expected(wanted).join("\n") + "\n", "{id}");
    }
}

fn shipped_severity() -> RemoteSeverity {
    RemoteSeverity::new(Some(SHIPPED_SEVERITY_REGEX)).expect("compiles")
}

/// The row names another version and stands for any host and any day of the trails.
#[test]
fn whole_events_as_cef() {
    let severity = shipped_severity();
    let cef = Cef {
        host: "box-7",
        trails: "2026-01-02".parse().expect("day"),
        severity: &severity,
        zone: &Zone::UTC,
    };
    for [id, trails, _, wanted] in rows::<4>(include_str!("../data/cef_line.tsv"), 14) {
        let mut found = String::new();
        for event in whole_events(id, trails) {
            cef.write_datagram(&event, &mut found);
        }
        let [wanted] = &expected(wanted)[..] else {
            panic!("{id} is no single line");
        };
        let wanted = wanted
            .replace("@HOST@", "box-7")
            .replace("@CTIME@", "2026-01-02")
            .replace("|3.1.2|", &format!("|{VERSION}|"));
        assert_eq!(found, wanted, "{id}");
    }
}

#[test]
fn whole_events_for_logstash() {
    let severity = shipped_severity();
    for [id, trails, _, wanted] in rows::<4>(include_str!("../data/logstash_json.tsv"), 14) {
        let mut found = String::new();
        for event in whole_events(id, trails) {
            logstash::write(&event, "box-7", &severity, &mut found);
        }
        let wanted = expected(wanted).join("\n").replace("@HOST@", "box-7");
        assert_eq!(found, wanted, "{id}");
    }
}

#[test]
fn the_reference_s_ipv6_text_is_the_same_number() {
    for [hex, text] in rows::<2>(include_str!("../data/ipv6_text.tsv"), 26) {
        let octets = <[u8; 16]>::try_from(unhex(hex)).expect(hex);
        let address = IpAddr::from(octets);
        assert_eq!(parse_ip(text), Some(address), "{text}");
        // Lists may hold it in either spelling.
        let set = Setup::new(&format!("{text},x,r")).trail_set();
        assert!(set.ip(address).is_some(), "{text} as a trail");
        let white = Whitelist::parse([text]);
        assert!(white.covers_address(address), "{text} in the whitelist");
    }
}

/// This many names of a zone by one client.
fn flood(names: u32) -> Packets {
    let client = |n| format!("192.0.2.10:{}", 1024 + n);
    let name = |n| format!("s{n}.zone-q.com");
    (0..names)
        .map(|n| (micros(n), ask(&client(n), &name(n))))
        .collect()
}

#[test]
fn a_flood_of_names_hides_no_listed_one() {
    let mut packets = flood(1001);
    packets.push((micros(2000), ask("192.0.2.20:5000", "evil.zone-q.com")));
    let exhausted = event(
        1000,
        "192.0.2.10 2024 198.51.100.53 53 UDP DNS (s1000).zone-q.com \
         \"potential dns exhaustion (suspicious)\" (heuristic)",
    );
    let listed = event(
        2000,
        "192.0.2.20 5000 198.51.100.53 53 UDP DNS evil.zone-q.com \"x (malware)\" r",
    );
    let off = "DISABLED_HEURISTICS dns_exhaustion";
    for (id, config, wanted) in [
        ("exhaust_blinds", "-", vec![exhausted, listed.clone()]),
        ("exhaust_blinds_disabled", off, vec![listed.clone()]),
        ("exhaust_heur_off", "USE_HEURISTICS false", vec![listed]),
    ] {
        let mut engine = Setup::new("evil.zone-q.com,x (malware),r")
            .with(config)
            .engine();
        assert_eq!(feed(&mut engine, &packets), wanted, "{id}");
    }
}

/// One question for the zone's service discovery excuses the client that asks it, nobody else.
#[test]
fn a_client_that_looks_for_services_hides_no_flood_of_another() {
    let mut packets: Packets = vec![(micros(0), ask("192.0.2.66:5000", "wpad.zone-q.com"))];
    packets.extend(flood(1100));
    let found = Setup::new("").feed(&packets);
    assert_eq!(found.len(), 1, "{found:#?}");
}

/// As above, where no client asks for many names alone.
#[test]
fn a_client_that_looks_for_services_hides_no_flood_of_many() {
    let mut packets: Packets = vec![(micros(0), ask("192.0.2.66:5000", "wpad.zone-q.com"))];
    packets.extend((0_u32..1100).map(|n| {
        let client = format!("100.64.{}.{}:5000", n / 250, n % 250);
        (micros(n), ask(&client, &format!("s{n}.zone-q.com")))
    }));
    let found = Setup::new("").feed(&packets);
    assert_eq!(found.len(), 1, "{found:#?}");
}

/// Packets of several queues come a little out of order.
#[test]
fn a_packet_of_the_second_before_restarts_no_count() {
    let mut packets = flood(1005);
    for (n, (time, _)) in packets.iter_mut().enumerate() {
        let second = if n % 100 == 50 { -1 } else { 0 };
        *time = Timestamp::from_parts(SECOND + second, n as u32);
    }
    let found = Setup::new("").feed(&packets);
    assert_eq!(found.len(), 1, "{found:#?}");
}
