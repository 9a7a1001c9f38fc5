//! `/api/v1/views` and `/api/v1/aliases`: how people arrange and name what they see.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::JsonBody;
use super::triage::who;
use crate::auth::{Identity, Peer, Role};
use crate::desk::aliases::{Alias, is_within};
use crate::desk::views::{NewView, View};
use crate::http::error::ApiError;
use crate::state::AppState;

/// Views that the asker sees.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Views {
    views: Vec<View>,
}

/// The number of a new view.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ViewId {
    id: i64,
}

/// `GET /api/v1/views`: one's own and those that others share.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Views>, ApiError> {
    let desk = Arc::clone(&state.desk);
    let user = identity.user.unwrap_or_default();
    let views = state.blocking(move |_| desk.views(&user)).await??;
    Ok(Json(Views { views }))
}

/// `POST /api/v1/views`
pub(crate) async fn add(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    JsonBody(body): JsonBody<NewView>,
) -> Result<(StatusCode, Json<ViewId>), ApiError> {
    may_share(&identity, &body)?;
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    let id = state
        .blocking(move |_| desk.add_view(&body, &who))
        .await??;
    Ok((StatusCode::CREATED, Json(ViewId { id })))
}

/// `PUT /api/v1/views/{view}`
pub(crate) async fn edit(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(view): Path<i64>,
    JsonBody(body): JsonBody<NewView>,
) -> Result<StatusCode, ApiError> {
    may_share(&identity, &body)?;
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    state
        .blocking(move |_| desk.edit_view(view, &body, &who))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// What others will see is for analysts to arrange.
fn may_share(identity: &Identity, view: &NewView) -> Result<(), ApiError> {
    if view.shared && !identity.is_at_least(Role::Analyst) {
        let text = "Only analysts and administrators share views; save it for yourself.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "role", text));
    }
    Ok(())
}

/// `DELETE /api/v1/views/{view}`
pub(crate) async fn delete(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(view): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    state
        .blocking(move |_| desk.delete_view(view, &who))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Names of addresses.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Aliases {
    aliases: Vec<Alias>,
}

/// `GET /api/v1/aliases`: for restricted users those of their networks.
pub(crate) async fn aliases(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Aliases>, ApiError> {
    let desk = Arc::clone(&state.desk);
    let mut aliases = state.blocking(move |_| desk.aliases()).await??;
    if identity.scope.is_filtered() {
        aliases.retain(|alias| is_within(alias, &identity.networks));
    }
    Ok(Json(Aliases { aliases }))
}

/// The name of an address; empty takes it away.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasBody {
    label: String,
}

/// `PUT /api/v1/aliases/{address}`
pub(crate) async fn set_alias(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path(address): Path<String>,
    JsonBody(body): JsonBody<AliasBody>,
) -> Result<StatusCode, ApiError> {
    let named = Alias {
        address: address.clone(),
        label: String::new(),
        fixed: false,
    };
    if identity.scope.is_filtered() && !is_within(&named, &identity.networks) {
        return Err(ApiError::restricted());
    }
    let (desk, who) = (Arc::clone(&state.desk), who(&state, &identity, peer));
    state
        .blocking(move |_| desk.set_alias(&address, &body.label, &who))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}
