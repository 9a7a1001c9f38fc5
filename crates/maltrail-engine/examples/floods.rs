//! Floods of invented addresses, names and unfinished messages: time, memory and what is still found.
//!
//!     cargo run --release -p maltrail-engine --example floods [-- PACKETS]
//!
//! Each flood has [`PACKETS`] packets unless told otherwise, and goes through one engine after the
//! other floods, so memory adds up. A listed name and a listed address come in the middle of each. Fails
//! when one of them is missed, or when memory grew by more than [`MOST_GROWTH`].

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark shows what it measured")]

#[path = "../tests/it/net.rs"]
mod net;

use std::process::ExitCode;
use std::time::Instant;

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use net::{A, SECOND, Setup, client_hello, question, segment, syn, udp};

const PACKETS: u64 = 10_000_000;
/// Most growth of the resident memory, in KiB.
const MOST_GROWTH: u64 = 64 << 10;
/// Packets a second, as their times say.
const RATE: u64 = 200_000;

const TRAILS: &str = "evil-domain.com,x (malware),r\n203.0.113.7,badnet (malware),r\n";

/// Where the sender's and the receiver's IPv4 address stand in a frame.
const SRC: usize = 26;
const DST: usize = 30;

/// One flood: a frame, and how its `n`th copy differs.
struct Flood {
    name: &'static str,
    frame: Vec<u8>,
    change: fn(&mut [u8], u64),
}

/// A stream of numbers that look random (splitmix64).
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Another sender: 11.0.0.0/8.
fn sender(frame: &mut [u8], n: u64) {
    let [.., a, b, c] = (n as u32).to_be_bytes();
    put(frame, SRC, &[11, a, b, c]);
}

/// Where names of the floods begin: behind the headers, the DNS header and a length.
const WORD: usize = 42 + 12 + 1;

fn dns(name: &str, flags: u16) -> Vec<u8> {
    let message = question(name, A, 1, flags);
    if flags & 0x8000 == 0 {
        udp("192.0.2.10:5000", "198.51.100.53:53", &message)
    } else {
        udp("198.51.100.53:53", "192.0.2.10:5000", &message)
    }
}

fn floods() -> Vec<Flood> {
    let long = "x".repeat(50);
    let hello = client_hello("www.a-quite-ordinary-name.com");
    let flood = |name, frame, change| Flood {
        name,
        frame,
        change,
    };
    vec![
        flood(
            "SYN, another sender each, port 445",
            syn("11.0.0.0:4000", "198.18.0.1:445"),
            sender,
        ),
        flood(
            "SYN, one sender, another host each, port 445",
            syn("192.168.1.5:4000", "198.18.0.1:445"),
            |f, n| {
                let [.., a, b, c] = (n as u32).to_be_bytes();
                put(f, DST, &[12, a, b, c]);
            },
        ),
        flood(
            "datagram, another sender each",
            udp("11.0.0.0:4000", "198.18.0.1:9999", b"x"),
            sender,
        ),
        flood(
            "request, another sender each",
            segment(
                "11.0.0.0:4000",
                "198.18.0.1:80",
                0x18,
                b"GET /x/ HTTP/1.1\r\nHost: a.com\r\n\r\n",
            ),
            sender,
        ),
        flood(
            "question, another name of one domain each",
            dns("@@@@@@@@.victim.com", 0x0100),
            word_at,
        ),
        flood(
            "question, another domain each",
            dns("www.@@@@@@@@.com", 0x0100),
            |f, n| {
                put_word(f, WORD + 4, n);
            },
        ),
        flood(
            "question, 3,000 domains with many names",
            dns("@@@@@@@@.@@@@@@@@.com", 0x0100),
            |f, n| {
                put_word(f, WORD, n);
                put_word(f, WORD + 9, n % 3000);
            },
        ),
        flood(
            "question, another sender each, one domain",
            dns("@@@@@@@@.victim.org", 0x0100),
            |f, n| {
                sender(f, n);
                put_word(f, WORD, n);
            },
        ),
        flood(
            "no such name, another domain each",
            dns("www.@@@@@@@@.com", 0x8183),
            |f, n| {
                put_word(f, WORD + 4, n);
            },
        ),
        flood(
            "no such name, 8,000 domains with long names",
            dns(&format!("@@@@@@@@.{long}.@@@@@@@@.com"), 0x8183),
            |f, n| {
                put_word(f, WORD, n);
                put_word(f, WORD + 9 + 51, n % 8000);
            },
        ),
        flood(
            "half a ClientHello, another sender each",
            segment("11.0.0.0:4000", "198.18.0.1:443", 0x18, &hello[..200]),
            |f, n| {
                sender(f, n);
            },
        ),
        flood(
            "half a request, another sender each",
            segment(
                "11.0.0.0:4000",
                "198.18.0.1:80",
                0x18,
                b"GET /index.html HTTP/1.1\r\nHost: a.co",
            ),
            sender,
        ),
    ]
}

fn put_word(frame: &mut [u8], at: usize, n: u64) {
    let mixed = scatter(n) >> 32 << 32 | n;
    let letter = |i: usize| b'a' + (mixed >> (4 * i) & 15) as u8;
    put(frame, at, &std::array::from_fn::<_, 8, _>(letter));
}

fn word_at(frame: &mut [u8], n: u64) {
    put_word(frame, WORD, n);
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    number.unwrap_or_default()
}

/// Whether a listed name and a listed address are found.
fn finds(engine: &mut Engine, now: Timestamp) -> bool {
    let frames = [
        udp(
            "192.0.2.99:7000",
            "198.51.100.53:53",
            &question("www.evil-domain.com", A, 1, 0x0100),
        ),
        syn("192.0.2.99:7000", "203.0.113.7:443"),
    ];
    frames.iter().all(|frame| {
        let mut events = Vec::new();
        engine.packet(LinkType::ETHERNET, now, frame, &mut events);
        events.iter().any(|event| event.reference == "r")
    })
}

fn main() -> ExitCode {
    let packets = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(PACKETS);
    let mut engine = Setup::new(TRAILS).engine();
    let mut events: Vec<Event> = Vec::new();
    let mut time = SECOND * 1_000_000;
    let mut good = finds(&mut engine, Timestamp::from_parts(SECOND, 0));
    let before = resident();
    println!(
        "{:50} {:>9} {:>8} {:>7}  found",
        "flood", "ns/packet", "events", "MiB"
    );
    for mut flood in floods() {
        let mut found = true;
        let mut count = 0;
        let start = Instant::now();
        for n in 0..packets {
            (flood.change)(&mut flood.frame, n);
            time += 1_000_000 / RATE as i64;
            let now = Timestamp::from_parts(time / 1_000_000, (time % 1_000_000) as u32);
            engine.packet(LinkType::ETHERNET, now, &flood.frame, &mut events);
            count += events.len();
            events.clear();
            if n == packets / 2 {
                found &= finds(&mut engine, now);
            }
        }
        let each = start.elapsed().as_nanos() / u128::from(packets.max(1));
        let growth = resident().saturating_sub(before);
        println!(
            "{:50} {each:>9} {count:>8} {:>7.1}  {found}",
            flood.name,
            growth as f64 / 1024.0
        );
        good &= found && growth <= MOST_GROWTH;
    }
    println!();
    for (name, value) in engine.counters().iter().filter(|&(_, value)| value > 0) {
        println!("{name} {value}");
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
