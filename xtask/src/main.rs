//! `cargo xtask …`: what a person does with this workspace, complete on a machine that has only
//! cargo, a C linker and a way to its package registries.

mod bench;
mod coverage;
mod install;
mod run;
mod shell;
mod test;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run and test the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start server and sensor on this machine, with the sample capture for life
    Run(run::Options),
    /// Check formatting and lints, then run every test
    Test(test::Options),
    /// Measure what a packet costs the sensor
    Bench(bench::Options),
    /// Count the lines of a library that its tests run
    Coverage(coverage::Options),
    /// Build, and install as services of this machine
    Install(install::Options),
    /// Remove what `install` wrote; changed files, configuration, logs and trails stay
    Uninstall(install::Removal),
    /// Rewrite what is generated: maltrail.conf
    Bless,
    /// Fuzz the parsers of hostile bytes, a minute each
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    match run_command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> anyhow::Result<()> {
    std::env::set_current_dir(root())?;
    match command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Coverage(options) => coverage::run(&options),
        Command::Install(options) => install::install(&options),
        Command::Uninstall(options) => install::uninstall(&options),
        Command::Bless => bless(),
        Command::Fuzz { seconds } => fuzz(seconds),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn bless() -> anyhow::Result<()> {
    std::fs::write(
        "maltrail.conf",
        maltrail_core::config::options::shipped_file(),
    )?;
    println!("maltrail.conf is written from the option table");
    let test = [
        "test",
        "--package",
        "maltrail-server",
        "--test",
        "openapi",
        "snapshot",
    ];
    let done = shell::cargo(test).env("BLESS", "1").quiet().status()?;
    anyhow::ensure!(done, "the API's description could not be written");
    println!("crates/maltrail-server/tests/openapi.json is written from the handlers");
    Ok(())
}

fn fuzz(seconds: u32) -> anyhow::Result<()> {
    let found = shell::cargo(["fuzz", "--version"]).quiet().status()?;
    anyhow::ensure!(found, "cargo-fuzz is missing: cargo install cargo-fuzz");
    for entry in std::fs::read_dir("fuzz/fuzz_targets")? {
        let path = entry?.path();
        let Some(target) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        println!("fuzzing {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        // The instrumentation needs unstable flags, which the stable compiler takes with this variable.
        let done = shell::cargo(["fuzz", "run", target, "--", &limit])
            .env("RUSTC_BOOTSTRAP", "1")
            .status()?;
        anyhow::ensure!(
            done,
            "{target}: a failing input was found, see fuzz/artifacts/{target}"
        );
    }
    Ok(())
}
