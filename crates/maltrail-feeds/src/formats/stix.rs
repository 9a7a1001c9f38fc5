//! STIX 2.1 bundles: indicators whose pattern is one comparison, or several joined by `OR`, of domain names,
//! addresses and URLs. Patterns that need more than one observation say nothing about a single name, and
//! revoked or expired indicators nothing about today: both are left out.

use std::io::BufRead;
use std::sync::LazyLock;

use regex::Regex;

use super::json::records;
use super::{FormatError, Sink};

static COMPARISON: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(domain-name|ipv4-addr|ipv6-addr|url):value\s*=\s*'((?:[^'\\]|\\.)*)'$").ok()
});

pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let fields = ["type", "pattern", "revoked", "valid_until", "pattern_type"];
    let now = moment(sink.now);
    records(body, &["objects[]"], &fields, |number, found| {
        let first = |at: usize| {
            found
                .get(at)
                .and_then(|values| values.first())
                .map(String::as_str)
        };
        let is_over = first(3).is_some_and(|until| until.get(..19) < now.get(..19));
        let other = first(4).is_some_and(|kind| kind != "stix");
        if first(0) != Some("indicator") || first(2) == Some("true") || is_over || other {
            return Ok(());
        }
        values(first(1).unwrap_or_default())
            .iter()
            .try_for_each(|value| sink.add(number, value))
    })
}

/// Values of a pattern; none for one that is not only alternatives.
fn values(pattern: &str) -> Vec<String> {
    let Some(regex) = COMPARISON.as_ref() else {
        return Vec::new();
    };
    let mut values = Vec::new();
    for observation in pattern.split("] OR [") {
        let inner = observation
            .trim()
            .trim_start_matches('[')
            .trim_end_matches(']');
        for comparison in inner.split(" OR ") {
            let comparison = comparison.trim().trim_matches(['(', ')']);
            let Some(groups) = regex.captures(comparison) else {
                return Vec::new();
            };
            let value = groups.get(2).map_or("", |group| group.as_str());
            let value = value.replace("\\'", "'").replace("\\\\", "\\");
            let rest = value.split_once("://").map_or(&*value, |(_, rest)| rest);
            values.push(rest.to_owned());
        }
    }
    values
}

/// Seconds since 1970 as `2026-11-24T17:57:42`. Years of four digits, as the format has them.
fn moment(secs: u64) -> String {
    let (days, rest) = (secs / 86_400, secs % 86_400);
    // Days since 0000-03-01, so that leap days end a year (H. Hinnant, chrono-compatible dates).
    let days = days.min(2_932_896) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alternatives_are_taken() {
        let cases: [(&str, &[&str]); 7] = [
            ("[domain-name:value = 'a.biz']", &["a.biz"]),
            ("[url:value='http://a.biz/x']", &["a.biz/x"]),
            (
                "[ipv4-addr:value = '5.9.9.9' OR domain-name:value = 'a.biz']",
                &["5.9.9.9", "a.biz"],
            ),
            (
                "[domain-name:value = 'a.biz'] OR [domain-name:value = 'b.biz']",
                &["a.biz", "b.biz"],
            ),
            (
                "[domain-name:value = 'a.biz' AND url:value = 'b.biz/x']",
                &[],
            ),
            ("[domain-name:value != 'a.biz']", &[]),
            ("[file:hashes.MD5 = 'aa']", &[]),
        ];
        for (pattern, wanted) in cases {
            assert_eq!(values(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        // `date -u -d @SECS`.
        assert_eq!(moment(0), "1970-01-01T00:00:00");
        assert_eq!(moment(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(moment(1_795_543_062), "2026-11-24T17:57:42");
    }
}
