//! The start of a stream whose bytes come in any order; the first ones to come stay.
//!
//! Bounds: [`LIMIT`] bytes, [`MAX_RUNS`] stretches with gaps between them. What would exceed either
//! is left out.

/// Most bytes of one head (design §7).
pub(crate) const LIMIT: usize = 16 * 1024;
/// Most stretches that do not touch. A burst of segments in the worst order makes half as many as
/// it has segments.
pub(crate) const MAX_RUNS: usize = 16;

/// Bytes known, from `start` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    start: usize,
    end: usize,
}

/// The bytes of a head that are known.
#[derive(Debug)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Ascending, never touching.
    runs: [Run; MAX_RUNS],
    count: usize,
}

impl Pieces {
    /// No byte yet.
    pub(crate) const fn new() -> Self {
        const NONE: Run = Run { start: 0, end: 0 };
        Self {
            bytes: Vec::new(),
            runs: [NONE; MAX_RUNS],
            count: 0,
        }
    }

    fn runs(&self) -> &[Run] {
        self.runs.get(..self.count).unwrap_or_default()
    }

    /// Memory held.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether no byte is known.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes from the start of the stream to the first gap.
    pub(crate) fn start(&self) -> &[u8] {
        match self.runs() {
            [Run { start: 0, end }, ..] => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The first stretch of bytes, wherever it starts.
    pub(crate) fn first_run(&self) -> &[u8] {
        let run = self.runs().first().copied().unwrap_or_default();
        self.bytes.get(run.start..run.end).unwrap_or_default()
    }

    /// Adds `data` at `offset`, where nothing is known yet. `false` when something was left out
    /// because a bound was reached.
    pub(crate) fn add(&mut self, offset: usize, data: &[u8]) -> bool {
        let fits = data.get(..LIMIT.saturating_sub(offset)).unwrap_or(data);
        let new = Run {
            start: offset,
            end: offset.saturating_add(fits.len()),
        };
        if fits.is_empty() {
            return data.is_empty();
        }
        let Some((merged, count)) = self.with(new) else {
            return false;
        };
        self.reserve(new.end);
        self.fill(new, fits);
        (self.runs, self.count) = (merged, count);
        fits.len() == data.len()
    }

    /// The runs with one more; `None` when they are too many then.
    fn with(&self, mut new: Run) -> Option<([Run; MAX_RUNS], usize)> {
        let mut out = [Run::default(); MAX_RUNS];
        let mut count = 0;
        let mut push = |run: Run| {
            let place = out.get_mut(count)?;
            (*place, count) = (run, count + 1);
            Some(())
        };
        let mut pending = true;
        for &run in self.runs() {
            if run.end < new.start {
                push(run)?;
            } else if run.start > new.end {
                if std::mem::take(&mut pending) {
                    push(new)?;
                }
                push(run)?;
            } else {
                new.start = new.start.min(run.start);
                new.end = new.end.max(run.end);
            }
        }
        if pending {
            push(new)?;
        }
        Some((out, count))
    }

    /// Room for `end` bytes. The first piece gets what it needs, as most heads have two.
    fn reserve(&mut self, end: usize) {
        if end > self.bytes.capacity() {
            let wanted = end.max(self.bytes.capacity().saturating_mul(2)).min(LIMIT);
            self.bytes
                .reserve_exact(wanted.saturating_sub(self.bytes.len()));
        }
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
    }

    /// Copies `data`, which stands at `new`, to where no byte is known.
    fn fill(&mut self, new: Run, data: &[u8]) {
        let mut at = new.start;
        for index in 0..=self.count {
            let known = self.runs().get(index).copied().unwrap_or(Run {
                start: new.end,
                end: new.end,
            });
            let to = known.start.min(new.end);
            if let (Some(room), Some(fresh)) = (
                self.bytes.get_mut(at..to),
                data.get(at.saturating_sub(new.start)..),
            ) {
                for (place, &byte) in room.iter_mut().zip(fresh) {
                    *place = byte;
                }
            }
            at = at.max(known.end);
        }
    }

    /// Forgets the first `count` bytes, which are known; the stream starts behind them then.
    pub(crate) fn advance(&mut self, count: usize) {
        let count = count.min(self.start().len());
        self.bytes.drain(..count);
        for run in self.runs.get_mut(..self.count).unwrap_or_default() {
            run.start = run.start.saturating_sub(count);
            run.end = run.end.saturating_sub(count);
        }
        if self.runs().first().is_some_and(|run| run.end == 0) {
            self.runs.rotate_left(1);
            self.count = self.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_meet_and_the_first_bytes_stay() {
        let mut pieces = Pieces::new();
        assert!(pieces.add(4, b"ef"));
        assert_eq!((pieces.start(), pieces.first_run()), (&b""[..], &b"ef"[..]));
        assert!(pieces.add(0, b"ab"));
        assert_eq!(pieces.start(), b"ab");
        assert!(pieces.add(1, b"XcdXXg"));
        assert_eq!(pieces.start(), b"abcdefg");
        pieces.advance(3);
        assert_eq!(pieces.start(), b"defg");
        pieces.advance(4);
        assert!(pieces.is_empty());
    }

    #[test]
    fn what_is_behind_a_gap_moves_along() {
        let mut pieces = Pieces::new();
        assert!(pieces.add(0, b"abc") && pieces.add(5, b"fg"));
        pieces.advance(3);
        assert_eq!((pieces.start(), pieces.first_run()), (&b""[..], &b"fg"[..]));
        assert!(pieces.add(0, b"de"));
        assert_eq!(pieces.start(), b"defg");
    }

    #[test]
    fn both_bounds_hold() {
        let mut pieces = Pieces::new();
        for run in 0..MAX_RUNS {
            assert!(pieces.add(run * 2, b"x"));
        }
        assert!(!pieces.add(MAX_RUNS * 2, b"x"), "one run too many");
        assert!(pieces.add(1, b"x"), "runs that meet are fewer");
        assert!(!pieces.add(LIMIT - 1, b"xy"));
        assert!(!pieces.add(LIMIT, b"x"));
        assert!(pieces.held() <= LIMIT);
    }

    proptest! {
        /// The same bytes as a map in which the first of each place stays.
        #[test]
        fn agrees_with_a_map(adds in prop::collection::vec((0usize..60, prop::collection::vec(any::<u8>(), 0..20)), 0..30)) {
            let mut pieces = Pieces::new();
            let mut model = std::collections::BTreeMap::new();
            for (offset, data) in &adds {
                if pieces.add(*offset, data) {
                    for (at, &byte) in (*offset..).zip(data) {
                        model.entry(at).or_insert(byte);
                    }
                }
            }
            let wanted: Vec<u8> = (0..).map_while(|at| model.get(&at).copied()).collect();
            prop_assert_eq!(pieces.start(), wanted);
        }
    }
}
