//! Requests against URL and path trails.
//!
//! Candidates in order, each looked up bare and then with the host before it:
//!
//! 1. the path without its last slashes;
//! 2. with a query: the path before it; the path up to its first `=`; the path with every value
//!    after `name=` left out, and the last segment of that. Without a query, but with a body: the
//!    path, `?` and the body;
//! 3. when the last candidate has more than one slash: what stands before its last segment, and the
//!    last segment of the first candidate without a query.
//!
//! Then `host/`. The first row found wins. A host with a port is looked up with and then without it;
//! a path with needless percent-encoding or `;parameters` as sent and then without them.

use maltrail_core::event::Kind;
use maltrail_core::limits::TRAIL_KEY_BYTES;
use maltrail_core::trail::{Trail, TrailSet};
use memchr::{memchr_iter, memchr2};

use crate::finding::Finding;
use crate::web::text::{Url, shown};

/// Buffers of a search, kept from request to request.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A URL that is not as sent.
    other: Url,
    /// Host and a candidate.
    candidate: String,
    /// Host and the last segment of a candidate.
    segment: String,
}

/// A body that is looked up as if it were the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    /// Decoded, lower-case, not empty.
    pub(crate) decoded: &'a str,
    /// The method.
    pub(crate) method: &'a str,
    /// The body as sent, trimmed.
    pub(crate) body: &'a [u8],
}

/// What is known about the URL.
pub(crate) fn check<'t>(
    trails: &'t TrailSet,
    url: &Url,
    form: Option<Form<'_>>,
    scratch: &mut Scratch,
) -> Option<Finding<'t>> {
    let mut other = std::mem::take(&mut scratch.other);
    let found = as_sent(trails, url, url, form, scratch)
        .or_else(|| {
            let without = other.set_without_port(url);
            without.then(|| as_sent(trails, &other, &other, form, scratch))?
        })
        .or_else(|| {
            let plain = other.set_plain(url);
            plain.then(|| as_sent(trails, &other, url, form, scratch))?
        });
    scratch.other = other;
    found
}

/// What is known about `url`, shown as `sent`.
fn as_sent<'t>(
    trails: &'t TrailSet,
    url: &Url,
    sent: &Url,
    form: Option<Form<'_>>,
    scratch: &mut Scratch,
) -> Option<Finding<'t>> {
    let body = form.map(|form| form.decoded);
    let row = Search { trails, url }.run(body, scratch)?;
    let (kind, trail) = match form {
        Some(form) if row.key.contains('?') && !url.path().contains('?') => {
            (Kind::Http, form_trail(sent, form))
        }
        _ if row.key.strip_suffix('/') == Some(url.host()) => (Kind::Url, row.key.to_owned()),
        _ => (Kind::Url, outlined(sent.as_str(), row.key)),
    };
    Some(Finding::listed(kind, trail, row))
}

/// `host(path \(method body\))`: the path is not what was found, its body is.
fn form_trail(url: &Url, form: Form<'_>) -> String {
    let (host, path) = (url.host(), url.path());
    let body = shown(form.body);
    format!("{host}({path} \\({} {body}\\))", form.method)
}

/// `url` with every part that is not `key` in parentheses.
fn outlined(url: &str, key: &str) -> String {
    let mut out = String::with_capacity(url.len() + 4);
    for (at, part) in url.split(key).enumerate() {
        if at > 0 {
            out.push_str(key);
        }
        if !part.is_empty() {
            out.extend(["(", part, ")"]);
        }
    }
    out
}

/// One search. Candidates are handled with the host before them, so that either form is a slice.
struct Search<'t, 'u> {
    trails: &'t TrailSet,
    url: &'u Url,
}

impl<'t> Search<'t, '_> {
    fn run(&self, body: Option<&str>, scratch: &mut Scratch) -> Option<Trail<'t>> {
        let (url, path) = (self.url.as_str(), self.url.path());
        let host = self.url.host().len();
        let whole = url.trim_end_matches('/');
        let found = self.either(whole);
        if found.is_some() {
            return found;
        }
        let candidate = &mut scratch.candidate;
        let mut last = whole;
        if let Some(question) = path.find('?') {
            let page = url.get(..host + question)?.trim_end_matches('/');
            let name = path.find('=').and_then(|at| url.get(..=host + at));
            let blank = blanked(self.url, candidate).then_some(candidate.as_str());
            let blank =
                blank.filter(|&blank| Some(blank) != name && blank != page && blank != whole);
            last = blank.or(name).unwrap_or(page);
            let found = self
                .either(page)
                .or_else(|| self.either(name?))
                .or_else(|| self.either(blank?))
                .or_else(|| {
                    let tail = last_segment(blank?.get(host..)?)?;
                    last = tail;
                    self.tail(tail, &mut scratch.segment)
                });
            if found.is_some() {
                return found;
            }
        } else if let Some(body) = body {
            candidate.clear();
            candidate.extend([url, "?", body]);
            last = candidate.as_str();
            let found = self.either(last);
            if found.is_some() {
                return found;
            }
        }
        // What was cut to its last segment is a bare path with one slash.
        let bare = last
            .get(host..)
            .filter(|_| last.len() > host && !last.starts_with('/'));
        if let Some(bare) = bare
            && let Some(slash) = bare.rfind('/').filter(|&slash| slash > 0)
        {
            let found = self.either(last.get(..host + slash)?).or_else(|| {
                let tail = whole.get(host..)?;
                let tail = tail.get(tail.rfind('/')?..)?;
                let tail = tail.split('?').next().unwrap_or(tail);
                self.tail(tail, &mut scratch.segment)
            });
            if found.is_some() {
                return found;
            }
        }
        let root = url.get(..=host)?;
        self.lookup(root)
    }

    /// The row of a candidate, bare or with its host; `text` has both.
    #[inline]
    fn either(&self, text: &str) -> Option<Trail<'t>> {
        let host = self.url.host().len();
        if text.len() <= host {
            return None;
        }
        if text.len() > TRAIL_KEY_BYTES {
            return self.lookup(text.get(host..)?);
        }
        self.trails.text_or_longer(host, text)
    }

    /// The same of a bare segment.
    fn tail(&self, tail: &str, buffer: &mut String) -> Option<Trail<'t>> {
        buffer.clear();
        buffer.extend([self.url.host(), tail]);
        self.either(buffer)
    }

    #[inline]
    fn lookup(&self, key: &str) -> Option<Trail<'t>> {
        (key.len() <= TRAIL_KEY_BYTES)
            .then(|| self.trails.text(key))
            .flatten()
    }
}

/// `/` and the last segment of a path with more than one slash.
fn last_segment(path: &str) -> Option<&str> {
    path.get(path.rfind('/').filter(|&slash| slash > 0)?..)
}

/// Writes host and path with every value after `name=` left out; `false` when the path has none.
fn blanked(url: &Url, out: &mut String) -> bool {
    let path = url.path();
    if !path.contains('=') {
        return false;
    }
    out.clear();
    out.push_str(url.host());
    let bytes = path.as_bytes();
    let mut copied = 0;
    for equals in memchr_iter(b'=', bytes) {
        // A name is at least one letter that no value has taken.
        let name = bytes.get(copied..equals).and_then(<[u8]>::last);
        if !name.copied().is_some_and(is_word) {
            continue;
        }
        let value = equals.saturating_add(1);
        out.push_str(path.get(copied..value).unwrap_or_default());
        let rest = bytes.get(value..).unwrap_or_default();
        copied = memchr2(b'&', b'=', rest).map_or(bytes.len(), |end| value + end);
    }
    out.push_str(path.get(copied..).unwrap_or_default());
    true
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use maltrail_core::trail::Whitelist;

    use super::*;
    use crate::web::text::Host;

    #[track_caller]
    fn check(key: &str, host: &str, path: &str, wanted: Option<&str>) {
        let rows = format!("{key},x,r\n");
        let trails = TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).unwrap();
        let mut url = Url::default();
        url.set(Host::Sent(host.as_bytes()), path.as_bytes());
        let found = super::check(&trails, &url, None, &mut Scratch::default());
        let found = found.map(|finding| format!("{} {}", finding.kind, finding.trail));
        assert_eq!(found.as_deref(), wanted, "{key}: {host}{path}");
    }

    #[test]
    fn a_port_is_looked_up_before_it_is_cut() {
        let path = "/bad.php?x=1";
        check(
            "a.com:81/bad.php",
            "a.com:81",
            path,
            Some("URL a.com:81/bad.php(?x=1)"),
        );
        check(
            "a.com/bad.php",
            "a.com:81",
            path,
            Some("URL a.com/bad.php(?x=1)"),
        );
        check("a.com/", "a.com:81", path, Some("URL a.com/"));
        check("a.com:82/bad.php", "a.com:81", path, None);
    }

    #[test]
    fn disguised_paths_match_and_are_shown_as_sent() {
        check(
            "a.com/login",
            "a.com",
            "/%6cogin",
            Some("URL (a.com/%6cogin)"),
        );
        check(
            "/login",
            "a.com",
            "/login;jsession=1?x",
            Some("URL (a.com)/login(;jsession=1?x)"),
        );
        check("/x", "a.com", "/%6cogin", None);
    }

    #[test]
    fn neither_an_empty_path_nor_the_bare_host_is_a_candidate() {
        check("a.com", "a.com", "/", None);
        check("a.com", "a.com", "/?", None);
        check("a.com/", "a.com", "/", Some("URL a.com/"));
    }

    #[test]
    fn every_value_is_left_out() {
        check(
            "/a.php?b=&c==d",
            "h.com",
            "/a.php?b=1&c=2=d",
            Some("URL (h.com/a.php?b=1&c=2=d)"),
        );
        check("/a.php?b=&=", "h.com", "/a.php?b=1&=2", None);
        check(
            "/a.php?b=&=2",
            "h.com",
            "/a.php?b=1&=2",
            Some("URL (h.com/a.php?b=1&=2)"),
        );
    }

    #[test]
    fn every_part_outside_the_key_is_set_apart() {
        assert_eq!(outlined("a/x/b/x/c", "/x"), "(a)/x(/b)/x(/c)");
        assert_eq!(outlined("abc", "abc"), "abc");
        assert_eq!(outlined("abc", "zz"), "(abc)");
    }
}
