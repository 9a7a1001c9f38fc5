//! `sensor update`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use maltrail_core::config::{Config, Environment};
use maltrail_feeds::clock::Said;
use maltrail_feeds::update::{line_of, sudo_owner, summary};
use maltrail_feeds::{Clock, Fetch, HttpFetch, Job, Outcome, Phase, Update};
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
        for source in &outcome.sources {
            say(&format!("    {}", line_of(source)));
            let samples = source.samples.iter();
            samples.for_each(|sample| say(&format!("        {sample}")));
        }
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
            outcome.difference()
        )
    } else {
        format!("[i] {}", summary(&outcome, &target, took))
    });
    Ok(())
}

/// Updates while the sensor runs, unless `DISABLE_TRAIL_UPDATES`. The reload takes what they publish.
pub(crate) fn by_the_clock(config: &Config, offline: bool) -> Option<Clock> {
    if config.trails.disable_updates {
        return None;
    }
    let job = Job {
        config: config.trails.clone(),
        root: config.root.clone(),
        proxy: config.proxy.clone(),
        offline,
    };
    let clock = Clock::start(job, |said| match said {
        Said::Done(text) => info!("{text}"),
        Said::Trouble(text) => warn!("{text}"),
    });
    clock
        .inspect_err(|error| warn!("trails are not updated by the clock: {error}"))
        .ok()
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
