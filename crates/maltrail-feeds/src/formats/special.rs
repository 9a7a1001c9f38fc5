//! Formats of a single feed.

use regex::Regex;
use serde::Deserialize;

use super::{Entry, entry};
use crate::registry::Feed;

/// `relays[].or_addresses[]`: `a.b.c.d:port` and `[v6]:port`.
pub(super) fn tor_relays(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        relays: Vec<Relay>,
    }
    #[derive(Deserialize)]
    struct Relay {
        #[serde(default)]
        or_addresses: Vec<String>,
    }
    let Ok(answer) = serde_json::from_str::<Answer>(body) else {
        return;
    };
    for address in answer.relays.iter().flat_map(|relay| &relay.or_addresses) {
        if let Some((address, _)) = address.rsplit_once(':') {
            out.push(entry(feed, address.trim_matches(['[', ']'])));
        }
    }
}

/// Panels, and the host of each. A host that is an address is only potentially a malware site.
pub(super) fn cybercrime_tracker(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in body
        .split('\n')
        .flat_map(|line| line.split("<br />"))
        .map(str::trim)
    {
        if line.is_empty() || line.starts_with('#') || line.contains("(SSL)") {
            continue;
        }
        let url = line
            .split_once("://")
            .map_or(line, |(_, rest)| rest)
            .trim_end_matches('/');
        let host = match url.split_once('/') {
            Some((host, _)) => {
                out.push(entry(feed, url));
                host
            }
            None => url,
        };
        out.push(entry(feed, host.split(':').next().unwrap_or_default()));
    }
}

/// The text of each cell that is followed by a black cell with a link to a panel.
pub(super) fn atmos(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    let pattern = r#"<td>([^<]+\.[A-Za-z]+)</td>\s*<td style="background-color: rgb\(11, 11, 11\);"><a href="ccamdetail\.php\?hash="#;
    each_match(pattern, body, |host| out.push(entry(feed, host)));
}

/// Names that Suricata rules about control servers look for.
pub(super) fn suricata_names(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    let pattern = r#"(?i)(?:CnC DNS Query|C2 Domain|CnC Domain).*?(?:dns\.query|tls\.sni).*?; content:"([^"]+)"#;
    for line in body.lines() {
        each_match(pattern, line, |content| {
            let name = unhex(content).to_lowercase();
            let name = name
                .trim_matches('.')
                .rsplit("//")
                .next()
                .unwrap_or_default()
                .trim_matches('.');
            if name.contains('.') {
                out.push(entry(feed, name));
            }
        });
    }
}

/// `a|2e|b` → `a.b`; groups that are no text vanish.
fn unhex(content: &str) -> String {
    content
        .split('|')
        .enumerate()
        .map(|(at, part)| {
            if at % 2 == 0 {
                return part.to_owned();
            }
            let bytes: Option<Vec<u8>> = part
                .split_whitespace()
                .map(|hex| u8::from_str_radix(hex, 16).ok())
                .collect();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .unwrap_or_default()
        })
        .collect()
}

/// `time,SHA-1,reason`.
pub(super) fn sslbl(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, digest, reason, ..] = columns.as_slice() else {
            continue;
        };
        let reason = reason.to_lowercase();
        let family = ["c&c", "malware distribution"]
            .iter()
            .fold(reason.as_str(), |text, tail| {
                text.strip_suffix(tail).unwrap_or(text)
            });
        let family = if family.trim().is_empty() {
            "unknown"
        } else {
            family.trim()
        };
        let mut made = entry(feed, digest.to_lowercase());
        made.info = format!("{family} c2 cert (suspicious)");
        out.push(made);
    }
}

/// The page of the last configuration that the index names.
pub(super) fn trickbot_page(body: &str) -> Option<String> {
    let mut last = None;
    each_match(r"(config\.conf_\d+\.xml)", body, |name| {
        last = Some(name.to_owned())
    });
    let folder = "https://raw.githubusercontent.com/JR0driguezB/malware_configs/master/TrickBot/mcconf_files/";
    last.map(|name| format!("{folder}{name}"))
}

/// The address of every server element.
pub(super) fn trickbot(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    each_match(r"<srv>([\d.]+)", body, |address| {
        out.push(entry(feed, address))
    });
}

/// Panels by family: the folder of each panel's page.
pub(super) fn viriback(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in body.lines().map(str::to_lowercase) {
        let columns: Vec<&str> = line.split(',').collect();
        let [family, url, ..] = columns.as_slice() else {
            continue;
        };
        let Some((_, rest)) = url.split_once("://") else {
            continue;
        };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        let cut = ["/panel", "/webpanel"]
            .iter()
            .filter_map(|word| folder.find(word))
            .min();
        let mut text = folder
            .get(..cut.unwrap_or(folder.len()))
            .unwrap_or_default()
            .replace(".xsph.ru.xsph.ru", ".xsph.ru");
        if text.parse::<std::net::Ipv4Addr>().is_ok() {
            text.push('/');
        }
        let mut made = entry(feed, text);
        made.info = (*family).to_owned();
        out.push(made);
    }
}

/// Calls `found` with the first group of every match.
fn each_match(pattern: &str, text: &str, mut found: impl FnMut(&str)) {
    let Ok(regex) = Regex::new(pattern) else {
        return;
    };
    for groups in regex.captures_iter(text) {
        if let Some(group) = groups.get(1) {
            found(group.as_str());
        }
    }
}
