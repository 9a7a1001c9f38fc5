//! A packet that matches nothing allocates nothing.

#![expect(unsafe_code, reason = "a counting allocator has to be an allocator")]

#[path = "it/net.rs"]
mod net;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;

use maltrail_core::event::Event;
use maltrail_engine::{Engine, MAX_KEYS, Observables};
use maltrail_wire::LinkType;
use net::{
    A, AAAA, C, S, Setup, ask, at, client_hello, hello_row, ip, ping, question, segment, syn, tcp,
    udp,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes unchanged to the system's allocator, which keeps the contract; counting
// touches a thread-local number without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `pointer` came from `System` with this layout; the caller vouches for the size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TRAILS: &str = "203.0.113.7,badnet,r\nevil.com,x,r\n203.0.113.9:4444,c2,r\n\
                      2001:db8::66,bad6,r\n198.51.100.0/28,net,r\nd[0-9]+\\.biz,dga,(static)\n";

/// Allocations while the engine sees these frames, one a second from `start` on.
fn allocations(engine: &mut Engine, start: i64, frames: &[Vec<u8>]) -> (u64, Vec<Event>) {
    let mut events = Vec::new();
    let before = ALLOCATIONS.with(Cell::get);
    for (second, frame) in (start..).zip(frames) {
        engine.packet(LinkType::ETHERNET, at(second), frame, &mut events);
        engine.tick(at(second), &mut events);
    }
    (ALLOCATIONS.with(Cell::get) - before, events)
}

/// A request that goes through every search.
fn http_request() -> Vec<u8> {
    b"POST /a/b%20c/d.php?q=one+two&page=2 HTTP/1.1\r\nHost: www.clean.com:8080\r\n\
      User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
      Accept: */*\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 7\r\n\r\na=b&c=d"
        .to_vec()
}

/// A question with its length before it.
fn dns_over_tcp(n: u16) -> Vec<u8> {
    let message = question(&format!("tcp-{n}.clean.com"), A, 1, 0x0100);
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    [&length[..], &message].concat()
}

const HTTP_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n\
    <html><title>Clean</title>";

/// Frames of every kind that match nothing; `n` makes their names and ports new.
fn clean_frames(n: u16) -> Vec<Vec<u8>> {
    let port = 1024 + n;
    vec![
        syn(&format!("192.0.2.10:{port}"), "192.0.2.77:443"),
        syn(&format!("[2001:db8::1]:{port}"), "[2001:db8::2]:443"),
        tcp(C, S, 0x10),
        syn(C, &format!("198.18.{}.{}:445", n >> 8, n & 255)),
        tcp(C, &format!("198.18.{}.{}:9", n >> 8, n & 255), 0x01),
        udp(C, &format!("198.18.{}.{}:9", n >> 8, n & 255), b"x"),
        udp(&format!("192.0.2.10:{port}"), "192.0.2.77:4444", &[7; 700]),
        ping("192.0.2.10", "192.0.2.77"),
        ip("192.0.2.10", "192.0.2.77", 47, b""),
        ask(&format!("unique-{n}.clean.com"), A),
        ask(&format!("unique-{n}.clean.com"), AAAA),
        ask("popular.com", A),
        ask(&format!("{}.com", "long-".repeat(12)), A),
        ask("clean.local", A),
        segment(C, S, 0x18, &client_hello(&format!("tls-{n}.clean.com"))),
        segment(S, C, 0x18, &hello_row("cert_match")),
        udp(C, "192.0.2.77:443", &hello_row("quic_v1")),
        udp(C, "192.0.2.77:443", &hello_row("quic_v2")),
        udp(C, "192.0.2.77:443", &hello_row("quic_crypto_out_of_order")),
        segment(C, "192.0.2.77:80", 0x18, &http_request()),
        segment("192.0.2.77:80", C, 0x18, HTTP_RESPONSE),
        segment("192.0.2.77:80", C, 0x10, &[0xa5; 1400]),
        segment(C, "192.0.2.77:53", 0x18, &dns_over_tcp(n)),
        vec![0xff; 20],
    ]
}

#[test]
fn packets_that_match_nothing_allocate_nothing() {
    let mut setup = Setup::new(TRAILS);
    setup.detect.domain_cache_entries = 64;
    let mut engine = setup.engine();
    // The first name lets the expressions set up their scratch space.
    let (_, events) = allocations(&mut engine, 0, &clean_frames(0));
    assert_eq!(events, []);
    let frames: Vec<_> = (1..500).flat_map(clean_frames).collect();
    let (allocated, events) = allocations(&mut engine, 20, &frames);
    assert_eq!(events, []);
    assert_eq!(allocated, 0, "in {} packets", frames.len());
    let counters = engine.counters();
    assert!(
        counters.clean_name_evictions > 100,
        "the memory of names was full"
    );
    let read = (
        counters.tls_names,
        counters.quic_names,
        counters.certificates,
    );
    assert_eq!(read, (500, 1500, 500), "every hello was read");
    assert_eq!(counters.heads_begun, 0, "nothing waits");
}

/// Destinations busy enough to be looked at: their records are there from the start.
#[test]
fn busy_destinations_allocate_nothing() {
    let mut engine = Setup::new(TRAILS).engine();
    let mut events = Vec::new();
    let frames: Vec<_> = (0..200)
        .flat_map(|n| {
            let (host, stranger) = (format!("192.0.2.{n}:80"), format!("198.18.0.{n}:999"));
            [
                tcp(&stranger, &host, 0x10),
                tcp(&host, &stranger, 0x10),
                udp(&stranger, &host, &[n; 200]),
                udp(&host, &stranger, &[n; 200]),
            ]
        })
        .collect();
    let mut pass = |second| {
        for frame in (0..20).flat_map(|_| &frames) {
            engine.packet(LinkType::ETHERNET, at(second), frame, &mut events);
        }
        engine.tick(at(second + 1), &mut events);
    };
    pass(0);
    let before = ALLOCATIONS.with(Cell::get);
    (1..6).for_each(&mut pass);
    let allocated = ALLOCATIONS.with(Cell::get) - before;
    assert!(
        allocated <= 20,
        "{allocated}: a list a second of networks over their limit"
    );
    assert_eq!(events, []);
}

/// Who was seen is recorded in room that the first packet of a window reserves, also when it is full.
#[test]
fn recording_who_was_seen_allocates_nothing() {
    let mut seen = Observables::new();
    let mut pass = |first: u32, last: u32| {
        for n in first..last {
            let v4 = IpAddr::from(n.to_be_bytes());
            let v6 = IpAddr::from((u128::from(n) << 80 | 0x2001 << 112).to_be_bytes());
            seen.packet(at(0), v4, v6);
            seen.packet(at(0), v6, v4);
            let label = *b"0123456789abcdef";
            let name: [u8; 8] = std::array::from_fn(|at| label[(n >> (4 * at)) as usize & 15]);
            seen.name(at(0), std::str::from_utf8(&name).expect("ascii"));
        }
        (seen.len(), seen.refused())
    };
    pass(0x0a00_0000, 0x0a00_0001);
    let before = ALLOCATIONS.with(Cell::get);
    let (len, refused) = pass(0x0a00_0000, 0x0a00_0000 + 80_000);
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert_eq!(len, MAX_KEYS);
    assert!(refused > 40_000, "{refused}");
}

#[test]
fn the_count_counts() {
    let mut engine = Setup::new(TRAILS).engine();
    let (allocated, events) = allocations(&mut engine, 0, &[ask("evil.com", A)]);
    assert_eq!(events.len(), 1);
    assert!(allocated > 0, "an event has texts");
}
