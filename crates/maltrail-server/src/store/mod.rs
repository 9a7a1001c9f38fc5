//! Stored events: day files (truth), index files (rebuildable), days in memory (answers).
//!
//! ```text
//! intake ─► append ─► DATE.log ◄─ a sensor on this machine
//!                        │ read by offset
//!                     indexer (one thread) ─► index/DATE.sqlite   and   Hot (memory)
//!                                                                        ▲ queries, streams
//! ```
//!
//! One mechanism for every writer: whatever appends to a day file, the indexer reads the new bytes
//! from the offset that the index file has committed. Memory is bounded by [`HOT_BYTES`]; the least
//! recently used day goes first, today stays.

pub(crate) mod append;
mod archive;
pub(crate) mod counters;
pub(crate) mod dayfile;
mod disk;
mod files;
mod ids;
mod indexer;
mod known;
pub(crate) mod retention;
pub(crate) mod scoped;
pub(crate) mod sql;
pub(crate) mod table;
mod trace;
pub(crate) mod uid;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::{Duration, Instant};

use maltrail_core::addr::NetworkSet;
use maltrail_core::time::{Day, Timestamp, Zone};
use tokio::sync::watch;

use counters::{IndexCounters, IntakeCounters};
use dayfile::DayFile;
use ids::DayIds;
use known::Known;
use scoped::{Scope, ScopedTable};
use table::{DayTable, FloodRule};

/// Memory for days, all together. A day of 200,000 threats takes about 60 MB.
pub(crate) const HOT_BYTES: usize = 768 << 20;
/// Restricted users' tables of one day; beyond it all of that day are dropped and built anew.
const MAX_SCOPES: usize = 8;
/// Priority of the indexer below that of the intake (0).
const INDEXER_NICE: i32 = 5;
/// How long a query waits for a day that is not in memory yet. Then it gets what there is.
const LOAD_WAIT: Duration = Duration::from_secs(10);

/// A day in memory.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) day: Day,
    table: RwLock<DayTable>,
    ids: Mutex<DayIds>,
    scopes: Mutex<HashMap<Scope, Arc<Mutex<ScopedTable>>>>,
    used: AtomicU64,
    /// The index has reached the end of the day file at least once.
    ready: AtomicBool,
}

impl Hot {
    fn new(day: Day, table: DayTable, ids: DayIds) -> Self {
        Self {
            day,
            table: RwLock::new(table),
            ids: Mutex::new(ids),
            scopes: Mutex::default(),
            used: AtomicU64::new(0),
            ready: AtomicBool::new(false),
        }
    }

    /// Read access to the table of all events.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, DayTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, DayTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the index has reached the end of the day file.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The ids of the day's events.
    pub(crate) fn ids(&self) -> MutexGuard<'_, DayIds> {
        lock(&self.ids)
    }

    fn bytes(&self) -> usize {
        // A table that is being filled right now is measured the next time; the indexer never waits.
        let scoped: usize = lock(&self.scopes)
            .values()
            .filter_map(|scope| scope.try_lock().ok())
            .map(|scope| scope.table.bytes())
            .sum();
        self.table().bytes() + self.ids().bytes() + scoped
    }
}

/// A std lock whose holder cannot leave half a change behind; see each use.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log_dir: PathBuf,
    index_dir: PathBuf,
    zone: Zone,
    home: Arc<NetworkSet>,
    hot_bytes: usize,
    /// std lock: held for map operations only.
    hot: Mutex<HashMap<Day, Arc<Hot>>>,
    /// std lock: held to hand over wishes to the indexer.
    wishes: Mutex<Wishes>,
    wake: Condvar,
    /// Signalled when a day became ready.
    ready: Condvar,
    clock: AtomicU64,
    stop: AtomicBool,
    /// Signalled when the store stops, for threads that only wait for that.
    halt: (Mutex<()>, Condvar),
    changes: watch::Sender<u64>,
    /// std lock: held while day files are written, or removed because they are packed.
    writing: Mutex<()>,
    trace: trace::Trace,
    /// Bytes that the index may take; set once at the start.
    index_max: AtomicU64,
    /// std lock: held to copy. As measured last.
    disk: Mutex<Option<disk::Disk>>,
    line_counts: Mutex<HashMap<Day, (u64, u64)>>,
    intake: IntakeCounters,
    index: IndexCounters,
}

#[derive(Debug, Default)]
struct Wishes {
    /// Days with new bytes.
    grown: HashSet<Day>,
    /// Days that a query waits for.
    wanted: HashSet<Day>,
    /// Days whose index file is to be removed.
    forgotten: HashSet<Day>,
    /// Days whose index file turned out to be damaged.
    damaged: HashSet<Day>,
}

impl Wishes {
    fn are_none(&self) -> bool {
        [&self.grown, &self.wanted, &self.forgotten, &self.damaged]
            .iter()
            .all(|days| days.is_empty())
    }
}

impl Store {
    /// A store over `log_dir`. The indexer is started separately ([`Store::spawn_indexer`]).
    pub(crate) fn open(
        log_dir: &Path,
        zone: Zone,
        hot_bytes: usize,
        home: NetworkSet,
    ) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let index_dir = log_dir.join("index");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(log_dir)?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&index_dir)?;
        Ok(Self(Arc::new(Shared {
            log_dir: log_dir.to_owned(),
            index_dir,
            zone,
            home: Arc::new(home),
            hot_bytes,
            hot: Mutex::default(),
            wishes: Mutex::default(),
            wake: Condvar::new(),
            ready: Condvar::new(),
            clock: AtomicU64::new(1),
            stop: AtomicBool::new(false),
            halt: Default::default(),
            changes: watch::Sender::new(0),
            writing: Mutex::default(),
            trace: trace::Trace::from_environment(),
            index_max: AtomicU64::new(u64::MAX),
            disk: Mutex::default(),
            line_counts: Mutex::default(),
            intake: IntakeCounters::default(),
            index: IndexCounters::default(),
        })))
    }

    /// A table without events.
    pub(crate) fn empty_table(&self, rule: FloodRule) -> DayTable {
        DayTable::new(rule).for_home(Arc::clone(&self.0.home))
    }

    /// Folder of the day files.
    pub(crate) fn log_dir(&self) -> &Path {
        &self.0.log_dir
    }

    /// Folder of the index files.
    pub(crate) fn index_dir(&self) -> &Path {
        &self.0.index_dir
    }

    /// The zone of days and hours.
    pub(crate) fn zone(&self) -> &Zone {
        &self.0.zone
    }

    /// Counters of the intake.
    pub(crate) fn intake(&self) -> &IntakeCounters {
        &self.0.intake
    }

    /// Counters of the index.
    pub(crate) fn index(&self) -> &IndexCounters {
        &self.0.index
    }

    /// Changes with each committed batch of any day.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Starts the indexer thread.
    pub(crate) fn spawn_indexer(&self) -> std::io::Result<std::thread::JoinHandle<()>> {
        let store = self.clone();
        std::thread::Builder::new()
            .name("indexer".into())
            .spawn(move || {
                // On Linux this means the calling thread: storing comes before indexing.
                let _ = rustix::process::setpriority_process(None, INDEXER_NICE);
                indexer::Indexer::new(store).run();
            })
    }

    /// Asks the indexer to end.
    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.0.wake.notify_all();
        self.0.ready.notify_all();
        drop(lock(&self.0.halt.0));
        self.0.halt.1.notify_all();
    }

    /// Waits for a time, or until the store stops.
    fn wait(&self, time: Duration) {
        let held = lock(&self.0.halt.0);
        let going_on = |(): &mut ()| !self.stopping();
        drop(self.0.halt.1.wait_timeout_while(held, time, going_on));
    }

    /// Bounds the index: beyond nine tenths of it no old day is indexed unless somebody asks.
    pub(crate) fn limit_index(&self, bytes: u64) {
        self.0.index_max.store(bytes, Ordering::Relaxed);
    }

    /// The disk of `LOG_DIR` as it was measured last.
    pub(crate) fn disk(&self) -> Option<disk::Disk> {
        lock(&self.0.disk).clone()
    }

    /// Asks the indexer to remove a day's index file; it is made again when somebody asks for the day.
    fn forget(&self, day: Day) {
        lock(&self.0.wishes).forgotten.insert(day);
        self.0.wake.notify_all();
    }

    /// Tells the indexer that a day's index file is damaged; it is built anew.
    pub(crate) fn damaged(&self, day: Day) {
        lock(&self.0.wishes).damaged.insert(day);
        self.0.wake.notify_all();
    }

    fn stopping(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// Tells the indexer that a day file has grown.
    pub(crate) fn grown(&self, days: impl IntoIterator<Item = Day>) {
        lock(&self.0.wishes).grown.extend(days);
        self.0.wake.notify_all();
    }

    /// The day if it is in memory; never loads.
    pub(crate) fn hot(&self, day: Day) -> Option<Arc<Hot>> {
        lock(&self.0.hot).get(&day).cloned()
    }

    /// Whether [`Store::day`] answers at once.
    pub(crate) fn is_ready(&self, day: Day) -> bool {
        self.hot(day)
            .is_some_and(|hot| hot.ready.load(Ordering::Acquire))
    }

    /// The day, loaded and indexed first where needed. Blocks for at most [`LOAD_WAIT`]. A day
    /// without a file is empty.
    pub(crate) fn day(&self, day: Day) -> Arc<Hot> {
        let deadline = Instant::now() + LOAD_WAIT;
        let mut asked = false;
        loop {
            let found = {
                let hot = lock(&self.0.hot);
                let found = hot.get(&day);
                // Marked under the lock, so that the import of old days does not let go of it now.
                if let Some(hot) = found {
                    let now = self.0.clock.fetch_add(1, Ordering::Relaxed);
                    hot.used.store(now, Ordering::Relaxed);
                }
                found.cloned()
            };
            if let Some(hot) = found.as_ref().filter(|hot| hot.is_ready()) {
                return Arc::clone(hot);
            }
            let late = Instant::now() >= deadline || self.stopping();
            if late || !dayfile::exists(self.log_dir(), day) {
                let empty = || {
                    Arc::new(Hot::new(
                        day,
                        DayTable::new(FloodRule::Own),
                        DayIds::default(),
                    ))
                };
                return found.unwrap_or_else(empty);
            }
            let mut wishes = lock(&self.0.wishes);
            // The import of old days lets go of a day that it has read; then it has to be read again.
            if !asked || found.is_none() {
                asked = true;
                wishes.wanted.insert(day);
                self.0.wake.notify_all();
            }
            drop(self.0.ready.wait_timeout(wishes, Duration::from_millis(50)));
        }
    }

    /// The day as far as it is in memory; does not wait. [`Store::day`] loads it.
    pub(crate) fn present(&self, day: Day) -> Arc<Hot> {
        let hot = self.hot(day).unwrap_or_else(|| {
            Arc::new(Hot::new(
                day,
                DayTable::new(FloodRule::Own),
                DayIds::default(),
            ))
        });
        hot.used.store(
            self.0.clock.fetch_add(1, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        hot
    }

    /// Runs `ask` over the table of a day that is in memory, as `scope` may see it.
    pub(crate) fn query<T>(&self, day: Day, scope: &Scope, ask: impl FnOnce(&DayTable) -> T) -> T {
        self.query_in(&self.present(day), scope, ask)
    }

    /// As [`Store::query`], over a day that the asker holds, so that it cannot leave the memory in between.
    pub(crate) fn query_in<T>(
        &self,
        hot: &Hot,
        scope: &Scope,
        ask: impl FnOnce(&DayTable) -> T,
    ) -> T {
        if scope.is_everything() {
            return ask(&hot.table());
        }
        let scoped = self.scoped(hot, scope);
        let mut scoped = lock(&scoped);
        scoped.catch_up(hot, self.index_dir(), scope);
        ask(&scoped.table)
    }

    fn scoped(&self, hot: &Hot, scope: &Scope) -> Arc<Mutex<ScopedTable>> {
        let mut scopes = lock(&hot.scopes);
        if scopes.len() >= MAX_SCOPES && !scopes.contains_key(scope) {
            scopes.clear();
            self.0.index.evictions.add(1);
        }
        let new = || {
            let table = self.empty_table(FloodRule::Told);
            Arc::new(Mutex::new(ScopedTable::new(table)))
        };
        Arc::clone(scopes.entry(scope.clone()).or_insert_with(new))
    }

    /// Days with a file and their number of events, as `scope` may see them. Days that the index
    /// has not reached are counted by lines.
    pub(crate) fn days(
        &self,
        from: Day,
        to: Day,
        scope: &Scope,
    ) -> std::io::Result<Vec<(Day, u64)>> {
        let mut days = Vec::new();
        for (day, size) in dayfile::list(self.log_dir())? {
            if day < from || day > to {
                continue;
            }
            let events = if scope.is_everything() {
                self.event_count(day, size)
            } else {
                self.day(day);
                self.query(day, scope, |table| table.events)
            };
            days.push((day, events));
        }
        days.reverse();
        Ok(days)
    }

    fn event_count(&self, day: Day, size: Option<u64>) -> u64 {
        if let Some(hot) = self
            .hot(day)
            .filter(|hot| hot.ready.load(Ordering::Acquire))
        {
            return hot.table().events;
        }
        let found = || DayFile::open(self.log_dir(), day);
        let Some(size) = size.or_else(|| found().ok()?.len().ok()) else {
            return 0;
        };
        if let Some(&(known, events)) = lock(&self.0.line_counts).get(&day)
            && known == size
        {
            return events;
        }
        let indexed = sql::path(self.index_dir(), day).exists().then(|| {
            let totals =
                sql::DayReader::open(self.index_dir(), day).and_then(|reader| reader.totals());
            totals
                .ok()
                .filter(|&(_, offset)| offset == size)
                .map(|(events, _)| events)
        });
        // A day whose index was removed to save space.
        let kept = || Known::read(self.index_dir(), day).events;
        let kept = || kept().filter(|(known, _)| *known == size);
        let events = indexed
            .flatten()
            .or_else(|| kept().map(|(_, events)| events))
            .or_else(|| found().ok()?.count_lines().ok())
            .unwrap_or(0);
        let mut counts = lock(&self.0.line_counts);
        if counts.len() > 20_000 {
            counts.clear();
        }
        counts.insert(day, (size, events));
        events
    }

    /// Today by the server's clock.
    pub(crate) fn today(&self) -> Day {
        self.0.zone.day(Timestamp::now())
    }

    /// Drops the index of one day, or of all; it is built anew. Only without a running indexer.
    pub(crate) fn drop_index(&self, day: Option<Day>) -> std::io::Result<Vec<Day>> {
        let mut dropped = Vec::new();
        for (known, _) in dayfile::list(self.log_dir())? {
            if day.is_none_or(|day| day == known) {
                sql::remove(self.index_dir(), known);
                dropped.push(known);
            }
        }
        Ok(dropped)
    }

    /// Indexes every day file to its end, newest first, telling `progress` after each.
    pub(crate) fn index_all(&self, mut progress: impl FnMut(Day, u64)) -> std::io::Result<()> {
        let mut indexer = indexer::Indexer::new(self.clone());
        for (day, _) in dayfile::list(self.log_dir())? {
            indexer.finish(day);
            progress(day, self.hot(day).map_or(0, |hot| hot.table().events));
        }
        Ok(())
    }
}
