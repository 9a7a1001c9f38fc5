//! One update: collections and own lists → `TRAILS_FILE`, whole or not at all.
//!
//! The new file is written beside the old one, synced and renamed over it. It is refused when it is
//! empty or much smaller than the old one; the old one then stays as it was. The data lists that
//! matching needs (`whitelist.txt`, …) are kept in `data/` beside the trails. A lock file keeps two
//! updates (cron, sensor, server) from running at once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use maltrail_core::config::{Environment, TrailsConfig};
use maltrail_core::trail::build::{BuildOptions, Built, Stage, TrailBuilder};
use maltrail_core::trail::csv;

use crate::assemble::{AssembleOptions, Sources, assemble};
use crate::collection::{Collection, CollectionError, DATA, ListFile};
use crate::embedded;
use crate::fetch::Fetch;
use crate::gather::{Gathered, Rules, Source, gather, whole_set};
use crate::place::{folder_of, place};
use crate::report::{Reason, Report};
use crate::store::{FeedStatus, Store};

/// An update to run.
pub struct Update<'a> {
    /// Options of the configuration.
    pub config: &'a TrailsConfig,
    /// Archive or folder with the public static list; without it the embedded lists are used.
    pub from: Option<&'a Path>,
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
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
        if let (Some(url), Some(fetch)) = (&self.config.update_server, self.fetch) {
            return self.take_server_set(url, fetch, progress);
        }
        let mut store = Store::open(&folder.join("feeds"), self.owner);
        let outcome = self.build(folder, &mut store, progress);
        if outcome.is_err() {
            // The copies of an update that is refused are no copies.
            store.sweep();
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
            now: now(),
        };
        let fetched = self.fetch.map_or_else(Gathered::default, |fetch| {
            gather(
                self.config,
                options.disabled_info.as_ref(),
                fetch,
                &rules,
                store,
                &mut |done, all| {
                    progress(Phase::Fetching(done, all));
                },
            )
        });
        let sources = Sources {
            collections: self.collections(progress)?,
            custom: own_lists(&self.config.custom_dir)?,
            feeds: fetched.feeds,
            remote: fetched.remote,
        };
        let (built, report) = assemble(&sources, &options, &mut |done, all| {
            progress(Phase::Building(done, all))
        });
        let mut outcome = self.replace(&built, report, fetched.sources, progress)?;
        self.publish_data(folder, &sources.collections)?;
        outcome.status = store.all();
        outcome.notes = store.notes().to_vec();
        // The set is published already: the next update only knows less of this one.
        if self.fetch.is_some()
            && self.feeds
            && let Err(error) = store.commit()
        {
            outcome.notes.push(format!(
                "the copies of this update are not kept, as `{}` cannot be written: {error}",
                folder.join("feeds").display()
            ));
        }
        Ok(outcome)
    }

    /// Takes the whole set from a server: normalised, sorted, nothing else of a build.
    fn take_server_set(
        &self,
        url: &str,
        fetch: &dyn Fetch,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Outcome, UpdateError> {
        let rows = whole_set(url, fetch).map_err(|reason| UpdateError::Server {
            url: url.to_owned(),
            reason,
        })?;
        let mut builder = TrailBuilder::new(BuildOptions::default());
        let mut report = Report {
            entries: rows.len(),
            ..Report::default()
        };
        for (at, row) in (1..).zip(&rows) {
            let source = builder.source(&row.info, &row.reference, Stage::Static);
            if let Err(error) = builder.add(source, &row.text) {
                report.refuse(url, at, Reason::Key(error), &row.text);
            }
        }
        let source = Source {
            name: url.to_owned(),
            entries: rows.len(),
            refused: report.refused_total(),
            error: None,
            copy_age_secs: None,
        };
        self.replace(&builder.finish(), report, vec![source], progress)
    }

    /// Checks the new set against the old file and puts it in its place.
    fn replace(
        &self,
        built: &Built,
        report: Report,
        sources: Vec<Source>,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Outcome, UpdateError> {
        let target = &self.config.file;
        let before = rows_of(target);
        self.accept(built, before)?;
        let bytes = self.publish(target, |file| write_rows(file, built, progress))?;
        Ok(Outcome {
            rows: built.len(),
            before,
            bytes,
            report,
            sources,
            status: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Whether an update by the clock has something to do (`spec` trails §7): no file, an empty one,
    /// one older than `UPDATE_PERIOD`, or own lists newer than it.
    pub fn is_due(&self) -> bool {
        let Ok(file) = fs::metadata(&self.config.file) else {
            return true;
        };
        let age = file.modified().ok().and_then(|at| at.elapsed().ok());
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
        file.len() == 0
            || age.is_none_or(|age| age.as_secs() >= self.config.update_period_secs)
            || newer(&self.config.custom_dir)
            || lists.map(|entry| entry.path()).any(|path| newer(&path))
    }

    fn collections(&self, progress: &mut dyn FnMut(Phase)) -> Result<Vec<Collection>, UpdateError> {
        let Some(path) = self.from else {
            return Ok(vec![embedded::collection()]);
        };
        let size = fs::metadata(path).map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
        Ok(vec![Collection::read(path, &mut |read| {
            progress(Phase::Reading(read, size))
        })?])
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

    fn accept(&self, built: &Built, before: Option<usize>) -> Result<(), UpdateError> {
        let (after, ratio) = (built.len(), self.config.reload_min_ratio);
        if built.is_empty() {
            return Err(UpdateError::Empty);
        }
        match before {
            Some(before)
                if !self.force && ratio > 0.0 && (after as f64) < before as f64 * ratio =>
            {
                Err(UpdateError::Shrunk {
                    before,
                    after,
                    ratio,
                })
            }
            _ => Ok(()),
        }
    }

    /// Writes a file beside `target`, syncs it and renames it over `target`.
    fn publish(
        &self,
        target: &Path,
        write: impl FnOnce(&fs::File) -> io::Result<()>,
    ) -> Result<u64, UpdateError> {
        place(target, self.owner, write).map_err(|source| write_error(target, source))
    }

    /// Keeps the data lists that matching needs beside the trails.
    fn publish_data(&self, folder: &Path, collections: &[Collection]) -> Result<(), UpdateError> {
        let folder = folder.join("data");
        fs::create_dir_all(&folder).map_err(|source| write_error(&folder, source))?;
        for name in DATA {
            let text: String = collections
                .iter()
                .map(|collection| collection.data(name))
                .collect();
            if !text.is_empty() {
                self.publish(&folder.join(name), |mut file| {
                    file.write_all(text.as_bytes())
                })?;
            }
        }
        Ok(())
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

/// Held for the time of an update; released when dropped, also by a crash.
fn lock(folder: &Path) -> Result<fs::File, UpdateError> {
    let path = folder.join(".update.lock");
    let file = fs::File::create(&path).map_err(|source| write_error(&path, source))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(UpdateError::Busy(path)),
        Err(error) => Err(write_error(&path, error.into())),
    }
}

/// Each `*.txt` directly in the user's folder; no folder means no lists.
fn own_lists(folder: &Path) -> Result<Vec<ListFile>, UpdateError> {
    let read_error = |path: &Path, source| UpdateError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| read_error(folder, source))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| read_error(folder, source))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|name| name.ends_with(".txt"));
        if let Some(name) = name.filter(|_| path.is_file()) {
            let bytes = fs::read(&path).map_err(|source| read_error(&path, source))?;
            files.push(ListFile {
                path: format!("trails/custom/{name}"),
                bytes,
            });
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// Number of rows of the present file; `None` when there is none.
fn rows_of(target: &Path) -> Option<usize> {
    let file = fs::File::open(target).ok()?;
    csv::read(file, |_, _, _| {})
        .ok()
        .map(|counts| counts.rows)
        .filter(|rows| *rows > 0)
}

fn write_rows(file: &fs::File, built: &Built, progress: &mut dyn FnMut(Phase)) -> io::Result<()> {
    const STEP: usize = 1 << 16;
    let mut writer = csv::Writer::new(file);
    let all = built.len();
    for (done, row) in built.rows().enumerate() {
        writer.row(row.key, row.info, row.reference)?;
        if done % STEP == 0 {
            progress(Phase::Writing(done, all));
        }
    }
    progress(Phase::Writing(all, all));
    writer.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        root: tempfile::TempDir,
        config: TrailsConfig,
    }

    impl House {
        fn new(lists: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().expect("folder");
            for (path, text) in lists {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().expect("parent")).expect("folder");
                fs::write(path, text).expect("file");
            }
            let environment = Environment::default();
            let text = format!(
                "TRAILS_FILE {0}/out/trails.csv\nCUSTOM_TRAILS_DIR {0}/own\n",
                root.path().display()
            );
            let (config, _) =
                maltrail_core::config::Config::parse(&text, "f", root.path(), &environment)
                    .expect("config");
            Self {
                config: config.trails,
                root,
            }
        }

        fn run(&self) -> Result<Outcome, UpdateError> {
            let from = self.root.path().join("src");
            Update {
                config: &self.config,
                from: Some(&from),
                fetch: None,
                feeds: false,
                force: false,
                owner: None,
            }
            .run(&mut |_| {})
        }

        fn file(&self) -> String {
            fs::read_to_string(&self.config.file).unwrap_or_default()
        }
    }

    #[test]
    fn lists_become_a_file_and_data_stays_beside_it() {
        let house = House::new(&[
            (
                "src/trails/static/malware/zeus.txt",
                "evil.biz\ngood.biz\n10.1.2.3\n5.9.9.9 # note\n",
            ),
            ("src/data/whitelist.txt", "good.biz\n"),
            ("src/data/bogon_ranges.txt", "10.0.0.0/8\n"),
            ("own/my_list.txt", "http://c3.biz\n"),
        ]);
        let outcome = house.run().expect("update");
        assert_eq!(
            house.file(),
            "5.9.9.9,zeus (malware),(static)\r\nc3.biz,my list,(custom)\r\nevil.biz,zeus (malware),(static)\r\n"
        );
        assert_eq!((outcome.rows, outcome.before), (3, None));
        assert_eq!(outcome.bytes, house.file().len() as u64);
        let data = house
            .config
            .file
            .parent()
            .expect("parent")
            .join("data/whitelist.txt");
        assert_eq!(fs::read_to_string(data).expect("data"), "good.biz\n");
        assert_eq!(house.run().expect("again").before, Some(3));
    }

    #[test]
    fn nothing_and_much_less_are_refused_and_the_old_file_stays() {
        let house = House::new(&[(
            "src/trails/static/malware/zeus.txt",
            "a.biz\nb.biz\nc.biz\n",
        )]);
        house.run().expect("update");
        let old = house.file();
        let list = house.root.path().join("src/trails/static/malware/zeus.txt");
        fs::write(&list, "a.biz\n").expect("file");
        assert!(matches!(
            house.run(),
            Err(UpdateError::Shrunk {
                before: 3,
                after: 1,
                ..
            })
        ));
        fs::write(&list, "# nothing\n").expect("file");
        assert!(matches!(house.run(), Err(UpdateError::Empty)));
        assert_eq!(house.file(), old);
        fs::write(&list, "a.biz\n").expect("file");
        let from = house.root.path().join("src");
        let forced = Update {
            config: &house.config,
            from: Some(&from),
            fetch: None,
            feeds: false,
            force: true,
            owner: None,
        };
        assert_eq!(forced.run(&mut |_| {}).expect("forced").rows, 1);
    }

    #[test]
    fn two_updates_do_not_run_at_once() {
        let house = House::new(&[
            ("src/trails/static/malware/zeus.txt", "a.biz\n"),
            ("out/x", ""),
        ]);
        let held = lock(house.config.file.parent().expect("parent")).expect("lock");
        assert!(matches!(house.run(), Err(UpdateError::Busy(_))));
        drop(held);
        assert!(house.run().is_ok());
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let mut house = House::new(&[
            ("src/trails/static/malware/zeus.txt", "a.biz\n"),
            ("file", ""),
        ]);
        house.config.file = house.root.path().join("file/trails.csv");
        let error = house.run().expect_err("unwritable").to_string();
        assert!(error.starts_with("cannot write `"), "{error}");
    }

    #[test]
    fn without_a_source_the_embedded_lists_are_used() {
        let house = House::new(&[]);
        let outcome = Update {
            config: &house.config,
            from: None,
            fetch: None,
            feeds: false,
            force: false,
            owner: None,
        }
        .run(&mut |_| {})
        .expect("update");
        assert!(outcome.rows > 50);
    }
}
