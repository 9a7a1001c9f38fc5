//! Finds threats to alert about, by following the index as live streams do.
//!
//! A threat of yesterday, today or tomorrow alerts when it is new, when its severity rose, and when its newest event
//! is at least `ALERT_THROTTLE` later than the newest one that was told of. That is decided from event times and
//! from what is stored, so looking again (after a restart, a rebuilt index) tells nothing twice. Events older than
//! the first start with alerts tell nothing. The day's lock is held for [`CHUNK`] threats at a time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use maltrail_core::event::{RemoteSeverity, Severity};
use maltrail_core::time::{Day, Timestamp};

use super::fields::AlertFields;
use super::queue::{Fresh, Queue, Reason, Seen};
use crate::desk::Desk;
use crate::store::table::{Atom, DayTable, Threat};
use crate::store::{Hot, Store};

/// Shortest pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Threats looked at in one go.
const CHUNK: usize = 256;
/// Threats without events for this long are forgotten: their days are not looked at any more.
const SETTLED: i64 = 4 * 24 * 3_600_000_000;
/// How often that is done.
const SETTLE: Duration = Duration::from_secs(600);

/// What alerts.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// `ALERT_SEVERITY`
    pub(crate) threshold: Severity,
    /// `ALERT_THROTTLE` in microseconds.
    pub(crate) throttle: i64,
    /// `REMOTE_SEVERITY_REGEX`; without one the dashboard's severity counts.
    pub(crate) severity: Option<RemoteSeverity>,
}

/// The part of a threat that alerts.
#[derive(Clone, Copy)]
struct Found<'a> {
    seen: Seen,
    /// The newest atom of the highest severity.
    atom: &'a Atom,
}

pub(crate) struct Watcher {
    store: Store,
    desk: Arc<Desk>,
    queue: Arc<Queue>,
    rules: Rules,
    seen: HashMap<u64, Seen>,
    since: Timestamp,
    /// How far each day was looked at.
    told: HashMap<Day, (Weak<Hot>, u64)>,
}

impl Watcher {
    pub(crate) fn new(
        store: Store,
        desk: Arc<Desk>,
        queue: Arc<Queue>,
        rules: Rules,
    ) -> rusqlite::Result<Self> {
        // Clocks differ a little, and lines may have whole seconds only.
        let first = Timestamp::from_parts(Timestamp::now().secs() - 1, 0);
        Ok(Self {
            since: queue.since(first)?,
            seen: queue.seen()?,
            told: HashMap::new(),
            store,
            desk,
            queue,
            rules,
        })
    }

    /// Works until the queue is stopped.
    pub(crate) fn run(mut self) {
        let mut changes = self.store.changes();
        let mut settled: Option<Instant> = None;
        let mut failing = false;
        changes.mark_changed();
        while !self.queue.is_over() {
            let started = Instant::now();
            let news = changes.has_changed().unwrap_or(false);
            // The days also change with the clock.
            if news || !self.is_up_to_date() {
                changes.mark_unchanged();
                let done = self.look(Timestamp::now());
                if let Err(error) = &done {
                    self.queue.counters.errors.add(1);
                    changes.mark_changed();
                    if !failing {
                        tracing::error!(%error, "alerts: cannot write to state.sqlite; trying again");
                    }
                }
                failing = done.is_err();
            }
            if settled.is_none_or(|at| at.elapsed() >= SETTLE) {
                settled = Some(Instant::now());
                let before = Timestamp::now().plus_micros(-SETTLED);
                match self.queue.settle(&mut self.seen, before) {
                    Ok(since) => self.since = since,
                    Err(error) => tracing::warn!(%error, "alerts: cannot forget old threats"),
                }
            }
            self.queue.wait(PAUSE.max(started.elapsed() * 10), false);
        }
    }

    /// Days whose threats may alert, and that are in memory.
    fn days(&self) -> Vec<Arc<Hot>> {
        let today = self.store.today();
        let hot = (-1..=1).filter_map(|days| self.store.hot(today.plus(days)));
        hot.filter(|hot| hot.is_ready()).collect()
    }

    fn is_up_to_date(&self) -> bool {
        self.days().iter().all(|hot| {
            let told = self.told.get(&hot.day);
            told.is_some_and(|(known, _)| Weak::ptr_eq(known, &Arc::downgrade(hot)))
        })
    }

    /// Queues what is new.
    pub(crate) fn look(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let days = self.days();
        self.told
            .retain(|day, _| days.iter().any(|hot| hot.day == *day));
        for hot in days {
            self.look_at(&hot, now)?;
        }
        Ok(())
    }

    fn look_at(&mut self, hot: &Arc<Hot>, now: Timestamp) -> rusqlite::Result<()> {
        let here = Arc::downgrade(hot);
        let (generation, changed) = {
            let table = hot.table();
            let after = match self.told.get(&hot.day) {
                Some((known, told)) if Weak::ptr_eq(known, &here) && *told <= table.generation => {
                    Some(*told)
                }
                _ => None,
            };
            if after == Some(table.generation) {
                return Ok(());
            }
            (table.generation, changed(&table, after))
        };
        let mut severities = HashMap::new();
        for chunk in changed.chunks(CHUNK) {
            let fresh = {
                let table = hot.table();
                let cases = self.desk.cases();
                let threats = chunk.iter().filter_map(|&at| table.threats.get(at));
                let shown = threats.filter(|threat| !cases.is_hidden(threat.id));
                shown
                    .filter_map(|threat| self.judge(&table, threat, &mut severities))
                    .collect::<Vec<_>>()
            };
            if !fresh.is_empty() {
                self.queue.add(&fresh, now)?;
                let told = fresh.iter().map(|fresh| (fresh.threat, fresh.seen));
                self.seen.extend(told);
            }
        }
        self.told.insert(hot.day, (here, generation));
        Ok(())
    }

    fn judge(
        &self,
        table: &DayTable,
        threat: &Threat,
        severities: &mut HashMap<u32, Severity>,
    ) -> Option<Fresh> {
        if threat.last <= self.since {
            return None;
        }
        let found = self.find(table, threat, severities)?;
        let reason =
            self.rules
                .reason(self.seen.get(&threat.id).copied(), found.seen, self.since)?;
        Some(Fresh {
            threat: threat.id,
            reason,
            seen: found.seen,
            fields: fields(table, found),
        })
    }

    fn find<'a>(
        &self,
        table: &'a DayTable,
        threat: &'a Threat,
        severities: &mut HashMap<u32, Severity>,
    ) -> Option<Found<'a>> {
        let mut found: Option<Found<'a>> = None;
        for atom in table.atoms_of(threat).filter(|atom| atom.count > 0) {
            let info = atom.key.info;
            let severity = match &self.rules.severity {
                None => threat.severity,
                Some(rule) => *severities
                    .entry(info)
                    .or_insert_with(|| rule.of(table.texts.get(info))),
            };
            if severity < self.rules.threshold {
                continue;
            }
            let best = found.get_or_insert(Found {
                seen: Seen {
                    severity,
                    last: atom.last,
                },
                atom,
            });
            if (severity, atom.last) > (best.seen.severity, best.atom.last) {
                best.atom = atom;
            }
            best.seen.severity = best.seen.severity.max(severity);
            best.seen.last = best.seen.last.max(atom.last);
        }
        found
    }
}

impl Rules {
    fn reason(&self, told: Option<Seen>, now: Seen, since: Timestamp) -> Option<Reason> {
        let Some(told) = told else {
            return (now.last > since).then_some(Reason::New);
        };
        if now.severity > told.severity {
            return Some(Reason::Risen);
        }
        let passed = now.last.micros().saturating_sub(told.last.micros());
        (passed > 0 && passed >= self.throttle).then_some(Reason::Ongoing)
    }
}

fn changed(table: &DayTable, after: Option<u64>) -> Vec<usize> {
    let all = table.threats.iter().enumerate();
    all.filter(|(_, threat)| threat.is_live())
        .filter(|(_, threat)| after.is_none_or(|after| threat.changed > after))
        .map(|(at, _)| at)
        .collect()
}

fn fields(table: &DayTable, found: Found<'_>) -> AlertFields {
    let event = table.fields(found.atom, found.atom.head, found.atom.last, 0);
    AlertFields::new(
        event.time,
        found.seen.severity,
        [
            event.sensor,
            event.src,
            event.sport,
            event.dst,
            event.dport,
            event.proto,
            event.kind,
            event.trail,
            event.info,
            event.reference,
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen(severity: Severity, secs: i64) -> Seen {
        Seen {
            severity,
            last: Timestamp::from_parts(secs, 0),
        }
    }

    #[test]
    fn a_threat_alerts_when_new_risen_or_going_on_after_the_throttle() {
        use Reason::{New, Ongoing, Risen};
        use Severity::{High, Low};
        let reason = |throttle: i64, told: Option<Seen>, now: Seen| {
            let rules = Rules {
                threshold: Low,
                throttle: throttle * 1_000_000,
                severity: None,
            };
            rules.reason(told, now, Timestamp::from_parts(50, 0))
        };
        for (throttle, told, now, wanted) in [
            (300, None, seen(Low, 50), None),
            (300, None, seen(Low, 51), Some(New)),
            (300, Some(seen(Low, 100)), seen(Low, 399), None),
            (300, Some(seen(Low, 100)), seen(Low, 400), Some(Ongoing)),
            (300, Some(seen(Low, 100)), seen(High, 101), Some(Risen)),
            (300, Some(seen(High, 100)), seen(Low, 101), None),
            (300, Some(seen(Low, 100)), seen(Low, 40), None),
            (0, Some(seen(Low, 100)), seen(Low, 100), None),
            (0, Some(seen(Low, 100)), seen(Low, 101), Some(Ongoing)),
        ] {
            assert_eq!(reason(throttle, told, now), wanted, "{told:?} {now:?}");
        }
    }
}
