//! `GET /api/v1/sensors`: which sensors report, and how they are.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::fleet::Contact;
use crate::http::error::ApiError;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SensorList)]
pub(crate) struct Answer {
    sensors: Vec<Contact>,
}

pub(crate) async fn sensors(State(state): State<AppState>) -> Result<Json<Answer>, ApiError> {
    let (fleet, now) = (state.fleet.clone(), state.now());
    let sensors = state
        .blocking(move |store| fleet.contacts(now, store.log_dir()))
        .await?;
    Ok(Json(Answer { sensors }))
}
