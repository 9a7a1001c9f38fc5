//! Alerts reach a webhook that is slow, failing, redirecting, hostile or dead: none is lost, none is doubled beyond
//! the rule of `docs/alerts.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Client, TestServer, config_text, datagram, line, today, users, wait};

/// What a webhook got.
#[derive(Clone, Debug)]
struct Got {
    head: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> String {
        let found = self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    }
}

/// How the n-th request is answered.
type Answer = Box<dyn Fn(usize, &mut TcpStream) + Send + Sync>;

/// A receiver of alerts on loopback.
struct Webhook {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    stop: Arc<AtomicBool>,
}

impl Webhook {
    fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Box::new(answer))
    }

    fn start_at(address: SocketAddr, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let hook = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
            stop: Arc::default(),
        };
        let (got, stop, answer) = (
            Arc::clone(&hook.got),
            Arc::clone(&hook.stop),
            Arc::new(answer),
        );
        let number = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (got, answer, number) =
                    (Arc::clone(&got), Arc::clone(&answer), Arc::clone(&number));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read(&mut stream) {
                        got.lock().unwrap().push(request);
                        answer(number.fetch_add(1, Ordering::AcqRel), &mut stream);
                    }
                });
            }
        });
        hook
    }

    fn good() -> Self {
        Self::start(|_, stream| say(stream, "200 OK"))
    }

    fn config(&self, more: &str) -> String {
        format!("ALERT_WEBHOOK_URL http://{}/hook\n{more}\n", self.address)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn trails(&self) -> Vec<String> {
        let got = self.got();
        let trails = got
            .iter()
            .map(|got| got.json()["trail"].as_str().unwrap().to_owned());
        trails.collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn say(stream: &mut TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(text.as_bytes());
}

fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (head, body) = (head.to_owned(), body.to_owned());
            let got = Got { head, body };
            let length: usize = got.header("content-length").parse().unwrap_or(0);
            if got.body.len() >= length {
                return Some(got);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn health(client: &Client) -> Value {
    client.get("/api/v1/health").json()["alerts"].clone()
}

fn settled(client: &Client, sent: u64) {
    wait("the queue is empty", || {
        let health = health(client);
        health["sent"] == json!(sent) && health["waiting"] == json!(0)
    });
}

#[test]
fn a_threat_reaches_the_webhook_once_in_the_shape_of_the_reference() {
    let hook = Webhook::good();
    let server = TestServer::start(&hook.config("ALERT_THROTTLE 300"));
    for n in 0..5 {
        server.send(&datagram(n, "10.0.0.1", "evil.example"));
    }
    wait("the alert", || !hook.got().is_empty());
    server.send(&datagram(9, "10.0.0.1", "evil.example"));
    server.send(&datagram(9, "10.0.0.2", "other.example"));
    wait("the second threat", || hook.got().len() > 1);
    settled(&server.client(), 2);
    let got = hook.got();
    assert_eq!(hook.trails(), ["evil.example", "other.example"]);
    assert!(got[0].head.starts_with("POST /hook HTTP/1.1"));
    assert_eq!(got[0].header("content-type"), "application/json");
    assert_eq!(got[0].header("x-maltrail-reason"), "new");
    let body = got[0].json();
    assert_eq!(body.as_object().unwrap().len(), 12);
    assert!(body["timestamp"].is_i64());
    for (name, wanted) in [
        ("sensor", "s1"),
        ("severity", "high"),
        ("src_ip", "10.0.0.1"),
        ("src_port", "4000"),
        ("dst_ip", "198.51.100.7"),
        ("dst_port", "53"),
        ("proto", "UDP"),
        ("type", "DNS"),
        ("info", "lumma (malware)"),
        ("reference", "(static)"),
    ] {
        assert_eq!(body[name], wanted, "{name}");
    }
}

#[test]
fn only_the_threshold_and_above_alerts() {
    for (more, wanted) in [
        ("", "high.example"),
        // What the operator says wins over the dashboard's severity.
        (
            "REMOTE_SEVERITY_REGEX (?P<high>scanner)|(?P<low>malware)",
            "low.example",
        ),
    ] {
        let hook = Webhook::good();
        let server = TestServer::start(&hook.config(&format!("ALERT_SEVERITY high\n{more}")));
        for (trail, info) in [
            ("low.example", "mass scanner"),
            ("medium.example", "long domain (suspicious)"),
            ("high.example", "apt x (malware)"),
        ] {
            let (epoch, text) = line(1, "10.0.0.1", trail);
            let text = text.replace("lumma (malware)", info);
            server.send(format!("{epoch} {text}\n").as_bytes());
        }
        settled(&server.client(), 1);
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(hook.trails(), [wanted]);
    }
}

#[test]
fn a_failing_receiver_gets_each_alert_in_the_end() {
    let hook = Webhook::start(|n, stream| {
        say(stream, if n < 2 { "500 No" } else { "200 OK" });
    });
    let server = TestServer::start(&hook.config(""));
    for n in 0..3 {
        server.send(&datagram(n, "10.0.0.1", &format!("t{n}.example")));
    }
    settled(&server.client(), 3);
    let mut ids: Vec<String> = hook
        .got()
        .iter()
        .skip(2)
        .map(|got| got.header("x-maltrail-alert"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3"], "each was taken once");
    let health = health(&server.client());
    assert_eq!(
        (&health["retries"], &health["failed"]),
        (&json!(2), &json!(0))
    );
}

#[test]
fn a_redirect_is_not_followed_and_the_alert_is_kept_for_the_admin() {
    let elsewhere = Webhook::good();
    let to = elsewhere.address;
    let hook = Webhook::start(move |_, stream| {
        say(stream, &format!("307 There\r\nLocation: http://{to}/x"));
    });
    let more = hook.config("") + &users("correct horse", &[("root", 0, ""), ("eve", 1000, "")]);
    let server = TestServer::start(&more);
    server.send(&datagram(1, "10.0.0.1", "evil.example"));
    let admin = server.signed_in("root", "correct horse");
    wait("the dead letter", || health(&admin)["dead"] == json!(1));
    assert!(elsewhere.got().is_empty());
    assert_eq!(hook.got().len(), 1);
    let listed = admin.get("/api/v1/alerts").json();
    let alert = &listed["alerts"][0];
    assert_eq!(
        (&alert["state"], &alert["trail"], &listed["next"]),
        (&json!("dead"), &json!("evil.example"), &Value::Null)
    );
    let error = alert["error"].as_str().unwrap();
    assert!(
        error.contains("answer 307: redirects are not followed"),
        "{error}"
    );
    assert!(
        !listed.to_string().contains("/hook"),
        "the address is a secret"
    );
    let eve = server.signed_in("eve", "correct horse");
    assert_eq!(eve.get("/api/v1/alerts").status, 403);
}

#[test]
fn an_endless_answer_and_a_silent_receiver_hold_up_nobody() {
    let hook = Webhook::start(|n, stream| {
        if n == 0 {
            // Never answers; the server goes on working meanwhile.
            std::thread::sleep(Duration::from_secs(4));
            return;
        }
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut alive = stream.write_all(head.as_bytes()).is_ok();
        let deadline = Instant::now() + Duration::from_secs(30);
        while alive && Instant::now() < deadline {
            alive = stream
                .write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes())
                .is_ok();
        }
    });
    let server = TestServer::start(&hook.config(""));
    server.send(&datagram(1, "10.0.0.1", "first.example"));
    wait("the first attempt hangs", || hook.got().len() == 1);
    let started = Instant::now();
    server.send(&datagram(2, "10.0.0.1", "second.example"));
    let client = server.client();
    wait("the second is indexed", || {
        client.get("/api/v1/threats").json()["total"] == json!(2)
    });
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "the webhook held up the index"
    );
    settled(&client, 2);
}

#[test]
fn what_was_queued_before_the_end_is_sent_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = dir.path().join("log");
    // Nobody listens there yet.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let more = format!("ALERT_WEBHOOK_URL http://{address}/hook\n");
    let server = TestServer::start_on(&log_dir, &more, false);
    for n in 0..3 {
        server.send(&datagram(n, "10.0.0.1", &format!("t{n}.example")));
    }
    let client = server.client();
    wait("all are queued, one was tried", || {
        let health = health(&client);
        health["waiting"] == json!(3) && health["retries"].as_u64() > Some(0)
    });
    // Without a clean stop.
    drop(server);
    let hook = Webhook::start_at(
        address,
        Box::new(|_, stream: &mut TcpStream| say(stream, "204 Yes")),
    );
    let server = TestServer::start_on(&log_dir, &more, false);
    settled(&server.client(), 3);
    std::thread::sleep(Duration::from_millis(1200));
    let mut trails = hook.trails();
    trails.sort_unstable();
    assert_eq!(trails, ["t0.example", "t1.example", "t2.example"]);
}

/// The server as a process that can be killed.
fn process(conf: &Path, http: u16) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_server"))
        .arg("-c")
        .arg(conf)
        .env("TZ", "UTC")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait("the server to answer", || {
        TcpStream::connect(("127.0.0.1", http)).is_ok()
    });
    child
}

#[test]
fn killed_between_queueing_and_sending_each_alert_arrives_and_only_the_one_under_way_may_twice() {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = dir.path().join("log");
    std::fs::create_dir(&log_dir).unwrap();
    let hook = Webhook::start(|n, stream| {
        if n == 0 {
            // Taken, but the answer does not come before the kill.
            std::thread::sleep(Duration::from_secs(10));
        }
        say(stream, "200 OK");
    });
    let http = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let conf = dir.path().join("maltrail.conf");
    let text = config_text(&log_dir, &hook.config(""))
        .replace("HTTP_PORT 8338", &format!("HTTP_PORT {http}"))
        .replace("UDP_PORT 8337", &format!("UDP_PORT {udp}"));
    std::fs::write(&conf, text).unwrap();
    let client = Client {
        address: SocketAddr::from(([127, 0, 0, 1], http)),
        cookie: None,
    };
    let mut server = process(&conf, http);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..5 {
        let datagram = datagram(n, "10.0.0.1", &format!("t{n}.example"));
        socket.send_to(&datagram, ("127.0.0.1", udp)).unwrap();
    }
    wait("all are queued and one is under way", || {
        health(&client)["waiting"] == json!(5) && hook.got().len() == 1
    });
    server.kill().unwrap();
    server.wait().unwrap();
    let mut server = process(&conf, http);
    wait("the queue is empty", || {
        let health = health(&client);
        health["sent"] == json!(5) && health["waiting"] == json!(0)
    });
    server.kill().unwrap();
    server.wait().unwrap();
    let got = hook.got();
    let mut ids: Vec<String> = got
        .iter()
        .map(|got| got.header("x-maltrail-alert"))
        .collect();
    assert_eq!(
        ids.remove(0),
        ids[0],
        "the one under way is sent again under its number"
    );
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
}

#[test]
fn events_written_while_the_server_was_down_alert_and_older_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = dir.path().join("log");
    std::fs::create_dir_all(&log_dir).unwrap();
    let day = log_dir.join(format!("{}.log", today()));
    let append = |trail: &str| {
        let (_, text) = line(1, "10.0.0.1", trail);
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&day)
            .unwrap();
        file.write_all(format!("{text}\n").as_bytes()).unwrap();
    };
    append("before.example");
    let old = log_dir.join("2020-01-02.log");
    let (_, text) = line(1, "10.0.0.1", "old.example");
    let text = text.replace(&today(), "2020-01-02");
    std::fs::write(old, format!("{text}\n")).unwrap();
    std::thread::sleep(Duration::from_millis(2200));
    let hook = Webhook::good();
    let server = TestServer::start_on(&log_dir, &hook.config(""), false);
    let client = server.client();
    wait("today is indexed", || {
        client.get("/api/v1/threats").json()["total"] == json!(1)
    });
    std::thread::sleep(Duration::from_millis(1200));
    drop(server);
    append("while-down.example");
    let server = TestServer::start_on(&log_dir, &hook.config(""), false);
    settled(&server.client(), 1);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(hook.trails(), ["while-down.example"]);
}

#[test]
fn hostile_fields_stay_fields() {
    let hook = Webhook::good();
    let format = r#"ALERT_FORMAT {"text": "%(severity)s: %(src_ip)s -> %(trail)s (%(info)s)"}"#;
    let server = TestServer::start(&hook.config(format));
    let (epoch, text) = line(1, "10.0.0.1", r#""x"",""injected"":""y""#);
    server.send(format!("{epoch} {text}\n").as_bytes());
    settled(&server.client(), 1);
    let body = hook.got()[0].json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let text = body["text"].as_str().unwrap();
    assert_eq!(
        text,
        r#"high: 10.0.0.1 -> x","injected":"y (lumma (malware))"#
    );
}

#[test]
fn a_threat_that_goes_on_after_the_throttle_alerts_again() {
    let hook = Webhook::good();
    let server = TestServer::start(&hook.config("ALERT_THROTTLE 4"));
    let client = server.client();
    server.send(&datagram(0, "10.0.0.1", "evil.example"));
    settled(&client, 1);
    server.send(&datagram(500_000, "10.0.0.1", "evil.example"));
    std::thread::sleep(Duration::from_millis(4200));
    assert_eq!(hook.got().len(), 1, "within the throttle");
    server.send(&datagram(999_999, "10.0.0.1", "evil.example"));
    settled(&client, 2);
    assert_eq!(hook.got()[1].header("x-maltrail-reason"), "ongoing");
}

#[test]
fn options_that_cannot_work_are_told_and_start_the_server() {
    for (more, wanted) in [
        (
            "ALERT_WEBHOOK_URL file:///etc/passwd\n",
            "no http:// or https://",
        ),
        (
            "ALERT_WEBHOOK_URL http://127.0.0.1:9/\nALERT_FORMAT %(nothing)s\n",
            "names a field",
        ),
    ] {
        let server = TestServer::start(more);
        let health = health(&server.client());
        let problem = health["problem"].as_str().unwrap();
        assert!(problem.contains(wanted), "{problem}");
        assert_eq!(health["on"], json!(false));
    }
}
