//! `sensor selftest`: proves that each detector works on this machine, with this program and the user's
//! switches.
//!
//! Each check plays a scene of packets made in memory twice: once with what its detector must find, once as a
//! near miss that must stay silent. Trails, whitelist, ignore rules, home networks, user agents and limits are
//! those of the check; switches (`USE_HEURISTICS`, `DISABLED_HEURISTICS`, `CHECK_*`, `EVENT_THROTTLE_MODE`) are the user's,
//! and what they switch off is not checked. No network, no right, no file, no clock.

mod checks;
mod engines;
mod messages;
mod nearest;
mod quic;
mod report;
mod scene;
#[cfg(test)]
mod tests;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use maltrail_core::addr::NetworkSet;
use maltrail_core::config::{Config, DetectConfig, ThrottleMode};
use maltrail_engine::{EngineConfig, UserAgents};

use self::checks::{Check, Need, TRAIL};
pub use self::report::{Outcome, Tally, Verdict};
pub(crate) use self::report::{Request, main};
use self::scene::{Scene, Stage};

/// Limits of a check that do not depend on the user.
const SCAN_WINDOW_SECS: u32 = 30;
const CLEAN_NAMES: usize = 1000;

/// The switches that decide what is looked for.
#[derive(Clone, Debug)]
pub struct Switches {
    /// Those of detection.
    pub detect: DetectConfig,
    /// `EVENT_THROTTLE_MODE`.
    pub throttle: ThrottleMode,
}

impl Switches {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            detect: config.detect.clone(),
            throttle: config.output.throttle,
        }
    }
}

/// How checks are run; anything but the default is for tests, which see checks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trial {
    /// Whether trails are there.
    listed: bool,
    /// Whether the near miss is played for what must be found, and the other way round.
    swapped: bool,
    /// Engines, when not as many as the check says.
    workers: Option<usize>,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            listed: true,
            swapped: false,
            workers: None,
        }
    }
}

/// Runs all checks.
pub fn run(switches: &Switches) -> Vec<Outcome> {
    let bench = Bench::new(switches, switches, Trial::default());
    checks::all().map(|check| bench.outcome(check)).collect()
}

/// Where checks are run.
struct Bench<'a> {
    /// What is on, as far as checks are told.
    expected: &'a Switches,
    throttle: ThrottleMode,
    config: EngineConfig,
    trial: Trial,
}

impl<'a> Bench<'a> {
    /// Engines work by `actual`, while checks rely on `expected`.
    fn new(actual: &Switches, expected: &'a Switches, trial: Trial) -> Self {
        let mut detect = actual.detect.clone();
        "selftest".clone_into(&mut detect.sensor_name);
        detect.scan_window_secs = SCAN_WINDOW_SECS;
        detect.domain_cache_entries = CLEAN_NAMES;
        detect.ddos = checks::LIMITS;
        Self {
            expected,
            throttle: actual.throttle,
            config: EngineConfig {
                sensor: detect.sensor_name.clone(),
                detect,
                home: NetworkSet::private(),
                user_agents: Arc::new(UserAgents::parse("sqlmap\n").unwrap_or_default()),
            },
            trial,
        }
    }

    fn outcome(&self, check: &Check) -> Outcome {
        let verdict = match switched_off(check, self.expected) {
            Some(option) => Verdict::Off(option),
            None => self.verdict(check),
        };
        Outcome {
            name: check.name,
            detector: check.rule,
            verdict,
        }
    }

    fn verdict(&self, check: &Check) -> Verdict {
        for (hit, wanted, what) in [
            (true, check.wanted, ""),
            (false, check.near, " of the near miss"),
        ] {
            // A detector that panics has failed like any other.
            let played = catch_unwind(AssertUnwindSafe(|| self.play(check, hit)));
            let Ok(found) = played else {
                return Verdict::Failed(format!("expected {}{what}, got a panic", listing(wanted)));
            };
            if !agree(wanted, &found) {
                let (wanted, found) = (listing(wanted), listing(&found));
                return Verdict::Failed(format!("expected {wanted}{what}, got {found}"));
            }
        }
        Verdict::Passed
    }

    /// What is found in the scene of a check.
    fn play(&self, check: &Check, hit: bool) -> Vec<String> {
        let mut scene = Scene::new(self.stage(check));
        (check.play)(&mut scene, hit != self.trial.swapped);
        scene.finish()
    }

    fn stage(&self, check: &Check) -> Stage<'_> {
        Stage {
            config: &self.config,
            trails: if self.trial.listed { check.trails } else { "" },
            workers: self.trial.workers.unwrap_or(check.workers),
            throttle: self.throttle,
        }
    }
}

/// Whether what was found is what was wanted, up to `…`.
fn agree(wanted: &[&str], found: &[String]) -> bool {
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            wanted
                .strip_suffix('…')
                .map_or_else(|| found == wanted, |start| found.starts_with(start))
        })
}

/// Events in one line.
fn listing(events: &[impl AsRef<str>]) -> String {
    if events.is_empty() {
        return "nothing".to_owned();
    }
    let quoted = events.iter().map(|event| format!("`{}`", event.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// The option by which the user switched off what a check is about.
fn switched_off(check: &Check, switches: &Switches) -> Option<&'static str> {
    let detect = &switches.detect;
    let heuristic = |name: &str| match (detect.heuristics, detect.runs(name)) {
        (false, _) => Some("USE_HEURISTICS"),
        (true, false) => Some("DISABLED_HEURISTICS"),
        (true, true) => None,
    };
    let need = |need: &Need| match *need {
        Need::Heuristic(name) => heuristic(name),
        Need::Sni => (!detect.check_sni).then_some("CHECK_TLS_SNI"),
        Need::Certificates => (!detect.check_certificates).then_some("CHECK_TLS_CERTIFICATES"),
        Need::MissingHost => (!detect.check_missing_host).then_some("CHECK_MISSING_HOST"),
        Need::HostDomains => (!detect.check_host_domains).then_some("CHECK_HOST_DOMAINS"),
        Need::Throttle => {
            (switches.throttle != ThrottleMode::Summarize).then_some("EVENT_THROTTLE_MODE")
        }
    };
    // What trails list is found without heuristics.
    let own = (check.rule != TRAIL).then(|| heuristic(check.rule));
    own.flatten().or_else(|| check.needs.iter().find_map(need))
}
