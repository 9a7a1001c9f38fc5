//! `GET /api/v1/export`: the filtered set of threats as a file, see [`crate::export`].

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::threats::{Selection, request};
use crate::auth::Identity;
use crate::export::{Export, Format, MAX_INDICATORS, Refused};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::span::Span;
use crate::state::AppState;
use crate::store::Store;

/// Seconds after which a refused export may be tried again.
const RETRY: u64 = 10;

pub(crate) async fn export(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let name = params.get("format").unwrap_or("csv");
    let format = Format::named(name).ok_or_else(|| {
        ApiError::parameter(format!(
            "`{name}` is not a format; there are csv, json, ndjson, ioc, stix and misp."
        ))
    })?;
    let span = Span::read(&params, state.store.today())?;
    let selection = Selection::of(&params, &state, &identity, span).await?;
    let request = request(&params, &selection)?;
    let place = Arc::clone(&state.answers.exports).try_acquire_owned();
    let place = place.map_err(|_| ApiError::busy(RETRY))?;
    let source = state.source(span, identity.scope).await?;
    let days = span.to_string();
    let file = format.file_name(&days);
    let desk = Arc::clone(&state.desk);
    let make = move |_: &Store| -> Result<_, ApiError> {
        let mut request = request;
        desk.resolve(&mut request.expr)?;
        Ok(Export::new(source, &request, format, days, desk))
    };
    let made = state.blocking(make).await??;
    let export = made.map_err(|refused| match refused {
        Refused::NoAnswer(error) => error.into(),
        Refused::TooMany => ApiError::new(
            StatusCode::BAD_REQUEST,
            "too_many",
            format!("The set has more than {MAX_INDICATORS} indicators. Narrow the query."),
        ),
    })?;
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}\""),
        ),
    ];
    Ok((headers, export.body(place)).into_response())
}
