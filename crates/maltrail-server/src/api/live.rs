//! `/live`: the lines of a day as they are appended, as server-sent events.
//!
//! An event's id is the offset after its line in the raw day file, also for restricted users, who get
//! what they may see of it. Nothing is queued per client: a stream remembers its offset and reads on when
//! the store says that something changed. The sign-in is checked again with each message and each ping.

use std::io;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maltrail_core::time::Day;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::events::parse_day;
use crate::auth::{Identity, Peer};
use crate::http::access::Access;
use crate::http::body::pieces;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;
use crate::store::dayfile::DayFile;
use crate::store::scoped::Scope;

/// Bytes read at a time; more than the longest line.
const PIECE: usize = 128 * 1024;
/// Silence after which a comment is sent.
const PING: Duration = Duration::from_secs(15);
/// A file that grows without the store's knowledge is looked at this often.
const LOOK: Duration = Duration::from_secs(2);

pub(crate) async fn live(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let params = Params::new(query.as_deref(), &body);
    let day = params.get("date").and_then(parse_day);
    let day =
        day.ok_or_else(|| ApiError::parameter("`date` is not a day; write it as YYYY-MM-DD."))?;
    // compat: an EventSource stops at 204, and its page asks for `/events` instead.
    let Ok(place) = state.streams.clone().try_acquire_owned() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let last_id = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.trim().parse().ok());
    let log_dir = state.store.log_dir().to_owned();
    let size = move || DayFile::open(&log_dir, day).and_then(|file| file.len());
    let size = state.blocking(move |_| size()).await?;
    let end = size.unwrap_or(0);
    let wanted: Option<u64> = last_id.or_else(|| params.get("pos")?.parse().ok());
    let viewer = Viewer {
        day,
        at: wanted.unwrap_or(end).min(end),
        state,
        identity,
        peer,
    };
    let (sender, stream) = pieces::<Bytes>();
    tokio::spawn(async move {
        viewer.run(sender).await;
        drop(place);
    });
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

struct Viewer {
    state: AppState,
    identity: Identity,
    peer: Peer,
    day: Day,
    at: u64,
}

impl Viewer {
    /// Sends until the client leaves, its sign-in ends or the server stops.
    async fn run(mut self, sender: Sender<Bytes>) {
        let mut changes = self.state.store.changes();
        let mut stopping = self.state.stopping.clone();
        if sender.send(": connected\n\n".into()).await.is_err() {
            return;
        }
        let mut said = Instant::now();
        loop {
            while let Some((text, next)) = self.read().await {
                if !self.still_allowed() {
                    return;
                }
                self.at = next;
                if !text.is_empty() {
                    said = Instant::now();
                    if sender.send(text.into()).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
                () = sender.closed() => return,
                () = async { drop(stopping.wait_for(|stop| *stop).await) } => return,
            }
            if said.elapsed() >= PING {
                said = Instant::now();
                if !self.still_allowed() || sender.send(": ping\n\n".into()).await.is_err() {
                    return;
                }
            }
        }
    }

    fn still_allowed(&self) -> bool {
        let now = self.state.now();
        let identity = self
            .state
            .auth
            .identify_again(&self.identity, self.peer, now);
        Access::Read.check(&identity, &Method::GET).is_ok() && identity.scope == self.identity.scope
    }

    /// What to send of the next lines, and where to go on; `None` when there is no whole line.
    async fn read(&self) -> Option<(String, u64)> {
        let (day, at, scope) = (self.day, self.at, self.identity.scope.clone());
        let store = self.state.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            read(&DayFile::open(store.log_dir(), day)?, at, &scope)
        });
        read.await.ok()?.ok().flatten()
    }
}

fn read(file: &DayFile, at: u64, scope: &Scope) -> io::Result<Option<(String, u64)>> {
    let len = file.len()?;
    // A file that was cut or replaced by a shorter one is sent from its start.
    let at = if len < at { 0 } else { at };
    if len == at {
        return Ok(None);
    }
    let mut piece = vec![0; usize::try_from(len - at).unwrap_or(PIECE).min(PIECE)];
    let count = file.read_at(&mut piece, at)?;
    piece.truncate(count);
    let end = match piece.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => end + 1,
        // A stretch without a line end that is longer than any line is passed over.
        None if count == PIECE => return Ok(Some((String::new(), at + PIECE as u64))),
        None => return Ok(None),
    };
    Ok(Some(messages(
        piece.get(..end).unwrap_or_default(),
        at,
        scope,
    )))
}

/// One message for each visible line of `lines`, which start at `at`; and where they end.
fn messages(lines: &[u8], mut at: u64, scope: &Scope) -> (String, u64) {
    let mut text = String::new();
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        at += line.len() as u64;
        let line = String::from_utf8_lossy(line);
        if let Some(shown) = scope.line(line.trim_end_matches(['\r', '\n'])) {
            // A carriage return ends a line of the stream, too: it must not forge a message.
            let shown = shown.replace('\r', " ");
            text.push_str(&format!("id: {at}\ndata: {shown}\n\n"));
        }
    }
    (text, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_a_message() {
        let (text, at) = messages(b"a\rdata: forged\nb\r\n", 10, &Scope::default());
        assert_eq!(
            (text.as_str(), at),
            ("id: 25\ndata: a data: forged\n\nid: 28\ndata: b\n\n", 28)
        );
    }

    #[test]
    fn cut_files_begin_anew_and_unfinished_lines_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let scope = Scope::default();
        let read = |path: &std::path::Path, at: u64, scope: &Scope| {
            let file = DayFile::plain(std::fs::File::open(path).unwrap());
            read(&file, at, scope)
        };
        let (_, at) = read(&path, 0, &scope).unwrap().unwrap();
        assert_eq!(at, 8);
        assert!(read(&path, 8, &scope).unwrap().is_none());
        std::fs::write(&path, "new\n").unwrap();
        let (text, at) = read(&path, 8, &scope).unwrap().unwrap();
        assert_eq!((text.as_str(), at), ("id: 4\ndata: new\n\n", 4));
        std::fs::write(&path, vec![b'x'; PIECE + 1]).unwrap();
        assert_eq!(
            read(&path, 0, &scope).unwrap(),
            Some((String::new(), PIECE as u64))
        );
    }
}
