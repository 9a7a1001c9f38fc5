//! Datagrams that show who made them: `!1 MAC DATAGRAM`, where MAC is the first half of HMAC-SHA256 with the
//! shared key (`UDP_KEY`) over the datagram, as 32 hex digits.
//!
//! The datagram stays readable: a seal keeps others from adding events, not from reading them. An old datagram
//! sent again opens, too; the server stores an event once, so that changes nothing.

use ring::hmac;

/// How a sealed datagram begins.
const MARK: &[u8] = b"!1 ";
/// Hex digits of the MAC.
const DIGITS: usize = 32;
/// Bytes that a seal adds.
pub const SEAL_BYTES: usize = MARK.len() + DIGITS + 1;

/// A shared key.
#[derive(Clone, Debug)]
pub struct Seal(hmac::Key);

impl Seal {
    /// The seal of a key.
    pub fn new(key: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))
    }

    /// The sealed datagram.
    pub fn seal(&self, datagram: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(SEAL_BYTES + datagram.len());
        sealed.extend_from_slice(MARK);
        sealed.extend_from_slice(&self.digits(datagram));
        sealed.push(b' ');
        sealed.extend_from_slice(datagram);
        sealed
    }

    /// What was sealed; `None` when it was not sealed with this key. Takes the same time for every wrong MAC.
    pub fn open<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, rest) = datagram.strip_prefix(MARK)?.split_at_checked(DIGITS)?;
        let inner = rest.strip_prefix(b" ")?;
        let right = self.digits(inner);
        let differences = mac.iter().zip(&right).fold(0, |all, (a, b)| all | (a ^ b));
        (differences == 0).then_some(inner)
    }

    fn digits(&self, datagram: &[u8]) -> [u8; DIGITS] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let tag = hmac::sign(&self.0, datagram);
        let mut digits = [b'0'; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
            if let [high, low] = pair {
                *high = HEX[usize::from(byte >> 4)];
                *low = HEX[usize::from(byte & 15)];
            }
        }
        digits
    }
}

/// Whether a datagram claims to be sealed.
pub fn is_sealed(datagram: &[u8]) -> bool {
    datagram.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_2104() {
        // RFC 4231, test case 2, cut to its first half.
        let sealed = Seal::new("Jefe").seal(b"what do ya want for nothing?");
        assert_eq!(
            sealed,
            b"!1 5bdcc146bf60754e6a042426089575c7 what do ya want for nothing?"
        );
        assert_eq!(sealed.len(), SEAL_BYTES + 28);
    }

    #[test]
    fn no_changed_bit_and_no_other_key_opens() {
        let seal = Seal::new("key");
        let sealed = seal.seal(b"1795075200 x");
        assert_eq!(seal.open(&sealed), Some(&b"1795075200 x"[..]));
        assert_eq!(Seal::new("Key").open(&sealed), None);
        assert_eq!(seal.open(b"1795075200 x"), None);
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(seal.open(&changed), None, "byte {at} bit {bit}");
            }
            assert_eq!(seal.open(&sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(seal.open(&seal.seal(b"")), Some(&b""[..]));
    }
}
