//! The program itself: exit codes, messages, signals, and what survives a kill.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{ADMIN, Client, datagram, wait};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

struct Program {
    dir: tempfile::TempDir,
    http: u16,
    udp: u16,
}

impl Program {
    fn new(more: &str) -> Self {
        let program = Self {
            dir: tempfile::tempdir().unwrap(),
            http: free_port(),
            udp: free_port(),
        };
        let log_dir = program.dir.path().join("log");
        std::fs::create_dir(&log_dir).unwrap();
        let text = format!(
            "HTTP_ADDRESS 127.0.0.1\nHTTP_PORT {}\nUSE_SSL false\nLOG_DIR {}\nUDP_ADDRESS 127.0.0.1\nUDP_PORT {}\n{more}\n",
            program.http,
            log_dir.display(),
            program.udp
        );
        std::fs::write(program.conf(), text).unwrap();
        program
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("maltrail.conf")
    }

    fn spawn(&self) -> Child {
        let child = command(&self.conf())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait("the server to answer", || {
            std::net::TcpStream::connect(("127.0.0.1", self.http)).is_ok()
        });
        child
    }

    fn client(&self) -> Client {
        Client {
            address: SocketAddr::from(([127, 0, 0, 1], self.http)),
            cookie: None,
        }
    }

    fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = command(&self.conf())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }
}

fn command(conf: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.arg("-c").arg(conf).env("TZ", "UTC");
    command
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn version_and_wrong_arguments() {
    let version = Command::new(env!("CARGO_BIN_EXE_server"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(
        version.status.success()
            && String::from_utf8_lossy(&version.stdout).contains(maltrail_core::VERSION)
    );
    let wrong = Command::new(env!("CARGO_BIN_EXE_server"))
        .arg("--no-such-flag")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_bad_configuration_is_named() {
    let missing = command(Path::new("/nonexistent/maltrail.conf"))
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        error_text(&missing).contains("missing configuration file"),
        "{}",
        error_text(&missing)
    );
    let program = Program::new("");
    let text = std::fs::read_to_string(program.conf()).unwrap();
    std::fs::write(program.conf(), text.replace("HTTP_PORT ", "HTTP_PORT abc")).unwrap();
    let bad = program.run(&[], "");
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        error_text(&bad).contains("HTTP_PORT"),
        "{}",
        error_text(&bad)
    );
}

#[test]
fn a_port_in_use_is_named() {
    let program = Program::new("");
    let _taken = TcpListener::bind(("127.0.0.1", program.http)).unwrap();
    let output = program.run(&[], "");
    let text = error_text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains(&format!("127.0.0.1:{}", program.http)) && text.contains("already running"),
        "{text}"
    );
    drop(_taken);
    let _taken = UdpSocket::bind(("127.0.0.1", program.udp)).unwrap();
    let output = program.run(&[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error_text(&output).contains("UDP_PORT"),
        "{}",
        error_text(&output)
    );
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let program = Program::new("");
    let mut first = program.spawn();
    let text = std::fs::read_to_string(program.conf()).unwrap();
    let text = text.replace(&program.http.to_string(), &free_port().to_string());
    std::fs::write(
        program.conf(),
        text.replace(&program.udp.to_string(), &free_port().to_string()),
    )
    .unwrap();
    let second = program.run(&[], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(
        error_text(&second).contains("another server works on"),
        "{}",
        error_text(&second)
    );
    let reindex = program.run(&["reindex"], "");
    assert_eq!(reindex.status.code(), Some(1), "not under a running server");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_signal_stops_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let program = Program::new("");
        let child = program.spawn();
        // An open stream must not hold up the end.
        let _stream = program.client().open("GET", "/api/v1/stream", &[], b"");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{text}{}",
            error_text(&output)
        );
        assert!(
            text.starts_with("Maltrail (server) #v") && text.contains("[^] running..."),
            "{text}"
        );
        assert!(text.contains("[*] ending @ "), "{text}");
    }
}

#[test]
fn a_kill_loses_nothing_that_was_stored() {
    let program = Program::new("");
    let mut child = program.spawn();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..2000_u32 {
        let datagram = datagram(
            n,
            &format!("10.0.{}.{}", n % 11, n % 200),
            &format!("evil{}.example", n % 17),
        );
        socket
            .send_to(&datagram, ("127.0.0.1", program.udp))
            .unwrap();
        if n % 100 == 99 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let client = program.client();
    let stored = || {
        client.get("/api/v1/health").json()["intake"]["stored"]
            .as_u64()
            .unwrap()
    };
    wait("the datagrams", || stored() == 2000);
    child.kill().unwrap(); // SIGKILL; the index may be anywhere.
    child.wait().unwrap();
    let rows = |client: &Client| {
        let mut answer = client
            .get("/api/v1/threats?limit=500&sort=uid&include=facets,histogram")
            .json();
        answer.as_object_mut().unwrap().remove("generation");
        answer
    };
    let mut child = program.spawn();
    let first = rows(&program.client());
    assert_eq!(
        (&first["all"]["events"], &first["events"]),
        (&json!(2000), &json!(2000))
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let reindex = program.run(&["reindex"], "");
    assert!(reindex.status.success(), "{}", error_text(&reindex));
    assert!(String::from_utf8_lossy(&reindex.stdout).contains("2000 events"));
    let mut child = program.spawn();
    assert!(
        rows(&program.client()) == first,
        "the rebuilt index answers differently"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn passwords_are_set_on_the_console() {
    let program = Program::new(&format!("USERS\n    admin:{ADMIN}:0:\n"));
    let weak = program.run(&["passwd", "admin"], "short\n");
    assert_eq!(weak.status.code(), Some(1));
    assert!(
        error_text(&weak).contains("at least 8"),
        "{}",
        error_text(&weak)
    );
    let unknown = program.run(&["passwd", "nobody"], "correct horse\n");
    assert!(
        error_text(&unknown).contains("USERS has no account"),
        "{}",
        error_text(&unknown)
    );
    let done = program.run(&["passwd", "admin"], "correct horse\n");
    assert!(done.status.success(), "{}", error_text(&done));
    let mut child = program.spawn();
    let mut client = program.client();
    assert_eq!(client.login("admin", "admin").status, 401);
    let login = client.login("admin", "correct horse");
    assert_eq!(
        (login.status, &login.json()["state"]),
        (200, &json!("open"))
    );
    assert_eq!(client.get("/whoami").text(), "admin");
    let again = program.run(&["passwd", "admin"], "battery staple\n");
    assert!(again.status.success(), "{}", error_text(&again));
    assert_eq!(
        client.get("/whoami").text(),
        "",
        "a password set beside the running server ends sign-ins"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_default_password_may_not_stay_on_the_network() {
    let program = Program::new("");
    let text = std::fs::read_to_string(program.conf()).unwrap();
    std::fs::write(
        program.conf(),
        text.replace("HTTP_ADDRESS 127.0.0.1", "HTTP_ADDRESS 0.0.0.0"),
    )
    .unwrap();
    let output = program.run(&["--keep-default-password"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error_text(&output).contains("needs an HTTP_ADDRESS on loopback"),
        "{}",
        error_text(&output)
    );
}
