//! `GET /api/v1/explain`: whether an indicator is reported, and why; the answer of `sensor explain`.
//!
//! The operator's own rows are not there for those who see no names of them; files and advice are for admins and
//! for programs on this machine.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use maltrail_core::config::Environment;
use maltrail_explain::{Facts, INDICATOR_BYTES, answer};
use serde_json::Value;

use crate::auth::{Identity, Peer, Role};
use crate::distribution::{Audience, is_custom_row};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

pub(crate) async fn explain(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let indicator = params
        .get("indicator")
        .unwrap_or_default()
        .trim()
        .to_owned();
    if indicator.is_empty() || indicator.len() > INDICATOR_BYTES {
        let text = format!("`indicator` has 1 to {INDICATOR_BYTES} bytes.");
        return Err(ApiError::parameter(text));
    }
    let set = state.services.distribution.set().await?;
    let turn = state.services.lookups.try_acquire();
    let _turn = turn.map_err(|_| ApiError::busy(2))?;
    let services = state.services.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let config = &services.config;
        let facts = match set {
            Some(set) => Facts::over(config, set),
            None => Facts::load(config, &Environment::default()),
        };
        let facts = facts.map_err(Refused::Files)?;
        answer(&facts, &indicator).map_err(Refused::Indicator)
    });
    let answer = asked.await.map_err(|_| ApiError::unavailable())??;
    let is_admin = identity.user.is_none() || identity.role == Some(Role::Admin);
    Ok(Json(if Audience::of(&identity, peer) == Audience::Public {
        answer.without(is_custom_row).json()
    } else if is_admin {
        answer.json()
    } else {
        answer.without_files().json()
    }))
}

/// Why there is no answer.
enum Refused {
    Files(anyhow::Error),
    Indicator(anyhow::Error),
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Files(error) => {
                tracing::error!("explain: {error:#}");
                Self::unavailable()
            }
            Refused::Indicator(error) => {
                Self::new(StatusCode::BAD_REQUEST, "parameter", error.to_string())
            }
        }
    }
}
