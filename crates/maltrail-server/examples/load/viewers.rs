//! Many live streams: what they cost, and how long an event takes to each.

use std::io::{BufRead, Write};
use std::net::UdpSocket;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use super::http::{connect, head};
use super::lines;
use super::process::Place;
use super::told;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 1000)]
    viewers: usize,
    /// Events, one each second
    #[arg(long, default_value_t = 20)]
    events: usize,
}

pub(crate) fn run(place: &Place, args: &Args) {
    let server = place.start(&format!("MAX_LIVE_STREAMS {}", args.viewers + 10));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut text = String::new();
    lines::datagram(0, &mut text);
    socket.send_to(text.as_bytes(), server.udp).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let before = server.memory().0;
    let sent = Arc::new(Mutex::new(Vec::<Instant>::new()));
    let (arrived, arrivals) = mpsc::channel();
    let threads: Vec<_> = (0..args.viewers)
        .map(|_| {
            let mut stream = connect(server.http).expect("a connection");
            write!(
                stream.get_mut(),
                "GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            .unwrap();
            assert_eq!(head(&mut stream).expect("an answer").0, 200);
            let arrived = arrived.clone();
            std::thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || {
                    let mut line = String::new();
                    while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
                        if let Some(at) = line.find("evil-domain-9") {
                            let number = line.get(at + 13..).unwrap_or_default();
                            let end = number.find('.').unwrap_or(0);
                            let number: usize =
                                number.get(..end).and_then(|n| n.parse().ok()).unwrap();
                            let _ = arrived.send((number, Instant::now()));
                        }
                        line.clear();
                    }
                })
                .unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    let with = server.memory().0;
    println!(
        "{} streams: {:.1} MiB more ({before:.0} -> {with:.0})",
        args.viewers,
        with - before
    );
    for n in 0..args.events {
        // Trail evil-domain-9<n>: its number comes back in the message.
        let trail: u64 = format!("9{n}").parse().unwrap();
        lines::datagram(trail * lines::SOURCES, &mut text);
        sent.lock().unwrap().push(Instant::now());
        socket.send_to(text.as_bytes(), server.udp).unwrap();
        std::thread::sleep(Duration::from_secs(1));
    }
    std::thread::sleep(Duration::from_secs(3));
    let (now, most) = server.memory();
    drop(server);
    drop(arrived);
    for thread in threads {
        let _ = thread.join();
    }
    let sent = sent.lock().unwrap();
    let times: Vec<f64> = arrivals
        .iter()
        .filter_map(|(n, at): (usize, Instant)| {
            Some(at.duration_since(*sent.get(n)?).as_secs_f64() * 1000.0)
        })
        .collect();
    let wanted = args.viewers * args.events;
    println!("{} of {wanted} messages came", times.len());
    println!("event to client: {}", told(times));
    println!("memory at the end {now:.0} MiB, at most {most:.0}");
}
