//! Keys of the first packet and its decryption (RFC 9001, 5.2 to 5.4).
//!
//! The packet is copied into a buffer of fixed size, as decryption works in place. The tag is
//! checked: what comes out is what a client of this version wrote.

use std::sync::LazyLock;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey, quic};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::header::{Initial, Version};

/// Longest packet that is read, header and all. Datagrams of QUIC fit an Ethernet frame.
pub const MAX_PACKET: usize = 2048;
/// The mask is made of this many bytes, found where a packet number of four bytes would end.
const SAMPLE_START: usize = 4;
const SAMPLE_LEN: usize = 16;

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitialDrop {
    /// The datagram ends before the packet.
    Truncated,
    /// Longer than [`MAX_PACKET`].
    TooLong,
    /// Too short to hold a packet number and a tag.
    TooShort,
    /// The tag does not fit: not the first packet of a client, or damaged.
    Tag,
}

/// Room for one packet.
#[derive(Clone, Debug)]
pub struct PacketBuf([u8; MAX_PACKET]);

impl Default for PacketBuf {
    fn default() -> Self {
        Self([0; MAX_PACKET])
    }
}

/// The labels and the salt of a version.
struct Derivation {
    salt: Salt,
    key: &'static [u8],
    iv: &'static [u8],
    mask: &'static [u8],
}

/// `HkdfLabel` (RFC 8446, 7.1) of the client's secret: length 32, label, no context.
const CLIENT: &[u8] = b"\x00\x20\x0ftls13 client in\x00";

static V1: LazyLock<Derivation> = LazyLock::new(|| Derivation {
    salt: Salt::new(
        HKDF_SHA256,
        &[
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ],
    ),
    key: b"\x00\x10\x0etls13 quic key\x00",
    iv: b"\x00\x0c\x0dtls13 quic iv\x00",
    mask: b"\x00\x10\x0dtls13 quic hp\x00",
});

static V2: LazyLock<Derivation> = LazyLock::new(|| Derivation {
    salt: Salt::new(
        HKDF_SHA256,
        &[
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
            0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
        ],
    ),
    key: b"\x00\x10\x10tls13 quicv2 key\x00",
    iv: b"\x00\x0c\x0ftls13 quicv2 iv\x00",
    mask: b"\x00\x10\x0ftls13 quicv2 hp\x00",
});

/// Bytes to fill, for [`Prk::expand`].
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let labels = [label];
    secret
        .expand(&labels, Length(N))
        .ok()?
        .fill(&mut out)
        .ok()?;
    Some(out)
}

/// Key, nonce base and header protection key of one direction.
struct Keys {
    key: [u8; 16],
    iv: [u8; NONCE_LEN],
    mask: [u8; 16],
}

impl Keys {
    fn derive(version: Version, dcid: &[u8], side: &[u8]) -> Option<Self> {
        let derivation: &Derivation = match version {
            Version::V1 => &V1,
            Version::V2 => &V2,
        };
        let secret = derivation.salt.extract(dcid);
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand::<32>(&secret, side)?);
        Some(Self {
            key: expand(&secret, derivation.key)?,
            iv: expand(&secret, derivation.iv)?,
            mask: expand(&secret, derivation.mask)?,
        })
    }

    /// Five bytes that the first byte and the packet number are hidden with.
    fn mask(&self, sample: &[u8]) -> Option<[u8; 5]> {
        let key = quic::HeaderProtectionKey::new(&quic::AES_128, &self.mask).ok()?;
        key.new_mask(sample).ok()
    }

    fn nonce(&self, number: u32) -> Nonce {
        let mut nonce = self.iv;
        for (to, byte) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *to ^= byte;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The frames of the first packet of a client, in `buffer`.
pub fn open<'b>(initial: &Initial<'_>, buffer: &'b mut PacketBuf) -> Result<&'b [u8], InitialDrop> {
    open_from(initial, CLIENT, buffer)
}

fn open_from<'b>(
    initial: &Initial<'_>,
    side: &[u8],
    buffer: &'b mut PacketBuf,
) -> Result<&'b [u8], InitialDrop> {
    if u64::try_from(initial.protected.len()) != Ok(initial.stated) {
        return Err(InitialDrop::Truncated);
    }
    let sample = SAMPLE_START..SAMPLE_START + SAMPLE_LEN;
    let sample = initial.protected.get(sample).ok_or(InitialDrop::TooShort)?;
    let header_len = initial.header.len();
    let packet_len = header_len.saturating_add(initial.protected.len());
    let packet = buffer.0.get_mut(..packet_len).ok_or(InitialDrop::TooLong)?;
    let (header, protected) = packet.split_at_mut(header_len);
    header.copy_from_slice(initial.header);
    protected.copy_from_slice(initial.protected);

    let keys = Keys::derive(initial.version, initial.dcid, side).ok_or(InitialDrop::Tag)?;
    let mask = keys.mask(sample).ok_or(InitialDrop::Tag)?;
    let (number, number_len) = unmask(packet, header_len, mask).ok_or(InitialDrop::TooShort)?;
    let (header, payload) = packet.split_at_mut(header_len.saturating_add(number_len));
    let key = UnboundKey::new(&AES_128_GCM, &keys.key).map_err(|_| InitialDrop::Tag)?;
    LessSafeKey::new(key)
        .open_in_place(keys.nonce(number), Aad::from(&*header), payload)
        .map(|frames| &*frames)
        .map_err(|_| InitialDrop::Tag)
}

/// Takes the mask off the first byte and the packet number, which begins at `at`; the number and its
/// length. A first packet has a number that is sent whole.
fn unmask(packet: &mut [u8], at: usize, mask: [u8; 5]) -> Option<(u32, usize)> {
    let [first_mask, number_mask @ ..] = mask;
    let first = packet.first_mut()?;
    *first ^= first_mask & 0x0f;
    let length = usize::from(*first & 0x03).saturating_add(1);
    let mut number = 0;
    for (byte, mask) in packet
        .get_mut(at..)?
        .iter_mut()
        .zip(number_mask)
        .take(length)
    {
        *byte ^= mask;
        number = number << 8 | u32::from(*byte);
    }
    Some((number, length))
}

#[cfg(test)]
mod tests {
    use super::super::frames::{StreamBuf, crypto_stream};
    use super::*;
    use crate::tls::ClientHello;

    const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    const SERVER: &[u8] = b"\x00\x20\x0ftls13 server in\x00";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(pair).collect()
    }

    #[track_caller]
    fn check_keys(version: Version, side: &[u8], key: &str, iv: &str, mask: &str) {
        let keys = Keys::derive(version, &DCID, side).unwrap();
        assert_eq!(
            (hex(&keys.key), hex(&keys.iv), hex(&keys.mask)),
            (key.into(), iv.into(), mask.into())
        );
    }

    #[test]
    fn keys_of_rfc_9001_a1() {
        check_keys(
            Version::V1,
            CLIENT,
            "1f369613dd76d5467730efcbe3b1a22d",
            "fa044b2f42a3fd3b46fb255c",
            "9f50449e04a0e810283a1e9933adedd2",
        );
        check_keys(
            Version::V1,
            SERVER,
            "cf3a5331653c364c88f0f379b6067e37",
            "0ac1493ca1905853b0bba03e",
            "c206b8d9b9f0f37644430b490eeaa314",
        );
    }

    #[test]
    fn keys_of_rfc_9369_a1() {
        check_keys(
            Version::V2,
            CLIENT,
            "8b1a0bc121284290a29e0971b5cd045d",
            "91f73e2351d8fa91660e909f",
            "45b95e15235d6f45a6b19cbcb0294ba9",
        );
        check_keys(
            Version::V2,
            SERVER,
            "82db637861d55e1d011f19ea71d5d2a7",
            "dd13c276499c0249d3310652",
            "edf6d05c83121201b436e16877593c3a",
        );
    }

    #[test]
    fn the_client_packet_of_rfc_9001_a2() {
        let datagram = unhex(include_str!("../../tests/data/rfc9001_a2.hex"));
        let initial = Initial::parse(&datagram).unwrap();
        let mut buffer = PacketBuf::default();
        let frames = open(&initial, &mut buffer).unwrap();
        assert_eq!(
            frames.len(),
            1162,
            "as the RFC says: 245 bytes of CRYPTO, then padding"
        );
        assert!(frames.starts_with(&unhex("060040f1010000ed0303ebf8fa56f129")));
        assert!(frames[245..].iter().all(|&byte| byte == 0));
        let mut stream = StreamBuf::default();
        let hello = ClientHello::in_messages(crypto_stream(frames, &mut stream).bytes).unwrap();
        assert_eq!(hello.server_name(), Some(&b"example.com"[..]));
    }

    #[test]
    fn the_server_packet_of_rfc_9001_a3() {
        let datagram = unhex(include_str!("../../tests/data/rfc9001_a3.hex"));
        assert_eq!(
            Initial::parse(&datagram),
            None,
            "its id is none that a client chose"
        );
        // The keys come from the client's id, which this packet does not hold.
        let (header, protected) = datagram.split_at(18);
        let initial = Initial {
            version: Version::V1,
            dcid: &DCID,
            header,
            protected,
            stated: 117,
        };
        let mut buffer = PacketBuf::default();
        let frames = open_from(&initial, SERVER, &mut buffer).unwrap();
        assert_eq!(
            hex(frames),
            concat!(
                "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf739",
                "88cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c94",
                "0d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00",
                "020304",
            )
        );
        assert_eq!(
            open(&initial, &mut buffer),
            Err(InitialDrop::Tag),
            "a server's, not a client's"
        );
    }

    #[test]
    fn every_prefix_is_refused() {
        let datagram = unhex(include_str!("../../tests/data/rfc9001_a2.hex"));
        let mut buffer = PacketBuf::default();
        for cut in 0..datagram.len() {
            if let Some(initial) = Initial::parse(&datagram[..cut]) {
                assert_eq!(
                    open(&initial, &mut buffer),
                    Err(InitialDrop::Truncated),
                    "cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let datagram = unhex(include_str!("../../tests/data/rfc9001_a2.hex"));
        let mut buffer = PacketBuf::default();
        for at in (0..60).chain((60..datagram.len()).step_by(37)) {
            let mut flipped = datagram.clone();
            flipped[at] ^= 0x01;
            let opened =
                Initial::parse(&flipped).map(|initial| open(&initial, &mut buffer).is_ok());
            assert_ne!(opened, Some(true), "byte {at}");
        }
    }

    #[test]
    fn lengths_are_checked_before_keys_are_made() {
        let mut buffer = PacketBuf::default();
        let mut check = |header: usize, protected: usize, stated, wanted| {
            let (header, protected) = (vec![0xc0; header], vec![0; protected]);
            let initial = Initial {
                version: Version::V1,
                dcid: &DCID,
                header: &header,
                protected: &protected,
                stated,
            };
            assert_eq!(open(&initial, &mut buffer), Err(wanted));
        };
        check(18, 19, 19, InitialDrop::TooShort);
        check(18, 20, 20, InitialDrop::Tag);
        check(18, 20, 21, InitialDrop::Truncated);
        check(18, MAX_PACKET - 18, 2030, InitialDrop::Tag);
        check(18, MAX_PACKET - 17, 2031, InitialDrop::TooLong);
    }
}
