//! Two million damaged packets: whatever the network sends, the engine goes on, and goes on finding.
//!
//! Every frame of the captures in `tests/corpus` is mutated over and over: bytes flipped or set to
//! extremes, lengths changed, tails cut, repeated or taken from another frame. Most mutations leave the
//! IP header alone, so that they reach the parsers behind it. Seeded, so a failure comes again.

#[path = "it/net.rs"]
mod net;

use std::path::Path;

use maltrail_core::event::Event;
use maltrail_core::time::{Timestamp, Zone};
use maltrail_wire::LinkType;
use net::{C, S, SECOND, Setup, syn};

/// Inputs of one run.
const INPUTS: u64 = 2_000_000;
/// Threads that share them; each has an engine of its own.
const THREADS: u64 = 2;
/// Ethernet and IPv4 headers.
const HEADERS: usize = 34;
const TRAILS: &str = "203.0.113.7,badnet,r\nevil.com,x,r\n203.0.113.9:4444,c2,r\n/bad,x,r\n\
                      2001:db8::66,bad6,r\n198.51.100.0/28,net,r\nd[0-9]+\\.biz,dga,(static)\n";

/// The Ethernet frames of every capture in the corpus.
#[expect(
    clippy::disallowed_methods,
    reason = "the engine has no I/O, its test reads the corpus"
)]
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let entries = std::fs::read_dir(folder).expect("corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let captures = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "pcap"));
    captures
        .flat_map(|path| frames(&std::fs::read(path).expect("capture")))
        .collect()
}

/// The frames of a little-endian Ethernet capture.
fn frames(mut capture: &[u8]) -> Vec<Vec<u8>> {
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("word")) as usize
    };
    if capture.len() < 24 || word(capture, 20) != 1 || capture[0] == 0xa1 {
        return Vec::new();
    }
    capture = &capture[24..];
    let mut found = Vec::new();
    while capture.len() >= 16 {
        let length = word(capture, 8);
        found.push(capture[16..16 + length].to_vec());
        capture = &capture[16 + length..];
    }
    found
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Writes a damaged copy of a frame to `out`.
fn mutate(corpus: &[Vec<u8>], random: &mut Random, out: &mut Vec<u8>) {
    const EXTREMES: [u8; 8] = [0, 1, 0x3f, 0x7f, 0x80, 0xc0, 0xfe, 0xff];
    out.clear();
    let frame = &corpus[random.below(corpus.len())];
    out.extend_from_slice(frame);
    // One in eight may lose its headers.
    let from = if random.below(8) == 0 {
        0
    } else {
        HEADERS.min(out.len())
    };
    for _ in 0..=random.below(6) {
        let span = out.len() - from.min(out.len());
        let at = from + random.below(span);
        match random.below(7) {
            0 | 1 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            2 | 3 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte = EXTREMES[random.below(EXTREMES.len())];
                }
            }
            4 => out.truncate(at.max(from)),
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let tail = &other[random.below(other.len())..];
                out.truncate(at);
                out.extend_from_slice(tail);
            }
            _ => {
                let end = (at + random.below(64)).min(out.len());
                let part = out.get(at..end).unwrap_or_default().to_vec();
                out.splice(at.min(out.len())..at.min(out.len()), part);
            }
        }
    }
}

/// What every event must be, whatever it was made of.
fn check(event: &Event) {
    let line = event.to_line(&Zone::UTC);
    let read = Event::parse_line(&line, &Zone::UTC);
    assert!(read.is_ok(), "{line:?}: {read:?}");
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(event.details.evidence.as_bytes().len() <= 256);
}

#[test]
fn two_million_damaged_packets() {
    let corpus = corpus();
    assert!(corpus.len() > 100, "{} frames", corpus.len());
    let corpus = &corpus;
    let run = |seed: u64| {
        let mut engine = Setup::new(TRAILS).engine();
        let (mut random, mut frame, mut events) = (Random(seed), Vec::new(), Vec::new());
        let mut checked = 0;
        for number in 0..INPUTS / THREADS {
            mutate(corpus, &mut random, &mut frame);
            let at = Timestamp::from_parts(SECOND + (number / 2000) as i64, 0);
            engine.packet(LinkType::ETHERNET, at, &frame, &mut events);
            checked += events.len();
            events.drain(..).for_each(|event| check(&event));
        }
        // It still finds what is listed.
        let last = Timestamp::from_parts(SECOND + 1_000_000, 0);
        engine.packet(LinkType::ETHERNET, last, &syn(C, S), &mut events);
        let listed = |event: &Event| event.trail == "203.0.113.7" && event.info == "badnet";
        assert!(events.iter().any(listed), "{events:?}");
        let counters = engine.counters();
        let refused: u64 = counters
            .iter()
            .filter(|(name, _)| name.starts_with("link_") || name.starts_with("ip_"))
            .filter(|(name, _)| *name != "link_evictions")
            .map(|(_, count)| count)
            .sum();
        (counters.packets - 1 - refused, checked)
    };
    let (passed, events) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| scope.spawn(move || run(seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    println!("{INPUTS} inputs, {passed} behind the IP layer, {events} events");
    assert!(
        passed * 2 >= INPUTS,
        "only {passed} reach what is behind the IP layer"
    );
    assert!(events > 1000, "{events} events: the corpus shows nothing");
}
