//! `/api/v1/tokens`: tokens of one's own, and of everybody for admins.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use maltrail_core::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::JsonBody;
use super::lists::Wanted;
use super::sessions::{reach, whose};
use crate::auth::grants::Grants;
use crate::auth::tokens::{DEFAULT_DAYS, Token, TokenError, Wish};
use crate::auth::{By, Identity, Peer};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TokenInfo {
    id: String,
    name: String,
    /// Absent: made on the console for a machine.
    owner: Option<String>,
    scopes: Vec<&'static str>,
    created: String,
    expires: Option<String>,
    last_used: Option<String>,
    /// `active`, `expired`, or `ended` when its account is not what it was.
    state: &'static str,
}

fn info(state: &AppState, token: Token) -> TokenInfo {
    let word = if token.is_expired(state.now()) {
        "expired"
    } else if state.auth.has_owner(&token) {
        "active"
    } else {
        "ended"
    };
    TokenInfo {
        id: token.id,
        name: token.name,
        owner: token.owner.map(|owner| owner.name),
        scopes: token.grants.words(),
        created: token.created.to_rfc3339(),
        expires: token.expires.map(Timestamp::to_rfc3339),
        last_used: token.used.map(Timestamp::to_rfc3339),
        state: word,
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TokenList)]
pub(crate) struct Answer {
    tokens: Vec<TokenInfo>,
    next: Option<String>,
}

/// `GET /api/v1/tokens`: one's own; all of them for an admin who says `all=1`.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let wanted = Wanted::read(&params)?;
    let name = whose(&params, &identity)?;
    let mut tokens = state.auth.tokens().map_err(TokenError::from)?;
    let owned = |token: &Token| token.owner.as_ref().map(|owner| owner.name.as_str()) == name;
    tokens.retain(|token| name.is_none() || owned(token));
    let (page, next) = wanted.page(tokens, |token| {
        format!("{:020}-{}", i64::MAX - token.created.micros(), token.id)
    });
    Ok(Json(Answer {
        tokens: page.into_iter().map(|token| info(&state, token)).collect(),
        next,
    }))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    name: String,
    scopes: Vec<String>,
    /// Absent: the default; null: without an end.
    #[serde(default, deserialize_with = "given")]
    expires_days: Option<Option<u32>>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A new token; its text is shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Made {
    token: String,
    #[serde(flatten)]
    info: TokenInfo,
}

/// `POST /api/v1/tokens`
pub(crate) async fn add(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    JsonBody(body): JsonBody<TokenBody>,
) -> Result<(StatusCode, Json<Made>), ApiError> {
    let grants = Grants::parse(body.scopes.iter().map(String::as_str)).map_err(|word| {
        let word: String = word.chars().take(32).collect();
        ApiError::parameter(format!(
            "`{word}` is not a scope; there are read, write, admin, sensor and blocklist."
        ))
    })?;
    let wish = Wish {
        name: &body.name,
        owner: None,
        grants,
        days: body.expires_days.unwrap_or(Some(DEFAULT_DAYS)),
    };
    let by = By::new(&identity, peer, state.now());
    let (token, made) = state.auth.add_token(&identity, &wish, &by)?;
    let info = info(&state, made);
    Ok((StatusCode::CREATED, Json(Made { token, info })))
}

/// `DELETE /api/v1/tokens/{id}`
pub(crate) async fn revoke(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let by = By::new(&identity, peer, state.now());
    let gone = state.auth.revoke_token(&id, reach(&identity), &by);
    if gone.map_err(TokenError::from)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let text = error.to_string();
        match error {
            TokenError::Name | TokenError::Nothing | TokenError::NoOwner | TokenError::Days => {
                Self::parameter(text)
            }
            TokenError::Beyond(_) => Self::new(StatusCode::FORBIDDEN, "role", text),
            TokenError::Full => Self::new(StatusCode::CONFLICT, "full", text),
            TokenError::Random | TokenError::State(_) => {
                tracing::error!(%error, "accounts: tokens are not available");
                Self::unavailable()
            }
        }
    }
}
