//! `/trails` (CSV, as the reference's sensors pull it) and `/api/v1/trails/image` (for our own).
//!
//! Both come from files prepared beforehand, compressed for those who accept gzip, with an ETag. Rows of the
//! operator's own lists are only for those who may know them.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::{Identity, Peer};
use crate::distribution::{Audience, Form};
use crate::http::body::written;
use crate::http::error::ApiError;
use crate::state::AppState;

/// `/trails`. compat: an empty 200 when there is no file.
pub(crate) async fn csv(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let audience = Audience::of(&identity, peer);
    match send(&state, (Form::Csv, audience), peer, &headers, kind.clone()).await? {
        Some(response) => Ok(response),
        None => Ok(([(header::CONTENT_TYPE, kind)], "").into_response()),
    }
}

/// `/api/v1/trails/image`
pub(crate) async fn image(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = HeaderValue::from_static("application/octet-stream");
    let audience = Audience::of(&identity, peer);
    let response = send(&state, (Form::Image, audience), peer, &headers, kind).await?;
    response.ok_or_else(ApiError::not_found)
}

async fn send(
    state: &AppState,
    (form, audience): (Form, Audience),
    peer: Peer,
    request: &HeaderMap,
    kind: HeaderValue,
) -> Result<Option<Response>, ApiError> {
    let distribution = &state.services.distribution;
    let Some(file) = distribution.file(form, audience).await? else {
        return Ok(None);
    };
    let etag = format!("W/\"{}\"", file.etag());
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(header::ETAG, &etag);
    put(header::VARY, "Accept-Encoding, Cookie, Authorization");
    put(header::CACHE_CONTROL, "private, no-cache");
    if knows(request, file.etag()) {
        return Ok(Some((StatusCode::NOT_MODIFIED, headers).into_response()));
    }
    let gzip = accepts_gzip(request);
    let bytes = if gzip {
        put(header::CONTENT_ENCODING, "gzip");
        file.gzip_bytes()
    } else {
        file.plain_bytes()
    };
    put(header::CONTENT_LENGTH, &bytes.to_string());
    headers.insert(header::CONTENT_TYPE, kind);
    let place = distribution.place(peer.address)?;
    let body = written(move |send| {
        if gzip {
            place.send(file.gzip(), send);
        } else {
            place.send(file.plain(), send);
        }
    });
    Ok(Some((headers, body).into_response()))
}

/// Whether the client has this content already.
fn knows(request: &HeaderMap, etag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == etag || tag == "*")
}

/// Whether gzip is among the accepted encodings, and not with weight 0.
pub(crate) fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut wanted = None;
    for coding in codings {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let accepted = weight.is_none_or(|weight| weight > 0.0);
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return accepted;
        }
        if name == "*" {
            wanted = Some(accepted);
        }
    }
    wanted.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        for (value, wanted) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate, *", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("gzipped", false),
            ("", false),
        ] {
            let request = headers(header::ACCEPT_ENCODING, value);
            assert_eq!(accepts_gzip(&request), wanted, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn known_content_is_recognised_in_every_spelling() {
        for (value, wanted) in [
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"abcd\"", false),
            ("", false),
        ] {
            let request = headers(header::IF_NONE_MATCH, value);
            assert_eq!(knows(&request, "abc"), wanted, "{value}");
        }
    }
}
