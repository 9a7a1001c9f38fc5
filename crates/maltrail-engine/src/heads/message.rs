//! What the first bytes of a stream are: a message, and whether all of it is there.
//!
//! | kind | complete with | given up when |
//! |---|---|---|
//! | HTTP | an empty line and the stated body, of which 8 KiB count | the first line is none of a request |
//! | TLS, client | the name of the server, or the whole hello | another record comes |
//! | TLS, server | the first certificate, or what shows that none comes | another record comes |
//! | DNS (port 53) | as many bytes as its prefix says | there can be no header in it |
//!
//! Nothing is kept here. Most payloads are told by their first byte.

use maltrail_wire::http::{MAX_METHOD, MAX_START_LINE, Request};
use maltrail_wire::tls::{self, ClientHello, Fragment};

use super::pieces::LIMIT;
use crate::web::MAX_REQUESTS;
use crate::web::text::MAX_BODY;

/// What a head is the head of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP requests.
    Http,
    /// A handshake, of either side.
    Tls,
    /// DNS over TCP, of either side.
    Dns,
}

/// What a segment starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing that goes on in other segments and is of interest.
    Other,
    /// Complete messages.
    Whole(Kind),
    /// The start of a message with all that counts in it.
    Enough,
    /// A message that is not complete, maybe after complete ones.
    Cut(Kind),
}

/// How far messages are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of them.
    Whole,
    /// The last one goes on.
    Cut,
    /// What follows is no message.
    Other,
}

/// What `payload` starts with. `record` is room for a handshake put together.
#[inline]
pub(crate) fn start(payload: &[u8], dns: bool, record: &mut Vec<u8>) -> Start {
    match payload.first() {
        Some(&Fragment::HANDSHAKE) => tls_start(payload, record),
        Some(b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n') => {
            let start = http_start(payload);
            if start == Start::Other && dns {
                dns_start(payload)
            } else {
                start
            }
        }
        Some(_) if dns => dns_start(payload),
        _ => Start::Other,
    }
}

fn http_start(payload: &[u8]) -> Start {
    // A browser's request needs no second look.
    if payload.starts_with(b"GET ") && payload.ends_with(b"\r\n\r\n") {
        return Start::Whole(Kind::Http);
    }
    match requests(payload) {
        (_, End::Whole) => Start::Whole(Kind::Http),
        (_, End::Cut) => Start::Cut(Kind::Http),
        (0, End::Other) => Start::Other,
        (_, End::Other) => Start::Whole(Kind::Http),
    }
}

/// How many bytes of complete requests `bytes` start with, and what follows.
pub(crate) fn requests(bytes: &[u8]) -> (usize, End) {
    let mut done = 0;
    for _ in 0..MAX_REQUESTS {
        let rest = bytes.get(done..).unwrap_or_default();
        if rest.is_empty() {
            return (done, End::Whole);
        }
        let Some(request) = Request::parse(rest) else {
            let cut = is_request_line_start(rest);
            return (done, if cut { End::Cut } else { End::Other });
        };
        let Some(body) = request.body else {
            return (done, End::Cut);
        };
        let stated = stated_length(&request);
        if body.len() < stated.unwrap_or_default().min(MAX_BODY) {
            return (done, End::Cut);
        }
        if !request.rest.is_empty() {
            done = bytes.len().saturating_sub(request.rest.len());
            continue;
        }
        // Where the request says that it ends, the next one may have begun.
        let next = stated.and_then(|stated| body.get(stated..));
        return match next.filter(|next| !next.is_empty() && is_request_line_start(next)) {
            Some(next) => (bytes.len().saturating_sub(next.len()), End::Cut),
            None => (bytes.len(), End::Whole),
        };
    }
    (bytes.len(), End::Whole)
}

/// How long the body is, if the request says so.
fn stated_length(request: &Request<'_>) -> Option<usize> {
    match request.fields.content_length {
        Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        None => matches!(request.method, b"GET" | b"HEAD").then_some(0),
    }
}

/// Methods that are recognised by their first letters, and in any case.
const METHODS: [&[u8]; 17] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"CONNECT",
    b"DELETE",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"M-SEARCH",
];

/// Whether what `payload` starts with has its own first byte, as far as can be told where bytes before
/// it are missing: `OST / HTTP/1.1` is the rest of a request, and an empty line mostly ends one.
pub(crate) fn is_own_start(payload: &[u8]) -> bool {
    if matches!(payload, [b'\r' | b'\n', ..]) {
        return false;
    }
    Request::parse(payload).is_none_or(|request| {
        METHODS
            .iter()
            .any(|name| name.eq_ignore_ascii_case(request.method))
    })
}

/// Whether `bytes` may be the start of a request line, without its end.
fn is_request_line_start(bytes: &[u8]) -> bool {
    let empty = bytes.iter().take(4);
    let empty = empty.take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let bytes = bytes.get(empty.count()..).unwrap_or_default();
    if bytes.len() > MAX_START_LINE || memchr::memchr(b'\n', bytes).is_some() {
        return false;
    }
    let head = bytes.get(..=MAX_METHOD).unwrap_or(bytes);
    let Some(space) = memchr::memchr(b' ', head) else {
        let is_start = |method: &&[u8]| {
            let start = method.get(..bytes.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(bytes))
        };
        return !bytes.is_empty() && METHODS.iter().any(is_start);
    };
    let method = head.get(..space).unwrap_or_default();
    let known = METHODS.iter().any(|name| name.eq_ignore_ascii_case(method));
    if !known && (space < 3 || !method.iter().all(u8::is_ascii_uppercase)) {
        return false;
    }
    // After the target, only a version.
    let target = bytes.get(space.saturating_add(1)..).unwrap_or_default();
    match memchr::memchr(b' ', target) {
        None => true,
        Some(0) => false,
        Some(end) => {
            let version = target.get(end.saturating_add(1)..).unwrap_or_default();
            let known = version.get(..5).unwrap_or(version);
            b"HTTP/".starts_with(known)
        }
    }
}

fn tls_start(payload: &[u8], record: &mut Vec<u8>) -> Start {
    // A hello in one record.
    if let &[_, 3, _, a, b, 1, 0, c, d, ..] = payload {
        let stated = usize::from(u16::from_be_bytes([a, b]));
        let message = usize::from(u16::from_be_bytes([c, d])).saturating_add(4);
        if message <= stated && payload.len() >= message.saturating_add(5) {
            return Start::Whole(Kind::Tls);
        }
    }
    let end = handshake(payload, record);
    if end == End::Other {
        return Start::Other;
    }
    let goes_on = || tls::fragments(payload).last().is_some_and(|it| !it.whole);
    match (shows(payload), shows(record), end) {
        (true, ..) if goes_on() => Start::Enough,
        (true, ..) => Start::Whole(Kind::Tls),
        // Only seen when records are put together.
        (false, true, _) | (false, false, End::Cut) => Start::Cut(Kind::Tls),
        (false, false, _) => Start::Whole(Kind::Tls),
    }
}

/// Whether a name or a certificate can be read in `payload`.
pub(crate) fn shows(payload: &[u8]) -> bool {
    let hello = ClientHello::in_records(payload);
    hello.is_some_and(|hello| hello.server_name().is_some())
        || tls::first_certificate(payload).is_some()
}

/// Header of a record.
const RECORD: usize = 5;

/// Puts the handshake messages that `bytes` start with into one record; whether they are complete.
pub(crate) fn handshake(bytes: &[u8], record: &mut Vec<u8>) -> End {
    record.clear();
    record.extend([Fragment::HANDSHAKE, 3, 3, 0, 0]);
    // Whether other records follow, after which nothing of interest is sent; whether the last is cut.
    let (mut ended, mut cut) = (false, false);
    for fragment in tls::fragments(bytes) {
        if fragment.kind != Fragment::HANDSHAKE {
            ended = true;
            break;
        }
        record.extend_from_slice(fragment.bytes);
        cut = !fragment.whole;
    }
    let length = u16::try_from(record.len().saturating_sub(RECORD)).unwrap_or(u16::MAX);
    for (place, byte) in record.iter_mut().skip(3).zip(length.to_be_bytes()) {
        *place = byte;
    }
    let messages = record.get(RECORD..).unwrap_or_default();
    match messages_end(messages) {
        End::Whole if cut && !ended => End::Cut,
        End::Cut if ended && messages.is_empty() => End::Other,
        End::Cut if ended => End::Whole,
        end => end,
    }
}

/// Whether the messages of a handshake are complete as far as they are of interest.
fn messages_end(messages: &[u8]) -> End {
    const CLIENT_HELLO: u8 = 1;
    const SERVER_HELLO: u8 = 2;
    const CERTIFICATE: u8 = 11;
    match messages.first() {
        None => return End::Cut,
        Some(&(CLIENT_HELLO | SERVER_HELLO | CERTIFICATE)) => {}
        Some(_) => return End::Other,
    }
    let mut rest = messages;
    // Each round takes four bytes at least.
    while let Some((&[kind, a, b, c], after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        if kind == CLIENT_HELLO && after.len() >= length {
            return End::Whole;
        }
        if kind == CERTIFICATE {
            return certificate_end(after, length);
        }
        match after.get(length..) {
            Some(after) => rest = after,
            None => return End::Cut,
        }
    }
    if rest.is_empty() {
        End::Whole
    } else {
        End::Cut
    }
}

/// Whether the first certificate of a chain of `length` bytes is there.
fn certificate_end(chain: &[u8], length: usize) -> End {
    let Some(&[_, _, _, a, b, c]) = chain.first_chunk() else {
        return if chain.len() >= length {
            End::Whole
        } else {
            End::Cut
        };
    };
    let first = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
    let needed = first.saturating_add(6).min(length);
    if chain.len() >= needed {
        End::Whole
    } else {
        End::Cut
    }
}

/// The shortest message with a question: header, the root's name, type and class.
const SHORTEST: usize = 17;
/// Length of the prefix.
const PREFIX: usize = 2;

fn dns_start(payload: &[u8]) -> Start {
    let (done, end) = messages(payload);
    match end {
        End::Whole => Start::Whole(Kind::Dns),
        End::Cut => Start::Cut(Kind::Dns),
        End::Other if done > 0 => Start::Whole(Kind::Dns),
        End::Other => Start::Other,
    }
}

/// How many bytes of complete messages, prefixes and all, `bytes` start with, and what follows.
pub(crate) fn messages(bytes: &[u8]) -> (usize, End) {
    let mut done = 0;
    loop {
        let rest = bytes.get(done..).unwrap_or_default();
        match message(rest) {
            Ok(length) => done = done.saturating_add(length),
            Err(_) if rest.is_empty() => return (done, End::Whole),
            Err(end) => return (done, end),
        }
    }
}

/// The length of the message that `bytes` start with, prefix and all.
pub(crate) fn message(bytes: &[u8]) -> Result<usize, End> {
    let Some((&prefix, message)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(End::Cut);
    };
    let length = usize::from(u16::from_be_bytes(prefix));
    if !(SHORTEST..=LIMIT - PREFIX).contains(&length) {
        return Err(End::Other);
    }
    if let Some(&[_, _, flags, _, high, low]) = message.first_chunk() {
        // Standard queries, notifications and updates, with few questions.
        let opcode = flags >> 3 & 0x0f;
        if !matches!(opcode, 0 | 4 | 5) || high != 0 || low == 0 || low > 16 {
            return Err(End::Other);
        }
    }
    if message.len() < length {
        return Err(End::Cut);
    }
    Ok(length.saturating_add(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_where_they_say() {
        let get = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = b"POST /f HTTP/1.1\r\nContent-Length: 3\r\n\r\nx=1";
        for cut in 1..get.len() {
            assert_eq!(requests(&get[..cut]), (0, End::Cut), "cut at {cut}");
        }
        for cut in 1..post.len() {
            assert_eq!(requests(&post[..cut]), (0, End::Cut), "cut at {cut}");
        }
        assert_eq!(requests(get), (get.len(), End::Whole));
        assert_eq!(requests(post), (post.len(), End::Whole));
        let both = [&post[..], get].concat();
        for cut in post.len() + 1..both.len() {
            assert_eq!(
                requests(&both[..cut]),
                (post.len(), End::Cut),
                "cut at {cut}"
            );
        }
        assert_eq!(requests(&both), (both.len(), End::Whole));
    }

    #[test]
    fn a_large_body_is_waited_for_as_far_as_it_counts() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n";
        let part = [&head[..], &[b'x'; MAX_BODY]].concat();
        assert_eq!(requests(&part[..part.len() - 1]).1, End::Cut);
        assert_eq!(requests(&part), (part.len(), End::Whole));
    }

    #[test]
    fn a_body_without_a_length_is_all_that_follows() {
        let post = b"POST / HTTP/1.1\r\n\r\ndelete from x";
        assert_eq!(requests(post), (post.len(), End::Whole));
    }

    #[test]
    fn other_text_is_no_request() {
        let mut record = Vec::new();
        for text in [
            "HTTP/1.1 200 OK",
            "Hello world",
            "The quick brown",
            "EHLO mail.example.org\r\n",
            "GET /a b",
            "GET  ",
            "GETX",
            "x",
            "\r\n",
            "",
        ] {
            let found = start(text.as_bytes(), false, &mut record);
            assert_eq!(found, Start::Other, "{text:?}");
        }
        for text in [
            "G",
            "post",
            "\r\nGE",
            "get /a HT",
            "XYZZY /a",
            "GET / HTTP/1.1\r\n",
        ] {
            let found = start(text.as_bytes(), false, &mut record);
            assert_eq!(found, Start::Cut(Kind::Http), "{text:?}");
        }
    }

    #[test]
    fn dns_messages_have_a_plausible_header() {
        let query =
            b"\x00\x13\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
        assert_eq!(messages(query), (query.len(), End::Whole));
        for cut in 1..query.len() {
            assert_eq!(messages(&query[..cut]), (0, End::Cut), "cut at {cut}");
        }
        let two = [&query[..], &query[..9]].concat();
        assert_eq!(messages(&two), (query.len(), End::Cut));
        let mut other = *query;
        other[7] = 0; // no question
        assert_eq!(messages(&other), (0, End::Other));
        assert_eq!(messages(&[0, 16]), (0, End::Other));
        assert_eq!(messages(&[0xff, 0xff]), (0, End::Other));
    }

    fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], fragment].concat()
    }

    #[test]
    fn a_server_is_heard_until_its_first_certificate() {
        let mut out = Vec::new();
        let hello = record(22, &[2, 0, 0, 2, 3, 3]);
        let chain = [11, 0, 0, 12, 0, 0, 9, 0, 0, 3, 0x30, 1, 2, 0, 0, 0];
        let flight = [hello.clone(), record(22, &chain)].concat();
        let enough = flight.len() - 3;
        for cut in 2..flight.len() {
            let wanted = match cut {
                _ if cut == hello.len() => End::Whole,
                _ if cut < enough => End::Cut,
                _ => continue,
            };
            assert_eq!(handshake(&flight[..cut], &mut out), wanted, "cut at {cut}");
        }
        assert_eq!(
            start(&flight, false, &mut out),
            Start::Whole(Kind::Tls),
            "all there"
        );
        assert_eq!(
            start(&flight[..enough], false, &mut out),
            Start::Enough,
            "the certificate is there"
        );
        let encrypted = [hello, vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 9]].concat();
        assert_eq!(
            start(&encrypted, false, &mut out),
            Start::Whole(Kind::Tls),
            "none will come"
        );
    }

    #[test]
    fn a_message_over_records_is_put_together() {
        let mut out = Vec::new();
        let message = [1, 0, 0, 4, 5, 6, 7, 8];
        let split = [record(22, &message[..3]), record(22, &message[3..])].concat();
        assert_eq!(handshake(&split, &mut out), End::Whole);
        assert_eq!(out, record(22, &message));
        assert_eq!(handshake(&split[..9], &mut out), End::Cut);
        assert_eq!(handshake(&[22, 3, 3, 0, 1, 4], &mut out), End::Other);
        assert_eq!(handshake(&[22, 9], &mut out), End::Other);
        assert_eq!(start(&[22], false, &mut out), Start::Cut(Kind::Tls));
    }
}
