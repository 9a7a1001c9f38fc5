//! `/api/v1/sessions`: who is signed in where; ending sign-ins.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;

use super::lists::Wanted;
use crate::auth::sessions::{SessionId, ends};
use crate::auth::{By, Identity, Peer, Role};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SignIn {
    id: String,
    user: String,
    /// Address, of IPv6 the /64.
    address: String,
    created: String,
    last_used: String,
    /// When it ends at the latest, if it is not used any more.
    ends: String,
    /// The one of this request.
    current: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SignInList)]
pub(crate) struct Answer {
    sessions: Vec<SignIn>,
    next: Option<String>,
}

/// `GET /api/v1/sessions`: one's own; all of them for an admin who says `all=1`.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let wanted = Wanted::read(&params)?;
    let name = whose(&params, &identity)?;
    let found = state.auth.sign_ins(name, state.now());
    let (page, next) = wanted.page(found, |(id, session)| {
        format!("{:020}-{}", i64::MAX - session.created.micros(), id.text())
    });
    let current = identity.token.as_deref().map(SessionId::of);
    let sessions = page.into_iter().map(|(id, session)| SignIn {
        id: id.text(),
        ends: ends(&session).to_rfc3339(),
        user: session.name,
        address: session.address,
        created: session.created.to_rfc3339(),
        last_used: session.used.to_rfc3339(),
        current: Some(id) == current,
    });
    Ok(Json(Answer {
        sessions: sessions.collect(),
        next,
    }))
}

/// Whose things are asked for: the asker's, or everybody's (`None`) for an admin who says `all=1`.
pub(super) fn whose<'a>(
    params: &Params,
    identity: &'a Identity,
) -> Result<Option<&'a str>, ApiError> {
    match params.get("all") {
        Some("1") if identity.is_at_least(Role::Admin) => Ok(None),
        Some("1") => Err(ApiError::role()),
        _ => Ok(Some(identity.user.as_deref().unwrap_or_default())),
    }
}

/// Whose things may be ended: an admin's hand reaches all (`None`).
pub(super) fn reach(identity: &Identity) -> Option<&str> {
    if identity.is_at_least(Role::Admin) {
        None
    } else {
        Some(identity.user.as_deref().unwrap_or_default())
    }
}

/// `DELETE /api/v1/sessions/{id}`
pub(crate) async fn end(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let by = By::new(&identity, peer, state.now());
    if state.auth.end_sign_in(&id, reach(&identity), &by) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Ended {
    ended: usize,
}

/// `DELETE /api/v1/sessions`: all of one's own but this one.
pub(crate) async fn end_others(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
) -> Json<Ended> {
    let by = By::new(&identity, peer, state.now());
    let ended = state.auth.end_other_sign_ins(&identity, &by);
    Json(Ended { ended })
}
