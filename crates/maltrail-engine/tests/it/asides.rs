//! Names said where few look: questions away from port 53, later questions, targets of proxies, hosts in
//! HTTP/2.

use crate::net::{A, AAAA, C, R, S, Setup, at, check, question, segment, udp};

const EVIL: &str = "evil.com,x,r\n";
const ELSEWHERE: &str = "203.0.113.9:5353";

#[test]
fn a_datagram_that_is_one_question_is_one_on_any_port() {
    let whole = question("www.evil.com", A, 1, 0x0100);
    let sees = |payload: &[u8], wanted: &[&str]| {
        check(EVIL, &[(at(0), udp(C, ELSEWHERE, payload))], wanted);
    };
    sees(&whole, &["DNS (www).evil.com"]);
    sees(
        &question("www.evil.com", AAAA, 0x8001, 0),
        &["DNS (www).evil.com"],
    );
    let mut with_options = [&whole[..], &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]].concat();
    with_options[11] = 1;
    sees(&with_options, &["DNS (www).evil.com"]);
    for length in 0..whole.len() {
        sees(&whole[..length], &[]);
    }
    sees(&[&whole[..], b"x"].concat(), &[]);
    sees(&question("www.evil.com", A, 3, 0x0100), &[]);
    sees(&question("www.evil.com", A, 1, 0x8180), &[]);
    sees(&question("www.evil.com", 12, 1, 0x0100), &[]);
    sees(&question("evil.local", A, 1, 0x0100), &[]);
}

#[test]
fn a_question_elsewhere_leaves_the_datagram_to_be_matched() {
    let packet = udp(C, ELSEWHERE, &question("evil.com", A, 1, 0x0100));
    let rows = "evil.com,x,r\n203.0.113.9,badnet,r\n";
    check(
        rows,
        &[(at(0), packet)],
        &["DNS evil.com", "IP 203.0.113.9"],
    );
}

#[test]
fn every_question_of_a_message_counts() {
    let mut two = question("a.org", A, 1, 0x0100);
    two.extend(&question("www.evil.com", A, 1, 0)[12..]);
    two[5] = 2;
    check(EVIL, &[(at(0), udp(C, R, &two))], &["DNS (www).evil.com"]);
    let mut many = question("a.org", A, 1, 0x0100);
    for n in 0..40 {
        many.extend(&question(&format!("www{n}.evil.com"), A, 1, 0)[12..]);
    }
    many[5] = 41;
    let mut engine = Setup::new("b.org,x,r\n").engine();
    crate::net::feed(&mut engine, &[(at(0), udp(C, R, &many))]);
    assert_eq!(engine.counters().asides, 15, "16 with the first");
}

#[test]
fn what_a_proxy_is_asked_for_is_a_name() {
    for request in [
        &b"\x05\x01\x00\x03\x0cwww.Evil.com\x01\xbb"[..],
        b"\x04\x01\x01\xbb\0\0\0\x01\0www.Evil.com\0",
    ] {
        let frame = segment(C, S, 0x18, request);
        check(EVIL, &[(at(0), frame)], &["DNS (www).evil.com"]);
    }
    let other = segment(C, S, 0x18, b"\x05\x01\x00\x03\x0dwww.Evil.com\x01\xbb");
    check(EVIL, &[(at(0), other)], &[]);
}

#[test]
fn hosts_in_http2_without_encryption_are_names() {
    let host = b"www.Evil.com:8080";
    let block = [&b"\x82\x86\x84\x41"[..], &[17], host].concat();
    let length = u8::try_from(block.len()).expect("short");
    let request = [&[0, 0, length, 1, 5, 0, 0, 0, 1][..], &block].concat();
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let found = ["DNS (www).evil.com"];
    let whole = segment(C, S, 0x18, &[&settings[..], &request].concat());
    check(EVIL, &[(at(0), whole)], &found);
    let apart = segment(C, S, 0x18, &request);
    check(EVIL, &[(at(0), apart)], &found);
    let answer = [&[0, 0, length, 1, 5, 0, 0, 0, 2][..], &block].concat();
    check(EVIL, &[(at(0), segment(S, C, 0x18, &answer))], &[]);
}
