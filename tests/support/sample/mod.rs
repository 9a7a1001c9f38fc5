//! The sample capture: about 90 seconds of a small office, and what a sensor must find in it.
//!
//! The office is 10.20.0.0/16 and fd00:20::/32. Everything else is reserved for documentation (RFC
//! 2606, 5737, 3849), except names that the shipped lists are about (mining pools, dynamic DNS and
//! the like) and whitelisted ones; no address of those is in it.
//!
//! Invariants: the same bytes on every machine and run (seeded generator, no clock); at most
//! [`MAX_BYTES`]; every detection that the shipped lists and the heuristics make in it is
//! in [`Sample::planted`], and nothing else is. No pair of source and trail is seen more than three
//! times within a minute, so throttling changes nothing.

mod office;
mod planted;
mod story;

use crate::pcap::{ETHERNET, Frame, pcap, pcapng};

/// First second of the story: 2026-11-23 09:14:00 UTC.
pub const START: u64 = 1_795_425_240;
/// The day of the story in UTC.
pub const DAY: &str = "2026-11-23";
/// Its length.
pub const SECONDS: u64 = 90;
/// Bound of the file.
pub const MAX_BYTES: usize = 1_200_000;

/// A detection that must be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planted {
    /// Type column.
    pub kind: &'static str,
    /// Trail column.
    pub trail: String,
    /// Info column.
    pub info: &'static str,
    /// Reference column.
    pub reference: &'static str,
    /// Severity by the dashboard's rule.
    pub severity: &'static str,
}

/// The capture as data.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Frames in order of time.
    pub frames: Vec<Frame>,
    /// Distinct detections, sorted.
    pub planted: Vec<Planted>,
}

impl Sample {
    /// Tells the story as the committed file has it.
    #[must_use]
    pub fn build() -> Self {
        Self::build_at(START)
    }

    /// Tells the same story from another second on. A server refuses what is older than a year, so
    /// what is delivered to one happens now.
    #[must_use]
    pub fn build_at(start: u64) -> Self {
        let mut story = story::Story::new(start * 1_000_000);
        office::working_day(&mut story);
        planted::everything(&mut story);
        story.finish()
    }

    /// As the committed file.
    #[must_use]
    pub fn pcap(&self) -> Vec<u8> {
        pcap(ETHERNET, &self.frames)
    }

    /// The same in the newer format.
    #[must_use]
    pub fn pcapng(&self) -> Vec<u8> {
        pcapng(ETHERNET, &self.frames)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_story_has_its_length_and_fits() {
        let sample = Sample::build();
        let (first, last) = (&sample.frames[0], sample.frames.last().unwrap());
        assert!(first.micros >= START * 1_000_000);
        assert!(last.micros < (START + SECONDS + 5) * 1_000_000);
        assert!(sample.frames.is_sorted_by_key(|frame| frame.micros));
        assert!(
            (3000..8000).contains(&sample.frames.len()),
            "{}",
            sample.frames.len()
        );
        let bytes = sample.pcap().len();
        assert!((400_000..MAX_BYTES).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn detections_are_distinct_and_of_every_severity_and_kind() {
        let planted = Sample::build().planted;
        let keys: BTreeSet<_> = planted.iter().map(|p| (p.kind, &p.trail, p.info)).collect();
        assert_eq!(keys.len(), planted.len());
        assert!((36..=60).contains(&planted.len()), "{}", planted.len());
        for severity in ["high", "medium", "low"] {
            let count = planted.iter().filter(|p| p.severity == severity).count();
            assert!(count >= 6, "{count} of {severity}");
        }
        for kind in ["DNS", "IP", "IPORT", "URL", "UA", "PATH"] {
            assert!(planted.iter().any(|p| p.kind == kind), "{kind}");
        }
    }

    #[test]
    fn two_tellings_are_one_story() {
        assert_eq!(Sample::build().pcap(), Sample::build().pcap());
    }
}
