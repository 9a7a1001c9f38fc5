//! `GET /api/v1/stream`: changes of the selected threats, as server-sent events.
//!
//! Nothing is queued per client. A stream remembers the generation it has told and, when the day has
//! changed, asks for what changed since: a slow client gets fewer, larger steps, and one that is too
//! far behind gets `resync` and loads its page anew. The pause between messages is at least
//! [`PAUSE`], and ten times what the last answer cost, so streams cannot starve the server. The
//! sign-in is checked again with each message and each ping.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::Method;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::mpsc::Sender;

use super::threats::Selection;
use crate::auth::{Identity, Peer};
use crate::desk::Cases;
use crate::http::access::Access;
use crate::http::body::pieces;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::filter::Filter;
use crate::query::page::{PageRequest, PerSeverity, Sort, page};
use crate::query::row::Row;
use crate::state::AppState;
use crate::store::table::DayTable;

/// Shortest pause between two messages.
const PAUSE: Duration = Duration::from_millis(250);
/// Silence after which a comment is sent.
const PING: Duration = Duration::from_secs(15);
/// Threats in one message; more changes make a `resync`.
const MAX_CHANGES: usize = 500;

/// What is told of one change.
enum Step {
    Nothing,
    Resync(Told),
    Changes(Box<Changes>),
}

/// How far a stream has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// Generation of the day's table.
    table: u64,
    /// Generation of what people decided.
    desk: u64,
}

struct Changes {
    now: Told,
    threats: Vec<Row>,
    removed: Vec<String>,
    total: u64,
    events: u64,
    severity: PerSeverity,
}

pub(crate) async fn stream(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let selection = Selection::read(&Params::new(query.as_deref(), b""), &state, &identity).await?;
    let place = state
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| ApiError::busy(30))?;
    let (sender, events) = pieces();
    let viewer = Viewer {
        state,
        selection,
        identity,
        peer,
    };
    tokio::spawn(async move {
        viewer.run(sender).await;
        drop(place);
    });
    Ok(([("x-accel-buffering", "no")], Sse::new(events)).into_response())
}

struct Viewer {
    state: AppState,
    selection: Selection,
    identity: Identity,
    peer: Peer,
}

impl Viewer {
    /// Sends until the client leaves, its sign-in ends or the server stops.
    async fn run(self, sender: Sender<Event>) {
        let mut changes = self.state.store.changes();
        let mut decisions = self.state.desk.changes();
        let mut stopping = self.state.stopping.clone();
        let Ok(mut told) = self.generation().await else {
            return;
        };
        if sender
            .send(message("hello", &json!({"generation": told.table})))
            .await
            .is_err()
        {
            return;
        }
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = decisions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PING) => {
                    if !self.still_allowed() || sender.send(Event::default().comment("ping")).await.is_err() {
                        return;
                    }
                    continue;
                }
                () = sender.closed() => return,
                () = async { drop(stopping.wait_for(|stop| *stop).await) } => return,
            }
            if !self.still_allowed() {
                return;
            }
            let started = Instant::now();
            let Ok(step) = self.step(told).await else {
                return;
            };
            let cost = started.elapsed();
            let Some(now) = tell(&sender, step, told).await else {
                return;
            };
            told = now;
            tokio::time::sleep(PAUSE.max(cost * 10)).await;
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

    async fn generation(&self) -> Result<Told, ApiError> {
        let (day, scope) = (self.selection.day, self.identity.scope.clone());
        let desk = Arc::clone(&self.state.desk);
        self.state
            .ask(day, move |store| {
                store.query(day, &scope, |table| Told {
                    table: table.generation,
                    desk: desk.cases().generation,
                })
            })
            .await
    }

    async fn step(&self, told: Told) -> Result<Step, ApiError> {
        let (mut selection, scope) = (self.selection.clone(), self.identity.scope.clone());
        let desk = Arc::clone(&self.state.desk);
        self.state
            .ask(self.selection.day, move |store| {
                desk.resolve(&mut selection.expr)?;
                Ok(store.query(selection.day, &scope, |table| {
                    step(table, &desk.cases(), &selection, told)
                }))
            })
            .await?
    }
}

fn message(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Sends a step; returns the generation told, or nothing when the client is gone.
async fn tell(sender: &Sender<Event>, step: Step, told: Told) -> Option<Told> {
    match step {
        Step::Nothing => Some(told),
        Step::Resync(now) => {
            sender
                .send(message("resync", &json!({"generation": now.table})))
                .await
                .ok()?;
            Some(now)
        }
        Step::Changes(changes) => {
            if !changes.removed.is_empty() {
                let data = json!({"generation": changes.now.table, "ids": changes.removed});
                sender.send(message("remove", &data)).await.ok()?;
            }
            let data = json!({
                "generation": changes.now.table,
                "threats": changes.threats,
                "total": changes.total,
                "events": changes.events,
                "severity": changes.severity,
            });
            sender.send(message("upsert", &data)).await.ok()?;
            Some(changes.now)
        }
    }
}

/// What changed after `told`.
fn step(table: &DayTable, cases: &Cases, selection: &Selection, told: Told) -> Step {
    let now = Told {
        table: table.generation,
        desk: cases.generation,
    };
    if now == told {
        return Step::Nothing;
    }
    let touched = cases.touched_since(told.desk);
    let (Some(removed), Some(touched)) = (table.removed_since(told.table), touched) else {
        return Step::Resync(now);
    };
    let touched: HashSet<u64> = touched.into_iter().collect();
    let changed: Vec<_> = table
        .threats
        .iter()
        .filter(|threat| threat.changed > told.table || touched.contains(&threat.id))
        .filter(|threat| threat.is_live())
        .take(MAX_CHANGES + 1)
        .collect();
    let too_many = changed.len() > MAX_CHANGES || removed.len() > MAX_CHANGES;
    if too_many || now.table < told.table {
        return Step::Resync(now);
    }
    let mut removed: Vec<String> = removed
        .into_iter()
        .filter(|&id| table.threat(id).is_none())
        .map(hex)
        .collect();
    let filter = Filter::new(&selection.expr, table, cases);
    let (mut threats, loses) = (
        Vec::new(),
        selection.expr.can_lose() || selection.severities != crate::query::filter::Severities::ALL,
    );
    for threat in changed {
        let selected = selection.severities.contain(threat.severity)
            && selection.hidden.admits(cases.is_hidden(threat.id))
            && filter.matches(table, threat);
        if selected {
            threats.push(Row::new(table, threat, cases));
        } else if touched.contains(&threat.id) || (loses && threat.born <= told.table) {
            removed.push(hex(threat.id));
        }
    }
    let sums = page(table, cases, &totals(selection));
    Step::Changes(Box::new(Changes {
        now,
        threats,
        removed,
        total: sums.total,
        events: sums.events,
        severity: sums.severity,
    }))
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

/// Only the totals of a selection.
fn totals(selection: &Selection) -> PageRequest {
    PageRequest {
        expr: selection.expr.clone(),
        severities: selection.severities,
        sort: Sort::Risk,
        descending: true,
        limit: 0,
        offset: 0,
        after: None,
        facets: false,
        histogram: false,
        hidden: selection.hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::filter::Severities;
    use crate::query::page::Hidden;
    use crate::query::parse::parse;
    use crate::store::table::{FloodRule, tests::event};

    fn selection(query: &str) -> Selection {
        Selection {
            day: "2026-11-24".parse().unwrap(),
            expr: parse(query).unwrap(),
            severities: Severities::ALL,
            hidden: Hidden::Exclude,
        }
    }

    fn told(table: u64) -> Told {
        Told { table, desk: 0 }
    }

    #[test]
    fn only_what_changed_and_matches_is_told() {
        let mut table = DayTable::new(FloodRule::Own);
        table.generation = 1;
        table.add(&event(1, "10.0.0.1", "a.example", "x")).unwrap();
        table.add(&event(1, "10.0.0.2", "b.example", "x")).unwrap();
        table.generation = 2;
        table.add(&event(2, "10.0.0.1", "a.example", "x")).unwrap();
        let Step::Changes(changes) =
            step(&table, &Cases::default(), &selection("count:<2"), told(1))
        else {
            panic!("no changes")
        };
        assert_eq!(
            (changes.threats.len(), changes.removed.len(), changes.total),
            (0, 1, 1),
            "it left the selection"
        );
        let Step::Changes(changes) = step(
            &table,
            &Cases::default(),
            &selection("src:10.0.0.1"),
            told(1),
        ) else {
            panic!("no changes")
        };
        assert_eq!(
            (changes.threats.len(), changes.removed.len(), changes.events),
            (1, 0, 2)
        );
        assert!(matches!(
            step(&table, &Cases::default(), &selection(""), told(2)),
            Step::Nothing
        ));
        assert!(
            matches!(
                step(&table, &Cases::default(), &selection(""), told(9)),
                Step::Resync(Told { table: 2, desk: 0 })
            ),
            "the index was rebuilt"
        );
    }

    #[test]
    fn a_client_far_behind_loads_anew() {
        let mut table = DayTable::new(FloodRule::Own);
        table.generation = 1;
        for n in 0..=MAX_CHANGES {
            table
                .add(&event(1, "10.0.0.1", &format!("x{n}.example"), "x"))
                .unwrap();
        }
        assert!(matches!(
            step(
                &table,
                &Cases::default(),
                &selection("trail:nothing"),
                told(0)
            ),
            Step::Resync(Told { table: 1, desk: 0 })
        ));
    }

    #[test]
    fn a_flood_removes_its_rows() {
        let mut table = DayTable::new(FloodRule::Own);
        table.generation = 1;
        for n in 0..50 {
            table
                .add(&event(1, &format!("10.0.0.{n}"), "evil.example", "x"))
                .unwrap();
        }
        table.generation = 2;
        table
            .add(&event(1, "10.0.0.50", "evil.example", "x"))
            .unwrap();
        let Step::Changes(changes) = step(&table, &Cases::default(), &selection(""), told(1))
        else {
            panic!("no changes")
        };
        assert_eq!(
            (changes.threats.len(), changes.removed.len(), changes.total),
            (1, 50, 1)
        );
    }
}
