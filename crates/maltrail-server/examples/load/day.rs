//! One large day: every question the page asks, timed, and totals compared with what was written.

use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use serde_json::json;

use super::lines::{self, of_source};
use super::process::Place;
use super::told;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// A number without a common factor with 7919
    #[arg(long, default_value_t = 200_000)]
    threats: u64,
    /// How often each question is asked
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

const QUESTIONS: [(&str, &str); 12] = [
    ("first page", "include=facets,histogram"),
    ("page of rows only", ""),
    ("page 1,000", "offset=50000"),
    ("severity", "sev=high&include=facets,histogram"),
    (
        "source network",
        "q=src:10.0.3.0/24&include=facets,histogram",
    ),
    (
        "trail pattern",
        "q=trail:*-17.example&include=facets,histogram",
    ),
    ("free text", "q=cobalt&include=facets,histogram"),
    (
        "free text, nothing",
        "q=no-such-thing&include=facets,histogram",
    ),
    (
        "port and class",
        "q=port:53+class:malware&include=facets,histogram",
    ),
    ("by source", "sort=src&dir=asc"),
    ("by trail", "sort=trail&dir=asc"),
    ("by count", "sort=count"),
];

pub(crate) fn run(place: &Place, args: &Args) {
    let (day, start) = lines::day_before(1);
    let path = place.logs().join(format!("{day}.log"));
    if !path.exists() {
        let started = Instant::now();
        lines::write_day(&path, start, args.events, args.threats);
        println!(
            "written {} events in {:.1?}",
            args.events,
            started.elapsed()
        );
    }
    let server = place.start("");
    println!("memory without a day: {:.0} MiB", server.memory().0);
    let started = Instant::now();
    let mut client = server.client();
    let first = format!("/api/v1/threats?day={day}");
    loop {
        let answer = client.get(&first).json();
        if answer["all"]["events"] == json!(args.events) {
            assert_eq!(answer["all"]["threats"], json!(args.threats), "threats");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(3600), "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("indexed and in memory after {:.1?}", started.elapsed());
    let (now, most) = server.memory();
    println!("memory with the day: {now:.0} MiB, at most {most:.0}");
    for source in [0, 5, 777] {
        let address = format!(
            "10.{}.{}.{}",
            source >> 16 & 255,
            source >> 8 & 255,
            source & 255
        );
        let answer = client
            .get(&format!("/api/v1/threats?day={day}&q=src:{address}/32"))
            .json();
        assert_eq!(answer["total"], json!(of_source(source, args.threats)));
    }
    let mut all = Vec::new();
    for (name, question) in QUESTIONS {
        let path = format!("/api/v1/threats?day={day}&{question}");
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..args.rounds {
            let started = Instant::now();
            bytes = client.get(&path).body.len();
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        all.extend_from_slice(&times);
        println!("{name:<20} {:>7} bytes  {}", bytes, told(times));
    }
    println!("{:<20} {:>13}  {}", "all", "", told(all));
    let (now, most) = server.memory();
    println!("memory after the questions: {now:.0} MiB, at most {most:.0}");
}
