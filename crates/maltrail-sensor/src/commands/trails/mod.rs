//! `sensor trails stats|diff|export`: the published set in numbers, compared, and for other programs.

mod difference;
mod stats;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use anyhow::Context as _;
use maltrail_core::config::{Config, Environment};
use maltrail_core::trail::TrailSet;
use maltrail_feeds::export::{ExportCounts, Format, RowKind, Selection, export};
use maltrail_feeds::load;
use maltrail_feeds::update::sudo_owner;

use crate::cli::{ExportFormat, TrailKind, TrailsCommand};
use crate::console::{complain, say};
use crate::trails;

/// Runs the subcommand; `diff` says whether there is no difference.
///
/// # Errors
/// When a set cannot be read or the output cannot be written.
pub(crate) fn run(
    config: &Config,
    environment: &Environment,
    command: &TrailsCommand,
) -> anyhow::Result<bool> {
    match command {
        TrailsCommand::Stats { json } => {
            let set = set(config, environment)?;
            let stats = stats::Stats::of(&set, &config.trails.file)?;
            say(&if *json {
                stats.json().to_string()
            } else {
                stats.text()
            });
            Ok(true)
        }
        TrailsCommand::Diff {
            old,
            new,
            limit,
            json,
        } => {
            let present = config.trails.file.as_path();
            let (old, new) = match new {
                Some(new) => (old.as_path(), new.as_path()),
                None => (old.as_path(), present),
            };
            difference::run(old, new, *limit, *json)
        }
        TrailsCommand::Export { format, info, kind } => {
            let set = set(config, environment)?;
            let selection = Selection {
                info: info
                    .as_deref()
                    .map(regex::Regex::new)
                    .transpose()
                    .context("--info is no regular expression")?,
                kinds: kind.iter().copied().map(kind_of).collect(),
                whitelist: trails::whitelist(config)?,
                own: config.home_networks.clone(),
            };
            let serial = maltrail_feeds::update::checked(&config.trails.file).unwrap_or_default();
            let out = BufWriter::new(io::stdout().lock());
            match export(set.rows(), format_of(*format), &selection, serial, out) {
                Ok(counts) => tell(&counts),
                // Whoever reads it has had enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error).context("cannot write"),
            }
            Ok(true)
        }
    }
}

fn tell(counts: &ExportCounts) {
    if counts.unfit + counts.spared > 0 {
        let text = format!(
            "{} rows written; left out: {} that this format cannot hold, {} about own, local or whitelisted hosts",
            counts.written, counts.unfit, counts.spared
        );
        complain(&text, None);
    }
}

fn set(config: &Config, environment: &Environment) -> anyhow::Result<TrailSet> {
    let whitelist = trails::whitelist(config)?;
    let (set, _) = load::trail_set(&config.trails, &whitelist, sudo_owner(environment))?;
    Ok(set)
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read `{}`", path.display()))
}

const fn format_of(format: ExportFormat) -> Format {
    match format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Hosts => Format::Hosts,
        ExportFormat::Rpz => Format::Rpz,
        ExportFormat::Nft => Format::Nft,
    }
}

const fn kind_of(kind: TrailKind) -> RowKind {
    match kind {
        TrailKind::Name => RowKind::Name,
        TrailKind::Label => RowKind::Label,
        TrailKind::Address => RowKind::Address,
        TrailKind::AddressPort => RowKind::AddressPort,
        TrailKind::Network => RowKind::Network,
        TrailKind::Url => RowKind::Url,
        TrailKind::Path => RowKind::Path,
        TrailKind::Pattern => RowKind::Pattern,
        TrailKind::Certificate => RowKind::Certificate,
    }
}
