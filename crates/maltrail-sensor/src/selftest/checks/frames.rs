//! What lies around a packet: tags, sessions, other networks, extension headers.

use maltrail_wire::LinkType;

use super::{Check, pick};
use crate::selftest::scene::{CLIENT, TLS};
use crate::selftest::wire::{self, ETHER_IPV4, SYN, ethernet, length, tagged, v6};

const LISTED: &str = "203.0.113.7,listed,reference\n";
const FOUND: &[&str] = &["IP 203.0.113.7 | listed"];

/// An IP packet with a SYN to the listed server.
fn syn() -> Vec<u8> {
    let segment = wire::tcp((CLIENT.port(), TLS.port()), 1, SYN, b"");
    wire::packet(CLIENT.ip(), TLS.ip(), wire::TCP, &segment)
}

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const PPPOE_SESSION: u16 = 0x8864;
const PPPOE_DISCOVERY: u16 = 0x8863;
const ARP: u16 = 0x0806;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;

pub(super) const CHECKS: &[Check] = &[
    Check::listed("frame-vlan", LISTED, FOUND, |scene, hit| {
        let inner = pick(hit, ETHER_IPV4, ARP);
        scene.frame(&ethernet(VLAN, &tagged(inner, &syn())));
    }),
    Check::listed("frame-qinq", LISTED, FOUND, |scene, hit| {
        let inner = tagged(pick(hit, ETHER_IPV4, ARP), &syn());
        scene.frame(&ethernet(SERVICE_VLAN, &tagged(VLAN, &inner)));
    }),
    Check::listed("frame-pppoe", LISTED, FOUND, |scene, hit| {
        let packet = syn();
        let size = length(packet.len() + 2);
        let session = [&[0x11, 0, 0, 1, size[0], size[1], 0, 0x21], &packet[..]].concat();
        let kind = pick(hit, PPPOE_SESSION, PPPOE_DISCOVERY);
        scene.frame(&ethernet(kind, &session));
    }),
    Check::listed("frame-raw", LISTED, FOUND, |scene, hit| {
        let mut packet = syn();
        if !hit && let Some(version) = packet.first_mut() {
            *version = 0x55;
        }
        scene.link(LinkType::RAW, &packet);
    }),
    Check::listed("frame-cooked", LISTED, FOUND, |scene, hit| {
        let [high, low] = pick(hit, ETHER_IPV4, ARP).to_be_bytes();
        let header = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, high, low];
        scene.link(LinkType::LINUX_SLL, &[&header, &syn()[..]].concat());
    }),
    Check::listed(
        "ipv6-extensions",
        "[2001:db8:2::7]:443,listed,reference\n",
        &["IPORT [2001:db8:2::7]:443 | listed"],
        |scene, hit| {
            let (src, dst) = (v6(1, 10, 40_000), v6(2, 7, 443));
            let segment = wire::tcp((src.port(), dst.port()), 1, SYN, b"");
            // A fragment that is not the first carries no ports.
            let offset = pick(hit, 0, 8);
            let headers = [
                [OPTIONS, 0, 1, 4, 0, 0, 0, 0],
                [FRAGMENT, 0, 1, 4, 0, 0, 0, 0],
                [wire::TCP, 0, 0, offset, 0, 0, 0, 1],
            ];
            let payload = [headers.as_flattened(), &segment].concat();
            scene.ip(src.ip(), dst.ip(), HOP_BY_HOP, &payload);
        },
    ),
];
