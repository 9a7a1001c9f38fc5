//! Floods that are found, and traffic that only looks like one.

use std::net::IpAddr;

use crate::net::Setup;
use crate::traffic::{ACK, End, RST, SYN, SYN_ACK, Scene, V, end, stranger, stranger6};

/// Only floods: scans have tests of their own.
fn setup() -> Setup {
    Setup::new("").with(
        "DISABLED_HEURISTICS port_scanning; DISABLED_HEURISTICS udp_scanning; \
         DISABLED_HEURISTICS infection",
    )
}

/// A sensor that has seen ordinary traffic in both directions for two seconds.
fn scene() -> Scene {
    let mut scene = Scene::new(&setup());
    scene.run(2, 50, Scene::background);
    scene
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn victim(port: u16) -> End {
    end(V, port)
}

/// The first event is `wanted`, within `seconds` of the first packet of the attack at `start`.
#[track_caller]
fn found(scene: &Scene, start: i64, wanted: &str) {
    let briefs = scene.briefs();
    assert_eq!(
        briefs.first().map(String::as_str),
        Some(wanted),
        "{briefs:#?}"
    );
    let after = scene.events[0].time.secs() - crate::net::SECOND - start;
    assert!((1..=5).contains(&after), "{after} s");
}

#[test]
fn a_syn_flood_begins_and_ends_once() {
    let mut scene = scene();
    let start = scene.second;
    scene.run(20, 2000, |scene, n| {
        let (src, time) = (stranger(n), scene.second as u16);
        scene.tcp((src, 1024 + time), victim(443), SYN, b"");
        scene.tcp(victim(443), (src, 1024 + time), SYN_ACK, b"");
    });
    found(
        &scene,
        start,
        "IP - > 10.0.0.80 TCP 10.0.0.80 | potential syn flood ddos (suspicious)",
    );
    scene.silence(40);
    let briefs = scene.briefs();
    assert_eq!(briefs.len(), 2, "{briefs:#?}");
    let (head, tail) = briefs[1].split_once(" sources ").expect("sources");
    let (head, sources) = head.rsplit_once(' ').expect("number");
    assert_eq!(
        head,
        "IP - > 10.0.0.80 TCP 10.0.0.80 | syn flood ddos ended: 20 s, 40.0 k packets, 1.6 MB, ports 443,",
    );
    assert_eq!(tail, "(suspicious)");
    let sources: f64 = sources.parse().expect("number");
    assert!(
        (1600.0..2400.0).contains(&sources),
        "2000 sources, {sources} found"
    );
    let event = &scene.events[0];
    assert_eq!(
        (event.src_port.as_str(), event.dst_port.as_str()),
        ("-", "443")
    );
    assert_eq!(event.reference, "(heuristic)");
    assert_eq!(event.severity().as_str(), "medium");
    assert_eq!(scene.finish().len(), 2);
}

#[test]
fn one_source_is_named() {
    let mut scene = scene();
    let start = scene.second;
    scene.run(5, 1000, |scene, n| {
        scene.tcp((stranger(1), n as u16), victim(80), SYN, b"");
    });
    let wanted = format!(
        "IP {} > 10.0.0.80 TCP 10.0.0.80 | potential syn flood ddos (suspicious)",
        stranger(1)
    );
    found(&scene, start, &wanted);
    assert_eq!(scene.finish().len(), 2);
}

#[test]
fn below_the_limit_and_with_switches_off_nothing_is_found() {
    let flood = |setup: Setup, pps| {
        let mut scene = Scene::new(&setup);
        scene.run(2, 50, Scene::background);
        scene.run(8, pps, |scene, n| {
            scene.tcp((stranger(n), 1024), victim(80), SYN, b"")
        });
        scene.finish().len()
    };
    assert_eq!(flood(setup(), 450), 0);
    assert_eq!(flood(setup(), 550), 2);
    for off in [
        "USE_HEURISTICS false",
        "DISABLED_HEURISTICS ddos",
        "DISABLED_HEURISTICS syn_flood",
    ] {
        assert_eq!(flood(setup().with(off), 5000), 0, "{off}");
    }
    let mut other = setup();
    other.detect.ddos.min_pps = 6000;
    assert_eq!(flood(other, 5000), 0);
}

#[test]
fn floods_of_segments_datagrams_and_icmp() {
    let ack = |scene: &mut Scene, n| scene.tcp((stranger(n), 7), victim(80), ACK, b"");
    let rst = |scene: &mut Scene, n| scene.tcp((stranger(n), 7), victim(80), RST, b"");
    let udp = |scene: &mut Scene, n: u64| scene.udp((stranger(n), 7), victim(n as u16), 400);
    let icmp = |scene: &mut Scene, n| {
        scene.icmp(stranger(n), ip(V), 8);
        scene.icmp(ip(V), stranger(n), 0);
    };
    type Each<'a> = &'a dyn Fn(&mut Scene, u64);
    let rows: [(&str, &str, Each<'_>); 4] = [
        ("ack", "TCP", &ack),
        ("ack", "TCP", &rst),
        ("udp", "UDP", &udp),
        ("icmp", "ICMP", &icmp),
    ];
    for (kind, proto, each) in rows {
        let mut scene = scene();
        let start = scene.second;
        scene.run(6, 3000, each);
        let wanted = format!(
            "IP - > 10.0.0.80 {proto} 10.0.0.80 | potential {kind} flood ddos (suspicious)"
        );
        found(&scene, start, &wanted);
        assert_eq!(scene.finish().len(), 2, "{kind}");
    }
}

#[test]
fn ipv6_is_the_same() {
    let server = end("2001:db8:1::80", 443);
    let mut scene = scene();
    let start = scene.second;
    scene.run(6, 1500, |scene, n| {
        scene.tcp((stranger6(n), 9), server, SYN, b"")
    });
    let wanted = "IP - > 2001:db8:1::80 TCP 2001:db8:1::80 | potential syn flood ddos";
    assert!(
        scene.briefs()[0].starts_with(wanted),
        "{:?}",
        scene.briefs()
    );
    assert!(scene.events[0].time.secs() - crate::net::SECOND - start <= 5);
    let mut scene = self::scene();
    scene.run(6, 1500, |scene, n| scene.icmp(stranger6(n), server.0, 8));
    let wanted = "IP - > 2001:db8:1::80 ICMPV6 2001:db8:1::80 | potential icmp flood ddos";
    assert!(
        scene.briefs()[0].starts_with(wanted),
        "{:?}",
        scene.briefs()
    );
}

#[test]
fn reflected_answers_are_named_by_their_service() {
    for (name, port) in [
        ("dns", 53),
        ("ntp", 123),
        ("ssdp", 1900),
        ("memcached", 11211),
        ("cldap", 389),
        ("snmp", 161),
        ("chargen", 19),
    ] {
        let mut scene = scene();
        let start = scene.second;
        scene.run(5, 1000, |scene, n| {
            scene.udp((stranger(n % 300), port), victim(80), 1200);
        });
        let wanted = format!(
            "IP - > 10.0.0.80 UDP 10.0.0.80 | potential {name} reflection ddos (suspicious)"
        );
        found(&scene, start, &wanted);
        assert_eq!(scene.events[0].src_port.as_str(), port.to_string());
    }
}

#[test]
fn a_server_of_ours_that_answers_far_more_than_asked_is_abused() {
    let abuse = |answer| {
        let mut scene = scene();
        let start = scene.second;
        scene.run(6, 400, |scene, _| {
            let client = (stranger(5), 80);
            scene.udp(client, victim(123), 20);
            scene.udp(victim(123), client, answer);
        });
        (scene, start)
    };
    let (mut scene, start) = abuse(440);
    let wanted = format!(
        "IP 10.0.0.80 > {0} UDP {0} | potential ntp reflector abuse ddos (suspicious)",
        stranger(5)
    );
    found(&scene, start, &wanted);
    assert_eq!(scene.finish().len(), 2);
    abuse(60).0.silent("answers of twice the size");
}

/// A web server with ordinary visits: 20 a second for 40 seconds.
fn web_site() -> Scene {
    let mut scene = scene();
    scene.run(40, 200, |scene, n| {
        let time = scene.second as u16;
        scene.visit((stranger(n % 50), 2000 + time * 200 + n as u16), victim(80));
    });
    scene
}

const REQUEST: &[u8] = b"GET /?q=1 HTTP/1.1\r\nHost: www.site.com\r\n\r\n";

#[test]
fn http_floods_of_few_and_of_many() {
    let wanted = "IP - > 10.0.0.80 TCP 10.0.0.80 | potential http flood ddos (suspicious)";
    for (sources, rate) in [(40, 3000), (3000, 3000)] {
        let mut scene = web_site();
        let start = scene.second;
        scene.run(6, rate, |scene, n| {
            let client = (stranger(n % sources), 3000);
            if scene.second == start {
                scene.tcp(client, victim(80), SYN, b"");
                scene.tcp(victim(80), client, SYN_ACK, b"");
                scene.tcp(client, victim(80), ACK, b"");
            }
            scene.tcp(client, victim(80), 0x18, REQUEST);
            scene.tcp(victim(80), client, ACK, b"");
        });
        found(&scene, start, wanted);
    }
}

#[test]
fn a_carpet_over_a_network_is_found_where_no_address_is_over_its_limit() {
    let mut scene = scene();
    let start = scene.second;
    scene.run(6, 6000, |scene, n| {
        let to: IpAddr = format!("10.7.7.{}", n % 250).parse().expect("address");
        scene.udp((stranger(n % 800), 99), (to, 80), 300);
    });
    found(
        &scene,
        start,
        "IP - > 10.7.7.0/24 UDP 10.7.7.0/24 | potential udp flood ddos (suspicious)",
    );
    assert_eq!(scene.finish().len(), 2, "{:#?}", scene.briefs());

    let carpet6 = |setup: Setup| {
        let mut scene = Scene::new(&setup);
        scene.run(2, 50, Scene::background);
        scene.run(6, 3000, |scene, n| {
            let to: IpAddr = format!("2001:db8:7:7::{:x}", 1 + n)
                .parse()
                .expect("address");
            scene.tcp((stranger6(n % 800), 99), (to, 80), SYN, b"");
        });
        scene.briefs()
    };
    assert_eq!(
        carpet6(setup()),
        ["IP - > 2001:db8:7:7::/64 TCP 2001:db8:7:7::/64 | potential syn flood ddos (suspicious)"]
    );
    assert_eq!(
        carpet6(setup().with("DISABLED_HEURISTICS carpet_bombing")),
        [""; 0]
    );
}

#[test]
fn pulses_close_together_are_one_attack_and_far_apart_several() {
    let pulses = |pause| {
        let mut scene = scene();
        for _ in 0..3 {
            scene.run(10, 1500, |scene, n| {
                scene.tcp((stranger(n), 9), victim(80), SYN, b"")
            });
            scene.run(pause, 50, Scene::background);
        }
        scene.finish().len()
    };
    assert_eq!(pulses(20), 2, "one start, one end");
    assert_eq!(pulses(40), 6, "three of each");
}

#[test]
fn a_slow_ramp_is_found_when_it_passes_the_limit() {
    let mut scene = scene();
    let mut passed = None;
    for step in 0..300_u64 {
        let pps = 4 * step + 1;
        if pps >= 500 && passed.is_none() {
            passed = Some(scene.second);
        }
        scene.run(1, pps, |scene, n| {
            scene.tcp((stranger(n), 9), victim(80), SYN, b"")
        });
    }
    let first = scene.events.first().expect("an event").time.secs() - crate::net::SECOND;
    let passed = passed.expect("passed");
    assert!((passed..passed + 6).contains(&first), "{passed} {first}");
}

#[test]
fn a_flood_shows_over_the_usual_traffic_of_a_busy_server() {
    let mut scene = web_site();
    let start = scene.second;
    scene.run(6, 1500, |scene, n| {
        if n % 10 == 0 {
            scene.visit((stranger(n % 50), 30_000 + n as u16), victim(80));
        }
        scene.tcp((stranger(n + 500_000), 9), victim(80), SYN, b"");
    });
    found(
        &scene,
        start,
        "IP - > 10.0.0.80 TCP 10.0.0.80 | potential syn flood ddos (suspicious)",
    );
}

#[test]
fn our_own_hosts_taking_part_are_high_and_named() {
    let outside = (stranger(9), 80);
    let flood = |setup: Setup| {
        let mut scene = Scene::new(&setup);
        scene.run(2, 50, Scene::background);
        scene.run(6, 3000, |scene, n| {
            scene.udp((ip(V), n as u16), outside, 900)
        });
        scene
    };
    let scene = flood(setup());
    let wanted = format!(
        "IP 10.0.0.80 > {0} UDP {0} | potential udp flood ddos participation (malware)",
        outside.0
    );
    found(&scene, 2, &wanted);
    assert_eq!(scene.events[0].severity().as_str(), "high");
    let off = setup().with("DISABLED_HEURISTICS ddos_participation");
    flood(off).silent("participation is off");
}

#[test]
fn two_of_our_hosts_are_both_named() {
    let outside = (stranger(9), 80);
    let mut scene = scene();
    scene.run(6, 2000, |scene, n| {
        let bot = if n % 2 == 0 { "10.0.0.81" } else { "10.0.0.82" };
        scene.tcp(end(bot, n as u16), outside, SYN, b"");
    });
    let brief = scene.briefs().remove(0);
    assert!(
        ["10.0.0.81,10.0.0.82", "10.0.0.82,10.0.0.81"]
            .iter()
            .any(|both| brief.starts_with(&format!("IP {both} > "))),
        "{brief}"
    );
    assert!(
        brief.ends_with("potential syn flood ddos participation (malware)"),
        "{brief}"
    );
}

#[test]
fn foreign_names_that_leave_our_border_are_participation() {
    let mut scene = scene();
    scene.run(6, 2000, |scene, n| {
        scene.tcp((stranger(n), 9), (stranger(9_000_000), 80), SYN, b"")
    });
    let wanted = format!(
        "IP - > {0} TCP {0} | potential syn flood ddos participation (malware)",
        stranger(9_000_000)
    );
    found(&scene, 2, &wanted);
}

#[test]
fn a_whitelisted_victim_is_left_alone() {
    let mut setup = setup();
    setup.whitelist += "10.0.0.80\n";
    let mut scene = Scene::new(&setup);
    scene.run(6, 2000, |scene, n| {
        scene.tcp((stranger(n), 9), victim(80), SYN, b"")
    });
    scene.silent("whitelisted");
}

mod near_misses {
    use super::*;

    #[test]
    fn a_speed_test() {
        let mut scene = scene();
        let server = (stranger(3), 8080);
        scene.run(6, 20_000, |scene, n| {
            for _ in 0..4 {
                scene.tcp(server, victim(5000), ACK, &[0x55; 100]);
            }
            if n % 2 == 0 {
                scene.tcp(victim(5000), server, ACK, b"");
            }
        });
        scene.silent("download at 80,000 packets a second");
        let mut scene = self::scene();
        scene.run(6, 20_000, |scene, n| {
            scene.tcp(victim(5000), server, ACK, &[0x55; 100]);
            if n % 2 == 0 {
                scene.tcp(server, victim(5000), ACK, b"");
            }
        });
        scene.silent("upload, as of a backup");
    }

    #[test]
    fn calls_downloads_and_tunnels_over_udp() {
        for (what, rate, port, back) in [
            ("video call", 600, 40_000, 2),
            ("QUIC download", 8_000, 443, 4),
            ("QUIC upload", 8_000, 443, 4),
            ("WireGuard tunnel", 30_000, 51_820, 10),
        ] {
            let mut scene = scene();
            let (one, two) = (victim(5000), (stranger(3), port));
            let (from, to) = if what.ends_with("upload") {
                (one, two)
            } else {
                (two, one)
            };
            scene.run(8, rate, |scene, n| {
                scene.udp(from, to, 1100);
                if n % back == 0 {
                    scene.udp(to, from, 60);
                }
            });
            scene.silent(what);
        }
    }

    #[test]
    fn bit_torrent() {
        let mut scene = scene();
        scene.run(10, 2500, |scene, n| {
            let peer = (stranger(n % 600), 6881);
            scene.udp(peer, victim(51_413), 300);
            scene.udp(victim(51_413), peer, 900);
            if n % 25 == 0 {
                // Peers that are gone, on both sides.
                scene.udp((stranger(1_000 + n), 6881), victim(51_413), 60);
                scene.udp(victim(51_413), (stranger(9_000 + n), 6881), 60);
            }
        });
        scene.silent("BitTorrent");
    }

    #[test]
    fn a_recursive_resolver() {
        let mut scene = scene();
        scene.run(8, 5000, |scene, n| {
            let (port, server) = (
                1024 + (scene.second * 5000 + n as i64) as u16 % 60_000,
                (stranger(n % 900), 53),
            );
            scene.udp(victim(port), server, 40);
            scene.udp(server, victim(port), 420);
        });
        scene.silent("resolver");
    }

    #[test]
    fn authoritative_dns_and_ntp() {
        for (port, rate, answer) in [(53, 3000, 160), (123, 2000, 48)] {
            let mut scene = scene();
            scene.run(8, rate, |scene, n| {
                let client = (stranger(n + scene.second as u64 * 300), 1024 + n as u16);
                scene.udp(client, victim(port), 48);
                scene.udp(victim(port), client, answer);
            });
            scene.silent("server");
        }
    }

    #[test]
    fn monitoring_of_500_hosts() {
        let mut scene = scene();
        scene.run(10, 1000, |scene, n| {
            let host = stranger(n % 500);
            scene.icmp(ip(V), host, 8);
            scene.icmp(host, ip(V), 0);
        });
        scene.silent("monitoring");
    }

    #[test]
    fn a_flash_crowd() {
        let mut scene = scene();
        for second in 0..70 {
            let visits = (2000 * (second + 1) / 60).min(2000);
            scene.run(1, visits, |scene, n| {
                let client = (n * 7919 + second * 104_729) % 5000;
                scene.visit(
                    (stranger(client), 1024 + (second * 811 + n) as u16 % 60_000),
                    victim(80),
                );
            });
        }
        scene.silent("flash crowd");
    }

    #[test]
    fn scans_and_sweeps() {
        let scanner = stranger(3);
        let mut scene = scene();
        scene.run(8, 3000, |scene, n| {
            let port = (scene.second * 3000 + n as i64) as u16;
            scene.tcp((scanner, 999), victim(port), SYN, b"");
            scene.tcp(victim(port), (scanner, 999), RST | ACK, b"");
        });
        scene.silent("port scan");
        let mut scene = self::scene();
        scene.run(8, 1500, |scene, n| {
            scene.icmp(
                scanner,
                format!("10.0.5.{}", n % 256).parse().expect("address"),
                8,
            );
        });
        scene.silent("ping sweep");
    }

    /// Only what comes in is mirrored.
    #[test]
    fn ordinary_servers_seen_one_way() {
        let one_way = || Scene::new(&setup());
        let mut scene = one_way();
        scene.run(8, 5000, |scene, n| {
            scene.udp((stranger(n % 900), 53), victim(n as u16), 420)
        });
        scene.silent("resolver");
        let mut scene = one_way();
        scene.run(8, 3000, |scene, n| {
            scene.udp((stranger(n), 1024), victim(53), 40)
        });
        scene.silent("name server");
        let mut scene = one_way();
        scene.run(8, 20_000, |scene, _| {
            scene.tcp((stranger(3), 80), victim(5000), ACK, &[0x55; 100])
        });
        scene.silent("download");
        let mut scene = one_way();
        scene.run(8, 1500, |scene, n| {
            let client = (
                stranger(n % 5000),
                1024 + (scene.second * 1500 + n as i64) as u16 % 60_000,
            );
            scene.tcp(client, victim(80), SYN, b"");
            scene.tcp(client, victim(80), ACK, b"");
            scene.tcp(client, victim(80), 0x18, REQUEST);
            scene.tcp(client, victim(80), 0x11, b"");
        });
        scene.silent("web server");
    }
}

/// Very many destinations and sources: records are bounded, what is lost is counted, and listed
/// addresses are found as before.
#[test]
fn a_flood_of_destinations_is_bounded_and_hides_nothing_listed() {
    let mut setup = setup();
    setup.trails = "203.0.113.7,badnet,r\n".to_owned();
    let mut scene = Scene::new(&setup);
    scene.run(3, 300_000, |scene, n| {
        // Fifty at a time: each address is warm for a moment.
        let to = stranger(n / 60 + 5000 * scene.second as u64);
        scene.udp((stranger(n + 77), 9), (to, 80), 10);
    });
    assert!(
        scene.engine.counters().ddos_evictions > 1000,
        "{:?}",
        scene.engine.counters().ddos_evictions
    );
    let before = scene.events.len();
    scene.run(1, 1, |scene, _| {
        scene.tcp(victim(1), end("203.0.113.7", 443), SYN, b"")
    });
    let found = scene.events[before..]
        .iter()
        .any(|event| event.trail == "203.0.113.7");
    assert!(found, "{:?}", scene.briefs());
}
