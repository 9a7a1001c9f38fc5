//! `/events`: the lines of a day, or of a span of days, as the reference serves them.
//!
//! Stateless. For unrestricted users byte ranges are exact file offsets over the concatenated files.
//! For restricted users offsets mean the raw files, too, but only visible lines are sent, whole; the
//! answer is 200 and `X-Maltrail-Next` says where to go on.

use std::io;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maltrail_core::limits::EVENT_LINE_BYTES;
use maltrail_core::time::Day;

use crate::auth::Identity;
use crate::http::body::written;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;
use crate::store::Store;
use crate::store::dayfile::DayFile;
use crate::store::scoped::Scope;

/// Longest span of days.
const MAX_DAYS: i64 = 366;
/// Bytes read and sent at a time.
const PIECE: usize = 64 * 1024;
/// Where a restricted user's next request goes on.
const NEXT: &str = "x-maltrail-next";

pub(crate) async fn events(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let (from, to) = params.get("date").and_then(span).ok_or_else(|| {
        ApiError::parameter(
            "`date` is a day (YYYY-MM-DD) or a span of at most 366 days (YYYY-MM-DD_YYYY-MM-DD).",
        )
    })?;
    let range = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .map(str::to_owned);
    let answer = state.blocking(move |store| {
        let lines = Lines::open(store, from, to);
        if identity.scope.is_everything() {
            whole(lines, range.as_deref())
        } else {
            scoped(lines, range.as_deref(), identity.scope.clone())
        }
    });
    answer.await
}

/// `A` or `A_B`, inclusive; month and day may have one digit.
fn span(text: &str) -> Option<(Day, Day)> {
    let (from, to) = text.split_once('_').unwrap_or((text, text));
    let (from, to) = (parse_day(from)?, parse_day(to)?);
    (to.days_since(from) < MAX_DAYS).then_some((from, to))
}

/// `YYYY-MM-DD`; month and day may have one digit.
pub(crate) fn parse_day(text: &str) -> Option<Day> {
    let mut parts = text.splitn(3, '-');
    let mut number = |longest: usize, shortest: usize| -> Option<i16> {
        let part = parts.next()?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        (digits && part.len() <= longest && part.len() >= shortest)
            .then(|| part.parse().ok())
            .flatten()
    };
    let (year, month, day) = (number(4, 4)?, number(2, 1)?, number(2, 1)?);
    Day::new(year, month.try_into().ok()?, day.try_into().ok()?)
}

/// The files of a span as one row of bytes, as long as they were when the request came.
struct Lines {
    files: Vec<(DayFile, u64)>,
    total: u64,
}

impl Lines {
    fn open(store: &Store, from: Day, to: Day) -> Self {
        let mut files = Vec::new();
        let mut day = from;
        while day <= to {
            if let Ok(file) = DayFile::open(store.log_dir(), day)
                && let Ok(len) = file.len()
                && len > 0
            {
                files.push((file, len));
            }
            if day.plus(1) == day {
                break;
            }
            day = day.plus(1);
        }
        let total = files.iter().map(|(_, len)| len).sum();
        Self { files, total }
    }

    /// Reads some bytes at `offset`; 0 at the end.
    fn read_at(&self, mut offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        for (file, len) in &self.files {
            if offset < *len {
                let most = usize::try_from(len - offset)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                return file.read_at(buffer.get_mut(..most).unwrap_or_default(), offset);
            }
            offset -= len;
        }
        Ok(0)
    }

    /// Calls `visit` with the bytes `from..to`, piece by piece, until it says stop.
    fn each_piece(&self, from: u64, to: u64, mut visit: impl FnMut(&[u8]) -> bool) {
        let mut buffer = vec![0; PIECE];
        let mut at = from;
        while at < to {
            let most = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            let Some(free) = buffer.get_mut(..most) else {
                return;
            };
            match self.read_at(at, free) {
                Ok(0) => return,
                Ok(count) => {
                    at += count as u64;
                    if !visit(buffer.get(..count).unwrap_or_default()) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "events: cannot read a day file");
                    return;
                }
            }
        }
    }

    /// Offset after the first line end at or after `from`.
    fn after_line_end(&self, from: u64) -> Option<u64> {
        let (mut at, mut found) = (from, None);
        self.each_piece(from, self.total, |piece| {
            found = piece
                .iter()
                .position(|&byte| byte == b'\n')
                .map(|end| at + end as u64 + 1);
            at += piece.len() as u64;
            found.is_none()
        });
        found
    }

    /// Offset after the last line end.
    fn complete(&self) -> u64 {
        let mut end = self.total;
        while end > 0 {
            let start = end.saturating_sub(PIECE as u64);
            let (mut at, mut last) = (start, None);
            self.each_piece(start, end, |piece| {
                if let Some(found) = piece.iter().rposition(|&byte| byte == b'\n') {
                    last = Some(at + found as u64 + 1);
                }
                at += piece.len() as u64;
                true
            });
            match last {
                Some(last) => return last,
                None => end = start,
            }
        }
        0
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// No usable range: everything.
    Whole,
    /// `start..end`.
    Part(u64, u64),
    Impossible,
}

/// compat: the first byte range counts; `N-M` at the end of the file is an empty part, `N-` there is
/// impossible; anything that cannot be read is no range.
fn parse_range(header: Option<&str>, total: u64) -> Range {
    let Some(first) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Range::Whole;
    };
    let first = first.split(',').next().unwrap_or_default().trim();
    let Some((start, end)) = first.split_once('-') else {
        return Range::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (start, number(start), end, number(end)) {
        ("", _, _, Some(0)) => Range::Impossible,
        ("", _, _, Some(suffix)) => Range::Part(total.saturating_sub(suffix), total),
        (_, Some(start), "", _) if start < total => Range::Part(start, total),
        (_, Some(start), _, Some(end)) if start <= end && start <= total => {
            Range::Part(start, end.saturating_add(1).min(total))
        }
        (_, Some(_), "", _) | (_, Some(_), _, Some(_)) => Range::Impossible,
        _ => Range::Whole,
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn whole(lines: Lines, range: Option<&str>) -> Response {
    let total = lines.total;
    if total == 0 {
        return empty(range.is_some());
    }
    let (status, start, end) = match parse_range(range, total) {
        Range::Whole => (StatusCode::OK, 0, total),
        Range::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end.max(start)),
        Range::Impossible => return impossible(total),
    };
    let body = written(move |send| lines.each_piece(start, end, |piece| send(piece.to_vec())));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    if status == StatusCode::PARTIAL_CONTENT {
        // An empty part ends one byte before its start; only start 0 has no such byte.
        put(
            headers,
            header::CONTENT_RANGE,
            &format!("bytes {start}-{}/{total}", end.saturating_sub(1)),
        );
    }
    response
}

/// compat: a span without a file is an empty 200, with this odd range when one was asked for.
fn empty(with_range: bool) -> Response {
    let mut response = ([(header::CONTENT_TYPE, TEXT)], "").into_response();
    if with_range {
        put(response.headers_mut(), header::CONTENT_RANGE, "bytes 0-0/0");
    }
    response
}

fn impossible(total: u64) -> Response {
    let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    put(
        response.headers_mut(),
        header::CONTENT_RANGE,
        &format!("bytes */{total}"),
    );
    response
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn scoped(lines: Lines, range: Option<&str>, scope: Scope) -> Response {
    let complete = lines.complete();
    let (start, end) = match parse_range(range, lines.total) {
        Range::Whole => (0, complete),
        Range::Part(start, end) => (start, end.min(complete)),
        Range::Impossible => return impossible(lines.total),
    };
    let aligned = |at: u64| {
        if at == 0 {
            Some(0)
        } else {
            lines.after_line_end(at - 1)
        }
    };
    let start = aligned(start).unwrap_or(complete).min(complete);
    let end = aligned(end).unwrap_or(complete).clamp(start, complete);
    let body = written(move |send| {
        let mut filter = LineFilter {
            scope,
            rest: Vec::new(),
            out: Vec::new(),
        };
        lines.each_piece(start, end, |piece| {
            filter.take(piece);
            filter.out.len() < PIECE || send(std::mem::take(&mut filter.out))
        });
        send(filter.out);
    });
    let mut response = ([(header::CONTENT_TYPE, TEXT)], body).into_response();
    response.headers_mut().insert(NEXT, HeaderValue::from(end));
    response
}

/// Cuts bytes into lines and keeps the visible ones.
struct LineFilter {
    scope: Scope,
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl LineFilter {
    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            if self.rest.len() <= EVENT_LINE_BYTES {
                self.rest.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.line(&line);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else {
            return;
        };
        if let Some(shown) = self.scope.line(text.trim_end_matches(['\r', '\n'])) {
            self.out.extend_from_slice(shown.as_bytes());
            self.out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_recorded() {
        for (header, wanted) in [
            ("bytes=0-27", Range::Part(0, 28)),
            ("bytes=29-", Range::Part(29, 119)),
            ("bytes=-9", Range::Part(110, 119)),
            ("bytes=-500", Range::Part(0, 119)),
            ("bytes=-0", Range::Impossible),
            ("bytes=119-", Range::Impossible),
            ("bytes=119-2147483647", Range::Part(119, 119)),
            ("bytes=500-600", Range::Impossible),
            ("bytes=50-10", Range::Impossible),
            ("bytes=abc-xyz", Range::Whole),
            ("bytes=0-4,10-14", Range::Part(0, 5)),
            ("lines=0-4", Range::Whole),
            ("bytes=0-99999999999999999999999", Range::Part(0, 119)),
            ("bytes=", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=5", Range::Whole),
        ] {
            assert_eq!(parse_range(Some(header), 119), wanted, "{header}");
        }
        assert_eq!(parse_range(None, 119), Range::Whole);
    }

    #[test]
    fn days_and_spans() {
        let text = |span: Option<(Day, Day)>| span.map(|(from, to)| format!("{from} {to}"));
        assert_eq!(
            text(span("2026-11-1")).as_deref(),
            Some("2026-11-01 2026-11-01")
        );
        assert_eq!(
            text(span("2026-11-20_2026-11-21")).as_deref(),
            Some("2026-11-20 2026-11-21")
        );
        assert!(span("2026-11-21_2026-11-20").is_some(), "an empty span");
        for bad in [
            "",
            "zzzz",
            "2026-13-01",
            "../../../etc/passwd",
            "2026-11",
            "0001-01-01_9999-12-31",
            "26-11-01",
            "2026-11-001",
        ] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
