//! The arguments of `server`. Knows nothing else of this crate: `cargo xtask install` compiles this file as well
//! and makes the manual page and the completions from it.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand};

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
    /// Give an account another role; works while the server runs
    Role {
        /// Name of the account, as in USERS
        user: String,
        /// Accounts with a number of 1000 or more can be viewer or analyst
        #[arg(value_parser = ["viewer", "analyst", "admin"])]
        role: String,
    },
    /// Tokens for sensors and scripts; works while the server runs
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; only its text goes to standard output
    Add(TokenAdd),
    /// List tokens: id, name, scopes, account, end, last use
    List,
    /// End a token
    Revoke {
        /// As `token list` shows it
        id: String,
    },
}

#[derive(Debug, Arguments)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["sensor", "scope"]))]
pub(crate) struct TokenAdd {
    /// For this sensor: it gets the operator's own trails too (UPDATE_SERVER_TOKEN); without an end unless --expires
    #[arg(long, value_name = "NAME")]
    pub(crate) sensor: Option<String>,
    /// What it may do, separated by commas; read, write and admin need --user
    #[arg(long, value_delimiter = ',', value_parser = ["read", "write", "admin", "sensor", "blocklist"])]
    pub(crate) scope: Vec<String>,
    /// Its name in lists [default: console]
    #[arg(long, conflicts_with = "sensor")]
    pub(crate) name: Option<String>,
    /// Account that it belongs to: it never may more than that account, and ends with it
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Days until it ends, at most 730 [default: 90]
    #[arg(long, value_name = "DAYS")]
    pub(crate) expires: Option<u32>,
}
