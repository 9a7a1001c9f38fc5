//! One run of the sensor, from the configuration to the summary.
//!
//! Order: what may fail for the operator's sake is opened first; then root is left; only then do
//! threads start, so that all of them have the same rights; then packets come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use maltrail_core::addr::NetworkSet;
use maltrail_core::config::{Config, Environment};
use maltrail_core::time::Timestamp;
use maltrail_engine::{Dispatcher, Engine, EngineConfig, Merger, Policy, PolicyConfig, Steering};
use tracing::{info, warn};

use crate::capture::live::{self as interfaces, CAPTURE_RIGHT, Interface, Opener, may_capture};
use crate::cli::Cli;
use crate::console::{self, complain, say};
use crate::live;
use crate::observables::{Store, StoreFeed, StoreThread};
use crate::offline::{Alone, Replay, Taker, Team};
use crate::outbox::{Outbox, Pace};
use crate::post::Post;
use crate::privileges::{self, Identity};
use crate::reload::{Hangup, Reloader, Stamps};
use crate::selftest::{self, Switches, Tally};
use crate::sinks::{SinkWatch, Sinks};
use crate::summary::{self, Ran};
use crate::trails::{self, Lists};
use crate::update;
use crate::vitals::heartbeat::Heart;
use crate::vitals::stats::StatsServer;
use crate::vitals::{EndpointVitals, ObservableVitals, Setup, SinkVitals, Vitals, metrics};

/// How long the store may take for its last window.
const STORE_END: Duration = Duration::from_secs(10);

/// What a run is told.
pub(crate) struct Run<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) config_path: &'a Path,
    pub(crate) environment: Environment,
    pub(crate) config: &'a Config,
    pub(crate) files: &'a [PathBuf],
}

/// What all workers share.
struct Detection {
    config: EngineConfig,
    home: Arc<NetworkSet>,
    lists: Lists,
    workers: usize,
    stores: bool,
}

impl Detection {
    fn load(config: &Config, environment: &Environment) -> anyhow::Result<Self> {
        // Both take tens of milliseconds, and the first packet waits for both.
        let (lists, user_agents) = std::thread::scope(|scope| {
            let compiling = scope.spawn(|| trails::user_agents(config));
            let lists = trails::load(config);
            (lists, compiling.join())
        });
        let lists = lists?;
        let user_agents =
            user_agents.map_err(|_| anyhow::anyhow!("the user agents could not be compiled"))??;
        if !lists.ignore.is_empty() {
            info!(
                "ignored: events by {} rules{}",
                lists.ignore.len(),
                if lists.ignore.has_expression() {
                    " and IGNORE_EVENTS_REGEX"
                } else {
                    ""
                }
            );
        }
        let home = interfaces::home_networks(config);
        Ok(Self {
            config: EngineConfig {
                sensor: config.detect.sensor_name.clone(),
                detect: config.detect.clone(),
                home: home.clone(),
                user_agents: Arc::new(user_agents),
            },
            home: Arc::new(home),
            lists,
            workers: config.capture.workers.count(environment.cores),
            stores: config.output.condensed_store && !config.output.disable_local,
        })
    }

    fn alone(&self) -> Engine {
        let (trails, whitelist) = (&self.lists.trails, &self.lists.whitelist);
        let mut engine = Engine::new(
            self.config.clone(),
            Arc::clone(trails),
            Arc::clone(whitelist),
        );
        if self.stores {
            engine.watch();
        }
        engine
    }

    fn scout(&self, workers: usize) -> Engine {
        let (trails, whitelist) = (&self.lists.trails, &self.lists.whitelist);
        let mut engine = Engine::scout(
            self.config.clone(),
            Arc::clone(trails),
            Arc::clone(whitelist),
            workers,
        );
        if self.stores {
            engine.watch();
        }
        engine
    }

    fn merger(&self) -> Merger {
        Merger::new(self.config.clone(), Arc::clone(&self.lists.whitelist))
    }

    fn policy(&self, config: &Config, workers: usize) -> Policy {
        let output = &config.output;
        Policy::new(
            PolicyConfig {
                throttle: output.throttle,
                window_secs: output.throttle_window_secs,
                burst: output.throttle_burst,
                max_keys: output.throttle_max_keys,
                workers: u32::try_from(workers).unwrap_or(u32::MAX),
            },
            Arc::clone(&self.lists.ignore),
        )
    }
}

impl Run<'_> {
    /// Detects in the files, or live when there are none.
    ///
    /// # Errors
    /// When something that detection needs is missing, or a capture fails.
    pub(crate) fn sense(self) -> anyhow::Result<()> {
        for file in self.files.iter().filter(|file| *file != Path::new("-")) {
            anyhow::ensure!(
                file.exists(),
                "there is no capture file `{}`",
                file.display()
            );
        }
        let live = self.files.is_empty();
        if live && !self.config.disable_check_sudo && !may_capture() {
            complain("no right to capture packets", Some(CAPTURE_RIGHT));
            anyhow::bail!("nothing is captured (-r FILE reads a capture without any right)");
        }
        let sinks = Sinks::open(self.config, self.cli.console || self.cli.debug)?;
        if !self.config.output.disable_local {
            say(&format!(
                "[i] using '{}' for log storage",
                self.config.log_dir.display()
            ));
        }
        if live {
            self.capture(sinks)
        } else {
            self.replay(sinks)
        }
    }

    fn replay(self, sinks: Sinks) -> anyhow::Result<()> {
        let started = Instant::now();
        self.keep_error_log();
        let detection = Detection::load(self.config, &self.environment)?;
        let workers = detection.workers;
        let stop = stop_flag()?;
        let pace = match self.cli.speed {
            Some(_) => Pace::Clock,
            None => Pace::Packets,
        };
        let store = self.store(&detection)?;
        let feed = store.as_ref().map(StoreThread::feed);
        let vitals = Arc::new(Vitals::new(Setup::default()));
        let policy = detection.policy(self.config, workers);
        let outbox = Outbox::new(policy, sinks.spawn()?, vitals, pace);
        let mut taker: Box<dyn Taker> = if workers == 1 {
            Box::new(Alone::new(detection.alone(), outbox, feed))
        } else {
            let engines = (0..workers).map(|_| detection.scout(workers)).collect();
            let steering = Steering::new(detection.config.home.clone(), workers);
            Box::new(
                Team::start(
                    engines,
                    Dispatcher::new(steering),
                    detection.merger(),
                    outbox,
                    feed.as_ref(),
                )
                .context("cannot start the workers")?,
            )
        };
        let replay = Replay {
            timestamps: self.config.capture.timestamps,
            speed: self.cli.speed,
            filter: self.cli.filter.as_deref(),
            snaplen: self.config.capture.snaplen as usize,
            stop: &stop,
        };
        let (replayed, result) = replay.run(self.files, &mut *taker);
        let (counters, outbox) = taker.finish(replayed.last());
        let sent = outbox.finish();
        end_store(store);
        let mut ran = Ran {
            packets: replayed.packets,
            filtered: replayed.filtered,
            ..Ran::new(started, &sent)
        };
        counters.iter().for_each(|one| ran.engine.add(one));
        summary::print(&ran, self.cli.quiet);
        result
    }

    fn capture(self, sinks: Sinks) -> anyhow::Result<()> {
        let started = Instant::now();
        let hangup = Hangup::handle().context("cannot handle SIGHUP")?;
        let stop = stop_flag()?;
        let stamps = Stamps::of(self.config);
        let detection = Detection::load(self.config, &self.environment)?;
        let mut capture = self.config.capture.clone();
        if let Some(filter) = &self.cli.filter {
            capture.filter.clone_from(filter);
        }
        let mut opener = Opener::new(&capture, &detection.home, detection.workers);
        let teams = opener.open_all()?;
        say_interfaces(&teams, &capture.filter);
        self.leave_root(&detection)?;
        self.keep_error_log();
        let workers = teams.len();
        let mut setup = Setup::new(self.config, workers, Timestamp::now());
        setup.filtered = !capture.filter.is_empty();
        let vitals = Arc::new(Vitals::new(setup));
        describe_trails(&vitals, &detection.lists, &self.config.trails.file);
        let store = self.store(&detection)?;
        let feed = store.as_ref().map(StoreThread::feed);
        let thread = sinks.spawn()?;
        let watch = thread.watch();
        let policy = detection.policy(self.config, workers);
        let mut outbox = Outbox::new(policy, thread, Arc::clone(&vitals), Pace::Clock);
        let posts = teams.into_iter().enumerate().map(|(index, interfaces)| {
            let (home, vitals) = (&detection.home, Arc::clone(&vitals));
            let timeout = capture.timeout_ms;
            Post::new(
                index,
                opener.clone(),
                interfaces,
                home,
                vitals,
                feed.clone(),
                timeout,
            )
        });
        let mut posts: Vec<Post> = posts.collect();
        let reloads = Reloader::new(
            self.config_path.to_owned(),
            self.environment.clone(),
            self.config.clone(),
            detection.lists.clone(),
            stamps,
            Arc::clone(&vitals),
            feed.clone(),
        )
        .spawn(hangup, Arc::clone(&stop))?;
        let stats = self.stats_server(&vitals, watch.clone(), feed.clone());
        let beating = self.heart(&vitals, watch, feed).spawn()?;
        let clock = update::by_the_clock(self.config, self.cli.offline);
        info!("running...");
        let result = match (posts.pop(), posts.is_empty()) {
            (Some(post), true) => {
                let mut engine = detection.alone();
                live::alone(post, &mut engine, &mut outbox, &reloads, &stop);
                Ok(())
            }
            (last, _) => {
                posts.extend(last);
                let crew = posts
                    .into_iter()
                    .map(|post| (post, detection.scout(workers)))
                    .collect();
                let merger = detection.merger();
                live::team(crew, merger, &mut outbox, &reloads, &vitals, &stop)
            }
        };
        drop((beating, stats, clock));
        let sent = outbox.finish();
        end_store(store);
        let snapshot = vitals.snapshot(Timestamp::now());
        let ran = Ran {
            packets: snapshot.packets(),
            kernel_drops: snapshot.dropped(),
            engine: snapshot.engine,
            ..Ran::new(started, &sent)
        };
        summary::print(&ran, self.cli.quiet);
        result
    }

    /// Gives up what is not needed any more.
    fn leave_root(&self, detection: &Detection) -> anyhow::Result<()> {
        let log_dir = (!self.config.output.disable_local).then_some(&*self.config.log_dir);
        let run_as = self.config.capture.run_as.as_deref();
        let sudo_uid = self.environment.variables.get("SUDO_UID");
        let identity = Identity::choose(run_as, log_dir, sudo_uid.map(String::as_str))?;
        let Some(identity) = identity else {
            return privileges::keep_capture_right();
        };
        if let Some(folder) = log_dir {
            identity.own_logs(folder)?;
        }
        identity.leave_root()?;
        info!(
            "now user `{}`, with no right but to capture (RUN_AS names another)",
            identity.name()
        );
        if let Some(folder) = log_dir {
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).with_context(|| {
                format!(
                    "user `{}` cannot write into LOG_DIR `{}`: give it the folder, or name another user in RUN_AS",
                    identity.name(),
                    folder.display()
                )
            })?;
        }
        let file = &self.config.trails.file;
        if !detection.lists.trails.is_empty()
            && std::fs::File::open(file)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        {
            warn!(
                "user `{}` cannot read `{}`: the trails in use stay until a restart; a TRAILS_FILE that it may read, \
                 such as /var/lib/maltrail/trails.csv, is taken while the sensor runs",
                identity.name(),
                file.display()
            );
        }
        Ok(())
    }

    fn keep_error_log(&self) {
        if !self.config.output.disable_local {
            console::log_errors_to(&self.config.log_dir);
        }
    }

    /// The store of what was seen. One that cannot be used is worth a warning.
    fn store(&self, detection: &Detection) -> anyhow::Result<Option<StoreThread>> {
        if !detection.stores {
            return Ok(None);
        }
        let path = self.config.log_dir.join("meta.sqlite");
        match Store::open(&path) {
            Ok(store) => Ok(Some(StoreThread::spawn(store)?)),
            Err(error) => {
                warn!("what is seen is not stored: {error}");
                Ok(None)
            }
        }
    }

    fn stats_server(
        &self,
        vitals: &Arc<Vitals>,
        sinks: SinkWatch,
        store: Option<StoreFeed>,
    ) -> Option<StatsServer> {
        let address = self.config.output.stats_address?;
        let vitals = Arc::clone(vitals);
        let file = self.config.trails.file.clone();
        StatsServer::start(address, move || {
            refresh(&vitals, &file, &sinks, store.as_ref());
            metrics::text(&vitals.snapshot(Timestamp::now()))
        })
    }

    fn heart(&self, vitals: &Arc<Vitals>, sinks: SinkWatch, store: Option<StoreFeed>) -> Heart {
        let watch = sinks.clone();
        let switches = Switches::of(self.config);
        let file = self.config.trails.file.clone();
        Heart {
            vitals: Arc::clone(vitals),
            line_secs: self.config.output.metrics_interval_secs,
            refresh: Box::new(move |vitals| refresh(vitals, &file, &watch, store.as_ref())),
            send: Box::new(move |object| sinks.beat(object)),
            selftest: Some(Box::new(move || Tally::of(&selftest::run(&switches)))),
        }
    }
}

/// Brings numbers up to date that others hold.
fn refresh(vitals: &Vitals, trails_file: &Path, sinks: &SinkWatch, store: Option<&StoreFeed>) {
    let (written, feeds) = (trails::written(trails_file), trails::feeds(trails_file));
    vitals.trails(|trails| (trails.written, trails.feeds) = (written, feeds));
    let facts = sinks.facts();
    let endpoint = |one: crate::sinks::EndpointFacts| EndpointVitals {
        name: format!("{} {}", one.option, one.address),
        sent: one.sent,
        lost: one.lost,
    };
    vitals.sinks(SinkVitals {
        written: facts.written,
        failed: facts.failed,
        dropped: facts.dropped,
        endpoints: facts.receivers.into_iter().map(endpoint).collect(),
    });
    if let Some(store) = store {
        let counters = store.counters();
        vitals.observables(ObservableVitals {
            merged: counters.rows_merged.load(Ordering::Relaxed),
            flush_errors: counters.flush_errors.load(Ordering::Relaxed)
                + counters.windows_lost.load(Ordering::Relaxed),
        });
    }
}

/// What the metrics say about the first trail set.
fn describe_trails(vitals: &Vitals, lists: &Lists, file: &Path) {
    vitals.trails(|trails| {
        trails.count = lists.trails.len() as u64;
        trails.written = trails::written(file);
    });
}

fn end_store(store: Option<StoreThread>) {
    if let Some(store) = store
        && !store.finish(STORE_END)
    {
        warn!("the last of what was seen is not in meta.sqlite: it was too slow");
    }
}

fn say_interfaces(teams: &[Vec<Interface>], filter: &str) {
    for interface in teams.first().into_iter().flatten() {
        info!(
            "capturing on `{}` (link type {})",
            interface.name(),
            interface.link().0
        );
    }
    if !filter.is_empty() {
        info!("filter: {filter}");
    }
    info!("workers: {}", teams.len());
}

/// Set by SIGINT and SIGTERM. A second signal ends the program at once.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_shutdown(*signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(*signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
