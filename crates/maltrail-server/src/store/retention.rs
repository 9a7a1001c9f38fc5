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
