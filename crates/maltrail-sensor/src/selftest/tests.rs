//! Checks can fail, and do exactly when their detector is missing.

use std::collections::BTreeSet;

use maltrail_core::config::{DdosConfig, DetectConfig, ThrottleMode};
use maltrail_engine::DETECTORS;

use super::checks::{self, Need, TRAIL};
use super::scene::Scene;
use super::{Bench, Outcome, Switches, Tally, Trial, Verdict, run};

/// Everything is on.
fn all_on() -> Switches {
    Switches {
        detect: DetectConfig {
            sensor_name: "edge".to_owned(),
            heuristics: true,
            disabled_heuristics: Vec::new(),
            scan_window_secs: 1,
            check_certificates: true,
            check_sni: true,
            check_missing_host: true,
            check_host_domains: true,
            domain_cache_entries: 0,
            ddos: DdosConfig::default(),
        },
        throttle: ThrottleMode::Summarize,
    }
}

fn try_with(actual: &Switches, trial: Trial) -> Vec<Outcome> {
    let expected = all_on();
    let bench = Bench::new(actual, &expected, trial);
    checks::all().map(|check| bench.outcome(check)).collect()
}

fn failed(outcomes: &[Outcome]) -> BTreeSet<&'static str> {
    let failed = |outcome: &&Outcome| matches!(outcome.verdict, Verdict::Failed(_));
    outcomes.iter().filter(failed).map(|one| one.name).collect()
}

fn named(which: impl Fn(&checks::Check) -> bool) -> BTreeSet<&'static str> {
    let all = checks::all();
    all.filter(|check| which(check))
        .map(|one| one.name)
        .collect()
}

#[test]
fn everything_passes_with_everything_on() {
    let outcomes = run(&all_on());
    let bad: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict != Verdict::Passed)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(outcomes.len() >= 60, "{}", outcomes.len());
    let names = named(|_| true);
    assert_eq!(names.len(), outcomes.len(), "names are unique");
}

#[test]
fn every_detector_has_a_check_and_every_check_a_detector() {
    let rules: BTreeSet<&str> = checks::all().map(|check| check.rule).collect();
    assert_eq!(rules, BTreeSet::from(DETECTORS));
}

/// Without a detector, exactly its own checks are red.
#[test]
fn a_missing_detector_turns_exactly_its_own_checks_red() {
    let parts = ["ddos", "carpet_bombing", "ddos_participation"];
    for rule in DETECTORS.into_iter().chain(parts) {
        if rule == TRAIL {
            continue;
        }
        let mut actual = all_on();
        actual.detect.disabled_heuristics.push(rule.to_owned());
        let own = named(|check| check.rule == rule || check.needs.contains(&Need::Heuristic(rule)));
        assert!(!own.is_empty(), "{rule}");
        assert_eq!(failed(&try_with(&actual, Trial::default())), own, "{rule}");
    }
}

/// Without trails, exactly the checks of what they list are red: those of the detector for trails, and of the two
/// that look up what a name leads to.
#[test]
fn missing_trails_turn_exactly_the_checks_of_trails_red() {
    let trial = Trial {
        listed: false,
        ..Trial::default()
    };
    let own = named(|check| matches!(check.rule, TRAIL | "sinkhole" | "parked"));
    assert_eq!(failed(&try_with(&all_on(), trial)), own);
    let listed = named(|check| !check.trails.is_empty());
    assert_eq!(listed, own, "only they have trails");
}

#[test]
fn switches_that_are_off_turn_exactly_what_needs_them_red() {
    type Switch = fn(&mut Switches);
    let rows: [(Need, Switch); 5] = [
        (Need::Sni, |switches| switches.detect.check_sni = false),
        (Need::Certificates, |switches| {
            switches.detect.check_certificates = false;
        }),
        (Need::MissingHost, |switches| {
            switches.detect.check_missing_host = false;
        }),
        (Need::HostDomains, |switches| {
            switches.detect.check_host_domains = false;
        }),
        (Need::Throttle, |switches| {
            switches.throttle = ThrottleMode::Off;
        }),
    ];
    for (need, switch) in rows {
        let mut actual = all_on();
        switch(&mut actual);
        let own = named(|check| check.needs.contains(&need));
        assert!(!own.is_empty());
        assert_eq!(
            failed(&try_with(&actual, Trial::default())),
            own,
            "{need:?}"
        );
        // The same, and the user wants it so: off, not failed.
        let outcomes = run(&actual);
        assert_eq!(Tally::of(&outcomes).off, own.len(), "{need:?}");
        assert_eq!(failed(&outcomes), BTreeSet::new(), "{need:?}");
    }
}

/// A near miss is a near miss of what must be found: played for it, every check is red.
#[test]
fn near_misses_for_what_must_be_found_turn_every_check_red() {
    let trial = Trial {
        swapped: true,
        ..Trial::default()
    };
    let swapped = failed(&try_with(&all_on(), trial));
    assert_eq!(swapped, named(|_| true));
}

/// The near miss alone is red, too, when it is found: the first half is not what makes a check fail.
#[test]
fn a_near_miss_that_is_found_is_red_by_itself() {
    let switches = all_on();
    let swapped = Trial {
        swapped: true,
        ..Trial::default()
    };
    let bench = Bench::new(&switches, &switches, swapped);
    for check in checks::all() {
        let found = bench.play(check, false);
        assert!(!super::agree(check.near, &found), "{}", check.name);
    }
}

#[test]
fn several_engines_find_what_one_finds() {
    for workers in [1, 2, 5] {
        let trial = Trial {
            workers: Some(workers),
            ..Trial::default()
        };
        assert_eq!(
            failed(&try_with(&all_on(), trial)),
            BTreeSet::new(),
            "{workers}"
        );
    }
}

/// A check with several engines proves nothing when one of them gets everything.
#[test]
fn several_engines_share_the_work() {
    let switches = all_on();
    let bench = Bench::new(&switches, &switches, Trial::default());
    for check in checks::all() {
        let mut scene = Scene::new(bench.stage(check));
        (check.play)(&mut scene, true);
        let least = check.workers.min(2);
        assert!(scene.engines_at_work() >= least, "{}", check.name);
    }
}

#[test]
fn what_the_user_switched_off_is_off_and_not_failed() {
    let mut switches = all_on();
    switches.detect.disabled_heuristics = vec!["entropy".to_owned(), "ddos".to_owned()];
    let outcomes = run(&switches);
    for outcome in &outcomes {
        let off = outcome.detector == "entropy"
            || outcome.detector.ends_with("_flood")
            || outcome.detector == "reflection";
        let wanted = match off {
            true => Verdict::Off("DISABLED_HEURISTICS"),
            false => Verdict::Passed,
        };
        assert_eq!(outcome.verdict, wanted, "{}", outcome.name);
    }
    switches.detect.heuristics = false;
    for outcome in run(&switches) {
        let wanted = match outcome.detector {
            TRAIL => Verdict::Passed,
            _ => Verdict::Off("USE_HEURISTICS"),
        };
        assert_eq!(outcome.verdict, wanted, "{}", outcome.name);
    }
}
