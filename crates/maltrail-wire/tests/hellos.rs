//! TLS and QUIC hellos: what a client writes is read back, however it orders and cuts it; arbitrary
//! and damaged bytes keep every bound.

use maltrail_wire::quic::{self, Initial, PacketBuf, StreamBuf, crypto_stream};
use maltrail_wire::tls::{ClientHello, HostNameBuf, first_certificate};
use proptest::prelude::*;
use proptest::sample::Index;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("length").to_be_bytes();
    [&length[..], bytes].concat()
}

/// A ClientHello message with a name among other extensions.
fn hello(
    name: &str,
    before: &[(u16, Vec<u8>)],
    after: &[(u16, Vec<u8>)],
    session: &[u8],
) -> Vec<u8> {
    let server_name = (0, counted(&[vec![0], counted(name.as_bytes())].concat()));
    let all = before.iter().chain([&server_name]).chain(after);
    let extension =
        |(kind, data): &(u16, Vec<u8>)| [&kind.to_be_bytes()[..], &counted(data)].concat();
    let extensions: Vec<u8> = all.flat_map(extension).collect();
    let mut body = vec![3, 3];
    body.extend([0x55; 32]);
    body.push(u8::try_from(session.len()).expect("session id"));
    body.extend(session);
    body.extend(counted(&[0x13, 1, 0x13, 2]));
    body.extend([1, 0]);
    body.extend(counted(&extensions));
    [&[1, 0][..], &counted(&body)].concat()
}

fn others() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    prop::collection::vec((1u16.., prop::collection::vec(any::<u8>(), 0..30)), 0..8)
}

fn message() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = "[a-z0-9_]{1,20}(\\.[a-z0-9][a-z0-9-]{0,20}){1,4}";
    let session = prop::collection::vec(any::<u8>(), 0..33);
    (name, others(), others(), session).prop_map(|(name, before, after, session)| {
        let message = hello(&name, &before, &after, &session);
        (name, message)
    })
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &Prk, label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let counts = (
        u16::try_from(length).expect("length"),
        u8::try_from(label.len()).expect("label"),
    );
    let info = [
        &counts.0.to_be_bytes()[..],
        &[counts.1],
        label.as_bytes(),
        &[0],
    ]
    .concat();
    let mut out = vec![0; length];
    let parts = [info.as_slice()];
    let okm = secret.expand(&parts, Length(length)).expect("length");
    okm.fill(&mut out).expect("keys");
    out
}

/// What a client chooses about its first packet.
#[derive(Clone, Debug)]
struct Choices {
    dcid: Vec<u8>,
    scid: Vec<u8>,
    token: Vec<u8>,
    number: u32,
    number_len: usize,
}

fn choices() -> impl Strategy<Value = Choices> {
    let bytes = |length| prop::collection::vec(any::<u8>(), length);
    (
        bytes(8..21),
        bytes(0..21),
        bytes(0..100),
        any::<u32>(),
        1usize..5,
    )
        .prop_map(|(dcid, scid, token, number, number_len)| Choices {
            dcid,
            scid,
            token,
            number: number & (u32::MAX >> (32 - 8 * number_len)),
            number_len,
        })
}

impl Choices {
    /// Seals `frames` as RFC 9001 says, version 1.
    fn seal(&self, frames: &[u8]) -> Vec<u8> {
        let salt: [u8; 20] = [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ];
        let secret = Salt::new(HKDF_SHA256, &salt).extract(&self.dcid);
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand(&secret, "client in", 32));
        let number = &self.number.to_be_bytes()[4 - self.number_len..];
        let mut header = vec![0xc0 | u8::try_from(self.number_len - 1).expect("length")];
        header.extend(1u32.to_be_bytes());
        for id in [&self.dcid, &self.scid] {
            header.push(u8::try_from(id.len()).expect("id"));
            header.extend(id);
        }
        let varint =
            |length: usize| (0x4000 | u16::try_from(length).expect("length")).to_be_bytes();
        header.extend(varint(self.token.len()));
        header.extend(&self.token);
        header.extend(varint(self.number_len + frames.len() + 16));
        let number_at = header.len();
        header.extend(number);

        let mut nonce = expand(&secret, "quic iv", 12);
        for (byte, number) in nonce[8..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= number;
        }
        let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("nonce");
        let key = UnboundKey::new(&AES_128_GCM, &expand(&secret, "quic key", 16)).expect("key");
        let mut sealed = frames.to_vec();
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut sealed)
            .expect("sealed");
        let mut packet = [header, sealed].concat();
        let hp = expand(&secret, "quic hp", 16);
        let hp = ring::aead::quic::HeaderProtectionKey::new(&ring::aead::quic::AES_128, &hp);
        let mask = hp.and_then(|key| key.new_mask(&packet[number_at + 4..number_at + 20]));
        let mask = mask.expect("mask");
        packet[0] ^= mask[0] & 0x0f;
        for at in 0..self.number_len {
            packet[number_at + at] ^= mask[1 + at];
        }
        packet
    }
}

/// `stream` as CRYPTO frames cut at `cuts`, in the order that `keys` sort them, pings between.
fn frames(stream: &[u8], cuts: &[Index], keys: &[u16]) -> Vec<u8> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for (end, key) in ends.into_iter().zip(keys.iter().cycle()) {
        let varint = |value: usize| (0x4000 | u16::try_from(value).expect("short")).to_be_bytes();
        let piece = &stream[start..end];
        pieces.push((
            key,
            [
                &[6],
                &varint(start)[..],
                &varint(piece.len()),
                piece,
                &[1, 0, 0],
            ]
            .concat(),
        ));
        start = end;
    }
    pieces.sort_by_key(|&(key, _)| key);
    pieces.into_iter().flat_map(|(_, piece)| piece).collect()
}

proptest! {
    #[test]
    fn a_written_hello_is_read_back((name, message) in message(), version in 0u8..5) {
        let payload = [&[22, 3, version][..], &counted(&message)].concat();
        let sent = ClientHello::in_records(&payload).and_then(|hello| hello.server_name());
        prop_assert_eq!(sent, Some(name.as_bytes()));
        let mut buffer = HostNameBuf::default();
        prop_assert_eq!(buffer.lower(name.to_ascii_uppercase().as_bytes()), Some(name.as_str()));
        prop_assert_eq!(first_certificate(&payload), None);
    }

    #[test]
    fn a_sealed_hello_is_read_back(
        (name, message) in message(),
        choices in choices(),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
        keys in prop::collection::vec(any::<u16>(), 1..13),
        padding in 16usize..300,
        flip in any::<(Index, u8)>(),
    ) {
        let plain = [frames(&message, &cuts, &keys), vec![0; padding]].concat();
        let mut datagram = choices.seal(&plain);
        datagram.extend([0xff; 3]); // another packet
        let (mut packet, mut stream) = (PacketBuf::default(), StreamBuf::default());
        let initial = Initial::parse(&datagram).expect("an Initial");
        let opened = quic::open(&initial, &mut packet).expect("opened");
        prop_assert_eq!(opened, plain);
        let pieces = crypto_stream(opened, &mut stream);
        prop_assert_eq!((pieces.bytes, pieces.lost), (message.as_slice(), 0));
        let hello = ClientHello::in_messages(pieces.bytes).expect("a hello");
        prop_assert_eq!(hello.server_name(), Some(name.as_bytes()));

        // A changed bit anywhere in the packet is noticed.
        let at = flip.0.index(datagram.len() - 3);
        datagram[at] ^= 1 << (flip.1 % 8);
        let opened = Initial::parse(&datagram).map(|initial| quic::open(&initial, &mut packet).is_ok());
        // The fixed bit is part of what the tag covers, too.
        prop_assert_ne!(opened, Some(true));
    }

    #[test]
    fn any_bytes_keep_the_bounds(
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        start in prop::sample::select(vec![
            &b""[..],
            b"\x16\x03\x01\x01\x00\x01\x00\x00\xf0\x03\x03",
            b"\x16\x03\x03\x01\x00\x0b\x00\x00\xf0",
            b"\xc0\x00\x00\x00\x01\x08",
            b"\xd0\x6b\x33\x43\xcf\x08",
        ]),
    ) {
        bytes.splice(0..0, start.iter().copied());
        let name = ClientHello::in_records(&bytes).and_then(|hello| hello.server_name());
        prop_assert!(name.is_none_or(|name| name.len() <= bytes.len()));
        let certificate = first_certificate(&bytes);
        prop_assert!(certificate.is_none_or(|der| !der.is_empty() && der.len() < bytes.len()));
        let (mut packet, mut stream) = (PacketBuf::default(), StreamBuf::default());
        if let Some(initial) = Initial::parse(&bytes) {
            prop_assert!(initial.header.len() + initial.protected.len() <= bytes.len());
            prop_assert!(quic::open(&initial, &mut packet).is_err(), "no tag fits by chance");
        }
        prop_assert!(crypto_stream(&bytes, &mut stream).bytes.len() <= bytes.len());
    }
}
