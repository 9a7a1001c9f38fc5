//! `sensor update`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use maltrail_core::config::{Config, Environment};
use maltrail_feeds::gather::Source;
use maltrail_feeds::update::sudo_owner;
use maltrail_feeds::{Clock, Fetch, HttpFetch, Job, Outcome, Phase, Update, UpdateError};
use tracing::{info, warn};

use crate::console::say;

/// What the command line asked for.
pub(crate) struct Request<'a> {
    pub(crate) from: Option<&'a Path>,
    pub(crate) rollback: bool,
    pub(crate) offline: bool,
    pub(crate) force: bool,
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
}

/// Builds the trails file and prints one line about it.
///
/// # Errors
/// When nothing could be published; the old file is untouched.
pub(crate) fn run(
    config: &Config,
    environment: &Environment,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut progress = Progress::new(!request.quiet && !request.json);
    let client = if request.offline {
        None
    } else {
        Some(HttpFetch::new(config.proxy.as_deref())?)
    };
    let update = Update {
        config: &config.trails,
        root: &config.root,
        from: request.from,
        built_in: true,
        fetch: client.as_ref().map(|client| client as &dyn Fetch),
        feeds: true,
        force: request.force,
        owner: sudo_owner(environment),
    };
    let outcome = if request.rollback {
        update.rollback()
    } else {
        update.run(&mut |phase| progress.show(phase))
    };
    progress.clear();
    let outcome = outcome?;
    if request.verbose {
        outcome
            .report
            .lines
            .iter()
            .for_each(|line| say(&format!("    {line}")));
        outcome
            .sources
            .iter()
            .for_each(|source| say(&format!("    {}", line_of(source))));
    }
    if !request.json {
        outcome
            .notes
            .iter()
            .for_each(|note| say(&format!("[!] {note}")));
    }
    let target = config.trails.file.display().to_string();
    let took = started.elapsed();
    say(&if request.json {
        json(&outcome, &target)
    } else if request.rollback {
        format!(
            "[i] went back to the former set in '{target}': {} trails ({:+}); updates leave it until a source changes",
            outcome.rows,
            difference(&outcome)
        )
    } else {
        summary(&outcome, &target, took)
    });
    Ok(())
}

/// Rows beyond those of the set before.
fn difference(outcome: &Outcome) -> i64 {
    outcome
        .before
        .map_or(0, |before| outcome.rows as i64 - before as i64)
}

/// Updates while the sensor runs, unless `DISABLE_TRAIL_UPDATES`. The reload takes what they publish.
pub(crate) fn by_the_clock(config: &Config, offline: bool) -> Option<Clock> {
    if config.trails.disable_updates {
        return None;
    }
    let target = config.trails.file.display().to_string();
    let job = Job {
        config: config.trails.clone(),
        root: config.root.clone(),
        proxy: config.proxy.clone(),
        offline,
    };
    let mut said = String::new();
    let clock = Clock::start(job, move |result, took| match result {
        Ok(outcome) => {
            said.clear();
            outcome.notes.iter().for_each(|note| warn!("{note}"));
            let text = summary(&outcome, &target, took);
            info!("{}", text.trim_start_matches("[i] "));
        }
        // Another one updates: its result is taken.
        Err(UpdateError::Busy(_)) => {}
        Err(error) => {
            let text = format!("the trails were not updated: {error}");
            // A lasting trouble is said once.
            if text != said {
                warn!("{text}");
            }
            said = text;
        }
    });
    clock
        .inspect_err(|error| warn!("trails are not updated by the clock: {error}"))
        .ok()
}

fn summary(outcome: &Outcome, target: &str, took: Duration) -> String {
    let change = outcome.before.map_or_else(String::new, |_| {
        format!(" ({:+} since the last build)", difference(outcome))
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
            "[i] nothing changed since the last build: '{target}' stays with {} trails, looked at in {:.1} s{failed}{}",
            outcome.rows,
            took.as_secs_f64(),
            copies(&outcome.sources)
        );
    }
    format!(
        "[i] trails stored to '{target}': {}{change} from {} lists in {:.1} s{refused}{failed}{}",
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

fn line_of(source: &Source) -> String {
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

fn json(outcome: &Outcome, target: &str) -> String {
    let refused: serde_json::Map<String, serde_json::Value> = outcome
        .report
        .refused
        .iter()
        .map(|(reason, count)| (reason.to_string(), (*count).into()))
        .collect();
    let dropped: serde_json::Map<String, serde_json::Value> = outcome
        .report
        .dropped
        .iter()
        .map(|(reason, count)| (format!("{reason:?}"), (*count).into()))
        .collect();
    let sources: Vec<serde_json::Value> = outcome
        .sources
        .iter()
        .map(|source| {
            serde_json::json!({
                "name": source.name, "entries": source.entries, "refused": source.refused, "error": source.error,
                "copy_age_secs": source.copy_age_secs,
            })
        })
        .collect();
    serde_json::json!({
        "file": target, "unchanged": outcome.unchanged, "trails": outcome.rows, "before": outcome.before, "bytes": outcome.bytes,
        "sources": sources, "feeds": outcome.status, "notes": outcome.notes, "lists": outcome.report.files, "entries": outcome.report.entries, "refused": refused, "dropped": dropped,
    })
    .to_string()
}

/// One line that renews itself on a terminal; a line a phase elsewhere.
struct Progress {
    enabled: bool,
    terminal: bool,
    phase: usize,
    shown: Option<Instant>,
}

impl Progress {
    fn new(enabled: bool) -> Self {
        Self {
            enabled,
            terminal: std::io::stderr().is_terminal(),
            phase: usize::MAX,
            shown: None,
        }
    }

    fn show(&mut self, phase: Phase) {
        const WIDTH: u64 = 30;
        let (number, name, done, all) = match phase {
            Phase::Fetching(done, all) => (3, "fetching", done as u64, all as u64),
            Phase::Reading(done, all) => (0, "reading the archive", done, all),
            Phase::Building(done, all) => (1, "building", done as u64, all as u64),
            Phase::Writing(done, all) => (2, "writing", done as u64, all as u64),
        };
        let first = self.phase != number;
        if !self.enabled || (!self.terminal && !first) {
            return;
        }
        self.phase = number;
        let mut out = std::io::stderr().lock();
        if !self.terminal {
            let _ = writeln!(out, "[i] {name}...");
            return;
        }
        if !first
            && done != all
            && self
                .shown
                .is_some_and(|at| at.elapsed() < Duration::from_millis(100))
        {
            return;
        }
        self.shown = Some(Instant::now());
        let share = (done.min(all) * 100).checked_div(all).unwrap_or(100);
        let filled = (share * WIDTH / 100) as usize;
        let bar = format!(
            "{}{}",
            "#".repeat(filled),
            ".".repeat(WIDTH as usize - filled)
        );
        let _ = write!(out, "\r\x1b[K[i] {name:<20} [{bar}] {share:>3} %");
        let _ = out.flush();
    }

    fn clear(&self) {
        if self.enabled && self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
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
