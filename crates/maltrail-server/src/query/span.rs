//! The days a question is about, and the table that answers it.
//!
//! One day is asked as it is now. Several days are put together ([`Merger`]) into a table that does not change;
//! the last ones are kept, and asked again while no day has changed or the table is younger than
//! [`PATIENCE`] times what making it took. Days are put together one range at a time. Bounds: [`MAX_DAYS`],
//! [`MAX_ATOMS`], [`KEPT`] ranges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use maltrail_core::time::Day;
use serde::Serialize;

use super::filter::Filter;
use super::page::{PageRequest, PerSeverity};
use crate::desk::Cases;
use crate::http::error::ApiError;
use crate::store::scoped::Scope;
use crate::store::table::merge::{DayCount, Merger};
use crate::store::table::{DayTable, FloodRule, Threat};
use crate::store::{Store, dayfile, lock};

/// Most days of a range.
pub(crate) const MAX_DAYS: i64 = 31;
/// Most atoms of a range: about 250 MB.
const MAX_ATOMS: usize = 1_000_000;
/// Ranges that are kept.
const KEPT: usize = 2;
/// Most memory of kept ranges together; one alone may have more.
const KEPT_BYTES: usize = 256 << 20;
/// A kept range with changed days is good for this many times what making it took.
const PATIENCE: u32 = 5;

/// Days from..=to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) from: Day,
    pub(crate) to: Day,
}

impl Span {
    /// One day.
    pub(crate) const fn one(day: Day) -> Self {
        Self { from: day, to: day }
    }

    /// Whether it is a single day.
    pub(crate) fn is_one(self) -> bool {
        self.from == self.to
    }

    /// Number of days; not positive when it ends before it starts.
    pub(crate) fn len(self) -> i64 {
        self.to.days_since(self.from) + 1
    }

    /// Each day.
    pub(crate) fn days(self) -> impl Iterator<Item = Day> {
        let count = i32::try_from(self.len().clamp(0, MAX_DAYS)).unwrap_or(0);
        (0..count).map(move |n| self.from.plus(n))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_one() {
            self.from.fmt(f)
        } else {
            write!(f, "{}_{}", self.from, self.to)
        }
    }
}

/// Why a question has no answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the index of {0} is still being read")]
    NotReady(Day),
    #[error("the days hold more than {MAX_ATOMS} different events together")]
    TooMuch,
}

impl From<NoAnswer> for ApiError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::NotReady(_) => Self::busy(3),
            NoAnswer::TooMuch => Self::new(
                axum::http::StatusCode::BAD_REQUEST,
                "too_many",
                "These days hold too many different events to be put together. Ask for fewer days.",
            ),
        }
    }
}

/// Several days as one table.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) table: DayTable,
    pub(crate) days: Vec<Day>,
    counts: Vec<DayCount>,
}

/// One day of a range, filtered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DaySum {
    pub(crate) day: String,
    pub(crate) threats: u64,
    pub(crate) events: u64,
    #[serde(flatten)]
    pub(crate) severity: PerSeverity,
}

impl Range {
    /// Events of each threat on each day, by what `wanted` lets through; every day of the range is in it.
    pub(crate) fn daily(&self, wanted: impl Fn(&Threat) -> bool) -> Vec<DaySum> {
        let mut sums: Vec<DaySum> = self
            .days
            .iter()
            .map(|day| DaySum {
                day: day.to_string(),
                threats: 0,
                events: 0,
                severity: PerSeverity::default(),
            })
            .collect();
        for count in &self.counts {
            let threat = self.table.threats.get(count.threat as usize);
            let sum = sums.get_mut(usize::from(count.day));
            if let (Some(threat), Some(sum)) = (threat.filter(|threat| wanted(threat)), sum) {
                sum.threats += 1;
                sum.events += count.events;
                sum.severity.add(threat.severity, count.events);
            }
        }
        sums
    }

    /// The same for a filtered set.
    pub(crate) fn histogram(&self, cases: &Cases, request: &PageRequest) -> Vec<DaySum> {
        let filter = Filter::new(&request.expr, &self.table, cases);
        self.daily(|threat| {
            request.severities.contain(threat.severity)
                && request.hidden.admits(cases.is_hidden(threat.id))
                && filter.matches(&self.table, threat)
        })
    }
}

/// A range that was made.
#[derive(Debug)]
struct Kept {
    span: Span,
    scope: Scope,
    generations: BTreeMap<Day, (u64, u64)>,
    made: Instant,
    cost: Duration,
    range: Arc<Range>,
}

impl Kept {
    fn answers(&self, span: Span, scope: &Scope) -> bool {
        self.span == span && self.scope == *scope
    }
}

/// The ranges that are kept. std lock: held while one is made, on blocking threads only, so that a second
/// question for the same days waits for the answer instead of making it, too.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Mutex<Vec<Kept>>);

impl Ranges {
    /// The days together. Blocks, also while days are loaded.
    pub(crate) fn get(
        &self,
        store: &Store,
        span: Span,
        scope: &Scope,
    ) -> Result<Arc<Range>, NoAnswer> {
        let mut kept = lock(&self.0);
        let now = generations(store, span);
        if let Some(known) = kept.iter().find(|kept| kept.answers(span, scope)) {
            let young = known.made.elapsed() < known.cost * PATIENCE;
            if young || known.generations == now {
                return Ok(Arc::clone(&known.range));
            }
        }
        kept.retain(|kept| !kept.answers(span, scope));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let start = Instant::now();
        let range = Arc::new(make(store, span, scope)?);
        kept.push(Kept {
            span,
            scope: scope.clone(),
            // Of the time before, so that what came in meanwhile counts as a change.
            generations: now,
            made: Instant::now(),
            cost: start.elapsed(),
            range: Arc::clone(&range),
        });
        let bytes =
            |kept: &[Kept]| -> usize { kept.iter().map(|kept| kept.range.table.bytes()).sum() };
        while kept.len() > 1 && bytes(&kept) > KEPT_BYTES {
            kept.remove(0);
        }
        Ok(range)
    }
}

/// What tells that a day has changed: the size of its file and what is in memory of it.
fn generations(store: &Store, span: Span) -> BTreeMap<Day, (u64, u64)> {
    let of = |day| {
        let generation = store.hot(day).map_or(0, |hot| hot.table().generation);
        (dayfile::disk_bytes(store.log_dir(), day), generation)
    };
    span.days().map(|day| (day, of(day))).collect()
}

fn make(store: &Store, span: Span, scope: &Scope) -> Result<Range, NoAnswer> {
    let mut merger = Merger::new(store.empty_table(FloodRule::Told), MAX_ATOMS);
    let days: Vec<Day> = span.days().collect();
    for (at, &day) in (0..).zip(&days) {
        ask_day(store, day, scope, |table| merger.add(at, table))?
            .map_err(|_| NoAnswer::TooMuch)?;
    }
    let (table, counts) = merger.finish();
    Ok(Range {
        table,
        days,
        counts,
    })
}

/// Where answers come from, for questions that take several steps.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// One day as it is now.
    Day {
        store: Store,
        day: Day,
        scope: Scope,
    },
    /// Several days as they were.
    Range(Arc<Range>),
}

impl Source {
    /// Asks the table. Blocks while the day is loaded.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&DayTable) -> T) -> Result<T, NoAnswer> {
        match self {
            Self::Day { store, day, scope } => ask_day(store, *day, scope, ask),
            Self::Range(range) => Ok(ask(&range.table)),
        }
    }
}

/// Asks about a day that has to be there whole. Blocks while it is loaded.
pub(crate) fn ask_day<T>(
    store: &Store,
    day: Day,
    scope: &Scope,
    ask: impl FnOnce(&DayTable) -> T,
) -> Result<T, NoAnswer> {
    let hot = store.day(day);
    if !hot.is_ready() && dayfile::exists(store.log_dir(), day) {
        return Err(NoAnswer::NotReady(day));
    }
    Ok(store.query_in(&hot, scope, ask))
}
