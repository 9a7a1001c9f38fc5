//! Scans and infections, packet by packet. Names of rows are those of the scenario tables; a row marked
//! `beyond` shows where the windows of this engine slide and the reference's do not.

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_wire::LinkType;

use crate::net::{Setup, at, feed, lines, syn, tcp, udp};

type Packets = Vec<(Timestamp, Vec<u8>)>;

/// How the ports of a host are tried.
#[derive(Clone, Copy)]
struct Scan {
    src: &'static str,
    dst: &'static str,
    /// TCP flags; none for UDP.
    flags: Option<u8>,
    count: i64,
    every: i64,
}

const SYN: Scan = Scan {
    src: "192.0.2.10",
    dst: "203.0.113.7",
    flags: Some(0x02),
    count: 11,
    every: 1,
};

const UDP: Scan = Scan { flags: None, ..SYN };

fn end(address: &str, port: i64) -> String {
    match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    }
}

impl Scan {
    fn frame(&self, port: i64) -> Vec<u8> {
        let (src, dst) = (end(self.src, 40000), end(self.dst, port));
        match self.flags {
            Some(flags) => tcp(&src, &dst, flags),
            None => udp(&src, &dst, b"x"),
        }
    }

    /// Ports 1000 and up.
    fn packets(&self) -> Packets {
        (0..self.count)
            .map(|n| (at(n * self.every), self.frame(1000 + n)))
            .collect()
    }
}

/// The packets and an unrelated one a second after the last.
fn then_later(mut packets: Packets) -> Packets {
    let last = packets.last().map_or(0, |(time, _)| time.secs());
    let later = Timestamp::from_parts(last + 1, 0);
    packets.push((later, tcp("192.0.2.99:1", "192.0.2.98:2", 0x10)));
    packets
}

/// Runs the row twice; `wanted` lines have the start of all lines left out.
#[track_caller]
fn row(id: &str, options: &str, packets: &Packets, wanted: &[&str]) {
    row_with(id, Setup::new("").with(options), packets, wanted);
}

#[track_caller]
fn row_with(id: &str, setup: Setup, packets: &Packets, wanted: &[&str]) {
    let found = setup.feed(packets);
    let wanted: Vec<String> = wanted
        .iter()
        .map(|line| format!("\"2023-11-14 22:{line}"))
        .collect();
    assert_eq!(found, wanted, "{id}");
    assert_eq!(setup.feed(packets), found, "{id} again");
}

const FOUND: &str = "13:31.000000\" sensor1 192.0.2.10 40000 203.0.113.7 1000 TCP IP 192.0.2.10 \
                     \"potential port scanning\" (heuristic)";

/// [`FOUND`] at another time.
fn found_at(time: &str) -> String {
    FOUND.replace("13:31", time)
}

#[test]
fn eleven_ports_are_a_scan_and_ten_are_not() {
    let scan = |count, every| {
        then_later(
            Scan {
                count,
                every,
                ..SYN
            }
            .packets(),
        )
    };
    row("port_10_no", "-", &scan(10, 1), &[]);
    row("port_11", "-", &scan(11, 1), &[FOUND]);
    row("port_11_tick", "-", &scan(11, 0), &[&found_at("13:21")]);
    row(
        "port_11_no_tick",
        "-",
        &Scan { every: 0, ..SYN }.packets(),
        &[],
    );
    row(
        "port_29_window_edge",
        "-",
        &scan(11, 2),
        &[&found_at("13:41")],
    );
    row("port_slow_4s", "-", &scan(11, 4), &[]);
    let wide = ("port_slow_4s_window60", "SCAN_WINDOW 60");
    row(wide.0, wide.1, &scan(11, 4), &[&found_at("14:01")]);
    row("port_two_windows", "-", &scan(40, 1), &[FOUND]);
}

#[test]
fn only_what_tries_a_port_counts() {
    let flags = |flags| {
        let flags = Some(flags);
        then_later(Scan { flags, ..SYN }.packets())
    };
    row("port_null", "-", &flags(0x00), &[FOUND]);
    row("port_fin", "-", &flags(0x01), &[FOUND]);
    row("port_xmas", "-", &flags(0x29), &[FOUND]);
    row("port_ack_no", "-", &flags(0x10), &[]);
    row("ecn_syn_scan", "-", &flags(0xc2), &[FOUND]);
    for other in [0x10, 0x12, 0x04, 0x08, 0x11, 0x21, 0x28, 0x39, 0x03] {
        row(&format!("flags {other:#x}"), "-", &flags(other), &[]);
    }
    let same: Packets = (0..20).map(|n| (at(n), SYN.frame(1000))).collect();
    row("port_same_port_no", "-", &then_later(same), &[]);
    let mixed: Packets = (0..12)
        .map(|n| {
            let flags = Some(if n % 2 == 0 { 0x02 } else { 0x01 });
            (at(n), Scan { flags, ..SYN }.frame(1000 + n))
        })
        .collect();
    row("port_mixed", "-", &then_later(mixed), &[FOUND]);
}

#[test]
fn ends_that_are_scanned() {
    let scan = |src, dst| then_later(Scan { src, dst, ..SYN }.packets());
    row(
        "port_localhost_dst_no",
        "-",
        &scan("192.0.2.10", "127.0.0.1"),
        &[],
    );
    row("localhost v6", "-", &scan("2001:db8::1", "::1"), &[]);
    let wanted = FOUND
        .replace("203.0.113.7", "10.0.0.6")
        .replace("192.0.2.10", "10.0.0.5");
    row(
        "port_local_local",
        "-",
        &scan("10.0.0.5", "10.0.0.6"),
        &[&wanted],
    );
    let wanted = FOUND
        .replace("203.0.113.7", "2001:db8::66")
        .replace("192.0.2.10", "2001:db8::1");
    row(
        "port_v6",
        "-",
        &scan("2001:db8::1", "2001:db8::66"),
        &[&wanted],
    );
    // Eleven ports of two hosts, and of one host by two, are no scan of anybody.
    let hosts: Packets = (0..20)
        .map(|n| {
            let dst = if n % 2 == 0 {
                "203.0.113.7"
            } else {
                "203.0.113.8"
            };
            (at(n), Scan { dst, ..SYN }.frame(1000 + n))
        })
        .collect();
    row("two hosts", "-", &then_later(hosts), &[]);
    let sources: Packets = (0..20)
        .map(|n| {
            let src = if n % 2 == 0 {
                "192.0.2.10"
            } else {
                "192.0.2.11"
            };
            (at(n), Scan { src, ..SYN }.frame(1000 + n))
        })
        .collect();
    row("two sources", "-", &then_later(sources), &[]);
}

#[test]
fn scans_that_nobody_wants_to_hear_of() {
    let scan = then_later(SYN.packets());
    row(
        "port_disabled",
        "DISABLED_HEURISTICS port_scanning",
        &scan,
        &[],
    );
    row(
        "other disabled",
        "DISABLED_HEURISTICS udp_scanning",
        &scan,
        &[FOUND],
    );
    row("all off", "USE_HEURISTICS false", &scan, &[]);
    for whitelist in ["192.0.2.10\n", "192.0.2.0/24\n"] {
        let mut setup = Setup::new("");
        setup.whitelist = whitelist.to_owned();
        row_with("port_whitelisted_src, _range", setup, &scan, &[]);
    }
    let mut setup = Setup::new("");
    setup.whitelist = "192.0.2.11\n192.0.3.0/24\n".to_owned();
    row_with("neighbours whitelisted", setup, &scan, &[FOUND]);
}

#[test]
fn windows_slide() {
    // Seven ports in the last seven seconds of one fixed window, seven in the first of the next.
    let mut packets = vec![(at(0), tcp("192.0.2.99:1", "192.0.2.98:2", 0x10))];
    packets.extend((0..14).map(|n| (at(23 + n), SYN.frame(1000 + n))));
    let wanted = found_at("13:54");
    row(
        "port_straddle_no (beyond)",
        "-",
        &then_later(packets),
        &[&wanted],
    );
    // The first and the last of eleven ports are a window apart: one second more is too much.
    let apart = |last| {
        let mut packets: Packets = (0..10).map(|n| (at(0), SYN.frame(1000 + n))).collect();
        packets.push((at(last), SYN.frame(2000)));
        then_later(packets)
    };
    row("29 s", "-", &apart(29), &[&found_at("13:50")]);
    row("30 s", "-", &apart(30), &[]);
}

#[test]
fn a_scan_that_goes_on_is_reported_once_a_window() {
    let scan = then_later(Scan { count: 100, ..SYN }.packets());
    // Found with the 11th port, then 30 and 60 seconds later; ports are those that count by then.
    let second = found_at("14:01").replace(" 1000 ", " 1030 ");
    let third = found_at("14:31").replace(" 1000 ", " 1060 ");
    row("100 s", "-", &scan, &[FOUND, &second, &third]);
}

#[test]
fn the_timer_reports_a_scan_that_ended() {
    let mut engine = Setup::new("").engine();
    let scan = Scan { every: 0, ..SYN }.packets();
    assert_eq!(feed(&mut engine, &scan), [""; 0]);
    let mut events: Vec<Event> = Vec::new();
    engine.tick(at(0), &mut events);
    assert_eq!(events, [], "the second is not over");
    engine.tick(Timestamp::from_parts(at(1).secs(), 999_999), &mut events);
    assert_eq!(
        lines(&events),
        [format!("\"2023-11-14 22:{}", found_at("13:21"))]
    );
    engine.tick(at(2), &mut events);
    assert_eq!(events.len(), 1, "once");
}

#[test]
fn a_clock_that_steps_back_loses_no_scan() {
    let mut packets = SYN.packets();
    packets.swap(3, 9);
    row("out of order", "-", &then_later(packets), &[FOUND]);
    // Far back: another recording begins, with nothing of the first.
    let mut packets: Packets = (0..6).map(|n| (at(9000), SYN.frame(1000 + n))).collect();
    packets.extend((6..12).map(|n| (at(0), SYN.frame(1000 + n))));
    row("two recordings", "-", &then_later(packets), &[]);
}

#[test]
fn datagrams_to_eleven_ports_are_a_scan() {
    let found = FOUND
        .replace("TCP", "UDP")
        .replace("port scanning", "udp scanning");
    let udp_ports = |count| then_later(Scan { count, ..UDP }.packets());
    row("udp_10_no", "-", &udp_ports(10), &[]);
    row("udp_11", "-", &udp_ports(11), &[&found]);
    let off = "DISABLED_HEURISTICS udp_scanning";
    row("udp_11_disabled", off, &udp_ports(11), &[]);
    row("all off", "USE_HEURISTICS false", &udp_ports(11), &[]);
    // TCP and UDP ports are counted apart.
    let mixed: Packets = (0..20)
        .map(|n| {
            let scan = if n % 2 == 0 { SYN } else { UDP };
            (at(n), scan.frame(1000 + n))
        })
        .collect();
    row("10 of each", "-", &then_later(mixed), &[]);
    // Questions and answers of port 53 are none.
    let answers: Packets = (0..20)
        .map(|n| {
            (
                at(n),
                udp("198.51.100.53:53", &end("192.0.2.10", 5000 + n), b"x"),
            )
        })
        .collect();
    row("port 53", "-", &then_later(answers), &[]);
}

/// A host tries one service on so many others, all in one second.
fn spread(src: &str, port: i64, hosts: i64) -> Packets {
    (1..=hosts)
        .map(|host| {
            let dst = end(&format!("203.0.113.{host}"), port);
            (at(0), syn(&end(src, 40000), &dst))
        })
        .collect()
}

const INFECTED: &str = "13:21.000000\" sensor1 192.168.1.5 40000 203.0.113.1 445 TCP PORT 445 \
                        \"potential infection\" (heuristic)";

#[test]
fn a_worm_tries_33_hosts() {
    let spread = |port, hosts| then_later(spread("192.168.1.5", port, hosts));
    row("infection_32_no", "-", &spread(445, 32), &[]);
    row("infection_33", "-", &spread(445, 33), &[INFECTED]);
    row(
        "infection_33_6379",
        "-",
        &spread(6379, 33),
        &[&INFECTED.replace("445", "6379")],
    );
    row("infection_33_other_port", "-", &spread(446, 33), &[]);
    let off = "DISABLED_HEURISTICS infection";
    row("infection_disabled", off, &spread(445, 33), &[]);
    row("all off", "USE_HEURISTICS false", &spread(445, 33), &[]);
    // The sources are known although scans are not reported.
    let scans_off = "DISABLED_HEURISTICS port_scanning";
    row(
        "port_scanning off",
        scans_off,
        &spread(445, 33),
        &[INFECTED],
    );
}

#[test]
fn a_worm_repeats_itself_and_may_use_ipv6() {
    let mut packets: Packets = Vec::new();
    for _ in 0..3 {
        packets.extend(spread("192.168.1.5", 445, 20));
    }
    row("20 hosts thrice", "-", &then_later(packets), &[]);
    let packets: Packets = (1..=33)
        .map(|host| {
            (
                at(0),
                syn("[2001:db8::5]:40000", &format!("[2001:db8:1::{host}]:445")),
            )
        })
        .collect();
    let wanted = INFECTED
        .replace("192.168.1.5", "2001:db8::5")
        .replace("203.0.113.1", "2001:db8:1::1");
    row("ipv6", "-", &then_later(packets), &[&wanted]);
}

#[test]
fn a_stranger_that_tries_many_hosts_is_no_infection_of_ours() {
    let pairs = |count: i64| -> Packets {
        (0..count)
            .map(|n| {
                (
                    at(0),
                    syn(&format!("172.16.0.{n}:5000"), "203.0.113.200:443"),
                )
            })
            .collect()
    };
    let mut packets = pairs(60);
    packets.extend(spread("198.18.0.5", 445, 33));
    row("infection_minor_prefix_no", "-", &then_later(packets), &[]);
    // 33 pairs and one service: less than that are a minority.
    let wanted = INFECTED.replace("192.168.1.5", "198.18.0.5");
    let mut packets = pairs(33);
    packets.extend(spread("198.18.0.5", 445, 33));
    row("34 to 33", "-", &then_later(packets), &[&wanted]);
    let mut packets = pairs(35);
    packets.extend(spread("198.18.0.5", 445, 33));
    row("34 to 35", "-", &then_later(packets), &[]);
}

#[test]
fn trails_and_scans_are_reported_side_by_side() {
    let setup = Setup::new("203.0.113.7,badnet,r\n");
    let found = setup.feed(&then_later(SYN.packets()));
    assert_eq!(found.len(), 12, "{found:#?}");
    assert!(found[11].ends_with("\"potential port scanning\" (heuristic)"));
}

#[test]
fn a_flood_of_invented_sources_hides_no_scan_and_is_counted() {
    // It is a flood as well, which is another matter.
    let setup = Setup::new("").with("DISABLED_HEURISTICS ddos");
    let mut engine = setup.engine();
    let mut events = Vec::new();
    let flood = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        syn(&format!("100.{a}.{b}.{c}:1"), "203.0.113.9:80")
    };
    let mut port = 1000;
    for n in 0..120_000 {
        if n % 10_000 < 2 {
            port += 1;
            engine.packet(LinkType::ETHERNET, at(0), &SYN.frame(port), &mut events);
        }
        engine.packet(LinkType::ETHERNET, at(0), &flood(n), &mut events);
    }
    engine.tick(at(1), &mut events);
    assert_eq!(engine.counters().scan_evictions, 120_001 - 50_000);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].src_ip.as_str(), "192.0.2.10");
}
