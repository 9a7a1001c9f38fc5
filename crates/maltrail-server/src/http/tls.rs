//! What a request's way means for it: plain or TLS, this machine, a trusted proxy, or elsewhere.
//!
//! Outermost of all layers. People from elsewhere are led to HTTPS ([`redirect`]) with `USE_SSL auto`,
//! and everybody with `USE_SSL true`; cookies of answers that travel encrypted get `Secure`. Data for
//! programs stays on plain HTTP with `auto`; passwords do not (`Peer::clear`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use ipnet::IpNet;
use maltrail_core::config::SslMode;

use super::error::ApiError;
use super::listener::{ClientAddress, Listener};
use super::{middleware, redirect};
use crate::tls::Tls;

/// Half a year, as long as a certificate of today is good.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// Where a connection comes from, and whether it has become a TLS one by now.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    secure: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, Listener>> for Origin {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self {
            address: *stream.remote_addr(),
            secure: stream.io().secure(),
        }
    }
}

/// Among the extensions of requests that came through TLS to this server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secure;

/// What the configuration says about plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) mode: SslMode,
    /// `None` with `USE_SSL false`.
    pub(crate) tls: Option<Arc<Tls>>,
    /// `ENABLE_HSTS`
    pub(crate) hsts: bool,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl Policy {
    /// Puts this layer around the whole service.
    pub(crate) fn around(self, router: Router) -> Router {
        router
            .layer(from_fn_with_state(Arc::new(self), apply))
            .layer(from_fn(middleware::headers))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }

    /// What a plain request gets instead of its answer.
    fn refusal(&self, request: &Request, address: IpAddr) -> Option<Response> {
        let tls = self.tls.as_ref()?;
        let may_be_plain = match self.mode {
            SslMode::Off => true,
            SslMode::Auto => address.to_canonical().is_loopback() || self.trusts(address),
            SslMode::On => false,
        };
        if may_be_plain {
            return None;
        }
        let headers = request.headers();
        let url = redirect::https_url(request.uri(), headers);
        if redirect::wants_page(request.method(), headers) {
            return Some(redirect::page(
                url.as_deref(),
                &tls.fingerprint(),
                tls.is_own(),
            ));
        }
        (self.mode == SslMode::On).then(|| {
            let text =
                "This server speaks HTTPS only (USE_SSL true). Write https:// instead of http://.";
            ApiError::new(StatusCode::FORBIDDEN, "tls", text).into_response()
        })
    }
}

async fn apply(State(policy): State<Arc<Policy>>, mut request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<ConnectInfo<Origin>>().cloned();
    let Some(ConnectInfo(origin)) = origin else {
        return ApiError::unavailable().into_response();
    };
    let address = origin.address.ip();
    let secure = origin.secure.load(Ordering::Acquire);
    if secure {
        if is_from_plain_page(request.method(), request.headers()) {
            return ApiError::cross_site().into_response();
        }
        request.extensions_mut().insert(Secure);
    } else if let Some(answer) = policy.refusal(&request, address) {
        return answer;
    }
    let proxied = policy.trusts(address)
        && request
            .headers()
            .get("x-forwarded-proto")
            .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let client = ConnectInfo(ClientAddress(origin.address));
    request.extensions_mut().insert(client);
    let mut answer = next.run(request).await;
    if secure || proxied {
        secure_cookies(answer.headers_mut());
    }
    let own = policy.tls.as_ref().is_none_or(|tls| tls.is_own());
    if secure && policy.hsts && !own {
        let name = header::STRICT_TRANSPORT_SECURITY;
        answer.headers_mut().insert(name, HSTS);
    }
    answer
}

/// A page that came unencrypted, so from anybody on the way, may read here but change nothing.
fn is_from_plain_page(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
        && headers
            .get(header::ORIGIN)
            .is_some_and(|origin| origin.as_bytes().starts_with(b"http:"))
}

/// Cookies that came through TLS never travel plain.
fn secure_cookies(headers: &mut HeaderMap) {
    for cookie in headers
        .iter_mut()
        .filter(|(name, _)| *name == header::SET_COOKIE)
        .map(|(_, value)| value)
    {
        let Ok(text) = cookie.to_str() else { continue };
        let is_secure = |part: &str| part.trim().eq_ignore_ascii_case("secure");
        if !text.split(';').any(is_secure)
            && let Ok(with) = HeaderValue::from_str(&format!("{text}; Secure"))
        {
            *cookie = with;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use maltrail_core::config::{Config, Environment};
    use maltrail_core::time::Timestamp;
    use tower::ServiceExt;

    const PROXY: [u8; 4] = [203, 0, 113, 1];
    const LOCAL: [u8; 4] = [127, 0, 0, 1];
    const ELSEWHERE: [u8; 4] = [198, 51, 100, 9];

    fn service(dir: &std::path::Path, mode: &str) -> Router {
        let path = dir.join("test.conf");
        let text = format!(
            "HTTP_PORT 8338\nLOG_DIR {}\nUSE_SSL {mode}\n",
            dir.display()
        );
        std::fs::write(&path, text).unwrap();
        let (config, _) = Config::load(&path, &Environment::of_process()).unwrap();
        let policy = Policy {
            mode: config.server.use_ssl,
            tls: Tls::open(&config, Timestamp::now()).unwrap(),
            hsts: true,
            trusted_proxies: vec!["203.0.113.1/32".parse().unwrap()],
        };
        let answer = || async { ([(header::SET_COOKIE, "a=b; Path=/")], "data") };
        policy.around(Router::new().route("/", get(answer).post(answer)))
    }

    async fn ask(service: &Router, from: [u8; 4], secure: bool, more: &[(&str, &str)]) -> Response {
        let origin = Origin {
            address: (from, 40_000).into(),
            secure: Arc::new(AtomicBool::new(secure)),
        };
        let mut request = Request::builder()
            .header("host", "box:8338")
            .extension(ConnectInfo(origin));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        service.clone().oneshot(request).await.unwrap()
    }

    async fn text(answer: Response) -> String {
        let body = axum::body::to_bytes(answer.into_body(), 100_000)
            .await
            .unwrap();
        String::from_utf8_lossy(&body).into_owned()
    }

    const BROWSER: (&str, &str) = ("accept", "text/html");

    #[tokio::test]
    async fn who_is_led_to_https() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, from, headers, led) in [
            ("auto", ELSEWHERE, &[BROWSER][..], true),
            ("auto", ELSEWHERE, &[], false),
            ("auto", LOCAL, &[BROWSER], false),
            (
                "auto",
                PROXY,
                &[BROWSER, ("x-forwarded-for", "198.51.100.9")],
                false,
            ),
            (
                "auto",
                ELSEWHERE,
                &[BROWSER, ("x-forwarded-proto", "https")],
                true,
            ),
            ("true", LOCAL, &[BROWSER], true),
            ("true", PROXY, &[BROWSER], true),
            ("false", ELSEWHERE, &[BROWSER], false),
        ] {
            let service = service(dir.path(), mode);
            let answer = text(ask(&service, from, false, headers).await).await;
            assert_eq!(
                answer.contains("https://box:8338/"),
                led,
                "{mode} {from:?} {headers:?}: {answer}"
            );
            if mode != "false" {
                let answer = text(ask(&service, from, true, headers).await).await;
                assert_eq!(answer, "data", "through TLS: {mode} {from:?}");
            }
        }
    }

    #[tokio::test]
    async fn cookies_are_secure_where_they_came_encrypted() {
        let dir = tempfile::tempdir().unwrap();
        let service = service(dir.path(), "auto");
        let https = ("x-forwarded-proto", "https");
        for (from, tls, headers, secure) in [
            (ELSEWHERE, true, &[][..], true),
            (ELSEWHERE, false, &[], false),
            (LOCAL, false, &[], false),
            (PROXY, false, &[https], true),
            (PROXY, false, &[("x-forwarded-proto", "http")], false),
            (ELSEWHERE, false, &[https], false),
        ] {
            let answer = ask(&service, from, tls, headers).await;
            let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
            let wanted = if secure {
                "a=b; Path=/; Secure"
            } else {
                "a=b; Path=/"
            };
            assert_eq!(cookie, wanted, "{from:?} {tls} {headers:?}");
            let hsts = answer.headers().get(header::STRICT_TRANSPORT_SECURITY);
            assert_eq!(hsts, None, "a certificate that nobody vouches for");
        }
    }
}
