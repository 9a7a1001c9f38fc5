//! Time that the watch over the capture takes per frame.
//!
//! Each run walks a ring of prepared frames; times are per frame.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use etherparse::{IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, PacketBuilder};
use maltrail_core::addr::NetworkSet;
use maltrail_core::time::Timestamp;
use maltrail_sensor::pulse::Pulse;
use maltrail_wire::LinkType;

/// Frames per run; more than the branch predictor learns.
const FRAMES: usize = 1 << 16;

fn main() {
    divan::main();
}

/// TCP between a thousand of our hosts and as many servers, with data.
fn tcp(payload: usize) -> Vec<Vec<u8>> {
    let mut state = 7u32;
    (0..FRAMES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, d] = state.to_be_bytes();
            let mut ip = Ipv4Header::new(
                0,
                64,
                IpNumber::TCP,
                [192, 168, a & 3, b],
                [203, c & 3, 113, d],
            )
            .expect("short");
            ip.identification = u16::from_be_bytes([b, c]);
            let mut frame = Vec::new();
            PacketBuilder::ethernet2([2; 6], [4; 6])
                .ip(IpHeaders::Ipv4(ip, Ipv4Extensions::default()))
                .tcp(40_000, 443, state, 512)
                .ack(1)
                .write(&mut frame, &vec![a; payload])
                .expect("memory");
            frame
        })
        .collect()
}

fn run(bencher: Bencher<'_, '_>, frames: &[Vec<u8>]) {
    let mut pulse = Pulse::new(Arc::new(NetworkSet::private()), 1500);
    let mut micros = 0;
    bencher
        .counter(ItemsCount::new(frames.len()))
        .bench_local(|| {
            for frame in frames {
                micros += 1;
                pulse.frame(
                    LinkType::ETHERNET,
                    Timestamp::from_micros(micros),
                    black_box(frame),
                    frame.len() as u32,
                );
            }
        });
}

#[divan::bench(args = [20, 400])]
fn tcp_segments(bencher: Bencher<'_, '_>, payload: usize) {
    run(bencher, &tcp(payload));
}

/// What walking the ring costs by itself.
#[divan::bench(args = [20, 400])]
fn walking_only(bencher: Bencher<'_, '_>, payload: usize) {
    let frames = tcp(payload);
    bencher
        .counter(ItemsCount::new(frames.len()))
        .bench_local(|| {
            let mut sum = 0u64;
            for frame in &frames {
                let frame: &[u8] = black_box(frame);
                // The bytes that any look at a frame brings into the cache.
                sum += u64::from(frame[18]) + u64::from(frame[14]);
            }
            black_box(sum)
        });
}
