//! What goes wrong in the office. Each line says what happens and how it must be reported.
//!
//! Rows of the lists are in `trails/static`; a list's info is its file name and folder.

use std::net::IpAddr;

use super::office::{camera, workstation, workstation_v6};
use super::story::{Listed, Story, Turn};
use crate::packet::{self, End, Host, Qtype, Tags};
use crate::payload;

const STEALER: Listed = Listed("demo stealer (malware)", "high");
const RAT: Listed = Listed("demo rat (malware)", "high");
const RANSOMWARE: Listed = Listed("demo ransomware (malware)", "high");
const BOTNET: Listed = Listed("demo botnet (malware)", "high");
const WANNACRY: Listed = Listed("wannacry (malware)", "high");
const CONFICKER: Listed = Listed("conficker dga (malware)", "high");
const EXPLOIT_KIT: Listed = Listed("demo exploit kit (malicious)", "medium");
const PHISHING: Listed = Listed("demo phishing (malicious)", "medium");
const ONION: Listed = Listed("onion (suspicious)", "medium");
const DYNAMIC: Listed = Listed("dynamic domain (suspicious)", "medium");
const MINING: Listed = Listed("crypto mining (suspicious)", "medium");
const PORT_PROXY: Listed = Listed("port proxy (suspicious)", "medium");
const INTERACTION: Listed = Listed("dns tunneling service (suspicious)", "medium");
const IP_INFO: Listed = Listed("ipinfo (suspicious)", "medium");
const TUNNEL: Listed = Listed("demo tunnel (suspicious)", "medium");
const LONG_DOMAIN: Listed = Listed("long domain (suspicious)", "medium");
const SQL: Listed = Listed("potential sql injection (suspicious)", "medium");
const USER_AGENT: Listed = Listed("user agent (suspicious)", "medium");
const PORT_SCAN: Listed = Listed("potential port scanning", "low");
const WEB_SCAN: Listed = Listed("potential web scanning", "low");
const SCANNER: Listed = Listed("mass scanner", "low");
const REPUTATION: Listed = Listed("bad reputation", "low");

/// Where listed names lead when their own address is not listed.
const NOWHERE: &str = "203.0.113.230";

/// A hidden service's name: 56 letters and digits.
const HIDDEN: &str = "kq3v7d2mzt5yxw4bhs6rjnlcfagpe2oi7u3x5k4q6zvyd2mtwbhsrjad";

pub(super) fn everything(story: &mut Story) {
    browsed_names(story);
    other_questions(story);
    stealer_beacon(story);
    remote_control(story);
    ransomware(story);
    cameras_taken_over(story);
    scanners(story);
    bad_reputation(story);
    attack_on_the_shop(story);
}

/// A name is looked up by a browser or the like and then visited over TLS: one finding for both
/// questions.
fn browsed_names(story: &mut Story) {
    for (at, number, name, trail, listed) in [
        (
            4.2,
            2,
            "cdn.lumen-static.example.net",
            "cdn.lumen-static.example.net",
            STEALER,
        ),
        (
            5.1,
            2,
            "eu.update-check.example.net",
            "(eu).update-check.example.net",
            STEALER,
        ),
        (
            8.3,
            5,
            "landing.ek-gate.example.net",
            "landing.ek-gate.example.net",
            EXPLOIT_KIT,
        ),
        (
            8.1,
            5,
            "track.ads-rotator.example.net",
            "(track).ads-rotator.example.net",
            EXPLOIT_KIT,
        ),
        (
            12.4,
            7,
            "secure.invoice-view.example.net",
            "(secure).invoice-view.example.net",
            PHISHING,
        ),
        (
            13.2,
            7,
            "login-verify.example.net",
            "login-verify.example.net",
            PHISHING,
        ),
        (
            21.5,
            9,
            "www.parcel-tracking.example.net",
            "(www).parcel-tracking.example.net",
            PHISHING,
        ),
        (26.3, 0, "icanhazip.com", "icanhazip.com", IP_INFO),
        (27.2, 4, "checkip.dyndns.org", "checkip.dyndns.org", IP_INFO),
        (
            31.4,
            11,
            "backup-nas.hopto.org",
            "(backup-nas).hopto.org",
            DYNAMIC,
        ),
        (
            34.1,
            11,
            "7f3a9c21.ngrok.io",
            "(7f3a9c21).ngrok.io",
            PORT_PROXY,
        ),
        (
            38.2,
            8,
            "pool.supportxmr.com",
            "(pool).supportxmr.com",
            MINING,
        ),
        (
            44.3,
            8,
            "xmr-eu1.nanopool.org",
            "(xmr-eu1).nanopool.org",
            MINING,
        ),
        (
            71.2,
            3,
            "panel.quiet-rat.example.net",
            "panel.quiet-rat.example.net",
            RAT,
        ),
    ] {
        story.plant("DNS", trail, listed);
        let client = workstation(number);
        let answered = story.looks_up(at, client, name, address(NOWHERE));
        story.visits(answered + 0.001, client, Host::remote(NOWHERE), name, 2);
    }
}

/// Single questions of programs, of other types and in other ways.
fn other_questions(story: &mut Story) {
    let onion_web = format!("{HIDDEN}.onion.ws");
    let onion = format!("{HIDDEN}.onion");
    let (onion_web_trail, onion_trail) =
        (format!("({HIDDEN}).onion.ws"), format!("({HIDDEN}).onion"));
    for (at, client, name, qtype, trail, listed) in [
        (
            51.2,
            workstation(6),
            onion_web.as_str(),
            Qtype::A,
            onion_web_trail.as_str(),
            ONION,
        ),
        (
            52.4,
            workstation(6),
            onion.as_str(),
            Qtype::A,
            onion_trail.as_str(),
            ONION,
        ),
        (
            17.3,
            camera(2),
            "office-cam.duckdns.org",
            Qtype::A,
            "(office-cam).duckdns.org",
            DYNAMIC,
        ),
        (
            58.1,
            workstation(10),
            "www.iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com",
            Qtype::A,
            "(www).iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com",
            WANNACRY,
        ),
        (
            61.3,
            workstation(12),
            "xwplrtnfg.conficker-sinkhole.org",
            Qtype::A,
            "xwplrtnfg.conficker-sinkhole.org",
            CONFICKER,
        ),
        (
            62.1,
            workstation(12),
            "qkzmwvtb.conficker-sinkhole.net",
            Qtype::A,
            "qkzmwvtb.conficker-sinkhole.net",
            CONFICKER,
        ),
        (
            64.4,
            workstation(1),
            "4d61783a31.s1.t1.dns-drop.example.net",
            Qtype::Txt,
            "(4d61783a31.s1).t1.dns-drop.example.net",
            TUNNEL,
        ),
        (
            65.2,
            workstation(1),
            "2f6574632f.s2.t1.dns-drop.example.net",
            Qtype::Txt,
            "(2f6574632f.s2).t1.dns-drop.example.net",
            TUNNEL,
        ),
        (
            67.3,
            workstation(13),
            "c4e1k9d0.oast.fun",
            Qtype::A,
            "(c4e1k9d0).oast.fun",
            INTERACTION,
        ),
        (
            76.1,
            workstation(4),
            "mx1.invoice-view.example.net",
            Qtype::Mx,
            "(mx1).invoice-view.example.net",
            PHISHING,
        ),
    ] {
        story.plant("DNS", trail, listed);
        story.asks(at, client, name, qtype, &[]);
    }
    let name = "mfzwizltoqwxaylsnfwgkzlsme.metrics.example.net";
    let trail = "(mfzwizltoqwxaylsnfwgkzlsme.metrics).example.net";
    story.plant_as("DNS", trail, LONG_DOMAIN, "(heuristic)");
    story.asks(
        47.2,
        workstation(1),
        name,
        Qtype::A,
        &[address("203.0.113.231")],
    );
    // An IPv6-only host is never seen to ask for an IPv4 address.
    story.plant("DNS", "(relay).key-exchange.example.net", RANSOMWARE);
    let (client, resolver) = (workstation_v6(9), Host::local("fd00:20::53"));
    let name = "relay.key-exchange.example.net";
    story.asks_at(
        55.3,
        client,
        resolver,
        name,
        Qtype::Aaaa,
        &[address("2001:db8:40::99")],
    );
}

/// Every half minute the stolen data goes out.
fn stealer_beacon(story: &mut Story) {
    story.plant("IPORT", "198.51.100.23:8443", STEALER);
    let server = Host::remote("198.51.100.23").port(8443);
    for beat in 0..4u64 {
        let client = workstation(2).port(story.port());
        let turns = vec![
            Turn::Up(payload::tls_data(&story.noise(420))),
            Turn::Down(payload::tls_data(&story.noise(64))),
        ];
        story.talks(5.6 + beat as f64 * 27.5, client, server, turns);
    }
}

/// Two hosts under remote control, over IPv4, IPv6 and UDP.
fn remote_control(story: &mut Story) {
    story.plant("IPORT", "203.0.113.90:4444", RAT);
    let server = Host::remote("203.0.113.90").port(4444);
    let client = workstation(3).port(story.port());
    let turns = vec![Turn::Up(story.noise(40)), Turn::Down(story.noise(90))];
    story.talks(72.4, client, server, turns);
    let client = workstation(10).port(story.port());
    story.frame(73.9, packet::udp(client, server, b"\x01\x00hello"));

    story.plant("IPORT", "[2001:db8:bad::19]:4444", RAT);
    let server = Host::remote("2001:db8:bad::19").port(4444);
    let client = workstation_v6(3).port(story.port());
    refused(story, 74.3, client, server);

    story.plant("IP", "2001:db8:bad::25", RAT);
    let server = Host::remote("2001:db8:bad::25");
    story.frame(75.1, packet::echo(workstation_v6(3), server, 1));
    let client = workstation_v6(8).port(story.port());
    story.frame(80.2, packet::syn_behind_options(client, server.port(8080)));
}

fn ransomware(story: &mut Story) {
    story.plant("DNS", "pay-portal.example.net", RANSOMWARE);
    let place = address("198.51.100.77");
    story.looks_up(56.2, workstation(9), "pay-portal.example.net", place);
    story.plant("IP", "198.51.100.77", RANSOMWARE);
    let server = Host::remote("198.51.100.77");
    story.visits(56.6, workstation(9), server, "pay-portal.example.net", 2);
    // Another host asks for ECN: SYN, ECE and CWR.
    let client = workstation(10).port(story.port());
    story.frame(59.4, packet::syn_ecn(client, server.port(443)));
}

/// Two cameras load a program, join a mesh and reach for their controller.
fn cameras_taken_over(story: &mut Story) {
    let controller = Host::remote("203.0.113.198");
    story.plant("DNS", "bins.iot-loader.example.net", BOTNET);
    story.asks(
        18.2,
        camera(1),
        "bins.iot-loader.example.net",
        Qtype::A,
        &[controller.ip()],
    );
    story.plant("IP", "203.0.113.198", BOTNET);
    for (at, number) in [(18.6, 1), (40.3, 3)] {
        let client = camera(number).port(story.port());
        refused(story, at, client, controller.port(23));
    }
    story.frame(41.0, packet::echo(camera(3), controller, 1));
    story.plant("DNS", "node07.mesh-bot.example.net", BOTNET);
    story.asks(
        19.4,
        camera(1),
        "node07.mesh-bot.example.net",
        Qtype::A,
        &[],
    );
    story.plant("DNS", "(a1).node42.mesh-bot.example.net", BOTNET);
    story.asks(
        42.2,
        camera(3),
        "a1.node42.mesh-bot.example.net",
        Qtype::A,
        &[],
    );
}

/// From outside against the web and mail server.
fn scanners(story: &mut Story) {
    let (web, mail) = (Host::local("10.20.0.80"), Host::local("10.20.0.25"));
    story.plant("IP", "198.51.100.200", SCANNER);
    let scanner = Host::remote("198.51.100.200");
    for (at, target, port) in [
        (14.2, web, 22),
        (14.9, web, 8080),
        (15.4, mail, 3389),
        (78.3, web, 5900),
    ] {
        refused(
            story,
            at,
            scanner.port(41_000 + port % 1000),
            target.port(port),
        );
    }
    story.plant("IP", "198.51.100.201", SCANNER);
    let scanner = Host::remote("198.51.100.201");
    let snmp = b"0\x26\x02\x01\x01\x04\x06public";
    story.frame(
        23.1,
        packet::udp(scanner.port(41_161), mail.port(161), snmp),
    );
    story.frame(24.7, packet::echo(scanner, web, 1));
}

/// Addresses of little esteem, most of them in a listed network.
fn bad_reputation(story: &mut Story) {
    story.plant("IP", "192.0.2.214", REPUTATION);
    let client = workstation(0).port(story.port());
    refused(story, 29.3, client, Host::remote("192.0.2.214").port(8080));

    story.plant("IP", "192.0.2.9", REPUTATION);
    let client = workstation(5).port(story.port());
    let peer = Host::remote("192.0.2.9").port(6881);
    story.frame(
        33.2,
        packet::udp(client, peer, b"d1:ad2:id20:abcdefghij0123456789e1:q4:pinge"),
    );

    story.plant("IP", "192.0.2.30", REPUTATION);
    story.frame(
        36.4,
        packet::echo(Host::remote("192.0.2.30"), Host::local("10.20.0.80"), 9),
    );

    story.plant("IP", "192.0.2.17", REPUTATION);
    story.frame(
        39.1,
        packet::gre(Host::local("10.20.0.1"), Host::remote("192.0.2.17")),
    );

    // A branch office behind two tags.
    story.plant("IP", "192.0.2.3", REPUTATION);
    let client = Host::local("10.20.77.4")
        .tagged(Tags::Two(700, 12))
        .port(story.port());
    refused(story, 49.3, client, Host::remote("192.0.2.3").port(25));

    // A resolver that nobody should use is reported with the name it was asked for.
    story.plant("IP", "192.0.2.5 (www.example.org)", REPUTATION);
    let resolver = Host::remote("192.0.2.5");
    let answer = [address("203.0.113.55")];
    story.asks_at(
        69.2,
        workstation(13),
        resolver,
        "www.example.org",
        Qtype::A,
        &answer,
    );
}

/// Somebody nobody has listed yet tries the ports of the web server, then its places, then its shop.
fn attack_on_the_shop(story: &mut Story) {
    const HEURISTIC: &str = "(heuristic)";
    const SHOP: &str = "shop.office.example.net";
    const PORTS: [u16; 12] = [21, 23, 25, 110, 143, 445, 993, 1433, 3306, 5432, 8000, 8443];
    const PLACES: [&str; 12] = [
        "admin", "backup", "old", "test1", "dev", "login", "api", "shop", "user", "data", "tmp",
        "stats",
    ];
    let (attacker, web) = (Host::remote("198.51.100.222"), Host::local("10.20.0.80"));
    story.plant_as("IP", "198.51.100.222", PORT_SCAN, HEURISTIC);
    for (step, port) in (0_u16..).zip(PORTS) {
        let client = attacker.port(43_000 + step);
        refused(story, 30.1 + f64::from(step) * 0.4, client, web.port(port));
    }
    story.plant_as("PATH", "*", WEB_SCAN, HEURISTIC);
    let turns = PLACES.iter().flat_map(|place| {
        let request = payload::http_get(SHOP, &format!("/{place}/"));
        [Turn::Up(request), Turn::Down(payload::http_ok(40))]
    });
    story.talks(38.0, attacker.port(43_100), web.port(80), turns.collect());
    let path = "/item?id=1%27%20UNION%20SELECT%20password%20FROM%20users";
    let trail = format!("{SHOP}({})", path.to_lowercase());
    story.plant_as("URL", &trail, SQL, HEURISTIC);
    story.plant_as("UA", "sqlmap(/1.8)", USER_AGENT, HEURISTIC);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {SHOP}\r\nUser-Agent: sqlmap/1.8\r\n\r\n");
    let turns = vec![
        Turn::Up(request.into_bytes()),
        Turn::Down(payload::http_ok(40)),
    ];
    story.talks(52.0, attacker.port(43_101), web.port(80), turns);
}

fn refused(story: &mut Story, at: f64, client: End, server: End) {
    story.frame(at, packet::syn(client, server));
    story.frame(at + 0.02, packet::refused(server, client));
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hidden_service_has_a_name_of_version_3() {
        assert_eq!(HIDDEN.len(), 56);
        assert!(
            HIDDEN
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        );
    }
}
