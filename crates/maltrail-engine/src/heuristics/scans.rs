//! What many connections show together: [`port_scanning`], [`infection`], [`web_scanning`],
//! [`udp_scanning`].
//!
//! Packets are noted as they come; when another second begins, [`Scans::sweep`] hands out what came
//! due in the last one: port scans, infections, web scans, UDP scans, each sorted by address. A second begins
//! with a packet or, live, with the timer, so a scan that ends is reported as well.
//!
//! Whom this host talks to at localhost is left out. Bounds: those of [`Windows`], for each kind.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use maltrail_core::addr::{is_local, is_localhost};
use maltrail_core::event::Kind;
use maltrail_core::time::Timestamp;

use super::web_scanning::{self, Place};
use super::{Enabled, infection, port_scanning, udp_scanning};
use crate::finding::Finding;
use crate::flow::{Endpoint, Flow};
use crate::state::clock::{Clock, Step};
use crate::state::window::{Due, MAX_KEYS, Sighting};

/// A finding that belongs to many packets, with the ends of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    /// When it began; `None` for the second of the sweep.
    pub(crate) at: Option<Timestamp>,
    /// The ends that the event shows.
    pub(crate) flow: Flow,
    /// What was found.
    pub(crate) finding: Finding<'static>,
}

/// The report of a scan of one host by another.
pub(crate) fn scan_alert(
    due: Due<(IpAddr, IpAddr), u16>,
    rule: &'static str,
    proto: &'static str,
    info: &'static str,
) -> Alert {
    let (src, dst) = due.key;
    let end = |ip, port| Endpoint {
        ip,
        port: Some(port),
    };
    Alert {
        at: None,
        flow: Flow {
            src: end(src, due.first.src_port),
            dst: end(dst, due.first.value),
            proto,
        },
        finding: Finding::heuristic(rule, Kind::Ip, src.to_string(), info),
    }
}

/// The memory of all four.
#[derive(Debug)]
pub(crate) struct Scans {
    enabled: Enabled,
    clock: Clock,
    /// Also the sources among which infections look for the local network.
    connections: port_scanning::Pairs,
    services: infection::Services,
    places: web_scanning::Places,
    datagrams: udp_scanning::Pairs,
    seed: RandomState,
}

impl Scans {
    /// Nothing seen; `window` is `SCAN_WINDOW`.
    pub(crate) fn new(enabled: Enabled, window: u32) -> Self {
        let some = |used, keys| if used { keys } else { 1 };
        let keys = |used| some(used, MAX_KEYS);
        Self {
            enabled,
            clock: Clock::new(window),
            connections: port_scanning::Pairs::new(keys(
                enabled.port_scanning || enabled.infection,
            )),
            services: infection::Services::new(some(enabled.infection, infection::MOST_KEYS)),
            places: web_scanning::Places::new(some(enabled.web_scanning, web_scanning::MOST_KEYS)),
            datagrams: udp_scanning::Pairs::new(keys(enabled.udp_scanning)),
            seed: RandomState::default(),
        }
    }

    /// Keys forgotten to make room, and alerts put off because too many were due.
    pub(crate) const fn losses(&self) -> (u64, u64) {
        let (a, b, c, d) = (
            &self.connections,
            &self.services,
            &self.datagrams,
            &self.places,
        );
        (
            a.evictions() + b.evictions() + c.evictions() + d.evictions(),
            a.refused() + b.refused() + c.refused() + d.refused(),
        )
    }

    /// Notes a SYN.
    #[inline]
    pub(crate) fn syn(&mut self, flow: &Flow) {
        if !self.enabled.port_scanning && !self.enabled.infection || is_localhost(flow.dst.ip) {
            return;
        }
        self.probe(flow);
        let port = flow.dst.port.unwrap_or_default();
        if self.enabled.infection && infection::is_service(port) {
            let what = sighting(flow, flow.dst.ip);
            let now = self.clock.moment();
            self.services.note((flow.src.ip, port), what, now);
        }
    }

    /// Notes a segment that only probes a port.
    #[inline]
    pub(crate) fn probe(&mut self, flow: &Flow) {
        if !self.enabled.port_scanning && !self.enabled.infection || is_localhost(flow.dst.ip) {
            return;
        }
        let what = sighting(flow, flow.dst.port.unwrap_or_default());
        let now = self.clock.moment();
        self.connections.note((flow.src.ip, flow.dst.ip), what, now);
    }

    /// Notes a datagram outside port 53.
    #[inline]
    pub(crate) fn datagram(&mut self, flow: &Flow) {
        if !self.enabled.udp_scanning || is_localhost(flow.dst.ip) {
            return;
        }
        let what = sighting(flow, flow.dst.port.unwrap_or_default());
        let now = self.clock.moment();
        self.datagrams.note((flow.src.ip, flow.dst.ip), what, now);
    }

    /// Notes an HTTP request for `path`.
    #[inline]
    pub(crate) fn request(&mut self, at: Timestamp, flow: &Flow, path: &[u8]) {
        if let Some(place) = Place::of(&self.seed, at, flow, path) {
            self.place(flow, place);
        }
    }

    /// Notes an HTTP request for a place.
    #[inline]
    pub(crate) fn place(&mut self, flow: &Flow, place: Place) {
        if !self.enabled.web_scanning || is_local(flow.src.ip) && is_local(flow.dst.ip) {
            return;
        }
        let now = self.clock.moment();
        self.places
            .note((flow.src.ip, flow.dst.ip), sighting(flow, place), now);
    }

    /// Goes to `second`; what came due before it, in the order of its report.
    #[inline]
    pub(crate) fn sweep(&mut self, second: i64) -> Vec<Alert> {
        if self.clock.is_at(second) {
            return Vec::new();
        }
        self.next_second(second)
    }

    #[cold]
    fn next_second(&mut self, second: i64) -> Vec<Alert> {
        // What is due belongs to the moment before the clock goes on.
        let before = self.clock;
        let step = self.clock.step(second);
        if step == Step::Same {
            return Vec::new();
        }
        let mut alerts = Vec::new();
        let connections = self.connections.take_due();
        if self.enabled.port_scanning {
            alerts.extend(connections.into_iter().map(port_scanning::alert));
        }
        self.infections(before, &mut alerts);
        alerts.extend(self.places.take_due().into_iter().map(web_scanning::alert));
        alerts.extend(
            self.datagrams
                .take_due()
                .into_iter()
                .map(udp_scanning::alert),
        );
        if step == Step::Reset {
            self.connections.clear();
            self.services.clear();
            self.places.clear();
            self.datagrams.clear();
        }
        alerts
    }

    fn infections(&mut self, before: Clock, alerts: &mut Vec<Alert>) {
        let due = self.services.take_due();
        if due.is_empty() {
            return;
        }
        let now = before.moment();
        let connections = self.connections.active(now).map(|(src, _)| src);
        let services = self.services.active(now).map(|(src, _)| src);
        let local = infection::Prefix::most_common(connections.chain(services));
        for due in due {
            if local == Some(infection::Prefix::of(due.key.0)) {
                alerts.push(infection::alert(due));
            } else {
                self.services.retry(due.key);
            }
        }
    }
}

fn sighting<V>(flow: &Flow, value: V) -> Sighting<V> {
    let src_port = flow.src.port.unwrap_or_default();
    Sighting { value, src_port }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    const ON: Enabled = Enabled {
        port_scanning: true,
        udp_scanning: true,
        infection: true,
        ..Enabled::OFF
    };

    /// What the report of a second shows: kind, source, protocol.
    fn brief(alerts: &[Alert]) -> Vec<String> {
        let line = |alert: &Alert| {
            let (flow, kind) = (&alert.flow, &alert.finding.kind);
            format!("{kind} {} {} {}", flow.src.ip, flow.dst.ip, flow.proto)
        };
        alerts.iter().map(line).collect()
    }

    #[test]
    fn a_sweep_has_one_order_whatever_came_first() {
        let mut scans = Scans::new(ON, 30);
        assert_eq!(scans.sweep(0), []);
        for port in 1..=11 {
            for src in ["10.0.0.9", "10.0.0.10"] {
                let (src, dst) = (format!("{src}:1"), format!("192.0.2.1:{port}"));
                scans.datagram(&flow(&src, &dst, "UDP"));
                scans.syn(&flow(&src, &dst, "TCP"));
            }
        }
        for host in 1..=33 {
            scans.syn(&flow("10.0.0.1:7", &format!("192.0.2.{host}:445"), "TCP"));
        }
        assert_eq!(scans.sweep(0), [], "the second is not over");
        assert_eq!(
            brief(&scans.sweep(1)),
            [
                "IP 10.0.0.9 192.0.2.1 TCP",
                "IP 10.0.0.10 192.0.2.1 TCP",
                "PORT 10.0.0.1 192.0.2.1 TCP",
                "IP 10.0.0.9 192.0.2.1 UDP",
                "IP 10.0.0.10 192.0.2.1 UDP",
            ]
        );
        assert_eq!(scans.sweep(2), []);
    }

    #[test]
    fn what_is_due_survives_a_long_silence_and_nothing_else_does() {
        let mut scans = Scans::new(ON, 30);
        scans.sweep(0);
        for port in 1..=11 {
            let src = if port < 11 {
                "10.0.0.2:1"
            } else {
                "10.0.0.3:1"
            };
            scans.probe(&flow("10.0.0.1:1", &format!("192.0.2.1:{port}"), "TCP"));
            scans.probe(&flow(src, &format!("192.0.2.1:{port}"), "TCP"));
        }
        assert_eq!(brief(&scans.sweep(9000)), ["IP 10.0.0.1 192.0.2.1 TCP"]);
        scans.probe(&flow("10.0.0.2:1", "192.0.2.1:11", "TCP"));
        assert_eq!(scans.sweep(9001), []);
    }
}
