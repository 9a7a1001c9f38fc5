//! The 25 recorded groups of datagrams, sent to a real intake: what is stored, byte for byte, and what is refused.
//! And forgeries: what they change is one counter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use maltrail_core::event::Seal;
use maltrail_core::time::{Timestamp, Zone};
use support::{TestServer, datagram, wait};

/// Days before today that the recorded line is dated.
const AGE: i32 = 5;

/// What becomes of a datagram.
enum Wanted {
    /// This line, with a newline.
    Stored(Vec<u8>),
    /// Nothing.
    Dropped,
}
use Wanted::{Dropped, Stored};

fn intake(server: &TestServer) -> serde_json::Value {
    server.client().get("/api/v1/health").json()["intake"].clone()
}

fn count(server: &TestServer, name: &str) -> u64 {
    intake(server)[name].as_u64().unwrap()
}

/// Name → content of all day files.
fn day_files(server: &TestServer) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(&server.log_dir).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Group, datagram, what becomes of it. `ev` makes a well-formed line of its own, `epoch` is its second.
fn table(epoch: i64, ev: impl Fn(&str) -> String) -> Vec<(&'static str, Vec<u8>, Wanted)> {
    let mut rows: Vec<(&'static str, Vec<u8>, Wanted)> = Vec::new();
    let mut row = |group, datagram: &[u8], wanted| rows.push((group, datagram.to_vec(), wanted));
    let stored = |line: &str| Stored(line.as_bytes().to_vec());
    let (one, two, three) = (ev("u01"), ev("u02"), ev("u03"));
    row("U01", format!("{epoch} {one}\n").as_bytes(), stored(&one));
    row("U02", format!("{epoch} {two}").as_bytes(), stored(&two));
    row("U03", format!("{three}\n").as_bytes(), stored(&three));
    // Ours: two records in one datagram are no event.
    row(
        "U04",
        format!("{epoch} {0}\n{0}\r\n", ev("u04")).as_bytes(),
        Dropped,
    );
    row("U05", b"", Dropped);
    row("U06", b"hello", Dropped);
    row("U07", b"\xff\xfe\x00", Dropped);
    row("U08", b"12345", Dropped);
    // Ours: U09, U10, U12, U14, U19, U20 are checked before they are stored.
    row("U09", b"86400 ", Dropped);
    row("U10", b"0 hi there", Dropped);
    row("U11", b"-1 x", Dropped);
    row("U12", b"99999999999 x", Dropped);
    row(
        "U12",
        format!("99999999999 {}", ev("u12")).as_bytes(),
        Dropped,
    );
    row("U13", format!("{} x", "9".repeat(30)).as_bytes(), Dropped);
    row("U14", format!("86400 {}", ev("u14")).as_bytes(), Dropped);
    // Ours: a time without fraction is a time.
    let bare = ev("u15").replace(".000000\"", "\"");
    row("U15", bare.as_bytes(), stored(&bare));
    row("U16", b"2026-11-19 08:00:00.0 s1", Dropped);
    row("U17", b"17950x abc", Dropped);
    row("U18", format!(" {epoch} {}", ev("u18")).as_bytes(), Dropped);
    let control = ev("u19").replace(" s1 ", " a\u{1b}[31mred\0\u{7}b ");
    row("U19", format!("{epoch} {control}").as_bytes(), Dropped);
    let mut invalid = format!("{epoch} {}", ev("u20")).into_bytes();
    invalid.extend_from_slice(b"\xff\xfe");
    row("U20", &invalid, Dropped);
    // Ours: longer ones are kept whole.
    for (group, bytes) in [("U21", 8191), ("U22", 8193), ("U22", 20_000)] {
        let short = format!("{epoch} {}", ev(&format!("{group}-{bytes}")));
        let padding = "x".repeat(bytes - short.len());
        let line = ev(&format!("{group}-{bytes}{padding}"));
        let datagram = format!("{epoch} {line}");
        assert_eq!(datagram.len(), bytes);
        row(group, datagram.as_bytes(), stored(&line));
    }
    row("U23", b"+5 x", Dropped);
    row("U23", "\u{661}\u{667}\u{669}\u{665} x".as_bytes(), Dropped);
    row(
        "U23",
        format!("{epoch}.5 {}", ev("u23")).as_bytes(),
        Dropped,
    );
    // Ours: a line begins with its time.
    row("U24", format!("{epoch}  {}", ev("u24")).as_bytes(), Dropped);
    row("U25", format!("{epoch} \n\n\n").as_bytes(), Dropped);
    rows
}

#[test]
fn every_recorded_group_is_stored_or_refused_as_it_should() {
    let server = TestServer::start("");
    let day = Zone::UTC.day(Timestamp::now()).plus(-AGE);
    let at = Zone::UTC
        .parse_log_time(&format!("{day} 08:00:00.000000"))
        .unwrap();
    let ev = |name: &str| {
        format!(
            "\"{day} 08:00:00.000000\" s1 10.0.0.5 1 8.8.8.8 53 UDP DNS {name}.example \"lumma (malware)\" (static)"
        )
    };
    let rows = table(at.secs(), ev);
    let groups: std::collections::BTreeSet<&str> = rows.iter().map(|(group, ..)| *group).collect();
    assert_eq!(groups.len(), 25);
    let file = format!("{day}.log");
    let mut wanted: Vec<u8> = Vec::new();
    for (n, (group, datagram, becomes)) in rows.iter().enumerate() {
        server.send(datagram);
        wait(group, || count(&server, "received") == n as u64 + 1);
        if let Stored(line) = becomes {
            wanted.extend_from_slice(line);
            wanted.push(b'\n');
        }
        wait(group, || {
            let now = intake(&server);
            let number = |name: &str| now[name].as_u64().unwrap();
            number("stored") + number("rejected") == n as u64 + 1
        });
        let files = day_files(&server);
        let content = files.get(&file).cloned().unwrap_or_default();
        assert_eq!(
            String::from_utf8_lossy(&content),
            String::from_utf8_lossy(&wanted),
            "{group}"
        );
        assert!(
            files.keys().all(|name| *name == file),
            "{group}: {:?}",
            files.keys()
        );
    }
    server.stop();
}

/// Everything that a datagram could change, less the counters that may.
fn state(server: &TestServer, may: &[&str]) -> (BTreeMap<String, Vec<u8>>, String) {
    let client = server.client();
    let mut numbers = intake(server);
    for name in may {
        numbers.as_object_mut().unwrap().remove(*name);
    }
    let mut rest = numbers.to_string();
    for path in [
        "/api/v1/threats?limit=500",
        "/api/v1/sensors",
        "/counts",
        "/blacklist",
    ] {
        rest += &client.get(path).text();
    }
    (day_files(server), rest)
}

/// Events and heartbeats as a forger may send them.
fn forgeries(right: &Seal) -> Vec<Vec<u8>> {
    let plain = datagram(7, "203.0.113.66", "forged.example");
    let beat = br#"{"maltrail":1,"kind":"heartbeat","sensor":"forged","pps":1}"#.to_vec();
    let mut changed = right.seal(&plain);
    let last = changed.len() - 2;
    changed[last] ^= 1;
    vec![
        Seal::new("another key").seal(&plain),
        Seal::new("").seal(&beat),
        changed,
        [b"!1 ".as_slice(), &[b'0'; 32], b" ", &plain].concat(),
        plain,
        beat,
        b"!1 ".to_vec(),
        Vec::new(),
        b"hello".to_vec(),
    ]
}

#[test]
fn without_the_key_nothing_changes_but_a_counter() {
    let server = TestServer::start("UDP_KEY a long random text\nBLACKLIST\n    trail ~ .\n");
    let seal = Seal::new("a long random text");
    server.send(&seal.seal(&datagram(1, "203.0.113.5", "evil.example")));
    wait("the sealed event", || {
        server.client().get("/blacklist").text() == "203.0.113.5"
            && server.client().get("/api/v1/threats").json()["total"] == 1
    });
    let may = ["received", "bytes", "forged"];
    let before = state(&server, &may);
    let forgeries = forgeries(&seal);
    for forgery in &forgeries {
        server.send(forgery);
    }
    let sent = forgeries.len() as u64;
    wait("the forgeries", || count(&server, "forged") == sent);
    assert_eq!(state(&server, &may), before);
    // The same event again: it opens, and is stored once.
    server.send(&seal.seal(&datagram(2, "203.0.113.6", "evil.example")));
    wait("the next event", || count(&server, "stored") == 2);
    server.stop();
}

#[test]
fn from_outside_the_allow_list_nothing_changes_but_a_counter() {
    let server =
        TestServer::start("UDP_ALLOWLIST 192.0.2.0/24\nUDP_KEY k\nBLACKLIST\n    trail ~ .\n");
    let may = ["received", "bytes", "refused"];
    let before = state(&server, &may);
    let seal = Seal::new("k");
    let mut datagrams = forgeries(&seal);
    datagrams.push(seal.seal(&datagram(1, "203.0.113.5", "evil.example")));
    for datagram in &datagrams {
        server.send(datagram);
    }
    wait("the datagrams", || {
        count(&server, "refused") == datagrams.len() as u64
    });
    assert_eq!(state(&server, &may), before);
    server.stop();
}

#[test]
fn a_sealed_event_without_a_key_here_is_said_to_be_one() {
    let server = TestServer::start("");
    server.send(&Seal::new("k").seal(&datagram(1, "203.0.113.5", "evil.example")));
    wait("the datagram", || count(&server, "rejected") == 1);
    assert_eq!(count(&server, "stored"), 0);
    server.stop();
}
