//! Updates by the clock, for programs that run for long: sensor and server.
//!
//! A thread looks every [`LOOK`] whether an update is due (`UPDATE_PERIOD`, no file, newer own lists) and
//! runs it. One that failed is tried again after [`RETRY`] or the period, whichever is shorter. Another
//! process may update as well: the lock lets one through, and the others find nothing due any more.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use maltrail_core::config::TrailsConfig;

use crate::fetch::{Fetch, HttpFetch};
use crate::update::{Outcome, Update, UpdateError, summary};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after an update that failed.
const RETRY: Duration = Duration::from_secs(15 * 60);

/// What is updated.
#[derive(Clone, Debug)]
pub struct Job {
    /// Options of the configuration.
    pub config: TrailsConfig,
    /// Folder of the installation.
    pub root: PathBuf,
    /// `PROXY_ADDRESS`.
    pub proxy: Option<String>,
    /// Use no network.
    pub offline: bool,
}

impl Job {
    /// Runs an update when one is due.
    fn run_due(&self) -> Option<Result<Outcome, UpdateError>> {
        let mut update = Update {
            config: &self.config,
            root: &self.root,
            from: None,
            built_in: true,
            fetch: None,
            feeds: self.config.feed_updates && !self.offline,
            force: false,
            owner: None,
        };
        if !update.is_due() {
            return None;
        }
        let client = if self.offline {
            None
        } else {
            match HttpFetch::new(self.proxy.as_deref()) {
                Ok(client) => Some(client),
                Err(error) => return Some(Err(UpdateError::Client(error.to_string()))),
            }
        };
        update.fetch = client.as_ref().map(|client| client as &dyn Fetch);
        Some(update.run(&mut |_| {}))
    }
}

/// What the program's log should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An update was made.
    Done(String),
    /// Something failed.
    Trouble(String),
}

/// A running clock. Dropping it ends the thread after the update that it is at.
#[derive(Debug)]
pub struct Clock {
    _running: Sender<()>,
}

impl Clock {
    /// Starts the clock. `say` hears of each update, and once of a trouble that lasts.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(job: Job, mut say: impl FnMut(Said) + Send + 'static) -> io::Result<Self> {
        let (running, ended) = channel::<()>();
        std::thread::Builder::new()
            .name("update".to_owned())
            .spawn(move || {
                let retry = RETRY.min(Duration::from_secs(job.config.update_period_secs));
                let target = job.config.file.display().to_string();
                let mut not_before = Instant::now();
                let mut trouble = String::new();
                loop {
                    let started = Instant::now();
                    let result = (started >= not_before).then(|| job.run_due()).flatten();
                    match result {
                        None => {}
                        Some(Ok(outcome)) => {
                            trouble.clear();
                            let text = summary(&outcome, &target, started.elapsed());
                            outcome
                                .notes
                                .into_iter()
                                .for_each(|note| say(Said::Trouble(note)));
                            say(Said::Done(text));
                        }
                        // Another one updates: its result is taken.
                        Some(Err(UpdateError::Busy(_))) => {}
                        Some(Err(error)) => {
                            not_before = Instant::now() + retry;
                            let text = format!("the trails were not updated: {error}");
                            if text != trouble {
                                say(Said::Trouble(text.clone()));
                            }
                            trouble = text;
                        }
                    }
                    if ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })?;
        Ok(Self { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use maltrail_core::config::{Config, Environment};

    use super::*;

    #[test]
    fn it_updates_at_once_when_due_and_says_what_failed() {
        let root = tempfile::tempdir().expect("folder");
        let job = |file: &str| {
            let text = format!(
                "TRAILS_FILE {0}/{file}\nCUSTOM_TRAILS_DIR {0}/own\n",
                root.path().display()
            );
            let (config, _) = Config::parse(&text, "f", root.path(), &Environment::default())
                .expect("configuration");
            Job {
                config: config.trails,
                root: root.path().to_owned(),
                proxy: None,
                offline: true,
            }
        };
        fs::create_dir(root.path().join("own")).expect("folder");
        fs::write(root.path().join("own/mine.txt"), "mine.biz\n").expect("list");
        let (sender, heard) = channel();
        let first = sender.clone();
        let clock = Clock::start(job("trails.csv"), move |said| {
            let _ = first.send(said);
        });
        let clock = clock.expect("thread");
        let wait = Duration::from_secs(60);
        let said = heard.recv_timeout(wait).expect("in time");
        assert!(
            matches!(&said, Said::Done(text) if text.starts_with("trails stored to")),
            "{said:?}"
        );
        let text = fs::read_to_string(root.path().join("trails.csv")).expect("file");
        assert!(text.contains("mine.biz,mine,(custom)") && text.lines().count() > 50);
        drop(clock);
        fs::write(root.path().join("place"), "").expect("a file where a folder should be");
        let _clock = Clock::start(job("place/trails.csv"), move |said| {
            let _ = sender.send(said);
        });
        let said = heard.recv_timeout(wait).expect("in time");
        assert!(
            matches!(&said, Said::Trouble(text) if text.contains("place")),
            "{said:?}"
        );
    }
}
