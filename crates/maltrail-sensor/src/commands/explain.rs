//! `sensor explain`: whether an indicator is reported, and why; see [`maltrail_explain`].
//!
//! Exit code 0: reported; 1: not reported; 2: no answer.

use maltrail_core::config::{Config, Environment};
use maltrail_explain::{Facts, answer};

use crate::console::say;

/// Answers and prints; whether the indicator is reported.
///
/// # Errors
/// When the text is no indicator or the set cannot be read.
pub(crate) fn run(
    config: &Config,
    environment: &Environment,
    indicator: &str,
    as_json: bool,
) -> anyhow::Result<bool> {
    let facts = Facts::load(config, environment)?;
    let answer = answer(&facts, indicator)?;
    say(&if as_json {
        answer.json().to_string()
    } else {
        answer.text()
    });
    Ok(answer.is_flagged())
}
