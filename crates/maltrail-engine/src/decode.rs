//! Frames to packets, one decoder per link type.
//!
//! A capture may mix link types (pcapng, interface `any`), and each unknown one carries its own
//! guess. Bound: [`MAX_LINKS`] decoders; a further link type takes the place of the one that came
//! first, whose guess is then lost and counted as an eviction.

use maltrail_wire::{Decoder, Drop, LinkType, Packet};

/// Most link types at a time. A capture file has rarely more than two.
pub(crate) const MAX_LINKS: usize = 8;

/// The decoders of all link types met.
#[derive(Debug)]
pub(crate) struct Decoders {
    decoders: Vec<Decoder>,
    /// The one used last, which the next frame nearly always needs again.
    last: usize,
    /// The one replaced next.
    oldest: usize,
    evictions: u64,
}

impl Decoders {
    /// No link type yet.
    pub(crate) fn new() -> Self {
        Self {
            decoders: Vec::with_capacity(MAX_LINKS),
            last: 0,
            oldest: 0,
            evictions: 0,
        }
    }

    /// How many decoders were replaced.
    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Decodes one frame.
    #[inline]
    pub(crate) fn decode<'a>(
        &mut self,
        link: LinkType,
        frame: &'a [u8],
    ) -> Result<Packet<'a>, Drop> {
        let known = self.decoders.get(self.last);
        if known.is_none_or(|decoder| decoder.link() != link) {
            self.switch(link);
        }
        match self.decoders.get_mut(self.last) {
            Some(decoder) => decoder.decode(frame),
            None => maltrail_wire::decode(link, frame),
        }
    }

    /// Makes the decoder of `link` the current one.
    #[cold]
    fn switch(&mut self, link: LinkType) {
        let found = self.decoders.iter().position(|known| known.link() == link);
        self.last = found.unwrap_or_else(|| self.add(link));
    }

    fn add(&mut self, link: LinkType) -> usize {
        if self.decoders.len() < MAX_LINKS {
            self.decoders.push(Decoder::new(link));
            return self.decoders.len().saturating_sub(1);
        }
        let place = self.oldest;
        if let Some(decoder) = self.decoders.get_mut(place) {
            *decoder = Decoder::new(link);
        }
        self.oldest = place.saturating_add(1) % MAX_LINKS;
        self.evictions += 1;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A raw GRE packet behind `offset` bytes of a link header that no table knows.
    fn frame(offset: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; offset];
        bytes.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 47, 0, 0]);
        bytes.extend([192, 0, 2, 10, 203, 0, 113, 7]);
        bytes
    }

    #[test]
    fn link_types_keep_their_own_guess() {
        let mut decoders = Decoders::new();
        for _ in 0..2 {
            assert!(decoders.decode(LinkType(51), &frame(5)).is_ok());
            assert!(decoders.decode(LinkType(60), &frame(9)).is_ok());
        }
        let locked = |decoder: &Decoder| decoder.guess().locked();
        let guesses: Vec<_> = decoders.decoders.iter().map(locked).collect();
        assert_eq!(guesses, [Some(5), Some(9)]);
        assert_eq!((decoders.decoders.len(), decoders.evictions()), (2, 0));
    }

    #[test]
    fn a_ninth_link_type_takes_the_place_of_the_first() {
        let mut decoders = Decoders::new();
        let links: Vec<LinkType> = (0..=MAX_LINKS as u16).map(|n| LinkType(200 + n)).collect();
        for &link in &links {
            assert!(decoders.decode(link, &frame(3)).is_ok());
        }
        assert_eq!(
            (decoders.decoders.len(), decoders.evictions()),
            (MAX_LINKS, 1)
        );
        assert!(decoders.decode(links[1], &frame(3)).is_ok());
        assert_eq!(decoders.evictions(), 1, "the second one is still there");
        assert!(decoders.decode(links[0], &frame(3)).is_ok());
        assert_eq!(decoders.evictions(), 2);
    }
}
