//! HTTP: the tables of verified examples, and rules that they do not show.

use crate::net::{self, C, Setup, at, check, check_setup, feed, segment};
use crate::vectors::{expected, rows, setup};

/// The server of the examples, as it is reached over HTTP.
const WEB: &str = "203.0.113.7:80";

/// PSH and ACK.
const DATA: u8 = 0x18;

/// Payload text with its escapes undone.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(first) = rest.next() {
        out.push(match first {
            b'\\' => match rest.next() {
                Some(b'\\') => b'\\',
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                other => panic!("escape {other:?} in {text}"),
            },
            plain => plain,
        });
    }
    out
}

fn found(setup: &Setup, src: &str, dst: &str, payload: &[u8]) -> Vec<String> {
    let frame = segment(src, dst, DATA, payload);
    setup.feed(&[(at(0), frame)])
}

#[test]
fn requests() {
    for row in rows::<9>(include_str!("../data/http_request.tsv"), 101) {
        let [id, config, trails, src, dst, port, payload, wanted, basis] = row;
        let (src, dst) = (format!("{src}:40000"), format!("{dst}:{port}"));
        let lines = found(&setup(trails, config), &src, &dst, &bytes(payload));
        assert_eq!(lines, expected(wanted), "{id} ({basis})");
    }
}

#[test]
fn responses() {
    for row in rows::<5>(include_str!("../data/http_response.tsv"), 36) {
        let [id, config, payload, wanted, basis] = row;
        let lines = found(&setup("-", config), WEB, C, &bytes(payload));
        assert_eq!(lines, expected(wanted), "{id} ({basis})");
    }
}

/// Type and info of the only event, or `-`.
fn brief(payload: &[u8]) -> String {
    let mut events = Vec::new();
    let frame = segment(C, WEB, DATA, payload);
    let mut engine = Setup::new("").engine();
    engine.packet(net::ETHERNET, at(0), &frame, &mut events);
    match events.as_slice() {
        [] => "-".to_owned(),
        [event] => format!("{}|{}", event.kind, event.info),
        more => panic!("{more:?}"),
    }
}

#[test]
fn suspicious_requests() {
    for row in rows::<4>(include_str!("../data/suspicious_request.tsv"), 203) {
        let [place, payload, wanted, basis] = row;
        let payload = bytes(payload);
        let request = match place {
            "path" => [
                b"GET ",
                &payload[..],
                b" HTTP/1.1\r\nHost: site-a.com\r\n\r\n",
            ]
            .concat(),
            "body" => {
                let head = b"POST /p.php HTTP/1.1\r\nHost: site-a.com\r\n\r\n";
                [&head[..], &payload].concat()
            }
            _ => panic!("{place}"),
        };
        assert_eq!(brief(&request), wanted, "{place} {row:?} ({basis})");
    }
}

fn agent_request(agent: &[u8]) -> Vec<u8> {
    let head = b"GET /index.html HTTP/1.1\r\nHost: site-a.com\r\nUser-Agent: ";
    [&head[..], agent, b"\r\n\r\n"].concat()
}

#[test]
fn user_agents() {
    for row in rows::<3>(include_str!("../data/user_agent.tsv"), 88) {
        let [agent, wanted, basis] = row;
        let mut events = Vec::new();
        let frame = segment(C, WEB, DATA, &agent_request(&bytes(agent)));
        let mut engine = Setup::new("").engine();
        engine.packet(net::ETHERNET, at(0), &frame, &mut events);
        let trails: Vec<&str> = events.iter().map(|event| event.trail.as_str()).collect();
        let wanted: Vec<String> = expected(wanted);
        assert_eq!(trails, wanted, "{agent:?} ({basis})");
        assert!(events.iter().all(|event| event.kind.as_str() == "UA"));
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a.com\r\n\r\n").into_bytes()
}

#[test]
fn every_request_of_a_segment_counts() {
    let two = [get("/ok"), get("/bad")].concat();
    let packets = [(at(0), segment(C, WEB, DATA, &two))];
    check("a.com/bad,x,r\n", &packets, &["URL a.com/bad"]);
    let post = b"POST /form HTTP/1.1\r\nHost: a.com\r\nContent-Length: 3\r\n\r\nx=1";
    let two = [&post[..], &get("/bad")].concat();
    let packets = [(at(0), segment(C, WEB, DATA, &two))];
    check("a.com/bad,x,r\n", &packets, &["URL a.com/bad"]);
}

#[test]
fn requests_of_a_segment_are_bounded() {
    let mut many = Vec::new();
    for n in 0..40 {
        many.extend(format!("GET /{n}/bad HTTP/1.1\n\n").bytes());
    }
    let mut engine = Setup::new("/bad,x,r\n").engine();
    let lines = feed(&mut engine, &[(at(0), segment(C, WEB, DATA, &many))]);
    assert_eq!(lines.len(), 32);
    assert_eq!(engine.counters().http_requests_left, 1);
}

#[test]
fn lines_may_end_with_a_line_feed_alone() {
    let frame = segment(C, WEB, DATA, b"get /bad HTTP/1.0\nhost: a.com\n\n");
    check("a.com/bad,x,r\n", &[(at(0), frame)], &["URL a.com/bad"]);
}

#[test]
fn a_cut_head_says_nothing_about_its_host() {
    let setup = Setup::new("").with("CHECK_MISSING_HOST true");
    for (payload, wanted) in [
        (&b"GET /a HTTP/1.1\r\nAccept: x\r\n"[..], &[][..]),
        (b"GET /a HTTP/1.1\r\n\r\n", &["HTTP 203.0.113.7/a"]),
        (b"GET http://a.com/b HTTP/1.1\r\n\r\n", &[]),
        (b"PRI * HTTP/2.0\r\n\r\n", &[]),
    ] {
        check_setup(&setup, &[(at(0), segment(C, WEB, DATA, payload))], wanted);
    }
}

#[test]
fn a_host_in_the_target_is_checked_once() {
    let setup = Setup::new("a.com,x,r\n").with("CHECK_HOST_DOMAINS true");
    let both = b"GET http://a.com/b HTTP/1.1\r\nHost: a.com\r\n\r\n";
    check_setup(
        &setup,
        &[(at(0), segment(C, WEB, DATA, both))],
        &["DNS a.com"],
    );
    let front = b"GET http://a.com/b HTTP/1.1\r\nHost: b.com\r\n\r\n";
    check_setup(
        &setup,
        &[(at(0), segment(C, WEB, DATA, front))],
        &["DNS a.com"],
    );
}

#[test]
fn a_path_with_a_url_inside_stays_a_path() {
    let frame = segment(C, WEB, DATA, &get("/go?u=http://evil.com/x"));
    let off = Setup::new("evil.com,x,r\n").with("USE_HEURISTICS false");
    check_setup(&off, &[(at(0), frame)], &[]);
}

#[test]
fn control_characters_reach_no_event() {
    let frame = segment(
        C,
        WEB,
        DATA,
        b"GET /bad\0\x1b HTTP/1.1\r\nHost: a.com\r\n\r\n",
    );
    check(
        "/bad%00%1b,x,r\n",
        &[(at(0), frame.clone())],
        &["URL (a.com)/bad%00%1b"],
    );
    check("a.com/bad,x,r\n", &[(at(0), frame)], &[]);
    let agent = segment(C, WEB, DATA, &agent_request(b"sqlmap\x01\xff"));
    check("", &[(at(0), agent)], &["UA sqlmap(%01\u{fffd})"]);
}

#[test]
fn each_heuristic_can_be_left_out() {
    let request = |text: &str| segment(C, WEB, DATA, text.as_bytes());
    let answer = |text: &str| segment(WEB, C, DATA, text.as_bytes());
    for (name, frame) in [
        (
            "iot_download",
            request("GET /arm7 HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n"),
        ),
        ("missing_host", request("GET /a HTTP/1.1\r\n\r\n")),
        (
            "proxy_probe",
            request("GET http://a.com/check HTTP/1.1\r\nHost: a.com\r\n\r\n"),
        ),
        (
            "user_agent",
            segment(C, WEB, DATA, &agent_request(b"sqlmap")),
        ),
        (
            "suspicious_request",
            segment(C, WEB, DATA, &get("/?q=sleep(1)")),
        ),
        ("direct_download", segment(C, WEB, DATA, &get("/a.exe"))),
        (
            "suspicious_name",
            segment(C, WEB, DATA, &get("/defaultwebpage.cgi")),
        ),
        (
            "sinkhole_response",
            answer("HTTP/1.1 200 OK\r\nX-Sinkhole: 1\r\n\r\n"),
        ),
        (
            "seized_domain",
            answer("HTTP/1.1 200 OK\r\n\r\n<title>Domain Seized</title>"),
        ),
        (
            "content_type",
            answer("HTTP/1.1 200 OK\r\nContent-Type: text/x-sh\r\n\r\n"),
        ),
    ] {
        let count = |options: &str| {
            let setup = Setup::new("").with("CHECK_MISSING_HOST true").with(options);
            setup.feed(&[(at(0), frame.clone())]).len()
        };
        assert_eq!(count("-"), 1, "{name}");
        assert_eq!(count(&format!("DISABLED_HEURISTICS {name}")), 0, "{name}");
        assert_eq!(count("USE_HEURISTICS false"), 0, "{name}");
    }
}

#[test]
fn forwarded_addresses_have_to_be_addresses() {
    let with = |value: &str| {
        let text =
            format!("GET /a.exe HTTP/1.1\r\nHost: a.com\r\nX-Forwarded-For: {value}\r\n\r\n");
        let lines = found(&Setup::new(""), C, WEB, text.as_bytes());
        assert_eq!(lines.len(), 1);
        lines[0].split(' ').nth(3).expect("source").to_owned()
    };
    assert_eq!(with("198.51.100.9"), "192.0.2.10,198.51.100.9");
    assert_eq!(with("2001:db8::9, 10.0.0.1"), "192.0.2.10,2001:db8::9");
    assert_eq!(with("999.1"), "192.0.2.10");
    assert_eq!(with("unknown"), "192.0.2.10");
}
