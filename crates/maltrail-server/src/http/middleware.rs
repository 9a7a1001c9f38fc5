//! What every request passes through, outermost first:
//!
//! 1. [`headers`]: security headers on whatever answer comes out;
//! 2. [`limit`]: bodies up to [`BODY_BYTES`], else 413; at most `MAX_REQUEST_THREADS` handlers, then 503;
//! 3. [`guard`], per route: who asks (token or cookie), cross-site check, required access.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maltrail_core::addr::parse_ip;

use super::access::Access;
use super::error::ApiError;
use super::listener::ClientAddress;
use super::tls::Secure;
use crate::auth::{Bearer, Identity, Peer, Refused, auth_log};
use crate::state::AppState;

/// Name of the sign-in cookie.
pub(crate) const COOKIE: &str = "maltrail_sessid";

/// Largest request body in bytes. Forms and JSON bodies here hold a name and two passwords.
pub(crate) const BODY_BYTES: usize = 64 * 1024;

/// Set on every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Security headers; `no-store` unless the handler said otherwise; a JSON body for bare refusals.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).cloned();
        let text = "This method is not allowed here.";
        response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", text).into_response();
        allow.map(|allow| response.headers_mut().insert(header::ALLOW, allow));
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses a body that is announced as too large before any of it is read, and what is beyond the number
/// of concurrent handlers.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES as u64) {
        return ApiError::too_large().into_response();
    }
    match state.requests.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => ApiError::busy(1).into_response(),
    }
}

/// Identifies the asker and checks the route's access. Handlers find `Identity` and `Peer` among the
/// request's extensions.
pub(crate) async fn guard(
    State((state, access)): State<(AppState, Access)>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let direct = request
        .extensions()
        .get::<ConnectInfo<ClientAddress>>()
        .map(|info| info.0.0);
    let Some(direct) = direct else {
        return ApiError::unavailable().into_response();
    };
    let mut peer = peer(&state, direct, request.headers());
    // Through TLS only a proxy of ours may have taken it unencrypted.
    let proxied = state
        .trusted_proxies
        .iter()
        .any(|net| net.contains(&direct.ip().to_canonical()));
    peer.clear &= proxied || request.extensions().get::<Secure>().is_none();
    let identity = match identify(&state, peer, &request) {
        Ok(identity) => identity,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = access.admit(&identity, request.method(), peer, &state.services.allow) {
        return error.into_response();
    }
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(peer);
    next.run(request).await
}

/// Who asks. A token counts more than a cookie. It is never sent by a browser on its own, so what comes
/// with one needs no check for foreign pages.
fn identify(state: &AppState, peer: Peer, request: &Request<Body>) -> Result<Identity, ApiError> {
    let headers = request.headers();
    let Some(token) = bearer(headers) else {
        same_site(request.method(), request.uri().path(), headers)?;
        return Ok(state.auth.identify(cookie(headers), peer, state.now()));
    };
    let identity = state.auth.identify_token(token, peer, state.now());
    if matches!(identity, Err(Refused::Token)) {
        auth_log::attempt("token", "", peer, false);
    }
    let identity = identity?;
    let machine = |bearer: &Bearer| bearer.grants.is_for_machines();
    if peer.clear && !state.clear_passwords && !identity.bearer.as_ref().is_some_and(machine) {
        return Err(ApiError::clear_token());
    }
    Ok(identity)
}

/// The token of an `Authorization: Bearer` header; empty when it is not readable. Other schemes are none of
/// ours: a proxy in front may use them.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    const SCHEME: &[u8] = b"bearer";
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .find_map(|value| {
            let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME.len())?;
            let ours = scheme.eq_ignore_ascii_case(SCHEME)
                && rest.first().is_none_or(u8::is_ascii_whitespace);
            ours.then(|| std::str::from_utf8(rest).map_or("", str::trim))
        })
}

/// The sign-in cookie. Of several the first non-empty one counts.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty() && value.len() <= 128)
        .map(|(_, value)| value)
}

/// The client: behind a trusted proxy the last address that is not itself a trusted proxy.
fn peer(state: &AppState, socket: SocketAddr, headers: &HeaderMap) -> Peer {
    let direct = socket.ip().to_canonical();
    let trusted = |address: &IpAddr| {
        state
            .trusted_proxies
            .iter()
            .any(|net| net.contains(address))
    };
    let forwarded = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "via",
    ]
    .iter()
    .any(|name| headers.contains_key(*name));
    let mut address = direct;
    if trusted(&direct) {
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in hops.iter().rev() {
            let Some(hop) = parse_ip(hop.trim()) else {
                break;
            };
            address = hop.to_canonical();
            if !trusted(&address) {
                break;
            }
        }
    }
    let proto = headers.get("x-forwarded-proto");
    let plain_proxy = proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"http"));
    Peer {
        address,
        port: (address == direct).then_some(socket.port()),
        remote: forwarded || !direct.is_loopback() || !address.is_loopback(),
        clear: if trusted(&direct) {
            plain_proxy
        } else {
            !direct.is_loopback()
        },
    }
}

/// Guards state-changing requests beside the cookie's SameSite: an `Origin` must be this host, and
/// the new API also wants the header that a foreign page cannot send.
fn same_site(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    if path.starts_with("/api/") && headers.get("x-maltrail").is_none_or(|value| value != "1") {
        return Err(ApiError::cross_site());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match (origin, host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(ApiError::cross_site()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(
            cookie(&headers_of(&[(
                "cookie",
                "theme=dark; maltrail_sessid=abc; x=y"
            )])),
            Some("abc")
        );
        assert_eq!(
            cookie(&headers_of(&[(
                "cookie",
                "xmaltrail_sessid=abc; maltrail_sessid="
            )])),
            None
        );
        assert_eq!(cookie(&HeaderMap::new()), None);
    }

    #[test]
    fn bearer_tokens_are_found_and_other_schemes_left_alone() {
        for (value, wanted) in [
            ("Bearer mt_x", Some("mt_x")),
            ("bearer   mt_x ", Some("mt_x")),
            ("BEARER\tmt_x", Some("mt_x")),
            ("Bearer", Some("")),
            ("Bearer ", Some("")),
            ("Bearermt_x", None),
            ("Basic bWU6bWU=", None),
            ("", None),
        ] {
            assert_eq!(bearer(&headers_of(&[("authorization", value)])), wanted);
        }
        let mut headers = headers_of(&[("authorization", "Basic x")]);
        headers.append(
            "authorization",
            HeaderValue::from_bytes(b"Bearer \xff").unwrap(),
        );
        assert_eq!(
            bearer(&headers),
            Some(""),
            "unreadable is wrong, not absent"
        );
    }

    #[test]
    fn foreign_pages_cannot_change_anything() {
        let check =
            |method, path, pairs: &[_]| same_site(&method, path, &headers_of(pairs)).is_ok();
        let own = ("host", "server:8338");
        assert!(check(
            Method::GET,
            "/api/v1/threats",
            &[("origin", "https://evil.example"), own]
        ));
        assert!(!check(Method::POST, "/api/v1/login", &[own]));
        assert!(check(
            Method::POST,
            "/api/v1/login",
            &[own, ("x-maltrail", "1")]
        ));
        assert!(check(
            Method::POST,
            "/api/v1/login",
            &[own, ("x-maltrail", "1"), ("origin", "http://server:8338")]
        ));
        assert!(!check(
            Method::POST,
            "/api/v1/login",
            &[own, ("x-maltrail", "1"), ("origin", "http://evil.example")]
        ));
        assert!(!check(Method::POST, "/login", &[own, ("origin", "null")]));
        assert!(
            check(Method::POST, "/login", &[own]),
            "scripts send no Origin"
        );
    }
}
