//! `/api/v1/triage`, `/api/v1/cases`, `/api/v1/tags`, `/api/v1/assignees`: what people decide about threats.
//!
//! A change names threats by id, or all that a search selects. Only threats of the named day that the asker may
//! see are changed, so nobody learns of, or decides about, what is hidden from them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;
use serde::{Deserialize, Serialize};

use super::JsonBody;
use super::threat::threat_id;
use super::threats::Selection;
use crate::auth::{Identity, Peer, Role};
use crate::desk::{Case, Desk, Edit, MAX_EDIT, Status, Who, id_text};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::filter::{Filter, Severities};
use crate::query::page::{Hidden, MAX_LIMIT};
use crate::query::parse::parse;
use crate::query::span::Span;
use crate::state::AppState;
use crate::store::Store;
use crate::store::scoped::Scope;
use crate::store::table::DayTable;

/// Names of unknown threats that an error lists.
const NAMED: usize = 5;

/// A change to threats. Name them by `ids` or by `all`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriageBody {
    /// `YYYY-MM-DD`; today without.
    day: Option<String>,
    /// Ids of threats, 16 hex digits each.
    ids: Option<Vec<String>>,
    /// Every threat that a search selects.
    all: Option<Search>,
    status: Option<Status>,
    /// Name of an account; empty for nobody.
    assignee: Option<String>,
    reason: Option<String>,
    /// Replaces all tags.
    tags: Option<Vec<String>>,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
    hidden: Option<bool>,
}

/// A search as `GET /api/v1/threats` has it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sev: String,
    #[serde(default)]
    hidden: Option<String>,
}

/// What a change did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Changed {
    /// Threats that were named.
    selected: usize,
    /// Of them those that were not so already.
    changed: usize,
}

/// `PUT /api/v1/triage`
pub(crate) async fn edit(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    JsonBody(body): JsonBody<TriageBody>,
) -> Result<Json<Changed>, ApiError> {
    let day = day(body.day.as_deref(), &state)?;
    let mut named = Named::read(body.ids, body.all, day)?;
    if let Named::All(selection) = &mut named {
        selection.resolve(&state, &identity, Span::one(day)).await?;
    }
    if let Some(assignee) = body.assignee.as_deref().filter(|name| !name.is_empty())
        && !state.auth.names().any(|name| name == assignee)
    {
        let text = format!("There is no account `{assignee}`; GET /api/v1/assignees lists them.");
        return Err(ApiError::parameter(text));
    }
    let edit = Edit {
        status: body.status,
        assignee: body.assignee,
        reason: body.reason,
        tags: body.tags,
        add_tags: body.add_tags,
        remove_tags: body.remove_tags,
        hidden: body.hidden,
    };
    let who = who(&state, &identity, peer);
    let desk = Arc::clone(&state.desk);
    let changed = state
        .ask(day, move |store| -> Result<Changed, ApiError> {
            let threats = named.find(store, &desk, day, &identity.scope)?;
            Ok(Changed {
                selected: threats.len(),
                changed: desk.edit(&threats, edit, &who)?,
            })
        })
        .await??;
    Ok(Json(changed))
}

/// Who makes a change.
pub(crate) fn who(state: &AppState, identity: &Identity, peer: Peer) -> Who {
    Who {
        name: identity.actor(),
        address: peer.address,
        at: state.now(),
        admin: identity.is_at_least(Role::Admin),
    }
}

/// The named day, or today.
pub(crate) fn day(text: Option<&str>, state: &AppState) -> Result<Day, ApiError> {
    let wrong = |_| ApiError::parameter("`day` is not a day; write it as YYYY-MM-DD.");
    match text {
        None => Ok(state.store.today()),
        Some(text) => text.parse().map_err(wrong),
    }
}

/// Whether the asker sees this threat on that day.
pub(crate) fn is_visible(store: &Store, day: Day, scope: &Scope, threat: u64) -> bool {
    store.query(day, scope, |table| is_live(table, threat))
}

fn is_live(table: &DayTable, threat: u64) -> bool {
    table.threat(threat).is_some_and(|threat| threat.is_live())
}

/// Which threats are meant.
enum Named {
    Ids(Vec<u64>),
    All(Box<Selection>),
}

impl Named {
    fn read(ids: Option<Vec<String>>, all: Option<Search>, day: Day) -> Result<Self, ApiError> {
        match (ids, all) {
            (Some(ids), None) => {
                let ids: HashSet<u64> = ids
                    .iter()
                    .map(|text| {
                        threat_id(text).ok_or_else(|| {
                            ApiError::parameter("`ids` are ids of threats, 16 hex digits each.")
                        })
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Self::Ids(ids.into_iter().collect()))
            }
            (None, Some(search)) => {
                let severities = Severities::parse(&search.sev).ok_or_else(|| {
                    ApiError::parameter("`sev` takes high, medium and low, separated by commas.")
                })?;
                let hidden = Hidden::named(search.hidden.as_deref().unwrap_or("exclude"))
                    .ok_or_else(|| ApiError::parameter("`hidden` is exclude, include or only."))?;
                Ok(Self::All(Box::new(Selection {
                    day,
                    expr: parse(&search.q)?,
                    severities,
                    hidden,
                })))
            }
            _ => Err(ApiError::parameter(
                "Name threats either by `ids` or by `all`, a search.",
            )),
        }
    }

    fn find(
        self,
        store: &Store,
        desk: &Desk,
        day: Day,
        scope: &Scope,
    ) -> Result<Vec<u64>, ApiError> {
        match self {
            Self::Ids(ids) => store.query(day, scope, |table| {
                let unknown: Vec<String> = ids
                    .iter()
                    .filter(|id| !is_live(table, **id))
                    .take(NAMED)
                    .map(|id| id_text(*id))
                    .collect();
                if unknown.is_empty() {
                    return Ok(ids);
                }
                let text = format!("{day} has no such threat: {}.", unknown.join(", "));
                Err(ApiError::new(
                    axum::http::StatusCode::NOT_FOUND,
                    "not_found",
                    text,
                ))
            }),
            Self::All(mut selection) => {
                desk.resolve(&mut selection.expr)?;
                let found = store.query(day, scope, |table| {
                    let cases = desk.cases();
                    let filter = Filter::new(&selection.expr, table, &cases);
                    let selected = table.threats.iter().filter(|threat| {
                        threat.is_live()
                            && selection.severities.contain(threat.severity)
                            && selection.hidden.admits(cases.is_hidden(threat.id))
                            && filter.matches(table, threat)
                    });
                    let found: Vec<u64> = selected
                        .take(MAX_EDIT + 1)
                        .map(|threat| threat.id)
                        .collect();
                    found
                });
                Ok(found)
            }
        }
    }
}

/// A case as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CaseInfo {
    id: String,
    status: Status,
    /// When the status was set, RFC 3339; absent where it never was.
    decided: Option<String>,
    assignee: String,
    reason: String,
    tags: Vec<String>,
    notes: u32,
    hidden: bool,
}

impl CaseInfo {
    fn new(id: u64, case: &Case) -> Self {
        let decided = case.decided.micros() != 0;
        Self {
            id: id_text(id),
            status: case.status,
            decided: decided.then(|| case.decided.to_rfc3339()),
            assignee: case.assignee.clone(),
            reason: case.reason.clone(),
            tags: case.tags.clone(),
            notes: case.notes,
            hidden: case.hidden,
        }
    }
}

/// Everything that was decided, on any day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CaseList {
    cases: Vec<CaseInfo>,
    total: usize,
    /// To be sent as `cursor` for what follows.
    next: Option<String>,
}

/// `GET /api/v1/cases`: by id; `cursor`, `limit`.
pub(crate) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<CaseList>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let limit = params
        .number("limit", MAX_LIMIT)?
        .unwrap_or(MAX_LIMIT)
        .max(1);
    let after = match params.get("cursor") {
        None => None,
        Some(text) => Some(threat_id(text).ok_or_else(|| {
            ApiError::parameter("`cursor` is what `next` of the previous answer was.")
        })?),
    };
    let cases = state.desk.cases();
    let mut ids: Vec<u64> = cases.iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    let start = after.map_or(0, |after| ids.partition_point(|id| *id <= after));
    let page = ids.get(start..).unwrap_or_default();
    let shown = page.iter().take(limit);
    let list: Vec<CaseInfo> = shown
        .filter_map(|id| Some(CaseInfo::new(*id, cases.get(*id)?)))
        .collect();
    let next = (page.len() > limit).then(|| list.last().map(|case| case.id.clone()));
    Ok(Json(CaseList {
        total: ids.len(),
        next: next.flatten(),
        cases: list,
    }))
}

/// A tag in use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TagInfo {
    tag: String,
    threats: usize,
}

/// Tags in use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TagList {
    tags: Vec<TagInfo>,
}

/// `GET /api/v1/tags`: most used first.
pub(crate) async fn tags(State(state): State<AppState>) -> Json<TagList> {
    let tags = state.desk.tags();
    let info = |(tag, threats)| TagInfo { tag, threats };
    Json(TagList {
        tags: tags.into_iter().map(info).collect(),
    })
}

/// Accounts that a threat can be given to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Assignees {
    assignees: Vec<String>,
}

/// `GET /api/v1/assignees`
pub(crate) async fn assignees(State(state): State<AppState>) -> Json<Assignees> {
    let mut assignees: Vec<String> = state.auth.names().map(str::to_owned).collect();
    assignees.sort_unstable();
    assignees.dedup();
    Json(Assignees { assignees })
}
