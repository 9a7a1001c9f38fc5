//! `GET /api/v1/threats/{id}`: one threat and its newest events.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;
use serde::Serialize;

use super::threat_events::{EventInfo, NEWEST_FIRST, Wanted, newest};
use crate::auth::Identity;
use crate::desk::Desk;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::row::Row;
use crate::state::AppState;
use crate::store::Store;
use crate::store::scoped::Scope;
use crate::store::sql::IndexError;

/// Events in an answer.
const NEWEST: usize = 200;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ThreatDetail)]
pub(crate) struct Answer {
    threat: Row,
    events: Vec<EventInfo>,
    events_total: u64,
}

pub(crate) async fn threat(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let day = params.day("day")?.unwrap_or_else(|| state.store.today());
    let id = number(&id)?;
    let desk = Arc::clone(&state.desk);
    let answer = state
        .ask(day, move |store| {
            find(store, &desk, day, id, &identity.scope)
        })
        .await?;
    answer
        .map_err(|error| {
            tracing::error!(%day, %error, "index: cannot read events");
            if error.is_damage() {
                state.store.damaged(day);
            }
            ApiError::unavailable()
        })?
        .map(Json)
        .ok_or_else(ApiError::not_found)
}

/// The number of a threat, from its 16 digits.
pub(crate) fn number(id: &str) -> Result<u64, ApiError> {
    threat_id(id).ok_or_else(ApiError::not_found)
}

/// A threat's id as the API writes it: 16 hex digits and nothing else.
pub(crate) fn threat_id(text: &str) -> Option<u64> {
    let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// What the visible table knows of the threat.
struct Found {
    row: Row,
    total: u64,
    norms: BTreeSet<String>,
}

fn find(
    store: &Store,
    desk: &Desk,
    day: Day,
    id: u64,
    scope: &Scope,
) -> Result<Option<Answer>, IndexError> {
    let found = store.query(day, scope, |table| {
        let threat = table.threat(id)?;
        let norms = table
            .atoms_of(threat)
            .map(|atom| table.texts.get(atom.key.norm).to_owned())
            .collect();
        Some(Found {
            row: Row::new(table, threat, &desk.cases()),
            total: threat.count,
            norms,
        })
    });
    let Some(found) = found else { return Ok(None) };
    let wanted = Wanted {
        day,
        id,
        before: NEWEST_FIRST,
        limit: NEWEST,
    };
    let page = newest(store, scope, &found.norms, wanted)?;
    Ok(Some(Answer {
        threat: found.row,
        events: page.events,
        events_total: found.total,
    }))
}
