//! The arguments of `server`. Knows nothing else of this crate: `cargo xtask install` compiles this file as well
//! and makes the manual page and the completions from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Collects the events of sensors and serves the dashboard.
#[derive(Debug, Parser)]
#[command(name = "server", version = maltrail_core::VERSION)]
pub struct Args {
    /// Configuration file [default: $MALTRAIL_CONFIG, else maltrail.conf beside the program or above, else ./maltrail.conf]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Say more in the log
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Serve the page from this folder (while developing)
    #[arg(long, value_name = "DIR")]
    pub(crate) html: Option<PathBuf>,
    /// Let admin:admin stay (only on loopback; for trying the product out)
    #[arg(long, hide = true)]
    pub(crate) keep_default_password: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set the password of an account; asks for it, or reads one line of standard input
    Passwd {
        /// Name of the account, as in USERS
        user: String,
    },
    /// Build the index of all day files anew (the server must not run)
    Reindex,
}
