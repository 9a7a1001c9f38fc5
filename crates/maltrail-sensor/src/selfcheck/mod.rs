//! `-T`: says whether the sensor would run and what it would see; changes nothing.
//!
//! One line a check: `[o]` good, `[i]` worth knowing, `[!]` a warning, `[x]` a failure; warnings and failures
//! carry an id in brackets, which `docs/troubleshooting.md` explains, and the next step. The last line is the verdict.

mod filter;
mod folder;
mod homes;
mod listen;
mod lists;
mod machine;
mod probes;
mod remote;
mod settings;

use maltrail_core::config::{Config, Environment, Level, Message};

use crate::console::say;

/// Every id that a line of `-T` may name, beside those of faults.
#[cfg(test)]
pub(crate) const CHECK_IDS: &[&str] = &[
    "configuration",
    "home-differs",
    "log-folder-missing",
    "log-folder-unwritable",
    "log-folder-full",
    "status-file",
    "store-unreadable",
    "capture-right",
    "user",
    "interface-unknown",
    "interfaces-unlisted",
    "workers",
    "ring-memory",
    "filter-invalid",
    "filter-blinds",
    "trails-missing",
    "trails-unreadable",
    "trails-empty",
    "trails-malformed",
    "trails-unusable",
    "lists-unreadable",
    "whitelist-empty",
    "user-agents",
    "heuristics-off",
    "heuristic-unknown",
    "endpoint-invalid",
    "endpoint-unresolved",
    "listen-failed",
    "listen-silent",
];

/// Results so far.
#[derive(Default)]
struct Checks {
    warnings: usize,
    failures: usize,
    /// Kept instead of printed, for tests.
    #[cfg(test)]
    kept: Option<Vec<(&'static str, String)>>,
}

impl Checks {
    fn good(&mut self, text: &str) {
        self.line("", &format!("[o] {text}"));
    }

    fn note(&mut self, text: &str) {
        self.line("", &format!("[i] {text}"));
    }

    fn warn(&mut self, id: &'static str, text: &str, next: &str) {
        self.warnings += 1;
        self.line(id, &format!("[!] {text} [{id}] {next}"));
    }

    fn fail(&mut self, id: &'static str, text: &str, next: &str) {
        self.failures += 1;
        self.line(id, &format!("[x] {text} [{id}] {next}"));
    }

    #[cfg(not(test))]
    fn line(&self, _: &'static str, line: &str) {
        say(line.trim_end());
    }

    #[cfg(test)]
    fn line(&mut self, id: &'static str, line: &str) {
        match &mut self.kept {
            Some(kept) => kept.push((id, line.trim_end().to_owned())),
            None => say(line.trim_end()),
        }
    }

    #[cfg(test)]
    fn silent() -> Self {
        Self {
            kept: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Ids of the lines that have one, in their order.
    #[cfg(test)]
    fn ids(&self) -> Vec<&'static str> {
        let kept = self.kept.as_deref().unwrap_or_default();
        kept.iter()
            .map(|(id, _)| *id)
            .filter(|id| !id.is_empty())
            .collect()
    }

    #[cfg(test)]
    fn text(&self) -> String {
        let kept = self.kept.as_deref().unwrap_or_default();
        kept.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    const fn verdict(&self) -> &'static str {
        match (self.failures, self.warnings) {
            (0, 0) => "PASSED",
            (0, _) => "PASSED with warnings",
            _ => "FAILED",
        }
    }
}

/// Prints one line a check; true when nothing failed.
pub(crate) fn run(config: &Config, messages: &[Message]) -> bool {
    let mut checks = Checks::default();
    let environment = Environment::of_process();
    for message in messages {
        match message.level {
            Level::Note => checks.note(&message.to_string()),
            _ => checks.warn("configuration", &message.to_string(), ""),
        }
    }
    homes::check(config, &environment, &mut checks);
    folder::check(config, &mut checks);
    machine::check(config, &environment, &mut checks);
    filter::check(&config.capture.filter, &mut checks);
    lists::check(config, &mut checks);
    remote::check(config, &mut checks);
    listen::check(config, &mut checks);
    settings::print(config, &mut checks);
    say(checks.verdict());
    checks.failures == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::FAULT_IDS;

    const SOURCES: [&str; 9] = [
        include_str!("mod.rs"),
        include_str!("filter.rs"),
        include_str!("folder.rs"),
        include_str!("homes.rs"),
        include_str!("lists.rs"),
        include_str!("listen.rs"),
        include_str!("machine.rs"),
        include_str!("remote.rs"),
        include_str!("settings.rs"),
    ];

    /// Ids in calls such as `.warn("…"`, with any blanks before the text.
    fn said() -> Vec<String> {
        let mut found = Vec::new();
        for source in SOURCES {
            let program = source
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            for call in [".warn(", ".fail("] {
                for rest in program.split(call).skip(1) {
                    let id = rest
                        .trim_start()
                        .strip_prefix('"')
                        .and_then(|rest| rest.split('"').next());
                    found.extend(id.map(str::to_owned));
                }
            }
        }
        found
    }

    #[test]
    fn every_id_is_listed_and_every_listed_id_is_said() {
        let said = said();
        assert!(said.len() > 20, "{said:?}");
        for id in &said {
            let known = CHECK_IDS.contains(&id.as_str()) || FAULT_IDS.contains(&id.as_str());
            assert!(known, "{id} is not listed");
        }
        for id in CHECK_IDS {
            assert!(said.iter().any(|said| said == id), "nothing says {id}");
        }
    }

    #[test]
    fn the_verdict_follows_the_worst() {
        let mut checks = Checks::silent();
        checks.good("fine");
        assert_eq!(checks.verdict(), "PASSED");
        checks.warn("workers", "odd", "Look.");
        assert_eq!(checks.verdict(), "PASSED with warnings");
        checks.fail("capture-right", "bad", "Do.");
        assert_eq!(checks.verdict(), "FAILED");
        assert_eq!(checks.ids(), ["workers", "capture-right"]);
        assert!(checks.text().ends_with("[x] bad [capture-right] Do.\n"));
    }
}
