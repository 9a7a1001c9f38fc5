//! Marks that something was met lately: fingerprints with the second, in a direct-mapped table.
//!
//! ```text
//! hash ─► slot (upper bits)     slot: 20 bits of the hash │ 12 bits of the second + 1
//! ```
//!
//! A later mark takes the place of an earlier one with the same slot, so a mark may be lost; another
//! value is taken for one marked once in a million. Users count shares, never single packets.
//!
//! Bound: the slots given to [`Marks::new`], four bytes each, touched only as marks come.

/// 64 × 64 bits multiplied, both halves added by exclusive or: the step of foldhash and wyhash.
#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

const SECONDS: u32 = 0xfff;

/// A table of marks.
#[derive(Debug)]
pub(crate) struct Marks {
    slots: Vec<u32>,
    shift: u32,
    /// How many seconds a mark holds.
    holds: u32,
}

impl Marks {
    /// No mark in 2^`bits` slots; each holds for so many seconds, less than 4000.
    pub(crate) fn new(bits: u32, holds: u32) -> Self {
        let bits = bits.clamp(1, 28);
        Self {
            slots: vec![0; 1 << bits],
            shift: 64 - bits,
            holds: holds.min(SECONDS - 1),
        }
    }

    /// Twelve bits, never all zero together with an empty slot.
    const fn print(hash: u64) -> u32 {
        ((hash as u32) | 0x1000) & !SECONDS
    }

    const fn stamp(second: u32) -> u32 {
        second & SECONDS
    }

    /// Marks what has this hash.
    #[inline]
    pub(crate) fn set(&mut self, hash: u64, second: u32) {
        if let Some(slot) = self.slots.get_mut((hash >> self.shift) as usize) {
            *slot = Self::print(hash) | Self::stamp(second);
        }
    }

    /// Whether what has this hash was marked lately.
    #[inline]
    pub(crate) fn has(&self, hash: u64, second: u32) -> bool {
        self.slots
            .get((hash >> self.shift) as usize)
            .is_some_and(|&slot| {
                let age = second.wrapping_sub(slot) & SECONDS;
                slot & !SECONDS == Self::print(hash) && age <= self.holds
            })
    }

    /// Takes the mark away; whether it was there.
    #[inline]
    pub(crate) fn take(&mut self, hash: u64, second: u32) -> bool {
        let had = self.has(hash, second);
        if had && let Some(slot) = self.slots.get_mut((hash >> self.shift) as usize) {
            *slot = 0;
        }
        had
    }

    /// Forgets all marks.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_for_its_time_and_is_taken_once() {
        let mut marks = Marks::new(8, 30);
        let hash = fold(7, 0x9e37_79b9_7f4a_7c15);
        assert!(!marks.has(hash, 0) && !marks.has(0, 0));
        marks.set(hash, 4090);
        assert!(marks.has(hash, 4090) && marks.has(hash, 4120));
        assert!(!marks.has(hash, 4121));
        assert!(!marks.has(hash ^ 0x2000, 4090), "another fingerprint");
        assert!(marks.take(hash, 4100) && !marks.take(hash, 4100));
        marks.set(0, 1);
        assert!(marks.has(0, 1));
        marks.clear();
        assert!(!marks.has(0, 1));
    }

    #[test]
    fn a_full_table_forgets_and_stays_as_large() {
        let mut marks = Marks::new(10, 30);
        let hash = |n: u64| fold(n ^ 0xabcdef, 0x9e37_79b9_7f4a_7c15);
        for n in 0..1_000_000 {
            marks.set(hash(n), 1);
        }
        assert_eq!(marks.slots.len(), 1024);
        let known = (0..1_000_000).filter(|&n| marks.has(hash(n), 1)).count();
        assert!((900..3000).contains(&known), "{known}");
    }
}
