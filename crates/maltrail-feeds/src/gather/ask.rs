//! One feed asked: its bodies fetched, checked and parsed into a new copy. What they are worth is decided
//! afterwards, when all feeds have answered ([`super::settle`]).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use memchr::memmem::Finder;
use ring::digest::{Context as Digest, SHA256};

use super::Rules;
use super::archive::{self, Archive};
use crate::canary::Canaries;
use crate::fetch::{ARCHIVE_BYTES, Answer, Body, Fetch, Fresh, LIST_BYTES, Request, hex};
use crate::formats::{self, Context, Counts, inflate::inflate};
use crate::registry::{Feed, Format};
use crate::store::{FeedRows, FeedStatus, Kept, Store};

/// Start of a body that is looked at for signs of an error page.
const START_BYTES: u64 = 512;

/// How long a copy stands in for pages that give nothing, in seconds: a week. Then what answers is taken.
const PATIENCE: u64 = 7 * 86_400;

/// What all questions of an update share.
pub(super) struct Inquiry<'a> {
    /// None: nothing is asked, what is at hand counts.
    pub(super) fetch: Option<&'a dyn Fetch>,
    pub(super) store: &'a Store,
    pub(super) rules: &'a Rules,
    pub(super) canaries: &'a Canaries,
    /// Keys of feeds by name (`AUTH_KEY_<FEED>`).
    pub(super) keys: &'a BTreeMap<String, String>,
    /// Held by formats that need their body whole, so that only one is.
    pub(super) whole: Mutex<()>,
}

/// What is at hand of a feed.
#[derive(Debug)]
pub(super) enum Copy {
    None,
    Rows(FeedRows),
    Archive(PathBuf),
    /// Not what was kept: the note for a person.
    Damaged(String),
}

/// How a feed answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// It was asked a short while ago; it is not asked.
    NotDue,
    /// What is at hand still holds.
    Unchanged {
        http_status: u16,
        etag: Option<String>,
        last_modified: Option<String>,
    },
    /// New entries.
    Rows(Box<Fetched>),
    /// A new archive.
    Archive(Box<Archive>),
    /// Nothing of use.
    Failed {
        reason: String,
        http_status: Option<u16>,
    },
}

/// New entries, kept but not named in the record yet.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) kept: Kept,
    pub(super) counts: Counts,
    pub(super) origin: Origin,
}

/// Where an answer came from, for the next question.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) raw_digest: String,
    pub(super) recipe: String,
    /// Pages that gave nothing, and why.
    pub(super) missing: Option<String>,
}

/// A failure with the status of the answer, when there was one.
#[derive(Debug)]
pub(super) struct Trouble(pub(super) String, pub(super) Option<u16>);

impl From<String> for Trouble {
    fn from(reason: String) -> Self {
        Self(reason, Some(200))
    }
}

/// The bodies of a feed, or that there is nothing new.
enum Bodies {
    New(Vec<Body>, Origin),
    Unchanged,
}

impl Inquiry<'_> {
    /// Asks a feed; also what is at hand of it.
    pub(super) fn ask(&self, feed: &Feed) -> (Reply, Copy) {
        let copy = self.at_hand(feed);
        let Some(fetch) = self.fetch else {
            return (Reply::NotDue, copy);
        };
        let status = self.store.status(&feed.name);
        let recipe = feed.recipe(self.canaries);
        let has_copy = matches!(copy, Copy::Rows(_) | Copy::Archive(_));
        // An answer is comparable with what is at hand only when both are read in the same way.
        let same_recipe = has_copy && status.recipe.as_deref() == Some(recipe.as_str());
        let age = status
            .last_success
            .map(|at| self.rules.now.saturating_sub(at));
        if same_recipe && !self.rules.force && age.is_some_and(|age| age < feed.period) {
            return (Reply::NotDue, copy);
        }
        let reply = match self.answer(fetch, feed, &status, recipe, same_recipe) {
            Ok(reply) => reply,
            Err(Trouble(reason, http_status)) => Reply::Failed {
                reason,
                http_status,
            },
        };
        (reply, copy)
    }

    fn at_hand(&self, feed: &Feed) -> Copy {
        if feed.format == Format::Archive {
            match self.store.archive(&feed.name) {
                Ok(Some(path)) => Copy::Archive(path),
                Ok(None) => Copy::None,
                Err(note) => Copy::Damaged(note),
            }
        } else {
            match self.store.copy(&feed.name) {
                Ok(Some(rows)) => Copy::Rows(rows),
                Ok(None) => Copy::None,
                Err(note) => Copy::Damaged(note),
            }
        }
    }

    fn answer(
        &self,
        fetch: &dyn Fetch,
        feed: &Feed,
        status: &FeedStatus,
        recipe: String,
        same_recipe: bool,
    ) -> Result<Reply, Trouble> {
        let fetched = match feed.format {
            Format::Misp => self.misp_bodies(fetch, feed, status, same_recipe)?,
            _ => self.bodies(fetch, feed, status, same_recipe)?,
        };
        let Bodies::New(mut bodies, origin) = fetched else {
            return Ok(Reply::Unchanged {
                http_status: 304,
                etag: status.etag.clone(),
                last_modified: status.last_modified.clone(),
            });
        };
        let origin = Origin {
            raw_digest: digest_of(&bodies),
            recipe,
            ..origin
        };
        if same_recipe && status.raw_digest.as_ref() == Some(&origin.raw_digest) {
            return Ok(Reply::Unchanged {
                http_status: 200,
                etag: origin.etag,
                last_modified: origin.last_modified,
            });
        }
        if feed.format == Format::Archive {
            let body = bodies.first_mut().ok_or_else(|| "no answer".to_owned())?;
            let archive = archive::keep(self.store, &feed.name, body, origin)?;
            return Ok(Reply::Archive(Box::new(archive)));
        }
        let (kept, counts) = self.parse(feed, &mut bodies)?;
        Ok(Reply::Rows(Box::new(Fetched {
            kept,
            counts,
            origin,
        })))
    }

    /// Parses bodies into a new copy.
    fn parse(&self, feed: &Feed, bodies: &mut [Body]) -> Result<(Kept, Counts), Trouble> {
        let text = |error: std::io::Error| error.to_string();
        let _whole = formats::is_whole(feed.format)
            .then(|| self.whole.lock().unwrap_or_else(PoisonError::into_inner));
        let context = Context {
            feed,
            canaries: self.canaries,
            now: self.rules.now,
        };
        let mut writer = self.store.writer(&feed.name).map_err(text)?;
        let mut counts = Counts::default();
        for body in bodies {
            let mut input = BufReader::with_capacity(1 << 16, body.open().map_err(text)?);
            let parsed = formats::parse(&context, &mut input, &mut |text, info, reference| {
                writer.row(text, info, reference)
            });
            counts.add(parsed.map_err(|error| error.to_string())?);
        }
        Ok((writer.finish().map_err(text)?, counts))
    }

    /// The bodies of a feed: all its pages, or the first that answers when they stand in for each other.
    fn bodies(
        &self,
        fetch: &dyn Fetch,
        feed: &Feed,
        status: &FeedStatus,
        same_recipe: bool,
    ) -> Result<Bodies, Trouble> {
        let mut bodies = Vec::new();
        let mut origin = Origin::default();
        let (mut failure, mut failed) = (None, 0);
        for url in &feed.urls {
            // Of several pages that add up, one that is unchanged says nothing about the others.
            let one = feed.backup || feed.urls.len() == 1;
            let conditional = same_recipe && one && status.url == *url;
            let got = self.page(fetch, feed, url, conditional.then_some(status));
            let (mut body, fresh_origin) = match got {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(Bodies::Unchanged),
                Err(trouble) => {
                    failure.get_or_insert(trouble);
                    failed += 1;
                    continue;
                }
            };
            if bodies.is_empty() {
                origin = fresh_origin;
            }
            let next = body
                .open()
                .ok()
                .and_then(|file| formats::next_page(feed, &mut BufReader::new(file)));
            if let Some(next) = next {
                match self.page(fetch, feed, &next, None) {
                    Ok(Some((page, _))) => bodies.push(page),
                    Ok(None) => {}
                    Err(trouble) => {
                        failure = Some(trouble);
                        failed += 1;
                    }
                }
            }
            bodies.push(body);
            if feed.backup {
                break;
            }
        }
        match failure {
            Some(trouble) if bodies.is_empty() => Err(trouble),
            Some(Trouble(reason, http_status)) if !feed.backup => {
                let all = feed.urls.len();
                let missing = format!("{failed} of {all} addresses gave nothing: {reason}");
                let age = self
                    .rules
                    .now
                    .saturating_sub(status.last_success.unwrap_or(0));
                if same_recipe && age < PATIENCE {
                    return Err(Trouble(missing, http_status));
                }
                origin.missing = Some(missing);
                Ok(Bodies::New(bodies, origin))
            }
            _ => Ok(Bodies::New(bodies, origin)),
        }
    }

    /// The newest events of a MISP feed whose manifest changed. An event that does not come is left out.
    fn misp_bodies(
        &self,
        fetch: &dyn Fetch,
        feed: &Feed,
        status: &FeedStatus,
        same_recipe: bool,
    ) -> Result<Bodies, Trouble> {
        let url = feed.urls.first().map(String::as_str).unwrap_or_default();
        let conditional = same_recipe && status.url == url;
        let Some((mut manifest, origin)) =
            self.page(fetch, feed, url, conditional.then_some(status))?
        else {
            return Ok(Bodies::Unchanged);
        };
        let file = manifest.open().map_err(|error| error.to_string())?;
        let events =
            formats::misp_events(&mut BufReader::new(file)).map_err(|error| error.to_string())?;
        let folder = url.rsplit_once('/').map_or(url, |(folder, _)| folder);
        let mut bodies = Vec::new();
        let mut failure = None;
        for event in events {
            match self.page(fetch, feed, &format!("{folder}/{event}.json"), None) {
                Ok(Some((body, _))) => bodies.push(body),
                Ok(None) => {}
                Err(trouble) => {
                    failure.get_or_insert(trouble);
                }
            }
        }
        match failure {
            Some(trouble) if bodies.is_empty() => Err(trouble),
            _ => Ok(Bodies::New(bodies, origin)),
        }
    }

    /// One body, checked; nothing when it is as it was.
    fn page(
        &self,
        fetch: &dyn Fetch,
        feed: &Feed,
        url: &str,
        known: Option<&FeedStatus>,
    ) -> Result<Option<(Body, Origin)>, Trouble> {
        let key = self.keys.get(&feed.key_name()).map(String::as_str);
        let full = url.replace("{key}", key.unwrap_or_default());
        let in_header = key.filter(|_| !url.contains("{key}"));
        let max_bytes = feed.max_bytes.unwrap_or(match feed.format {
            Format::Archive => ARCHIVE_BYTES,
            _ => LIST_BYTES,
        });
        let request = Request {
            url: &full,
            etag: known.and_then(|status| status.etag.as_deref()),
            last_modified: known.and_then(|status| status.last_modified.as_deref()),
            key: in_header.map(|key| (feed.key_header.as_str(), key)),
            max_bytes,
            folder: self.store.spool(),
        };
        let answer = fetch.get(&request).map_err(|error| {
            let status = error.status();
            let hint = match status {
                Some(401 | 403) if feed.key => {
                    format!(" (is AUTH_KEY_{} right?)", feed.key_name())
                }
                _ => String::new(),
            };
            Trouble(format!("{error}{hint}"), status)
        })?;
        let Answer::Fresh(Fresh {
            body,
            etag,
            last_modified,
        }) = answer
        else {
            return Ok(None);
        };
        let body = if feed.format == Format::Archive {
            body
        } else {
            inflate(body, &feed.member, max_bytes)?
        };
        let mut body = body;
        check(feed, url, &mut body)?;
        Ok(Some((
            body,
            Origin {
                url: url.to_owned(),
                etag,
                last_modified,
                ..Origin::default()
            },
        )))
    }
}

/// Whether a body can be what the feed lists at all.
fn check(feed: &Feed, url: &str, body: &mut Body) -> Result<(), String> {
    let marker = Finder::new(&feed.marker);
    let file = body.open().map_err(|error| error.to_string())?;
    let mut start = Vec::new();
    file.take(START_BYTES)
        .read_to_end(&mut start)
        .map_err(|error| error.to_string())?;
    if let Some(reason) = no_list(&start, !may_be_page(feed)) {
        return Err(format!("the answer of {url} {reason}"));
    }
    let file = body.open().map_err(|error| error.to_string())?;
    match holds(&marker, BufReader::with_capacity(1 << 16, file)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!(
            "the answer of {url} is no such list (`{}` is missing)",
            feed.marker
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Why a body that starts like this is no list at all.
pub(super) fn no_list(start: &[u8], no_page: bool) -> Option<&'static str> {
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let start = start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let begins = |texts: &[&str]| texts.iter().any(|text| start.starts_with(text));
    if start.is_empty() {
        Some("is empty")
    } else if no_page && begins(&["<!doctype html", "<html"]) {
        Some("is a web page")
    } else if begins(&["404: not found", "404 not found", "not found"]) {
        Some("says that it was not found")
    } else {
        None
    }
}

/// Whether the feed's format reads web pages, or refuses them by itself.
const fn may_be_page(feed: &Feed) -> bool {
    matches!(
        feed.format,
        Format::Quads
            | Format::Atmos
            | Format::CybercrimeTracker
            | Format::Trickbot
            | Format::Archive
    )
}

/// Whether the marker is anywhere in a body, also across two pieces of it.
fn holds(marker: &Finder<'_>, mut input: impl BufRead) -> std::io::Result<bool> {
    let overlap = marker.needle().len().saturating_sub(1);
    let mut window = Vec::new();
    loop {
        let piece = input.fill_buf()?;
        let count = piece.len();
        window.extend_from_slice(piece);
        input.consume(count);
        if marker.find(&window).is_some() {
            return Ok(true);
        }
        if count == 0 {
            return Ok(false);
        }
        window.drain(..window.len().saturating_sub(overlap));
    }
}

/// Digest of all bodies of a feed.
fn digest_of(bodies: &[Body]) -> String {
    match bodies {
        [body] => body.digest().to_owned(),
        bodies => {
            let mut digest = Digest::new(&SHA256);
            for body in bodies {
                digest.update(body.digest().as_bytes());
            }
            hex(digest.finish().as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_across_pieces() {
        let marker = Finder::new("needle");
        for size in 1..9 {
            let body = b"hay hay nee needle hay".as_slice();
            assert!(holds(&marker, BufReader::with_capacity(size, body)).expect("memory"));
            let body = b"hay needl eedle".as_slice();
            assert!(!holds(&marker, BufReader::with_capacity(size, body)).expect("memory"));
        }
        assert!(holds(&Finder::new(""), b"".as_slice()).expect("memory"));
    }
}
