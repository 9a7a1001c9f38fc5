//! How many different values there were, in fixed memory.
//!
//! [`Distinct`] is a HyperLogLog (Flajolet et al. 2007) with the small-range correction of the paper:
//! `N` registers, one byte each, standard error 1.04/√N (6.5 % for 256). [`Spread`] is linear
//! counting over 256 bits, for a handful up to about 1000 values. Both take hashes, so whoever
//! chooses the values must not know the seed.
//!
//! Bound: their own size. Nothing is evicted; many values make the answer coarser, never larger in memory.

/// Counts up to billions of values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distinct<const N: usize> {
    registers: [u8; N],
}

impl<const N: usize> Distinct<N> {
    const BITS: u32 = {
        assert!(N.is_power_of_two() && N >= 64);
        N.trailing_zeros()
    };

    /// No value yet.
    pub(crate) const fn new() -> Self {
        Self { registers: [0; N] }
    }

    /// Counts the value with this hash.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) {
        let at = (hash >> (64 - Self::BITS)) as usize;
        // The bit set below stops the count where the hash ends.
        let rest = (hash << Self::BITS) | (1 << (Self::BITS - 1));
        let rank = rest.leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut(at) {
            *register = (*register).max(rank);
        }
    }

    /// About how many different values were counted.
    pub(crate) fn estimate(&self) -> f64 {
        let count = N as f64;
        let alpha = 0.7213 / (1.0 + 1.079 / count);
        let (mut sum, mut zeros) = (0.0, 0_u32);
        for &register in &self.registers {
            sum += f64::exp2(-f64::from(register));
            zeros += u32::from(register == 0);
        }
        let raw = alpha * count * count / sum;
        if raw <= 2.5 * count && zeros > 0 {
            count * (count / f64::from(zeros)).ln()
        } else {
            raw
        }
    }
}

/// Counts few values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread([u64; 4]);

impl Spread {
    /// Counts the value with this hash.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) {
        let bit = hash >> 56;
        if let Some(word) = self.0.get_mut((bit >> 6) as usize) {
            *word |= 1 << (bit & 63);
        }
    }

    /// About how many different values were counted; at most 1420.
    pub(crate) fn estimate(&self) -> f64 {
        let set: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let free = f64::from(256 - set).max(1.0);
        256.0 * (256.0 / free).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::marks::fold;

    fn hash(n: u64) -> u64 {
        fold(
            fold(n ^ 0x1234_5678, 0x9e37_79b9_7f4a_7c15),
            0xd6e8_feb8_6659_fd93,
        )
    }

    #[test]
    fn estimates_are_within_three_standard_errors() {
        for wanted in [1_u64, 2, 5, 100, 600, 5_000, 100_000, 1_000_000] {
            let mut distinct = Distinct::<256>::new();
            for n in 0..wanted {
                distinct.insert(hash(n));
                distinct.insert(hash(n));
            }
            let error = (distinct.estimate() / wanted as f64 - 1.0).abs();
            assert!(error < 0.2, "{wanted}: {}", distinct.estimate());
        }
        assert!(Distinct::<256>::new().estimate() < 0.1);
    }

    #[test]
    fn a_spread_tells_few_from_many() {
        for (wanted, range) in [
            (1, 0.9..1.1),
            (16, 12.0..20.0),
            (64, 48.0..80.0),
            (5000, 1000.0..1421.0),
        ] {
            let mut spread = Spread::default();
            for n in 0..wanted {
                spread.insert(hash(n));
            }
            assert!(
                range.contains(&spread.estimate()),
                "{wanted}: {}",
                spread.estimate()
            );
        }
    }

    #[test]
    fn any_hash_is_taken() {
        let mut distinct = Distinct::<64>::new();
        for hash in [0, u64::MAX, 1, 1 << 63] {
            distinct.insert(hash);
            Spread::default().insert(hash);
        }
        assert!(distinct.estimate() < 5.0);
    }
}
