//! What becomes of findings: ignore rules, condensing, throttling.

use super::{Check, EVIL, Need, pick};
use crate::selftest::messages::{A, QUESTION, question};
use crate::selftest::scene::{CLIENT, RESOLVER, Scene, TLS};
use crate::selftest::wire::v4;

const LISTED: &str = "203.0.113.7,listed,reference\n";
const FOUND: &[&str] = &[SYN];
const SYN: &str = "IP 203.0.113.7 | listed";
const ONE: &str = "DNS evil.com | listed";

/// The listed name is asked for so many times.
fn questions(scene: &mut Scene<'_>, count: u16) {
    for n in 0..count {
        let client = v4([192, 0, 2, 10], 5000 + n);
        scene.udp(client, RESOLVER, &question("evil.com", A, QUESTION));
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check::listed("ignore-rule", LISTED, FOUND, |scene, hit| {
        let rule = pick(hit, "*;*;203.0.113.7;444\n", "*;*;203.0.113.7;443\n");
        scene.policy(rule, None);
        scene.syn(CLIENT, TLS);
    }),
    Check::listed("ignore-expression", LISTED, FOUND, |scene, hit| {
        let expression = pick(hit, "'203\\.0\\.113\\.8'", "'203\\.0\\.113\\.7'");
        scene.policy("", Some(expression));
        scene.syn(CLIENT, TLS);
    }),
    // Three are written, two are held and summed up.
    Check::listed(
        "throttle",
        EVIL,
        &[ONE, ONE, ONE, "DNS evil.com | listed ×2"],
        |scene, hit| {
            scene.policy("", None);
            questions(scene, pick(hit, 5, 3));
        },
    )
    .near(&[ONE, ONE, ONE])
    .needs(&[Need::Throttle]),
    Check::listed(
        "condense",
        "203.0.113.7,known attacker,reference\n",
        &["IP 203.0.113.7 | known attacker ×2"],
        |scene, hit| {
            scene.policy("", None);
            scene.syn(v4([203, 0, 113, 7], 1), v4([192, 0, 2, 10], 20));
            scene.syn(
                v4([203, 0, 113, pick(hit, 7, 8)], 2),
                v4([192, 0, 2, 11], 21),
            );
        },
    )
    .near(&["IP 203.0.113.7 | known attacker"]),
    // Each client has its engine; the order is that of the packets.
    Check::listed(
        "several-engines",
        "203.0.113.7,listed,reference\nevil.com,listed,reference\n",
        &[SYN, ONE, SYN, ONE, SYN, ONE, SYN, ONE],
        |scene, hit| {
            let server = v4([203, 0, 113, pick(hit, 7, 8)], 443);
            let message = question(pick(hit, "evil.com", "evim.com"), A, QUESTION);
            for host in 1..=4 {
                scene.syn(v4([192, 0, 2, host], 40_000), server);
                scene.udp(v4([192, 0, 2, host], 5000), RESOLVER, &message);
            }
        },
    )
    .workers(3),
];
