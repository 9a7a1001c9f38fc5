//! The days a question is about, and the table that answers it.

use maltrail_core::time::Day;

use crate::http::error::ApiError;
use crate::store::scoped::Scope;
use crate::store::table::DayTable;
use crate::store::{Store, dayfile};

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

/// A day is still being read from disk; what is in memory is not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index of {0} is still being read")]
pub(crate) struct NotReady(pub(crate) Day);

impl From<NotReady> for ApiError {
    fn from(_: NotReady) -> Self {
        Self::busy(3)
    }
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
}

impl Source {
    /// Asks the table. Blocks while the day is loaded.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&DayTable) -> T) -> Result<T, NotReady> {
        match self {
            Self::Day { store, day, scope } => ask_day(store, *day, scope, ask),
        }
    }
}

/// Asks about a day that has to be there whole. Blocks while it is loaded.
pub(crate) fn ask_day<T>(
    store: &Store,
    day: Day,
    scope: &Scope,
    ask: impl FnOnce(&DayTable) -> T,
) -> Result<T, NotReady> {
    let hot = store.day(day);
    let whole = || store.is_ready(day) || dayfile::size(store.log_dir(), day) == 0;
    if !whole() {
        return Err(NotReady(day));
    }
    let answer = if scope.is_everything() {
        ask(&hot.table())
    } else {
        store.query(day, scope, ask)
    };
    // It may have left the memory in between.
    whole().then_some(answer).ok_or(NotReady(day))
}
