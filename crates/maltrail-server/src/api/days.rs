//! `GET /api/v1/days`: which days have events, and how many.

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;
use serde::Serialize;

use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

/// Longest span in days that one request may ask for.
const MAX_SPAN: i64 = 3660;
/// Longest span for restricted users: each day is counted event by event.
const MAX_SCOPED_SPAN: i64 = 366;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DayList)]
pub(crate) struct Answer {
    days: Vec<DayInfo>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StoredDay)]
struct DayInfo {
    day: String,
    events: u64,
}

pub(crate) async fn days(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let to = params.day("to")?.unwrap_or_else(|| state.store.today());
    let from = params.day("from")?.unwrap_or_else(|| to.plus(-365));
    let longest = if identity.scope.is_everything() {
        MAX_SPAN
    } else {
        MAX_SCOPED_SPAN
    };
    if to.days_since(from) > longest {
        return Err(ApiError::parameter(format!(
            "The span is longer than {longest} days."
        )));
    }
    let days = state
        .blocking(move |store| store.days(from, to, &identity.scope))
        .await?;
    let days = days.map_err(|error| {
        tracing::error!(%error, "cannot list LOG_DIR");
        ApiError::unavailable()
    })?;
    let days = days.into_iter().map(|(day, events): (Day, u64)| DayInfo {
        day: day.to_string(),
        events,
    });
    Ok(Json(Answer {
        days: days.collect(),
    }))
}
