//! What each metric is called and means: the one table behind the metrics text and `docs/metrics.md`.

use super::metrics::Samples;
use super::{Snapshot, secs_between};

/// Kind of a metric, as the text format names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One row.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: fn(&Snapshot, &mut Samples<'_>),
}

const fn counter(
    name: &'static str,
    help: &'static str,
    samples: fn(&Snapshot, &mut Samples<'_>),
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        help,
        samples,
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    samples: fn(&Snapshot, &mut Samples<'_>),
) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        help,
        samples,
    }
}

/// Reasons of the engine that mean a frame without IP, or IP of a protocol that is not looked at.
const IGNORED: [&str; 13] = [
    "link_arp",
    "link_mpls",
    "link_pppoe_discovery",
    "link_ppp_control",
    "link_ppp_framing",
    "link_llc",
    "link_vlan_depth",
    "link_address_family",
    "link_not_ip",
    "link_unknown",
    "link_no_guess",
    "ip_version",
    "protocol_ignored",
];
/// Reasons of the engine that mean a header that is cut.
const TRUNCATED: [&str; 5] = [
    "link_truncated",
    "ip_truncated",
    "tcp_truncated",
    "udp_truncated",
    "icmp_truncated",
];
/// Reasons of the engine that mean no usable IP header; all that start with `link_` as well.
const NO_IP: [&str; 3] = ["ip_truncated", "ip_version", "ip_header_length"];

/// Packets of these engine counters that have a usable IP header.
pub(super) fn processed(all: u64, get: impl Fn(&str) -> u64) -> u64 {
    let links = maltrail_wire::Drop::ALL
        .iter()
        .map(|reason| reason.name())
        .filter(|name| name.starts_with("link_"));
    let lost: u64 = links.chain(NO_IP).map(get).sum();
    all.saturating_sub(lost)
}

/// Names that were looked for in the trails, or found in the cache of clean ones.
fn names(snapshot: &Snapshot) -> u64 {
    snapshot
        .engine
        .sum(&["seen_dns_query", "tls_names", "quic_names"])
}

/// Every metric but those of single engine counters, in the order of the text.
pub(super) const METRICS: &[Metric] = &[
    gauge(
        "maltrail_up",
        "1 while at least one worker captures.",
        |s, out| {
            out.one(u64::from(s.alive() > 0));
        },
    ),
    gauge(
        "maltrail_workers_alive",
        "Workers that are in their capture loop.",
        |s, out| {
            out.one(s.alive() as u64);
        },
    ),
    gauge(
        "maltrail_workers_total",
        "Workers that were started.",
        |s, out| {
            out.one(s.setup.workers as u64);
        },
    ),
    gauge(
        "maltrail_build_info",
        "Always 1; the label names the version.",
        |s, out| {
            let _ = s;
            out.labelled("version", maltrail_core::VERSION, 1);
        },
    ),
    gauge(
        "maltrail_uptime_seconds",
        "Seconds since the capture began.",
        |s, out| {
            out.one(s.uptime_secs());
        },
    ),
    counter(
        "maltrail_packets_received_total",
        "Packets that the capture handed over.",
        |s, out| {
            out.one(s.packets());
        },
    ),
    counter(
        "maltrail_packets_processed_total",
        "Packets with a usable IP header.",
        |s, out| {
            out.one(processed(s.engine.get("packets"), |name| {
                s.engine.get(name)
            }));
        },
    ),
    counter(
        "maltrail_packets_ignored_total",
        "Frames without IP, of an unknown link type, or of an IP protocol that is not looked at.",
        |s, out| {
            out.one(s.engine.sum(&IGNORED));
        },
    ),
    counter(
        "maltrail_packets_malformed_total",
        "Packets whose IP header contradicts itself.",
        |s, out| {
            out.one(s.engine.get("ip_header_length"));
        },
    ),
    counter(
        "maltrail_packets_truncated_total",
        "Packets whose headers are cut short.",
        |s, out| {
            out.one(s.engine.sum(&TRUNCATED));
        },
    ),
    counter(
        "maltrail_packets_fragments_total",
        "Fragments other than the first of their packet.",
        |s, out| {
            out.one(s.engine.get("ip_fragment_later"));
        },
    ),
    counter(
        "maltrail_dropped_total",
        "Frames that are no usable packet, by reason.",
        |s, out| {
            for reason in maltrail_wire::Drop::ALL {
                out.labelled("reason", reason.name(), s.engine.get(reason.name()));
            }
        },
    ),
    counter(
        "maltrail_capture_dropped_total",
        "Packets that the kernel dropped because its ring was full.",
        |s, out| {
            out.one(s.interfaces.iter().map(|interface| interface.dropped).sum());
        },
    ),
    counter(
        "maltrail_capture_ifdropped_total",
        "Packets that an interface or its driver dropped.",
        |s, out| {
            out.one(
                s.interfaces
                    .iter()
                    .map(|interface| interface.interface_dropped)
                    .sum(),
            );
        },
    ),
    counter(
        "maltrail_interface_received_total",
        "Packets that the kernel took for the sensor, by interface.",
        |s, out| {
            for interface in &s.interfaces {
                out.labelled("interface", &interface.name, interface.received);
            }
        },
    ),
    counter(
        "maltrail_interface_dropped_total",
        "Packets that the kernel dropped, by interface.",
        |s, out| {
            for interface in &s.interfaces {
                out.labelled("interface", &interface.name, interface.dropped);
            }
        },
    ),
    counter(
        "maltrail_events_total",
        "Events before ignore rules and throttle.",
        |s, out| {
            out.one(s.policy.events.max(s.engine.get("events")));
        },
    ),
    counter(
        "maltrail_events_by_type_total",
        "Events of the engines, by type.",
        |s, out| {
            for (name, count) in s.engine.iter() {
                if let Some(kind) = name.strip_prefix("events_") {
                    out.labelled("type", kind, count);
                }
            }
        },
    ),
    counter(
        "maltrail_findings_total",
        "Findings that became events or reasons of events, by detector.",
        |s, out| {
            for (rule, count) in &s.rules {
                out.labelled("detector", rule, *count);
            }
        },
    ),
    counter(
        "maltrail_events_ignored_total",
        "Events that ignore rules dropped.",
        |s, out| {
            out.one(s.policy.ignored);
        },
    ),
    counter(
        "maltrail_events_written_total",
        "Events handed to the sinks.",
        |s, out| {
            out.one(s.policy.written);
        },
    ),
    counter(
        "maltrail_remote_log_errors_total",
        "Datagrams to log servers that could not be sent.",
        |s, out| {
            out.one(s.sinks.endpoints.iter().map(|endpoint| endpoint.lost).sum());
        },
    ),
    counter(
        "maltrail_remote_log_sent_total",
        "Datagrams sent, by log server.",
        |s, out| {
            for endpoint in &s.sinks.endpoints {
                out.labelled("endpoint", &endpoint.name, endpoint.sent);
            }
        },
    ),
    counter(
        "maltrail_local_log_errors_total",
        "Events that the local log could not take.",
        |s, out| {
            out.one(s.sinks.failed);
        },
    ),
    counter(
        "maltrail_local_log_written_total",
        "Events written to the local log.",
        |s, out| {
            out.one(s.sinks.written);
        },
    ),
    counter(
        "maltrail_sink_dropped_total",
        "Events dropped because the sinks were too slow.",
        |s, out| {
            out.one(s.sinks.dropped);
        },
    ),
    counter(
        "maltrail_events_throttled_total",
        "Events that the throttle held back or dropped.",
        |s, out| {
            out.one(s.policy.throttled);
        },
    ),
    counter(
        "maltrail_events_summarized_total",
        "Lines that sum up events held back.",
        |s, out| {
            out.one(s.policy.summarized);
        },
    ),
    gauge(
        "maltrail_log_dir_free_bytes",
        "Bytes free where the log folder lies; absent without local log files.",
        |s, out| {
            if let Some(bytes) = s.log_free_bytes {
                out.one(bytes);
            }
        },
    ),
    counter(
        "maltrail_throttle_evictions_total",
        "Keys of the throttle forgotten to make room.",
        |s, out| {
            out.one(s.policy.evictions);
        },
    ),
    counter(
        "maltrail_state_saturations_total",
        "Keys that found no room: names that do not exist, exhausted domains, condensing and the store.",
        |s, out| {
            out.one(
                s.policy.saturations
                    + s.engine
                        .sum(&["no_such_domain_evictions", "exhaustion_evictions"]),
            );
        },
    ),
    counter(
        "maltrail_meta_observables_total",
        "Rows merged into the condensed store.",
        |s, out| {
            out.one(s.observables.merged);
        },
    ),
    counter(
        "maltrail_meta_flush_errors_total",
        "Windows of observables that the condensed store did not take.",
        |s, out| {
            out.one(s.observables.flush_errors);
        },
    ),
    counter(
        "maltrail_trail_lookups_total",
        "Observations compared with the trails: SYNs, datagrams, DNS questions, other contacts, certificates.",
        |s, out| {
            out.one(s.engine.sum(&[
                "seen_syn",
                "seen_datagram",
                "seen_dns_query",
                "seen_contact",
                "certificates",
            ]));
        },
    ),
    counter(
        "maltrail_cache_hits_total",
        "Names not examined because they were found clean before.",
        |s, out| {
            out.one(s.engine.get("clean_names"));
        },
    ),
    counter(
        "maltrail_cache_misses_total",
        "Names that were not known as clean.",
        |s, out| {
            out.one(names(s).saturating_sub(s.engine.get("clean_names")));
        },
    ),
    counter(
        "maltrail_panics_recovered_total",
        "Packets whose processing failed by a bug and was given up.",
        |s, out| {
            out.one(s.workers.iter().map(|worker| worker.panics).sum());
        },
    ),
    gauge("maltrail_trails", "Trails in use.", |s, out| {
        out.one(s.trails.count)
    }),
    gauge(
        "maltrail_trail_generation",
        "Number of the trail set in use; the first is 1.",
        |s, out| {
            out.one(s.trails.generation);
        },
    ),
    gauge(
        "maltrail_trail_age_seconds",
        "Age of the trails file; absent with the built-in trails.",
        |s, out| {
            if let Some(age) = s.trails_age_secs() {
                out.one(age);
            }
        },
    ),
    counter(
        "maltrail_trail_reloads_total",
        "New trail sets taken into use.",
        |s, out| {
            out.one(s.trails.reloads);
        },
    ),
    counter(
        "maltrail_trail_reloads_failed_total",
        "New trail sets that could not be read.",
        |s, out| {
            out.one(s.trails.failed);
        },
    ),
    counter(
        "maltrail_trail_reloads_rejected_total",
        "New trail sets refused because they had shrunk too much.",
        |s, out| {
            out.one(s.trails.rejected);
        },
    ),
    gauge(
        "maltrail_feed_entries",
        "Entries of the last good answer of a feed.",
        |s, out| {
            for feed in &s.trails.feeds {
                out.labelled("feed", &feed.name, feed.entries);
            }
        },
    ),
    gauge(
        "maltrail_feed_failing",
        "1 while the last answer of a feed was none or a bad one; its copy stands in.",
        |s, out| {
            for feed in &s.trails.feeds {
                out.labelled("feed", &feed.name, feed.failing.into());
            }
        },
    ),
    gauge(
        "maltrail_feed_age_seconds",
        "Seconds since a feed last answered well; absent for one that never did.",
        |s, out| {
            for feed in &s.trails.feeds {
                if let Some(success) = feed.success {
                    out.labelled("feed", &feed.name, secs_between(success, s.time));
                }
            }
        },
    ),
    gauge(
        "maltrail_packet_path_nanoseconds",
        "Mean time that a packet takes, sampled; absent before the first sample.",
        |s, out| {
            if let Some(nanos) = s.nanos_per_packet() {
                out.one(nanos);
            }
        },
    ),
    gauge(
        "maltrail_workers",
        "Workers that were started; the older name.",
        |s, out| {
            out.one(s.setup.workers as u64);
        },
    ),
    counter(
        "maltrail_worker_packets_total",
        "Packets with a usable IP header, by worker.",
        |s, out| {
            for (index, worker) in s.workers.iter().enumerate() {
                let get = |wanted: &str| {
                    let mut counters = worker.counters.iter();
                    counters
                        .find(|(name, _)| *name == wanted)
                        .map_or(0, |(_, value)| value)
                };
                out.labelled("worker", &index.to_string(), processed(get("packets"), get));
            }
        },
    ),
    gauge(
        "maltrail_worker_alive",
        "1 while the worker is in its capture loop.",
        |s, out| {
            for (index, worker) in s.workers.iter().enumerate() {
                out.labelled("worker", &index.to_string(), worker.alive.into());
            }
        },
    ),
    gauge(
        "maltrail_worker_last_heartbeat_seconds",
        "Unix time of the worker's last housekeeping.",
        |s, out| {
            for (index, worker) in s.workers.iter().enumerate() {
                let secs = u64::try_from(worker.heartbeat.secs()).unwrap_or_default();
                out.labelled("worker", &index.to_string(), secs);
            }
        },
    ),
    gauge(
        "maltrail_fault",
        "1 while this fault is seen; docs/troubleshooting.md says what to do.",
        |s, out| {
            for id in crate::pulse::FAULT_IDS {
                let seen = s.faults.iter().any(|fault| fault.id == id);
                out.labelled("id", id, seen.into());
            }
        },
    ),
];

/// Engine counters that are levels: they go down as well.
pub(super) const LEVELS: [&str; 2] = ["heads_waiting", "heads_bytes"];

/// Whether a metric of the table stands for this engine counter.
pub(super) fn is_covered(name: &str) -> bool {
    name == "packets"
        || name == "events"
        || name.starts_with("events_")
        || maltrail_wire::Drop::ALL
            .iter()
            .any(|reason| reason.name() == name)
}

/// What single engine counters mean; one without a row is described by its name.
pub(super) const ENGINE_HELP: &[(&str, &str)] = &[
    ("unobserved", "Packets that show nothing of interest."),
    (
        "repeats",
        "Packets skipped as repetitions of one examined in the same second.",
    ),
    (
        "clean_names",
        "Names not examined because they were found clean before.",
    ),
    (
        "whitelisted",
        "Findings dropped because an endpoint is whitelisted.",
    ),
    (
        "folded",
        "Findings dropped because the other address type of the same name was reported.",
    ),
    (
        "merged",
        "Findings that became further reasons of an event of the same packet.",
    ),
    (
        "clean_name_evictions",
        "Clean names forgotten to make room.",
    ),
    (
        "fold_evictions",
        "Reported questions forgotten to make room, so that a later one may be reported twice.",
    ),
    (
        "probes",
        "TCP segments that only probe a port; they show nothing by themselves.",
    ),
    (
        "scan_evictions",
        "Pairs of hosts, and hosts with a service, forgotten to make room while scans are looked for.",
    ),
    (
        "scan_deferrals",
        "Reports of scans put off to a later packet because too many were due in one second.",
    ),
    (
        "exhaustion_evictions",
        "Domains, and names of domains, forgotten to make room while exhaustion is looked for.",
    ),
    (
        "no_such_domain_evictions",
        "Names and domains that do not exist, forgotten to make room.",
    ),
    (
        "ddos_evictions",
        "Destinations forgotten to make room while floods are looked for.",
    ),
    ("link_evictions", "Link types forgotten to make room."),
    (
        "http_requests_left",
        "HTTP requests left out because too many stood before them in their segment.",
    ),
    (
        "user_agent_evictions",
        "User agents found clean and forgotten to make room.",
    ),
    ("trail_sets", "Trail sets adopted after the first."),
    (
        "answers_known",
        "Findings in answers dropped because they were reported for the same client lately.",
    ),
    (
        "reported_evictions",
        "Reported names forgotten to make room, so that an answer may be reported again.",
    ),
    (
        "answer_targets_lost",
        "CNAME targets not examined because their answer has too many.",
    ),
    (
        "asides",
        "Names said beside what a packet shows: away from port 53, behind a first question, to proxies.",
    ),
    ("hellos", "Packets that show a hello and nothing else."),
    ("tls_names", "Host names read in TLS hellos."),
    ("quic_names", "Host names read in QUIC hellos."),
    ("certificates", "Certificates read."),
    (
        "quic_unread",
        "QUIC packets that look like the first of a client and could not be opened.",
    ),
    (
        "quic_pieces_lost",
        "Pieces of QUIC hellos left out because there were too many.",
    ),
    (
        "quic_flights",
        "QUIC hellos that did not come in one packet.",
    ),
    (
        "quic_flight_evictions",
        "QUIC hellos over several packets forgotten to make room.",
    ),
    (
        "head_segments",
        "TCP segments that are part of a message over several, or repeat part of one.",
    ),
    (
        "head_messages",
        "Messages put together, or parts of them, examined like a packet.",
    ),
    (
        "heads_begun",
        "Heads of streams begun: first segments of messages that go on.",
    ),
    ("heads_completed", "Heads completed."),
    ("heads_evicted", "Heads that made room for others."),
    (
        "heads_too_long",
        "Heads given up because they were too long.",
    ),
    (
        "heads_gaps",
        "Heads given up because a gap in them was not filled.",
    ),
    (
        "heads_expired",
        "Heads given up because they waited too long.",
    ),
    (
        "heads_dropped",
        "Heads that turned out to be no message, or were overtaken by a new connection.",
    ),
    (
        "head_pieces_lost",
        "Segments of heads left out because of too many gaps.",
    ),
    (
        "head_repeats",
        "Segments of messages that were examined already.",
    ),
    ("heads_waiting", "Heads that wait now."),
    ("heads_bytes", "Bytes that waiting heads hold now."),
    (
        "observables_refused",
        "New addresses and names left out of the store, as there were too many.",
    ),
    ("seen_syn", "TCP connections asked for."),
    ("seen_datagram", "UDP datagrams that are no DNS."),
    (
        "seen_contact",
        "Packets of which only the addresses are compared.",
    ),
    ("seen_dns_query", "DNS questions."),
    ("seen_http_request", "HTTP requests."),
    ("seen_http_response", "HTTP responses."),
    ("seen_dns_answer", "DNS answers."),
];
