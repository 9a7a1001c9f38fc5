//! What an online update fetches: feeds, the user's lists elsewhere, or a whole set from a server.
//!
//! A feed that fails, answers without its marker or with much less than before contributes its last good
//! copy ([`crate::store`]), a list elsewhere nothing; each is named in the result, and the others go on.

use maltrail_core::config::TrailsConfig;
use regex::Regex;

use crate::fetch::{Fetch, FetchError};
use crate::formats::{self, Entry, Parsed};
use crate::registry::{Feed, Format, feeds};
use crate::store::{FeedStatus, Store};

/// What was fetched.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Entries of all feeds, in order of their names.
    pub feeds: Vec<Entry>,
    /// Bodies of `CUSTOM_TRAILS_URL`.
    pub remote: Vec<String>,
    /// One record a source.
    pub sources: Vec<Source>,
}

/// How a source answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the feed, or the address of a list.
    pub name: String,
    /// Entries it gave.
    pub entries: usize,
    /// Entries that were not of its kind.
    pub refused: usize,
    /// Why it gave nothing, or only its copy.
    pub error: Option<String>,
    /// Age of the copy that stands in for its answer.
    pub copy_age_secs: Option<u64>,
}

/// What holds for all feeds of an update.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether feeds are fetched at all.
    pub with_feeds: bool,
    /// Smallest accepted share of the entries of the last good answer; 0 accepts any.
    pub min_ratio: f64,
    /// Seconds since 1970.
    pub now: u64,
}

/// Fetches every feed that is not disabled, and the user's lists. `progress` hears sources done and all.
pub fn gather(
    config: &TrailsConfig,
    disabled_info: Option<&Regex>,
    fetch: &dyn Fetch,
    rules: &Rules,
    store: &mut Store,
    progress: &mut dyn FnMut(usize, usize),
) -> Gathered {
    let mut gathered = Gathered::default();
    let wanted = |feed: &Feed| {
        let constant =
            !feed.info.is_empty() && disabled_info.is_some_and(|regex| regex.is_match(&feed.info));
        !config.disabled_feeds.contains(&feed.name) && !constant
    };
    let feeds: Vec<Feed> = if rules.with_feeds {
        feeds().unwrap_or_default()
    } else {
        Vec::new()
    };
    let feeds: Vec<Feed> = feeds.into_iter().filter(wanted).collect();
    let all = feeds.len() + config.custom_urls.len();
    for (done, feed) in feeds.iter().enumerate() {
        progress(done, all);
        let answer = ask(feed, fetch);
        let (entries, source) = settle(feed, answer, rules, store);
        gathered.feeds.extend(entries);
        gathered.sources.push(source);
    }
    for (done, url) in config.custom_urls.iter().enumerate() {
        progress(feeds.len() + done, all);
        let url = if url.contains("//") {
            url.clone()
        } else {
            format!("http://{url}")
        };
        let (entries, error) = match fetch.get(&url) {
            Ok(body) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                let lines = body.lines().count();
                gathered.remote.push(body);
                (lines, None)
            }
            Err(error) => (0, Some(error.to_string())),
        };
        gathered.sources.push(Source {
            name: url,
            entries,
            refused: 0,
            error,
            copy_age_secs: None,
        });
    }
    progress(all, all);
    gathered
}

/// What a feed answers now.
fn ask(feed: &Feed, fetch: &dyn Fetch) -> Result<Parsed, String> {
    let parsed = formats::parse(feed, &bodies(feed, fetch)?);
    if parsed.entries.is_empty() {
        return Err("no entry".to_owned());
    }
    Ok(parsed)
}

/// What a feed contributes: its answer, or its copy when the answer is none or much smaller.
fn settle(
    feed: &Feed,
    answer: Result<Parsed, String>,
    rules: &Rules,
    store: &mut Store,
) -> (Vec<Entry>, Source) {
    let before = store.status(&feed.name);
    let answer = answer.and_then(|parsed| {
        let (now, then) = (parsed.entries.len(), before.entries);
        if (now as f64) < then as f64 * rules.min_ratio {
            Err(format!(
                "{now} entries instead of {then}: below TRAIL_RELOAD_MIN_RATIO {} (--force takes them)",
                rules.min_ratio
            ))
        } else {
            Ok(parsed)
        }
    });
    let mut status = FeedStatus {
        name: feed.name.clone(),
        url: feed.urls.first().cloned().unwrap_or_default(),
        last_attempt: rules.now,
        ..before.clone()
    };
    let mut source = Source {
        name: feed.name.clone(),
        entries: 0,
        refused: 0,
        error: None,
        copy_age_secs: None,
    };
    let entries = match answer {
        Ok(parsed) => {
            source.refused = parsed.refused;
            status.last_success = Some(rules.now);
            status.entries = parsed.entries.len();
            status.change = signed(parsed.entries.len()) - signed(before.entries);
            status.digest = store.keep(&feed.name, &parsed.entries);
            (status.error, status.copy_age_secs) = (None, None);
            parsed.entries
        }
        Err(error) => {
            let copy = store.copy(&feed.name);
            if copy.is_some() {
                let age = rules.now.saturating_sub(before.last_success.unwrap_or(0));
                source.copy_age_secs = Some(age);
            } else {
                // Nothing is known of it any more that could be compared with.
                (status.entries, status.digest) = (0, None);
            }
            status.copy_age_secs = source.copy_age_secs;
            status.error = Some(error.clone());
            source.error = Some(error);
            copy.unwrap_or_default()
        }
    };
    source.entries = entries.len();
    store.set(status);
    (entries, source)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether a body is a web page where the feed's format is none.
fn is_page(feed: &Feed, body: &str) -> bool {
    let start: String = body.trim_start().chars().take(14).collect();
    let start = start.to_ascii_lowercase();
    let pages = matches!(
        feed.format,
        Format::Quads | Format::Atmos | Format::CybercrimeTracker | Format::Trickbot
    );
    !pages && (start.starts_with("<!doctype html") || start.starts_with("<html"))
}

/// The bodies of a feed: all its pages, or the first that answers when they stand in for each other.
fn bodies(feed: &Feed, fetch: &dyn Fetch) -> Result<Vec<String>, String> {
    let mut bodies = Vec::new();
    let mut failure = None;
    for url in &feed.urls {
        let body = match fetch.get(url) {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(error) => {
                failure.get_or_insert_with(|| error.to_string());
                continue;
            }
        };
        if !body.contains(&feed.marker) || body.is_empty() {
            failure.get_or_insert_with(|| {
                format!(
                    "the answer of {url} is no such list (`{}` is missing)",
                    feed.marker
                )
            });
            continue;
        }
        if is_page(feed, &body) {
            failure.get_or_insert_with(|| format!("the answer of {url} is a web page"));
            continue;
        }
        if let Some(next) = formats::next_page(feed, &body) {
            match fetch.get(&next) {
                Ok(page) => bodies.push(String::from_utf8_lossy(&page).into_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        bodies.push(body);
        if feed.backup {
            break;
        }
    }
    if bodies.is_empty() {
        Err(failure.unwrap_or_default())
    } else {
        Ok(bodies)
    }
}

/// The set of `UPDATE_SERVER`: rows `trail,info,reference`.
///
/// # Errors
/// When it does not answer, or the answer is no trail set: an HTML page, nothing, or rows that have not
/// three columns.
pub fn whole_set(url: &str, fetch: &dyn Fetch) -> Result<Vec<Entry>, String> {
    let body = fetch
        .get(url)
        .map_err(|error: FetchError| error.to_string())?;
    if body.trim_ascii_start().starts_with(b"<") {
        return Err("the answer is a web page, not a trail set".to_owned());
    }
    let mut rows = Vec::new();
    let counts = maltrail_core::trail::csv::read(body.as_slice(), |text, info, reference| {
        rows.push(Entry {
            text: text.to_owned(),
            info: info.to_owned(),
            reference: reference.to_owned(),
        });
    });
    let malformed = counts.map_err(|error| error.to_string())?.malformed;
    if rows.is_empty() || malformed > rows.len() / 100 {
        return Err(format!(
            "the answer is no trail set: {} good rows, {malformed} bad ones",
            rows.len()
        ));
    }
    Ok(rows)
}
