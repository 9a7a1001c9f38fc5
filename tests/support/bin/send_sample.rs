//! Sends the sample's frames over an interface: `send-sample INTERFACE [COUNT]`.
//!
//! Without a count all of them, otherwise the first detection of the story and as many frames in
//! all. The pace is about 3,000 frames a second. Needs the right to open raw sockets.

use std::process::ExitCode;
use std::time::Duration;

use maltrail_tests::packet::{Host, syn};
use maltrail_tests::sample::Sample;

#[expect(clippy::print_stderr, reason = "a program's own output")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(interface) = arguments.next() else {
        eprintln!("usage: send-sample INTERFACE [COUNT]");
        return ExitCode::FAILURE;
    };
    let sample = Sample::build().frames;
    let mut frames: Vec<Vec<u8>> = sample.into_iter().map(|frame| frame.bytes).collect();
    if let Some(count) = arguments.next().and_then(|text| text.parse().ok()) {
        let beacon = syn(
            Host::local("10.20.10.13").port(49_999),
            Host::remote("198.51.100.23").port(8443),
        );
        frames.insert(0, beacon);
        frames.truncate(count);
    }
    match send(&interface, &frames) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot send over `{interface}`: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(interface: &str, frames: &[Vec<u8>]) -> Result<(), pcap::Error> {
    let mut link = pcap::Capture::from_device(interface)?.open()?;
    for some in frames.chunks(30) {
        for frame in some {
            link.sendpacket(frame.as_slice())?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
