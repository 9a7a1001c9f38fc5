//! Formats of a single feed.

use std::io::{self, BufRead};
use std::sync::LazyLock;

use regex::Regex;

use super::{FormatError, Sink, json};

/// An expression of this file; a test compiles them all.
type Expression = LazyLock<Option<Regex>>;

static ATMOS: Expression = LazyLock::new(|| {
    Regex::new(
        r#"<td>([^<]+\.[A-Za-z]+)</td>\s*<td style="background-color: rgb\(11, 11, 11\);"><a href="ccamdetail\.php\?hash="#,
    )
    .ok()
});
static SURICATA: Expression = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:CnC DNS Query|C2 Domain|CnC Domain).*?(?:dns\.query|tls\.sni).*?; content:"([^"]+)"#,
    )
    .ok()
});
static TRICKBOT_PAGE: Expression = LazyLock::new(|| Regex::new(r"(config\.conf_\d+\.xml)").ok());
static TRICKBOT: Expression = LazyLock::new(|| Regex::new(r"<srv>([\d.]+)").ok());

/// `relays[].or_addresses[]`: `a.b.c.d:port` and `[v6]:port`.
pub(super) fn tor_relays(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    json::records(
        body,
        &["relays[].or_addresses[]"],
        &[""],
        |number, found| {
            for address in found.first().into_iter().flatten() {
                if let Some((address, _)) = address.rsplit_once(':') {
                    sink.add(number, address.trim_matches(['[', ']']))?;
                }
            }
            Ok(())
        },
    )
}

/// Panels, and the host of each. A host that is an address is only potentially a malware site.
pub(super) fn cybercrime_tracker(sink: &mut Sink<'_>, body: &str) -> Result<(), FormatError> {
    for (at, line) in (1..).zip(body.split('\n')) {
        for line in line.split("<br />").map(str::trim) {
            if line.is_empty() || line.starts_with('#') || line.contains("(SSL)") {
                continue;
            }
            let url = line
                .split_once("://")
                .map_or(line, |(_, rest)| rest)
                .trim_end_matches('/');
            let host = match url.split_once('/') {
                Some((host, _)) => {
                    sink.add(at, url)?;
                    host
                }
                None => url,
            };
            sink.add(at, host.split(':').next().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// The text of each cell that is followed by a black cell with a link to a panel.
pub(super) fn atmos(sink: &mut Sink<'_>, body: &str) -> Result<(), FormatError> {
    Ok(each_match(&ATMOS, body, |host| sink.add(0, host))?)
}

/// Names that Suricata rules about control servers look for.
pub(super) fn suricata_names(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    each_match(&SURICATA, line, |content| {
        let name = unhex(content).to_lowercase();
        let name = name
            .trim_matches('.')
            .rsplit("//")
            .next()
            .unwrap_or_default()
            .trim_matches('.');
        if name.contains('.') {
            sink.add(number, name)?;
        }
        Ok(())
    })
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
pub(super) fn sslbl(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let columns: Vec<&str> = line.split(',').map(str::trim).collect();
    let [_, digest, reason, ..] = columns.as_slice() else {
        return Ok(());
    };
    if line.starts_with('#') {
        return Ok(());
    }
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
    let info = format!("{family} c2 cert (suspicious)");
    sink.add_labelled(number, &digest.to_lowercase(), &info)
}

/// The page of the last configuration that the index names.
pub(super) fn trickbot_page(body: &str) -> Option<String> {
    let mut last = None;
    let found = each_match(&TRICKBOT_PAGE, body, |name| {
        last = Some(name.to_owned());
        Ok(())
    });
    let folder = "https://raw.githubusercontent.com/JR0driguezB/malware_configs/master/TrickBot/mcconf_files/";
    found.ok()?;
    last.map(|name| format!("{folder}{name}"))
}

/// The address of every server element.
pub(super) fn trickbot(sink: &mut Sink<'_>, body: &str) -> Result<(), FormatError> {
    Ok(each_match(&TRICKBOT, body, |address| sink.add(0, address))?)
}

/// Panels by family: the folder of each panel's page.
pub(super) fn viriback(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let line = line.to_lowercase();
    let columns: Vec<&str> = line.split(',').collect();
    let [family, url, ..] = columns.as_slice() else {
        return Ok(());
    };
    let Some((_, rest)) = url.split_once("://") else {
        return Ok(());
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
    sink.add_labelled(number, &text, family)
}

/// Calls `found` with the first group of every match.
fn each_match(
    expression: &Expression,
    text: &str,
    mut found: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let Some(regex) = expression.as_ref() else {
        return Ok(());
    };
    for groups in regex.captures_iter(text) {
        if let Some(group) = groups.get(1) {
            found(group.as_str())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for expression in [&ATMOS, &SURICATA, &TRICKBOT_PAGE, &TRICKBOT] {
            assert!(expression.is_some());
        }
    }
}
