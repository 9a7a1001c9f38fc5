//! Faults between the wire and the first packet: interfaces, the kernel's ring, the filter.

use crate::vitals::{InterfaceVitals, Snapshot};

use super::{Fault, LinkState, Severity, percent};

/// Seconds without a packet that are a fault.
const SILENT_SECS: i64 = 55;
/// Drops in a minute that are worth a word, and their share of all packets: one in this many.
const MIN_DROPS: u64 = 10;
const DROP_SHARE: u64 = 1000;
/// Packets in a minute from which on a filter is judged, and the share that it must admit: one in this
/// many.
const MIN_RECEIVED: u64 = 1000;
const ADMIT_SHARE: u64 = 100;

pub(super) fn links(now: &Snapshot, found: &mut Vec<Fault>) {
    for interface in &now.interfaces {
        let Some(link) = now.links.iter().find(|link| link.name == interface.name) else {
            continue;
        };
        if !link.up || !link.carrier {
            let state = if link.up {
                "has no carrier"
            } else {
                "is switched off"
            };
            found.push(Fault {
                id: "interface-down",
                severity: Severity::Error,
                text: format!("`{}` {state}: no packet can come in", link.name),
                next: "Switch it on (ip link set NAME up) and check the cable and the switch's mirror session.",
            });
        } else if !link.promiscuous && !link.loopback {
            found.push(Fault {
                id: "not-promiscuous",
                severity: Severity::Warning,
                text: format!(
                    "`{}` is not promiscuous: frames for other machines are thrown away before they are seen",
                    link.name
                ),
                next: "Run the sensor with CAP_NET_ADMIN, or switch it on by hand (ip link set NAME promisc on).",
            });
        }
    }
}

pub(super) fn silence(now: &Snapshot, before: &Snapshot, found: &mut Vec<Fault>) {
    let waited = now.time.secs() - before.time.secs();
    let started = now.setup.started.secs();
    if now.packets() == before.packets() && waited >= SILENT_SECS && before.time.secs() >= started {
        found.push(Fault {
            id: "no-packets",
            // A narrow filter may admit nothing for a minute on purpose.
            severity: if now.setup.filtered {
                Severity::Warning
            } else {
                Severity::Error
            },
            text: format!(
                "no packet for {waited} s on {}; {} since the start",
                names(&now.interfaces),
                now.packets()
            ),
            next: "Check that MONITOR_INTERFACE names the mirror port and that the switch mirrors to it: tcpdump -c 5 -i NAME.",
        });
    }
}

pub(super) fn drops(now: &Snapshot, before: &Snapshot, found: &mut Vec<Fault>) {
    for (interface, received, dropped) in fresh(now, before) {
        if dropped >= MIN_DROPS && dropped * DROP_SHARE > received {
            found.push(Fault {
                id: "kernel-drops",
                severity: Severity::Warning,
                text: format!(
                    "`{}`: the kernel dropped {dropped} of {received} packets in the last minute ({:.1} %)",
                    interface.name,
                    percent(dropped, received)
                ),
                next: "Give it more room (CAPTURE_BUFFER_SIZE) and more workers (CAPTURE_WORKERS), or mirror less.",
            });
        }
    }
}

pub(super) fn filter(now: &Snapshot, before: &Snapshot, found: &mut Vec<Fault>) {
    if !now.setup.filtered {
        return;
    }
    for (interface, admitted, _) in fresh(now, before) {
        let arrived: u64 = now
            .links
            .iter()
            .filter(|link| interface.name == "any" || link.name == interface.name)
            .map(|link| arrived(link, before))
            .sum();
        if arrived >= MIN_RECEIVED && admitted * ADMIT_SHARE < arrived {
            found.push(Fault {
                id: "filter-blind",
                severity: Severity::Warning,
                text: format!(
                    "CAPTURE_FILTER admits {admitted} of {arrived} packets of the last minute on `{}` ({:.2} %)",
                    interface.name,
                    percent(admitted, arrived)
                ),
                next: "Leave CAPTURE_FILTER empty; `sensor -T` names the detectors that a filter blinds. Mirrored VLANs need `vlan and ...`.",
            });
        }
    }
}

fn arrived(link: &LinkState, before: &Snapshot) -> u64 {
    let earlier = before.links.iter().find(|known| known.name == link.name);
    earlier.map_or(0, |earlier| {
        link.rx_packets.saturating_sub(earlier.rx_packets)
    })
}

/// Each interface with the packets received and dropped since `before`; one that has no numbers yet
/// then, as at the start, counts from zero.
fn fresh<'a>(
    now: &'a Snapshot,
    before: &'a Snapshot,
) -> impl Iterator<Item = (&'a InterfaceVitals, u64, u64)> {
    now.interfaces.iter().map(|interface| {
        let earlier = before
            .interfaces
            .iter()
            .find(|known| known.name == interface.name);
        let lost = |interface: &InterfaceVitals| interface.dropped + interface.interface_dropped;
        let since =
            |now: u64, earlier: Option<u64>| now.saturating_sub(earlier.unwrap_or_default());
        (
            interface,
            since(interface.received, earlier.map(|earlier| earlier.received)),
            since(lost(interface), earlier.map(lost)),
        )
    })
}

fn names(interfaces: &[InterfaceVitals]) -> String {
    if interfaces.is_empty() {
        return "any interface".to_owned();
    }
    let names: Vec<String> = interfaces
        .iter()
        .map(|interface| format!("`{}`", interface.name))
        .collect();
    names.join(", ")
}
