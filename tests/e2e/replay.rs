//! The sample capture through the sensor.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use maltrail_tests::house::TestHouse;
use maltrail_tests::pcap::{ETHERNET, pcap, pcapng};
use maltrail_tests::programs::Running;
use maltrail_tests::sample::{DAY, Planted, Sample};
use serde_json::Value;

/// The committed capture.
pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/sample.pcap")
}

/// What a day file holds as distinct detections, severities included.
fn detections(house: &TestHouse, day: &str) -> BTreeSet<(String, String, String, String, String)> {
    let text = house.day_file(&format!("{day}.json"));
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("a line of JSON");
            let column = |name: &str| event[name].as_str().expect(name).to_owned();
            (
                column("type"),
                column("trail"),
                column("info"),
                column("reference"),
                column("severity"),
            )
        })
        .collect()
}

fn wanted() -> BTreeSet<(String, String, String, String, String)> {
    let own = |p: Planted| {
        (
            p.kind.to_owned(),
            p.trail,
            p.info.to_owned(),
            p.reference.to_owned(),
            p.severity.to_owned(),
        )
    };
    Sample::build().planted.into_iter().map(own).collect()
}

/// Compares the detections of a day with the planted ones.
#[track_caller]
pub(crate) fn check_detections(house: &TestHouse, day: &str) {
    let (found, wanted) = (detections(house, day), wanted());
    let missing: Vec<_> = wanted.difference(&found).collect();
    let extra: Vec<_> = found.difference(&wanted).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "of {} detections, missing {}: {missing:#?}\nunexpected {}: {extra:#?}",
        wanted.len(),
        missing.len(),
        extra.len()
    );
}

#[test]
fn the_committed_capture_is_what_the_generator_writes() {
    let committed = std::fs::read(corpus()).expect("tests/corpus/sample.pcap");
    assert!(
        committed == Sample::build().pcap(),
        "write it anew: cargo run -p maltrail-tests --bin sample -- tests/corpus/sample.pcap"
    );
}

#[test]
fn the_sample_shows_what_was_planted_and_nothing_else() {
    let house = TestHouse::new();
    let ended = house.replay(&corpus());
    check_detections(&house, DAY);
    let mut by_severity = BTreeMap::<_, usize>::new();
    for (.., severity) in detections(&house, DAY) {
        *by_severity.entry(severity).or_default() += 1;
    }
    assert!(
        by_severity.len() == 3 && by_severity.values().all(|count| *count >= 6),
        "{by_severity:?}"
    );
    let packets = format!("{} packet", Sample::build().frames.len());
    assert!(ended.out.contains(&packets), "{}", ended.out);
}

/// The line file and the JSON file hold the same events in the same order.
#[test]
fn both_day_files_tell_the_same() {
    let house = TestHouse::new();
    let _ = house.replay(&corpus());
    let lines = house.day_file(&format!("{DAY}.log"));
    let objects = house.day_file(&format!("{DAY}.json"));
    assert_eq!(lines.lines().count(), objects.lines().count());
    for (line, object) in lines.lines().zip(objects.lines()) {
        let object: Value = serde_json::from_str(object).unwrap();
        // "2026-11-23 09:14:04.200000" and 2026-11-23T09:14:04.200000Z
        let time = line[1..27].replace(' ', "T") + "Z";
        assert_eq!(object["time"], time.as_str(), "{line}");
        let source = object["src_ip"][0].as_str().unwrap();
        assert_eq!(line.split(' ').nth(3), Some(source), "{line}");
        assert_eq!(object["sensor"], "office");
    }
}

#[test]
fn every_replay_writes_the_same_bytes() {
    let files = [(); 2].map(|()| {
        let house = TestHouse::new();
        let _ = house.replay(&corpus());
        ["log", "json"].map(|kind| house.day_file(&format!("{DAY}.{kind}")))
    });
    assert!(!files[0][0].is_empty());
    assert_eq!(files[0], files[1]);
}

#[test]
fn standard_input_and_pcapng_give_the_same_file() {
    let name = format!("{DAY}.log");
    let plain = TestHouse::new();
    let _ = plain.replay(&corpus());
    let wanted = plain.day_file(&name);
    assert!(!wanted.is_empty());

    let piped = TestHouse::new();
    let mut command = piped.sensor_command(&["-r", "-"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start("the sensor", command);
    let mut input = running.stdin().unwrap();
    input.write_all(&std::fs::read(corpus()).unwrap()).unwrap();
    drop(input);
    let _ = running.wait().expect_success();
    assert_eq!(piped.day_file(&name), wanted, "from standard input");

    let newer = TestHouse::new();
    let capture = newer.write("sample.pcapng", Sample::build().pcapng());
    let _ = newer.replay(&capture);
    assert_eq!(newer.day_file(&name), wanted, "from pcapng");
}

/// A capture in two files is one capture.
#[test]
fn files_are_read_in_order_with_one_state() {
    let name = format!("{DAY}.log");
    let whole = TestHouse::new();
    let _ = whole.replay(&corpus());
    let house = TestHouse::new();
    let frames = Sample::build().frames;
    let (first, second) = frames.split_at(frames.len() / 3);
    house.write("1.pcap", pcap(ETHERNET, first));
    house.write("2.pcapng", pcapng(ETHERNET, second));
    let _ = house
        .run_sensor(&["-q", "-r", "1.pcap,2.pcapng"])
        .expect_success();
    assert_eq!(house.day_file(&name), whole.day_file(&name));
}

/// `sensor update` writes the lists that are otherwise used from inside the program: the same events.
#[test]
fn a_built_trails_file_finds_the_same() {
    let house = TestHouse::new();
    let mut command = maltrail_tests::programs::sensor();
    command
        .args(["update", "--offline", "-c"])
        .arg(house.config());
    let ended = Running::start("the sensor", command)
        .wait()
        .expect_success();
    assert_eq!(
        ended.out.lines().count(),
        1,
        "one line for cron: {ended:#?}"
    );
    let rows = std::fs::read_to_string(house.path("trails.csv")).expect("TRAILS_FILE");
    assert!(rows.lines().count() > 100, "{rows}");
    let ended = house.replay(&corpus());
    assert!(!ended.err.contains("built-in"), "{ended:#?}");
    check_detections(&house, DAY);
}

/// `-c FILE` stands where it stands for everything else, too.
#[test]
fn update_takes_its_configuration_in_front() {
    let house = TestHouse::new();
    let _ = house.run_sensor(&["update", "--offline"]).expect_success();
    assert!(house.path("trails.csv").is_file());
}

/// A filter of the command line leaves packets out; the rest is judged as before.
#[test]
fn a_filter_admits_only_its_packets() {
    let house = TestHouse::new();
    let path = corpus();
    let path = path.to_str().unwrap();
    let _ = house
        .run_sensor(&["-r", path, "--filter", "icmp"])
        .expect_success();
    let found: BTreeSet<_> = detections(&house, DAY).into_iter().map(|d| d.1).collect();
    let wanted = ["192.0.2.30", "198.51.100.201"].map(str::to_owned);
    assert_eq!(
        found,
        BTreeSet::from(wanted),
        "camera 4 pings inside a VLAN"
    );
}

/// The clock's time instead of the capture's: the events are of today.
#[test]
fn wall_clock_times_put_events_into_today() {
    let house = TestHouse::new();
    let path = corpus();
    let arguments = ["-r", path.to_str().unwrap(), "--timestamps", "wallclock"];
    let before = maltrail_tests::events::today();
    let _ = house.run_sensor(&arguments).expect_success();
    let text = house.day_file(&format!("{before}.log"))
        + &house.day_file(&format!("{}.log", maltrail_tests::events::today()));
    assert!(text.contains("198.51.100.23:8443"), "{text}");
    assert_eq!(house.day_file(&format!("{DAY}.log")), "");
}
