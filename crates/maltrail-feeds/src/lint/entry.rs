//! One entry: what normalisation changes, why it cannot match, and what drops it.

use std::net::IpAddr;

use maltrail_core::addr::{parse_ip, parse_ip_port};
use maltrail_core::limits::{LABEL_BYTES, NAME_BYTES};
use maltrail_core::trail::key::{is_pattern, leading_quad};
use maltrail_core::trail::{Key, TrailSetBuilder, Whitelist};

use super::{Level, LintContext};

/// Last labels of a site's own names, questions for which are passed over.
pub const SITE_SUFFIXES: [&str; 17] = [
    "alienvault",
    "arpa",
    "corp",
    "example",
    "guest",
    "home",
    "internal",
    "intra",
    "intran",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localnet",
    "test",
    "url",
    "workgroup",
];
/// Letters that look like `-` and `.` and are others (`spec` trails §8).
const LOOK_ALIKES: [char; 10] = [
    '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}', '\u{2024}', '\u{3002}',
    '\u{ff0e}', '\u{a0}',
];
/// Shortest prefix of a network that anybody lists on purpose.
const BROAD: [u8; 2] = [8, 16];

pub(super) type Saying = (Level, &'static str, String);

/// What normalisation did to `written` on the way to `key`.
pub(super) fn changes(written: &str, key: &str, out: &mut Vec<Saying>) {
    if is_pattern(written) || written == key {
        return;
    }
    let mut note = |level, rule, text: String| out.push((level, rule, text));
    if written.contains(LOOK_ALIKES) {
        let text = "it has a letter that looks like `-` or `.` and is another one: copied from a document?";
        note(Level::Warning, "look-alike", text.to_owned());
    }
    let (scheme, rest) = written
        .split_once("://")
        .map_or(("", written), |(scheme, rest)| (scheme, rest));
    if !scheme.is_empty() {
        note(
            Level::Note,
            "scheme",
            format!("`{scheme}://` is cut: any scheme matches"),
        );
    }
    if rest.bytes().any(|byte| byte.is_ascii_uppercase()) {
        note(Level::Note, "capitals", format!("becomes `{key}`"));
    }
    if !rest.is_ascii() {
        note(
            Level::Note,
            "idna",
            format!("becomes `{key}`, as packets carry it"),
        );
    }
    let lower = rest.to_ascii_lowercase();
    if lower.starts_with("www.") && !key.starts_with("www.") {
        note(
            Level::Note,
            "www",
            "`www.` is cut: the domain covers it".to_owned(),
        );
    }
    if !rest.starts_with('/') && rest.contains('?') && !key.contains('?') {
        let text = "everything from `?` on is cut: only paths without a host keep their query";
        note(Level::Warning, "query", text.to_owned());
    }
    if rest.contains("//") {
        note(
            Level::Note,
            "slashes",
            "runs of slashes become one".to_owned(),
        );
    }
    let is_address =
        key.matches(':').count() > 1 && (parse_ip(key).is_some() || parse_ip_port(key).is_some());
    if is_address && lower != key {
        note(Level::Note, "address-form", format!("becomes `{key}`"));
    }
}

/// Why `key` never matches.
pub(super) fn faults(key: &str, out: &mut Vec<Saying>) {
    let mut error = |rule, text: String| out.push((Level::Error, rule, text));
    match Key::of(key, "(static)") {
        Key::Ip(_) | Key::Cert(_) => {}
        Key::IpPort(_, 0) => error("port", "port 0 is never used".to_owned()),
        Key::IpPort(..) => {}
        Key::Net(net) => {
            let least = BROAD[usize::from(net.addr().is_ipv6())];
            if net.prefix_len() < least {
                error(
                    "broad",
                    format!("a network of more than /{least} would report half the world"),
                );
            }
        }
        Key::Pattern(text) => out.extend(expression(text)),
        Key::Text(text) if text.starts_with('/') => {}
        Key::Text(text) => {
            if let Some((rule, why)) = host_fault(text) {
                error(rule, why);
            }
        }
    }
}

/// What the sensor says about an expression.
fn expression(text: &str) -> Option<Saying> {
    let mut builder = TrailSetBuilder::new(Whitelist::default());
    builder.push(text, "", "(static)");
    let set = builder.finish(true).ok()?;
    let report = &set.report().patterns;
    if let Some((_, why)) = report.unusable.first() {
        let why = why.lines().next_back().unwrap_or_default();
        return Some((
            Level::Error,
            "expression",
            format!("the expression does not compile: {why}"),
        ));
    }
    report.repaired.first().map(|_| {
        let text = "the expression is cut inside a group: it is used without its last alternative";
        (Level::Warning, "cut-expression", text.to_owned())
    })
}

/// Why the host of a name or URL is none.
fn host_fault(key: &str) -> Option<(&'static str, String)> {
    let (authority, path) = key
        .split_once('/')
        .map_or((key, None), |(host, path)| (host, Some(path)));
    if authority.starts_with('[') {
        let address = authority
            .split(']')
            .next()
            .and_then(|text| parse_ip(text.trim_start_matches('[')));
        return address.is_none().then(|| {
            (
                "address",
                "no IPv6 address stands between the brackets".to_owned(),
            )
        });
    }
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, port)) => (host, Some(port)),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numeric = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if let Some(port) = port {
        if port.contains(':') || (numeric && leading_quad(host).is_none()) {
            return Some((
                "address",
                "neither an address nor an address with a port".to_owned(),
            ));
        }
        if !digits(port)
            || port.parse::<u16>().is_ok_and(|port| port == 0)
            || port.parse::<u16>().is_err()
        {
            return Some(("port", format!("`{port}` is no port (1-65535)")));
        }
        if path.is_none() && !numeric {
            let text = "a name with a port is never matched by itself: write the name, or a URL with a slash";
            return Some(("name-port", text.to_owned()));
        }
    }
    if numeric && leading_quad(host).is_some() {
        return None;
    }
    name_fault(host)
}

/// Why packets cannot carry a name, or are not looked at.
fn name_fault(name: &str) -> Option<(&'static str, String)> {
    let fault = |text: String| Some(("name", text));
    if name.len() > NAME_BYTES {
        return fault(format!("a name has at most {NAME_BYTES} bytes"));
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES {
            return fault(format!(
                "a label has 1 to {LABEL_BYTES} bytes, one of these has {}",
                label.len()
            ));
        }
        let odd = label
            .chars()
            .find(|letter| !(letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')));
        if let Some(odd) = odd {
            let odd: String = odd.escape_default().collect();
            return fault(format!("no host name has `{odd}`"));
        }
    }
    if last.contains('_') {
        return fault("no top-level domain has `_`".to_owned());
    }
    if SITE_SUFFIXES.contains(&last) && name != last {
        return Some((
            "site-suffix",
            format!("names under `.{last}` are a site's own and are not looked at"),
        ));
    }
    None
}

/// What keeps `key` out of the set, or hides its events.
pub(super) fn drops(key: &str, context: &LintContext, blameless: bool, out: &mut Vec<Saying>) {
    let mut warn = |rule, text: &str| out.push((Level::Warning, rule, text.to_owned()));
    if context.whitelist.drops_trail(key) {
        return warn(
            "whitelisted",
            "it is on the whitelist and never gets into the set",
        );
    }
    if matches!(Key::of(key, "(static)"), Key::Pattern(_) | Key::Net(_)) {
        return;
    }
    let host = key.split('/').next().unwrap_or_default();
    if host == "localhost" || host.ends_with(".localhost") || host.starts_with("localhost:") {
        return warn("unroutable", "a local name never gets into the set");
    }
    let address = leading_quad(key).map_or_else(
        || parse_ip(host).or_else(|| parse_ip_port(host).map(|(address, _)| address)),
        |(quad, _)| parse_ip(quad),
    );
    match address {
        Some(address) => {
            let own = matches!(address, IpAddr::V4(v4) if v4.is_loopback() || v4.octets().starts_with(&[192, 168]));
            if own || (!blameless && context.bogons.contains(address)) {
                warn(
                    "unroutable",
                    "a loopback, private or unroutable address never gets into the set",
                );
            } else if !blameless && context.cdns.contains(address) {
                warn(
                    "cdn",
                    "an address of a CDN never gets into the set: many sites share it",
                );
            } else if context.whitelist.covers_address(address) {
                warn(
                    "shadowed",
                    "its address is whitelisted: it is in the set and never reported",
                );
            }
        }
        None if !host.is_empty() && context.whitelist.covers_name(host) => {
            warn(
                "shadowed",
                "a parent is whitelisted: it is in the set and never reported",
            );
        }
        None => {}
    }
}
