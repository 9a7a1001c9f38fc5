//! New lists without a restart, and events that are not reported.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::packet::Qtype;
use maltrail_tests::payload;
use maltrail_tests::programs::Running;
use maltrail_tests::report;
use maltrail_tests::sample::DAY;
use rustix::process::Signal;

use crate::live::may_capture;
use crate::replay::corpus;

/// The longest that a question may take to become an event on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A sensor on loopback whose trails are `names`.
struct Scene {
    house: TestHouse,
    sensor: Running,
    socket: UdpSocket,
}

impl Scene {
    /// `None` where nothing may be captured.
    fn start(test: &str, mut house: TestHouse, names: &[&str]) -> Option<Self> {
        if !may_capture() {
            report::skipped(test, "no right to capture packets");
            return None;
        }
        house.set("ALLOW_EMPTY_TRAILS", "false");
        list(&house, names);
        let mut sensor = house.start_sensor(&[]);
        sensor.wait_until_said("running...");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Some(Self {
            house,
            sensor,
            socket,
        })
    }

    /// Asks for a name on loopback, where nobody has to listen.
    fn ask(&self, name: &str) {
        let port = self.socket.local_addr().expect("an address").port();
        // A refusal by ICMP is reported by the next call; the question was on the wire all the same.
        let _ = self
            .socket
            .send_to(&payload::dns_question(port, name, Qtype::A), "127.0.0.1:53");
    }

    fn has_event(&self, name: &str) -> bool {
        self.house
            .day_file(&format!("{}.log", today()))
            .contains(&format!(" DNS {name} "))
    }

    /// Asks until there is an event.
    #[track_caller]
    fn detects(&mut self, name: &str) {
        let started = Instant::now();
        while !self.has_event(name) {
            assert!(
                self.sensor.runs() && started.elapsed() < SOON,
                "no event about {name}:\n{}",
                self.sensor.said()
            );
            self.ask(name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Replaces the trails file as an updater does.
fn list(house: &TestHouse, names: &[&str]) {
    let rows: String = names
        .iter()
        .map(|name| format!("{name},test (malware),(test)\n"))
        .collect();
    let aside = house.write("trails.new", rows);
    fs::rename(aside, house.path("trails.csv")).expect("rename");
}

/// A name that was asked for before, and so is remembered as clean, is found once it is listed. The
/// file looks as before (same place, size and time), so that only the signal can tell.
#[test]
fn a_hang_up_makes_a_newly_listed_name_detected() {
    const TEST: &str = "a_hang_up_makes_a_newly_listed_name_detected";
    let first = ["known.reload-hup.net", "old-1.reload-hup.net"];
    let Some(mut scene) = Scene::start(TEST, TestHouse::new(), &first) else {
        return;
    };
    scene.ask("new-1.reload-hup.net");
    scene.detects("known.reload-hup.net");
    let path = scene.house.path("trails.csv");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("old-1.", "new-1.")).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert!(!scene.has_event("new-1.reload-hup.net"));
    scene.sensor.signal(Signal::HUP);
    scene
        .sensor
        .wait_until_said("reloaded: 2 trails (before: 2)");
    scene.detects("new-1.reload-hup.net");
    let _ = scene.sensor.stop().expect_success();
}

/// A replaced file is taken by itself; one with far fewer trails is refused, and what was in force
/// stays.
#[test]
fn a_replaced_file_is_taken_and_a_shrunken_one_refused() {
    const TEST: &str = "a_replaced_file_is_taken_and_a_shrunken_one_refused";
    let names = [
        "a.reload-file.net",
        "b.reload-file.net",
        "c.reload-file.net",
        "d.reload-file.net",
    ];
    let Some(mut scene) = Scene::start(TEST, TestHouse::new(), &names[..2]) else {
        return;
    };
    list(&scene.house, &names);
    scene
        .sensor
        .wait_until_said("reloaded: 4 trails (before: 2)");
    scene.detects("d.reload-file.net");
    list(&scene.house, &["e.reload-file.net"]);
    scene.sensor.wait_until_said("below TRAIL_RELOAD_MIN_RATIO");
    scene.ask("e.reload-file.net");
    scene.detects("c.reload-file.net");
    assert!(!scene.has_event("e.reload-file.net"));
    let ended = scene.sensor.stop().expect_success();
    assert!(
        ended.err.contains("the present 4 trails stay"),
        "{ended:#?}"
    );
}

/// Lists that the configuration names only now.
#[test]
fn a_hang_up_takes_new_ignore_rules_and_whitelists() {
    const TEST: &str = "a_hang_up_takes_new_ignore_rules_and_whitelists";
    let names = [
        "hidden.reload-rules.net",
        "white.reload-rules.net",
        "shown.reload-rules.net",
    ];
    let Some(mut scene) = Scene::start(TEST, TestHouse::new(), &names) else {
        return;
    };
    scene.detects("shown.reload-rules.net");
    let white = scene.house.write("white.txt", "White.Reload-Rules.net\n");
    scene
        .house
        .set("USER_WHITELIST", white.to_str().unwrap())
        .set("IGNORE_EVENTS_REGEX", "HIDDEN\\.reload");
    let _ = scene.house.config();
    scene.sensor.signal(Signal::HUP);
    scene.sensor.wait_until_said("reloaded: 2 trails");
    // In this order on one interface: when the last is reported, the others were looked at.
    let log = format!("{}.log", today());
    let before = scene.house.day_file(&log).lines().count();
    let started = Instant::now();
    while scene.house.day_file(&log).lines().count() == before {
        assert!(started.elapsed() < SOON, "{}", scene.sensor.said());
        for name in names {
            scene.ask(name);
        }
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert!(!scene.has_event("hidden.reload-rules.net"));
    assert!(!scene.has_event("white.reload-rules.net"));
    let ended = scene.sensor.stop().expect_success();
    assert!(ended.out.contains("[i] ignored "), "{ended:#?}");
}

/// What a rule and an expression hide, and nothing else, is missing.
#[test]
fn a_rule_and_an_expression_hide_their_events() {
    let plain = TestHouse::new();
    let _ = plain.replay(&corpus());
    let all = plain.day_file(&format!("{DAY}.log"));
    let mut house = TestHouse::new();
    let rules = house.write(
        "ignore.txt",
        "# mine\n*;*;198.51.100.23;8443\n1.2.3.4;*;*\n",
    );
    house
        .set("USER_IGNORELIST", rules.to_str().unwrap())
        .set("IGNORE_EVENTS_REGEX", "'DNS', 'PAY-portal(?=\\.)");
    let ended = house.replay(&corpus());
    let by_rule = |line: &&str| line.contains(" 198.51.100.23 8443 ");
    let by_expression = |line: &&str| line.contains(" DNS pay-portal.");
    let count = |hidden: &dyn Fn(&&str) -> bool| all.lines().filter(hidden).count();
    assert!(count(&by_rule) > 0 && count(&by_expression) > 0, "{all}");
    let wanted: Vec<&str> = all
        .lines()
        .filter(|line| !by_rule(line) && !by_expression(line))
        .collect();
    let found = house.day_file(&format!("{DAY}.log"));
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    let said = format!("[i] ignored {} events", all.lines().count() - wanted.len());
    assert!(ended.out.contains(&said), "no `{said}` in {ended:#?}");
    assert!(ended.err.contains("ignore.txt:3: 3 fields"), "{ended:#?}");
}

/// A broken expression is said once and hides nothing.
#[test]
fn a_broken_expression_is_said_once_and_off() {
    let mut house = TestHouse::new();
    house.set("IGNORE_EVENTS_REGEX", "bad(net");
    let ended = house.replay(&corpus());
    assert_eq!(
        ended.err.matches("IGNORE_EVENTS_REGEX").count(),
        1,
        "{ended:#?}"
    );
    assert!(!ended.out.contains("[i] ignored"), "{ended:#?}");
}
