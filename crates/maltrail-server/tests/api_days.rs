//! Several days together, pages by cursor.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::fixture::{PASSWORD, finish, fixture};
use support::{Client, TestServer};

/// Three days; `a.example` on each, a flood on the second only.
fn three_days() -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    let row = |day: &str, hour: u32, src: &str, trail: &str| {
        format!(
            "\"{day} {hour:02}:00:00.000001\" s1 {src} 4000 9.9.9.9 53 UDP DNS {trail} \"lumma (malware)\" (static)\n"
        )
    };
    let write = |day: &str, rows: Vec<String>| {
        std::fs::write(dir.join(format!("{day}.log")), rows.concat()).unwrap();
    };
    let first = "2026-11-20";
    write(
        first,
        vec![
            row(first, 1, "10.0.0.1", "a.example"),
            row(first, 2, "10.0.0.1", "a.example"),
            row(first, 3, "10.0.0.2", "b.example"),
        ],
    );
    let second = "2026-11-21";
    let mut rows: Vec<String> = (0..60)
        .map(|n| row(second, 5, &format!("10.0.1.{n}"), "flood.example"))
        .collect();
    rows.push(row(second, 4, "10.0.0.1", "a.example"));
    write(second, rows);
    let third = "2026-11-23";
    write(
        third,
        vec![
            row(third, 6, "10.0.0.1", "a.example"),
            row(third, 7, "10.0.1.7", "flood.example"),
        ],
    );
    TestServer::start_on(&dir, "", false)
}

fn threats(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/api/v1/threats?{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn yesterday() -> String {
    let today: maltrail_core::time::Day = support::today().parse().unwrap();
    today.plus(-1).to_string()
}

#[test]
fn a_range_is_the_sum_of_its_days() {
    let server = three_days();
    let client = server.client();
    let days = ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"];
    let of_days: Vec<Value> = days
        .iter()
        .map(|day| threats(&client, &format!("day={day}")))
        .collect();
    let range = threats(
        &client,
        "from=2026-11-20&to=2026-11-23&include=histogram,facets",
    );
    assert_eq!(
        (&range["from"], &range["to"]),
        (&json!(days[0]), &json!(days[3]))
    );
    let sum = |pick: &dyn Fn(&Value) -> u64| of_days.iter().map(pick).sum::<u64>();
    let events = |day: &Value| day["events"].as_u64().unwrap();
    assert_eq!(range["events"], json!(sum(&events)));
    assert_eq!(
        range["total"],
        json!(4),
        "a, b, the flood, and the trail of the flood on a quiet day"
    );
    for row in range["threats"].as_array().unwrap() {
        let same = of_days
            .iter()
            .flat_map(|day| day["threats"].as_array().unwrap());
        let counts = same.filter(|other| other["id"] == row["id"]);
        let count: u64 = counts.map(|other| other["count"].as_u64().unwrap()).sum();
        assert_eq!(row["count"], json!(count), "{}", row["trail"]);
    }
    let per_day: Vec<u64> = range["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(events)
        .collect();
    assert_eq!(per_day, of_days.iter().map(events).collect::<Vec<_>>());
    let a = threats(&client, "from=2026-11-20&to=2026-11-23&q=trail:a.example");
    let row = &a["threats"][0];
    assert_eq!(row["count"], json!(4));
    assert_eq!(row["first"], json!("2026-11-20T01:00:00.000001Z"));
    assert_eq!(row["last"], json!("2026-11-23T06:00:00.000001Z"));
    finish(server);
}

#[test]
fn a_range_takes_in_new_events() {
    let server = three_days();
    let client = server.client();
    let query = format!("from={}&to={}", yesterday(), support::today());
    let span: u64 = threats(&client, &query)["events"].as_u64().unwrap();
    server.send(&support::datagram(1, "10.0.0.9", "new.example"));
    support::wait("the new event", || {
        threats(&client, &query)["events"] == json!(span + 1)
    });
    finish(server);
}

#[test]
fn ranges_have_bounds_and_say_so() {
    let server = three_days();
    let client = server.client();
    for query in [
        "from=2026-11-20&to=2026-12-21",
        "from=2026-11-21&to=2026-11-20",
        "to=2026-11-20",
        "day=2026-11-20&from=2026-11-20",
        "from=x",
        "cursor=zzz",
        "cursor=zzz&offset=3",
    ] {
        let answer = client.get(&format!("/api/v1/threats?{query}"));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("parameter")),
            "{query}"
        );
    }
    assert_eq!(
        client
            .get("/api/v1/threats?from=2026-11-20&to=2026-12-20")
            .status,
        200,
        "31 days"
    );
    finish(server);
}

#[test]
fn pages_by_cursor_are_the_whole() {
    let server = three_days();
    let client = server.client();
    let base = "from=2026-11-20&to=2026-11-23&sort=trail&dir=asc";
    let whole = threats(&client, base);
    assert_eq!(whole["next"], Value::Null);
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = threats(&client, &format!("{base}&limit=1&cursor={cursor}"));
        assert_eq!(page["total"], whole["total"]);
        rows.extend(page["threats"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(json!(rows), whole["threats"]);
    let other = client.get(&format!("/api/v1/threats?{base}&sort=src&cursor={cursor}"));
    assert_eq!(other.status, 400, "a cursor of another order");
    finish(server);
}

#[test]
fn an_export_of_days_is_the_list_of_days() {
    let server = three_days();
    let client = server.client();
    let query = "from=2026-11-20&to=2026-11-23";
    let file = client.get(&format!("/api/v1/export?format=ndjson&{query}"));
    assert_eq!(
        file.header("content-disposition"),
        Some("attachment; filename=\"maltrail-threats-2026-11-20_2026-11-23.ndjson\"")
    );
    let lines: Vec<Value> = file
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let list = threats(&client, query);
    let list = list["threats"].as_array().unwrap();
    assert_eq!(lines.len(), list.len());
    for (line, row) in lines.iter().zip(list) {
        assert_eq!(
            (&line["uid"], &line["events"]),
            (&row["uid"], &row["count"])
        );
    }
    finish(server);
}

#[test]
fn restricted_users_get_their_share_of_several_days() {
    let server = fixture();
    let query = "from=2026-11-20&to=2026-11-21".to_owned();
    let exact = server.signed_in("exact", PASSWORD);
    let seen = threats(&exact, &query);
    let rows = seen["threats"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let text = row.to_string();
        assert!(text.contains("10.0.0.5"), "{text}");
        assert!(
            !text.contains("10.0.0.6") && !text.contains("10.9.0.7"),
            "{text}"
        );
    }
    let all = threats(&server.signed_in("admin", PASSWORD), &query);
    assert!(all["total"].as_u64() > seen["total"].as_u64());
    let query = format!("from={}&to={}", yesterday(), support::today());
    let text = |name: &str| threats(&server.signed_in(name, PASSWORD), &query).to_string();
    assert!(text("admin").contains("supersecretname"));
    assert!(!text("masked").contains("supersecretname"));
    finish(server);
}
