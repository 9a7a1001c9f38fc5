//! One, two and four workers find the same.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::http::Client;
use maltrail_tests::mix::mix;
use maltrail_tests::network::{Net, play};
use maltrail_tests::pcap::{ETHERNET, pcap};
use maltrail_tests::programs::{PATIENCE, Running};
use maltrail_tests::sample::DAY;
use serde_json::Value;

/// Numbers of workers that are compared.
const WORKERS: [&str; 3] = ["1", "2", "4"];
/// Frames a second over the cable.
const PACE: usize = 5000;
/// Infos of events that are joined until the next flush, whose time is the program's.
const CONDENSED: [&str; 7] = [
    "attacker",
    "reputation",
    "scanner",
    "user agent",
    "tor exit",
    "port scanning",
    "potential infection",
];

/// Captures that are replayed: the committed ones and the mix.
fn captures(house: &TestHouse) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "pcap"))
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    files.push(house.write("mix.pcap", pcap(ETHERNET, &mix())));
    files
}

/// Every day file of a replay.
fn replayed(capture: &Path, workers: &str, mode: &str) -> BTreeMap<String, String> {
    let mut house = TestHouse::new();
    // What segments.pcap is about; it replaces the shipped lists, which the other captures need.
    if capture.ends_with("segments.pcap") {
        let row = "segments.maltrail.example,demo (malware),(custom)\n";
        house.write("trails.csv", row);
    }
    house.set("CAPTURE_WORKERS", workers);
    house.set("EVENT_THROTTLE_MODE", mode);
    let _ = house.replay(capture);
    let entries = fs::read_dir(house.log_dir()).expect("LOG_DIR");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("20"))
        .map(|name| (name.clone(), house.day_file(&name)))
        .collect()
}

/// The same bytes from every capture, whatever the number of workers.
#[test]
fn a_replay_by_several_workers_writes_the_same_bytes() {
    let house = TestHouse::new();
    for capture in captures(&house) {
        for mode in ["off", "summarize"] {
            let [one, two, four] = WORKERS.map(|workers| replayed(&capture, workers, mode));
            let name = capture.display();
            assert!(
                one.len() >= 2 && one.values().all(|text| !text.is_empty()),
                "{name}"
            );
            assert!(one == two, "{name}: two workers, {mode}");
            assert!(one == four, "{name}: four workers, {mode}");
        }
    }
}

/// What the mix is for is in it.
#[test]
fn the_mix_has_floods_sweeps_and_unknown_names() {
    let house = TestHouse::new();
    let capture = house.write("mix.pcap", pcap(ETHERNET, &mix()));
    let _ = house.replay(&capture);
    let text = house.day_file(&format!("{DAY}.log"));
    for wanted in [
        "potential syn flood ddos (suspicious)",
        "potential infection",
        "potential port scanning",
        "excessive no such domain (suspicious)",
        "(one-way-20).hopto.org",
        "(one-way-30).hopto.org",
    ] {
        assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
    }
}

/// A sensor with some workers on the cable.
struct Station {
    house: TestHouse,
    sensor: Running,
    metrics: SocketAddr,
}

impl Station {
    fn start(workers: &str) -> Self {
        let mut house = TestHouse::new();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let metrics = free.expect("a free port of the namespace");
        house
            .set("MONITOR_INTERFACE", "in0")
            .set("CAPTURE_WORKERS", workers)
            .set("CAPTURE_BUFFER_SIZE", "64MB")
            .set("EVENT_THROTTLE_MODE", "off")
            .set("STATS_ADDRESS", &metrics.to_string());
        let mut sensor = house.start_sensor(&[]);
        sensor.wait_until_said("running...");
        sensor.wait_until_said(&format!("workers: {workers}"));
        Self {
            house,
            sensor,
            metrics,
        }
    }

    /// Packets of each worker, by its metrics.
    fn packets(&self) -> Vec<u64> {
        let answer = Client::new(self.metrics).get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        let of_worker = |line: &str| {
            let rest = line.strip_prefix("maltrail_worker_packets_total{worker=\"")?;
            rest.split_once(' ')?.1.parse().ok()
        };
        answer.body.lines().filter_map(of_worker).collect()
    }
}

/// An event without its time. Figures of a flood that is over depend on times.
type Columns = Vec<String>;

/// Events as they are, and condensed ones with all that was joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    single: BTreeMap<Columns, u64>,
    condensed: BTreeMap<Columns, (u64, BTreeMap<&'static str, Vec<String>>)>,
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

fn found(day_file: &str) -> Found {
    const OF_PACKETS: [&str; 4] = ["src_port", "dst_ip", "dst_port", "proto"];
    const OF_GROUP: [&str; 7] = [
        "sensor",
        "src_ip",
        "type",
        "trail",
        "info",
        "reference",
        "severity",
    ];
    let mut found = Found::default();
    for line in day_file.lines() {
        let event: Value = serde_json::from_str(line).expect("a line of JSON");
        let columns = |names: &[&str]| -> Columns {
            names
                .iter()
                .map(|name| texts(&event[*name]).join(","))
                .collect()
        };
        let info = event["info"].as_str().expect("an info");
        let count = event["count"].as_u64().expect("a count");
        let mut group = columns(&OF_GROUP);
        if CONDENSED.iter().any(|word| info.contains(word)) {
            let (sum, joined) = found.condensed.entry(group).or_default();
            *sum += count;
            for name in OF_PACKETS {
                let values = joined.entry(name).or_default();
                values.extend(texts(&event[name]));
                values.sort();
                values.dedup();
            }
            continue;
        }
        if info.contains(" ended: ") {
            let letters = |text: &mut String| text.retain(|letter| !letter.is_ascii_digit());
            group.iter_mut().for_each(letters);
        }
        group.extend(columns(&OF_PACKETS));
        *found.single.entry(group).or_default() += count;
    }
    found
}

/// Three sensors on one cable, over which the mix is played.
#[test]
fn several_workers_on_a_cable_find_what_one_finds() {
    const TEST: &str = "several_workers_on_a_cable_find_what_one_finds";
    let Some(net) = Net::new(TEST) else {
        return;
    };
    net.cable();
    net.inside(|| {
        let stations = WORKERS.map(Station::start);
        let frames = mix();
        let bytes = frames.iter().map(|frame| frame.bytes.as_slice());
        let sent = play("out0", bytes, PACE).expect("a cable") as u64;
        let mut packets = Vec::new();
        let mut stations = stations;
        for station in &mut stations {
            packets.push(settled(station, sent));
        }
        // Scans are reported when their second is over.
        std::thread::sleep(Duration::from_millis(2500));
        let results = stations.map(|station| {
            let packets = packets.remove(0);
            let ended = station.sensor.stop().expect_success();
            assert!(!ended.err.contains("dropped"), "{ended:#?}");
            let text = station.house.day_file(&format!("{}.json", today()));
            (packets, found(&text))
        });
        let [(alone, wanted), others @ ..] = results;
        assert_eq!(alone, [sent]);
        assert!(wanted.single.len() > 40, "{wanted:#?}");
        for (packets, found) in others {
            assert!(packets.iter().all(|&packets| packets > 0), "{packets:?}");
            check_same(&wanted, &found, packets.len());
        }
    });
}

/// Packets of the workers, when all have come.
fn settled(station: &mut Station, sent: u64) -> Vec<u64> {
    let started = Instant::now();
    loop {
        let packets = station.packets();
        let sum: u64 = packets.iter().sum();
        if sum == sent {
            return packets;
        }
        assert!(
            station.sensor.runs() && sum < sent && started.elapsed() < PATIENCE,
            "{packets:?} of {sent}:\n{}",
            station.sensor.said()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn check_same(wanted: &Found, found: &Found, workers: usize) {
    let differs = |one: &Found, other: &Found| {
        let single = one
            .single
            .iter()
            .filter(|(key, count)| other.single.get(*key) != Some(count));
        let condensed = one
            .condensed
            .iter()
            .filter(|(key, group)| other.condensed.get(*key) != Some(group));
        let single = single.map(|entry| format!("{entry:?}"));
        single
            .chain(condensed.map(|entry| format!("{entry:?}")))
            .collect::<Vec<_>>()
    };
    let (missing, extra) = (differs(wanted, found), differs(found, wanted));
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{workers} workers: only one worker has {missing:#?}\nonly they have {extra:#?}"
    );
}
