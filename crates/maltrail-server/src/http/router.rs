//! The one route table. A row says who may call it; the tests walk the table as every kind of asker.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post, put};

use super::access::Access;
use super::middleware;
use crate::state::AppState;
use crate::{api, assets};

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
    route("/api/v1/sensors", Access::Read, || {
        get(api::sensors::sensors)
    }),
    route("/api/v1/health", Access::Read, || get(api::health::health)),
    // What people say about threats.
    route("/api/v1/triage", Access::Analyst, || put(api::triage::edit)),
    route("/api/v1/cases", Access::ReadAll, || get(api::triage::list)),
    route("/api/v1/tags", Access::ReadAll, || get(api::triage::tags)),
    route("/api/v1/assignees", Access::Read, || {
        get(api::triage::assignees)
    }),
    route("/api/v1/threats/{id}/notes", Access::Analyst, || {
        get(api::notes::list).post(api::notes::add)
    }),
    route("/api/v1/notes/{note}", Access::Analyst, || {
        put(api::notes::edit).delete(api::notes::delete)
    }),
    route("/api/v1/views", Access::Person, || {
        get(api::views::list).post(api::views::add)
    }),
    route("/api/v1/views/{view}", Access::Person, || {
        put(api::views::edit).delete(api::views::delete)
    }),
    route("/api/v1/aliases", Access::Read, || get(api::views::aliases)),
    route("/api/v1/aliases/{address}", Access::Analyst, || {
        put(api::views::set_alias)
    }),
    // Answers as files, and what is known beside the threats of a day.
    route("/api/v1/export", Access::Read, || get(api::export::export)),
    route("/api/v1/query", Access::Read, || get(api::query::query)),
    route("/api/v1/threats/{id}/events", Access::Read, || {
        get(api::threat_events::events)
    }),
    route("/api/v1/threats/{id}/history", Access::Read, || {
        get(api::history::history)
    }),
    route("/api/v1/entities/{kind}/{value}", Access::Read, || {
        get(api::entities::entity)
    }),
    route("/api/v1/explain", Access::Read, || {
        get(api::explain::explain)
    }),
    route("/api/v1/feeds", Access::Read, || get(api::feeds::feeds)),
    route("/api/v1/stats", Access::ReadAll, || get(api::stats::stats)),
    route("/api/v1/openapi.json", Access::Public, || {
        get(crate::openapi::document)
    }),
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
    route("/live", Access::Read, || {
        get(api::live::live).post(api::live::live)
    }),
    route("/counts", Access::Read, || {
        get(api::counts::counts).post(api::counts::counts)
    }),
    route("/geo", Access::Read, || {
        get(api::geo::geo).post(api::geo::geo)
    }),
    route("/hunt", Access::Read, || {
        get(api::hunt::hunt).post(api::hunt::hunt)
    }),
    route("/meta", Access::ReadAll, || {
        get(api::meta::meta).post(api::meta::meta)
    }),
    route("/reference", Access::Read, || {
        get(api::lookup::reference).post(api::lookup::reference)
    }),
    route("/check_ip", Access::Read, || {
        get(api::lookup::check_ip).post(api::lookup::check_ip)
    }),
    route("/ripe", Access::Read, || {
        get(api::lookup::ripe).post(api::lookup::ripe)
    }),
    route("/check", Access::Public, || {
        get(api::lookup::check).post(api::lookup::check)
    }),
    route("/trails", Access::Public, || {
        get(api::trails::csv).post(api::trails::csv)
    }),
    route("/api/v1/trails/image", Access::Public, || {
        get(api::trails::image)
    }),
    route("/fail2ban", Access::Fail2ban, || {
        get(api::blocklists::fail2ban).post(api::blocklists::fail2ban)
    }),
    route("/blacklist", Access::Blacklist, || {
        get(api::blocklists::blacklist).post(api::blocklists::blacklist)
    }),
    route("/blacklist/{name}", Access::Blacklist, || {
        get(api::blocklists::named).post(api::blocklists::named)
    }),
    // Accounts.
    route("/api/v1/sessions", Access::Person, || {
        get(api::sessions::list).delete(api::sessions::end_others)
    }),
    route("/api/v1/sessions/{id}", Access::Person, || {
        delete(api::sessions::end)
    }),
    route("/api/v1/tokens", Access::Person, || {
        get(api::tokens::list).post(api::tokens::add)
    }),
    route("/api/v1/tokens/{id}", Access::Person, || {
        delete(api::tokens::revoke)
    }),
    route("/api/v1/users", Access::Admin, || get(api::users::list)),
    route("/api/v1/users/{name}", Access::Admin, || {
        put(api::users::set_role)
    }),
    route("/api/v1/audit", Access::Admin, || get(api::audit_log::list)),
    // Alerts.
    route("/api/v1/alerts", Access::Admin, || get(api::alerts::list)),
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
        .layer(DefaultBodyLimit::max(middleware::BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), middleware::limit))
        .layer(from_fn(middleware::headers))
        .with_state(state)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::extract::ConnectInfo;
    use axum::http::{Method, Request, StatusCode, header};
    use maltrail_core::addr::NetworkSet;
    use maltrail_core::config::{Config, Environment};
    use maltrail_core::time::{Timestamp, Zone};
    use tower::ServiceExt;

    use super::*;
    use crate::alerts::Alerts;
    use crate::auth::{Auth, Peer};
    use crate::desk::Desk;
    use crate::http::listener::ClientAddress;
    use crate::state::Parts;
    use crate::store::Store;

    /// SHA-256 of `admin`, which ships, and of `secret`.
    pub(in crate::http) const SHIPPED: &str =
        "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918";
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    /// Accounts: an admin, one who sees some networks, restricted ones with and without networks, one with the
    /// shipped password.
    pub(crate) fn state(dir: &std::path::Path, with_users: bool) -> AppState {
        let users = format!(
            "USERS\n    admin:{SECRET}:0:\n    analyst:{SECRET}:1000:10.0.0.0/8\n    some:{SECRET}:0:10.0.0.0/8\n    masked:{SECRET}:1001:\n    lowered:{SECRET}:0:\n    raised:{SECRET}:1002:\n    new:{SHIPPED}:0:\n"
        );
        let log_dir = dir.join(if with_users { "users" } else { "none" });
        let text = format!(
            "HTTP_PORT 8338\nLOG_DIR {0}\nTRAILS_FILE {0}/trails.csv\nENABLE_MASK_CUSTOM true\nFAIL2BAN_REGEX x\nFAIL2BAN_ALLOWLIST 192.0.2.7\nBLACKLIST\n    src_ip ~ .\n{1}",
            log_dir.display(),
            if with_users { &users } else { "" }
        );
        let path = dir.join("test.conf");
        std::fs::write(&path, text).unwrap();
        let (config, _) = Config::load(&path, &Environment::of_process()).unwrap();
        let store = Store::open(
            &config.log_dir,
            Zone::UTC,
            usize::MAX,
            NetworkSet::private(),
        )
        .unwrap();
        let services = Arc::new(crate::services::Services::new(&config));
        drop(services.distribution.start().unwrap());
        let auth = Auth::open(&config, false).unwrap();
        let desk = Desk::open(Arc::clone(auth.state_file()), true, &[]).unwrap();
        let alerts = Alerts::open(&config, &config.log_dir.join("state.sqlite")).unwrap();
        AppState::new(Parts {
            services,
            fleet: Arc::default(),
            store,
            auth,
            desk: Arc::new(desk),
            alerts: Arc::new(alerts),
            max_requests: 10,
            max_streams: 1000,
            trusted_proxies: vec!["203.0.113.1/32".parse().unwrap()],
            clear_passwords: false,
            html: None,
            stopping: tokio::sync::watch::channel(false).1,
        })
    }

    /// A request with an empty JSON object, as the page sends it.
    pub(crate) fn request(
        path: &str,
        method: Method,
        address: [u8; 4],
        cookie: Option<&str>,
    ) -> Request<Body> {
        let client = ClientAddress(SocketAddr::from((address, 40000)));
        let mut request = Request::builder()
            .method(method)
            .uri(
                path.replace("{id}", "0123456789abcdef")
                    .replace("{name}", "x"),
            )
            .header("x-maltrail", "1")
            .header(header::CONTENT_TYPE, "application/json")
            .extension(ConnectInfo(client));
        if let Some(token) = cookie {
            request = request.header(header::COOKIE, format!("{}={token}", middleware::COOKIE));
        }
        request.body(Body::from("{}")).unwrap()
    }

    const LOCAL: [u8; 4] = [127, 0, 0, 1];

    #[tokio::test]
    async fn a_proxy_on_this_machine_is_nobody_of_an_allow_list() {
        let lists = crate::http::access::AllowLists {
            fail2ban: NetworkSet::new(["127.0.0.0/8".parse().unwrap()]),
            blacklist: NetworkSet::new(["127.0.0.0/8".parse().unwrap()]),
        };
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path(), true);
        let admit = |remote, address: [u8; 4], access: Access| {
            let peer = Peer {
                address: address.into(),
                port: None,
                remote,
                clear: false,
            };
            let identity = state.auth.identify(None, peer, Timestamp::now());
            access.admit(&identity, &Method::GET, peer, &lists).is_ok()
        };
        for access in [Access::Fail2ban, Access::Blacklist] {
            assert!(admit(false, [127, 0, 0, 1], access));
            assert!(!admit(true, [127, 0, 0, 1], access));
            assert!(!admit(true, [198, 51, 100, 9], access));
        }
    }

    #[tokio::test]
    async fn passwords_from_other_machines_need_https() {
        let dir = tempfile::tempdir().unwrap();
        let service = router(state(dir.path(), true));
        let sign_in = async |from: [u8; 4], proto: Option<&str>| {
            let mut request = request("/api/v1/login", Method::POST, from, None);
            *request.body_mut() = Body::from(r#"{"username":"admin","password":"secret"}"#);
            if let Some(proto) = proto {
                let headers = request.headers_mut();
                headers.insert("x-forwarded-for", "198.51.100.9".parse().unwrap());
                headers.insert("x-forwarded-proto", proto.parse().unwrap());
            }
            service.clone().oneshot(request).await.unwrap().status()
        };
        assert_eq!(sign_in([127, 0, 0, 1], None).await, StatusCode::OK);
        assert_eq!(
            sign_in([198, 51, 100, 9], None).await,
            StatusCode::FORBIDDEN
        );
        let untrusted = sign_in([198, 51, 100, 9], Some("https")).await;
        assert_eq!(
            untrusted,
            StatusCode::FORBIDDEN,
            "anybody can send the header"
        );
        assert_eq!(
            sign_in([203, 0, 113, 1], Some("https")).await,
            StatusCode::OK
        );
        assert_eq!(
            sign_in([203, 0, 113, 1], Some("http")).await,
            StatusCode::FORBIDDEN
        );
    }

    #[tokio::test]
    async fn more_handlers_than_allowed_are_told_to_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path(), false);
        let _all = state.requests.acquire_many(10).await.unwrap();
        let request = request("/ping", Method::GET, LOCAL, None);
        let answer = router(state.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn every_path_is_listed_once() {
        let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), ROUTES.len());
    }
}
