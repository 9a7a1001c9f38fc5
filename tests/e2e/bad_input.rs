//! Input that is wrong, missing, cut or hostile: each program says what, where and what to do, and
//! ends with 1 or goes on; none panics.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use maltrail_tests::house::TestHouse;
use maltrail_tests::pcap::{Frame, pcap};
use maltrail_tests::programs::Running;
use maltrail_tests::report;
use maltrail_tests::sample::{DAY, Sample};
use rustix::process::geteuid;

use crate::replay::corpus;

fn sample_path() -> String {
    corpus().display().to_string()
}

/// A line that is nothing, a port that is no number, an option that is nearly one.
#[test]
fn a_garbled_configuration_names_its_lines() {
    let house = TestHouse::new();
    let config = house.config();
    let good = std::fs::read_to_string(&config).unwrap();
    let lines = good.lines().count();
    for (bad, words) in [
        (
            "%%% what is this\n",
            vec![format!("maltrail.conf:{}", lines + 1)],
        ),
        (
            "HTTP_PORT 8338x\n",
            vec![
                format!("maltrail.conf:{}", lines + 1),
                "HTTP_PORT".into(),
                "8338x".into(),
            ],
        ),
    ] {
        std::fs::write(&config, format!("{good}{bad}")).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let path = sample_path();
        let mut sensor = maltrail_tests::programs::sensor();
        sensor.arg("-c").arg(&config).args(["-r", &path]);
        let _ = Running::start("the sensor", sensor)
            .wait()
            .expect_failure(&words);
        let mut server = maltrail_tests::programs::server();
        server.arg("-c").arg(&config);
        let _ = Running::start("the server", server)
            .wait()
            .expect_failure(&words);
    }
}

#[test]
fn an_unknown_option_is_answered_with_the_nearest_name() {
    let mut house = TestHouse::new();
    house.set("USE_HEURISTIC", "true");
    let ended = house.run_sensor(&["-r", &sample_path()]).expect_success();
    assert!(
        ended.err.contains("USE_HEURISTIC") && ended.err.contains("USE_HEURISTICS"),
        "{ended:#?}"
    );
}

#[test]
fn bytes_that_are_no_text_are_no_configuration() {
    let house = TestHouse::new();
    let noise: Vec<u8> = (0..4096u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let config = house.write("noise.conf", noise);
    for mut program in [
        maltrail_tests::programs::sensor(),
        maltrail_tests::programs::server(),
    ] {
        program.arg("-c").arg(&config);
        let ended = Running::start("the program", program).wait();
        let _ = ended.expect_failure(&["noise.conf"]);
    }
}

#[test]
fn a_missing_configuration_is_named() {
    let house = TestHouse::new();
    for mut program in [
        maltrail_tests::programs::sensor(),
        maltrail_tests::programs::server(),
    ] {
        program.arg("-c").arg(house.path("nowhere.conf"));
        let ended = Running::start("the program", program).wait();
        let _ = ended.expect_failure(&["nowhere.conf"]);
    }
}

#[test]
fn options_that_do_not_exist_are_named() {
    let house = TestHouse::new();
    let _ = house
        .run_sensor(&["--no-such-option"])
        .expect_failure(&["--no-such-option"]);
    let ended = house.run_server(&["--no-such-option"]);
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
    assert!(ended.err.contains("--no-such-option"), "{ended:#?}");
}

#[test]
fn a_missing_capture_is_named() {
    let house = TestHouse::new();
    let _ = house
        .run_sensor(&["-r", "nowhere.pcap"])
        .expect_failure(&["nowhere.pcap"]);
}

#[test]
fn a_text_file_and_an_empty_file_are_no_captures() {
    let house = TestHouse::new();
    let text = house.write("letter.pcap", "Dear administrator,\n".repeat(40));
    let _ = house
        .run_sensor(&["-r", text.to_str().unwrap()])
        .expect_failure(&["letter.pcap"]);
    let empty = house.write("empty.pcap", "");
    let _ = house
        .run_sensor(&["-r", empty.to_str().unwrap()])
        .expect_failure(&["empty.pcap"]);
    let _ = house
        .run_sensor(&["-r", house.path("").to_str().unwrap()])
        .expect_failure(&["maltrail-test-"]);
}

/// A capture that was killed ends inside a record: what came before counts.
#[test]
fn a_cut_capture_keeps_its_beginning() {
    let mut whole = TestHouse::new();
    whole.set("EVENT_THROTTLE_MODE", "off");
    let _ = whole.replay(&corpus());
    let wanted = whole.day_file(&format!("{DAY}.log"));

    let mut house = TestHouse::new();
    house.set("EVENT_THROTTLE_MODE", "off");
    let mut bytes = Sample::build().pcap();
    bytes.truncate(bytes.len() / 2);
    let cut = house.write("cut.pcap", bytes);
    let ended = house.replay(&cut);
    assert!(
        ended.err.contains("cut.pcap") && ended.err.contains("[!]"),
        "{ended:#?}"
    );
    let found = house.day_file(&format!("{DAY}.log"));
    assert!(found.lines().count() > 5, "{found}");
    let unknown = found
        .lines()
        // A condensed event has fewer members when its capture ends early.
        .filter(|line| !line.contains("mass scanner"))
        .find(|&line| !wanted.lines().any(|known| known == line));
    assert_eq!(unknown, None, "{wanted}");
    assert!(found.len() < wanted.len(), "{found}");
}

/// Frames of a link type nobody knows, frames of noise, empty frames.
#[test]
fn unknown_link_types_and_noise_do_no_harm() {
    let house = TestHouse::new();
    let sample = Sample::build();
    let mut frames = sample.frames.clone();
    for (at, frame) in frames.iter_mut().enumerate() {
        match at % 4 {
            0 => frame.bytes.clear(),
            1 => frame.bytes.truncate(at % 60),
            2 => {
                let place = at.wrapping_mul(7919) % frame.bytes.len();
                frame.bytes[place] ^= 0xff;
            }
            _ => frame
                .bytes
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_mul(167)),
        }
    }
    for link in [1, 12, 113, 276, 147, 9999] {
        let capture = house.write(&format!("odd{link}.pcap"), pcap(link, &frames));
        let ended = house.run_sensor(&["-r", capture.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "link type {link}: {ended:#?}");
        assert!(
            !ended.all().contains("panicked"),
            "link type {link}: {ended:#?}"
        );
        let count = format!("{} packet", frames.len());
        assert!(ended.out.contains(&count), "link type {link}: {ended:#?}");
    }
}

/// A length that no record can have.
#[test]
fn a_record_of_impossible_length_is_refused_where_it_stands() {
    let house = TestHouse::new();
    let frame = Frame {
        micros: 1_700_000_000_000_000,
        bytes: vec![0; 60],
    };
    let mut bytes = pcap(1, &[frame]);
    bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let capture = house.write("long.pcap", bytes);
    let _ = house
        .run_sensor(&["-r", capture.to_str().unwrap()])
        .expect_failure(&["long.pcap"]);
}

#[test]
fn a_sensor_without_trails_starts_only_when_told_to() {
    let mut house = TestHouse::new();
    let trails = house.write("trails.csv", "");
    let path = sample_path();
    let name = trails.to_str().unwrap();
    let _ = house
        .run_sensor(&["-r", &path])
        .expect_failure(&[name, "ALLOW_EMPTY_TRAILS"]);
    house.set("ALLOW_EMPTY_TRAILS", "true");
    let _ = house.run_sensor(&["-r", &path]).expect_success();
    let text = house.day_file(&format!("{DAY}.log"));
    assert!(
        !text.is_empty() && text.lines().all(|line| line.ends_with("(heuristic)")),
        "{text}"
    );
}

#[test]
fn rows_that_are_no_trails_are_counted_and_left_out() {
    let house = TestHouse::new();
    let mut rows =
        "198.51.100.77,own (malware),(custom)\nonly-one-column\na,b\n\"open,quote\n".to_owned();
    rows.push_str("\u{fffd},x,y\n");
    house.write("trails.csv", rows);
    let ended = house.run_sensor(&["-r", &sample_path()]).expect_success();
    let text = house.day_file(&format!("{DAY}.log"));
    assert!(
        text.contains("198.51.100.77 \"own (malware)\" (custom)"),
        "{text}\n{ended:#?}"
    );
    assert!(ended.err.contains("rows"), "{ended:#?}");
}

/// Without the right to write, the folder is named. Root may write everywhere, so a file stands in
/// the folder's place there.
#[test]
fn a_log_folder_that_cannot_be_written_is_named() {
    let mut house = TestHouse::new();
    let file = house.write("not-a-folder", "");
    house.set("LOG_DIR", file.join("logs").to_str().unwrap());
    let _ = house
        .run_sensor(&["-r", &sample_path()])
        .expect_failure(&["not-a-folder", "LOG_DIR"]);
    let _ = house.run_server(&[]).expect_failure(&["not-a-folder"]);
}

/// The same for a user without rights, in a folder of somebody else.
#[test]
fn a_log_folder_of_somebody_else_is_named() {
    const TEST: &str = "a_log_folder_of_somebody_else_is_named";
    if !geteuid().is_root() {
        report::skipped(TEST, "only root can run the sensor as another user");
        return;
    }
    let mut house = TestHouse::new();
    let logs = house.path("locked");
    std::fs::create_dir(&logs).unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&logs, 0o755);
    open(&house.path(""), 0o755);
    house.set("LOG_DIR", logs.to_str().unwrap());
    let capture = house.write("sample.pcap", Sample::build().pcap());
    let mut command = house.sensor_command(&["-r", capture.to_str().unwrap()]);
    // nobody
    command.uid(65_534).gid(65_534);
    let Ok(running) = Running::try_start("the sensor", command) else {
        report::skipped(TEST, "another user may not execute the sensor here");
        return;
    };
    let _ = running.wait().expect_failure(&["locked", "LOG_DIR"]);
}

#[test]
fn a_server_whose_ports_are_taken_says_which() {
    let house = TestHouse::new();
    let taken = TcpListener::bind(house.http()).unwrap();
    let port = house.http().port().to_string();
    let _ = house.run_server(&[]).expect_failure(&[&port]);
    drop(taken);
    let taken = UdpSocket::bind(house.intake()).unwrap();
    let port = house.intake().port().to_string();
    let _ = house.run_server(&[]).expect_failure(&[&port]);
    drop(taken);
}

#[test]
fn a_check_of_the_configuration_changes_nothing() {
    let house = TestHouse::new();
    let ended = house.run_sensor(&["-T"]);
    assert!(!house.log_dir().exists(), "{ended:#?}");
    assert_eq!(ended.code, Some(1), "the log folder is missing: {ended:#?}");
    assert!(ended.out.contains("FAILED"), "{ended:#?}");
    std::fs::create_dir(house.log_dir()).unwrap();
    let ended = house.run_sensor(&["-T"]);
    let files = std::fs::read_dir(house.log_dir()).unwrap().count();
    assert_eq!(files, 0, "{ended:#?}");
    if geteuid().is_root() {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.out.contains("PASSED"), "{ended:#?}");
    }
}
