//! `cargo xtask test`: formatting, lints, unit, vector, end-to-end and browser tests, and one closing
//! line with the counts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use crate::shell::cargo;
use crate::tools::{self, Tool};

#[derive(Args)]
pub(crate) struct Options {
    /// The long forms as well: tests in release mode, documentation, licences
    #[arg(long)]
    full: bool,
    /// Leave out the tests in a real browser (they are counted as skipped)
    #[arg(long)]
    without_browser: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Long tests that only `--full` runs.
    long: usize,
}

/// Runs everything; fails when anything failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut needed = vec![Tool::Linker, Tool::Libpcap, Tool::Networks];
    if !options.without_browser {
        needed.push(Tool::Browser);
    }
    tools::ensure_all(&needed)?;
    step("formatting");
    cargo(["fmt", "--all", "--", "--check"])
        .check()
        .context("run `cargo fmt --all`")?;
    step("lints");
    cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
    .check()?;
    step("tests");
    // End-to-end tests start both programs.
    cargo(["build", "--workspace", "--bins"]).check()?;
    let mut counts = tests(
        &[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--show-output",
        ],
        options,
    )?;
    if options.full {
        // They run below.
        counts.long = 0;
        step("tests in release mode");
        cargo(["build", "--workspace", "--bins", "--release"]).check()?;
        counts = counts.plus(tests(
            &[
                "test",
                "--workspace",
                "--no-fail-fast",
                "--release",
                "--",
                "--include-ignored",
            ],
            options,
        )?);
        step("documentation");
        cargo(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .check()?;
        licences()?;
    }
    println!("\nfinished in {} s", started.elapsed().as_secs());
    if counts.long > 0 {
        println!("{} long tests are left to --full", counts.long);
    }
    println!(
        "{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    anyhow::ensure!(counts.failed == 0, "{} tests failed", counts.failed);
    anyhow::ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

fn step(name: &str) {
    println!("\n== {name}");
}

/// Runs cargo's tests, shows their output and adds up what it says.
fn tests(arguments: &[&str], options: &Options) -> anyhow::Result<Counts> {
    let mut command = cargo(arguments).into_command();
    if options.without_browser {
        command.env("MALTRAIL_TEST_WITHOUT_BROWSER", "1");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("no output of cargo")?;
    let mut counts = Counts::default();
    let (mut names, mut long) = (Vec::new(), Vec::new());
    for line in BufReader::new(output).lines() {
        let line = line?;
        writeln!(std::io::stdout(), "{line}")?;
        if let Some(name) = line.strip_prefix("SKIPPED ") {
            names.push(name.to_owned());
        }
        if let Some(name) = left_out(&line) {
            long.push(name.to_owned());
        }
        counts = counts.plus(result(&line).unwrap_or_default());
    }
    let good = child.wait()?.success();
    counts.skipped += names.len();
    // A test that skips itself is reported as passed by the harness.
    counts.passed -= names.len().min(counts.passed);
    names.iter().for_each(|name| println!("skipped: {name}"));
    long.iter()
        .for_each(|name| println!("left to --full: {name}"));
    if !good && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// The name in a line such as `test a_whole_day ... ignored, takes minutes`.
fn left_out(line: &str) -> Option<&str> {
    let (name, how) = line.strip_prefix("test ")?.split_once(" ... ")?;
    how.starts_with("ignored").then_some(name)
}

/// Numbers of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn result(line: &str) -> Option<Counts> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        rest.split(';')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<usize>().ok())
            .unwrap_or_default()
    };
    Some(Counts {
        passed: number("passed"),
        failed: number("failed"),
        skipped: 0,
        long: number("ignored"),
    })
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
            long: self.long + other.long,
        }
    }
}

fn licences() -> anyhow::Result<()> {
    step("licences");
    if !cargo(["deny", "--version"]).quiet().status()? {
        println!("SKIPPED licences: cargo-deny is missing (cargo install cargo-deny)");
        return Ok(());
    }
    cargo(["deny", "check", "licenses", "bans", "sources"]).check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.5s";
        assert_eq!(
            result(line),
            Some(Counts {
                passed: 12,
                failed: 3,
                skipped: 0,
                long: 1,
            })
        );
        assert_eq!(result("running 3 tests"), None);
        let line = "test a_whole_day ... ignored, takes minutes";
        assert_eq!(left_out(line), Some("a_whole_day"));
        assert_eq!(left_out("test ignored ... ok"), None);
    }
}
