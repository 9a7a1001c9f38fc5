//! `GET /api/v1/audit`: who changed what, for admins; newest first.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::lists::{Wanted, cursor};
use crate::audit;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditList)]
pub(crate) struct Answer {
    entries: Vec<audit::Entry>,
    next: Option<String>,
}

/// Parameters: `actor`, `action` (or its area), `object`, `limit`, `cursor`.
pub(crate) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let wanted = Wanted::read(&params)?;
    let before = wanted.after.as_deref().map(str::parse).transpose();
    let before: Option<i64> = before
        .map_err(|_| ApiError::parameter("`cursor` is not one that this server gave out."))?;
    let limit = wanted.limit;
    let shared = state.clone();
    let entries = state.blocking(move |_| {
        shared.auth.audit(&audit::Wanted {
            actor: params.get("actor"),
            action: params.get("action"),
            object: params.get("object"),
            before,
            limit: limit + 1,
        })
    });
    let mut entries = entries.await?.map_err(|error| {
        tracing::error!(%error, "accounts: cannot read the audit");
        ApiError::unavailable()
    })?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more);
    Ok(Json(Answer {
        next: next.map(|entry| cursor(&entry.id.to_string())),
        entries,
    }))
}
