//! Lines that reach the reader of a test run even when the test passes.
//!
//! The test harness keeps what a passing test prints; these go to standard output itself.

use std::io::Write as _;

/// Says that a test did not do its work, and why. `cargo xtask test` counts these lines.
pub fn skipped(test: &str, reason: &str) {
    tell(&format!("SKIPPED {test}: {reason}"));
}

/// A line of its own.
pub fn tell(text: &str) {
    // One write, so that lines of parallel tests do not mix; the first line break ends whatever the
    // harness has begun.
    let _ = std::io::stdout().write_all(format!("\n{text}\n").as_bytes());
}
