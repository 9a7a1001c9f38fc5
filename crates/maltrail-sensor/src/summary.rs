//! What a run came to, for the person who ended it.

use std::time::Instant;

use maltrail_core::time::{Timestamp, Zone};
use maltrail_engine::PolicyCounters;
use tracing::{info, warn};

use crate::console::say;
use crate::outbox::Sent;
use crate::sinks::SinkFacts;
use crate::vitals::EngineSums;

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) started: Instant,
    pub(crate) packets: u64,
    /// Packets that the filter of the command line left out.
    pub(crate) filtered: u64,
    /// Packets that the kernel dropped.
    pub(crate) kernel_drops: u64,
    pub(crate) engine: EngineSums,
    pub(crate) policy: PolicyCounters,
    pub(crate) sinks: SinkFacts,
}

impl Ran {
    pub(crate) fn new(started: Instant, sent: &Sent) -> Self {
        Self {
            started,
            packets: 0,
            filtered: 0,
            kernel_drops: 0,
            engine: EngineSums::default(),
            policy: sent.policy,
            sinks: sent.sinks.clone(),
        }
    }
}

/// Prints it.
pub(crate) fn print(ran: &Ran, quiet: bool) {
    let policy = &ran.policy;
    if !quiet {
        let secs = ran.started.elapsed().as_secs_f64();
        let rate = ran.packets as f64 / secs.max(1e-9);
        let events = policy.events.saturating_sub(policy.ignored);
        say(&format!(
            "[i] {} packets in {secs:.2} s ({rate:.0} a second), {events} events in {} lines",
            ran.packets, policy.written
        ));
        if policy.ignored > 0 {
            say(&format!("[i] ignored {} events", policy.ignored));
        }
        let counts: Vec<String> = ran
            .engine
            .iter()
            .filter(|(_, value)| *value > 0)
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if !counts.is_empty() {
            say(&format!("[i] counters: {}", counts.join(", ")));
        }
    }
    if ran.filtered > 0 {
        info!("{} packets were left out by the filter", ran.filtered);
    }
    losses(ran);
    if !quiet {
        let mut text = String::new();
        Zone::local().write_log_time(Timestamp::now(), &mut text);
        say(&format!("[*] ending @ {}", text.get(..19).unwrap_or(&text)));
    }
}

fn losses(ran: &Ran) {
    let lost = [
        (ran.kernel_drops, "packets dropped by the kernel"),
        (
            ran.policy.gave_up,
            "events in which the search of IGNORE_EVENTS_REGEX gave up (they were kept)",
        ),
        (
            ran.sinks.dropped,
            "events dropped because the sinks were too slow",
        ),
        (ran.sinks.failed, "events that the log file could not take"),
    ];
    for (count, what) in lost.into_iter().filter(|(count, _)| *count > 0) {
        warn!("{count} {what}");
    }
}
