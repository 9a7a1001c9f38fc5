//! New trails, whitelist and ignore rules while packets go on.
//!
//! ```text
//! SIGHUP ────────────────► read maltrail.conf ─┐
//! a file changed ─ settled for a second ───────┴► load ─ refuse │ hand over ─► worker swaps
//! ```
//!
//! A thread of its own looks once a second and loads; the worker only takes the new [`Lists`] between
//! packets. What cannot be read, is empty, or shrank below `TRAIL_RELOAD_MIN_RATIO` leaves the present
//! lists in force; that is said at once and again every [`REMIND`] while it lasts. Of the
//! configuration only what names or filters these lists is read anew; the rest needs a restart.
//! When the terminal that the sensor was started at is closed, SIGHUP is a clean end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use maltrail_core::config::{Config, Environment, Level};
use maltrail_core::trail::{TrailSet, Whitelist};
use tracing::{info, warn};

use crate::observables::StoreFeed;
use crate::trails::{self, Lists};
use crate::vitals::Vitals;

/// Pause between two looks at the trails file.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait of a hang-up.
const WAKE: Duration = Duration::from_millis(20);

/// Pause between two messages about the same trouble.
const REMIND: Duration = Duration::from_secs(60);

/// What SIGHUP sets.
pub(crate) struct Hangup {
    asked: Arc<AtomicBool>,
    /// Whether it was ignored when the sensor started.
    ignored: bool,
}

impl Hangup {
    /// Handles the signal from now on.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub(crate) fn handle() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = is_hangup_ignored(&status);
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&asked))?;
        Ok(Self { asked, ignored })
    }
}

/// Whether the mask of ignored signals has the first bit, which is SIGHUP.
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Whether this process has a terminal that is not closed.
fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// The worker's end: what was loaded. Dropping it ends the thread.
pub(crate) struct Reloads {
    fresh: Receiver<Lists>,
    _running: Sender<()>,
}

impl Reloads {
    /// The newest lists, once.
    #[inline]
    pub(crate) fn take(&self) -> Option<Lists> {
        self.fresh.try_recv().ok()
    }
}

/// What the thread owns.
pub(crate) struct Reloader {
    config_path: PathBuf,
    environment: Environment,
    config: Config,
    /// What the worker has.
    lists: Lists,
    /// The files that were looked at last, loaded or refused.
    stamps: Stamps,
    /// A change that may still go on.
    changing: Option<Stamps>,
    trouble: Trouble,
    vitals: Arc<Vitals>,
    /// What is pruned after each new set.
    store: Option<StoreFeed>,
}

impl Reloader {
    /// Begins with what was loaded at the start.
    pub(crate) fn new(
        config_path: PathBuf,
        environment: Environment,
        config: Config,
        lists: Lists,
        stamps: Stamps,
        vitals: Arc<Vitals>,
        store: Option<StoreFeed>,
    ) -> Self {
        Self {
            config_path,
            environment,
            config,
            lists,
            stamps,
            changing: None,
            trouble: Trouble::default(),
            vitals,
            store,
        }
    }

    /// Runs in a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn spawn(mut self, hangup: Hangup, stop: Arc<AtomicBool>) -> io::Result<Reloads> {
        // With SIGHUP ignored (nohup) the sensor is meant to outlive the terminal.
        let mut at_terminal = !hangup.ignored && has_terminal();
        // Without room: a send ends when the worker has taken the lists, so that what is said is true.
        let (sender, fresh) = bounded(0);
        let (running, ended) = bounded::<()>(0);
        std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                let mut looked = Instant::now();
                while ended.recv_timeout(WAKE) == Err(RecvTimeoutError::Timeout) {
                    let asked = hangup.asked.swap(false, Ordering::Relaxed);
                    if !asked && looked.elapsed() < LOOK {
                        continue;
                    }
                    looked = Instant::now();
                    // The signal also says that the terminal was closed: then nobody is left to stop it.
                    let was_there = at_terminal;
                    at_terminal = at_terminal && has_terminal();
                    if asked && was_there && !at_terminal {
                        stop.store(true, Ordering::Relaxed);
                        break;
                    }
                    let Some((lists, said)) = self.look(Instant::now(), asked) else {
                        continue;
                    };
                    let count = lists.trails.len() as u64;
                    if sender.send(lists).is_err() {
                        break;
                    }
                    let written = trails::written(&self.config.trails.file);
                    self.vitals.trails(|trails| {
                        trails.count = count;
                        trails.generation += 1;
                        trails.reloads += 1;
                        trails.written = written;
                    });
                    if let Some(store) = &self.store {
                        store.prune();
                    }
                    info!("{said}");
                }
            })?;
        Ok(Reloads {
            fresh,
            _running: running,
        })
    }

    /// One look: the lists to adopt, and what to say then.
    fn look(&mut self, now: Instant, asked: bool) -> Option<(Lists, String)> {
        if asked && let Err(error) = self.read_config() {
            self.trouble
                .say(now, true, &format!("nothing is reloaded: {error:#}"));
            return None;
        }
        let stamps = Stamps::of(&self.config);
        if !asked {
            if stamps == self.stamps {
                self.changing = None;
                self.trouble.remind(now);
                return None;
            }
            if self.changing.replace(stamps.clone()).as_ref() != Some(&stamps) {
                return None;
            }
        }
        self.changing = None;
        let before = std::mem::replace(&mut self.stamps, stamps);
        let gone = before.trails.is_some() && self.stamps.trails.is_none();
        // Lists are adopted whatever becomes of the trails.
        let asked = asked || before.lists != self.stamps.lists;
        self.load(now, asked, gone)
    }

    fn read_config(&mut self) -> anyhow::Result<()> {
        let (config, messages) = Config::load(&self.config_path, &self.environment)?;
        for message in messages
            .iter()
            .filter(|message| message.level != Level::Note)
        {
            warn!("{message}");
        }
        self.config = config;
        Ok(())
    }

    /// Loads what can be loaded. Without new trails nothing is adopted, unless it was `asked` for.
    fn load(&mut self, now: Instant, asked: bool, gone: bool) -> Option<(Lists, String)> {
        let started = Instant::now();
        let before = self.lists.trails.len();
        let mut lists = self.lists.clone();
        match trails::whitelist(&self.config) {
            Ok(whitelist) => lists.whitelist = Arc::new(whitelist),
            Err(error) => warn!("the present whitelist stays: {error:#}"),
        }
        if asked {
            match trails::ignore_rules(&self.config) {
                Ok(rules) => lists.ignore = Arc::new(rules),
                Err(error) => warn!("the present ignore rules stay: {error:#}"),
            }
        }
        match self.trails(&lists.whitelist, gone) {
            Ok(set) => {
                lists.trails = Arc::new(set);
                self.trouble.end();
            }
            Err(error) => {
                let text = format!("the present {before} trails stay: {error:#}");
                self.trouble.say(now, asked, &text);
                if !asked {
                    return None;
                }
            }
        }
        let said = format!(
            "reloaded: {} trails (before: {before}), {} whitelist entries, {} ignore rules{} in {:.2} s",
            lists.trails.len(),
            lists.whitelist.len(),
            lists.ignore.len(),
            if lists.ignore.has_expression() {
                " and an expression,"
            } else {
                ","
            },
            started.elapsed().as_secs_f64()
        );
        self.lists = lists.clone();
        Some((lists, said))
    }

    fn trails(&self, whitelist: &Whitelist, gone: bool) -> anyhow::Result<TrailSet> {
        let path = self.config.trails.file.display();
        let failed = |error| {
            self.vitals.trails(|trails| trails.failed += 1);
            error
        };
        let set = if gone {
            Err(anyhow!("the trails file `{path}` is gone"))
        } else {
            trails::trail_set(&self.config, whitelist).context("the new set is not used")
        };
        let set = set.map_err(failed)?;
        let (before, after) = (self.lists.trails.len(), set.len());
        let ratio = self.config.trails.reload_min_ratio;
        if (after as f64) < before as f64 * ratio {
            self.vitals.trails(|trails| trails.rejected += 1);
            bail!(
                "`{path}` has only {after}, below TRAIL_RELOAD_MIN_RATIO {ratio}; if that is right, set it to 0 and send SIGHUP"
            );
        }
        Ok(set)
    }
}

/// Tells one state of all files that are loaded from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// `TRAILS_FILE`.
    trails: Option<Stamp>,
    /// Whitelists and ignore rules.
    lists: Vec<Option<Stamp>>,
}

impl Stamps {
    /// The state now.
    pub(crate) fn of(config: &Config) -> Self {
        let lists = trails::list_paths(config);
        Self {
            trails: Stamp::of(&config.trails.file),
            lists: lists.iter().map(|path| Stamp::of(path)).collect(),
        }
    }
}

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl Stamp {
    /// `None` when there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            bytes: meta.len(),
        })
    }
}

/// Why the lists are not the newest, and when that was said.
#[derive(Debug, Default)]
struct Trouble {
    text: Option<String>,
    said: Option<Instant>,
}

impl Trouble {
    /// Says it, when `asked` at once, else at most every [`REMIND`]; whether it was said.
    fn say(&mut self, now: Instant, asked: bool, text: &str) -> bool {
        self.text = Some(text.to_owned());
        if asked {
            self.said = None;
        }
        self.remind(now)
    }

    /// Says it again when it is time; whether it was said.
    fn remind(&mut self, now: Instant) -> bool {
        let Some(text) = &self.text else { return false };
        if self
            .said
            .is_some_and(|said| now.duration_since(said) < REMIND)
        {
            return false;
        }
        warn!("{text}");
        self.said = Some(now);
        true
    }

    fn end(&mut self) {
        self.text = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        reloader: Reloader,
        now: Instant,
    }

    fn rows(count: usize) -> String {
        (0..count)
            .map(|row| format!("name{row}.com,x,r\n"))
            .collect()
    }

    fn scene(count: usize, more: &str) -> Scene {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("trails.csv"), rows(count)).expect("trails");
        let path = folder.path().join("maltrail.conf");
        let trails = folder.path().join("trails.csv");
        let config = format!("TRAILS_FILE {}\n{more}", trails.display());
        fs::write(&path, config).expect("configuration");
        let environment = Environment::default();
        let (config, _) = Config::load(&path, &environment).expect("valid");
        let stamps = Stamps::of(&config);
        let lists = trails::load(&config).expect("lists");
        Scene {
            folder,
            reloader: Reloader::new(path, environment, config, lists, stamps, vitals(), None),
            now: Instant::now(),
        }
    }

    fn vitals() -> Arc<Vitals> {
        Arc::new(Vitals::new(crate::vitals::Setup::default()))
    }

    impl Scene {
        /// Replaces a file as an updater does.
        fn put(&self, name: &str, text: &str) {
            let aside = self.folder.path().join("new");
            fs::write(&aside, text).expect("file");
            fs::rename(aside, self.folder.path().join(name)).expect("rename");
        }

        /// What is wrong is said with these words.
        #[track_caller]
        fn says(&self, words: &str) {
            let said = self.reloader.trouble.text.as_deref();
            assert!(said.is_some_and(|said| said.contains(words)), "{said:?}");
        }

        /// A look some seconds later; the number of trails when lists are to be adopted.
        fn look(&mut self, secs: u64, asked: bool) -> Option<usize> {
            self.now += Duration::from_secs(secs);
            let (lists, _) = self.reloader.look(self.now, asked)?;
            Some(lists.trails.len())
        }
    }

    #[test]
    fn a_changed_file_is_loaded_once_it_has_settled() {
        let mut scene = scene(4, "");
        assert_eq!(scene.look(1, false), None);
        scene.put("trails.csv", &rows(5));
        assert_eq!(scene.look(1, false), None);
        // Changed again meanwhile.
        scene.put("trails.csv", &rows(6));
        assert_eq!(scene.look(1, false), None);
        assert_eq!(scene.look(1, false), Some(6));
        assert_eq!(scene.look(1, false), None);
    }

    #[test]
    fn a_changed_list_is_taken_by_itself_whatever_becomes_of_the_trails() {
        let white = |scene: &Scene| scene.folder.path().join("white.txt").display().to_string();
        let mut scene = scene(4, "");
        let config = format!(
            "TRAILS_FILE {}\nUSER_WHITELIST {}\nUSER_IGNORELIST {}\n",
            scene.folder.path().join("trails.csv").display(),
            white(&scene),
            scene.folder.path().join("ignore.txt").display()
        );
        scene.put("white.txt", "");
        scene.put("ignore.txt", "");
        scene.put("maltrail.conf", &config);
        assert_eq!(scene.look(1, true), Some(4));
        scene.put("white.txt", "name1.com\n");
        assert_eq!(scene.look(1, false), None, "it may still be written");
        assert_eq!(scene.look(1, false), Some(3));
        scene.put("ignore.txt", "*;*;*;53\n");
        scene.put("trails.csv", "");
        scene.look(1, false);
        assert_eq!(scene.look(1, false), Some(3), "the trails stay");
        assert_eq!(scene.reloader.lists.ignore.len(), 1);
        // A list that is gone leaves the present one.
        fs::remove_file(scene.folder.path().join("white.txt")).expect("removed");
        scene.look(1, false);
        scene.look(1, false);
        assert!(scene.reloader.lists.whitelist.covers_name("name1.com"));
    }

    #[test]
    fn a_set_that_shrank_is_refused_until_the_ratio_allows_it() {
        let mut scene = scene(10, "");
        scene.put("trails.csv", &rows(4));
        assert_eq!(scene.look(1, false), None);
        assert_eq!(scene.look(1, false), None);
        scene.says("has only 4");
        assert_eq!(scene.reloader.lists.trails.len(), 10);
        // Half is enough.
        scene.put("trails.csv", &rows(5));
        scene.look(1, false);
        assert_eq!(scene.look(1, false), Some(5));
        assert_eq!(scene.reloader.trouble.text, None);
        // A request re-reads the ratio.
        scene.put("trails.csv", &rows(1));
        assert_eq!(scene.look(1, true), Some(5));
        let path = scene.folder.path().join("trails.csv");
        let config = format!("TRAILS_FILE {}\nTRAIL_RELOAD_MIN_RATIO 0\n", path.display());
        scene.put("maltrail.conf", &config);
        assert_eq!(scene.look(1, true), Some(1));
    }

    #[test]
    fn a_missing_unreadable_or_empty_file_leaves_the_set() {
        let mut scene = scene(3, "TRAIL_RELOAD_MIN_RATIO 0\n");
        let path = scene.folder.path().join("trails.csv");
        fs::remove_file(&path).expect("removed");
        scene.look(1, false);
        assert_eq!(scene.look(1, false), None);
        scene.says("is gone");
        // A folder can be opened, but not read.
        fs::create_dir(&path).expect("folder");
        scene.look(1, false);
        assert_eq!(scene.look(1, false), None);
        scene.says("cannot read");
        fs::remove_dir(&path).expect("removed");
        scene.put("trails.csv", "");
        scene.look(1, false);
        assert_eq!(scene.look(1, false), None);
        scene.says("holds no trail");
        assert_eq!(scene.reloader.lists.trails.len(), 3);
    }

    #[test]
    fn a_request_reads_whitelist_ignore_rules_and_expression_anew() {
        let mut scene = scene(4, "");
        assert!(scene.reloader.lists.ignore.is_empty());
        let inside = |name: &str| scene.folder.path().join(name).display().to_string();
        let config = format!(
            "TRAILS_FILE {}\nUSER_WHITELIST {}\nUSER_IGNORELIST {}\nIGNORE_EVENTS_REGEX x\n",
            inside("trails.csv"),
            inside("white.txt"),
            inside("ignore.txt")
        );
        scene.put("white.txt", "NAME1.com\n");
        scene.put("ignore.txt", "*;*;*;53\nnonsense\n");
        scene.put("maltrail.conf", &config);
        // The whitelisted row is left out.
        assert_eq!(scene.look(1, true), Some(3));
        let lists = &scene.reloader.lists;
        assert!(lists.whitelist.covers_name("name1.com"));
        assert_eq!(
            (lists.ignore.len(), lists.ignore.has_expression()),
            (1, true)
        );
    }

    #[test]
    fn a_configuration_with_a_mistake_changes_nothing() {
        let mut scene = scene(4, "");
        scene.put("trails.csv", &rows(5));
        fs::remove_file(scene.folder.path().join("maltrail.conf")).expect("removed");
        assert_eq!(scene.look(1, true), None);
        scene.says("nothing is reloaded");
        // The file is taken all the same when it has settled.
        scene.look(1, false);
        assert_eq!(scene.look(1, false), Some(5));
    }

    #[test]
    fn nohup_is_seen_in_the_mask_of_ignored_signals() {
        assert!(is_hangup_ignored("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!is_hangup_ignored("SigIgn:\t0000000000001000\n"));
        assert!(!is_hangup_ignored(""));
    }

    #[test]
    fn trouble_is_repeated_once_a_minute_while_it_lasts() {
        let mut trouble = Trouble::default();
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        assert!(!trouble.remind(start));
        assert!(trouble.say(start, false, "a"));
        assert!(!trouble.say(after(5), false, "b") && !trouble.remind(after(59)));
        assert!(trouble.say(after(30), true, "b"));
        assert!(!trouble.remind(after(89)) && trouble.remind(after(90)));
        trouble.end();
        assert!(!trouble.remind(after(900)));
    }
}
