//! Faults of mirror ports, provoked on a cable and named by the running sensor.
//!
//! Each scenario has a namespace, a cable and a sensor of its own; all run at the same time, as a fault
//! needs up to a minute to be seen. A scenario names the faults that must be in the sensor's state, and no
//! other may be there. Those without a fault are near misses.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use maltrail_tests::house::TestHouse;
use maltrail_tests::network::{Net, play};
use maltrail_tests::packet::{self, Host, Qtype, Segment};
use maltrail_tests::programs::Running;
use rustix::process::Signal;
use serde_json::Value;

/// The longest that a fault may take: a minute, two heartbeats, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(110);
/// How long a scenario without a fault is watched: until the minute of silence would be over.
const WATCHED: Duration = Duration::from_secs(66);
/// Frames a second.
const PACE: usize = 3000;
/// Frames of which enough are looked at, one in 32.
const ENOUGH: u32 = 12_000;

/// Numbers without a pattern, the same every time.
fn scattered(number: u32) -> u32 {
    let mixed = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
    mixed ^ mixed >> 16
}

/// A segment of an open connection between our host and another, outward or inward.
fn segment(number: u32, outward: bool, length: usize) -> Vec<u8> {
    let client = Host::local("10.20.10.50").port(52_000 + (number % 64) as u16);
    let server = Host::remote("203.0.113.90").port(443);
    let (src, dst) = if outward {
        (client, server)
    } else {
        (server, client)
    };
    let segment = Segment {
        seq: scattered(number),
        ack: Some(scattered(number ^ 0x5555_5555)),
        ..Segment::default()
    };
    packet::tcp(src, dst, segment, &vec![0x5a; length])
}

/// Both directions.
fn conversation(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| segment(number, number % 2 == 0, 100))
        .collect()
}

/// One direction, and one segment of `others` back.
fn one_way(count: u32, others: u32) -> Vec<Vec<u8>> {
    let number = |number: u32| segment(number, !number.is_multiple_of(others), 100);
    (1..count).map(number).collect()
}

/// Questions, with their answers or without.
fn questions(count: u32, answered: bool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 0..count {
        let client = Host::local("10.20.10.51").port(1024 + (scattered(number) % 60_000) as u16);
        let resolver = Host::remote("203.0.113.53").port(53);
        let name = format!("{:08x}.example.org", scattered(number));
        frames.push(packet::dns_query(client, resolver, &name, Qtype::A));
        if answered {
            let address = [[192, 0, 2, 7].into()];
            frames.push(packet::dns_answer(
                client,
                resolver,
                &name,
                Qtype::A,
                &address,
            ));
        }
    }
    frames
}

/// A sensor on a cable.
struct Port {
    name: &'static str,
    net: Net,
    /// What is at the other end.
    peer: Option<Net>,
    house: TestHouse,
    sensor: Running,
}

impl Port {
    /// With these options beside the usual ones, and trails written so long ago.
    fn open(
        name: &'static str,
        options: &[(&'static str, &str)],
        trails: Option<Duration>,
    ) -> Self {
        Self::open_to(name, None, options, trails)
    }

    /// The same, with the other end of the cable in another namespace.
    fn open_to(
        name: &'static str,
        peer: Option<Net>,
        options: &[(&'static str, &str)],
        trails: Option<Duration>,
    ) -> Self {
        let net = Net::new(name).expect("it was possible before");
        match &peer {
            Some(peer) => net.cable_to(peer),
            None => net.cable(),
        }
        let mut house = TestHouse::new();
        house
            .set("MONITOR_INTERFACE", "in0")
            .set("CAPTURE_WORKERS", "1")
            .set("CAPTURE_BUFFER_SIZE", "64MB")
            .set("DISABLED_HEURISTICS", "ddos,dns_exhaustion");
        for (option, value) in options {
            house.set(option, value);
        }
        if let Some(age) = trails {
            let file = house.write("trails.csv", "listed.example,demo (malware),(custom)\n");
            let file = File::options()
                .write(true)
                .open(file)
                .expect("our own file");
            file.set_modified(SystemTime::now() - age).expect("a time");
        }
        let sensor = net.inside(|| Running::start("the sensor", seeing(&house)));
        let mut port = Self {
            name,
            net,
            peer,
            house,
            sensor,
        };
        port.sensor.wait_until_said("running...");
        port
    }

    fn plays(&self, frames: &[Vec<u8>], pace: usize) {
        let frames = frames.iter().map(Vec::as_slice);
        let far = self.peer.as_ref().unwrap_or(&self.net);
        far.inside(|| play("out0", frames, pace)).expect("a cable");
    }

    /// Ids of the faults in the state that the sensor keeps.
    fn faults(&self) -> Vec<String> {
        let text = self.house.day_file("status-office.json");
        // Nothing is there before the first heartbeat.
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        let faults = state["faults"].as_array().cloned().unwrap_or_default();
        let id = |fault: Value| fault["id"].as_str().expect("an id").to_owned();
        faults.into_iter().map(id).collect()
    }

    /// Waits until exactly these faults are in the state; while it waits no other may be.
    fn has(&mut self, wanted: &[&str]) {
        let started = Instant::now();
        loop {
            let found = self.faults();
            if found == wanted {
                break;
            }
            let strange = found.iter().find(|id| !wanted.contains(&id.as_str()));
            assert!(
                strange.is_none() && self.sensor.runs() && started.elapsed() < PATIENCE,
                "{}: {found:?}, not {wanted:?}, after {:?}:\n{}",
                self.name,
                started.elapsed(),
                self.sensor.said()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        for id in wanted {
            // An operator at the console sees it as well, with the next step.
            self.sensor.wait_until_said(&format!("[{id}]"));
        }
        maltrail_tests::report::tell(&format!(
            "{}: {wanted:?} after {:.1} s",
            self.name,
            started.elapsed().as_secs_f64()
        ));
    }

    /// Waits until no fault is left.
    fn recovers(&mut self) {
        let started = Instant::now();
        while !self.faults().is_empty() {
            assert!(
                self.sensor.runs() && started.elapsed() < PATIENCE,
                "{}: {:?}:\n{}",
                self.name,
                self.faults(),
                self.sensor.said()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has no fault for more than a minute, in which a packet comes now and then.
    fn stays_well(&mut self, often: Duration) {
        let started = Instant::now();
        let mut sent = Instant::now();
        while started.elapsed() < WATCHED {
            let found = self.faults();
            assert!(
                found.is_empty() && self.sensor.runs(),
                "{}: {found:?}:\n{}",
                self.name,
                self.sensor.said()
            );
            if sent.elapsed() >= often {
                sent = Instant::now();
                self.plays(&conversation(2), 0);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let text = self.house.day_file("status-office.json");
        assert!(text.contains("\"faults\":[]"), "{text}");
    }
}

/// The sensor where it sees the interfaces of its namespace in /sys, as after `ip netns exec` or in a container.
fn seeing(house: &TestHouse) -> Command {
    let sensor = house.sensor_command(&[]);
    let mut command = Command::new("unshare");
    let setup = "mount -t sysfs sysfs /sys && exec \"$@\"";
    command.args(["-m", "sh", "-c", setup, "sh"]);
    command.arg(sensor.get_program()).args(sensor.get_args());
    command
        .env("TZ", "UTC")
        .env("NO_COLOR", "1")
        .current_dir(house.path(""));
    command
}

const FRESH: Option<Duration> = Some(Duration::from_secs(60));
const DAY: u64 = 86_400;

/// What happens in a scenario.
type Scenario = (&'static str, fn(&'static str));

/// Every scenario; all at once.
const SCENARIOS: [Scenario; 16] = [
    ("a healthy port", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&conversation(ENOUGH), PACE);
        port.plays(&questions(2000, true), PACE);
        port.stays_well(Duration::from_secs(20));
    }),
    ("a silent port", |name| {
        Port::open(name, &[], FRESH).has(&["no-packets"]);
    }),
    ("only what goes out", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&one_way(ENOUGH, u32::MAX), PACE);
        port.has(&["one-direction"]);
    }),
    ("a little comes back", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&one_way(ENOUGH, 25), PACE);
        port.stays_well(Duration::from_secs(20));
    }),
    ("each packet twice", |name| {
        let mut port = Port::open(name, &[], FRESH);
        let frames = conversation(2 * ENOUGH);
        let twice: Vec<_> = frames
            .iter()
            .flat_map(|frame| [frame.clone(), frame.clone()])
            .collect();
        port.plays(&twice, 2 * PACE);
        port.has(&["doubled-packets"]);
    }),
    ("short captures", |name| {
        let mut port = Port::open(name, &[("CAPTURE_SNAPLEN", "100")], FRESH);
        port.plays(&conversation(1000), PACE);
        port.has(&["frames-cut"]);
    }),
    ("merged frames", |name| {
        download(name, true).has(&["frames-cut", "frames-merged"]);
    }),
    ("frames as on the wire", |name| {
        download(name, false).stays_well(Duration::from_secs(20));
    }),
    ("a pulled cable", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&conversation(10), 0);
        port.net.ip("link set out0 down");
        port.has(&["interface-down"]);
        port.net.ip("link set out0 up");
        port.plays(&conversation(10), 0);
        port.recovers();
    }),
    ("an interface that is switched off", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&conversation(10), 0);
        port.net.ip("link set in0 down");
        port.has(&["interface-down"]);
        port.net.ip("link set in0 up");
        port.plays(&conversation(10), 0);
        port.recovers();
        let ended = port.sensor.stop().expect_success();
        assert!(ended.out.contains("[i] 20 packets"), "{ended:#?}");
    }),
    ("a stopped sensor", |name| {
        let mut port = Port::open(name, &[("CAPTURE_BUFFER_SIZE", "4MB")], FRESH);
        port.sensor.signal(Signal::STOP);
        let frames: Vec<_> = (0..8000)
            .map(|number| segment(number, number % 2 == 0, 1400))
            .collect();
        port.plays(&frames, 0);
        port.sensor.signal(Signal::CONT);
        port.has(&["kernel-drops"]);
    }),
    ("no DNS", |name| {
        let mut port = Port::open(name, &[], FRESH);
        let frames = conversation(40_000);
        for _ in 0..5 {
            port.plays(&frames, 5 * PACE);
        }
        port.has(&["dns-missing"]);
    }),
    ("questions without answers", |name| {
        let mut port = Port::open(name, &[], FRESH);
        port.plays(&questions(6000, false), PACE);
        port.has(&["dns-one-sided"]);
    }),
    ("a narrow filter", |name| {
        let mut port = Port::open(name, &[("CAPTURE_FILTER", "port 53")], FRESH);
        let mut frames = conversation(6000);
        frames.extend(questions(10, true));
        port.plays(&frames, PACE);
        port.has(&["filter-blind"]);
    }),
    ("built-in trails", |name| {
        let mut port = Port::open(name, &[], None);
        port.plays(&conversation(10), 0);
        port.has(&["trails-builtin"]);
    }),
    ("old trails", |name| {
        let mut port = Port::open(name, &[], Some(Duration::from_secs(8 * DAY)));
        port.plays(&conversation(10), 0);
        port.has(&["trails-stale"]);
    }),
];

/// A download of which the cards make frames of many packets, or do not.
fn download(name: &'static str, merges: bool) -> Port {
    const BYTES: usize = 30_000_000;
    let peer = Net::new(name).expect("it was possible before");
    let port = Port::open_to(name, Some(peer), &[], FRESH);
    let peer = port.peer.as_ref().expect("just given");
    port.net.ip("address add 10.20.0.2/16 dev in0");
    peer.ip("address add 10.20.10.13/16 dev out0");
    if !merges {
        peer.ip("link set out0 gso_max_segs 1");
    }
    let listener = port.net.inside(|| TcpListener::bind("10.20.0.2:8080"));
    let listener = listener.expect("a port");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut upload = peer
                .inside(|| TcpStream::connect("10.20.0.2:8080"))
                .expect("a way");
            upload.write_all(&vec![7; BYTES]).expect("it is read");
        });
        let (mut download, _) = listener.accept().expect("a client");
        let mut all = Vec::with_capacity(BYTES);
        download.read_to_end(&mut all).expect("an end");
        assert_eq!(all.len(), BYTES);
    });
    port
}

#[test]
fn faults_of_a_mirror_port_are_named() {
    const TEST: &str = "faults_of_a_mirror_port_are_named";
    if Net::new(TEST).is_none() {
        return;
    }
    std::thread::scope(|scope| {
        let threads = SCENARIOS.map(|(name, play)| scope.spawn(move || play(name)));
        let failed: Vec<_> = threads
            .into_iter()
            .zip(SCENARIOS)
            .filter_map(|(thread, (name, _))| thread.join().is_err().then_some(name))
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

/// `-T` names a filter that hides packets, and a port without any; nothing is said where all is well.
#[test]
fn the_check_names_a_blinding_filter_and_a_silent_port() {
    const TEST: &str = "the_check_names_a_blinding_filter_and_a_silent_port";
    if Net::new(TEST).is_none() {
        return;
    }
    std::thread::scope(|scope| {
        let checks: [(&str, bool, &[&str]); 4] = [
            ("", true, &[]),
            ("not udp port 4789", true, &[]),
            ("udp port 53", true, &["filter-blinds", "listen-silent"]),
            ("", false, &["listen-silent"]),
        ];
        for (filter, plays, wanted) in checks {
            scope.spawn(move || assert_eq!(checked(filter, plays), wanted, "`{filter}`"));
        }
    });
}

/// Ids that `-T` gives with this filter, while a conversation is played or not.
fn checked(filter: &str, plays: bool) -> Vec<String> {
    let net = Net::new(filter).expect("it was possible before");
    net.cable();
    let mut house = TestHouse::new();
    std::fs::create_dir(house.log_dir()).expect("a folder of ours");
    house
        .set("MONITOR_INTERFACE", "in0")
        .set("CAPTURE_WORKERS", "1")
        .set("CAPTURE_BUFFER_SIZE", "8MB")
        .set("CAPTURE_FILTER", filter);
    house.write("trails.csv", "listed.example,demo (malware),(custom)\n");
    let mut sensor = net.inside(|| Running::start("the sensor", house.sensor_command(&["-T"])));
    let frames = conversation(20);
    let frames = || frames.iter().map(Vec::as_slice);
    while sensor.runs() {
        if plays {
            net.inside(|| play("out0", frames(), 0)).expect("a cable");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let ended = sensor.wait().expect_success();
    let of_line = |line: &str| {
        let (_, rest) = line.strip_prefix("[!] ")?.split_once(" [")?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let mut ids: Vec<String> = ended.all().lines().filter_map(of_line).collect();
    ids.sort();
    ids.dedup();
    ids
}
