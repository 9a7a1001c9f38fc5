//! `sensor -T` as a program: exit code, verdict, and that it changes nothing.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const BASE: &str = "MONITOR_INTERFACE lo\nCAPTURE_BUFFER 1MB\nUPDATE_PERIOD 86400\nUSE_HEURISTICS true\nDISABLE_CHECK_SUDO true\n";

/// Output and exit code of `-T` with these lines beside the base, in a folder of its own.
fn check(folder: &Path, lines: &str) -> (String, Option<i32>) {
    let conf = folder.join("maltrail.conf");
    let text = format!(
        "{BASE}LOG_DIR {0}/logs\nTRAILS_FILE {0}/trails.csv\n{lines}",
        folder.display()
    );
    fs::write(&conf, text).expect("a configuration");
    let ended = Command::cargo_bin("sensor")
        .expect("the program")
        .args(["-T", "-c"])
        .arg(&conf)
        .env("HOME", folder)
        .env_remove("SUDO_USER")
        .output()
        .expect("it runs");
    (
        String::from_utf8_lossy(&ended.stdout).into_owned(),
        ended.status.code(),
    )
}

fn house() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("logs")).expect("a log folder");
    fs::write(
        folder.path().join("trails.csv"),
        "bad.example,malware,(static)\n",
    )
    .expect("trails");
    folder
}

#[test]
fn a_sound_installation_passes_and_stays_as_it_was() {
    let folder = house();
    let (out, code) = check(folder.path(), "");
    assert_eq!(code, Some(0), "{out}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("PASSED"), "{out}");
    assert!(out.contains("trails: 1 in `"), "{out}");
    assert_eq!(
        fs::read_dir(folder.path().join("logs"))
            .expect("listed")
            .count(),
        0
    );
    // Every option of the sensor with its origin.
    for line in [
        "    MONITOR_INTERFACE = lo (line 1)",
        "    CAPTURE_SNAPLEN = 2000 (default)",
    ] {
        assert!(
            out.lines().any(|found| found == line),
            "{line} is missing in\n{out}"
        );
    }
}

#[test]
fn failures_have_an_id_and_exit_code_1() {
    for (lines, id) in [
        ("CAPTURE_FILTER tcp or\n", "[filter-invalid]"),
        ("MONITOR_INTERFACE nosuch0\n", "[interface-unknown]"),
    ] {
        let (out, code) = check(house().path(), lines);
        assert!(out.contains(id) && out.ends_with("FAILED\n"), "{id}: {out}");
        assert_eq!(code, Some(1), "{out}");
    }
    let folder = house();
    fs::write(folder.path().join("trails.csv"), "").expect("written");
    let (out, code) = check(folder.path(), "");
    assert!(
        out.contains("[x]") && out.contains("[trails-empty]"),
        "{out}"
    );
    assert_eq!(code, Some(1));
    fs::remove_file(folder.path().join("trails.csv")).expect("removed");
    let (out, code) = check(folder.path(), "");
    assert!(
        out.contains("[!]") && out.contains("[trails-missing]"),
        "{out}"
    );
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn the_same_home_is_meant_or_both_are_named() {
    let folder = house();
    let conf = folder.path().join("maltrail.conf");
    let text = format!(
        "{BASE}LOG_DIR {}/logs\nTRAILS_FILE ~/trails.csv\n",
        folder.path().display()
    );
    fs::write(&conf, text).expect("a configuration");
    let run = |user: &str| {
        let ended = Command::cargo_bin("sensor")
            .expect("the program")
            .args(["-T", "-c"])
            .arg(&conf)
            .env("HOME", folder.path())
            .env("SUDO_USER", user)
            .output()
            .expect("it runs");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    let out = run("root");
    let mine = folder.path().join("trails.csv").display().to_string();
    assert!(
        out.contains("[home-differs]") && out.contains(&mine),
        "{out}"
    );
    assert!(
        out.contains("/trails.csv` for root:") && out.ends_with("FAILED\n"),
        "{out}"
    );
    assert!(!run("no such user").contains("[home-differs]"));
}
