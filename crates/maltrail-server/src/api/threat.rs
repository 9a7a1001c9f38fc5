//! `GET /api/v1/threats/{id}`: one threat and its newest events.
//!
//! Events come from the index file by atom. A restricted user's threat has other atoms than the
//! index, so there the events of the same trails are read and each passes the user's scope.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::time::{Day, Timestamp};
use serde::Serialize;

use crate::auth::Identity;
use crate::desk::Desk;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::row::Row;
use crate::state::AppState;
use crate::store::Store;
use crate::store::dayfile::DayFile;
use crate::store::scoped::Scope;
use crate::store::sql::{DayReader, EventRow, IndexError};
use crate::store::table::{AtomKey, DayTable, Fields, push_column};
use crate::store::uid::{KeyParts, key_address, key_members, key_text, norm, threat_id};

/// Events in an answer.
const NEWEST: usize = 200;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    threat: Row,
    events: Vec<EventInfo>,
    events_total: u64,
}

/// One event.
#[derive(Debug, Serialize)]
struct EventInfo {
    time: String,
    sensor: String,
    src_ip: String,
    src_port: String,
    dst_ip: String,
    dst_port: String,
    proto: String,
    #[serde(rename = "type")]
    event_type: String,
    trail: String,
    info: String,
    reference: String,
    line: String,
}

pub(crate) async fn threat(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let day = params.day("day")?.unwrap_or_else(|| state.store.today());
    let id = (id.len() == 16)
        .then(|| u64::from_str_radix(&id, 16).ok())
        .flatten()
        .ok_or_else(ApiError::not_found)?;
    let desk = Arc::clone(&state.desk);
    let answer = state
        .ask(day, move |store| {
            find(store, &desk, day, id, &identity.scope)
        })
        .await?;
    answer
        .map_err(|error| {
            tracing::error!(%day, %error, "index: cannot read events");
            if error.is_damage() {
                state.store.damaged(day);
            }
            ApiError::unavailable()
        })?
        .map(Json)
        .ok_or_else(ApiError::not_found)
}

/// What the visible table knows of the threat.
struct Found {
    row: Row,
    total: u64,
    norms: BTreeSet<String>,
}

fn find(
    store: &Store,
    desk: &Desk,
    day: Day,
    id: u64,
    scope: &Scope,
) -> Result<Option<Answer>, IndexError> {
    let found = store.query(day, scope, |table| {
        let threat = table.threat(id)?;
        let norms = table
            .atoms_of(threat)
            .map(|atom| table.texts.get(atom.key.norm).to_owned())
            .collect();
        Some(Found {
            row: Row::new(table, threat, &desk.cases()),
            total: threat.count,
            norms,
        })
    });
    let Some(found) = found else { return Ok(None) };
    let events = newest(store, day, id, scope, &found.norms)?;
    Ok(Some(Answer {
        threat: found.row,
        events,
        events_total: found.total,
    }))
}

fn newest(
    store: &Store,
    day: Day,
    id: u64,
    scope: &Scope,
    norms: &BTreeSet<String>,
) -> Result<Vec<EventInfo>, IndexError> {
    let hot = store.present(day);
    let reader = DayReader::open(store.index_dir(), day)?;
    let atoms: Vec<u32> = {
        let table = hot.table();
        let of_threat = |atom: &u32| {
            let threat = table
                .atoms
                .get(*atom as usize)
                .and_then(|atom| table.threats.get(atom.threat as usize));
            threat.is_some_and(|threat| threat.id == id)
        };
        let atoms = norms.iter().flat_map(|norm| table.atoms_of_norm(norm));
        atoms
            .filter(|atom| !scope.is_everything() || of_threat(atom))
            .collect()
    };
    let limit = if scope.is_everything() {
        NEWEST
    } else {
        usize::MAX >> 1
    };
    let mut rows: Vec<EventRow> = Vec::new();
    for atom in atoms {
        rows.extend(reader.newest(atom, limit)?);
        if scope.is_everything() {
            keep_newest(&mut rows, NEWEST);
        } else {
            let table = hot.table();
            rows.retain(|row| {
                visible(&table, row, scope).is_some_and(|fields| fields.is_of(&table, id))
            });
            keep_newest(&mut rows, NEWEST);
        }
    }
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.time, row.offset)));
    let table = hot.table();
    let lines = if scope.is_everything() {
        let file = DayFile::open(store.log_dir(), day).ok();
        let places = rows.iter().map(|row| (row.offset, row.len as usize));
        file.map_or_else(HashMap::new, |file| file.read_lines(places))
    } else {
        HashMap::new()
    };
    Ok(rows
        .iter()
        .filter_map(|row| info(&table, row, scope, &lines, store))
        .collect())
}

/// Keeps the newest rows; sorts only when there are many.
fn keep_newest(rows: &mut Vec<EventRow>, limit: usize) {
    if rows.len() > limit {
        rows.select_nth_unstable_by_key(limit, |row| std::cmp::Reverse((row.time, row.offset)));
        rows.truncate(limit);
    }
}

/// An event as a scope shows it.
struct Visible {
    src: String,
    dst: String,
    info: String,
    key: AtomKey,
}

impl Visible {
    /// Whether this event belongs to the threat as the asker sees it.
    fn is_of(&self, table: &DayTable, id: u64) -> bool {
        let trail = norm(table.texts.get(self.key.trail));
        let trail = key_address(&trail);
        let parts = KeyParts {
            src: &key_members(&self.src),
            norm: &trail,
            info: if self.info == "-" { "" } else { &self.info },
            reference: table.texts.get(self.key.reference),
            flood: table.is_flood(&trail),
        };
        threat_id(&key_text(parts).1) == id
    }
}

fn visible(table: &DayTable, row: &EventRow, scope: &Scope) -> Option<Visible> {
    let atom = table.atoms.get(row.atom as usize)?;
    let fields = table.fields(atom, row.rest, row.time, row.hour);
    let seen = scope.apply(
        fields.src,
        fields.dst,
        fields.trail,
        fields.info,
        fields.reference,
    )?;
    Some(Visible {
        src: seen.src.into_owned(),
        dst: seen.dst.into_owned(),
        info: seen.info.to_owned(),
        key: atom.key,
    })
}

fn info(
    table: &DayTable,
    row: &EventRow,
    scope: &Scope,
    lines: &HashMap<u64, String>,
    store: &Store,
) -> Option<EventInfo> {
    let seen = visible(table, row, scope)?;
    let atom = table.atoms.get(row.atom as usize)?;
    let all = table.fields(atom, row.rest, row.time, row.hour);
    let fields = Fields {
        src: &seen.src,
        dst: &seen.dst,
        info: &seen.info,
        ..all
    };
    let text = |text: &str| {
        if text == "-" {
            String::new()
        } else {
            text.to_owned()
        }
    };
    Some(EventInfo {
        time: row.time.to_rfc3339(),
        sensor: text(fields.sensor),
        src_ip: text(fields.src),
        src_port: text(fields.sport),
        dst_ip: text(fields.dst),
        dst_port: text(fields.dport),
        proto: text(fields.proto),
        event_type: text(fields.kind),
        trail: text(fields.trail),
        info: text(fields.info),
        reference: text(fields.reference),
        line: lines
            .get(&row.offset)
            .cloned()
            .unwrap_or_else(|| written_line(&fields, row.time, store)),
    })
}

/// The event's line, written from its columns.
fn written_line(fields: &Fields<'_>, time: Timestamp, store: &Store) -> String {
    let mut line = String::from("\"");
    store.zone().write_log_time(time, &mut line);
    line.push('"');
    for column in [
        fields.sensor,
        fields.src,
        fields.sport,
        fields.dst,
        fields.dport,
        fields.proto,
        fields.kind,
        fields.trail,
        fields.info,
        fields.reference,
    ] {
        push_column(column, &mut line);
    }
    line
}
