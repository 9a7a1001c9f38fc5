//! Bodies of feeds → entries. Pure: bytes in, entries out, one at a time; what is no entry of its feed's
//! kind, or would match what everybody uses ([`Canaries`]), is left out, counted, and the first of it named
//! with its line. A body gives at most as many entries as it has bytes; lines have at most 64 KiB, bodies
//! that must be seen whole 16 MiB.

mod hosts;
pub mod inflate;
mod json;
mod misp;
mod plain;
mod regexes;
mod rpz;
mod special;
mod stix;
mod suricata;
mod table;
mod text;

use std::io::{self, BufRead, Read as _};

use maltrail_core::addr::{parse_ip, parse_net};
use maltrail_core::trail::key::leading_quad;

use crate::canary::Canaries;
use crate::registry::{Feed, Format, Keeps};
pub use misp::events as misp_events;

/// Largest body of a format that must be seen whole.
pub const WHOLE_BYTES: u64 = 16 << 20;
/// Most entries of a feed.
const ENTRIES: usize = 10_000_000;
/// Longest entry in bytes; the longest trail of the public static list has 575.
const ENTRY_BYTES: usize = 4096;
/// Longest label in bytes.
const LABEL_BYTES: usize = 256;
/// Refused lines that are kept with their place.
const SAMPLES: usize = 20;

/// An entry with its label and, where the feed gives one, its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The trail.
    pub text: String,
    /// Its label.
    pub info: String,
    /// Its reference.
    pub reference: String,
}

/// What decides about entries beside the body.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The feed.
    pub feed: &'a Feed,
    /// What no entry may match.
    pub canaries: &'a Canaries,
    /// Seconds since 1970: what expired before is left out.
    pub now: u64,
}

/// What a body gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries of the feed's kind.
    pub entries: usize,
    /// Entries that were refused.
    pub refused: usize,
    /// Those of them that would match what everybody uses.
    pub canaries: usize,
    /// The first refused ones: line, text, reason.
    pub samples: Vec<String>,
}

impl Counts {
    /// Adds those of another page.
    pub fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.refused += other.refused;
        self.canaries += other.canaries;
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES);
    }
}

/// Why a body gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It cannot be read, or what it gives cannot be kept.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not of its format.
    #[error("{0}")]
    Form(String),
}

/// Takes entries: trail, info, reference.
pub type Out<'a> = &'a mut dyn FnMut(&str, &str, &str) -> io::Result<()>;

/// Reads one body of a feed.
///
/// # Errors
/// When it is not of the feed's format, too large for it, or `out` fails.
pub fn parse(
    context: &Context<'_>,
    body: &mut dyn BufRead,
    out: Out<'_>,
) -> Result<Counts, FormatError> {
    let mut sink = Sink {
        feed: context.feed,
        canaries: context.canaries,
        now: context.now,
        out,
        counts: Counts::default(),
    };
    match context.feed.format {
        Format::Lines => by_line(&mut sink, body, plain::line),
        Format::Urls => by_line(&mut sink, body, plain::url),
        Format::Columns => by_line(&mut sink, body, plain::columns),
        Format::Quads => by_line(&mut sink, body, plain::quads),
        Format::Reputation => by_line(&mut sink, body, plain::reputation),
        Format::Rows => by_line(&mut sink, body, plain::row),
        Format::Sslbl => by_line(&mut sink, body, special::sslbl),
        Format::Viriback => by_line(&mut sink, body, special::viriback),
        Format::SuricataNames => by_line(&mut sink, body, special::suricata_names),
        Format::Hosts => by_line(&mut sink, body, hosts::line),
        Format::SuricataDataset => by_line(&mut sink, body, suricata::dataset),
        Format::Ndjson => by_line(&mut sink, body, json::line),
        Format::Regex => regexes::read(&mut sink, body),
        Format::Csv => table::read(&mut sink, body),
        Format::Rpz => rpz::read(&mut sink, body),
        Format::Json => json::read(&mut sink, body),
        Format::TorRelays => special::tor_relays(&mut sink, body),
        Format::Misp => misp::read(&mut sink, body),
        Format::Stix => stix::read(&mut sink, body),
        Format::CybercrimeTracker => special::cybercrime_tracker(&mut sink, &whole(body)?),
        Format::Atmos => special::atmos(&mut sink, &whole(body)?),
        Format::Trickbot => special::trickbot(&mut sink, &whole(body)?),
        Format::Archive => Err(FormatError::Form("an archive has no entries".to_owned())),
    }?;
    Ok(sink.counts)
}

/// Whether bodies of a format lie in memory as a whole while they are read.
pub const fn is_whole(format: Format) -> bool {
    matches!(
        format,
        Format::CybercrimeTracker | Format::Atmos | Format::Trickbot
    )
}

/// The page that a first page leads to, for feeds of two pages.
pub fn next_page(feed: &Feed, body: &mut dyn BufRead) -> Option<String> {
    (feed.format == Format::Trickbot)
        .then(|| whole(body).ok())
        .flatten()
        .and_then(|body| special::trickbot_page(&body))
}

fn whole(body: &mut dyn BufRead) -> Result<String, FormatError> {
    let mut bytes = Vec::new();
    body.take(WHOLE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > WHOLE_BYTES {
        return Err(FormatError::Form(format!(
            "more than {WHOLE_BYTES} bytes of a format that is read whole"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads line by line.
fn by_line(
    sink: &mut Sink<'_>,
    body: &mut dyn BufRead,
    mut read: impl FnMut(&mut Sink<'_>, usize, &str) -> io::Result<()>,
) -> Result<(), FormatError> {
    let too_long = text::each_line(body, |number, line| read(sink, number, line))?;
    sink.counts.refused += too_long;
    Ok(())
}

/// Checks entries and hands them on.
struct Sink<'a> {
    feed: &'a Feed,
    canaries: &'a Canaries,
    now: u64,
    out: Out<'a>,
    counts: Counts,
}

impl<'a> Sink<'a> {
    /// An entry with the feed's own label.
    fn add(&mut self, line: usize, text: &str) -> io::Result<()> {
        let feed: &'a Feed = self.feed;
        self.add_as(line, text, &feed.info, &feed.reference)
    }

    /// An entry with a label of its own.
    fn add_labelled(&mut self, line: usize, text: &str, info: &str) -> io::Result<()> {
        let feed: &'a Feed = self.feed;
        self.add_as(line, text, info, &feed.reference)
    }

    fn add_as(&mut self, line: usize, text: &str, info: &str, reference: &str) -> io::Result<()> {
        let text = text.trim();
        let hit = self.canaries.hit(text);
        let refusal = if text.len() > ENTRY_BYTES || text.chars().any(char::is_control) {
            Some("no entry of any kind")
        } else if !keeps(self.feed.keeps, text) {
            Some("not of the kind that this feed lists")
        } else {
            hit
        };
        if let Some(reason) = refusal {
            self.refuse(line, text, reason, hit.is_some());
            return Ok(());
        }
        if self.counts.entries >= ENTRIES {
            return Err(io::Error::other(format!("more than {ENTRIES} entries")));
        }
        self.counts.entries += 1;
        (self.out)(text, &label(info), &label(reference))
    }

    fn refuse(&mut self, line: usize, text: &str, reason: &str, is_canary: bool) {
        self.counts.refused += 1;
        self.counts.canaries += usize::from(is_canary);
        if self.counts.samples.len() < SAMPLES {
            let shown = text.chars().take(80);
            let shown: String = shown
                .map(|letter| {
                    if letter.is_control() {
                        '\u{fffd}'
                    } else {
                        letter
                    }
                })
                .collect();
            let feed = &self.feed.name;
            self.counts
                .samples
                .push(format!("{feed}:{line}: `{shown}`: {reason}"));
        }
    }
}

/// A label without control characters, of bounded length.
fn label(text: &str) -> String {
    let mut short = String::new();
    for letter in text.trim().chars().filter(|letter| !letter.is_control()) {
        if short.len() + letter.len_utf8() > LABEL_BYTES {
            break;
        }
        short.push(letter);
    }
    short
}

fn keeps(kind: Keeps, text: &str) -> bool {
    match kind {
        Keeps::Any => !text.is_empty(),
        Keeps::Certificate => text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        Keeps::Address => starts_with_address(text),
        Keeps::Name => is_host(text) && !starts_with_address(text),
        Keeps::NameOrAddress => is_host(text) || starts_with_address(text),
        Keeps::Url => {
            starts_with_address(text)
                || is_host(text.split(['/', ':', '?']).next().unwrap_or_default())
        }
    }
}

/// An address, alone or with prefix length, port or path.
fn starts_with_address(text: &str) -> bool {
    leading_quad(text).is_some()
        || parse_ip(text).is_some()
        || parse_net(text).is_some()
        || maltrail_core::addr::parse_ip_port(text).is_some()
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests;
