//! What must not be lost while something changes: trails are swapped, log files are moved away.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::network::{Net, play};
use maltrail_tests::packet::{self, Host, Qtype};
use maltrail_tests::programs::{PATIENCE, Running};
use maltrail_tests::report;
use rustix::process::Signal;

/// A name of both sets.
const LISTED: &str = "always.steady-set.net";
/// Pause between two lookups.
const PAUSE: Duration = Duration::from_millis(4);
const ONE: &str =
    "always.steady-set.net,demo (malware),(custom)\none.steady-set.net,demo (malware),(custom)\n";
const OTHER: &str = "always.steady-set.net,demo (malware),(custom)\nother.steady-set.net,demo (malware),(custom)\nmore.steady-set.net,demo (malware),(custom)\n";

/// A lookup of the listed name by one of many hosts; no two are equal.
fn lookup(number: u64) -> Vec<u8> {
    let client = Host::local(&format!("10.20.{}.{}", number % 7, number % 250 + 1));
    let port = 1024 + (number % 60_000) as u16;
    let resolver = Host::remote("203.0.113.53").port(53);
    packet::dns_query(client.port(port), resolver, LISTED, Qtype::A)
}

fn house(workers: &str) -> TestHouse {
    let mut house = TestHouse::new();
    house
        .set("MONITOR_INTERFACE", "in0")
        .set("CAPTURE_WORKERS", workers)
        .set("CAPTURE_BUFFER_SIZE", "32MB")
        .set("EVENT_THROTTLE_MODE", "off")
        .set("LOG_FORMAT", "both");
    house.write("trails.csv", ONE);
    house
}

/// Lines of today's file about the name.
fn events(house: &TestHouse) -> usize {
    let text = house.day_file(&format!("{}.log", today()));
    text.lines().filter(|line| line.contains(LISTED)).count()
}

/// Swaps the sets so often, each time as soon as the sensor has taken the last one.
fn swap(house: &TestHouse, sensor: &mut Running, times: usize) {
    let text = |time: usize| if time.is_multiple_of(2) { OTHER } else { ONE };
    for time in 0..times {
        let aside = house.write("trails.new", text(time));
        fs::rename(aside, house.path("trails.csv")).expect("rename");
        sensor.signal(Signal::HUP);
        let asked = Instant::now();
        while sensor.said().matches("reloaded: ").count() <= time {
            assert!(
                sensor.runs() && asked.elapsed() < PATIENCE,
                "reload {time}:\n{}",
                sensor.said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// While sets are swapped, each lookup of a name that is in both is an event.
fn no_match_is_missed(test: &str, workers: &str, times: usize) {
    let Some(net) = Net::new(test) else {
        return;
    };
    net.cable();
    let house = house(workers);
    let mut sensor = net.inside(|| house.start_sensor(&[]));
    sensor.wait_until_said("running...");
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let sent = std::thread::scope(|scope| {
        let player = scope.spawn(|| {
            let lookups = (0..).map_while(|number| {
                std::thread::sleep(PAUSE);
                (!done.load(Ordering::Relaxed)).then(|| lookup(number))
            });
            net.inside(|| play("out0", lookups, 0)).expect("a cable")
        });
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            swap(&house, &mut sensor, times);
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = swapped {
            std::panic::resume_unwind(panic);
        }
        player.join().expect("it plays to the end")
    });
    let elapsed = started.elapsed();
    let waited = Instant::now();
    while events(&house) < sent && waited.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = sensor.stop().expect_success();
    for word in ["dropped", "stay"] {
        assert!(!ended.err.contains(word), "{ended:#?}");
    }
    assert!(sent > times, "{sent} lookups during {times} reloads");
    assert_eq!(
        events(&house),
        sent,
        "{workers} workers: events of {sent} lookups"
    );
    report::tell(&format!(
        "{test}: {times} reloads in {:.1} s, {sent} lookups, {sent} events",
        elapsed.as_secs_f64()
    ));
}

#[test]
fn a_hundred_reloads_miss_no_match() {
    no_match_is_missed("a_hundred_reloads_miss_no_match", "1", 100);
}

#[test]
fn a_hundred_reloads_of_two_workers_miss_no_match() {
    no_match_is_missed("a_hundred_reloads_of_two_workers_miss_no_match", "2", 100);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_reloads_miss_no_match() {
    for workers in ["1", "2"] {
        no_match_is_missed("a_thousand_reloads_miss_no_match", workers, 1000);
    }
}

/// Files that are moved away, as logrotate does, are made anew, for the group to read whatever the
/// umask.
#[test]
fn moved_day_files_are_made_anew_while_it_runs() {
    const TEST: &str = "moved_day_files_are_made_anew_while_it_runs";
    let Some(net) = Net::new(TEST) else {
        return;
    };
    net.cable();
    let house = house("1");
    fs::create_dir(house.log_dir()).expect("a folder of ours");
    let plain = house.sensor_command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.env("TZ", "UTC").current_dir(house.path(""));
    // The sensor becomes nobody.
    house.open_door();
    let mut sensor = net.inside(|| Running::start("the sensor", command));
    sensor.wait_until_said("running...");
    let files = ["log", "json"].map(|kind| house.log_dir().join(format!("{}.{kind}", today())));
    for turn in 0..3_usize {
        let frame = lookup(turn as u64);
        net.inside(|| play("out0", [frame.as_slice()], 0))
            .expect("a cable");
        for file in &files {
            let started = Instant::now();
            let lines = || fs::read_to_string(file).unwrap_or_default().lines().count();
            while lines() == 0 {
                assert!(
                    sensor.runs() && started.elapsed() < PATIENCE,
                    "turn {turn}:\n{}",
                    sensor.said()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(lines(), 1, "{} in turn {turn}", file.display());
            let mode = fs::metadata(file).expect("there").mode() & 0o777;
            assert_eq!(mode & 0o640, 0o640, "{mode:o}");
            assert_eq!(mode & 0o022, 0, "{mode:o}");
        }
        for file in &files {
            let moved = file.with_extension(format!("moved.{turn}"));
            let kind = file.extension().expect("one").to_owned();
            let mut aside = moved.into_os_string();
            aside.push(kind);
            fs::rename(file, aside).expect("rename");
        }
    }
    let _ = sensor.stop().expect_success();
}

/// An interface that is gone and comes back is captured again, by every worker and without root.
#[test]
fn an_interface_that_comes_back_is_captured_again() {
    for workers in ["1", "3"] {
        let Some(net) = Net::new("an_interface_that_comes_back_is_captured_again") else {
            return;
        };
        net.cable();
        let house = house(workers);
        house.open_door();
        let mut sensor = net.inside(|| house.start_sensor(&[]));
        sensor.wait_until_said("running...");
        let ask = |numbers: std::ops::Range<u64>| {
            let frames: Vec<Vec<u8>> = numbers.map(lookup).collect();
            net.inside(|| play("out0", &frames, 0)).expect("a cable");
        };
        let wait = |sensor: &mut Running, wanted: &dyn Fn(&Running) -> bool| {
            let started = Instant::now();
            while !wanted(sensor) {
                assert!(
                    sensor.runs() && started.elapsed() < PATIENCE,
                    "{workers} workers:\n{}",
                    sensor.said()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        ask(0..20);
        wait(&mut sensor, &|_| events(&house) == 20);
        net.ip("link del in0");
        net.cable();
        let all: usize = workers.parse().expect("a number");
        wait(&mut sensor, &|sensor| {
            sensor.said().matches("capturing on `in0` again").count() == all
        });
        ask(20..60);
        wait(&mut sensor, &|_| events(&house) == 60);
        let _ = sensor.stop().expect_success();
    }
}
