//! Traffic that is hard to share out among workers: one host with half of all packets, floods and sweeps over
//! many hosts, flows of which one direction is seen, names that do not exist.
//!
//! Own hosts are in 10.20.0.0/16, as in the sample; others are reserved for documentation, except sources of the
//! flood, which are spoofed as in life. The same frames every time.

use std::net::IpAddr;

use crate::packet::{self, Host, Qtype, Segment};
use crate::payload;
use crate::pcap::Frame;
use crate::sample::{START, Sample};

/// Seconds of the whole.
const SECONDS: u64 = 5;
/// SYNs of the flood.
const FLOOD: u32 = 7000;
/// Services of a scan.
const SCANNED: [u16; 14] = [
    21, 22, 23, 25, 80, 110, 143, 443, 993, 995, 3306, 5432, 8080, 8443,
];

/// The mix, in order of time.
#[must_use]
pub fn mix() -> Vec<Frame> {
    let sample = Sample::build().frames.into_iter().map(|frame| frame.bytes);
    let mut strands = vec![
        sample.collect::<Vec<_>>(),
        flood(),
        sweeps(),
        one_way(),
        unknown_names(),
    ];
    let others: usize = strands.iter().map(Vec::len).sum();
    strands.push(busy_host(others));
    let total = strands.iter().map(Vec::len).sum::<usize>() as f64;
    let mut placed: Vec<(f64, Vec<u8>)> = Vec::with_capacity(total as usize);
    for strand in strands {
        let count = strand.len() as f64;
        let place = |at: usize| (at as f64 + 0.5) / count;
        let frames = strand.into_iter().enumerate();
        placed.extend(frames.map(|(at, bytes)| (place(at), bytes)));
    }
    placed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let span = (SECONDS * 1_000_000) as f64;
    let frame = |(place, bytes): (f64, Vec<u8>)| Frame {
        micros: START * 1_000_000 + (place * span) as u64,
        bytes,
    };
    placed.into_iter().map(frame).collect()
}

/// SYNs of thousands to one web server.
fn flood() -> Vec<Vec<u8>> {
    let victim = Host::local("10.20.5.5").port(443);
    let syn = |number: u32| {
        let spread = number.wrapping_mul(0x9e37_79b9);
        let [net, host, port @ ..] = spread.to_be_bytes();
        // From everywhere: no network has more sources than the own one.
        let source = Host::remote(&format!("{}.{host}.7.9", 11 + net % 100));
        packet::syn(source.port(1024 | u16::from_be_bytes(port)), victim)
    };
    (0..FLOOD).map(syn).collect()
}

/// Outsiders and an insider that try many hosts and many services.
fn sweeps() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let insider = Host::local("10.20.10.77").port(45_000);
    let outsider = Host::remote("198.51.100.77").port(45_001);
    let scanner = Host::remote("198.51.100.78").port(45_002);
    for number in 1..=60 {
        let host = Host::local(&format!("10.20.{number}.9"));
        frames.push(packet::syn(insider, host.port(445)));
        frames.push(packet::syn(outsider, host.port(445)));
        if number % 12 == 0 {
            let scans = SCANNED.map(|port| packet::syn(scanner, host.port(port)));
            frames.extend(scans);
        }
    }
    frames
}

/// Requests without their answers, and answers without their requests.
fn one_way() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 1..=120_u16 {
        let client = Host::local(&format!("10.20.40.{number}")).port(50_000 + number);
        let server = Host::remote("203.0.113.80").port(80);
        if number % 2 == 0 {
            let request = payload::http_get("intranet.example", &format!("/a/{number}"));
            frames.push(packet::tcp_data(client, server, &request));
        } else {
            frames.push(packet::tcp_data(server, client, &payload::http_ok(300)));
        }
        // Listed: a question that nobody answers, and an answer that nobody asked for.
        let name = format!("one-way-{number}.hopto.org");
        let resolver = Host::local("10.20.0.2").port(53);
        let address: IpAddr = [203, 0, 113, 81].into();
        frames.push(match number % 20 {
            0 => packet::dns_query(client, resolver, &name, Qtype::A),
            10 => packet::dns_answer(client, resolver, &name, Qtype::A, &[address]),
            _ => continue,
        });
    }
    frames
}

/// Outsiders that ask our server for names that do not exist.
fn unknown_names() -> Vec<Vec<u8>> {
    // Response code 3 stands in the fourth byte of the message.
    const NO_SUCH_NAME: u8 = 3;
    let mut frames = Vec::new();
    for number in 0..60_u16 {
        let client = Host::remote(&format!("198.18.50.{}", number % 2)).port(41_000 + number);
        let resolver = Host::local("10.20.0.2").port(53);
        let name = format!("host-{number}.gone-for-good.net");
        let mut answer = payload::dns_answer(41_000 + number, &name, Qtype::A, &[]);
        if let Some(code) = answer.get_mut(3) {
            *code |= NO_SUCH_NAME;
        }
        frames.push(packet::dns_query(client, resolver, &name, Qtype::A));
        frames.push(packet::udp(resolver, client, &answer));
    }
    frames
}

/// `count` segments of one host's download.
fn busy_host(count: usize) -> Vec<Vec<u8>> {
    let client = Host::local("10.20.10.50").port(52_000);
    let server = Host::remote("203.0.113.90").port(443);
    let mut frames = vec![packet::syn(client, server), packet::syn_ack(server, client)];
    let (from, back) = (packet::first_seq(server), packet::first_seq(client));
    let noise = [0x5a; 400];
    for number in 0..(count.saturating_sub(2) as u32) / 2 {
        let seq = from.wrapping_add(1 + number * noise.len() as u32);
        let data = Segment {
            seq,
            ack: Some(back.wrapping_add(1)),
            ..Segment::default()
        };
        frames.push(packet::tcp(server, client, data, &noise));
        let answer = Segment {
            seq: back.wrapping_add(1),
            ack: Some(seq.wrapping_add(noise.len() as u32)),
            ..Segment::default()
        };
        frames.push(packet::tcp(client, server, answer, &[]));
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_is_one_host_s() {
        let frames = mix();
        assert!(frames.is_sorted_by_key(|frame| frame.micros));
        let busy = [10, 20, 10, 50];
        let of_it = |frame: &&Frame| frame.bytes.windows(4).any(|part| part == busy);
        let share = frames.iter().filter(of_it).count() as f64 / frames.len() as f64;
        assert!((0.48..0.52).contains(&share), "{share}");
        assert_eq!(mix(), frames);
    }
}
