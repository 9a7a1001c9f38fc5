//! Alerts: a POST to `ALERT_WEBHOOK_URL` about threats of at least `ALERT_SEVERITY`.
//!
//! ```text
//! index ─► watch (thread) ─► queue (state.sqlite) ─► send (thread) ─► ALERT_WEBHOOK_URL
//! ```
//!
//! Both threads only read what others made and keep nobody waiting: the intake and queries do not know of them.

mod fields;
mod form;
pub(crate) mod queue;
mod send;
mod template;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use maltrail_core::config::Config;
use maltrail_core::event::Severity;
use reqwest::Url;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::store::Store;
use form::Form;
use queue::{Listed, Queue};
use send::{Sender, Target};
use watch::{Rules, Watcher};

/// How long a stop waits for an attempt that is under way.
const GRACE: Duration = Duration::from_secs(3);

/// The alerts of a server.
#[derive(Debug)]
pub(crate) struct Alerts {
    queue: Arc<Queue>,
    rules: Rules,
    /// `None` when alerts are off, or cannot work.
    target: Option<Target>,
    problem: Option<String>,
}

/// What is wrong with the options of alerts; `None` when they can work or are off.
pub(crate) fn problem(config: &Config) -> Option<String> {
    target(config).err()
}

fn target(config: &Config) -> Result<Option<Target>, String> {
    let text = |name| config.settings.text(name).map(str::trim);
    let Some(url) = text("ALERT_WEBHOOK_URL").filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let url = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("ALERT_WEBHOOK_URL is no http:// or https:// address; no alert is sent")?;
    let form = Form::read(text("ALERT_FORMAT"), &url)
        .map_err(|error| format!("ALERT_FORMAT {error}; no alert is sent until it is corrected"))?;
    Ok(Some(Target {
        url,
        form,
        proxy: config.proxy.clone(),
    }))
}

impl Alerts {
    /// Opens the queue in the state file, which is there already.
    pub(crate) fn open(config: &Config, state_file: &Path) -> rusqlite::Result<Self> {
        let queue = Arc::new(Queue::open(state_file)?);
        let (target, problem) = match target(config) {
            Ok(target) => (target, None),
            Err(problem) => (None, Some(problem)),
        };
        if target.is_none() && problem.is_none() {
            queue.begin_anew()?;
        }
        let text = |name| config.settings.text(name).map(str::trim);
        let threshold = match text("ALERT_SEVERITY")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("low") => Severity::Low,
            Some("medium") => Severity::Medium,
            _ => Severity::High,
        };
        let throttle: i64 = text("ALERT_THROTTLE")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            queue,
            rules: Rules {
                threshold,
                throttle: throttle.max(0).saturating_mul(1_000_000),
                severity: text("REMOTE_SEVERITY_REGEX")
                    .is_some_and(|text| !text.is_empty())
                    .then(|| config.output.remote_severity.clone()),
            },
            target,
            problem,
        })
    }

    /// Starts the threads; none when alerts are off.
    pub(crate) fn start(&self, store: &Store, desk: &Arc<Desk>) -> anyhow::Result<Working> {
        let mut threads = Vec::new();
        if let Some(target) = &self.target {
            let queue = Arc::clone(&self.queue);
            let rules = self.rules.clone();
            let watcher = Watcher::new(store.clone(), Arc::clone(desk), queue, rules)?;
            let sender = Sender::new(Arc::clone(&self.queue), target.clone());
            let spawn = |name: &str| std::thread::Builder::new().name(name.into());
            threads.push(spawn("alerts").spawn(move || watcher.run())?);
            threads.push(spawn("alerts-send").spawn(move || sender.run())?);
        }
        Ok(Working {
            queue: Arc::clone(&self.queue),
            threads,
        })
    }

    /// For the health page. `all`: with what names the configuration.
    pub(crate) fn health(&self, all: bool) -> Value {
        let mut health = serde_json::to_value(&self.queue.counters).unwrap_or_default();
        health["on"] = json!(self.target.is_some());
        health["problem"] = json!(self.problem.as_ref().filter(|_| all));
        health["capacity"] = json!(queue::CAPACITY);
        health
    }

    /// Waiting and undeliverable alerts, newest first.
    pub(crate) fn list(&self, before: Option<i64>, limit: usize) -> rusqlite::Result<Vec<Listed>> {
        self.queue.list(before, limit)
    }
}

/// The running threads. Dropping it asks them to end without waiting.
#[derive(Debug)]
pub(crate) struct Working {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Working {
    /// Asks the threads to end and waits a little.
    pub(crate) async fn stop(mut self) {
        self.queue.stop();
        let deadline = Instant::now() + GRACE;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.queue.stop();
    }
}
