//! The filtered set of threats as a file: exactly the set that the same query lists, without a limit.
//!
//! The set is fixed when the export starts (8 bytes per threat); its rows are written in blocks of
//! [`BLOCK_BYTES`], and no lock is held while a block waits for the client. A client that takes nothing for
//! [`STALL`] is dropped. When a day leaves the memory under an export, the connection breaks: a file that
//! ends too early must not look complete.

mod indicators;
mod record;
mod shared;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;

use crate::desk::Desk;
use crate::http::body::pieces;
use crate::query::page::{PageRequest, all_ids};
use crate::query::span::{NoAnswer, Source};
use crate::store::table::{DayTable, Threat};
pub(crate) use indicators::MAX_INDICATORS;
use indicators::{Indicators, defanged};
use record::{COLUMNS, Record};

/// Exports at the same time.
pub(crate) const EXPORTS: usize = 2;
/// Bytes of a block; one row more may follow.
const BLOCK_BYTES: usize = 128 * 1024;
/// Threats that are looked at under one lock.
const BLOCK_ROWS: usize = 1000;
/// Longest time a client may take nothing.
const STALL: Duration = Duration::from_secs(30);

/// A form of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
    Ndjson,
    /// Defanged indicators, one a line.
    Ioc,
    Stix,
    Misp,
}

impl Format {
    /// By its name in the API.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "ioc" => Self::Ioc,
            "stix" => Self::Stix,
            "misp" => Self::Misp,
            _ => return None,
        })
    }

    /// Content type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Misp => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Ioc => "text/plain; charset=utf-8",
            Self::Stix => "application/stix+json;version=2.1",
        }
    }

    /// Name of the file for these days.
    pub(crate) fn file_name(self, days: &str) -> String {
        let (stem, ending) = match self {
            Self::Csv => ("threats", "csv"),
            Self::Json => ("threats", "json"),
            Self::Ndjson => ("threats", "ndjson"),
            Self::Ioc => ("iocs", "txt"),
            Self::Stix => ("stix", "json"),
            Self::Misp => ("misp", "json"),
        };
        format!("maltrail-{stem}-{days}.{ending}")
    }
}

/// Why there is no export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoAnswer(NoAnswer),
    /// More than [`MAX_INDICATORS`].
    TooMany,
}

impl From<NoAnswer> for Refused {
    fn from(error: NoAnswer) -> Self {
        Self::NoAnswer(error)
    }
}

/// An export that is ready to be written.
pub(crate) struct Export {
    source: Source,
    format: Format,
    ids: Vec<u64>,
    /// For the formats that carry indicators.
    indicators: Indicators,
    days: String,
    desk: Arc<Desk>,
}

impl Export {
    /// Fixes the set. Blocks.
    pub(crate) fn new(
        source: Source,
        request: &PageRequest,
        format: Format,
        days: String,
        desk: Arc<Desk>,
    ) -> Result<Self, Refused> {
        let mut export = Self {
            ids: source.ask(|table| all_ids(table, &desk.cases(), request))?,
            source,
            format,
            indicators: Indicators::default(),
            days,
            desk,
        };
        if matches!(format, Format::Ioc | Format::Stix | Format::Misp) {
            export.collect()?;
        }
        Ok(export)
    }

    fn collect(&mut self) -> Result<(), Refused> {
        let indicators = &mut self.indicators;
        for ids in self.ids.chunks(BLOCK_ROWS) {
            let taken = self.source.ask(|table| {
                let mut threats = ids.iter().filter_map(|&id| table.threat(id));
                threats.try_for_each(|threat| indicators.take(table, threat))
            })?;
            taken.map_err(|_| Refused::TooMany)?;
        }
        self.ids = Vec::new();
        Ok(())
    }

    /// The body. `place` is given back when it has been written.
    pub(crate) fn body(self, place: OwnedSemaphorePermit) -> Body {
        let (sender, stream) = pieces::<Bytes>();
        let runtime = tokio::runtime::Handle::current();
        let broken = Arc::new(OnceLock::new());
        let told = Arc::clone(&broken);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut out = Out {
                sender,
                runtime,
                buffer: Vec::with_capacity(BLOCK_BYTES + 4096),
            };
            if let Err(error) = self.write(&mut out)
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                tracing::warn!(%error, "export: ended early");
                let _ = told.set(error);
            }
        });
        Body::from_stream(Checked { stream, broken })
    }

    fn write(&self, out: &mut Out) -> io::Result<()> {
        match self.format {
            Format::Csv => {
                let mut row = csv_row(&COLUMNS)?;
                out.buffer.append(&mut row);
                self.rows(out, |record, buffer| {
                    buffer.append(&mut csv_row(&record.cells())?);
                    Ok(())
                })?;
            }
            Format::Ndjson => self.rows(out, |record, buffer| {
                serde_json::to_writer(&mut *buffer, record)?;
                buffer.push(b'\n');
                Ok(())
            })?,
            Format::Json => {
                let mut separator = "[\n";
                self.rows(out, |record, buffer| {
                    buffer.extend_from_slice(separator.as_bytes());
                    separator = ",\n";
                    Ok(serde_json::to_writer(buffer, record)?)
                })?;
                let end = if separator == "[\n" { "[]\n" } else { "\n]\n" };
                out.buffer.extend_from_slice(end.as_bytes());
            }
            Format::Ioc => self.ioc(out)?,
            Format::Stix => self.stix(out)?,
            Format::Misp => self.misp(out)?,
        }
        out.flush()
    }

    /// Calls `put` for each row.
    fn rows(
        &self,
        out: &mut Out,
        mut put: impl FnMut(&Record<'_>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut rest = self.ids.as_slice();
        while !rest.is_empty() {
            let buffer = &mut out.buffer;
            let block = rest.get(..BLOCK_ROWS).unwrap_or(rest);
            let mut block_rows = |table: &DayTable| -> io::Result<usize> {
                for (done, &id) in block.iter().enumerate() {
                    if buffer.len() >= BLOCK_BYTES {
                        return Ok(done);
                    }
                    // A flood may have taken its events in the meantime.
                    if let Some(threat) = table.threat(id) {
                        put(&self.record(table, threat), buffer)?;
                    }
                }
                Ok(block.len())
            };
            let done = self
                .source
                .ask(&mut block_rows)
                .map_err(io::Error::other)??;
            rest = rest.get(done..).unwrap_or_default();
            out.flush()?;
        }
        Ok(())
    }

    fn record<'a>(&self, table: &'a DayTable, threat: &'a Threat) -> Record<'a> {
        let cases = self.desk.cases();
        let tags = cases.get(threat.id).map(|case| case.tags.clone());
        Record::new(table, threat, tags.unwrap_or_default())
    }

    fn ioc(&self, out: &mut Out) -> io::Result<()> {
        let all = &self.indicators.0;
        let head = format!(
            "# Maltrail IOC export · {} indicators (defanged) · {}\n",
            all.len(),
            self.days
        );
        out.buffer.extend_from_slice(head.as_bytes());
        for text in all.keys() {
            out.buffer.extend_from_slice(defanged(text).as_bytes());
            out.buffer.push(b'\n');
            out.flush_full()?;
        }
        Ok(())
    }

    fn stix(&self, out: &mut Out) -> io::Result<()> {
        let id = shared::uuid(&format!("bundle {}", self.days));
        let head = format!("{{\"type\":\"bundle\",\"id\":\"bundle--{id}\",\"objects\":[\n");
        out.buffer.extend_from_slice(head.as_bytes());
        out.value(&shared::stix_identity())?;
        let objects = self.indicators.0.iter();
        for pair in objects.filter_map(|(text, about)| shared::stix(text, about)) {
            for object in &pair {
                out.buffer.extend_from_slice(b",\n");
                out.value(object)?;
            }
            out.flush_full()?;
        }
        out.buffer.extend_from_slice(b"\n]}\n");
        Ok(())
    }

    fn misp(&self, out: &mut Out) -> io::Result<()> {
        let all = &self.indicators.0;
        let title = format!("Maltrail {}", self.days);
        let levels = all.values().map(|about| shared::misp_level(about.severity));
        let day = self.days.get(..10).unwrap_or(&self.days);
        let event = shared::misp_event(&title, day, levels.min().unwrap_or(4)).to_string();
        // Its attributes follow as its last member.
        let event = event.strip_suffix('}').unwrap_or(&event);
        let head = format!("{{\"Event\":{event},\"Attribute\":[");
        out.buffer.extend_from_slice(head.as_bytes());
        for (at, (text, about)) in all.iter().enumerate() {
            let separator: &[u8] = if at == 0 { b"\n" } else { b",\n" };
            out.buffer.extend_from_slice(separator);
            out.value(&shared::misp(text, about, &title))?;
            out.flush_full()?;
        }
        out.buffer.extend_from_slice(b"\n]}}\n");
        Ok(())
    }
}

/// A CSV row with its line end.
fn csv_row(cells: &[impl AsRef<[u8]>]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(|error| error.into_error())
}

/// The writing side: a buffer and the channel to the client.
struct Out {
    sender: Sender<Bytes>,
    runtime: tokio::runtime::Handle,
    buffer: Vec<u8>,
}

impl Out {
    fn value(&mut self, value: &Value) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut self.buffer, value)?)
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.buffer.len() < BLOCK_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let block = Bytes::from(std::mem::replace(
            &mut self.buffer,
            Vec::with_capacity(BLOCK_BYTES + 4096),
        ));
        let sent = self
            .runtime
            .block_on(tokio::time::timeout(STALL, self.sender.send(block)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client takes nothing",
            )),
        }
    }
}

/// A stream that ends with the error of its writer, so that the client sees a broken connection.
struct Checked {
    stream: crate::http::body::Pieces<Bytes>,
    broken: Arc<OnceLock<io::Error>>,
}

impl futures_core::Stream for Checked {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let piece = std::task::ready!(std::pin::Pin::new(&mut self.stream).poll_next(context));
        std::task::Poll::Ready(match piece {
            Some(Ok(piece)) => Some(Ok(piece)),
            None => self
                .broken
                .get()
                .map(|error| Err(io::Error::new(error.kind(), error.to_string()))),
        })
    }
}
