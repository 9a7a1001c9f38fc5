//! One indicator over many days.

use std::time::Instant;

use clap::Args as ClapArgs;
use serde_json::json;

use super::lines;
use super::process::Place;
use super::told;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 30)]
    days: i64,
    /// Events a day
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    #[arg(long, default_value_t = 20_011)]
    threats: u64,
}

pub(crate) fn run(place: &Place, args: &Args) {
    for back in 1..=args.days {
        let (day, start) = lines::day_before(back);
        let path = place.logs().join(format!("{day}.log"));
        if !path.exists() {
            lines::write_day(&path, start, args.events, args.threats);
        }
    }
    let server = place.start("HUNT_TIME_BUDGET 600");
    let mut client = server.client();
    let started = Instant::now();
    for back in 1..=args.days {
        let (day, _) = lines::day_before(back);
        while client
            .get(&format!("/api/v1/threats?day={day}&limit=1"))
            .json()["all"]["events"]
            != json!(args.events)
        {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    println!("indexed after {:.1?}", started.elapsed());
    for (name, query) in [
        ("rare name", "evil-domain-300.example"),
        ("busy name", "evil-domain-4.example"),
        ("address", "10.0.3.7"),
        ("frequent word", "malware"),
        ("nothing", "no-such-thing.example"),
    ] {
        let mut times = Vec::new();
        let mut answer = json!(null);
        for _ in 0..3 {
            let started = Instant::now();
            answer = client.get(&format!("/hunt?q={query}")).json();
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        let counts = answer["counts"].as_object();
        let hits: u64 = counts
            .into_iter()
            .flat_map(|days| days.values())
            .filter_map(serde_json::Value::as_u64)
            .sum();
        println!(
            "{name:<14} {hits:>9} hits, {} of {} days, {}",
            answer["scanned"],
            answer["selected"],
            told(times)
        );
    }
    println!(
        "memory: {:.0} MiB, at most {:.0}",
        server.memory().0,
        server.memory().1
    );
}
