//! The most frequent values, by space saving (Metwally et al. 2005).
//!
//! `N` values are held, each with its count and by how much that may be too high. A value that is
//! not held takes the place of the least frequent one and inherits its count as its error. A value
//! with more than 1/N of all occurrences is always held. Bound: `N` values; what is lost shows in
//! the errors, so nobody is accused by an inherited count: see [`Held::sure`].

/// A value and how often it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held<K> {
    /// The value.
    pub(crate) key: K,
    count: u32,
    error: u32,
}

impl<K> Held<K> {
    /// How often the value was met at least.
    pub(crate) const fn sure(&self) -> u32 {
        self.count - self.error
    }
}

/// At most `N` values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heavy<K, const N: usize> {
    held: [Option<Held<K>>; N],
}

impl<K: Copy + Eq, const N: usize> Heavy<K, N> {
    /// No value yet.
    pub(crate) const fn new() -> Self {
        Self { held: [None; N] }
    }

    /// Counts `key`, `times` times.
    #[inline]
    pub(crate) fn add(&mut self, key: K, times: u32) {
        let known = self.held.iter_mut().flatten();
        if let Some(held) = known.into_iter().find(|held| held.key == key) {
            held.count = held.count.saturating_add(times);
            return;
        }
        let count = |held: &Option<Held<K>>| held.map_or(0, |held| held.count);
        if let Some(place) = self.held.iter_mut().min_by_key(|held| count(held)) {
            let error = count(place);
            let count = error.saturating_add(times);
            *place = Some(Held { key, count, error });
        }
    }

    /// The values held, most frequent first.
    pub(crate) fn top(&self) -> Vec<Held<K>> {
        let mut top: Vec<Held<K>> = self.held.iter().flatten().copied().collect();
        top.sort_by_key(|held| std::cmp::Reverse(held.sure()));
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frequent_survives_a_flood_of_others() {
        let mut heavy = Heavy::<u32, 4>::new();
        for n in 0..10_000 {
            heavy.add(7, 1);
            heavy.add(1000 + n, 1);
        }
        let top = heavy.top();
        assert_eq!((top.len(), top[0].key), (4, 7));
        assert!(top[0].sure() >= 9_990, "{top:?}");
        assert!(top[1..].iter().all(|held| held.sure() <= 2), "{top:?}");
    }

    #[test]
    fn counts_are_exact_while_there_is_room() {
        let mut one = Heavy::<u16, 4>::new();
        one.add(80, 3);
        one.add(443, 9);
        one.add(80, 4);
        let found: Vec<_> = one
            .top()
            .iter()
            .map(|held| (held.key, held.sure()))
            .collect();
        assert_eq!(found, [(443, 9), (80, 7)]);
    }

    #[test]
    fn counts_stop_at_their_end() {
        let mut heavy = Heavy::<u16, 1>::new();
        heavy.add(1, u32::MAX);
        heavy.add(1, 5);
        heavy.add(2, 5);
        assert_eq!(heavy.top()[0].key, 2);
    }
}
