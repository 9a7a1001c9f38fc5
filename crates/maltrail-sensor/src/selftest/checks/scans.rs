//! What is counted over many packets of one host.

use super::{Check, pick};
use crate::selftest::messages::get;
use crate::selftest::scene::{CLIENT, Scene, WEB};
use crate::selftest::wire::{DATA, FIN, SYN, XMAS, v4};

const FOUND: &[&str] = &["IP 192.0.2.10 | potential port scanning"];

/// The client tries so many ports of the server with these flags.
fn scan(scene: &mut Scene<'_>, ports: u16, flags: u8) {
    for port in 1000..1000 + ports {
        scene.tcp(CLIENT, v4([203, 0, 113, 7], port), flags, b"");
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check::new("scan-syn", "port_scanning", FOUND, |scene, hit| {
        scan(scene, pick(hit, 11, 10), SYN);
    }),
    Check::new("scan-null", "port_scanning", FOUND, |scene, hit| {
        scan(scene, pick(hit, 11, 10), 0);
    }),
    Check::new("scan-fin", "port_scanning", FOUND, |scene, hit| {
        scan(scene, pick(hit, 11, 10), FIN);
    }),
    Check::new("scan-xmas", "port_scanning", FOUND, |scene, hit| {
        scan(scene, pick(hit, 11, 10), XMAS);
    }),
    Check::new(
        "scan-udp",
        "udp_scanning",
        &["IP 192.0.2.10 | potential udp scanning"],
        |scene, hit| {
            for port in 1000..pick(hit, 1011, 1010) {
                scene.udp(CLIENT, v4([203, 0, 113, 7], port), b"x");
            }
        },
    ),
    Check::new(
        "infection",
        "infection",
        &["PORT 445 | potential infection"],
        |scene, hit| infect(scene, pick(hit, 33, 32)),
    ),
    Check::new(
        "infection-several-engines",
        "infection",
        &["PORT 445 | potential infection"],
        |scene, hit| {
            // Between hosts of ours the lower address chooses the engine: that of the victim.
            for host in 1..=pick(hit, 33, 32) {
                scene.syn(v4([192, 168, 9, 9], 40_000), v4([192, 168, 1, host], 445));
            }
        },
    )
    .workers(3),
    Check::new(
        "web-scan",
        "web_scanning",
        &["PATH * | potential web scanning"],
        |scene, hit| {
            for n in 0..pick(hit, 11, 10) {
                scene.request(get("site-a.com", &format!("/p{n}")));
            }
        },
    ),
    Check::new(
        "web-scan-inside",
        "web_scanning",
        &["PATH * | potential web scanning"],
        |scene, hit| {
            let client = v4(pick(hit, [192, 0, 2, 10], [10, 0, 0, 5]), 40_000);
            let server = v4(pick(hit, [203, 0, 113, 7], [10, 0, 0, 6]), WEB.port());
            for n in 0..11 {
                let request = get("site-a.com", &format!("/p{n}"));
                scene.tcp(client, server, DATA, request.as_bytes());
            }
        },
    ),
];

/// A host of ours tries one service on so many others.
fn infect(scene: &mut Scene<'_>, hosts: u8) {
    for host in 1..=hosts {
        scene.syn(v4([192, 168, 1, 5], 40_000), v4([203, 0, 113, host], 445));
    }
}
