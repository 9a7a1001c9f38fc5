//! What a person or a script reads of a selftest.

use maltrail_engine::DETECTORS;
use serde_json::json;

use super::checks::{self, Check};
use super::nearest::nearest;
use super::{Bench, Switches, Trial};
use crate::console::say;

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What had to be found was, and nothing else.
    Passed,
    /// Expected this, got that.
    Failed(String),
    /// Not run: this option switches it off.
    Off(&'static str),
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the check.
    pub name: &'static str,
    /// The detector it is about.
    pub detector: &'static str,
    /// What became of it.
    pub verdict: Verdict,
}

impl Outcome {
    /// The line for a person.
    fn line(&self) -> String {
        let name = self.name;
        match &self.verdict {
            Verdict::Passed => format!("[o] {name}"),
            Verdict::Failed(why) => format!("[x] {name}: {why}"),
            Verdict::Off(option) => format!("[-] {name}: off ({option})"),
        }
    }

    fn json(&self) -> serde_json::Value {
        let (result, detail) = match &self.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Failed(why) => ("failed", why.as_str()),
            Verdict::Off(option) => ("off", *option),
        };
        json!({"name": self.name, "detector": self.detector, "result": result, "detail": detail})
    }
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks that were not run.
    pub off: usize,
}

impl Tally {
    /// Of these.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Passed => tally.passed += 1,
                Verdict::Failed(_) => tally.failed += 1,
                Verdict::Off(_) => tally.off += 1,
            }
        }
        tally
    }

    /// Whether nothing failed.
    const fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// The closing line.
    fn line(&self) -> String {
        format!(
            "{} passed, {} failed, {} off",
            self.passed, self.failed, self.off
        )
    }
}

/// What the command line asked for.
pub(crate) struct Request<'a> {
    pub(crate) json: bool,
    pub(crate) list: bool,
    /// Checks or detectors; none are all.
    pub(crate) names: &'a [String],
}

/// Runs checks and prints what became of them; true when none failed.
///
/// # Errors
/// When a name is that of no check and of no detector.
pub(crate) fn main(switches: &Switches, request: &Request<'_>) -> anyhow::Result<bool> {
    let chosen = chosen(request.names)?;
    if request.list {
        list(&chosen, request.json);
        return Ok(true);
    }
    let bench = Bench::new(switches, switches, Trial::default());
    let mut outcomes = Vec::with_capacity(chosen.len());
    for check in chosen {
        let outcome = bench.outcome(check);
        if !request.json {
            say(&outcome.line());
        }
        outcomes.push(outcome);
    }
    let tally = Tally::of(&outcomes);
    say(&if request.json {
        object(&outcomes)
    } else {
        tally.line()
    });
    Ok(tally.is_good())
}

/// The checks of these names, in the order of the registry.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Check>> {
    let has = |check: &Check, name: &String| name == check.name || name == check.rule;
    for name in names {
        if checks::all().any(|check| has(check, name)) {
            continue;
        }
        let known = checks::all().map(|check| check.name).chain(DETECTORS);
        let meant = nearest(name, known).unwrap_or_default();
        anyhow::bail!(
            "there is no check and no detector `{name}`; did you mean `{meant}`? (`--list` names all)"
        );
    }
    let all = checks::all();
    Ok(all
        .filter(|check| names.is_empty() || names.iter().any(|name| has(check, name)))
        .collect())
}

fn list(chosen: &[&Check], json: bool) {
    if json {
        let checks: Vec<_> = chosen
            .iter()
            .map(|check| json!({"name": check.name, "detector": check.rule, "finds": check.wanted}))
            .collect();
        say(&json!({"version": maltrail_core::VERSION, "checks": checks}).to_string());
        return;
    }
    for check in chosen {
        say(&format!(
            "{:<26}{:<19}{}",
            check.name,
            check.rule,
            check.wanted.first().unwrap_or(&"")
        ));
    }
}

/// Everything as one JSON object.
fn object(outcomes: &[Outcome]) -> String {
    let tally = Tally::of(outcomes);
    json!({
        "version": maltrail_core::VERSION,
        "passed": tally.passed,
        "failed": tally.failed,
        "off": tally.off,
        "checks": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let outcome = |name, verdict| Outcome {
            name,
            detector: "trail",
            verdict,
        };
        vec![
            outcome("a", Verdict::Passed),
            outcome("b", Verdict::Failed("expected `x`, got nothing".to_owned())),
            outcome("c", Verdict::Off("USE_HEURISTICS")),
            outcome("d", Verdict::Passed),
        ]
    }

    #[test]
    fn each_line_says_what_became_of_a_check() {
        let lines: Vec<String> = outcomes().iter().map(Outcome::line).collect();
        let wanted = [
            "[o] a",
            "[x] b: expected `x`, got nothing",
            "[-] c: off (USE_HEURISTICS)",
            "[o] d",
        ];
        assert_eq!(lines, wanted);
        let tally = Tally::of(&outcomes());
        assert_eq!(tally.line(), "2 passed, 1 failed, 1 off");
        assert!(!tally.is_good());
        let [passed, _, off, _] = outcomes().try_into().expect("four");
        assert!(Tally::of(&[passed, off]).is_good());
    }

    #[test]
    fn the_object_has_the_members_of_the_design() {
        let value: serde_json::Value = serde_json::from_str(&object(&outcomes())).expect("JSON");
        assert_eq!(value["version"], maltrail_core::VERSION);
        assert_eq!(
            (&value["passed"], &value["failed"], &value["off"]),
            (&2.into(), &1.into(), &1.into())
        );
        let second = json!({"name": "b", "detector": "trail", "result": "failed", "detail": "expected `x`, got nothing"});
        assert_eq!(value["checks"][1], second);
        assert_eq!(value["checks"][2]["detail"], "USE_HEURISTICS");
    }

    #[test]
    fn names_are_those_of_checks_and_detectors() {
        let names = |text: &[&str]| {
            let names: Vec<String> = text.iter().map(|&name| name.to_owned()).collect();
            chosen(&names).map(|checks| checks.iter().map(|check| check.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), checks::all().count());
        assert_eq!(
            names(&["flood-syn", "dns-question-a"]).expect("two"),
            ["dns-question-a", "flood-syn"]
        );
        let entropy = names(&["entropy"]).expect("a detector");
        assert_eq!(entropy, ["random-name", "consonants"]);
        let error = names(&["flod-syn"]).expect_err("none").to_string();
        assert!(error.contains("did you mean `flood-syn`?"), "{error}");
    }
}
