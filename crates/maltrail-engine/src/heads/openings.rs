//! Where the next message of a direction starts, for directions in which one is awaited.
//!
//! ```text
//! place = hash of both ends:  | tag, tag | next, next |      one of each per direction
//! ```
//!
//! A table with one place for each hash; a newcomer replaces what is there. What is lost by that is
//! only that segments which come out of order, or once more, are taken for what they look like.
//!
//! Bound: [`PLACES`] pairs of directions, 16 bytes each.

/// Pairs of directions.
pub(crate) const PLACES: usize = 1 << 14;

/// The hash of both ends of a connection, and which of the directions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The same for both directions.
    pub(crate) hash: u64,
    /// Which one.
    pub(crate) upward: bool,
}

impl Place {
    /// The other direction.
    pub(crate) const fn reverse(self) -> Self {
        Self {
            hash: self.hash,
            upward: !self.upward,
        }
    }
}

/// What is known about the sequence numbers of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The next byte.
    pub(crate) next: u32,
    /// Whether segments beyond it are to be kept.
    pub(crate) holds: bool,
    /// Whether what came before it was examined in parts, so that parts of it mean nothing.
    pub(crate) known: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    /// Two bits of what is known, 30 bits of hash; 0 for nothing.
    tags: [u32; 2],
    next: [u32; 2],
}

const HOLDS: u32 = 1;
const KNOWN: u32 = 2;

/// The table.
#[derive(Debug)]
pub(crate) struct Openings(Box<[Pair]>);

impl Openings {
    pub(crate) fn new() -> Self {
        Self(vec![Pair::default(); PLACES].into_boxed_slice())
    }

    const fn tag(place: Place) -> u32 {
        (place.hash >> 32) as u32 & !(HOLDS | KNOWN)
    }

    fn pair(&mut self, place: Place) -> Option<(&mut u32, &mut u32)> {
        let pair = self.0.get_mut(place.hash as usize & (PLACES - 1))?;
        let ([down, up], [next_down, next_up]) = (&mut pair.tags, &mut pair.next);
        Some(if place.upward {
            (up, next_up)
        } else {
            (down, next_down)
        })
    }

    /// What is known about a direction.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> Option<Opening> {
        let pair = self.0.get(place.hash as usize & (PLACES - 1))?;
        let ([down, up], [next_down, next_up]) = (pair.tags, pair.next);
        let (tag, next) = if place.upward {
            (up, next_up)
        } else {
            (down, next_down)
        };
        let bits = tag & (HOLDS | KNOWN);
        (bits != 0 && tag & !(HOLDS | KNOWN) == Self::tag(place)).then_some(Opening {
            next,
            holds: bits & HOLDS != 0,
            known: bits & KNOWN != 0,
        })
    }

    /// Notes what is known about a direction.
    pub(crate) fn set(&mut self, place: Place, opening: Opening) {
        let Some((tag, next)) = self.pair(place) else {
            return;
        };
        let holds = if opening.holds { HOLDS } else { 0 };
        let known = if opening.known { KNOWN } else { 0 };
        (*tag, *next) = (Self::tag(place) | holds | known, opening.next);
    }

    /// No message is awaited in a direction; what was examined stays so.
    pub(crate) fn settle(&mut self, place: Place) {
        if let Some((tag, _)) = self.pair(place) {
            *tag &= !HOLDS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(next: u32) -> Opening {
        Opening {
            next,
            holds: true,
            known: false,
        }
    }

    #[test]
    fn directions_are_told_apart_and_newcomers_replace() {
        let mut openings = Openings::new();
        let place = Place {
            hash: 0xdead_beef_0000_0007,
            upward: true,
        };
        let other = Place {
            hash: 0xfeed_beef_0000_0007,
            upward: true,
        };
        openings.set(place, opening(5));
        openings.set(place.reverse(), opening(6));
        assert_eq!(openings.get(place), Some(opening(5)));
        assert_eq!(openings.get(place.reverse()), Some(opening(6)));
        assert_eq!(openings.get(other), None);
        openings.set(other, opening(7));
        assert_eq!(openings.get(place), None, "replaced");
        assert_eq!(openings.get(place.reverse()), Some(opening(6)));
    }

    #[test]
    fn a_settled_direction_keeps_what_was_examined() {
        let mut openings = Openings::new();
        let place = Place {
            hash: 0xdead_beef_0000_0007,
            upward: false,
        };
        openings.set(place, opening(5));
        openings.settle(place);
        assert_eq!(openings.get(place), None);
        let known = Opening {
            known: true,
            ..opening(5)
        };
        openings.set(place, known);
        openings.settle(place);
        let wanted = Opening {
            holds: false,
            ..known
        };
        assert_eq!(openings.get(place), Some(wanted));
    }
}
