//! The clock of the benign day: what is due each second, packet by packet.
//!
//! Occurrences write their packets up to [`AHEAD`] seconds ahead; what lasts longer is a [`Long`],
//! asked each second. So no more than some seconds of traffic are held at a time.

use std::collections::VecDeque;

use crate::kinds::KINDS;
use crate::net::client_hello;
use crate::wire::{
    ACK, Answer, End, FIN, PUSH, SYN, SYN_ACK, dns, ip, record, server_hello, tcp, udp,
};

/// Farthest second that an occurrence writes to.
const AHEAD: usize = 120;
/// Clients; the budget counts them.
pub(crate) const HOSTS: u8 = 50;
/// The resolver of the site.
pub(crate) const RESOLVER: u32 = ip(192, 168, 2, 53);

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn byte(&mut self, low: u8, high: u8) -> u8 {
        u8::try_from(self.within(low.into(), high.into())).expect("byte")
    }

    pub(crate) fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("index")]
    }

    /// Letters of `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &str, length: u64) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let mut letter =
            || letters[usize::try_from(self.below(letters.len() as u64)).expect("index")];
        (0..length).map(|_| letter()).collect()
    }

    pub(crate) fn hex(&mut self, length: u64) -> String {
        self.text("0123456789abcdef", length)
    }

    pub(crate) fn port(&mut self) -> u16 {
        u16::try_from(self.within(32_768, 60_999)).expect("port")
    }
}

/// One frame on its way.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) micros: i64,
    pub(crate) kind: usize,
    pub(crate) frame: Vec<u8>,
}

/// Something that goes on for long: packets each second in both directions.
#[derive(Debug)]
pub(crate) struct Long {
    kind: usize,
    pub(crate) until: i64,
    pub(crate) src: End,
    pub(crate) dst: End,
    /// Packets a second there and back, and bytes of payload of each.
    pub(crate) there: (u64, usize),
    pub(crate) back: (u64, usize),
    /// TCP or UDP, and the first byte of each payload.
    pub(crate) stream: bool,
    pub(crate) first: u8,
    numbers: (u32, u32),
}

/// The state of the day.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) random: Random,
    /// Seconds since midnight.
    pub(crate) second: i64,
    pub(crate) kind: usize,
    buckets: VecDeque<Vec<Sent>>,
    long: Vec<Long>,
    /// When a crowd came to our web server.
    pub(crate) crowd: Option<i64>,
}

/// How busy an office is at an hour, as a part of its daily mean.
const OFFICE: [f64; 24] = [
    0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 1.0, 2.0, 2.5, 2.6, 2.4, 1.6, 2.2, 2.4, 2.2, 1.6, 0.9, 0.5,
    0.3, 0.2, 0.2, 0.1, 0.1,
];

impl Day {
    pub(crate) fn new(seed: u64, second: i64) -> Self {
        Self {
            random: Random(seed),
            second,
            kind: 0,
            buckets: (0..=AHEAD).map(|_| Vec::new()).collect(),
            long: Vec::new(),
            crowd: None,
        }
    }

    /// Makes every kind happen once now.
    pub(crate) fn everything(&mut self) {
        for (number, kind) in KINDS.iter().enumerate() {
            self.kind = number;
            (kind.run)(self);
        }
    }

    /// The packets of the current second, in order; the next one begins.
    pub(crate) fn next_second(&mut self) -> Vec<Sent> {
        let hour = usize::try_from(self.second / 3600 % 24).expect("hour");
        for (number, kind) in KINDS.iter().enumerate() {
            let busy = if kind.office { OFFICE[hour] } else { 1.0 };
            let mean = kind.per_day * busy / 86_400.0;
            let chance = self.random.below(1 << 32) as f64 / (1_u64 << 32) as f64;
            let times = mean.floor() + f64::from(u8::from(chance < mean.fract()));
            self.kind = number;
            for _ in 0..times as u32 {
                (kind.run)(self);
            }
        }
        self.go_on();
        if let Some(began) = self.crowd {
            self.kind = KINDS
                .iter()
                .position(|kind| kind.name == "flash crowd")
                .expect("kind");
            crate::servers::crowd(self, began);
        }
        let mut packets = self.buckets.pop_front().expect("second");
        self.buckets.push_back(Vec::new());
        packets.sort_by_key(|sent| sent.micros);
        self.second += 1;
        packets
    }

    /// Sends a frame `after` microseconds after the start of this second.
    pub(crate) fn send(&mut self, after: u64, frame: Vec<u8>) {
        let bucket = usize::try_from(after / 1_000_000).expect("second");
        let micros = i64::try_from(after % 1_000_000).expect("micros");
        let kind = self.kind;
        let last = self.buckets.len() - 1;
        self.buckets[bucket.min(last)].push(Sent {
            micros,
            kind,
            frame,
        });
    }

    pub(crate) fn start(&mut self) -> u64 {
        self.random.below(1_000_000)
    }

    pub(crate) fn client(&mut self) -> u32 {
        ip(192, 168, 1, self.random.byte(1, HOSTS))
    }

    /// One of 40 million addresses in the Internet.
    pub(crate) fn outside(&mut self) -> u32 {
        ip(
            self.random.byte(20, 89),
            self.random.byte(0, 255),
            self.random.byte(0, 255),
            self.random.byte(1, 254),
        )
    }

    /// The address of a name: always the same one.
    pub(crate) fn address(name: &str) -> u32 {
        let site = name.rsplitn(3, '.').take(2).collect::<String>();
        let hash = site
            .bytes()
            .fold(7_u64, |hash, byte| Random(hash ^ u64::from(byte)).next());
        ip(
            93,
            (hash >> 8) as u8 & 0x7f,
            (hash >> 16) as u8,
            1 + (hash >> 24) as u8 % 250,
        )
    }

    /// A question to the site's resolver.
    pub(crate) fn ask(&mut self, after: u64, client: u32, name: &str, qtype: u16, answer: Answer) {
        self.ask_at(after, client, RESOLVER, name, qtype, answer);
    }

    pub(crate) fn ask_at(
        &mut self,
        after: u64,
        client: u32,
        server: u32,
        name: &str,
        qtype: u16,
        answer: Answer,
    ) {
        let id = self.random.next() as u16;
        let (question, reply) = dns(id, name, qtype, answer);
        let port = self.random.port();
        let took = self.random.within(300, 60_000);
        self.send(after, udp((client, port), (server, 53), &question));
        self.send(after + took, udp((server, 53), (client, port), &reply));
    }

    /// A, AAAA and HTTPS of a name that exists, as a browser asks.
    pub(crate) fn resolve(&mut self, after: u64, client: u32, name: &str) -> u32 {
        let address = Self::address(name);
        self.ask(after, client, name, 1, Answer::Address(address));
        self.ask(after + 40, client, name, 28, Answer::Nothing);
        self.ask(after + 90, client, name, 65, Answer::Nothing);
        address
    }

    /// A datagram and its reply.
    pub(crate) fn exchange(&mut self, after: u64, src: End, dst: End, there: &[u8], back: &[u8]) {
        self.send(after, udp(src, dst, there));
        if !back.is_empty() {
            let took = self.random.within(200, 40_000);
            self.send(after + took, udp(dst, src, back));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "both directions, written once")]
    pub(crate) fn lasting(
        &mut self,
        seconds: u64,
        src: End,
        dst: End,
        there: (u64, usize),
        back: (u64, usize),
        stream: bool,
        first: u8,
    ) {
        self.long.push(Long {
            kind: self.kind,
            until: self.second + i64::try_from(seconds).expect("seconds"),
            src,
            dst,
            there,
            back,
            stream,
            first,
            numbers: (1, 1),
        });
    }

    fn go_on(&mut self) {
        let mut all = std::mem::take(&mut self.long);
        all.retain(|long| long.until > self.second);
        for long in &mut all {
            self.kind = long.kind;
            for forth in [true, false] {
                let (count, bytes) = if forth { long.there } else { long.back };
                let (src, dst) = if forth {
                    (long.src, long.dst)
                } else {
                    (long.dst, long.src)
                };
                let payload = vec![long.first; bytes];
                for n in 0..count {
                    let after = n * 1_000_000 / count + self.random.below(900);
                    let frame = if long.stream {
                        let (seq, ack) = if forth {
                            long.numbers
                        } else {
                            (long.numbers.1, long.numbers.0)
                        };
                        let mine = if forth {
                            &mut long.numbers.0
                        } else {
                            &mut long.numbers.1
                        };
                        *mine = mine.wrapping_add(bytes as u32);
                        tcp(src, dst, (seq, ack), ACK, &payload)
                    } else {
                        udp(src, dst, &payload)
                    };
                    self.send(after, frame);
                }
            }
        }
        all.append(&mut self.long);
        self.long = all;
    }

    /// Opens a connection.
    pub(crate) fn open(&mut self, after: u64, src: u32, dst: End) -> Conn<'_> {
        let src = (src, self.random.port());
        let rtt = self.random.within(400, 30_000);
        let (c, s) = (self.random.next() as u32, self.random.next() as u32);
        let mut conn = Conn {
            day: self,
            src,
            dst,
            numbers: (c, s),
            at: after,
            rtt,
        };
        conn.day.send(conn.at, tcp(src, dst, (c, 0), SYN, &[]));
        conn.at += rtt;
        conn.numbers.0 = c.wrapping_add(1);
        conn.day
            .send(conn.at, tcp(dst, src, (s, conn.numbers.0), SYN_ACK, &[]));
        conn.numbers.1 = s.wrapping_add(1);
        conn.at += 150;
        conn.raw(true, ACK, &[]);
        conn
    }

    /// A TLS connection to a server with a name.
    pub(crate) fn tls(&mut self, after: u64, src: u32, dst: End, name: &str, segments: u64) {
        let hello = client_hello(name);
        let mut conn = self.open(after, src, dst);
        conn.says(&hello);
        conn.hears(&server_hello());
        conn.says(&record(23, &[0x5a; 300]));
        conn.bulk(segments);
        conn.close();
    }
}

/// A TCP connection that is being written.
#[derive(Debug)]
pub(crate) struct Conn<'d> {
    pub(crate) day: &'d mut Day,
    pub(crate) src: End,
    pub(crate) dst: End,
    numbers: (u32, u32),
    pub(crate) at: u64,
    rtt: u64,
}

impl Conn<'_> {
    fn raw(&mut self, forth: bool, flags: u8, payload: &[u8]) {
        let (c, s) = self.numbers;
        let length = payload.len() as u32;
        let frame = if forth {
            self.numbers.0 = c.wrapping_add(length);
            tcp(self.src, self.dst, (c, s), flags, payload)
        } else {
            self.numbers.1 = s.wrapping_add(length);
            tcp(self.dst, self.src, (s, c), flags, payload)
        };
        self.day.send(self.at, frame);
        self.at += 60;
    }

    /// The client sends this.
    pub(crate) fn says(&mut self, payload: &[u8]) {
        for part in payload.chunks(1400) {
            self.raw(true, PUSH, part);
        }
        self.at += self.rtt;
        self.raw(false, ACK, &[]);
    }

    /// The server sends this.
    pub(crate) fn hears(&mut self, payload: &[u8]) {
        for part in payload.chunks(1400) {
            self.raw(false, PUSH, part);
        }
        self.at += self.rtt / 2;
        self.raw(true, ACK, &[]);
    }

    /// The server sends so many full segments.
    pub(crate) fn bulk(&mut self, segments: u64) {
        let body = [0xa7; 1400];
        for n in 0..segments {
            self.raw(false, ACK, &body);
            self.at += 400;
            if n % 2 == 1 {
                self.raw(true, ACK, &[]);
            }
        }
    }

    /// A request and its answer.
    pub(crate) fn request(
        &mut self,
        line: &str,
        host: &str,
        agent: &str,
        more: &str,
        kind: &str,
        segments: u64,
    ) {
        let (fields, body) = more.split_once("\n\n").unwrap_or((more, ""));
        let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let text = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{fields}{length}Connection: keep-alive\r\n\r\n{body}"
        );
        self.says(text.as_bytes());
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            segments * 1400
        );
        self.hears(head.as_bytes());
        self.bulk(segments);
    }

    /// Waits.
    pub(crate) fn pause(&mut self, micros: u64) {
        self.at += micros;
    }

    pub(crate) fn close(&mut self) {
        self.raw(true, FIN, &[]);
        self.raw(false, FIN, &[]);
        self.at += self.rtt;
        self.numbers = (
            self.numbers.0.wrapping_add(1),
            self.numbers.1.wrapping_add(1),
        );
        self.raw(true, ACK, &[]);
    }
}
