//! One host that asks another for many places: more than [`MOST_SEGMENTS`] first path segments within
//! `SCAN_WINDOW`.
//!
//! A segment ends at the next slash, so a query belongs to it. Requests between own hosts do not count.

use std::hash::BuildHasher;
use std::net::IpAddr;

use maltrail_core::event::Kind;
use maltrail_core::time::Timestamp;

use super::scans::Alert;
use crate::finding::{Field, Finding};
use crate::flow::{Endpoint, Flow};
use crate::state::window::{Due, Windows};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "web_scanning";

/// Most first segments that are no scan.
pub(crate) const MOST_SEGMENTS: usize = 10;

/// Most pairs: one holds 11 places with their times in 400 bytes.
pub(crate) const MOST_KEYS: usize = 16_384;

/// Who asked whom for what.
pub(crate) type Places = Windows<(IpAddr, IpAddr), Place, { MOST_SEGMENTS + 1 }>;

/// A first segment, with the request that brought it. Two are the same when their segments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    segment: u64,
    at: Timestamp,
    port: u16,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.segment == other.segment
    }
}

impl Eq for Place {}

impl Place {
    /// The place that a request at `at` for `path` asks for, told apart by a hash.
    pub(crate) fn of(
        seed: &impl BuildHasher,
        at: Timestamp,
        flow: &Flow,
        path: &[u8],
    ) -> Option<Self> {
        Some(Self {
            segment: seed.hash_one(first_segment(path)?),
            at,
            port: flow.dst.port.unwrap_or_default(),
        })
    }
}

/// The first segment of a path that starts with a slash.
fn first_segment(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/")?;
    rest.get(..memchr::memchr(b'/', rest).unwrap_or(rest.len()))
}

/// The report of a scan, with the time of its first request.
pub(crate) fn alert(due: Due<(IpAddr, IpAddr), Place>) -> Alert {
    let (src, dst) = due.key;
    let first = due.first;
    let end = |ip, port| Endpoint {
        ip,
        port: Some(port),
    };
    Alert {
        at: Some(first.value.at),
        flow: Flow {
            src: end(src, first.src_port),
            dst: end(dst, first.value.port),
            proto: "TCP",
        },
        finding: Finding::heuristic(NAME, Kind::Path, "*".to_owned(), "potential web scanning")
            .at(Field::HttpTarget),
    }
}

#[cfg(test)]
mod tests {
    use super::first_segment;

    #[test]
    fn a_segment_ends_at_the_next_slash() {
        for (path, segment) in [
            ("/a/b", Some("a")),
            ("/a.php?x=1", Some("a.php?x=1")),
            ("/", Some("")),
            ("//a", Some("")),
            ("http://a/", None),
            ("*", None),
        ] {
            let found = first_segment(path.as_bytes());
            assert_eq!(found, segment.map(str::as_bytes), "{path}");
        }
    }
}
