//! How much memory feeds need: `cargo run --release -p maltrail-feeds --example feed_memory [ROWS]`.
//!
//! A server on loopback gives a list of ROWS addresses (five million by default), the same list again as
//! eight feeds of an eighth each, and a bomb of 1 GB in 1 MB. After each step the largest resident size of the
//! process so far is printed; what a step adds to the one before is what it needs. The last step is the build
//! of the set itself, for comparison.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use maltrail_core::config::{Config, Environment, TrailsConfig};
use maltrail_feeds::gather::{Rules, gather};
use maltrail_feeds::registry::feeds;
use maltrail_feeds::{AssembleOptions, HttpFetch, Sources, Store, assemble};

fn main() {
    let rows = std::env::args()
        .nth(1)
        .map_or(5_000_000, |text| text.parse().unwrap_or(5_000_000));
    let place = serve();
    let root = tempfile::tempdir().expect("folder");
    let fetch = HttpFetch::new(None).expect("client");
    let say = |what: &str, started: Instant| {
        println!(
            "{what:<40} peak {:>7} KiB  {:>6.1} s",
            peak_kib(),
            started.elapsed().as_secs_f64()
        );
    };
    say("client made", Instant::now());
    let steps: [(&str, Vec<String>); 3] = [
        ("bomb", vec!["bomb".to_owned()]),
        ("one feed", vec![format!("rows/0/{rows}")]),
        (
            "eight feeds of an eighth",
            (0..8)
                .map(|at| format!("rows/{}/{}", at * (rows / 8), rows / 8))
                .collect(),
        ),
    ];
    let mut last = Vec::new();
    for (what, paths) in steps {
        let config = config(root.path(), place, &paths);
        let mut store = Store::open(&root.path().join("feeds"), None);
        let rules = Rules {
            with_feeds: true,
            force: true,
            ..Rules::default()
        };
        let started = Instant::now();
        let gathered = gather(
            &config,
            None,
            Some(&fetch),
            &rules,
            &mut store,
            &mut |_, _| {},
        );
        let entries: usize = gathered.sources.iter().map(|source| source.entries).sum();
        let error = gathered
            .sources
            .iter()
            .find_map(|source| source.error.clone());
        say(&format!("{what}: {entries} entries"), started);
        if let Some(error) = error {
            println!("    {error}");
        }
        last = gathered.feeds;
    }
    let started = Instant::now();
    let sources = Sources {
        feeds: last,
        ..Sources::default()
    };
    let options = AssembleOptions {
        ip_minimum_feeds: 1,
        ..AssembleOptions::default()
    };
    let (built, _) = assemble(&sources, &options, &mut |_, _| {});
    say(&format!("the set itself: {} trails", built.len()), started);
}

fn config(root: &std::path::Path, place: SocketAddr, paths: &[String]) -> TrailsConfig {
    let mut file = String::new();
    for (at, path) in paths.iter().enumerate() {
        file += &format!(
            "[[feed]]\nname = \"f{at}\"\nurls = [\"http://127.0.0.{}:{}/{path}\"]\nformat = \"lines\"\nkeeps = \"address\"\n\
             info = \"attacker\"\nreference = \"example.org\"\nmax_bytes = 268435456\n",
            at + 1,
            place.port()
        );
    }
    fs::write(root.join("own.toml"), file).expect("file");
    let names: Vec<String> = feeds()
        .expect("feeds")
        .into_iter()
        .map(|feed| feed.name)
        .collect();
    let text = format!(
        "TRAILS_FILE {0}/trails.csv\nCUSTOM_FEEDS_FILE {0}/own.toml\nDISABLED_FEEDS {1}\n",
        root.display(),
        names.join(",")
    );
    let (config, _) = Config::parse(&text, "f", root, &Environment::default()).expect("config");
    config.trails
}

/// The largest resident size of this process so far.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn serve() -> SocketAddr {
    // One address for each of eight hosts, as a host is asked twice at once at most.
    let first = TcpListener::bind("127.0.0.1:0").expect("port");
    let place = first.local_addr().expect("address");
    let others = (2..=8).map(|at| TcpListener::bind(format!("127.0.0.{at}:{}", place.port())));
    for listener in others
        .map(|listener| listener.expect("port"))
        .chain([first])
    {
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(&stream));
            }
        });
    }
    place
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut line)?;
    let mut rest = String::new();
    while reader.read_line(&mut rest)? > 2 {
        rest.clear();
    }
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    let parts: Vec<&str> = line.split(['/', ' ']).collect();
    if parts.get(2) == Some(&"bomb") {
        let mut packer = GzEncoder::new(stream, Compression::best());
        let piece = vec![b'\n'; 1 << 20];
        for _ in 0..1024 {
            packer.write_all(&piece)?;
        }
        packer.finish()?;
        return Ok(());
    }
    let number = |at: usize| {
        parts
            .get(at)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let (from, count) = (number(3), number(4));
    let mut piece = String::new();
    for at in from..from + count {
        // Public addresses from 11.0.0.0 on.
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + at * 17);
        piece += &format!("{address}\n");
        if piece.len() > 1 << 16 {
            stream.write_all(piece.as_bytes())?;
            piece.clear();
        }
    }
    stream.write_all(piece.as_bytes())
}
