//! Views of HTTP/1 messages as far as one segment shows them (RFC 9112).
//!
//! ```text
//!  method SP target SP HTTP/version LF   |  HTTP/version SP status SP reason LF
//!  name ":" value LF                     |  name ":" value LF
//!  ...                                   |  ...
//!  LF                                    |  LF
//!  body                                  |  body
//! ```
//!
//! A line ends with LF; a CR before it is no part of the line. A line whose end is not in the segment
//! does not exist. Names of fields are compared without letter case, the first of a name counts.
//! The fields that detection reads are picked up in the one pass that finds the body.
//!
//! Bounds: [`MAX_LINES`] lines of head, [`MAX_METHOD`] bytes of method. Nothing is decoded here.

use memchr::{memchr, memrchr};

/// Most lines of a head that are read; what follows is neither head nor body.
pub const MAX_LINES: usize = 128;
/// Longest method; the longest registered one has 17 letters (UPDATEREDIRECTREF).
pub const MAX_METHOD: usize = 32;
/// Longest first line; servers refuse longer ones (8,000 bytes is what RFC 9112 §3 asks for).
pub const MAX_START_LINE: usize = 16 * 1024;
/// Empty bytes (CR, LF) before a request that are passed over (RFC 9112 §2.2).
const MAX_LEADING: usize = 4;
/// How every message names its version.
const VERSION: &[u8] = b"HTTP/";

/// The fields of a head that detection reads, trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `Host`.
    pub host: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The first of `CF-Connecting-IP`, `True-Client-IP` and `X-Forwarded-For`.
    pub forwarded: Option<&'a [u8]>,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Length`.
    pub content_length: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        // The length decides nearly always; a browser sends a dozen fields.
        let (slot, wanted): (&mut Option<&'a [u8]>, &[u8]) = match name.len() {
            4 => (&mut self.host, b"host"),
            10 => (&mut self.user_agent, b"user-agent"),
            12 => (&mut self.content_type, b"content-type"),
            14 if name.first().is_some_and(|first| first | 0x20 == b't') => {
                (&mut self.forwarded, b"true-client-ip")
            }
            14 => (&mut self.content_length, b"content-length"),
            15 => (&mut self.forwarded, b"x-forwarded-for"),
            16 => (&mut self.forwarded, b"cf-connecting-ip"),
            _ => return,
        };
        if slot.is_none() && name.eq_ignore_ascii_case(wanted) {
            *slot = Some(value.trim_ascii());
        }
    }
}

/// What follows the first line of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head<'a> {
    fields: Fields<'a>,
    /// What follows the empty line; `None` when the head does not end in the segment.
    body: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    #[inline]
    fn parse(mut rest: &'a [u8]) -> Self {
        let mut fields = Fields::default();
        for _ in 0..MAX_LINES {
            let Some((line, after)) = split_line(rest) else {
                break;
            };
            rest = after;
            if line.is_empty() {
                let body = Some(rest);
                return Self { fields, body };
            }
            // No name of interest is longer.
            let start = line.get(..17).unwrap_or(line);
            if let Some(colon) = start.iter().position(|&byte| byte == b':')
                && let (Some(name), Some(value)) = (line.get(..colon), line.get(colon + 1..))
            {
                fields.note(name, value);
            }
        }
        Self { fields, body: None }
    }
}

/// A line without its end, and what follows it.
#[inline]
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let line = bytes.get(..end)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some((line, bytes.get(end + 1..)?))
}

/// Whether a method may hold this byte: a letter, digit, `-` or `_`.
const fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// A request whose first line is in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a [u8],
    /// The target, as sent: not empty and without spaces.
    pub target: &'a [u8],
    /// Fields of the head.
    pub fields: Fields<'a>,
    /// What follows the head in the segment, without the next request; `None` when the head does
    /// not end there.
    pub body: Option<&'a [u8]>,
    /// The next request of the same segment begins here; empty when there is none.
    pub rest: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the request that `bytes` start with.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let start = bytes.iter().take(MAX_LEADING);
        let empty = start.take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let bytes = bytes.get(empty.count()..)?;
        let (method, target, rest) = request_line(bytes)?;
        let head = Head::parse(rest);
        let (body, rest) = match head.body {
            Some(after) => {
                let (body, rest) = split_body(&head.fields, after);
                (Some(body), rest)
            }
            None => (None, &[] as &[u8]),
        };
        Some(Self {
            method,
            target,
            fields: head.fields,
            body,
            rest,
        })
    }
}

/// Method, target and what follows the line: exactly two spaces, the second before the version.
#[inline]
fn request_line(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // Most segments that are no request end here, at their first byte.
    let head = bytes.get(..=MAX_METHOD).unwrap_or(bytes);
    let space = head.iter().position(|&byte| !is_method_byte(byte))?;
    if space == 0 || head.get(space) != Some(&b' ') {
        return None;
    }
    let bound = bytes.get(..MAX_START_LINE).unwrap_or(bytes);
    let end = memchr(b'\n', bound)?;
    let line = bound.get(..end)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = memrchr(b' ', line)?;
    let target = line.get(space + 1..last)?;
    let version = line.get(last + 1..)?;
    let sound = version.starts_with(VERSION) && !target.is_empty() && !target.contains(&b' ');
    sound.then_some((line.get(..space)?, target, bytes.get(end + 1..)?))
}

/// The body and the next request. Another request is looked for only where this one says that it
/// ends; a body that goes on otherwise is longer than announced, and all of it counts.
fn split_body<'a>(fields: &Fields<'a>, after: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let whole = (after, &[] as &[u8]);
    if after.is_empty() {
        return whole;
    }
    let length = fields.content_length.map_or(Some(0), number);
    match length.and_then(|length| after.split_at_checked(length)) {
        Some((body, next)) if request_line(next).is_some() => (body, next),
        _ => whole,
    }
}

/// A decimal number.
fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A segment that starts a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The whole segment.
    pub bytes: &'a [u8],
    /// Fields of the head.
    pub fields: Fields<'a>,
    /// What follows the head; `None` when the head does not end in the segment.
    pub body: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    /// Reads the response that `bytes` start with.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(VERSION) {
            return None;
        }
        let head = split_line(bytes).map_or_else(Head::default, |(_, rest)| Head::parse(rest));
        Some(Self {
            bytes,
            fields: head.fields,
            body: head.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &[u8] = b"POST /a?b=c HTTP/1.1\r\nHost:\tsite.com \r\nuser-agent: x y\r\n\
        X-Forwarded-For: 1.2.3.4\r\nContent-Length: 4\r\n\r\nk=vG";

    #[test]
    fn a_request_in_parts() {
        let request = Request::parse(POST).unwrap();
        assert_eq!(
            (request.method, request.target),
            (&b"POST"[..], &b"/a?b=c"[..])
        );
        assert_eq!(request.fields.host, Some(&b"site.com"[..]));
        assert_eq!(request.fields.user_agent, Some(&b"x y"[..]));
        assert_eq!(request.fields.forwarded, Some(&b"1.2.3.4"[..]));
        assert_eq!(request.body, Some(&b"k=vG"[..]));
        assert_eq!(request.rest, b"");
    }

    #[test]
    fn what_is_no_request_line() {
        for text in [
            "GET /a",
            "GET /a HTTP/1.1",
            "GET /a x HTTP/1.1\r\n",
            "GET  HTTP/1.1\r\n",
            "GET /a FTP/1.1\r\n",
            " /a HTTP/1.1\r\n",
            "\x16\x03 /a HTTP/1.1\r\n",
            "G\0T /a HTTP/1.1\r\n",
            "HTTP/1.1 200 OK\r\n",
            "",
        ] {
            assert_eq!(Request::parse(text.as_bytes()), None, "{text:?}");
        }
        let long = format!("{} / HTTP/1.1\r\n", "M".repeat(MAX_METHOD + 1));
        assert_eq!(Request::parse(long.as_bytes()), None);
        let fits = format!("{} / HTTP/1.1\r\n", "M".repeat(MAX_METHOD));
        assert!(Request::parse(fits.as_bytes()).is_some());
    }

    #[test]
    fn lines_may_end_with_a_line_feed_alone() {
        let request = Request::parse(b"\r\nget / HTTP/1.0\nHOST: a\n\nbody").unwrap();
        assert_eq!(
            (request.method, request.fields.host),
            (&b"get"[..], Some(&b"a"[..]))
        );
        assert_eq!(request.body, Some(&b"body"[..]));
    }

    #[test]
    fn the_first_field_counts_and_a_cut_one_does_not_exist() {
        let request =
            Request::parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nUser-Agent: c").unwrap();
        assert_eq!(request.fields.host, Some(&b"a"[..]));
        assert_eq!((request.fields.user_agent, request.body), (None, None));
    }

    #[test]
    fn pipelined_requests_follow_each_other() {
        let two = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nx=1GET /b HTTP/1.1\r\n\r\n";
        let first = Request::parse(two).unwrap();
        assert_eq!(first.body, Some(&b"x=1"[..]));
        let second = Request::parse(first.rest).unwrap();
        assert_eq!((second.target, second.rest), (&b"/b"[..], &b""[..]));
        // A length that does not lead to a request hides nothing.
        let odd = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx=1&evil";
        assert_eq!(Request::parse(odd).unwrap().body, Some(&b"x=1&evil"[..]));
    }

    #[test]
    fn a_head_without_end_has_no_body() {
        let mut text = b"GET / HTTP/1.1\r\n".to_vec();
        for _ in 0..MAX_LINES {
            text.extend(b"A: b\r\n");
        }
        text.extend(b"Host: late\r\n\r\n");
        let request = Request::parse(&text).unwrap();
        assert_eq!((request.fields.host, request.body), (None, None));
    }

    #[test]
    fn a_response_in_parts() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=x\r\n\r\n<html>";
        let response = Response::parse(bytes).unwrap();
        assert_eq!(
            response.fields.content_type,
            Some(&b"text/html; charset=x"[..])
        );
        assert_eq!(response.body, Some(&b"<html>"[..]));
        assert_eq!(Response::parse(b"XHTTP/1.1 200 OK\r\n"), None);
        assert_eq!(Response::parse(b"HTTP/1.1 200").unwrap().body, None);
    }

    /// Every prefix and every changed byte is read without leaving the bytes given.
    #[test]
    fn sweeps() {
        for end in 0..=POST.len() {
            if let Some(request) = Request::parse(&POST[..end]) {
                assert_eq!(request.method, b"POST");
                assert!(request.body.is_none_or(|body| body.len() <= 4));
            }
        }
        let mut bytes = POST.to_vec();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                if let Some(request) = Request::parse(&bytes) {
                    assert!(!request.target.contains(&b' ') && !request.target.is_empty());
                }
                assert_eq!(Response::parse(&bytes), None);
                bytes[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn the_first_of_the_forwarding_fields_counts() {
        let forwarded = |fields: &str| {
            let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let request = Request::parse(text.as_bytes()).unwrap();
            request.fields.forwarded.map(<[u8]>::to_vec)
        };
        for name in ["CF-Connecting-IP", "True-Client-IP", "x-forwarded-for"] {
            assert_eq!(
                forwarded(&format!(
                    "{name}: 198.51.100.7\r\nX-Forwarded-For: 192.0.2.1\r\n"
                )),
                Some(b"198.51.100.7".to_vec()),
                "{name}"
            );
        }
        // As long as a name of interest, and with the same first letter, is not enough.
        for name in ["CF-Connecting-XX", "True-Client-XX", "X-Forwarded-XXX"] {
            assert_eq!(forwarded(&format!("{name}: 198.51.100.7\r\n")), None);
        }
    }
}
