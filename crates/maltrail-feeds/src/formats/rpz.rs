//! Response policy zones: the owners of records that rewrite an answer. `CNAME rpz-passthru.` lets pass and
//! is no entry; `*.name` is the name; `bits.d.c.b.a.rpz-ip` is a network. Other triggers are not ours.

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{FormatError, Sink, by_line};

pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let mut origin = String::new();
    let mut depth = 0usize;
    by_line(sink, body, |sink, number, line| {
        let line = line.split(';').next().unwrap_or_default();
        // The SOA record may go over lines in parentheses.
        let inside = depth > 0;
        depth = depth
            .saturating_add(line.matches('(').count())
            .saturating_sub(line.matches(')').count());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["$ORIGIN", name, ..] => {
                origin = name.trim_end_matches('.').to_ascii_lowercase();
                Ok(())
            }
            _ if inside || line.starts_with(char::is_whitespace) => Ok(()),
            [owner, .., kind, target] => record(sink, number, &origin, [owner, kind, target]),
            _ => Ok(()),
        }
    })
}

fn record(
    sink: &mut Sink<'_>,
    number: usize,
    origin: &str,
    [owner, kind, target]: [&str; 3],
) -> io::Result<()> {
    let rewrites = match kind.to_ascii_uppercase().as_str() {
        "CNAME" => !target
            .trim_end_matches('.')
            .eq_ignore_ascii_case("rpz-passthru"),
        "A" | "AAAA" => true,
        _ => false,
    };
    if !rewrites || owner.starts_with(['@', '$']) {
        return Ok(());
    }
    let lower = owner.to_ascii_lowercase();
    let name = match lower.strip_suffix('.') {
        // An absolute owner carries the zone's own name.
        Some(absolute) if !origin.is_empty() => absolute
            .strip_suffix(origin)
            .map_or(absolute, |name| name.trim_end_matches('.')),
        Some(absolute) => absolute,
        None => &lower,
    };
    if let Some(network) = name.strip_suffix(".rpz-ip") {
        return match network_of(network) {
            Some(text) => sink.add(number, &text),
            None => {
                sink.refuse(number, owner, "no network of rpz-ip", false);
                Ok(())
            }
        };
    }
    if name.split('.').any(|label| label.starts_with("rpz-")) {
        return Ok(());
    }
    sink.add(number, name.strip_prefix("*.").unwrap_or(name))
}

/// `24.0.2.0.192` → `192.0.2.0/24`; `128.1.zz.db8.2001` → `2001:db8::1/128`.
fn network_of(text: &str) -> Option<String> {
    let mut parts: Vec<&str> = text.split('.').collect();
    let bits: u8 = parts.first()?.parse().ok()?;
    parts.remove(0);
    parts.reverse();
    if parts.len() == 4 && !parts.contains(&"zz") {
        let address: Ipv4Addr = parts.join(".").parse().ok()?;
        return (bits <= 32).then(|| format!("{address}/{bits}"));
    }
    let joined = parts.join(":");
    let joined = match joined.as_str() {
        "zz" => "::".to_owned(),
        _ if joined.starts_with("zz:") => joined.replacen("zz", ":", 1),
        _ if joined.ends_with(":zz") => joined.replacen("zz", ":", 1),
        _ => joined.replacen("zz", "", 1),
    };
    let address: Ipv6Addr = joined.parse().ok()?;
    (bits <= 128).then(|| format!("{address}/{bits}"))
}

#[cfg(test)]
mod tests {
    use super::network_of;

    #[test]
    fn networks_are_written_backwards() {
        let cases = [
            ("24.0.2.0.192", Some("192.0.2.0/24")),
            ("32.9.9.9.5", Some("5.9.9.9/32")),
            ("128.1.zz.db8.2001", Some("2001:db8::1/128")),
            ("48.zz.1.db8.2001", Some("2001:db8:1::/48")),
            ("33.1.1.1.1", None),
            ("", None),
            ("24.x.2.0.192", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(network_of(text).as_deref(), wanted, "{text}");
        }
    }
}
