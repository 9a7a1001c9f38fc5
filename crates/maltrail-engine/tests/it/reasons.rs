//! Why something was reported: rule, key, field, place in the evidence, and which way it went.

use maltrail_core::event::{Event, Severity};
use maltrail_wire::LinkType;

use crate::net::{A, Setup, at, client_hello, question, segment, syn, udp};

const OWN: &str = "10.0.0.5:40000";
const OUT: &str = "203.0.113.7:80";

/// The events of one frame.
fn events(trails: &str, frame: &[u8]) -> Vec<Event> {
    let mut found = Vec::new();
    let mut engine = Setup::new(trails).with("CHECK_HOST_DOMAINS true").engine();
    engine.packet(LinkType::ETHERNET, at(0), frame, &mut found);
    engine.finish(at(0), &mut found);
    found
}

/// The only event of one frame.
#[track_caller]
fn event(trails: &str, frame: &[u8]) -> Event {
    let mut found = events(trails, frame);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// `rule key field source`, and the bytes from the offset on.
fn reason(event: &Event) -> (String, &[u8]) {
    let reason = &event.details.reasons[0];
    let text = format!(
        "{} {} {} {}",
        reason.rule, reason.key, reason.field, reason.source
    );
    let from = reason.offset.map_or(usize::MAX, usize::from);
    let bytes = event.details.evidence.as_bytes();
    (text, bytes.get(from..).unwrap_or_default())
}

fn request(text: &str) -> Vec<u8> {
    segment(OWN, OUT, 0x18, text.as_bytes())
}

#[test]
fn a_question_is_shown_as_it_was_asked() {
    let frame = udp(
        OWN,
        "198.51.100.53:53",
        &question("WWW.Evil.com", A, 1, 0x100),
    );
    let found = event("evil.com,x,r\n", &frame);
    let (text, bytes) = reason(&found);
    assert_eq!(text, "trail evil.com dns.question r");
    assert!(bytes.starts_with(b"\x03WWW\x04Evil"), "{bytes:?}");
    assert_eq!(found.details.direction.unwrap().as_str(), "out");
}

#[test]
fn a_question_over_tcp_is_shown_without_its_length() {
    let message = question("www.evil.com", A, 1, 0x100);
    let length = u16::try_from(message.len()).expect("length").to_be_bytes();
    let (first, second) = message.split_at(20);
    let start = segment(OWN, "198.51.100.53:53", 0x18, &[&length, first].concat());
    let whole = segment(
        OWN,
        "198.51.100.53:53",
        0x18,
        &[&length, first, second].concat(),
    );
    assert_eq!(events("evil.com,x,r\n", &start).len(), 0);
    let found = event("evil.com,x,r\n", &whole);
    assert!(reason(&found).1.starts_with(b"\x03www\x04evil"));
    assert_eq!(found.details.reasons[0].offset, Some(12));
}

#[test]
fn the_parts_of_a_request_are_told_apart() {
    let get = |path: &str, rest: &str| {
        request(&format!(
            "GET {path} HTTP/1.1\r\nHost: Site.Example\r\n{rest}\r\n"
        ))
    };
    for (trails, frame, wanted, bytes) in [
        (
            "site.example,x,r\n",
            get("/", ""),
            "trail site.example http.host r",
            "Site.Example\r\n",
        ),
        (
            "site.example/bad,x,r\n",
            get("/bad", ""),
            "trail site.example/bad http.target r",
            "/bad HTTP/1.1",
        ),
        (
            "x.com,x,r\n",
            get("/", "User-Agent: sqlmap/1.0\r\n"),
            "user_agent sqlmap http.user_agent (heuristic)",
            "sqlmap/1.0\r\n",
        ),
        (
            "x.com,x,r\n",
            get("/a?b=1%27%20UNION%20SELECT%201", ""),
            "suspicious_request",
            "/a?b=1%27",
        ),
    ] {
        let found = event(trails, &frame);
        let (text, from) = reason(&found);
        assert!(text.starts_with(wanted), "{text}: {wanted}");
        assert!(
            from.starts_with(bytes.as_bytes()),
            "{}",
            from.escape_ascii()
        );
    }
}

#[test]
fn the_body_is_the_field_of_what_was_found_there() {
    let body = "id=1' union select password from users--";
    let frame = request(&format!(
        "POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let found = event("x.com,x,r\n", &frame);
    let (text, bytes) = reason(&found);
    assert!(text.contains(" http.body (heuristic)"), "{text}");
    assert_eq!(bytes, body.as_bytes());
}

#[test]
fn a_hello_shows_its_name() {
    let frame = segment(OWN, "203.0.113.7:443", 0x18, &client_hello("Evil.com"));
    let found = event("evil.com,x,r\n", &frame);
    let (text, bytes) = reason(&found);
    assert_eq!(text, "trail evil.com tls.sni r");
    assert!(bytes.starts_with(b"Evil.com"), "{}", bytes.escape_ascii());
}

#[test]
fn an_address_is_no_part_of_the_message_and_its_row_may_be_a_network() {
    let found = event(
        "203.0.113.0/24,x,r\n",
        &udp(OWN, "203.0.113.7:4444", b"hello"),
    );
    let (text, bytes) = reason(&found);
    assert_eq!(
        (text.as_str(), bytes),
        ("trail 203.0.113.0/24 ip.dst r", &b""[..])
    );
    assert_eq!(found.details.evidence.as_bytes(), b"hello");
}

#[test]
fn who_only_knocks_is_low_and_who_is_called_is_not() {
    let trails = "203.0.113.7,emotet (suspicious),(static)\n";
    let severity = |from: &str, to: &str| event(trails, &syn(from, to)).severity();
    assert_eq!(severity("203.0.113.7:50000", "10.0.0.5:22"), Severity::Low);
    assert_eq!(severity(OWN, "203.0.113.7:443"), Severity::Medium);
    assert_eq!(
        severity("203.0.113.7:50000", "198.51.100.1:22"),
        Severity::Medium
    );
    let own = event(
        "203.0.113.7,mine,(custom)\n",
        &syn("203.0.113.7:1", "10.0.0.5:22"),
    );
    assert_eq!(own.severity(), Severity::High);
}

#[test]
fn the_same_indicator_met_twice_in_a_packet_is_one_event_with_two_reasons() {
    let get = "GET /bad HTTP/1.1\r\nHost: evil.com\r\n\r\n";
    let found = events("/bad,x,r\n", &request(&[get, get].concat()));
    let offsets: Vec<Option<u16>> = found
        .iter()
        .flat_map(|event| &event.details.reasons)
        .map(|reason| reason.offset)
        .collect();
    assert_eq!(offsets, [Some(4), None], "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn evidence_is_bounded() {
    let long = "a".repeat(900);
    let frame = request(&format!(
        "GET /{long} HTTP/1.1\r\nHost: evil.com\r\nX: {long}\r\n\r\n"
    ));
    let found = event("evil.com,x,r\n", &frame);
    assert_eq!(found.details.evidence.as_bytes().len(), 256);
    assert!(reason(&found).1.starts_with(b"evil.com\r\nX: aaa"));
}
