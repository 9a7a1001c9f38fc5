//! `GET /api/v1/query`: what a query means, part by part, or where it is wrong.

use axum::Json;
use axum::extract::RawQuery;
use serde::Serialize;
use serde_json::Value;

use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::ast::{Expr, Field};
use crate::query::outline::outline;
use crate::query::parse::{Chip, chips, parse};

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QueryOutline)]
pub(crate) struct Answer {
    query: String,
    /// The whole, see `docs/search.md`.
    ast: Value,
    /// Parts that must all match.
    chips: Vec<ChipInfo>,
    /// Names of fields, for completion.
    fields: Vec<&'static str>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QueryPart)]
struct ChipInfo {
    /// As it is written.
    text: String,
    /// Character offsets in the query, end exclusive.
    from: usize,
    to: usize,
    negated: bool,
    /// Of a part that asks one field.
    field: Option<&'static str>,
    ast: Value,
}

pub(crate) async fn query(RawQuery(query): RawQuery) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let text = params.get("q").unwrap_or_default();
    let letters: Vec<char> = text.chars().collect();
    let info = |chip: Chip| {
        let (negated, inner) = match &chip.expr {
            Expr::Not(inner) => (true, &**inner),
            other => (false, other),
        };
        let field = match inner {
            Expr::Field(field, _) => Some(field.name()),
            _ => None,
        };
        ChipInfo {
            text: letters
                .get(chip.from..chip.to)
                .unwrap_or_default()
                .iter()
                .collect(),
            from: chip.from,
            to: chip.to,
            negated,
            field,
            ast: outline(&chip.expr),
        }
    };
    Ok(Json(Answer {
        query: text.to_owned(),
        ast: outline(&parse(text)?),
        chips: chips(text)?.into_iter().map(info).collect(),
        fields: Field::ALL.iter().map(|(_, name)| *name).collect(),
    }))
}
