//! The sinks as the worker sees them: what arrives where, and what trouble costs.

use std::io::{BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread::{self, JoinHandle};

use maltrail_core::config::Environment;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::*;

/// Longer than anything here takes unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Where certificates for tests lie.
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

fn config(text: &str, folder: &Path) -> Config {
    let environment = Environment {
        host_name: "box-7".to_owned(),
        ..Environment::default()
    };
    let text = format!("LOG_DIR {}\n{text}", folder.display());
    let (config, _) = Config::parse(&text, "f", Path::new("/"), &environment).expect("valid");
    config
}

fn start(text: &str, folder: &Path) -> SinkThread {
    let sinks = Sinks::open(&config(text, folder), false).expect("opens");
    sinks.spawn().expect("threads")
}

/// Without local files, so that only the receivers matter.
fn start_remote(text: &str) -> SinkThread {
    let text = format!("DISABLE_LOCAL_LOG_STORAGE true\n{text}");
    start(&text, Path::new("/nonexistent"))
}

/// The n-th of many events; its trail is the number.
fn event(n: usize) -> Event {
    let line = format!(
        "\"2023-11-14 22:13:20.123456\" s 192.0.2.1 - 203.0.113.7 443 TCP URL {n} \"x (malware)\" r\n"
    );
    Event::parse_line(&line, &Zone::local()).expect("line")
}

fn events(from: usize, count: usize) -> Vec<Event> {
    (from..from + count).map(event).collect()
}

fn receiver() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
    socket.set_read_timeout(Some(LONG)).expect("timeout");
    let address = socket.local_addr().expect("address").to_string();
    (socket, address)
}

#[track_caller]
fn datagram(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 70_000];
    let count = socket.recv(&mut buffer).expect("datagram");
    String::from_utf8(buffer[..count].to_vec()).expect("text")
}

/// The next connection; reading from it has a limit as well.
#[track_caller]
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("listener");
    let started = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("stream");
            stream.set_read_timeout(Some(LONG)).expect("timeout");
            return stream;
        }
        assert!(started.elapsed() < LONG, "nobody connects");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a fact holds.
#[track_caller]
fn wait_for(watch: &SinkWatch, wanted: impl Fn(&SinkFacts) -> bool) {
    let started = Instant::now();
    while !wanted(&watch.facts()) {
        assert!(started.elapsed() < LONG, "{:#?}", watch.facts());
        thread::sleep(Duration::from_millis(5));
    }
}

/// The whole frames of a stream with counted octets; the rest, if the stream ends within one, is
/// dropped, as a receiver does.
fn frames(mut stream: impl Read) -> Vec<String> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let mut rest = bytes.as_slice();
    let mut out = Vec::new();
    while let Some(blank) = rest.iter().position(|&byte| byte == b' ') {
        let digits = std::str::from_utf8(&rest[..blank]).expect("length");
        let length: usize = digits.parse().expect("length");
        let Some(message) = rest.get(blank + 1..blank + 1 + length) else {
            break;
        };
        out.push(String::from_utf8(message.to_vec()).expect("text"));
        rest = &rest[blank + 1 + length..];
    }
    out
}

fn trail_of(message: &str) -> usize {
    let (_, rest) = message.split_once(" trail=").expect("trail");
    let (number, _) = rest.split_once(' ').expect("more");
    number.parse().expect("number")
}

#[test]
fn events_always_have_a_place_to_go() {
    let console = |text: &str| {
        let text = format!("DISABLE_LOCAL_LOG_STORAGE true\n{text}\n");
        let sinks = Sinks::open(&config(&text, Path::new("/nonexistent")), false);
        sinks.expect("no folder is needed").console
    };
    assert!(console(""));
    // A datagram for Logstash may go nowhere; the reference prints as well.
    assert!(console("LOGSTASH_SERVER 192.0.2.1:5000"));
    assert!(!console("SYSLOG_SERVER 192.0.2.1:514"));
    assert!(!console("LOG_SERVER 127.0.0.1:9"));
    let folder = tempfile::tempdir().expect("folder");
    let local = Sinks::open(&config("", folder.path()), false).expect("opens");
    assert!(!local.console);
    let asked = Sinks::open(&config("", folder.path()), true).expect("opens");
    assert!(asked.console);
}

#[test]
fn more_receivers_than_threads_are_refused() {
    let many = vec!["192.0.2.1:514"; RECEIVERS + 1].join(",");
    let text = format!("DISABLE_LOCAL_LOG_STORAGE true\nSYSLOG_SERVER {many}\n");
    let error = Sinks::open(&config(&text, Path::new("/")), false)
        .err()
        .expect("too many");
    assert!(error.to_string().starts_with("65 receivers"), "{error}");
}

#[test]
fn every_receiver_gets_each_event_in_its_form() {
    let (line, line_at) = receiver();
    let (second, second_at) = receiver();
    let (cef, cef_at) = receiver();
    let (framed, framed_at) = receiver();
    let (logstash, logstash_at) = receiver();
    let sinks = start_remote(&format!(
        "LOG_SERVER {line_at};{second_at}\nSYSLOG_SERVER {cef_at}, udp5424://{framed_at}\n\
         LOGSTASH_SERVER {logstash_at}\nREMOTE_SEVERITY_REGEX (?P<low>malware)\nTRAILS_FILE /nonexistent\n"
    ));
    assert!(!sinks.watch().beat("{}".to_owned()), "the form is `line`");
    sinks.put(events(7, 1));
    let zone = Zone::local();
    for socket in [line, second] {
        assert_eq!(datagram(&socket), event(7).to_datagram(&zone));
    }
    let today = zone.day(maltrail_core::time::Timestamp::now());
    let version = maltrail_core::VERSION;
    let record = format!(
        "CEF:0|Maltrail|sensor|{version}|{today}|x (malware)|0|src=192.0.2.1 spt=0 dst=203.0.113.7 dpt=443 trail=7 ref=r"
    );
    let text = datagram(&cef);
    assert!(text.ends_with(&format!(" box-7 {record}")), "{text}");
    let text = datagram(&framed);
    assert!(text.starts_with("<134>1 "), "{text}");
    assert!(
        text.ends_with(&format!(" box-7 maltrail - event - {record}")),
        "{text}"
    );
    let object: Value = serde_json::from_str(&datagram(&logstash)).expect("json");
    assert_eq!(
        (&object["sensor"], &object["severity"], &object["src_port"]),
        (&"box-7".into(), &"low".into(), &0.into())
    );
    let watch = sinks.watch();
    wait_for(&watch, |facts| {
        facts.receivers.iter().all(|one| one.sent == 1)
    });
    let counters = sinks.finish();
    assert_eq!(counters.sent.load(Ordering::Relaxed), 2, "both log servers");
    assert_eq!(watch.facts().lost(), 0);
}

#[test]
fn with_a_key_log_servers_get_everything_sealed_and_others_nothing() {
    let (server, server_at) = receiver();
    let (logstash, logstash_at) = receiver();
    let sinks = start_remote(&format!(
        "UDP_KEY k\nLOG_SERVER {server_at}\nLOG_SERVER_FORMAT json\nLOGSTASH_SERVER {logstash_at}\n"
    ));
    let seal = maltrail_core::event::Seal::new("k");
    let beat = r#"{"maltrail":1,"kind":"heartbeat"}"#;
    assert!(sinks.watch().beat(beat.to_owned()));
    sinks.offer(events(7, 1));
    let first = datagram(&server);
    assert_eq!(seal.open(first.as_bytes()), Some(beat.as_bytes()));
    let second = datagram(&server);
    let object: Value =
        serde_json::from_slice(seal.open(second.as_bytes()).expect("sealed")).expect("json");
    assert_eq!(object["kind"], "event");
    assert!(datagram(&logstash).starts_with("{\"timestamp\": "));
    sinks.finish();
}

#[test]
fn heartbeats_and_objects_go_to_log_servers_only() {
    let (server, server_at) = receiver();
    let (logstash, logstash_at) = receiver();
    let sinks = start_remote(&format!(
        "LOG_SERVER {server_at}\nLOG_SERVER_FORMAT json\nLOGSTASH_SERVER {logstash_at}\n"
    ));
    let watch = sinks.watch();
    assert!(watch.beat(r#"{"maltrail":1,"kind":"heartbeat"}"#.to_owned()));
    sinks.offer(events(7, 1));
    assert_eq!(datagram(&server), r#"{"maltrail":1,"kind":"heartbeat"}"#);
    let object: Value = serde_json::from_str(&datagram(&server)).expect("json");
    let line = event(7).to_line(&Zone::local());
    assert_eq!(
        (&object["kind"], &object["line"]),
        (&"event".into(), &line.trim_end().into())
    );
    assert!(datagram(&logstash).starts_with("{\"timestamp\": "));
    sinks.finish();
    let facts = watch.facts();
    assert!(
        facts
            .receivers
            .iter()
            .all(|one| (one.offered, one.sent) == (1, 1)),
        "{facts:?}"
    );
    // The threads have ended; a late heartbeat is no panic.
    assert!(watch.beat("{}".to_owned()));
}

#[test]
fn a_receiver_of_tcp_that_comes_back_gets_what_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("socket");
    let address = listener.local_addr().expect("address");
    let sinks = start_remote(&format!("SYSLOG_SERVER tcp://{address}\n"));
    let watch = sinks.watch();
    sinks.put(events(0, 3));
    let first = accept(&listener);
    wait_for(&watch, |facts| facts.receivers[0].sent == 3);
    // Nobody listens for a while, and the sender learns of it when it has something to send.
    drop(listener);
    first.shutdown(std::net::Shutdown::Write).expect("goodbye");
    sinks.put(events(3, 3));
    let before = frames(first);
    wait_for(&watch, |facts| facts.receivers[0].failing);
    let listener = TcpListener::bind(address).expect("socket");
    let reader = thread::spawn(move || frames(accept(&listener)));
    wait_for(&watch, |facts| facts.receivers[0].sent == 6);
    sinks.finish();
    let after = reader.join().expect("frames");
    let numbers = |frames: &[String]| frames.iter().map(|text| trail_of(text)).collect::<Vec<_>>();
    assert_eq!(
        (numbers(&before), numbers(&after)),
        (vec![0, 1, 2], vec![3, 4, 5])
    );
    assert!(
        after[0].starts_with("<132>1 2023-11-14T")
            && after[0].contains(" box-7 maltrail - event - CEF:0|")
    );
    assert_eq!(watch.facts().lost(), 0);
}

/// A receiver of syslog over TLS, for one connection. What it gives is what it got.
fn tls_receiver(host: &str) -> (JoinHandle<Vec<String>>, String) {
    let pem = std::fs::read(format!("{CERTIFICATES}/server.pem")).expect("file");
    let certificate = CertificateDer::from_pem_slice(&pem).expect("certificate");
    let key = PrivateKeyDer::from_pem_slice(&pem).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("certificate");
    let listener = TcpListener::bind((host, 0)).expect("socket");
    let port = listener.local_addr().expect("address").port();
    let config = Arc::new(config);
    let thread = thread::spawn(move || {
        let stream = accept(&listener);
        // Others are refused.
        drop(listener);
        let connection = ServerConnection::new(config).expect("connection");
        frames(BufReader::new(StreamOwned::new(connection, stream)))
    });
    (thread, format!("tls://{host}:{port}"))
}

fn authority(name: &str) -> String {
    format!("SYSLOG_CA {CERTIFICATES}/{name}.pem\n")
}

#[test]
fn syslog_over_tls_arrives_at_who_can_show_its_certificate() {
    for host in ["127.0.0.1", "localhost"] {
        let (thread, address) = tls_receiver(host);
        let sinks = start_remote(&format!("SYSLOG_SERVER {address}\n{}", authority("ca")));
        let watch = sinks.watch();
        sinks.put(events(0, 500));
        wait_for(&watch, |facts| facts.receivers[0].sent == 500);
        sinks.finish();
        let got: Vec<usize> = thread
            .join()
            .expect("frames")
            .iter()
            .map(|text| trail_of(text))
            .collect();
        assert_eq!(got, (0..500).collect::<Vec<_>>(), "{host}");
        assert_eq!(watch.facts().lost(), 0);
    }
}

#[test]
fn nothing_is_said_to_who_cannot_show_its_certificate() {
    for (what, host, ca) in [
        ("another authority", "127.0.0.1", authority("other-ca")),
        ("another name", "127.0.0.2", authority("ca")),
        (
            "an authority that the system does not know",
            "127.0.0.1",
            String::new(),
        ),
    ] {
        let (thread, address) = tls_receiver(host);
        let sinks = start_remote(&format!("SYSLOG_SERVER {address}\n{ca}"));
        let watch = sinks.watch();
        sinks.put(events(0, 5));
        wait_for(&watch, |facts| facts.receivers[0].failing);
        sinks.finish();
        assert_eq!(
            thread.join().expect("frames"),
            Vec::<String>::new(),
            "{what}"
        );
        let facts = &watch.facts().receivers[0];
        assert_eq!((facts.sent, facts.lost), (0, 5), "{what}");
    }
}

#[test]
fn a_bad_file_of_authorities_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").expect("file");
    let text = format!(
        "SYSLOG_SERVER tls://a.example:6514\nSYSLOG_CA {}\n",
        file.display()
    );
    let error = Sinks::open(&config(&text, folder.path()), false).err();
    let error = error.expect("error").to_string();
    assert!(
        error.contains("SYSLOG_CA") && error.contains("no certificate in PEM form"),
        "{error}"
    );
}

/// 100,000 events, a healthy log server, and every kind of trouble beside it.
#[test]
fn a_dead_or_slow_receiver_delays_nothing_and_its_losses_are_exact() {
    const ALL: usize = 100_000;
    let folder = tempfile::tempdir().expect("folder");
    let healthy = TcpListener::bind("127.0.0.1:0").expect("socket");
    let healthy_at = healthy.local_addr().expect("address");
    let healthy = thread::spawn(move || frames(accept(&healthy)).len());
    // It takes the connection and reads nothing before all is over.
    let stuck = TcpListener::bind("127.0.0.1:0").expect("socket");
    let stuck_at = stuck.local_addr().expect("address");
    let closed_tcp = TcpListener::bind("127.0.0.1:0").expect("socket");
    let closed_tcp_at = closed_tcp.local_addr().expect("address");
    drop(closed_tcp);
    let (closed_udp, closed_udp_at) = receiver();
    drop(closed_udp);
    let sinks = start(
        &format!(
            "SYSLOG_SERVER tcp://{healthy_at} tcp://{stuck_at} tcp://{closed_tcp_at} no-such-host.invalid:514\n\
             LOG_SERVER {closed_udp_at} no-such-host.invalid:8337\n"
        ),
        folder.path(),
    );
    let watch = sinks.watch();
    let started = Instant::now();
    for from in (0..ALL).step_by(500) {
        sinks.put(events(from, 500));
    }
    let counters = sinks.finish();
    let took = started.elapsed();
    let facts = watch.facts();
    let lines = std::fs::read_to_string(folder.path().join("2023-11-14.log")).expect("day file");
    assert_eq!(lines.lines().count(), ALL);
    let whole: String = [0, ALL - 1]
        .map(|n| event(n).to_line(&Zone::local()))
        .concat();
    assert!(whole.lines().all(|line| lines.contains(line)));
    assert_eq!(
        (facts.written, facts.failed, facts.dropped),
        (ALL as u64, 0, 0)
    );
    let delivered = [
        // LOG_SERVER: nobody listens, no address.
        0,
        0,
        // SYSLOG_SERVER, datagrams and streams in the order of the entries.
        healthy.join().expect("frames"),
        frames(accept(&stuck)).len(),
        0,
        0,
    ];
    for (one, delivered) in facts.receivers.iter().zip(delivered) {
        let wanted = (ALL as u64, delivered as u64, (ALL - delivered) as u64);
        assert_eq!((one.offered, one.sent, one.lost), wanted, "{one:?}");
    }
    assert_eq!(delivered[2], ALL, "who keeps up loses nothing");
    assert!(delivered[3] > 0 && delivered[3] < ALL, "{delivered:?}");
    assert_eq!(counters.unsent.load(Ordering::Relaxed), 2 * ALL as u64);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// The queue to a receiver that takes nothing is full: live, that costs no time.
#[test]
fn live_events_never_wait_for_a_receiver() {
    let stuck = TcpListener::bind("127.0.0.1:0").expect("socket");
    let sinks = start_remote(&format!(
        "SYSLOG_SERVER tcp://{}\n",
        stuck.local_addr().expect("address")
    ));
    let watch = sinks.watch();
    // More than queue and socket hold; the event is one, so that making it costs nothing.
    let big = {
        let mut event = event(1);
        event.trail = "y".repeat(1000);
        event
    };
    let total = 4 * QUEUE;
    let mut slowest = Duration::ZERO;
    for _ in 0..total / 64 {
        let batch = vec![big.clone(); 64];
        let started = Instant::now();
        sinks.offer(batch);
        slowest = slowest.max(started.elapsed());
        // As live: a pause between reads, so that the sinks' own queue has room.
        while watch.facts().receivers[0].offered + 32 * 64 < total as u64
            && watch.facts().dropped > 0
        {
            thread::yield_now();
        }
    }
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    // Losses are counted when they happen, not only at the end.
    wait_for(&watch, |facts| facts.receivers[0].lost > QUEUE as u64);
    let started = Instant::now();
    sinks.finish();
    let took = started.elapsed();
    assert!(took < FLUSH + Duration::from_secs(2), "{took:?}");
    let facts = watch.facts();
    let one = &facts.receivers[0];
    assert_eq!(one.offered + facts.dropped, total as u64);
    assert_eq!(one.sent + one.lost, one.offered);
    assert!(one.lost > QUEUE as u64, "{one:?}");
    let stream = accept(&stuck);
    assert_eq!(frames(stream).len() as u64, one.sent);
}

/// A replay makes events faster than they can be sent; the receiver is there, so it gets all.
#[test]
fn a_replay_waits_for_a_receiver_that_keeps_up() {
    let (_open, address) = receiver();
    let sinks = start_remote(&format!("LOG_SERVER {address}\n"));
    let watch = sinks.watch();
    let total = QUEUE + 8000;
    let batches = vec![events(0, 100); total / 100];
    for batch in batches {
        sinks.put(batch);
    }
    sinks.finish();
    let facts = &watch.facts().receivers[0];
    assert_eq!((facts.sent, facts.lost), (total as u64 / 100 * 100, 0));
}

/// A disk that hangs: the day file is a pipe that nobody reads yet.
#[test]
fn live_events_never_wait_for_the_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("2023-11-14.log");
    let mode = rustix::fs::Mode::from_bits_truncate(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).expect("pipe");
    let sinks = start("LOG_FORMAT line\n", folder.path());
    let watch = sinks.watch();
    let started = Instant::now();
    // One batch is in hand, the others wait, ten are too many.
    for n in 0..QUEUE_BATCHES + 11 {
        sinks.offer(events(n, 1));
        if n == 0 {
            thread::sleep(Duration::from_millis(200));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(watch.facts().dropped, 10);
    let reader = thread::spawn(move || std::fs::read_to_string(file).expect("lines"));
    sinks.finish();
    let lines = reader.join().expect("lines");
    assert_eq!(lines.lines().count(), QUEUE_BATCHES + 1);
    assert_eq!(watch.facts().written, QUEUE_BATCHES as u64 + 1);
}

/// Events that one receiver's queue holds.
const QUEUE: usize = endpoint::QUEUE_EVENTS;

#[test]
fn every_profile_is_written_to_the_day_file_and_kept_while_it_cannot_be() {
    for (profile, key) in [
        ("maltrail", "id"),
        ("eve", "flow_id"),
        ("ecs", "@timestamp"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("2023-11-14.json");
        std::os::unix::fs::symlink("/dev/full", &file).expect("link");
        let sinks = start(
            &format!("LOG_FORMAT both\nLOG_JSON_PROFILE {profile}\n"),
            folder.path(),
        );
        let watch = sinks.watch();
        sinks.put(events(0, 2));
        wait_for(&watch, |facts| facts.written == 2);
        std::fs::remove_file(&file).expect("remove");
        sinks.put(events(2, 1));
        sinks.finish();
        let text = std::fs::read_to_string(&file).expect("file");
        let trails: Vec<String> = text
            .lines()
            .map(|line| {
                let object: Value = serde_json::from_str(line).expect(line);
                assert!(object.get(key).is_some(), "{profile}: {line}");
                let own = object.get("maltrail").unwrap_or(&object);
                own["trail"].as_str().expect("trail").to_owned()
            })
            .collect();
        assert_eq!(trails, ["0", "1", "2"], "{profile}");
        assert_eq!(watch.facts().failed, 0);
    }
}
