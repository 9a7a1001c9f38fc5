//! Tests over the whole route table: every route as every kind of asker, and as a foreign page.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::any;
use maltrail_core::time::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use super::access::Access;
use super::middleware;
use super::router::tests::{SHIPPED, request, state};
use super::router::{ROUTES, router};
use crate::auth::grants::Grants;
use crate::auth::password::sha256_hex;
use crate::auth::tokens::{self, Owner, Wish};
use crate::auth::{By, Identity, Peer, Role};
use crate::state::AppState;

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// What each asker gets: `.` passes. The column of `Analyst` is about writing; reading there is as in `Read`.
const WANTED: &str = "
asker           Public Read ReadAll Analyst Admin Account Person Sensor Fail2ban Blacklist
nobody          .      401  401     401     401   401     401    401    404      404
forger          .      401  401     401     401   401     401    401    404      404
tampered        .      401  401     401     401   401     401    401    404      404
expired         .      401  401     401     401   401     401    401    404      404
local           .      .    .       401     401   401     401    401    404      .
remote          .      401  401     401     401   401     401    401    404      404
firewall        .      401  401     401     401   401     401    401    .        .
admin           .      .    .       .       .     .       .      401    404      .
analyst         .      .    .       .       403   .       .      401    404      .
viewer          .      .    .       403     403   .       .      401    404      .
restricted      .      .    403     403     403   .       .      401    404      .
filtered-admin  .      .    403     .       .     .       .      401    404      .
masked          .      .    .       403     403   .       .      401    404      .
must-change     .      403  403     403     403   .       403    401    404      404
t-read          .      .    .       403     403   403     403    403    404      .
t-write         .      403  403     .       403   403     403    403    404      404
t-admin         .      403  403     403     .     403     403    403    404      404
t-sensor        .      403  403     403     403   403     403    .      404      404
t-blocklist     .      403  403     403     403   403     403    403    .        .
t-and-cookie    .      .    .       403     403   403     403    403    404      .
t-of-console    .      403  403     403     403   403     403    .      .        .
t-of-lowered    .      .    .       403     403   403     403    403    404      .
t-of-masked     .      .    .       .       403   403     403    403    404      .
t-of-filtered   .      .    403     .       .     403     403    .      404      .
t-must-change   .      403  403     403     403   403     403    403    404      404
t-expired       401    401  401     401     401   401     401    401    401      401
t-revoked       401    401  401     401     401   401     401    401    401      401
t-removed       401    401  401     401     401   401     401    401    401      401
t-wrong         401    401  401     401     401   401     401    401    401      401
t-wrong+cookie  401    401  401     401     401   401     401    401    401      401
";

const ACCESSES: [(&str, Access); 10] = [
    ("Public", Access::Public),
    ("Read", Access::Read),
    ("ReadAll", Access::ReadAll),
    ("Analyst", Access::Analyst),
    ("Admin", Access::Admin),
    ("Account", Access::Account),
    ("Person", Access::Person),
    ("Sensor", Access::Sensor),
    ("Fail2ban", Access::Fail2ban),
    ("Blacklist", Access::Blacklist),
];

/// Status of a refusal, `None` when the asker passes.
fn wanted(asker: &str, access: Access, method: &Method) -> Option<StatusCode> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let access = if access == Access::Analyst && reads {
        Access::Read
    } else {
        access
    };
    let (name, _) = ACCESSES.iter().find(|(_, known)| *known == access).unwrap();
    let mut rows = WANTED.trim().lines().map(str::split_whitespace);
    let column = rows.next().unwrap().position(|head| head == *name).unwrap();
    let row = rows.find(|row| row.clone().next() == Some(asker)).unwrap();
    let cell = row.collect::<Vec<_>>()[column];
    (cell != ".").then(|| StatusCode::from_bytes(cell.as_bytes()).unwrap())
}

/// What an asker shows, and where it comes from.
#[derive(Default)]
struct Shown {
    cookie: Option<String>,
    bearer: Option<String>,
    address: Option<[u8; 4]>,
}

fn here() -> Peer {
    Peer {
        address: [127, 0, 0, 1].into(),
        port: None,
        remote: false,
        clear: false,
    }
}

async fn sign_in(state: &AppState, name: &str, hours_ago: i64) -> String {
    let at = Timestamp::now().plus_micros(-hours_ago * 3_600_000_000);
    let password = if name == "new" { "admin" } else { "secret" };
    state.auth.login(name, password, here(), at).await.unwrap()
}

async fn identity(state: &AppState, name: &str) -> Identity {
    let cookie = sign_in(state, name, 0).await;
    state.auth.identify(Some(&cookie), here(), Timestamp::now())
}

async fn set_role(state: &AppState, name: &str, role: Role) {
    let by = By::new(&identity(state, "admin").await, here(), Timestamp::now());
    state.auth.set_role(name, role, &by).unwrap();
}

fn wish(scopes: &str, owner: Option<Owner>) -> Wish<'static> {
    Wish {
        name: "t",
        owner,
        grants: Grants::parse(scopes.split_whitespace()).unwrap(),
        days: Some(1),
    }
}

/// A token as the API makes it.
async fn token(state: &AppState, name: &str, scopes: &str) -> String {
    let identity = identity(state, name).await;
    let by = By::new(&identity, here(), Timestamp::now());
    let made = state.auth.add_token(&identity, &wish(scopes, None), &by);
    made.unwrap().0
}

/// A token as it lies in the state file.
fn stored(state: &AppState, owner: Option<(&str, String)>, scopes: &str, days_ago: i64) -> String {
    let owner = owner.map(|(name, entry)| Owner {
        name: name.to_owned(),
        entry,
    });
    let at = Timestamp::now().plus_micros(-days_ago * 24 * 3_600_000_000);
    let connection = state.auth.state_file().connection();
    let made = tokens::create(&connection, &wish(scopes, owner), at).unwrap();
    made.0
}

const EVERYTHING: &str = "read write admin sensor blocklist";

async fn shown(state: &AppState, asker: &str) -> Shown {
    let cookie = async |name: &str| Some(sign_in(state, name, 0).await);
    let mut shown = Shown::default();
    match asker {
        "nobody" | "local" => {}
        "remote" => shown.address = Some([198, 51, 100, 9]),
        "firewall" => shown.address = Some([192, 0, 2, 7]),
        "forger" => shown.cookie = Some("x".repeat(43)),
        "tampered" => {
            let cookie = sign_in(state, "admin", 0).await;
            let (head, last) = cookie.split_at(cookie.len() - 1);
            shown.cookie = Some(format!("{head}{}", if last == "A" { "B" } else { "A" }));
        }
        "expired" => shown.cookie = Some(sign_in(state, "admin", 25).await),
        "admin" => shown.cookie = cookie("admin").await,
        "analyst" => {
            set_role(state, "raised", Role::Analyst).await;
            shown.cookie = cookie("raised").await;
        }
        "viewer" => {
            set_role(state, "lowered", Role::Viewer).await;
            shown.cookie = cookie("lowered").await;
        }
        "restricted" => shown.cookie = cookie("analyst").await,
        "filtered-admin" => shown.cookie = cookie("some").await,
        "masked" => shown.cookie = cookie("masked").await,
        "must-change" => shown.cookie = cookie("new").await,
        "t-read" | "t-write" | "t-admin" | "t-sensor" | "t-blocklist" => {
            shown.bearer = Some(token(state, "admin", asker.trim_start_matches("t-")).await);
        }
        "t-and-cookie" => {
            shown.bearer = Some(token(state, "admin", "read").await);
            shown.cookie = cookie("admin").await;
        }
        "t-of-console" => shown.bearer = Some(stored(state, None, "sensor blocklist", 0)),
        "t-of-lowered" => {
            shown.bearer = Some(token(state, "lowered", EVERYTHING).await);
            set_role(state, "lowered", Role::Viewer).await;
        }
        "t-of-masked" => {
            set_role(state, "raised", Role::Analyst).await;
            shown.bearer = Some(token(state, "raised", "read write").await);
        }
        "t-of-filtered" => shown.bearer = Some(token(state, "some", EVERYTHING).await),
        "t-must-change" => {
            let entry = sha256_hex(SHIPPED.as_bytes());
            shown.bearer = Some(stored(state, Some(("new", entry)), EVERYTHING, 0));
        }
        _ => shown_wrong(state, asker, &mut shown).await,
    }
    shown
}

/// Tokens that are none any more, or never were.
async fn shown_wrong(state: &AppState, asker: &str, shown: &mut Shown) {
    let now = Timestamp::now();
    shown.bearer = Some(match asker {
        "t-expired" => stored(state, None, "sensor blocklist", 2),
        "t-revoked" => {
            let text = token(state, "admin", EVERYTHING).await;
            let by = By::new(&identity(state, "admin").await, here(), now);
            let id = state.auth.tokens().unwrap()[0].id.clone();
            assert!(state.auth.revoke_token(&id, Some("admin"), &by).unwrap());
            text
        }
        // The account is another one now: USERS has another password for its name.
        "t-removed" => stored(state, Some(("admin", "another".into())), EVERYTHING, 0),
        "t-wrong" => format!("mt_{}", "x".repeat(43)),
        "t-wrong+cookie" => {
            shown.cookie = Some(sign_in(state, "admin", 0).await);
            "x".to_owned()
        }
        _ => panic!("{asker} is not made"),
    });
}

/// A sign-in keeps to its address; wrong tokens are slowed down by address, so each of their requests comes
/// from another one.
fn ask(shown: &Shown, path: &str, method: &Method, number: u16) -> Request<Body> {
    let [high, low] = number.to_be_bytes();
    let address = match (shown.address, &shown.bearer) {
        (Some(address), _) => address,
        (None, Some(_)) => [127, 1, high, low],
        (None, None) => [127, 0, 0, 1],
    };
    let mut request = request(path, method.clone(), address, shown.cookie.as_deref());
    if let Some(bearer) = &shown.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    request
}

/// The status when the answer is a refusal of access. The login forms say 401 for other reasons, as plain
/// text; only routes with an allow-list refuse by 404.
fn refusal(access: Access, answer: &Response) -> Option<StatusCode> {
    let by_list = matches!(access, Access::Fail2ban | Access::Blacklist);
    let refused = matches!(
        answer.status(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    ) || (by_list && answer.status() == StatusCode::NOT_FOUND);
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let form = kind.is_some_and(|kind| kind == "text/plain; charset=utf-8");
    (refused && !form).then_some(answer.status())
}

fn askers() -> impl Iterator<Item = &'static str> {
    let rows = WANTED.trim().lines().skip(1);
    rows.filter_map(|row| row.split_whitespace().next())
}

#[tokio::test]
async fn every_route_lets_in_whom_its_row_names_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    for (asker, number) in askers().zip(0_u16..) {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        let state = state(&dir, !matches!(asker, "local" | "remote"));
        let shown = shown(&state, asker).await;
        let service = router(state);
        let mut number = 0;
        for route in ROUTES {
            let mut answered = 0;
            for method in METHODS {
                // Signing out ends the sign-in that the other rows need.
                if route.path.ends_with("/logout") && shown.cookie.is_some() {
                    answered += 1;
                    continue;
                }
                number += 1;
                let request = ask(&shown, route.path, &method, number);
                let answer = service.clone().oneshot(request).await.unwrap();
                if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                    continue;
                }
                answered += 1;
                assert_eq!(
                    refusal(route.access, &answer),
                    wanted(asker, route.access, &method),
                    "{method} {} as {asker}",
                    route.path
                );
            }
            assert!(answered > 0, "{} answers no method", route.path);
        }
    }
}

/// Kinds of access that few routes have, or none yet, through the same guard.
#[tokio::test]
async fn every_kind_of_access_lets_in_whom_it_names() {
    let dir = tempfile::tempdir().unwrap();
    for (asker, number) in askers().zip(0_u16..) {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        let state = state(&dir, !matches!(asker, "local" | "remote"));
        let shown = shown(&state, asker).await;
        let mut service = Router::new();
        for (name, access) in ACCESSES {
            let guard = from_fn_with_state((state.clone(), access), middleware::guard);
            let path = format!("/api/{name}");
            service = service.route(&path, any(|| async { "let in" }).layer(guard));
        }
        let mut number = 0;
        for (name, access) in ACCESSES {
            for method in METHODS {
                number += 1;
                let request = ask(&shown, &format!("/api/{name}"), &method, number);
                let answer = service.clone().oneshot(request).await.unwrap().status();
                let refused = (answer != StatusCode::OK).then_some(answer);
                assert_eq!(
                    refused,
                    wanted(asker, access, &method),
                    "{method} {name} as {asker}"
                );
            }
        }
    }
}

async fn code(answer: Response) -> String {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 16)
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn no_writing_route_serves_a_foreign_page() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path(), true);
    let cookie = sign_in(&state, "admin", 0).await;
    let bearer = token(&state, "admin", EVERYTHING).await;
    let service = router(state);
    let mut writing = 0;
    for route in ROUTES {
        for method in METHODS {
            if matches!(method, Method::GET | Method::HEAD) {
                continue;
            }
            let own = || {
                let mut request =
                    request(route.path, method.clone(), [127, 0, 0, 1], Some(&cookie));
                let host = HeaderValue::from_static("maltrail.example:8338");
                request.headers_mut().insert(header::HOST, host);
                request
            };
            let mut foreign = own();
            let origin = HeaderValue::from_static("https://evil.example");
            foreign.headers_mut().insert(header::ORIGIN, origin);
            let answer = service.clone().oneshot(foreign).await.unwrap();
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                continue;
            }
            writing += 1;
            let at = format!("{method} {}", route.path);
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{at}");
            assert_eq!(code(answer).await, "cross_site", "{at}");
            let mut sandboxed = own();
            let origin = HeaderValue::from_static("null");
            sandboxed.headers_mut().insert(header::ORIGIN, origin);
            let answer = service.clone().oneshot(sandboxed).await.unwrap();
            assert_eq!(code(answer).await, "cross_site", "{at}");
            if route.path.starts_with("/api/") {
                let mut form = own();
                form.headers_mut().remove("x-maltrail");
                let answer = service.clone().oneshot(form).await.unwrap();
                assert_eq!(code(answer).await, "cross_site", "{at} without the header");
            }
            // A token comes from no page.
            let mut program = own();
            let headers = program.headers_mut();
            headers.remove("x-maltrail");
            headers.remove(header::COOKIE);
            let value = HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap();
            headers.insert(header::AUTHORIZATION, value);
            let answer = service.clone().oneshot(program).await.unwrap();
            assert_ne!(code(answer).await, "cross_site", "{at} with a token");
        }
    }
    assert!(writing >= 7, "{writing} writing methods were tried");
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_right_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path(), true);
    let right = token(&state, "admin", "read").await;
    let service = router(state.clone());
    let ask = async |bearer: &str| {
        let mut request = request("/api/v1/days", Method::GET, [127, 0, 0, 9], None);
        let value = HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        service.clone().oneshot(request).await.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(ask("mt_x").await.status(), StatusCode::UNAUTHORIZED);
    }
    let answer = ask("mt_x").await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(ask(&right).await.status(), StatusCode::OK);
    // Nor are the people at that address.
    let peer = Peer {
        address: [127, 0, 0, 9].into(),
        ..here()
    };
    let login = state.auth.login("admin", "secret", peer, Timestamp::now());
    assert!(login.await.is_ok());
}

#[tokio::test]
async fn tokens_of_people_do_not_cross_a_network_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path(), true);
    let person = token(&state, "admin", "read").await;
    let sensor = token(&state, "admin", "sensor").await;
    let service = router(state);
    let ask = async |bearer: &str, from: [u8; 4], proto: Option<&'static str>| {
        let mut request = request("/trails", Method::GET, from, None);
        let headers = request.headers_mut();
        let value = HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap();
        headers.insert(header::AUTHORIZATION, value);
        if let Some(proto) = proto {
            headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.9"));
            headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
        }
        let answer = service.clone().oneshot(request).await.unwrap();
        (answer.status(), code(answer).await)
    };
    let (status, code) = ask(&person, [198, 51, 100, 9], None).await;
    assert_eq!(
        (status, code.as_str()),
        (StatusCode::FORBIDDEN, "clear_token")
    );
    assert_eq!(
        ask(&sensor, [198, 51, 100, 9], None).await.0,
        StatusCode::OK
    );
    assert_eq!(ask(&person, [127, 0, 0, 1], None).await.0, StatusCode::OK);
    // 203.0.113.1 is a trusted proxy.
    assert_eq!(
        ask(&person, [203, 0, 113, 1], Some("https")).await.0,
        StatusCode::OK
    );
    assert_eq!(
        ask(&person, [203, 0, 113, 1], Some("http")).await.0,
        StatusCode::FORBIDDEN
    );
}
