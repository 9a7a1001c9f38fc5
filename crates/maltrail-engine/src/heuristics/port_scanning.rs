//! Port scans: one host tries many TCP ports of another.
//!
//! A SYN, or a probe that no connection has (no flag at all; FIN alone; FIN, PSH and URG), counts.
//! Reported when more than [`MOST_PORTS`] distinct ports were tried within a window, with the ports
//! of the first of those packets.

use std::net::IpAddr;

use maltrail_wire::Flags;

use super::scans::{Alert, scan_alert};
use crate::state::window::{Due, Windows};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "port_scanning";

/// Most ports that are no scan.
pub(crate) const MOST_PORTS: usize = 10;

/// Who tried which ports of whom.
pub(crate) type Pairs = Windows<(IpAddr, IpAddr), u16, { MOST_PORTS + 1 }>;

/// Flags that only a probe has: NULL, FIN and XMAS.
const PROBES: [Flags; 3] = [
    Flags::from_bits(0),
    Flags::FIN,
    Flags::FIN.union(Flags::PSH).union(Flags::URG),
];

/// Whether a segment with these flags is a probe that opens no connection.
#[inline]
pub(crate) fn is_probe(flags: Flags) -> bool {
    PROBES.contains(&flags)
}

/// The report of one scan.
pub(crate) fn alert(due: Due<(IpAddr, IpAddr), u16>) -> Alert {
    scan_alert(due, NAME, "TCP", "potential port scanning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_all_flag_bytes_are_probes() {
        let probes = (0..=u8::MAX).filter(|&bits| is_probe(Flags::from_bits(bits)));
        assert_eq!(probes.collect::<Vec<_>>(), [0x00, 0x01, 0x29]);
    }
}
