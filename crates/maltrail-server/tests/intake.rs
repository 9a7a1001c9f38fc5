//! From datagram to answer: nothing is lost, nothing is counted twice, whoever wrote the line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;

use serde_json::{Value, json};
use support::{TestServer, datagram, line, today, wait};

const OPEN: &str = "";

fn rows(server: &TestServer) -> Value {
    let mut answer = server
        .client()
        .get("/api/v1/threats?limit=500&sort=first&dir=asc&include=facets,histogram")
        .json();
    answer.as_object_mut().unwrap().remove("generation");
    answer
}

fn events(server: &TestServer) -> u64 {
    rows(server)["all"]["events"].as_u64().unwrap()
}

fn intake(server: &TestServer, name: &str) -> u64 {
    server.client().get("/api/v1/health").json()["intake"][name]
        .as_u64()
        .unwrap()
}

#[test]
fn hostile_datagrams_lose_nothing_that_came_before() {
    let server = TestServer::start(OPEN);
    for n in 0..50 {
        server.send(&datagram(n, &format!("10.0.0.{n}"), "evil.example"));
    }
    let (epoch, good) = line(99, "10.0.0.99", "evil.example");
    let hostile: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello".to_vec(),
        vec![0xff, 0xfe, 0x00],
        b"12345".to_vec(),
        b"86400 ".to_vec(),
        b"0 hi there".to_vec(),
        b"-1 x".to_vec(),
        b"99999999999 x".to_vec(),
        "9".repeat(30).into_bytes(),
        format!("86400 {good}").into_bytes(),
        format!("{epoch} {good}\n{good}").into_bytes(),
        format!("{epoch} {}", good.replace("s1", "a\u{1b}[31mb")).into_bytes(),
        format!(
            "{epoch} {}",
            good.replace("evil.example", &"x".repeat(60_000))
        )
        .into_bytes(),
        format!("{epoch} \"{}", "\"\"".repeat(5000)).into_bytes(),
        vec![b' '; 65_000],
    ];
    let sent = hostile.len() as u64;
    for datagram in hostile {
        server.send(&datagram);
    }
    for n in 50..60 {
        server.send(&datagram(n, &format!("10.0.0.{n}"), "evil.example"));
    }
    wait("all datagrams", || intake(&server, "received") == 60 + sent);
    wait("the index", || events(&server) == 61);
    assert_eq!(
        intake(&server, "stored"),
        61,
        "the long trail is an event like any other"
    );
    assert_eq!(intake(&server, "rejected"), sent - 1);
    let stored = std::fs::read_to_string(server.log_dir.join(format!("{}.log", today()))).unwrap();
    assert_eq!(stored.lines().count(), 61);
    assert_eq!(
        std::fs::read_dir(&server.log_dir)
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".log")
            })
            .count(),
        1,
        "no day files of 1970 or 5138"
    );
}

#[test]
fn an_event_counts_once_by_datagram_by_file_and_again_after_a_restart() {
    let server = TestServer::start(OPEN);
    let (epoch, text) = line(1, "10.0.0.1", "evil.example");
    let (_, local) = line(2, "10.0.0.2", "evil.example");
    for _ in 0..3 {
        server.send(format!("{epoch} {text}\n").as_bytes());
    }
    wait("the first event", || events(&server) == 1);
    let path = server.log_dir.join(format!("{}.log", today()));
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    // A sensor on this machine writes its own line, and one that was sent as well.
    file.write_all(format!("{local}\n{text}\nnot an event\nunfini").as_bytes())
        .unwrap();
    wait("the sensor's line", || events(&server) == 2);
    server.send(format!("{epoch} {local}\n").as_bytes());
    wait("the repeat", || intake(&server, "duplicates") == 3);
    let before = rows(&server);
    assert_eq!(before["total"], json!(2));
    let index = server.client().get("/api/v1/health").json()["index"].clone();
    assert_eq!(
        (&index["duplicates"], &index["bad_lines"]),
        (&json!(1), &json!(1))
    );
    let log_dir = server.log_dir.clone();
    let _dir = server.stop();
    let server = TestServer::start_on(&log_dir, OPEN, false);
    assert_eq!(rows(&server), before);
    server.send(format!("{epoch} {text}\n").as_bytes());
    wait("the repeat", || intake(&server, "duplicates") == 1);
    assert_eq!(events(&server), 2);
    let _running = server.stop();
}

#[test]
fn a_damaged_or_deleted_index_is_built_anew() {
    let server = TestServer::start(OPEN);
    for n in 0..200 {
        server.send(&datagram(
            n,
            &format!("10.0.{}.{}", n % 7, n % 60),
            &format!("evil{}.example", n % 5),
        ));
    }
    wait("the events", || events(&server) == 200);
    let before = rows(&server);
    let log_dir = server.log_dir.clone();
    let _dir = server.stop();
    let index = log_dir.join(format!("index/{}.sqlite", today()));
    for damage in ["delete", "garbage", "version", "half"] {
        match damage {
            "delete" => std::fs::remove_file(&index).unwrap(),
            "garbage" => std::fs::write(&index, vec![0x5a; 8192]).unwrap(),
            "version" => {
                let db = rusqlite::Connection::open(&index).unwrap();
                db.pragma_update(None, "user_version", 99).unwrap();
            }
            _ => {
                let db = rusqlite::Connection::open(&index).unwrap();
                db.execute("DELETE FROM event WHERE id % 2 = 0", [])
                    .unwrap();
            }
        }
        let server = TestServer::start_on(&log_dir, OPEN, false);
        assert_eq!(rows(&server), before, "{damage}");
        server.stop();
    }
}

#[test]
fn a_replaced_day_file_is_read_anew() {
    let server = TestServer::start(OPEN);
    for n in 0..20 {
        server.send(&datagram(n, &format!("10.0.0.{n}"), "evil.example"));
    }
    wait("the events", || events(&server) == 20);
    let path = server.log_dir.join(format!("{}.log", today()));
    let (_, other) = line(500, "10.0.9.9", "other.example");
    std::fs::write(server.log_dir.join("new"), format!("{other}\n")).unwrap();
    std::fs::rename(server.log_dir.join("new"), &path).unwrap();
    wait("the new file", || events(&server) == 1);
    server.send(&datagram(501, "10.0.9.10", "other.example"));
    wait("appending goes on", || events(&server) == 2);
}

#[test]
fn strangers_are_refused() {
    let server = TestServer::start("UDP_ALLOWLIST 10.0.0.0/8");
    server.send(&datagram(1, "10.0.0.1", "evil.example"));
    wait("the datagram", || intake(&server, "refused") == 1);
    assert_eq!(intake(&server, "stored"), 0);
}
