//! What an update did, in words.

use std::time::Duration;

use super::Outcome;
use crate::gather::Source;

impl Outcome {
    /// Rows beyond those of the set before.
    pub fn difference(&self) -> i64 {
        self.before
            .map_or(0, |before| self.rows as i64 - before as i64)
    }
}

/// One line about an update of the set in `target`, for a person or a log.
pub fn summary(outcome: &Outcome, target: &str, took: Duration) -> String {
    let change = outcome.before.map_or_else(String::new, |_| {
        format!(" ({:+} since the last build)", outcome.difference())
    });
    let refused = match outcome.report.refused_total() {
        0 => String::new(),
        count => format!("; {count} lines refused (--verbose lists them)"),
    };
    let failed: Vec<&str> = outcome
        .sources
        .iter()
        .filter(|source| source.error.is_some() && source.copy_age_secs.is_none())
        .map(|source| source.name.as_str())
        .collect();
    let failed = match failed.len() {
        0 => String::new(),
        1..=3 => format!("; nothing from {}", failed.join(", ")),
        count => format!(
            "; nothing from {count} of {} sources (--verbose names them)",
            outcome.sources.len()
        ),
    };
    if outcome.unchanged {
        return format!(
            "nothing changed since the last build: '{target}' stays with {} trails, looked at in {:.1} s{failed}{}",
            outcome.rows,
            took.as_secs_f64(),
            copies(&outcome.sources)
        );
    }
    format!(
        "trails stored to '{target}': {}{change} from {} lists in {:.1} s{refused}{failed}{}",
        outcome.rows,
        outcome.report.files,
        took.as_secs_f64(),
        copies(&outcome.sources)
    )
}

/// The feeds that copies stand in for, the three oldest by name.
fn copies(sources: &[Source]) -> String {
    let mut aged: Vec<(u64, &str)> = sources
        .iter()
        .filter_map(|source| Some((source.copy_age_secs?, source.name.as_str())))
        .collect();
    aged.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    let named: Vec<String> = aged
        .iter()
        .take(3)
        .map(|(age, name)| format!("{name} {} old", age_text(*age)))
        .collect();
    match aged.len() {
        0 => String::new(),
        1 => format!("; 1 feed from its copy: {}", named[0]),
        count if count > named.len() => format!(
            "; {count} feeds from copies: {}, ... (--verbose names them)",
            named.join(", ")
        ),
        count => format!("; {count} feeds from copies: {}", named.join(", ")),
    }
}

/// `2 days`, `1 hour`, `5 minutes`.
fn age_text(secs: u64) -> String {
    let (count, unit) = match secs {
        0..3600 => (secs / 60, "minute"),
        3600..86_400 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// One line about one source of an update.
pub fn line_of(source: &Source) -> String {
    match (&source.error, source.copy_age_secs) {
        (Some(error), Some(age)) => format!(
            "{}: {} entries of its copy, {} old: {error}",
            source.name,
            source.entries,
            age_text(age)
        ),
        (Some(error), None) => format!("{}: nothing: {error}", source.name),
        (None, _) => format!(
            "{}: {} entries, {} refused",
            source.name, source.entries, source.refused
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_named_with_their_age_the_oldest_first() {
        let source = |name: &str, age| Source {
            name: name.to_owned(),
            entries: 7,
            refused: 0,
            error: Some("answer 503".to_owned()),
            copy_age_secs: age,
            ..Source::default()
        };
        let mut sources = vec![source("a", Some(3600)), source("b", None)];
        assert_eq!(copies(&sources), "; 1 feed from its copy: a 1 hour old");
        sources.push(source("c", Some(2 * 86_400 + 5)));
        assert_eq!(
            copies(&sources),
            "; 2 feeds from copies: c 2 days old, a 1 hour old"
        );
        sources.push(source("d", Some(59)));
        sources.push(source("e", Some(60)));
        assert_eq!(
            copies(&sources),
            "; 4 feeds from copies: c 2 days old, a 1 hour old, e 1 minute old, ... (--verbose names them)"
        );
        assert_eq!(
            line_of(&sources[0]),
            "a: 7 entries of its copy, 1 hour old: answer 503"
        );
        assert_eq!(line_of(&sources[1]), "b: nothing: answer 503");
        assert_eq!(copies(&sources[1..2]), "");
    }
}
