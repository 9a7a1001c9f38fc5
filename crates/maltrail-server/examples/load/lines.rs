//! Event lines whose totals are known.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use maltrail_core::time::{Day, Timestamp, Zone};

/// Sources of one trail: fewer than make a flood of it.
pub(crate) const SOURCES: u64 = 40;
/// Groups of sources that trails take in turn.
const GROUPS: u64 = 100;

/// Info texts with their severity.
const INFOS: [&str; 4] = [
    "lumma (malware)",
    "mass scanner",
    "odd thing (suspicious)",
    "cobalt strike (malware)",
];

/// The columns of threat `n` after its time.
pub(crate) fn columns(n: u64, out: &mut String) {
    let (source, trail) = (source_of(n), n / SOURCES);
    let info = INFOS[(trail % INFOS.len() as u64) as usize];
    let _ = writeln!(
        out,
        " sensor{} 10.{}.{}.{} {} 198.51.100.{} 53 UDP DNS (www).evil-domain-{trail}.example \"{info}\" (static)",
        n % 3,
        source >> 16 & 255,
        source >> 8 & 255,
        source & 255,
        40_000 + n % 1_000,
        trail % 250,
    );
}

/// The number of the source of threat `n`.
const fn source_of(n: u64) -> u64 {
    n % SOURCES + SOURCES * (n / SOURCES % GROUPS)
}

/// Threats of one source among the first `threats`.
pub(crate) fn of_source(source: u64, threats: u64) -> usize {
    (0..threats).filter(|n| source_of(*n) == source).count()
}

/// A whole day (UTC) before today.
pub(crate) fn day_before(back: i64) -> (Day, Timestamp) {
    let midnight = Timestamp::now().secs() / 86_400 * 86_400 - back * 86_400;
    let start = Timestamp::from_parts(midnight, 0);
    (Zone::UTC.day(start), start)
}

/// Writes a day of `events` events in `threats` threats. Each threat has one event, the rest belong to a few.
pub(crate) fn write_day(path: &Path, start: Timestamp, events: u64, threats: u64) {
    let file = File::create(path).unwrap();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut line = String::new();
    let step = 86_000_000_000 / events.max(1) as i64;
    for event in 0..events {
        let n = if event < threats {
            // In an order that has nothing to do with the number.
            event.wrapping_mul(7_919) % threats
        } else {
            (event * event) % (threats / 20).max(1)
        };
        line.clear();
        line.push('"');
        Zone::UTC.write_log_time(start.plus_micros(event as i64 * step), &mut line);
        line.push('"');
        columns(n, &mut line);
        out.write_all(line.as_bytes()).unwrap();
    }
    out.flush().unwrap();
}

/// A datagram of now.
pub(crate) fn datagram(n: u64, out: &mut String) {
    let now = Timestamp::now();
    out.clear();
    let _ = write!(out, "{} \"", now.secs());
    Zone::UTC.write_log_time(now, out);
    out.push('"');
    columns(n, out);
}
