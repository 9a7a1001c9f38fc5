//! Messages over several segments: in whatever parts and order they come, they give the events that
//! they give in one segment.

use std::collections::HashSet;

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use maltrail_wire::LinkType;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::net::{
    A, C, SECOND, Setup, at, client_hello, hello_row, lines, question, segment, segment_at,
};

const WEB: &str = "203.0.113.7:80";
const DATA: u8 = 0x18;
/// The first sequence number, so that the streams here wrap.
const ISN: u32 = u32::MAX - 20;

const TRAILS: &str = "evil.com,x,r\nsite-a.com/bad.php,malsite,r\n/gate?id=7&k=v,form,r\n\
    312d4847c7fb01b562f1d14f79ae8970974f7ba9,c2,r\n";

fn setup() -> Setup {
    Setup::new(TRAILS).with("CHECK_HOST_DOMAINS true; CHECK_MISSING_HOST true")
}

/// A time so many microseconds after the start.
fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(SECOND * 1_000_000 + micros)
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Stream<'a> {
    src: &'a str,
    dst: &'a str,
}

const REQUESTS: Stream<'_> = Stream { src: C, dst: WEB };

impl Stream<'_> {
    /// A segment from the byte `offset` of the stream on.
    fn part(&self, offset: usize, payload: &[u8]) -> Vec<u8> {
        let seq = ISN.wrapping_add(1 + u32::try_from(offset).expect("short"));
        segment_at(self.src, self.dst, DATA, seq, payload)
    }

    fn syn(&self) -> Vec<u8> {
        segment_at(self.src, self.dst, 0x02, ISN, &[])
    }

    fn back(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
        }
    }
}

/// An engine and what it said.
struct Run {
    engine: Engine,
    events: Vec<Event>,
}

impl Run {
    fn new() -> Self {
        Self {
            engine: setup().engine(),
            events: Vec::new(),
        }
    }

    fn see(&mut self, at: Timestamp, frame: &[u8]) -> &mut Self {
        self.engine
            .packet(LinkType::ETHERNET, at, frame, &mut self.events);
        self
    }

    /// What was said so far: `TYPE trail`.
    fn said(&self) -> Vec<String> {
        let brief = |event: &Event| format!("{} {}", event.kind, event.trail);
        self.events.iter().map(brief).collect()
    }

    fn end(mut self) -> Vec<String> {
        self.engine.finish(at(0), &mut self.events);
        assert_eq!(self.engine.counters().heads_waiting, 0);
        assert_eq!(self.engine.counters().heads_bytes, 0);
        lines(&self.events)
    }
}

/// The lines that `bytes` give in one segment at the start.
fn whole(stream: Stream<'_>, bytes: &[u8]) -> Vec<String> {
    let mut run = Run::new();
    run.see(at(0), &stream.syn());
    run.see(at(0), &stream.part(0, bytes));
    run.end()
}

fn get(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nAccept: */*\r\nHost: {host}\r\nUser-Agent: sqlmap/1\r\n\r\n")
        .into_bytes()
}

fn form(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /gate HTTP/1.1\r\nHost: b.com\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A message of DNS over TCP.
fn counted(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    [&length[..], message].concat()
}

/// The hello in records of so many bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &counted(part)].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

/// Streams with how many events they give: client, server, bytes.
fn streams() -> Vec<(Stream<'static>, usize, Vec<u8>)> {
    let stream = |src, dst| Stream { src, dst };
    let v6 = stream("[2001:db8::1]:40000", "[2001:db8::2]:443");
    let v4 = stream(C, "203.0.113.7:443");
    let dns = stream("[2001:db8::1]:40000", "[2001:db8::53]:53");
    let hello = client_hello("www.evil.com");
    let mut answered = question("www.evil.com", A, 1, 0x8180);
    answered.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
    answered[7] = 1;
    vec![
        (v4, 1, hello.clone()),
        (v6, 1, hello.clone()),
        (v4, 1, in_records(&hello, 100)),
        (v6, 1, in_records(&hello, 1)),
        (v4.back(), 1, hello_row("cert_match")),
        (v6.back(), 1, hello_row("cert_two_records")),
        (REQUESTS, 2, get("/bad.php", "site-a.com:80")),
        (REQUESTS, 2, get("/bad.php", "www.evil.com")),
        (v6, 1, get("/bad.php", "")),
        (REQUESTS, 1, form("id=7&k=v")),
        (dns, 1, counted(&question("www.evil.com", A, 1, 0x0100))),
        (dns.back(), 1, counted(&answered)),
    ]
}

#[test]
fn streams_give_events_in_one_segment() {
    for (stream, events, bytes) in streams() {
        let lines = whole(stream, &bytes);
        assert_eq!(lines.len(), events, "{stream:?} {lines:#?}");
    }
}

/// Where to cut, in which order the parts come, and which come twice.
#[derive(Clone, Debug)]
struct Plan {
    cuts: Vec<Index>,
    order: Vec<u32>,
    twice: Vec<Index>,
    overlap: usize,
}

fn plan(parts: usize) -> impl Strategy<Value = Plan> {
    let cuts = prop::collection::vec(any::<Index>(), 1..parts);
    let order = prop::collection::vec(any::<u32>(), parts);
    let twice = prop::collection::vec(any::<Index>(), 0..4);
    (cuts, order, twice, 0_usize..40).prop_map(|(cuts, order, twice, overlap)| Plan {
        cuts,
        order,
        twice,
        overlap,
    })
}

impl Plan {
    /// Offsets and bytes of at least two parts of `bytes`.
    fn parts<'b>(&self, bytes: &'b [u8]) -> Vec<(usize, &'b [u8])> {
        let inside = |cut: &Index| 1 + cut.index(bytes.len() - 1);
        let mut ends: Vec<usize> = self.cuts.iter().map(inside).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        ends.dedup();
        let starts = [0].into_iter().chain(ends.clone());
        let parts = starts.zip(&ends);
        parts
            .map(|(start, &end)| {
                let end = (end + self.overlap).min(bytes.len());
                // The first one must not be all of it.
                let end = if start == 0 && end == bytes.len() {
                    ends[0]
                } else {
                    end
                };
                (start, &bytes[start..end])
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// After a SYN, parts come in any order, some twice, and overlap.
    #[test]
    fn any_split_in_any_order_is_as_one_segment(which in any::<Index>(), plan in plan(9)) {
        let all = streams();
        let (stream, _, bytes) = &all[which.index(all.len())];
        let wanted = whole(*stream, bytes);
        let mut parts: Vec<_> = plan.order.iter().zip(plan.parts(bytes)).collect();
        parts.sort_by_key(|(order, _)| **order);
        for twice in &plan.twice {
            parts.push(parts[twice.index(parts.len())]);
        }
        let mut run = Run::new();
        run.see(at(0), &stream.syn());
        for (_, (offset, part)) in parts {
            run.see(at(0), &stream.part(offset, part));
        }
        prop_assert_eq!(run.end(), wanted);
    }

    /// Without a SYN, the first part is known by what it looks like.
    #[test]
    fn a_stream_without_its_syn_is_as_one_segment(which in any::<Index>(), plan in plan(6)) {
        let all = streams();
        let (stream, _, bytes) = &all[which.index(all.len())];
        let wanted = whole(*stream, bytes);
        let parts = plan.parts(bytes);
        let mut run = Run::new();
        for &(offset, part) in &parts {
            run.see(at(0), &stream.part(offset, part));
            for twice in &plan.twice {
                let (offset, part) = parts[twice.index(parts.len())];
                if offset == 0 {
                    run.see(at(0), &stream.part(offset, part));
                }
            }
        }
        prop_assert_eq!(run.end(), wanted);
    }

    /// Several messages follow each other in a stream.
    #[test]
    fn messages_follow_each_other(
        dns in any::<bool>(),
        names in prop::collection::vec("(www\\.evil|clean|a\\.evil)\\.com", 1..6),
        plan in plan(9),
    ) {
        let message = |name: &String| match dns {
            true => counted(&question(name, A, 1, 0x0100)),
            false => [form(&format!("u={name}")), get("/x.exe", name)].concat(),
        };
        let bytes: Vec<u8> = names.iter().flat_map(message).collect();
        let stream = Stream { src: C, dst: if dns { "198.51.100.9:53" } else { WEB } };
        let wanted = whole(stream, &bytes);
        let different: HashSet<&String> = names.iter().collect();
        prop_assert!(dns || wanted.len() >= different.len());
        let order = plan.order.clone();
        let mut parts: Vec<_> = order.iter().zip(plan.parts(&bytes)).collect();
        for in_order in [true, false] {
            if !in_order {
                // Requests that overtake are examined at once; what overlaps them is not known.
                let plan = Plan { overlap: 0, ..plan.clone() };
                parts = order.iter().zip(plan.parts(&bytes)).collect();
                parts.sort_by_key(|(order, _)| **order);
            }
            let mut run = Run::new();
            run.see(at(0), &stream.syn());
            for &(_, (offset, part)) in &parts {
                run.see(at(0), &stream.part(offset, part));
            }
            // What a packet says twice is one event, and which requests share one is by the split.
            let distinct = |mut lines: Vec<String>| {
                let mut seen = HashSet::new();
                lines.retain(|line| seen.insert(line.clone()));
                if !in_order {
                    lines.sort_unstable();
                }
                lines
            };
            let (found, wanted) = (distinct(run.end()), distinct(wanted.clone()));
            prop_assert_eq!(found, wanted, "in order: {}", in_order);
        }
    }
}

#[test]
fn a_head_has_the_time_of_its_first_packet() {
    let bytes = get("/bad.php", "site-a.com");
    let mut run = Run::new();
    run.see(micros(5), &REQUESTS.part(0, &bytes[..20]));
    run.see(micros(900), &REQUESTS.part(20, &bytes[20..]));
    assert_eq!(run.said().len(), 2, "with its last segment");
    assert!(run.events.iter().all(|event| event.time == micros(5)));
    assert!(
        run.events
            .iter()
            .all(|event| event.src_port.as_str() == "40000")
    );
    let counters = run.engine.counters();
    assert_eq!((counters.heads_begun, counters.heads_completed), (1, 1));
    assert_eq!(counters.head_segments, 2);
}

const BAD: &str = "URL site-a.com/bad.php";
const HEAD: &[u8] = b"GET /bad.php HTTP/1.1\r\nHost: site-a.com\r\nX: ";

#[test]
fn what_is_there_is_examined_after_two_seconds() {
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, HEAD));
    run.see(at(1), &segment("192.0.2.99:1", "192.0.2.98:2", 0x10, b"x"));
    assert_eq!(run.said(), [""; 0]);
    run.engine.tick(at(2), &mut run.events);
    assert_eq!(run.said(), [BAD]);
    assert_eq!(run.events[0].time, at(0));
    // It may go on; only what is new is said then.
    let tail = b"\r\nUser-Agent: sqlmap/1\r\n\r\n";
    run.see(at(9), &REQUESTS.part(HEAD.len(), tail));
    assert_eq!(run.said(), [BAD, "UA sqlmap(/1)"]);
    let counters = run.engine.counters();
    assert_eq!(counters.events, 2);
    assert_eq!((counters.heads_waiting, counters.heads_completed), (0, 1));
}

#[test]
fn packets_let_time_pass_too() {
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, HEAD));
    run.see(at(2), &segment("192.0.2.99:1", "192.0.2.98:2", 0x10, b"x"));
    assert_eq!(run.said(), [BAD]);
}

#[test]
fn an_old_head_is_given_up() {
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, b"GET /bad.p"));
    run.engine.tick(at(29), &mut run.events);
    assert_eq!(run.engine.counters().heads_waiting, 1);
    run.engine.tick(at(30), &mut run.events);
    let counters = run.engine.counters();
    assert_eq!((counters.heads_waiting, counters.heads_expired), (0, 1));
}

#[test]
fn an_answer_a_reset_and_an_end_show_that_nothing_more_comes() {
    let back = REQUESTS.back();
    let next = HEAD.len();
    for last in [
        back.part(0, b"HTTP/1.1 200 OK\r\n\r\n"),
        segment_at(WEB, C, 0x04, 7, b""),
        segment_at(C, WEB, 0x14, 7, b""),
        segment_at(C, WEB, 0x11, ISN.wrapping_add(1 + next as u32), b""),
        REQUESTS.syn(),
    ] {
        let mut run = Run::new();
        run.see(at(0), &REQUESTS.part(0, HEAD));
        assert_eq!(run.said(), [""; 0]);
        run.see(at(0), &last);
        assert_eq!(run.said(), [BAD], "{last:02x?}");
        assert_eq!(run.end().len(), 1, "and only once");
    }
    for last in [
        back.part(0, b"HTTP/1.1 100 Continue\r\n\r\n"),
        segment_at(C, WEB, 0x11, ISN.wrapping_add(9 + next as u32), b""),
        segment_at(WEB, C, 0x10, 7, b""),
    ] {
        let mut run = Run::new();
        run.see(at(0), &REQUESTS.part(0, HEAD));
        run.see(at(0), &last);
        assert_eq!(run.said(), [""; 0], "{last:02x?}");
        assert_eq!(run.end().len(), 1);
    }
}

#[test]
fn a_request_line_alone_says_nothing_about_its_host() {
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, b"GET /a HTTP/1.1\r\n"));
    run.engine.tick(at(5), &mut run.events);
    assert_eq!(run.said(), [""; 0]);
    run.see(at(5), &REQUESTS.part(17, b"\r\n"));
    assert_eq!(run.said(), ["HTTP 203.0.113.7/a"]);
}

#[test]
fn a_cut_capture_loses_nothing_that_it_shows() {
    let mut frame = REQUESTS.part(0, &[HEAD, &[b'y'; 200][..]].concat());
    frame.truncate(frame.len() - 150);
    let mut run = Run::new();
    run.see(at(0), &frame);
    assert_eq!(run.said(), [BAD], "at once: the rest was not captured");
    assert_eq!(run.engine.counters().heads_begun, 0);
}

#[test]
fn a_gap_that_stays_loses_only_what_is_missing() {
    // The first segment is not captured; the second is a request of its own.
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.syn());
    run.see(at(0), &REQUESTS.part(500, &get("/bad.php", "site-a.com")));
    assert_eq!(run.said().len(), 2);
    // The same, and the second is the start of one.
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.syn());
    run.see(at(0), &REQUESTS.part(500, HEAD));
    assert_eq!(run.end().len(), 1);
    // A segment in the middle is missing, and the stream goes on far beyond.
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, HEAD));
    run.see(at(0), &REQUESTS.part(400, b"more"));
    run.see(at(0), &REQUESTS.part(20_000, b"far"));
    assert_eq!(run.said(), [BAD]);
    assert_eq!(run.engine.counters().heads_gaps, 1);
}

#[test]
fn a_head_that_does_not_end_is_examined_at_its_limit() {
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, HEAD));
    let mut offset = HEAD.len();
    while offset < 20_000 {
        run.see(at(0), &REQUESTS.part(offset, &[b'x'; 1000]));
        offset += 1000;
    }
    assert_eq!(run.said(), [BAD]);
    let counters = run.engine.counters();
    assert_eq!((counters.heads_too_long, counters.heads_waiting), (1, 0));
}

#[test]
fn the_first_bytes_of_a_place_stay() {
    let bytes = get("/bad.php", "site-a.com");
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, &bytes[..12]));
    run.see(at(0), &REQUESTS.part(4, b"/nice.htm HT"));
    run.see(at(0), &REQUESTS.part(16, &bytes[16..]));
    assert!(run.said().is_empty(), "`/bad.php` became `/bad.php.htm HT`");
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, &bytes[..12]));
    run.see(at(0), &REQUESTS.part(4, b"/nice.ht"));
    run.see(at(0), &REQUESTS.part(12, &bytes[12..]));
    assert_eq!(run.said().len(), 2);
}

#[test]
fn data_in_a_syn_counts() {
    let bytes = get("/bad.php", "site-a.com");
    for cut in [4, 30, bytes.len()] {
        let mut run = Run::new();
        for _ in 0..2 {
            run.see(at(0), &segment_at(C, WEB, 0x02, ISN, &bytes[..cut]));
        }
        if cut < bytes.len() {
            run.see(at(0), &REQUESTS.part(cut, &bytes[cut..]));
        }
        assert_eq!(run.said(), ["UA sqlmap(/1)", BAD], "{cut}");
        assert_eq!(run.engine.counters().observations[0], 1, "one SYN");
    }
}

#[test]
fn segments_that_no_receiver_takes_add_nothing() {
    let bytes = get("/bad.php", "site-a.com");
    let mut run = Run::new();
    run.see(at(0), &REQUESTS.part(0, &bytes[..12]));
    let seq = ISN.wrapping_add(13);
    run.see(at(0), &segment_at(C, WEB, 0x08, seq, b"?harmless"));
    run.see(at(0), &REQUESTS.part(12, &bytes[12..]));
    assert_eq!(run.said().len(), 2);
}

#[test]
fn probes_are_counted_and_not_read() {
    let bytes = get("/bad.php", "site-a.com");
    for (flags, heuristics, events) in [
        (0x00, "true", 0),
        (0x01, "true", 0),
        (0x29, "true", 0),
        (0x00, "false", 1),
        (0x09, "true", 2),
    ] {
        let options = match heuristics {
            "true" => "-",
            _ => "USE_HEURISTICS false",
        };
        let mut engine = Setup::new(TRAILS).with(options).engine();
        let mut out = Vec::new();
        let frame = segment(C, WEB, flags, &bytes);
        engine.packet(LinkType::ETHERNET, at(0), &frame, &mut out);
        assert_eq!(out.len(), events, "{flags:#04x}, heuristics {heuristics}");
        assert_eq!(engine.counters().probes, u64::from(events == 0));
    }
}

#[test]
fn bulk_data_waits_nowhere() {
    let mut run = Run::new();
    let down = Stream { src: WEB, dst: C };
    run.see(at(0), &segment_at(C, WEB, 0x02, 7, b""));
    run.see(at(0), &segment_at(WEB, C, 0x12, ISN, b""));
    for n in 0..50 {
        let bytes = [[0x17, 3, 3, 5, 0xb4].as_slice(), &[0xa5; 1400]].concat();
        run.see(at(0), &down.part(n * 1405, &bytes));
    }
    // Lost and overtaking segments of such a stream are no reason to wait either.
    for n in [53, 52, 57] {
        run.see(at(0), &down.part(n * 1405, &[0xa5; 1400]));
    }
    let counters = run.engine.counters();
    assert_eq!((counters.heads_begun, counters.head_segments), (0, 0));
}

/// So many unfinished heads, each of a client of its own.
fn flood(run: &mut Run, heads: u32, payload: &[u8]) {
    for n in 0..heads {
        let [_, a, b, c] = n.to_be_bytes();
        let frame = segment_at(&format!("10.{a}.{b}.{c}:1025"), WEB, DATA, 5, payload);
        run.see(at(0), &frame);
    }
}

#[test]
fn many_heads_and_many_bytes_are_bounded() {
    const HEADS: u64 = 1 << 14;
    const BYTES: u64 = 16 << 20;
    let mut run = Run::new();
    flood(&mut run, 20_000, b"GET /a");
    let counters = run.engine.counters();
    assert_eq!(counters.heads_waiting, HEADS);
    assert_eq!(counters.heads_evicted, 20_000 - HEADS);
    assert!(counters.heads_bytes <= BYTES);
    let mut run = Run::new();
    let long = [HEAD, &[b'x'; 1300]].concat();
    flood(&mut run, 20_000, &long);
    let counters = run.engine.counters();
    assert!(counters.heads_bytes <= BYTES && counters.heads_bytes > BYTES - 2000);
    assert!(counters.heads_waiting < HEADS);
    assert_eq!(counters.heads_waiting + counters.heads_evicted, 20_000);
    // What made room was examined; a whole request is found as ever, and one in parts too.
    assert_eq!(run.events.len() as u64, counters.heads_evicted);
    run.events.clear();
    run.see(
        at(0),
        &segment(C, WEB, DATA, &get("/bad.php", "site-a.com")),
    );
    assert_eq!(run.said().len(), 2);
    let bytes = get("/bad.php", "site-a.com");
    let other = Stream {
        src: "192.0.2.10:40001",
        dst: WEB,
    };
    run.events.clear();
    run.see(at(0), &other.part(0, &bytes[..30]));
    run.see(at(0), &other.part(30, &bytes[30..]));
    let [ua, url] = ["UA sqlmap(/1)", BAD];
    assert!(run.said().contains(&ua.to_owned()) && run.said().contains(&url.to_owned()));
}

/// The frames of a capture with microseconds, little endian.
fn frames(capture: &[u8]) -> Vec<(Timestamp, Vec<u8>)> {
    let word = |at: usize| {
        let bytes = capture.get(at..at + 4).expect("whole").try_into();
        i64::from(u32::from_le_bytes(bytes.expect("four")))
    };
    let mut at = 24;
    let mut frames = Vec::new();
    while at < capture.len() {
        let time = word(at) * 1_000_000 + word(at + 4);
        let end = at + 16 + usize::try_from(word(at + 8)).expect("short");
        let frame = capture.get(at + 16..end).expect("whole").to_vec();
        frames.push((Timestamp::from_micros(time), frame));
        at = end;
    }
    frames
}

/// What a browser sends, see `tests/corpus/README.md`.
#[test]
fn a_browser_and_its_servers_are_heard() {
    let trails = "segments.maltrail.example,seen,r\n/listed.php,path,r\n\
                  20599ad4407d315837df6e4f92c3b8e7521537e8,cert,r\n";
    let mut engine = Setup::new(trails).engine();
    let mut events = Vec::new();
    let capture = frames(include_bytes!("../../../../tests/corpus/segments.pcap"));
    for (at, frame) in &capture {
        engine.packet(LinkType::ETHERNET, *at, frame, &mut events);
    }
    let brief = |event: &Event| format!("{} {} {}", event.proto, event.kind, event.info);
    let mut found: Vec<String> = events.iter().map(brief).collect();
    found.sort_unstable();
    let wanted = [
        "TCP CERT cert",
        "TCP CERT cert",
        "TCP DNS seen",
        "TCP DNS seen",
        "TCP URL path",
        "UDP DNS seen",
    ];
    assert_eq!(found, wanted);
    // Each has the time of its first packet.
    let sends = |event: &Event| {
        let same = |(at, frame): &&(Timestamp, Vec<u8>)| {
            *at == event.time && frame.len() > 1000 && frame[12..14] == [8, 0]
        };
        capture.iter().any(|packet| same(&packet))
    };
    assert!(events.iter().all(sends), "{events:#?}");
}

/// Wherever two requests are cut: in the method, before the version, in an empty line, between them.
#[test]
fn every_cut_of_two_requests_is_as_none() {
    let bytes = [form("id=7&k=v"), get("/bad.php", "site-a.com")].concat();
    let mut wanted = whole(REQUESTS, &bytes);
    wanted.sort_unstable();
    assert_eq!(wanted.len(), 3);
    for cut in 1..bytes.len() {
        for swapped in [false, true] {
            let mut parts = [(0, &bytes[..cut]), (cut, &bytes[cut..])];
            if swapped {
                parts.reverse();
            }
            let mut run = Run::new();
            run.see(at(0), &REQUESTS.syn());
            for (offset, part) in parts {
                run.see(at(0), &REQUESTS.part(offset, part));
            }
            let mut found = run.end();
            found.sort_unstable();
            assert_eq!(found, wanted, "cut at {cut}, swapped: {swapped}");
        }
    }
}
