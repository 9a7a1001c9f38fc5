//! `sensor selftest` as a program: exit code, what it prints, and that it writes nothing.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// Standard output, standard error and exit code of the selftest with these lines of configuration.
fn selftest(folder: &Path, lines: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let conf = folder.join("maltrail.conf");
    let text = format!(
        "MONITOR_INTERFACE none0\nCAPTURE_BUFFER 1MB\nUPDATE_PERIOD 86400\nLOG_DIR {0}/logs\nTRAILS_FILE {0}/trails.csv\n{lines}",
        folder.display()
    );
    fs::write(&conf, text).expect("a configuration");
    let ended = Command::cargo_bin("sensor")
        .expect("the program")
        .arg("-c")
        .arg(&conf)
        .arg("selftest")
        .args(arguments)
        .env("HOME", folder)
        .output()
        .expect("it runs");
    let files = fs::read_dir(folder).expect("listed").count();
    assert_eq!(files, 1, "nothing but the configuration");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&ended.stdout),
        text(&ended.stderr),
        ended.status.code(),
    )
}

#[test]
fn without_trails_log_folder_and_rights_every_detector_is_proved() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "USE_HEURISTICS true\nCHECK_HOST_DOMAINS true\nCHECK_MISSING_HOST true\n";
    let (out, err, code) = selftest(folder.path(), lines, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    let count = out.lines().filter(|line| line.starts_with("[o] ")).count();
    assert!(count >= 60, "{out}");
    let last = out.lines().last().unwrap_or_default();
    assert_eq!(last, format!("{count} passed, 0 failed, 0 off"));
    assert_eq!(out.lines().count(), count + 1, "{out}");
}

#[test]
fn scripts_get_one_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "USE_HEURISTICS true\nDISABLED_HEURISTICS entropy\n";
    let (out, err, code) = selftest(folder.path(), lines, &["--json", "entropy", "tls-name"]);
    assert_eq!(code, Some(0), "{err}");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["passed"], 1);
    assert_eq!((&value["failed"], &value["off"]), (&0.into(), &2.into()));
    let first = serde_json::json!(
        {"name": "random-name", "detector": "entropy", "result": "off", "detail": "DISABLED_HEURISTICS"}
    );
    assert_eq!(value["checks"][0], first);
    assert_eq!(value["checks"][2]["name"], "tls-name");
    assert_eq!(value["checks"].as_array().map(Vec::len), Some(3));
}

#[test]
fn lists_and_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, _, code) = selftest(folder.path(), "", &["--list", "port_scanning"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("scan-syn "), "{out}");
    assert!(
        out.lines().all(|line| line.contains(" port_scanning ")),
        "{out}"
    );
    let (out, err, code) = selftest(folder.path(), "", &["dns-question-b"]);
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(err.contains("did you mean `dns-question-a`?"), "{err}");
}
