//! HTTP and HTTPS on one port: who gets what, by which way, with which certificate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::{TestServer, users, wait};

const FILE: &str = "server-certificate.pem";
const PASSWORD: &str = "correct horse";

fn accounts() -> String {
    users(PASSWORD, &[("admin", 0, "")])
}

/// Trusts the certificate of a file and nothing else.
fn pinned(pem: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Stream> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    while client.is_handshaking() {
        client.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(client, tcp))
}

/// Head and body of an answer.
fn ask(mut stream: impl Read + Write, head: &str, body: &str) -> (String, String) {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let request = format!("{head}\r\nConnection: close\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

fn plain(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn login_head(address: SocketAddr) -> String {
    format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {address}\r\nX-Maltrail: 1\r\nContent-Type: application/json"
    )
}

fn login_body() -> String {
    format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}")
}

/// An address of this machine that is not loopback; asking for the way sends nothing.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn one_port_speaks_both_and_cookies_of_tls_stay_in_tls() {
    let server = TestServer::start(&format!("USE_SSL auto\n{}", accounts()));
    let pem = server.log_dir.join(FILE);
    let mode = std::fs::metadata(&pem).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the key is for the server alone");
    let config = pinned(&pem);
    for name in ["localhost", "127.0.0.1", "::1"] {
        let stream = connect(server.http, &config, name).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (head, body) = ask(stream, "GET /ping HTTP/1.1\r\nHost: x", "");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, "pong");
        assert!(!head.contains("strict-transport-security"), "{head}");
    }
    assert_eq!(server.client().get("/ping").text(), "pong");
    let (head, _) = ask(
        connect(server.http, &config, "localhost").unwrap(),
        &login_head(server.http),
        &login_body(),
    );
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let cookie = head.lines().find(|line| line.starts_with("set-cookie"));
    assert!(cookie.unwrap().ends_with("; secure"), "{head}");
    let (head, _) = ask(plain(server.http), &login_head(server.http), &login_body());
    let cookie = head.lines().find(|line| line.starts_with("set-cookie"));
    assert!(!cookie.unwrap().contains("secure"), "plain on loopback");
    let stranger = connect(server.http, &config, "other.example");
    assert!(stranger.is_err(), "a name that the certificate lacks");
    server.stop();
}

#[test]
fn people_from_elsewhere_are_led_to_https_and_their_passwords_stay_there() {
    let Some(outer) = outer_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let server = TestServer::start(&format!(
        "USE_SSL auto\nHTTP_ADDRESS 0.0.0.0\n{}",
        accounts()
    ));
    let address = SocketAddr::new(outer, server.http.port());
    let browser =
        format!("GET /threats?x=1&y=%3Cb%3E HTTP/1.1\r\nHost: {address}\r\nAccept: text/html,*/*");
    let (head, body) = ask(plain(address), &browser, "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"));
    let link = format!("href=\"https://{address}/threats?x=1&amp;y=%3Cb%3E\"");
    assert!(body.contains(&link), "{body}");
    let pem = server.log_dir.join(FILE);
    let certificate = CertificateDer::from_pem_file(&pem).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let pairs: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    assert!(body.contains(&pairs.join(":")), "{body}");
    let script = format!("GET /ping HTTP/1.1\r\nHost: {address}\r\nAccept: */*");
    assert_eq!(ask(plain(address), &script, "").1, "pong");
    let (head, body) = ask(plain(address), &login_head(address), &login_body());
    assert!(
        head.starts_with("http/1.1 403") && body.contains("clear_password"),
        "{head}\n{body}"
    );
    let config = pinned(&pem);
    let name = outer.to_string();
    let stream = connect(address, &config, &name).unwrap();
    let (head, body) = ask(stream, &login_head(address), &login_body());
    assert!(
        head.starts_with("http/1.1 200") && body.contains("\"open\""),
        "{head}\n{body}"
    );
    let stream = connect(address, &config, &name).unwrap();
    let (_, body) = ask(stream, &browser.replace("/threats", "/index.html"), "");
    assert!(!body.contains(&link) && body.contains("<script"), "{body}");
    let forged = format!("{}\r\nOrigin: http://{address}", login_head(address));
    let stream = connect(address, &config, &name).unwrap();
    let (head, _) = ask(stream, &forged, &login_body());
    assert!(
        head.starts_with("http/1.1 403"),
        "a page that came unencrypted changes nothing: {head}"
    );
    server.stop();
}

#[test]
fn with_use_ssl_true_nothing_is_answered_plain() {
    let server = TestServer::start("USE_SSL true");
    let config = pinned(&server.log_dir.join(FILE));
    for path in ["/ping", "/api/v1/session", "/events?date=2026-11-20"] {
        let answer = server.client().get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.json()["code"], "tls");
    }
    let page = server.client().get_with("/", &[("Accept", "text/html")]);
    assert!(page.text().contains("https://127.0.0.1"), "{}", page.text());
    let stream = connect(server.http, &config, "localhost").unwrap();
    let (_, body) = ask(stream, "GET /ping HTTP/1.1\r\nHost: x", "");
    assert_eq!(body, "pong");
    server.stop();
}

#[test]
fn with_use_ssl_false_there_is_no_tls_and_no_certificate() {
    let server = TestServer::start("USE_SSL false");
    assert!(!server.log_dir.join(FILE).exists());
    let mut stream = plain(server.http);
    stream.write_all(&old_hello(0x0303)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server.stop();
}

#[test]
fn a_silent_handshake_holds_up_nobody_and_ends() {
    let server = TestServer::start("USE_SSL auto");
    let config = pinned(&server.log_dir.join(FILE));
    let hello = old_hello(0x0303);
    let mut silent: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = plain(server.http);
            // Nothing at all, one byte, half a hello.
            stream
                .write_all(&hello[..[0, 1, hello.len() / 2][n % 3]])
                .unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..11 {
        let started = Instant::now();
        assert_eq!(server.client().get("/ping").text(), "pong");
        times[0].push(started.elapsed());
        let started = Instant::now();
        let stream = connect(server.http, &config, "localhost").unwrap();
        let (_, body) = ask(stream, "GET /ping HTTP/1.1\r\nHost: x", "");
        assert_eq!(body, "pong");
        times[1].push(started.elapsed());
    }
    for (mut times, way) in times.into_iter().zip(["plain", "TLS"]) {
        times.sort_unstable();
        // The median, since other tests share the machine; one that waits for a handshake takes 10 s.
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        assert!(median < Duration::from_millis(200), "{way}: {times:?}");
        assert!(longest < Duration::from_secs(3), "{way}: {times:?}");
    }
    for stream in silent.iter_mut().skip(1).step_by(3) {
        let _ = stream.read(&mut [0; 64]);
    }
    let took = began.elapsed();
    assert!(
        (Duration::from_secs(8)..Duration::from_secs(30)).contains(&took),
        "closed after {took:?}"
    );
    server.stop();
}

/// A ClientHello of a client that speaks TLS up to `version`, 1.2 at most.
fn old_hello(version: u16) -> Vec<u8> {
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]); // random
    hello.push(0); // no session
    let suites: [u16; 4] = [0xc02b, 0xc02f, 0xc009, 0x002f];
    hello.extend([0, 8]);
    hello.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    hello.extend([1, 0]); // no compression
    let extensions = [
        0, 10, 0, 6, 0, 4, 0, 0x17, 0, 0x1d, // groups: P-256, X25519
        0, 11, 0, 2, 1, 0, // uncompressed points
        0, 13, 0, 6, 0, 4, 4, 3, 4, 1, // signatures: ECDSA and RSA with SHA-256
    ];
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let length = hello.len() as u8;
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

#[test]
fn old_versions_are_refused() {
    let server = TestServer::start("USE_SSL auto");
    let answer_to = |version| {
        let mut stream = plain(server.http);
        stream.write_all(&old_hello(version)).unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        answer
    };
    // SSL 3.0, TLS 1.0, TLS 1.1: an alert, fatal, protocol_version (RFC 8446, 6.2).
    for version in [0x0300, 0x0301, 0x0302] {
        let answer = answer_to(version);
        assert_eq!(
            (answer[0], &answer[5..]),
            (0x15, &[2, 70][..]),
            "{version:x}: {answer:x?}"
        );
    }
    // TLS 1.2: a handshake record with a ServerHello.
    let answer = answer_to(0x0303);
    assert_eq!((answer[0], answer[5]), (0x16, 2), "{answer:x?}");
    server.stop();
}

#[test]
fn garbage_is_no_trouble() {
    let server = TestServer::start("USE_SSL auto");
    for first in 0..=255_u8 {
        let mut stream = plain(server.http);
        let mut bytes = [first ^ 0x5a; 64];
        bytes[0] = first;
        stream.write_all(&bytes).unwrap();
        // A reset is an answer, too: bytes were left unread.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let is_refusal =
            answer.is_empty() || answer[0] == 0x15 || answer.starts_with(b"HTTP/1.1 400");
        assert!(is_refusal, "{first:02x}: {answer:x?}");
    }
    assert_eq!(server.client().get("/ping").text(), "pong");
    server.stop();
}

#[test]
fn a_certificate_of_the_user_is_shown_and_taken_anew_when_its_file_changes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |to: &str| {
        let made = rcgen::generate_simple_self_signed(["maltrail.example".to_owned()]).unwrap();
        let block = |kind: &str, der: &[u8]| {
            use base64::Engine;
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
        };
        let text = block("CERTIFICATE", made.cert.der())
            + &block("PRIVATE KEY", made.signing_key.serialized_der());
        let path = dir.path().join(to);
        std::fs::write(&path, text).unwrap();
        path
    };
    let pem = write("server.pem");
    let server = TestServer::start(&format!(
        "USE_SSL auto\nSSL_PEM {}\nENABLE_HSTS true",
        pem.display()
    ));
    assert!(!server.log_dir.join(FILE).exists(), "no other one is made");
    let first = pinned(&pem);
    let stream = connect(server.http, &first, "maltrail.example").unwrap();
    let (head, _) = ask(stream, "GET /ping HTTP/1.1\r\nHost: x", "");
    assert!(
        head.contains("strict-transport-security: max-age="),
        "{head}"
    );
    let plain = server.client().get("/ping");
    assert_eq!(plain.header("strict-transport-security"), None);
    std::fs::write(&pem, "broken").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        connect(server.http, &first, "maltrail.example").is_ok(),
        "the old one stays"
    );
    std::fs::rename(write("new.pem"), &pem).unwrap();
    let second = pinned(&pem);
    wait("the new certificate", || {
        connect(server.http, &second, "maltrail.example").is_ok()
    });
    assert!(connect(server.http, &first, "maltrail.example").is_err());
    server.stop();
}
