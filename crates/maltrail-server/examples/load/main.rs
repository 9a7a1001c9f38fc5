//! Loads a real server process and measures it: `cargo run --release -p maltrail-server --example load -- WHAT`.
//!
//! | what | measures |
//! |---|---|
//! | `day` | a day of many events: time of pages, filters, facets and sorts, memory, exact totals |
//! | `intake` | datagrams a second for a while: sent and stored; without `--rate` the highest rate that loses none |
//! | `hunt` | one indicator over a month of days |
//! | `viewers` | many live streams: memory, and time from an event to its message |
//!
//! `--server FILE` names the program (default `target/release/server`). Everything happens on loopback, in a
//! temporary folder that `--keep DIR` replaces; with it a generated day is used again.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measuring program speaks on the terminal and ends when it cannot measure"
)]

mod day;
mod http;
mod hunt;
mod intake;
mod lines;
mod process;
mod viewers;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Args {
    /// The program to be measured
    #[arg(long, global = true, default_value = "target/release/server")]
    server: PathBuf,
    /// Work in this folder and leave it behind
    #[arg(long, global = true)]
    keep: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Pages, filters, facets and sorts over one day
    Day(day::Args),
    /// Datagrams
    Intake(intake::Args),
    /// One indicator over many days
    Hunt(hunt::Args),
    /// Live streams
    Viewers(viewers::Args),
}

fn main() {
    let args = Args::parse();
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dir = args.keep.unwrap_or_else(|| temporary.path().to_owned());
    let place = process::Place {
        program: args.server,
        dir,
    };
    match args.what {
        What::Day(args) => day::run(&place, &args),
        What::Intake(args) => intake::run(&place, &args),
        What::Hunt(args) => hunt::run(&place, &args),
        What::Viewers(args) => viewers::run(&place, &args),
    }
}

/// Percentiles of times in milliseconds: median, 95th, 99th, largest.
pub(crate) fn told(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
        times[index]
    };
    format!(
        "median {:.1} ms, p95 {:.1}, p99 {:.1}, largest {:.1} ({} times)",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        times.len()
    )
}
