//! The table of `docs/ddos.md`: how long floods of each kind, rate and number of sources go on before
//! they are found.
//!
//! `cargo run -p maltrail-engine --release --example ddos_curve`

#![allow(clippy::print_stdout, reason = "the table is what this is for")]

#[path = "../tests/it/net.rs"]
mod net;
#[path = "../tests/it/traffic.rs"]
mod traffic;

use net::{SECOND, Setup};
use traffic::{ACK, SYN, SYN_ACK, Scene, V, end, stranger};

/// One packet of a flood: its number and the number of sources.
type Packet = fn(&mut Scene, u64, u64);

const KINDS: [(&str, Packet); 6] = [
    ("syn flood", |scene, n, sources| {
        scene.tcp((stranger(n % sources), n as u16), end(V, 80), SYN, b"");
    }),
    ("ack flood", |scene, n, sources| {
        scene.tcp((stranger(n % sources), n as u16), end(V, 80), ACK, b"");
    }),
    ("udp flood", |scene, n, sources| {
        scene.udp((stranger(n % sources), n as u16 | 1024), end(V, 80), 100);
    }),
    ("icmp flood", |scene, n, sources| {
        scene.icmp(stranger(n % sources), V.parse().expect("address"), 8);
    }),
    ("dns reflection", |scene, n, sources| {
        scene.udp((stranger(n % sources), 53), end(V, 80), 500);
    }),
    ("http flood", |scene, n, sources| {
        const REQUEST: &[u8] = b"GET /?q=1 HTTP/1.1\r\nHost: www.site.com\r\n\r\n";
        let (client, server) = ((stranger(n % sources), 3000), end(V, 80));
        if n < sources {
            scene.tcp(client, server, SYN, b"");
            scene.tcp(server, client, SYN_ACK, b"");
            scene.tcp(client, server, ACK, b"");
        }
        scene.tcp(client, server, 0x18, REQUEST);
    }),
];

const RATES: [u64; 7] = [500, 1000, 2000, 5000, 20_000, 100_000, 500_000];
const SOURCES: [u64; 5] = [1, 10, 1000, 100_000, 1_000_000];

/// Seconds from the first packet to the event.
fn found_after(kind: &str, packet: Packet, rate: u64, sources: u64, warm: bool) -> Option<i64> {
    let setup = Setup::new("").with(
        "DISABLED_HEURISTICS port_scanning; DISABLED_HEURISTICS udp_scanning; DISABLED_HEURISTICS infection",
    );
    let mut scene = Scene::new(&setup);
    scene.run(2, 50, Scene::background);
    if warm {
        scene.run(60, 100, |scene, n| {
            let port = (scene.second as u64 * 100 + n) as u16;
            scene.visit((stranger(5_000_000 + n), port), end(V, 80));
        });
    }
    // A quarter into a second, as no attacker waits for the clock.
    let start = scene.second;
    let mut count = 0;
    for second in 0..8 {
        let moments = if second == 0 { rate * 3 / 4 } else { rate };
        scene.run(1, moments, |scene, _| {
            packet(scene, count, sources);
            count += 1;
        });
        let first = scene
            .events
            .iter()
            .find(|event| event.info.contains(kind))
            .map(|event| event.time.secs() - SECOND - start);
        if let Some(seconds) = first {
            return Some(seconds);
        }
    }
    None
}

fn main() {
    for (what, warm) in [("cold", false), ("after a minute of ordinary visits", true)] {
        println!("\nSeconds to the event of this kind, {what}; `-`: not found\n");
        let head: Vec<String> = SOURCES
            .iter()
            .map(|count| format!("from {count}"))
            .collect();
        println!("| kind | packets/s | {} |", head.join(" | "));
        println!("|---|---|{}", "---|".repeat(SOURCES.len()));
        for (name, packet) in KINDS {
            for rate in RATES {
                let cells = SOURCES.map(|sources| {
                    found_after(name, packet, rate, sources, warm)
                        .map_or_else(|| "-".to_owned(), |seconds| seconds.to_string())
                });
                println!("| {name} | {rate} | {} |", cells.join(" | "));
            }
        }
    }
}
