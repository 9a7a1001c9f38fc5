//! The one thread that reads day files and writes index files.
//!
//! Order of work: days that a query waits for, days that have grown, then one step of the backlog
//! (days never indexed, newest first). A step is one chunk of whole lines: parse, apply in memory,
//! commit with the new offset. When a commit fails (disk full), memory stays ahead of the file, its
//! rows wait and are committed with the next ones; beyond [`MAX_WAITING`] rows reading pauses. A file
//! that shrank or was replaced, a damaged index or one of another version is rebuilt from the day
//! file. A day under constant writing gets [`FAIR_STEPS`] steps, then others have their turn.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use maltrail_core::event::line::split_columns;
use maltrail_core::event::{EventId, Kind};
use maltrail_core::limits::EVENT_COLUMNS;
use maltrail_core::time::{Day, Timestamp, Zone};

use super::counters::IndexCounters;
use super::dayfile::{DayFile, Inodes};
use super::known::Known;
use super::sql::{self, DayDb, EventRow, IndexError, Progress};
use super::table::{Fields, FloodRule};
use super::trace::Window;
use super::{Hot, Store, dayfile, files, lock};

/// How often files of other writers are looked at.
const POLL: Duration = Duration::from_millis(300);
/// How often the whole folder is looked at.
const SCAN: Duration = Duration::from_secs(10);
/// Steps of a growing day before others have their turn.
const FAIR_STEPS: usize = 4;
/// Rows that wait for a commit that fails, about 60 bytes each.
const MAX_WAITING: usize = 500_000;
/// How often the progress of an import is said.
const REPORT: Duration = Duration::from_secs(30);
/// Pause of a day after a failed commit.
const RETRY: Duration = Duration::from_secs(1);

/// The writer's side of a hot day.
struct Writer {
    db: DayDb,
    hot: Arc<Hot>,
    /// How far memory has come; the file is there too unless rows wait.
    progress: Progress,
    /// The day's lines as they were opened last.
    file: Option<DayFile>,
    /// They are certainly not those that were read before.
    suspect: bool,
    /// They may be others than those that were read before.
    unsure: bool,
    rows: Vec<EventRow>,
    atoms: HashSet<u32>,
}

impl Writer {
    /// Whether memory is ahead of the file.
    fn waits(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Stores what waits. On failure it goes on waiting.
    fn commit(&mut self, store: &Store) -> Result<(), IndexError> {
        let _window = store.0.trace.enter(Window::Commit);
        let atoms: Vec<u32> = self.atoms.iter().copied().collect();
        self.db
            .commit(&self.hot.table(), &atoms, &self.rows, self.progress)?;
        self.rows.clear();
        self.atoms.clear();
        store.index().commits.add(1);
        Ok(())
    }
}

pub(crate) struct Indexer {
    store: Store,
    writers: HashMap<Day, Writer>,
    /// Days to be read, the next one last, and whether the index lacks them.
    backlog: Vec<(Day, bool)>,
    import: Import,
    paused: HashMap<Day, Instant>,
    chunk: Vec<u8>,
}

/// How far the reading of days that the index lacks has come, for the log and the health page. Bounded by
/// the number of day files.
#[derive(Debug, Default)]
struct Import {
    pending: HashSet<Day>,
    total: usize,
    told: Option<Instant>,
}

impl Import {
    /// The folder holds these days that are not read to the end, some of which the index lacks.
    fn found(&mut self, backlog: &[(Day, bool)], counters: &IndexCounters) {
        let all: HashSet<Day> = backlog.iter().map(|(day, _)| *day).collect();
        self.pending.retain(|day| all.contains(day));
        if self.pending.is_empty() && self.told.is_none() {
            self.total = 0;
        }
        for (day, _) in backlog.iter().filter(|(_, new)| *new) {
            self.total += usize::from(self.pending.insert(*day));
        }
        if self.told.is_none() && !self.pending.is_empty() {
            self.told = Some(Instant::now());
            tracing::info!(
                days = self.pending.len(),
                "index: LOG_DIR has days that are not in the index yet; reading them, newest first"
            );
        }
        self.tell(counters);
    }

    /// A day is read.
    fn done(&mut self, day: Day, counters: &IndexCounters) {
        if self.pending.remove(&day) {
            self.tell(counters);
        }
    }

    fn tell(&mut self, counters: &IndexCounters) {
        let done = self.total - self.pending.len();
        if self.total > 0 {
            counters.import_days.set(self.total as u64);
            counters.import_done.set(done as u64);
        }
        match self.told {
            Some(_) if self.pending.is_empty() => {
                self.told = None;
                tracing::info!(days = done, "index: all days of LOG_DIR are read");
            }
            Some(told) if told.elapsed() >= REPORT => {
                self.told = Some(Instant::now());
                tracing::info!("index: {done} of {} days read", self.total);
            }
            _ => {}
        }
    }
}

enum Step {
    More,
    Done,
    Failed,
}

impl Indexer {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            writers: HashMap::new(),
            backlog: Vec::new(),
            import: Import::default(),
            paused: HashMap::new(),
            chunk: Vec::new(),
        }
    }

    /// Works until the store stops.
    pub(crate) fn run(mut self) {
        let mut next_scan = Instant::now();
        while !self.store.stopping() {
            if Instant::now() >= next_scan {
                self.scan();
                next_scan = Instant::now() + SCAN;
            }
            self.forget();
            let (wanted, growing) = self.wishes();
            for day in wanted {
                self.finish(day);
            }
            let mut busy = false;
            for day in growing {
                busy |= self.advance(day);
            }
            if busy {
                continue;
            }
            if let Some(&(day, _)) = self.backlog.last() {
                if !matches!(self.step(day), Step::More) {
                    self.backlog.pop();
                    self.import.done(day, self.store.index());
                    self.store
                        .index()
                        .backlog_days
                        .set(self.backlog.len() as u64);
                    self.forget_unless_wanted(day);
                }
                continue;
            }
            let wishes = lock(&self.store.0.wishes);
            if wishes.are_none() {
                drop(self.store.0.wake.wait_timeout(wishes, POLL));
            }
        }
    }

    /// Reads a day to its end.
    pub(crate) fn finish(&mut self, day: Day) {
        while !self.store.stopping() && matches!(self.step(day), Step::More) {}
    }

    /// Takes a few steps; tells whether there is more.
    fn advance(&mut self, day: Day) -> bool {
        (0..FAIR_STEPS).all(|_| !self.store.stopping() && matches!(self.step(day), Step::More))
    }

    /// Days that queries wait for, and days that have grown, with today and yesterday always among
    /// them.
    fn wishes(&self) -> (Vec<Day>, HashSet<Day>) {
        let today = self.store.today();
        let mut wishes = lock(&self.store.0.wishes);
        let wanted = wishes.wanted.drain().collect();
        let mut growing: HashSet<Day> = wishes.grown.drain().collect();
        drop(wishes);
        growing.extend([today, today.plus(-1)]);
        growing.extend(self.paused.keys());
        (wanted, growing)
    }

    /// Looks for day files that the index has not read to the end.
    pub(super) fn scan(&mut self) {
        let Ok(days) = dayfile::list(self.store.log_dir()) else {
            return;
        };
        let index_dir = self.store.index_dir();
        let limit = self.store.0.index_max.load(Ordering::Relaxed) / 10 * 9;
        let full = files::index_bytes(index_dir) >= limit;
        let today = self.store.today();
        self.backlog.clear();
        for (day, size) in days.into_iter().rev() {
            let read = match self.writers.get(&day) {
                Some(writer) => Some(writer.progress.offset),
                None if sql::path(index_dir, day).exists() => sql::DayReader::open(index_dir, day)
                    .and_then(|reader| reader.totals())
                    .map(|(_, offset)| offset)
                    .ok(),
                // Removed to save space: until somebody asks. Or there is no space for more.
                None if full || Known::read(index_dir, day).events.is_some() => continue,
                None => None,
            };
            // An unfinished last line keeps a file longer than its offset; a step costs little then.
            if size != Some(0) && (size.is_none() || read != size) {
                let recent = day.days_since(today).abs() <= 1;
                self.backlog.push((day, read.is_none() && !recent));
            }
        }
        self.import.found(&self.backlog, self.store.index());
        self.store
            .index()
            .backlog_days
            .set(self.backlog.len() as u64);
    }

    /// Removes index files as wished.
    pub(super) fn forget(&mut self) {
        let (forgotten, damaged) = {
            let mut wishes = lock(&self.store.0.wishes);
            (
                std::mem::take(&mut wishes.forgotten),
                std::mem::take(&mut wishes.damaged),
            )
        };
        for day in damaged {
            tracing::warn!(%day, "index: the file is damaged; building it anew");
            self.rebuild(day);
        }
        let index_dir = self.store.index_dir().to_owned();
        for day in forgotten {
            let totals = sql::DayReader::open(&index_dir, day).and_then(|reader| reader.totals());
            self.drop_day(day);
            sql::remove(&index_dir, day);
            if !dayfile::exists(self.store.log_dir(), day) {
                let _ = std::fs::remove_file(Known::path(&index_dir, day));
            } else if let Ok((events, offset)) = totals {
                Known::update(&index_dir, day, |known| {
                    known.events = Some((offset, events))
                });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn backlog_is_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// A day of the backlog need not stay in memory.
    fn forget_unless_wanted(&mut self, day: Day) {
        if day.days_since(self.store.today()).abs() <= 1 {
            return;
        }
        let mut hot = lock(&self.store.0.hot);
        // Under the lock under which queries take a day and mark it.
        let unused = |hot: &Arc<Hot>| hot.used.load(Ordering::Relaxed) == 0;
        if hot.get(&day).is_some_and(unused) {
            hot.remove(&day);
            drop(hot);
            self.writers.remove(&day);
        }
    }

    fn step(&mut self, day: Day) -> Step {
        if self
            .paused
            .get(&day)
            .is_some_and(|until| Instant::now() < *until)
        {
            return Step::Failed;
        }
        self.paused.remove(&day);
        match self.try_step(day) {
            Ok(step) => step,
            Err(error) => {
                self.store.index().errors.add(1);
                tracing::error!(%day, %error, "index: cannot follow the day file; trying again");
                if error.is_damage() {
                    self.rebuild(day);
                }
                self.paused.insert(day, Instant::now() + RETRY);
                Step::Failed
            }
        }
    }

    fn try_step(&mut self, day: Day) -> Result<Step, IndexError> {
        if !dayfile::exists(self.store.log_dir(), day) {
            return Ok(Step::Done);
        }
        self.load(day)?;
        if self.open_anew(day).is_err() {
            return Ok(Step::Failed);
        }
        if self.is_replaced(day) {
            tracing::warn!(%day, "index: the day file was replaced or cut; building its index anew");
            self.rebuild(day);
            self.load(day)?;
            if self.open_anew(day).is_err() {
                return Ok(Step::Failed);
            }
        }
        let Some(writer) = self.writers.get_mut(&day) else {
            return Ok(Step::Failed);
        };
        if writer.rows.len() >= MAX_WAITING {
            writer.commit(&self.store)?;
        }
        let Some(file) = &writer.file else {
            return Ok(Step::Failed);
        };
        if file
            .read_chunk(writer.progress.offset, &mut self.chunk)
            .is_err()
        {
            return Ok(Step::Failed);
        }
        if self.chunk.is_empty() {
            if !writer.hot.ready.swap(true, Ordering::AcqRel) {
                self.store.0.ready.notify_all();
            }
            if writer.waits() {
                writer.commit(&self.store)?;
            }
            return Ok(Step::Done);
        }
        apply(writer, &self.store, &self.chunk);
        let committed = writer.commit(&self.store);
        self.store.0.changes.send_modify(|count| *count += 1);
        self.evict(day);
        committed.map(|()| Step::More)
    }

    /// Opens the day's lines, unless they are those that are open. Lines whose archive or file changed are another
    /// file only if they begin otherwise; see [`Indexer::is_replaced`].
    fn open_anew(&mut self, day: Day) -> std::io::Result<()> {
        let Some(writer) = self.writers.get_mut(&day) else {
            return Ok(());
        };
        let now = Inodes::of(self.store.log_dir(), day);
        if writer.file.as_ref().map(DayFile::inodes) != Some(now) {
            let before = writer
                .file
                .replace(DayFile::open(self.store.log_dir(), day)?);
            // A plain file in place of a plain file is another one, whatever it begins with.
            let before = before.map(|file| file.inodes());
            writer.suspect = before.is_some_and(|before| {
                before.archive.is_none() && now.archive.is_none() && before.plain != now.plain
            });
            writer.unsure = writer.progress.offset > 0;
        }
        Ok(())
    }

    /// Whether the day's lines are not those that were read before.
    fn is_replaced(&mut self, day: Day) -> bool {
        let Some(writer) = self.writers.get_mut(&day) else {
            return false;
        };
        let unsure = std::mem::take(&mut writer.unsure);
        let Some(file) = &writer.file else {
            return false;
        };
        let offset = writer.progress.offset;
        let other = || {
            let mut chunk = Vec::new();
            file.read_chunk(0, &mut chunk).is_err() || head_of(&chunk) != Some(writer.progress.head)
        };
        let shorter = file.known_len().is_some_and(|len| len < offset);
        shorter || writer.suspect || (unsure && other())
    }

    fn load(&mut self, day: Day) -> Result<(), IndexError> {
        if self.writers.contains_key(&day) {
            return Ok(());
        }
        let index_dir = self.store.index_dir().to_owned();
        let (db, loaded) = match DayDb::open(
            &index_dir,
            day,
            self.store.empty_table(FloodRule::Own),
        ) {
            Err(error) if error.is_damage() => {
                tracing::warn!(%day, %error, "index: the file is damaged or of another version; building it anew");
                self.store.index().rebuilds.add(1);
                sql::remove(&index_dir, day);
                DayDb::open(&index_dir, day, self.store.empty_table(FloodRule::Own))?
            }
            result => result?,
        };
        let hot = Arc::new(Hot::new(day, loaded.table, loaded.ids));
        lock(&self.store.0.hot).insert(day, Arc::clone(&hot));
        self.writers.insert(
            day,
            Writer {
                db,
                hot,
                progress: loaded.progress,
                file: None,
                suspect: false,
                unsure: false,
                rows: Vec::new(),
                atoms: HashSet::new(),
            },
        );
        self.evict(day);
        Ok(())
    }

    fn rebuild(&mut self, day: Day) {
        self.drop_day(day);
        self.store.index().rebuilds.add(1);
        sql::remove(self.store.index_dir(), day);
    }

    fn drop_day(&mut self, day: Day) {
        self.writers.remove(&day);
        lock(&self.store.0.hot).remove(&day);
    }

    /// Keeps memory within its bound: the least recently used day goes, never today or `busy`.
    fn evict(&mut self, busy: Day) {
        let today = self.store.today();
        loop {
            let days: Vec<Arc<Hot>> = lock(&self.store.0.hot).values().cloned().collect();
            let bytes: usize = days.iter().map(|hot| hot.bytes()).sum();
            self.store.index().hot_days.set(days.len() as u64);
            self.store.index().hot_bytes.set(bytes as u64);
            let oldest = days
                .iter()
                .filter(|hot| hot.day != today && hot.day != busy)
                .min_by_key(|hot| hot.used.load(Ordering::Relaxed));
            match oldest {
                Some(hot) if bytes > self.store.0.hot_bytes => {
                    self.store.index().evictions.add(1);
                    self.drop_day(hot.day);
                }
                _ => return,
            }
        }
    }
}

/// A line of a chunk that is an event.
struct ParsedLine<'a> {
    columns: [Cow<'a, str>; EVENT_COLUMNS],
    id: EventId,
    time: Timestamp,
    hour: u8,
    offset: u64,
    len: u32,
}

fn parse_line<'a>(line: &'a [u8], offset: u64, zone: &Zone) -> Option<ParsedLine<'a>> {
    let text = std::str::from_utf8(line).ok()?;
    let columns = split_columns(text.strip_suffix('\r').unwrap_or(text)).ok()?;
    let time = zone.parse_log_time(columns.first()?)?;
    Kind::parse(columns.get(7)?)?;
    let hour = columns.first()?.get(11..13)?.parse().ok()?;
    Some(ParsedLine {
        columns,
        id: EventId::of_line(text),
        time,
        hour,
        offset,
        len: line.len() as u32,
    })
}

fn head_of(chunk: &[u8]) -> Option<u64> {
    let line = chunk.split(|&byte| byte == b'\n').next()?;
    Some(EventId::of_line(&String::from_utf8_lossy(line)).0)
}

/// Which lines are not repeats. The ids are shared with the intake, so the lock is let go often.
fn fresh_lines(hot: &Hot, lines: &[ParsedLine<'_>]) -> Vec<bool> {
    let mut fresh = Vec::with_capacity(lines.len());
    for some in lines.chunks(1024) {
        let mut ids = hot.ids();
        fresh.extend(some.iter().map(|line| ids.index(line.id)));
    }
    fresh
}

/// Counts a chunk in memory; its rows wait for the commit.
fn apply(writer: &mut Writer, store: &Store, chunk: &[u8]) {
    let mut progress = writer.progress;
    if progress.offset == 0 {
        progress.head = head_of(chunk).unwrap_or_default();
    }
    let mut lines = Vec::with_capacity(chunk.len() / 100);
    let mut bad = 0;
    for line in chunk.split_inclusive(|&byte| byte == b'\n') {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        match parse_line(body, progress.offset, store.zone()) {
            Some(parsed) => lines.push(parsed),
            None => bad += 1,
        }
        progress.offset += line.len() as u64;
    }
    progress.bad_lines += bad;
    let waiting = writer.rows.len();
    let fresh = fresh_lines(&writer.hot, &lines);
    {
        let mut table = writer.hot.table_mut();
        table.generation += 1;
        for (line, fresh) in lines.iter().zip(fresh) {
            if !fresh {
                progress.duplicates += 1;
                continue;
            }
            let [
                _,
                sensor,
                src,
                sport,
                dst,
                dport,
                proto,
                kind,
                trail,
                info,
                reference,
            ] = &line.columns;
            let fields = Fields {
                time: line.time,
                hour: line.hour,
                sensor,
                src,
                sport,
                dst,
                dport,
                proto,
                kind,
                trail,
                info,
                reference,
            };
            match table.add(&fields) {
                Ok(added) => {
                    writer.atoms.insert(added.atom);
                    writer.rows.push(EventRow {
                        eid: line.id.0,
                        time: line.time,
                        hour: line.hour,
                        atom: added.atom,
                        rest: added.rest,
                        offset: line.offset,
                        len: line.len,
                    });
                }
                Err(_) => progress.overflow += 1,
            }
        }
    }
    let counters = store.index();
    counters.events.add((writer.rows.len() - waiting) as u64);
    counters.bad_lines.add(bad);
    counters
        .duplicates
        .add(progress.duplicates - writer.progress.duplicates);
    counters
        .overflow
        .add(progress.overflow - writer.progress.overflow);
    writer.progress = progress;
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::addr::NetworkSet;
    use std::fs::File;
    use std::io::Write;

    fn append(store: &Store, day: Day, from: usize, count: usize) {
        let path = dayfile::path(store.log_dir(), day);
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let mut text = String::new();
        for n in from..from + count {
            text += &format!(
                "\"{day} 10:00:00.{n:06}\" s1 10.0.{}.{} 1 8.8.8.8 53 UDP DNS x{n}.example i (static)\n",
                n / 250 % 250,
                n % 250
            );
        }
        file.write_all(text.as_bytes()).unwrap();
    }

    fn events(store: &Store, day: Day) -> u64 {
        store.hot(day).map_or(0, |hot| hot.table().events)
    }

    #[test]
    fn a_full_disk_stops_neither_answers_nor_is_anything_counted_twice() {
        let dir = tempfile::tempdir().unwrap();
        let day: Day = "2026-11-19".parse().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        let mut indexer = Indexer::new(store.clone());
        append(&store, day, 0, 100);
        indexer.finish(day);
        indexer.writers[&day].db.limit_pages(Some(1));
        append(&store, day, 100, 5000);
        indexer.finish(day);
        assert_eq!((events(&store, day), store.index().errors.get()), (5100, 1));
        assert!(indexer.writers[&day].waits());
        append(&store, day, 5100, 100);
        indexer.paused.clear();
        indexer.finish(day);
        assert_eq!((events(&store, day), store.index().errors.get()), (5200, 2));
        indexer.writers[&day].db.limit_pages(None);
        indexer.paused.clear();
        indexer.finish(day);
        assert!(!indexer.writers[&day].waits());
        drop(indexer);
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        Indexer::new(store.clone()).finish(day);
        assert_eq!(
            (events(&store, day), store.index().events.get()),
            (5200, 0),
            "nothing is read again"
        );
        assert_eq!(store.index().rebuilds.get(), 0);
    }

    /// Appends as the intake does while the indexer's thread runs; every event has to be there once.
    fn all_of(days: &[Day], each: usize) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        let thread = store.spawn_indexer().unwrap();
        let mut appender = crate::store::append::Appender::new(store.clone());
        for n in 0..each {
            for &day in days {
                let time = if n % 2 == 0 { "23:59:59" } else { "00:00:00" };
                let line = format!(
                    "\"{day} {time}.{n:06}\" s1 10.0.0.{} 1 8.8.8.8 53 UDP DNS x{}.example i (static)",
                    n % 250,
                    n % 77
                );
                appender.push(day, EventId::of_line(&line), &line, None);
                // Sent twice, as by two ways.
                appender.push(day, EventId::of_line(&line), &line, None);
            }
            if n % 100 == 99 {
                appender.flush().unwrap();
            }
        }
        appender.flush().unwrap();
        assert_eq!(store.intake().stored.get(), (days.len() * each) as u64);
        for &day in days {
            let until = Instant::now() + Duration::from_secs(60);
            while events(&store, day) < each as u64 && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            let hot = store.day(day);
            assert_eq!(hot.table().events, each as u64, "{day}");
            let hours = sql::DayReader::open(store.index_dir(), day).unwrap();
            let rows = hours.after(0, usize::MAX >> 1).unwrap().0;
            let early = rows.iter().filter(|row| row.hour == 0).count();
            assert_eq!((rows.len(), early), (each, each / 2), "{day}");
        }
        assert_eq!(store.index().duplicates.get(), 0);
        assert_eq!(store.index().rebuilds.get(), 0);
        store.stop();
        thread.join().unwrap();
    }

    #[test]
    fn midnight_under_load_loses_nothing_and_counts_nothing_twice() {
        let today = Zone::UTC.day(Timestamp::now());
        all_of(&[today.plus(-1), today], 6000);
    }

    #[test]
    fn a_clock_that_jumps_back_and_forth_only_picks_the_day() {
        let today = Zone::UTC.day(Timestamp::now());
        let days = [0, 400, -30, 1, -1, -3650, 2].map(|n| today.plus(n));
        all_of(&days, 600);
    }

    #[test]
    fn memory_is_bounded_and_the_least_recently_used_day_goes() {
        let dir = tempfile::tempdir().unwrap();
        let first: Day = "2026-01-01".parse().unwrap();
        let store = Store::open(dir.path(), Zone::UTC, usize::MAX, NetworkSet::private()).unwrap();
        append(&store, first, 0, 3000);
        Indexer::new(store.clone()).finish(first);
        let limit = store.index().hot_bytes.get() * 7 / 2;
        let store =
            Store::open(dir.path(), Zone::UTC, limit as usize, NetworkSet::private()).unwrap();
        let mut indexer = Indexer::new(store.clone());
        for n in 0..6 {
            if n > 0 {
                append(&store, first.plus(n), 0, 3000);
            }
            indexer.finish(first.plus(n));
            if let Some(hot) = store.hot(first) {
                hot.used.store(u64::MAX, Ordering::Relaxed);
            }
        }
        assert!(
            store.index().hot_bytes.get() <= limit,
            "{}",
            store.index().hot_bytes.get()
        );
        assert!(store.index().evictions.get() > 0);
        assert!(store.hot(first).is_some(), "the one that was used stays");
        assert_eq!(events(&store, first.plus(5)), 3000, "the one at work stays");
        indexer.finish(first.plus(1));
        assert_eq!(
            events(&store, first.plus(1)),
            3000,
            "an evicted day comes back whole"
        );
    }
}
