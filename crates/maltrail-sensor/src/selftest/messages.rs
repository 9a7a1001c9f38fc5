//! What packets carry: DNS, HTTP, TLS, proxies.

use super::wire::{counted, length};

/// DNS types.
pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// DNS flags.
pub(super) const QUESTION: u16 = 0x0100;
pub(super) const ANSWER: u16 = 0x8180;
pub(super) const NO_SUCH_NAME: u16 = 0x8183;

fn counted_byte(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or(u8::MAX)], bytes].concat()
}

/// A name as DNS writes it.
fn dns_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        bytes.extend(counted_byte(label.as_bytes()));
    }
    bytes.push(0);
    bytes
}

/// What is asked for in a DNS message.
pub(super) fn asked(name: &str, qtype: u16) -> Vec<u8> {
    [&dns_name(name)[..], &qtype.to_be_bytes(), &[0, 1]].concat()
}

/// A DNS message with one question.
pub(super) fn question(name: &str, qtype: u16, flags: u16) -> Vec<u8> {
    let header = [0x12, 0x34, (flags >> 8) as u8, flags as u8];
    [&header[..], &[0, 1, 0, 0, 0, 0, 0, 0], &asked(name, qtype)].concat()
}

/// Two questions in one message.
pub(super) fn two_questions(first: &str, second: &str) -> Vec<u8> {
    let mut bytes = question(first, A, QUESTION);
    if let Some(count) = bytes.get_mut(5) {
        *count = 2;
    }
    bytes.extend(asked(second, A));
    bytes
}

/// What an answer says about a name.
pub(super) enum Data<'a> {
    A([u8; 4]),
    Aaaa([u8; 16]),
    Cname(&'a str),
}

/// An answer with one record about what was asked for.
pub(super) fn answer(name: &str, data: &Data<'_>) -> Vec<u8> {
    let (kind, data) = match data {
        Data::A(address) => (A, address.to_vec()),
        Data::Aaaa(address) => (AAAA, address.to_vec()),
        Data::Cname(target) => (CNAME, dns_name(target)),
    };
    let mut bytes = question(name, if kind == AAAA { AAAA } else { A }, ANSWER);
    if let Some(count) = bytes.get_mut(7) {
        *count = 1;
    }
    bytes.extend([0xc0, 0x0c]);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend(counted(&data));
    bytes
}

/// A request for a path of a host.
pub(super) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// The same with another line in its head.
pub(super) fn get_with(line: &str) -> String {
    format!("GET /index.html HTTP/1.1\r\nHost: site-a.com\r\n{line}\r\n\r\n")
}

/// A request with a body.
pub(super) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: site-a.com\r\n\r\n{body}")
}

/// The preface of HTTP/2, empty settings, and a request for a host (RFC 9113, RFC 7541 C.3).
pub(super) fn http2(host: &str) -> Vec<u8> {
    let mut block = b"\x82\x86\x84\x41".to_vec();
    block.extend(counted_byte(host.as_bytes()));
    let size = length(block.len());
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
        &[0, size[0], size[1], 1, 0x05, 0, 0, 0, 1],
        &block,
    ]
    .concat()
}

/// What a SOCKS 5 proxy is asked for (RFC 1928).
pub(super) fn socks5(host: &str) -> Vec<u8> {
    [
        &[5, 1, 0, 3],
        &counted_byte(host.as_bytes())[..],
        &[0x01, 0xbb],
    ]
    .concat()
}

/// What a SOCKS 4a proxy is asked for.
pub(super) fn socks4a(host: &str) -> Vec<u8> {
    [
        &[4, 1, 0x01, 0xbb, 0, 0, 0, 1, 0],
        host.as_bytes(),
        &[0][..],
    ]
    .concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0], &counted(body)[..]].concat()
}

/// A TLS record with a handshake message.
fn record(message: &[u8]) -> Vec<u8> {
    [&[22, 3, 3], &counted(message)[..]].concat()
}

/// The handshake message of a client that names a server (RFC 8446, RFC 6066).
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let server_name = [&[0], &counted(name.as_bytes())[..]].concat();
    let mut extensions = Vec::new();
    for (kind, data) in [
        (43_u16, vec![4, 3, 4, 3, 3]),
        (51, vec![8; 43]),
        (0, counted(&server_name)),
        (16, vec![9; 14]),
    ] {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(counted(&data));
    }
    let mut body = vec![3, 3];
    body.extend([0x55; 32]);
    body.push(32);
    body.extend([0x66; 32]);
    body.extend(counted(&[0x13; 4]));
    body.extend([1, 0]);
    body.extend(counted(&extensions));
    handshake(1, &body)
}

/// The same as a TLS record.
pub(super) fn tls_hello(name: &str) -> Vec<u8> {
    record(&client_hello(name))
}

/// A server's certificate message of TLS 1.2.
pub(super) fn certificate(bytes: &[u8]) -> Vec<u8> {
    let one = [&[0], &counted(bytes)[..]].concat();
    let list = [&[0], &counted(&one)[..]].concat();
    record(&handshake(11, &list))
}

/// As many bytes of a message as come in the first segment, and the others.
pub(super) fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len() / 2)
}
