//! Roles, sign-ins, tokens and the audit as a client sees them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, Read, Write};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Client, TestServer, datagram, today, users, wait};

const PASSWORD: &str = "correct horse";

fn server() -> TestServer {
    let users = users(
        PASSWORD,
        &[
            ("ann", 0, ""),
            ("bob", 1, ""),
            ("some", 2, "10.0.0.0/8"),
            ("masked", 1000, ""),
        ],
    );
    TestServer::start(&format!("ENABLE_MASK_CUSTOM true\n{users}"))
}

fn make(client: &Client, body: &Value) -> String {
    let answer = client.post_json("/api/v1/tokens", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item[member].as_str().unwrap_or("-").to_owned())
        .collect()
}

/// Actions and objects of the audit, newest first.
fn audit(client: &Client, query: &str) -> Vec<(String, String)> {
    let answer = client.get(&format!("/api/v1/audit?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let entries = &answer.json()["entries"];
    names(entries, "action")
        .into_iter()
        .zip(names(entries, "object"))
        .collect()
}

#[test]
fn sign_ins_are_listed_and_ended() {
    let server = server();
    let (here, there) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("ann", PASSWORD),
    );
    let masked = server.signed_in("masked", PASSWORD);
    let list = here.get("/api/v1/sessions").json();
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!(names(&list["sessions"], "user"), ["ann", "ann"]);
    assert_eq!(sessions[0]["address"], "127.0.0.1");
    let (current, other): (Vec<&Value>, Vec<&Value>) = sessions
        .iter()
        .partition(|session| session["current"] == true);
    assert_eq!((current.len(), other.len()), (1, 1));
    let text = list.to_string();
    let cookie = here.cookie.clone().unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    assert!(!text.contains(secret), "the list opens nothing");
    // Others see and end nothing of hers.
    assert_eq!(
        names(&masked.get("/api/v1/sessions").json()["sessions"], "user"),
        ["masked"]
    );
    assert_eq!(masked.get("/api/v1/sessions?all=1").status, 403);
    let path = format!("/api/v1/sessions/{}", other[0]["id"].as_str().unwrap());
    assert_eq!(masked.delete(&path).status, 404);
    assert_eq!(there.get("/api/v1/threats").status, 200);
    assert_eq!(here.delete(&path).status, 204);
    assert_eq!(there.get("/api/v1/threats").status, 401);
    assert_eq!(here.delete(&path).status, 404, "it is gone");
    // An admin sees all, page by page, and ends any.
    let first = here.get("/api/v1/sessions?all=1&limit=1").json();
    assert_eq!(names(&first["sessions"], "user"), ["masked"]);
    let next = first["next"].as_str().unwrap();
    let second = here
        .get(&format!("/api/v1/sessions?all=1&limit=1&cursor={next}"))
        .json();
    assert_eq!(names(&second["sessions"], "user"), ["ann"]);
    assert_eq!(second["next"], Value::Null);
    let id = first["sessions"][0]["id"].as_str().unwrap();
    assert_eq!(here.delete(&format!("/api/v1/sessions/{id}")).status, 204);
    assert_eq!(masked.get("/api/v1/threats").status, 401);
    // All others of one's own.
    let (second, third) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("ann", PASSWORD),
    );
    let bob = server.signed_in("bob", PASSWORD);
    assert_eq!(here.delete("/api/v1/sessions").json(), json!({"ended": 2}));
    for (client, status) in [(&here, 200), (&second, 401), (&third, 401), (&bob, 200)] {
        assert_eq!(client.get("/api/v1/threats").status, status);
    }
    let revoked = audit(&here, "action=session.revoke");
    assert_eq!(revoked.len(), 4);
    server.stop();
}

#[test]
fn a_token_does_what_its_scopes_and_its_account_allow() {
    let server = server();
    let (ann, nobody) = (server.signed_in("ann", PASSWORD), server.client());
    let answer = ann.post_json(
        "/api/v1/tokens",
        &json!({"name": "siem", "scopes": ["read"]}),
    );
    let made = answer.json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["owner"], "ann");
    let days = |from: &Value, to: &Value| {
        let day = |text: &Value| text.as_str().unwrap()[..10].parse::<jiff::civil::Date>();
        (day(to).unwrap() - day(from).unwrap()).get_days()
    };
    assert_eq!(days(&made["created"], &made["expires"]), 90);
    assert_eq!(nobody.get_as(token, "/api/v1/threats").status, 200);
    let session = nobody.get_as(token, "/api/v1/session").json();
    assert_eq!(
        (&session["user"], &session["state"]),
        (&json!("ann"), &json!("open"))
    );
    for path in [
        "/api/v1/users",
        "/api/v1/audit",
        "/api/v1/tokens",
        "/api/v1/sessions",
    ] {
        assert_eq!(nobody.get_as(token, path).status, 403, "{path}");
    }
    let list = ann.get("/api/v1/tokens").json();
    assert!(!list.to_string().contains(token), "{list}");
    let listed = &list["tokens"][0];
    assert_eq!(listed["state"], "active");
    assert!(listed["last_used"].is_string(), "{list}");
    // A token makes no tokens, whatever its scopes.
    let all = make(
        &ann,
        &json!({"name": "all", "scopes": ["read", "write", "admin", "sensor", "blocklist"]}),
    );
    let bearer = format!("Bearer {all}");
    let more = json!({"name": "more", "scopes": ["read"]});
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(
        nobody
            .post_json_with("/api/v1/tokens", &more, &headers)
            .status,
        403
    );
    assert_eq!(nobody.get_as(&all, "/api/v1/users").status, 200);
    // Without the page's header: no page sends a token.
    let put = nobody.request(
        "PUT",
        "/api/v1/users/bob",
        &[headers[0], ("Content-Type", "application/json")],
        br#"{"role":"analyst"}"#,
    );
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(
        audit(&ann, "actor=token%20all%20of%20ann"),
        [("user.role".to_owned(), "bob".to_owned())]
    );
    // Revoked by its owner, not by others.
    let id = listed["id"].as_str().unwrap();
    let masked = server.signed_in("masked", PASSWORD);
    assert_eq!(masked.delete(&format!("/api/v1/tokens/{id}")).status, 404);
    assert_eq!(masked.get("/api/v1/tokens").json()["tokens"], json!([]));
    assert_eq!(ann.delete(&format!("/api/v1/tokens/{id}")).status, 204);
    assert_eq!(nobody.get_as(token, "/api/v1/threats").status, 401);
    assert_eq!(
        nobody.get_as(token, "/ping").status,
        401,
        "a wrong token is not nobody"
    );
    server.stop();
}

#[test]
fn impossible_tokens_are_refused() {
    let server = server();
    let (ann, masked) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("masked", PASSWORD),
    );
    for (client, body, status) in [
        (&ann, json!({"name": "x", "scopes": []}), 400),
        (&ann, json!({"name": "x", "scopes": ["root"]}), 400),
        (&ann, json!({"name": "", "scopes": ["read"]}), 400),
        (&ann, json!({"name": "a\r\nb", "scopes": ["read"]}), 400),
        (
            &ann,
            json!({"name": "x", "scopes": ["read"], "expires_days": null}),
            400,
        ),
        (
            &ann,
            json!({"name": "x", "scopes": ["read"], "expires_days": 731}),
            400,
        ),
        (
            &ann,
            json!({"name": "x", "scopes": ["read"], "expires_days": 0}),
            400,
        ),
        (
            &ann,
            json!({"name": "x", "scopes": ["read"], "expires_days": -1}),
            422,
        ),
        (
            &ann,
            json!({"name": "x", "scopes": ["read"], "owner": "bob"}),
            422,
        ),
        (
            &ann,
            json!({"name": "x", "scopes": ["sensor"], "expires_days": null}),
            201,
        ),
        (&masked, json!({"name": "x", "scopes": ["read"]}), 201),
        (&masked, json!({"name": "x", "scopes": ["write"]}), 403),
        (
            &masked,
            json!({"name": "x", "scopes": ["read", "admin"]}),
            403,
        ),
        (&masked, json!({"name": "x", "scopes": ["sensor"]}), 403),
    ] {
        let answer = client.post_json("/api/v1/tokens", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let list = ann.get("/api/v1/tokens?all=1").json();
    assert_eq!(names(&list["tokens"], "owner"), ["masked", "ann"]);
    server.stop();
}

#[test]
fn roles_are_given_by_admins_and_one_admin_stays() {
    let server = server();
    let (ann, bob) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("bob", PASSWORD),
    );
    let users = ann.get("/api/v1/users").json();
    assert_eq!(
        names(&users["users"], "name"),
        ["ann", "bob", "some", "masked"]
    );
    assert_eq!(
        names(&users["users"], "role"),
        ["admin", "admin", "admin", "viewer"]
    );
    let some = &users["users"][2];
    assert_eq!(
        (
            &some["networks"],
            &some["last_sign_in"],
            &some["disabled"],
            &some["must_change"]
        ),
        (
            &json!(["10.0.0.0/8"]),
            &Value::Null,
            &json!(false),
            &json!(false)
        )
    );
    assert!(users["users"][0]["last_sign_in"].is_string());
    let put = |client: &Client, name: &str, role: &str| {
        client
            .send_json(
                "PUT",
                &format!("/api/v1/users/{name}"),
                &json!({"role": role}),
            )
            .status
    };
    assert_eq!(put(&ann, "bob", "viewer"), 200);
    assert_eq!(
        bob.get("/api/v1/session").json()["role"],
        "viewer",
        "at once"
    );
    assert_eq!(bob.get("/api/v1/users").status, 403);
    assert_eq!(put(&bob, "bob", "admin"), 403);
    assert_eq!(put(&ann, "masked", "admin"), 400);
    assert_eq!(put(&ann, "masked", "analyst"), 200);
    assert_eq!(put(&ann, "eve", "viewer"), 404);
    assert_eq!(put(&ann, "bob", "root"), 400);
    assert_eq!(put(&ann, "some", "viewer"), 200);
    assert_eq!(put(&ann, "ann", "analyst"), 409, "the last admin");
    assert_eq!(ann.get("/api/v1/users").status, 200);
    assert_eq!(
        audit(&ann, "action=user.role").len(),
        3,
        "what was refused is not there"
    );
    server.stop();
}

#[test]
fn the_audit_holds_what_insiders_did_and_nothing_of_strangers() {
    let server = server();
    let ann = server.signed_in("ann", PASSWORD);
    let bob = server.signed_in("bob", PASSWORD);
    for n in 0..20 {
        let answer = server.client().login("ann", &format!("guess {n}"));
        assert!(matches!(answer.status, 401 | 429));
        server.client().get_as("mt_guess", "/api/v1/threats");
    }
    let change = json!({"current": PASSWORD, "new": "battery staple"});
    // The guesses came from the same address, so its owner waits a moment, too.
    wait("the password to change", || {
        bob.post_json("/api/v1/password", &change).status == 200
    });
    let carol = server.signed_in("bob", "battery staple");
    assert_eq!(carol.post_json("/api/v1/logout", &json!({})).status, 204);
    let seen = audit(&ann, "");
    let expected = [
        ("session.end", "bob"),
        ("session.start", "bob"),
        ("session.start", "bob"),
        ("user.password", "bob"),
        ("session.start", "bob"),
        ("session.start", "ann"),
    ];
    let seen: Vec<(&str, &str)> = seen
        .iter()
        .map(|(action, object)| (action.as_str(), object.as_str()))
        .collect();
    assert_eq!(seen, expected);
    let first = ann.get("/api/v1/audit?limit=2").json();
    assert_eq!(first["entries"][0]["address"], "127.0.0.1");
    let next = first["next"].as_str().unwrap();
    let rest = audit(&ann, &format!("limit=500&cursor={next}"));
    assert_eq!(rest.len(), 4);
    assert_eq!(audit(&ann, "actor=ann").len(), 1);
    for query in ["limit=0", "limit=501", "cursor=x", "cursor=_w"] {
        assert_eq!(
            ann.get(&format!("/api/v1/audit?{query}")).status,
            400,
            "{query}"
        );
    }
    assert_eq!(server.client().get("/api/v1/audit").status, 401);
    assert!(!first.to_string().contains("staple"));
    server.stop();
}

#[test]
fn trails_of_the_operator_come_with_a_token_that_may_know_them() {
    let server = server();
    let rows = "named.example,x (malware),(static)\nours.example,secret (custom),(custom)\n";
    std::fs::write(server.log_dir.join("trails.csv"), rows).unwrap();
    let (ann, masked) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("masked", PASSWORD),
    );
    let nobody = server.client();
    wait("the set", || nobody.get("/trails").text().contains("named"));
    let sensor = make(
        &ann,
        &json!({"name": "s", "scopes": ["sensor"], "expires_days": null}),
    );
    let read = make(&ann, &json!({"name": "r", "scopes": ["read"]}));
    let lists = make(&ann, &json!({"name": "b", "scopes": ["blocklist"]}));
    let hidden = make(&masked, &json!({"name": "m", "scopes": ["read"]}));
    assert!(!nobody.get("/trails").text().contains("ours"));
    for (token, knows) in [
        (&sensor, true),
        (&read, true),
        (&lists, false),
        (&hidden, false),
    ] {
        let answer = nobody.get_as(token, "/trails");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text().contains("ours"), knows, "{}", answer.text());
        assert!(answer.header("vary").unwrap().contains("Authorization"));
    }
    assert_eq!(nobody.get_as("mt_old", "/trails").status, 401);
    server.stop();
}

#[test]
fn a_stream_ends_with_its_token() {
    let server = server();
    let ann = server.signed_in("ann", PASSWORD);
    let token = make(&ann, &json!({"name": "wall", "scopes": ["read"]}));
    for path in [
        "/api/v1/stream".to_owned(),
        format!("/live?date={}", today()),
    ] {
        let token = make(&ann, &json!({"name": "wall", "scopes": ["read"]}));
        let id = ann.get("/api/v1/tokens").json()["tokens"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let header = format!("Bearer {token}");
        let headers = [("Authorization", header.as_str())];
        let mut stream = server.client().open("GET", &path, &headers, b"");
        let (status, _) = support::read_head(&mut stream);
        assert_eq!(status, 200);
        // It listens once it has said so.
        let mut hello = String::new();
        while !hello.contains("hello") && !hello.contains("connected") {
            assert!(stream.read_line(&mut hello).unwrap() > 0, "{hello}");
        }
        assert_eq!(ann.delete(&format!("/api/v1/tokens/{id}")).status, 204);
        server.send(&datagram(1, "10.0.0.1", "after.example"));
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("after.example"), "{path}: {rest}");
    }
    assert_eq!(
        server.client().get_as(&token, "/api/v1/threats").status,
        200
    );
    server.stop();
}

/// A command beside the running server.
fn run(server: &TestServer, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_server"))
        .arg("-c")
        .arg(server.log_dir.join("test.conf"))
        .args(args)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn commands_work_beside_the_running_server() {
    let server = server();
    let (ann, bob) = (
        server.signed_in("ann", PASSWORD),
        server.signed_in("bob", PASSWORD),
    );
    let good = |args: &[&str], input: &str| {
        let output = run(&server, args, input);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bad = |args: &[&str], code: i32, words: &str| {
        let output = run(&server, args, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    };
    let text = good(
        &[
            "token",
            "add",
            "--scope",
            "read,write",
            "--user",
            "bob",
            "--expires",
            "1",
        ],
        "",
    );
    let token = text.trim_end();
    assert!(text.lines().count() == 1 && token.len() == 46, "{text}");
    let nobody = server.client();
    assert_eq!(nobody.get_as(token, "/api/v1/threats").status, 200);
    good(&["role", "bob", "viewer"], "");
    good(&["role", "some", "analyst"], "");
    assert_eq!(bob.get("/api/v1/session").json()["role"], "viewer");
    bad(&["role", "ann", "analyst"], 1, "last admin");
    bad(&["role", "eve", "analyst"], 1, "USERS has no account");
    bad(&["role", "masked", "admin"], 1, "1000");
    bad(&["role", "ann", "root"], 2, "root");
    bad(&["token", "add"], 2, "--sensor");
    bad(
        &["token", "add", "--sensor", "a", "--scope", "read"],
        2,
        "cannot be used with",
    );
    bad(&["token", "add", "--scope", "root"], 2, "root");
    bad(&["token", "add", "--scope", "read"], 1, "account");
    bad(
        &["token", "add", "--scope", "admin", "--user", "bob"],
        1,
        "admin",
    );
    bad(
        &["token", "add", "--sensor", "s", "--expires", "1000"],
        1,
        "730",
    );
    bad(&["token", "revoke", "0000"], 1, "token list");
    let list = good(&["token", "list"], "");
    assert!(
        list.contains("  console  read,write  of bob  until "),
        "{list}"
    );
    let id = list.split_whitespace().next().unwrap();
    good(&["token", "revoke", id], "");
    assert_eq!(nobody.get_as(token, "/api/v1/threats").status, 401);
    good(&["passwd", "bob"], "battery staple\n");
    assert_eq!(
        bob.get("/api/v1/threats").status,
        401,
        "its sign-ins have ended"
    );
    server.signed_in("bob", "battery staple");
    let entries = ann.get("/api/v1/audit?actor=(console)").json();
    assert_eq!(
        names(&entries["entries"], "action"),
        [
            "user.password",
            "token.revoke",
            "user.role",
            "user.role",
            "token.add"
        ]
    );
    server.stop();
}
