//! As it is used: the sensor as root on the mirror side, the server as an ordinary user, and another
//! machine that looks up a listed name.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use maltrail_tests::events::today;
use maltrail_tests::http::Client;
use maltrail_tests::network::{Net, play};
use maltrail_tests::packet::Qtype;
use maltrail_tests::payload;
use maltrail_tests::programs::{self, PATIENCE, Running};
use maltrail_tests::sample::Sample;
use serde_json::{Value, json};
use tempfile::TempDir;

/// From the packet to the row.
const SOON: Duration = Duration::from_secs(5);
/// The number of nobody, whom the sensor becomes when nothing else says who.
const NOBODY: u32 = 65_534;
/// An ordinary user without a line in /etc/passwd.
const USER: u32 = 4242;
/// CAP_NET_RAW and nothing else.
const ONLY_CAPTURE: &str = "0000000000002000";
/// What the shipped file calls the port of the dashboard.
const DASHBOARD: &str = "127.0.0.1:8338";
/// A name of the shipped lists, and how it is reported.
const LISTED: (&str, &str) = ("card-use.hopto.org", "(card-use).hopto.org");

/// A machine at the mirror port, another one, and a cable in between.
struct Site {
    folder: TempDir,
    config: PathBuf,
    variables: Vec<(&'static str, String)>,
    user: u32,
    password: &'static str,
    mirror: Net,
    peer: Net,
}

impl Site {
    fn new(test: &str, config: &str, user: u32) -> Option<Self> {
        let (mirror, peer) = (Net::new(test)?, Net::new(test)?);
        mirror.cable_to(&peer);
        mirror.ip("address add 10.20.0.2/16 dev in0");
        peer.ip("address add 10.20.10.13/16 dev out0");
        let folder = TempDir::with_prefix("maltrail-test-").expect("a temporary folder");
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).expect("our own folder");
        let file = folder.path().join("maltrail.conf");
        fs::write(&file, config).expect("a file of ours");
        Some(Self {
            folder,
            config: file,
            variables: Vec::new(),
            user,
            password: "admin",
            mirror,
            peer,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).arg("-c").arg(&self.config);
        command
            .envs(self.variables.iter().cloned())
            .current_dir(self.folder.path());
        command
    }

    /// Root builds the trails and starts the sensor, which then is another user.
    fn start_sensor(&self) -> Running {
        self.mirror.inside(|| {
            let update = self.command(programs::sensor(), &["update", "--offline"]);
            let _ = Running::start("the update", update).wait().expect_success();
            let mut sensor = Running::start("the sensor", self.command(programs::sensor(), &[]));
            sensor.wait_until_said("running...");
            sensor
        })
    }

    /// An ordinary user starts the server.
    fn start_server(&self) -> Running {
        self.mirror.inside(|| {
            let mut command = self.command(programs::server(), &[]);
            command.uid(self.user).gid(self.user);
            let mut server = Running::start("the server", command);
            let started = Instant::now();
            while !self.client().answers("/ping") {
                assert!(
                    server.runs() && started.elapsed() < PATIENCE,
                    "the server does not answer:\n{}",
                    server.said()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            server
        })
    }

    fn client(&self) -> Client {
        Client::new(DASHBOARD.parse().expect("an address"))
    }

    /// Signs in for the first time: the shipped password leads to one's own.
    fn signed_in(&self, shipped: &str) -> Client {
        let mut client = self.client();
        self.mirror.inside(|| {
            let account = json!({"username": "admin", "password": shipped});
            let answer = client.post("/api/v1/login", &account);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(client.get("/api/v1/threats").status, 403, "nothing before");
            let change = json!({"current": shipped, "new": "a long one, for once"});
            let answer = client.post("/api/v1/password", &change);
            assert_eq!(answer.status, 200, "{answer:?}");
        });
        client
    }

    /// The peer asks for a name; nobody answers.
    fn look_up(&self, name: &str) {
        self.peer.inside(|| {
            let socket = UdpSocket::bind("10.20.10.13:0").expect("a port");
            let port = socket.local_addr().expect("an address").port();
            let question = payload::dns_question(port, name, Qtype::A);
            let sent = socket.send_to(&question, "10.20.0.2:53").expect("a cable");
            assert_eq!(sent, question.len());
        });
    }

    /// Rows of today.
    fn rows(&self, client: &mut Client) -> Vec<Value> {
        let answer = self
            .mirror
            .inside(|| client.get(&format!("/api/v1/threats?day={}&limit=500", today())));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["threats"].as_array().expect("rows").clone()
    }

    /// The time from a question to its row.
    #[track_caller]
    fn time_to_row(&self, client: &mut Client, programs: &mut [&mut Running]) -> Duration {
        assert_eq!(self.rows(client), Vec::<Value>::new());
        let asked = Instant::now();
        self.look_up(LISTED.0);
        loop {
            let rows = self.rows(client);
            let elapsed = asked.elapsed();
            if let [row] = rows.as_slice() {
                assert_eq!(row["trail"], LISTED.1, "{row:#}");
                assert_eq!(row["src"]["values"], json!(["10.20.10.13"]), "{row:#}");
                assert_eq!(row["count"], 1, "{row:#}");
                return elapsed;
            }
            let said: String = programs.iter().map(|one| one.said()).collect();
            assert!(
                rows.is_empty() && elapsed < SOON && programs.iter_mut().all(|one| one.runs()),
                "{rows:#?} after {elapsed:?}:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Each thread of the sensor has left root for good and keeps the right to capture, nothing else.
#[track_caller]
fn check_rights(sensor: &Running, user: u32) {
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", sensor.pid()))
        .expect("it runs")
        .map(|entry| entry.expect("a thread").path())
        .collect();
    assert!(threads.len() > 2, "{threads:?}");
    let ids = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
    for thread in threads {
        let status = fs::read_to_string(thread.join("status")).expect("a thread");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map_or_else(String::new, |value| value.trim().to_owned())
        };
        assert_eq!(value("Uid:"), ids(user), "{status}");
        assert_eq!(value("Gid:"), ids(user), "{status}");
        assert_eq!(value("Groups:"), "", "{status}");
        for set in ["CapEff:", "CapPrm:"] {
            assert_eq!(value(set), ONLY_CAPTURE, "{status}");
        }
        for set in ["CapInh:", "CapBnd:", "CapAmb:"] {
            assert_eq!(value(set), "0".repeat(16), "{set} in {status}");
        }
        assert_eq!(value("NoNewPrivs:"), "1", "{status}");
    }
}

/// What the sensor wrote is the user's own, or open to all.
#[track_caller]
fn check_files(folder: &Path, user: u32) {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("LOG_DIR") {
        let entry = entry.expect("an entry");
        let meta = entry.metadata().expect("there");
        let (name, mode) = (entry.file_name(), meta.mode() & 0o777);
        let name = name.to_string_lossy().into_owned();
        let readable = mode & 0o004 != 0 || meta.uid() == user && mode & 0o400 != 0;
        assert!(readable, "{name} is {mode:o} of {}", meta.uid());
        let for_group = mode & 0o040 != 0;
        assert!(for_group || !name.starts_with("20"), "{name} is {mode:o}");
        seen.insert(name);
    }
    let name = format!("{}.log", today());
    assert!(seen.contains(&name), "no {name} in {seen:?}");
}

/// The repository's `maltrail.conf`.
fn shipped() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../maltrail.conf");
    fs::read_to_string(path).expect("maltrail.conf")
}

/// Changes the lines of these options, commented out or not.
#[track_caller]
fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    let mut out = text.to_owned();
    for (option, value) in changes {
        let is_it = |line: &&str| {
            let line = line.trim_start_matches('#');
            line.strip_prefix(option)
                .is_some_and(|rest| rest.starts_with(' '))
        };
        let lines: Vec<&str> = out.lines().filter(is_it).collect();
        let [line] = lines.as_slice() else {
            panic!("{option} stands on {} lines", lines.len());
        };
        out = out.replace(*line, &format!("{option} {value}"));
    }
    out
}

/// Starts all, looks up, and judges. `prepare` happens before the sensor is started.
#[track_caller]
fn use_it(site: &mut Site, sensor_user: u32, prepare: impl FnOnce(&mut Site)) -> Duration {
    prepare(site);
    let mut sensor = site.start_sensor();
    let mut server = site.start_server();
    let mut client = site.signed_in(site.password);
    let elapsed = site.time_to_row(&mut client, &mut [&mut sensor, &mut server]);
    check_rights(&sensor, sensor_user);
    check_files(&site.path("logs"), site.user);
    let ended = sensor.stop().expect_success();
    assert!(!ended.all().contains("[x]"), "{ended:#?}");
    let _ = server.stop().expect_success();
    elapsed
}

/// The shipped configuration in a folder of the test.
fn shipped_site(test: &str, user: u32, changes: &[(&str, &str)]) -> Option<Site> {
    let site = Site::new(test, "", user)?;
    let (logs, trails) = (site.path("logs"), site.path("trails.csv"));
    let mut all = vec![
        ("LOG_DIR", logs.to_str().expect("UTF-8")),
        ("TRAILS_FILE", trails.to_str().expect("UTF-8")),
    ];
    all.extend(changes);
    fs::write(&site.config, changed(&shipped(), &all)).expect("a file of ours");
    Some(site)
}

/// Root without sudo: the sensor becomes nobody, and so is the server.
#[test]
fn a_lookup_of_another_machine_is_a_row_of_the_dashboard() {
    const TEST: &str = "a_lookup_of_another_machine_is_a_row_of_the_dashboard";
    let Some(mut site) = shipped_site(TEST, NOBODY, &[]) else {
        return;
    };
    let elapsed = use_it(&mut site, NOBODY, |_| {});
    maltrail_tests::report::tell(&format!("{TEST}: {elapsed:?} from the packet to the row"));
}

/// With sudo: both belong to the caller. The interface is named, as at a mirror port.
#[test]
fn under_sudo_the_logs_belong_to_the_caller() {
    const TEST: &str = "under_sudo_the_logs_belong_to_the_caller";
    let Some(mut site) = shipped_site(TEST, USER, &[("MONITOR_INTERFACE", "in0")]) else {
        return;
    };
    let elapsed = use_it(&mut site, USER, |site| {
        let id = || USER.to_string();
        let caller = [("SUDO_UID", id()), ("SUDO_GID", id())];
        site.variables.extend(caller);
        site.variables.push(("SUDO_USER", "somebody".to_owned()));
    });
    maltrail_tests::report::tell(&format!("{TEST}: {elapsed:?} from the packet to the row"));
}

/// The server made LOG_DIR before: the sensor becomes its user.
#[test]
fn a_log_folder_of_the_server_decides_whom_the_sensor_becomes() {
    const TEST: &str = "a_log_folder_of_the_server_decides_whom_the_sensor_becomes";
    let Some(mut site) = shipped_site(TEST, USER, &[]) else {
        return;
    };
    let _ = use_it(&mut site, USER, |site| {
        std::os::unix::fs::chown(site.folder.path(), Some(USER), Some(USER)).expect("root");
        let _ = site.start_server().stop().expect_success();
    });
}

/// A file of the old version, unchanged: the environment names folders.
#[test]
fn a_configuration_of_the_old_version_works_unchanged() {
    const TEST: &str = "a_configuration_of_the_old_version_works_unchanged";
    let Some(mut site) = Site::new(TEST, include_str!("old.conf"), NOBODY) else {
        return;
    };
    site.password = "changeme!";
    site.variables = ["LOG_DIR logs", "TRAILS_FILE trails.csv"]
        .map(|line| line.split_once(' ').expect("two words"))
        .map(|(option, name)| {
            let variable = match option {
                "LOG_DIR" => "MALTRAIL_LOG_DIR",
                _ => "MALTRAIL_TRAILS_FILE",
            };
            (variable, site.path(name).display().to_string())
        })
        .to_vec();
    let elapsed = use_it(&mut site, NOBODY, |_| {});
    maltrail_tests::report::tell(&format!("{TEST}: {elapsed:?} from the packet to the row"));
}

/// The server reads LOG_DIR and gets the same events by datagram: each is there once.
#[test]
fn events_by_file_and_by_datagram_are_there_once() {
    const TEST: &str = "events_by_file_and_by_datagram_are_there_once";
    for format in ["line", "json"] {
        let changes = [
            ("MONITOR_INTERFACE", "in0"),
            ("UDP_ADDRESS", "127.0.0.1"),
            ("UDP_PORT", "8337"),
            ("LOG_SERVER", "127.0.0.1:8337"),
            ("LOG_SERVER_FORMAT", format),
        ];
        let Some(site) = shipped_site(TEST, NOBODY, &changes) else {
            return;
        };
        both_ways(&site);
    }
}

fn both_ways(site: &Site) {
    let sensor = site.start_sensor();
    let _server = site.start_server();
    let mut client = site.signed_in(site.password);
    let frames = Sample::build().frames;
    let frames = frames.iter().map(|frame| frame.bytes.as_slice());
    site.peer
        .inside(|| play("out0", frames, 3000))
        .expect("a cable");
    std::thread::sleep(Duration::from_millis(500));
    let ended = sensor.stop().expect_success();
    let written = ended
        .out
        .split_once(" lines\n")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok())
        .unwrap_or_else(|| panic!("no number of lines in {ended:#?}"));
    assert!(written >= Sample::build().planted.len(), "{ended:#?}");
    let day = site.path("logs").join(format!("{}.log", today()));
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(&day).expect("a day file");
        let distinct = text.lines().collect::<BTreeSet<_>>().len();
        let rows = site.rows(&mut client);
        let counts = rows
            .iter()
            .map(|row| row["count"].as_u64().expect("a count"));
        let counted = counts.sum::<u64>() as usize;
        let health = site.mirror.inside(|| client.get("/api/v1/health")).json();
        let received = health["intake"]["received"].as_u64().expect("a number");
        let all = [distinct, counted, received as usize];
        if all == [written; 3] {
            return;
        }
        assert!(
            all.iter().all(|count| *count <= written) && started.elapsed() < PATIENCE,
            "of {written} events {distinct} in the file, {counted} in the API, {received} by datagram: {health:#}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
