//! The small endpoints of the reference: `/ping`, `/whoami`, `/login`, `/logout`.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::session::{cleared_cookie, cookie, refuse_clear};
use crate::auth::{Identity, Peer, Refused, auth_log};
use crate::http::params::Params;
use crate::state::AppState;

const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");

pub(crate) async fn ping() -> impl IntoResponse {
    ([TEXT], "pong")
}

/// The user's name; empty when not signed in; `?` without accounts.
pub(crate) async fn whoami(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
) -> Response {
    let name = if state.auth.has_accounts() {
        identity.user.unwrap_or_default()
    } else {
        "?".to_owned()
    };
    ([TEXT], name).into_response()
}

/// Form `username` + `password`, or `username` + `hash` + `nonce` where the old form is allowed.
pub(crate) async fn login(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    let params = Params::new(None, &body);
    let name = params.get("username").unwrap_or_default();
    let now = state.now();
    let result = match (
        params.get("password"),
        params.get("hash"),
        params.get("nonce"),
    ) {
        (Some(_), _, _) if refuse_clear(&state, peer).is_err() => Err(Refused::Denied),
        (Some(password), _, _) => state.auth.login(name, password, peer, now).await,
        (None, Some(hash), Some(nonce)) => state.auth.legacy_login(name, hash, nonce, peer, now),
        _ => Err(Refused::Denied),
    };
    auth_log::attempt("password", name, peer, result.is_ok());
    match result {
        Ok(token) => {
            let mut response = ([TEXT], "Login success").into_response();
            response
                .headers_mut()
                .insert(header::SET_COOKIE, cookie(&token));
            response
        }
        Err(_) => (StatusCode::UNAUTHORIZED, [TEXT], "Login failed").into_response(),
    }
}

/// Ends the sign-in and leads to the page. By link, too: ending one's own sign-in is harmless.
pub(crate) async fn logout(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
) -> Response {
    state.auth.logout(&identity, peer, state.now());
    let mut response = (StatusCode::FOUND, [(header::LOCATION, "/")]).into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, cleared_cookie());
    response
}
