//! `GET /api/v1/threats/{id}/events`: every event of a threat on one day, newest first, page by page.
//!
//! Events come from the index file by atom. A restricted user's threat has other atoms than the index, so there
//! the events of the same trails are read and each passes the user's scope. A page ends at a place in time and
//! day file, so events that come in later change no later page. One answer reads at most [`MAX_BLOCKS`] blocks:
//! with few events that an asker may see the page is shorter, and `next` goes on.

use std::collections::{BTreeSet, HashMap};

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maltrail_core::time::{Day, Timestamp};
use serde::Serialize;

use super::threat::number;
use crate::auth::Identity;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::state::AppState;
use crate::store::dayfile::DayFile;
use crate::store::scoped::Scope;
use crate::store::sql::{DayReader, EventRow, IndexError};
use crate::store::table::{AtomKey, DayTable, Fields, push_column};
use crate::store::uid::{KeyParts, key_address, key_members, key_text, norm, threat_id};
use crate::store::{Hot, Store};

/// Most events of a page.
const MAX_LIMIT: usize = 500;
/// Blocks of rows that one answer reads at most.
const MAX_BLOCKS: usize = 20;

/// Before this place lies everything.
pub(crate) const NEWEST_FIRST: (Timestamp, u64) = (Timestamp::from_micros(i64::MAX), u64::MAX);

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EventList)]
pub(crate) struct Answer {
    events: Vec<EventInfo>,
    /// Events of the threat on that day.
    total: u64,
    next: Option<String>,
}

/// One event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventInfo {
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

pub(crate) async fn events(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let day = params.day("day")?.unwrap_or_else(|| state.store.today());
    let limit = params.number("limit", MAX_LIMIT)?.unwrap_or(100).max(1);
    let before = match params.get("cursor") {
        None => NEWEST_FIRST,
        Some(text) => place(text).ok_or_else(|| {
            ApiError::parameter("`cursor` is not the `next` of a page of events.")
        })?,
    };
    let wanted = Wanted {
        day,
        id: number(&id)?,
        before,
        limit,
    };
    let found = state
        .ask(day, move |store| answer(store, &identity.scope, wanted))
        .await?;
    found
        .map_err(|error| {
            tracing::error!(%day, %error, "index: cannot read events");
            ApiError::unavailable()
        })?
        .map(Json)
        .ok_or_else(ApiError::not_found)
}

fn answer(store: &Store, scope: &Scope, wanted: Wanted) -> Result<Option<Answer>, IndexError> {
    let known = store.query(wanted.day, scope, |table| {
        let threat = table.threat(wanted.id)?;
        let norms = table.atoms_of(threat).map(|atom| atom.key.norm);
        let norms: BTreeSet<String> = norms.map(|id| table.texts.get(id).to_owned()).collect();
        Some((norms, threat.count))
    });
    let Some((norms, total)) = known else {
        return Ok(None);
    };
    let page = newest(store, scope, &norms, wanted)?;
    Ok(Some(Answer {
        events: page.events,
        total,
        next: page.next.map(cursor),
    }))
}

fn cursor((time, offset): (Timestamp, u64)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{offset}", time.micros()))
}

fn place(text: &str) -> Option<(Timestamp, u64)> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text.get(..64).unwrap_or(text))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (time, offset) = text.split_once('.')?;
    Some((
        Timestamp::from_micros(time.parse().ok()?),
        offset.parse().ok()?,
    ))
}

/// Which events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) day: Day,
    pub(crate) id: u64,
    pub(crate) before: (Timestamp, u64),
    pub(crate) limit: usize,
}

/// Events, and where the next page begins.
pub(crate) struct EventPage {
    pub(crate) events: Vec<EventInfo>,
    pub(crate) next: Option<(Timestamp, u64)>,
}

/// An atom and when it has events.
struct Stretch {
    atom: u32,
    first: Timestamp,
    last: Timestamp,
}

/// The newest events of a threat before a place. `norms` are its trails.
pub(crate) fn newest(
    store: &Store,
    scope: &Scope,
    norms: &BTreeSet<String>,
    wanted: Wanted,
) -> Result<EventPage, IndexError> {
    let hot = store.present(wanted.day);
    let reader = DayReader::open(store.index_dir(), wanted.day)?;
    let stretches = stretches(&hot, scope, norms, wanted.id);
    let (mut rows, mut before) = (Vec::new(), wanted.before);
    let mut next = None;
    for _ in 0..MAX_BLOCKS {
        let missing = wanted.limit + 1 - rows.len();
        let block = block(&reader, &stretches, before, missing)?;
        let is_last = block.len() < missing;
        before = block.last().map_or(before, |row| (row.time, row.offset));
        let table = hot.table();
        rows.extend(block.into_iter().filter(|row| {
            scope.is_everything()
                || visible(&table, row, scope).is_some_and(|seen| seen.is_of(&table, wanted.id))
        }));
        drop(table);
        next = (!is_last).then_some(before);
        if is_last || rows.len() > wanted.limit {
            break;
        }
    }
    if rows.len() > wanted.limit {
        rows.truncate(wanted.limit);
        next = rows.last().map(|row| (row.time, row.offset));
    }
    let table = hot.table();
    let lines = if scope.is_everything() {
        let file = DayFile::open(store.log_dir(), wanted.day).ok();
        let places = rows.iter().map(|row| (row.offset, row.len as usize));
        file.map_or_else(HashMap::new, |file| file.read_lines(places))
    } else {
        HashMap::new()
    };
    let events = rows
        .iter()
        .filter_map(|row| info(&table, row, scope, &lines, store));
    Ok(EventPage {
        events: events.collect(),
        next,
    })
}

/// The atoms that may have events of the threat, those with the newest events first.
fn stretches(hot: &Hot, scope: &Scope, norms: &BTreeSet<String>, id: u64) -> Vec<Stretch> {
    let table = hot.table();
    let stretch = |at: u32| {
        let atom = table.atoms.get(at as usize)?;
        let threat = table.threats.get(atom.threat as usize);
        let wanted = !scope.is_everything() || threat.is_some_and(|threat| threat.id == id);
        wanted.then_some(Stretch {
            atom: at,
            first: atom.first,
            last: atom.last,
        })
    };
    let atoms = norms.iter().flat_map(|norm| table.atoms_of_norm(norm));
    let mut stretches: Vec<Stretch> = atoms.filter_map(stretch).collect();
    stretches.sort_unstable_by_key(|stretch| std::cmp::Reverse(stretch.last));
    stretches
}

/// The newest rows before a place, newest first. Atoms that end before the oldest row that is kept are not
/// asked.
fn block(
    reader: &DayReader,
    stretches: &[Stretch],
    before: (Timestamp, u64),
    limit: usize,
) -> Result<Vec<EventRow>, IndexError> {
    let order = |row: &EventRow| std::cmp::Reverse((row.time, row.offset));
    let mut rows: Vec<EventRow> = Vec::new();
    for stretch in stretches.iter().filter(|stretch| stretch.first <= before.0) {
        if rows.len() >= limit {
            rows.sort_unstable_by_key(order);
            rows.truncate(limit);
            if rows.last().is_some_and(|oldest| stretch.last < oldest.time) {
                break;
            }
        }
        rows.extend(reader.newest(stretch.atom, before, limit)?);
    }
    rows.sort_unstable_by_key(order);
    rows.truncate(limit);
    Ok(rows)
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
