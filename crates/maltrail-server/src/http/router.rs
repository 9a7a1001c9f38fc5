//! The one route table. A row says who may call it; the tests walk the table as every kind of asker.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};

use super::access::Access;
use super::middleware;
use crate::state::AppState;
use crate::{api, assets};

/// Largest request body in bytes. Forms and JSON bodies here hold a name and two passwords.
const BODY_BYTES: usize = 64 * 1024;

/// One row.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) handler: fn() -> MethodRouter<AppState>,
}

const fn route(
    path: &'static str,
    access: Access,
    handler: fn() -> MethodRouter<AppState>,
) -> Route {
    Route {
        path,
        access,
        handler,
    }
}

/// Every route but the static files, which are public.
pub(crate) const ROUTES: &[Route] = &[
    route("/api/v1/session", Access::Public, || {
        get(api::session::session)
    }),
    route("/api/v1/login", Access::Public, || {
        post(api::session::login)
    }),
    route("/api/v1/logout", Access::Public, || {
        post(api::session::logout)
    }),
    route("/api/v1/password", Access::Account, || {
        post(api::session::password)
    }),
    route("/api/v1/threats", Access::Read, || {
        get(api::threats::threats)
    }),
    route("/api/v1/threats/{id}", Access::Read, || {
        get(api::threat::threat)
    }),
    route("/api/v1/stream", Access::Read, || get(api::stream::stream)),
    route("/api/v1/days", Access::Read, || get(api::days::days)),
    route("/api/v1/health", Access::Read, || get(api::health::health)),
    route("/ping", Access::Public, || {
        get(api::legacy::ping).post(api::legacy::ping)
    }),
    route("/whoami", Access::Public, || {
        get(api::legacy::whoami).post(api::legacy::whoami)
    }),
    route("/login", Access::Public, || post(api::legacy::login)),
    route("/logout", Access::Public, || {
        get(api::legacy::logout).post(api::legacy::logout)
    }),
    route("/events", Access::Read, || {
        get(api::events::events).post(api::events::events)
    }),
];

/// The whole service.
pub(crate) fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let guard = from_fn_with_state((state.clone(), route.access), middleware::guard);
        // Not for refused methods: those are 405 for everybody.
        router = router.route(route.path, (route.handler)().route_layer(guard));
    }
    router
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), middleware::limit))
        .layer(from_fn(middleware::headers))
        .with_state(state)
}
