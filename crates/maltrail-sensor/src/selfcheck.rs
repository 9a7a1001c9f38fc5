//! `-T`: says whether the sensor would run and what it would see; changes nothing.

use std::fs;
use std::path::Path;

use maltrail_core::config::{Config, Message, Origin};

use crate::capture::live::{CAPTURE_RIGHT, interface_names, may_capture};
use crate::console::say;
use crate::trails;

/// Every id that a line of `-T` may name.
#[cfg(test)]
pub(crate) const CHECK_IDS: &[&str] = &[];

/// Results so far.
#[derive(Default)]
struct Checks {
    warnings: usize,
    failures: usize,
}

impl Checks {
    fn good(&self, text: &str) {
        say(&format!("[o] {text}"));
    }

    fn warn(&mut self, text: &str) {
        self.warnings += 1;
        say(&format!("[!] {text}"));
    }

    fn fail(&mut self, text: &str) {
        self.failures += 1;
        say(&format!("[x] {text}"));
    }
}

/// Prints one line a check; true when nothing failed.
pub(crate) fn run(config: &Config, messages: &[Message]) -> bool {
    let mut checks = Checks::default();
    messages
        .iter()
        .for_each(|message| checks.warn(&message.to_string()));
    log_folder(config, &mut checks);
    capture(config, &mut checks);
    match trails::load(config) {
        Ok(lists) => {
            checks.good(&format!(
                "trails: {} from `{}`",
                lists.trails.len(),
                config.trails.file.display()
            ));
            if !lists.ignore.is_empty() {
                checks.good(&format!(
                    "{} ignore rules, IGNORE_EVENTS_REGEX {}",
                    lists.ignore.len(),
                    if lists.ignore.has_expression() {
                        "set"
                    } else {
                        "not set"
                    }
                ));
            }
        }
        Err(error) => checks.fail(&format!("{error:#}")),
    }
    if let Err(error) = trails::user_agents(config) {
        checks.fail(&format!("{error:#}"));
    }
    settings(config);
    let verdict = match (checks.failures, checks.warnings) {
        (0, 0) => "PASSED",
        (0, _) => "PASSED with warnings",
        _ => "FAILED",
    };
    say(verdict);
    checks.failures == 0
}

fn log_folder(config: &Config, checks: &mut Checks) {
    if config.output.disable_local {
        checks.good("no local log files (DISABLE_LOCAL_LOG_STORAGE)");
        return;
    }
    let folder = &config.log_dir;
    if !folder.is_dir() {
        checks.fail(&format!(
            "the log folder `{}` does not exist (LOG_DIR; a normal start creates it)",
            folder.display()
        ));
        return;
    }
    let probe: &Path = &folder.join(format!(".probe-{}", std::process::id()));
    match fs::write(probe, "").and_then(|()| fs::remove_file(probe)) {
        Ok(()) => checks.good(&format!("log folder `{}` is writable", folder.display())),
        Err(error) => checks.fail(&format!(
            "the log folder `{}` is not writable: {error}",
            folder.display()
        )),
    }
}

fn capture(config: &Config, checks: &mut Checks) {
    if may_capture() {
        checks.good("right to capture");
    } else if config.disable_check_sudo {
        checks.warn(&format!("no right to capture: {CAPTURE_RIGHT}"));
    } else {
        checks.fail(&format!("no right to capture: {CAPTURE_RIGHT}"));
    }
    let known = interface_names();
    for name in &config.capture.interfaces {
        if name == "any" || known.iter().any(|known| known == name) {
            checks.good(&format!("interface `{name}`"));
        } else {
            checks.fail(&format!(
                "there is no interface `{name}` (MONITOR_INTERFACE); this machine has: {}",
                known.join(", ")
            ));
        }
    }
    let filter = &config.capture.filter;
    if filter.is_empty() {
        checks.good("no filter: every packet is looked at");
        return;
    }
    match pcap::Capture::dead(pcap::Linktype::ETHERNET)
        .and_then(|capture| capture.compile(filter, true))
    {
        Ok(_) => checks.warn(&format!(
            "CAPTURE_FILTER `{filter}` blinds every detector whose packets it drops"
        )),
        Err(error) => checks.fail(&format!(
            "CAPTURE_FILTER `{filter}` does not compile: {error}"
        )),
    }
}

/// Every option that is not at its default, with its origin. Secrets are not printed.
fn settings(config: &Config) {
    const SECRET: [&str; 4] = ["USERS", "UDP_KEY", "AUTH_KEY_", "ALERT_WEBHOOK_URL"];
    for (name, setting) in config.settings.iter() {
        if setting.origin == Origin::Default {
            continue;
        }
        let value = if SECRET.iter().any(|secret| name.starts_with(secret)) {
            "…".to_owned()
        } else {
            setting.items.join(", ")
        };
        say(&format!("    {name} = {value} ({})", setting.origin));
    }
}
