//! One update: collections, feeds and own lists → `TRAILS_FILE`, whole or not at all.
//!
//! Everything that a build is made of has one digest ([`inputs`]); when it is that of the last build and
//! nobody touched the file, nothing is parsed or written. A new file is written beside the old one, synced
//! and renamed over it; the old one is kept for [`rollback`]. It is refused when it is empty or much smaller
//! than the old one; the old one then stays as it was. The image that sensors map is made from the file and
//! says of which one it is, so a kill between the two leaves a stale image, never a wrong one. The data lists
//! that matching needs (`whitelist.txt`, …) are kept in `data/` beside the trails. A lock file keeps two
//! updates (cron, sensor, server) from running at once.

mod inputs;
mod publish;
mod record;
mod server;
mod summary;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use maltrail_core::config::{Environment, TrailsConfig};

use self::inputs::own_lists;
use self::record::{Record, Stamp};
use crate::assemble::{AssembleOptions, Sources, assemble_listed};
use crate::catalog::{Catalog, FILE};
use crate::collection::CollectionError;
use crate::fetch::Fetch;
use crate::gather::{Rules, Source, gather};
use crate::load;
use crate::place::{Lock, folder_of, sweep};
use crate::report::Report;
use crate::store::{FeedStatus, Store};

pub use self::record::checked;
pub use self::summary::{line_of, summary};

/// An update to run.
pub struct Update<'a> {
    /// Options of the configuration.
    pub config: &'a TrailsConfig,
    /// Folder of the installation.
    pub root: &'a Path,
    /// Archive or folder with the public static list.
    pub from: Option<&'a Path>,
    /// Take the built-in lists as well.
    pub built_in: bool,
    /// What fetches feeds, lists elsewhere and `UPDATE_SERVER`; `None` uses no network.
    pub fetch: Option<&'a dyn Fetch>,
    /// Fetch the feeds: asked for by a person, or `USE_FEED_UPDATES`.
    pub feeds: bool,
    /// Publish even a much smaller set.
    pub force: bool,
    /// Whom to give the files: user and group id, as sudo names them.
    pub owner: Option<(u32, u32)>,
}

/// How far an update has come, for progress shown to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sources fetched, and all of them.
    Fetching(usize, usize),
    /// Bytes of the archive read, and its size (0 for a folder).
    Reading(u64, u64),
    /// Lists parsed, and all lists.
    Building(usize, usize),
    /// Rows written, and all rows.
    Writing(usize, usize),
}

/// What an update did.
#[derive(Debug)]
pub struct Outcome {
    /// Rows of the new set.
    pub rows: usize,
    /// Rows of the old set, if there was one.
    pub before: Option<usize>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Nothing changed since the last build, which stays.
    pub unchanged: bool,
    /// Refused lines and counters.
    pub report: Report,
    /// How each source of the network answered.
    pub sources: Vec<Source>,
    /// How each feed stands, by name.
    pub status: Vec<FeedStatus>,
    /// What a person should know beside: copies that were damaged or could not be kept.
    pub notes: Vec<String>,
}

/// Why an update published nothing. The old set is untouched.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The source cannot be read.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// `UPDATE_SERVER` gave no set.
    #[error("UPDATE_SERVER `{url}`: {reason}; the old file stays")]
    Server {
        /// Its address.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// Another update is running.
    #[error("another update is running (lock `{}`)", .0.display())]
    Busy(PathBuf),
    /// Nothing was built.
    #[error("the lists give no trail at all; the old file stays")]
    Empty,
    /// The set shrank too much.
    #[error(
        "the new set has {after} trails, the old one {before}: below TRAIL_RELOAD_MIN_RATIO {ratio}; the old file stays \
         (--force publishes it anyway)"
    )]
    Shrunk {
        /// Rows before.
        before: usize,
        /// Rows now.
        after: usize,
        /// The smallest share that is accepted.
        ratio: f64,
    },
    /// The set would match what everybody uses.
    #[error(
        "the new set would match what everybody uses: {count} rows such as {named}; a list of it is wrong. The old \
         file stays (--force publishes it anyway)"
    )]
    Canaries {
        /// Such rows, the user's own aside.
        count: usize,
        /// The first of them.
        named: String,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be fetched at all.
    #[error("cannot use the network: {0}")]
    Client(String),
    /// There is no former set.
    #[error("there is no former set to go back to (`{}`)", .0.display())]
    NoFormer(PathBuf),
    /// A list of the configuration cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `DISABLED_TRAILS_INFO_REGEX` does not compile.
    #[error("DISABLED_TRAILS_INFO_REGEX does not compile: {0}")]
    Expression(#[from] regex::Error),
}

/// The owner that sudo names in the environment.
pub fn sudo_owner(environment: &Environment) -> Option<(u32, u32)> {
    let number = |name: &str| environment.variables.get(name)?.parse().ok();
    Some((number("SUDO_UID")?, number("SUDO_GID")?))
}

impl Update<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When a source is unreadable, the result is refused or a file cannot be written; nothing is
    /// changed then.
    pub fn run(&self, progress: &mut dyn FnMut(Phase)) -> Result<Outcome, UpdateError> {
        let target = &self.config.file;
        let folder = folder_of(target);
        fs::create_dir_all(folder).map_err(|source| write_error(folder, source))?;
        let _lock = lock(folder)?;
        sweep(folder);
        if let (Some(url), Some(fetch)) = (&self.config.update_server, self.fetch) {
            return self.take_server_set(url, fetch, folder, progress);
        }
        let mut store = Store::open(&folder.join("feeds"), self.owner);
        let outcome = self.build(folder, &mut store, progress);
        if outcome.is_err() {
            // The copies of an update that is refused are no copies; its attempts are on record. A record
            // that cannot be written is the former one.
            let _ = store.give_up();
        }
        outcome
    }

    /// Builds the set of all sources and publishes it.
    fn build(
        &self,
        folder: &Path,
        store: &mut Store,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Outcome, UpdateError> {
        let options = self.options()?;
        let rules = Rules {
            with_feeds: self.feeds,
            min_ratio: if self.force {
                0.0
            } else {
                self.config.reload_min_ratio
            },
            force: self.force,
            now: now(),
        };
        let fetched = gather(
            self.config,
            options.disabled_info.as_ref(),
            self.fetch,
            &rules,
            store,
            &mut |done, all| {
                progress(Phase::Fetching(done, all));
            },
        );
        let lists = self.lists(&fetched.archives, progress)?;
        let custom = own_lists(&self.config.custom_dir)?;
        let digest = self.digest(&options, &lists, &custom, &fetched);
        let record = Record::read(folder);
        let mut listings = None;
        let stands = self.stands(&record, &digest);
        let mut outcome = if let Some(rows) = stands.filter(|_| folder.join(FILE).is_file()) {
            Outcome {
                rows,
                before: Some(rows),
                bytes: Stamp::of(&self.config.file).map_or(0, |stamp| stamp.bytes),
                unchanged: true,
                report: Report::default(),
                sources: fetched.sources,
                status: Vec::new(),
                notes: Vec::new(),
            }
        } else {
            let sources = Sources {
                collections: lists.read(self.built_in, progress)?,
                custom,
                feeds: fetched.feeds,
                remote: fetched.remote,
                fetched: store
                    .all()
                    .into_iter()
                    .filter_map(|status| Some((status.name, status.last_success?)))
                    .collect(),
            };
            let (built, report, found) = assemble_listed(&sources, &options, &mut |done, all| {
                progress(Phase::Building(done, all))
            });
            let outcome = self.replace(&built, report, fetched.sources, &record, progress)?;
            self.publish_data(folder, &sources.collections)?;
            listings = Some(found);
            outcome
        };
        // The catalog and the image are independent of each other: one thread each.
        let (now, owner) = (rules.now, self.owner);
        let catalog = std::thread::scope(|scope| {
            let catalog = listings
                .map(|listings| scope.spawn(move || Catalog::record(folder, listings, now, owner)));
            self.conclude(folder, record, &digest, &mut outcome);
            catalog.and_then(|thread| thread.join().ok())
        });
        if let Some(Err(error)) = catalog {
            outcome.notes.push(format!(
                "`sensor explain` does not know this build: {error}"
            ));
        }
        outcome.status = store.all();
        outcome.notes.extend(fetched.notes);
        outcome.notes.extend_from_slice(store.notes());
        // The set is published already: the next update only knows less of this one.
        if self.fetch.is_some()
            && (self.feeds || !self.config.custom_urls.is_empty())
            && let Err(error) = store.commit()
        {
            outcome.notes.push(format!(
                "the copies of this update are not kept, as `{}` cannot be written: {error}",
                folder.join("feeds").display()
            ));
        }
        Ok(outcome)
    }

    /// Rows of the present set, when it is of just these inputs.
    fn stands(&self, record: &Record, digest: &str) -> Option<usize> {
        let same = !self.force && record.inputs == digest && self.is_own(record);
        same.then_some(record.rows)
    }

    /// Whether the present file is the one that the record tells of.
    fn is_own(&self, record: &Record) -> bool {
        record.file.is_some() && record.file == Stamp::of(&self.config.file)
    }

    /// Writes image and record of the set that is published now. What fails here costs time later, not the
    /// update.
    fn conclude(&self, folder: &Path, former: Record, digest: &str, outcome: &mut Outcome) {
        let image = load::whitelist(self.config, self.root)
            .map_err(io::Error::other)
            .and_then(|whitelist| load::renew(self.config, &whitelist, self.owner));
        if let Err(error) = image {
            outcome.notes.push(format!(
                "the image `{}` cannot be written, so each start reads the CSV: {error}",
                load::image_path(&self.config.file).display()
            ));
        }
        let record = Record {
            inputs: digest.to_owned(),
            file: Stamp::of(&self.config.file),
            rows: outcome.rows,
            checked: now(),
            from: self
                .from
                .and_then(|from| from.canonicalize().ok())
                .or(former.from),
            etag: former.etag,
            former_rows: if outcome.unchanged {
                former.former_rows
            } else {
                outcome.before
            },
        };
        if let Err(error) = record.write(folder, self.owner) {
            outcome.notes.push(format!(
                "no record of this build is kept in `{}`, so the next one is made in full: {error}",
                folder.display()
            ));
        }
    }

    /// Whether an update by the clock has something to do (`spec` trails §7): no file, an empty one,
    /// one not looked after for `UPDATE_PERIOD`, or own lists newer than it.
    pub fn is_due(&self) -> bool {
        let Ok(file) = fs::metadata(&self.config.file) else {
            return true;
        };
        let newer = |path: &Path| {
            let changed = fs::metadata(path).and_then(|meta| meta.modified());
            changed
                .ok()
                .zip(file.modified().ok())
                .is_some_and(|(list, built)| list > built)
        };
        let lists = fs::read_dir(&self.config.custom_dir)
            .into_iter()
            .flatten()
            .flatten();
        let age = checked(&self.config.file).map(|at| now().saturating_sub(at));
        file.len() == 0
            || age.is_none_or(|age| age >= self.config.update_period_secs)
            || newer(&self.config.custom_dir)
            || lists.map(|entry| entry.path()).any(|path| newer(&path))
    }

    fn options(&self) -> Result<AssembleOptions, UpdateError> {
        let disabled = |name: &str| self.config.disabled_feeds.iter().any(|feed| feed == name);
        let user_whitelist = match &self.config.user_whitelist {
            None => String::new(),
            Some(path) => {
                let bytes = fs::read(path).map_err(|source| UpdateError::Read {
                    path: path.clone(),
                    source,
                })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        Ok(AssembleOptions {
            ip_minimum_feeds: self.config.ip_minimum_feeds,
            disabled_info: self
                .config
                .disabled_info
                .as_deref()
                .map(regex::Regex::new)
                .transpose()?,
            user_whitelist,
            without_static: disabled("static"),
            without_custom: disabled("custom"),
        })
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn write_error(path: &Path, source: io::Error) -> UpdateError {
    UpdateError::Write {
        path: path.to_owned(),
        source,
    }
}

fn lock(folder: &Path) -> Result<Lock, UpdateError> {
    Lock::take(folder).map_err(|(path, error)| {
        if error.kind() == io::ErrorKind::WouldBlock {
            UpdateError::Busy(path)
        } else {
            write_error(&path, error)
        }
    })
}

#[cfg(test)]
mod tests;
