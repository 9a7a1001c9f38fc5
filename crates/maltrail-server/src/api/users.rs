//! `/api/v1/users`: the accounts and their roles, for admins. Who exists, and with which networks, only
//! `USERS` says.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, extract::rejection::PathRejection};
use maltrail_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::JsonBody;
use super::lists::Wanted;
use crate::auth::role::RoleError;
use crate::auth::{By, Identity, Peer, Person, Role};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct User {
    name: String,
    /// Absent for an account that left `USERS`, as the following.
    uid: Option<u32>,
    role: Option<&'static str>,
    networks: Vec<String>,
    /// A shipped password is in force.
    must_change: bool,
    last_sign_in: Option<String>,
    /// It left `USERS`.
    disabled: bool,
}

impl From<Person> for User {
    fn from(person: Person) -> Self {
        let in_force = person.in_force.as_ref();
        Self {
            uid: in_force.map(|account| account.uid),
            role: in_force.map(|account| account.role.word()),
            must_change: in_force.is_some_and(|account| account.must_change),
            disabled: in_force.is_none(),
            last_sign_in: person.signed_in.map(Timestamp::to_rfc3339),
            name: person.name,
            networks: person
                .in_force
                .map(|account| account.networks)
                .unwrap_or_default(),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UserList)]
pub(crate) struct Answer {
    users: Vec<User>,
    next: Option<String>,
}

/// `GET /api/v1/users`
pub(crate) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let wanted = Wanted::read(&Params::new(query.as_deref(), b""))?;
    let people: Vec<(usize, Person)> = people(&state).await?.into_iter().enumerate().collect();
    let (page, next) = wanted.page(people, |(place, _)| format!("{place:06}"));
    Ok(Json(Answer {
        users: page.into_iter().map(|(_, person)| person.into()).collect(),
        next,
    }))
}

async fn people(state: &AppState) -> Result<Vec<Person>, ApiError> {
    let shared = state.clone();
    let people = state.blocking(move |_| shared.auth.people()).await?;
    people.map_err(|error| {
        tracing::error!(%error, "accounts: cannot read the state file");
        ApiError::unavailable()
    })
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleBody {
    role: String,
}

/// `PUT /api/v1/users/{name}`
pub(crate) async fn set_role(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    name: Result<Path<String>, PathRejection>,
    JsonBody(body): JsonBody<RoleBody>,
) -> Result<Json<User>, ApiError> {
    let Ok(Path(name)) = name else {
        return Err(ApiError::not_found());
    };
    let Some(role) = Role::parse(&body.role) else {
        return Err(ApiError::parameter("`role` is viewer, analyst or admin."));
    };
    let by = By::new(&identity, peer, state.now());
    let (shared, of) = (state.clone(), name.clone());
    let done = state.blocking(move |_| shared.auth.set_role(&of, role, &by));
    done.await??;
    let person = people(&state).await?;
    let person = person.into_iter().find(|person| person.name == name);
    person
        .map(|person| Json(person.into()))
        .ok_or_else(ApiError::not_found)
}

impl From<RoleError> for ApiError {
    fn from(error: RoleError) -> Self {
        let text = error.to_string();
        match error {
            RoleError::Unknown => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            RoleError::Restricted => Self::new(StatusCode::BAD_REQUEST, "restricted", text),
            RoleError::LastAdmin => Self::new(StatusCode::CONFLICT, "last_admin", text),
            RoleError::State(error) => {
                tracing::error!(%error, "accounts: cannot store a role");
                Self::unavailable()
            }
        }
    }
}
