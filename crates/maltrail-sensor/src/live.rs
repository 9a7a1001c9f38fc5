//! Live detection by one worker, or by several whose notes are merged.
//!
//! ```text
//! alone:    sockets ─► Engine ─────────────────────► Outbox            one thread
//! several:  sockets ─► Engine::note ─ queue ─► Merger ─► Outbox        one thread each, and one that merges
//! ```
//!
//! Notes are merged up to the time that every worker has seen. Bounds: [`QUEUE`] batches of a worker; one
//! whose queue is full waits, and the kernel's ring fills meanwhile. Notes wait [`PATIENCE`] at most and
//! [`MOST_WAITING`] in all; beyond it they are merged as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{Engine, Merger, Notes};

use crate::outbox::Outbox;
use crate::post::Post;
use crate::reload::Reloads;
use crate::trails::Lists;
use crate::vitals::Vitals;

/// Nap when no interface had a packet. The kernel's ring holds seconds of traffic; a blocking read
/// would hold up events, timers and a stop until the next packet.
const NAP: Duration = Duration::from_millis(5);
/// Pause between two housekeepings.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Batches of notes of all workers that may wait for the merging thread.
const QUEUE: usize = 64;
/// How long notes wait for a worker that says nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most notes that wait.
const MOST_WAITING: usize = 1 << 20;
/// Batches between which a busy worker hands its notes on, as a number of notes.
const BATCH: usize = 8192;
/// The longest that an idle worker leaves the merging thread without word of its time.
const WORD: Duration = Duration::from_millis(100);

/// Captures with one worker until `stop`.
pub(crate) fn alone(
    mut post: Post,
    engine: &mut Engine,
    outbox: &mut Outbox,
    reloads: &Reloads,
    stop: &AtomicBool,
) {
    let mut kept = Instant::now();
    let mut events = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Some(lists) = reloads.take() {
            engine.set_trails(lists.trails, lists.whitelist);
            outbox.set_ignore(lists.ignore);
        }
        let turn = post.turn(|link, at, frame| engine.packet(link, at, frame, &mut events));
        if kept.elapsed() >= HOUSEKEEPING {
            kept = Instant::now();
            let now = Timestamp::now();
            engine.tick(now, &mut events);
            outbox.put(&mut events);
            post.housekeep(now, engine);
            outbox.housekeep(now);
        }
        outbox.put(&mut events);
        if turn.packets == 0 {
            std::thread::sleep(NAP);
        }
    }
    engine.finish(Timestamp::now(), &mut events);
    outbox.put(&mut events);
    post.finish(engine);
}

/// What a worker hands to the thread that merges.
struct Word {
    worker: usize,
    notes: Notes,
    /// It has seen all packets up to this time.
    until: Timestamp,
}

/// Captures with several workers until `stop`; each post has its engine.
///
/// # Errors
/// When a worker has failed.
pub(crate) fn team(
    posts: Vec<(Post, Engine)>,
    mut merger: Merger,
    outbox: &mut Outbox,
    reloads: &Reloads,
    vitals: &Vitals,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let (sender, words) = bounded(QUEUE);
    let mut fresh = Vec::new();
    let mut threads = Vec::new();
    for (worker, (post, engine)) in posts.into_iter().enumerate() {
        let (lists, incoming) = bounded(1);
        fresh.push(lists);
        let (stop, words) = (Arc::clone(stop), sender.clone());
        let member = Member {
            worker,
            post,
            engine,
            words,
            lists: incoming,
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker {worker}"))
            .spawn(move || member.run(&stop))
            .context("cannot start a worker")?;
        threads.push(thread);
    }
    drop(sender);
    let mut desk = MergingDesk {
        seen: vec![Timestamp::default(); threads.len()],
        oldest: None,
        most: MOST_WAITING,
        events: Vec::new(),
        merger: &mut merger,
        outbox,
        vitals,
    };
    desk.run(&words, reloads, &fresh);
    let mut failure = None;
    for (worker, thread) in threads.into_iter().enumerate() {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failure = Some(error),
            Err(_) => failure = Some(anyhow::anyhow!("worker {worker} ended by a fault of ours")),
        }
    }
    desk.finish();
    match failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// One worker of several.
struct Member {
    worker: usize,
    post: Post,
    engine: Engine,
    words: Sender<Word>,
    lists: Receiver<Lists>,
}

impl Member {
    fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let result = self.capture(stop);
        if result.is_err() {
            // Half a sensor would look like a whole one.
            stop.store(true, Ordering::Relaxed);
        }
        let now = Timestamp::now();
        self.engine.note_end(order(now), now);
        let notes = self.engine.take_notes();
        let _ = self.words.send(Word {
            worker: self.worker,
            notes,
            until: now,
        });
        self.post.finish(&mut self.engine);
        result
    }

    fn capture(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let (mut kept, mut told) = (Instant::now(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            if let Ok(lists) = self.lists.try_recv() {
                self.engine.set_trails(lists.trails, lists.whitelist);
            }
            let engine = &mut self.engine;
            let turn = self
                .post
                .turn(|link, at, frame| engine.note(order(at), link, at, frame));
            if kept.elapsed() >= HOUSEKEEPING {
                kept = Instant::now();
                let now = Timestamp::now();
                self.engine.note_time(order(turn.until), turn.until);
                self.post.housekeep(now, &mut self.engine);
            }
            let notes = self.engine.noted();
            if notes >= BATCH || told.elapsed() >= WORD || (turn.packets == 0 && notes > 0) {
                told = Instant::now();
                let word = Word {
                    worker: self.worker,
                    notes: self.engine.take_notes(),
                    until: turn.until,
                };
                if self.words.send(word).is_err() {
                    bail!("the thread that merges has ended");
                }
            }
            if turn.packets == 0 {
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }
}

/// The number of a packet among those of all workers: its time.
fn order(at: Timestamp) -> u64 {
    u64::try_from(at.micros()).unwrap_or_default()
}

/// The thread that merges.
struct MergingDesk<'a> {
    /// Up to when each worker has seen everything.
    seen: Vec<Timestamp>,
    /// Since when something waits.
    oldest: Option<Instant>,
    /// How much may wait.
    most: usize,
    events: Vec<Event>,
    merger: &'a mut Merger,
    outbox: &'a mut Outbox,
    vitals: &'a Vitals,
}

impl MergingDesk<'_> {
    /// Merges until all workers have ended.
    fn run(&mut self, words: &Receiver<Word>, reloads: &Reloads, fresh: &[Sender<Lists>]) {
        let mut kept = Instant::now();
        loop {
            match words.recv_timeout(WORD) {
                Ok(word) => {
                    self.take(word);
                    while let Ok(word) = words.try_recv() {
                        self.take(word);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(lists) = reloads.take() {
                for worker in fresh {
                    // It takes them at its next turn; an ended one needs none.
                    let _ = worker.send_timeout(lists.clone(), PATIENCE);
                }
                self.merger.set_trails(lists.whitelist);
                self.outbox.set_ignore(lists.ignore);
            }
            self.merge();
            if kept.elapsed() >= HOUSEKEEPING {
                kept = Instant::now();
                let common = self.common();
                if common > Timestamp::default() {
                    self.merger.tick(common, &mut self.events);
                    self.outbox.put(&mut self.events);
                }
                self.vitals.census(self.merger.counters());
                self.outbox.housekeep(Timestamp::now());
            }
        }
    }

    fn take(&mut self, word: Word) {
        self.merger.put(word.worker, word.notes);
        if let Some(seen) = self.seen.get_mut(word.worker) {
            *seen = word.until;
        }
    }

    /// Up to when all workers have seen everything.
    fn common(&self) -> Timestamp {
        self.seen.iter().copied().min().unwrap_or_default()
    }

    fn merge(&mut self) {
        let late = self
            .oldest
            .is_some_and(|oldest| oldest.elapsed() >= PATIENCE);
        let all = late || self.merger.waiting() > self.most;
        let until = if all { u64::MAX } else { order(self.common()) };
        let before = self.merger.waiting();
        self.merger.merge(until, &mut self.events);
        let after = self.merger.waiting();
        self.oldest = match (after, after < before) {
            (0, _) => None,
            (_, true) => Some(Instant::now()),
            (_, false) => Some(self.oldest.unwrap_or_else(Instant::now)),
        };
        self.outbox.put(&mut self.events);
    }

    fn finish(mut self) {
        self.merger.merge(u64::MAX, &mut self.events);
        self.merger.finish(Timestamp::now(), &mut self.events);
        self.outbox.put(&mut self.events);
        self.vitals.census(self.merger.counters());
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::config::{Config, Environment};
    use maltrail_core::trail::{TrailSet, Whitelist};
    use maltrail_engine::{EngineConfig, IgnoreRules, Policy, PolicyConfig, UserAgents};
    use maltrail_wire::LinkType;

    use super::*;
    use crate::outbox::Pace;
    use crate::sinks::Sinks;
    use crate::vitals::Setup;

    /// A SYN from 192.0.2.10 to 203.0.113.7, behind no link layer.
    const SYN: [u8; 40] = [
        0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 10, 203, 0, 113, 7, // IPv4
        0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0, // TCP
    ];

    struct House {
        scout: Engine,
        merger: Merger,
        outbox: Outbox,
        vitals: Arc<Vitals>,
    }

    fn house() -> House {
        let text = "DISABLE_LOCAL_LOG_STORAGE true\nLOG_SERVER 127.0.0.1:9\n";
        let path = std::path::Path::new("/");
        let (config, _) = Config::parse(text, "f", path, &Environment::default()).expect("valid");
        let engine = EngineConfig {
            sensor: "s".to_owned(),
            detect: config.detect.clone(),
            home: NetworkSet::private(),
            user_agents: Arc::new(UserAgents::parse("").expect("none")),
        };
        let whitelist = Arc::new(Whitelist::parse([""]));
        let trails = TrailSet::from_csv(&b"203.0.113.7,x,r\n"[..], Whitelist::parse([""]), true);
        let trails = Arc::new(trails.expect("trails"));
        let policy = Policy::new(
            PolicyConfig {
                throttle: maltrail_core::config::ThrottleMode::Off,
                window_secs: 60,
                burst: 3,
                max_keys: 10,
                workers: 2,
            },
            Arc::new(IgnoreRules::default()),
        );
        let vitals = Arc::new(Vitals::new(Setup::default()));
        let sinks = Sinks::open(&config, false).expect("sinks");
        let sinks = sinks.spawn().expect("thread");
        House {
            scout: Engine::scout(engine.clone(), trails, Arc::clone(&whitelist), 2),
            merger: Merger::new(engine, whitelist),
            outbox: Outbox::new(policy, sinks, Arc::clone(&vitals), Pace::Clock),
            vitals,
        }
    }

    impl House {
        /// What worker 0 says of a SYN in the second `at`.
        fn word(&mut self, at: i64) -> Word {
            let at = Timestamp::from_parts(at, 0);
            self.scout.note(order(at), LinkType::RAW, at, &SYN);
            Word {
                worker: 0,
                notes: self.scout.take_notes(),
                until: at,
            }
        }

        fn desk(&mut self, most: usize) -> MergingDesk<'_> {
            MergingDesk {
                seen: vec![Timestamp::default(); 2],
                oldest: None,
                most,
                events: Vec::new(),
                merger: &mut self.merger,
                outbox: &mut self.outbox,
                vitals: &self.vitals,
            }
        }
    }

    fn silence(until: i64) -> Word {
        Word {
            worker: 1,
            notes: Notes::default(),
            until: Timestamp::from_parts(until, 0),
        }
    }

    #[test]
    fn notes_wait_for_the_other_worker() {
        let mut house = house();
        let word = house.word(1_700_000_000);
        let mut desk = house.desk(100);
        desk.take(word);
        desk.merge();
        assert_eq!(desk.outbox.admitted(), 0);
        desk.take(silence(1_699_999_999));
        desk.merge();
        assert_eq!(
            desk.outbox.admitted(),
            0,
            "it may still bring something older"
        );
        desk.take(silence(1_700_000_000));
        desk.merge();
        assert_eq!(desk.outbox.admitted(), 1);
    }

    #[test]
    fn a_worker_that_says_nothing_holds_up_the_others_for_a_moment_only() {
        let mut house = house();
        let word = house.word(1_700_000_000);
        let mut desk = house.desk(100);
        desk.take(word);
        desk.merge();
        desk.oldest = desk.oldest.and_then(|since| since.checked_sub(PATIENCE));
        desk.merge();
        assert_eq!(desk.outbox.admitted(), 1);
    }

    #[test]
    fn too_much_that_waits_is_merged_as_it_is() {
        let mut house = house();
        let words: Vec<Word> = (0..4).map(|n| house.word(1_700_000_000 + n)).collect();
        let mut desk = house.desk(8);
        let (mut waiting, mut admitted) = (0, 0);
        for word in words {
            waiting += word.notes.len();
            desk.take(word);
            desk.merge();
            admitted = desk.outbox.admitted();
        }
        assert!(waiting > 8 && admitted >= 2, "{waiting} {admitted}");
    }
}
