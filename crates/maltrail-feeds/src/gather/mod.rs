//! What an online update fetches: feeds, the user's lists elsewhere, or a whole set from a server.
//!
//! ```text
//! feeds ─ schedule ─► ask (fetch, check, parse into a new copy) ─► settle (take it, or the old copy) ─► rows
//! ```
//!
//! Questions run in parallel, eight at once and two a host; results do not depend on who answers first. A
//! feed or list that fails or answers what cannot be contributes its last good copy ([`crate::store`]); each is
//! named in the result, and the others go on. Entries lie in files, not in memory.

mod archive;
mod ask;
mod lists;
mod schedule;
mod settle;

use std::path::PathBuf;
use std::sync::Mutex;

use maltrail_core::config::TrailsConfig;
use regex::Regex;

use crate::canary::Canaries;
use crate::fetch::Fetch;
use crate::registry::{self, Feed, Format};
use crate::store::{FeedRows, Store};
use ask::{Copy, Inquiry, Reply};

/// What was fetched.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Entries of all feeds, in order of their names.
    pub feeds: Vec<FeedRows>,
    /// Archives in the layout of the public static list.
    pub archives: Vec<PathBuf>,
    /// Bodies of `CUSTOM_TRAILS_URL`.
    pub remote: Vec<String>,
    /// One record a source.
    pub sources: Vec<Source>,
    /// What a person should know: the own file of feeds cannot be used.
    pub notes: Vec<String>,
}

/// How a source answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Name of the feed, or the address of a list.
    pub name: String,
    /// Entries it gave.
    pub entries: usize,
    /// Entries that were refused.
    pub refused: usize,
    /// Why it gave nothing, or only its copy.
    pub error: Option<String>,
    /// Age of the copy that stands in for its answer.
    pub copy_age_secs: Option<u64>,
    /// Whether it had nothing new, or was not due; its copy is as good as an answer.
    pub unchanged: bool,
    /// The first refused entries: `feed:line`, text and reason.
    pub samples: Vec<String>,
}

/// What holds for all feeds of an update.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether feeds are fetched at all.
    pub with_feeds: bool,
    /// Smallest accepted share of the entries of the last good answer; 0 accepts any.
    pub min_ratio: f64,
    /// Take what shrank or grew, and ask feeds that are not due.
    pub force: bool,
    /// Seconds since 1970.
    pub now: u64,
}

/// Something to ask.
enum Job {
    Feed(Box<Feed>),
    List(String),
}

/// What came of it.
enum Done {
    Feed(Reply, Copy),
    List(lists::Reply),
}

/// Fetches every feed that is wanted, and the user's lists; without a way to fetch, what is at hand of them
/// counts. `progress` hears sources done and all.
pub fn gather(
    config: &TrailsConfig,
    disabled_info: Option<&Regex>,
    fetch: Option<&dyn Fetch>,
    rules: &Rules,
    store: &mut Store,
    progress: &mut dyn FnMut(usize, usize),
) -> Gathered {
    let mut gathered = Gathered::default();
    let mut feeds = Vec::new();
    if rules.with_feeds {
        let (all, fault) = registry::all(config.custom_feeds.as_deref());
        gathered.notes.extend(fault.map(|fault| {
            format!("{fault}; the feeds of this file are left out, all others are used")
        }));
        feeds = all;
    }
    feeds.retain(|feed| is_wanted(feed, config, disabled_info));
    let jobs: Vec<Job> = feeds
        .into_iter()
        .map(|feed| Job::Feed(Box::new(feed)))
        .chain(config.custom_urls.iter().map(|url| Job::List(full(url))))
        .collect();
    progress(0, jobs.len());
    let canaries = Canaries::new(&config.home_networks);
    let inquiry = Inquiry {
        fetch,
        store,
        rules,
        canaries: &canaries,
        keys: &config.feed_keys,
        whole: Mutex::new(()),
    };
    let work = |job: &Job| match job {
        Job::Feed(feed) => {
            let (reply, copy) = inquiry.ask(feed);
            Done::Feed(reply, copy)
        }
        Job::List(url) => Done::List(lists::ask(&inquiry, url)),
    };
    let results = schedule::run(&jobs, host, work, &mut |done| progress(done, jobs.len()));
    for (job, done) in jobs.iter().zip(results) {
        match job {
            Job::Feed(feed) => gathered.add_feed(feed, done, rules, store),
            Job::List(url) => gathered.add_list(url, done, rules, store),
        }
    }
    gathered
}

impl Gathered {
    fn add_feed(&mut self, feed: &Feed, done: Option<Done>, rules: &Rules, store: &mut Store) {
        let (reply, copy) = match done {
            Some(Done::Feed(reply, copy)) => (reply, copy),
            _ => (internal(), Copy::None),
        };
        let nothing = matches!((&reply, &copy), (Reply::NotDue, Copy::None));
        if nothing {
            return;
        }
        let made = settle::settle(feed, reply, copy, rules, store);
        self.feeds.extend(made.rows);
        self.archives.extend(made.archive);
        self.sources.push(made.source);
    }

    fn add_list(&mut self, url: &str, done: Option<Done>, rules: &Rules, store: &mut Store) {
        let (text, source) = match done {
            Some(Done::List(reply)) => lists::settle(url, reply, rules.now, store),
            _ => (
                None,
                Source {
                    name: url.to_owned(),
                    error: Some(UNREADABLE.to_owned()),
                    ..Source::default()
                },
            ),
        };
        if text.is_some() || source.error.is_some() {
            self.sources.push(source);
        }
        self.remote.extend(text);
    }
}

/// Why an answer has no result: reading it ended in a panic, which no answer may bring about.
const UNREADABLE: &str = "it could not be read: please report this answer";

fn internal() -> Reply {
    Reply::Failed {
        reason: UNREADABLE.to_owned(),
        http_status: None,
    }
}

/// Whether a feed is fetched: on by itself, by its key or by name, and not left out.
fn is_wanted(feed: &Feed, config: &TrailsConfig, disabled_info: Option<&Regex>) -> bool {
    let named = |list: &[String]| {
        list.iter()
            .any(|name| name.eq_ignore_ascii_case(&feed.name))
    };
    let has_key = config.feed_keys.contains_key(&feed.key_name());
    let is_on = if feed.key {
        has_key
    } else {
        feed.default || named(&config.enabled_feeds)
    };
    let without_static =
        feed.format == Format::Archive && config.disabled_feeds.iter().any(|name| name == "static");
    let constant =
        !feed.info.is_empty() && disabled_info.is_some_and(|regex| regex.is_match(&feed.info));
    is_on && !named(&config.disabled_feeds) && !without_static && !constant
}

/// The host of a source, so that no host is asked by many at once.
fn host(job: &Job) -> String {
    let url = match job {
        Job::Feed(feed) => feed.urls.first().map_or("", String::as_str),
        Job::List(url) => url,
    };
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn full(url: &str) -> String {
    if url.contains("//") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

#[cfg(test)]
mod tests;
