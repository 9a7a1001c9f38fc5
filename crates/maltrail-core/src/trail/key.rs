//! The normal form of a trail key, and what a key is matched against.
//!
//! [`normalize`] turns the text of a list entry into the one spelling that traffic can have: lower
//! case, IPv6 compressed, names in their wire form, paths percent-encoded, slashes single. What can
//! never match is refused with the reason (`spec` trails §5 and the rows of its vectors marked
//! `differs`). Regular expressions stay exactly as written.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::set::{hash_from_right, mix};
use crate::addr::{ip_port_text, parse_ip, parse_ip_port, parse_net};
use crate::limits::TRAIL_KEY_BYTES;

/// What a key is matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// An address.
    Ip(IpAddr),
    /// An address with a port.
    IpPort(IpAddr, u16),
    /// All addresses of a network.
    Net(IpNet),
    /// SHA-1 of a TLS certificate.
    Cert([u8; 20]),
    /// A regular expression over host names.
    Pattern(&'a str),
    /// A host name, last label, URL (`host/…`) or path (`/…`), compared as text.
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// What `text` (a key in normal form, with the reference of its row) is matched against.
    pub fn of(text: &'a str, reference: &str) -> Self {
        let first = text.bytes().next().unwrap_or_default();
        if first.is_ascii_digit() || first == b'[' || text.contains(':') {
            if let Some(address) = parse_ip(text) {
                return Self::Ip(address);
            }
            if let Some((address, port)) = parse_ip_port(text) {
                return Self::IpPort(address, port);
            }
        }
        if text.contains('/')
            && !text.starts_with('/')
            && let Some(net) = parse_net(text)
        {
            return Self::Net(net);
        }
        if let Some(digest) = sha1_hex(text) {
            return Self::Cert(digest);
        }
        if may_hold_patterns(reference) && is_pattern(text) {
            Self::Pattern(text)
        } else {
            Self::Text(text)
        }
    }
}

/// Forty lower-case hex digits.
fn sha1_hex(text: &str) -> Option<[u8; 20]> {
    if text.len() != 40 {
        return None;
    }
    let mut digest = [0; 20];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| match pair.get(at)? {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        };
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(digest)
}

/// Whether rows with this reference may be expressions: the shipped lists and the user's own, never
/// a feed's text.
pub fn may_hold_patterns(reference: &str) -> bool {
    reference.contains("static") || reference.contains("custom")
}

/// Whether a key is an expression (`spec` trails §2.4): `]` or `.` followed by `*` or `+`, or a
/// bracket group of letters, digits, `_`, `.` and `-`. A path is always text.
pub fn is_pattern(text: &str) -> bool {
    if text.starts_with('/') || text.starts_with("*.") || !text.contains(['[', '*', '+']) {
        return false;
    }
    // `[2a00::1]:443` is an address, not a class.
    if text.starts_with('[') && parse_ip_port(text).is_some() {
        return false;
    }
    let repeated = text
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [b']' | b'.', b'*' | b'+']));
    repeated
        || text.split('[').skip(1).any(|rest| {
            rest.split_once(']').is_some_and(|(group, _)| {
                !group.is_empty()
                    && group.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
                    })
            })
        })
}

/// Why an entry cannot be a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum KeyError {
    /// Nothing is left.
    #[error("nothing is left of it")]
    Empty,
    /// Longer than any name, URL or expression of use.
    #[error("longer than {TRAIL_KEY_BYTES} bytes")]
    TooLong,
    /// Every request for `/` would match.
    #[error("a lone slash would match every request")]
    LoneSlash,
    /// Octet above 255 or with leading zeros.
    #[error("not an IPv4 address: an octet is above 255 or has leading zeros")]
    BadIpv4,
    /// A name that IDNA cannot encode.
    #[error("not a host name: it has no form that a packet can carry")]
    BadName,
    /// `*.name`.
    #[error("`*.` is no wildcard: write the domain alone, it covers its sub-domains")]
    Star,
    /// An expression with a slash.
    #[error("an expression is matched against host names, so one with a slash never matches")]
    PatternWithSlash,
    /// An expression that does not compile.
    #[error("the expression does not compile")]
    BadPattern,
    /// Control characters.
    #[error("it holds a control character")]
    Control,
}

/// The normal form of a cleaned list entry.
///
/// # Errors
/// Says why no traffic can ever match it.
pub fn normalize(text: &str, patterns: bool) -> Result<Cow<'_, str>, KeyError> {
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    if text.len() > TRAIL_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(KeyError::Control);
    }
    if patterns && is_pattern(text) {
        return if text.contains('/') {
            Err(KeyError::PatternWithSlash)
        } else {
            Ok(Cow::Borrowed(text))
        };
    }
    if text.starts_with("*.") {
        return Err(KeyError::Star);
    }
    let mut key = wire_form(text)?;
    if let Some(rest) = key.strip_prefix("www.").filter(|rest| !rest.contains('/')) {
        key = Cow::Owned(rest.to_owned());
    }
    if !key.starts_with('/')
        && let Some(at) = key.find('?')
    {
        key = Cow::Owned(key.get(..at).unwrap_or_default().to_owned());
    }
    if key.contains("//") {
        key = Cow::Owned(single_slashes(&key));
    }
    match key.as_ref() {
        "" => Err(KeyError::Empty),
        "/" => Err(KeyError::LoneSlash),
        _ => canonical_address(key),
    }
}

/// Lower case; letters outside ASCII as a packet carries them: punycode in the host, percent-encoded
/// bytes in the path.
fn wire_form(text: &str) -> Result<Cow<'_, str>, KeyError> {
    if text.is_ascii() {
        let lower = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return Ok(if lower {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        });
    }
    let cut = text.find(['/', '?']).unwrap_or(text.len());
    let (host, path) = text.split_at(cut);
    let mut key = if host.is_ascii() {
        host.to_ascii_lowercase()
    } else {
        idna_2003(host).ok_or(KeyError::BadName)?
    };
    for letter in path.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii() {
            key.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                key.push_str(&format!("%{byte:02x}"));
            }
        }
    }
    Ok(Cow::Owned(key))
}

/// The ASCII form of a name by IDNA 2003, as lists of the reference expect it: UTS 46 with the four
/// deviation characters mapped (§4 of UTS 46, transitional processing).
fn idna_2003(host: &str) -> Option<String> {
    let mapped: String = host
        .chars()
        .filter(|letter| !matches!(letter, '\u{200c}' | '\u{200d}'))
        .flat_map(|letter| match letter {
            'ß' | 'ẞ' => ['s', 's'].into_iter().take(2),
            // NFKC makes a full stop of it, which newer tables of UTS 46 refuse.
            '\u{2024}' => ['.', ' '].into_iter().take(1),
            'ς' => ['σ', ' '].into_iter().take(1),
            other => [other, ' '].into_iter().take(1),
        })
        .collect();
    let ascii = idna::domain_to_ascii_cow(mapped.as_bytes(), idna::AsciiDenyList::EMPTY).ok()?;
    let ascii = ascii.trim_matches('.');
    (!ascii.is_empty() && !ascii.split('.').any(str::is_empty)).then(|| ascii.to_owned())
}

fn single_slashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '/' || !out.ends_with('/') {
            out.push(letter);
        }
    }
    out
}

/// Refuses impossible IPv4, compresses IPv6.
fn canonical_address(key: Cow<'_, str>) -> Result<Cow<'_, str>, KeyError> {
    let first = key.bytes().next().unwrap_or_default();
    if first.is_ascii_digit()
        && let Some((quad, rest)) = leading_quad(&key)
    {
        let address = quad.parse::<Ipv4Addr>().is_ok();
        let port_only = rest
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        if !address && (rest.is_empty() || port_only) {
            return Err(KeyError::BadIpv4);
        }
        return Ok(key);
    }
    if key.matches(':').count() < 2 {
        return Ok(key);
    }
    let canonical = match (parse_ip(&key), parse_ip_port(&key)) {
        (Some(address @ IpAddr::V6(_)), _) => address.to_string(),
        (_, Some((address @ IpAddr::V6(_), port))) => ip_port_text(address, port),
        _ => return Ok(key),
    };
    Ok(if canonical == *key {
        key
    } else {
        Cow::Owned(canonical)
    })
}

/// The hash by which records beside a set name a key in normal form. It is the same on every machine and
/// in every version, as it is stored. Of two million keys, two have the same one with a probability of
/// one in ten million; whoever chooses keys can make two alike, so it names records and proves nothing.
pub fn key_hash(key: &str) -> u64 {
    mix(hash_from_right(key.as_bytes()))
}

/// The dotted quad that `key` starts with (digits only, not checked for range) and the rest, when
/// the quad ends there: at the end, `:`, `/` or a blank.
pub fn leading_quad(key: &str) -> Option<(&str, &str)> {
    let end = key
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (quad, rest) = key.split_at(end);
    let octets = quad
        .split('.')
        .filter(|octet| (1..=3).contains(&octet.len()))
        .count();
    (octets == 4
        && quad.split('.').count() == 4
        && (rest.is_empty() || rest.starts_with([':', '/', ' '])))
    .then_some((quad, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let kind = |text| match Key::of(text, "(static)") {
            Key::Ip(_) => "ip",
            Key::IpPort(..) => "port",
            Key::Net(_) => "net",
            Key::Cert(_) => "cert",
            Key::Pattern(_) => "pattern",
            Key::Text(_) => "text",
        };
        for (text, wanted) in [
            ("203.0.113.7", "ip"),
            ("2001:db8::66", "ip"),
            ("203.0.113.7:443", "port"),
            ("[2001:db8::66]:443", "port"),
            ("203.0.113.0/24", "net"),
            ("2001:db8::/32", "net"),
            ("203.0.113.7/", "text"),
            ("203.0.113.7/24/x", "text"),
            ("ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12", "cert"),
            (r"dga[0-9]+\.bad-zone\.com", "pattern"),
            (r"^q[0-9]+\.pw$", "pattern"),
            (r"\b[a-z0-9]{1,3}\-(alpha|b", "pattern"),
            ("evil.com", "text"),
            ("/gate.php", "text"),
            ("/a[1].php", "text"),
            ("161.35.41.9:53:53", "text"),
            ("203.0.113.7:66086", "text"),
            ("xyz", "text"),
        ] {
            assert_eq!(kind(text), wanted, "{text}");
        }
        assert_eq!(
            Key::of(r"dga[0-9]+\.com", "somefeed"),
            Key::Text(r"dga[0-9]+\.com"),
            "feeds carry no expressions"
        );
    }

    #[test]
    fn what_cannot_match_is_refused() {
        for (text, wanted) in [
            ("", KeyError::Empty),
            ("/", KeyError::LoneSlash),
            ("///", KeyError::LoneSlash),
            ("5.9.9.256", KeyError::BadIpv4),
            ("005.009.009.009", KeyError::BadIpv4),
            ("5.9.9.256:80", KeyError::BadIpv4),
            ("bücher..biz", KeyError::BadName),
            ("*.evil-star.biz", KeyError::Star),
            (r"evil[0-9]+\.biz/a", KeyError::PatternWithSlash),
            ("a\u{1b}b", KeyError::Control),
            ("?x", KeyError::Empty),
        ] {
            assert_eq!(normalize(text, true), Err(wanted), "{text:?}");
        }
    }

    #[test]
    fn each_key_has_one_spelling() {
        for (text, wanted) in [
            ("WWW.Evil.Biz", "evil.biz"),
            ("www.evil.biz/a", "www.evil.biz/a"),
            ("evil.biz?x=1", "evil.biz"),
            ("/gate.php?id=1&x=", "/gate.php?id=1&x="),
            ("////x", "/x"),
            ("[2A00:1450:0:0:0:0:0:1]:443", "[2a00:1450::1]:443"),
            ("2A00:1450:0:0:0:0:0:1", "2a00:1450::1"),
            ("bücher-evil.biz", "xn--bcher-evil-9db.biz"),
            ("STRASSE-ß.biz", "strasse-ss.biz"),
            ("evil\u{2024}dot.biz", "evil.dot.biz"),
            ("\u{200b}evil-zw.biz", "evil-zw.biz"),
            ("/päth/x.php", "/p%c3%a4th/x.php"),
            (r"^[A-Z]{2}\D\.biz$", r"^[A-Z]{2}\D\.biz$"),
            (r"evil(a|b)?[0-9]+\.biz", r"evil(a|b)?[0-9]+\.biz"),
            ("10.1.2.3.bc.evil.biz", "10.1.2.3.bc.evil.biz"),
            ("182.86.133:8880", "182.86.133:8880"),
        ] {
            assert_eq!(normalize(text, true).as_deref(), Ok(wanted), "{text}");
        }
    }

    /// The empty text has the seed alone; one byte is one step by hand: (seed ^ byte) * prime.
    #[test]
    fn the_stored_hash_never_changes() {
        assert_eq!(key_hash(""), mix(0xcbf2_9ce4_8422_2325));
        let a = (0xcbf2_9ce4_8422_2325_u64 ^ 0x61).wrapping_mul(0x0100_0000_01b3);
        assert_eq!(key_hash("a"), mix(a));
        assert_ne!(key_hash("ab"), key_hash("ba"));
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(text in "[a-zA-Zä0-9./:?\\[\\]-]{1,40}") {
            if let Ok(once) = normalize(&text, false) {
                let again = normalize(&once, false);
                // `www.www.x` loses one label a time, as in the reference.
                if !once.starts_with("www.") {
                    prop_assert_eq!(again.as_deref(), Ok(once.as_ref()));
                }
                let _ = Key::of(&once, "(static)");
            }
        }
    }
}
