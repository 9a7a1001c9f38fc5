//! `METRICS_INTERVAL`: the numbers that matter in one line for the console.

use super::Snapshot;

/// The line; rates and losses since `before`, else since the start.
pub fn line(now: &Snapshot, before: Option<&Snapshot>) -> String {
    let (packets, dropped, events, since) = before.map_or_else(
        || (0, 0, 0, now.setup.started),
        |before| {
            (
                before.packets(),
                before.dropped(),
                before.policy.written,
                before.time,
            )
        },
    );
    let secs = (now.time.micros() - since.micros()).max(1) as f64 / 1e6;
    let fresh = now.packets().saturating_sub(packets);
    let mut text = format!(
        "metrics: {fresh} packets in {secs:.0} s ({:.0} a second), {} dropped by the kernel, {} events written; \
         in all {} packets, {} events ({} ignored, {} throttled)",
        fresh as f64 / secs,
        now.dropped().saturating_sub(dropped),
        now.policy.written.saturating_sub(events),
        now.packets(),
        now.policy.written,
        now.policy.ignored,
        now.policy.throttled,
    );
    let lost: u64 = now
        .sinks
        .endpoints
        .iter()
        .map(|endpoint| endpoint.lost)
        .sum();
    let troubles = [
        (now.sinks.failed, "not written"),
        (now.sinks.dropped, "lost to slow sinks"),
        (lost, "not sent"),
    ];
    for (count, what) in troubles.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {what}"));
    }
    text.push_str(&format!(
        "; {} of {} workers, {} trails",
        now.alive(),
        now.setup.workers,
        now.trails.count
    ));
    if !now.faults.is_empty() {
        let ids: Vec<&str> = now.faults.iter().map(|fault| fault.id).collect();
        text.push_str(&format!("; faults: {}", ids.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::healthy;
    use super::*;
    use crate::vitals::EndpointVitals;

    #[test]
    fn rates_are_of_the_interval_and_troubles_are_named() {
        let before = healthy(60);
        let mut now = healthy(120);
        now.policy.written = 9;
        now.sinks.endpoints = vec![EndpointVitals {
            lost: 4,
            ..EndpointVitals::default()
        }];
        let text = line(&now, Some(&before));
        assert!(
            text.starts_with("metrics: 12000 packets in 60 s (200 a second), 0 dropped"),
            "{text}"
        );
        assert!(
            text.contains("9 events written") && text.contains("in all 24001 packets"),
            "{text}"
        );
        assert!(
            text.contains(", 4 not sent; 2 of 2 workers, 1000 trails"),
            "{text}"
        );
        assert!(
            !text.contains("slow sinks") && !text.contains("faults"),
            "{text}"
        );
        let first = line(&before, None);
        assert!(first.contains("12001 packets in 60 s"), "{first}");
        assert!(
            !line(&now, Some(&now)).contains("NaN"),
            "no time has passed"
        );
    }
}
