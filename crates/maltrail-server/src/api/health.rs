//! `GET /api/v1/health`: counters of intake and index.

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::auth::{Identity, Role};
use crate::state::AppState;

pub(crate) async fn health(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
) -> Json<Value> {
    let shows_paths = identity.user.is_none() || identity.role == Some(Role::Admin);
    Json(json!({
        "intake": state.store.intake(),
        "index": state.store.index(),
        "alerts": state.alerts.health(shows_paths),
        "disk": state.store.disk(),
        "log_dir": shows_paths.then(|| state.store.log_dir().display().to_string()),
        "version": maltrail_core::VERSION,
    }))
}
