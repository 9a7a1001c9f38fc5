//! Finds IP headers in frames of a link type whose layout is unknown.
//!
//! Every offset up to [`MAX_OFFSET`] is rated: *strong* when a plausible IP header there states a
//! length that leaves 0 to [`MAX_PADDING`] bytes, *weak* when the header is merely plausible. The
//! first strong offset wins, else the first weak one. A guess is used at once; when two frames in
//! a row agree, the offset is locked and tried first from then on.
//!
//! ```text
//!            two frames in a row agree
//!   search ─────────────────────────────► locked
//!     ▲                                     │
//!     └─────────────────────────────────────┘
//!       the locked offset is not strong and another one fits this frame better
//! ```
//!
//! So a lock saves work but never costs a frame: one of another shape, such as an untagged frame
//! after tagged ones, is searched as if there were no lock. Frames without any plausible offset
//! leave the state as it is. The state is three words; the work per frame is bounded by
//! [`MAX_OFFSET`].

use super::{LinkDrop, Network};

/// Last offset tried.
pub const MAX_OFFSET: usize = 64;
/// Most bytes after the stated end of a packet that pass for link padding or a trailer.
pub const MAX_PADDING: usize = 64;

/// How well an offset fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Weak,
    Strong,
}

/// What is known so far about the frames of one link type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkGuess {
    last: Option<usize>,
    locked: bool,
}

impl LinkGuess {
    /// A guess that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            last: None,
            locked: false,
        }
    }

    /// The offset that two frames in a row agreed on, while it holds.
    #[must_use]
    pub const fn locked(&self) -> Option<usize> {
        if self.locked { self.last } else { None }
    }

    /// Finds the IP header of `frame`, learning from it.
    pub fn network<'a>(&mut self, frame: &'a [u8]) -> Result<Network<'a>, LinkDrop> {
        let offset = self.offset(frame).ok_or(LinkDrop::NoGuess)?;
        let ip = frame.get(offset..).ok_or(LinkDrop::NoGuess)?;
        if self.last == Some(offset) {
            self.locked = true;
        } else {
            *self = Self {
                last: Some(offset),
                locked: false,
            };
        }
        Ok(Network { ip })
    }

    fn offset(&self, frame: &[u8]) -> Option<usize> {
        let locked = self
            .locked()
            .and_then(|offset| Some((offset, rate(frame, offset)?)));
        match locked {
            Some((offset, Fit::Strong)) => Some(offset),
            Some((offset, Fit::Weak)) => match search(frame) {
                Some((better, Fit::Strong)) => Some(better),
                _ => Some(offset),
            },
            None => search(frame).map(|(offset, _)| offset),
        }
    }
}

fn search(frame: &[u8]) -> Option<(usize, Fit)> {
    let mut weak = None;
    for offset in 0..=MAX_OFFSET {
        match rate(frame, offset) {
            Some(Fit::Strong) => return Some((offset, Fit::Strong)),
            Some(Fit::Weak) if weak.is_none() => weak = Some((offset, Fit::Weak)),
            _ => {}
        }
    }
    weak
}

fn rate(frame: &[u8], offset: usize) -> Option<Fit> {
    let packet = frame.get(offset..)?;
    let stated = match packet.first()? >> 4 {
        4 => stated_v4(packet),
        6 => stated_v6(packet),
        _ => None,
    }?;
    let padding = packet.len().checked_sub(stated);
    Some(if padding.is_some_and(|bytes| bytes <= MAX_PADDING) {
        Fit::Strong
    } else {
        Fit::Weak
    })
}

/// The length that a plausible IPv4 header states.
fn stated_v4(packet: &[u8]) -> Option<usize> {
    let &[version, _, total0, total1, _, _, _, _, _, proto, ..] = packet.first_chunk::<20>()?;
    let header = usize::from(version & 0x0f).saturating_mul(4);
    let total = usize::from(u16::from_be_bytes([total0, total1]));
    (header >= 20 && total >= header && is_usual(proto)).then_some(total)
}

/// The length that a plausible IPv6 header states, with the header itself.
fn stated_v6(packet: &[u8]) -> Option<usize> {
    let &[_, _, _, _, length0, length1, next, ..] = packet.first_chunk::<40>()?;
    let length = usize::from(u16::from_be_bytes([length0, length1]));
    (is_usual(next) || matches!(next, 0 | 43 | 44 | 60)).then_some(length.saturating_add(40))
}

const fn is_usual(proto: u8) -> bool {
    matches!(proto, 1 | 2 | 6 | 17 | 47 | 50 | 51 | 58 | 89 | 103 | 132)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 40-byte IPv4 packet behind `offset` bytes that cannot start an IP header.
    fn frame(offset: usize) -> Vec<u8> {
        let mut frame = vec![0xff; offset];
        frame.extend([
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 10, 203, 0, 113, 7,
        ]);
        frame.extend([0; 20]);
        frame
    }

    fn offset_of(guess: &mut LinkGuess, frame: &[u8]) -> Option<usize> {
        guess
            .network(frame)
            .ok()
            .map(|network| frame.len() - network.ip.len())
    }

    #[test]
    fn a_guess_is_used_at_once_and_locked_by_the_second_frame() {
        let mut guess = LinkGuess::new();
        assert_eq!(offset_of(&mut guess, &frame(20)), Some(20));
        assert_eq!(guess.locked(), None);
        assert_eq!(offset_of(&mut guess, &frame(20)), Some(20));
        assert_eq!(guess.locked(), Some(20));
    }

    #[test]
    fn frames_of_another_shape_are_not_lost_to_a_lock() {
        let mut guess = LinkGuess::new();
        let (tagged, plain) = (frame(24), frame(20));
        for _ in 0..2 {
            assert_eq!(offset_of(&mut guess, &tagged), Some(24));
        }
        assert_eq!(offset_of(&mut guess, &plain), Some(20));
        assert_eq!(guess.locked(), None);
        assert_eq!(offset_of(&mut guess, &tagged), Some(24));
        assert_eq!(offset_of(&mut guess, &tagged), Some(24));
        assert_eq!(guess.locked(), Some(24));
    }

    #[test]
    fn frames_without_ip_keep_the_lock() {
        let mut guess = LinkGuess::new();
        offset_of(&mut guess, &frame(4));
        offset_of(&mut guess, &frame(4));
        assert_eq!(guess.network(&[0xff; 80]), Err(LinkDrop::NoGuess));
        assert_eq!(guess.locked(), Some(4));
    }

    #[test]
    fn a_weak_fit_is_used_only_when_there_is_no_strong_one() {
        // A frame cut by the capture length: the stated length is longer than what is left.
        let mut cut = frame(16);
        cut[18] = 5;
        assert_eq!(offset_of(&mut LinkGuess::new(), &cut), Some(16));
        // A weak header in front of a strong one.
        let mut both = cut[..36].to_vec();
        both.extend(frame(0));
        assert_eq!(offset_of(&mut LinkGuess::new(), &both), Some(36));
        // The same against a lock on the weak one's offset.
        let mut locked = LinkGuess {
            last: Some(16),
            locked: true,
        };
        assert_eq!(offset_of(&mut locked, &both), Some(36));
    }

    #[test]
    fn sixty_four_bytes_of_padding_are_strong_and_more_are_weak() {
        let mut padded = frame(0);
        padded.extend([0; MAX_PADDING]);
        assert_eq!(rate(&padded, 0), Some(Fit::Strong));
        padded.push(0);
        assert_eq!(rate(&padded, 0), Some(Fit::Weak));
    }

    #[test]
    fn offsets_up_to_the_bound_are_tried() {
        assert_eq!(
            offset_of(&mut LinkGuess::new(), &frame(MAX_OFFSET)),
            Some(MAX_OFFSET)
        );
        assert_eq!(
            offset_of(&mut LinkGuess::new(), &frame(MAX_OFFSET + 1)),
            None
        );
    }

    #[test]
    fn implausible_headers_are_refused() {
        let changes: [(usize, u8, &str); 4] = [
            (0, 0x44, "header shorter than 20"),
            (0, 0x55, "version 5"),
            (3, 19, "total length below the header"),
            (9, 99, "unusual protocol"),
        ];
        for (at, value, what) in changes {
            let mut bytes = frame(0);
            bytes[at] = value;
            assert_eq!(rate(&bytes, 0), None, "{what}");
        }
    }

    #[test]
    fn v6_headers_are_found_with_and_without_extensions() {
        let mut bytes = vec![0xff; 8];
        bytes.extend([0x60, 0, 0, 0, 0, 4, 6, 64]);
        bytes.extend([0xff; 36]);
        assert_eq!(rate(&bytes, 8), Some(Fit::Strong));
        bytes[14] = 0;
        assert_eq!(rate(&bytes, 8), Some(Fit::Strong));
        bytes[14] = 7;
        assert_eq!(rate(&bytes, 8), None);
        assert_eq!(rate(&bytes[..47], 8), None);
    }

    #[test]
    fn a_weak_fit_on_the_lock_is_kept_where_nothing_is_stronger() {
        // Both headers state more than was captured; a search would take the first.
        let mut cut = frame(4);
        cut[6] = 5;
        cut.extend(frame(12));
        cut[58] = 5;
        assert_eq!(offset_of(&mut LinkGuess::new(), &cut), Some(4));
        let mut locked = LinkGuess {
            last: Some(56),
            locked: true,
        };
        assert_eq!(offset_of(&mut locked, &cut), Some(56));
        assert_eq!(locked.locked(), Some(56));
    }
}
