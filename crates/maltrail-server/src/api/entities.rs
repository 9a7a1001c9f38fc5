//! `GET /api/v1/entities/{kind}/{value}`: what is known of an address, a name, a trail or a sensor over days.
//!
//! Events are counted by pairs of source and trail: the events of every pair in which the entity takes part.
//! For a source, a name, a trail that is exact; a destination or a sensor that shares a pair with others gets
//! all events of that pair.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use maltrail_core::addr::{parse_ip, parse_ip_port};
use maltrail_core::time::Timestamp;
use serde::Serialize;

use super::history::DayInfo;
use super::lookup;
use crate::auth::{Identity, Peer};
use crate::desk::{Cases, Desk};
use crate::distribution::Audience;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::query::page::{FacetValue, top_ids};
use crate::query::row::Row;
use crate::query::span::{NoAnswer, Range, Span, ask_day};
use crate::state::AppState;
use crate::store::Store;
use crate::store::scoped::Scope;
use crate::store::table::{Atom, DayTable, Set, Threat, derive};
use crate::store::uid::{key_address, norm};

/// Days that are told unless `days` says otherwise.
const USUAL_DAYS: usize = 7;
/// Threats that are listed; the total is exact.
const MAX_THREATS: usize = 100;
/// Longest value in bytes.
const MAX_VALUE: usize = 2048;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Entity)]
pub(crate) struct Answer {
    kind: &'static str,
    value: String,
    from: String,
    to: String,
    /// First and last event of these days; null when there is none.
    first: Option<String>,
    last: Option<String>,
    events: u64,
    days: Vec<DayInfo>,
    /// Other sides of an address, else sources; with the number of threats.
    peers: Vec<FacetValue>,
    /// The worst threats of these days.
    threats: Vec<Row>,
    threats_total: usize,
    /// The row of the trail set that names it.
    listed: Option<Listed>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Listed {
    trail: String,
    info: String,
    reference: String,
}

/// What is asked about.
#[derive(Clone, Debug)]
enum Entity {
    Ip(IpAddr),
    /// A name and all names below it.
    Domain(String),
    /// A trail without its variable parts, in key form.
    Trail(String),
    Sensor(String),
}

impl Entity {
    fn read(kind: &str, value: &str) -> Result<Self, ApiError> {
        if value.is_empty() || value.len() > MAX_VALUE {
            return Err(ApiError::parameter(format!(
                "A value has 1 to {MAX_VALUE} bytes."
            )));
        }
        Ok(match kind {
            "ip" => Self::Ip(
                parse_ip(value)
                    .ok_or_else(|| ApiError::parameter(format!("`{value}` is not an address.")))?,
            ),
            "domain" => Self::Domain(value.trim_matches('.').to_lowercase()),
            "trail" => Self::Trail(key_address(&norm(value)).into_owned()),
            "sensor" => Self::Sensor(value.to_owned()),
            _ => return Err(ApiError::not_found()),
        })
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Ip(_) => "ip",
            Self::Domain(_) => "domain",
            Self::Trail(_) => "trail",
            Self::Sensor(_) => "sensor",
        }
    }
}

pub(crate) async fn entity(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Peer>,
    Path((kind, value)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::new(query.as_deref(), b"");
    let entity = Entity::read(&kind, &value)?;
    let span = Span::read_last(&params, state.store.today(), USUAL_DAYS)?;
    let listed = match &entity {
        Entity::Sensor(_) => None,
        _ => listed(&state, &value, Audience::of(&identity, peer)).await?,
    };
    let range = state.range(span, identity.scope.clone()).await?;
    let desk = Arc::clone(&state.desk);
    let ask = move |store: &Store| -> Result<Answer, NoAnswer> {
        let sums = sums(store, &entity, span, &identity.scope)?;
        Ok(answer(&entity, span, &range, &desk, sums))
    };
    let mut answer = state.blocking(ask).await??;
    (answer.value, answer.listed) = (value, listed);
    Ok(Json(answer))
}

async fn listed(
    state: &AppState,
    value: &str,
    audience: Audience,
) -> Result<Option<Listed>, ApiError> {
    let Some(set) = state.services.distribution.set().await? else {
        return Ok(None);
    };
    let value = value.trim().to_lowercase();
    let found = lookup::find(&set, &value, audience);
    Ok(found.map(|trail| Listed {
        trail: trail.key.to_owned(),
        info: trail.info.to_owned(),
        reference: trail.reference.to_owned(),
    }))
}

/// What the days say.
#[derive(Debug, Default)]
struct Sums {
    days: Vec<DayInfo>,
    events: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

fn sums(store: &Store, entity: &Entity, span: Span, scope: &Scope) -> Result<Sums, NoAnswer> {
    let mut sums = Sums::default();
    for day in span.days() {
        let mut events = 0;
        ask_day(store, day, scope, |table| {
            let members = Members::new(entity, table);
            for atom in table.atoms.iter().filter(|atom| atom.count > 0) {
                if members.has(atom) {
                    events += atom.count;
                    sums.first = sums.first.into_iter().chain([atom.first]).min();
                    sums.last = sums.last.into_iter().chain([atom.last]).max();
                }
            }
        })?;
        sums.events += events;
        sums.days.push(DayInfo {
            day: day.to_string(),
            events,
        });
    }
    Ok(sums)
}

fn answer(entity: &Entity, span: Span, range: &Range, desk: &Desk, sums: Sums) -> Answer {
    let table = &range.table;
    let members = Members::new(entity, table);
    let mut threats: Vec<&Threat> = table
        .threats
        .iter()
        .filter(|threat| table.atoms_of(threat).any(|atom| members.has(atom)))
        .collect();
    let total = threats.len();
    let peers = members.peers(&threats, table);
    let risk = |threat: &Threat| derive::risk(threat.base_risk, threat.count);
    threats.sort_by(|left, right| {
        let by_risk = risk(right).total_cmp(&risk(left));
        by_risk.then_with(|| left.id.cmp(&right.id))
    });
    threats.truncate(MAX_THREATS);
    let cases: &Cases = &desk.cases();
    Answer {
        kind: entity.kind(),
        value: String::new(),
        from: span.from.to_string(),
        to: span.to.to_string(),
        first: sums.first.map(Timestamp::to_rfc3339),
        last: sums.last.map(Timestamp::to_rfc3339),
        events: sums.events,
        days: sums.days,
        peers,
        threats: threats
            .into_iter()
            .map(|threat| Row::new(table, threat, cases))
            .collect(),
        threats_total: total,
        listed: None,
    }
}

/// The numbers of the entity in one table.
struct Members {
    /// An address on either side.
    addresses: HashSet<u32>,
    norms: HashSet<u32>,
    sensors: HashSet<u32>,
    is_address: bool,
}

impl Members {
    fn new(entity: &Entity, table: &DayTable) -> Self {
        let texts = |test: &dyn Fn(&str) -> bool| -> HashSet<u32> {
            (0..table.texts.len())
                .filter(|&id| test(table.texts.get(id)))
                .collect()
        };
        let mut members = Self {
            addresses: HashSet::new(),
            norms: HashSet::new(),
            sensors: HashSet::new(),
            is_address: matches!(entity, Entity::Ip(_)),
        };
        match entity {
            Entity::Ip(address) => {
                members.addresses = table.addrs.find(&address.to_string()).into_iter().collect();
                members.norms = texts(&|text| {
                    parse_ip(text) == Some(*address)
                        || parse_ip_port(text).is_some_and(|(known, _)| known == *address)
                });
            }
            Entity::Domain(name) => members.norms = texts(&|text| is_below(text, name)),
            Entity::Trail(norm) => members.norms = table.texts.find(norm).into_iter().collect(),
            Entity::Sensor(name) => members.sensors = table.texts.find(name).into_iter().collect(),
        }
        members
    }

    fn has(&self, atom: &Atom) -> bool {
        let any = |set: &Set, wanted: &HashSet<u32>| {
            !wanted.is_empty() && set.iter().any(|id| wanted.contains(&id))
        };
        self.norms.contains(&atom.key.norm)
            || any(&atom.sensor, &self.sensors)
            || any(&atom.src, &self.addresses)
            || any(&atom.dst, &self.addresses)
    }

    /// Threats per address that is not the entity.
    fn peers(&self, threats: &[&Threat], table: &DayTable) -> Vec<FacetValue> {
        let mut counts = vec![0_u32; table.addrs.len() as usize];
        for threat in threats {
            let atoms = table.atoms_of(threat).filter(|atom| self.has(atom));
            let mut peers: HashSet<u32> = HashSet::new();
            for atom in atoms {
                peers.extend(atom.src.iter());
                if self.is_address {
                    peers.extend(atom.dst.iter());
                }
            }
            for peer in peers.difference(&self.addresses) {
                if let Some(count) = counts.get_mut(*peer as usize) {
                    *count += 1;
                }
            }
        }
        top_ids(&counts, &table.addrs)
    }
}

/// Whether the host of a trail is this name or below it.
fn is_below(trail: &str, name: &str) -> bool {
    let host = trail.split_once("://").map_or(trail, |(_, rest)| rest);
    let host = host.split(['/', '?', ':']).next().unwrap_or_default();
    let host = host.to_lowercase();
    host.strip_suffix(name)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_name_belong_to_it() {
        for (trail, wanted) in [
            ("evil.example", true),
            ("a.b.Evil.example", true),
            ("evil.example/gate.php", true),
            ("http://x.evil.example:81/a", true),
            ("notevil.example", false),
            ("evil.example.org", false),
            ("other.example/evil.example", false),
        ] {
            assert_eq!(is_below(trail, "evil.example"), wanted, "{trail}");
        }
    }

    #[test]
    fn values_are_checked() {
        assert!(Entity::read("ip", "10.0.0.256").is_err());
        assert!(Entity::read("host", "x").is_err());
        assert!(Entity::read("trail", "").is_err());
        assert!(Entity::read("trail", &"x".repeat(MAX_VALUE + 1)).is_err());
        assert!(
            matches!(Entity::read("trail", "(www).x.biz").unwrap(), Entity::Trail(norm) if norm == "x.biz")
        );
    }
}
