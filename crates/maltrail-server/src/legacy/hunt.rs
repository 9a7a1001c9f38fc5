//! `/hunt`: one indicator through many days, newest first, until the time is used up.
//!
//! Bounds: [`MAX_FILES`] days, [`MAX_SAMPLES`] lines of [`SAMPLE_CHARS`], the time budget. Restricted
//! users search what they are shown, so neither a hidden row nor a masked name can be found.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use maltrail_core::addr::{parse_ip, parse_net};
use maltrail_core::time::Day;
use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use crate::store::dayfile::DayFile;
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

    /// What a line must hold to be worth a look, as a search through many lines at once; `None` when every
    /// line is worth one. Exact for text; an IPv4 address is in no line that lacks its digits.
    fn quick(&self) -> Option<Regex> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Net(IpNet::V4(net)) if net.prefix_len() == 32 => {
                Regex::new(&regex::escape(&net.addr().to_string())).ok()
            }
            Self::Net(_) => None,
        }
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
    // What a restricted user is shown differs from the stored line, which then decides nothing.
    let quick = needle.quick().filter(|_| scope.is_everything());
    for (day, _) in days {
        let mut hits = 0;
        let complete = each_line(store, day, deadline, quick.as_ref(), |line| {
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

/// Calls `visit` with each whole line of a day, with `quick` only with those in which it is found; whether
/// its end was reached in time. A day that cannot be read counts as read: it has nothing to show.
fn each_line(
    store: &Store,
    day: Day,
    deadline: Instant,
    quick: Option<&Regex>,
    mut visit: impl FnMut(&str),
) -> bool {
    let Ok(file) = DayFile::open(store.log_dir(), day) else {
        return true;
    };
    let (mut chunk, mut at) = (Vec::new(), 0);
    loop {
        if Instant::now() >= deadline {
            return false;
        }
        if file.read_chunk(at, &mut chunk).is_err() || chunk.is_empty() {
            return true;
        }
        at += chunk.len() as u64;
        let mut rest = Lines {
            chunk: &chunk,
            at: 0,
        };
        let mut count = 0_u32;
        while let Some(line) = rest.next(quick) {
            count += 1;
            if count.is_multiple_of(1024) && Instant::now() >= deadline {
                return false;
            }
            visit(&String::from_utf8_lossy(line));
        }
    }
}

/// The lines of a chunk.
struct Lines<'a> {
    chunk: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line that is not empty, with `quick` the next one in which it begins to be found.
    fn next(&mut self, quick: Option<&Regex>) -> Option<&'a [u8]> {
        loop {
            if self.at >= self.chunk.len() {
                return None;
            }
            let found = match quick {
                Some(quick) => quick.find_at(self.chunk, self.at)?.start(),
                None => self.at,
            };
            let before = self.chunk.get(self.at..found)?;
            let start = memchr::memrchr(b'\n', before).map_or(self.at, |end| self.at + end + 1);
            let line = self.chunk.get(start..)?;
            let line = memchr::memchr(b'\n', line.get(found - start..)?)
                .and_then(|end| line.get(..found - start + end))
                .unwrap_or(line);
            self.at = start + line.len() + 1;
            if !line.is_empty() {
                return Some(line);
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
    fn the_quick_way_finds_what_the_slow_way_finds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        let text = "\n\na 10.0.0.5 evil.example\n\nb 110.0.0.5\nEVIL x evil\nc 10.0.0.5,10.0.0.6 d\nlast vil\nunfinished evil";
        std::fs::write(dir.path().join("2026-11-20.log"), text).unwrap();
        let ask = |query: &str, quick: bool| {
            let needle = Needle::parse(query).unwrap();
            let quick = needle.quick().filter(|_| quick);
            let mut lines = Vec::new();
            let day: Day = "2026-11-20".parse().unwrap();
            let late = Instant::now() + Duration::from_secs(60);
            assert!(each_line(&store, day, late, quick.as_ref(), |line| {
                if needle.is_in(line) {
                    lines.push(line.to_owned());
                }
            }));
            lines
        };
        for (query, count) in [
            ("evil", 2),
            ("10.0.0.5", 2),
            ("10.0.0.0/24", 2),
            ("unfinished", 0),
            ("example\n\nb", 0),
            ("vil\n", 0),
            ("a 10", 1),
            ("last", 1),
        ] {
            let (slow, fast) = (ask(query, false), ask(query, true));
            assert_eq!(slow, fast, "{query:?}");
            assert_eq!(fast.len(), count, "{query:?}");
        }
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
