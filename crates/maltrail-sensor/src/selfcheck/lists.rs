//! What detection compares with: trails, whitelist, ignore rules, user agents, and which heuristics run.

use std::fs::File;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use maltrail_core::config::Config;
use maltrail_core::trail::{SetReport, TrailSet, Whitelist};

use super::Checks;
use crate::trails;

/// Heuristics with a name in `DISABLED_HEURISTICS`.
const HEURISTICS: [&str; 6] = [
    "port_scanning",
    "udp_scanning",
    "infection",
    "web_scanning",
    "dns_exhaustion",
    "long_domain",
];
/// Trails are old after this, whoever updates them.
const OLDEST_SECS: u64 = 7 * 86_400;
/// Unusable expressions that are named.
const SHOWN: usize = 3;

pub(super) fn check(config: &Config, checks: &mut Checks) {
    let whitelist = match trails::whitelist(config) {
        Ok(whitelist) if whitelist.is_empty() => {
            checks.warn(
                "whitelist-empty",
                "the whitelist is empty: well-known names and addresses on lists give false events",
                "Restore `data/whitelist.txt` or name your own with USER_WHITELIST.",
            );
            whitelist
        }
        Ok(whitelist) => {
            checks.good(&format!("whitelist: {} entries", whitelist.len()));
            whitelist
        }
        Err(error) => {
            unreadable(&error, checks);
            Whitelist::default()
        }
    };
    trail_set(config, whitelist, checks);
    match trails::ignore_rules(config) {
        Ok(rules) => checks.good(&format!(
            "{} ignore rules, IGNORE_EVENTS_REGEX {}",
            rules.len(),
            if rules.has_expression() {
                "set"
            } else {
                "not set"
            }
        )),
        Err(error) => unreadable(&error, checks),
    }
    match trails::user_agents(config) {
        Ok(_) => checks.good("user agents: the list compiles"),
        Err(error) => checks.fail(
            "user-agents",
            &format!("{error:#}"),
            "Correct `data/ua.txt`, or remove it: the built-in list is used then.",
        ),
    }
    heuristics(config, checks);
}

fn unreadable(error: &anyhow::Error, checks: &mut Checks) {
    checks.fail(
        "lists-unreadable",
        &format!("{error:#}"),
        "Give the sensor's user the right to read it.",
    );
}

fn trail_set(config: &Config, whitelist: Whitelist, checks: &mut Checks) {
    let options = &config.trails;
    let path = options.file.display();
    let file = match File::open(&options.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing(config, checks);
            return;
        }
        Err(error) => {
            checks.fail(
                "trails-unreadable",
                &format!("the trails file `{path}` cannot be read: {error}"),
                "Give the sensor's user the right to read it, or correct TRAILS_FILE.",
            );
            return;
        }
    };
    let checked = maltrail_feeds::update::checked(&options.file);
    match TrailSet::from_csv(file, whitelist, options.repair_truncated) {
        Ok(set) => {
            if set.is_empty() {
                empty(&path.to_string(), options.allow_empty, checks);
            } else {
                checks.good(&format!("trails: {} in `{path}`", set.len()));
            }
            contents(set.report(), checks);
        }
        Err(error) => checks.fail(
            "trails-unreadable",
            &format!("the trails file `{path}` cannot be read: {error}"),
            "Build it anew: sensor update.",
        ),
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let age = checked
        .zip(now)
        .map_or(0, |(at, now)| now.as_secs().saturating_sub(at));
    let period = (!options.disable_updates).then_some(options.update_period_secs);
    age_of(age, period, checks);
}

fn missing(config: &Config, checks: &mut Checks) {
    let text = format!(
        "there is no trails file `{}`: only the built-in trails are used",
        config.trails.file.display()
    );
    if config.trails.disable_updates {
        checks.fail(
            "trails-missing",
            &format!("{text}, and DISABLE_TRAIL_UPDATES keeps this sensor from building it"),
            "Copy the file there from where it is built, or correct TRAILS_FILE.",
        );
    } else {
        checks.warn("trails-missing", &text, "Build it now: sensor update.");
    }
}

fn empty(path: &str, allowed: bool, checks: &mut Checks) {
    let text = format!("`{path}` holds no trail: nothing but heuristics detects");
    if allowed {
        checks.warn(
            "trails-empty",
            &text,
            "ALLOW_EMPTY_TRAILS is set; build a set with `sensor update`.",
        );
    } else {
        checks.fail(
            "trails-empty",
            &text,
            "Build it with `sensor update`, or allow this with ALLOW_EMPTY_TRAILS true.",
        );
    }
}

fn contents(report: &SetReport, checks: &mut Checks) {
    let rows = report.rows + report.malformed + report.whitelisted + report.repeated;
    if report.malformed * 100 > rows {
        checks.warn(
            "trails-malformed",
            &format!(
                "{} of {rows} rows of the trails file have not three columns",
                report.malformed
            ),
            "The file was cut or is no trails file: build it anew with `sensor update`.",
        );
    }
    let unusable = &report.patterns.unusable;
    if !unusable.is_empty() {
        let shown: Vec<String> = unusable
            .iter()
            .take(SHOWN)
            .map(|(text, why)| format!("`{text}`: {why}"))
            .collect();
        checks.warn(
            "trails-unusable",
            &format!(
                "{} expressions of the trails file cannot be used, such as {}",
                unusable.len(),
                shown.join("; ")
            ),
            "Correct them in their list; the others are used.",
        );
    }
    if !report.patterns.repaired.is_empty() {
        checks.note(&format!(
            "{} cut expressions are used without their last alternative",
            report.patterns.repaired.len()
        ));
    }
}

fn age_of(age_secs: u64, period_secs: Option<u64>, checks: &mut Checks) {
    let text = format!("the trails file is {} h old", age_secs / 3600);
    if age_secs > OLDEST_SECS || period_secs.is_some_and(|period| age_secs > period) {
        checks.warn("trails-stale", &text, "Build it anew: sensor update.");
    } else {
        checks.good(&text);
    }
    updates(period_secs, checks);
}

fn updates(period_secs: Option<u64>, checks: &mut Checks) {
    match period_secs {
        Some(period) => checks.good(&format!("updates: built in, every {period} s")),
        None => checks
            .note("updates: off (DISABLE_TRAIL_UPDATES); the file is reloaded when it changes"),
    }
}

fn heuristics(config: &Config, checks: &mut Checks) {
    let detect = &config.detect;
    for name in detect
        .disabled_heuristics
        .iter()
        .filter(|name| !HEURISTICS.contains(&name.as_str()))
    {
        checks.warn(
            "heuristic-unknown",
            &format!("DISABLED_HEURISTICS: there is no `{name}`"),
            &format!("Known are: {}.", HEURISTICS.join(", ")),
        );
    }
    let (on, off): (Vec<&str>, Vec<&str>) = HEURISTICS.iter().partition(|name| detect.runs(name));
    if on.is_empty() {
        checks.warn(
            "heuristics-off",
            "no heuristic runs: scans, floods and odd requests are not found",
            "Set USE_HEURISTICS true unless this is meant.",
        );
    } else if off.is_empty() {
        checks.good(&format!(
            "heuristics on: {}, and those without a switch",
            on.join(", ")
        ));
    } else {
        checks.good(&format!(
            "heuristics on: {}; off: {}",
            on.join(", "),
            off.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(check: impl Fn(&mut Checks)) -> (Vec<&'static str>, usize) {
        let mut checks = Checks::silent();
        check(&mut checks);
        (checks.ids(), checks.failures)
    }

    #[test]
    fn one_malformed_row_in_a_hundred_is_passed_over() {
        let of = |rows, malformed| {
            let report = SetReport {
                rows,
                malformed,
                ..SetReport::default()
            };
            ids(|checks| contents(&report, checks)).0
        };
        assert_eq!(of(99, 1), Vec::<&str>::new());
        assert_eq!(of(98, 1), ["trails-malformed"]);
        assert_eq!(of(0, 1), ["trails-malformed"]);
    }

    #[test]
    fn expressions_that_do_not_compile_are_named() {
        let mut report = SetReport::default();
        report.patterns.unusable = vec![("a(".to_owned(), "unclosed group".to_owned()); 9];
        let mut checks = Checks::silent();
        contents(&report, &mut checks);
        assert_eq!(checks.ids(), ["trails-unusable"]);
        assert_eq!(checks.text().matches("`a(`: unclosed group").count(), SHOWN);
    }

    #[test]
    fn age_is_compared_with_the_period_and_a_week() {
        let of = |age, period| ids(|checks| age_of(age, period, checks)).0;
        assert_eq!(of(3601, Some(3600)), ["trails-stale"]);
        assert_eq!(of(3600, Some(3600)), Vec::<&str>::new());
        assert_eq!(of(3601, None), Vec::<&str>::new());
        assert_eq!(of(OLDEST_SECS + 1, None), ["trails-stale"]);
    }

    #[test]
    fn no_trail_fails_unless_allowed() {
        assert_eq!(
            ids(|checks| empty("t", false, checks)),
            (vec!["trails-empty"], 1)
        );
        assert_eq!(
            ids(|checks| empty("t", true, checks)),
            (vec!["trails-empty"], 0)
        );
    }
}
