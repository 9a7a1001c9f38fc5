//! `GET /api/v1/alerts`: alerts that wait or could not be delivered, for admins; newest first.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::lists::{Wanted, cursor};
use crate::alerts::queue::Listed;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AlertList)]
pub(crate) struct Answer {
    alerts: Vec<Listed>,
    next: Option<String>,
}

/// Parameters: `limit`, `cursor`.
pub(crate) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let wanted = Wanted::read(&Params::new(query.as_deref(), b""))?;
    let before = wanted.after.as_deref().map(str::parse).transpose();
    let before: Option<i64> = before
        .map_err(|_| ApiError::parameter("`cursor` is not one that this server gave out."))?;
    let limit = wanted.limit;
    let shared = state.clone();
    let alerts = state.blocking(move |_| shared.alerts.list(before, limit + 1));
    let mut alerts = alerts.await?.map_err(|error| {
        tracing::error!(%error, "alerts: cannot read the queue");
        ApiError::unavailable()
    })?;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    let next = alerts.last().filter(|_| more);
    Ok(Json(Answer {
        next: next.map(|alert| cursor(&alert.id.to_string())),
        alerts,
    }))
}
