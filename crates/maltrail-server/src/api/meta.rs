//! `/meta`: when a sensor on this machine first and last saw a name or an address.
//!
//! Reads `LOG_DIR/meta.sqlite`, which the sensor writes, and never changes it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use maltrail_core::addr::parse_ip;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql};
use serde::Serialize;
use serde_json::json;

use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

/// How long the sensor may hold the file.
const BUSY: Duration = Duration::from_secs(2);
/// Bit 0 of the flags: a name.
const NAME: i64 = 1;

/// compat: this shape.
#[derive(Debug, Serialize)]
struct Row {
    observable: String,
    kind: &'static str,
    scope: &'static str,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    #[serde(flatten)]
    about: Option<About>,
}

/// What is said of addresses only.
#[derive(Debug, Serialize)]
struct About {
    category: String,
    reputation: &'static str,
    country: &'static str,
}

pub(crate) async fn meta(
    State(state): State<AppState>,
    Extension(_): Extension<Identity>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let Some(observable) = params.get("observable").map(str::to_owned) else {
        return Ok(Json(json!({})).into_response());
    };
    let services = state.services.clone();
    let row = state.blocking(move |store| {
        let mut row = find(&store.log_dir().join("meta.sqlite"), &observable)?;
        if let Some((row, address)) = row.as_mut().zip(parse_ip(&observable)) {
            let bad = services.bad_networks.name(address);
            row.about = Some(About {
                reputation: if bad.is_some() { "bad" } else { "" },
                category: bad.unwrap_or_default().to_owned(),
                country: "",
            });
        }
        Ok(row)
    });
    let row: rusqlite::Result<Option<Row>> = row.await?;
    match row {
        Ok(Some(row)) => Ok(Json(row).into_response()),
        Ok(None) => Ok(Json(json!({})).into_response()),
        Err(error) => {
            tracing::warn!(%error, "cannot read meta.sqlite in LOG_DIR");
            Err(ApiError::busy(5))
        }
    }
}

/// The row of an observable; nothing when there is none, or no file.
fn find(path: &Path, observable: &str) -> rusqlite::Result<Option<Row>> {
    if !path.is_file() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(BUSY)?;
    let key: Box<dyn ToSql> = match parse_ip(observable) {
        Some(IpAddr::V4(address)) => Box::new(address.octets().to_vec()),
        Some(IpAddr::V6(address)) => Box::new(address.octets().to_vec()),
        None => Box::new(observable.to_owned()),
    };
    let query = "SELECT flags, first_seen, last_seen, count FROM observables WHERE observable = ?1";
    file.query_row(query, [key], |row| {
        let flags: i64 = row.get(0)?;
        Ok(Row {
            observable: observable.to_owned(),
            kind: if flags & NAME == NAME { "dns" } else { "ip" },
            scope: match (flags >> 1) & 3 {
                1 => "local",
                2 => "remote",
                _ => "",
            },
            first_seen: row.get(1)?,
            last_seen: row.get(2)?,
            count: row.get(3)?,
            about: None,
        })
    })
    .optional()
}
