//! What is counted in requests and questions: web scans, exhausted domains, names that do not exist.
//! Names of rows are those of the scenario tables.

use maltrail_core::time::Timestamp;

use crate::net::{A, R, SECOND, Setup, at, feed, question, segment, tcp, udp};

type Packets = Vec<(Timestamp, Vec<u8>)>;

fn micros(second: i64, micros: u32) -> Timestamp {
    Timestamp::from_parts(SECOND + second, micros)
}

/// The row's events; `wanted` lines have the start of all lines left out.
#[track_caller]
fn row(id: &str, options: &str, packets: &Packets, wanted: &[&str]) {
    row_with(id, &Setup::new("").with(options), packets, wanted);
}

#[track_caller]
fn row_with(id: &str, setup: &Setup, packets: &Packets, wanted: &[&str]) {
    let found = setup.feed(packets);
    let start = "\"2023-11-14 22:13:";
    let wanted: Vec<String> = wanted.iter().map(|line| [start, line].concat()).collect();
    assert_eq!(found, wanted, "{id}");
}

/// Requests for these paths, one a second, and an unrelated packet a second after the last.
fn requests(src: &str, dst: &str, paths: &[String]) -> Packets {
    let mut packets: Packets = (0_i64..)
        .zip(paths)
        .map(|(second, path)| {
            let text = format!("GET {path} HTTP/1.1\r\nHost: site-a.com\r\n\r\n");
            (micros(second, 5), segment(src, dst, 0x18, text.as_bytes()))
        })
        .collect();
    let later = at(packets.len() as i64);
    packets.push((later, tcp("192.0.2.99:1", "192.0.2.98:2", 0x10)));
    packets
}

const SCANNED: &str = "20.000005\" sensor1 192.0.2.10 40000 203.0.113.7 80 TCP PATH * \
                       \"potential web scanning\" (heuristic)";

#[test]
fn eleven_places_of_a_server_are_a_scan() {
    let (src, dst) = ("192.0.2.10:40000", "203.0.113.7:80");
    let paths = |count: usize| -> Vec<String> { (0..count).map(|n| format!("/p{n}/x")).collect() };
    let same: Vec<String> = (0..11).map(|n| format!("/p/x{n}")).collect();
    row("web_10_no", "-", &requests(src, dst, &paths(10)), &[]);
    row("web_11", "-", &requests(src, dst, &paths(11)), &[SCANNED]);
    row("web_same_segment_no", "-", &requests(src, dst, &same), &[]);
    let inside = requests("10.0.0.5:40000", "10.0.0.6:80", &paths(11));
    row("web_internal_no", "-", &inside, &[]);
    let off = "DISABLED_HEURISTICS web_scanning";
    row("web_disabled", off, &requests(src, dst, &paths(11)), &[]);
    let off = "USE_HEURISTICS false";
    row("heuristics off", off, &requests(src, dst, &paths(11)), &[]);
    let mut setup = Setup::new("");
    setup.whitelist = "192.0.2.10\n".to_owned();
    row_with("white source", &setup, &requests(src, dst, &paths(11)), &[]);
}

/// Questions in one second for these names, from ports 1024 and up.
fn questions(names: impl IntoIterator<Item = String>) -> Packets {
    spread(names, |_| 0)
}

fn spread(names: impl IntoIterator<Item = String>, second: impl Fn(u32) -> i64) -> Packets {
    (0_u32..)
        .zip(names)
        .map(|(n, name)| {
            let frame = udp(
                &format!("192.0.2.10:{}", 1024 + n),
                R,
                &question(&name, A, 1, 0x100),
            );
            (micros(second(n), n), frame)
        })
        .collect()
}

fn below(zone: &'static str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("s{n}.{zone}"))
}

fn exhausted(trail: &str) -> String {
    format!(
        "20.001000\" sensor1 192.0.2.10 2024 198.51.100.53 53 UDP DNS {trail} \
         \"potential dns exhaustion (suspicious)\" (heuristic)"
    )
}

#[test]
fn a_thousand_names_below_a_domain_exhaust_it() {
    let zone = "victim-zone.com";
    let found = exhausted("(s1000).victim-zone.com");
    row("dnsexh_1000_no", "-", &questions(below(zone, 1000)), &[]);
    row("dnsexh_1001", "-", &questions(below(zone, 1001)), &[&found]);
    row(
        "dnsexh_1100_once",
        "-",
        &questions(below(zone, 1100)),
        &[&found],
    );
    let slow = spread(below(zone, 1001), |n| i64::from(n) / 10);
    row("dnsexh_slow_no", "-", &slow, &[]);
    let mut white = Setup::new("");
    white.whitelist = "google.com\n".to_owned();
    row_with(
        "dnsexh_whitelisted",
        &white,
        &questions(below("google.com", 1001)),
        &[],
    );
    let dashed = (0..1001).map(|n| format!("10-1-{}-{}.victim-zone.com", n / 250, n % 250));
    row("dnsexh_dashed_quad", "-", &questions(dashed), &[]);
    let list = questions(below("rbl.zone-x.com", 1001));
    row("dnsexh_bl_word", "-", &list, &[]);
    // Superseded: the trail is split as the counter splits.
    row(
        "dnsexh_cctld",
        "-",
        &questions(below("victim.co.uk", 1001)),
        &[&exhausted("(s1000).victim.co.uk")],
    );
    let wpad = std::iter::once("wpad.victim-zone.com".to_owned()).chain(below(zone, 1000));
    row("dnsexh_wpad", "-", &questions(wpad), &[]);
    for off in ["DISABLED_HEURISTICS dns_exhaustion", "USE_HEURISTICS false"] {
        row("dnsexh_disabled", off, &questions(below(zone, 1100)), &[]);
    }
}

#[test]
fn trails_of_an_exhausted_domain_are_found_and_its_long_names_are_not_reported_one_by_one() {
    let long = |n: usize| format!("{n:030}.victim-zone.com");
    let names = below("victim-zone.com", 1001)
        .chain((0..5).map(long))
        .chain(["x.evil.victim-zone.com".to_owned()]);
    let setup = Setup::new("evil.victim-zone.com,x,r\n");
    let found = setup.feed(&questions(names));
    let trails: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split(' ').nth(8 + 1))
        .collect();
    assert_eq!(
        trails,
        ["(s1000).victim-zone.com", "(x).evil.victim-zone.com"]
    );
}

/// Answers that there are no such names, five a second, to `client` on ports 1024 and up.
fn missing(client: &str, names: impl IntoIterator<Item = String>) -> Packets {
    (0_u32..)
        .zip(names)
        .map(|(n, name)| {
            let mut message = question(&name, A, 1, 0x8183);
            message[3] = 0x83;
            let frame = udp(R, &format!("{client}:{}", 1024 + n), &message);
            (micros(i64::from(n) / 5, n), frame)
        })
        .collect()
}

fn not_there(trail: &str) -> String {
    format!(
        "24.000020\" sensor1 198.51.100.53 53 192.0.2.10 1044 UDP DNS {trail} \
         \"excessive no such domain (suspicious)\" (heuristic)"
    )
}

#[test]
fn names_that_do_not_exist_count_by_name_and_by_domain() {
    let client = "192.0.2.10";
    let many = |count: usize| (0..count).map(|n| format!("n{n:02}.zone-y.com"));
    let same = |name: &'static str, count: usize| (0..count).map(move |_| name.to_owned());
    let list: Vec<String> = (1..21).map(|n| format!("n{n:02}")).collect();
    let wild = not_there(&format!("({}).zone-y.com", list.join(",")));
    row("nx_wild_20_no", "-", &missing(client, many(20)), &[]);
    row("nx_wild_21", "-", &missing(client, many(21)), &[&wild]);
    let exact = not_there("zone-z.com");
    row(
        "nx_exact_20_no",
        "-",
        &missing(client, same("zone-z.com", 20)),
        &[],
    );
    row(
        "nx_exact_21",
        "-",
        &missing(client, same("zone-z.com", 21)),
        &[&exact],
    );
    let inside = missing("10.0.0.9", same("zone-z.com", 21));
    row("nx_local_client_no", "-", &inside, &[]);
    row(
        "nx_wpad_exact_fires",
        "-",
        &missing(client, same("wpad.zone-y.com", 21)),
        &[&not_there("wpad.zone-y.com")],
    );
    let wpads = (0..21).map(|n| format!("wpad{n:02}.zone-y.com"));
    row("nx_wpad_wild_no", "-", &missing(client, wpads), &[]);
    let block_list = same("1.2.3.4.zen-x.org", 21);
    row("nx_dnsbl_no", "-", &missing(client, block_list), &[]);
    for off in ["DISABLED_HEURISTICS no_such_domain", "USE_HEURISTICS false"] {
        row(off, off, &missing(client, same("zone-z.com", 21)), &[]);
    }
}

#[test]
fn listed_and_exhausted_names_that_do_not_exist_are_not_counted_again() {
    let same = |name: &'static str| (0..21).map(move |_| name.to_owned());
    let setup = Setup::new("zone-z.com,x,r\n");
    let found = feed(
        &mut setup.engine(),
        &missing("192.0.2.10", same("a.zone-z.com")),
    );
    assert!(
        found.iter().all(|line| !line.contains("excessive")),
        "{found:?}"
    );
    let mut packets = questions(below("zone-y.com", 1001));
    packets.extend(missing("192.0.2.10", same("a.zone-y.com")));
    let found = Setup::new("").feed(&packets);
    assert_eq!(found.len(), 1, "{found:?}");
}
