//! `/fail2ban`, `/blacklist`, `/blacklist/NAME`: addresses for a firewall, one a line.
//!
//! A mistake in the configuration is a 503, so that no script takes its text for addresses.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::{self, Identity};
use crate::http::error::ApiError;
use crate::state::AppState;
use crate::store::scoped::Scope;

/// Longest name of a list.
const MAX_NAME: usize = 64;

pub(crate) async fn fail2ban(State(state): State<AppState>) -> Result<Response, ApiError> {
    list(state, "FAIL2BAN_REGEX".into(), Scope::default()).await
}

pub(crate) async fn blacklist(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
) -> Result<Response, ApiError> {
    list(state, "BLACKLIST".into(), scope(&identity)).await
}

pub(crate) async fn named(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let fits = name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !fits {
        return Err(ApiError::not_found());
    }
    let option = format!("BLACKLIST_{}", name.to_ascii_uppercase());
    list(state, option, scope(&identity)).await
}

/// What the asker sees; who comes by the allow-list alone sees all networks.
fn scope(identity: &Identity) -> Scope {
    match identity.state {
        auth::State::Open => identity.scope.clone(),
        _ => Scope::default(),
    }
}

async fn list(state: AppState, option: String, scope: Scope) -> Result<Response, ApiError> {
    let services = state.services.clone();
    let lines = state
        .blocking(move |store| services.block_lists.list(store, &option, &scope))
        .await?;
    let lines = lines.map_err(|mistake| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "configuration", mistake)
    })?;
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(([kind], lines).into_response())
}
