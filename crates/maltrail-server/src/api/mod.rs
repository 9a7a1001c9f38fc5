//! One endpoint per file: parameters → a plain question → typed answer.

pub(crate) mod alerts;
mod asked;
pub(crate) mod audit_log;
pub(crate) mod blocklists;
pub(crate) mod counts;
pub(crate) mod days;
pub(crate) mod entities;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod feeds;
pub(crate) mod geo;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod hunt;
pub(crate) mod legacy;
pub(crate) mod lists;
pub(crate) mod live;
pub(crate) mod lookup;
pub(crate) mod meta;
pub(crate) mod notes;
pub(crate) mod query;
pub(crate) mod sensors;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod threat;
pub(crate) mod threat_events;
pub(crate) mod threats;
pub(crate) mod tokens;
pub(crate) mod trails;
pub(crate) mod triage;
pub(crate) mod users;
pub(crate) mod views;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};

use crate::http::error::ApiError;

/// A JSON body whose refusals have our shape.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: serde::de::DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "body", rejection.body_text())
    }
}
