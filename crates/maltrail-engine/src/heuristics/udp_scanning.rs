//! UDP scans: one host sends datagrams to many ports of another.
//!
//! Reported when more than [`MOST_PORTS`] distinct ports, none of them 53, were tried within a
//! window, with the ports of the first of those datagrams.

use std::net::IpAddr;

use super::scans::{Alert, scan_alert};
use crate::state::window::{Due, Windows};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "udp_scanning";

/// Most ports that are no scan.
pub(crate) const MOST_PORTS: usize = 10;

/// Who tried which ports of whom.
pub(crate) type Pairs = Windows<(IpAddr, IpAddr), u16, { MOST_PORTS + 1 }>;

/// The report of one scan.
pub(crate) fn alert(due: Due<(IpAddr, IpAddr), u16>) -> Alert {
    scan_alert(due, NAME, "UDP", "potential udp scanning")
}
