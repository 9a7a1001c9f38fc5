//! The caretaker: one thread that packs and deletes old days, keeps the index within its size and watches
//! the disk.
//!
//! Nothing happens to day files unless the configuration says so (`COMPRESS_AFTER_DAYS`, `RETENTION_DAYS`).
//! Order of a pass: delete, pack, shrink the index, measure. Guarantees: a file is removed after its
//! packing only when the archive is on disk and gives back the same bytes, and lines that were appended
//! meanwhile stay; a file that was written within the last [`QUIET`] is not packed; today and yesterday are
//! never touched; after a jump of the clock nothing is deleted for [`SETTLE`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use maltrail_core::time::{Day, Timestamp};

use super::archive::{self, Mark};
use super::disk::Disk;
use super::{Store, append, files, lock, sql};

/// How often a pass is made.
const PASS: Duration = Duration::from_secs(600);
/// How often the disk is measured.
const MEASURE: Duration = Duration::from_secs(60);
/// A file that was written this recently may still have a writer.
const QUIET: Duration = Duration::from_secs(3600);
/// Time after a jump of the clock in which nothing is deleted.
const SETTLE: Duration = Duration::from_secs(86_400);
/// A difference between the clock and the time that went by that counts as a jump.
const JUMP_SECS: i64 = 6 * 3600;
/// A writer that had the file open when it was removed is waited for this long.
const GRACE: Duration = Duration::from_secs(1);
/// The disk is said to be nearly full this often.
const REPEAT: Duration = Duration::from_secs(86_400);
/// Priority below that of the indexer (5).
const NICE: i32 = 10;

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `RETENTION_DAYS`; 0 keeps everything.
    pub(crate) retention_days: u32,
    /// `COMPRESS_AFTER_DAYS`; 0 never packs.
    pub(crate) compress_after_days: u32,
    /// `INDEX_MAX_SIZE`
    pub(crate) index_max_bytes: u64,
}

/// Does the work.
#[derive(Debug)]
pub(crate) struct Caretaker {
    store: Store,
    policy: Policy,
    clock: Clock,
    told_low: Option<Instant>,
}

impl Store {
    /// Starts the caretaker's thread.
    pub(crate) fn spawn_caretaker(
        &self,
        policy: Policy,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let store = self.clone();
        std::thread::Builder::new()
            .name("caretaker".into())
            .spawn(move || {
                // On Linux this means the calling thread.
                let _ = rustix::process::setpriority_process(None, NICE);
                Caretaker::new(store, policy).run();
            })
    }
}

impl Caretaker {
    pub(crate) fn new(store: Store, policy: Policy) -> Self {
        let clock = Clock::new(Timestamp::now(), Instant::now());
        Self {
            store,
            policy,
            clock,
            told_low: None,
        }
    }

    fn run(mut self) {
        let mut next_pass = Instant::now();
        while !self.store.stopping() {
            if Instant::now() >= next_pass {
                self.pass(Timestamp::now(), Instant::now());
                next_pass = Instant::now() + PASS;
            }
            self.measure();
            self.store.wait(MEASURE);
        }
    }

    /// One pass at the time `now`; `moment` is the same by the clock that never jumps.
    pub(crate) fn pass(&mut self, now: Timestamp, moment: Instant) {
        let today = self.store.zone().day(now);
        if self.policy.retention_days > 0 && self.clock.is_settled(now, moment) {
            self.delete_old(today);
        }
        if self.policy.compress_after_days > 0 {
            self.pack_old(today);
        }
        self.shrink_index(today);
    }

    /// Days before this one go.
    fn first_kept(&self, today: Day) -> Day {
        let days = i32::try_from(self.policy.retention_days).unwrap_or(i32::MAX);
        today.plus(-days.max(1))
    }

    fn delete_old(&self, today: Day) {
        let first_kept = self.first_kept(today);
        let Some(days) = self.weigh() else { return };
        for (day, bytes) in days {
            if day >= first_kept || self.store.stopping() {
                break;
            }
            let _writing = lock(&self.store.0.writing);
            let mut failed = None;
            for path in files::logs(self.store.log_dir(), day) {
                if let Err(error) = std::fs::remove_file(&path) {
                    failed = Some((path, error));
                }
            }
            if let Some((path, error)) = failed {
                tracing::error!(%day, %error, path = %path.display(), "retention: cannot delete a day file; fix the permissions of LOG_DIR");
                continue;
            }
            self.store.forget(day);
            self.store.index().deleted_days.add(1);
            tracing::info!(%day, bytes = bytes.log + bytes.index, "retention: deleted the day, as RETENTION_DAYS {} says", self.policy.retention_days);
        }
    }

    fn weigh(&self) -> Option<Vec<(Day, files::DayBytes)>> {
        let days = files::bytes(self.store.log_dir(), self.store.index_dir());
        days.inspect_err(|error| tracing::error!(%error, "retention: cannot read LOG_DIR"))
            .ok()
    }

    fn pack_old(&self, today: Day) {
        let days = i32::try_from(self.policy.compress_after_days).unwrap_or(i32::MAX);
        let first_plain = today.plus(-days.max(1));
        let Some(days) = self.weigh() else { return };
        for (day, _) in days {
            if day >= first_plain || self.store.stopping() {
                break;
            }
            for path in files::logs(self.store.log_dir(), day) {
                if path.extension().is_some_and(|ending| ending == "gz") {
                    continue;
                }
                match self.pack(&path) {
                    Ok(Some(bytes)) => {
                        self.store.index().packed_files.add(1);
                        tracing::info!(file = %path.display(), bytes, "retention: packed, as COMPRESS_AFTER_DAYS {} says", self.policy.compress_after_days);
                    }
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
                    Err(error) => {
                        tracing::error!(%error, file = %path.display(), "retention: cannot pack the file; it stays as it is");
                    }
                }
            }
        }
    }

    /// Packs one file and removes it; tells its size.
    fn pack(&self, path: &Path) -> io::Result<Option<u64>> {
        if path.symlink_metadata()?.file_type().is_symlink() {
            return Ok(None);
        }
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let meta = file.metadata()?;
        let age = SystemTime::now().duration_since(meta.modified()?);
        if !meta.is_file() || age.is_ok_and(|age| age < QUIET) {
            return Ok(None);
        }
        let archive = packed_path(path);
        let size = {
            let _writing = lock(&self.store.0.writing);
            append::end_last_line(&mut file)?;
            file.metadata()?.len()
        };
        // A crash may have come between the packing and the removal.
        let mark = match File::open(&archive) {
            Ok(archive) => Mark::of(&archive)?,
            Err(_) => None,
        };
        let size = match mark {
            Some(mark) if mark.covers(&file)? => mark.size,
            _ => {
                let go_on = || !self.store.stopping();
                archive::pack(&file, size, &archive, &go_on)?;
                size
            }
        };
        self.remove_packed(&file, size, path)?;
        Ok(Some(size))
    }

    /// Removes a file whose first `size` bytes are packed; what was appended behind them stays.
    fn remove_packed(&self, file: &File, size: u64, path: &Path) -> io::Result<()> {
        let mut kept = size;
        {
            let _writing = lock(&self.store.0.writing);
            let now = std::fs::metadata(path)?;
            if now.ino() != file.metadata()?.ino() {
                return Ok(());
            }
            let late = read_from(file, kept)?;
            kept += late.len() as u64;
            if late.is_empty() {
                std::fs::remove_file(path)?;
            } else {
                let new = path.with_extension("late");
                let mut out = File::create(&new)?;
                out.set_permissions(now.permissions())?;
                out.write_all(&late)?;
                out.sync_all()?;
                std::fs::rename(&new, path)?;
            }
            archive::sync_folder(path)?;
        }
        // Another program may have opened the file before it was removed.
        self.store.wait(GRACE);
        let late = read_from(file, kept)?;
        if !late.is_empty() {
            let _writing = lock(&self.store.0.writing);
            let mut options = OpenOptions::new();
            options
                .append(true)
                .create(true)
                .open(path)?
                .write_all(&late)?;
        }
        Ok(())
    }

    /// Removes index files, oldest first, until the index fits, and those of days that are no more.
    fn shrink_index(&self, today: Day) {
        let Some(days) = self.weigh() else { return };
        let mut total: u64 = days.iter().map(|(_, bytes)| bytes.index).sum();
        let removable = |day: Day| day < today.plus(-1);
        for &(day, bytes) in &days {
            if bytes.log == 0 && bytes.index > 0 && removable(day) {
                self.store.forget(day);
                total -= bytes.index;
            }
        }
        // Days in memory are being looked at: they go last.
        for in_memory in [false, true] {
            for &(day, bytes) in &days {
                if total <= self.policy.index_max_bytes {
                    return;
                }
                let indexed = sql::path(self.store.index_dir(), day).exists();
                if bytes.log > 0
                    && indexed
                    && removable(day)
                    && self.store.hot(day).is_some() == in_memory
                {
                    self.store.forget(day);
                    self.store.index().index_evictions.add(1);
                    total -= bytes.index;
                    tracing::info!(%day, bytes = bytes.index, "index: removed the day's index file, as INDEX_MAX_SIZE says; it is made again when somebody asks");
                }
            }
        }
    }

    fn measure(&mut self) {
        let today = self.store.today();
        let steady = self.policy.retention_days > 0
            && super::dayfile::list(self.store.log_dir()).is_ok_and(|days| {
                let first_kept = self.first_kept(today);
                days.last().is_some_and(|(day, _)| *day <= first_kept)
            });
        let disk = Disk::measure(self.store.log_dir(), self.store.index_dir(), today, steady);
        match disk {
            Ok(disk) => {
                self.warn(&disk, Instant::now());
                *lock(&self.store.0.disk) = Some(disk);
            }
            Err(error) => tracing::debug!(%error, "retention: cannot measure the disk of LOG_DIR"),
        }
    }

    /// Says that the disk is nearly full, once and then once a day, and that it is no more.
    fn warn(&mut self, disk: &Disk, now: Instant) -> bool {
        if !disk.low {
            if self.told_low.take().is_some() {
                tracing::info!("disk: {}", disk.text());
            }
            return false;
        }
        let due = self.told_low.is_none_or(|told| now - told >= REPEAT);
        if due {
            self.told_low = Some(now);
            tracing::warn!(
                "disk: {}; make room, or set COMPRESS_AFTER_DAYS or RETENTION_DAYS",
                disk.text()
            );
        }
        due
    }
}

/// `DATE.log.gz` of `DATE.log`.
fn packed_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

fn read_from(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Notices when the clock jumps: a wrong one must not make all days old.
#[derive(Debug)]
struct Clock {
    /// A moment by both clocks.
    from: (Timestamp, Instant),
    jumped: Option<Instant>,
}

impl Clock {
    const fn new(now: Timestamp, moment: Instant) -> Self {
        Self {
            from: (now, moment),
            jumped: None,
        }
    }

    /// Whether there was no jump for [`SETTLE`].
    fn is_settled(&mut self, now: Timestamp, moment: Instant) -> bool {
        let (then, at) = self.from;
        let went_by = i64::try_from((moment - at).as_secs()).unwrap_or(i64::MAX);
        let difference = now.secs() - then.secs() - went_by;
        if difference.abs() > JUMP_SECS {
            tracing::warn!(
                seconds = difference,
                "retention: the clock jumped; nothing is deleted for a day"
            );
            self.jumped = Some(moment);
        }
        // The clock may drift, and a jump counts once.
        self.from = (now, moment);
        self.jumped.is_none_or(|jumped| moment - jumped >= SETTLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::hunt::{Needle, hunt};
    use crate::store::dayfile::{self, DayFile};
    use crate::store::indexer::Indexer;
    use crate::store::known::Known;
    use crate::store::scoped::Scope;
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::event::EventId;
    use maltrail_core::time::Zone;

    const KEEP: Policy = Policy {
        retention_days: 0,
        compress_after_days: 0,
        index_max_bytes: u64::MAX,
    };
    const PACK: Policy = Policy {
        compress_after_days: 3,
        ..KEEP
    };

    fn open(dir: &Path) -> Store {
        Store::open(dir, Zone::UTC, usize::MAX, NetworkSet::private()).unwrap()
    }

    fn line(day: Day, n: usize) -> String {
        format!(
            "\"{day} 10:00:00.{n:06}\" s1 10.0.0.{} 1 8.8.8.8 53 UDP DNS x{n}.example i (static)",
            n % 250
        )
    }

    /// A day of `count` events that was last written a day ago.
    fn write(store: &Store, day: Day, count: usize) -> String {
        let text: String = (0..count).map(|n| line(day, n) + "\n").collect();
        let path = dayfile::path(store.log_dir(), day);
        std::fs::write(&path, &text).unwrap();
        let before = SystemTime::now() - Duration::from_secs(86_400);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(before)
            .unwrap();
        text
    }

    fn today() -> Day {
        Zone::UTC.day(Timestamp::now())
    }

    fn pass(store: &Store, policy: Policy) {
        Caretaker::new(store.clone(), policy).pass(Timestamp::now(), Instant::now());
    }

    fn text(store: &Store, day: Day) -> String {
        let mut chunk = Vec::new();
        let file = DayFile::open(store.log_dir(), day).unwrap();
        file.read_chunk(0, &mut chunk).unwrap();
        String::from_utf8(chunk).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    fn events(store: &Store, day: Day) -> u64 {
        store.hot(day).map_or(0, |hot| hot.table().events)
    }

    #[test]
    fn a_packed_day_answers_as_before_and_takes_late_events() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (old, young) = (today().plus(-4), today().plus(-3));
        let before = write(&store, old, 5000);
        write(&store, young, 10);
        std::fs::write(dir.path().join(format!("{old}.json")), "{}\n").unwrap();
        let mut indexer = Indexer::new(store.clone());
        indexer.finish(old);
        pass(&store, PACK);
        let json = format!("{old}.json");
        assert_eq!(
            names(dir.path()),
            [
                json.clone(),
                format!("{old}.log.gz"),
                format!("{young}.log"),
                "index".into()
            ],
            "what was written this hour stays"
        );
        let before_now = SystemTime::now() - Duration::from_secs(86_400);
        let file = File::options()
            .append(true)
            .open(dir.path().join(&json))
            .unwrap();
        file.set_modified(before_now).unwrap();
        pass(&store, PACK);
        assert!(names(dir.path()).contains(&format!("{json}.gz")));
        assert_eq!(store.index().packed_files.get(), 2);
        assert_eq!(text(&store, old), before);

        let mut appender = append::Appender::new(store.clone());
        let late = line(old, 9999);
        appender.push(old, EventId::of_line(&late), &late, None);
        let repeated = line(old, 7);
        appender.push(old, EventId::of_line(&repeated), &repeated, None);
        appender.flush().unwrap();
        indexer.finish(old);
        assert_eq!(
            events(&store, old),
            5001,
            "and the one that was stored is no new one"
        );
        assert_eq!(store.index().rebuilds.get(), 0);
        assert_eq!(text(&store, old), format!("{before}{late}\n"));
        let needle = Needle::parse("x4321.example").unwrap();
        let days = (old.plus(-9), young);
        let found = hunt(
            &store,
            &needle,
            days,
            &Scope::default(),
            Duration::from_secs(60),
        )
        .unwrap();
        assert_eq!(
            (found.scanned, found.counts.len(), found.samples.len()),
            (2, 1, 1)
        );

        // From nothing but the archive and the late lines.
        drop(indexer);
        sql::remove(store.index_dir(), old);
        let store = open(dir.path());
        Indexer::new(store.clone()).finish(old);
        assert_eq!(events(&store, old), 5001);
    }

    #[test]
    fn readers_miss_nothing_while_a_day_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let old = today().plus(-9);
        let before = write(&store, old, 20_000);
        let (busy, sizes) = {
            let store = store.clone();
            let thread = std::thread::spawn(move || pass(&store, PACK));
            let mut sizes = std::collections::BTreeSet::new();
            let mut busy = 0;
            while !thread.is_finished() {
                let file = DayFile::open(dir.path(), old).unwrap();
                sizes.insert(file.len().unwrap());
                busy += 1;
            }
            thread.join().unwrap();
            (busy, sizes)
        };
        assert!(busy > 10, "looked {busy} times");
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [before.len() as u64]);
        assert!(!dayfile::path(dir.path(), old).exists());
    }

    #[test]
    fn a_crash_between_packing_and_removal_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let old = today().plus(-9);
        let before = write(&store, old, 3000);
        let plain = dayfile::path(dir.path(), old);
        let copy = std::fs::read(&plain).unwrap();
        pass(&store, PACK);
        assert!(!plain.exists());
        // As if the removal had not happened; a line came behind it.
        let late = line(old, 70_000) + "\n";
        std::fs::write(&plain, [&copy[..], late.as_bytes()].concat()).unwrap();
        assert_eq!(text(&store, old), format!("{before}{late}"));
        let file = File::options().append(true).open(&plain).unwrap();
        file.set_modified(SystemTime::now() - 2 * QUIET).unwrap();
        pass(&store, PACK);
        assert_eq!(
            std::fs::read_to_string(&plain).unwrap(),
            late,
            "only what is not packed stays"
        );
        assert_eq!(text(&store, old), format!("{before}{late}"));
        Indexer::new(store.clone()).finish(old);
        assert_eq!(
            (events(&store, old), store.index().duplicates.get()),
            (3001, 0)
        );
    }

    #[test]
    fn an_unfinished_line_is_ended_before_it_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let old = today().plus(-9);
        let plain = dayfile::path(dir.path(), old);
        std::fs::write(&plain, "half a li").unwrap();
        let file = File::options().append(true).open(&plain).unwrap();
        file.set_modified(SystemTime::now() - 2 * QUIET).unwrap();
        pass(&store, PACK);
        assert!(!plain.exists());
        assert_eq!(text(&store, old), "half a li\n");
    }

    #[test]
    fn old_days_are_deleted_with_all_that_belongs_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let days: Vec<Day> = [-40, -31, -30, 0, 1].map(|n| today().plus(n)).to_vec();
        for &day in &days {
            write(&store, day, 3);
        }
        std::fs::write(dir.path().join(format!("{}.json", days[0])), "{}\n").unwrap();
        std::fs::write(dir.path().join("error.log"), "x").unwrap();
        let mut indexer = Indexer::new(store.clone());
        days.iter().for_each(|&day| indexer.finish(day));
        Known::update(store.index_dir(), days[0], |known| {
            known.events = Some((1, 1))
        });
        pass(
            &store,
            Policy {
                compress_after_days: 35,
                ..KEEP
            },
        );
        pass(&store, KEEP);
        assert_eq!(
            dayfile::list(dir.path()).unwrap().len(),
            5,
            "nothing unless it is said"
        );
        let policy = Policy {
            retention_days: 30,
            ..KEEP
        };
        let now = Timestamp::now();
        let moment = Instant::now();
        let mut caretaker = Caretaker::new(store.clone(), policy);
        let year = 366 * 86_400 * 1_000_000;
        caretaker.pass(now.plus_micros(year), moment);
        caretaker.pass(
            now.plus_micros(year + 7_200_000_000),
            moment + Duration::from_secs(7200),
        );
        assert_eq!(
            store.index().deleted_days.get(),
            0,
            "a clock that jumped deletes nothing"
        );
        pass(&store, policy);
        indexer.forget();
        let left: Vec<Day> = dayfile::list(dir.path())
            .unwrap()
            .iter()
            .map(|(day, _)| *day)
            .collect();
        assert_eq!(left, [days[4], days[3], days[2]]);
        assert_eq!(store.index().deleted_days.get(), 2);
        assert!(dir.path().join("error.log").exists());
        let gone = format!("{}", days[0]);
        assert!(
            names(dir.path())
                .iter()
                .chain(&names(store.index_dir()))
                .all(|name| !name.starts_with(&gone))
        );
        assert!(store.hot(days[0]).is_none() && store.hot(days[2]).is_some());
    }

    #[test]
    fn a_jump_of_the_clock_settles_within_a_day() {
        let (now, moment) = (Timestamp::from_parts(1_795_500_000, 0), Instant::now());
        let mut clock = Clock::new(now, moment);
        let mut after = |secs: u64, clock_secs: i64| {
            let micros = clock_secs * 1_000_000;
            clock.is_settled(now.plus_micros(micros), moment + Duration::from_secs(secs))
        };
        assert!(after(600, 600));
        assert!(after(4 * 86_400, 4 * 86_400 + 60), "drift");
        let year = 365 * 86_400;
        assert!(!after(4 * 86_400 + 600, year));
        assert!(!after(5 * 86_400, year + 86_000));
        assert!(after(5 * 86_400 + 700, year + 86_700));
        assert!(!after(5 * 86_400 + 800, 5 * 86_400), "and back");
    }

    #[test]
    fn the_index_is_bounded_oldest_first_and_comes_back_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let days: Vec<Day> = (0..6).map(|n| today().plus(n - 5)).collect();
        let mut indexer = Indexer::new(store.clone());
        for (n, &day) in days.iter().enumerate() {
            write(&store, day, 1000 + n);
            indexer.finish(day);
        }
        drop(indexer);
        let store = open(dir.path());
        let each = std::fs::metadata(sql::path(store.index_dir(), days[0]))
            .unwrap()
            .len();
        let limit = files::index_bytes(store.index_dir()) - each - each / 2;
        store.limit_index(limit);
        let policy = Policy {
            index_max_bytes: limit,
            ..KEEP
        };
        pass(&store, policy);
        let mut indexer = Indexer::new(store.clone());
        indexer.forget();
        let indexed = |day: Day| sql::path(store.index_dir(), day).exists();
        let have: Vec<bool> = days.iter().map(|&day| indexed(day)).collect();
        assert_eq!(have, [false, false, true, true, true, true]);
        assert_eq!(store.index().index_evictions.get(), 2);
        let counted = store.days(days[0], days[5], &Scope::default()).unwrap();
        let counts: Vec<u64> = counted.iter().map(|(_, events)| *events).collect();
        assert_eq!(
            counts,
            [1000, 1001, 1002, 1003, 1004, 1005],
            "known without the index"
        );
        indexer.scan();
        assert!(
            indexer.backlog_is_empty(),
            "removed days wait until somebody asks"
        );
        indexer.finish(days[0]);
        assert!(indexed(days[0]) && events(&store, days[0]) == 1000);
        pass(
            &store,
            Policy {
                index_max_bytes: 0,
                ..KEEP
            },
        );
        indexer.forget();
        assert!(
            indexed(days[5]) && indexed(days[4]),
            "today and yesterday stay"
        );
        assert!(!indexed(days[0]) && !indexed(days[3]));
    }

    #[test]
    fn a_full_index_takes_no_new_old_days_and_an_orphan_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let old = today().plus(-50);
        write(&store, old, 10);
        let mut indexer = Indexer::new(store.clone());
        store.limit_index(0);
        indexer.scan();
        assert!(indexer.backlog_is_empty());
        store.limit_index(u64::MAX);
        indexer.scan();
        assert!(!indexer.backlog_is_empty());
        assert_eq!(
            (
                store.index().import_days.get(),
                store.index().import_done.get()
            ),
            (1, 0)
        );
        indexer.finish(old);
        indexer.scan();
        assert_eq!(
            (
                store.index().import_days.get(),
                store.index().import_done.get()
            ),
            (1, 1)
        );
        std::fs::remove_file(dayfile::path(dir.path(), old)).unwrap();
        pass(&store, KEEP);
        indexer.forget();
        assert_eq!(
            files::index_bytes(store.index_dir()),
            0,
            "its day file is gone"
        );
    }

    #[test]
    fn a_disk_that_fills_up_is_said_once_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut caretaker = Caretaker::new(store.clone(), KEEP);
        caretaker.measure();
        let disk = store.disk().unwrap();
        assert!(
            disk.total_bytes >= disk.free_bytes && disk.total_bytes > 0,
            "{disk:?}"
        );
        let low = Disk {
            low: true,
            ..disk.clone()
        };
        let high = Disk { low: false, ..disk };
        let now = Instant::now();
        caretaker.warn(&high, now);
        assert!(caretaker.warn(&low, now));
        assert!(!caretaker.warn(&low, now + Duration::from_secs(3600)));
        assert!(caretaker.warn(&low, now + REPEAT));
        assert!(!caretaker.warn(&high, now + REPEAT));
        assert!(caretaker.warn(&low, now + REPEAT));
    }
}
