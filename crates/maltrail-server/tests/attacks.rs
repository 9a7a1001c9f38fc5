//! Hostile requests at every endpoint: nothing is injected, nothing outside is read, nobody else waits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::fixture::{PASSWORD, finish, fixture};
use support::{Client, TestServer, today};

/// Endpoints with a parameter of free text.
const QUERIES: [&str; 20] = [
    "/events?date=",
    "/live?date=",
    "/live?date=2026-11-21&pos=",
    "/counts?from=",
    "/counts?to=",
    "/geo?date=",
    "/hunt?q=",
    "/hunt?q=evil&from=",
    "/meta?observable=",
    "/reference?trail=",
    "/check_ip?address=",
    "/ripe?address=",
    "/ripe?address=8.8.8.8&kind=",
    "/check?q=",
    "/check?query=",
    "/meta?observable=evil.com&callback=",
    "/api/v1/threats?q=",
    "/api/v1/threats?day=",
    "/api/v1/days?from=",
    "/blacklist/",
];

/// Values as they stand in a URL.
fn hostile_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "x%0d%0aSet-Cookie:%20maltrail_sessid=forged%0d%0a%0d%0a<html>",
        "x%0aX-Forged:%20yes",
        "x%0dX-Forged:%20yes",
        "%E5%98%8A%E5%98%8DX-Forged:%20yes",
        "..%2f..%2f..%2fetc%2fpasswd",
        "../../../etc/passwd",
        "..%5c..%5cstate.sqlite",
        "%2e%2e%2fstate.sqlite",
        "%252e%252e%252fstate.sqlite",
        "..%c0%af..%c0%afetc/passwd",
        "/etc/passwd%00.log",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "http://169.254.169.254/latest/meta-data/",
        "8.8.8.8@127.0.0.1",
        "8.8.8.8%2f..%2f..",
        "8.8.8.8%23",
        "8.8.8.8%00",
        "%00",
        "%ff%fe",
        "%",
        "%zz",
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "\"onload=\"alert(1)",
        "'%20OR%20'1'='1",
        "'%3B%20DROP%20TABLE%20observables%3B--",
        "%3B%60id%60",
        "$(id)",
        "%7B%7B7*7%7D%7D",
        "%3C!version!%3E",
        "(((((((((((((((((((((((((((((((((",
        "(a%2B)%2B$",
        "=cmd%7C'%20/C%20calc'!A0",
        "0001-01-01_9999-12-31",
        "9999-99-99",
        "-1",
        "99999999999999999999999999",
        "%F0%9F%92%A9",
        "%E2%80%AE",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push("a".repeat(8000));
    values.push("%41".repeat(2000));
    values.push("(".repeat(4000));
    values
}

/// Marks of files that no answer may hold: the system's accounts, this server's state and configuration.
const SECRETS: [&str; 4] = ["root:x:0", "SQLite format 3", "USERS", "argon2id"];

#[test]
fn no_parameter_injects_reads_files_or_fails_inside() {
    let server = fixture();
    let admin = server.signed_in("admin", PASSWORD);
    let masked = server.signed_in("masked", PASSWORD);
    for query in QUERIES {
        for (n, value) in hostile_values().into_iter().enumerate() {
            // Both askers meet each endpoint, with every other value.
            for client in [if n % 2 == 0 { &admin } else { &masked }] {
                let target = format!("{query}{value}");
                if query.starts_with("/live?date=2026-11-21&pos=") {
                    // A stream opens whatever the position is; its head is what can be forged.
                    let (status, headers) =
                        support::read_head(&mut client.open("GET", &target, &[], b""));
                    assert!(status < 500, "{target}");
                    assert!(
                        headers.iter().all(|(name, _)| is_known(name)),
                        "{target}: {headers:?}"
                    );
                    continue;
                }
                let answer = client.get(&target);
                let configuration = query == "/blacklist/" && answer.status == 503;
                assert!(
                    answer.status < 500 || configuration,
                    "{target}: {}",
                    answer.status
                );
                assert!(
                    answer.headers.iter().all(|(name, _)| is_known(name)),
                    "{target}: {:?}",
                    answer.headers
                );
                let kind = answer.header("content-type").unwrap_or("none");
                assert!(!kind.contains("html"), "{target}: {kind}");
                let text = answer.text();
                assert!(
                    SECRETS.iter().all(|secret| !text.contains(secret)),
                    "{target}: {text}"
                );
            }
        }
    }
    assert_eq!(admin.get("/ping").text(), "pong");
    finish(server);
}

/// Headers that answers have.
fn is_known(name: &str) -> bool {
    const KNOWN: &str = "content-type content-length content-range accept-ranges cache-control \
        content-security-policy x-content-type-options referrer-policy x-frame-options \
        cross-origin-resource-policy cross-origin-opener-policy date connection transfer-encoding \
        x-maltrail-next x-accel-buffering retry-after etag vary allow";
    KNOWN.split_whitespace().any(|known| known == name)
}

#[test]
fn no_path_leads_outside() {
    let server = fixture();
    // What must not be found lies beside and above what is served.
    std::fs::write(server.log_dir.join("secret.txt"), "secret-content").unwrap();
    let admin = server.signed_in("admin", PASSWORD);
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        "..%2f",
        "..%5c",
        "....//",
        "%252e%252e",
        "..;",
        ".%00.",
    ];
    let names = [
        "secret.txt",
        "test.conf",
        "state.sqlite",
        "trails.csv",
        "etc/passwd",
        "Cargo.toml",
    ];
    for up in ups {
        for name in names {
            for prefix in [
                "/",
                "/js/",
                "/blacklist/",
                "/events/",
                "/trails/",
                "/api/v1/threats/",
            ] {
                for depth in [1, 3, 8] {
                    let target = format!("{prefix}{}{name}", format!("{up}/").repeat(depth));
                    let answer = admin.get(&target);
                    assert!(
                        matches!(answer.status, 400 | 404 | 503),
                        "{target}: {}",
                        answer.status
                    );
                    let text = answer.text();
                    assert!(
                        !text.contains("secret-content") && !text.contains("root:x:0"),
                        "{target}"
                    );
                    assert!(
                        !text.contains("[package]") && !text.contains("HTTP_PORT"),
                        "{target}"
                    );
                }
            }
        }
    }
    finish(server);
}

/// Sends bytes and reads what comes back within a second or two.
fn exchange(server: &TestServer, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    // A server that has closed already makes the rest of the request fail; that is an answer, too.
    let _ = stream.write_all(request);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    answer
}

fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let lines = text.lines().filter_map(|line| line.strip_prefix("HTTP/1."));
    lines
        .filter_map(|line| line.get(2..5)?.parse().ok())
        .collect()
}

#[test]
fn malformed_and_oversized_requests_end_at_once_and_smuggle_nothing() {
    let server = fixture();
    let line = |text: &str| format!("{text}\r\nHost: x\r\nConnection: close\r\n\r\n");
    let get = "GET /ping HTTP/1.1\r\nHost: x\r\n";
    let refused: Vec<Vec<u8>> = [
        line("GET /ping"),
        line("GET  /ping HTTP/1.1"),
        line("GET /ping HTTP/9.9"),
        line("G\0T /ping HTTP/1.1"),
        line(&format!("GET /{} HTTP/1.1", "a".repeat(500_000))),
        format!("{get}X: {}\r\n\r\n", "a".repeat(500_000)),
        format!("{get}{}\r\n", "X: y\r\n".repeat(5000)),
        format!("{get}X y\r\n\r\n"),
        format!("{get} folded: x\r\n\r\n"),
        format!("{get}X\0: y\r\n\r\n"),
        "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
            .into(),
        "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n".into(),
        "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n".into(),
        "POST /ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n".into(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".into(),
        "SSH-2.0-x\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
    ]
    .map(String::into_bytes)
    .to_vec();
    for request in refused {
        let answer = exchange(&server, &request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let statuses = statuses(&answer);
        assert!(
            statuses.is_empty() || (statuses.len() == 1 && (400..=505).contains(&statuses[0])),
            "{shown}: {statuses:?}"
        );
    }
    // Both lengths: whatever is believed, the second request inside the body is not answered as another.
    let smuggled = "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/session HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = exchange(&server, smuggled.as_bytes());
    let text = String::from_utf8_lossy(&answer);
    let closed = statuses(&answer).len() <= 1 && !text.contains("shipped_account");
    assert!(closed, "{text}");
    assert_eq!(server.client().get("/ping").text(), "pong");
    finish(server);
}

#[test]
fn many_parameters_and_ranges_are_bounded() {
    let server = fixture();
    let admin = server.signed_in("admin", PASSWORD);
    let many = "x=y&".repeat(10_000);
    let answer = admin.get(&format!("/check?{}q=evil.com", &many[..20_000]));
    assert_eq!(
        answer.status, 200,
        "what stands behind too many parameters is not read"
    );
    assert_eq!(answer.json()["query"], "");
    let form = format!("{many}date=2026-11-21");
    assert_eq!(admin.post_form("/events", &form).status, 400);
    let ranges = format!("bytes={}0-1", "0-1,".repeat(5000));
    let answer = admin.get_with("/events?date=2026-11-21", &[("Range", &ranges)]);
    assert_eq!(
        (answer.status, answer.body.len()),
        (206, 2),
        "one range, not five thousand"
    );
    finish(server);
}

/// Opens `count` connections that send a part of a request, or all of one and read nothing, and measures
/// what others wait meanwhile.
fn slow_clients(count: usize) {
    let server = fixture();
    let admin = server.signed_in("admin", PASSWORD);
    let target = format!("/api/v1/threats?day={}", today());
    assert_eq!(admin.get(&target).status, 200);
    let mut slow: Vec<TcpStream> = Vec::new();
    for n in 0..count {
        let mut stream = TcpStream::connect(server.http).unwrap();
        let start: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /ping HTTP/1.1\r\nHost: x\r\nX-",
            _ => b"POST /login HTTP/1.1\r\n",
        };
        stream.write_all(start).unwrap();
        slow.push(stream);
    }
    let mut waits: Vec<Duration> = Vec::new();
    for n in 0..200 {
        // They go on dripping.
        for stream in slow.iter_mut().skip(n % 50).step_by(50) {
            let _ = stream.write_all(b"a");
        }
        let started = Instant::now();
        let path = ["/ping", target.as_str(), "/whoami", "/counts"][n % 4];
        assert_eq!(admin.get(path).status, 200, "{path}");
        waits.push(started.elapsed());
    }
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    assert!(
        p99 < Duration::from_millis(200),
        "p99 {p99:?} with {count} slow clients"
    );
    drop(slow);
    finish(server);
}

#[test]
fn slow_clients_hold_up_nobody() {
    slow_clients(200);
}

#[test]
#[ignore = "takes minutes"]
fn five_thousand_slow_clients_hold_up_nobody() {
    // Both ends of each connection are in this process.
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    slow_clients(5000);
}

#[test]
fn readers_that_never_read_have_a_bounded_number_of_places() {
    let server = fixture();
    // More than the buffers of a connection hold.
    let rows: String = (0..200_000)
        .map(|n: u64| {
            format!(
                "name{}.example,label,(static)\n",
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
        })
        .collect();
    let new = server.log_dir.join("new");
    std::fs::write(&new, &rows).unwrap();
    std::fs::rename(&new, server.log_dir.join("trails.csv")).unwrap();
    let client: Client = server.client();
    let prepared = || {
        let head = client.request("HEAD", "/trails", &[], b"");
        head.header("content-length") == Some(rows.len().to_string().as_str())
    };
    // Unoptimised and beside other tests it takes a while.
    let started = Instant::now();
    while !prepared() {
        assert!(started.elapsed() < Duration::from_secs(90), "the large set");
        std::thread::sleep(Duration::from_millis(200));
    }
    let take = || {
        let mut stream = client.open("GET", "/trails", &[], b"");
        (support::read_head(&mut stream).0, stream)
    };
    let mut held = Vec::new();
    let refused = (0..40).map(|_| take()).find(|(status, stream)| {
        held.push(stream.get_ref().try_clone().unwrap());
        *status != 200
    });
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    assert_eq!(held.len(), 33);
    assert_eq!(client.get("/ping").text(), "pong");
    for stream in held {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    support::wait("a place", || client.get("/trails").status == 200);
    finish(server);
}
