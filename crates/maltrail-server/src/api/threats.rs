//! `GET /api/v1/threats`: one page of the threats of a day or of several, totals, facets, histogram.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;
use serde::Serialize;

use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::ast::{Expr, Field, Pattern, Seen};
use crate::query::cursor::Cursor;
use crate::query::filter::Severities;
use crate::query::page::{Hidden, MAX_LIMIT, Page, PageRequest, Sort, page};
use crate::query::parse::parse;
use crate::query::span::{DaySum, Source, Span};
use crate::state::AppState;
use crate::store::Store;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ThreatList)]
pub(crate) struct Answer {
    /// Of one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    from: String,
    to: String,
    #[serde(flatten)]
    page: Page,
    /// Of several days, when the histogram is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<Vec<DaySum>>,
}

pub(crate) async fn threats(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let span = Span::read(&params, state.store.today())?;
    let selection = Selection::of(&params, &state, &identity, span).await?;
    let request = request(&params, &selection)?;
    let desk = Arc::clone(&state.desk);
    let (page, days) = if span.is_one() {
        let day = span.from;
        let ask = move |store: &Store| -> Result<Page, ApiError> {
            let mut request = request;
            desk.resolve(&mut request.expr)?;
            Ok(store.query(day, &identity.scope, |table| {
                page(table, &desk.cases(), &request)
            }))
        };
        (state.ask(day, ask).await??, None)
    } else {
        let Source::Range(range) = state.source(span, identity.scope).await? else {
            return Err(ApiError::unavailable());
        };
        let ask = move |_: &Store| -> Result<_, ApiError> {
            let mut request = request;
            desk.resolve(&mut request.expr)?;
            let cases = desk.cases();
            let days = request.histogram.then(|| range.histogram(&cases, &request));
            Ok((page(&range.table, &cases, &request), days))
        };
        state.blocking(ask).await??
    };
    Ok(Json(Answer {
        day: span.is_one().then(|| span.from.to_string()),
        from: span.from.to_string(),
        to: span.to.to_string(),
        page,
        days,
    }))
}

/// Which threats of which day.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) day: Day,
    pub(crate) expr: Expr,
    pub(crate) severities: Severities,
    pub(crate) hidden: Hidden,
}

impl Selection {
    /// Reads `day`, `q`, `sev` and `hidden`.
    pub(crate) async fn read(
        params: &Params,
        state: &AppState,
        identity: &Identity,
    ) -> Result<Self, ApiError> {
        let day = params.day("day")?.unwrap_or_else(|| state.store.today());
        Self::of(params, state, identity, Span::one(day)).await
    }

    /// Reads `q`, `sev` and `hidden` for these days, as this person means them.
    pub(crate) async fn of(
        params: &Params,
        state: &AppState,
        identity: &Identity,
        span: Span,
    ) -> Result<Self, ApiError> {
        let expr = parse(params.get("q").unwrap_or_default())?;
        let severities =
            Severities::parse(params.get("sev").unwrap_or_default()).ok_or_else(|| {
                ApiError::parameter("`sev` takes high, medium and low, separated by commas.")
            })?;
        let hidden = Hidden::named(params.get("hidden").unwrap_or("exclude"))
            .ok_or_else(|| ApiError::parameter("`hidden` is exclude, include or only."))?;
        let mut selection = Self {
            day: span.to,
            expr,
            severities,
            hidden,
        };
        selection.resolve(state, identity, span).await?;
        Ok(selection)
    }

    /// Makes of a query that was only read what it means on these days for this person. A query that was not
    /// resolved selects wrongly.
    pub(crate) async fn resolve(
        &mut self,
        state: &AppState,
        identity: &Identity,
        span: Span,
    ) -> Result<(), ApiError> {
        let expr = std::mem::replace(&mut self.expr, Expr::All);
        self.expr = resolved(expr, state, identity, span).await?;
        Ok(())
    }
}

/// What the query means on these days for this person.
async fn resolved(
    mut expr: Expr,
    state: &AppState,
    identity: &Identity,
    span: Span,
) -> Result<Expr, ApiError> {
    expr.resolve_times(state.store.zone(), span);
    if expr.asks(Field::Alias) {
        expr.resolve_aliases(&state.desk.aliases()?, &identity.networks);
    }
    if !expr.asks(Field::New) {
        return Ok(expr);
    }
    // It would tell what was seen in networks that are hidden.
    if identity.scope.is_filtered() {
        return Err(ApiError::restricted());
    }
    let asked = state.clone();
    let before = move || asked.answers.novelty.before(&asked.store, span.from);
    let seen = tokio::task::spawn_blocking(before).await;
    let seen = seen.map_err(|_| ApiError::unavailable())??;
    expr.values_mut(Field::New, &mut |pattern| {
        *pattern = Pattern::Unseen(Seen(Arc::clone(&seen)));
    });
    Ok(expr)
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
    let offset = params.number("offset", usize::MAX)?.unwrap_or(0);
    let after = match params.get("cursor") {
        None => None,
        Some(_) if offset > 0 => {
            return Err(ApiError::parameter("Give `cursor` or `offset`, not both."));
        }
        Some(text) => Some(
            Cursor::decode(text)
                .filter(|cursor| cursor.sort == sort.name() && cursor.descending == descending)
                .ok_or_else(|| {
                    ApiError::parameter("`cursor` is not the `next` of a page in this order.")
                })?,
        ),
    };
    let include = params.get("include").unwrap_or_default();
    let includes = |wanted: &str| include.split(',').any(|part| part.trim() == wanted);
    Ok(PageRequest {
        expr: selection.expr.clone(),
        severities: selection.severities,
        sort,
        descending,
        limit,
        offset,
        after: after.map(|cursor| cursor.place),
        facets: includes("facets"),
        histogram: includes("histogram"),
        hidden: selection.hidden,
    })
}
