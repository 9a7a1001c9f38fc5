//! `GET /api/v1/threats/{id}/history`: the events of a threat per day.

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use serde::Serialize;

use super::threat::number;
use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::span::Span;
use crate::state::AppState;

/// Days that are told unless `days` says otherwise.
const USUAL_DAYS: usize = 30;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ThreatHistory)]
pub(crate) struct Answer {
    id: String,
    /// First and last event of these days.
    first: String,
    last: String,
    /// Events of all these days.
    events: u64,
    /// Every day, oldest first.
    days: Vec<DayInfo>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DayCount)]
pub(crate) struct DayInfo {
    pub(crate) day: String,
    pub(crate) events: u64,
}

pub(crate) async fn history(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let id = number(&id)?;
    let span = Span::read_last(&params, state.store.today(), USUAL_DAYS)?;
    let range = state.range(span, identity.scope).await?;
    let threat = range.table.threat(id).ok_or_else(ApiError::not_found)?;
    let days = range.daily(|threat| threat.id == id).into_iter();
    Ok(Json(Answer {
        id: format!("{id:016x}"),
        first: threat.first.to_rfc3339(),
        last: threat.last.to_rfc3339(),
        events: threat.count,
        days: days
            .map(|sum| DayInfo {
                day: sum.day,
                events: sum.events,
            })
            .collect(),
    }))
}
