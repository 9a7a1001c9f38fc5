//! Replay of capture files through one engine with one state, in the order given.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use maltrail_core::config::TimestampSource;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{Engine, IgnoreRules};
use maltrail_wire::LinkType;
use tracing::{info, warn};

use crate::app::Totals;
use crate::capture::file::{CaptureFile, Problem, Record};
use crate::sinks::SinkThread;

/// Events handed to the sinks at once.
const BATCH: usize = 256;

/// How files are replayed.
pub(crate) struct Replay<'a> {
    pub(crate) timestamps: TimestampSource,
    /// Multiple of the capture's pace; `None` is as fast as possible.
    pub(crate) speed: Option<f64>,
    /// BPF expression, when one was given.
    pub(crate) filter: Option<&'a str>,
    /// Bytes of a frame that are looked at.
    pub(crate) snaplen: usize,
    pub(crate) ignore: &'a IgnoreRules,
    pub(crate) stop: &'a AtomicBool,
}

impl Replay<'_> {
    /// Reads `files` in order.
    ///
    /// # Errors
    /// When a file cannot be opened, is no capture, or breaks before its first packet.
    pub(crate) fn run(
        &self,
        files: &[impl AsRef<Path>],
        engine: &mut Engine,
        sinks: &SinkThread,
        totals: &mut Totals,
    ) -> anyhow::Result<()> {
        for (number, path) in (1..).zip(files) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.file(number, path.as_ref(), engine, sinks, totals)?;
        }
        let mut events = Vec::new();
        engine.finish(totals.last, &mut events);
        totals.admit(self.ignore, &mut events);
        sinks.put(events);
        Ok(())
    }

    fn file(
        &self,
        number: usize,
        path: &Path,
        engine: &mut Engine,
        sinks: &SinkThread,
        totals: &mut Totals,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let (packets, events) = (totals.packets, totals.events);
        let (input, size): (Box<dyn Read>, String) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), "standard input".to_owned())
        } else {
            let file = File::open(path)
                .with_context(|| format!("cannot open the capture `{}`", path.display()))?;
            let size = file.metadata().map_or(0, |meta| meta.len());
            (Box::new(file), format!("{size} bytes"))
        };
        let mut capture = CaptureFile::open(input)
            .map_err(|error| anyhow::anyhow!("`{}` {error}", path.display()))?;
        let mut filters = Filters::new(self.filter);
        let mut pace = Pace::new(self.speed);
        let mut out = Vec::new();
        let broken = loop {
            if self.stop.load(Ordering::Relaxed) {
                break None;
            }
            match capture.next_record() {
                Ok(Some(record)) => {
                    self.record(&record, &mut filters, &mut pace, engine, &mut out, totals)?
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            if out.len() >= BATCH || (self.speed.is_some() && !out.is_empty()) {
                totals.admit(self.ignore, &mut out);
                sinks.put(std::mem::take(&mut out));
            }
        };
        totals.admit(self.ignore, &mut out);
        sinks.put(out);
        if let Some(error) = broken {
            if totals.packets == packets && !matches!(error.problem, Problem::Truncated) {
                bail!("`{}` {error}", path.display());
            }
            warn!("`{}` {error}; what came before it was read", path.display());
        }
        info!(
            "[{number}] {}: {size} ({} packet(s), {} event(s)) in {:.2}s",
            path.display(),
            totals.packets - packets,
            totals.events - events,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn record(
        &self,
        record: &Record<'_>,
        filters: &mut Filters<'_>,
        pace: &mut Pace,
        engine: &mut Engine,
        out: &mut Vec<Event>,
        totals: &mut Totals,
    ) -> anyhow::Result<()> {
        pace.wait(record.at, self.stop);
        totals.packets += 1;
        if !filters.admits(record)? {
            totals.filtered += 1;
            return Ok(());
        }
        let at = match self.timestamps {
            TimestampSource::Pcap => record.at,
            TimestampSource::WallClock => Timestamp::now(),
        };
        totals.last = at;
        let frame = record.frame.get(..self.snaplen).unwrap_or(record.frame);
        engine.packet(LinkType(record.link), at, frame, out);
        Ok(())
    }
}

/// The compiled filter for each link type met.
struct Filters<'a> {
    expression: Option<&'a str>,
    programs: Vec<(u16, pcap::BpfProgram)>,
}

impl<'a> Filters<'a> {
    const fn new(expression: Option<&'a str>) -> Self {
        Self {
            expression,
            programs: Vec::new(),
        }
    }

    fn admits(&mut self, record: &Record<'_>) -> anyhow::Result<bool> {
        let Some(expression) = self.expression else {
            return Ok(true);
        };
        if let Some((_, program)) = self.programs.iter().find(|(link, _)| *link == record.link) {
            return Ok(program.filter(record.frame));
        }
        let program = pcap::Capture::dead(pcap::Linktype(i32::from(record.link)))
            .and_then(|capture| capture.compile(expression, true))
            .map_err(|error| {
                anyhow::anyhow!(
                    "the filter `{expression}` does not compile for link type {}: {error}",
                    record.link
                )
            })?;
        let admitted = program.filter(record.frame);
        self.programs.push((record.link, program));
        Ok(admitted)
    }
}

/// Keeps the capture's own pace, or a multiple of it.
struct Pace {
    speed: Option<f64>,
    /// When the first packet was played, and its time.
    start: Option<(Instant, Timestamp)>,
}

impl Pace {
    const fn new(speed: Option<f64>) -> Self {
        Self { speed, start: None }
    }

    fn wait(&mut self, at: Timestamp, stop: &AtomicBool) {
        /// Longest nap, so that a stop is heeded.
        const NAP: Duration = Duration::from_millis(50);
        let Some(speed) = self.speed else { return };
        let (started, first) = *self.start.get_or_insert_with(|| (Instant::now(), at));
        let micros = (at.micros() - first.micros()).max(0) as f64 / speed;
        let due = started + Duration::from_micros(micros as u64);
        while let Some(left) = due
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}
