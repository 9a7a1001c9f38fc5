//! Triage, notes, tags, views and aliases as several people use them at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::BufRead;

use serde_json::{Value, json};
use support::{Answer, Client, TestServer, datagram, read_head, users, wait};

const SECRET: &str = "correct horse";

/// A server with three threats, an admin, and a restricted user of 10.0.0.0/8.
fn server() -> TestServer {
    let server = TestServer::start(&users(
        SECRET,
        &[("root", 0, ""), ("ann", 1, ""), ("eve", 1000, "10.0.0.0/8")],
    ));
    for (n, src) in ["10.0.0.1", "192.168.0.2", "192.168.0.3"]
        .iter()
        .enumerate()
    {
        server.send(&datagram(n as u32, src, &format!("t{n}.example")));
    }
    let client = server.signed_in("root", SECRET);
    wait("three threats", || {
        client.get("/api/v1/threats").json()["total"] == json!(3)
    });
    server
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let length = body.len().to_string();
    let mut headers = vec![("X-Maltrail", "1"), ("Content-Type", "application/json")];
    if method != "POST" {
        headers.push(("Content-Length", &length));
    }
    client.request(method, path, &headers, body.as_bytes())
}

fn put(client: &Client, path: &str, body: &Value) -> Answer {
    send(client, "PUT", path, body)
}

/// The row of a source.
fn row(client: &Client, src: &str) -> Value {
    let list = client.get("/api/v1/threats?hidden=include").json();
    let rows = list["threats"].as_array().unwrap();
    rows.iter()
        .find(|row| row["src"]["values"][0] == json!(src))
        .unwrap_or_else(|| panic!("no row of {src}: {list}"))
        .clone()
}

fn id(client: &Client, src: &str) -> String {
    row(client, src)["id"].as_str().unwrap().to_owned()
}

fn total(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/api/v1/threats?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["total"].clone()
}

#[test]
fn what_one_decides_the_others_see_and_search() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let ann = server.signed_in("ann", SECRET);
    let first = id(&root, "10.0.0.1");
    let edit = json!({"ids": [first], "status": "investigating", "assignee": "ann", "add_tags": ["APT", "vpn"], "reason": "odd"});
    let answer = put(&root, "/api/v1/triage", &edit);
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"selected": 1, "changed": 1})),
    );
    let seen = row(&ann, "10.0.0.1");
    assert_eq!(
        (&seen["status"], &seen["assignee"], &seen["tags"]),
        (
            &json!("investigating"),
            &json!("ann"),
            &json!(["apt", "vpn"])
        )
    );
    for (query, wanted) in [
        ("q=status:investigating", 1),
        ("q=status:new", 2),
        ("q=status:!=new", 1),
        ("q=tag:ap", 1),
        ("q=-tag:apt", 2),
        ("q=apt", 1),
        ("q=tag:a*t", 1),
        ("q=tag:apt+OR+src:192.168.0.2", 2),
        ("q=status:resolved", 0),
    ] {
        assert_eq!(total(&ann, query), json!(wanted), "{query}");
    }
    let facets = ann.get("/api/v1/threats?include=facets").json()["facets"].clone();
    assert_eq!(
        facets["status"],
        json!([{"value": "new", "count": 2}, {"value": "investigating", "count": 1}])
    );
    assert_eq!(
        facets["tag"],
        json!([{"value": "apt", "count": 1}, {"value": "vpn", "count": 1}])
    );
    let list = ann.get("/api/v1/cases").json();
    assert_eq!(
        (&list["total"], &list["cases"][0]["reason"]),
        (&json!(1), &json!("odd"))
    );
    assert_eq!(
        ann.get("/api/v1/tags").json(),
        json!({"tags": [{"tag": "apt", "threats": 1}, {"tag": "vpn", "threats": 1}]})
    );
    assert_eq!(
        ann.get("/api/v1/assignees").json(),
        json!({"assignees": ["ann", "eve", "root"]})
    );
}

#[test]
fn a_resolved_threat_is_new_again_after_its_next_event() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let first = id(&root, "10.0.0.1");
    put(
        &root,
        "/api/v1/triage",
        &json!({"ids": [first], "status": "resolved"}),
    );
    assert_eq!(row(&root, "10.0.0.1")["status"], json!("resolved"));
    assert_eq!(total(&root, "q=status:resolved"), json!(1));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    server.send(&datagram(5, "10.0.0.1", "t0.example"));
    wait("the second event", || {
        row(&root, "10.0.0.1")["count"] == json!(2)
    });
    assert_eq!(row(&root, "10.0.0.1")["status"], json!("new"));
    assert_eq!(total(&root, "q=status:resolved"), json!(0));
    assert_eq!(total(&root, "q=status:new"), json!(3));
}

#[test]
fn hidden_threats_leave_the_list_and_are_counted() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let answer = put(
        &root,
        "/api/v1/triage",
        &json!({"all": {"q": "src:192.168.*"}, "hidden": true, "status": "false_positive"}),
    );
    assert_eq!(answer.json(), json!({"selected": 2, "changed": 2}));
    let list = root.get("/api/v1/threats").json();
    assert_eq!((&list["total"], &list["hidden"]), (&json!(1), &json!(2)));
    assert_eq!(total(&root, "hidden=only"), json!(2));
    assert_eq!(total(&root, "hidden=include&q=status:fp"), json!(2));
    let wrong = root.get("/api/v1/threats?hidden=maybe");
    assert_eq!(wrong.status, 400);
    put(
        &root,
        "/api/v1/triage",
        &json!({"all": {"hidden": "only"}, "hidden": false}),
    );
    assert_eq!(total(&root, ""), json!(3));
}

#[test]
fn notes_are_a_thread_with_authors() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let ann = server.signed_in("ann", SECRET);
    let first = id(&root, "10.0.0.1");
    let notes = format!("/api/v1/threats/{first}/notes");
    let hostile = "<img src=x onerror=alert(1)>\nsecond line \u{202e}";
    let added = ann.post_json(&notes, &json!({"text": hostile}));
    assert_eq!(added.status, 201, "{}", added.text());
    root.post_json(&notes, &json!({"text": "seen at home"}));
    let thread = root.get(&notes).json();
    assert_eq!(
        (&thread["notes"][0]["text"], &thread["notes"][0]["author"]),
        (&json!(hostile), &json!("ann"))
    );
    assert_eq!(row(&root, "10.0.0.1")["notes"], json!(2));
    assert_eq!(total(&root, "q=note:onerror"), json!(1));
    assert_eq!(total(&root, "q=note:%22at+home%22+note:second"), json!(1));
    assert_eq!(total(&root, "q=-note:second"), json!(2));
    let note = |answer: &Answer| format!("/api/v1/notes/{}", answer.json()["id"]);
    let eve_note = note(&added);
    let of_root = format!("/api/v1/notes/{}", thread["notes"][1]["id"]);
    for (client, path, method, status) in [
        (&ann, &eve_note, "PUT", 204),
        (&root, &eve_note, "DELETE", 204),
        (&root, &eve_note, "DELETE", 404),
        (&root, &of_root, "PUT", 204),
    ] {
        let answer = send(client, method, path, &json!({"text": "changed"}));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let empty = ann.post_json(&notes, &json!({"text": " "}));
    assert_eq!(empty.status, 400);
    let nowhere = ann.post_json(
        "/api/v1/threats/0000000000000000/notes",
        &json!({"text": "x"}),
    );
    assert_eq!(nowhere.status, 404);
}

#[test]
fn restricted_users_neither_see_nor_decide_about_other_networks() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let eve = server.signed_in("eve", SECRET);
    let (own, foreign) = (id(&root, "10.0.0.1"), id(&root, "192.168.0.2"));
    put(
        &root,
        "/api/v1/triage",
        &json!({"ids": [own, foreign], "add_tags": ["secret-tag"]}),
    );
    root.post_json(
        &format!("/api/v1/threats/{foreign}/notes"),
        &json!({"text": "secret-note"}),
    );
    put(&root, "/api/v1/aliases/10.0.0.9", &json!({"label": "mine"}));
    put(
        &root,
        "/api/v1/aliases/192.168.0.9",
        &json!({"label": "other"}),
    );
    assert_eq!(
        eve.get(&format!("/api/v1/threats/{foreign}/notes")).status,
        404
    );
    assert_eq!(eve.get(&format!("/api/v1/threats/{own}/notes")).status, 200);
    assert_eq!(total(&eve, "q=note:secret-note"), json!(0));
    assert_eq!(total(&eve, "q=tag:secret"), json!(1));
    for path in ["/api/v1/cases", "/api/v1/tags"] {
        assert_eq!(eve.get(path).status, 403, "{path}");
    }
    let aliases = eve.get("/api/v1/aliases").json();
    assert_eq!(
        aliases,
        json!({"aliases": [{"address": "10.0.0.9", "label": "mine", "fixed": false}]})
    );
    let edit = json!({"ids": [own], "status": "resolved"});
    assert_eq!(put(&eve, "/api/v1/triage", &edit).status, 403, "a viewer");
    assert_eq!(
        put(&root, "/api/v1/users/eve", &json!({"role": "analyst"})).status,
        200
    );
    assert_eq!(put(&eve, "/api/v1/triage", &edit).status, 200);
    let foreign_edit = json!({"ids": [foreign], "status": "resolved"});
    let answer = put(&eve, "/api/v1/triage", &foreign_edit);
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains(&foreign), "{}", answer.text());
    let all = put(
        &eve,
        "/api/v1/triage",
        &json!({"all": {"q": ""}, "add_tags": ["eve"]}),
    );
    assert_eq!(all.json()["selected"], json!(1));
    assert_eq!(row(&root, "192.168.0.2")["tags"], json!(["secret-tag"]));
    let alias = put(&eve, "/api/v1/aliases/192.168.0.9", &json!({"label": "x"}));
    assert_eq!(alias.status, 403);
}

#[test]
fn another_analysts_change_is_on_the_stream() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let ann = server.signed_in("ann", SECRET);
    let first = id(&root, "10.0.0.1");
    let mut stream = ann.open("GET", "/api/v1/stream?q=status:new", &[], b"");
    assert_eq!(read_head(&mut stream).0, 200);
    let mut told = |wanted: &str| -> Value {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert!(
                stream.read_line(&mut line).unwrap() > 0,
                "ended before {wanted}"
            );
            if let Some(event) = line.trim().strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.trim().strip_prefix("data: ")
                && name == wanted
            {
                return serde_json::from_str(data).unwrap();
            }
        }
    };
    told("hello");
    put(
        &root,
        "/api/v1/triage",
        &json!({"ids": [first], "add_tags": ["x"]}),
    );
    let upsert = told("upsert");
    assert_eq!(
        (&upsert["threats"][0]["tags"], &upsert["total"]),
        (&json!(["x"]), &json!(3))
    );
    put(
        &root,
        "/api/v1/triage",
        &json!({"ids": [first], "status": "resolved"}),
    );
    assert_eq!(told("remove")["ids"], json!([first]));
    assert_eq!(told("upsert")["total"], json!(2));
}

#[test]
fn decisions_survive_a_restart_and_are_in_the_audit() {
    let server = server();
    let entries = users(
        SECRET,
        &[("root", 0, ""), ("ann", 1, ""), ("eve", 1000, "10.0.0.0/8")],
    );
    let root = server.signed_in("root", SECRET);
    let first = id(&root, "10.0.0.1");
    put(
        &root,
        "/api/v1/triage",
        &json!({"ids": [first], "status": "resolved", "add_tags": ["kept"]}),
    );
    let log_dir = server.log_dir.clone();
    let dir = server.stop();
    let server = TestServer::start_on(&log_dir, &entries, false);
    let root = server.signed_in("root", SECRET);
    wait("the row", || total(&root, "q=tag:kept") == json!(1));
    let audit = root.get("/api/v1/audit?action=triage").json();
    let actions: Vec<&Value> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(actions, [&json!("triage.tags"), &json!("triage.status")]);
    assert_eq!(audit["entries"][1]["to"], json!("resolved"));
    server.stop();
    drop(dir);
}

#[test]
fn views_are_kept_per_user_and_wrong_bodies_are_explained() {
    let server = server();
    let root = server.signed_in("root", SECRET);
    let eve = server.signed_in("eve", SECRET);
    let view = json!({"name": "high", "query": "sev=high", "shared": true, "default": true});
    let answer = root.post_json("/api/v1/views", &view);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let shared = eve.get("/api/v1/views").json();
    assert_eq!(
        (&shared["views"][0]["name"], &shared["views"][0]["default"]),
        (&json!("high"), &json!(false))
    );
    assert_eq!(eve.post_json("/api/v1/views", &view).status, 403);
    let own = json!({"name": "high", "query": "sev=high"});
    assert_eq!(eve.post_json("/api/v1/views", &own).status, 201);
    let path = format!("/api/v1/views/{}", answer.json()["id"]);
    assert_eq!(send(&eve, "DELETE", &path, &json!({})).status, 403);
    assert_eq!(send(&root, "DELETE", &path, &json!({})).status, 204);
    for (method, path, body, word) in [
        (
            "PUT",
            "/api/v1/triage",
            json!({"status": "resolved"}),
            "ids",
        ),
        ("PUT", "/api/v1/triage", json!({"ids": ["xyz"]}), "16 hex"),
        (
            "PUT",
            "/api/v1/triage",
            json!({"ids": [], "staus": "new"}),
            "staus",
        ),
        (
            "PUT",
            "/api/v1/triage",
            json!({"ids": [], "status": "done"}),
            "done",
        ),
        (
            "PUT",
            "/api/v1/triage",
            json!({"ids": [], "assignee": "nobody"}),
            "nobody",
        ),
        (
            "PUT",
            "/api/v1/triage",
            json!({"all": {"q": "sev:huge"}}),
            "huge",
        ),
        (
            "PUT",
            "/api/v1/triage",
            json!({"ids": [], "day": "x"}),
            "YYYY",
        ),
        ("PUT", "/api/v1/aliases/host", json!({"label": "x"}), "host"),
    ] {
        let answer = send(&root, method, path, &body);
        assert!(
            (400..=422).contains(&answer.status) && answer.text().contains(word),
            "{path} {body}: {} {}",
            answer.status,
            answer.text()
        );
    }
}
