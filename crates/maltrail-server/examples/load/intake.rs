//! Datagrams at a steady rate: what was sent, what the kernel dropped, what is in the day file.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use super::lines;
use super::process::{Place, Server};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Datagrams a second; without it the highest rate without a loss is looked for
    #[arg(long)]
    rate: Option<u64>,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Different threats.
const DISTINCT: u64 = 20_000;
/// Where the microseconds of a datagram of [`lines::datagram`] are: behind `1234567890 "2026-01-31 12:34:56.`.
const MICROS: std::ops::Range<usize> = 32..38;

pub(crate) fn run(place: &Place, args: &Args) {
    let server = place.start("");
    if let Some(rate) = args.rate {
        let lost = round(&server, rate, args.seconds);
        assert_eq!(lost, 0, "datagrams were lost");
        return;
    }
    let (mut good, mut bad) = (0, 0);
    let mut rate = 20_000;
    while bad == 0 || bad - good > good / 20 {
        if round(&server, rate, args.seconds.min(10)) == 0 {
            good = rate;
            rate = if bad == 0 {
                rate * 3 / 2
            } else {
                (good + bad) / 2
            };
        } else {
            bad = rate;
            rate = (good + bad) / 2;
        }
        if bad > 0 && bad < 1_000 {
            break;
        }
    }
    println!("highest rate without a loss: {good}/s");
}

/// Sends for a while; returns how many are not stored.
fn round(server: &Server, rate: u64, seconds: u64) -> u64 {
    let before = stored(server);
    let (sent, took) = send(server.udp, rate, seconds);
    let mut now = stored(server);
    let deadline = Instant::now() + Duration::from_secs(20);
    while now - before < sent && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        now = stored(server);
    }
    let (memory, most) = server.memory();
    println!(
        "{rate}/s asked, {:.0}/s sent: {sent} sent, {} stored, {} lost; {memory:.0} MiB, at most {most:.0}",
        sent as f64 / took.as_secs_f64(),
        now - before,
        sent - (now - before),
    );
    sent - (now - before)
}

fn stored(server: &Server) -> u64 {
    server.health()["intake"]["stored"].as_u64().unwrap()
}

fn send(to: SocketAddr, rate: u64, seconds: u64) -> (u64, Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    let mut text = String::new();
    let mut ready: Vec<Vec<u8>> = (0..DISTINCT)
        .map(|n| {
            lines::datagram(n, &mut text);
            text.clone().into_bytes()
        })
        .collect();
    let started = Instant::now();
    let whole = rate * seconds;
    let mut sent = 0;
    while sent < whole {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        for n in sent..due.min(whole) {
            let datagram = &mut ready[(n % DISTINCT) as usize];
            // The same line again would be taken for a duplicate.
            let mut rest = n / DISTINCT + 1;
            for digit in datagram[MICROS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            while socket.send(datagram).is_err() {
                std::thread::yield_now();
            }
        }
        sent = sent.max(due.min(whole));
        std::thread::sleep(Duration::from_micros(500));
    }
    (sent, started.elapsed())
}
