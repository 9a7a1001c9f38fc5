//! What the sinks thread does with a batch: day files first, then the terminal, then remote receivers.

use std::io::Write as _;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use maltrail_core::event::{Event, profiles};
use maltrail_core::time::Zone;

use super::endpoint::Patience;
use super::{DayFile, SinkCounters, SinkWatch};

/// Events of one read of the capture.
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    /// Whether a receiver that keeps up may be waited for.
    pub(super) patient: bool,
}

/// What the sinks thread works with.
pub(super) struct Writer {
    pub(super) zone: Zone,
    pub(super) line_file: Option<DayFile>,
    pub(super) json_file: Option<DayFile>,
    pub(super) json: profiles::Encode,
    pub(super) console: bool,
    pub(super) watch: SinkWatch,
    pub(super) patience: Vec<Patience>,
}

impl Writer {
    pub(super) fn run(&mut self, batches: &Receiver<Batch>) {
        for batch in batches {
            self.write(batch);
        }
        let files = [self.line_file.as_mut(), self.json_file.as_mut()];
        let ends: Vec<(usize, usize)> = files.into_iter().flatten().map(DayFile::finish).collect();
        self.count(&ends);
    }

    /// Counts each file's stored and lost events. An event is lost once however many files miss it,
    /// and written when the first file has it.
    fn count(&self, files: &[(usize, usize)]) {
        let counters = &self.watch.counters;
        let written = files.first().map_or(0, |&(stored, _)| stored);
        let lost = files.iter().map(|&(_, lost)| lost).max();
        SinkCounters::add(&counters.written, written);
        SinkCounters::add(&counters.failed, lost.unwrap_or_default());
    }

    /// Writes a batch to every sink.
    fn write(&mut self, batch: Batch) {
        let Batch { events, patient } = batch;
        let zone = &self.zone;
        let lines = self.line_file.as_mut().map(|file| {
            let line = |event: &Event, out: &mut String| event.write_line(zone, out);
            file.write(&events, line, zone)
        });
        let objects = self.json_file.as_mut().map(|file| {
            let object = |event: &Event, out: &mut String| (self.json)(event, zone, out);
            file.write(&events, object, zone)
        });
        let ends: Vec<(usize, usize)> = lines.into_iter().chain(objects).collect();
        self.count(&ends);
        if self.console {
            let mut out = std::io::stderr().lock();
            for event in &events {
                let _ = out.write_all(event.to_line(&self.zone).as_bytes());
            }
        }
        if self.watch.endpoints.is_empty() {
            return;
        }
        for event in events.into_iter().map(Arc::new) {
            for (endpoint, patience) in self.watch.endpoints.iter().zip(&mut self.patience) {
                endpoint.offer(&event, patient.then_some(patience));
            }
        }
    }
}
