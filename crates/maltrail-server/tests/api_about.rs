//! What is known beside the list: all events of a threat, its days, entities, feeds, numbers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::fixture::{PASSWORD, finish, fixture};
use support::{Client, TestServer};

const DAY: &str = "2026-11-20";

fn row(day: &str, time: &str, rest: &str) -> String {
    format!("\"{day} {time}\" {rest}\n")
}

/// 700 events of one threat from two spellings of its trail, some at the same time, and others.
fn server() -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    let mut log = String::new();
    for n in 0..700 {
        let host = if n % 3 == 0 { "(www)" } else { "(mail)" };
        let time = format!("09:{:02}:{:02}.000000", n / 120, n / 2 % 60);
        log += &row(
            DAY,
            &time,
            &format!(
                "s1 10.0.0.1 {} 9.9.9.9 53 UDP DNS {host}.evil.example \"lumma (malware)\" (static)",
                4000 + n
            ),
        );
    }
    log += &row(
        DAY,
        "10:00:00.000000",
        "s2 10.0.0.2 4000 93.184.216.34 443 TCP IP 93.184.216.34 \"known attacker\" blocklist.de",
    );
    log += &row(
        DAY,
        "10:00:01.000000",
        "s2 10.0.0.3 4000 93.184.216.34 443 TCP URL sub.evil.example/x \"lumma (malware)\" (static)",
    );
    std::fs::write(dir.join(format!("{DAY}.log")), log).unwrap();
    let later = row(
        "2026-11-22",
        "01:00:00.000000",
        "s1 10.0.0.1 4000 9.9.9.9 53 UDP DNS evil.example \"lumma (malware)\" (static)",
    );
    std::fs::write(dir.join("2026-11-22.log"), later).unwrap();
    std::fs::write(dir.join("trails.csv"), support::fixture::TRAILS).unwrap();
    TestServer::start_on(&dir, "", false)
}

fn get(client: &Client, path: &str) -> Value {
    let answer = client.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn id_of(client: &Client, day: &str, query: &str) -> String {
    let list = get(client, &format!("/api/v1/threats?day={day}&q={query}"));
    list["threats"][0]["id"].as_str().unwrap().to_owned()
}

fn all_events(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    for _ in 0..1000 {
        let page = get(client, &format!("{path}&limit={limit}&cursor={cursor}"));
        let part = page["events"].as_array().unwrap();
        assert!(part.len() <= limit);
        events.extend(part.clone());
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return events,
        }
    }
    panic!("no end");
}

#[test]
fn every_event_of_a_threat_comes_once_newest_first() {
    let server = server();
    let client = server.client();
    let id = id_of(&client, DAY, "src:10.0.0.1");
    let path = format!("/api/v1/threats/{id}/events?day={DAY}");
    for limit in [500, 77] {
        let events = all_events(&client, &path, limit);
        assert_eq!(events.len(), 700);
        let ports: std::collections::BTreeSet<String> = events
            .iter()
            .map(|event| event["src_port"].to_string())
            .collect();
        assert_eq!(ports.len(), 700, "each once");
        let times: Vec<&str> = events
            .iter()
            .map(|event| event["time"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted_by(|left, right| left >= right));
    }
    assert_eq!(get(&client, &path)["total"], json!(700));
    let detail = get(&client, &format!("/api/v1/threats/{id}?day={DAY}"));
    let newest: Vec<Value> = all_events(&client, &path, 500)
        .into_iter()
        .take(200)
        .collect();
    assert_eq!(detail["events"], json!(newest));
    for bad in ["cursor=x", "limit=501", "day=x"] {
        let path = format!("/api/v1/threats/{id}/events?{bad}");
        assert_eq!(client.get(&path).status, 400, "{bad}");
    }
    assert_eq!(
        client.get("/api/v1/threats/0123456789abcdef/events").status,
        404
    );
    finish(server);
}

#[test]
fn restricted_users_get_the_events_of_their_share() {
    let server = fixture();
    let today = support::today();
    let exact = server.signed_in("exact", PASSWORD);
    let id = id_of(&exact, &today, "trail:evil%20two.com");
    let events = all_events(
        &exact,
        &format!("/api/v1/threats/{id}/events?day={today}"),
        1,
    );
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["src_ip"], json!("10.0.0.5"));
    assert!(!events[0]["line"].as_str().unwrap().contains("10.9.0.7"));
    let admin = server.signed_in("admin", PASSWORD);
    let hidden = id_of(&admin, &today, "src:10.0.0.6");
    for path in ["", "/events", "/history"] {
        let path = format!("/api/v1/threats/{hidden}{path}?day={today}");
        assert_eq!(admin.get(&path).status, 200, "{path}");
        assert_eq!(exact.get(&path).status, 404, "{path}");
    }
    finish(server);
}

#[test]
fn history_counts_per_day() {
    let server = server();
    let client = server.client();
    let id = id_of(&client, "2026-11-22", "");
    let history = get(
        &client,
        &format!("/api/v1/threats/{id}/history?days=3&day=2026-11-22"),
    );
    assert_eq!(
        history["days"],
        json!([{"day": DAY, "events": 700}, {"day": "2026-11-21", "events": 0}, {"day": "2026-11-22", "events": 1}])
    );
    assert_eq!(history["events"], json!(701));
    assert_eq!(history["last"], json!("2026-11-22T01:00:00.000000Z"));
    for bad in ["days=0", "days=32"] {
        assert_eq!(
            client
                .get(&format!("/api/v1/threats/{id}/history?{bad}"))
                .status,
            400
        );
    }
    finish(server);
}

#[test]
fn entities_are_what_they_took_part_in() {
    let server = server();
    let client = server.client();
    let ask = |entity: &str| {
        get(
            &client,
            &format!("/api/v1/entities/{entity}?days=3&day=2026-11-22"),
        )
    };
    let counts = |answer: &Value| -> Vec<u64> {
        let days = answer["days"].as_array().unwrap().iter();
        days.map(|day| day["events"].as_u64().unwrap()).collect()
    };
    for (entity, events, threats) in [
        ("ip/10.0.0.1", vec![700, 0, 1], 1),
        ("ip/93.184.216.34", vec![2, 0, 0], 2),
        ("ip/10.0.0.9", vec![0, 0, 0], 0),
        ("domain/evil.example", vec![701, 0, 1], 2),
        ("domain/sub.evil.example", vec![1, 0, 0], 1),
        ("trail/(www).evil.example", vec![700, 0, 1], 1),
        ("trail/sub.evil.example%2Fx", vec![1, 0, 0], 1),
        ("sensor/s2", vec![2, 0, 0], 2),
    ] {
        let answer = ask(entity);
        assert_eq!(counts(&answer), events, "{entity}");
        assert_eq!(
            answer["events"],
            json!(events.iter().sum::<u64>()),
            "{entity}"
        );
        assert_eq!(answer["threats_total"], json!(threats), "{entity}");
        assert_eq!(answer["first"].is_null(), threats == 0, "{entity}");
    }
    let server_side = ask("ip/93.184.216.34");
    assert_eq!(
        server_side["peers"],
        json!([{"value": "10.0.0.2", "count": 1}, {"value": "10.0.0.3", "count": 1}])
    );
    assert_eq!(
        ask("domain/x.evil.com")["listed"]["trail"],
        json!("evil.com")
    );
    assert_eq!(ask("domain/evil.example")["listed"], Value::Null);
    for (bad, status) in [("ip/x", 400), ("host/x", 404)] {
        assert_eq!(
            client.get(&format!("/api/v1/entities/{bad}")).status,
            status
        );
    }
    finish(server);
}

#[test]
fn entities_of_restricted_users_are_their_share() {
    let server = fixture();
    let exact = server.signed_in("exact", PASSWORD);
    let of =
        |client: &Client, entity: &str| get(client, &format!("/api/v1/entities/{entity}?days=1"));
    let admin = server.signed_in("admin", PASSWORD);
    assert_eq!(of(&admin, "ip/10.0.0.6")["threats_total"], json!(1));
    let hidden = of(&exact, "ip/10.0.0.6");
    assert_eq!(
        (&hidden["threats_total"], &hidden["events"]),
        (&json!(0), &json!(0))
    );
    let masked = server.signed_in("masked", PASSWORD);
    for entity in ["ip/10.0.0.8", "domain/internal-secret.corp"] {
        assert!(
            !of(&masked, entity).to_string().contains("supersecretname"),
            "{entity}"
        );
    }
    assert!(
        of(&admin, "domain/internal-secret.corp")
            .to_string()
            .contains("supersecretname")
    );
    assert_eq!(exact.get("/api/v1/stats").status, 403);
    finish(server);
}

#[test]
fn feeds_and_numbers_are_told() {
    let server = server();
    let client = server.client();
    let empty = get(&client, "/api/v1/feeds");
    assert_eq!(empty["feeds"], json!([]));
    assert!(empty["age_secs"].as_u64().is_some(), "of trails.csv");
    let folder = server.log_dir.join("feeds");
    std::fs::create_dir_all(&folder).unwrap();
    let record = json!({"feeds": [{"name": "blocklist", "url": "https://lists.example/a?k=1", "entries": 7,
        "last_success": 1_700_000_000, "last_attempt": 1_700_000_000, "change": 2}]});
    std::fs::write(folder.join("status.json"), record.to_string()).unwrap();
    let feed = get(&client, "/api/v1/feeds")["feeds"][0].clone();
    assert_eq!(
        (&feed["name"], &feed["host"], &feed["entries"]),
        (&json!("blocklist"), &json!("lists.example"), &json!(7))
    );
    assert_eq!(feed["last_success"], json!("2023-11-14T22:13:20.000000Z"));
    server.send(&support::datagram(1, "10.0.0.1", "evil.example"));
    support::wait("the event", || {
        get(&client, "/api/v1/stats")["today"]["events"] == json!(1)
    });
    let stats = get(&client, "/api/v1/stats");
    assert_eq!(stats["stored"]["days"], json!(3));
    assert_eq!(stats["stored"]["first"], json!(DAY));
    finish(server);
}

#[test]
fn explain_says_what_the_sensor_s_command_says() {
    let server = fixture();
    let admin = server.signed_in("admin", PASSWORD);
    let path = server.log_dir.join("test.conf");
    let environment = maltrail_core::config::Environment::of_process();
    let (config, _) = maltrail_core::config::Config::load(&path, &environment).unwrap();
    let facts = maltrail_explain::Facts::load(&config, &environment).unwrap();
    for (indicator, reported) in [
        ("hxxp://www[.]evil[.]com/x", true),
        ("1.2.3.4:80", true),
        ("internal-secret.corp", true),
        ("unlisted.example", false),
        ("198.51.100.0/24", false),
        ("curl/8.5.0", false),
    ] {
        let encoded = indicator
            .replace('/', "%2F")
            .replace('[', "%5B")
            .replace(']', "%5D");
        let answer = get(&admin, &format!("/api/v1/explain?indicator={encoded}"));
        let wanted = maltrail_explain::answer(&facts, indicator).unwrap().json();
        assert_eq!(answer, wanted, "{indicator}");
        assert_eq!(answer["reported"], json!(reported), "{indicator}");
    }
    for (name, reported) in [
        ("admin", true),
        ("loose", true),
        ("masked", false),
        ("exact", false),
    ] {
        let client = server.signed_in(name, PASSWORD);
        let answer = get(&client, "/api/v1/explain?indicator=internal-secret.corp");
        assert_eq!(answer["reported"], json!(reported), "{name}");
        assert_eq!(
            answer.to_string().contains("supersecretname"),
            reported,
            "{name}"
        );
        let text = get(&client, "/api/v1/explain?indicator=evil.com").to_string();
        assert!(
            reported || !text.contains(server.log_dir.to_str().unwrap()),
            "{name}: {text}"
        );
    }
    for bad in [
        "",
        "indicator=",
        "indicator=%20",
        &format!("indicator={}", "x".repeat(9000)),
    ] {
        let answer = admin.get(&format!("/api/v1/explain?{bad}"));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("parameter")),
            "{bad:.20}"
        );
    }
    finish(server);
}
