//! `/hunt`: see [`crate::legacy::hunt`].

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::counts::{date_in, first_day};
use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::legacy::hunt::{Needle, hunt as search};
use crate::state::AppState;

/// Shortest query in characters.
const MIN_CHARS: usize = 3;
/// Longest query in bytes.
const MAX_BYTES: usize = 1024;
/// How long a search waits for its turn.
const TURN: Duration = Duration::from_secs(5);

pub(crate) async fn hunt(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let text = params.get("q").unwrap_or_default().trim();
    if text.chars().count() < MIN_CHARS {
        return Ok(refused("query too short (min 3 chars)"));
    }
    let needle = (text.len() <= MAX_BYTES)
        .then(|| Needle::parse(text))
        .flatten();
    let Some(needle) = needle else {
        return Ok(refused("query too long (max 1024 bytes)"));
    };
    let to = date_in(&params, "to")?.unwrap_or_else(|| state.store.today());
    let from = date_in(&params, "from")?.unwrap_or_else(|| first_day(to));
    // Searches have places of their own, so that they hold up no other question.
    let turn = tokio::time::timeout(TURN, state.services.hunts.acquire()).await;
    let _turn = turn
        .map_err(|_| ApiError::busy(5))?
        .map_err(|_| ApiError::unavailable())?;
    let (store, budget) = (state.store.clone(), state.services.hunt_budget);
    let found = tokio::task::spawn_blocking(move || {
        search(&store, &needle, (from, to), &identity.scope, budget)
    });
    let found = found.await.map_err(|_| ApiError::unavailable())?;
    let found = found.map_err(|error| {
        tracing::error!(%error, "cannot list LOG_DIR");
        ApiError::unavailable()
    })?;
    Ok(Json(found).into_response())
}

/// compat: a query that cannot be searched for is a 200 that says so.
fn refused(error: &str) -> Response {
    let body =
        json!({"error": error, "counts": {}, "samples": [], "truncated": false, "scanned": 0});
    Json(body).into_response()
}
