//! `/hunt`: one indicator through many days, newest first, until the time is used up.
//!
//! Bounds: [`MAX_FILES`] days, [`MAX_SAMPLES`] lines of [`SAMPLE_CHARS`], the time budget. Restricted
//! users search what they are shown, so neither a hidden row nor a masked name can be found.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use maltrail_core::addr::{parse_ip, parse_net};
use maltrail_core::time::Day;
use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use crate::store::scoped::Scope;
use crate::store::{Store, dayfile};

/// Most day files that are read.
const MAX_FILES: usize = 365;
/// Most lines that are shown.
const MAX_SAMPLES: usize = 200;
/// Longest shown line in characters.
const SAMPLE_CHARS: usize = 500;

/// compat: this shape.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    /// Matches per day, of days that were read to their end.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
    /// Not every day was read to its end.
    pub(crate) truncated: bool,
    /// Days read to their end.
    pub(crate) scanned: usize,
    /// Days to read.
    pub(crate) selected: usize,
    /// The day that the end of the time cut short.
    pub(crate) partial: Option<Partial>,
    /// There are more matches than samples.
    pub(crate) capped_samples: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    date: String,
    line: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Partial {
    date: String,
    hits: u64,
    note: &'static str,
}

/// What is looked for.
#[derive(Debug)]
pub(crate) enum Needle {
    /// Text in any letter case.
    Text(Regex),
    /// Any address of the line inside this network.
    Net(IpNet),
}

impl Needle {
    /// An address or network, else literal text. `None` when the text is too long to search for.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let net = parse_net(query).or_else(|| parse_ip(query).map(IpNet::from));
        if let Some(net) = net {
            return Some(Self::Net(net));
        }
        RegexBuilder::new(&regex::escape(query))
            .case_insensitive(true)
            .build()
            .ok()
            .map(Self::Text)
    }

    fn is_in(&self, line: &str) -> bool {
        match self {
            Self::Text(text) => text.is_match(line.as_bytes()),
            Self::Net(net) => addresses(line, net).any(|address| net.contains(&address)),
        }
    }
}

/// The addresses anywhere in a line, of the family of `net`.
fn addresses<'a>(line: &'a str, net: &IpNet) -> impl Iterator<Item = IpAddr> + 'a {
    let v4 = matches!(net, IpNet::V4(_));
    let outside = move |letter: char| {
        !(letter == '.' || letter.is_ascii_hexdigit() || (letter == ':' && !v4))
            || (v4 && letter.is_ascii_alphabetic())
    };
    line.split(outside).filter_map(move |word| {
        let word = word.trim_matches('.');
        let likely = if v4 {
            word.len() >= 7 && word.bytes().filter(|&byte| byte == b'.').count() == 3
        } else {
            word.bytes().filter(|&byte| byte == b':').count() >= 2
        };
        likely.then(|| word.parse::<IpAddr>().ok()).flatten()
    })
}

/// Searches the days from `from` to `to` that have a file.
pub(crate) fn hunt(
    store: &Store,
    needle: &Needle,
    (from, to): (Day, Day),
    scope: &Scope,
    budget: Duration,
) -> std::io::Result<Found> {
    let deadline = Instant::now() + budget;
    let mut days = dayfile::list(store.log_dir())?;
    days.retain(|&(day, _)| from <= day && day <= to);
    let mut found = Found {
        truncated: days.len() > MAX_FILES,
        ..Found::default()
    };
    days.truncate(MAX_FILES);
    found.selected = days.len();
    for (day, _) in days {
        let mut hits = 0;
        let complete = each_line(store, day, deadline, |line| {
            let Some(shown) = scope.line(line).filter(|shown| needle.is_in(shown)) else {
                return;
            };
            hits += 1;
            if found.samples.len() < MAX_SAMPLES {
                found.samples.push(Sample {
                    date: day.to_string(),
                    line: shown.chars().take(SAMPLE_CHARS).collect(),
                });
            } else {
                found.capped_samples = true;
            }
        });
        if !complete {
            found.truncated = true;
            found.partial = Some(Partial {
                date: day.to_string(),
                hits,
                note: "HUNT_TIME_BUDGET was used up in this day",
            });
            break;
        }
        found.scanned += 1;
        if hits > 0 {
            found.counts.insert(day.to_string(), hits);
        }
    }
    Ok(found)
}

/// Calls `visit` with each whole line of a day; whether its end was reached in time. A day that cannot be
/// read counts as read: it has nothing to show.
fn each_line(store: &Store, day: Day, deadline: Instant, mut visit: impl FnMut(&str)) -> bool {
    let Ok(file) = File::open(dayfile::path(store.log_dir(), day)) else {
        return true;
    };
    let (mut chunk, mut at) = (Vec::new(), 0);
    loop {
        if dayfile::read_chunk(&file, at, &mut chunk).is_err() || chunk.is_empty() {
            return true;
        }
        at += chunk.len() as u64;
        for (count, line) in chunk.split(|&byte| byte == b'\n').enumerate() {
            if count % 1024 == 0 && Instant::now() >= deadline {
                return false;
            }
            if !line.is_empty() {
                visit(&String::from_utf8_lossy(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::time::Zone;

    fn hits(query: &str, line: &str) -> bool {
        Needle::parse(query).unwrap().is_in(line)
    }

    #[test]
    fn addresses_are_compared_as_numbers_anywhere_in_the_line() {
        let line = "s 10.9.0.7,10.0.0.53 22 2001:DB8::1 53 UDP DNS (x.)1.2.3.4.evil.example 172.16.3.3:80/a";
        for query in [
            "10.0.0.53",
            "10.9.0.7",
            "172.16.99.1/12",
            "2001:db8:0::1",
            "2001:db8::/32",
            "1.2.3.4",
            "0.0.0.0/0",
        ] {
            assert!(hits(query, line), "{query}");
        }
        for query in ["10.0.0.5", "0.0.0.53", "2001:db9::/32", "9.0.7.10"] {
            assert!(!hits(query, line), "{query}");
        }
    }

    #[test]
    fn other_text_is_literal_in_any_letter_case() {
        assert!(hits("EVIL.com", "DNS evil.com x"));
        assert!(!hits("evil.*com", "DNS evil.com x"));
        assert!(!hits("10.0.0.5/33", "10.0.0.5 x"));
        assert!(hits("ÄRGER", "DNS ärger.example"));
    }

    #[test]
    fn samples_and_time_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        let long = format!("evil {}\n", "x".repeat(2 * SAMPLE_CHARS));
        std::fs::write(
            dir.path().join("2026-11-20.log"),
            long.repeat(MAX_SAMPLES + 1),
        )
        .unwrap();
        std::fs::write(dir.path().join("2026-11-21.log"), "nothing\n").unwrap();
        let needle = Needle::parse("evil").unwrap();
        let days = ("2026-01-01".parse().unwrap(), "2026-12-31".parse().unwrap());
        let ask = |budget| hunt(&store, &needle, days, &Scope::default(), budget).unwrap();
        let found = ask(Duration::from_secs(60));
        assert_eq!(
            (found.scanned, found.selected, found.truncated),
            (2, 2, false)
        );
        assert_eq!(found.samples.len(), MAX_SAMPLES);
        assert!(found.capped_samples);
        assert_eq!(found.samples[0].line.chars().count(), SAMPLE_CHARS);
        assert_eq!(found.counts["2026-11-20"], MAX_SAMPLES as u64 + 1);
        let late = ask(Duration::ZERO);
        assert_eq!((late.scanned, late.selected, late.truncated), (0, 2, true));
        assert_eq!(late.partial.unwrap().date, "2026-11-21");
    }
}
