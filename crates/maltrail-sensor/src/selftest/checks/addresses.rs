//! Listed addresses.

use std::net::SocketAddr;

use super::{Check, pick};
use crate::selftest::scene::{CLIENT, TLS};
use crate::selftest::wire::{ECN_SYN, GRE, v4, v6};

const LISTED: &str = "203.0.113.7,listed,reference\n";
const LISTED6: &str = "2001:db8:2::7,listed,reference\n";
const FOUND: &[&str] = &["IP 203.0.113.7 | listed"];
const FOUND6: &[&str] = &["IP 2001:db8:2::7 | listed"];
const PORT: &str = "203.0.113.7:4444,listed,reference\n";
const PORT_FOUND: &[&str] = &["IPORT 203.0.113.7:4444 | listed"];

/// An end of the client in IPv6.
const CLIENT6: SocketAddr = v6(1, 10, 40_000);

/// The listed server, or its neighbour.
const fn server(hit: bool, port: u16) -> SocketAddr {
    v4([203, 0, 113, pick(hit, 7, 8)], port)
}

const fn server6(hit: bool) -> SocketAddr {
    v6(2, pick(hit, 7, 8), 443)
}

pub(super) const CHECKS: &[Check] = &[
    Check::listed("address-syn", LISTED, FOUND, |scene, hit| {
        scene.syn(CLIENT, server(hit, 443));
    }),
    Check::listed("address-syn-from", LISTED, FOUND, |scene, hit| {
        scene.syn(server(hit, 443), CLIENT);
    }),
    Check::listed("address-syn-ipv6", LISTED6, FOUND6, |scene, hit| {
        scene.syn(CLIENT6, server6(hit));
    }),
    Check::listed("address-syn-ecn", LISTED, FOUND, |scene, hit| {
        scene.tcp(CLIENT, server(hit, 443), ECN_SYN, b"");
    }),
    Check::listed("address-udp", LISTED, FOUND, |scene, hit| {
        scene.udp(CLIENT, server(hit, 4444), b"x");
    }),
    Check::listed("address-ping", LISTED, FOUND, |scene, hit| {
        scene.ping(CLIENT.ip(), server(hit, 0).ip());
    }),
    Check::listed("address-ping-ipv6", LISTED6, FOUND6, |scene, hit| {
        scene.ping(CLIENT6.ip(), server6(hit).ip());
    }),
    Check::listed("address-other-protocol", LISTED, FOUND, |scene, hit| {
        scene.ip(CLIENT.ip(), server(hit, 0).ip(), GRE, &[0, 0, 8, 0]);
    }),
    Check::listed("address-port-tcp", PORT, PORT_FOUND, |scene, hit| {
        scene.syn(CLIENT, v4([203, 0, 113, 7], pick(hit, 4444, 4445)));
    }),
    Check::listed("address-port-udp", PORT, PORT_FOUND, |scene, hit| {
        scene.udp(CLIENT, v4([203, 0, 113, 7], pick(hit, 4444, 4445)), b"x");
    }),
    Check::listed(
        "network",
        "203.0.113.0/28,listed,reference\n",
        FOUND,
        |scene, hit| scene.syn(CLIENT, v4([203, 0, 113, pick(hit, 7, 16)], 443)),
    ),
    Check::listed("whitelist-address", LISTED, FOUND, |scene, hit| {
        scene.whitelist(pick(hit, "", "203.0.113.7\n"));
        scene.syn(CLIENT, TLS);
    }),
    Check::listed("whitelist-network", LISTED, FOUND, |scene, hit| {
        scene.whitelist(pick(hit, "", "192.0.2.0/24\n"));
        scene.syn(CLIENT, TLS);
    }),
];
