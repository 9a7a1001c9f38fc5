//! HTTP messages: what is written is read back, wherever the segment ends, and arbitrary bytes keep
//! every bound.

use maltrail_wire::http::{MAX_METHOD, Request, Response};
use proptest::prelude::*;

/// The fields of a written head, in any case and order among others.
#[derive(Clone, Debug)]
struct Head {
    host: String,
    agent: Option<String>,
    others: Vec<String>,
    /// Which of the letters of a name are written as capitals.
    capitals: u8,
    line_end: &'static str,
}

fn head() -> impl Strategy<Value = Head> {
    let others = prop::collection::vec("X-[a-z]{1,8}: [ -~]{0,20}", 0..5);
    (
        "[a-z0-9.-]{1,30}",
        prop::option::of("[!-~]([ -~]{0,40}[!-~])?"),
        others,
        any::<u8>(),
        prop::sample::select(vec!["\r\n", "\n"]),
    )
        .prop_map(|(host, agent, others, capitals, line_end)| Head {
            host,
            agent,
            others,
            capitals,
            line_end,
        })
}

impl Head {
    fn write(&self, first_line: &str, more: &str) -> String {
        let mut lines = vec![first_line.to_owned()];
        lines.extend(self.others.iter().cloned());
        lines.push(format!("{}: {}", self.name("host"), self.host));
        if let Some(agent) = &self.agent {
            lines.push(format!("{}:\t {agent} ", self.name("user-agent")));
        }
        lines.extend((!more.is_empty()).then(|| more.to_owned()));
        lines.push(String::new());
        lines.push(String::new());
        lines.join(self.line_end)
    }

    /// Names of fields are the same in any case (RFC 9110, 5.1).
    fn name(&self, name: &str) -> String {
        let change = |(at, letter): (usize, char)| match self.capitals >> (at % 8) & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        name.chars().enumerate().map(change).collect()
    }
}

proptest! {
    #[test]
    fn a_written_request_is_read_back(
        head in head(),
        method in "[A-Z]{1,16}",
        target in "/[!-~]{0,40}",
        body in "[a-z=&]{0,30}",
        cut in any::<prop::sample::Index>(),
    ) {
        let method = &method[..method.len().min(MAX_METHOD)];
        let length = format!("Content-Length: {}", body.len());
        let text = head.write(&format!("{method} {target} HTTP/1.1"), &length) + &body;
        let request = Request::parse(text.as_bytes()).expect("a request");
        prop_assert_eq!((request.method, request.target), (method.as_bytes(), target.as_bytes()));
        prop_assert_eq!(request.fields.host, Some(head.host.as_bytes()));
        prop_assert_eq!(request.fields.user_agent, head.agent.as_ref().map(String::as_bytes));
        prop_assert_eq!(request.body, Some(body.as_bytes()));
        prop_assert_eq!(request.rest, b"");

        // What is read of a cut request is the same.
        if let Some(part) = Request::parse(&text.as_bytes()[..cut.index(text.len())]) {
            prop_assert_eq!((part.method, part.target), (request.method, request.target));
            prop_assert!(part.fields.host.is_none() || part.fields.host == request.fields.host);
            let agent = part.fields.user_agent;
            prop_assert!(agent.is_none() || agent == request.fields.user_agent);
            prop_assert!(part.body.is_none_or(|body| request.body.is_some_and(|all| all.starts_with(body))));
        }
    }

    #[test]
    fn a_written_response_is_read_back(head in head(), kind in "[a-z]{1,9}/[a-z]{1,9}", body in "[a-z]{0,30}") {
        let text = head.write("HTTP/1.1 200 OK", &format!("{}: {kind}", head.name("content-type"))) + &body;
        let response = Response::parse(text.as_bytes()).expect("a response");
        prop_assert_eq!(response.fields.content_type, Some(kind.as_bytes()));
        prop_assert_eq!(response.body, Some(body.as_bytes()));
        prop_assert_eq!(Request::parse(text.as_bytes()), None);
    }

    #[test]
    fn any_bytes_keep_the_bounds(
        start in prop::sample::select(vec!["", "GET / HTTP/1.1\r\n", "POST /a HTTP/1.0\nContent-Length: "]),
        bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(b"\r\n: /HTP1.0".to_vec()),
            any::<u8>(),
        ], 0..200),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        let mut rest = bytes.as_slice();
        while let Some(request) = Request::parse(rest) {
            prop_assert!((1..=MAX_METHOD).contains(&request.method.len()));
            prop_assert!(!request.target.is_empty() && !request.target.contains(&b' '));
            prop_assert!(request.rest.len() < rest.len() && rest.ends_with(request.rest));
            rest = request.rest;
        }
        if let Some(response) = Response::parse(&bytes) {
            prop_assert!(bytes.starts_with(b"HTTP/"));
            prop_assert!(response.body.is_none_or(|body| bytes.ends_with(body)));
        }
    }
}

/// A response has the same sweeps as a request: each prefix, each changed byte.
#[test]
fn a_cut_or_changed_response_keeps_the_bounds() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    for cut in 0..=text.len() {
        let response = Response::parse(&text[..cut]);
        assert_eq!(response.is_some(), cut >= b"HTTP/".len(), "{cut} bytes");
        let Some(response) = response else { continue };
        let kind = response.fields.content_type;
        assert_eq!(kind.is_some(), cut >= 42, "{cut} bytes");
        assert_eq!(
            response.body.is_some(),
            cut >= text.len() - 6,
            "{cut} bytes"
        );
    }
    let mut bytes = text.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let response = Response::parse(&bytes);
            assert_eq!(response.is_some(), at >= b"HTTP/".len(), "byte {at}");
            let body = response.and_then(|response| response.body);
            assert!(body.is_none_or(|body| bytes.ends_with(body)));
            bytes[at] ^= 1 << bit;
        }
    }
}
