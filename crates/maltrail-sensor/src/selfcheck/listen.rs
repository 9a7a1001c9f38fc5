//! Three seconds at the interfaces: does anything come, and does it look like a mirror port should?

use std::sync::Arc;
use std::time::{Duration, Instant};

use maltrail_core::config::{CaptureConfig, Config};
use maltrail_core::time::Timestamp;

use super::Checks;
use crate::capture::live::{self, Interface, may_capture};
use crate::pulse::{LinkState, Pulse, Severity, faults};
use crate::vitals::{InterfaceVitals, Setup, Snapshot, Vitals};

const LISTEN: Duration = Duration::from_secs(3);
/// Time between two comparisons with the clock.
const TICK: Duration = Duration::from_millis(250);
const NAP: Duration = Duration::from_millis(2);
/// Ring of each interface, enough for three seconds: a running sensor may need the memory.
const RING_BYTES: u64 = 8 << 20;
/// Packets taken from one interface before the next has its turn.
const TURN: usize = 512;

/// An interface that is listened on.
struct Ear {
    interface: Interface,
    pulse: Pulse,
    failed: Option<String>,
}

pub(super) fn check(config: &Config, checks: &mut Checks) {
    if !may_capture() {
        checks.note("not listened: no right to capture");
        return;
    }
    let names = config.capture.interfaces.join(", ");
    checks.note(&format!("listening {} s on {names} …", LISTEN.as_secs()));
    let capture = CaptureConfig {
        buffer_bytes: RING_BYTES,
        ..config.capture.clone()
    };
    let before_links = LinkState::all();
    let open = match live::open_alone(&capture) {
        Ok(open) => open,
        Err(error) => {
            checks.fail(
                "listen-failed",
                &format!("cannot listen: {error:#}"),
                "The sensor would end here as well.",
            );
            return;
        }
    };
    let home = Arc::new(live::home_networks(config));
    let mut ears: Vec<Ear> = open
        .into_iter()
        .map(|interface| Ear {
            pulse: Pulse::of_interface(interface.name(), Arc::clone(&home)).thorough(),
            interface,
            failed: None,
        })
        .collect();
    let started = Timestamp::now();
    listen(&mut ears);
    let heard: Vec<InterfaceVitals> = ears.iter_mut().map(stats).collect();
    report(config, started, before_links, &ears, heard, checks);
}

fn listen(ears: &mut [Ear]) {
    let started = Instant::now();
    let mut ticked = started;
    while started.elapsed() < LISTEN {
        let mut idle = true;
        for ear in ears.iter_mut().filter(|ear| ear.failed.is_none()) {
            for _ in 0..TURN {
                let link = ear.interface.link();
                match ear.interface.next_frame() {
                    Ok(Some(frame)) => {
                        ear.pulse.frame(link, frame.at, frame.bytes, frame.wire_len);
                        idle = false;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        ear.failed = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            let now = Timestamp::now();
            ears.iter_mut().for_each(|ear| ear.pulse.tick(now));
        }
        if idle {
            std::thread::sleep(NAP);
        }
    }
}

fn stats(ear: &mut Ear) -> InterfaceVitals {
    let stats = ear.interface.stats();
    InterfaceVitals {
        name: ear.interface.name().to_owned(),
        received: stats.received,
        dropped: stats.dropped.saturating_sub(stats.interface_dropped),
        interface_dropped: stats.interface_dropped,
    }
}

fn report(
    config: &Config,
    started: Timestamp,
    before_links: Vec<LinkState>,
    ears: &[Ear],
    heard: Vec<InterfaceVitals>,
    checks: &mut Checks,
) {
    for ear in ears {
        let (name, facts) = (ear.interface.name(), ear.pulse.facts());
        if let Some(error) = &ear.failed {
            checks.fail(
                "listen-failed",
                &format!("`{name}` cannot be read: {error}"),
                "See interface-down.",
            );
        } else if facts.packets == 0 {
            checks.warn(
                "listen-silent",
                &format!("no packet on `{name}` in {} s", LISTEN.as_secs()),
                "If this is the mirror port: check the switch's mirror session (tcpdump -c 5 -i NAME).",
            );
        } else {
            checks.good(&format!(
                "`{name}`: {} packets, {} TCP ({} out, {} in), {} DNS questions, {} answers{}",
                facts.packets,
                facts.tcp,
                facts.outward,
                facts.inward,
                facts.dns_questions,
                facts.dns_answers,
                vlans(facts)
            ));
        }
    }
    let (now, before) = snapshots(config, started, before_links, ears, heard);
    for fault in faults(&now, &before) {
        let text = fault
            .text
            .replace("the last minute", "the time of listening");
        if fault.severity == Severity::Note {
            checks.note(&format!("{text} [{}] {}", fault.id, fault.next));
        } else {
            checks.warn(fault.id, &text, fault.next);
        }
    }
}

fn vlans(facts: &crate::pulse::PulseFacts) -> String {
    let mut ids: Vec<u16> = facts
        .vlans
        .iter()
        .map(|vlan| vlan.id)
        .filter(|id| *id != 0)
        .collect();
    ids.sort_unstable();
    let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
    if ids.is_empty() {
        String::new()
    } else {
        format!(", VLAN {}", ids.join(", "))
    }
}

/// What the judge of a running sensor would get, with no more in it than was listened to.
fn snapshots(
    config: &Config,
    started: Timestamp,
    before_links: Vec<LinkState>,
    ears: &[Ear],
    heard: Vec<InterfaceVitals>,
) -> (Snapshot, Snapshot) {
    let vitals = Vitals::new(Setup {
        started,
        workers: 1,
        filtered: !config.capture.filter.is_empty(),
        ..Setup::default()
    });
    let now = Timestamp::now();
    vitals.trails(|trails| trails.written = Some(now));
    vitals.links(before_links);
    vitals.worker(0, |worker| {
        worker.alive = true;
        worker.heartbeat = now;
        let zero = |interface: &InterfaceVitals| InterfaceVitals {
            name: interface.name.clone(),
            ..InterfaceVitals::default()
        };
        worker.interfaces = heard.iter().map(zero).collect();
    });
    let before = vitals.snapshot(started);
    vitals.links(LinkState::all());
    vitals.worker(0, |worker| {
        worker.interfaces = heard;
        worker.packets = ears.iter().map(|ear| ear.pulse.facts().packets).sum();
        worker.pulse = ears
            .iter()
            .map(|ear| (ear.interface.name().to_owned(), ear.pulse.facts().clone()))
            .collect();
    });
    (vitals.snapshot(now), before)
}

#[cfg(test)]
mod tests {
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::config::Environment;

    use super::*;

    /// HOME_NETWORKS of this configuration text as -T understands it.
    fn home(line: &str) -> NetworkSet {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("maltrail.conf");
        let text = format!(
            "MONITOR_INTERFACE lo\nCAPTURE_BUFFER 1MB\nUPDATE_PERIOD 86400\nLOG_DIR {}\n{line}\n",
            folder.path().display()
        );
        std::fs::write(&path, text).expect("written");
        let (config, _) = Config::load(&path, &Environment::default()).expect("valid");
        live::home_networks(&config)
    }

    #[test]
    fn the_networks_of_this_machine_are_ours_unless_others_are_named() {
        let loopback = "127.0.0.1".parse().expect("an address");
        assert!(home("").contains(loopback));
        assert!(!home("HOME_NETWORKS 203.0.113.0/24").contains(loopback));
    }
}
