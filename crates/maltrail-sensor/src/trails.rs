//! Loading what detection compares with (the trail set and the whitelist) and what is not reported.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use maltrail_core::config::Config;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_engine::{IgnoreRules, UserAgents};
use maltrail_feeds::load::{self, Origins};
use tracing::{info, warn};

use crate::vitals::FeedVitals;

/// Trails, whitelist and ignore rules, ready for a worker.
#[derive(Clone)]
pub(crate) struct Lists {
    pub(crate) trails: Arc<TrailSet>,
    pub(crate) whitelist: Arc<Whitelist>,
    pub(crate) ignore: Arc<IgnoreRules>,
}

/// Loads all of them; the trails are those of `TRAILS_FILE`, or the embedded ones when there is none
/// yet.
///
/// # Errors
/// When a file is unreadable, or the set is empty and `ALLOW_EMPTY_TRAILS` is off.
pub(crate) fn load(config: &Config) -> anyhow::Result<Lists> {
    let whitelist = whitelist(config)?;
    let trails = trail_set(config, &whitelist)?;
    Ok(Lists {
        trails: Arc::new(trails),
        whitelist: Arc::new(whitelist),
        ignore: Arc::new(ignore_rules(config)?),
    })
}

/// The set of `TRAILS_FILE`, or of the built-in lists when there is no such file.
///
/// # Errors
/// When the file is unreadable, or the set is empty and `ALLOW_EMPTY_TRAILS` is off.
pub(crate) fn trail_set(config: &Config, whitelist: &Whitelist) -> anyhow::Result<TrailSet> {
    let path = &config.trails.file;
    let (trails, origins) = load::trail_set(&config.trails, whitelist, None)?;
    let image = load::image_path(path);
    match origins {
        Origins::BuiltIn => warn!(
            "there is no trails file `{}` yet: only the {} built-in trails are used \
             (`sensor update` builds a full set)",
            path.display(),
            trails.len()
        ),
        origins => {
            info!(
                "trails: {} in `{}`, {}",
                trails.len(),
                path.display(),
                age(path)
            );
            match origins {
                Origins::Renewed(why) => info!("`{}` made anew: {why}", image.display()),
                Origins::Csv(Some(error)) => info!(
                    "the trails are held in memory, as `{}` cannot be written: {error}",
                    image.display()
                ),
                _ => {}
            }
        }
    }
    report(&trails);
    if trails.is_empty() && !config.trails.allow_empty {
        bail!(
            "`{}` holds no trail: nothing could be detected. Build the set with `sensor update`, or allow this with \
             ALLOW_EMPTY_TRAILS true",
            path.display()
        );
    }
    Ok(trails)
}

/// The list that is compiled in, unless the installation has its own `data/ua.txt`.
pub(crate) fn user_agents(config: &Config) -> anyhow::Result<UserAgents> {
    let path = config.root.join("data/ua.txt");
    let text = if path.is_file() {
        let bytes = fs::read(&path)
            .with_context(|| format!("cannot read the user agents `{}`", path.display()))?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        include_str!("../../../trails/data/ua.txt").to_owned()
    };
    UserAgents::parse(&text).with_context(|| format!("cannot use `{}`", path.display()))
}

/// The built-in whitelist, those beside the trails and the installation, and the user's.
///
/// # Errors
/// When one of them is unreadable.
pub(crate) fn whitelist(config: &Config) -> anyhow::Result<Whitelist> {
    Ok(load::whitelist(&config.trails, &config.root)?)
}

/// The rules beside the trails and the installation, the user's, and the user's expression.
///
/// # Errors
/// When one of the files is unreadable.
pub(crate) fn ignore_rules(config: &Config) -> anyhow::Result<IgnoreRules> {
    let mut rules = IgnoreRules::default();
    let mut paths = installed(config, "ignore_events.txt");
    paths.extend(config.output.ignore_list.clone());
    for path in paths {
        let faults = rules.add(&read_text(&path, "ignore rules")?);
        for fault in &faults.described {
            warn!("{}:{}: {}", path.display(), fault.line, fault.why);
        }
        if faults.count > 0 {
            warn!(
                "{} line(s) of `{}` are no ignore rules and are left out",
                faults.count,
                path.display()
            );
        }
    }
    if let Err(error) = rules.set_expression(config.output.ignore_regex.as_deref()) {
        warn!("IGNORE_EVENTS_REGEX is not used: {error}");
    }
    Ok(rules)
}

/// Every file that whitelist and ignore rules may come from, there or not.
pub(crate) fn list_paths(config: &Config) -> Vec<PathBuf> {
    let mut paths = places(config, "whitelist.txt");
    paths.extend(places(config, "ignore_events.txt"));
    paths.extend(config.trails.user_whitelist.clone());
    paths.extend(config.output.ignore_list.clone());
    paths
}

/// The lists of this name beside the trails and in the installation that are there.
fn installed(config: &Config, name: &str) -> Vec<PathBuf> {
    let mut paths = places(config, name);
    paths.retain(|path| path.is_file());
    paths
}

fn places(config: &Config, name: &str) -> Vec<PathBuf> {
    load::places(&config.trails, &config.root, name)
}

fn read_text(path: &Path, what: &str) -> anyhow::Result<String> {
    let bytes =
        fs::read(path).with_context(|| format!("cannot read the {what} `{}`", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// When the trails were last known to be up to date; `None` when there is no file.
pub(crate) fn written(path: &Path) -> Option<Timestamp> {
    let at = maltrail_feeds::update::checked(path)?;
    Some(Timestamp::from_parts(i64::try_from(at).ok()?, 0))
}

/// How the feeds stood at the last update of these trails.
pub(crate) fn feeds(path: &Path) -> Vec<FeedVitals> {
    let time = |secs: u64| Some(Timestamp::from_parts(i64::try_from(secs).ok()?, 0));
    maltrail_feeds::store::statuses(path)
        .into_iter()
        .map(|feed| FeedVitals {
            name: feed.name,
            entries: feed.entries as u64,
            success: feed.last_success.and_then(time),
            failing: feed.error.is_some(),
        })
        .collect()
}

fn age(path: &Path) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = maltrail_feeds::update::checked(path)
        .zip(now.ok())
        .and_then(|(at, now)| now.as_secs().checked_sub(at));
    match age {
        Some(secs) if secs < 7200 => format!("{} min old", secs / 60),
        Some(secs) if secs < 2 * 86_400 => format!("{} h old", secs / 3600),
        Some(secs) => format!("{} days old", secs / 86_400),
        None => "of the future".to_owned(),
    }
}

fn report(set: &TrailSet) {
    let report = set.report();
    info!(
        "trail kinds: {} names, URLs and paths, {} addresses, {} with a port, {} networks, {} certificates, {} expressions",
        report.texts,
        report.addresses,
        report.address_ports,
        report.networks,
        report.certificates,
        report.patterns.usable
    );
    if report.malformed > 0 {
        warn!(
            "{} rows of the trails file have not three columns and are left out",
            report.malformed
        );
    }
    for text in &report.patterns.repaired {
        info!("expression used without its cut last alternative: {text}");
    }
    for (text, reason) in &report.patterns.unusable {
        warn!("expression left out: {text}: {reason}");
    }
}
