//! QUIC hellos over several packets.

use maltrail_core::event::Event;
use maltrail_wire::LinkType;
use proptest::prelude::*;
use proptest::sample::Index;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::net::{C, S, Setup, at, client_hello, lines, udp};

const EVIL: &str = "evil.com,x,r\n";

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &Prk, label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let length_byte = u8::try_from(length).expect("length");
    let label_len = u8::try_from(label.len()).expect("label");
    let info = [&[0, length_byte, label_len], label.as_bytes(), &[0]].concat();
    let mut out = vec![0; length];
    let parts = [info.as_slice()];
    let okm = secret.expand(&parts, Length(length)).expect("length");
    okm.fill(&mut out).expect("keys");
    out
}

const SALT_V1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];
const SALT_V2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];

/// A client's side of a connection.
#[derive(Clone, Debug)]
struct Client {
    v2: bool,
    /// The id that keys are made from.
    first_id: Vec<u8>,
    /// The id that packets carry.
    id: Vec<u8>,
}

impl Client {
    fn new(v2: bool) -> Self {
        let id = vec![0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        Self {
            v2,
            first_id: id.clone(),
            id,
        }
    }

    /// An Initial packet with `frames` (RFC 9001, 5; RFC 9369, 3.3).
    fn seal(&self, number: u8, frames: &[u8]) -> Vec<u8> {
        let (salt, version, first, prefix) = match self.v2 {
            true => (SALT_V2, 0x6b33_43cf_u32, 0xd0, "quicv2"),
            false => (SALT_V1, 1, 0xc0, "quic"),
        };
        let secret = Salt::new(HKDF_SHA256, &salt).extract(&self.first_id);
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand(&secret, "client in", 32));
        let mut header = vec![first];
        header.extend(version.to_be_bytes());
        header.push(u8::try_from(self.id.len()).expect("id"));
        header.extend(&self.id);
        header.extend([0, 0]); // no id of its own, no token
        let length = 0x4000 | u16::try_from(1 + frames.len() + 16).expect("length");
        header.extend(length.to_be_bytes());
        let number_at = header.len();
        header.push(number);
        let mut nonce = expand(&secret, &format!("{prefix} iv"), 12);
        nonce[11] ^= number;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("nonce");
        let key = expand(&secret, &format!("{prefix} key"), 16);
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("key");
        let mut sealed = frames.to_vec();
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut sealed)
            .expect("sealed");
        let mut packet = [header, sealed].concat();
        let mask = expand(&secret, &format!("{prefix} hp"), 16);
        let mask = ring::aead::quic::HeaderProtectionKey::new(&ring::aead::quic::AES_128, &mask);
        let mask = mask.and_then(|key| key.new_mask(&packet[number_at + 4..number_at + 20]));
        let mask = mask.expect("mask");
        packet[0] ^= mask[0] & 0x0f;
        packet[number_at] ^= mask[1];
        packet
    }
}

/// A CRYPTO frame, and padding.
fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    let varint = |value: usize| (0x4000 | u16::try_from(value).expect("short")).to_be_bytes();
    [
        &[6],
        &varint(offset)[..],
        &varint(data.len()),
        data,
        &[0; 20],
    ]
    .concat()
}

/// The handshake message of a hello.
fn hello(name: &str) -> Vec<u8> {
    client_hello(name)[5..].to_vec()
}

fn run(datagrams: &[Vec<u8>]) -> (Vec<String>, u64) {
    let mut engine = Setup::new(EVIL).engine();
    let mut events: Vec<Event> = Vec::new();
    for (second, datagram) in (0..).zip(datagrams) {
        let frame = udp(C, S, datagram);
        engine.packet(LinkType::ETHERNET, at(second), &frame, &mut events);
    }
    (lines(&events), engine.counters().quic_unread)
}

fn parts(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let starts = [0].iter().chain(at);
    let last = [bytes.len()];
    let ends = at.iter().chain(&last);
    starts
        .zip(ends)
        .map(|(&start, &end)| crypto(start, &bytes[start..end]))
        .collect()
}

#[test]
fn a_hello_over_datagrams_has_the_time_of_the_first() {
    for v2 in [false, true] {
        let client = Client::new(v2);
        let bytes = hello("www.evil.com");
        let [first, second] = [0, 1].map(|n| client.seal(n as u8, &parts(&bytes, &[200])[n]));
        let (lines, unread) = run(&[second.clone(), first.clone(), second, first]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("\"2023-11-14 22:13:20.000000\""));
        assert!(lines[0].contains(" UDP DNS (www).evil.com "), "{lines:?}");
        assert_eq!(unread, 0);
    }
}

#[test]
fn packets_of_one_datagram_count_together() {
    let client = Client::new(false);
    let bytes = hello("www.evil.com");
    let parts = parts(&bytes, &[100, 200]);
    let packets: Vec<Vec<u8>> = (0..3).map(|n| client.seal(n as u8, &parts[n])).collect();
    assert_eq!(run(&[packets.concat()]).0.len(), 1);
    let whole = client.seal(3, &crypto(0, &bytes));
    let other = client.seal(4, &[1; 30]);
    assert_eq!(run(&[[other, whole].concat()]).0.len(), 1, "the second");
    let alone = packets[..2].concat();
    assert_eq!(run(&[alone]).0.len(), 0, "the name is in the third");
}

#[test]
fn after_an_answer_the_keys_stay_those_of_the_first_id() {
    let mut client = Client::new(false);
    let bytes = hello("www.evil.com");
    let parts = parts(&bytes, &[200]);
    let first = client.seal(0, &parts[0]);
    client.id = vec![9; 8];
    let second = client.seal(1, &parts[1]);
    let (lines, unread) = run(&[first, second.clone()]);
    assert_eq!((lines.len(), unread), (1, 0));
    assert_eq!(run(&[second]), (vec![], 1), "alone it cannot be read");
}

#[test]
fn two_clients_do_not_help_each_other() {
    let bytes = hello("www.evil.com");
    let parts = parts(&bytes, &[200]);
    let mut other = Client::new(false);
    other.first_id = vec![5; 8];
    other.id = vec![5; 8];
    let datagrams = [
        Client::new(false).seal(0, &parts[0]),
        other.seal(1, &parts[1]),
    ];
    assert_eq!(run(&datagrams).0.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any split over packets and datagrams, in any order, some twice.
    #[test]
    fn any_split_is_as_one_packet(
        v2 in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 1..6),
        order in prop::collection::vec(any::<u32>(), 12),
        twice in prop::collection::vec(any::<Index>(), 0..3),
        joined in prop::collection::vec(any::<bool>(), 12),
    ) {
        let client = Client::new(v2);
        let bytes = hello("www.evil.com");
        let mut ends: Vec<usize> = cuts.iter().map(|cut| 1 + cut.index(bytes.len() - 1)).collect();
        ends.sort_unstable();
        ends.dedup();
        // All of the name in one part that starts the stream is a hello of its own, each time.
        ends[0] = ends[0].min(100);
        ends.dedup();
        let mut parts = parts(&bytes, &ends);
        for twice in twice {
            parts.push(parts[twice.index(parts.len())].clone());
        }
        let mut parts: Vec<_> = order.iter().zip(parts).collect();
        parts.sort_by_key(|(order, _)| **order);
        let mut datagrams: Vec<Vec<u8>> = Vec::new();
        let mut packets = 0;
        for (number, ((_, frames), joins)) in (0..).zip(parts.into_iter().zip(joined)) {
            let packet = client.seal(number, &frames);
            match datagrams.last_mut() {
                Some(last) if joins && packets < 4 => {
                    last.extend(packet);
                    packets += 1;
                }
                _ => {
                    datagrams.push(packet);
                    packets = 1;
                }
            }
        }
        let (lines, unread) = run(&datagrams);
        prop_assert_eq!(unread, 0);
        prop_assert_eq!(lines.len(), 1, "{:?}", lines);
        prop_assert!(lines[0].starts_with("\"2023-11-14 22:13:20.000000\""), "{}", lines[0]);
    }
}
