//! How bad an event is.
//!
//! A listed host outside that approaches one of ours ([`is_knock`]) is noise of the Internet unless
//! the operator listed it: such an event is low. Traffic from ours to a listed host is not lowered.
//!
//! Two rules exist. [`Severity::of`] is the dashboard's (`spec` dashboard §3): it serves JSON, the
//! API and the page. [`RemoteSeverity`] is the operator's `REMOTE_SEVERITY_REGEX`: it serves CEF,
//! Logstash and alerts, where existing receivers depend on it.

use std::fmt;

use fancy_regex::Regex;
use serde::Serialize;

use crate::addr::{parse_ip, parse_ip_port};

/// Severity, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Background noise: mass scanners, reputation lists.
    Low = 1,
    /// Worth a look.
    Medium = 2,
    /// Malware, or the operator's own list.
    High = 3,
}

/// The dashboard's rules in order; the first phrase found in `info` (or `reference`) decides.
const RULES: &[(Field, &str, Severity)] = &[
    (Field::Reference, "(custom)", Severity::High),
    (Field::Reference, "(remote custom)", Severity::High),
    (Field::Info, "potential malware site", Severity::Medium),
    (Field::Reference, "malwaredomainlist", Severity::High),
    (Field::Info, "malware distribution", Severity::Medium),
    (Field::Info, "mass scanner", Severity::Low),
    (Field::Info, "malware", Severity::High),
    (Field::Info, "adversary", Severity::High),
    (Field::Info, "ransomware", Severity::High),
    (Field::Info, "reputation", Severity::Low),
    (Field::Info, "attacker", Severity::Low),
    (Field::Info, "spammer", Severity::Low),
    (Field::Info, "compromised", Severity::Low),
    (Field::Info, "crawler", Severity::Low),
    (Field::Info, "scanning", Severity::Low),
];

#[derive(Clone, Copy)]
enum Field {
    Info,
    Reference,
}

impl Severity {
    /// All severities, highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// Severity of an event by its info and reference, letter case aside.
    pub fn of(info: &str, reference: &str) -> Self {
        let (info, reference) = (info.to_ascii_lowercase(), reference.to_ascii_lowercase());
        RULES
            .iter()
            .find(|(field, phrase, _)| match field {
                Field::Info => info.contains(phrase),
                Field::Reference => reference.contains(phrase),
            })
            .map_or(Self::Medium, |&(_, _, severity)| severity)
    }

    /// This severity for a [knock](is_knock) from outside: low, but for the operator's own list.
    #[must_use]
    pub fn of_knock(self, reference: &str) -> Self {
        if reference.to_ascii_lowercase().contains("custom)") {
            self
        } else {
            Self::Low
        }
    }

    /// `low`, `medium` or `high`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The number in CEF lines: 0, 1 or 2.
    pub const fn cef(self) -> u8 {
        self as u8 - 1
    }
}

/// Whether the source of a packet is itself what is listed, by its address alone or with its port:
/// somebody known approaches, and nothing tells that he was answered.
#[must_use]
pub fn is_knock(kind: &str, trail: &str, src: &str) -> bool {
    if !matches!(kind, "IP" | "IPORT") {
        return false;
    }
    let Some(src) = parse_ip(src) else {
        return false;
    };
    let listed = parse_ip(trail).or_else(|| parse_ip_port(trail).map(|(address, _)| address));
    listed == Some(src)
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `REMOTE_SEVERITY_REGEX`: an expression with groups named `low`, `medium` and `high`, searched in
/// the info. Look-around is allowed, as the shipped value uses it, so this engine backtracks; it
/// runs per event, never per packet, and gives up (medium) at its step limit.
#[derive(Clone, Debug, Default)]
pub struct RemoteSeverity(Option<Regex>);

/// Steps after which a search gives up. The shipped expression needs a few hundred on an info text.
const BACKTRACK_LIMIT: usize = 100_000;

impl RemoteSeverity {
    /// Compiles the option's value; `None` or empty means that everything is medium.
    ///
    /// # Errors
    /// The expression does not compile; the message says where.
    pub fn new(pattern: Option<&str>) -> Result<Self, Box<fancy_regex::Error>> {
        let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else {
            return Ok(Self(None));
        };
        let regex = fancy_regex::RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build();
        Ok(Self(Some(regex.map_err(Box::new)?)))
    }

    /// The group of the leftmost match.
    pub fn of(&self, info: &str) -> Severity {
        let found = self
            .0
            .as_ref()
            .and_then(|regex| regex.captures(info).ok().flatten());
        let Some(groups) = found else {
            return Severity::Medium;
        };
        [Severity::Low, Severity::Medium, Severity::High]
            .into_iter()
            .find(|severity| {
                groups
                    .name(severity.as_str())
                    .is_some_and(|group| !group.as_str().is_empty())
            })
            .unwrap_or(Severity::Medium)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_s_examples_hold() {
        for (info, wanted) in [
            ("lumma (malware)", Severity::High),
            (
                "potential iot-malware download (suspicious)",
                Severity::High,
            ),
            ("known attacker", Severity::Low),
            ("ssh scanner", Severity::Medium),
            ("mass scanner malware", Severity::Low),
            ("ransomware attacker", Severity::High),
            ("potential port scanning", Severity::Low),
            ("tor exit node (suspicious)", Severity::Medium),
            ("compromised host", Severity::Low),
            ("Potential Malware Site", Severity::Medium),
        ] {
            assert_eq!(Severity::of(info, "(static)"), wanted, "{info}");
        }
        assert_eq!(Severity::of("known attacker", "(custom)"), Severity::High);
        assert_eq!(
            Severity::of("anything", "malwaredomainlist.com"),
            Severity::High
        );
    }

    #[test]
    fn who_knocks_from_outside_is_low_unless_the_operator_listed_him() {
        for (kind, trail, src, wanted) in [
            ("IP", "203.0.113.7", "203.0.113.7", true),
            ("IPORT", "203.0.113.7:443", "203.0.113.7", true),
            ("IPORT", "[2001:db8::7]:443", "2001:db8:0::7", true),
            ("IP", "203.0.113.7", "10.0.0.5", false),
            ("IP", "203.0.113.7", "203.0.113.7,203.0.113.8", false),
            ("IP", "203.0.113.7 (a.com)", "203.0.113.7", false),
            ("DNS", "203.0.113.7", "203.0.113.7", false),
        ] {
            assert_eq!(is_knock(kind, trail, src), wanted, "{kind} {trail} {src}");
        }
        assert_eq!(Severity::High.of_knock("(static)"), Severity::Low);
        assert_eq!(Severity::High.of_knock("(Remote Custom)"), Severity::High);
    }

    /// `spec/sensor_vectors/severity.tsv`, with the shipped expression.
    #[test]
    fn the_shipped_expression_gives_the_reference_s_severities() {
        let remote = RemoteSeverity::new(Some(crate::config::options::SHIPPED_SEVERITY_REGEX))
            .expect("compiles");
        for (info, wanted) in [
            ("malware", 2),
            ("somemalware (malware)", 2),
            ("malware distribution", 1),
            ("malware site", 1),
            ("potential malware site", 1),
            ("iot-malware", 2),
            ("known attacker", 0),
            ("mass scanner", 0),
            ("bad reputation", 0),
            ("x (custom)", 2),
            ("y (remote custom)", 2),
            ("ransomware", 2),
            ("long domain (suspicious)", 1),
            ("potential port scanning", 0),
            ("c2 cert", 1),
            ("sinkhole (malware)", 2),
            ("spammer", 0),
            ("compromised host", 0),
            ("crawler", 0),
            ("adversary group", 2),
            ("parking site", 1),
            ("malwaredomainlist", 2),
            ("Malware", 1),
            ("attacker (malware)", 0),
            ("scanning malware", 0),
        ] {
            assert_eq!(remote.of(info).cef(), wanted, "{info}");
        }
    }

    #[test]
    fn a_bad_expression_is_an_error_and_none_means_medium() {
        assert!(RemoteSeverity::new(Some("(?P<low>")).is_err());
        assert_eq!(
            RemoteSeverity::new(None).expect("empty").of("malware"),
            Severity::Medium
        );
    }
}
