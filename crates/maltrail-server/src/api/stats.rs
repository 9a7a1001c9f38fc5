//! `GET /api/v1/stats`: how much is stored, and what the parts of the server have counted.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::error::ApiError;
use crate::state::AppState;
use crate::store::dayfile;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Stats)]
pub(crate) struct Answer {
    version: &'static str,
    today: Today,
    stored: Stored,
    /// Sensors that report.
    sensors: usize,
    /// Threats that somebody decided about.
    cases: usize,
    intake: Value,
    index: Value,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Today {
    day: String,
    threats: u64,
    events: u64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Stored {
    days: usize,
    first: Option<String>,
    last: Option<String>,
    /// Of the day files and archives.
    bytes: u64,
}

pub(crate) async fn stats(State(state): State<AppState>) -> Result<Json<Answer>, ApiError> {
    let (asked, now) = (state.clone(), state.now());
    let today = state.store.today();
    let answer = state
        .ask(today, move |store| -> std::io::Result<Answer> {
            let files = dayfile::list(store.log_dir())?;
            let table = store.present(today);
            let table = table.table();
            Ok(Answer {
                version: maltrail_core::VERSION,
                today: Today {
                    day: today.to_string(),
                    threats: table.threat_count(),
                    events: table.events,
                },
                stored: Stored {
                    days: files.len(),
                    first: files.last().map(|(day, _)| day.to_string()),
                    last: files.first().map(|(day, _)| day.to_string()),
                    bytes: files
                        .iter()
                        .map(|&(day, _)| dayfile::disk_bytes(store.log_dir(), day))
                        .sum(),
                },
                sensors: asked.fleet.contacts(now, store.log_dir()).len(),
                cases: asked.desk.cases().len(),
                intake: json!(store.intake()),
                index: json!(store.index()),
            })
        })
        .await?;
    answer.map(Json).map_err(|error| {
        tracing::error!(%error, "cannot list LOG_DIR");
        ApiError::unavailable()
    })
}
