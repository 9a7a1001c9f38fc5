//! Frames of every kind that a detector needs, to try a capture filter on.
//!
//! Headers are as on the wire, without checksums: a filter does not look at them.

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH_ACK: u8 = 0x18;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// A frame and what it is.
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) frame: Vec<u8>,
}

/// What is blind without these probes.
pub(super) struct Detector {
    pub(super) name: &'static str,
    pub(super) probes: &'static [&'static str],
}

/// Detectors, and what each of them has to see.
pub(super) const DETECTORS: &[Detector] = &[
    needs(
        "addresses",
        &[
            "SYN",
            "SYN of IPv6",
            "SYN with ECN",
            "UDP",
            "UDP of IPv6",
            "ICMP",
            "ICMPv6",
        ],
    ),
    needs(
        "names in DNS",
        &["DNS question", "DNS question of IPv6", "DNS over TCP"],
    ),
    needs("answers of DNS", &["DNS answer", "DNS answer of IPv6"]),
    needs(
        "names in TLS",
        &[
            "TLS hello",
            "TLS hello of IPv6",
            "TLS hello on 8443",
            "later segment of a TLS hello",
        ],
    ),
    needs("certificates", &["TLS certificate"]),
    needs("names in QUIC", &["QUIC", "QUIC of IPv6"]),
    needs(
        "HTTP requests",
        &["HTTP", "HTTP of IPv6", "HTTP on 8080", "HTTP on 8888"],
    ),
    needs("HTTP responses", &["HTTP response"]),
    needs(
        "port_scanning",
        &[
            "SYN",
            "SYN of IPv6",
            "SYN with ECN",
            "NULL probe",
            "FIN probe",
            "Xmas probe",
        ],
    ),
    needs("udp_scanning", &["UDP", "UDP of IPv6"]),
    needs("infection", &["SYN to 445", "SYN"]),
    needs(
        "web_scanning",
        &["HTTP", "HTTP of IPv6", "HTTP on 8080", "HTTP on 8888"],
    ),
    needs("dns_exhaustion", &["DNS question", "DNS question of IPv6"]),
    needs("long_domain", &["DNS question", "DNS question of IPv6"]),
    needs(
        "floods",
        &["SYN", "SYN-ACK", "ACK", "RST", "UDP", "ICMP", "DNS answer"],
    ),
    needs(
        "traffic in VLANs",
        &[
            "SYN in a VLAN",
            "DNS question in a VLAN",
            "SYN in two VLANs",
        ],
    ),
    needs("traffic in PPPoE", &["SYN in PPPoE"]),
    needs("ends of tunnels", &["GRE"]),
];

const fn needs(name: &'static str, probes: &'static [&'static str]) -> Detector {
    Detector { name, probes }
}

/// Every probe.
pub(super) fn probes() -> Vec<Probe> {
    let syn4 = ip4(6, &tcp(40_000, 9999, SYN, &[]));
    let ask4 = ip4(17, &udp(40_000, 53, QUESTION));
    let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
    let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let quic = b"\xc3\x00\x00\x00\x01\x08abcdefgh";
    let both = |name4: &'static str, name6: &'static str, proto, transport: &[u8]| {
        [
            (name4, ethernet(&[], IPV4, &ip4(proto, transport))),
            (name6, ethernet(&[], IPV6, &ip6(proto, transport))),
        ]
    };
    let one = |name, proto, transport: &[u8]| (name, ethernet(&[], IPV4, &ip4(proto, transport)));
    let mut all = Vec::new();
    all.extend(both("SYN", "SYN of IPv6", 6, &tcp(40_000, 9999, SYN, &[])));
    all.extend(both("UDP", "UDP of IPv6", 17, &udp(40_000, 9999, b"data")));
    all.extend(both(
        "DNS question",
        "DNS question of IPv6",
        17,
        &udp(40_000, 53, QUESTION),
    ));
    all.extend(both(
        "DNS answer",
        "DNS answer of IPv6",
        17,
        &udp(53, 40_000, ANSWER),
    ));
    all.extend(both(
        "TLS hello",
        "TLS hello of IPv6",
        6,
        &tcp(40_000, 443, PUSH_ACK, hello),
    ));
    all.extend(both("QUIC", "QUIC of IPv6", 17, &udp(40_000, 443, quic)));
    all.extend(both(
        "HTTP",
        "HTTP of IPv6",
        6,
        &tcp(40_000, 80, PUSH_ACK, http),
    ));
    all.extend([
        one("SYN with ECN", 6, &tcp(40_000, 9999, 0xc2, &[])),
        one("SYN to 445", 6, &tcp(40_000, 445, SYN, &[])),
        one("SYN-ACK", 6, &tcp(9999, 40_000, 0x12, &[])),
        one("ACK", 6, &tcp(40_000, 9999, ACK, &[])),
        one("RST", 6, &tcp(40_000, 9999, 0x04, &[])),
        one("NULL probe", 6, &tcp(40_000, 9999, 0, &[])),
        one("FIN probe", 6, &tcp(40_000, 9999, 0x01, &[])),
        one("Xmas probe", 6, &tcp(40_000, 9999, 0x29, &[])),
        one("DNS over TCP", 6, &tcp(40_000, 53, PUSH_ACK, QUESTION)),
        one("TLS hello on 8443", 6, &tcp(40_000, 8443, PUSH_ACK, hello)),
        one(
            "later segment of a TLS hello",
            6,
            &tcp(40_000, 443, PUSH_ACK, b"the rest of it"),
        ),
        one(
            "TLS certificate",
            6,
            &tcp(
                443,
                40_000,
                PUSH_ACK,
                b"\x16\x03\x03\x10\x00\x0b\x00\x0f\xfc",
            ),
        ),
        one("HTTP on 8080", 6, &tcp(40_000, 8080, PUSH_ACK, http)),
        one("HTTP on 8888", 6, &tcp(40_000, 8888, PUSH_ACK, http)),
        one(
            "HTTP response",
            6,
            &tcp(80, 40_000, PUSH_ACK, b"HTTP/1.1 200 OK\r\n\r\n"),
        ),
        one("ICMP", 1, &[8, 0, 0, 0, 0, 1, 0, 1]),
        one("GRE", 47, &[0, 0, 8, 0]),
        (
            "ICMPv6",
            ethernet(&[], IPV6, &ip6(58, &[128, 0, 0, 0, 0, 1, 0, 1])),
        ),
        ("SYN in a VLAN", ethernet(&[0x81, 0x00, 0, 7], IPV4, &syn4)),
        (
            "DNS question in a VLAN",
            ethernet(&[0x81, 0x00, 0, 7], IPV4, &ask4),
        ),
        (
            "SYN in two VLANs",
            ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8], IPV4, &syn4),
        ),
        ("SYN in PPPoE", {
            let length = u16::try_from(syn4.len() + 2)
                .unwrap_or_default()
                .to_be_bytes();
            ethernet(
                &[],
                [0x88, 0x64],
                &[&[0x11, 0, 0, 1][..], &length, &[0, 0x21], &syn4].concat(),
            )
        }),
    ]);
    all.into_iter()
        .map(|(name, frame)| Probe { name, frame })
        .collect()
}

/// A question for the A record of `a.`.
const QUESTION: &[u8] = &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
/// Its answer, that there is no such name.
const ANSWER: &[u8] = &[
    0, 1, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1,
];

fn ethernet(tags: &[u8], kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], tags, &kind, packet].concat()
}

fn ip4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 1, 0x40, 0, 64, proto, 0, 0];
    packet.extend([192, 168, 1, 10, 203, 0, 113, 7]);
    packet.extend(payload);
    packet
}

fn ip6(proto: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, proto, 64];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend(payload);
    packet
}

fn tcp(src: u16, dst: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (src.to_be_bytes(), dst.to_be_bytes());
    [
        &src[..],
        &dst,
        &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 2, 0, 0, 0, 0, 0],
        payload,
    ]
    .concat()
}

fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    [
        &src.to_be_bytes()[..],
        &dst.to_be_bytes(),
        &length,
        &[0, 0],
        payload,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use maltrail_wire::{LinkType, decode};

    use super::*;

    #[test]
    fn every_need_is_a_probe_and_every_probe_is_needed() {
        let built: BTreeSet<&str> = probes().iter().map(|probe| probe.name).collect();
        assert_eq!(built.len(), probes().len(), "a probe occurs twice");
        let needed: BTreeSet<&str> = DETECTORS
            .iter()
            .flat_map(|detector| detector.probes)
            .copied()
            .collect();
        assert_eq!(built, needed);
    }

    /// Our own decoder takes them: they are what they are called.
    #[test]
    fn every_probe_is_a_sound_packet() {
        for probe in probes() {
            let packet = decode(LinkType::ETHERNET, &probe.frame);
            let packet = packet.unwrap_or_else(|error| panic!("{}: {error:?}", probe.name));
            assert_eq!(
                packet.ip.src.is_ipv6(),
                probe.name.contains("v6"),
                "{}",
                probe.name
            );
            assert!(!packet.ip.truncated, "{}", probe.name);
        }
    }
}
