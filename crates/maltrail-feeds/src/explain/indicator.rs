//! What a person pastes → what it is.

use std::net::IpAddr;

use ipnet::IpNet;
use maltrail_core::addr::{parse_ip, parse_ip_port, parse_net};
use maltrail_core::name::HostName;
use maltrail_core::trail::key::normalize;

/// Longest text that is looked at, in bytes.
pub const INDICATOR_BYTES: usize = 8192;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// A host name, in the form that packets carry.
    Name(String),
    /// An address, with a port when one was given.
    Address(IpAddr, Option<u16>),
    /// A network.
    Network(IpNet),
    /// A URL.
    Url {
        /// Its scheme; empty when none was given.
        scheme: String,
        /// Host, with its port when one was given.
        host: String,
        /// Path and query, from the slash.
        path: String,
    },
    /// A path without a host.
    Path(String),
    /// SHA-1 of a certificate.
    Certificate([u8; 20]),
    /// A fingerprint of a kind that no list is about.
    Fingerprint(&'static str),
    /// A user agent.
    UserAgent(String),
}

impl Indicator {
    /// Reads it; written so that nobody clicks on it (`hxxp://evil[.]com`), it is mended first.
    ///
    /// # Errors
    /// Why nothing can be asked about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_matches(['"', '\'', '<', '>', '`']).trim();
        if text.is_empty() || text.len() > INDICATOR_BYTES {
            return Err(format!(
                "an indicator has 1 to {INDICATOR_BYTES} bytes, this one {}",
                text.len()
            ));
        }
        let text = refang(text);
        fingerprint(&text)
            .or_else(|| endpoint(&text))
            .or_else(|| url(&text))
            .or_else(|| text.starts_with('/').then(|| Self::Path(text.clone())))
            .or_else(|| name(&text).map(Self::Name))
            .map_or_else(|| Ok(Self::UserAgent(text)), Ok)
    }

    /// What it was taken for.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Address(_, None) => "address",
            Self::Address(_, Some(_)) => "address and port",
            Self::Network(_) => "network",
            Self::Url { .. } => "URL",
            Self::Path(_) => "path",
            Self::Certificate(_) => "certificate (SHA-1)",
            Self::Fingerprint(_) => "fingerprint",
            Self::UserAgent(_) => "user agent",
        }
    }

    /// The keys that lists may have for it, the most specific first.
    pub fn keys(&self) -> Vec<String> {
        let parents = |name: &str| -> Vec<String> {
            let starts = maltrail_core::name::suffix_starts(name);
            starts
                .filter_map(|start| name.get(start..).map(str::to_owned))
                .collect()
        };
        match self {
            Self::Name(name) => parents(name),
            Self::Address(address, port) => {
                let with_port = port.map(|port| maltrail_core::addr::ip_port_text(*address, port));
                with_port.into_iter().chain([address.to_string()]).collect()
            }
            Self::Network(net) => vec![net.to_string()],
            Self::Url { host, path, .. } => {
                let mut keys: Vec<String> = [format!("{host}{path}"), format!("{host}/")]
                    .iter()
                    .chain([path])
                    .filter_map(|key| normalize(key, false).ok().map(Into::into))
                    .collect();
                let bare = host_of(host);
                keys.extend(match parse_ip(bare) {
                    Some(address) => vec![host.clone(), address.to_string()],
                    None => parents(bare),
                });
                keys.dedup();
                keys
            }
            Self::Path(path) => normalize(path, false).map(Into::into).into_iter().collect(),
            Self::Certificate(digest) => vec![hex(digest)],
            Self::Fingerprint(_) | Self::UserAgent(_) => Vec::new(),
        }
    }
}

/// A host without its port.
pub fn host_of(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Undoes the ways in which reports make indicators harmless.
pub fn refang(text: &str) -> String {
    let mut text = text.to_owned();
    for (from, to) in [
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[:]", ":"),
        ("[:", ":"),
        ("[/]", "/"),
        ("[://]", "://"),
        ("\\.", "."),
    ] {
        // `[::1]:80` is an address in its own form.
        if from != "[:" || (text.contains("[://") && !text.starts_with('[')) {
            text = text.replace(from, to);
        }
    }
    text = text.replace("://]", "://");
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_owned());
    if let Some(scheme) = scheme {
        let mended = scheme
            .to_ascii_lowercase()
            .replace("hxxp", "http")
            .replace("fxp", "ftp");
        let rest = text.get(scheme.len()..).unwrap_or_default().to_owned();
        text = mended + &rest;
    }
    text
}

fn fingerprint(text: &str) -> Option<Indicator> {
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    // Sixteen groups of an address are shorter than any digest.
    if digits.len() < 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    if text.contains(':') && parse_ip(text).is_some() {
        return None;
    }
    match digits.len() {
        40 => {
            let mut digest = [0; 20];
            for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
                let pair = std::str::from_utf8(pair).ok()?;
                *byte = u8::from_str_radix(pair, 16).ok()?;
            }
            Some(Indicator::Certificate(digest))
        }
        32 => Some(Indicator::Fingerprint("MD5")),
        64 => Some(Indicator::Fingerprint("SHA-256")),
        96 => Some(Indicator::Fingerprint("SHA-384")),
        128 => Some(Indicator::Fingerprint("SHA-512")),
        _ => None,
    }
}

fn endpoint(text: &str) -> Option<Indicator> {
    if let Some(address) = parse_ip(text) {
        return Some(Indicator::Address(address, None));
    }
    if let Some((address, port)) = parse_ip_port(text) {
        return Some(Indicator::Address(address, Some(port)));
    }
    parse_net(text).map(Indicator::Network)
}

fn url(text: &str) -> Option<Indicator> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let is_word =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    if !scheme.chars().all(is_word) || text.starts_with('/') {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit('@').next().unwrap_or(host);
    let bare = host_of(host);
    let address = parse_ip(bare).is_some();
    // `curl/8.5.0` is no host with a path: a host has a dot.
    let known = address || (bare.contains('.') && name(bare).is_some());
    if !known || (scheme.is_empty() && path.is_empty() && bare == host) || rest.contains(' ') {
        return None;
    }
    let path = path.split('#').next().unwrap_or_default();
    let host = if address {
        host.to_ascii_lowercase()
    } else {
        let port = host.get(bare.len()..).unwrap_or_default();
        format!("{}{port}", wire(bare)?)
    };
    Some(Indicator::Url {
        scheme: scheme.to_ascii_lowercase(),
        host,
        path: match path {
            "" => "/".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        },
    })
}

/// A name in the form that packets carry, `www.` kept.
fn wire(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    // `x.` keeps a `www.` in front of the rest.
    let form = normalize(&format!("x.{text}"), false).ok()?.into_owned();
    form.strip_prefix("x.").map(str::to_owned)
}

fn name(text: &str) -> Option<String> {
    let text = text.trim_start_matches('.');
    if text.contains([' ', '/', ':', '?', ';', '(', '*']) {
        return None;
    }
    let form = wire(text)?;
    let label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (HostName::new(&form).is_some() || (!form.is_empty() && form.bytes().all(label)))
        .then_some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        match Indicator::parse(text) {
            Ok(Indicator::Url { scheme, host, path }) => format!("url {scheme} {host} {path}"),
            Ok(Indicator::Name(name)) => format!("name {name}"),
            Ok(Indicator::Address(address, port)) => {
                format!("address {address} {}", port.unwrap_or_default())
            }
            Ok(Indicator::Network(net)) => format!("net {net}"),
            Ok(Indicator::Certificate(digest)) => format!("cert {}", hex(&digest)),
            Ok(Indicator::Path(path)) => format!("path {path}"),
            Ok(Indicator::UserAgent(text)) => format!("agent {text}"),
            Ok(Indicator::Fingerprint(kind)) => format!("fingerprint {kind}"),
            Err(error) => format!("error {error}"),
        }
    }

    #[test]
    fn each_kind_is_recognised() {
        for (text, wanted) in [
            ("Evil.COM.", "name evil.com"),
            ("www.evil.com", "name www.evil.com"),
            ("bücher.biz", "name xn--bcher-kva.biz"),
            ("onion", "name onion"),
            ("_dmarc.evil.com", "name _dmarc.evil.com"),
            ("203.0.113.7", "address 203.0.113.7 0"),
            ("203.0.113.7:443", "address 203.0.113.7 443"),
            ("2001:DB8::1", "address 2001:db8::1 0"),
            ("[2001:db8::1]:80", "address 2001:db8::1 80"),
            ("198.51.100.0/24", "net 198.51.100.0/24"),
            ("http://Evil.com", "url http evil.com /"),
            (
                "https://u:p@evil.com:8443/A?b=1#c",
                "url https evil.com:8443 /A?b=1",
            ),
            ("evil.com/a/b", "url  evil.com /a/b"),
            ("evil.com:81", "url  evil.com:81 /"),
            ("203.0.113.7/x.sh", "url  203.0.113.7 /x.sh"),
            (
                "http://[2001:db8::1]:8080/x",
                "url http [2001:db8::1]:8080 /x",
            ),
            ("/gate.php?id=1", "path /gate.php?id=1"),
            ("curl/8.5.0", "agent curl/8.5.0"),
            (
                "Mozilla/5.0 (X11) evil.com/1",
                "agent Mozilla/5.0 (X11) evil.com/1",
            ),
            (
                "AB12cd34ef56ab12cd34ef56ab12cd34ef56ab12",
                "cert ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12",
            ),
            (
                "AB:12:cd:34:ef:56:ab:12:cd:34:ef:56:ab:12:cd:34:ef:56:ab:12",
                "cert ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12",
            ),
            (
                "2001:0db8:0000:0000:0000:0000:0000:0001",
                "address 2001:db8::1 0",
            ),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        assert_eq!(parse(&"ab".repeat(32)), "fingerprint SHA-256");
        assert!(parse("").starts_with("error") && parse(&"x".repeat(9000)).starts_with("error"));
    }

    #[test]
    fn what_reports_make_harmless_is_mended() {
        for (text, wanted) in [
            ("hxxps://evil[.]com/a", "url https evil.com /a"),
            ("hXXp[://]evil[.]com/a", "url http evil.com /a"),
            ("hxxp[:]//evil(.)com", "url http evil.com /"),
            ("evil[dot]com", "name evil.com"),
            ("203.0.113[.]7[:]443", "address 203.0.113.7 443"),
            (r"evil\.com", "name evil.com"),
            ("<\"evil.com\">", "name evil.com"),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn keys_go_from_the_most_specific_to_the_least() {
        let keys = |text| Indicator::parse(text).expect("indicator").keys();
        assert_eq!(keys("a.evil.com"), ["a.evil.com", "evil.com", "com"]);
        assert_eq!(keys("203.0.113.7:443"), ["203.0.113.7:443", "203.0.113.7"]);
        assert_eq!(
            keys("http://evil.com:81/A?x=1"),
            ["evil.com:81/a", "evil.com:81/", "/a?x=1", "evil.com", "com"]
        );
    }
}
