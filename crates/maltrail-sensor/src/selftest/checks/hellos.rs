//! Names and certificates before a connection is encrypted.

use super::{Check, EVIL, FOUND, Need, evil, pick};
use crate::selftest::messages::{certificate, tls_hello};
use crate::selftest::quic::{Version, hello};
use crate::selftest::scene::{CLIENT, TLS};
use crate::selftest::wire::{DATA, v6};

pub(super) const CHECKS: &[Check] = &[
    Check::listed("tls-name", EVIL, FOUND, |scene, hit| {
        scene.tcp(CLIENT, TLS, DATA, &tls_hello(evil(hit)));
    })
    .needs(&[Need::Sni]),
    Check::listed("tls-name-ipv6", EVIL, FOUND, |scene, hit| {
        scene.tcp(v6(1, 1, 40_000), v6(2, 7, 443), DATA, &tls_hello(evil(hit)));
    })
    .needs(&[Need::Sni]),
    Check::listed("tls-name-split", EVIL, FOUND, |scene, hit| {
        scene.split(TLS, &tls_hello("www.evil.com"), hit);
    })
    .needs(&[Need::Sni]),
    Check::listed("quic-v1", EVIL, FOUND, |scene, hit| {
        scene.udp(CLIENT, TLS, &hello(Version::One, evil(hit)));
    })
    .needs(&[Need::Sni]),
    Check::listed("quic-v2", EVIL, FOUND, |scene, hit| {
        scene.udp(CLIENT, TLS, &hello(Version::Two, evil(hit)));
    })
    .needs(&[Need::Sni]),
    // The fingerprint is that of the bytes `abc` (FIPS 180-2, A.1): what a certificate says is not looked at.
    Check::listed(
        "tls-certificate",
        "a9993e364706816aba3e25717850c26c9cd0d89d,listed,reference\n",
        &["CERT a9993e364706816aba3e25717850c26c9cd0d89d | listed"],
        |scene, hit| {
            let bytes: &[u8] = pick(hit, b"abc", b"abd");
            scene.tcp(TLS, CLIENT, DATA, &certificate(bytes));
        },
    )
    .needs(&[Need::Certificates]),
];
