//! Live capture on the loopback interface.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::packet::Qtype;
use maltrail_tests::payload;
use maltrail_tests::programs::{self, PATIENCE, Running};
use maltrail_tests::report;

use crate::replay::check_detections;

/// Root, or CAP_NET_RAW in the effective set.
pub(crate) fn may_capture() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set >> 13 & 1 == 1)
}

/// A question for a listed name goes to 127.0.0.1:53, where nobody has to listen.
#[test]
fn a_question_on_loopback_becomes_an_event() {
    if !may_capture() {
        report::skipped(
            "a_question_on_loopback_becomes_an_event",
            "no right to capture packets",
        );
        return;
    }
    let house = TestHouse::new();
    let mut sensor = house.start_sensor(&[]);
    sensor.wait_until_said("running...");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let question = payload::dns_question(port, "live-capture.hopto.org", Qtype::A);
    let started = Instant::now();
    let text = loop {
        // A refusal by ICMP is reported by the next call; the question was on the wire all the same.
        let _ = socket.send_to(&question, "127.0.0.1:53");
        let text = house.day_file(&format!("{}.log", today()));
        if !text.is_empty() {
            break text;
        }
        assert!(
            sensor.runs() && started.elapsed() < Duration::from_secs(20),
            "no event after {:?}:\n{}",
            started.elapsed(),
            sensor.said()
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    let wanted = format!(
        " office 127.0.0.1 {port} 127.0.0.1 53 UDP DNS (live-capture).hopto.org \"dynamic domain (suspicious)\" (static)"
    );
    assert!(text.contains(&wanted), "no `{wanted}` in {text}");
    let ended = sensor.stop().expect_success();
    assert!(ended.out.contains("packets in"), "{ended:#?}");
}

#[test]
fn an_unknown_interface_is_answered_with_the_known_ones() {
    if !may_capture() {
        report::skipped(
            "an_unknown_interface_is_answered_with_the_known_ones",
            "no right to capture packets",
        );
        return;
    }
    let mut house = TestHouse::new();
    house.set("MONITOR_INTERFACE", "nothere0");
    let _ = house.run_sensor(&[]).expect_failure(&["nothere0", "lo"]);
}

/// Without the right to capture, the message says how to get it.
#[test]
fn without_the_right_to_capture_the_sensor_says_how_to_get_it() {
    use std::os::unix::process::CommandExt as _;
    let house = TestHouse::new();
    std::fs::create_dir(house.log_dir()).unwrap();
    let mut command = house.sensor_command(&[]);
    if may_capture() {
        // As nobody, who must be able to read the house and to execute the sensor.
        use std::os::unix::fs::PermissionsExt as _;
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(house.path(""), all.clone()).unwrap();
        std::fs::set_permissions(house.log_dir(), all).unwrap();
        command.uid(65_534).gid(65_534);
    }
    let Ok(sensor) = Running::try_start("the sensor", command) else {
        report::skipped(
            "without_the_right_to_capture_the_sensor_says_how_to_get_it",
            "another user may not execute the sensor here",
        );
        return;
    };
    let _ = sensor.wait().expect_failure(&["cap_net_raw"]);
}

/// Starts the sensor on an interface of a network namespace of its own, after `setup` (a line for
/// the shell). Says why not where that is impossible.
fn in_a_namespace(test: &str, house: &TestHouse, setup: &str) -> Option<Running> {
    if !may_capture() {
        report::skipped(test, "no right to capture packets");
        return None;
    }
    let sensor = house.sensor_command(&[]);
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", &format!("{setup} && exec \"$@\""), "sh"]);
    command.arg(sensor.get_program()).args(sensor.get_args());
    command.env("TZ", "UTC").current_dir(house.path(""));
    let Ok(mut running) = Running::try_start("the sensor", command) else {
        report::skipped(test, "unshare is missing");
        return None;
    };
    let started = Instant::now();
    while running.runs() && !running.said().contains("running...") {
        assert!(started.elapsed() < PATIENCE, "{}", running.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    if running.runs() {
        return Some(running);
    }
    let ended = running.wait();
    // A sensor that was started and gave up is a failure, not a lack of namespaces.
    assert!(!ended.out.contains("Maltrail"), "{ended:#?}");
    report::skipped(
        test,
        &format!("no network namespace here: {}", ended.err.trim()),
    );
    None
}

/// On an interface without any packet a stop is heeded all the same.
#[test]
fn a_sensor_that_sees_no_packet_stops_when_asked() {
    const TEST: &str = "a_sensor_that_sees_no_packet_stops_when_asked";
    let house = TestHouse::new();
    let Some(sensor) = in_a_namespace(TEST, &house, "ip link set lo up") else {
        return;
    };
    let asked = Instant::now();
    let _ = sensor.stop().expect_success();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

/// An event is written soon, whether or not more packets follow.
#[test]
fn the_last_packet_of_a_burst_is_reported_at_once() {
    const TEST: &str = "the_last_packet_of_a_burst_is_reported_at_once";
    let mut house = TestHouse::new();
    house.set("MONITOR_INTERFACE", "in0");
    let Some(mut sensor) = in_a_namespace(TEST, &house, VETH) else {
        return;
    };
    send(&sensor, &["out0", "1"]);
    let started = Instant::now();
    while house.day_file(&format!("{}.log", today())).is_empty() {
        assert!(
            sensor.runs() && started.elapsed() < Duration::from_secs(5),
            "no event in {:?}:\n{}",
            started.elapsed(),
            sensor.said()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = sensor.stop().expect_success();
}

/// The whole sample over a pair of virtual cables: what a replay finds, live capture finds.
#[test]
fn the_sample_over_a_cable_shows_what_was_planted() {
    const TEST: &str = "the_sample_over_a_cable_shows_what_was_planted";
    let mut house = TestHouse::new();
    house.set("MONITOR_INTERFACE", "in0");
    let Some(sensor) = in_a_namespace(TEST, &house, VETH) else {
        return;
    };
    send(&sensor, &["out0"]);
    // The last block of the kernel's ring comes after its time-out.
    std::thread::sleep(Duration::from_millis(1500));
    let ended = sensor.stop().expect_success();
    assert!(!ended.err.contains("dropped"), "{ended:#?}");
    check_detections(&house, &today());
}

const VETH: &str = "ip link add in0 type veth peer name out0 && ip link set in0 up && ip link set out0 up && ip link set lo up";

/// Sends the sample inside the namespace of a running sensor.
fn send(sensor: &Running, arguments: &[&str]) {
    let sender = programs::send_sample();
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", sensor.pid()));
    command.arg(sender.get_program()).args(arguments);
    let _ = Running::start("the sender", command)
        .wait()
        .expect_success();
}
