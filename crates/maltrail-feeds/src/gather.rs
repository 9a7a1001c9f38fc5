//! What an online update fetches: feeds, the user's lists elsewhere, or a whole set from a server.
//!
//! A source that fails, or answers without its marker, contributes nothing and is named in the result;
//! the others go on.

use maltrail_core::config::TrailsConfig;
use regex::Regex;

use crate::fetch::{Fetch, FetchError};
use crate::formats::{self, Entry};
use crate::registry::{Feed, feeds};

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
    /// Why it gave nothing.
    pub error: Option<String>,
}

/// Fetches every feed that is not disabled, and the user's lists. `progress` hears sources done and all.
pub fn gather(
    config: &TrailsConfig,
    disabled_info: Option<&Regex>,
    fetch: &dyn Fetch,
    with_feeds: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Gathered {
    let mut gathered = Gathered::default();
    let wanted = |feed: &Feed| {
        let constant =
            !feed.info.is_empty() && disabled_info.is_some_and(|regex| regex.is_match(&feed.info));
        !config.disabled_feeds.contains(&feed.name) && !constant
    };
    let feeds: Vec<Feed> = if with_feeds {
        feeds().unwrap_or_default()
    } else {
        Vec::new()
    };
    let feeds: Vec<Feed> = feeds.into_iter().filter(wanted).collect();
    let all = feeds.len() + config.custom_urls.len();
    for (done, feed) in feeds.iter().enumerate() {
        progress(done, all);
        let source = match bodies(feed, fetch) {
            Ok(bodies) => {
                let parsed = formats::parse(feed, &bodies);
                let (entries, refused) = (parsed.entries.len(), parsed.refused);
                gathered.feeds.extend(parsed.entries);
                let error = (entries == 0).then(|| "no entry".to_owned());
                Source {
                    name: feed.name.clone(),
                    entries,
                    refused,
                    error,
                }
            }
            Err(error) => Source {
                name: feed.name.clone(),
                entries: 0,
                refused: 0,
                error: Some(error),
            },
        };
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
        });
    }
    progress(all, all);
    gathered
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
