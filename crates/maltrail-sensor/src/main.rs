//! The binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    maltrail_sensor::app::main(std::env::args_os())
}
