//! Any bytes as HTTP messages: parts lie in order inside the bytes, requests that follow each other
//! get shorter, and a request written again from its parts is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::http::{MAX_METHOD, Request, Response};

fuzz_target!(|data: &[u8]| {
    if let Some(response) = Response::parse(data) {
        assert!(data.starts_with(b"HTTP/"));
        assert!(response.body.is_none_or(|body| data.ends_with(body)));
    }
    let mut rest = data;
    while let Some(request) = Request::parse(rest) {
        assert!(request.rest.len() < rest.len() && rest.ends_with(request.rest));
        check(&request);
        rest = request.rest;
    }
});

fn check(request: &Request<'_>) {
    assert!(!request.method.is_empty() && request.method.len() <= MAX_METHOD);
    assert!(!request.target.is_empty() && !request.target.contains(&b' '));
    let line = [request.method, b" ", request.target, b" HTTP/1.1\n\n"].concat();
    if let Some(again) = Request::parse(&line) {
        assert_eq!((again.method, again.target), (request.method, request.target));
    }
}
