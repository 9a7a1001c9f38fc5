//! `/api/v1/threats/{id}/notes` and `/api/v1/notes/{note}`: what people write about a threat.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::JsonBody;
use super::threat::number;
use super::triage::{day, is_visible, who};
use crate::auth::{Identity, Peer};
use crate::desk::notes::Note;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

/// The thread of a threat.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Notes {
    notes: Vec<Note>,
}

/// The text of a note.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteBody {
    text: String,
}

/// `GET /api/v1/threats/{id}/notes?day=`: oldest first.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Notes>, ApiError> {
    let threat = seen(&state, &identity, &id, query.as_deref()).await?;
    let desk = Arc::clone(&state.desk);
    let notes = state.blocking(move |_| desk.notes(threat)).await??;
    Ok(Json(Notes { notes }))
}

/// `POST /api/v1/threats/{id}/notes?day=`
pub(crate) async fn add(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    JsonBody(body): JsonBody<NoteBody>,
) -> Result<(StatusCode, Json<Note>), ApiError> {
    let threat = seen(&state, &identity, &id, query.as_deref()).await?;
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    let note = state
        .blocking(move |_| desk.add_note(threat, &body.text, &who))
        .await??;
    Ok((StatusCode::CREATED, Json(note)))
}

/// `PUT /api/v1/notes/{note}`: its author and administrators.
pub(crate) async fn edit(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(note): Path<i64>,
    JsonBody(body): JsonBody<NoteBody>,
) -> Result<StatusCode, ApiError> {
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    state
        .blocking(move |_| desk.edit_note(note, &body.text, &who))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/notes/{note}`: its author and administrators.
pub(crate) async fn delete(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(note): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    state
        .blocking(move |_| desk.delete_note(note, &who))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// The threat of that id, if the asker sees it on that day.
async fn seen(
    state: &AppState,
    identity: &Identity,
    id: &str,
    query: Option<&str>,
) -> Result<u64, ApiError> {
    let params = Params::new(query, b"");
    let day = day(params.get("day"), state)?;
    let threat = number(id)?;
    let scope = identity.scope.clone();
    let visible = state
        .ask(day, move |store| is_visible(store, day, &scope, threat))
        .await?;
    if visible {
        Ok(threat)
    } else {
        Err(ApiError::not_found())
    }
}
