//! Builds the image of a `trails.csv`, maps it, and compares every row and a million misses with a map.
//!
//! `cargo run --release -p maltrail-core --example image -- trails.csv`

#![expect(clippy::print_stdout, reason = "a report for a person")]

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use maltrail_core::trail::{Key, Origin, TrailSet, TrailSetBuilder, Whitelist, csv};

const MISSES: usize = 1_000_000;
const OPENINGS: usize = 10;

/// A field of `/proc/self/status` in kB.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn build(source: &Path, target: &Path, origin: &Origin) -> Result<(), Box<dyn Error>> {
    let mut builder = TrailSetBuilder::new(Whitelist::default());
    csv::read(File::open(source)?, |key, info, reference| {
        builder.push(key, info, reference)
    })?;
    builder.write(&File::create(target)?, origin)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).ok_or("the path of a trails.csv")?;
    let source = Path::new(&source);
    let target = std::env::temp_dir().join("trails-example.img");
    let origin = Origin::of(&fs::metadata(source)?, &Whitelist::default(), true);

    let start = Instant::now();
    build(source, &target, &origin)?;
    println!(
        "built {} bytes in {:.2} s, peak {} kB",
        fs::metadata(&target)?.len(),
        start.elapsed().as_secs_f64(),
        memory("VmHWM:")
    );
    let before = memory("RssAnon:");
    let mut took = Vec::new();
    for _ in 0..OPENINGS {
        let start = Instant::now();
        let set = TrailSet::open(&target, Some(&origin), true)?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
        drop(set);
    }
    took.sort_by(f64::total_cmp);
    let set = TrailSet::open(&target, Some(&origin), true)?;
    println!(
        "opened in {:.1} to {:.1} ms, {} kB of its own",
        took[0],
        took[OPENINGS - 1],
        memory("RssAnon:").saturating_sub(before)
    );

    // The naive twin: the last row of a key, by the text that the row's lookup goes by.
    let mut naive: HashMap<String, (String, String)> = HashMap::new();
    let mut rows = 0;
    csv::read(File::open(source)?, |key, info, reference| {
        rows += 1;
        let kind = format!("{:?}", Key::of(key, reference));
        naive.insert(kind, (info.to_owned(), reference.to_owned()));
    })?;
    let mut wrong = 0;
    csv::read(File::open(source)?, |key, _, reference| {
        let wanted = naive.get(&format!("{:?}", Key::of(key, reference)));
        let found = set.find(key, reference);
        if found.map(|row| (row.info, row.reference))
            != wanted.map(|(info, reference)| (info.as_str(), reference.as_str()))
        {
            wrong += 1;
        }
    })?;
    let mut false_hits = 0;
    let mut asked = 0;
    let present: Vec<String> = set.rows().map(|row| row.key.to_owned()).collect();
    for (at, key) in present.iter().cycle().enumerate() {
        // Near misses: a known key with one letter changed, and a longer one.
        let miss = if at % 2 == 0 {
            format!("{key}{}", at % 10)
        } else {
            key.replacen(['a', 'e', '1', '2', '5'], "q", 1)
        };
        let twin = format!("{:?}", Key::of(&miss, ""));
        let in_network =
            matches!(Key::of(&miss, ""), Key::Ip(address) if set.net(address).is_some());
        if naive.contains_key(&twin) || in_network {
            continue;
        }
        asked += 1;
        false_hits += usize::from(set.find(&miss, "").is_some());
        if asked == MISSES {
            break;
        }
    }
    println!(
        "{rows} rows: {wrong} answered otherwise than a map; {asked} misses: {false_hits} found"
    );
    fs::remove_file(&target)?;
    if wrong + false_hits == 0 {
        Ok(())
    } else {
        Err("the image answers otherwise".into())
    }
}
