//! The program from arguments to exit code: the only place that knows all parts.
//!
//! Exit codes: 0 for a normal end, also by SIGINT or SIGTERM, and for `--help`, `--version` and a
//! passed `-T`; 1 for everything that keeps the sensor from doing its work.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser as _;
use maltrail_core::addr::{NetworkSet, parse_net};
use maltrail_core::config::{Config, Environment, Level, Message, Origin, TimestampSource};
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{Engine, EngineConfig, IgnoreRules, Ignored};
use tracing::{info, warn};

use crate::capture::live::{self as interfaces, CAPTURE_RIGHT, InterfaceStats, may_capture};
use crate::cli::{Cli, Command, Timestamps};
use crate::console::{self, Verbosity, complain, say};
use crate::offline::Replay;
use crate::reload::{Hangup, Reloader, Stamp};
use crate::sinks::{SinkCounters, SinkThread, Sinks};
use crate::{live, selfcheck, trails, update};

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) packets: u64,
    /// Packets that the filter of the command line left out.
    pub(crate) filtered: u64,
    pub(crate) events: u64,
    /// Events that ignore rules dropped, and those kept because the search in them gave up.
    pub(crate) ignored: Ignored,
    /// Packets that the kernel dropped.
    pub(crate) kernel_drops: u64,
    /// Time of the last packet.
    pub(crate) last: Timestamp,
}

impl Totals {
    pub(crate) const fn add_stats(&mut self, stats: &InterfaceStats) {
        self.kernel_drops += stats.dropped;
    }

    /// Drops what is ignored and counts the rest as events.
    pub(crate) fn admit(&mut self, rules: &IgnoreRules, events: &mut Vec<Event>) {
        let ignored = rules.retain(events);
        self.ignored.events += ignored.events;
        self.ignored.gave_up += ignored.gave_up;
        self.events += events.len() as u64;
    }
}

/// Runs the sensor with these arguments.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // compat: a wrong option ends with 1, as it did in older sensors.
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    console::init(match (&cli, cli.debug) {
        (_, true) => Verbosity::Debug,
        (cli, _) if cli.quiet || cli.command.is_some() => Verbosity::Quiet,
        _ => Verbosity::Normal,
    });
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"), None);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<bool> {
    let environment = Environment::of_process();
    let path = config_path(cli.config.as_deref(), &environment);
    let (mut config, messages) = Config::load(&path, &environment)?;
    if let Some(Command::Update {
        from,
        force,
        json,
        verbose,
        offline,
    }) = &cli.command
    {
        show(&messages, cli.test);
        let request = update::Request {
            from: from.as_deref(),
            offline: *offline || cli.offline,
            force: *force,
            json: *json,
            verbose: *verbose,
            quiet: cli.quiet,
        };
        update::run(&config, &environment, &request)?;
        return Ok(true);
    }
    if !cli.test {
        say(&format!("Maltrail (sensor) #v{}", maltrail_core::VERSION));
    }
    say(&format!(
        "[i] using configuration file '{}'",
        path.display()
    ));
    if cli.test {
        return Ok(selfcheck::run(&config, &messages));
    }
    show(&messages, false);
    match cli.timestamps {
        Some(Timestamps::Pcap) => config.capture.timestamps = TimestampSource::Pcap,
        Some(Timestamps::Wallclock) => config.capture.timestamps = TimestampSource::WallClock,
        None => {}
    }
    let mut files = cli.read.clone();
    if !cli.read_old.is_empty() {
        complain("option -i is now called -r", None);
        files.extend(cli.read_old.iter().cloned());
    }
    sense(cli, &path, environment, &config, &files)?;
    Ok(true)
}

fn show(messages: &[Message], quiet: bool) {
    for message in messages {
        match message.level {
            Level::Note if quiet => {}
            Level::Note => info!("{message}"),
            _ => warn!("{message}"),
        }
    }
}

/// Detects in `files`, or live when there are none.
fn sense(
    cli: &Cli,
    config_path: &Path,
    environment: Environment,
    config: &Config,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    for file in files.iter().filter(|file| *file != Path::new("-")) {
        anyhow::ensure!(
            file.exists(),
            "there is no capture file `{}`",
            file.display()
        );
    }
    if files.is_empty() && !config.disable_check_sudo && !may_capture() {
        complain("no right to capture packets", Some(CAPTURE_RIGHT));
        anyhow::bail!("nothing is captured (-r FILE reads a capture without any right)");
    }
    let sinks = Sinks::open(config, cli.console || cli.debug)?;
    if !config.output.disable_local {
        say(&format!(
            "[i] using '{}' for log storage",
            config.log_dir.display()
        ));
    }
    // A replay reads its lists once; a hang-up ends it.
    let hangup = files
        .is_empty()
        .then(Hangup::handle)
        .transpose()
        .context("cannot handle SIGHUP")?;
    let stamp = Stamp::of(&config.trails.file);
    let lists = trails::load(config)?;
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
    let mut engine = Engine::new(
        EngineConfig {
            sensor: config.detect.sensor_name.clone(),
            detect: config.detect.clone(),
            home: home_networks(config),
            user_agents: Arc::new(trails::user_agents(config)?),
        },
        Arc::clone(&lists.trails),
        Arc::clone(&lists.whitelist),
    );
    let stop = stop_flag()?;
    let started = Instant::now();
    let mut totals = Totals::default();
    let thread: SinkThread;
    let result = if let Some(hangup) = hangup {
        let mut capture = config.capture.clone();
        if let Some(filter) = &cli.filter {
            capture.filter.clone_from(filter);
        }
        let open = interfaces::open(&capture)?;
        for interface in &open {
            info!(
                "capturing on `{}` (link type {})",
                interface.name(),
                interface.link().0
            );
        }
        if !capture.filter.is_empty() {
            info!("filter: {}", capture.filter);
        }
        thread = sinks.spawn()?;
        let ignore = Arc::clone(&lists.ignore);
        let reloader = Reloader::new(
            config_path.to_owned(),
            environment,
            config.clone(),
            lists,
            stamp,
        );
        let reloads = reloader.spawn(hangup, Arc::clone(&stop))?;
        info!("running...");
        let worker = live::Worker {
            engine: &mut engine,
            sinks: &thread,
            reloads: &reloads,
            ignore,
            stop: &stop,
        };
        worker.run(open, &mut totals)
    } else {
        thread = sinks.spawn()?;
        let replay = Replay {
            timestamps: config.capture.timestamps,
            speed: cli.speed,
            filter: cli.filter.as_deref(),
            snaplen: config.capture.snaplen as usize,
            ignore: &lists.ignore,
            stop: &stop,
        };
        replay.run(files, &mut engine, &thread, &mut totals)
    };
    let counters = thread.finish();
    summary(&totals, &engine, &counters, started, cli.quiet);
    result
}

/// HOME_NETWORKS; when it is not set, with the networks of this machine's interfaces.
fn home_networks(config: &Config) -> NetworkSet {
    if config.settings.origin("HOME_NETWORKS") != Origin::Default {
        return config.home_networks.clone();
    }
    let listed = config.settings.words("HOME_NETWORKS");
    NetworkSet::new(
        listed
            .iter()
            .filter_map(|word| parse_net(word))
            .chain(interfaces::interface_networks()),
    )
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

fn summary(totals: &Totals, engine: &Engine, sinks: &SinkCounters, started: Instant, quiet: bool) {
    let secs = started.elapsed().as_secs_f64();
    if !quiet {
        let rate = totals.packets as f64 / secs.max(1e-9);
        say(&format!(
            "[i] {} packets in {secs:.2} s ({rate:.0} a second), {} events",
            totals.packets, totals.events
        ));
        if totals.ignored.events > 0 {
            say(&format!("[i] ignored {} events", totals.ignored.events));
        }
        let counts: Vec<String> = engine
            .counters()
            .iter()
            .filter(|(_, value)| *value > 0)
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if !counts.is_empty() {
            say(&format!("[i] counters: {}", counts.join(", ")));
        }
    }
    if totals.filtered > 0 {
        info!("{} packets were left out by the filter", totals.filtered);
    }
    let lost = [
        (totals.kernel_drops, "packets dropped by the kernel"),
        (
            totals.ignored.gave_up,
            "events in which the search of IGNORE_EVENTS_REGEX gave up (they were kept)",
        ),
        (
            sinks.dropped.load(Ordering::Relaxed),
            "events dropped because the sinks were too slow",
        ),
        (
            sinks.failed.load(Ordering::Relaxed),
            "events that the log file could not take",
        ),
        (
            sinks.unsent.load(Ordering::Relaxed),
            "events that LOG_SERVER did not get",
        ),
    ];
    for (count, what) in lost.into_iter().filter(|(count, _)| *count > 0) {
        warn!("{count} {what}");
    }
    if !quiet {
        let at = maltrail_core::time::Zone::local();
        let mut text = String::new();
        at.write_log_time(Timestamp::now(), &mut text);
        say(&format!("[*] ending @ {}", text.get(..19).unwrap_or(&text)));
    }
}

/// `-c`, else `$MALTRAIL_CONFIG`, else `maltrail.conf` beside the program or above it, else here.
fn config_path(given: Option<&Path>, environment: &Environment) -> PathBuf {
    if let Some(path) = given {
        return path.to_owned();
    }
    if let Some(path) = environment
        .variables
        .get("MALTRAIL_CONFIG")
        .filter(|path| !path.is_empty())
    {
        return path.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("maltrail.conf"))
        .find(|path| path.is_file());
    beside.unwrap_or_else(|| PathBuf::from("maltrail.conf"))
}
