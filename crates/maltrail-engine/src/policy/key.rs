//! What equal events have in common: an address column and a trail.
//!
//! Both come from packets, so the hash is seeded for each table.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// An owned pair of address column and trail, in one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    text: Box<str>,
    /// Where the trail begins.
    split: usize,
}

impl Key {
    pub(super) fn new(address: &str, trail: &str) -> Self {
        let mut text = String::with_capacity(address.len() + trail.len());
        text.push_str(address);
        text.push_str(trail);
        Self {
            text: text.into_boxed_str(),
            split: address.len(),
        }
    }

    pub(super) fn is(&self, address: &str, trail: &str) -> bool {
        self.text.split_at_checked(self.split) == Some((address, trail))
    }

    pub(super) fn hash(&self, seed: &Seed) -> u64 {
        let (address, trail) = self.text.split_at_checked(self.split).unwrap_or_default();
        seed.hash(address, trail)
    }

    /// Bytes of its own allocation.
    pub(super) fn heap_bytes(&self) -> usize {
        self.text.len() + super::merge::ALLOCATION
    }
}

/// Hashes of pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Seed(RandomState);

impl Seed {
    pub(super) fn hash(&self, address: &str, trail: &str) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(address.as_bytes());
        // Never part of UTF-8, so that no two pairs are the same bytes.
        hasher.write_u8(0xff);
        hasher.write(trail.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_its_two_texts_and_not_their_sum() {
        let key = Key::new("192.0.2.1", "x.example");
        assert!(key.is("192.0.2.1", "x.example"));
        assert!(!key.is("192.0.2.1x", ".example"));
        assert!(!key.is("192.0.2.2", "x.example"));
        let seed = Seed::default();
        assert_eq!(key.hash(&seed), seed.hash("192.0.2.1", "x.example"));
        assert_ne!(key.hash(&seed), seed.hash("192.0.2.1x", ".example"));
    }
}
