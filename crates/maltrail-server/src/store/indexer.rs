//! The one thread that reads day files and writes index files.
//!
//! Order of work: days that a query waits for, days that have grown, then one step of the backlog
//! (days never indexed, newest first). A step is one chunk of whole lines: parse, apply in memory,
//! commit with the new offset. When a commit fails, memory is ahead of the file, so the day is
//! dropped from memory and read back: nothing is counted twice. A file that shrank or was replaced,
//! a damaged index or one of another version is rebuilt from the day file.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use maltrail_core::event::line::split_columns;
use maltrail_core::event::{EventId, Kind};
use maltrail_core::limits::EVENT_COLUMNS;
use maltrail_core::time::{Day, Timestamp, Zone};

use super::sql::{self, DayDb, EventRow, IndexError, Progress};
use super::table::Fields;
use super::{Hot, Store, dayfile, lock};

/// How often files of other writers are looked at.
const POLL: Duration = Duration::from_millis(300);
/// How often the whole folder is looked at.
const SCAN: Duration = Duration::from_secs(10);
/// Pause of a day after a failed commit.
const RETRY: Duration = Duration::from_secs(1);

/// The writer's side of a hot day.
struct Writer {
    db: DayDb,
    hot: Arc<Hot>,
    progress: Progress,
    inode: Option<u64>,
}

pub(crate) struct Indexer {
    store: Store,
    writers: HashMap<Day, Writer>,
    backlog: Vec<Day>,
    paused: HashMap<Day, Instant>,
    chunk: Vec<u8>,
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
            let days = self.wanted_days();
            for day in days {
                self.finish(day);
            }
            if let Some(&day) = self.backlog.last() {
                if !matches!(self.step(day), Step::More) {
                    self.backlog.pop();
                    self.store
                        .index()
                        .backlog_days
                        .set(self.backlog.len() as u64);
                    self.forget_unless_wanted(day);
                }
                continue;
            }
            let wishes = lock(&self.store.0.wishes);
            if wishes.grown.is_empty() && wishes.wanted.is_empty() {
                drop(self.store.0.wake.wait_timeout(wishes, POLL));
            }
        }
    }

    /// Reads a day to its end. Days of a running intake end because their writer is slower.
    pub(crate) fn finish(&mut self, day: Day) {
        while !self.store.stopping() {
            match self.step(day) {
                Step::More => {}
                Step::Done | Step::Failed => break,
            }
        }
    }

    /// Days with wishes, with today and yesterday always among them.
    fn wanted_days(&self) -> Vec<Day> {
        let today = self.store.today();
        let mut wishes = lock(&self.store.0.wishes);
        let mut days: Vec<Day> = wishes.wanted.drain().collect();
        let grown: HashSet<Day> = wishes.grown.drain().collect();
        drop(wishes);
        days.extend(grown);
        days.extend([today, today.plus(-1)]);
        days.extend(self.paused.keys());
        let mut seen = HashSet::new();
        days.retain(|&day| seen.insert(day));
        days
    }

    /// Looks for day files that the index has not read to the end.
    fn scan(&mut self) {
        let Ok(days) = dayfile::list(self.store.log_dir()) else {
            return;
        };
        self.backlog.clear();
        for (day, size) in days.into_iter().rev() {
            let read = match self.writers.get(&day) {
                Some(writer) => Some(writer.progress.offset),
                None if sql::path(self.store.index_dir(), day).exists() => {
                    let reader = sql::DayReader::open(self.store.index_dir(), day);
                    reader
                        .and_then(|reader| reader.totals())
                        .ok()
                        .map(|(_, offset)| offset)
                }
                None => None,
            };
            // An unfinished last line keeps a file longer than its offset; a step costs little then.
            if size > 0 && read != Some(size) {
                self.backlog.push(day);
            }
        }
        self.store
            .index()
            .backlog_days
            .set(self.backlog.len() as u64);
    }

    /// A day of the backlog need not stay in memory.
    fn forget_unless_wanted(&mut self, day: Day) {
        let unused = self
            .store
            .hot(day)
            .is_some_and(|hot| hot.used.load(Ordering::Relaxed) == 0);
        if unused && day.days_since(self.store.today()).abs() > 1 {
            self.drop_day(day);
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
                self.drop_day(day);
                self.paused.insert(day, Instant::now() + RETRY);
                Step::Failed
            }
        }
    }

    fn try_step(&mut self, day: Day) -> Result<Step, IndexError> {
        let Ok(file) = File::open(dayfile::path(self.store.log_dir(), day)) else {
            return Ok(Step::Done);
        };
        let (size, inode) = file
            .metadata()
            .map_or((0, 0), |meta| (meta.len(), meta.ino()));
        self.load(day)?;
        let replaced = self.writers.get(&day).is_some_and(|writer| {
            size < writer.progress.offset
                || writer.inode.is_some_and(|known| known != inode)
                || (writer.inode.is_none()
                    && writer.progress.offset > 0
                    && first_line_id(&file) != Some(writer.progress.head))
        });
        if replaced {
            tracing::warn!(%day, "index: the day file was replaced or cut; building its index anew");
            self.rebuild(day);
            self.load(day)?;
        }
        let Some(writer) = self.writers.get_mut(&day) else {
            return Ok(Step::Failed);
        };
        writer.inode = Some(inode);
        if dayfile::read_chunk(&file, writer.progress.offset, &mut self.chunk).is_err() {
            return Ok(Step::Failed);
        }
        if self.chunk.is_empty() {
            if !writer.hot.ready.swap(true, Ordering::AcqRel) {
                self.store.0.ready.notify_all();
            }
            return Ok(Step::Done);
        }
        let store = self.store.clone();
        apply(writer, &store, &self.chunk)?;
        self.store.0.changes.send_modify(|count| *count += 1);
        self.evict(day);
        Ok(Step::More)
    }

    fn load(&mut self, day: Day) -> Result<(), IndexError> {
        if self.writers.contains_key(&day) {
            return Ok(());
        }
        let index_dir = self.store.index_dir().to_owned();
        let (db, loaded) = match DayDb::open(&index_dir, day) {
            Err(error) if error.is_damage() => {
                tracing::warn!(%day, %error, "index: the file is damaged or of another version; building it anew");
                self.store.index().rebuilds.add(1);
                sql::remove(&index_dir, day);
                DayDb::open(&index_dir, day)?
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
                inode: None,
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

fn first_line_id(file: &File) -> Option<u64> {
    let mut chunk = Vec::new();
    dayfile::read_chunk(file, 0, &mut chunk).ok()?;
    head_of(&chunk)
}

fn head_of(chunk: &[u8]) -> Option<u64> {
    let line = chunk.split(|&byte| byte == b'\n').next()?;
    Some(EventId::of_line(&String::from_utf8_lossy(line)).0)
}

fn apply(writer: &mut Writer, store: &Store, chunk: &[u8]) -> Result<(), IndexError> {
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
    let mut rows = Vec::with_capacity(lines.len());
    let mut atoms = HashSet::new();
    {
        let mut ids = writer.hot.ids();
        let mut table = writer.hot.table_mut();
        table.generation += 1;
        for line in &lines {
            if !ids.index(line.id) {
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
                    atoms.insert(added.atom);
                    rows.push(EventRow {
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
    let atoms: Vec<u32> = atoms.into_iter().collect();
    writer
        .db
        .commit(&writer.hot.table(), &atoms, &rows, progress)?;
    let counters = store.index();
    counters.commits.add(1);
    counters.events.add(rows.len() as u64);
    counters.bad_lines.add(bad);
    counters
        .duplicates
        .add(progress.duplicates - writer.progress.duplicates);
    counters
        .overflow
        .add(progress.overflow - writer.progress.overflow);
    writer.progress = progress;
    Ok(())
}
