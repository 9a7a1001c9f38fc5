//! How bad an event is.
//!
//! Some events are low whatever their info says, because of what they are about ([`Context`]): a listed
//! host outside that only knocks, long names of zones that look things up by hash, names of ours that
//! strangers ask our own server for. What the operator listed is never lowered.
//!
//! Two rules exist. [`Severity::of`] is the dashboard's (`spec` dashboard §3): it serves JSON, the
//! API and the page. [`RemoteSeverity`] is the operator's `REMOTE_SEVERITY_REGEX`: it serves CEF,
//! Logstash and alerts, where existing receivers depend on it.

use std::fmt;

use fancy_regex::Regex;
use serde::Serialize;

use super::Direction;
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

    /// Severity of an event by everything that counts.
    #[must_use]
    pub fn in_context(context: &Context<'_>) -> Self {
        let severity = Self::of(context.info, context.reference);
        let own = context.reference.to_ascii_lowercase().contains("custom)");
        if !own && context.is_ordinary() {
            Self::Low
        } else {
            severity
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

/// Info texts of heuristics that are ordinary in a context.
const LONG_DOMAIN: &str = "long domain (suspicious)";
const NO_SUCH_DOMAIN: &str = "excessive no such domain (suspicious)";

/// Zones in which ordinary programs ask for long names: scanners that look files up by their hash,
/// and hosts named by providers.
const HASHED_ZONES: &[&str] = &[
    "avqs.mcafee.com",
    "avts.mcafee.com",
    "gti.mcafee.com",
    "sophosxl.net",
    "e5.sk",
    "trendmicro.com",
    "avcdn.net",
    "webrootcloudav.com",
    "kaspersky-labs.com",
    "spamhaus.org",
    "cloudfront.net",
    "akamaihd.net",
    "akamaized.net",
    "akadns.net",
    "edgekey.net",
    "edgesuite.net",
    "fastly.net",
    "amazonaws.com",
    "awsglobalaccelerator.com",
    "azureedge.net",
    "azurefd.net",
    "trafficmanager.net",
    "windows.net",
    "office.com",
    "skype.com",
    "acm-validations.aws",
    "googlesyndication.com",
    "googleusercontent.com",
    "googlevideo.com",
    "gvt1.com",
    "gvt2.com",
    "fbcdn.net",
    "icloud-content.com",
    "aaplimg.com",
];

/// What a severity may depend on besides the list that made the event.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The type column.
    pub kind: &'a str,
    /// The trail column.
    pub trail: &'a str,
    /// The info column.
    pub info: &'a str,
    /// The reference column.
    pub reference: &'a str,
    /// The source column.
    pub src: &'a str,
    /// Which way the packet went, if that is known.
    pub direction: Option<Direction>,
}

impl Context<'_> {
    fn is_ordinary(&self) -> bool {
        match self.info {
            LONG_DOMAIN => self.is_hashed(),
            NO_SUCH_DOMAIN => self.direction == Some(Direction::Out),
            _ => self.direction == Some(Direction::In) && self.is_knock(),
        }
    }

    /// Whether the name is one of a zone with long ones.
    fn is_hashed(&self) -> bool {
        let name = self.trail.replace(['(', ')'], "");
        HASHED_ZONES.iter().any(|zone| {
            let above = name.strip_suffix(zone);
            above.is_some_and(|above| above.ends_with('.'))
        })
    }

    /// Whether the source of the packet is itself what is listed, by its address alone or with its
    /// port: somebody known approaches, and nothing tells that he was answered.
    fn is_knock(&self) -> bool {
        if !matches!(self.kind, "IP" | "IPORT") {
            return false;
        }
        let Some(src) = parse_ip(self.src) else {
            return false;
        };
        let listed =
            parse_ip(self.trail).or_else(|| parse_ip_port(self.trail).map(|(address, _)| address));
        listed == Some(src)
    }
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

    const KNOCK: Context<'static> = Context {
        kind: "IP",
        trail: "203.0.113.7",
        info: "emotet (malware)",
        reference: "(static)",
        src: "203.0.113.7",
        direction: Some(Direction::In),
    };

    #[test]
    fn who_knocks_from_outside_is_low_unless_the_operator_listed_him() {
        for (kind, trail, src, low) in [
            ("IP", "203.0.113.7", "203.0.113.7", true),
            ("IPORT", "203.0.113.7:443", "203.0.113.7", true),
            ("IPORT", "[2001:db8::7]:443", "2001:db8:0::7", true),
            ("IP", "203.0.113.7", "10.0.0.5", false),
            ("IP", "203.0.113.7", "203.0.113.7,203.0.113.8", false),
            ("IP", "203.0.113.7 (a.com)", "203.0.113.7", false),
            ("DNS", "203.0.113.7", "203.0.113.7", false),
        ] {
            let context = Context {
                kind,
                trail,
                src,
                ..KNOCK
            };
            let found = Severity::in_context(&context) == Severity::Low;
            assert_eq!(found, low, "{kind} {trail} {src}");
        }
        let way = |direction| Severity::in_context(&Context { direction, ..KNOCK });
        assert_eq!(way(Some(Direction::Out)), Severity::High);
        assert_eq!(way(None), Severity::High);
        let reference = "(Remote Custom)";
        let own = Severity::in_context(&Context { reference, ..KNOCK });
        assert_eq!(own, Severity::High);
    }

    #[test]
    fn long_names_of_hash_lookups_are_low() {
        for (trail, wanted) in [
            ("(0.0.4e.x.avqs).mcafee.com", Severity::Low),
            ("(mfzwizlt.a).e5.sk", Severity::Low),
            ("(mfzwizlt).nota-e5.sk", Severity::Medium),
            ("(mfzwizlt).example.net", Severity::Medium),
        ] {
            let context = Context {
                kind: "DNS",
                trail,
                info: LONG_DOMAIN,
                reference: "(heuristic)",
                ..KNOCK
            };
            assert_eq!(Severity::in_context(&context), wanted, "{trail}");
        }
    }

    #[test]
    fn names_that_strangers_ask_our_server_for_are_low() {
        let way = |direction| {
            let info = NO_SUCH_DOMAIN;
            let context = Context {
                kind: "DNS",
                trail: "a.com",
                info,
                direction,
                ..KNOCK
            };
            Severity::in_context(&context)
        };
        assert_eq!(way(Some(Direction::Out)), Severity::Low);
        assert_eq!(way(Some(Direction::In)), Severity::Medium);
        assert_eq!(way(None), Severity::Medium);
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
