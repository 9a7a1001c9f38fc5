//! Certificates of servers (RFC 5246, 7.4.2). TLS 1.3 encrypts them, so they are not seen there.
//!
//! ```text
//! list <3> of: certificate <3>
//! ```

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::record::{Message, messages};
use crate::cursor::Cursor;

/// The fingerprint that lists of certificates are made of.
pub type Sha1 = [u8; 20];

/// The first certificate (DER) of the first chain in `payload`, if it is complete.
#[must_use]
pub fn first_certificate(payload: &[u8]) -> Option<&[u8]> {
    let chain = messages(payload).find(|message| message.kind == Message::CERTIFICATE)?;
    let mut body = Cursor::new(chain.body);
    let list = body.u24()?;
    let mut list = Cursor::new(body.up_to(list));
    let length = list.u24()?;
    list.take(length)
        .filter(|certificate| !certificate.is_empty())
}

/// SHA-1 of `bytes`. It names certificates here and secures nothing.
#[must_use]
pub fn sha1(bytes: &[u8]) -> Sha1 {
    let mut out = Sha1::default();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    for (to, &byte) in out.iter_mut().zip(digest.as_ref()) {
        *to = byte;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ServerHello and a chain of two certificates in one record.
    fn flight() -> Vec<u8> {
        let hello = [2, 0, 0, 2, 3, 3];
        let chain = [0, 0, 10, 0, 0, 3, 0x30, 1, 2, 0, 0, 1, 0x31];
        let message = [&[11, 0, 0, 13], &chain[..]].concat();
        let fragment = [&hello[..], &message].concat();
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[22, 3, 3], &length[..], &fragment].concat()
    }

    #[test]
    fn the_first_certificate_once_it_is_complete() {
        let payload = flight();
        for cut in 0..=payload.len() {
            let wanted = (cut >= payload.len() - 4).then_some(&[0x30, 1, 2][..]);
            assert_eq!(first_certificate(&payload[..cut]), wanted, "cut at {cut}");
        }
    }

    #[test]
    fn an_empty_chain_has_none() {
        for body in [&[0, 0, 0][..], &[0, 0, 3, 0, 0, 0]] {
            let length = u8::try_from(body.len()).unwrap();
            let payload = [&[22, 3, 3, 0, length + 4, 11, 0, 0, length], body].concat();
            assert_eq!(first_certificate(&payload), None);
        }
    }

    #[test]
    fn any_flipped_byte_is_survived() {
        let payload = flight();
        for at in 0..payload.len() {
            for bit in 0..8 {
                let mut flipped = payload.clone();
                flipped[at] ^= 1 << bit;
                let found = first_certificate(&flipped);
                assert!(found.is_none_or(|certificate| certificate.len() < payload.len()));
            }
        }
    }

    #[test]
    fn sha1_of_fips_180() {
        let hex: String = sha1(b"abc")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn every_prefix_has_the_whole_certificate_or_none() {
        let payload = flight();
        let whole = first_certificate(&payload);
        assert!(whole.is_some());
        for cut in 0..payload.len() {
            let found = first_certificate(&payload[..cut]);
            assert!(found.is_none() || found == whole, "{cut} bytes");
        }
        assert_eq!(first_certificate(&payload[..15]), None);
    }
}
