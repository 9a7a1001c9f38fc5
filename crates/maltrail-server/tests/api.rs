//! The API as the page uses it: first sign-in, passwords, stream, errors, headers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::BufRead;
use std::time::Duration;

use serde_json::json;
use support::{ADMIN, TestServer, datagram, read_head, sha256, users, wait};

fn shipped() -> String {
    format!("USERS\n    admin:{ADMIN}:0:\n")
}

#[test]
fn the_shipped_password_opens_only_the_form_that_replaces_it() {
    let server = TestServer::start(&shipped());
    assert!(server.code.is_some());
    let mut client = server.client();
    let session = client.get("/api/v1/session").json();
    assert_eq!(
        (&session["state"], &session["shipped_account"]),
        (&json!("login"), &json!(true))
    );
    assert_eq!(client.login("admin", "wrong").status, 401);
    let login = client.login("admin", "admin").json();
    assert_eq!(
        (&login["state"], &login["code_required"]),
        (&json!("change"), &json!(false))
    );
    for path in [
        "/api/v1/threats",
        "/events?date=2026-11-20",
        "/api/v1/days",
        "/api/v1/stream",
        "/api/v1/health",
    ] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (403, &json!("must_change")),
            "{path}"
        );
    }
    let change = |client: &support::Client, new: &str| {
        client.post_json("/api/v1/password", &json!({"current": "admin", "new": new}))
    };
    for weak in ["short", "admin", "changeme!"] {
        let answer = change(&client, weak);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("weak")),
            "{weak}"
        );
    }
    let other = {
        let mut other = server.client();
        other.login("admin", "admin");
        other
    };
    let done = change(&client, "correct horse");
    assert_eq!((done.status, &done.json()["state"]), (200, &json!("open")));
    client.keep_cookie(&done);
    assert_eq!(client.get("/api/v1/threats").status, 200);
    assert_eq!(other.get("/whoami").text(), "", "other sign-ins end");
    assert_eq!(server.client().login("admin", "admin").status, 401);
    assert_eq!(
        server
            .signed_in("admin", "correct horse")
            .get("/whoami")
            .text(),
        "admin"
    );
    assert!(!server.log_dir.join("first-login-code").exists());
    assert_eq!(
        client.get("/api/v1/session").json()["shipped_account"],
        json!(false)
    );
    let log_dir = server.log_dir.clone();
    let _dir = server.stop();
    let server = TestServer::start_on(&log_dir, &shipped(), false);
    assert!(server.code.is_none());
    client.address = server.http;
    assert_eq!(
        client.get("/whoami").text(),
        "admin",
        "sign-ins survive a restart"
    );
    server.stop();
    let changed = format!("USERS\n    admin:{}:0:\n", sha256("from the file"));
    let server = TestServer::start_on(&log_dir, &changed, false);
    client.address = server.http;
    assert_eq!(
        client.get("/whoami").text(),
        "",
        "a changed entry ends sign-ins"
    );
    assert_eq!(
        server.client().login("admin", "correct horse").status,
        401,
        "USERS is the truth"
    );
    assert_eq!(server.client().login("admin", "from the file").status, 200);
    server.stop();
    let server = TestServer::start_on(
        &log_dir,
        &users("from the file", &[("other", 0, "")]),
        false,
    );
    assert_eq!(
        server.client().login("admin", "from the file").status,
        401,
        "a removed entry disables the account"
    );
    server.stop();
}

#[test]
fn from_elsewhere_the_first_password_needs_the_code() {
    let server = TestServer::start(&shipped());
    let mut client = server.client();
    client.login("admin", "admin");
    let proxied = [("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(
        client.get_with("/api/v1/session", &proxied).json()["code_required"],
        json!(true)
    );
    let body = |code: &str| json!({"current": "admin", "new": "correct horse", "code": code});
    let wrong = client.post_json_with("/api/v1/password", &body("abc"), &proxied);
    assert_eq!((wrong.status, &wrong.json()["code"]), (403, &json!("code")));
    let right = client.post_json_with(
        "/api/v1/password",
        &body(server.code.as_deref().unwrap()),
        &proxied,
    );
    assert_eq!(right.status, 200);
}

#[test]
fn the_default_may_stay_only_where_the_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_on(dir.path(), &shipped(), true);
    let mut client = server.client();
    let login = client.login("admin", "admin").json();
    assert_eq!(
        (&login["state"], &login["keep_default"]),
        (&json!("open"), &json!(true))
    );
    assert_eq!(client.get("/api/v1/threats").status, 200);
    server.stop();
}

#[test]
fn an_old_hash_is_stored_better_at_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_on(dir.path(), &users("correct horse", &[("a", 0, "")]), false);
    server.signed_in("a", "correct horse");
    let state = rusqlite::Connection::open(dir.path().join("state.sqlite")).unwrap();
    let hash: String = state
        .query_row("SELECT hash FROM password WHERE name = 'a'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    server.signed_in("a", "correct horse");
    server.stop();
}

#[test]
fn guesses_wait() {
    let server = TestServer::start(&users("correct horse", &[("a", 0, "")]));
    for _ in 0..5 {
        assert_eq!(server.client().login("a", "guess").status, 401);
    }
    let answer = server.client().login("a", "correct horse");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (429, &json!("wait"))
    );
    assert!(
        answer.json()["retry_after"].as_u64().unwrap() >= 1
            && answer.header("retry-after").is_some()
    );
}

#[test]
fn changes_arrive_as_they_happen() {
    let server = TestServer::start("");
    let client = server.client();
    let path = "/api/v1/stream?q=trail:evil";
    let mut stream = client.open("GET", path, &[], b"");
    let (status, headers) = read_head(&mut stream);
    assert_eq!(status, 200);
    assert!(
        headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("text/event-stream"))
    );
    let mut next = |wanted: &str| loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str::<serde_json::Value>(data).unwrap();
        }
        if let Some(event) = line.strip_prefix("event: ") {
            assert_eq!(event.trim(), wanted);
        }
    };
    assert_eq!(next("hello")["generation"], json!(0));
    server.send(&datagram(1, "10.0.0.1", "evil.example"));
    server.send(&datagram(2, "10.0.0.1", "good.example"));
    let upsert = next("upsert");
    assert_eq!(
        (&upsert["total"], upsert["threats"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    assert_eq!(upsert["threats"][0]["trail"], json!("evil.example"));
    for n in 0..50_u32 {
        server.send(&datagram(10 + n, &format!("10.0.1.{n}"), "evil.example"));
    }
    let mut seen_remove = false;
    wait("the flood", || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        seen_remove |= line.starts_with("event: remove");
        line.starts_with("data: ") && line.contains("\"flood\"")
    });
    let total = client.get("/api/v1/threats?q=trail:evil").json()["total"].clone();
    assert_eq!(total, json!(1));
    assert!(seen_remove, "the rows that the flood took away are named");
}

#[test]
fn streams_are_bounded_and_end_with_the_sign_in() {
    let server = TestServer::start(&format!(
        "MAX_LIVE_STREAMS 1\n{}",
        users("correct horse", &[("a", 0, "")])
    ));
    let client = server.signed_in("a", "correct horse");
    let mut stream = client.open("GET", "/api/v1/stream", &[], b"");
    assert_eq!(read_head(&mut stream).0, 200);
    assert_eq!(client.get("/api/v1/stream").status, 503);
    client.post_json("/api/v1/logout", &json!({}));
    server.send(&datagram(1, "10.0.0.1", "evil.example"));
    stream
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stream, &mut rest).unwrap();
    assert!(!rest.contains("evil.example"), "{rest}");
}

#[test]
fn errors_say_what_and_where() {
    let server = TestServer::start("");
    let client = server.client();
    for (path, status, code) in [
        ("/api/v1/threats?q=sev:urgent", 400, "query"),
        ("/api/v1/threats?day=yesterday", 400, "parameter"),
        ("/api/v1/threats?sort=height", 400, "parameter"),
        ("/api/v1/threats?limit=501", 400, "parameter"),
        ("/api/v1/threats?limit=0", 400, "parameter"),
        ("/api/v1/threats?dir=up", 400, "parameter"),
        ("/api/v1/threats?sev=huge", 400, "parameter"),
        ("/api/v1/threats/0123456789abcdef", 404, "not_found"),
        ("/api/v1/threats/xyz", 404, "not_found"),
        (
            "/api/v1/days?from=1970-01-01&to=2026-11-24",
            400,
            "parameter",
        ),
        ("/api/v1/nothing", 404, "not_found"),
        ("/../../etc/passwd", 404, "not_found"),
        ("/%2e%2e/%2e%2e/etc/passwd", 404, "not_found"),
    ] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    assert_eq!(
        client.get("/api/v1/threats?q=sev:urgent").json()["position"],
        json!(4)
    );
    for (method, path, allow) in [
        ("PUT", "/api/v1/threats", "GET"),
        ("DELETE", "/", "GET"),
        ("GET", "/api/v1/login", "POST"),
    ] {
        let answer = client.request(method, path, &[], b"");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (405, &json!("method")),
            "{method} {path}"
        );
        assert!(answer.header("allow").unwrap().contains(allow));
    }
    let head = client.request("HEAD", "/ping", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let large = client.post_json(
        "/api/v1/login",
        &json!({"username": "x".repeat(70_000), "password": ""}),
    );
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("body")));
    let bare = client.request(
        "POST",
        "/api/v1/login",
        &[("Content-Type", "application/json")],
        b"{}",
    );
    assert_eq!(
        (bare.status, &bare.json()["code"]),
        (403, &json!("cross_site"))
    );
}

#[test]
fn every_answer_carries_the_security_headers() {
    let server = TestServer::start(&shipped());
    let client = server.client();
    for path in [
        "/",
        "/ping",
        "/api/v1/session",
        "/api/v1/threats",
        "/nothing",
        "/events",
    ] {
        let answer = client.get(path);
        let csp = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}"
        );
        assert!(
            csp.contains("frame-ancestors 'none'") && !csp.contains("unsafe"),
            "{path}"
        );
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        assert!(
            answer.header("cache-control").is_some() && answer.header("server").is_none(),
            "{path}"
        );
    }
}

#[test]
fn the_page_comes_from_a_folder_while_developing() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_on(dir.path(), "", false);
    // Embedded or not yet there, `/` is never an error of the server.
    let index = server.client().get("/");
    assert!(index.status == 200 || index.status == 404);
    if index.status == 200 {
        let etag = index.header("etag").unwrap().to_owned();
        assert_eq!(
            server
                .client()
                .get_with("/", &[("If-None-Match", &etag)])
                .status,
            304
        );
        assert_eq!(index.header("cache-control"), Some("no-cache"));
    }
    server.stop();
}
