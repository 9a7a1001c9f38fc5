//! Updates: killed at any moment, and made by a sensor that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::packet::{Host, Qtype, dns_query};
use maltrail_tests::pcap::{ETHERNET, Frame, pcap};
use maltrail_tests::programs::Running;
use maltrail_tests::{payload, report};
use rustix::process::Signal;

use crate::live::may_capture;

/// Rows of a set: enough for an image of its own.
const ROWS: usize = 40_000;

/// A source of lists in two versions, and the sets that they give.
struct Workshop {
    house: TestHouse,
    sets: [Vec<u8>; 2],
    capture: PathBuf,
}

impl Workshop {
    fn new() -> Self {
        let house = TestHouse::new();
        fs::create_dir_all(house.path("src/trails/static/malware")).expect("folders");
        // A question for the first name of each version: which one the sensor has.
        let frames: Vec<Frame> = (0..2)
            .map(|version| Frame {
                micros: 1_700_000_000_000_000 + version as u64,
                bytes: dns_query(
                    Host::local("10.0.0.5").port(45_353),
                    Host::local("10.0.0.1").port(53),
                    &name(version, 0),
                    Qtype::A,
                ),
            })
            .collect();
        let capture = house.write("both.pcap", pcap(ETHERNET, &frames));
        let mut workshop = Self {
            house,
            sets: [Vec::new(), Vec::new()],
            capture,
        };
        for version in [0, 1] {
            workshop.choose(version);
            let _ = workshop.update().wait().expect_success();
            workshop.sets[version] = fs::read(workshop.house.path("trails.csv")).expect("a set");
        }
        assert_ne!(workshop.sets[0], workshop.sets[1]);
        workshop
    }

    /// What the source holds from now on.
    fn choose(&self, version: usize) {
        let text: String = (0..ROWS).map(|row| name(version, row) + "\n").collect();
        self.house.write("src/trails/static/malware/zeus.txt", text);
    }

    fn update(&self) -> Running {
        let source = self.house.path("src");
        let source = source.to_str().expect("a path of UTF-8");
        self.house
            .start_sensor(&["update", "--offline", "--from", source])
    }

    /// Files that an update is at: written and not yet in their place.
    fn unfinished(&self) -> bool {
        ["", "data", "feeds"].iter().any(|folder| {
            let files = fs::read_dir(self.house.path(folder)).into_iter().flatten();
            files.flatten().any(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                name.starts_with(".trails-") && name.ends_with(".new")
            })
        })
    }

    /// The published set is a whole one, and the sensor detects by it.
    #[track_caller]
    fn check(&self, moment: &str) {
        let set = fs::read(self.house.path("trails.csv")).expect("a set");
        let version = self.sets.iter().position(|known| *known == set);
        let version = version.unwrap_or_else(|| panic!("half a set after a kill {moment}"));
        let logs = self.house.log_dir();
        let _ = fs::remove_dir_all(&logs);
        let _ = self.house.replay(&self.capture);
        let log = self.house.day_file("2023-11-14.log");
        let found = [0, 1].map(|version| log.contains(&name(version, 0)));
        assert_eq!(
            found,
            [version == 0, version == 1],
            "after a kill {moment}: the set is version {version}, the log {log}"
        );
    }

    /// Kills at `moments` moments, and on until half as many have come inside a write: how long a write takes is
    /// the machine's affair.
    fn kill(&self, moments: usize) {
        let (mut inside, mut round) = (0, 0);
        let mut seed = 12_345_u64;
        while round < moments || (inside * 2 < moments && round < moments * 4) {
            self.choose(round % 2);
            let mut update = self.update();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let spread = Duration::from_micros((seed >> 33) % 24_000);
            let started = Instant::now();
            if round % 5 == 0 {
                // Anywhere, also before and behind all writing.
                std::thread::sleep(spread * 80);
            } else {
                while update.runs() && !self.unfinished() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                std::thread::sleep(spread);
            }
            let moment = format!("{:?} after its start", started.elapsed());
            update.kill();
            // What is left behind tells that the kill came between the first byte and the rename.
            inside += usize::from(self.unfinished());
            self.check(&moment);
            round += 1;
        }
        assert!(
            inside * 2 >= moments,
            "only {inside} of {round} kills came inside a write"
        );
        // Nothing has to be mended by hand.
        self.choose(0);
        let _ = self.update().wait().expect_success();
        self.check("and an update");
        assert!(!self.unfinished());
    }
}

fn name(version: usize, row: usize) -> String {
    let side = ["left", "right"][version];
    format!("host-{row}.{side}-of-the-killed-update.net")
}

#[test]
fn a_killed_update_leaves_a_whole_set() {
    Workshop::new().kill(8);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_killed_updates_leave_a_whole_set() {
    Workshop::new().kill(200);
}

/// Whoever edits an own list sees it in force soon.
#[test]
fn a_running_sensor_takes_a_changed_list_of_the_user() {
    const TEST: &str = "a_running_sensor_takes_a_changed_list_of_the_user";
    if !may_capture() {
        report::skipped(TEST, "no right to capture packets");
        return;
    }
    let mut house = TestHouse::new();
    let own = house.path("own");
    house.open_door();
    fs::create_dir(&own).expect("folder");
    house.set("CUSTOM_TRAILS_DIR", own.to_str().expect("UTF-8"));
    house.set("RUN_AS", "root");
    let mut sensor = house.start_sensor(&[]);
    sensor.wait_until_said("running...");
    sensor.wait_until_said("trails stored to");
    std::thread::sleep(Duration::from_millis(50));
    house.write("own/mine.txt", "listed.by-the-user.net\n");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let started = Instant::now();
    let seen = |house: &TestHouse| {
        house
            .day_file(&format!("{}.log", today()))
            .contains(" DNS listed.by-the-user.net ")
    };
    while !seen(&house) {
        assert!(
            sensor.runs() && started.elapsed() < Duration::from_secs(60),
            "not taken:\n{}",
            sensor.said()
        );
        let question = payload::dns_question(port, "listed.by-the-user.net", Qtype::A);
        let _ = socket.send_to(&question, "127.0.0.1:53");
        std::thread::sleep(Duration::from_millis(200));
    }
    let _ = sensor.stop().expect_success();
    assert!(Path::new(&house.path("feeds/build.json")).is_file());
}

/// One that is told not to update does not.
#[test]
fn disable_trail_updates_leaves_the_file_alone() {
    const TEST: &str = "disable_trail_updates_leaves_the_file_alone";
    if !may_capture() {
        report::skipped(TEST, "no right to capture packets");
        return;
    }
    let mut house = TestHouse::new();
    house.set("DISABLE_TRAIL_UPDATES", "true");
    let mut sensor = house.start_sensor(&[]);
    sensor.wait_until_said("running...");
    std::thread::sleep(Duration::from_secs(3));
    sensor.signal(Signal::TERM);
    let _ = sensor.wait().expect_success();
    assert!(!house.path("trails.csv").exists());
}
