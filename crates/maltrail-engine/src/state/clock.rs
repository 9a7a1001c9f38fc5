//! The seconds of packets, as windows need them.
//!
//! Seconds are kept by their low half, since ages are differences of less than a window: a clock
//! that jumps farther says so, and everything remembered ends.

/// Packet time in whole seconds. It stands still when packets step back within a window, and
/// everything remembered ends when it leaves the window in either direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    window: u32,
    second: Option<i64>,
}

/// What a packet's time means for the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The second is not over.
    Same,
    /// Another second begins: what is due is taken.
    Next,
    /// So does another window: nothing remembered counts any more.
    Reset,
}

impl Clock {
    /// A clock that has not started, for windows of so many seconds.
    pub(crate) fn new(window: u32) -> Self {
        let window = window.max(1);
        Self {
            window,
            second: None,
        }
    }

    /// Whether it is that second.
    #[inline]
    pub(crate) fn is_at(&self, second: i64) -> bool {
        self.second == Some(second)
    }

    /// Goes to `second`.
    #[inline]
    pub(crate) fn step(&mut self, second: i64) -> Step {
        if self.is_at(second) {
            return Step::Same;
        }
        let window = i64::from(self.window);
        let step = match self.second.map(|last| second.saturating_sub(last)) {
            Some(ahead) if ahead > window || ahead < -window => Step::Reset,
            Some(ahead) if ahead < 0 => return Step::Same,
            Some(_) => Step::Next,
            None => Step::Reset,
        };
        self.second = Some(second);
        step
    }

    /// The current moment.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            // Ages are differences within a window, so the low half is enough.
            second: self.second.unwrap_or_default() as u32,
            window: self.window,
        }
    }
}

/// A second, and how long things count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    second: u32,
    window: u32,
}

impl Moment {
    /// The second with this low half, and the length of windows.
    #[cfg(test)]
    pub(crate) const fn new(second: u32, window: u32) -> Self {
        Self { second, window }
    }

    /// The low half of the second.
    pub(crate) const fn second(self) -> u32 {
        self.second
    }

    /// The second after this one, in which its sweep takes place.
    pub(crate) const fn next(self) -> Self {
        let second = self.second.wrapping_add(1);
        let window = self.window;
        Self { second, window }
    }

    /// How many seconds ago that was.
    pub(crate) const fn age(self, seen: u32) -> u32 {
        self.second.wrapping_sub(seen)
    }

    /// Whether what was seen in that second still counts.
    pub(crate) const fn counts(self, seen: u32) -> bool {
        self.age(seen) < self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_stands_still_or_starts_anew() {
        let mut clock = Clock::new(30);
        let steps = [100, 100, 101, 99, 101, 131, 162, 100, i64::MAX, i64::MIN];
        let found = steps.map(|second| clock.step(second));
        use Step::{Next, Reset, Same};
        assert_eq!(
            found,
            [
                Reset, Same, Next, Same, Same, Next, Reset, Reset, Reset, Reset
            ]
        );
    }
}
