//! The command line. Flags of older sensors keep working.
//!
//! Knows nothing else of this crate: `cargo xtask install` compiles this file as well and makes the manual page and
//! the completions from it.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// Detects malicious traffic on a network.
#[derive(Debug, Parser)]
#[command(name = "sensor", version = maltrail_core::VERSION, about = "Detects malicious traffic on a network")]
#[command(
    after_help = "Every option of the configuration can be overridden by MALTRAIL_<OPTION> in the environment.\n\
    Live capture needs root or CAP_NET_RAW; -r, update and selftest need no right.\n\
    SIGHUP: reads trails, whitelist and ignore rules anew (live); SIGINT, SIGTERM: a clean end."
)]
pub struct Cli {
    /// Configuration file [default: $MALTRAIL_CONFIG, else maltrail.conf beside the program or above, else ./maltrail.conf]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Read capture files (pcap or pcapng; comma list, repeatable; `-` is standard input) instead of capturing
    #[arg(short = 'r', long = "read", value_name = "FILE", value_delimiter = ',', num_args = 1.., action = ArgAction::Append)]
    pub read: Vec<PathBuf>,
    /// Old name of -r
    #[arg(short = 'i', value_name = "FILE", value_delimiter = ',', num_args = 1.., action = ArgAction::Append, hide = true)]
    pub read_old: Vec<PathBuf>,
    /// Admit only packets that match this BPF expression, also with -r
    #[arg(long, value_name = "BPF")]
    pub filter: Option<String>,
    /// Print less
    #[arg(short, long)]
    pub quiet: bool,
    /// Print events to the terminal
    #[arg(long)]
    pub console: bool,
    /// Use no network for trails
    #[arg(long)]
    pub offline: bool,
    /// Print events and debug messages
    #[arg(long)]
    pub debug: bool,
    /// Check configuration, rights and trails, then exit
    #[arg(short = 'T', long = "test-config")]
    pub test: bool,
    /// Time of replayed packets
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub timestamps: Option<Timestamps>,
    /// Replay at this multiple of the capture's own pace [default: as fast as possible]
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    pub speed: Option<f64>,
    /// What to do instead of capturing
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the time of a replayed packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Timestamps {
    /// The capture's records
    Pcap,
    /// The clock at the moment of replay
    Wallclock,
}

/// How bad a finding of `lint` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintLevel {
    /// Mended by the build
    Note,
    /// Dropped, hidden, or not what it looks like
    Warning,
    /// Never matches
    Error,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build TRAILS_FILE. Exit code 0 and one line of summary, or the reason and 1: made for cron
    Update {
        /// Take the lists from an archive (.tar.gz of the public static list) or a folder in its layout, beside the built-in ones
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        /// Put the set before the present one back; updates leave it alone until one of their sources changes
        #[arg(long, conflicts_with_all = ["from", "force", "offline"])]
        rollback: bool,
        /// Use no network
        #[arg(long)]
        offline: bool,
        /// Build although nothing changed, and publish even a set much smaller than the present one
        #[arg(long)]
        force: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
        /// List every refused line with file and line number
        #[arg(short, long)]
        verbose: bool,
    },
    /// Say whether an indicator is reported, by which key, from which lists and lines, and what hides it. Exit code 0 when it is, 1 when not, 2 without an answer
    Explain {
        /// Name, address, address:port, network, URL, path, user agent or SHA-1 of a certificate; `hxxp` and `[.]` are mended
        #[arg(value_name = "INDICATOR")]
        indicator: String,
        /// Print the answer as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check list files for those who write them: file, line, what and why. Exit code 0 without an error, 1 with one, 2 when a file cannot be read
    Lint {
        /// Files, folders (their .txt files), or `-` for standard input; below a folder `custom` the rules of own lists hold
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Show findings of this level and above
        #[arg(long, value_enum, value_name = "LEVEL", default_value = "note")]
        level: LintLevel,
        /// Print one JSON object a line, the last one with the sums
        #[arg(long)]
        json: bool,
    },
    /// Look at the published set: in numbers, compared, for other programs
    Trails {
        /// What to do
        #[command(subcommand)]
        command: TrailsCommand,
    },
    /// Prove that each detector works here, with the switches of the configuration. Exit code 0 when no check failed, else 1
    Selftest {
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
        /// Name the checks, their detectors and what they find, and run none
        #[arg(long)]
        list: bool,
        /// Only these checks, or those of these detectors
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// What `trails` does.
#[derive(Debug, Subcommand)]
pub enum TrailsCommand {
    /// Rows by kind, category, label and origin, and how old they are
    Stats {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// What one set has more, less or otherwise than another: `+` only in the new one, `-` only in the old one, `~` other label or origin. Exit code 0 when they are equal, 1 when not, 2 when one cannot be read
    Diff {
        /// The old set (a trails.csv; `trails.former.csv` beside TRAILS_FILE is the one before the present)
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The new set [default: TRAILS_FILE]
        #[arg(value_name = "NEW")]
        new: Option<PathBuf>,
        /// Rows of each kind that are shown
        #[arg(long, value_name = "ROWS", default_value_t = 1000)]
        limit: usize,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write the set for another program to standard output, without own, local and whitelisted hosts
    Export {
        /// What to write
        #[arg(long, value_enum, value_name = "FORMAT", default_value = "csv")]
        format: ExportFormat,
        /// Only rows whose label this regular expression finds
        #[arg(long, value_name = "REGEX")]
        info: Option<String>,
        /// Only rows of these kinds (comma list, repeatable)
        #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',', action = ArgAction::Append)]
        kind: Vec<TrailKind>,
    },
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Rows as in TRAILS_FILE
    Csv,
    /// Names for /etc/hosts, at 0.0.0.0
    Hosts,
    /// Names as a DNS response policy zone: they and what is below them do not exist
    Rpz,
    /// Addresses, networks and ports as sets of an nftables table, without a rule
    Nft,
}

/// Kind of a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrailKind {
    /// Host names
    Name,
    /// Last labels
    Label,
    /// Addresses
    Address,
    /// Addresses with a port
    AddressPort,
    /// Networks
    Network,
    /// URLs
    Url,
    /// Paths
    Path,
    /// Expressions
    Pattern,
    /// Certificates
    Certificate,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if speed > 0.0 && speed <= 1e6 => Ok(speed),
        _ => Err("a number above 0, such as 1 or 10".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn captures_may_be_listed_in_every_old_way() {
        let cli = Cli::parse_from([
            "sensor",
            "-q",
            "-r",
            "a.pcap,b.pcap",
            "-r",
            "c.pcap",
            "d.pcap",
        ]);
        assert_eq!(
            cli.read,
            ["a.pcap", "b.pcap", "c.pcap", "d.pcap"].map(PathBuf::from)
        );
        assert!(cli.quiet && !cli.console);
        assert!(Cli::try_parse_from(["sensor", "--speed", "0"]).is_err());
        assert!(Cli::try_parse_from(["sensor", "--nope"]).is_err());
    }
}
