//! Bodies of feeds → entries. Pure: bytes in, entries out; what is no entry of its feed's kind is
//! left out and counted by the caller.

mod plain;
mod special;

use maltrail_core::addr::{parse_ip, parse_net};
use maltrail_core::trail::key::leading_quad;

use crate::registry::{Feed, Format, Keeps};

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

/// What a body gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Entries of the feed's kind.
    pub entries: Vec<Entry>,
    /// Entries of another kind: refused.
    pub refused: usize,
}

/// Reads the bodies of a feed (one, or several pages).
pub fn parse(feed: &Feed, bodies: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut out = Vec::new();
    for body in bodies {
        match feed.format {
            Format::Lines => plain::lines(feed, body, &mut out),
            Format::Urls => plain::urls(feed, body, &mut out),
            Format::Columns => plain::columns(feed, body, &mut out),
            Format::Quads => plain::quads(feed, body, &mut out),
            Format::Reputation => plain::reputation(feed, body, &mut out),
            Format::Rows => plain::rows(body, &mut out),
            Format::TorRelays => special::tor_relays(feed, body, &mut out),
            Format::CybercrimeTracker => special::cybercrime_tracker(feed, body, &mut out),
            Format::Atmos => special::atmos(feed, body, &mut out),
            Format::SuricataNames => special::suricata_names(feed, body, &mut out),
            Format::Sslbl => special::sslbl(feed, body, &mut out),
            Format::Trickbot => special::trickbot(feed, body, &mut out),
            Format::Viriback => special::viriback(feed, body, &mut out),
        }
    }
    for entry in out {
        if keeps(feed.keeps, &entry.text) {
            parsed.entries.push(entry);
        } else {
            parsed.refused += 1;
        }
    }
    parsed
}

/// The page that a first page leads to, for feeds of two pages.
pub fn next_page(feed: &Feed, body: &str) -> Option<String> {
    (feed.format == Format::Trickbot)
        .then(|| special::trickbot_page(body))
        .flatten()
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
    leading_quad(text).is_some() || parse_ip(text).is_some() || parse_net(text).is_some()
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

fn entry(feed: &Feed, text: impl Into<String>) -> Entry {
    Entry {
        text: text.into(),
        info: feed.info.clone(),
        reference: feed.reference.clone(),
    }
}
