//! `/counts`: events per day. Exact, as the asker may see them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::Day;

use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;

/// Longest span for restricted users: each of their days is counted event by event.
const MAX_SCOPED_SPAN: i32 = 366;

/// Day → number of events, for the days with a file from `from` (default: the first) to `to`
/// (default: today).
pub(crate) async fn counts(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<BTreeMap<String, u64>>, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let to = date_in(&params, "to")?.unwrap_or_else(|| state.store.today());
    let mut from = date_in(&params, "from")?.unwrap_or_else(|| first_day(to));
    if !identity.scope.is_everything() {
        from = from.max(to.plus(1 - MAX_SCOPED_SPAN));
    }
    let days = state
        .blocking(move |store| store.days(from, to, &identity.scope))
        .await?;
    let days = days.map_err(|error| {
        tracing::error!(%error, "cannot list LOG_DIR");
        ApiError::unavailable()
    })?;
    let days = days.into_iter();
    Ok(Json(
        days.map(|(day, events): (Day, u64)| (day.to_string(), events))
            .collect(),
    ))
}

/// Before any day file.
pub(crate) fn first_day(to: Day) -> Day {
    to.plus(-1_000_000)
}

/// The first date inside a parameter. compat: a value without one is ignored; one that is no day of
/// the calendar is refused.
pub(crate) fn date_in(params: &Params, name: &str) -> Result<Option<Day>, ApiError> {
    let Some(text) = params.get(name).and_then(find_date) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        ApiError::parameter(format!(
            "`{name}` holds {text}, which is no day of the calendar."
        ))
    })
}

fn find_date(text: &str) -> Option<&str> {
    let shape = |part: &[u8]| {
        part.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    let at = text.as_bytes().windows(10).position(shape)?;
    text.get(at..at + 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_date_in_a_value_counts() {
        for (text, wanted) in [
            ("from=2026-11-20", Some("2026-11-20")),
            ("from=x2026-11-20T00:00_2026-11-21", Some("2026-11-20")),
            ("from=zzz", None),
            ("from=2026-11", None),
            ("from=%C3%A42026-11-20%C3%A4", Some("2026-11-20")),
        ] {
            let params = Params::new(Some(text), b"");
            let day = date_in(&params, "from").unwrap();
            assert_eq!(day.map(|day| day.to_string()).as_deref(), wanted, "{text}");
        }
        let impossible = Params::new(Some("from=2026-13-45"), b"");
        assert!(date_in(&impossible, "from").is_err());
    }
}
