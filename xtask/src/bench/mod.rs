//! `cargo xtask bench`: what a packet costs the sensor, by the slope of two lengths of one stream.
//!
//! Start-up and the load of the trails drop out of the difference. Times are those of the processor
//! and drift with the machine, so only ratios from one run mean something; instructions, counted by
//! callgrind, hardly do.

mod streams;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use wait4::Wait4 as _;

use crate::shell::{cargo, exists};
use streams::Workload;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The trail set; default: the lists built into the sensor
    #[arg(long)]
    trails: Option<PathBuf>,
    /// What to run, several with commas; default: everything
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Packets of the longer stream; the shorter one has a fifth
    #[arg(long, default_value_t = 1_000_000)]
    packets: u64,
    /// Runs of each length
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Another `sensor` to compare with, run in turns
    #[arg(long)]
    against: Option<PathBuf>,
    /// Count instructions with valgrind, over 30,000 packets
    #[arg(long)]
    instructions: bool,
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Packets of the longer stream when instructions are counted: valgrind is fifty times slower.
const COUNTED: u64 = 30_000;

/// Runs the workloads and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.runs > 0, "--runs must be at least 1");
    ensure!(options.packets >= 10, "--packets must be at least 10");
    if options.instructions && !exists("valgrind") {
        bail!("--instructions needs valgrind: install it with your system's package manager");
    }
    cargo(["build", "--release", "-p", "maltrail-sensor"]).check()?;
    let folder = tempfile::tempdir()?;
    let bench = Bench {
        options,
        configuration: configuration(folder.path(), options.trails.as_deref())?,
        folder: folder.path(),
        sensor: Path::new("target/release/sensor").canonicalize()?,
    };
    let workloads = match options.workload.as_slice() {
        [] => &Workload::ALL,
        some => some,
    };
    if options.instructions {
        println!("{:<12} {:>20}", "workload", "instructions/packet");
        for &workload in workloads {
            println!("{:<12} {:>20}", workload.name(), bench.count(workload)?);
        }
        return Ok(());
    }
    println!(
        "{:<12} {:>10} {:>16} {:>10} {:>10}",
        "workload", "ns/packet", "lowest..highest", "peak MiB", "against"
    );
    for &workload in workloads {
        println!("{}", bench.time(workload)?);
    }
    bench.start()
}

fn configuration(folder: &Path, trails: Option<&Path>) -> anyhow::Result<PathBuf> {
    let set = match trails {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("cannot read the trail set `{}`", path.display()))?,
        None => folder.join("trails.csv"),
    };
    let path = folder.join("maltrail.conf");
    let text = format!(
        "[Sensor]\nSENSOR_NAME bench\nPROCESS_COUNT 1\nUSE_CONDENSED_STORAGE false\nUSE_HEURISTICS true\nUSE_FEED_UPDATES false\nUPDATE_PERIOD 86400\n\
         LOG_DIR {}\nTRAILS_FILE {}\n",
        folder.join("log").display(),
        set.display()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    configuration: PathBuf,
    sensor: PathBuf,
}

/// What one run cost.
struct Cost {
    cpu_secs: f64,
    peak_mib: f64,
}

impl Bench<'_> {
    fn stream(&self, workload: Workload, packets: u64) -> anyhow::Result<PathBuf> {
        let path = self
            .folder
            .join(format!("{}.{packets}.pcap", workload.name()));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        streams::write(workload, packets, self.options.seed, &mut out)?;
        out.flush()?;
        Ok(path)
    }

    fn command(&self, program: &Path, capture: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.configuration);
        command.arg("-q").arg("-r").arg(capture);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs a sensor over a capture.
    fn cost(&self, sensor: &Path, capture: &Path) -> anyhow::Result<Cost> {
        let mut child = self
            .command(sensor, capture)
            .stderr(Stdio::null())
            .spawn()?;
        let ended = child.wait4()?;
        ensure!(
            ended.status.success(),
            "`{}` over `{}` failed: {}",
            sensor.display(),
            capture.display(),
            ended.status
        );
        let used = ended.rusage;
        Ok(Cost {
            cpu_secs: (used.utime + used.stime).as_secs_f64(),
            peak_mib: used.maxrss as f64 / f64::from(1 << 20),
        })
    }

    fn time(&self, workload: Workload) -> anyhow::Result<String> {
        let long = self.options.packets;
        let short = long / 5;
        let files = [self.stream(workload, short)?, self.stream(workload, long)?];
        let sensors: Vec<&Path> = std::iter::once(self.sensor.as_path())
            .chain(self.options.against.as_deref())
            .collect();
        let mut slopes = vec![Vec::new(); sensors.len()];
        let mut peak = 0_f64;
        for _ in 0..self.options.runs {
            for (sensor, slopes) in sensors.iter().zip(&mut slopes) {
                let first = self.cost(sensor, &files[0])?;
                let second = self.cost(sensor, &files[1])?;
                peak = peak.max(second.peak_mib);
                slopes.push((second.cpu_secs - first.cpu_secs) / (long - short) as f64 * 1e9);
            }
        }
        for file in files {
            std::fs::remove_file(file)?;
        }
        for slopes in &mut slopes {
            slopes.sort_by(f64::total_cmp);
        }
        let median = |slopes: &[f64]| slopes[slopes.len() / 2];
        let own = &slopes[0];
        let against = slopes.get(1).map_or_else(String::new, |other| {
            format!("{:.2}x", median(own) / median(other))
        });
        Ok(format!(
            "{:<12} {:>10.0} {:>16} {:>10.0} {:>10}",
            workload.name(),
            median(own),
            format!("{:.0}..{:.0}", own[0], own[own.len() - 1]),
            peak,
            against
        ))
    }

    /// Instructions for each packet.
    fn count(&self, workload: Workload) -> anyhow::Result<u64> {
        let long = COUNTED.min(self.options.packets);
        let short = long / 6;
        let of = |packets: u64| -> anyhow::Result<u64> {
            let capture = self.stream(workload, packets)?;
            let mut command = Command::new("valgrind");
            command.arg("--tool=callgrind");
            command.arg(format!(
                "--callgrind-out-file={}",
                self.folder.join("callgrind").display()
            ));
            command.arg(&self.sensor);
            let plain = self.command(&self.sensor, &capture);
            command.args(plain.get_args());
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let output = command.output()?;
            std::fs::remove_file(&capture)?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "valgrind failed:\n{said}");
            let refs = said
                .lines()
                .find_map(|line| line.split_once("I   refs:").or(line.split_once("I refs:")));
            let (_, refs) = refs.context("valgrind said no number of instructions")?;
            Ok(refs.trim().replace(',', "").parse()?)
        };
        let (short_cost, long_cost) = (of(short)?, of(long)?);
        Ok(long_cost.saturating_sub(short_cost) / (long - short))
    }

    /// What a start costs: a capture of one packet.
    fn start(&self) -> anyhow::Result<()> {
        let capture = self.stream(Workload::Icmp, 1)?;
        let mut walls = Vec::new();
        for _ in 0..self.options.runs {
            let begun = Instant::now();
            self.cost(&self.sensor, &capture)?;
            walls.push(begun.elapsed().as_millis());
        }
        walls.sort_unstable();
        println!(
            "start to the end of one packet: {} ms",
            walls[walls.len() / 2]
        );
        Ok(())
    }
}
