//! Faults of the sensor itself: workers, trails, sinks, clock.

use maltrail_core::time::Timestamp;

use crate::vitals::Snapshot;

use super::{Fault, Severity};

/// Housekeeping happens once a second; a worker without it for this long is stuck.
const STUCK_SECS: i64 = 30;
/// Time that an update may take beyond its period.
const UPDATE_GRACE_SECS: u64 = 3600;
/// Lists of bad addresses are worth little after this, whoever updates them.
const OLDEST_SECS: u64 = 7 * 86_400;
/// 2024-01-01: earlier times come from a clock that was never set.
const EARLIEST: Timestamp = Timestamp::from_parts(1_704_067_200, 0);

pub(super) fn workers(now: &Snapshot, found: &mut Vec<Fault>) {
    let stuck = |index: &usize| {
        now.workers.get(*index).is_some_and(|worker| {
            let waited = now.time.secs() - worker.heartbeat.secs();
            !worker.alive || waited > STUCK_SECS
        })
    };
    // At the start nobody has done its housekeeping yet.
    if now.uptime_secs() < STUCK_SECS.unsigned_abs() {
        return;
    }
    let stopped: Vec<String> = (0..now.workers.len())
        .filter(stuck)
        .map(|index| index.to_string())
        .collect();
    if !stopped.is_empty() {
        found.push(Fault {
            id: "worker-stopped",
            severity: Severity::Error,
            text: format!(
                "{} of {} workers do not work (number {}): their share of the traffic is not looked at",
                stopped.len(),
                now.workers.len(),
                stopped.join(", ")
            ),
            next: "Look for the reason in the sensor's own messages (journalctl -u maltrail-sensor), then restart it.",
        });
    }
}

pub(super) fn trails(now: &Snapshot, found: &mut Vec<Fault>) {
    let Some(age) = now.trails_age_secs() else {
        found.push(Fault {
            id: "trails-builtin",
            severity: Severity::Warning,
            text: format!(
                "there is no trails file: only the {} built-in trails are compared",
                now.trails.count
            ),
            next: "Run `sensor update`, or check that TRAILS_FILE names the file that the update writes.",
        });
        return;
    };
    let period = now
        .setup
        .update_period_secs
        .map(|period| period.saturating_add(UPDATE_GRACE_SECS));
    if age > OLDEST_SECS || period.is_some_and(|period| age > period) {
        found.push(Fault {
            id: "trails-stale",
            severity: Severity::Warning,
            text: format!("the trails file is {} old: what was listed since is not found", span(age)),
            next: "Run `sensor update` by hand and read why it fails; check PROXY_ADDRESS and the way to the Internet.",
        });
    }
}

pub(super) fn losses(now: &Snapshot, before: &Snapshot, found: &mut Vec<Fault>) {
    let mut lost = Vec::new();
    let mut add = |count: u64, earlier: u64, what: String| {
        let fresh = count.saturating_sub(earlier);
        if fresh > 0 {
            lost.push(format!("{fresh} {what}"));
        }
    };
    add(
        now.sinks.failed,
        before.sinks.failed,
        "not written to the log folder".to_owned(),
    );
    add(
        now.sinks.dropped,
        before.sinks.dropped,
        "dropped before slow sinks".to_owned(),
    );
    for endpoint in &now.sinks.endpoints {
        let earlier = before
            .sinks
            .endpoints
            .iter()
            .find(|known| known.name == endpoint.name);
        let earlier = earlier.map_or(0, |known| known.lost);
        add(
            endpoint.lost,
            earlier,
            format!("not sent to `{}`", endpoint.name),
        );
    }
    if !lost.is_empty() {
        found.push(Fault {
            id: "events-lost",
            severity: Severity::Error,
            text: format!("events of the last minute were lost: {}", lost.join(", ")),
            next: "Check the space and the rights in LOG_DIR, and that each log server runs and is reachable.",
        });
    }
}

pub(super) fn year(now: &Snapshot, found: &mut Vec<Fault>) {
    if now.time < EARLIEST {
        found.push(Fault {
            id: "clock-year",
            severity: Severity::Error,
            text: format!(
                "the clock says {}: events are filed under a day that nobody looks at",
                now.time.to_rfc3339()
            ),
            next: "Set the clock (timedatectl set-ntp true), then restart the sensor.",
        });
    }
}

/// `3 h`, `9 days`.
fn span(secs: u64) -> String {
    match secs / 3600 {
        0 => format!("{} min", secs / 60),
        hours @ 1..=47 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
