//! `/api/v1/session`, `login`, `logout`, `password`: who is signed in.

use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::JsonBody;
use crate::auth::sessions::ABSOLUTE_SECS;
use crate::auth::{Change, Identity, Peer, Refused, Role, State, auth_log};
use crate::http::error::ApiError;
use crate::http::middleware::COOKIE;
use crate::logo::Logo;
use crate::state::AppState;

/// Who asks and what the page has to show.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionInfo {
    user: Option<String>,
    role: Option<&'static str>,
    state: &'static str,
    code_required: bool,
    shipped_account: bool,
    restricted: Vec<String>,
    version: &'static str,
    day: String,
    zone_minutes: i32,
    time: String,
    keep_default: bool,
    /// What stands in place of the product's name, from `HEADER_LOGO`.
    logo: Option<Logo>,
}

fn info(state: &AppState, identity: &Identity, peer: Peer) -> SessionInfo {
    let now = state.now();
    SessionInfo {
        user: identity.user.clone(),
        role: identity.role.map(Role::word),
        state: match identity.state {
            State::Open => "open",
            State::Anonymous => "anonymous",
            State::Login => "login",
            State::Change => "change",
        },
        code_required: state.auth.asks_code(peer),
        shipped_account: state.auth.has_shipped_account(),
        restricted: identity.networks.iter().map(ToString::to_string).collect(),
        version: maltrail_core::VERSION,
        day: state.store.zone().day(now).to_string(),
        zone_minutes: state.store.zone().offset_minutes(now),
        time: now.to_rfc3339(),
        keep_default: state.auth.keeps_default(),
        logo: state.services.logo.clone(),
    }
}

/// `GET /api/v1/session`
pub(crate) async fn session(
    Shared(state): Shared<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
) -> Json<SessionInfo> {
    Json(info(&state, &identity, peer))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct LoginBody {
    username: String,
    password: String,
}

/// `POST /api/v1/login`
pub(crate) async fn login(
    Shared(state): Shared<AppState>,
    Extension(peer): Extension<Peer>,
    JsonBody(body): JsonBody<LoginBody>,
) -> Result<Response, ApiError> {
    refuse_clear(&state, peer)?;
    let result = state
        .auth
        .login(&body.username, &body.password, peer, state.now())
        .await;
    auth_log::attempt("password", &body.username, peer, result.is_ok());
    Ok(signed_in(&state, &result?, peer))
}

/// `POST /api/v1/logout`
pub(crate) async fn logout(
    Shared(state): Shared<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
) -> Response {
    state.auth.logout(&identity, peer, state.now());
    (
        StatusCode::NO_CONTENT,
        [(header::SET_COOKIE, cleared_cookie())],
    )
        .into_response()
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct PasswordBody {
    current: String,
    new: String,
    code: Option<String>,
}

/// `POST /api/v1/password`
pub(crate) async fn password(
    Shared(state): Shared<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    JsonBody(body): JsonBody<PasswordBody>,
) -> Result<Response, ApiError> {
    refuse_clear(&state, peer)?;
    let change = Change {
        current: &body.current,
        new: &body.new,
        code: body.code.as_deref(),
    };
    let changed = state
        .auth
        .change_password(&identity, change, peer, state.now())
        .await;
    if matches!(changed, Err(Refused::Denied | Refused::Code)) {
        let user = identity.user.as_deref().unwrap_or_default();
        auth_log::attempt("password", user, peer, false);
    }
    let token = changed?;
    Ok(signed_in(&state, &token, peer))
}

/// Refuses a password that crossed a network unencrypted, unless the configuration allows it.
pub(crate) fn refuse_clear(state: &AppState, peer: Peer) -> Result<(), ApiError> {
    if peer.clear && !state.clear_passwords {
        Err(ApiError::clear_password())
    } else {
        Ok(())
    }
}

fn signed_in(state: &AppState, token: &str, peer: Peer) -> Response {
    let identity = state.auth.identify(Some(token), peer, state.now());
    (
        [(header::SET_COOKIE, cookie(token))],
        Json(info(state, &identity, peer)),
    )
        .into_response()
}

/// The cookie of a sign-in.
pub(crate) fn cookie(token: &str) -> HeaderValue {
    let text =
        format!("{COOKIE}={token}; Path=/; Max-Age={ABSOLUTE_SECS}; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).unwrap_or_else(|_| cleared_cookie())
}

/// The cookie that clears a sign-in.
pub(crate) fn cleared_cookie() -> HeaderValue {
    HeaderValue::from_static("maltrail_sessid=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}
