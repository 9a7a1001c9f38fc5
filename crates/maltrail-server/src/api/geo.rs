//! `/geo`: events of a day by country.
//!
//! There is no table of countries yet, so every event counts as unmapped; totals are exact.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde::Serialize;

use super::events::parse_day;
use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

/// compat: this shape.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Answer {
    counts: std::collections::BTreeMap<String, u64>,
    mapped: u64,
    unmapped: u64,
    home: Option<Home>,
}

#[derive(Debug, Serialize)]
struct Home {
    lat: f64,
    lon: f64,
}

pub(crate) async fn geo(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let day = params.get("date").map(|date| {
        parse_day(date)
            .ok_or_else(|| ApiError::parameter("`date` is not a day; write it as YYYY-MM-DD."))
    });
    let mut unmapped = 0;
    if let Some(day) = day.transpose()? {
        unmapped = state
            .ask(day, move |store| {
                store.query(day, &identity.scope, |table| table.events)
            })
            .await?;
    }
    let home = state.services.home.map(|(lat, lon)| Home { lat, lon });
    Ok(Json(Answer {
        unmapped,
        home,
        ..Answer::default()
    }))
}
