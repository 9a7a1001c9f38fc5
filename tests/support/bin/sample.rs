//! Writes the sample capture: `cargo run -p maltrail-tests --bin sample -- FILE`.

use std::process::ExitCode;

use maltrail_tests::sample::Sample;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program's own output"
)]
fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: sample FILE (the committed one is tests/corpus/sample.pcap)");
        return ExitCode::FAILURE;
    };
    let sample = Sample::build();
    let bytes = sample.pcap();
    if let Err(error) = std::fs::write(&path, &bytes) {
        eprintln!("cannot write `{}`: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!(
        "{} packets, {} detections, {} bytes",
        sample.frames.len(),
        sample.planted.len(),
        bytes.len()
    );
    ExitCode::SUCCESS
}
