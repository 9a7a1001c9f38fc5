//! What an event says beyond its line: why it was reported, and which way the packet went.
//!
//! The line's eleven columns are fixed, so this stands in the JSON object only; an event read from
//! a line has none of it and stands for itself alone.
//!
//! Bounds: [`MAX_REASONS`] reasons, [`MAX_EVIDENCE`] bytes of evidence.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};

use crate::addr::NetworkSet;

/// Most reasons of one event; a packet that matches more is explained by the first ones.
pub const MAX_REASONS: usize = 16;
/// Most bytes of a message that are kept as evidence.
pub const MAX_EVIDENCE: usize = 256;
/// Bytes of evidence before the indicator.
const LEAD: usize = 64;

/// What an event says beyond its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// How many events this one stands for; see [`Details::count`].
    pub count: u64,
    /// Which way the packet went; `None` when nobody knows what "ours" means.
    pub direction: Option<Direction>,
    /// Why the event was reported, most important first.
    pub reasons: Vec<Reason>,
    /// Bytes of the message in which the indicator stands.
    pub evidence: Evidence,
}

impl Details {
    /// How many events this one stands for: itself, unless it is the sum of several.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.max(1)
    }
}

/// One reason of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `trail`, or the name of a heuristic as in `DISABLED_HEURISTICS`.
    pub rule: Cow<'static, str>,
    /// The trail's key, or what the heuristic recognised; empty when it only counted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What was looked at, such as `dns.question` or `http.host`.
    pub field: Cow<'static, str>,
    /// Where the field begins in the evidence, in bytes; `None` when it does not stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u16>,
    /// Where the rule comes from: the reference column of this reason.
    pub source: String,
}

/// Which way a packet went, by `HOME_NETWORKS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From an own host to the outside.
    Out,
    /// From the outside to an own host.
    In,
    /// Between own hosts.
    Inside,
    /// Between hosts outside.
    Outside,
}

impl Direction {
    /// The way from `src` to `dst`.
    #[must_use]
    pub fn of(home: &NetworkSet, src: IpAddr, dst: IpAddr) -> Self {
        match (home.contains(src), home.contains(dst)) {
            (true, false) => Self::Out,
            (false, true) => Self::In,
            (true, true) => Self::Inside,
            (false, false) => Self::Outside,
        }
    }

    /// `out`, `in`, `inside` or `outside`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }
}

/// Up to [`MAX_EVIDENCE`] bytes of a message; base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence(Box<[u8]>);

impl Evidence {
    /// The bytes of `message` around `offset`, and where `offset` is among them. Without an offset,
    /// the first ones.
    #[must_use]
    pub fn around(message: &[u8], offset: Option<usize>) -> (Self, Option<u16>) {
        let start = offset.map_or(0, |offset| offset.saturating_sub(LEAD));
        let rest = message.get(start..).unwrap_or_default();
        let bytes = rest.get(..MAX_EVIDENCE).unwrap_or(rest);
        let within = offset
            .and_then(|offset| offset.checked_sub(start))
            .filter(|&within| within < bytes.len())
            .and_then(|within| u16::try_from(within).ok());
        (Self(bytes.into()), within)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_a_window_that_holds_the_indicator() {
        let message: Vec<u8> = (0..1000_u32).map(|at| (at % 251) as u8).collect();
        let (whole, offset) = Evidence::around(&message[..20], Some(7));
        assert_eq!((whole.as_bytes(), offset), (&message[..20], Some(7)));
        let (middle, offset) = Evidence::around(&message, Some(500));
        let at = usize::from(offset.expect("inside"));
        assert_eq!(middle.as_bytes().len(), MAX_EVIDENCE);
        assert_eq!(
            middle.as_bytes()[at..],
            message[500..500 + MAX_EVIDENCE - at]
        );
        let (last, offset) = Evidence::around(&message, Some(999));
        assert_eq!(
            last.as_bytes()[usize::from(offset.expect("inside"))],
            message[999]
        );
        assert_eq!(Evidence::around(&message, Some(1000)).1, None);
        assert_eq!(
            Evidence::around(&message, None).0.as_bytes(),
            &message[..MAX_EVIDENCE]
        );
        assert!(Evidence::around(b"", None).0.is_empty());
    }

    #[test]
    fn the_direction_follows_the_own_networks() {
        let home = NetworkSet::private();
        let way = |src: &str, dst: &str| {
            let [src, dst] = [src, dst].map(|text| text.parse().expect("address"));
            Direction::of(&home, src, dst).as_str()
        };
        assert_eq!(way("10.0.0.5", "203.0.113.7"), "out");
        assert_eq!(way("2001:db8::1", "fd00::5"), "in");
        assert_eq!(way("10.0.0.5", "10.9.9.9"), "inside");
        assert_eq!(way("203.0.113.7", "198.51.100.1"), "outside");
    }
}
