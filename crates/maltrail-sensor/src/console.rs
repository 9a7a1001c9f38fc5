//! What a person at the terminal reads: `[i]` information on standard output, `[!]` trouble and `[?]`
//! hints on standard error. Trouble is kept in `LOG_DIR/error.log` as well, once [`log_errors_to`] has named
//! the folder.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use maltrail_core::time::{Timestamp, Zone};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::sinks::ErrorLog;

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Trouble only.
    Quiet,
    /// Progress as well.
    Normal,
    /// Everything.
    Debug,
}

/// Sends log messages to the terminal from now on.
pub(crate) fn init(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Quiet => LevelFilter::WARN,
        Verbosity::Normal => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let terminal = tracing_subscriber::fmt::layer()
        .event_format(Marked { colours: colours() })
        .with_writer(ByLevel)
        .with_filter(level);
    // A second call, as in tests that run several programs in one process, keeps the first.
    let _ = tracing_subscriber::registry()
        .with(terminal)
        .with(ErrorFile.with_filter(LevelFilter::WARN))
        .try_init();
}

/// A short-lived lock of whoever writes a message; no message is written while it is held.
static ERROR_LOG: Mutex<Option<ErrorLog>> = Mutex::new(None);

/// Keeps warnings and errors in `error.log` of this folder from now on. A later call names another one.
pub(crate) fn log_errors_to(folder: &Path) {
    let log = ErrorLog::new(folder, Zone::local());
    *ERROR_LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
}

fn record(message: &str) {
    let mut log = ERROR_LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(log) = log.as_mut() {
        log.record(Timestamp::now(), message);
    }
}

/// Passes warnings and errors to `error.log`.
struct ErrorFile;

impl<S: Subscriber> Layer<S> for ErrorFile {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        record(&format!("{}{}", fields.message, fields.others));
    }
}

fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

struct ByLevel;

impl<'a> MakeWriter<'a> for ByLevel {
    type Writer = Box<dyn std::io::Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Box::new(std::io::stderr())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        if *meta.level() <= Level::WARN {
            Box::new(std::io::stderr())
        } else {
            Box::new(std::io::stdout())
        }
    }
}

struct Marked {
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for Marked
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (mark, colour) = match *event.metadata().level() {
            Level::ERROR | Level::WARN => ("[!]", "\x1b[31m"),
            Level::INFO => ("[i]", "\x1b[36m"),
            _ => ("[d]", "\x1b[2m"),
        };
        if self.colours {
            write!(out, "{colour}{mark}\x1b[0m")?;
        } else {
            write!(out, "{mark}")?;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(out, " {}{}", fields.message, fields.others)
    }
}

/// The message and, behind it, ` name=value` of every other field. Control characters of logged
/// input never reach the terminal.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text: String = format!("{value:?}")
            .chars()
            .map(|letter| {
                if letter.is_control() && letter != '\n' {
                    '\u{fffd}'
                } else {
                    letter
                }
            })
            .collect();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push_str(&format!(" {}={text}", field.name()));
        }
    }
}

/// A line for a person, whatever the verbosity: results that were asked for.
pub(crate) fn say(text: &str) {
    // A closed terminal or pipe must not end the sensor.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// An error and what to do about it.
pub(crate) fn complain(error: &str, hint: Option<&str>) {
    record(error);
    let mut out = std::io::stderr();
    let _ = writeln!(out, "[!] {error}");
    if let Some(hint) = hint {
        let _ = writeln!(out, "[?] {hint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_kept_with_their_fields() {
        let folder = tempfile::tempdir().expect("folder");
        log_errors_to(folder.path());
        let layers = tracing_subscriber::registry().with(ErrorFile.with_filter(LevelFilter::WARN));
        tracing::subscriber::with_default(layers, || {
            tracing::info!("all is well");
            tracing::warn!(count = 3, "something is amiss");
            tracing::error!("it broke\non two lines");
            tracing::warn!(count = 3, "something is amiss");
        });
        complain("the end", Some("start anew"));
        let text = std::fs::read_to_string(folder.path().join("error.log")).expect("file");
        let messages: Vec<&str> = text.lines().filter_map(|line| line.get(20..)).collect();
        let wanted = [
            "something is amiss count=3",
            "it broke on two lines",
            "the end",
        ];
        // Other tests of this process may complain as well.
        let ours = |text: &&str| wanted.contains(text) || text.starts_with("all is well");
        let ours: Vec<&str> = messages.into_iter().filter(ours).collect();
        assert_eq!(ours, wanted, "{text}");
    }
}
