//! A server in this process on free ports, and a small HTTP client.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod fixture;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maltrail_core::config::{Config, Environment};
use maltrail_core::time::{Timestamp, Zone};
use maltrail_server::{App, AppOptions, Running};
use serde_json::Value;

/// SHA-256 of `admin`, the shipped password.
pub(crate) const ADMIN: &str = "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918";

/// SHA-256 in hex, for entries of USERS.
pub(crate) fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Configuration text on loopback; `more` lines follow.
pub(crate) fn config_text(log_dir: &Path, more: &str) -> String {
    format!(
        "HTTP_ADDRESS 127.0.0.1\nHTTP_PORT 8338\nUSE_SSL false\nLOG_DIR {}\nUDP_ADDRESS 127.0.0.1\nUDP_PORT 8337\nTRAILS_FILE {}\n{more}\n",
        log_dir.display(),
        log_dir.join("trails.csv").display()
    )
}

/// USERS with one password for all.
pub(crate) fn users(password: &str, entries: &[(&str, u32, &str)]) -> String {
    let hash = sha256(password);
    let lines: Vec<String> = entries
        .iter()
        .map(|(name, uid, filter)| format!("    {name}:{hash}:{uid}:{filter}"))
        .collect();
    format!("USERS\n{}\n", lines.join("\n"))
}

pub(crate) struct TestServer {
    pub(crate) log_dir: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) code: Option<String>,
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    _dir: Option<tempfile::TempDir>,
}

impl TestServer {
    /// A server on an empty folder.
    pub(crate) fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = dir.path().join("log");
        let mut server = Self::start_on(&log_dir, more, false);
        server._dir = Some(dir);
        server
    }

    /// A server on a folder that exists.
    pub(crate) fn start_on(log_dir: &Path, more: &str, keep_default_password: bool) -> Self {
        std::fs::create_dir_all(log_dir).unwrap();
        let path = log_dir.join("test.conf");
        std::fs::write(&path, config_text(log_dir, more)).unwrap();
        let (mut config, _) = Config::load(&path, &Environment::of_process()).unwrap();
        config.server.http_port = 0;
        config.server.udp = Some(("127.0.0.1".into(), 0));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options = AppOptions {
            keep_default_password,
            zone: Zone::UTC,
            ..AppOptions::default()
        };
        let running = runtime.block_on(App::start(config, options)).unwrap();
        Self {
            log_dir: log_dir.to_owned(),
            http: running.http()[0],
            udp: running.udp().unwrap(),
            code: running.first_login_code().map(|(code, _)| code.to_owned()),
            running: Some(running),
            runtime,
            _dir: None,
        }
    }

    pub(crate) fn stop(mut self) -> Option<tempfile::TempDir> {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.stop());
        self._dir.take()
    }

    pub(crate) fn client(&self) -> Client {
        Client {
            address: self.http,
            cookie: None,
        }
    }

    /// A client that is signed in.
    pub(crate) fn signed_in(&self, name: &str, password: &str) -> Client {
        let mut client = self.client();
        let answer = client.login(name, password);
        assert_eq!(answer.status, 200, "{}", answer.text());
        client
    }

    /// Sends a datagram to the intake.
    pub(crate) fn send(&self, datagram: &[u8]) {
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(datagram, self.udp)
            .unwrap();
    }
}

/// Waits until `test` holds.
pub(crate) fn wait(what: &str, mut test: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !test() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// An event line of now (UTC), `n` microseconds into the current second, and its epoch second.
pub(crate) fn line(n: u32, src: &str, trail: &str) -> (i64, String) {
    let now = Timestamp::now();
    let at = Timestamp::from_parts(now.secs(), n % 1_000_000);
    let mut time = String::new();
    Zone::UTC.write_log_time(at, &mut time);
    (
        now.secs(),
        format!(
            "\"{time}\" s1 {src} 4000 198.51.100.7 53 UDP DNS {trail} \"lumma (malware)\" (static)"
        ),
    )
}

pub(crate) fn datagram(n: u32, src: &str, trail: &str) -> Vec<u8> {
    let (epoch, line) = line(n, src, trail);
    format!("{epoch} {line}\n").into_bytes()
}

/// Today, UTC.
pub(crate) fn today() -> String {
    Zone::UTC.day(Timestamp::now()).to_string()
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) cookie: Option<String>,
}

/// A connection from another address of this machine.
pub(crate) fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

impl Client {
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, b"")
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post_json_with(path, body, &[])
    }

    pub(crate) fn post_json_with(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("X-Maltrail", "1"), ("Content-Type", "application/json")];
        headers.extend(more);
        self.request("POST", path, &headers, body.to_string().as_bytes())
    }

    /// As the page sends it.
    pub(crate) fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("X-Maltrail", "1"), ("Content-Type", "application/json")];
        self.request(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[("X-Maltrail", "1")], b"")
    }

    /// With a token.
    pub(crate) fn get_as(&self, token: &str, path: &str) -> Answer {
        self.get_with(path, &[("Authorization", &format!("Bearer {token}"))])
    }

    pub(crate) fn post_form(&self, path: &str, body: &str) -> Answer {
        self.request(
            "POST",
            path,
            &[("Content-Type", "application/x-www-form-urlencoded")],
            body.as_bytes(),
        )
    }

    /// Signs in and keeps the cookie.
    pub(crate) fn login(&mut self, name: &str, password: &str) -> Answer {
        let answer = self.post_json(
            "/api/v1/login",
            &serde_json::json!({"username": name, "password": password}),
        );
        self.keep_cookie(&answer);
        answer
    }

    pub(crate) fn keep_cookie(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers, body);
        read_answer(&mut stream, method == "HEAD")
    }

    /// Sends a request and leaves the answer to be read.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        if let Some(cookie) = &self.cookie {
            head += &format!("Cookie: {cookie}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if matches!(method, "POST" | "PUT") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"\r\n").unwrap();
        stream.write_all(body).unwrap();
        BufReader::new(stream)
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>, head_only: bool) -> Answer {
    let (status, headers) = read_head(stream);
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if head_only {
        return answer;
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            answer.body.extend_from_slice(&chunk[..size]);
        }
    } else {
        stream.read_to_end(&mut answer.body).unwrap();
    }
    answer
}

pub(crate) fn read_head(stream: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return (status, headers),
        }
    }
}
