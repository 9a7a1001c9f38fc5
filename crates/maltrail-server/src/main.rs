//! The program `server`; everything is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    maltrail_server::cli::main(maltrail_server::cli::Args::parse())
}
