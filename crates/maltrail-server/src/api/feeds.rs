//! `GET /api/v1/feeds`: how the feeds stood at the last update of the trails.
//!
//! Addresses are named by host only: some of them carry a key.

use axum::Json;
use axum::extract::State;
use maltrail_core::time::Timestamp;
use maltrail_feeds::{FeedStatus, store};
use serde::Serialize;

use crate::http::error::ApiError;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FeedList)]
pub(crate) struct Answer {
    feeds: Vec<Feed>,
    /// When the trails were last looked at; null when there is no file of trails.
    checked: Option<String>,
    /// Seconds since then.
    age_secs: Option<u64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Feed {
    name: String,
    host: String,
    entries: usize,
    /// More or fewer entries than the time before.
    change: i64,
    refused: usize,
    last_success: Option<String>,
    last_attempt: Option<String>,
    last_changed: Option<String>,
    /// Seconds since it last answered well.
    age_secs: Option<u64>,
    /// What was wrong with its last answer.
    error: Option<String>,
    /// An answer that differs much waits for the next one to confirm it.
    waits_for_confirmation: bool,
}

pub(crate) async fn feeds(State(state): State<AppState>) -> Result<Json<Answer>, ApiError> {
    let file = state.services.distribution.trails_file().to_owned();
    let now = u64::try_from(state.now().secs()).unwrap_or(0);
    let read = move |_: &crate::store::Store| {
        let checked = maltrail_feeds::update::checked(&file);
        Answer {
            feeds: store::statuses(&file)
                .into_iter()
                .map(|status| feed(status, now))
                .collect(),
            checked: checked.and_then(text),
            age_secs: checked.map(|at| now.saturating_sub(at)),
        }
    };
    Ok(Json(state.blocking(read).await?))
}

fn feed(status: FeedStatus, now: u64) -> Feed {
    let secret = status.url.rsplit_once("://").map(|(_, rest)| rest);
    let host = secret.unwrap_or(&status.url).split(['/', '?', '#']).next();
    let host = host.unwrap_or_default().rsplit('@').next();
    let host = host.unwrap_or_default().to_owned();
    Feed {
        host,
        entries: status.entries,
        change: status.change,
        refused: status.refused,
        last_success: status.last_success.and_then(text),
        last_attempt: (status.last_attempt > 0)
            .then(|| text(status.last_attempt))
            .flatten(),
        last_changed: status.last_changed.and_then(text),
        age_secs: status.last_success.map(|at| now.saturating_sub(at)),
        error: status
            .error
            .map(|error| error.replace(&status.url, "its address")),
        waits_for_confirmation: status.pending.is_some(),
        name: status.name,
    }
}

fn text(secs: u64) -> Option<String> {
    let secs = i64::try_from(secs).ok()?;
    Some(Timestamp::from_parts(secs, 0).to_rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_addresses_stay_here() {
        let status = FeedStatus {
            name: "x".into(),
            url: "https://user:pw@feeds.example/list?key=geheim".into(),
            last_success: Some(1_700_000_000),
            error: Some("https://user:pw@feeds.example/list?key=geheim: 403".into()),
            ..FeedStatus::default()
        };
        let feed = feed(status, 1_700_000_060);
        assert_eq!(
            (feed.host.as_str(), feed.age_secs),
            ("feeds.example", Some(60))
        );
        let text = serde_json::to_string(&feed).unwrap();
        assert!(!text.contains("geheim") && !text.contains("pw"), "{text}");
        assert!(text.contains("403"));
    }
}
