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
use crate::update::{Outcome, Update, UpdateError, former_source};

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
        let from = former_source(&self.config.file);
        let mut update = Update {
            config: &self.config,
            root: &self.root,
            from: from.as_deref(),
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

/// A running clock. Dropping it ends the thread after the update that it is at.
#[derive(Debug)]
pub struct Clock {
    _running: Sender<()>,
}

impl Clock {
    /// Starts the clock. `told` hears of each update.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        job: Job,
        mut told: impl FnMut(Result<Outcome, UpdateError>, Duration) + Send + 'static,
    ) -> io::Result<Self> {
        let (running, ended) = channel::<()>();
        std::thread::Builder::new()
            .name("update".to_owned())
            .spawn(move || {
                let retry = RETRY.min(Duration::from_secs(job.config.update_period_secs));
                let mut not_before = Instant::now();
                loop {
                    if Instant::now() >= not_before {
                        let started = Instant::now();
                        if let Some(result) = job.run_due() {
                            if result.is_err() {
                                not_before = Instant::now() + retry;
                            }
                            told(result, started.elapsed());
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
        let told = sender.clone();
        let clock = Clock::start(job("trails.csv"), move |result, _| {
            told.send(
                result
                    .map(|outcome| outcome.rows)
                    .map_err(|error| error.to_string()),
            )
            .expect("heard");
        });
        let clock = clock.expect("thread");
        let wait = Duration::from_secs(60);
        let rows = heard.recv_timeout(wait).expect("in time").expect("built");
        assert!(rows > 50, "the built-in lists and the own one");
        let text = fs::read_to_string(root.path().join("trails.csv")).expect("file");
        assert!(text.contains("mine.biz,mine,(custom)"));
        drop(clock);
        fs::write(root.path().join("place"), "").expect("a file where a folder should be");
        let _clock = Clock::start(job("place/trails.csv"), move |result, _| {
            sender
                .send(
                    result
                        .map(|outcome| outcome.rows)
                        .map_err(|error| error.to_string()),
                )
                .expect("heard");
        });
        let error = heard
            .recv_timeout(wait)
            .expect("in time")
            .expect_err("no folder");
        assert!(error.contains("place"), "{error}");
    }
}
