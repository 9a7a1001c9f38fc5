//! Initial packets of QUIC clients (RFC 9001, RFC 9369), sealed as a client seals them.

use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::messages::client_hello;

/// A version of QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// RFC 9001, 5.2 and RFC 9369, 3.3.1.
    const fn salt(self) -> [u8; 20] {
        match self {
            Self::One => [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Self::Two => [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
        }
    }

    /// The number, the first byte of an Initial, and what labels begin with.
    const fn parts(self) -> (u32, u8, &'static str) {
        match self {
            Self::One => (1, 0xc0, "quic"),
            Self::Two => (0x6b33_43cf, 0xd0, "quicv2"),
        }
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of TLS 1.3 without context.
fn expand(secret: &Prk, label: &str, length: u8) -> Result<Vec<u8>, Unspecified> {
    let label = format!("tls13 {label}");
    let label_length = u8::try_from(label.len()).map_err(|_| Unspecified)?;
    let header = [0, length, label_length];
    let info = [&header[..], label.as_bytes(), &[0]];
    let mut out = vec![0; usize::from(length)];
    secret
        .expand(&info, Length(out.len()))?
        .fill(&mut out)
        .map(|()| out)
}

/// A datagram with the hello of a client that names a server; empty when sealing fails.
pub(super) fn hello(version: Version, name: &str) -> Vec<u8> {
    let message = client_hello(name);
    let size = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut frames = vec![6, 0];
    frames.extend((0x4000 | size).to_be_bytes());
    frames.extend(message);
    // The least a client may send.
    frames.resize(1165, 0);
    seal(version, &frames).unwrap_or_default()
}

fn seal(version: Version, frames: &[u8]) -> Result<Vec<u8>, Unspecified> {
    const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    let (number, first, prefix) = version.parts();
    let secret = Salt::new(HKDF_SHA256, &version.salt()).extract(&ID);
    let secret = Prk::new_less_safe(HKDF_SHA256, &expand(&secret, "client in", 32)?);
    let mut packet = vec![first];
    packet.extend(number.to_be_bytes());
    packet.push(8);
    packet.extend(ID);
    packet.extend([0, 0]);
    let size = u16::try_from(1 + frames.len() + 16).map_err(|_| Unspecified)?;
    packet.extend((0x4000 | size).to_be_bytes());
    let number_at = packet.len();
    packet.push(0);
    let nonce = Nonce::try_assume_unique_for_key(&expand(&secret, &format!("{prefix} iv"), 12)?)?;
    let key = UnboundKey::new(
        &AES_128_GCM,
        &expand(&secret, &format!("{prefix} key"), 16)?,
    )?;
    let mut sealed = frames.to_vec();
    LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::from(&packet), &mut sealed)?;
    // The number has one byte; the sample begins four bytes behind its place.
    let sample = sealed.get(3..19).ok_or(Unspecified)?;
    let mask = HeaderProtectionKey::new(&AES_128, &expand(&secret, &format!("{prefix} hp"), 16)?)?
        .new_mask(sample)?;
    packet.extend(sealed);
    if let Some(byte) = packet.first_mut() {
        *byte ^= mask[0] & 0x0f;
    }
    if let Some(byte) = packet.get_mut(number_at) {
        *byte ^= mask[1];
    }
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001, A.2 and RFC 9369, A.2 start like this, with the same id and another packet number
    /// length: what is not protected must agree.
    #[test]
    fn initial_packets_look_as_in_the_standards() {
        let one = hello(Version::One, "a.com");
        assert_eq!(one[0] & 0xf0, 0xc0);
        assert_eq!(one[1..6], [0, 0, 0, 1, 8]);
        assert_eq!(one.len(), 1200);
        let two = hello(Version::Two, "a.com");
        assert_eq!(two[0] & 0xf0, 0xd0);
        assert_eq!(two[1..6], [0x6b, 0x33, 0x43, 0xcf, 8]);
    }
}
