//! Exports: exactly the filtered set, in forms that other programs read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::fixture::{PASSWORD, finish, fixture};
use support::{Answer, Client, TestServer, read_head};

const DAY: &str = "2026-11-20";

/// Rows with what spreadsheets, terminals and parsers trip over.
fn hostile() -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    let row = |n: u32, rest: &str| format!("\"{DAY} 09:00:{n:02}.000001\" s1 {rest}\n");
    let log = [
        row(
            1,
            r#"10.0.0.1 4000 93.184.216.34 443 TCP HTTP "=cmd|'/c calc'!A1" "+SUM(1) (malware)" (static)"#,
        ),
        row(
            2,
            r#"10.0.0.1 4001 93.184.216.34 80,443 TCP URL "evil.example/a""b,c" "a ""quoted"" one, two (suspicious)" "-feed""#,
        ),
        row(
            3,
            "10.0.0.2,10.0.0.3 4002 9.9.9.9 53 UDP DNS (www).evil.example \"lumma (malware)\" (static)",
        ),
        row(
            4,
            "2001:db8::7 4003 93.184.216.35 53 UDP DNS \u{202e}gpj.exe.example \"x\" @feed",
        ),
        row(
            5,
            "10.0.0.4 4004 9.9.9.9 53 UDP DNS zero\u{200b}width.example \"known attacker\" blocklist.de",
        ),
        row(
            6,
            "10.0.0.5 - 10.0.0.9 - ICMP IP 203.0.113.200 \"mass scanner\" (static)",
        ),
        row(
            7,
            "10.0.0.5 - 203.0.113.201 445 TCP IPORT 203.0.113.201:445 \"cobalt strike (malware)\" (static)",
        ),
    ];
    std::fs::write(dir.join(format!("{DAY}.log")), log.concat()).unwrap();
    TestServer::start_on(&dir, "", false)
}

fn threats(client: &Client, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/threats?day={DAY}&limit=500{query}");
    let answer = client.get(&path).json();
    let rows = answer["threats"].as_array().unwrap().clone();
    assert_eq!(answer["total"], json!(rows.len()));
    rows
}

fn export(client: &Client, format: &str, query: &str) -> Answer {
    let answer = client.get(&format!("/api/v1/export?format={format}&day={DAY}{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// What an export row says, from a row of the list.
fn expected(row: &Value) -> Value {
    json!({
        "severity": row["severity"], "uid": row["uid"], "events": row["count"],
        "first_seen": row["first"], "last_seen": row["last"],
        "sensors": row["sensor"]["values"], "sources": row["src"]["values"],
        "destinations": row["dst"]["values"], "ports": row["dport"]["values"],
        "protocols": row["proto"]["values"], "type": row["type"], "trail": row["trail"],
        "info": row["info"], "reference": row["reference"], "tags": [],
    })
}

#[test]
fn json_and_ndjson_are_the_list() {
    let server = hostile();
    let client = server.client();
    for query in [
        "",
        "&q=type:dns",
        "&sev=high&sort=src&dir=asc",
        "&q=trail:nothing",
    ] {
        let wanted: Vec<Value> = threats(&client, query).iter().map(expected).collect();
        let file = export(&client, "json", query);
        assert_eq!(file.json(), json!(wanted), "{query}");
        let lines = export(&client, "ndjson", query).text();
        let rows: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows, wanted, "{query}");
    }
    let file = export(&client, "json", "");
    assert_eq!(file.header("content-type"), Some("application/json"));
    assert_eq!(
        file.header("content-disposition"),
        Some("attachment; filename=\"maltrail-threats-2026-11-20.json\"")
    );
    finish(server);
}

#[test]
fn csv_is_the_list_and_holds_no_formula() {
    let server = hostile();
    let client = server.client();
    let file = export(&client, "csv", "");
    let body = file.text();
    assert!(body.starts_with("severity,uid,events,first_seen,last_seen,sensors,sources,destinations,ports,protocols,type,trail,info,reference,tags\n"));
    let mut reader = csv::Reader::from_reader(body.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let wanted = threats(&client, "");
    assert_eq!((rows.len(), wanted.len()), (7, 7));
    for (row, wanted) in rows.iter().zip(&wanted) {
        let wanted = expected(wanted);
        for (name, cell) in columns.iter().zip(row) {
            let text = match &wanted[name] {
                Value::Array(values) => {
                    let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                    values.join("|")
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell}"
            );
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), text, "{name}");
        }
    }
    let guarded = rows
        .iter()
        .flat_map(|row| row.iter())
        .filter(|cell| cell.starts_with('\''));
    assert_eq!(guarded.count(), 4, "=cmd, +SUM, -feed, @feed");
    finish(server);
}

#[test]
fn indicators_are_harmless_sorted_and_each_on_one_line() {
    let server = hostile();
    let client = server.client();
    let body = export(&client, "ioc", "").text();
    let mut lines = body.lines();
    assert_eq!(
        lines.next(),
        Some("# Maltrail IOC export · 9 indicators (defanged) · 2026-11-20")
    );
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest.len(), 9, "{body}");
    for wanted in [
        "=cmd|'/c calc'!A1",
        "evil[.]example/a\"b,c",
        "www[.]evil[.]example",
        "93[.]184[.]216[.]34",
        "zero\\u{200b}width[.]example",
        "\\u{202e}gpj[.]exe[.]example",
        "203[.]0[.]113[.]201:445",
        "203[.]0[.]113[.]200",
    ] {
        assert!(rest.contains(&wanted), "{wanted} in {body}");
    }
    assert!(
        !body.contains("9[.]9[.]9[.]9"),
        "the resolver is no indicator"
    );
    assert!(!body.contains("10[.]0[.]0[.]9"), "own addresses are none");
    finish(server);
}

#[test]
fn stix_and_misp_can_be_read_and_point_at_themselves() {
    let server = hostile();
    let client = server.client();
    let bundle = export(&client, "stix", "").json();
    assert_eq!(bundle["type"], json!("bundle"));
    let objects = bundle["objects"].as_array().unwrap();
    let mut ids = BTreeMap::new();
    for object in objects {
        let id = object["id"].as_str().unwrap();
        assert!(ids.insert(id, object).is_none(), "{id} twice");
        assert!(id.starts_with(object["type"].as_str().unwrap()));
    }
    let patterns: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["pattern"].as_str())
        .collect();
    assert!(
        patterns.contains(&"[domain-name:value = 'www.evil.example']"),
        "{patterns:?}"
    );
    assert!(patterns.contains(&"[ipv4-addr:value = '203.0.113.200']"));
    let sightings = objects.iter().filter(|object| object["type"] == "sighting");
    assert_eq!(sightings.clone().count(), patterns.len());
    for sighting in sightings {
        assert_eq!(
            ids[sighting["sighting_of_ref"].as_str().unwrap()]["type"],
            "indicator"
        );
    }
    let event = export(&client, "misp", "").json();
    let event = &event["Event"];
    assert_eq!(
        (&event["date"], &event["threat_level_id"]),
        (&json!(DAY), &json!("1"))
    );
    let attributes = event["Attribute"].as_array().unwrap();
    assert_eq!(attributes.len(), 9);
    let port = attributes
        .iter()
        .find(|attribute| attribute["type"] == "ip-dst|port")
        .unwrap();
    assert_eq!(port["value"], json!("203.0.113.201|445"));
    let empty = export(&client, "misp", "&q=trail:nothing").json();
    assert_eq!(empty["Event"]["Attribute"], json!([]));
    finish(server);
}

#[test]
fn scope_and_masking_hold() {
    let server = fixture();
    let day = support::today();
    let text = |name: &str, format: &str| {
        let path = format!("/api/v1/export?format={format}&day={day}");
        let answer = server.signed_in(name, PASSWORD).get(&path);
        assert_eq!(answer.status, 200);
        answer.text()
    };
    for format in ["csv", "json", "ndjson", "stix", "misp"] {
        assert!(
            text("admin", format).contains("supersecretname"),
            "{format}"
        );
        assert!(
            !text("masked", format).contains("supersecretname"),
            "{format}"
        );
        assert!(
            !text("analyst", format).contains("supersecretname"),
            "{format}"
        );
    }
    for format in ["csv", "json", "ndjson", "ioc", "stix", "misp"] {
        let seen = text("exact", format);
        for hidden in [
            "10.0.0.6",
            "66.66.66.66",
            "198.51.100.5",
            "66[.]66",
            "198[.]51",
        ] {
            assert!(!seen.contains(hidden), "{format}: {hidden}");
        }
    }
    assert!(text("exact", "json").contains("evil.com"));
    finish(server);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let server = hostile();
    let client = server.client();
    for (query, code) in [
        ("format=pdf", "parameter"),
        ("format=csv&q=sev:urgent", "query"),
        ("format=csv&sort=height", "parameter"),
        ("format=csv&day=yesterday", "parameter"),
    ] {
        let answer = client.get(&format!("/api/v1/export?{query}"));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!(code)),
            "{query}"
        );
    }
    finish(server);
}

#[test]
fn two_at_a_time_and_a_slow_reader_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap().keep();
    let mut log = String::new();
    for n in 0..60_000 {
        log += &format!(
            "\"{DAY} 09:00:00.{n:06}\" s1 10.{}.{}.{} 4000 9.9.9.9 53 UDP DNS name-{n}-{}.example \"lumma (malware)\" (static)\n",
            n / 65536,
            n / 256 % 256,
            n % 256,
            "x".repeat(120)
        );
    }
    std::fs::write(dir.join(format!("{DAY}.log")), log).unwrap();
    let server = TestServer::start_on(&dir, "", false);
    let client = server.client();
    support::wait("the index", || {
        let answer = client.get(&format!("/api/v1/threats?day={DAY}&limit=1"));
        answer.status == 200 && answer.json()["total"] == json!(60_000)
    });
    let path = format!("/api/v1/export?format=ndjson&day={DAY}");
    let mut slow: Vec<_> = (0..2)
        .map(|_| client.open("GET", &path, &[], b""))
        .collect();
    for stream in &mut slow {
        assert_eq!(read_head(stream).0, 200);
    }
    let third = client.get(&path);
    assert_eq!((third.status, &third.json()["code"]), (503, &json!("busy")));
    assert!(third.header("retry-after").is_some());
    let page = client.get(&format!("/api/v1/threats?day={DAY}"));
    assert_eq!(page.status, 200);
    drop(slow);
    support::wait("the places are given back", || {
        client.get(&path).status == 200
    });
    let whole = client.get(&path).text();
    assert_eq!(whole.lines().count(), 60_000);
    let last: Value = serde_json::from_str(whole.lines().last().unwrap()).unwrap();
    assert_eq!(last["events"], json!(1));
    finish(server);
}
