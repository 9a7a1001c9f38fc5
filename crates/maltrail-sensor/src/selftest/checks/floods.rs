//! Floods. Limits are those of [`LIMITS`], so that few packets are enough: what is proved is that floods are
//! found, not from which rate on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use maltrail_core::config::DdosConfig;

use super::{Check, Need, pick};
use crate::selftest::messages::get;
use crate::selftest::scene::Scene;
use crate::selftest::wire::{ACK, DATA, SYN_ACK, v4};

/// A tenth of those of the configuration that ships, of HTTP a hundredth.
pub(in crate::selftest) const LIMITS: DdosConfig = DdosConfig {
    min_pps: 50,
    http_rps: 10,
    baseline_factor: 4,
    quiet_secs: 30,
};

const DDOS: &[Need] = &[Need::Heuristic("ddos")];

/// A server of ours.
const fn ours(port: u16) -> SocketAddr {
    v4([10, 0, 0, 80], port)
}

/// A host outside.
const fn outside(port: u16) -> SocketAddr {
    v4([198, 51, 100, 9], port)
}

/// The `n`th host of strangers, spread over networks.
fn stranger(n: u32, port: u16) -> SocketAddr {
    let address = 0x1400_0000 | (n.wrapping_mul(0x9e37_79b1) >> 6);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(address)), port)
}

/// Two seconds of ordinary traffic in both directions, then five of what a check is about.
fn flood(scene: &mut Scene<'_>, rate: u32, each: impl FnMut(&mut Scene<'_>, u32)) {
    scene.run(2, 50, |scene, n| {
        let (client, server) = (v4([10, 0, 0, 33], 50_000), stranger(1_000_000 + n % 7, 443));
        scene.tcp(client, server, ACK, b"abc");
        scene.tcp(server, client, ACK, &[0x17, 3, 3, 0, 9, 1, 2]);
    });
    scene.run(5, rate, each);
}

/// A flood of `$rate` packets a second that is none at `$near`.
macro_rules! flood {
    ($name:literal, $rule:literal, $text:literal, $rate:literal, $near:literal, $each:expr) => {
        Check::new(
            $name,
            $rule,
            &[
                concat!("IP 10.0.0.80 | potential ", $text, " ddos (suspicious)"),
                concat!("IP 10.0.0.80 | ", $text, " ddos ended: …"),
            ],
            |scene, hit| flood(scene, pick(hit, $rate, $near), $each),
        )
        .needs(DDOS)
    };
}

pub(super) const CHECKS: &[Check] = &[
    flood!("flood-syn", "syn_flood", "syn flood", 60, 40, |scene, n| {
        scene.syn(stranger(n, 1024), ours(443));
    }),
    flood!(
        "flood-ack",
        "ack_flood",
        "ack flood",
        240,
        160,
        |scene, n| {
            scene.tcp(stranger(n, 7), ours(80), ACK, b"");
        }
    ),
    flood!(
        "flood-udp",
        "udp_flood",
        "udp flood",
        240,
        160,
        |scene, n| {
            scene.udp(stranger(n, 7), ours(9000), &[0xa5; 400]);
        }
    ),
    flood!(
        "flood-icmp",
        "icmp_flood",
        "icmp flood",
        60,
        40,
        |scene, n| {
            scene.ping(stranger(n, 0).ip(), ours(0).ip());
        }
    ),
    flood!(
        "reflection",
        "reflection",
        "dns reflection",
        60,
        40,
        |scene, n| {
            scene.udp(stranger(n, 53), ours(9000), &[0xa5; 1200]);
        }
    ),
    Check::new(
        "reflector",
        "reflection",
        &[
            "IP 198.51.100.9 | potential ntp reflector abuse ddos (suspicious)",
            "IP 198.51.100.9 | ntp reflector abuse ddos ended: …",
        ],
        |scene, hit| {
            let (client, size) = (outside(80), pick(hit, 440, 60));
            flood(scene, 40, |scene, _| {
                scene.udp(client, ours(123), &[0xa5; 20]);
                scene.udp(ours(123), client, &vec![0xa5; size]);
            });
        },
    )
    .needs(DDOS),
    flood!(
        "flood-http",
        "http_flood",
        "http flood",
        120,
        80,
        |scene, n| {
            let client = stranger(n % 4, 3000);
            if n < 4 {
                scene.syn(client, ours(80));
                scene.tcp(ours(80), client, SYN_ACK, b"");
                scene.tcp(client, ours(80), ACK, b"");
            }
            scene.tcp(
                client,
                ours(80),
                DATA,
                get("site-a.com", "/?q=1").as_bytes(),
            );
            scene.tcp(ours(80), client, ACK, b"");
        }
    ),
    Check::new("carpet-bombing", "udp_flood", CARPET, |scene, hit| {
        carpet(scene, pick(hit, 600, 300));
    })
    .needs(CARPETS),
    Check::new(
        "own-participation",
        "udp_flood",
        &[
            "IP 198.51.100.9 | potential udp flood ddos participation (malware)",
            "IP 198.51.100.9 | udp flood ddos participation ended: …",
        ],
        |scene, hit| {
            flood(scene, pick(hit, 240, 160), |scene, _| {
                scene.udp(ours(5000), outside(80), &[0xa5; 900]);
            });
        },
    )
    .needs(&[
        Need::Heuristic("ddos"),
        Need::Heuristic("ddos_participation"),
    ]),
    // No engine sees all victims.
    Check::new(
        "carpet-bombing-several-engines",
        "udp_flood",
        CARPET,
        |scene, hit| carpet(scene, pick(hit, 600, 300)),
    )
    .needs(CARPETS)
    .workers(3),
];

const CARPETS: &[Need] = &[Need::Heuristic("ddos"), Need::Heuristic("carpet_bombing")];
const CARPET: &[&str] = &[
    "IP 10.7.7.0/24 | potential udp flood ddos (suspicious)",
    "IP 10.7.7.0/24 | udp flood ddos ended: …",
];

/// So many datagrams a second, spread over a network.
fn carpet(scene: &mut Scene<'_>, rate: u32) {
    flood(scene, rate, |scene, n| {
        let host = u8::try_from(n % 250).unwrap_or_default();
        scene.udp(stranger(n, 99), v4([10, 7, 7, host], 80), &[0xa5; 300]);
    });
}
