//! What a threat shows that follows from its first event: class, origin, risk, direction.

use std::net::IpAddr;

use maltrail_core::addr::{NetworkSet, parse_ip, parse_ip_port};
use maltrail_core::event::{Context, Direction, Severity};

/// Ports that count as services although they are not below 1024 (dashboard facts §5).
const SERVICE_PORTS: [u16; 18] = [
    1080, 1433, 1521, 3128, 3306, 3389, 5060, 5432, 5900, 6379, 6667, 8000, 8080, 8118, 8443, 8888,
    9200, 27017,
];
/// First port that counts as ephemeral.
const EPHEMERAL: u16 = 32768;

/// Words that raise the risk, and words that lower it (dashboard facts §3).
const RAISE: [&str; 21] = [
    "c2",
    "cnc",
    "cobalt",
    "beacon",
    "trojan",
    "ransom",
    "sinkhole",
    "dga",
    "malware",
    "infect",
    "infected",
    "infection",
    "exfil",
    "backdoor",
    "rat",
    "apt",
    "stealer",
    "botnet",
    "loader",
    "dropper",
    "phish",
];
const LOWER: [&str; 10] = [
    "scan",
    "scanner",
    "reputation",
    "attacker",
    "crawler",
    "bruteforce",
    "mass",
    "spam",
    "probe",
    "honeypot",
];

/// Where a trail comes from, by the event's reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    /// No reference.
    None,
    /// A heuristic.
    Heuristic,
    /// The operator's own list.
    Custom,
    /// A list that ships.
    Static,
    /// Any feed.
    Feed,
}

impl Origin {
    /// By the text of the reference column.
    pub(crate) fn of(reference: &str) -> Self {
        let reference = reference.to_ascii_lowercase();
        if reference.contains("heuristic") {
            Self::Heuristic
        } else if reference.contains("custom") {
            Self::Custom
        } else if reference.contains("static") {
            Self::Static
        } else if reference.is_empty() {
            Self::None
        } else {
            Self::Feed
        }
    }

    /// The word in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Heuristic => "heuristic",
            Self::Custom => "custom",
            Self::Static => "static",
            Self::Feed => "feed",
        }
    }
}

/// The last parenthesis at the end of the info: `malware` of `lumma (malware)`.
pub(crate) fn class_of(info: &str) -> &str {
    info.trim_end()
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .map_or("", |(_, class)| class)
}

/// Who sent to whom, and what was listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    pub(crate) kind: &'a str,
    pub(crate) trail: &'a str,
    pub(crate) src: &'a str,
    pub(crate) dst: &'a str,
}

/// The severity of an event, lowered by its context.
pub(crate) fn severity(
    home: &NetworkSet,
    sides: Sides<'_>,
    info: &str,
    reference: &str,
) -> Severity {
    let ends = parse_ip(sides.src).zip(first_address(sides.dst));
    Severity::in_context(&Context {
        kind: sides.kind,
        trail: sides.trail,
        info,
        reference,
        src: sides.src,
        direction: ends.map(|(src, dst)| Direction::of(home, src, dst)),
    })
}

/// Risk without the share of the count.
pub(crate) fn base_risk(severity: Severity, kind: &str, info: &str, trail: &str) -> i32 {
    let text = format!("{kind} {info} {trail}").to_ascii_lowercase();
    let word = |list: &[&str]| {
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .any(|word| !word.is_empty() && list.contains(&word))
    };
    let mut risk = severity as i32 * 1000;
    if word(&RAISE) {
        risk += 400;
    }
    if word(&LOWER) || has_brute_force(&text) {
        risk -= 250;
    }
    risk
}

fn has_brute_force(text: &str) -> bool {
    let inner = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    text.match_indices("brute force").any(|(at, found)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text
            .get(at + found.len()..)
            .and_then(|tail| tail.chars().next());
        !inner(before) && !inner(after)
    })
}

/// Full risk of a threat with `count` events.
pub(crate) fn risk(base: i32, count: u64) -> f64 {
    f64::from(base) + (15.0 * (count as f64).ln_1p()).min(90.0)
}

/// Which side's ports a threat shows, and what that says about the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// No port on either side.
    None,
    /// Destination ports, no direction.
    Dst,
    /// Source ports, no direction.
    Src,
    /// Destination is the service: `in`.
    In,
    /// Source is the service: `out`.
    Out,
}

impl Side {
    /// `in`, `out` or nothing.
    pub(crate) const fn direction(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            _ => "",
        }
    }

    /// Whether destination ports are shown.
    pub(crate) const fn shows_dst(self) -> bool {
        matches!(self, Self::Dst | Self::In)
    }
}

/// Service side and direction of an event (dashboard facts §5).
pub(crate) fn side_of(trail: &str, src: &str, sport: &str, dst: &str, dport: &str) -> Side {
    let (sport, dport) = match (first_port(sport), first_port(dport)) {
        (None, None) => return Side::None,
        (None, Some(_)) => return Side::Dst,
        (Some(_), None) => return Side::Src,
        (Some(sport), Some(dport)) => (sport, dport),
    };
    let (src, dst) = (first_address(src), first_address(dst));
    if let Some((address, _)) = parse_ip_port(trail) {
        if Some(address) == dst {
            return Side::In;
        }
        if Some(address) == src {
            return Side::Out;
        }
    }
    if dst.is_some() && parse_ip(trail) == dst {
        return Side::In;
    }
    match (is_service(sport), is_service(dport)) {
        (false, true) => return Side::In,
        (true, false) => return Side::Out,
        _ => {}
    }
    match (sport >= EPHEMERAL, dport >= EPHEMERAL) {
        (true, false) => Side::In,
        (false, true) => Side::Out,
        _ if dport <= sport => Side::In,
        _ => Side::Out,
    }
}

fn is_service(port: u16) -> bool {
    port < 1024 || SERVICE_PORTS.contains(&port)
}

fn first_port(column: &str) -> Option<u16> {
    column.split(',').find_map(|port| port.trim().parse().ok())
}

fn first_address(column: &str) -> Option<IpAddr> {
    column
        .split(',')
        .find_map(|address| parse_ip(address.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_from_outside_is_low() {
        let of = |src, dst, reference| {
            let sides = Sides {
                kind: "IP",
                trail: "203.0.113.7",
                src,
                dst,
            };
            severity(&NetworkSet::private(), sides, "emotet (malware)", reference)
        };
        assert_eq!(of("203.0.113.7", "10.0.0.5", "(static)"), Severity::Low);
        assert_eq!(of("10.0.0.5", "203.0.113.7", "(static)"), Severity::High);
        assert_eq!(
            of("203.0.113.7", "198.51.100.1", "(static)"),
            Severity::High
        );
        assert_eq!(of("203.0.113.7", "10.0.0.5", "(custom)"), Severity::High);
    }

    #[test]
    fn risk_of_the_verified_examples() {
        let lumma = base_risk(Severity::High, "DNS", "lumma (malware)", "evil.example");
        assert!((risk(lumma, 1) - 3410.4).abs() < 0.05, "{}", risk(lumma, 1));
        let scanner = base_risk(Severity::Low, "IP", "mass scanner", "1.2.3.4");
        assert!((risk(scanner, 100_000) - 840.0).abs() < 0.05);
        assert_eq!(
            base_risk(Severity::Low, "IP", "x", "rate.apartment.example"),
            1000,
            "whole words only"
        );
        assert_eq!(base_risk(Severity::Low, "IP", "ssh brute force", "x"), 750);
        assert_eq!(
            base_risk(Severity::Low, "IP", "ssh brute forced", "x"),
            1000
        );
    }

    #[test]
    fn the_service_side_is_shown() {
        for (trail, sport, dport, wanted) in [
            ("203.0.113.7:40001", "80", "40001", Side::In), // rule 1
            ("10.0.0.5:80", "80", "40001", Side::Out),
            ("203.0.113.7", "80", "40001", Side::In), // rule 2
            ("x.example", "40000", "53", Side::In),   // rule 3
            ("x.example", "443", "40000", Side::Out),
            ("x.example", "40000", "2000", Side::In), // rule 4
            ("x.example", "2000", "40000", Side::Out),
            ("x.example", "2000", "2000", Side::In), // rule 5, tie
            ("x.example", "2000", "3000", Side::Out),
            ("x.example", "40000", "27017", Side::In),
            ("x.example", "-", "53", Side::Dst),
            ("x.example", "53", "", Side::Src),
            ("x.example", "-", "-", Side::None),
        ] {
            let side = side_of(trail, "10.0.0.5", sport, "203.0.113.7", dport);
            assert_eq!(side, wanted, "{trail} {sport} {dport}");
        }
    }

    #[test]
    fn class_and_origin() {
        assert_eq!(class_of("lumma (malware)"), "malware");
        assert_eq!(class_of("a (b) c (suspicious)"), "suspicious");
        assert_eq!(
            (class_of("plain"), class_of("(x) y"), class_of(")")),
            ("", "", "")
        );
        assert_eq!(Origin::of("(remote custom)"), Origin::Custom);
        assert_eq!(
            (Origin::of("blocklist.de"), Origin::of("")),
            (Origin::Feed, Origin::None)
        );
    }
}
