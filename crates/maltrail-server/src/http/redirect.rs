//! The one page that people from other machines get over plain HTTP: it leads to HTTPS.
//!
//! Self-contained, without script or style. What is pasted into it, host and path of the request, is
//! checked or escaped.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// Longest host name with its port.
const MAX_HOST: usize = 261;

/// Whether a request asks for a page: a browser's navigation, or anything that takes HTML.
pub(crate) fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    matches!(*method, Method::GET | Method::HEAD)
        && (text("sec-fetch-mode") == Some("navigate")
            || headers.get_all(header::ACCEPT).iter().any(|accept| {
                let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
                accept.contains("text/html") || accept.contains("application/xhtml+xml")
            }))
}

/// The same place by HTTPS. `None` when the request names no host that can be trusted to be one.
pub(crate) fn https_url(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let named = uri.authority().map(|authority| authority.as_str());
    let host = named.or_else(|| headers.get(header::HOST)?.to_str().ok())?;
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(allowed) {
        return None;
    }
    // A host without a port was asked for at port 80, which is where HTTPS is as well.
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    let port = if after.contains(':') { "" } else { ":80" };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("https://{host}{port}{path}"))
}

/// The page. `own`: the server made the certificate itself.
pub(crate) fn page(url: Option<&str>, fingerprint: &str, own: bool) -> Response {
    let link = match url {
        Some(url) => {
            let url = escaped(url);
            format!("<p><a href=\"{url}\">{url}</a></p>")
        }
        None => "<p>Put <code>https://</code> before the address of this server.</p>".to_owned(),
    };
    let why = if own {
        "<h2>Your browser will warn you once</h2>\n<p>The server made its certificate itself when it first started, so no authority vouches for it and \
         the browser asks you to decide. Look at the certificate in that warning: its SHA-256 fingerprint has to be the one that the server printed at \
         its start. This page came unencrypted, so trust the printed one more than this copy:</p>"
    } else {
        "<h2>The certificate</h2>\n<p>Its SHA-256 fingerprint, which the server also printed at its start:</p>"
    };
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Maltrail: continue with HTTPS</title>\n</head>\n<body>\n<main>\n<h1>Continue with an encrypted connection</h1>\n\
         <p>Events and passwords do not travel unencrypted from this server to other machines. The dashboard is here:</p>\n{link}\n{why}\n\
         <p><code>{}</code></p>\n</main>\n</body>\n</html>\n",
        escaped(fingerprint)
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn browsers_want_pages_and_scripts_do_not() {
        let wants = |method, pairs: &[_]| wants_page(&method, &headers(pairs));
        assert!(wants(
            Method::GET,
            &[("accept", "text/html,application/xml;q=0.9,*/*;q=0.8")]
        ));
        assert!(wants(Method::HEAD, &[("accept", "Application/XHTML+xml")]));
        assert!(wants(
            Method::GET,
            &[("sec-fetch-mode", "navigate"), ("accept", "*/*")]
        ));
        for pairs in [
            &[("accept", "*/*")][..],
            &[("accept", "application/json")],
            &[("sec-fetch-mode", "cors")],
            &[],
        ] {
            assert!(!wants(Method::GET, pairs), "{pairs:?}");
        }
        assert!(!wants(Method::POST, &[("accept", "text/html")]));
    }

    #[test]
    fn the_link_is_the_same_place() {
        let url = |uri: &str, host: &'static str| {
            https_url(&uri.parse().unwrap(), &headers(&[("host", host)]))
        };
        for (uri, host, wanted) in [
            ("/a?q=x%20y", "box:8338", "https://box:8338/a?q=x%20y"),
            ("/", "[fd00::2]:8338", "https://[fd00::2]:8338/"),
            ("/", "[fd00::2]", "https://[fd00::2]:80/"),
            ("/x", "box", "https://box:80/x"),
            ("http://other:1/y", "box:8338", "https://other:1/y"),
        ] {
            assert_eq!(url(uri, host).as_deref(), Some(wanted));
        }
        for bad in ["", "a/b", "a\"onclick=x", "a b", "user@box", "box\\evil"] {
            assert_eq!(url("/", bad), None, "{bad}");
        }
        assert_eq!(https_url(&"/".parse().unwrap(), &HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn nothing_of_the_request_becomes_markup() {
        let answer = page(Some("https://box:1/'><script>\"&"), "AB:CD", true);
        let body = axum::body::to_bytes(answer.into_body(), 100_000)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(
            !text.contains("<script") && !text.contains("style="),
            "{text}"
        );
        assert!(text.contains("&#39;&gt;&lt;script&gt;&quot;&amp;") && text.contains("AB:CD"));
    }
}
