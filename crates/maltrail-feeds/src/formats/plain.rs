//! Formats that several feeds share, line by line.

use std::io;

use super::Sink;
use crate::registry::Keeps;

/// The line without blanks, if it may hold an entry: not empty, no comment, with a dot.
pub(super) fn entry_line(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#') && line.contains('.')).then_some(line)
}

/// One entry a line; what follows an address does not count.
pub(super) fn line(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let six = Some(line.trim())
        .filter(|line| sink.feed.ipv6 && !line.starts_with(['#', ';', '/']) && line.contains(':'));
    let Some(line) = entry_line(line).or(six) else {
        return Ok(());
    };
    let line = if sink.feed.keeps == Keeps::Address {
        line.split([';', ' ', '\t']).next().unwrap_or_default()
    } else {
        line
    };
    // A service that lists ask for their own address is in one list by mistake.
    if line == "api.ipify.org" {
        return Ok(());
    }
    sink.add(number, line)
}

/// One URL a line, without its scheme.
pub(super) fn url(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let Some(line) = entry_line(line) else {
        return Ok(());
    };
    let text = match line.split_once("://") {
        Some((scheme, rest)) if scheme.starts_with("http") => rest,
        None if !sink.feed.needs_scheme => line,
        _ => return Ok(()),
    };
    let text = if sink.feed.cut_slashes {
        text.trim_end_matches('/')
    } else {
        text
    };
    sink.add(number, text)
}

/// Columns with a separator, quotes around them dropped.
pub(super) fn columns(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let (Some(separator), Some(line)) = (sink.feed.separator, entry_line(line)) else {
        return Ok(());
    };
    let columns: Vec<&str> = line
        .split(separator)
        .map(|text| text.trim().trim_matches('"').trim())
        .collect();
    pick(sink, number, &columns)
}

/// The entry and its label, out of columns.
pub(super) fn pick(
    sink: &mut Sink<'_>,
    number: usize,
    columns: &[impl AsRef<str>],
) -> io::Result<()> {
    let get = |at: usize| columns.get(at.wrapping_sub(1)).map(AsRef::as_ref);
    let feed = sink.feed;
    let Some(text) = feed.column.and_then(get) else {
        return Ok(());
    };
    let other = |at| !get(at).is_some_and(|value| feed.allows(value));
    if feed.only_column.is_some_and(other) {
        return Ok(());
    }
    let text = if feed.keeps == Keeps::Url {
        text.split_once("://").map_or(text, |(_, rest)| rest)
    } else {
        text
    };
    let text = if feed.cut_slashes {
        text.trim_end_matches('/')
    } else {
        text
    };
    match feed.info_column {
        None => sink.add(number, text),
        Some(at) => match get(at) {
            None => Ok(()),
            Some(family) => sink.add_labelled(number, text, &info_of(sink, family)),
        },
    }
}

/// The label made of what a column or field says.
pub(super) fn info_of(sink: &Sink<'_>, family: &str) -> String {
    let (empty, suffix) = (&sink.feed.info_empty, &sink.feed.info_suffix);
    // A family that is only a label keeps its spelling; one with a stand-in is lower-cased.
    match (family.trim(), empty.is_empty()) {
        (family, true) => format!("{family}{suffix}"),
        ("", false) => format!("{empty}{suffix}"),
        (family, false) => format!("{}{suffix}", family.to_lowercase()),
    }
}

/// Every dotted quad, or the first one behind the feed's prefix when it has one.
pub(super) fn quads(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let (stretch, limit) = if sink.feed.prefix.is_empty() {
        (line, usize::MAX)
    } else {
        match line.split_once(sink.feed.prefix.as_str()) {
            Some((_, rest)) => (rest, 1),
            None => return Ok(()),
        }
    };
    let words = stretch.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let quads = words
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.parse::<std::net::Ipv4Addr>().is_ok());
    for quad in quads.take(limit) {
        sink.add(number, quad)?;
    }
    Ok(())
}

/// `address # Reason …`.
pub(super) fn reputation(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let Some((address, reason)) = entry_line(line).and_then(|line| line.split_once(" # ")) else {
        return Ok(());
    };
    let word = reason.split_whitespace().next().unwrap_or_default();
    if word.eq_ignore_ascii_case("scanning") {
        return Ok(());
    }
    sink.add(number, address)
}

/// `trail,info,reference`, exactly two commas.
pub(super) fn row(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let columns: Vec<&str> = entry_line(line)
        .into_iter()
        .flat_map(|line| line.split(','))
        .collect();
    match columns.as_slice() {
        [text, info, reference] => sink.add_as(number, text, info, reference),
        _ => Ok(()),
    }
}
