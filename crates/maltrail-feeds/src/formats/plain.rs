//! Formats that several feeds share.

use super::{Entry, entry};
use crate::registry::{Feed, Keeps};

/// Lines that may hold an entry: not empty, no comment, with a dot.
fn entry_lines(body: &str) -> impl Iterator<Item = &str> {
    body.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && line.contains('.'))
}

/// One entry a line; what follows an address does not count.
pub(super) fn lines(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in entry_lines(body) {
        let line = if feed.keeps == Keeps::Address {
            line.split_whitespace().next().unwrap_or_default()
        } else {
            line
        };
        // A service that lists ask for their own address is in one list by mistake.
        if line != "api.ipify.org" {
            out.push(entry(feed, line));
        }
    }
}

/// One URL a line, without its scheme.
pub(super) fn urls(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in entry_lines(body) {
        let text = match line.split_once("://") {
            Some((scheme, rest)) if scheme.starts_with("http") => rest,
            None if !feed.needs_scheme => line,
            _ => continue,
        };
        out.push(entry(
            feed,
            if feed.cut_slashes {
                text.trim_end_matches('/')
            } else {
                text
            },
        ));
    }
}

/// Columns with a separator, quotes around them dropped.
pub(super) fn columns(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    let (Some(separator), Some(column)) = (feed.separator, feed.column) else {
        return;
    };
    for line in entry_lines(body) {
        let columns: Vec<&str> = line
            .split(separator)
            .map(|text| text.trim().trim_matches('"').trim())
            .collect();
        let get = |at: usize| columns.get(at.wrapping_sub(1)).copied();
        let Some(text) = get(column) else { continue };
        if feed
            .only_column
            .is_some_and(|at| get(at) != Some(feed.only.as_str()))
        {
            continue;
        }
        let mut made = entry(feed, text);
        if let Some(at) = feed.info_column {
            let Some(label) = get(at) else { continue };
            // A family that is only a label keeps its spelling; one with a stand-in is lower-cased.
            let label = if feed.info_empty.is_empty() {
                label.to_owned()
            } else {
                label.to_lowercase()
            };
            let label = if label.is_empty() {
                feed.info_empty.clone()
            } else {
                label
            };
            made.info = format!("{label}{}", feed.info_suffix);
        }
        out.push(made);
    }
}

/// Every dotted quad, behind the feed's prefix when it has one.
pub(super) fn quads(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    let stretches: Vec<&str> = if feed.prefix.is_empty() {
        vec![body]
    } else {
        body.lines()
            .filter_map(|line| line.split_once(feed.prefix.as_str()).map(|(_, rest)| rest))
            .collect()
    };
    for stretch in stretches {
        let words = stretch.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let quads = words
            .map(|word| word.trim_matches('.'))
            .filter(|word| word.parse::<std::net::Ipv4Addr>().is_ok());
        let limit = if feed.prefix.is_empty() {
            usize::MAX
        } else {
            1
        };
        out.extend(quads.take(limit).map(|quad| entry(feed, quad)));
    }
}

/// `address # Reason …`.
pub(super) fn reputation(feed: &Feed, body: &str, out: &mut Vec<Entry>) {
    for line in entry_lines(body) {
        let Some((address, reason)) = line.split_once(" # ") else {
            continue;
        };
        let word = reason.split_whitespace().next().unwrap_or_default();
        if !word.eq_ignore_ascii_case("scanning") {
            out.push(entry(feed, address.trim()));
        }
    }
}

/// `trail,info,reference`, exactly two commas.
pub(super) fn rows(body: &str, out: &mut Vec<Entry>) {
    for line in entry_lines(body) {
        if let [text, info, reference] = line.split(',').collect::<Vec<_>>().as_slice() {
            out.push(Entry {
                text: (*text).into(),
                info: (*info).into(),
                reference: (*reference).into(),
            });
        }
    }
}
