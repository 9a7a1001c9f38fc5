//! One line of a trail list → the text of its entry (`spec` trails §2.2 and §3).

use std::borrow::Cow;

use super::key::is_pattern;

/// Which rules a list follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The shipped lists: a URL without a path gets a slash, one slash at the end stays.
    Static,
    /// The user's own lists: every slash at the end is cut, so `http://name` is the domain.
    Custom,
}

/// The entry of a line; `None` for blank and comment lines.
pub fn entry(line: &str, dialect: Dialect) -> Option<Cow<'_, str>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let text = line
        .split_once('#')
        .map_or(line, |(before, _)| before.trim_end());
    if is_pattern(text) {
        return Some(Cow::Borrowed(text));
    }
    let (scheme, text) = text
        .split_once("://")
        .map_or((false, text), |(_, rest)| (true, rest));
    Some(match dialect {
        Dialect::Static if text.contains('/') => Cow::Borrowed(several_slashes(text)),
        Dialect::Static if scheme => Cow::Owned(format!("{text}/")),
        Dialect::Static => Cow::Borrowed(text.trim_matches('.')),
        Dialect::Custom => Cow::Borrowed(strip_dots(text.trim_end_matches('/'))),
    })
}

fn several_slashes(text: &str) -> &str {
    if memchr::memchr_iter(b'/', text.as_bytes()).count() > 1 {
        text.trim_end_matches('/')
    } else {
        text
    }
}

fn strip_dots(text: &str) -> &str {
    if text.contains('/') {
        text
    } else {
        text.trim_matches('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_lines_keep_root_urls() {
        for (line, wanted) in [
            (
                "evil-four.example.biz # first seen in spam",
                Some("evil-four.example.biz"),
            ),
            ("evil-five.example.biz#frag", Some("evil-five.example.biz")),
            ("  # note", None),
            (".zz", Some("zz")),
            ("http://evil-ten.example.biz", Some("evil-ten.example.biz/")),
            (
                "https://evil-ten.example.biz/",
                Some("evil-ten.example.biz/"),
            ),
            ("http://evil.biz/a/b/", Some("evil.biz/a/b")),
            ("/gate/", Some("/gate")),
            (r".[a-z]+\.biz", Some(r".[a-z]+\.biz")),
        ] {
            assert_eq!(entry(line, Dialect::Static).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn custom_lines_name_domains() {
        for (line, wanted) in [
            ("http://c3.biz", "c3.biz"),
            ("http://c3.biz/", "c3.biz"),
            ("http://c2.biz/a/", "c2.biz/a"),
            ("/c.php/", "/c.php"),
            ("5.9.8.0/30 # range", "5.9.8.0/30"),
            (".r5.biz.", "r5.biz"),
        ] {
            assert_eq!(
                entry(line, Dialect::Custom).as_deref(),
                Some(wanted),
                "{line}"
            );
        }
    }
}
