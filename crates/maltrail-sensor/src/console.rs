//! What a person at the terminal reads: `[i]` information on standard output, `[!]` trouble and `[?]`
//! hints on standard error.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

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
        Verbosity::Quiet => Level::WARN,
        Verbosity::Normal => Level::INFO,
        Verbosity::Debug => Level::DEBUG,
    };
    // A second call, as in tests that run several programs in one process, keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(Marked { colours: colours() })
        .with_writer(ByLevel)
        .try_init();
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
    let mut out = std::io::stderr();
    let _ = writeln!(out, "[!] {error}");
    if let Some(hint) = hint {
        let _ = writeln!(out, "[?] {hint}");
    }
}
