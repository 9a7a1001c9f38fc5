//! Faults of a mirror port, seen in the packets themselves.

use super::{Fault, PulseFacts, Severity, VlanFacts, percent};

/// Established segments from which on a direction is judged, and how many to one they must be.
const MIN_SEGMENTS: u64 = 200;
const ONE_SIDED: u64 = 200;
/// Comparable packets from which on copies are judged, and their share: one in this many.
const MIN_COMPARABLE: u64 = 500;
const COPY_SHARE: u64 = 20;
/// Packets from which on DNS is missed at all.
const MIN_PACKETS: u64 = 160_000;
/// Questions or answers from which on the other side is missed.
const MIN_DNS: u64 = 50;
/// A VLAN that was heard at least once in this many seconds on the average is missed after
/// [`VLAN_SILENT_SECS`], and forgotten after [`VLAN_GONE_SECS`].
const VLAN_PAUSE_SECS: u64 = 10;
const VLAN_MIN_FRAMES: u64 = 100;
const VLAN_SILENT_SECS: i64 = 15 * 60;
const VLAN_GONE_SECS: i64 = 86_400;
/// Packets looked at in a minute that show that other traffic flows.
const FLOWING: u64 = 100;
/// Frames in a minute, and their share of all (one in this many), that are worth a word.
const MIN_FRAMES: u64 = 100;
const FRAME_SHARE: u64 = 100;
/// Seconds in a row in which the clock was off: a burst that waited in the ring is late as well.
const SKEWED_TICKS: u32 = 5;

/// Judges one interface by its last minute and by all since the start.
pub(super) fn judge(name: &str, fresh: &PulseFacts, total: &PulseFacts, found: &mut Vec<Fault>) {
    let enough = |enough: &dyn Fn(&PulseFacts) -> bool| {
        [fresh, total].into_iter().find(|facts| enough(facts))
    };
    if let Some(facts) = enough(&|facts| facts.outward.max(facts.inward) >= MIN_SEGMENTS) {
        found.extend(direction(name, facts));
    }
    if let Some(facts) = enough(&|facts| facts.comparable >= MIN_COMPARABLE) {
        found.extend(copies(name, facts));
    }
    if let Some(facts) = enough(&|facts| facts.dns_questions.max(facts.dns_answers) >= MIN_DNS) {
        found.extend(dns_sides(name, facts));
    }
    found.extend(dns(name, total));
    found.extend(vlans(name, fresh, total));
    found.extend(lengths(name, fresh));
    found.extend(clock(name, total));
}

fn direction(name: &str, facts: &PulseFacts) -> Option<Fault> {
    let (more, less) = (
        facts.outward.max(facts.inward),
        facts.outward.min(facts.inward),
    );
    if less * ONE_SIDED >= more.max(1) {
        return None;
    }
    let (seen, missing) = if facts.outward > facts.inward {
        ("from", "to")
    } else {
        ("to", "from")
    };
    Some(Fault {
        id: "one-direction",
        severity: Severity::Error,
        text: format!(
            "`{name}`: of the TCP connections looked at, {more} segments go {seen} our networks and {less} {missing} them"
        ),
        next: "Mirror both directions of the port (Cisco: `monitor session ... both`), both arms of a tap, and check HOME_NETWORKS; \
               with asymmetric routing mirror both paths.",
    })
}

fn copies(name: &str, facts: &PulseFacts) -> Option<Fault> {
    (facts.doubled * COPY_SHARE >= facts.comparable).then(|| Fault {
        id: "doubled-packets",
        severity: Severity::Warning,
        text: format!(
            "`{name}`: {} of {} packets looked at came twice within 100 ms ({:.0} %)",
            facts.doubled,
            facts.comparable,
            percent(facts.doubled, facts.comparable)
        ),
        next: "Mirror each packet once: one VLAN or one port in both directions, not both ends of the same path. \
               Counting detectors see twice the rate until then.",
    })
}

fn dns_sides(name: &str, facts: &PulseFacts) -> Option<Fault> {
    let (questions, answers) = (facts.dns_questions, facts.dns_answers);
    (questions == 0 || answers == 0).then(|| Fault {
        id: "dns-one-sided",
        severity: Severity::Warning,
        text: format!("`{name}`: of the packets looked at, {questions} are DNS questions and {answers} are answers"),
        next: "Mirror both directions of the port; if the answers take another way, mirror that one, too.",
    })
}

fn dns(name: &str, total: &PulseFacts) -> Option<Fault> {
    let none = total.dns_questions == 0 && total.dns_answers == 0;
    (none && total.packets >= MIN_PACKETS).then(|| Fault {
        id: "dns-missing",
        severity: Severity::Note,
        text: format!("`{name}`: no DNS among {} packets", total.packets),
        next: "Mirror a place between the clients and their resolver: most trails are names. \
               If clients use DNS over HTTPS or TLS, only names in TLS hellos are left.",
    })
}

fn vlans(name: &str, fresh: &PulseFacts, total: &PulseFacts) -> Option<Fault> {
    if fresh.sampled < FLOWING {
        return None;
    }
    let silent: Vec<&VlanFacts> = total
        .vlans
        .iter()
        .filter(|vlan| vlan.id != 0 && fell_silent(vlan, total))
        .collect();
    let longest = silent
        .iter()
        .map(|vlan| total.last.secs() - vlan.last.secs())
        .max()?;
    let mut ids: Vec<u16> = silent.iter().map(|vlan| vlan.id).collect();
    ids.sort_unstable();
    let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
    Some(Fault {
        id: "vlan-silent",
        severity: Severity::Warning,
        text: format!(
            "`{name}`: VLAN {} carried traffic and has been silent for {} min, while others go on",
            ids.join(", "),
            longest / 60
        ),
        next: "Check that the mirror session still includes this VLAN and that its trunk is up.",
    })
}

fn fell_silent(vlan: &VlanFacts, total: &PulseFacts) -> bool {
    let silence = total.last.secs() - vlan.last.secs();
    let lived = u64::try_from(vlan.last.secs() - vlan.first.secs()).unwrap_or_default();
    (VLAN_SILENT_SECS..=VLAN_GONE_SECS).contains(&silence)
        && vlan.frames >= VLAN_MIN_FRAMES
        && vlan.frames * VLAN_PAUSE_SECS >= lived
}

fn lengths(name: &str, fresh: &PulseFacts) -> Vec<Fault> {
    let many = |count: u64| count >= MIN_FRAMES && count * FRAME_SHARE >= fresh.packets;
    let mut found = Vec::new();
    if many(fresh.cut) {
        found.push(Fault {
            id: "frames-cut",
            severity: Severity::Warning,
            text: format!(
                "`{name}`: {} of {} frames of the last minute were cut; the longest looked at had {} bytes",
                fresh.cut, fresh.packets, fresh.longest
            ),
            next: "Raise CAPTURE_SNAPLEN above the longest frame, or switch off the merging of packets (see frames-merged).",
        });
    }
    if many(fresh.oversized) {
        found.push(Fault {
            id: "frames-merged",
            severity: Severity::Note,
            text: format!(
                "`{name}`: {} of {} frames of the last minute are longer than the interface's MTU: the card merges packets",
                fresh.oversized, fresh.packets
            ),
            next: "Switch merging off on the mirror port: ethtool -K NAME gro off lro off.",
        });
    }
    found
}

fn clock(name: &str, total: &PulseFacts) -> Option<Fault> {
    (total.skewed_ticks >= SKEWED_TICKS).then(|| Fault {
        id: "clock-off",
        severity: Severity::Warning,
        text: format!(
            "`{name}`: packets are stamped {:.1} s {} the clock",
            total.skew_micros.unsigned_abs() as f64 / 1e6,
            if total.skew_micros < 0 { "behind" } else { "ahead of" }
        ),
        next: "If the kernel drops packets as well, the sensor is overloaded; otherwise synchronise the clock, and the card's if it stamps packets.",
    })
}
