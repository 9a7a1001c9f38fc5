//! The server of the recorded examples (fixture F1), and the same folder without accounts.

use std::path::Path;

use super::{TestServer, today, users};

/// Password of every account.
pub(crate) const PASSWORD: &str = "correct horse";

/// Rows of today, ten of 2026-11-20 and one of 2026-11-21; a file that is no day; the sensor's observables.
pub(crate) fn write_files(dir: &Path) {
    let today = today();
    let log: String = [
        r#"10:00:00.000000" sensor-a 10.0.0.5 4421 8.8.8.8 53 UDP DNS evil.com "malware (dummy)" (static)"#,
        r#"10:00:01.000000" sensor-b 10.0.0.6 5500 66.66.66.66 443 TCP IP 66.66.66.66 "known attacker" blocklist.de"#,
        r#"10:00:02.000000" sensor-a 203.0.113.9 5555 198.51.100.5 443 TCP IP 198.51.100.5 "mass scanner" (static)"#,
        r#"10:00:03.000000" sensor-a 10.0.0.8 6666 5.5.5.5 80 TCP IP 5.5.5.5 "supersecretname (custom)" (custom)"#,
        r#"10:00:04.000000" sensor-a 10.0.0.9 7777 1.1.1.1 80 TCP URL 1.1.1.1/malware.exe "iot-malware (malware)" (static)"#,
        r#"10:00:05.000000" sensor-b 10.9.0.7,10.0.0.5 22,23,80 9.9.9.9 53 UDP DNS "(www.)evil two.com" "long domain (suspicious)" (heuristic)"#,
        r#"10:00:06.000000" sensor-b 10.0.0.5 1234 8.8.4.4 80 TCP UA "x<!version!>y <script>alert(1)</script>" "user agent (suspicious)" (heuristic)"#,
    ]
    .iter()
    .map(|line| format!("\"{today} {line}\n"))
    .collect();
    std::fs::write(dir.join(format!("{today}.log")), log).unwrap();
    let ten: String = (0..10)
        .map(|i| format!("\"2026-11-20 0{i}:00:00.000000\" sensor-a 10.0.0.{i} 4000 93.184.216.34 443 TCP IP 93.184.216.34 \"badnet (dummy)\" (static)\n"))
        .collect();
    std::fs::write(dir.join("2026-11-20.log"), ten).unwrap();
    let one = "\"2026-11-21 23:59:59.999999\" sensor-a 172.16.3.3 4000 93.184.216.34 443 TCP IP 93.184.216.34 \"badnet (dummy)\" (static)\n";
    std::fs::write(dir.join("2026-11-21.log"), one).unwrap();
    std::fs::write(dir.join("notaday.log"), "x\n").unwrap();
    write_observables(&dir.join("meta.sqlite"));
}

/// As the sensor writes them: a name, an own address and one elsewhere.
fn write_observables(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "CREATE TABLE observables(observable, flags INTEGER, first_seen INTEGER, last_seen INTEGER, count INTEGER, PRIMARY KEY(observable)) WITHOUT ROWID;
         CREATE TABLE meta_info(key TEXT PRIMARY KEY, value);
         INSERT INTO meta_info VALUES ('schema_version', 1);
         INSERT INTO observables VALUES ('evil.com', 1, 1700000000, 1700000000, 1);
         INSERT INTO observables VALUES (x'0a000005', 2, 1700000000, 1700000000, 1);
         INSERT INTO observables VALUES (x'08080808', 4, 1700000000, 1700000000, 1);",
    )
    .unwrap();
}

/// The trail file of the fixture.
pub(crate) const TRAILS: &str = "evil.com,dummy,(static)\n1.2.3.4,badip (dummy),(static)\nbadhost.example/gate.php,badurl (dummy),(static)\ninternal-secret.corp,supersecretname (custom),(custom)\n";

/// Options of the fixture. Own networks are others than those of its rows: what is own is on no list.
const OPTIONS: &str = r"ENABLE_MASK_CUSTOM true
ENABLE_LEGACY_LOGIN true
HOME_NETWORKS 192.168.0.0/16
HOME_LAT 45.8150
HOME_LON 15.9819
FAIL2BAN_REGEX attacker|mass scanner
FAIL2BAN_ALLOWLIST 127.0.0.1
BLACKLIST
    src_ip !~ ^192.168. and dst_port ~ ^443$
BLACKLIST_DNS
    type ~ DNS
BLACKLIST_BROKEN
    nosuch ~ x
BLACKLIST_INFO
    filter ~ malware
";

/// Fixture F1, with further options.
pub(crate) fn fixture_with(more: &str) -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    write_files(&dir);
    std::fs::write(dir.join("trails.csv"), TRAILS).unwrap();
    let users = users(
        PASSWORD,
        &[
            ("admin", 0, ""),
            ("analyst", 1000, "10.0.0.0/8"),
            ("range", 1001, "10.0.0.6-10.0.0.9"),
            ("exact", 1002, "10.0.0.5"),
            ("loose", 0, "10.0.5.0/16"),
            ("v6all", 1004, "::"),
            ("masked", 1005, ""),
            ("v6net", 0, "2001:db8::/32"),
            ("two", 0, "10.0.0.8;203.0.113.0/8"),
        ],
    );
    TestServer::start_on(&dir, &format!("{OPTIONS}{more}{users}"), false)
}

/// Fixture F1.
pub(crate) fn fixture() -> TestServer {
    fixture_with("")
}

/// The same rows without accounts, lists and trails.
pub(crate) fn open() -> TestServer {
    let dir = tempfile::tempdir().unwrap().keep();
    write_files(&dir);
    TestServer::start_on(&dir, "", false)
}

/// Stops a server and removes its folder.
pub(crate) fn finish(server: TestServer) {
    let dir = server.log_dir.clone();
    server.stop();
    let _ = std::fs::remove_dir_all(dir);
}
