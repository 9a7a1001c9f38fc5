//! The old endpoints where one request does not show it: streams, lists that change, limits, hostile input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use support::fixture::{PASSWORD, finish, fixture, fixture_with};
use support::{Client, TestServer, datagram, read_head, sha256, today, wait};

/// Sends bytes as they are and returns the status.
fn raw(server: &TestServer, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1)?.parse().ok()
}

#[test]
fn bodies_and_lengths_out_of_bounds_are_refused() {
    let server = fixture();
    let head = |length: &str| {
        format!(
            "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    assert_eq!(raw(&server, head("99999999").as_bytes()), Some(413), "E20");
    assert_eq!(raw(&server, head("-5").as_bytes()), Some(400), "E21");
    assert_eq!(
        raw(&server, b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"),
        Some(400),
        "E23"
    );
    finish(server);
}

#[test]
fn any_nonce_is_taken_once() {
    let server = fixture();
    for nonce in ["a", "AAAAAAAAAAA1"] {
        let hash = sha256(&format!("{}{nonce}", sha256(PASSWORD)));
        let form = format!("username=admin&hash={hash}&nonce={nonce}");
        assert_eq!(
            server.client().post_form("/login", &form).status,
            200,
            "{nonce}"
        );
        assert_eq!(
            server.client().post_form("/login", &form).status,
            401,
            "{nonce}"
        );
    }
    finish(server);
}

/// A live stream and the lines it has given so far.
struct Live(BufReader<TcpStream>);

impl Live {
    fn open(client: &Client, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = client.open("GET", target, headers, b"");
        let (status, headers) = read_head(&mut stream);
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(status, 200);
        assert_eq!(header("content-type"), Some("text/event-stream"));
        assert_eq!(header("cache-control"), Some("no-cache"));
        assert_eq!(header("x-accel-buffering"), Some("no"));
        let mut live = Self(stream);
        assert_eq!(live.message(), ": connected");
        live
    }

    /// The next message without its empty line. Chunk sizes are passed over.
    fn message(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.0.read_line(&mut line).unwrap() > 0,
                "the stream ended: {lines:?}"
            );
            let line = line.trim_end_matches(['\r', '\n']);
            let known = [":", "id:", "data:"]
                .iter()
                .any(|start| line.starts_with(start));
            if known {
                lines.push(line.to_owned());
            } else if line.is_empty() && !lines.is_empty() {
                return lines.join("\n");
            }
        }
    }
}

#[test]
fn live_streams_hold_what_the_asker_may_see() {
    let server = fixture();
    let today = today();
    let admin = server.signed_in("admin", PASSWORD);
    let mut stream = Live::open(&admin, "/live?date=2026-11-21&pos=0", &[]); // E161
    let line = "\"2026-11-21 23:59:59.999999\" sensor-a 172.16.3.3 4000 93.184.216.34 443 TCP IP 93.184.216.34 \"badnet (dummy)\" (static)";
    assert_eq!(stream.message(), format!("id: 119\ndata: {line}"));
    let mut stream = Live::open(&admin, "/live?date=2026-11-20", &[("Last-Event-ID", "936")]); // E162
    assert!(
        stream
            .message()
            .starts_with("id: 1053\ndata: \"2026-11-20 08:00")
    );
    assert!(
        stream
            .message()
            .starts_with("id: 1170\ndata: \"2026-11-20 09:00")
    );
    // E160, E163: nothing new, and beyond the end. E158, E159: filtered and masked.
    let target = format!("/live?date={today}");
    let mut fresh = Live::open(&admin, &target, &[]);
    let mut beyond = Live::open(&admin, &format!("{target}&pos=99999"), &[]);
    let mut analyst = Live::open(&server.signed_in("analyst", PASSWORD), &target, &[]);
    let mut masked = Live::open(
        &server.signed_in("masked", PASSWORD),
        &format!("{target}&pos=0"),
        &[],
    );
    server.send(&datagram(1, "203.0.113.77", "outside.example"));
    server.send(&datagram(2, "10.0.0.77", "inside.example"));
    for stream in [&mut fresh, &mut beyond] {
        assert!(stream.message().contains("outside.example"));
        assert!(stream.message().contains("inside.example"));
    }
    let first = analyst.message();
    assert!(first.contains("inside.example"), "{first}");
    let seen: String = (0..9).map(|_| masked.message()).collect();
    assert!(seen.contains("5.5.5.5 - (custom)") && !seen.contains("supersecretname"));
    assert!(seen.contains("outside.example"));
    finish(server);
}

#[test]
fn a_live_stream_ends_with_its_sign_in() {
    let server = fixture();
    let admin = server.signed_in("admin", PASSWORD);
    let mut stream = Live::open(&admin, &format!("/live?date={}", today()), &[]);
    assert_eq!(admin.get("/logout").status, 302);
    server.send(&datagram(1, "203.0.113.77", "later.example"));
    let mut rest = String::new();
    stream.0.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("later.example"), "{rest}");
    finish(server);
}

#[test]
fn streams_beyond_the_limit_get_204() {
    let server = fixture_with("MAX_LIVE_STREAMS 1\n");
    let admin = server.signed_in("admin", PASSWORD);
    let target = format!("/live?date={}", today());
    let first = Live::open(&admin, &target, &[]);
    assert_eq!(admin.get(&target).status, 204, "E175");
    drop(first);
    wait("the place", || {
        let mut stream = admin.open("GET", &target, &[], b"");
        read_head(&mut stream).0 == 200
    });
    finish(server);
}

#[test]
fn cleared_addresses_come_back_with_a_later_event() {
    let server = fixture();
    let client = server.client();
    let listed = || {
        let mut lines: Vec<String> = client
            .get("/blacklist")
            .text()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(listed(), ["10.0.0.6", "203.0.113.9"]);
    // The rows are of 10:00 today, which may lie ahead of the clock of this test.
    let text = format!(
        "# dealt with\n10.0.0.6 {0} 10:00:01\n203.0.113.9 {0} 10:00:01\n",
        today()
    );
    std::fs::write(server.log_dir.join("cleared.txt"), text).unwrap();
    assert_eq!(
        listed(),
        ["203.0.113.9"],
        "E140: its event is newer than the mark"
    );
    std::fs::write(server.log_dir.join("cleared.txt"), "").unwrap();
    assert_eq!(listed(), ["10.0.0.6", "203.0.113.9"]);
    finish(server);
}

#[test]
fn own_and_whitelisted_addresses_are_on_no_list() {
    let dir = tempfile::tempdir().unwrap();
    let white = dir.path().join("white.txt");
    std::fs::write(&white, "203.0.113.8 # ours\n198.51.100.0/24\n").unwrap();
    let server = TestServer::start(&format!(
        "USER_WHITELIST {}\nBLACKLIST\n    trail ~ evil\nFAIL2BAN_REGEX evil\nFAIL2BAN_ALLOWLIST 127.0.0.1\n",
        white.display()
    ));
    for (n, source) in [
        "10.0.0.5",
        "203.0.113.8",
        "198.51.100.77",
        "203.0.113.9,192.168.1.1",
        "::1",
    ]
    .iter()
    .enumerate()
    {
        server.send(&datagram(n as u32, source, "evil.example"));
    }
    let client = server.client();
    wait("the list", || {
        client.get("/blacklist").text() == "203.0.113.9"
    });
    assert_eq!(client.get("/fail2ban").text(), "203.0.113.9");
    server.send(&datagram(77, "203.0.113.10", "evil.example"));
    wait("the next event", || {
        client.get("/fail2ban").text() == "203.0.113.9\n203.0.113.10"
    });
    server.stop();
}

#[test]
fn the_trail_set_is_sent_once_and_again_when_it_changed() {
    let server = fixture();
    let client = server.client();
    let admin = server.signed_in("admin", PASSWORD);
    for path in ["/trails", "/api/v1/trails/image"] {
        let first = client.get_with(path, &[("Accept-Encoding", "gzip")]);
        assert_eq!(
            (first.status, first.header("content-encoding")),
            (200, Some("gzip"))
        );
        let etag = first.header("etag").unwrap().to_owned();
        let known = client.get_with(path, &[("If-None-Match", &etag)]);
        assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
        assert_eq!(known.header("etag"), Some(etag.as_str()));
        let own = admin.get_with(path, &[("If-None-Match", &etag)]);
        assert_eq!(
            own.status, 200,
            "{path}: another content for those who may know more"
        );
        assert_ne!(own.header("etag"), Some(etag.as_str()));
        let text = String::from_utf8_lossy(&own.body).into_owned();
        assert!(text.contains("internal-secret.corp"), "{path}");
        let public = client.get(path);
        assert!(
            !String::from_utf8_lossy(&public.body).contains("internal-secret"),
            "{path}"
        );
        let head = client.request("HEAD", path, &[], b"");
        assert_eq!(
            head.header("content-length"),
            public.header("content-length")
        );
    }
    let new = server.log_dir.join("new");
    std::fs::write(&new, "other.example,x,(static)\r\n").unwrap();
    std::fs::rename(&new, server.log_dir.join("trails.csv")).unwrap();
    wait("the new set", || {
        client.get("/trails").text() == "other.example,x,(static)\r\n"
    });
    wait("the new set", || {
        client.get("/check?q=other.example").json()["found"] == json!(true)
    });
    assert_eq!(
        client.get("/check?q=evil.com").json()["found"],
        json!(false)
    );
    finish(server);
}
