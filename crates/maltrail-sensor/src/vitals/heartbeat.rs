//! A sign of life every [`PERIOD`]: to the log server, else as a file that a server on the same machine
//! reads. The same thread judges the faults and prints the metrics line.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use maltrail_core::time::Timestamp;
use tracing::{info, warn};

use super::{Snapshot, Vitals, line, status};
use crate::pulse::{Announcer, LinkState, faults};
use crate::selftest::Tally;

/// Time between two heartbeats.
pub const PERIOD: Duration = Duration::from_secs(15);
/// Snapshots that are kept: those of a minute.
const KEPT: usize = 4;

/// The heartbeat as one JSON object. `pps` is the rate since `previous`, else since the start; `drops` are all since
/// the start; `selftest` is null until it has run.
pub fn object(now: &Snapshot, previous: Option<&Snapshot>, selftest: Option<Tally>) -> String {
    let (packets, since) = previous.map_or((0, now.setup.started), |previous| {
        (previous.packets(), previous.time)
    });
    let micros = u64::try_from(now.time.micros() - since.micros()).unwrap_or_default();
    let fresh = u128::from(now.packets().saturating_sub(packets));
    let pps = (fresh * 1_000_000)
        .checked_div(micros.into())
        .unwrap_or_default();
    let faults: Vec<String> = now
        .faults
        .iter()
        .map(|fault| {
            let text = quoted(&format!("{}. {}", fault.text, fault.next));
            format!(
                "{{\"id\":{},\"severity\":\"{}\",\"text\":{text}}}",
                quoted(fault.id),
                fault.severity.word()
            )
        })
        .collect();
    let age = now
        .trails_age_secs()
        .map_or_else(|| "null".to_owned(), |age| age.to_string());
    let selftest = selftest.map_or_else(
        || "null".to_owned(),
        |Tally {
             passed,
             failed,
             off,
         }| format!("{{\"passed\":{passed},\"failed\":{failed},\"off\":{off}}}"),
    );
    format!(
        "{{\"maltrail\":1,\"kind\":\"heartbeat\",\"sensor\":{},\"version\":{},\"time\":\"{}\",\"pps\":{pps},\"drops\":{},\
         \"trails\":{{\"count\":{},\"generation\":{},\"age\":{age}}},\"selftest\":{selftest},\"faults\":[{}]}}",
        quoted(&now.setup.sensor),
        quoted(maltrail_core::VERSION),
        now.time.to_rfc3339(),
        now.dropped(),
        now.trails.count,
        now.trails.generation,
        faults.join(",")
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What the thread is to do.
pub struct Heart {
    /// The numbers.
    pub vitals: Arc<Vitals>,
    /// `METRICS_INTERVAL` in seconds; 0 prints no line.
    pub line_secs: u32,
    /// Brings numbers up to date that others hold (sinks, policy, trails), before each look.
    pub refresh: Box<dyn FnMut(&Vitals) + Send>,
    /// Sends the object to every log server that takes one; false when there is none.
    pub send: Box<dyn FnMut(String) -> bool + Send>,
    /// Proves the detectors, once, after the first beat.
    pub selftest: Option<Box<dyn FnOnce() -> Tally + Send>>,
}

/// The running thread; dropping it ends it.
pub struct Beating {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// Beats in a thread of its own, at once and then every [`PERIOD`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(self) -> io::Result<Beating> {
        self.spawn_every(PERIOD)
    }

    fn spawn_every(self, period: Duration) -> io::Result<Beating> {
        let (stop, stopped) = bounded::<()>(0);
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || {
                let mut beat = Beat::new(self);
                loop {
                    let started = Instant::now();
                    beat.once(Timestamp::now(), LinkState::all());
                    beat.prove();
                    let rest = period.saturating_sub(started.elapsed());
                    if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })?;
        Ok(Beating {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// State between beats.
struct Beat {
    heart: Heart,
    file: Option<PathBuf>,
    history: VecDeque<Snapshot>,
    announcer: Announcer,
    /// When the last metrics line was printed, and what it was made of.
    printed: Option<Snapshot>,
    file_failed: bool,
    /// What became of the selftest.
    selftest: Option<Tally>,
}

impl Beat {
    fn new(heart: Heart) -> Self {
        let setup = heart.vitals.setup();
        let file = setup
            .log_dir
            .as_deref()
            .map(|folder| status::status_path(folder, &setup.sensor));
        Self {
            heart,
            file,
            history: VecDeque::with_capacity(KEPT + 1),
            announcer: Announcer::default(),
            printed: None,
            file_failed: false,
            selftest: None,
        }
    }

    /// Runs the selftest, the first time.
    fn prove(&mut self) {
        let Some(selftest) = self.heart.selftest.take() else {
            return;
        };
        let tally = selftest();
        if tally.failed > 0 {
            warn!(
                "{} of {} checks of the detectors failed: `sensor selftest` names them",
                tally.failed,
                tally.passed + tally.failed
            );
        }
        self.selftest = Some(tally);
    }

    fn once(&mut self, now: Timestamp, links: Vec<LinkState>) {
        let vitals = Arc::clone(&self.heart.vitals);
        (self.heart.refresh)(&vitals);
        vitals.links(links);
        let mut snapshot = vitals.snapshot(now);
        if let Some(oldest) = self.history.front() {
            snapshot.faults = faults(&snapshot, oldest);
            self.announcer.say(&snapshot.faults);
            vitals.faults(snapshot.faults.clone());
        }
        let text = object(&snapshot, self.history.back(), self.selftest);
        if !(self.heart.send)(text.clone()) {
            self.keep(&text);
        }
        self.print(&snapshot);
        self.history.push_back(snapshot);
        if self.history.len() > KEPT {
            self.history.pop_front();
        }
    }

    fn keep(&mut self, text: &str) {
        let Some(file) = &self.file else {
            return;
        };
        match status::replace(file, text) {
            Ok(()) => self.file_failed = false,
            Err(error) if !self.file_failed => {
                warn!("cannot write the status file `{}`: {error}", file.display());
                self.file_failed = true;
            }
            Err(_) => {}
        }
    }

    fn print(&mut self, now: &Snapshot) {
        let since = self
            .printed
            .as_ref()
            .map_or(now.setup.started, |printed| printed.time);
        let waited = now.time.micros().saturating_sub(since.micros());
        if self.heart.line_secs == 0 || waited < i64::from(self.heart.line_secs) * 1_000_000 {
            return;
        }
        info!("{}", line::line(now, self.printed.as_ref()));
        self.printed = Some(now.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tests::healthy;
    use super::super::{Setup, Vitals};
    use super::*;
    use crate::pulse::{Fault, Severity};

    #[test]
    fn the_object_has_the_members_of_the_design() {
        let before = healthy(45);
        let mut now = healthy(60);
        now.faults = vec![Fault {
            id: "no-packets",
            severity: Severity::Error,
            text: "a \"quoted\"\nline".to_owned(),
            next: "Look.",
        }];
        let text = object(&now, Some(&before), None);
        assert!(
            text.starts_with(
                "{\"maltrail\":1,\"kind\":\"heartbeat\",\"sensor\":\"edge \\\"1\\\"\","
            ),
            "{text}"
        );
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["time"], "2026-09-21T14:14:20.250000Z");
        assert_eq!(value["version"], maltrail_core::VERSION);
        assert_eq!((&value["pps"], &value["drops"]), (&200.into(), &2.into()));
        assert_eq!(
            value["trails"],
            serde_json::json!({"count": 1000, "generation": 1, "age": 160})
        );
        assert!(value["selftest"].is_null());
        assert_eq!(value["faults"][0]["id"], "no-packets");
        assert_eq!(value["faults"][0]["text"], "a \"quoted\"\nline. Look.");
        let first: serde_json::Value =
            serde_json::from_str(&object(&before, None, None)).expect("JSON");
        assert_eq!(first["pps"], 198, "9001 packets in 45.25 s");
        let stopped: serde_json::Value =
            serde_json::from_str(&object(&now, Some(&now), None)).expect("JSON");
        assert_eq!(stopped["pps"], 0, "the clock stood still");
    }

    fn heart(vitals: &Arc<Vitals>, sent: Option<Arc<Mutex<Vec<String>>>>) -> Heart {
        Heart {
            vitals: Arc::clone(vitals),
            line_secs: 0,
            refresh: Box::new(|vitals| vitals.trails(|trails| trails.count += 1)),
            send: Box::new(move |text| {
                sent.as_ref().is_some_and(|sent| {
                    sent.lock().expect("sound").push(text);
                    true
                })
            }),
            selftest: Some(Box::new(|| Tally {
                passed: 7,
                failed: 1,
                off: 2,
            })),
        }
    }

    fn vitals(folder: &std::path::Path) -> Arc<Vitals> {
        Arc::new(Vitals::new(Setup {
            sensor: "edge/1".to_owned(),
            log_dir: Some(folder.to_owned()),
            started: Timestamp::from_parts(1_790_000_000, 0),
            ..Setup::default()
        }))
    }

    #[test]
    fn without_a_server_the_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let vitals = vitals(folder.path());
        let beating = heart(&vitals, None)
            .spawn_every(Duration::from_millis(20))
            .expect("a thread");
        let file = folder.path().join("status-edge_1.json");
        let started = Instant::now();
        let count = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).expect("never a part of it");
            value["trails"]["count"].as_u64()
        };
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
            if count(&text) >= Some(3) {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{text}");
        }
        drop(beating);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn with_a_server_there_is_no_file_and_faults_are_judged_over_a_minute() {
        let folder = tempfile::tempdir().expect("a folder");
        let vitals = vitals(folder.path());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut beat = Beat::new(heart(&vitals, Some(Arc::clone(&sent))));
        let has = |id: &str| {
            let sent = sent.lock().expect("sound");
            sent.last()
                .expect("a beat")
                .contains(&format!("{{\"id\":\"{id}\""))
        };
        for second in [0, 15, 30, 45] {
            beat.once(Timestamp::from_parts(1_790_000_000 + second, 0), Vec::new());
            assert!(!has("no-packets"), "after {second} s");
        }
        beat.once(Timestamp::from_parts(1_790_000_060, 0), Vec::new());
        assert!(has("no-packets"));
        let snapshot = vitals.snapshot(Timestamp::from_parts(1_790_000_061, 0));
        assert!(
            snapshot.faults.iter().any(|fault| fault.id == "no-packets"),
            "metrics see it, too"
        );
        assert_eq!(beat.history.len(), KEPT);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn the_selftest_runs_once_behind_the_first_beat() {
        let folder = tempfile::tempdir().expect("a folder");
        let vitals = vitals(folder.path());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut beat = Beat::new(heart(&vitals, Some(Arc::clone(&sent))));
        for second in [0, 15, 30] {
            beat.once(Timestamp::from_parts(1_790_000_000 + second, 0), Vec::new());
            beat.prove();
            assert!(beat.heart.selftest.is_none(), "once");
        }
        let members: Vec<serde_json::Value> = sent
            .lock()
            .expect("sound")
            .iter()
            .map(|text| {
                let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
                value["selftest"].clone()
            })
            .collect();
        let ran = serde_json::json!({"passed": 7, "failed": 1, "off": 2});
        assert_eq!(members, [serde_json::Value::Null, ran.clone(), ran]);
    }
}
