//! A web server that answers as badly as told, over TCP or TLS, each on an address of loopback of its own.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A good answer; 304 when the question is conditional on its tag.
    Good(Vec<u8>),
    /// A body with headers of its own.
    With(&'static str, Vec<u8>),
    /// A status without a body.
    Status(&'static str),
    /// A redirect to this address.
    Redirect(String),
    /// Half of what the header promises.
    Cut(Vec<u8>),
    /// Names without end.
    Endless,
    /// A header that promises ten gigabytes.
    Huge,
    /// A letter now and then.
    Drip,
    /// Nothing at all.
    Silent,
    /// Bytes that are not HTTP.
    Noise,
}

/// Which certificate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    Good,
    WrongName,
    Expired,
    SelfSigned,
}

struct State {
    answer: Answer,
    tls: Tls,
    asked: usize,
}

/// A running server; its thread ends with the process.
pub(crate) struct Server {
    place: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start(host: &str, tls: Tls) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("port");
        let place = listener.local_addr().expect("address");
        let state = Arc::new(Mutex::new(State {
            answer: Answer::Silent,
            tls,
            asked: 0,
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { place, state }
    }

    pub(crate) fn url(&self) -> String {
        let tls = self.state.lock().expect("lock").tls;
        let scheme = if tls == Tls::None { "http" } else { "https" };
        format!("{scheme}://{}/list", self.place)
    }

    pub(crate) fn set(&self, answer: Answer, tls: Tls) {
        let mut state = self.state.lock().expect("lock");
        (state.answer, state.tls) = (answer, tls);
    }

    /// Number of questions that were read.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().expect("lock").asked
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let (answer, tls) = {
        let state = state.lock().expect("lock");
        (state.answer.clone(), state.tls)
    };
    let name = match tls {
        Tls::None => return respond(stream, &answer, state),
        Tls::Good => "good",
        Tls::WrongName => "wrongname",
        Tls::Expired => "expired",
        Tls::SelfSigned => "selfsigned",
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
    let read = |kind: &str| std::fs::read(format!("{folder}/{name}.{kind}.der")).expect("file");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(read("cert"))],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(read("key"))),
        )
        .expect("certificate");
    let connection = ServerConnection::new(Arc::new(config)).expect("connection");
    respond(StreamOwned::new(connection, stream), &answer, state);
}

fn respond(stream: impl Read + Write, answer: &Answer, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut question = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => question.push_str(&line.to_ascii_lowercase()),
        }
    }
    state.lock().expect("lock").asked += 1;
    // The other side may have gone: that is part of the game.
    let _ = write(reader.into_inner(), answer, &question);
}

fn write(mut out: impl Write, answer: &Answer, question: &str) -> std::io::Result<()> {
    let close = "Connection: close\r\n";
    match answer {
        Answer::Good(body) => {
            let sum: usize = body.iter().map(|byte| *byte as usize).sum();
            let tag = format!("\"{}-{sum}\"", body.len());
            if question.contains(&format!("if-none-match: {tag}")) {
                return write!(
                    out,
                    "HTTP/1.1 304 Not Modified\r\n{close}ETag: {tag}\r\n\r\n"
                )
                .and_then(|()| out.flush());
            }
            let len = body.len();
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{close}ETag: {tag}\r\nContent-Length: {len}\r\n\r\n"
            )?;
            out.write_all(body)?;
        }
        Answer::With(headers, body) => {
            let len = body.len();
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{close}{headers}Content-Length: {len}\r\n\r\n"
            )?;
            out.write_all(body)?;
        }
        Answer::Status(status) => {
            write!(out, "HTTP/1.1 {status}\r\n{close}Content-Length: 0\r\n\r\n")?;
        }
        Answer::Redirect(target) => {
            write!(
                out,
                "HTTP/1.1 302 Found\r\n{close}Location: {target}\r\nContent-Length: 0\r\n\r\n"
            )?;
        }
        Answer::Cut(body) => {
            let len = body.len() * 2;
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{close}Content-Length: {len}\r\n\r\n"
            )?;
            out.write_all(body)?;
        }
        Answer::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\n{close}\r\n")?;
            let piece = "a.endless.biz\n".repeat(4096);
            loop {
                out.write_all(piece.as_bytes())?;
            }
        }
        Answer::Huge => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{close}Content-Length: 10737418240\r\n\r\n"
            )?;
            out.flush()?;
            std::thread::sleep(Duration::from_secs(60));
        }
        Answer::Drip => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{close}Content-Length: 4096\r\n\r\n"
            )?;
            for _ in 0..600 {
                out.write_all(b"a")?;
                out.flush()?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Answer::Silent => std::thread::sleep(Duration::from_secs(60)),
        Answer::Noise => out.write_all(b"\x00\x01SSH-2.0-no\r\n\r\n")?,
    }
    out.flush()
}
