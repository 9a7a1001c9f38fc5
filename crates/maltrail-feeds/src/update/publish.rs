//! Putting a set in its place, and the former one back.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use maltrail_core::addr::parse_net;
use maltrail_core::trail::build::Built;
use maltrail_core::trail::csv;

use super::record::{Record, Stamp};
use super::{Outcome, Phase, Update, UpdateError, lock, write_error};
use crate::canary::Canaries;
use crate::collection::{Collection, DATA};
use crate::gather::Source;
use crate::place::{folder_of, place};
use crate::report::Report;

/// Rows of the lists that may match what everybody uses: the public static list has two, on purpose.
const MOST_CANARIES: usize = 10;
/// Top-level domains that no list means.
const LARGEST_DOMAINS: [&str; 6] = ["com", "net", "org", "edu", "gov", "de"];
/// How many of them a refusal names.
const NAMED_CANARIES: usize = 5;

impl Update<'_> {
    /// Checks the new set against the old one and puts it in its place.
    pub(super) fn replace(
        &self,
        built: &Built,
        report: Report,
        sources: Vec<Source>,
        record: &Record,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Outcome, UpdateError> {
        let target = &self.config.file;
        let before = if self.is_own(record) {
            Some(record.rows)
        } else {
            rows_of(target)
        };
        self.accept(built, before)?;
        let mut notes = Vec::new();
        let bytes = place(target, self.owner, |file| {
            write_rows(file, built, progress)?;
            // The new file is complete: what it replaces becomes the former one.
            if let Err(error) = keep_former(target) {
                notes.push(format!(
                    "the former set cannot be kept for `--rollback`: {error}"
                ));
            }
            Ok(())
        })
        .map_err(|source| write_error(target, source))?;
        Ok(Outcome {
            rows: built.len(),
            before,
            bytes,
            unchanged: false,
            report,
            sources,
            status: Vec::new(),
            notes,
        })
    }

    /// How many rows that are not the user's own would match what everybody uses, and the first of them.
    fn everybody<'a>(&self, built: &'a Built) -> (usize, Vec<&'a str>) {
        let canaries = Canaries::new(&self.config.home_networks);
        let mut found = (0, Vec::new());
        for row in built.rows().filter(|row| !row.reference.contains("custom")) {
            // Single addresses were held against the ranges of the build already.
            // Whole top-level domains are listed on purpose, but never these.
            let is_name = row
                .key
                .starts_with(|letter: char| letter.is_ascii_alphabetic())
                && (row.key.contains('.') || LARGEST_DOMAINS.contains(&row.key));
            let is_network = row.key.contains('/') && parse_net(row.key).is_some();
            if (is_name || is_network) && canaries.hit(row.key).is_some() {
                found.0 += 1;
                if found.1.len() < NAMED_CANARIES {
                    found.1.push(row.key);
                }
            }
        }
        found
    }

    fn accept(&self, built: &Built, before: Option<usize>) -> Result<(), UpdateError> {
        let (after, ratio) = (built.len(), self.config.reload_min_ratio);
        if built.is_empty() {
            return Err(UpdateError::Empty);
        }
        let (count, named) = self.everybody(built);
        if count > MOST_CANARIES && !self.force {
            return Err(UpdateError::Canaries {
                count,
                named: named.join(", "),
            });
        }
        match before {
            Some(before)
                if !self.force && ratio > 0.0 && (after as f64) < before as f64 * ratio =>
            {
                Err(UpdateError::Shrunk {
                    before,
                    after,
                    ratio,
                })
            }
            _ => Ok(()),
        }
    }

    /// Keeps the data lists that matching needs beside the trails.
    pub(super) fn publish_data(
        &self,
        folder: &Path,
        collections: &[Collection],
    ) -> Result<(), UpdateError> {
        let folder = folder.join("data");
        fs::create_dir_all(&folder).map_err(|source| write_error(&folder, source))?;
        for name in DATA {
            let text: String = collections
                .iter()
                .map(|collection| collection.data(name))
                .collect();
            let path = folder.join(name);
            if !text.is_empty() && fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
                place(&path, self.owner, |mut file| {
                    file.write_all(text.as_bytes())
                })
                .map_err(|source| write_error(&path, source))?;
            }
        }
        Ok(())
    }

    /// Puts the former set back in its place; the present one becomes the former, so a second time goes
    /// forward again. Updates leave the set alone until one of its sources changes. Rows and size of the
    /// set that is there now.
    ///
    /// # Errors
    /// When there is no former set or a file cannot be written; the present set then stays.
    pub fn rollback(&self) -> Result<Outcome, UpdateError> {
        let target = &self.config.file;
        let folder = folder_of(target);
        let failed = |source| write_error(target, source);
        let former = former_path(target);
        if !former.is_file() {
            return Err(UpdateError::NoFormer(former));
        }
        let _lock = lock(folder)?;
        let record = Record::read(folder);
        let before = record.rows;
        // Two names for the present set, so that it is lost at no moment.
        let aside = folder.join(".trails-rollback.new");
        let _ = fs::remove_file(&aside);
        match fs::hard_link(target, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(&former, target).map_err(failed)?;
            }
            linked => {
                linked.map_err(failed)?;
                fs::rename(&former, target).map_err(failed)?;
                fs::rename(&aside, &former).map_err(failed)?;
            }
        }
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        let rows = rows_of(target).unwrap_or(0);
        let mut outcome = Outcome {
            rows,
            before: Some(before),
            bytes: Stamp::of(target).map_or(0, |stamp| stamp.bytes),
            unchanged: false,
            report: Report::default(),
            sources: Vec::new(),
            status: Vec::new(),
            notes: Vec::new(),
        };
        let inputs = record.inputs.clone();
        self.conclude(folder, record, &inputs, &mut outcome);
        Ok(outcome)
    }
}

/// Where the set before the present one is kept.
pub(super) fn former_path(target: &Path) -> PathBuf {
    target.with_extension("former.csv")
}

/// Gives the present set a second name, which survives its replacement.
fn keep_former(target: &Path) -> io::Result<()> {
    let aside = folder_of(target).join(".trails-former.new");
    let _ = fs::remove_file(&aside);
    match fs::hard_link(target, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        linked => linked.and_then(|()| fs::rename(&aside, former_path(target))),
    }
}

/// Number of rows of a file; `None` when there is none.
fn rows_of(target: &Path) -> Option<usize> {
    let file = fs::File::open(target).ok()?;
    csv::read(file, |_, _, _| {})
        .ok()
        .map(|counts| counts.rows)
        .filter(|rows| *rows > 0)
}

fn write_rows(file: &fs::File, built: &Built, progress: &mut dyn FnMut(Phase)) -> io::Result<()> {
    const STEP: usize = 1 << 16;
    let mut writer = csv::Writer::new(file);
    let all = built.len();
    for (done, row) in built.rows().enumerate() {
        writer.row(row.key, row.info, row.reference)?;
        if done % STEP == 0 {
            progress(Phase::Writing(done, all));
        }
    }
    progress(Phase::Writing(all, all));
    writer.finish().map(|_| ())
}
