//! Packed days answer like plain ones, old days go when they are told to, and a full disk loses nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use maltrail_core::time::{Day, Timestamp, Zone};
use support::{Client, TestServer, datagram, wait};

fn today() -> Day {
    Zone::UTC.day(Timestamp::now())
}

/// Lines of a day, each of its own trail.
fn lines(day: Day, count: usize) -> String {
    (0..count)
        .map(|n| {
            format!(
                "\"{day} 10:{:02}:00.{n:06}\" s1 10.0.{}.{} 4000 198.51.100.7 53 UDP DNS x{n}.example \"lumma (malware)\" (static)\n",
                n % 60,
                n / 250 % 250,
                n % 250
            )
        })
        .collect()
}

fn write_old(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    file.set_modified(yesterday).unwrap();
}

fn zcat(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn health(client: &Client, part: &str, name: &str) -> u64 {
    client.get("/api/v1/health").json()[part][name]
        .as_u64()
        .unwrap()
}

/// What the endpoints say of a day, without what changes by itself.
fn answers(client: &Client, day: Day) -> Vec<String> {
    let mut threats = client
        .get(&format!(
            "/api/v1/threats?day={day}&limit=500&sort=uid&include=facets,histogram"
        ))
        .json();
    threats.as_object_mut().unwrap().remove("generation");
    let id = threats["threats"][7]["id"].as_str().unwrap().to_owned();
    let detail = client
        .get(&format!("/api/v1/threats/{id}?day={day}"))
        .json();
    assert!(
        detail["events"][0]["line"]
            .as_str()
            .unwrap()
            .starts_with('"')
    );
    let part = client.get_with(
        &format!("/events?date={day}"),
        &[("Range", "bytes=100000-100999")],
    );
    assert_eq!(part.status, 206);
    vec![
        threats.to_string(),
        detail["events"].to_string(),
        client.get(&format!("/events?date={day}")).text(),
        part.text(),
        client.get("/hunt?q=x1999.example").json()["counts"].to_string(),
        client.get("/counts").text(),
    ]
}

#[test]
fn a_packed_day_answers_as_the_plain_one_whoever_packed_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (today().plus(-5), today().plus(-6));
    let path = |day: Day, ending: &str| dir.path().join(format!("{day}.{ending}"));
    write_old(&path(ours, "log"), &lines(ours, 3000));
    write_old(&path(theirs, "log"), &lines(theirs, 2000));
    let server = TestServer::start_on(dir.path(), "", false);
    wait("both days", || {
        health(&server.client(), "index", "import_done") == 2
    });
    let before = [ours, theirs].map(|day| answers(&server.client(), day));
    server.stop();

    // logrotate, or a person, packed one; the server packs the other.
    let mut packed = GzEncoder::new(
        std::fs::File::create(path(theirs, "log.gz")).unwrap(),
        Compression::best(),
    );
    packed.write_all(lines(theirs, 2000).as_bytes()).unwrap();
    packed.finish().unwrap();
    std::fs::remove_file(path(theirs, "log")).unwrap();
    let server = TestServer::start_on(dir.path(), "COMPRESS_AFTER_DAYS 3", false);
    wait("the packing", || {
        health(&server.client(), "index", "packed_files") == 1
    });
    assert!(!path(ours, "log").exists());
    assert_eq!(zcat(&path(ours, "log.gz")), lines(ours, 3000));
    let client = server.client();
    assert!([ours, theirs].map(|day| answers(&client, day)) == before);
    assert_eq!(
        health(&client, "index", "rebuilds"),
        0,
        "the index stays as it is"
    );
    server.stop();

    // Again without an index: it comes from the archives.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let server = TestServer::start_on(dir.path(), "", false);
    wait("both days", || {
        health(&server.client(), "index", "import_done") == 2
    });
    assert!([ours, theirs].map(|day| answers(&server.client(), day)) == before);
    server.stop();
}

#[test]
fn old_days_are_deleted_only_when_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (old, young) = (today().plus(-11), today().plus(-9));
    let path = |day: Day| dir.path().join(format!("{day}.log"));
    write_old(&path(old), &lines(old, 10));
    write_old(&path(young), &lines(young, 10));
    let server = TestServer::start_on(dir.path(), "", false);
    wait("both days", || {
        health(&server.client(), "index", "import_done") == 2
    });
    let disk = server.client().get("/api/v1/health").json()["disk"].clone();
    assert!(
        disk["free_percent"]
            .as_u64()
            .is_some_and(|percent| percent <= 100),
        "{disk}"
    );
    server.stop();
    assert!(path(old).exists());
    let server = TestServer::start_on(dir.path(), "RETENTION_DAYS 10", false);
    wait("the deletion", || {
        health(&server.client(), "index", "deleted_days") == 1
    });
    assert!(!path(old).exists() && path(young).exists());
    wait("its index", || {
        !dir.path().join(format!("index/{old}.sqlite")).exists()
    });
    let days = server
        .client()
        .get(&format!("/api/v1/days?from={old}&to={young}"))
        .json();
    assert_eq!(days["days"].as_array().unwrap().len(), 1, "{days}");
    server.stop();
}

/// A server whose LOG_DIR is a disk of two megabytes, in a mount namespace of its own.
struct SmallDisk {
    child: Child,
    udp: u16,
    http: SocketAddr,
    /// The disk, as this process sees it.
    disk: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this user may not make namespaces.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = dir.path().join("log");
        std::fs::create_dir(&log_dir).unwrap();
        let port = |listener: std::io::Result<SocketAddr>| listener.unwrap().port();
        let http = port(TcpListener::bind("127.0.0.1:0").unwrap().local_addr());
        let udp = port(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr());
        let conf = dir.path().join("maltrail.conf");
        let text = support::config_text(&log_dir, "")
            .replace("HTTP_PORT 8338", &format!("HTTP_PORT {http}"))
            .replace("UDP_PORT 8337", &format!("UDP_PORT {udp}"));
        std::fs::write(&conf, text).unwrap();
        let script = "mount -t tmpfs -o size=2m small \"$1\" || exit 77; exec \"$2\" -c \"$3\"";
        let mut child = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(&log_dir)
            .arg(env!("CARGO_BIN_EXE_server"))
            .arg(&conf)
            .env("TZ", "UTC")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let http = SocketAddr::from(([127, 0, 0, 1], http));
        loop {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            if std::net::TcpStream::connect(http).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let root = PathBuf::from(format!("/proc/{}/root", child.id()));
        let disk = root.join(log_dir.strip_prefix("/").unwrap());
        Some(Self {
            child,
            udp,
            http,
            disk,
            _dir: dir,
        })
    }

    fn client(&self) -> Client {
        Client {
            address: self.http,
            cookie: None,
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_taken_and_is_said_once() {
    let Some(mut small) = SmallDisk::start() else {
        eprintln!("skipped: a_full_disk_loses_nothing needs user and mount namespaces (unshare)");
        return;
    };
    let client = small.client();
    // It listens before it has opened its files.
    assert_eq!(client.get("/ping").text(), "pong");
    let ballast = small.disk.join("ballast");
    // Fills what is left but a few kilobytes.
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len().saturating_sub(16 << 10))
        .unwrap();
    drop(file);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = 600_u32;
    for n in 0..sent {
        let datagram = datagram(n, &format!("10.0.{}.{}", n % 7, n % 200), "evil.example");
        socket.send_to(&datagram, ("127.0.0.1", small.udp)).unwrap();
        std::thread::sleep(Duration::from_micros(500));
    }
    wait("a failed write", || {
        health(&client, "intake", "write_errors") >= 2
    });
    let day_file = small.disk.join(format!("{}.log", today()));
    let whole_lines = || std::fs::read_to_string(&day_file).unwrap().lines().count() as u64;
    assert!(
        health(&client, "intake", "stored") <= whole_lines(),
        "stored means in the file"
    );
    assert!(whole_lines() < u64::from(sent));
    assert_eq!(client.get("/ping").text(), "pong", "answers go on");
    std::fs::remove_file(&ballast).unwrap();
    wait("what waited", || {
        health(&client, "intake", "stored") == u64::from(sent)
    });
    wait("the index", || {
        let threats = client.get("/api/v1/threats").json();
        threats["all"]["events"] == sent
    });
    let text = std::fs::read_to_string(&day_file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        (text.lines().count() as u32, lines.len() as u32),
        (sent, sent)
    );
    small.child.kill().unwrap();
    let mut log = String::new();
    small
        .child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    small.child.wait().unwrap();
    assert_eq!(log.matches("cannot write the day file").count(), 1, "{log}");
    assert!(log.contains("written again"), "{log}");
}
