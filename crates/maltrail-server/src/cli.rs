//! The command line: arguments, messages on the console, exit codes.
//!
//! Exit codes: 0 after a clean stop, 1 when something cannot be started or done, 2 for arguments
//! that cannot be understood.

use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use maltrail_core::config::{Config, Environment, SslMode};
use maltrail_core::time::{Timestamp, Zone};
use tracing_subscriber::EnvFilter;

use crate::app::{App, AppOptions, warnings};
pub use crate::args::Args;
use crate::args::Command;
use crate::auth::console;
use crate::commands;

/// Open files asked for at the start.
const OPEN_FILES: u64 = 65_000;

/// Runs the program.
pub fn main(args: Args) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("[!] {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let path = Config::locate(args.config.as_deref(), &environment);
    let (config, messages) = Config::load(&path, &environment)?;
    start_log(args.debug || config.show_debug);
    for message in messages {
        complain(&format!("[?] {message}"));
    }
    match args.command {
        Some(Command::Passwd { user }) => passwd(&config, &user),
        Some(Command::Reindex) => reindex(&config),
        Some(Command::Role { user, role }) => commands::role(&config, &user, &role),
        Some(Command::Token(command)) => commands::token(&config, command),
        None => serve(config, args, &path),
    }
}

/// Asks for as many open files as the system allows: each connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit
        .maximum
        .map(|most| most.min(OPEN_FILES))
        .or(Some(OPEN_FILES));
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

fn serve(config: Config, args: Args, path: &Path) -> anyhow::Result<()> {
    say(&format!("Maltrail (server) #v{}", maltrail_core::VERSION));
    say(&format!(
        "[i] using configuration file '{}'",
        path.display()
    ));
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let options = AppOptions {
            html: args.html,
            keep_default_password: args.keep_default_password,
            zone: Zone::local(),
        };
        let signal = stop_signal()?;
        let app = App::start(config.clone(), options).await?;
        say(&format!("[i] using '{}' for log storage", config.log_dir.display()));
        if let Some(address) = app.udp() {
            say(&format!("[i] taking events by UDP at {address}"));
        }
        for warning in warnings(&config, app.http()) {
            complain(&format!("[!] {warning}"));
        }
        if let Some((code, path)) = app.first_login_code() {
            say("[i] first start: sign in as admin with password admin (or the one in USERS) and set a new one");
            say(&format!("[i] from another machine that form asks for this one-time code: {code} (also in {})", path.display()));
        }
        if let Some((fingerprint, own)) = app.certificate() {
            let whose = if own { "made by the server itself" } else { "SSL_PEM" };
            say(&format!("[i] certificate ({whose}), SHA-256 {fingerprint}"));
        }
        for &address in app.http() {
            say(&format!("[i] dashboard at {}", dashboard(address, config.server.use_ssl)));
        }
        say("[^] running...");
        let cause = signal.await;
        say(&format!("[x] stopping ({cause})"));
        app.stop().await;
        let mut ended = String::new();
        Zone::local().write_log_time(Timestamp::now(), &mut ended);
        say(&format!("[*] ending @ {}", ended.get(..19).unwrap_or_default()));
        Ok(())
    })
}

/// What to put into a browser.
fn dashboard(address: SocketAddr, mode: SslMode) -> String {
    let plain = format!("http://{address}/");
    let encrypted = format!("https://{address}/");
    let ip = address.ip();
    match mode {
        SslMode::Off => plain,
        SslMode::On => encrypted,
        SslMode::Auto if ip.is_loopback() => plain,
        SslMode::Auto if ip.is_unspecified() => {
            format!(
                "{encrypted} (on this machine also http://127.0.0.1:{}/)",
                address.port()
            )
        }
        SslMode::Auto => encrypted,
    }
}

/// Listens for signals from now on; the future ends with the first one.
fn stop_signal() -> anyhow::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C pressed",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

fn passwd(config: &Config, user: &str) -> anyhow::Result<()> {
    let password = read_password(user)?;
    console::set_password(config, user, &password, Timestamp::now())?;
    say(&format!(
        "[i] the password of `{user}` is set; its sign-ins have ended"
    ));
    Ok(())
}

fn read_password(user: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return read_line();
    }
    let first = hidden_line(&format!("New password for {user}: "))?;
    let second = hidden_line("Once more: ")?;
    if first != second {
        bail!("the two entries differ; nothing was changed");
    }
    Ok(first)
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let count = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the password")?;
    if count == 0 {
        bail!("standard input is empty; write the new password as one line");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a line from the terminal without showing it.
fn hidden_line(prompt: &str) -> anyhow::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    complain_inline(prompt);
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).context("cannot read the terminal's mode")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("cannot hide the input")?;
    let line = read_line();
    tcsetattr(&stdin, OptionalActions::Flush, &shown).context("cannot restore the terminal")?;
    complain("");
    line
}

fn reindex(config: &Config) -> anyhow::Result<()> {
    App::reindex(config, Zone::local(), |day, events| {
        say(&format!("[i] {day}: {events} events"))
    })
}

fn start_log(debug: bool) {
    let level = if debug { "debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = std::io::stderr().is_terminal();
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .try_init();
}

/// Standard output; a closed one does not stop the server.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn complain_inline(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}
