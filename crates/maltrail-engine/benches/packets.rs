//! Time per packet of the whole engine over a set of 200,000 names and 60,000 addresses.
//!
//! Each run walks a ring of prepared frames; times are per frame.

#[path = "../tests/it/net.rs"]
mod net;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use maltrail_core::event::Event;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use net::{
    A, C, S, Setup, ask, at, client_hello, hello_row, long_hello, ping, segment, segment_at, syn,
    udp,
};

/// Frames per run; unique names must outnumber what any cache holds.
const FRAMES: usize = 1 << 16;

fn main() {
    divan::main();
}

/// A stream of numbers that look random (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    fn word(&mut self, syllables: usize) -> String {
        const ON: [&str; 8] = ["b", "d", "k", "l", "m", "st", "tr", "v"];
        const NUCLEUS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ea", "io"];
        (0..syllables)
            .flat_map(|_| [ON[self.below(8)], NUCLEUS[self.below(8)]])
            .collect()
    }

    fn name(&mut self, syllables: usize) -> String {
        const TLD: [&str; 8] = ["com", "net", "org", "de", "fr", "io", "co.uk", "info"];
        format!("{}.{}", self.word(syllables), TLD[self.below(8)])
    }

    /// An address outside the listed ones, which start with 5.
    fn host(&mut self) -> String {
        let [_, a, b, c, ..] = self.next().to_be_bytes();
        format!("{}.{a}.{b}.{c}", 20 + self.below(80))
    }

    fn client(&mut self) -> String {
        format!(
            "10.0.{}.{}:{}",
            self.below(4),
            1 + self.below(250),
            1024 + self.below(60_000)
        )
    }
}

fn trails() -> String {
    let mut numbers = Numbers(1);
    let mut rows = String::new();
    for _ in 0..200_000 {
        rows += &format!("{},lumma (malware),(static)\n", numbers.name(7));
    }
    for _ in 0..50_000 {
        let [a, b, c, ..] = numbers.next().to_be_bytes();
        rows += &format!("5.{a}.{b}.{c},known attacker,feed\n");
        if a < 50 {
            rows += &format!("5.{a}.{b}.{c}:8443,c2 (malware),(static)\n");
        }
    }
    rows
}

/// Rows like the expressions that ship.
const EXPRESSIONS: &str = "\\b(atz|mtx)[0-9a-z]+\\.(world|xyz),x,(static)\n\
    dga[0-9]+\\.bad-zone\\.com,x,(static)\n^q[0-9]+\\.pw$,x,(static)\n\
    [a-z0-9]{12}\\.ddns\\.evil,x,(static)\n";

/// Frames one behind the other, as they lie in a capture.
struct Capture {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Capture {
    fn new(frames: &[Vec<u8>]) -> Self {
        let end = |sum: &mut usize, frame: &Vec<u8>| {
            *sum += frame.len();
            Some(*sum)
        };
        Self {
            bytes: frames.concat(),
            ends: frames.iter().scan(0, end).collect(),
        }
    }

    fn pass(&self, engine: &mut Engine, events: &mut Vec<Event>) {
        self.pass_at(0, engine, events);
    }

    fn pass_at(&self, second: i64, engine: &mut Engine, events: &mut Vec<Event>) {
        let now = at(second);
        let mut start = 0;
        for &end in &self.ends {
            engine.packet(LinkType::ETHERNET, now, &self.bytes[start..end], events);
            start = end;
        }
    }
}

/// Runs `frames` through an engine, once unmeasured.
fn run(bencher: Bencher<'_, '_>, trails: &str, frames: &[Vec<u8>]) {
    let mut engine = Setup::new(trails).engine();
    let mut events = Vec::new();
    let capture = Capture::new(frames);
    capture.pass(&mut engine, &mut events);
    bencher
        .counter(ItemsCount::new(frames.len()))
        .bench_local(|| black_box(&capture).pass(black_box(&mut engine), &mut events));
    assert_eq!(events, []);
    let counters = engine.counters();
    assert_eq!(counters.packets % frames.len() as u64, 0);
    assert_eq!(counters.drops.iter().sum::<u64>() + counters.unobserved, 0);
}

#[divan::bench]
fn icmp(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(2);
    let frames: Vec<_> = (0..FRAMES)
        .map(|_| ping("10.0.1.7", &numbers.host()))
        .collect();
    run(bencher, &trails(), &frames);
}

#[divan::bench]
fn tcp_syn(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(3);
    let frames: Vec<_> = (0..FRAMES)
        .map(|_| syn(&numbers.client(), &format!("{}:443", numbers.host())))
        .collect();
    run(bencher, &trails(), &frames);
}

/// One client and many hosts, each tried once: every frame brings a pair of its own.
#[divan::bench]
fn tcp_syn_to_many_hosts(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(6);
    let frames: Vec<_> = (0..FRAMES)
        .map(|_| syn("10.0.1.7:40000", &format!("{}:443", numbers.host())))
        .collect();
    run(bencher, &trails(), &frames);
}

fn unique_names() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(4);
    (0..FRAMES)
        .map(|n| ask(&format!("www.{}{n}.com", numbers.word(5)), A))
        .collect()
}

#[divan::bench]
fn dns_unique(bencher: Bencher<'_, '_>) {
    run(bencher, &trails(), &unique_names());
}

#[divan::bench]
fn dns_unique_with_expressions(bencher: Bencher<'_, '_>) {
    run(bencher, &(trails() + EXPRESSIONS), &unique_names());
}

#[divan::bench]
fn dns_warm(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(5);
    let warm: Vec<_> = (0..500)
        .map(|_| ask(&format!("www.{}", numbers.name(3)), A))
        .collect();
    let frames: Vec<_> = (0..FRAMES)
        .map(|_| warm[numbers.below(500)].clone())
        .collect();
    run(bencher, &trails(), &frames);
}

/// Requests as a browser sends them, each for another page.
fn browser_requests(path: impl Fn(&mut Numbers, usize) -> String) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(6);
    (0..FRAMES)
        .map(|n| {
            let (path, host) = (path(&mut numbers, n), numbers.name(3));
            let text = format!(
                "GET {path} HTTP/1.1\r\nHost: www.{host}\r\n\
                 User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
                 Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
                 Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n\
                 Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n\r\n"
            );
            segment(&numbers.client(), &format!("{}:80", numbers.host()), 0x18, text.as_bytes())
        })
        .collect()
}

#[divan::bench]
fn http_request(bencher: Bencher<'_, '_>) {
    let frames = browser_requests(|numbers, n| format!("/{}/{n}.html", numbers.word(3)));
    run(bencher, &trails(), &frames);
}

#[divan::bench]
fn http_request_with_query(bencher: Bencher<'_, '_>) {
    let frames = browser_requests(|numbers, n| {
        format!(
            "/{}/search?q={}+{}&page={n}",
            numbers.word(2),
            numbers.word(2),
            numbers.word(2)
        )
    });
    run(bencher, &trails(), &frames);
}

#[divan::bench]
fn http_response(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(7);
    let frames: Vec<_> = (0..FRAMES / 16)
        .map(|n| {
            let words: Vec<String> = (0..90).map(|_| numbers.word(6)).collect();
            let text = format!(
                "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html; charset=utf-8\r\n\
                 Content-Length: 90000\r\n\r\n<html><head><title>Page {n}</title></head><body>{}",
                words.join(" ")
            );
            segment(
                &format!("{}:80", numbers.host()),
                &numbers.client(),
                0x10,
                &text.as_bytes()[..1400.min(text.len())],
            )
        })
        .collect();
    run(bencher, &trails(), &frames);
}
#[divan::bench]
fn tls_hello(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(6);
    let frames: Vec<_> = (0..FRAMES)
        .map(|n| client_hello(&format!("www.{}{n}.com", numbers.word(5))))
        .map(|hello| segment(C, S, 0x18, &hello))
        .collect();
    run(bencher, &trails(), &frames);
}

/// Payload of an established connection: what most packets of a capture are.
#[divan::bench]
fn tls_data(bencher: Bencher<'_, '_>) {
    let mut engine = Setup::new(&trails()).engine();
    let mut events = Vec::new();
    let payload = [&[0x17, 3, 3, 5, 0xb4][..], &[0xa5; 1460]].concat();
    let capture = Capture::new(&vec![segment(S, C, 0x18, &payload); 1024]);
    bencher
        .counter(ItemsCount::new(1024_usize))
        .bench_local(|| black_box(&capture).pass(black_box(&mut engine), &mut events));
    assert_eq!(events, []);
}

/// Initial packets of 1,200 bytes of both versions; their names are known to be clean.
#[divan::bench]
fn quic_initial(bencher: Bencher<'_, '_>) {
    let versions = ["quic_v1", "quic_v2"].map(|id| udp(C, S, &hello_row(id)));
    let frames: Vec<_> = versions.iter().cycle().take(1024).cloned().collect();
    run(bencher, &trails(), &frames);
}

/// Frames of long-lived connections, each to its own host.
fn bulk(flows: u32, payload: &[u8]) -> Vec<Vec<u8>> {
    (0..1024_u32)
        .map(|n| {
            let client = format!("192.0.2.10:{}", 1024 + n % flows);
            segment_at(S, &client, 0x10, 1 + n / flows * 1460, payload)
        })
        .collect()
}

/// Segments of many established connections, some of which were seen to open.
#[divan::bench(args = [1, 256, 1024])]
fn bulk_data_segment(bencher: Bencher<'_, '_>, flows: u32) {
    let mut engine = Setup::new(&trails()).engine();
    let mut events = Vec::new();
    let payload = [0xa5; 1460];
    let capture = Capture::new(&bulk(flows, &payload));
    bencher
        .counter(ItemsCount::new(1024_usize))
        .bench_local(|| black_box(&capture).pass(black_box(&mut engine), &mut events));
    assert_eq!(events, []);
    assert_eq!(engine.counters().heads_begun, 0);
}

/// The same while as many heads wait as there may be.
#[divan::bench]
fn bulk_data_segment_while_heads_wait(bencher: Bencher<'_, '_>) {
    let mut engine = Setup::new(&trails()).engine();
    let mut events = Vec::new();
    let flood: Vec<_> = (0..1_u32 << 14)
        .map(|n| {
            let [_, a, b, c] = n.to_be_bytes();
            segment_at(&format!("10.{a}.{b}.{c}:1025"), S, 0x18, 5, b"GET /a")
        })
        .collect();
    Capture::new(&flood).pass(&mut engine, &mut events);
    let capture = Capture::new(&bulk(256, &[0xa5; 1460]));
    bencher
        .counter(ItemsCount::new(1024_usize))
        .bench_local(|| black_box(&capture).pass(black_box(&mut engine), &mut events));
    assert_eq!(engine.counters().heads_waiting, 1 << 14);
}

/// Connections with a hello of 1,800 bytes in two segments; times are for each of three packets.
#[divan::bench]
fn segmented_hello(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers(8);
    let frames: Vec<_> = (0..FRAMES / 3)
        .flat_map(|n| {
            let hello = long_hello(&format!("www.{}{n}.com", numbers.word(5)), 1450);
            let client = format!("10.{}.{}.7:{}", n / 250 % 250, n % 250, 1024 + n / 62_500);
            let (first, second) = hello.split_at(1400);
            [
                segment_at(&client, S, 0x02, 0, &[]),
                segment_at(&client, S, 0x10, 1, first),
                segment_at(&client, S, 0x18, 1401, second),
            ]
        })
        .collect();
    let mut engine = Setup::new(&trails()).engine();
    let mut events = Vec::new();
    let capture = Capture::new(&frames);
    bencher
        .counter(ItemsCount::new(frames.len()))
        .bench_local(|| black_box(&capture).pass(black_box(&mut engine), &mut events));
    assert_eq!(events, []);
    let counters = engine.counters();
    assert_eq!(counters.tls_names * 3, counters.packets);
}

/// As configured, and without floods.
const FLOODS: [&str; 2] = ["-", "DISABLED_HEURISTICS ddos"];

/// Runs `frames` over and over, each time in a second of its own.
fn run_by_second(bencher: Bencher<'_, '_>, options: &str, frames: &[Vec<u8>]) {
    let mut engine = Setup::new(&trails()).with(options).engine();
    let mut events = Vec::new();
    let capture = Capture::new(frames);
    let mut second = 0;
    bencher
        .counter(ItemsCount::new(frames.len()))
        .bench_local(|| {
            second += 1;
            black_box(&capture).pass_at(second, black_box(&mut engine), &mut events);
        });
    assert_eq!(events, []);
}

/// 65,536 packets a second, each to another network: nothing is looked at closely.
#[divan::bench(args = FLOODS)]
fn floods_quiet_destinations(bencher: Bencher<'_, '_>, options: &str) {
    let mut numbers = Numbers(2);
    let frames: Vec<_> = (0..FRAMES)
        .map(|_| ping("10.0.1.7", &numbers.host()))
        .collect();
    run_by_second(bencher, options, &frames);
}

/// A download at 65,536 packets a second: both ends are looked at.
#[divan::bench(args = FLOODS)]
fn floods_busy_destination(bencher: Bencher<'_, '_>, options: &str) {
    let payload = [&[0x17, 3, 3, 5, 0xb4][..], &[0xa5; 1460]].concat();
    let pair = [segment(S, C, 0x18, &payload), segment(C, S, 0x10, b"")];
    let frames: Vec<_> = pair.iter().cycle().take(FRAMES).cloned().collect();
    run_by_second(bencher, options, &frames);
}
