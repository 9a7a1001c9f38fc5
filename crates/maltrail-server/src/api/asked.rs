//! Which days a request is about, and the table that answers it.

use std::sync::Arc;

use maltrail_core::time::Day;

use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::span::{MAX_DAYS, Range, Source, Span};
use crate::state::AppState;
use crate::store::scoped::Scope;

impl Span {
    /// Reads `day`, or `from` and `to`; today when there is none of them.
    pub(crate) fn read(params: &Params, today: Day) -> Result<Self, ApiError> {
        let (day, from, to) = (params.day("day")?, params.day("from")?, params.day("to")?);
        let span = match (day, from, to) {
            (Some(day), None, None) => Self::one(day),
            (None, None, None) => Self::one(today),
            (None, Some(from), to) => Self {
                from,
                to: to.unwrap_or(today),
            },
            (None, None, Some(_)) => {
                return Err(ApiError::parameter("`to` needs `from`."));
            }
            (Some(_), ..) => {
                return Err(ApiError::parameter(
                    "Give `day`, or `from` and `to`, not both.",
                ));
            }
        };
        match span.len() {
            1..=MAX_DAYS => Ok(span),
            ..1 => Err(ApiError::parameter("`to` is before `from`.")),
            _ => Err(ApiError::parameter(format!(
                "`from` and `to` are more than {MAX_DAYS} days apart."
            ))),
        }
    }
}

impl Span {
    /// Reads `days` (1 to 31, else `usual`) and `day`, the last of them (else today).
    pub(crate) fn read_last(params: &Params, today: Day, usual: usize) -> Result<Self, ApiError> {
        let days = params.number("days", MAX_DAYS as usize)?.unwrap_or(usual);
        if days == 0 {
            return Err(ApiError::parameter("`days` is at least 1."));
        }
        let to = params.day("day")?.unwrap_or(today);
        let back = i32::try_from(days - 1).unwrap_or(0);
        Ok(Self {
            from: to.plus(-back),
            to,
        })
    }
}

impl AppState {
    /// The table of one day or of several together. Loading takes no place from other questions.
    pub(crate) async fn source(&self, span: Span, scope: Scope) -> Result<Source, ApiError> {
        let state = self.clone();
        if span.is_one() {
            let day = span.from;
            let load = tokio::task::spawn_blocking(move || drop(state.store.day(day)));
            load.await.map_err(|_| ApiError::unavailable())?;
            let store = self.store.clone();
            return Ok(Source::Day { store, day, scope });
        }
        Ok(Source::Range(self.range(span, scope).await?))
    }

    /// Days together, also a single one.
    pub(crate) async fn range(&self, span: Span, scope: Scope) -> Result<Arc<Range>, ApiError> {
        let state = self.clone();
        let turn = self.answers.turn.acquire().await;
        let _turn = turn.map_err(|_| ApiError::unavailable())?;
        let made = tokio::task::spawn_blocking(move || {
            state.answers.ranges.get(&state.store, span, &scope)
        });
        Ok(made.await.map_err(|_| ApiError::unavailable())??)
    }
}
