//! What the machine gives: rights, interfaces, workers, memory, a clock.

use std::fs;

use maltrail_core::config::{Config, Environment};
use maltrail_core::time::Timestamp;

use super::Checks;
use crate::capture::live::{CAPTURE_RIGHT, interface_names, may_capture};
use crate::privileges::Identity;
use crate::pulse::LinkState;

const CAP_NET_ADMIN: u32 = 12;
/// 2024-01-01: earlier times come from a clock that was never set.
const EARLIEST: Timestamp = Timestamp::from_parts(1_704_067_200, 0);
const MB: u64 = 1 << 20;

pub(super) fn check(config: &Config, environment: &Environment, checks: &mut Checks) {
    clock(Timestamp::now(), checks);
    right(may_capture(), config.disable_check_sudo, checks);
    becomes(config, environment, checks);
    let known = interface_names();
    interfaces(
        &config.capture.interfaces,
        &known,
        &LinkState::all(),
        checks,
    );
    workers(config, environment, checks);
}

fn clock(now: Timestamp, checks: &mut Checks) {
    let text = format!("the clock says {}", now.to_rfc3339());
    if now < EARLIEST {
        checks.fail(
            "clock-year",
            &text,
            "Set the clock: events are filed by date (timedatectl set-ntp true).",
        );
    } else {
        checks.good(&text);
    }
}

fn right(capture: bool, disabled: bool, checks: &mut Checks) {
    const TEXT: &str = "no right to capture";
    let next = format!("To have it, {CAPTURE_RIGHT}.");
    match (capture, disabled) {
        (true, _) => checks.good("right to capture"),
        (false, true) => checks.warn("capture-right", TEXT, &next),
        (false, false) => checks.fail("capture-right", TEXT, &next),
    }
    if capture && !may_configure() {
        checks.warn(
            "not-promiscuous",
            "no right to switch an interface to promiscuous mode (CAP_NET_ADMIN)",
            &next,
        );
    }
}

/// Whom a sensor that is started by root becomes, and whether its log folder is one that may be given away.
fn becomes(config: &Config, environment: &Environment, checks: &mut Checks) {
    let log_dir = (!config.output.disable_local).then_some(&*config.log_dir);
    let sudo_uid = environment.variables.get("SUDO_UID");
    let run_as = config.capture.run_as.as_deref();
    let identity = Identity::choose(run_as, log_dir, sudo_uid.map(String::as_str));
    let next = "Name a user in RUN_AS, and give it the log folder (chown).";
    match identity {
        Ok(None) => {}
        Ok(Some(identity)) => match log_dir.map(|folder| identity.may_own(folder)) {
            Some(Err(error)) => checks.fail("user", &format!("{error:#}"), next),
            _ => checks.good(&format!("becomes user `{}` (RUN_AS)", identity.name())),
        },
        Err(error) => checks.fail("user", &format!("{error:#}"), next),
    }
}

/// Whether this process may configure interfaces.
fn may_configure() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    has_capability(&status, CAP_NET_ADMIN)
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> capability & 1 == 1)
}

fn interfaces(wanted: &[String], known: &[String], links: &[LinkState], checks: &mut Checks) {
    if known.is_empty() && links.is_empty() {
        checks.warn(
            "interfaces-unlisted",
            "the interfaces of this machine cannot be listed",
            "libpcap may need a right for that: run -T as the sensor's user, or with sudo.",
        );
        return;
    }
    for name in wanted {
        if name == "any" {
            any(links, checks);
            continue;
        }
        let link = links.iter().find(|link| link.name == *name);
        if link.is_none() && !known.contains(name) {
            checks.fail(
                "interface-unknown",
                &format!("there is no interface `{name}` (MONITOR_INTERFACE)"),
                &format!("This machine has: {}.", known.join(", ")),
            );
            continue;
        }
        match link {
            Some(link) if !link.up => checks.fail(
                "interface-down",
                &format!("interface `{name}` is switched off"),
                &format!("Switch it on: ip link set {name} up."),
            ),
            Some(link) if !link.carrier => checks.warn(
                "interface-down",
                &format!("interface `{name}` has no carrier"),
                "Check the cable and the switch's mirror session.",
            ),
            _ => checks.good(&format!("interface `{name}`")),
        }
    }
}

fn any(links: &[LinkState], checks: &mut Checks) {
    let up: Vec<&str> = links
        .iter()
        .filter(|link| link.up && link.carrier)
        .map(|link| link.name.as_str())
        .collect();
    checks.good(&format!("interface `any`: {}", up.join(", ")));
    let mirror = links
        .iter()
        .any(|link| link.up && link.promiscuous && !link.loopback);
    if !mirror {
        checks.note(
            "`any` switches no interface to promiscuous mode: it sees the traffic of this machine; for a mirror port, name it in \
             MONITOR_INTERFACE",
        );
    }
}

fn workers(config: &Config, environment: &Environment, checks: &mut Checks) {
    let cores = environment.cores.max(1);
    let count = config.capture.workers.count(cores);
    let text = format!("{count} analysis worker(s) on {cores} core(s)");
    if count > cores as usize {
        checks.warn(
            "workers",
            &text,
            "More workers than cores only take each other's time: lower CAPTURE_WORKERS, or leave it out.",
        );
    } else {
        checks.good(&text);
    }
    let interfaces = config.capture.interfaces.len().max(1) as u64;
    // Workers share the ring of an interface.
    memory(
        config.capture.buffer_bytes,
        interfaces,
        environment.memory_bytes,
        checks,
    );
}

fn memory(ring: u64, rings: u64, installed: u64, checks: &mut Checks) {
    let total = ring.saturating_mul(rings);
    let text = format!(
        "memory for packets that wait: at most {} MB, {rings} times {} MB, of {} MB",
        total / MB,
        ring / MB,
        installed / MB
    );
    if total > installed / 2 {
        checks.warn(
            "ring-memory",
            &text,
            "Lower CAPTURE_BUFFER_SIZE: that is more than half of the machine's memory.",
        );
    } else {
        checks.good(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(check: impl Fn(&mut Checks)) -> (Vec<&'static str>, usize) {
        let mut checks = Checks::silent();
        check(&mut checks);
        (checks.ids(), checks.failures)
    }

    #[test]
    fn a_clock_of_the_last_century_fails() {
        let at = |secs| ids(|checks| clock(Timestamp::from_parts(secs, 0), checks));
        assert_eq!(at(0), (vec!["clock-year"], 1));
        assert_eq!(at(1_704_067_199), (vec!["clock-year"], 1));
        assert_eq!(at(1_704_067_200), (vec![], 0));
    }

    #[test]
    fn a_missing_right_fails_unless_the_check_is_off() {
        assert_eq!(
            ids(|checks| right(false, false, checks)),
            (vec!["capture-right"], 1)
        );
        assert_eq!(
            ids(|checks| right(false, true, checks)),
            (vec!["capture-right"], 0)
        );
        assert!(has_capability(
            "Name:\tx\nCapEff:\t0000000000001000\n",
            CAP_NET_ADMIN
        ));
        assert!(!has_capability(
            "CapEff:\t0000000000002000\n",
            CAP_NET_ADMIN
        ));
        assert!(!has_capability("CapEff:\tzz\n", CAP_NET_ADMIN));
    }

    fn link(name: &str, up: bool, carrier: bool) -> LinkState {
        LinkState {
            name: name.to_owned(),
            up,
            carrier,
            ..LinkState::default()
        }
    }

    #[test]
    fn interfaces_exist_and_are_up() {
        let links = [
            link("eth0", true, true),
            link("eth1", false, false),
            link("eth2", true, false),
        ];
        let known = ["eth0", "eth1", "eth2", "any"].map(str::to_owned);
        let of = |name: &str| ids(|checks| interfaces(&[name.to_owned()], &known, &links, checks));
        assert_eq!(of("eth0"), (vec![], 0));
        assert_eq!(of("any"), (vec![], 0));
        assert_eq!(of("eth1"), (vec!["interface-down"], 1));
        assert_eq!(of("eth2"), (vec!["interface-down"], 0));
        assert_eq!(of("eth9"), (vec!["interface-unknown"], 1));
        let unlisted = ids(|checks| interfaces(&["eth0".to_owned()], &[], &[], checks));
        assert_eq!(unlisted, (vec!["interfaces-unlisted"], 0));
    }

    #[test]
    fn rings_take_at_most_half_of_the_memory() {
        let of = |rings| ids(|checks| memory(64 * MB, rings, 1024 * MB, checks));
        assert_eq!(of(8), (vec![], 0));
        assert_eq!(of(9), (vec!["ring-memory"], 0));
        assert_eq!(
            ids(|checks| memory(u64::MAX, 2, 1024 * MB, checks)).0,
            ["ring-memory"]
        );
    }
}
