//! The program from arguments to exit code: the only place that knows all parts.
//!
//! Exit codes: 0 for a normal end, also by SIGINT or SIGTERM, and for `--help`, `--version` and a
//! passed `-T`; 1 for everything that keeps the sensor from doing its work. Commands that answer a question say
//! themselves what 0 and 1 mean, and end with 2 when there is no answer.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use maltrail_core::config::{Config, Environment, Level, Message, TimestampSource};
use maltrail_feeds::lint;
use tracing::{info, warn};

use crate::cli::{Cli, Command, LintLevel, Timestamps};
use crate::commands;
use crate::console::{self, Verbosity, complain, say};
use crate::selftest::{self, Switches};
use crate::sense::Run;
use crate::{selfcheck, update};

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
            // Commands that answer a question need 1 for an answer.
            match cli.command {
                Some(Command::Explain { .. } | Command::Lint { .. } | Command::Trails { .. }) => {
                    ExitCode::from(2)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<bool> {
    let environment = Environment::of_process();
    let path = Config::locate(cli.config.as_deref(), &environment);
    let (mut config, messages) = Config::load(&path, &environment)?;
    if let Some(Command::Update {
        from,
        rollback,
        force,
        json,
        verbose,
        offline,
    }) = &cli.command
    {
        show(&messages, cli.test);
        let request = update::Request {
            from: from.as_deref(),
            rollback: *rollback,
            offline: *offline || cli.offline,
            force: *force,
            json: *json,
            verbose: *verbose,
            quiet: cli.quiet,
        };
        update::run(&config, &environment, &request)?;
        return Ok(true);
    }
    if let Some(Command::Explain { indicator, json }) = &cli.command {
        return commands::explain::run(&config, &environment, indicator, *json);
    }
    if let Some(Command::Lint { files, level, json }) = &cli.command {
        let request = commands::lint::Request {
            files,
            least: match level {
                LintLevel::Note => lint::Level::Note,
                LintLevel::Warning => lint::Level::Warning,
                LintLevel::Error => lint::Level::Error,
            },
            json: *json,
        };
        return commands::lint::run(&config, &request);
    }
    if let Some(Command::Trails { command }) = &cli.command {
        return commands::trails::run(&config, &environment, command);
    }
    if let Some(Command::Selftest { json, list, names }) = &cli.command {
        show(&messages, true);
        let request = selftest::Request {
            json: *json,
            list: *list,
            names,
        };
        return selftest::main(&Switches::of(&config), &request);
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
    let run = Run {
        cli,
        config_path: &path,
        environment,
        config: &config,
        files: &files,
    };
    run.sense()?;
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
