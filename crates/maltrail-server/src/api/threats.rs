//! `GET /api/v1/threats`: one page of a day's threats, totals, facets, histogram.

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;
use serde::Serialize;

use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::ast::Expr;
use crate::query::filter::Severities;
use crate::query::page::{MAX_LIMIT, Page, PageRequest, Sort, page};
use crate::query::parse::parse;
use crate::state::AppState;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    day: String,
    #[serde(flatten)]
    page: Page,
}

pub(crate) async fn threats(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let selection = Selection::read(&params, &state)?;
    let request = request(&params, &selection)?;
    let day = selection.day;
    let page = state
        .ask(day, move |store| {
            store.query(day, &identity.scope, |table| page(table, &request))
        })
        .await?;
    Ok(Json(Answer {
        day: day.to_string(),
        page,
    }))
}

/// Which threats of which day.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) day: Day,
    pub(crate) expr: Expr,
    pub(crate) severities: Severities,
}

impl Selection {
    /// Reads `day`, `q` and `sev`.
    pub(crate) fn read(params: &Params, state: &AppState) -> Result<Self, ApiError> {
        let day = params.day("day")?.unwrap_or_else(|| state.store.today());
        let expr = parse(params.get("q").unwrap_or_default())?;
        let severities =
            Severities::parse(params.get("sev").unwrap_or_default()).ok_or_else(|| {
                ApiError::parameter("`sev` takes high, medium and low, separated by commas.")
            })?;
        Ok(Self {
            day,
            expr,
            severities,
        })
    }
}

/// Reads order, page and what to include.
pub(crate) fn request(params: &Params, selection: &Selection) -> Result<PageRequest, ApiError> {
    let sort = params.get("sort").unwrap_or("risk");
    let sort = Sort::named(sort)
        .ok_or_else(|| ApiError::parameter(format!("`{sort}` is not a sort key.")))?;
    let descending = match params.get("dir") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err(ApiError::parameter("`dir` is asc or desc.")),
    };
    let limit = params.number("limit", MAX_LIMIT)?.unwrap_or(50);
    if limit == 0 {
        return Err(ApiError::parameter(format!(
            "`limit` is a whole number from 1 to {MAX_LIMIT}."
        )));
    }
    let include = params.get("include").unwrap_or_default();
    let includes = |wanted: &str| include.split(',').any(|part| part.trim() == wanted);
    Ok(PageRequest {
        expr: selection.expr.clone(),
        severities: selection.severities,
        sort,
        descending,
        limit,
        offset: params.number("offset", usize::MAX)?.unwrap_or(0),
        facets: includes("facets"),
        histogram: includes("histogram"),
    })
}
