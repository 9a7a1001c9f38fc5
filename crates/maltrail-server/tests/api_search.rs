//! The search language over a running server: what it finds, and where a query is wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::fixture::{PASSWORD, finish, fixture};
use support::{Client, TestServer, users};

const DAY: &str = "2026-11-20";

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// Two days; the second is the one that is searched.
fn server(more: &str) -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    let row = |day: &str, time: &str, rest: &str| format!("\"{day} {time}.000000\" {rest}\n");
    let before = [row(
        "2026-11-19",
        "12:00:00",
        r#"s1 10.0.0.1 4000 9.9.9.9 53 UDP DNS (www).old.example "lumma (malware)" (static)"#,
    )];
    std::fs::write(dir.join("2026-11-19.log"), before.concat()).unwrap();
    let log = [
        row(
            DAY,
            "08:59:59",
            r#"s1 10.0.0.1 4000 9.9.9.9 53 UDP DNS (mail).old.example "lumma (malware)" (static)"#,
        ),
        row(
            DAY,
            "09:00:00",
            r#"s1 10.0.0.2 4000 9.9.9.9 53 UDP DNS new.example "lumma (malware)" (static)"#,
        ),
        row(
            DAY,
            "09:30:00",
            r#"s1 10.0.0.2 4001 9.9.9.9 53 UDP DNS new.example "lumma (malware)" (static)"#,
        ),
        row(
            DAY,
            "13:15:00",
            r#"s2 2a00:1450:4001::7 4002 93.184.216.34 443 TCP IP 93.184.216.34 "known attacker" blocklist.de"#,
        ),
        row(
            DAY,
            "23:59:59",
            r#"s2 10.0.0.3 4003 93.184.216.35 8080 TCP URL bad.example/gate.php "cobalt strike (malware)" (static)"#,
        ),
    ];
    std::fs::write(dir.join(format!("{DAY}.log")), log.concat()).unwrap();
    TestServer::start_on(&dir, more, false)
}

fn trails(client: &Client, query: &str) -> Vec<String> {
    let path = format!(
        "/api/v1/threats?day={DAY}&sort=first&dir=asc&q={}",
        encoded(query)
    );
    let answer = client.get(&path);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let rows = answer.json()["threats"].as_array().unwrap().clone();
    let trail = |row: &Value| row["trail"].as_str().unwrap().to_owned();
    rows.iter().map(trail).collect()
}

#[test]
fn each_form_finds_what_it_should() {
    let aliases = "IP_ALIASES\n    10.0.0.1-10.0.0.2:desk\n    93.184.216.34:web shop\n    192.0.2.0/24:unused\n";
    let server = server(aliases);
    let client = server.client();
    let (old, new, ip, url) = (
        "(mail).old.example",
        "new.example",
        "93.184.216.34",
        "bad.example/gate.php",
    );
    for (query, wanted) in [
        ("", vec![old, new, ip, url]),
        ("time:09:00-10:00", vec![new]),
        ("time:<09:00", vec![old]),
        ("first:>09:00", vec![ip, url]),
        ("last:09:30", vec![new]),
        ("first:09:30", vec![]),
        ("time:23:00-01:00", vec![url]),
        ("first:2026-11-20T13:00:00Z..2026-11-20T14:00:00Z", vec![ip]),
        ("last:>=2026-11-20T23:59:59Z", vec![url]),
        ("first:2026-11-19", vec![]),
        ("time:!=09:00-10:00", vec![old, ip, url]),
        ("trail:/^(new|bad)\\./", vec![new, url]),
        ("trail:/GATE\\.php$/", vec![url]),
        ("-trail:/example/", vec![ip]),
        ("trail:/gate.php", vec![url]),
        ("src:/^10\\.0\\.0\\.[12]$/", vec![old, new]),
        ("port:/^80/", vec![url]),
        ("src:2a00:1450::/32", vec![ip]),
        ("src:!=10.0.0.0/8", vec![ip]),
        ("trail:!=new.example sensor:s1", vec![old]),
        ("port:!=53", vec![ip, url]),
        ("alias:desk", vec![old, new]),
        ("alias:\"web shop\"", vec![ip]),
        ("alias:/^w/,desk", vec![old, new, ip]),
        ("alias:!=desk", vec![ip, url]),
        ("alias:unused", vec![]),
        ("alias:nobody", vec![]),
        ("new:today", vec![new, ip, url]),
        ("-new:today", vec![old]),
        ("new:today sev:high", vec![new, url]),
    ] {
        assert_eq!(trails(&client, query), wanted, "{query}");
    }
    finish(server);
}

#[test]
fn a_query_is_told_part_by_part() {
    let server = server("");
    let client = server.client();
    let ask = |query: &str| client.get(&format!("/api/v1/query?q={}", encoded(query)));
    let answer = ask("ä sev:high -src:10.0.0.0/8").json();
    assert_eq!(
        answer["chips"],
        json!([
            {"text": "ä", "from": 0, "to": 1, "negated": false, "field": null, "ast": {"text": "ä"}},
            {"text": "sev:high", "from": 2, "to": 10, "negated": false, "field": "sev",
                "ast": {"field": "sev", "values": [{"is": "high"}]}},
            {"text": "-src:10.0.0.0/8", "from": 11, "to": 26, "negated": true, "field": "src",
                "ast": {"not": {"field": "src", "values": [{"network": "10.0.0.0/8"}]}}},
        ])
    );
    assert!(
        answer["fields"]
            .as_array()
            .unwrap()
            .contains(&json!("alias"))
    );
    assert_eq!(ask("").json()["ast"], json!({"all": true}));
    for (query, position) in [
        ("sev:urgent", 4),
        ("trail:/a(/", 8),
        ("a time:25:00", 7),
        ("country:DE", 8),
        ("x )", 2),
    ] {
        for path in ["query", "threats", "export", "stream"] {
            let answer = client.get(&format!("/api/v1/{path}?q={}", encoded(query)));
            assert_eq!(answer.status, 400, "{path} {query}");
            let error = answer.json();
            assert_eq!(
                (&error["code"], &error["position"]),
                (&json!("query"), &json!(position)),
                "{path} {query}"
            );
        }
    }
    finish(server);
}

#[test]
fn expressions_cost_a_bounded_time() {
    let server = server("");
    let client = server.client();
    for query in [
        format!("trail:/{}/", "(a|aa)+".repeat(20)),
        format!("trail:/{}x/", "(.*)".repeat(50)),
        ["trail:/(x+x+)+y/"; 8].join(" "),
        ["trail:/a/"; 9].join(" "),
    ] {
        let started = std::time::Instant::now();
        let answer = client.get(&format!("/api/v1/threats?day={DAY}&q={}", encoded(&query)));
        assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
        assert!(started.elapsed().as_secs() < 5, "{query}");
    }
    let large = client.get(&format!(
        "/api/v1/query?q={}",
        encoded("trail:/(a{500}){500}/")
    ));
    assert_eq!(
        (large.status, &large.json()["code"]),
        (400, &json!("query"))
    );
    finish(server);
}

#[test]
fn names_and_novelty_tell_restricted_users_nothing_of_others() {
    let more = format!(
        "IP_ALIASES\n    9.9.9.9:secret\n    10.0.0.1:mine\n{}",
        users(PASSWORD, &[("all", 0, ""), ("some", 1000, "10.0.0.0/24")])
    );
    let server = server(&more);
    let some = server.signed_in("some", PASSWORD);
    assert_eq!(trails(&some, "alias:mine"), ["(mail).old.example"]);
    assert_eq!(trails(&some, "alias:secret"), [""; 0]);
    let answer = some.get(&format!("/api/v1/threats?day={DAY}&q=new:today"));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (403, &json!("restricted"))
    );
    let all = server.signed_in("all", PASSWORD);
    assert_eq!(trails(&all, "alias:secret").len(), 2);
    finish(server);
    let server = fixture();
    let masked = server.signed_in("masked", PASSWORD);
    for query in ["info:/secretname/", "/secretname/", "info:/^super/"] {
        let path = format!(
            "/api/v1/threats?day={}&q={}",
            support::today(),
            encoded(query)
        );
        assert_eq!(masked.get(&path).json()["total"], json!(0), "{query}");
    }
    finish(server);
}

#[test]
fn a_change_to_all_that_a_search_selects_reads_the_search_alike() {
    let server = server(&format!(
        "IP_ALIASES\n    10.0.0.1:desk\n{}",
        users(PASSWORD, &[("a", 0, "")])
    ));
    let client = server.signed_in("a", PASSWORD);
    for (query, tag) in [
        ("-time:09:00-10:00", "t"),
        ("alias:!=desk", "a"),
        ("-new:today", "n"),
    ] {
        let wanted = trails(&client, query);
        assert!(wanted.len() < 4, "{query}");
        let body = json!({"day": DAY, "all": {"q": query}, "add_tags": [tag]});
        let headers = [("X-Maltrail", "1"), ("Content-Type", "application/json")];
        let answer = client.request(
            "PUT",
            "/api/v1/triage",
            &headers,
            body.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["selected"], json!(wanted.len()), "{query}");
        assert_eq!(trails(&client, &format!("tag:{tag}")), wanted, "{query}");
    }
    let file = client.get(&format!("/api/v1/export?format=ndjson&day={DAY}&q=tag:n"));
    let row: Value = serde_json::from_str(file.text().trim()).unwrap();
    assert_eq!(row["tags"], json!(["n", "t"]));
    finish(server);
}
