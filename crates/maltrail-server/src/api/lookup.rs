//! `/check`, `/check_ip`, `/reference`, `/ripe`: what is known about one indicator.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use maltrail_core::addr::{parse_ip, parse_ip_port};
use maltrail_core::trail::{Trail, TrailSet};
use serde::Serialize;
use serde_json::json;

use crate::auth::{Identity, Peer};
use crate::distribution::{Audience, is_custom_row};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::legacy::ripe::{Kind, is_public};
use crate::state::AppState;

/// Longest text that is looked up.
const MAX_CHARS: usize = 256;
/// Longest text of an address.
const MAX_ADDRESS: usize = 45;

/// compat: this shape.
#[derive(Debug, Default, Serialize)]
struct Checked {
    query: String,
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// `/check`: whether an indicator is listed. The operator's own trails are not there for strangers and
/// masked users.
pub(crate) async fn check(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let text = params.get("q").or_else(|| params.get("query"));
    let text = text.unwrap_or_default().trim().to_lowercase();
    let mut answer = Checked::default();
    if text.is_empty() || text.chars().count() > MAX_CHARS {
        answer.query = text.chars().take(MAX_CHARS).collect();
        answer.error = Some("missing or oversized 'q'");
        return Ok(Json(answer).into_response());
    }
    let audience = Audience::of(&identity, peer);
    match state.services.distribution.set().await? {
        None => answer.error = Some("trail store unavailable"),
        Some(set) => {
            if let Some(trail) = find(&set, &text, audience) {
                answer.found = true;
                answer.trail = Some(trail.key.to_owned());
                answer.info = Some(trail.info.to_owned());
                answer.reference = Some(trail.reference.to_owned());
            }
        }
    }
    answer.query = text;
    Ok(Json(answer).into_response())
}

/// The row of the value without scheme and last slash, of its host, or of a parent of the host.
pub(super) fn find<'a>(set: &'a TrailSet, text: &str, audience: Audience) -> Option<Trail<'a>> {
    let value = text.split_once("://").map_or(text, |(_, rest)| rest);
    let value = value.strip_suffix('/').unwrap_or(value);
    let host = value.split(['/', '?', '#']).next().unwrap_or_default();
    let host_is_address = parse_ip(host).is_some() || parse_ip_port(host).is_some();
    let parents = host
        .match_indices('.')
        .filter_map(|(at, _)| host.get(at + 1..));
    let parents = parents
        .take_while(|parent| parent.contains('.'))
        .filter(|_| !host_is_address);
    [value, host].into_iter().chain(parents).find_map(|key| {
        let trail = row(set, key)?;
        let hidden = audience == Audience::Public && is_custom_row(trail.info, trail.reference);
        (!hidden).then_some(trail)
    })
}

fn row<'a>(set: &'a TrailSet, key: &str) -> Option<Trail<'a>> {
    if let Some(address) = parse_ip(key) {
        return set.ip(address);
    }
    if let Some((address, port)) = parse_ip_port(key)
        && let Some(trail) = set.ip_port(address, port)
    {
        return Some(trail);
    }
    set.text(key)
}

/// compat: texts instead of booleans.
#[derive(Debug, Serialize)]
struct AboutAddress<'a> {
    ipcat: &'a str,
    worst_asns: &'static str,
    country: &'static str,
}

/// `/check_ip`: what an address is known as. Anything that is no address is known as nothing.
pub(crate) async fn check_ip(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let params = Params::new(query.as_deref(), &body);
    let address = params.get("address").and_then(parse_ip);
    let name = address.and_then(|address| state.services.bad_networks.name(address));
    let about = AboutAddress {
        ipcat: name.unwrap_or_default(),
        worst_asns: if name.is_some() { "true" } else { "false" },
        country: "",
    };
    // compat: JSON under this type.
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    ([kind], json!(about).to_string()).into_response()
}

/// `/reference`: which list has a trail, and where that list has it from.
pub(crate) async fn reference(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let trail = params.get("trail").unwrap_or_default().trim().to_owned();
    if trail.is_empty() || trail.chars().count() > MAX_CHARS {
        return Ok(Json(json!({})).into_response());
    }
    let services = state.services.clone();
    let found = state.blocking(move |_| services.references.find(&trail));
    Ok(Json(found.await?).into_response())
}

/// `/ripe`: country or operator of a public address, where the configuration allows asking.
pub(crate) async fn ripe(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let text = params.get("address").unwrap_or_default();
    let address = Some(text).filter(|text| text.len() <= MAX_ADDRESS);
    let address = address
        .and_then(parse_ip)
        .filter(|&address| is_public(address));
    let address =
        address.ok_or_else(|| ApiError::parameter("`address` is not a public address."))?;
    let kind = match params.get("kind") {
        None | Some("geo") => Kind::Geo,
        Some("asn") => Kind::Asn,
        Some(_) => return Err(ApiError::parameter("`kind` is `geo` or `asn`.")),
    };
    if state.services.ripe.is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let services = state.services.clone();
    // Look-ups have places of their own: a slow network holds up no other question.
    let turn = services.lookups.try_acquire();
    let _turn = turn.map_err(|_| ApiError::busy(5))?;
    let asked = state.services.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let ripe = asked.ripe.as_ref()?;
        Some(ripe.ask(kind, address.to_canonical()))
    });
    match answer.await.map_err(|_| ApiError::unavailable())? {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(Ok(answer)) => {
            let cache = (header::CACHE_CONTROL, "private, max-age=86400");
            Ok(([cache], Json(answer)).into_response())
        }
        Some(Err(why)) => {
            tracing::warn!(%address, "{why}");
            Err(ApiError::new(StatusCode::BAD_GATEWAY, "lookup", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::trail::Whitelist;

    const ROWS: &str = "evil.biz,dummy,(static)\n1.2.3.4,ip,(static)\n1.2.3.5:8080,port,(static)\nbad.biz/gate.php,url,(static)\nown.biz,mine (custom),(custom)\nbiz,tld,(static)\nboth.biz,x,(static) (+(custom))\n2001:db8::1,six,(static)\n";

    fn ask(text: &str, audience: Audience) -> Option<String> {
        let set = TrailSet::from_csv(ROWS.as_bytes(), Whitelist::default(), true).unwrap();
        find(&set, text, audience).map(|trail| trail.key.to_owned())
    }

    #[test]
    fn value_host_and_parents_are_looked_up() {
        for (text, wanted) in [
            ("evil.biz", Some("evil.biz")),
            ("www.deep.evil.biz", Some("evil.biz")),
            ("http://bad.biz/gate.php", Some("bad.biz/gate.php")),
            ("https://bad.biz/gate.php/", Some("bad.biz/gate.php")),
            ("bad.biz/other.php", None),
            ("evil.biz/x?y=z", Some("evil.biz")),
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.4:80", None),
            ("1.2.3.5:8080", Some("1.2.3.5:8080")),
            ("2001:DB8:0::1", Some("2001:db8::1")),
            ("http://1.2.3.4/x", Some("1.2.3.4")),
            ("unlisted.biz", None),
            ("\0<script>", None),
            ("://", None),
            ("...", None),
        ] {
            assert_eq!(ask(text, Audience::Operator).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn the_operator_s_own_trails_are_not_there_for_the_public() {
        for (text, operator) in [("own.biz", "own.biz"), ("x.both.biz", "both.biz")] {
            assert_eq!(ask(text, Audience::Operator).as_deref(), Some(operator));
            assert_eq!(ask(text, Audience::Public), None);
        }
    }
}
