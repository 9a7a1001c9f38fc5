//! Texts of a request in the form that trails have.
//!
//! Trail keys are lower-case ASCII: letters outside it are percent-encoded in a path, as on the wire.
//! So is everything here; control characters are percent-encoded as well, so none reaches an event.
//! Runs of slashes count as one.
//!
//! Buffers are kept from request to request. Bounds: [`MAX_HOST`], [`MAX_PATH`] and [`MAX_BODY`]
//! bytes are looked at, what is longer is cut.

use std::fmt::Write as _;
use std::net::IpAddr;

use maltrail_core::limits::NAME_BYTES;
use memchr::memchr2;

/// Most bytes of a host: a name and a port (`:65535`) after it.
pub(crate) const MAX_HOST: usize = NAME_BYTES + 6;
/// Most bytes of a path with its query; the usual limit of servers.
pub(crate) const MAX_PATH: usize = 8192;
/// Most bytes of a body.
pub(crate) const MAX_BODY: usize = 8192;

/// Host and path of a request, one text.
#[derive(Debug, Default)]
pub(crate) struct Url {
    text: String,
    host: usize,
}

impl Url {
    /// The URL of this host and path, both as sent.
    pub(crate) fn set(&mut self, host: Host<'_>, path: &[u8]) {
        self.text.clear();
        match host {
            Host::Sent(host) => push_lower(&mut self.text, cut(host, MAX_HOST)),
            Host::Address(address) => {
                // Writing into a string cannot fail.
                let _ = write!(self.text, "{address}");
            }
        }
        let port = self.text.ends_with(":80") && !self.text.ends_with("::80");
        if port && matches!(host, Host::Sent(_)) {
            self.text.truncate(self.text.len().saturating_sub(3));
        }
        self.host = self.text.len();
        if !path.starts_with(b"/") {
            self.text.push('/');
        }
        push_lower(&mut self.text, cut(path, MAX_PATH));
        self.single_slashes();
    }

    /// The same path at a host without its port; `false` when it has none.
    pub(crate) fn set_without_port(&mut self, url: &Self) -> bool {
        let host = without_port(url.host());
        if host.len() == url.host {
            return false;
        }
        self.set_parts(host, url.path());
        true
    }

    /// The same URL as most servers read it: needless percent-encoding undone, `;parameters` of path
    /// segments left out. `false` when that changes nothing.
    pub(crate) fn set_plain(&mut self, url: &Self) -> bool {
        let path = url.path();
        if !path.contains(['%', ';']) {
            return false;
        }
        self.set_parts(url.host(), "");
        let mut rest = path.as_bytes();
        let mut in_query = false;
        let mut skipping = false;
        while let Some((&first, tail)) = rest.split_first() {
            let (byte, after) = match percent(rest) {
                Some(value) if is_unreserved(value) => (
                    value.to_ascii_lowercase(),
                    rest.get(3..).unwrap_or_default(),
                ),
                _ => (first, tail),
            };
            rest = after;
            match byte {
                b'?' => (in_query, skipping) = (true, false),
                b'/' => skipping = false,
                b';' if !in_query => skipping = true,
                _ => {}
            }
            if !skipping {
                self.text.push(char::from(byte));
            }
        }
        self.single_slashes();
        self.path() != path
    }

    fn set_parts(&mut self, host: &str, path: &str) {
        self.text.clear();
        self.text.push_str(host);
        self.host = host.len();
        self.text.push_str(path);
    }

    /// Host and path.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, with its port unless that is 80.
    pub(crate) fn host(&self) -> &str {
        self.text.get(..self.host).unwrap_or_default()
    }

    /// The path with its query; it starts with a slash.
    pub(crate) fn path(&self) -> &str {
        self.text.get(self.host..).unwrap_or_default()
    }

    fn single_slashes(&mut self) {
        if !self.path().contains("//") {
            return;
        }
        let mut before = None;
        let mut at = 0;
        let host = self.host;
        self.text.retain(|letter| {
            let kept = at < host || letter != '/' || before != Some('/');
            (before, at) = (Some(letter), at.saturating_add(letter.len_utf8()));
            kept
        });
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host<'a> {
    /// What the request says.
    Sent(&'a [u8]),
    /// The address of the packet.
    Address(IpAddr),
}

/// `host` without `:<port>`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn cut(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

/// Appends `bytes` in lower case; what is no visible ASCII character percent-encoded.
fn push_lower(text: &mut String, bytes: &[u8]) {
    // One pass without an exit is a few vector steps.
    let visible = bytes
        .iter()
        .fold(true, |all, byte| all & byte.is_ascii_graphic());
    match std::str::from_utf8(bytes) {
        Ok(plain) if visible => {
            let start = text.len();
            text.push_str(plain);
            if let Some(new) = text.get_mut(start..) {
                new.make_ascii_lowercase();
            }
        }
        _ => {
            for &byte in bytes {
                if byte.is_ascii_graphic() {
                    text.push(char::from(byte.to_ascii_lowercase()));
                } else {
                    let _ = write!(text, "%{byte:02x}");
                }
            }
        }
    }
}

/// Letters, digits, `-._~`: never need encoding (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that `%hh` at the start of `text` stands for.
fn percent(text: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether `+` is a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    /// It is itself.
    Kept,
    /// It is a space, as in forms.
    Space,
}

/// Writes `bytes` with their percent-encoding undone once to `out`.
pub(crate) fn decode(bytes: &[u8], plus: Plus, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = bytes;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let (byte, taken) = match (rest.first(), percent(rest)) {
            (_, Some(value)) => (value, 3),
            (Some(b'+'), None) if plus == Plus::Space => (b' ', 1),
            (Some(&first), None) => (first, 1),
            (None, None) => break,
        };
        out.push(byte);
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Packet text as an event shows it: invalid UTF-8 replaced, control characters percent-encoded but
/// for those that the event line itself deals with.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_control() && !matches!(letter, '\t' | '\r' | '\n') {
            let _ = write!(out, "%{:02X}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, path: &[u8]) -> Url {
        let mut url = Url::default();
        url.set(Host::Sent(host.as_bytes()), path);
        url
    }

    #[test]
    fn urls_have_the_form_of_trail_keys() {
        for (host, path, wanted) in [
            ("Site.COM", &b"/BAD.php"[..], "site.com/bad.php"),
            ("site.com:80", b"/a///b//", "site.com/a/b/"),
            (
                "site.com:8080",
                b"/x?u=http://y",
                "site.com:8080/x?u=http:/y",
            ),
            ("site.com", b"", "site.com/"),
            ("site.com", "/\u{e4}".as_bytes(), "site.com/%c3%a4"),
            ("site.com", b"/a\0\x0b\xff", "site.com/a%00%0b%ff"),
            ("a//b", b"//c", "a//b/c"),
        ] {
            let url = url(host, path);
            assert_eq!(url.as_str(), wanted);
            assert_eq!([url.host(), url.path()].concat(), wanted);
        }
        let mut url = Url::default();
        url.set(Host::Address("2001:db8::80".parse().unwrap()), b"/x");
        assert_eq!(url.as_str(), "2001:db8::80/x");
    }

    #[test]
    fn ports_are_cut_from_hosts() {
        for (host, name) in [
            ("a.com:8080", "a.com"),
            ("a.com", "a.com"),
            ("a.com:", "a.com:"),
            ("a.com:x", "a.com:x"),
            ("[2001:db8::1]:81", "[2001:db8::1]"),
            ("2001:db8::81", "2001:db8::81"),
        ] {
            assert_eq!(without_port(host), name);
        }
        let mut other = Url::default();
        assert!(other.set_without_port(&url("a.com:81", b"/x")));
        assert_eq!(other.as_str(), "a.com/x");
        assert!(!other.set_without_port(&url("a.com", b"/x")));
    }

    #[test]
    fn plain_urls_are_what_servers_read() {
        let mut plain = Url::default();
        for (path, wanted) in [
            (&b"/%6cogin"[..], Some("/login")),
            (b"/%4C%4f", Some("/lo")),
            (b"/a;v=1/b;c?d;e", Some("/a/b?d;e")),
            (b"/a%2fb", None),
            (b"/a%", None),
            (b"/a%zz%2", None),
            (b"/a", None),
        ] {
            let found = plain.set_plain(&url("h.com", path)).then(|| plain.path());
            assert_eq!(found, wanted, "{path:?}");
        }
    }

    #[test]
    fn decoding_happens_once() {
        let mut out = Vec::new();
        decode(b"a%20b+c%2541%", Plus::Kept, &mut out);
        assert_eq!(out, b"a b+c%41%");
        decode(b"a+b%2b", Plus::Space, &mut out);
        assert_eq!(out, b"a b+");
    }

    #[test]
    fn long_parts_are_cut() {
        let hosted = url(&"h".repeat(500), "/".repeat(9).as_bytes());
        assert_eq!((hosted.host().len(), hosted.path()), (MAX_HOST, "/"));
        let long = [b"/", "a".repeat(MAX_PATH * 2).as_bytes()].concat();
        assert_eq!(url("h", &long).path().len(), MAX_PATH);
    }

    #[test]
    fn no_control_character_is_shown() {
        assert_eq!(shown(b"a\0b\x1b[\xff\n"), "a%00b%1B[\u{fffd}\n");
    }
}
