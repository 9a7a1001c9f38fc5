//! How full the disk of `LOG_DIR` is, and when it will be full at the pace of the last days.

use std::path::Path;

use maltrail_core::time::Day;
use serde::Serialize;

use super::files::{self, DayBytes};

/// Days whose pace counts, today left out: it is not complete.
const PACE_DAYS: i32 = 7;
/// Below this share of free space the disk counts as nearly full.
const LOW_PERCENT: u64 = 10;

/// The disk, as `/api/v1/health` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    pub(crate) total_bytes: u64,
    /// Free for programs without special rights.
    pub(crate) free_bytes: u64,
    pub(crate) free_percent: u64,
    /// Day files, archives among them.
    pub(crate) log_bytes: u64,
    pub(crate) index_bytes: u64,
    /// Mean of the last seven days; none yet on the first day.
    pub(crate) bytes_per_day: Option<u64>,
    /// At that pace. None where nothing is written, or where old days are deleted as fast as new ones come.
    pub(crate) full_in_days: Option<u64>,
    /// Less than a tenth is free.
    pub(crate) low: bool,
}

impl Disk {
    /// Measures. `steady`: as many days are deleted as are written (`RETENTION_DAYS` is reached).
    pub(crate) fn measure(
        log_dir: &Path,
        index_dir: &Path,
        today: Day,
        steady: bool,
    ) -> std::io::Result<Self> {
        let stat = rustix::fs::statvfs(log_dir)?;
        let days = files::bytes(log_dir, index_dir)?;
        let space = (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize);
        Ok(Self::of(space, &days, today, steady))
    }

    fn of((total, free): (u64, u64), days: &[(Day, DayBytes)], today: Day, steady: bool) -> Self {
        let pace = pace(days, today);
        let percent = (free * 100).checked_div(total).unwrap_or(100);
        Self {
            total_bytes: total,
            free_bytes: free,
            free_percent: percent,
            log_bytes: days.iter().map(|(_, bytes)| bytes.log).sum(),
            index_bytes: days.iter().map(|(_, bytes)| bytes.index).sum(),
            bytes_per_day: pace,
            full_in_days: pace
                .filter(|_| !steady)
                .and_then(|pace| free.checked_div(pace)),
            low: percent < LOW_PERCENT,
        }
    }

    /// What an administrator should know.
    pub(crate) fn text(&self) -> String {
        let when = match self.full_in_days {
            Some(0) => ", full within a day at the pace of the last days".to_owned(),
            Some(days) => format!(", full in {days} days at the pace of the last days"),
            None => String::new(),
        };
        let free = self.free_bytes >> 20;
        format!(
            "{}% of the disk of LOG_DIR is free ({free} MB){when}",
            self.free_percent
        )
    }
}

/// Mean bytes of the last complete days that lie between the first day with a file and today.
fn pace(days: &[(Day, DayBytes)], today: Day) -> Option<u64> {
    let first = days.iter().map(|(day, _)| *day).min()?;
    let from = today.plus(-PACE_DAYS).max(first);
    let count = u64::try_from(today.days_since(from)).ok()?;
    let bytes = days
        .iter()
        .filter(|(day, _)| *day >= from && *day < today)
        .map(|(_, bytes)| bytes.log + bytes.index)
        .sum::<u64>();
    bytes.checked_div(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i32) -> Day {
        "2026-11-01".parse::<Day>().unwrap().plus(n)
    }

    fn days(bytes: &[(i32, u64)]) -> Vec<(Day, DayBytes)> {
        let one = |&(n, log): &(i32, u64)| (day(n), DayBytes { log, index: log });
        bytes.iter().map(one).collect()
    }

    #[test]
    fn the_pace_is_that_of_the_last_complete_days() {
        assert_eq!(pace(&[], day(9)), None);
        assert_eq!(
            pace(&days(&[(9, 5)]), day(9)),
            None,
            "the first day is not complete"
        );
        assert_eq!(pace(&days(&[(8, 10), (9, 999)]), day(9)), Some(20));
        // Eight days ago is too long ago; a day without a file counts as one with nothing.
        let some = days(&[(1, 9000), (3, 70), (8, 70), (9, 5)]);
        assert_eq!(pace(&some, day(9)), Some(40));
        assert_eq!(
            pace(&days(&[(30, 70)]), day(9)),
            None,
            "a clock that went back"
        );
    }

    #[test]
    fn the_forecast_and_the_alarm() {
        let some = days(&[(8, 50)]);
        let disk = Disk::of((1000, 99), &some, day(9), false);
        assert_eq!(
            (disk.free_percent, disk.low, disk.full_in_days),
            (9, true, Some(0))
        );
        assert!(disk.text().contains("within a day"), "{}", disk.text());
        let disk = Disk::of((1000, 300), &some, day(9), false);
        assert_eq!((disk.low, disk.full_in_days), (false, Some(3)));
        assert!(disk.text().contains("full in 3 days"));
        let disk = Disk::of((1000, 300), &some, day(9), true);
        assert_eq!((disk.full_in_days, disk.bytes_per_day), (None, Some(100)));
        assert_eq!(Disk::of((0, 0), &[], day(9), false).free_percent, 100);
    }
}
