//! Signals: a stop is clean, says what was done, and loses nothing.

use std::time::{Duration, Instant};

use maltrail_tests::house::TestHouse;
use maltrail_tests::sample::DAY;
use rustix::process::Signal;

use crate::replay::corpus;

/// The longest that a stop may take, with room for a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// The beacon of the stealer, six seconds after the start and every 27 seconds from then on.
const BEAT: &str = "IPORT 198.51.100.23:8443";

fn stopped_by(signal: Signal) {
    let house = TestHouse::new();
    let path = corpus().display().to_string();
    let mut sensor = house.start_sensor(&["-r", &path, "--speed", "4"]);
    let started = Instant::now();
    while !house.day_file(&format!("{DAY}.log")).contains(BEAT) {
        assert!(
            sensor.runs() && started.elapsed() < Duration::from_secs(30),
            "{}",
            sensor.said()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    sensor.signal(signal);
    let asked = Instant::now();
    let ended = sensor.wait().expect_success();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let lines = house.day_file(&format!("{DAY}.log"));
    // The next beat comes 27 seconds of the story later: that far the replay did not get.
    assert_eq!(lines.matches(BEAT).count(), 1, "{lines}");
    assert!(lines.ends_with('\n'), "a whole last line");
    let count = format!("{} events", lines.lines().count());
    assert!(ended.out.contains(&count), "no `{count}` in {}", ended.out);
    assert!(ended.out.contains("ending @"), "{}", ended.out);
}

#[test]
fn sigterm_during_a_paced_replay_ends_it_with_a_summary() {
    stopped_by(Signal::TERM);
}

#[test]
fn sigint_does_the_same() {
    stopped_by(Signal::INT);
}

#[test]
fn a_server_stops_soon_and_well() {
    let mut house = TestHouse::new();
    house.start_server(&[]);
    let asked = Instant::now();
    let _ = house.stop_server().expect_success();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}
