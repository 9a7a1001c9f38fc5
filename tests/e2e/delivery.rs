//! Sensor → datagrams → server → API.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use maltrail_tests::events::{Sighting, today, yesterday_at};
use maltrail_tests::house::TestHouse;
use maltrail_tests::http::Client;
use maltrail_tests::sample::{Planted, Sample};
use serde_json::{Value, json};

/// Accounts stay as shipped, so that a test can sign in.
const KEEP: &[&str] = &["--keep-default-password"];

/// Asks until the answer is as wanted.
#[track_caller]
fn wait_for(client: &mut Client, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let value = answer.json();
        if wanted(&value) {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{path} never had {what}: {value:#}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A house whose server has got the sample from a sensor. The story happens yesterday at 09:14, as
/// a server takes nothing that is older than a year.
struct Delivered {
    house: TestHouse,
    client: Client,
    day: String,
    /// Number of events.
    events: u64,
}

impl Delivered {
    fn threats(&self, parameters: &str) -> String {
        format!("/api/v1/threats?day={}&limit=500{parameters}", self.day)
    }

    #[track_caller]
    fn get(&mut self, parameters: &str) -> Value {
        let path = self.threats(parameters);
        let answer = self.client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Starts the server again and signs in.
    #[track_caller]
    fn start_again(&mut self) {
        self.house.start_server(KEEP);
        self.client = self.house.signed_in();
    }
}

#[track_caller]
fn delivered() -> Delivered {
    let mut house = TestHouse::new();
    let (day, start) = yesterday_at(9, 14);
    let capture = house.write("story.pcap", Sample::build_at(start).pcap());
    // The sensor of this house keeps no files of its own: the day file is the server's work.
    let intake = house.intake().to_string();
    house.set("LOG_SERVER", &intake);
    house.set("DISABLE_LOCAL_LOG_STORAGE", "true");
    house.start_server(KEEP);
    let ended = house.replay(&capture);
    let events = ended
        .out
        .split_once(" lines\n")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no number of lines in {ended:#?}"));
    let client = house.signed_in();
    let mut delivered = Delivered {
        house,
        client,
        day,
        events,
    };
    let path = delivered.threats("");
    wait_for(&mut delivered.client, &path, "all events", |value| {
        value["events"] == events
    });
    delivered
}

fn rows(value: &Value) -> Vec<&Value> {
    value["threats"]
        .as_array()
        .expect("threats")
        .iter()
        .collect()
}

fn texts<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    let text = |row: &&'a Value| row[field].as_str().expect("a text");
    rows(value).iter().map(text).collect()
}

/// Every planted detection that the sensor reported is a threat with its severity; totals add up.
#[test]
fn the_sample_arrives_as_threats() {
    let mut d = delivered();
    let value = d.get("&include=facets,histogram");
    let events = d.events;
    let lines = d.house.day_file(&format!("{}.log", d.day));
    assert_eq!(
        lines.lines().count() as u64,
        events,
        "every event is in the day file"
    );

    // A threat is a source and a trail (one family of generated names is one threat).
    let found: BTreeSet<(&str, &str)> = rows(&value)
        .iter()
        .map(|row| {
            (
                row["type"].as_str().unwrap(),
                row["severity"].as_str().unwrap(),
            )
        })
        .collect();
    let planted = Sample::build().planted;
    let wanted = planted
        .iter()
        .map(|p: &Planted| (p.kind, p.severity))
        .collect();
    assert_eq!(found, wanted);
    let count: u64 = rows(&value)
        .iter()
        .map(|row| row["count"].as_u64().unwrap())
        .sum();
    assert_eq!(count, events, "each event belongs to one threat");
    assert_eq!(value["total"], rows(&value).len());
    assert_eq!(
        value["all"],
        json!({"threats": value["total"], "events": events})
    );
    for severity in ["high", "medium", "low"] {
        let rows = rows(&value)
            .iter()
            .filter(|row| row["severity"] == severity)
            .count();
        assert_eq!(value["severity"][severity], rows, "{severity}");
    }
    let hours = value["histogram"].as_array().expect("a histogram");
    assert_eq!(hours.len(), 24);
    let hour = &hours[9];
    let sum: u64 = ["high", "medium", "low"]
        .iter()
        .map(|s| hour[*s].as_u64().unwrap())
        .sum();
    assert_eq!(sum, events, "all of it happens in the hour from nine");
    assert_eq!(
        value["facets"]["sensor"],
        json!([{"value": "office", "count": value["total"]}])
    );
}

/// The beacon: four events of one host, one threat with its times.
#[test]
fn a_beacon_is_one_threat() {
    let mut d = delivered();
    let value = d.get("&q=198.51.100.23");
    let row = rows(&value)[0];
    assert_eq!(value["total"], 1, "{value:#}");
    assert_eq!(row["count"], 4);
    assert_eq!(row["src"], json!({"values": ["10.20.10.13"], "total": 1}));
    assert_eq!(row["dport"], json!({"values": ["8443"], "total": 1}));
    assert_eq!(row["sport"]["total"], 4);
    assert_eq!(
        (&row["class"], &row["origin"]),
        (&json!("malware"), &json!("static"))
    );
    assert!(
        row["first"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}T09:14:05.6", d.day))
    );
    assert!(
        row["last"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}T09:15:28.1", d.day))
    );
    let id = row["id"].as_str().unwrap();
    let path = format!("/api/v1/threats/{id}?day={}", d.day);
    let detail = d.client.get(&path).json();
    assert_eq!(detail["events_total"], 4, "{detail:#}");
    let times: Vec<_> = detail["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a > b), "newest first: {times:?}");
}

#[test]
fn filters_sorting_and_pages_agree_with_the_whole() {
    let mut d = delivered();
    let all = d.get("&sort=trail&dir=asc");
    let total = rows(&all).len();
    assert!(total > 20, "{total}");

    // A page is a stretch of the whole.
    let ids = texts(&all, "id");
    for offset in [0, 7, total - 3, total] {
        let path = format!(
            "/api/v1/threats?day={}&sort=trail&dir=asc&limit=7&offset={offset}",
            d.day
        );
        let page = d.client.get(&path).json();
        let end = total.min(offset + 7);
        assert_eq!(texts(&page, "id"), ids[offset..end], "from {offset}");
        assert_eq!(page["total"], total);
    }

    // Severity first: high before medium before low.
    let by_risk = d.get("");
    let rank = |s: &str| {
        ["high", "medium", "low"]
            .iter()
            .position(|known| *known == s)
    };
    let ranks: Vec<_> = texts(&by_risk, "severity").into_iter().map(rank).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let by_severity = d.get("&sort=severity&dir=asc");
    let ranks: Vec<_> = texts(&by_severity, "severity")
        .into_iter()
        .map(rank)
        .collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b), "{ranks:?}");
    let by_count = d.get("&sort=count&dir=desc");
    let counts: Vec<_> = rows(&by_count)
        .iter()
        .map(|row| row["count"].as_u64())
        .collect();
    assert!(
        counts.is_sorted_by(|a, b| a >= b) && counts[0] >= Some(4),
        "{counts:?}"
    );

    // A filter keeps what it says and nothing else, and totals follow.
    for (q, keeps) in [
        (
            "type:iport",
            (|row: &Value| row["type"] == "IPORT") as fn(&Value) -> bool,
        ),
        ("sev:low", |row| row["severity"] == "low"),
        ("duckdns", |row| {
            row["trail"].as_str().unwrap().contains("duckdns")
        }),
        ("-type:dns%20sev:high", |row| {
            row["type"] != "DNS" && row["severity"] == "high"
        }),
        ("src:10.20.40.0/24", |row| {
            row["src"]["values"][0]
                .as_str()
                .unwrap()
                .starts_with("10.20.40.")
        }),
        ("nothing-like-this", |_| false),
    ] {
        let some = d.get(&format!("&q={q}&sort=trail&dir=asc"));
        let wanted: Vec<_> = rows(&all)
            .into_iter()
            .filter(|row| keeps(row))
            .map(|row| row["id"].as_str().unwrap())
            .collect();
        assert_eq!(texts(&some, "id"), wanted, "{q}");
        assert_eq!(
            (&some["total"], &some["all"]),
            (&json!(wanted.len()), &all["all"]),
            "{q}"
        );
    }
    // Pills keep saying what the other severities would give.
    let high = d.get("&sev=high");
    assert_eq!(high["severity"], all["severity"]);
    assert_eq!(high["total"], all["severity"]["high"]);

    let path = d.threats("&q=sev:(high");
    let bad = d.client.get(&path);
    assert_eq!(
        (bad.status, &bad.json()["code"]),
        (400, &json!("query")),
        "{bad:?}"
    );
    assert!(bad.json()["position"].is_u64(), "{bad:?}");
}

#[test]
fn threats_survive_a_restart_and_a_kill() {
    let mut d = delivered();
    let before = d.get("&sort=trail");
    let _ = d.house.stop_server().expect_success();
    d.start_again();
    let after = d.get("&sort=trail");
    assert_eq!(after["threats"], before["threats"]);

    d.house.send([Sighting::default().datagram()]);
    let path = format!("/api/v1/threats?day={}", today());
    let one = |value: &Value| value["events"] == 1;
    wait_for(&mut d.client, &path, "the new event", one);
    d.house.kill_server();
    d.start_again();
    wait_for(&mut d.client, &path, "the stored event", one);
    let again = d.get("");
    assert_eq!(again["events"], d.events);
}

/// The index is a copy: when it is lost or damaged, the server reads the day files again.
#[test]
fn a_lost_or_damaged_index_is_made_anew() {
    let mut d = delivered();
    let before = d.get("&sort=trail");
    let index = d.house.log_dir().join("index");
    let remove = |_: &str| std::fs::remove_dir_all(&index).expect("LOG_DIR/index");
    let garble = |day: &str| {
        let path = index.join(format!("{day}.sqlite"));
        let length = std::fs::metadata(&path).expect("an index of the day").len();
        std::fs::write(&path, vec![0x5a; length as usize]).expect("a writable index");
    };
    for (what, damage) in [("lost", &remove as &dyn Fn(&str)), ("garbled", &garble)] {
        let _ = d.house.stop_server().expect_success();
        damage(&d.day);
        d.start_again();
        let path = d.threats("&sort=trail");
        let after = wait_for(&mut d.client, &path, "the old total", |value| {
            value["events"] == before["events"]
        });
        assert_eq!(after["threats"], before["threats"], "{what}");
    }
}

/// Datagrams that are no events are counted; the good ones between them are all kept.
#[test]
fn hostile_datagrams_cost_nothing_but_a_count() {
    let mut house = TestHouse::new();
    house.start_server(KEEP);
    let mut client = house.signed_in();
    let long = "x".repeat(60_000);
    let good = |n: u32| Sighting {
        micros: n,
        ..Sighting::default()
    };
    let mut sent = 0;
    let mut bad = 0;
    for round in 0..20u32 {
        let sighting = good(round + 1);
        let line = sighting.datagram();
        let datagrams: Vec<Vec<u8>> = vec![
            Vec::new(),
            vec![0; 64],
            vec![0xff; 1400],
            b"not an event\n".to_vec(),
            b"99999999999999999999 \"2026-11-23 09:14:00.000001\" s 1.2.3.4 1 1.2.3.4 1 UDP DNS t i r\n".to_vec(),
            line.as_bytes()[..line.len() / 2].to_vec(),
            line.replace(" DNS ", " dns ").into_bytes(),
            line.replace("evil.example", &long).into_bytes(),
            line.replace("\" office", "\" off\u{1b}[31mice\r\nforged").into_bytes(),
            line.into_bytes(),
        ];
        bad += datagrams.len() as u64 - 1;
        sent += 1;
        house.send(&datagrams);
        // Small pauses: this is about hostile bytes, not about a burst.
        std::thread::sleep(Duration::from_millis(5));
    }
    let path = format!("/api/v1/threats?day={}&q=trail:evil.example", today());
    wait_for(&mut client, &path, "the good events", |value| {
        value["events"].as_u64() >= Some(sent)
    });
    let health = client.get("/api/v1/health").json();
    let count = |name: &str| {
        health["intake"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {health:#}"))
    };
    assert_eq!(count("received"), sent + bad, "{health:#}");
    assert_eq!(
        count("stored") + count("rejected") + count("duplicates"),
        sent + bad,
        "{health:#}"
    );
    assert!(
        count("stored") >= sent && count("rejected") >= sent * 5,
        "{health:#}"
    );
    let stored = house.day_file(&format!("{}.log", today()));
    assert_eq!(stored.lines().count() as u64, count("stored"));
    assert!(stored.lines().all(|line| line.starts_with('"')), "{stored}");
    let _ = house.stop_server().expect_success();
}

/// The same event twice is one event.
#[test]
fn an_event_that_arrives_twice_is_stored_once() {
    let mut house = TestHouse::new();
    house.start_server(KEEP);
    let mut client = house.signed_in();
    let line = Sighting::default().datagram();
    house.send([&line, &line, &line]);
    wait_for(&mut client, "/api/v1/health", "two duplicates", |value| {
        value["intake"]["duplicates"] == 2 && value["intake"]["stored"] == 1
    });
    let text = house.day_file(&format!("{}.log", today()));
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn strangers_get_nothing() {
    let mut house = TestHouse::new();
    house.start_server(&[]);
    let mut client = house.client();
    let body = |password: &str| json!({"username": "admin", "password": password});
    let wrong = client.post("/api/v1/login", &body("wrong"));
    assert_eq!(
        (wrong.status, &wrong.json()["code"]),
        (401, &json!("denied")),
        "{wrong:?}"
    );
    let unknown = client.post(
        "/api/v1/login",
        &json!({"username": "nobody", "password": "admin"}),
    );
    assert_eq!(unknown.status, 401);
    assert_eq!(
        unknown.body, wrong.body,
        "an unknown name is answered like a wrong password"
    );
    for path in [
        "/api/v1/threats",
        "/api/v1/days",
        "/api/v1/health",
        "/api/v1/stream",
        "/events",
    ] {
        assert_eq!(client.get(path).status, 401, "{path}");
    }
    // The shipped password opens nothing but the form for a new one.
    let changed = client.post("/api/v1/login", &body("admin"));
    assert_eq!(
        (changed.status, &changed.json()["state"]),
        (200, &json!("change"))
    );
    let early = client.get("/api/v1/threats");
    assert_eq!(
        (early.status, &early.json()["code"]),
        (403, &json!("must_change"))
    );
    let new = |text: &str| json!({"current": "admin", "new": text});
    assert_eq!(client.post("/api/v1/password", &new("short")).status, 400);
    let done = client.post("/api/v1/password", &new("a-longer-one-7"));
    assert_eq!(
        (done.status, &done.json()["state"]),
        (200, &json!("open")),
        "{done:?}"
    );
    assert_eq!(client.get("/api/v1/threats").status, 200);
    assert_eq!(client.post("/api/v1/logout", &json!({})).status, 204);
    assert_eq!(client.get("/api/v1/threats").status, 401);

    // It holds after a restart, and the old one does not.
    let _ = house.stop_server().expect_success();
    house.start_server(&[]);
    let mut client = house.client();
    assert_eq!(client.post("/api/v1/login", &body("admin")).status, 401);
    assert_eq!(
        client.post("/api/v1/login", &body("a-longer-one-7")).status,
        200
    );
}

/// What a browser needs to be told, on every kind of answer.
#[test]
fn every_answer_has_its_security_headers() {
    let mut house = TestHouse::new();
    house.start_server(&[]);
    let mut client = house.client();
    for path in [
        "/",
        "/js/main.js",
        "/ping",
        "/api/v1/session",
        "/api/v1/threats",
        "/no/such/page",
    ] {
        let answer = client.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: no `{rule}` in `{policy}`");
        }
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
    let page = client.get("/");
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    for path in [
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2fmaltrail.conf",
        "//etc/passwd",
    ] {
        assert_ne!(client.get(path).status, 200, "{path}");
    }
}

/// What a line cannot say arrives as well when the sensor sends objects.
#[test]
fn objects_bring_reasons_to_the_server() {
    let mut house = TestHouse::new();
    let (day, start) = yesterday_at(9, 14);
    let capture = house.write("story.pcap", Sample::build_at(start).pcap());
    let intake = house.intake().to_string();
    house.set("LOG_SERVER", &intake);
    house.set("LOG_SERVER_FORMAT", "json");
    house.set("DISABLE_LOCAL_LOG_STORAGE", "true");
    house.start_server(KEEP);
    let _ = house.replay(&capture);
    let mut client = house.signed_in();
    wait_for(
        &mut client,
        &format!("/api/v1/threats?day={day}"),
        "events",
        |value| value["events"].as_u64() > Some(40),
    );
    let lines = house.day_file(&format!("{day}.log"));
    let objects = house.day_file(&format!("{day}.json"));
    assert_eq!(lines.lines().count(), objects.lines().count());
    for object in objects.lines() {
        let object: Value = serde_json::from_str(object).expect("an object");
        assert!(
            !object["reasons"].as_array().expect("reasons").is_empty(),
            "{object}"
        );
        assert!(
            object["id"].is_string() && object["line"].is_null(),
            "{object}"
        );
    }
}
