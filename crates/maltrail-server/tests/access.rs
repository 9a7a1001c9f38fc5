//! Hostile names, tokens and addresses where accounts are managed: nothing is injected into headers, lists or
//! files, and nothing fails inside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use support::{TestServer, connect_from, users};

const PASSWORD: &str = "correct horse";

/// Classes of `spec` server §11.
const HOSTILE: &[&str] = &[
    "x\r\nSet-Cookie: maltrail_sessid=evil",
    "x\nX-Evil: 1",
    "\u{0}",
    "\u{1b}[2J\u{202e}",
    "../../etc/passwd",
    "..%2f..%2fetc",
    "<script>alert(1)</script>",
    "'; DROP TABLE token; --",
    "\" OR 1=1 --",
    "$(touch /tmp/pwned)`id`|;&",
    "%s%n%x",
    "<!version!>",
    "=cmd|' /C calc'!A0",
    "\u{2028}\u{feff}\u{fffd}",
];

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn server() -> TestServer {
    TestServer::start(&users(PASSWORD, &[("ann", 0, ""), ("ron", 1000, "")]))
}

#[test]
fn hostile_names_are_only_names() {
    let server = server();
    let ann = server.signed_in("ann", PASSWORD);
    let long = "x".repeat(30_000);
    for text in HOSTILE.iter().copied().chain([long.as_str()]) {
        let answers = [
            ann.post_json(
                "/api/v1/login",
                &json!({"username": text, "password": text}),
            ),
            ann.post_form(
                "/login",
                &format!("username={0}&password={0}", percent(text)),
            ),
            ann.post_json("/api/v1/tokens", &json!({"name": text, "scopes": ["read"]})),
            ann.post_json("/api/v1/tokens", &json!({"name": "x", "scopes": [text]})),
            ann.post_json("/api/v1/password", &json!({"current": text, "new": text})),
            ann.send_json("PUT", "/api/v1/users/ron", &json!({"role": text})),
            ann.get(&format!(
                "/api/v1/audit?actor={0}&action={0}&object={0}",
                percent(&text[..text.len().min(200)])
            )),
        ];
        for answer in &answers {
            assert!(answer.status < 500, "{text:?}: {}", answer.text());
            assert!(answer.header("x-evil").is_none());
            let cookie = answer.header("set-cookie").unwrap_or_default();
            assert!(!cookie.contains("evil"), "{cookie}");
        }
        if text.len() < 1000 {
            let part = percent(text);
            for answer in [
                ann.send_json(
                    "PUT",
                    &format!("/api/v1/users/{part}"),
                    &json!({"role": "viewer"}),
                ),
                ann.delete(&format!("/api/v1/tokens/{part}")),
                ann.delete(&format!("/api/v1/sessions/{part}")),
            ] {
                assert!(
                    matches!(answer.status, 400 | 404),
                    "{text:?}: {} {}",
                    answer.status,
                    answer.text()
                );
                assert!(answer.header("x-evil").is_none());
            }
        }
    }
    // What was taken as a name comes back as data.
    let list = ann.get("/api/v1/tokens?limit=500");
    assert_eq!(list.header("content-type"), Some("application/json"));
    assert!(list.json()["tokens"].is_array());
    assert_eq!(
        ann.get("/api/v1/users").json()["users"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    server.stop();
}

/// The status of a raw request with this header line.
fn raw(server: &TestServer, line: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut request = b"GET /api/v1/threats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
    request.extend_from_slice(line);
    request.extend_from_slice(b"\r\n\r\n");
    stream.write_all(&request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn hostile_authorization_headers_open_nothing() {
    let server = server();
    let ann = server.signed_in("ann", PASSWORD);
    let made = ann.post_json("/api/v1/tokens", &json!({"name": "x", "scopes": ["read"]}));
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let good = raw(&server, format!("Authorization: Bearer {token}").as_bytes());
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    let half = &token[..20];
    for line in [
        "Authorization: Bearer".to_owned(),
        format!("Authorization: Bearer {half}"),
        format!("Authorization: Bearer {token}x"),
        format!("Authorization: Bearer {token}, Bearer {token}"),
        format!("Authorization: Bearer x\r\nAuthorization: Bearer {token}"),
        format!("Authorization: Token {token}"),
        format!("Authorization: Basic {token}"),
        format!("Authorization: {token}"),
        format!("X-Authorization: Bearer {token}"),
        format!("Cookie: maltrail_sessid={token}"),
        "Authorization: Bearer ' OR 1=1 --".to_owned(),
        format!("Authorization: Bearer {}", "m".repeat(4000)),
    ] {
        let answer = raw(&server, line.as_bytes());
        let refused = [
            "HTTP/1.1 401",
            "HTTP/1.1 429",
            "HTTP/1.1 400",
            "HTTP/1.1 431",
        ]
        .iter()
        .any(|status| answer.starts_with(status));
        assert!(refused, "{line:?}: {answer}");
    }
    let answer = raw(&server, b"Authorization: Bearer mt_\xff\xfe");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // The wrong ones slowed down nobody who is right.
    assert_eq!(
        server.client().get_as(&token, "/api/v1/threats").status,
        200
    );
    server.stop();
}

/// A wrong password from an address of this machine; the whole answer.
fn guess(server: &TestServer, source: [u8; 4], name: &str) -> String {
    let body = format!(r#"{{"username":"{name}","password":"wrong horse"}}"#);
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nX-Maltrail: 1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect_from(source, server.http);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn guesses_do_not_lock_the_owner_out() {
    let server = server();
    let ann = server.signed_in("ann", PASSWORD);
    let mut refused = 0;
    for n in 0..30 {
        // Each from another address of this machine, as a botnet would.
        let answer = guess(&server, [127, 0, 7, n + 1], "ann");
        refused += u32::from(answer.starts_with("HTTP/1.1 401"));
    }
    assert!(refused >= 10, "{refused} guesses were looked at");
    assert_eq!(ann.get("/api/v1/threats").status, 200, "the sign-in stays");
    let again = server.client().login("ann", PASSWORD);
    assert_eq!(again.status, 200, "{}", again.text());
    server.stop();
}

/// Not a measurement (`examples/login_times.rs` is): without the slow check an unknown name would answer a
/// hundred times faster.
#[test]
fn unknown_names_are_hashed_as_known_ones_are() {
    let server = server();
    let mut source = 0;
    let mut took = |name: &str| {
        source += 1;
        let started = std::time::Instant::now();
        let answer = guess(&server, [127, 0, 8, source], name);
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        started.elapsed()
    };
    // The quickest of several: a busy machine makes some slower, none quicker. Without hashing an answer takes a
    // fiftieth; how equal the times are is for examples/login_times to show.
    let pairs: Vec<_> = (0..6).map(|_| (took("ann"), took("eve"))).collect();
    let known = pairs.iter().map(|pair| pair.0).min();
    let unknown = pairs.iter().map(|pair| pair.1).min();
    assert!(
        unknown > known.map(|known| known / 5),
        "known {known:?}, unknown {unknown:?}"
    );
    server.stop();
}
