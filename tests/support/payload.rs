//! What packets carry: DNS messages, plain HTTP, the shape of TLS.
//!
//! All of it is harmless; whether a name in it is listed is up to the caller.

use std::net::IpAddr;

use crate::packet::Qtype;

const CLASS_IN: u16 = 1;

/// A query with recursion desired. The id follows from the client's port.
#[must_use]
pub fn dns_question(port: u16, name: &str, qtype: Qtype) -> Vec<u8> {
    dns_head(port, 0x0100, 0, name, qtype)
}

/// A response with these addresses.
#[must_use]
pub fn dns_answer(port: u16, name: &str, qtype: Qtype, addresses: &[IpAddr]) -> Vec<u8> {
    let mut bytes = dns_head(port, 0x8180, addresses.len() as u16, name, qtype);
    for address in addresses {
        let (kind, octets) = match address {
            IpAddr::V4(v4) => (Qtype::A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (Qtype::Aaaa, v6.octets().to_vec()),
        };
        // The name: a pointer to the question.
        bytes.extend([0xc0, 0x0c]);
        bytes.extend((kind as u16).to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        bytes.extend(300u32.to_be_bytes());
        bytes.extend((octets.len() as u16).to_be_bytes());
        bytes.extend(octets);
    }
    bytes
}

fn dns_head(port: u16, flags: u16, answers: u16, name: &str, qtype: Qtype) -> Vec<u8> {
    let id = port.wrapping_mul(40_503) ^ 0x5a5a;
    let mut bytes = Vec::with_capacity(18 + name.len());
    for field in [id, flags, 1, answers, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label of at most 63 characters"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend((qtype as u16).to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes
}

/// A request as a browser sends it.
#[must_use]
pub fn http_get(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
         Gecko/20100101 Firefox/140.0\r\nAccept: text/html,*/*;q=0.8\r\nConnection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}

/// A response with `length` bytes of plain text.
#[must_use]
pub fn http_ok(length: usize) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    let words = b"the quick brown fox jumps over the lazy dog ";
    bytes.extend(words.iter().cycle().take(length));
    bytes
}

/// A TLS 1.2 record with a ClientHello for `name`: complete, with the extensions that matter.
#[must_use]
pub fn client_hello(name: &str, random: [u8; 32]) -> Vec<u8> {
    let mut extensions = Vec::new();
    let host = sized(&[&[0], sized(name.as_bytes()).as_slice()].concat());
    extension(&mut extensions, 0, &host);
    extension(&mut extensions, 10, &[0, 4, 0, 29, 0, 23]);
    extension(&mut extensions, 13, &[0, 4, 4, 3, 8, 4]);
    extension(&mut extensions, 16, b"\x00\x0c\x02h2\x08http/1.1");
    extension(&mut extensions, 43, &[2, 3, 4]);
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(0);
    body.extend(sized(&[0x13, 0x01, 0x13, 0x02, 0xc0, 0x2f]));
    body.extend([1, 0]);
    body.extend(sized(&extensions));
    record(22, &handshake(1, &body))
}

/// The ServerHello that answers it.
#[must_use]
pub fn server_hello(random: [u8; 32]) -> Vec<u8> {
    let mut extensions = Vec::new();
    extension(&mut extensions, 43, &[3, 4]);
    let mut body = vec![3, 3];
    body.extend(random);
    body.extend([0, 0x13, 0x01, 0]);
    body.extend(sized(&extensions));
    record(22, &handshake(2, &body))
}

/// A record of encrypted data.
#[must_use]
pub fn tls_data(ciphertext: &[u8]) -> Vec<u8> {
    record(23, ciphertext)
}

/// A request for the time.
#[must_use]
pub fn ntp_request() -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[0] = 0x23;
    bytes
}

/// `bytes` behind their length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("less than 64 KiB");
    [length.to_be_bytes().as_slice(), bytes].concat()
}

fn extension(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(sized(data));
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend(sized(body));
    bytes
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 1];
    bytes.extend(sized(body));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_names_its_server_and_adds_up() {
        let hello = client_hello("a.example", [7; 32]);
        let inner = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        assert_eq!(hello.len(), 5 + inner);
        assert_eq!(
            usize::from(u16::from_be_bytes([hello[7], hello[8]])),
            inner - 4
        );
        // server_name: type 0, 14 bytes; list of 12; host_name of 9.
        let wanted = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example";
        assert!(hello.windows(wanted.len()).any(|part| part == wanted));
    }

    #[test]
    fn an_answer_repeats_the_question_and_its_id() {
        let address = "192.0.2.99".parse().unwrap();
        let question = dns_question(4000, "a.example", Qtype::A);
        let answer = dns_answer(4000, "a.example", Qtype::A, &[address]);
        assert_eq!(
            (&question[..2], &question[12..]),
            (&answer[..2], &answer[12..27])
        );
        assert_eq!(answer[6..8], [0, 1], "one answer");
        assert_eq!(answer[answer.len() - 6..], [0, 4, 192, 0, 2, 99]);
    }
}
