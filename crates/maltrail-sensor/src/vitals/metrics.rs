//! The numbers in the text format of Prometheus, version 0.0.4.
//!
//! Invariants: each metric has one HELP and one TYPE line, in front of its samples; a metric without
//! a sample is left out whole; label values are escaped.

use std::fmt::Write as _;

use super::Snapshot;
use super::names::{ENGINE_HELP, Kind, LEVELS, METRICS, is_covered};

/// Content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Takes the samples of one metric.
pub(super) struct Samples<'a> {
    out: &'a mut String,
    head: Option<(&'a str, Kind, &'a str)>,
    name: &'a str,
}

impl<'a> Samples<'a> {
    fn new(out: &'a mut String, name: &'a str, kind: Kind, help: &'a str) -> Self {
        Self {
            out,
            head: Some((name, kind, help)),
            name,
        }
    }

    fn head(&mut self) {
        if let Some((name, kind, help)) = self.head.take() {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(self.out, "# HELP {name} {help}");
            let _ = writeln!(self.out, "# TYPE {name} {}", kind.word());
        }
    }

    /// The sample without a label.
    pub(super) fn one(&mut self, value: u64) {
        self.head();
        let _ = writeln!(self.out, "{} {value}", self.name);
    }

    /// A sample with one label.
    pub(super) fn labelled(&mut self, label: &str, text: &str, value: u64) {
        self.head();
        let _ = writeln!(
            self.out,
            "{}{{{label}=\"{}\"}} {value}",
            self.name,
            escaped(text)
        );
    }
}

/// The text of everything.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for metric in METRICS {
        let mut samples = Samples::new(&mut out, metric.name, metric.kind, metric.help);
        (metric.samples)(snapshot, &mut samples);
    }
    for (counter, value) in snapshot.engine.iter().filter(|(name, _)| !is_covered(name)) {
        let (name, kind) = engine_metric(counter);
        let help = engine_help(counter);
        Samples::new(&mut out, &name, kind, &help).one(value);
    }
    out
}

/// Name and kind of the metric of an engine counter.
fn engine_metric(counter: &str) -> (String, Kind) {
    if LEVELS.contains(&counter) {
        (format!("maltrail_engine_{counter}"), Kind::Gauge)
    } else {
        (format!("maltrail_engine_{counter}_total"), Kind::Counter)
    }
}

fn engine_help(counter: &str) -> String {
    let known = ENGINE_HELP.iter().find(|(name, _)| *name == counter);
    known.map_or_else(
        || format!("Engine: {}.", counter.replace('_', " ")),
        |(_, help)| (*help).to_owned(),
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use maltrail_engine::Counters;

    use super::super::tests::healthy;
    use super::*;
    use crate::vitals::{EndpointVitals, FeedVitals, Setup, Vitals};

    /// Names and types that scrapers of older sensors rely on.
    const FACTS: &str = "maltrail_up gauge
maltrail_workers_alive gauge
maltrail_workers_total gauge
maltrail_build_info{version} gauge
maltrail_uptime_seconds gauge
maltrail_packets_received_total counter
maltrail_packets_processed_total counter
maltrail_packets_ignored_total counter
maltrail_packets_malformed_total counter
maltrail_packets_truncated_total counter
maltrail_packets_fragments_total counter
maltrail_capture_dropped_total counter
maltrail_capture_ifdropped_total counter
maltrail_events_total counter
maltrail_events_written_total counter
maltrail_remote_log_errors_total counter
maltrail_local_log_errors_total counter
maltrail_events_throttled_total counter
maltrail_events_summarized_total counter
maltrail_log_dir_free_bytes gauge
maltrail_throttle_evictions_total counter
maltrail_state_saturations_total counter
maltrail_meta_observables_total counter
maltrail_meta_flush_errors_total counter
maltrail_trail_lookups_total counter
maltrail_cache_hits_total counter
maltrail_cache_misses_total counter
maltrail_panics_recovered_total counter
maltrail_trails gauge
maltrail_trail_generation gauge
maltrail_trail_reloads_total counter
maltrail_trail_reloads_failed_total counter
maltrail_trail_reloads_rejected_total counter
maltrail_packet_path_nanoseconds gauge
maltrail_workers gauge
maltrail_worker_packets_total{worker} counter
maltrail_worker_alive{worker} gauge
maltrail_worker_last_heartbeat_seconds{worker} gauge";

    /// A reader of the format that refuses what the format forbids. Metric → (type, samples).
    fn parse(text: &str) -> BTreeMap<String, (String, BTreeMap<String, String>)> {
        let legal = |name: &str| {
            let mut letters = name.chars();
            letters
                .next()
                .is_some_and(|letter| letter.is_ascii_alphabetic())
                && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        let mut metrics: BTreeMap<String, (String, BTreeMap<String, String>)> = BTreeMap::new();
        let mut helped = String::new();
        let mut present = String::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(legal(name) && help.len() > 5, "{line}");
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, helped, "HELP stands before TYPE");
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                let new = metrics.insert(name.to_owned(), (kind.to_owned(), BTreeMap::new()));
                assert!(new.is_none(), "{name} is typed twice");
                present = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                assert_eq!(name, present, "a sample stands below its own type");
                assert!(value.parse::<u64>().is_ok(), "{line}");
                if !labels.is_empty() {
                    let labels = labels.strip_suffix("\"}").expect("a closed label");
                    let (label, text) = labels.split_once("=\"").expect("a label value");
                    assert!(legal(label), "{line}");
                    let unescaped = text
                        .replace("\\\\", "")
                        .replace("\\\"", "")
                        .replace("\\n", "");
                    assert!(!unescaped.contains(['"', '\\']), "{line}");
                }
                let samples = &mut metrics.get_mut(name).expect("typed").1;
                assert!(
                    samples
                        .insert(series.to_owned(), value.to_owned())
                        .is_none(),
                    "{line} is there twice"
                );
            }
        }
        metrics
    }

    /// A snapshot in which every metric has a sample.
    fn full() -> Snapshot {
        let mut snapshot = healthy(3600);
        snapshot.log_free_bytes = Some(5_000_000_000);
        snapshot.trails.feeds = vec![FeedVitals {
            name: "a \"feed\"".to_owned(),
            entries: 12,
            success: Some(snapshot.setup.started),
            failing: true,
        }];
        snapshot.sinks.endpoints = vec![EndpointVitals {
            name: "log.example:8337".to_owned(),
            sent: 7,
            lost: 2,
        }];
        snapshot
    }

    #[test]
    fn every_name_of_older_sensors_is_there_with_its_type() {
        let metrics = parse(&text(&full()));
        for fact in FACTS.lines() {
            let (name, kind) = fact.split_once(' ').expect("two columns");
            let (name, label) = name.split_once('{').unwrap_or((name, ""));
            let (found, samples) = metrics
                .get(name)
                .unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(found, kind, "{name}");
            assert!(!samples.is_empty(), "{name} has no sample");
            let label = label.trim_end_matches('}');
            for series in samples.keys() {
                assert_eq!(
                    series.contains(&format!("{{{label}=\"")),
                    !label.is_empty(),
                    "{series}"
                );
            }
        }
        assert_eq!(FACTS.lines().count(), 38);
    }

    #[test]
    fn numbers_arrive_under_their_name() {
        let mut snapshot = full();
        let counters = Counters {
            packets: 100,
            drops: std::array::from_fn(|index| u64::from(index == 1 || index == 15)),
            clean_names: 4,
            heads_bytes: 9,
            observations: [5, 6, 7, 8, 0, 0, 0],
            ..Counters::default()
        };
        snapshot.engine = Default::default();
        snapshot.engine.add(&counters);
        let text = text(&snapshot);
        for line in [
            "maltrail_up 1",
            "maltrail_packets_processed_total 99",
            "maltrail_packets_ignored_total 1",
            "maltrail_packets_fragments_total 1",
            "maltrail_dropped_total{reason=\"link_arp\"} 1",
            "maltrail_findings_total{detector=\"port_scanning\"} 4",
            "maltrail_remote_log_errors_total 2",
            "maltrail_trail_lookups_total 26",
            "maltrail_cache_hits_total 4",
            "maltrail_cache_misses_total 4",
            "maltrail_engine_heads_bytes 9",
            "maltrail_engine_clean_names_total 4",
            "maltrail_events_by_type_total{type=\"dns\"} 0",
            "maltrail_worker_alive{worker=\"1\"} 1",
            "maltrail_worker_last_heartbeat_seconds{worker=\"0\"} 1790003600",
            "maltrail_log_dir_free_bytes 5000000000",
            "maltrail_packet_path_nanoseconds 500",
            "maltrail_fault{id=\"no-packets\"} 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_absent_rather_than_zero() {
        let vitals = Vitals::new(Setup::default());
        let text = text(&vitals.snapshot(maltrail_core::time::Timestamp::default()));
        let metrics = parse(&text);
        for name in [
            "maltrail_log_dir_free_bytes",
            "maltrail_packet_path_nanoseconds",
            "maltrail_trail_age_seconds",
            "maltrail_findings_total",
        ] {
            assert!(!metrics.contains_key(name), "{name}");
        }
        assert_eq!(metrics["maltrail_up"].1["maltrail_up"], "0");
    }

    #[test]
    fn hostile_label_values_stay_inside_their_quotes() {
        let mut snapshot = full();
        snapshot.sinks.endpoints[0].name = "a\"} 1\nmaltrail_up 0\\".to_owned();
        let text = text(&snapshot);
        assert!(
            text.contains("{endpoint=\"a\\\"} 1\\nmaltrail_up 0\\\\\"} 7"),
            "{text}"
        );
        parse(&text);
    }

    /// docs/metrics.md has one row for each metric, and none for others.
    #[test]
    fn the_documentation_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let docs = std::fs::read_to_string(path).expect("docs/metrics.md");
        let listed: BTreeSet<String> = docs
            .lines()
            .filter(|line| line.starts_with("| `maltrail_"))
            .map(str::to_owned)
            .collect();
        let table = METRICS
            .iter()
            .map(|metric| (metric.name.to_owned(), metric.kind, metric.help.to_owned()));
        let counters = Counters::default();
        let engine = counters
            .iter()
            .filter(|(name, _)| !is_covered(name))
            .map(|(name, _)| {
                let (metric, kind) = engine_metric(name);
                (metric, kind, engine_help(name))
            });
        let wanted: BTreeSet<String> = table
            .chain(engine)
            .map(|(name, kind, help)| format!("| `{name}` | {} | {help} |", kind.word()))
            .collect();
        let missing: Vec<&String> = wanted.difference(&listed).collect();
        let surplus: Vec<&String> = listed.difference(&wanted).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "docs/metrics.md lacks:\n{missing:#?}\nand has too much:\n{surplus:#?}"
        );
    }
}
