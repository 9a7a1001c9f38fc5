//! Recorded request/response pairs of the reference that scripts depend on (fixture F1).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use support::fixture::{PASSWORD, finish, fixture};
use support::{Client, TestServer, sha256, today};

fn first_columns(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            line.split(' ')
                .skip(1)
                .step_by(1)
                .take(3)
                .collect::<Vec<_>>()[1..]
                .join(" ")
        })
        .collect()
}

#[test]
fn ping_whoami_login_logout() {
    let server = fixture();
    let mut client = server.client();
    let ping = client.get("/ping"); // E01
    assert_eq!((ping.status, ping.text().as_str()), (200, "pong"));
    assert!(
        ping.header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(client.get("/whoami").text(), "", "E24");
    let hash = |nonce: &str| sha256(&format!("{}{nonce}", sha256(PASSWORD)));
    let form = format!(
        "username=admin&hash={}&nonce=AAAAAAAAAAA1",
        hash("AAAAAAAAAAA1")
    );
    let login = client.post_form("/login", &form); // E25
    assert_eq!(
        (login.status, login.text().as_str()),
        (200, "Login success")
    );
    let cookie = login.header("set-cookie").unwrap().to_owned();
    for part in ["maltrail_sessid=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let replay = client.post_form("/login", &form); // E26
    assert_eq!(
        (replay.status, replay.text().as_str()),
        (401, "Login failed")
    );
    client.keep_cookie(&login);
    assert_eq!(client.get("/whoami").text(), "admin", "E33");
    let mut among = client.clone();
    among.cookie = Some(format!(
        "theme=dark; {}; x=y",
        client.cookie.clone().unwrap()
    )); // E34
    assert_eq!(among.get("/whoami").text(), "admin");
    let logout = client.get("/logout"); // E36
    assert_eq!((logout.status, logout.header("location")), (302, Some("/")));
    assert!(logout.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(client.get("/whoami").text(), "", "E37");
    assert_eq!(server.client().get("/logout").status, 302, "E38");
    for (name, body) in [
        ("E30", "username=admin".to_owned()),
        (
            "E28",
            "username=nobody&hash=00&nonce=AAAAAAAAAAA3".to_owned(),
        ),
        (
            "E31",
            format!("username=admin&hash={}&nonce=n5", hash("n5").to_uppercase()),
        ),
    ] {
        let answer = server.client().post_form("/login", &body);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (401, "Login failed"),
            "{name}"
        );
    }
    let get = server.client().get(&format!(
        "/login?username=admin&hash={}&nonce=n4",
        hash("n4")
    )); // E29, not ours
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    finish(server);
}

#[test]
fn guesses_are_slowed_down_and_odd_names_do_no_harm() {
    let server = fixture();
    let names = [
        "adm%0d%0aAccepted password for root",
        ";`id>pwned`",
        "a%2526hash=zz",
        "%ff%fe",
        "x",
    ]; // E41-E44
    for name in names {
        let answer = server
            .client()
            .post_form("/login", &format!("username={name}&password=1"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (401, "Login failed"),
            "{name}"
        );
    }
    let right = server
        .client()
        .post_form("/login", "username=admin&password=correct horse"); // E39
    assert_eq!(right.status, 401);
    std::thread::sleep(std::time::Duration::from_millis(2100)); // E40
    let right = server
        .client()
        .post_form("/login", "username=admin&password=correct horse");
    assert_eq!(
        (right.status, right.text().as_str()),
        (200, "Login success")
    );
    finish(server);
}

#[test]
fn events_whole_and_in_parts() {
    let server = fixture();
    assert_eq!(
        server.client().get("/events?date=2026-11-21").status,
        401,
        "E45"
    );
    let mut stranger = server.client();
    stranger.cookie = Some("maltrail_sessid=391bb960f5053f33022f1938d7adbc0c".into());
    assert_eq!(stranger.get("/events?date=2026-11-21").status, 401, "E35");
    let admin = server.signed_in("admin", PASSWORD);
    let whole = admin.get(&format!("/events?date={}", today())); // E46
    assert_eq!((whole.status, whole.body.len()), (200, 872));
    assert!(
        whole
            .text()
            .contains("x<!version!>y <script>alert(1)</script>"),
        "E84: nothing is expanded"
    );
    let ask = |range: &str| {
        let answer = admin.get_with("/events?date=2026-11-21", &[("Range", range)]);
        (
            answer.status,
            answer
                .header("content-range")
                .unwrap_or_default()
                .to_owned(),
            answer.text(),
        )
    };
    let part = |range: &str, content: &str, text: &str| {
        assert_eq!(
            ask(range),
            (206, content.to_owned(), text.to_owned()),
            "{range}"
        );
    };
    part(
        "bytes=0-27",
        "bytes 0-27/119",
        "\"2026-11-21 23:59:59.999999\"",
    ); // E48
    part("bytes=-9", "bytes 110-118/119", "(static)\n"); // E50
    part("bytes=119-2147483647", "bytes 119-118/119", ""); // E53
    part("bytes=0-4,10-14", "bytes 0-4/119", "\"2026"); // E57
    assert_eq!(ask("bytes=29-").1, "bytes 29-118/119", "E49");
    for range in ["bytes=-0", "bytes=119-", "bytes=500-600", "bytes=50-10"] {
        assert_eq!(
            ask(range),
            (416, "bytes */119".into(), String::new()),
            "{range}"
        ); // E51 E52 E54 E55
    }
    for range in ["bytes=abc-xyz", "lines=0-4"] {
        let (status, _, text) = ask(range); // E56 E58
        assert_eq!((status, text.len()), (200, 119));
    }
    let span = admin.get_with(
        "/events?date=2026-11-20_2026-11-21",
        &[("Range", "bytes=1100-1200")],
    ); // E61
    assert_eq!(span.header("content-range"), Some("bytes 1100-1200/1289"));
    assert_eq!(
        span.text(),
        "4000 93.184.216.34 443 TCP IP 93.184.216.34 \"badnet (dummy)\" (static)\n\"2026-11-21 23:59:59.999999\" se"
    );
    assert_eq!(
        admin.get("/events?date=2026-11-20_2026-11-21").body.len(),
        1289,
        "E60"
    );
    assert_eq!(
        admin.get("/events?date=2026-11-21_2026-11-20").body.len(),
        0,
        "E62"
    );
    let none = admin.get_with("/events?date=2001-01-01", &[("Range", "bytes=0-")]); // E63 E64
    assert_eq!(
        (none.status, none.header("content-range"), none.body.len()),
        (200, Some("bytes 0-0/0"), 0)
    );
    for bad in [
        "",
        "?date=../../../etc/passwd",
        "?date=zzzz",
        "?date=2026-13-01",
        "?date=0001-01-01_9999-12-31",
    ] {
        assert_eq!(
            admin.get(&format!("/events{bad}")).status,
            400,
            "E65-E68, ours: {bad}"
        );
    }
    assert_eq!(admin.get("/events?date=2026-11-1").status, 200, "E69");
    assert_eq!(
        admin
            .get("/events?date=2026-11-20&date=2026-11-21")
            .body
            .len(),
        119,
        "E70"
    );
    assert_eq!(
        admin.post_form("/events", "date=2026-11-21").body.len(),
        119,
        "E71"
    );
    let head = admin.request("HEAD", "/events?date=2026-11-21", &[], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("119"))
    );
    // E83: stateless.
    let _ = admin.get_with("/events?date=2026-11-20", &[("Range", "bytes=0-99")]);
    assert!(
        ask("bytes=1-60")
            .2
            .starts_with("2026-11-21 23:59:59.999999\" sensor-a 172.16.3.3")
    );
    finish(server);
}

#[test]
fn restricted_users_see_their_lines() {
    let server = fixture();
    let today = today();
    let see = |name: &str| {
        server
            .signed_in(name, PASSWORD)
            .get(&format!("/events?date={today}"))
            .text()
    };
    let analyst = see("analyst"); // E72
    assert_eq!(
        first_columns(&analyst)
            .iter()
            .map(|columns| columns.split(' ').nth(1).unwrap())
            .collect::<Vec<_>>(),
        [
            "10.0.0.5",
            "10.0.0.6",
            "10.0.0.8",
            "10.0.0.9",
            "10.9.0.7,10.0.0.5",
            "10.0.0.5"
        ],
        "every visible member of a list stays"
    );
    assert!(analyst.contains("5.5.5.5 - (custom)") && !analyst.contains("supersecretname"));
    assert_eq!(see("range").lines().count(), 3, "E73");
    let exact = see("exact"); // E74
    assert_eq!(exact.lines().count(), 3);
    assert!(exact.contains(" 10.0.0.5 22,23,80 9.9.9.9 ") && !exact.contains("10.9.0.7"));
    let loose = see("loose"); // E75
    assert!(loose.contains("supersecretname") && loose.lines().count() == 6);
    assert_eq!(see("v6net"), "", "E78");
    assert_eq!(see("two").lines().count(), 2, "E79");
    let masked = see("masked"); // E80
    assert!(masked.lines().count() == 7 && masked.contains("5.5.5.5 - (custom)"));
    finish(server);
}

#[test]
fn restricted_ranges_mean_the_raw_file() {
    let server = fixture();
    let analyst = server.signed_in("analyst", PASSWORD);
    let path = format!("/events?date={}", today());
    let all = analyst.get(&path);
    assert_eq!(all.header("x-maltrail-next"), Some("872"));
    let (mut at, mut joined) = (0, String::new());
    while at < 872 {
        let part = analyst.get_with(&path, &[("Range", &format!("bytes={at}-{}", at + 99))]);
        assert_eq!(part.status, 200);
        joined += &part.text();
        let next: u64 = part.header("x-maltrail-next").unwrap().parse().unwrap();
        assert!(next > at, "always forward");
        at = next;
    }
    assert_eq!(joined, all.text());
    finish(server);
}

#[test]
fn restricted_users_get_their_own_threats_everywhere() {
    let server = fixture();
    let ask = |client: &Client, path: &str| client.get(path).json();
    let exact = server.signed_in("exact", PASSWORD);
    let admin = server.signed_in("admin", PASSWORD);
    let threats = ask(&exact, "/api/v1/threats?include=facets");
    assert_eq!(
        (&threats["total"], &threats["all"]["events"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(ask(&admin, "/api/v1/threats")["total"], json!(7));
    assert!(
        !threats.to_string().contains("10.9.0.7") && !threats.to_string().contains("66.66.66.66")
    );
    assert_eq!(
        ask(&exact, "/api/v1/threats?q=src:10.0.0.6")["total"],
        json!(0)
    );
    for row in threats["threats"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        let detail = ask(&exact, &format!("/api/v1/threats/{id}"));
        assert_eq!(
            detail["events"].as_array().unwrap().len() as u64,
            row["count"].as_u64().unwrap()
        );
        assert_eq!(detail["threat"]["id"], row["id"]);
        assert!(!detail.to_string().contains("10.9.0.7"));
    }
    let hidden = ask(&admin, "/api/v1/threats?q=mass")["threats"][0]["id"].clone();
    assert_eq!(
        exact
            .get(&format!("/api/v1/threats/{}", hidden.as_str().unwrap()))
            .status,
        404
    );
    let masked = server.signed_in("masked", PASSWORD);
    assert_eq!(
        ask(&masked, "/api/v1/threats?q=supersecretname")["total"],
        json!(0),
        "E105"
    );
    assert_eq!(
        ask(&admin, "/api/v1/threats?q=supersecretname")["total"],
        json!(1)
    );
    let custom = ask(&masked, "/api/v1/threats?q=src:10.0.0.8");
    let id = custom["threats"][0]["id"].as_str().unwrap().to_owned();
    let detail = ask(&masked, &format!("/api/v1/threats/{id}"));
    assert_eq!(detail["events"].as_array().unwrap().len(), 1);
    assert!(!detail.to_string().contains("supersecretname"));
    let days = ask(&exact, "/api/v1/days?from=2026-11-20&to=2026-11-21");
    assert_eq!(
        days,
        json!({"days": [{"day": "2026-11-20", "events": 1}, {"day": "2026-11-21", "events": 0}]})
    );
    let days = ask(&admin, "/api/v1/days?from=2026-11-20&to=2026-11-21");
    assert_eq!(
        days,
        json!({"days": [{"day": "2026-11-20", "events": 10}, {"day": "2026-11-21", "events": 1}]})
    );
    assert_eq!(
        ask(&exact, "/api/v1/session")["restricted"],
        json!(["10.0.0.5/32"])
    );
    assert_eq!(exact.get("/api/v1/health").json()["log_dir"], json!(null));
    finish(server);
}

#[test]
fn without_users_this_machine_may_read() {
    let server = TestServer::start("");
    let client = server.client();
    assert_eq!(client.get("/whoami").text(), "?", "E164");
    assert_eq!(client.get("/events?date=2026-11-21").status, 200, "E165");
    assert_eq!(
        client
            .post_form("/login", "username=admin&password=1")
            .status,
        401,
        "E166"
    );
    assert_eq!(
        client.get("/api/v1/session").json()["state"],
        json!("anonymous")
    );
    let forwarded = client.get_with("/api/v1/threats", &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(
        forwarded.status, 401,
        "a proxy on this machine is not this machine"
    );
}
