//! What a set of threats says about the outside, once each: names, addresses, addresses with a port, URLs and
//! user agents, for the formats that carry indicators and not events.
//!
//! A trail gives its bare form. A destination counts when it is an IPv4 address of somebody else and the threat is
//! no DNS question: the destination of a question is only the resolver that was asked, and own addresses
//! (`HOME_NETWORKS`) are no indicators. Bound: [`MAX_INDICATORS`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use maltrail_core::addr::{parse_ip, parse_ip_port};
use maltrail_core::event::Severity;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;

use crate::store::table::{DayTable, Threat};

/// Most different indicators of one export: about 150 MB. A day of 200,000 threats fits.
pub(crate) const MAX_INDICATORS: usize = 500_000;

/// What an indicator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Address,
    /// Address and port.
    Endpoint,
    Url,
    UserAgent,
    /// Ports, digests and other text that only our own sensor matches.
    Other,
}

impl Kind {
    /// By the type of the event and the bare trail.
    pub(crate) fn of(event_type: &str, bare: &str) -> Self {
        if parse_ip(bare).is_some() {
            return Self::Address;
        }
        if parse_ip_port(bare).is_some() {
            return Self::Endpoint;
        }
        match event_type {
            "UA" => Self::UserAgent,
            "PORT" | "CERT" => Self::Other,
            _ if bare.contains('/') && !bare.starts_with('/') => {
                let host = bare.split_once("://").map_or(bare, |(_, rest)| rest);
                let host = host.split(['/', '?']).next().unwrap_or_default();
                let host = maltrail_feeds::explain::host_of(host);
                if parse_ip(host).is_some() || is_name(host) {
                    Self::Url
                } else {
                    Self::Other
                }
            }
            _ if is_name(bare) => Self::Name,
            _ => Self::Other,
        }
    }
}

fn is_name(text: &str) -> bool {
    text.contains('.') && HostName::new(&text.to_ascii_lowercase()).is_some()
}

/// One indicator with what was seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Indicator {
    pub(crate) kind: Kind,
    pub(crate) info: Box<str>,
    pub(crate) reference: Box<str>,
    pub(crate) severity: Severity,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) events: u64,
    /// It was a destination; the trail of that threat is another indicator.
    pub(crate) is_destination: bool,
}

/// There are more than [`MAX_INDICATORS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Indicators in order of their text.
#[derive(Debug, Default)]
pub(crate) struct Indicators(pub(crate) BTreeMap<Box<str>, Indicator>);

impl Indicators {
    /// Takes over what a threat says; of one seen before, the widest times and the highest severity stay.
    pub(crate) fn take(&mut self, table: &DayTable, threat: &Threat) -> Result<(), TooMany> {
        let Some(head) = table.atoms.get(threat.head as usize).map(|atom| atom.key) else {
            return Ok(());
        };
        let event_type = table.texts.get(head.kind);
        let bare = bare(table.texts.get(head.trail));
        let seen = |kind, is_destination| Indicator {
            kind,
            info: table.texts.get(head.info).into(),
            reference: table.texts.get(head.reference).into(),
            severity: threat.severity,
            first: threat.first,
            last: threat.last,
            events: threat.count,
            is_destination,
        };
        if !bare.is_empty() {
            let kind = Kind::of(event_type, &bare);
            self.put(bare.into(), seen(kind, false))?;
        }
        if event_type == "DNS" {
            return Ok(());
        }
        for atom in table.atoms_of(threat) {
            for id in atom.dst.iter() {
                let text = table.addrs.get(id);
                if is_foreign(text) && !table.is_home(text) {
                    self.put(text.into(), seen(Kind::Address, true))?;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, text: Box<str>, new: Indicator) -> Result<(), TooMany> {
        if let Some(known) = self.0.get_mut(&text) {
            known.first = known.first.min(new.first);
            known.last = known.last.max(new.last);
            if known.is_destination && !new.is_destination {
                *known = Indicator {
                    first: known.first,
                    last: known.last,
                    ..new
                };
            } else if known.is_destination == new.is_destination {
                known.events += new.events;
                if new.severity > known.severity {
                    (known.severity, known.info) = (new.severity, new.info);
                    known.reference = new.reference;
                }
            }
            return Ok(());
        }
        if self.0.len() >= MAX_INDICATORS {
            return Err(TooMany);
        }
        self.0.insert(text, new);
        Ok(())
    }
}

/// An IPv4 address that one host has.
fn is_foreign(text: &str) -> bool {
    matches!(parse_ip(text), Some(IpAddr::V4(address))
        if !(address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified()))
}

/// The indicator in a trail (dashboard facts §13): escaped parentheses are letters, a last ` (...)` goes,
/// other parentheses go and what they hold stays.
pub(crate) fn bare(trail: &str) -> String {
    let trail = trail.replace("\\(", "(").replace("\\)", ")");
    let trail = trail.trim();
    let head = trail
        .strip_suffix(')')
        .and_then(|head| head.rsplit_once(" ("))
        .filter(|(_, tail)| !tail.contains(')'))
        .map_or(trail, |(head, _)| head);
    head.replace(['(', ')'], "").trim().to_owned()
}

/// The text so that nobody clicks on it, on one line: `.` in brackets, no scheme that opens, and letters that
/// end a line, draw nothing or reverse the text spelled out.
pub(crate) fn defanged(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter.is_control() || reverses(letter) {
            out.push_str(&format!("\\u{{{:x}}}", letter as u32));
        } else {
            out.push(letter);
        }
    }
    out.replace("://", "[://]")
        .replace('.', "[.]")
        .replace("http", "hxxp")
        .replace("HTTP", "HXXP")
}

/// Marks of direction, and line ends beside the control characters.
const fn reverses(letter: char) -> bool {
    matches!(
        letter,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::{Fields, FloodRule, tests::event};

    #[test]
    fn bare_trails() {
        for (trail, wanted) in [
            ("(abc).com", "abc.com"),
            ("evil.example (malware)", "evil.example"),
            ("a (b) (c)", "a b"),
            (r"x\(1\).biz", "x1.biz"),
            ("(www).evil.example", "www.evil.example"),
            ("1.2.3.4:80", "1.2.3.4:80"),
            ("  ", ""),
        ] {
            assert_eq!(bare(trail), wanted, "{trail}");
        }
    }

    #[test]
    fn nobody_clicks_on_what_is_defanged() {
        assert_eq!(
            defanged("http://evil.example/a"),
            "hxxp[://]evil[.]example/a"
        );
        assert_eq!(defanged("1.2.3.4"), "1[.]2[.]3[.]4");
        assert_eq!(defanged("a\nb\0\u{202e}c"), "a\\u{a}b\\u{0}\\u{202e}c");
    }

    #[test]
    fn kinds_are_told_apart() {
        for (event_type, text, wanted) in [
            ("DNS", "evil.example", Kind::Name),
            ("IP", "1.2.3.4", Kind::Address),
            ("IP", "2001:db8::1", Kind::Address),
            ("IPORT", "1.2.3.4:80", Kind::Endpoint),
            ("URL", "evil.example/gate.php", Kind::Url),
            ("URL", "http://1.2.3.4/x.sh", Kind::Url),
            ("UA", "curl/8.5", Kind::UserAgent),
            ("PORT", "445", Kind::Other),
            ("HTTP", "/gate.php", Kind::Other),
            ("DNS", "a'] OR [x", Kind::Other),
        ] {
            assert_eq!(Kind::of(event_type, text), wanted, "{text}");
        }
    }

    #[test]
    fn resolvers_and_own_addresses_are_no_indicators() {
        let home = std::sync::Arc::new(maltrail_core::addr::NetworkSet::private());
        let mut table = DayTable::new(FloodRule::Own).for_home(home);
        let row = |kind: &'static str, dst: &'static str, trail: &'static str| Fields {
            kind,
            dst,
            ..event(1, "10.0.0.1", trail, "lumma (malware)")
        };
        for fields in [
            row("DNS", "9.9.9.9", "evil.example"),
            row("TCP", "10.0.0.7", "93.184.216.34"),
            row("URL", "93.184.216.35", "evil.example/x"),
            row("URL", "93.184.216.34", "evil.example/y"),
        ] {
            table.add(&fields).unwrap();
        }
        let mut all = Indicators::default();
        for threat in &table.threats {
            all.take(&table, threat).unwrap();
        }
        let texts: Vec<&str> = all.0.keys().map(|text| &**text).collect();
        assert_eq!(
            texts,
            [
                "93.184.216.34",
                "93.184.216.35",
                "evil.example",
                "evil.example/x",
                "evil.example/y"
            ]
        );
        assert!(!all.0["93.184.216.34"].is_destination, "a trail wins");
        assert!(all.0["93.184.216.35"].is_destination);
    }
}
