//! Packets per second of very many keys: a direct-mapped array of counters, one second at a time.
//!
//! ```text
//! cell: second (32 bits) │ warm in the second before (1) │ packets in that second (31)
//! ```
//!
//! Keys that share a cell share its count, which can only make one look busier: the array answers
//! "surely below the watermark" and nothing else. A key is warm from the packet on that reaches the
//! watermark, and in the next second from its first packet on.
//!
//! Bound: the cells given to [`Rates::new`], eight bytes each, touched only as packets come.

const WARM: u64 = 1 << 31;
const COUNT: u64 = WARM - 1;

/// Counters of one second.
#[derive(Debug)]
pub(crate) struct Rates {
    cells: Vec<u64>,
    shift: u32,
    watermark: u64,
}

impl Rates {
    /// 2^`bits` cells; `watermark` packets a second are noticed.
    pub(crate) fn new(bits: u32, watermark: u32) -> Self {
        let bits = bits.clamp(1, 24);
        Self {
            cells: vec![0; 1 << bits],
            shift: 64 - bits,
            watermark: u64::from(watermark.max(1)),
        }
    }

    /// The cell of a hash.
    #[inline]
    pub(crate) const fn cell(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// Counts a packet; whether the key is warm.
    #[inline]
    pub(crate) fn count(&mut self, cell: usize, second: u32) -> bool {
        let watermark = self.watermark;
        let Some(cell) = self.cells.get_mut(cell) else {
            return false;
        };
        let (now, then) = (u64::from(second) << 32, *cell >> 32);
        if then == u64::from(second) {
            if *cell & COUNT < COUNT {
                *cell += 1;
            }
        } else {
            let lately = then == u64::from(second.wrapping_sub(1));
            let warm = lately && (*cell & COUNT) >= watermark;
            *cell = now | if warm { WARM } else { 0 } | 1;
        }
        *cell & WARM != 0 || *cell & COUNT >= watermark
    }

    /// Whether the key had packets in this second or the one before, and whether it is warm.
    #[inline]
    pub(crate) fn look(&self, cell: usize, second: u32) -> (bool, bool) {
        let cell = self.cells.get(cell).copied().unwrap_or_default();
        let (then, count) = (cell >> 32, cell & COUNT);
        let now = then == u64::from(second);
        let lately = (now || then == u64::from(second.wrapping_sub(1))) && count > 0;
        let warm = lately && (count >= self.watermark || (now && cell & WARM != 0));
        (lately, warm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_warm_from_its_watermark_on_and_a_second_longer() {
        let mut rates = Rates::new(4, 3);
        let counts = |rates: &mut Rates, second, times: usize| -> Vec<bool> {
            (0..times).map(|_| rates.count(5, second)).collect()
        };
        assert_eq!(rates.look(5, 10), (false, false));
        assert_eq!(counts(&mut rates, 10, 3), [false, false, true]);
        assert_eq!(rates.look(5, 10), (true, true));
        assert_eq!(rates.look(5, 11), (true, true), "no packet yet");
        assert_eq!(counts(&mut rates, 11, 1), [true], "warm before");
        assert_eq!(counts(&mut rates, 12, 2), [false, false], "but idle then");
        assert_eq!(counts(&mut rates, 14, 1), [false]);
        assert_eq!(rates.look(5, 16), (false, false));
        assert_eq!(rates.look(6, 14), (false, false), "another key");
    }
}
