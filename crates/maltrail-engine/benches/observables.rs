//! Time of recording both ends of a packet.

use std::net::IpAddr;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use maltrail_core::time::Timestamp;
use maltrail_engine::Observables;

/// Packets of one run.
const PACKETS: usize = 1 << 16;

fn main() {
    divan::main();
}

fn mixed(n: usize) -> u64 {
    (n as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(23)
        ^ (n as u64)
}

/// Packets among this many pairs, in an order that no predictor knows.
fn packets(pairs: usize, is_v6: bool) -> Vec<(IpAddr, IpAddr)> {
    let host = |n: u64, net: u32| -> IpAddr {
        if is_v6 {
            IpAddr::from(((u128::from(net) << 96) | u128::from(n)).to_be_bytes())
        } else {
            IpAddr::from((net ^ (n as u32)).to_be_bytes())
        }
    };
    (0..PACKETS)
        .map(|n| {
            let pair = mixed(n) % pairs as u64;
            let ends = (
                host(pair, 0x0a00_0000),
                host(mixed(pair as usize), 0x2a00_0000),
            );
            if n % 2 == 0 { ends } else { (ends.1, ends.0) }
        })
        .collect()
}

fn run(bencher: Bencher<'_, '_>, packets: &[(IpAddr, IpAddr)]) {
    let mut seen = Observables::new();
    let at = Timestamp::from_parts(1_700_000_000, 0);
    bencher
        .counter(ItemsCount::new(packets.len()))
        .bench_local(|| {
            for &(src, dst) in black_box(packets) {
                seen.packet(black_box(at), src, dst);
            }
        });
}

#[divan::bench(args = [1, 64, 256, 1024, 30_000, 1_000_000])]
fn pairs_of_ipv4(bencher: Bencher<'_, '_>, pairs: usize) {
    run(bencher, &packets(pairs, false));
}

#[divan::bench(args = [1, 64, 256, 1024, 30_000])]
fn pairs_of_ipv6(bencher: Bencher<'_, '_>, pairs: usize) {
    run(bencher, &packets(pairs, true));
}
