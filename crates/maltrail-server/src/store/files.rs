//! The files of a day: which there are, what they weigh, and their removal.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use maltrail_core::time::Day;

/// What a day weighs on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayBytes {
    /// Lines and objects, packed or not.
    pub(crate) log: u64,
    pub(crate) index: u64,
}

/// Endings of a day's files in `LOG_DIR`.
const LOGS: [&str; 4] = ["log", "log.gz", "json", "json.gz"];
/// Endings of a day's files in the index folder.
const INDEX: [&str; 4] = ["sqlite", "sqlite-wal", "sqlite-shm", "known"];

/// Every day with a file of any kind, oldest first.
pub(crate) fn bytes(log_dir: &Path, index_dir: &Path) -> io::Result<Vec<(Day, DayBytes)>> {
    let mut days: BTreeMap<Day, DayBytes> = BTreeMap::new();
    for (day, bytes) in sizes(log_dir, &LOGS)? {
        days.entry(day).or_default().log += bytes;
    }
    for (day, bytes) in sizes(index_dir, &INDEX)? {
        days.entry(day).or_default().index += bytes;
    }
    Ok(days.into_iter().collect())
}

/// Bytes of the index.
pub(crate) fn index_bytes(index_dir: &Path) -> u64 {
    let sizes = sizes(index_dir, &INDEX).unwrap_or_default();
    sizes.iter().map(|(_, bytes)| bytes).sum()
}

fn sizes(folder: &Path, endings: &[&str]) -> io::Result<Vec<(Day, u64)>> {
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let day = name.to_str().and_then(|name| {
            let (day, ending) = name.split_once('.')?;
            let day = day.parse().ok()?;
            endings.contains(&ending).then_some(day)
        });
        let meta = std::fs::metadata(entry.path()).ok();
        if let (Some(day), Some(meta)) = (day, meta.filter(std::fs::Metadata::is_file)) {
            sizes.push((day, meta.len()));
        }
    }
    Ok(sizes)
}

/// The files with a day's events.
pub(crate) fn logs(log_dir: &Path, day: Day) -> impl Iterator<Item = PathBuf> {
    LOGS.map(|ending| log_dir.join(format!("{day}.{ending}")))
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_days_are_weighed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        std::fs::create_dir(&index).unwrap();
        for (name, len) in [
            ("2026-11-20.log", 1),
            ("2026-11-20.json.gz", 20),
            ("2026-11-21.log.gz", 300),
            ("2026-11-21.log.gz.new", 9),
            ("error.log", 9),
            ("2026-11-2.log", 9),
            ("2026-11-20.sqlite", 9),
            ("index/2026-11-20.sqlite", 4000),
            ("index/2026-11-20.sqlite-wal", 50_000),
            ("index/lock", 9),
        ] {
            std::fs::write(dir.path().join(name), vec![0; len]).unwrap();
        }
        let found = bytes(dir.path(), &index).unwrap();
        let day = |text: &str| text.parse::<Day>().unwrap();
        let wanted = [
            (
                day("2026-11-20"),
                DayBytes {
                    log: 21,
                    index: 54_000,
                },
            ),
            (day("2026-11-21"), DayBytes { log: 300, index: 0 }),
        ];
        assert_eq!(found, wanted);
        assert_eq!(index_bytes(&index), 54_000);
        assert_eq!(logs(dir.path(), day("2026-11-20")).count(), 2);
    }
}
