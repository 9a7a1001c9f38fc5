//! How long a wrong sign-in takes for known and unknown names:
//! `cargo run --release -p maltrail-server --example login_times [ROUNDS]`.
//!
//! A server on loopback has an account with an argon2id entry, one with an old SHA-256 entry and one name with
//! two entries. In each round every name gets one wrong password, each from another address of this machine, so
//! that no attempt waits for another. Printed are the median and the quartiles in milliseconds for each name,
//! and how far the medians lie apart.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::Context as _;
use maltrail_core::config::{Config, Environment};
use maltrail_server::{App, AppOptions};
use socket2::{Domain, Socket, Type};

/// Names and what they are.
const NAMES: [(&str, &str); 5] = [
    ("argon", "argon2id entry"),
    ("old", "SHA-256 entry"),
    ("twice", "two entries"),
    ("nobody", "unknown"),
    ("x", "unknown, short"),
];
/// Argon2id of `correct horse`, with the parameters that this server uses.
const ARGON: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$fZC6iCJpXFfnUBWPDUdAz2FyYh/IZc/Tp5WNm5kV6so";

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args()
        .nth(1)
        .map_or(Ok(41), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let sha = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let text = format!(
        "HTTP_ADDRESS 127.0.0.1\nUSE_SSL false\nLOG_DIR {0}\nTRAILS_FILE {0}/trails.csv\nUSERS\n    argon:{ARGON}:0:\n    old:{sha}:0:\n    twice:{sha}:0:\n    twice:{ARGON}:1000:\n",
        dir.path().display()
    );
    let (mut config, _) = Config::parse(&text, "example", dir.path(), &Environment::default())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    config.server.http_port = 0;
    config.server.udp = None;
    let runtime = tokio::runtime::Runtime::new()?;
    let running = runtime.block_on(App::start(config, AppOptions::default()))?;
    let server = *running.http().first().context("no address")?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); NAMES.len()];
    let mut source = 0_u32;
    for round in 0..=rounds {
        for ((name, _), times) in NAMES.iter().zip(&mut times) {
            source += 1;
            let millis = attempt(server, source, name)?;
            // The first round warms up.
            if round > 0 {
                times.push(millis);
            }
        }
    }
    println!("{rounds} wrong passwords each, milliseconds: quartile, median, quartile");
    let mut medians = Vec::new();
    for ((name, what), times) in NAMES.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 4).copied().unwrap_or(0.0);
        println!(
            "{name:8} {what:16} {:7.2} {:7.2} {:7.2}",
            at(1),
            at(2),
            at(3)
        );
        medians.push(at(2));
    }
    let (least, most) = medians
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), at| {
            (at.min(least), at.max(most))
        });
    println!("largest median / smallest median: {:.3}", most / least);
    runtime.block_on(running.stop());
    Ok(())
}

/// Milliseconds of one wrong sign-in from an address of its own.
fn attempt(server: SocketAddr, source: u32, name: &str) -> anyhow::Result<f64> {
    let body = format!(r#"{{"username":"{name}","password":"wrong horse"}}"#);
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nX-Maltrail: 1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let [_, second, third, fourth] = source.to_be_bytes();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, second + 1, third, fourth], 0)).into())?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    let started = Instant::now();
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let took = started.elapsed();
    anyhow::ensure!(answer.starts_with("HTTP/1.1 401"), "unexpected: {answer}");
    Ok(took.as_secs_f64() * 1000.0)
}
