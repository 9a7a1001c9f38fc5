//! One day in memory: dictionaries, atoms and threats.
//!
//! ```text
//! event ─► atom (source, norm(trail), type, trail, info, reference): count, first, last, hours, sets
//!            └─► threat = union of the atoms with one key text (rules in `uid`)
//! ```
//!
//! **The result does not depend on the order of events.** Counts and sets commute; the first event
//! is the smallest (time, line); a trail becomes a flood when the 51st distinct source field of the
//! day appears, whenever that is, and then its atoms move to the flood's threat. Sets are exact.
//!
//! The text dictionaries, atoms and threats only grow (a threat that lost its atoms stays as a dead
//! row), so numbers stay valid while the table lives. Bounds: [`MAX_ATOMS`] and the dictionaries' own;
//! an event beyond them is refused with [`Full`], and the caller counts it.

pub(crate) mod derive;
mod dict;
pub(crate) mod merge;
mod set;

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use maltrail_core::addr::{NetworkSet, parse_ip};
use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;

use derive::Sides;
pub(crate) use derive::{Origin, Side};
pub(crate) use dict::Dict;
pub(crate) use set::{Hours, Set};

use super::uid::{self, KeyParts, ThreatKind};

/// More distinct source fields than this make a trail a flood (dashboard facts §2).
pub(crate) const FLOOD_SOURCES: usize = 50;
/// Most atoms of one day: about 1 GB. The goal of 200,000 threats a day leaves a factor of 20.
pub(crate) const MAX_ATOMS: usize = 4_000_000;
/// Removed threat ids that are remembered for live streams; an older stream is told to reload.
const MAX_REMOVED: usize = 4096;

/// The columns of one event, unquoted; absent values are empty or `-`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) time: Timestamp,
    pub(crate) hour: u8,
    pub(crate) sensor: &'a str,
    pub(crate) src: &'a str,
    pub(crate) sport: &'a str,
    pub(crate) dst: &'a str,
    pub(crate) dport: &'a str,
    pub(crate) proto: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) trail: &'a str,
    pub(crate) info: &'a str,
    pub(crate) reference: &'a str,
}

/// What makes an atom; all ids of [`DayTable::texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AtomKey {
    pub(crate) src: u32,
    pub(crate) norm: u32,
    pub(crate) kind: u32,
    pub(crate) trail: u32,
    pub(crate) info: u32,
    pub(crate) reference: u32,
}

/// Columns of an event that its atom does not fix; ids of [`DayTable::texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) sensor: u32,
    pub(crate) sport: u32,
    pub(crate) dst: u32,
    pub(crate) dport: u32,
    pub(crate) proto: u32,
}

/// An atom.
#[derive(Clone, Debug)]
pub(crate) struct Atom {
    pub(crate) key: AtomKey,
    pub(crate) threat: u32,
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The other columns of the first event, for ties and for the direction.
    pub(crate) head: Rest,
    pub(crate) hours: Hours,
    /// Addresses, ids of [`DayTable::addrs`].
    pub(crate) src: Set,
    pub(crate) dst: Set,
    /// Ports, ids of [`DayTable::ports`].
    pub(crate) sport: Set,
    pub(crate) dport: Set,
    /// Ids of [`DayTable::texts`].
    pub(crate) proto: Set,
    pub(crate) sensor: Set,
}

/// A threat: the union of its atoms, with what queries ask for ready.
#[derive(Clone, Debug)]
pub(crate) struct Threat {
    pub(crate) id: u64,
    pub(crate) uid: u32,
    pub(crate) kind: ThreatKind,
    pub(crate) atoms: Set,
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The atom of the first event.
    pub(crate) head: u32,
    pub(crate) severity: Severity,
    pub(crate) base_risk: i32,
    pub(crate) class: u32,
    pub(crate) origin: Origin,
    pub(crate) side: Side,
    /// Generation of the last change.
    pub(crate) changed: u64,
    /// Generation in which the threat got its first event.
    pub(crate) born: u64,
}

impl Threat {
    /// Whether the threat still has events (a flood may have taken them all).
    pub(crate) const fn is_live(&self) -> bool {
        self.count > 0
    }
}

#[derive(Debug, Default)]
struct Trail {
    sources: Set,
    atoms: Set,
    flood: bool,
}

/// The day's table is at its bound; the event is in the day file but not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the day has more distinct events than one table holds")]
pub(crate) struct Full;

/// Where an event went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    pub(crate) atom: u32,
    pub(crate) rest: Rest,
}

/// Who decides that a trail is a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum FloodRule {
    /// The table itself, from all events of the day.
    #[default]
    Own,
    /// The table of all events: this one holds a restricted user's share only.
    Told,
}

/// One day.
#[derive(Debug, Default)]
pub(crate) struct DayTable {
    pub(crate) texts: Dict,
    pub(crate) addrs: Dict,
    pub(crate) ports: Dict,
    pub(crate) atoms: Vec<Atom>,
    pub(crate) threats: Vec<Threat>,
    /// Grows with each stored batch.
    pub(crate) generation: u64,
    pub(crate) events: u64,
    /// Most atoms; [`MAX_ATOMS`] but in tests.
    max_atoms: usize,
    live_threats: u64,
    heap: usize,
    flood_rule: FloodRule,
    /// What "ours" means.
    home: Arc<NetworkSet>,
    atom_ids: HashTable<u32>,
    threat_ids: HashMap<u64, u32, RandomState>,
    trails: HashMap<u32, Trail, RandomState>,
    /// Norms of the trails that became floods, in that order.
    pub(crate) flooded: Vec<u32>,
    removed: VecDeque<(u64, u64)>,
    removed_floor: u64,
    state: RandomState,
}

impl DayTable {
    /// An empty table.
    pub(crate) fn new(flood_rule: FloodRule) -> Self {
        Self {
            flood_rule,
            max_atoms: MAX_ATOMS,
            ..Self::default()
        }
    }

    /// The same for a site with these networks.
    pub(crate) fn for_home(mut self, home: Arc<NetworkSet>) -> Self {
        self.home = home;
        self
    }

    /// Whether an address is one of ours.
    pub(crate) fn is_home(&self, address: &str) -> bool {
        parse_ip(address).is_some_and(|address| self.home.contains(address))
    }

    /// Counts one event, as part of batch `self.generation`.
    pub(crate) fn add(&mut self, event: &Fields<'_>) -> Result<Added, Full> {
        let key = self.atom_key(event)?;
        let rest = self.rest(event)?;
        let atom = match self.find_atom(&key) {
            Some(atom) => atom,
            None => self.new_atom(key, rest, event)?,
        };
        self.collect(atom, rest, event)?;
        self.events += 1;
        self.touch(atom, rest, event);
        Ok(Added { atom, rest })
    }

    /// Puts back an atom read from the index file.
    pub(crate) fn restore(&mut self, atom: Atom) -> Result<(), Full> {
        let (key, count) = (atom.key, atom.count);
        let id = u32::try_from(self.atoms.len()).map_err(|_| Full)?;
        self.events += count;
        self.push_atom(atom);
        self.place(id, key);
        Ok(())
    }

    /// Number of threats.
    pub(crate) const fn threat_count(&self) -> u64 {
        self.live_threats
    }

    /// The threat with this API id.
    pub(crate) fn threat(&self, id: u64) -> Option<&Threat> {
        let at = *self.threat_ids.get(&id)?;
        self.threats
            .get(at as usize)
            .filter(|threat| threat.is_live())
    }

    /// The atoms of a threat.
    pub(crate) fn atoms_of<'a>(&'a self, threat: &'a Threat) -> impl Iterator<Item = &'a Atom> {
        threat
            .atoms
            .iter()
            .filter_map(|atom| self.atoms.get(atom as usize))
    }

    /// The atoms of a trail, by the text of its norm.
    pub(crate) fn atoms_of_norm(&self, norm: &str) -> Vec<u32> {
        let trail = self
            .texts
            .find(norm)
            .and_then(|norm| self.trails.get(&norm));
        trail
            .map(|trail| trail.atoms.iter().collect())
            .unwrap_or_default()
    }

    /// Whether a trail is a flood today, by the text of its norm.
    pub(crate) fn is_flood(&self, norm: &str) -> bool {
        self.texts
            .find(norm)
            .and_then(|norm| self.trails.get(&norm))
            .is_some_and(|trail| trail.flood)
    }

    /// Declares a trail a flood. Does nothing when it is one.
    pub(crate) fn set_flood(&mut self, norm: &str) {
        let Some(norm) = self.texts.intern(norm) else {
            return;
        };
        let trail = self.trails.entry(norm).or_default();
        if !trail.flood {
            trail.flood = true;
            self.flooded.push(norm);
            self.move_to_flood(norm);
        }
    }

    /// Threats that disappeared after `generation`; `None` when that is no longer known.
    pub(crate) fn removed_since(&self, generation: u64) -> Option<Vec<u64>> {
        (generation >= self.removed_floor).then(|| {
            self.removed
                .iter()
                .filter(|(at, _)| *at > generation)
                .map(|&(_, id)| id)
                .collect()
        })
    }

    /// The columns that all of an atom's events share, and `rest`, as an event.
    pub(crate) fn fields(&self, atom: &Atom, rest: Rest, time: Timestamp, hour: u8) -> Fields<'_> {
        Fields {
            time,
            hour,
            sensor: self.texts.get(rest.sensor),
            src: self.texts.get(atom.key.src),
            sport: self.texts.get(rest.sport),
            dst: self.texts.get(rest.dst),
            dport: self.texts.get(rest.dport),
            proto: self.texts.get(rest.proto),
            kind: self.texts.get(atom.key.kind),
            trail: self.texts.get(atom.key.trail),
            info: self.texts.get(atom.key.info),
            reference: self.texts.get(atom.key.reference),
        }
    }

    /// Memory in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let dicts = self.texts.bytes() + self.addrs.bytes() + self.ports.bytes();
        let rows = self.atoms.capacity() * size_of::<Atom>()
            + self.threats.capacity() * size_of::<Threat>();
        let maps = self.atom_ids.capacity() * 5
            + self.threat_ids.capacity() * 17
            + self.trails.capacity() * (size_of::<Trail>() + 5);
        dicts + rows + maps + self.heap
    }

    fn atom_key(&mut self, event: &Fields<'_>) -> Result<AtomKey, Full> {
        let norm = uid::norm(event.trail);
        Ok(AtomKey {
            src: self.text(&uid::key_members(event.src))?,
            norm: self.text(&uid::key_address(&norm))?,
            kind: self.text(event.kind)?,
            trail: self.text(event.trail)?,
            info: self.text(event.info)?,
            reference: self.text(event.reference)?,
        })
    }

    fn rest(&mut self, event: &Fields<'_>) -> Result<Rest, Full> {
        Ok(Rest {
            sensor: self.text(event.sensor)?,
            sport: self.text(event.sport)?,
            dst: self.text(event.dst)?,
            dport: self.text(event.dport)?,
            proto: self.text(event.proto)?,
        })
    }

    fn text(&mut self, text: &str) -> Result<u32, Full> {
        self.texts
            .intern(if text == "-" { "" } else { text })
            .ok_or(Full)
    }

    fn find_atom(&self, key: &AtomKey) -> Option<u32> {
        let hash = self.state.hash_one(key);
        let same = |&id: &u32| {
            self.atoms
                .get(id as usize)
                .is_some_and(|atom| atom.key == *key)
        };
        self.atom_ids.find(hash, same).copied()
    }

    fn new_atom(&mut self, key: AtomKey, head: Rest, event: &Fields<'_>) -> Result<u32, Full> {
        if self.atoms.len() >= self.max_atoms {
            return Err(Full);
        }
        let mut src = Set::default();
        for member in members(event.src) {
            src.insert(self.addrs.intern(&canonical(member)).ok_or(Full)?);
        }
        let id = self.atoms.len() as u32;
        self.push_atom(Atom {
            key,
            threat: u32::MAX,
            count: 0,
            first: event.time,
            last: event.time,
            head,
            hours: Hours::One(event.hour, 0),
            src,
            dst: Set::default(),
            sport: Set::default(),
            dport: Set::default(),
            proto: Set::default(),
            sensor: Set::default(),
        });
        self.place(id, key);
        Ok(id)
    }

    fn push_atom(&mut self, atom: Atom) {
        let id = self.atoms.len() as u32;
        let (atoms, state) = (&self.atoms, &self.state);
        let rehash = |&id: &u32| {
            atoms
                .get(id as usize)
                .map_or(0, |atom| state.hash_one(atom.key))
        };
        self.atom_ids
            .insert_unique(state.hash_one(atom.key), id, rehash);
        self.heap += [
            &atom.src,
            &atom.dst,
            &atom.sport,
            &atom.dport,
            &atom.proto,
            &atom.sensor,
        ]
        .iter()
        .map(|set| set.heap_bytes())
        .sum::<usize>();
        self.atoms.push(atom);
    }

    /// Gives a new atom its trail and its threat.
    fn place(&mut self, id: u32, key: AtomKey) {
        let rule = self.flood_rule;
        let trail = self.trails.entry(key.norm).or_default();
        trail.atoms.insert(id);
        let mut flooded = None;
        if rule == FloodRule::Own && !trail.flood {
            trail.sources.insert(key.src);
            if trail.sources.len() > FLOOD_SOURCES {
                trail.flood = true;
                trail.sources = Set::default();
                flooded = Some(key.norm);
            }
        }
        let flood = trail.flood;
        match flooded {
            Some(norm) => {
                self.flooded.push(norm);
                self.move_to_flood(norm);
            }
            None => self.attach(id, key, flood),
        }
    }

    /// Makes the atom part of the threat that its key text names.
    fn attach(&mut self, id: u32, key: AtomKey, flood: bool) {
        let parts = KeyParts {
            src: self.texts.get(key.src),
            norm: self.texts.get(key.norm),
            info: self.texts.get(key.info),
            reference: self.texts.get(key.reference),
            flood,
        };
        let (kind, text) = uid::key_text(parts);
        let api_id = uid::threat_id(&text);
        let next = self.threats.len() as u32;
        let at = *self.threat_ids.entry(api_id).or_insert(next);
        if at == next {
            self.threats.push(Threat {
                id: api_id,
                uid: uid::uid_hash(&text),
                kind,
                atoms: Set::default(),
                count: 0,
                first: Timestamp::default(),
                last: Timestamp::default(),
                head: id,
                severity: Severity::Low,
                base_risk: 0,
                class: 0,
                origin: Origin::None,
                side: Side::None,
                changed: self.generation,
                born: self.generation,
            });
        }
        match self.atoms.get_mut(id as usize) {
            Some(atom) if atom.threat != at => atom.threat = at,
            _ => return,
        }
        if let Some(threat) = self.threats.get_mut(at as usize) {
            threat.atoms.insert(id);
        }
        self.merge(at, id);
    }

    /// Adds the counts of an atom that just became part of the threat.
    fn merge(&mut self, at: u32, id: u32) {
        let Some(atom) = self.atoms.get(id as usize).filter(|atom| atom.count > 0) else {
            return;
        };
        let (count, first, last) = (atom.count, atom.first, atom.last);
        let Some(threat) = self.threats.get(at as usize) else {
            return;
        };
        let born = !threat.is_live();
        let leads = born || self.compare_heads(id, threat.head) == Ordering::Less;
        let generation = self.generation;
        if let Some(threat) = self.threats.get_mut(at as usize) {
            threat.count += count;
            threat.born = if born { generation } else { threat.born };
            threat.first = if born { first } else { threat.first.min(first) };
            threat.last = if born { last } else { threat.last.max(last) };
            threat.changed = generation;
        }
        self.live_threats += u64::from(born);
        if leads {
            self.set_head(at, id);
        }
    }

    fn move_to_flood(&mut self, norm: u32) {
        let atoms: Vec<u32> = self
            .trails
            .get(&norm)
            .map(|trail| trail.atoms.iter().collect())
            .unwrap_or_default();
        for id in atoms {
            let Some(atom) = self.atoms.get(id as usize) else {
                continue;
            };
            let (key, old) = (atom.key, atom.threat);
            self.attach(id, key, true);
            let now = self.atoms.get(id as usize).map_or(old, |atom| atom.threat);
            if now != old {
                if let Some(threat) = self.threats.get_mut(old as usize) {
                    threat.atoms.remove(id);
                }
                self.recount(old);
            }
        }
    }

    /// Computes a threat anew from its atoms.
    fn recount(&mut self, at: u32) {
        let Some(threat) = self.threats.get(at as usize) else {
            return;
        };
        let (mut count, mut head): (u64, Option<u32>) = (0, None);
        let (mut first, mut last) = (
            Timestamp::from_micros(i64::MAX),
            Timestamp::from_micros(i64::MIN),
        );
        for id in threat.atoms.iter() {
            let Some(atom) = self.atoms.get(id as usize).filter(|atom| atom.count > 0) else {
                continue;
            };
            count += atom.count;
            first = first.min(atom.first);
            last = last.max(atom.last);
            head = match head {
                Some(best) if self.compare_heads(best, id) != Ordering::Greater => Some(best),
                _ => Some(id),
            };
        }
        let was_live = threat.is_live();
        let (api_id, generation) = (threat.id, self.generation);
        if let Some(threat) = self.threats.get_mut(at as usize) {
            threat.count = count;
            threat.changed = generation;
            (threat.first, threat.last) = (first, last);
        }
        match (was_live, count > 0) {
            (true, false) => self.forget(api_id),
            (false, true) => self.live_threats += 1,
            _ => {}
        }
        if let Some(head) = head {
            self.set_head(at, head);
        }
    }

    fn forget(&mut self, api_id: u64) {
        self.live_threats -= 1;
        self.removed.push_back((self.generation, api_id));
        if self.removed.len() > MAX_REMOVED {
            self.removed_floor = self
                .removed
                .pop_front()
                .map_or(0, |(generation, _)| generation);
        }
    }

    /// Adds the event's values to the atom's sets.
    fn collect(&mut self, atom: u32, rest: Rest, event: &Fields<'_>) -> Result<(), Full> {
        let Some(atom) = self.atoms.get_mut(atom as usize) else {
            return Ok(());
        };
        let mut heap = 0_isize;
        let mut put = |set: &mut Set, id: u32| {
            let before = set.heap_bytes();
            set.insert(id);
            heap += set.heap_bytes() as isize - before as isize;
        };
        for member in members(event.dst) {
            put(
                &mut atom.dst,
                self.addrs.intern(&canonical(member)).ok_or(Full)?,
            );
        }
        for port in members(event.sport) {
            put(&mut atom.sport, self.ports.intern(port).ok_or(Full)?);
        }
        for port in members(event.dport) {
            put(&mut atom.dport, self.ports.intern(port).ok_or(Full)?);
        }
        put(&mut atom.proto, rest.proto);
        put(&mut atom.sensor, rest.sensor);
        self.heap = self.heap.saturating_add_signed(heap);
        Ok(())
    }

    /// Updates times and counts of the atom and its threat.
    fn touch(&mut self, id: u32, rest: Rest, event: &Fields<'_>) {
        let Some(atom) = self.atoms.get(id as usize) else {
            return;
        };
        let at = atom.threat;
        let earlier = atom.count == 0
            || event.time < atom.first
            || (event.time == atom.first
                && self.compare_rest(atom, rest, atom.head) == Ordering::Less);
        let generation = self.generation;
        if let Some(atom) = self.atoms.get_mut(id as usize) {
            atom.count += 1;
            atom.hours.add(event.hour);
            atom.last = atom.last.max(event.time);
            if earlier {
                (atom.first, atom.head) = (event.time, rest);
            }
        }
        let mut leads = false;
        let mut born = false;
        if let Some(threat) = self.threats.get(at as usize) {
            born = !threat.is_live();
            leads = earlier && (born || self.compare_heads(id, threat.head) != Ordering::Greater);
        }
        if let Some(threat) = self.threats.get_mut(at as usize) {
            threat.count += 1;
            threat.changed = generation;
            threat.born = if born { generation } else { threat.born };
            threat.first = if born {
                event.time
            } else {
                threat.first.min(event.time)
            };
            threat.last = if born {
                event.time
            } else {
                threat.last.max(event.time)
            };
        }
        self.live_threats += u64::from(born);
        if leads {
            self.set_head(at, id);
        }
    }

    /// Takes over what follows from the first event.
    fn set_head(&mut self, at: u32, head: u32) {
        let Some(atom) = self.atoms.get(head as usize) else {
            return;
        };
        let (key, rest) = (atom.key, atom.head);
        let (info, reference) = (self.texts.get(key.info), self.texts.get(key.reference));
        let severity = derive::severity(
            &self.home,
            Sides {
                kind: self.texts.get(key.kind),
                trail: self.texts.get(key.trail),
                src: self.texts.get(key.src),
                dst: self.texts.get(rest.dst),
            },
            info,
            reference,
        );
        let origin = Origin::of(reference);
        let base_risk = derive::base_risk(
            severity,
            self.texts.get(key.kind),
            info,
            self.texts.get(key.trail),
        );
        let side = derive::side_of(
            self.texts.get(key.norm),
            self.texts.get(key.src),
            self.texts.get(rest.sport),
            self.texts.get(rest.dst),
            self.texts.get(rest.dport),
        );
        let class = derive::class_of(info).to_owned();
        let class = self.texts.intern(&class).unwrap_or_default();
        if let Some(threat) = self.threats.get_mut(at as usize) {
            threat.head = head;
            (threat.severity, threat.origin, threat.base_risk) = (severity, origin, base_risk);
            (threat.side, threat.class) = (side, class);
        }
    }

    /// Orders the first events of two atoms by (time, line).
    fn compare_heads(&self, left: u32, right: u32) -> Ordering {
        let (Some(a), Some(b)) = (
            self.atoms.get(left as usize),
            self.atoms.get(right as usize),
        ) else {
            return Ordering::Equal;
        };
        if left == right {
            return Ordering::Equal;
        }
        a.first
            .cmp(&b.first)
            .then_with(|| self.line_order(a, a.head).cmp(&self.line_order(b, b.head)))
    }

    fn compare_rest(&self, atom: &Atom, left: Rest, right: Rest) -> Ordering {
        if left == right {
            return Ordering::Equal;
        }
        self.line_order(atom, left)
            .cmp(&self.line_order(atom, right))
    }

    /// The event line after its time, as far as order needs it. Only built for equal times.
    fn line_order(&self, atom: &Atom, rest: Rest) -> String {
        let key = &atom.key;
        let mut line = String::with_capacity(160);
        for id in [
            rest.sensor,
            key.src,
            rest.sport,
            rest.dst,
            rest.dport,
            rest.proto,
            key.kind,
            key.trail,
            key.info,
            key.reference,
        ] {
            push_column(self.texts.get(id), &mut line);
        }
        line
    }
}

/// Appends a column as the event line writes it, with a blank before it.
pub(crate) fn push_column(text: &str, line: &mut String) {
    line.push(' ');
    if text.is_empty() {
        line.push('-');
    } else if text.contains([' ', '"']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

/// The values of a comma list.
pub(crate) fn members(column: &str) -> impl Iterator<Item = &str> {
    column
        .split(',')
        .map(str::trim)
        .filter(|value| !value.is_empty() && *value != "-")
}

/// An address as it is shown: RFC 5952 for IPv6, anything else as it is.
fn canonical(member: &str) -> std::borrow::Cow<'_, str> {
    match member.contains(':').then(|| parse_ip(member)).flatten() {
        Some(address) => address.to_string().into(),
        None => member.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event<'a>(secs: i64, src: &'a str, trail: &'a str, info: &'a str) -> Fields<'a> {
        Fields {
            time: Timestamp::from_parts(secs, 0),
            hour: (secs / 3600 % 24) as u8,
            sensor: "s1",
            src,
            sport: "40000",
            dst: "203.0.113.7",
            dport: "53",
            proto: "UDP",
            kind: "DNS",
            trail,
            info,
            reference: "(static)",
        }
    }

    /// Everything a user sees of a table, in an order that does not depend on ids.
    fn picture(table: &DayTable) -> Vec<String> {
        let mut rows: Vec<String> = table
            .threats
            .iter()
            .filter(|threat| threat.is_live())
            .map(|threat| {
                let mut hours = [0; 24];
                let mut sets: [Vec<String>; 4] = Default::default();
                for atom in table.atoms_of(threat) {
                    atom.hours.add_to(&mut hours);
                    sets[0].extend(atom.src.iter().map(|id| table.addrs.get(id).to_owned()));
                    sets[1].extend(atom.dst.iter().map(|id| table.addrs.get(id).to_owned()));
                    sets[2].extend(atom.sport.iter().map(|id| table.ports.get(id).to_owned()));
                    sets[3].extend(atom.dport.iter().map(|id| table.ports.get(id).to_owned()));
                }
                for set in &mut sets {
                    set.sort();
                    set.dedup();
                }
                let head = &table.atoms[threat.head as usize];
                format!(
                    "{:016x} {:08x} {:?} {} {:?} {:?} {} {} {} {:?} {:?} {hours:?} {sets:?}",
                    threat.id,
                    threat.uid,
                    threat.kind,
                    threat.count,
                    threat.first,
                    threat.last,
                    threat.severity,
                    table.texts.get(head.key.info),
                    table.texts.get(head.key.trail),
                    threat.side,
                    threat.base_risk,
                )
            })
            .collect();
        rows.sort();
        rows
    }

    /// The table that the index file's rows make.
    fn restored(table: &DayTable) -> DayTable {
        let mut new = DayTable::new(FloodRule::Own);
        for (from, to) in [
            (&table.texts, &mut new.texts),
            (&table.addrs, &mut new.addrs),
            (&table.ports, &mut new.ports),
        ] {
            for id in 0..from.len() {
                to.intern(from.get(id)).unwrap();
            }
        }
        for atom in &table.atoms {
            let atom = Atom {
                threat: u32::MAX,
                ..atom.clone()
            };
            new.restore(atom).unwrap();
        }
        assert_eq!(
            (new.events, new.threat_count()),
            (table.events, table.threat_count())
        );
        new
    }

    /// A day with floods, generated names, ties in time and several infos per trail.
    fn day() -> Vec<(i64, String, String, String)> {
        let mut day = Vec::new();
        for n in 0..60_i64 {
            day.push((
                n % 7,
                format!("10.0.0.{n}"),
                "(www).evil.example".to_owned(),
                "lumma (malware)".to_owned(),
            ));
            day.push((
                n,
                format!("10.0.1.{}", n % 50),
                "other.example".to_owned(),
                "mass scanner".to_owned(),
            ));
            day.push((
                3,
                "10.0.0.5".to_owned(),
                format!("x{n}.example"),
                "conficker dga (malware)".to_owned(),
            ));
            day.push((
                5,
                "10.0.0.9".to_owned(),
                "two.example".to_owned(),
                format!("info {}", n % 3),
            ));
        }
        for n in 0..55_i64 {
            let info = "potential dns exhaustion (suspicious)".to_owned();
            day.push((
                n,
                format!("10.0.2.{n}"),
                "(x).victim.example".to_owned(),
                info,
            ));
        }
        day.push((
            1,
            "10.0.0.5".to_owned(),
            "evil.example".to_owned(),
            "conficker dga (malware)".to_owned(),
        ));
        day
    }

    #[test]
    fn the_order_of_events_does_not_matter() {
        let mut events = day();
        let mut wanted: Option<Vec<String>> = None;
        for round in 0..8_u64 {
            let mut table = DayTable::new(FloodRule::Own);
            for (secs, src, trail, info) in &events {
                table.add(&event(*secs, src, trail, info)).unwrap();
            }
            let seen = picture(&table);
            assert_eq!(
                picture(&restored(&table)),
                seen,
                "as the index file brings it back"
            );
            assert_eq!(table.threat_count() as usize, seen.len());
            // flood of evil.example, 50 sources of other.example, then one row each: generated names,
            // two.example, the exhausted zone
            assert_eq!(seen.len(), 1 + 50 + 1 + 1 + 1);
            let rows: u64 = table.threats.iter().map(|threat| threat.count).sum();
            assert_eq!(
                (rows, table.events),
                (events.len() as u64, events.len() as u64)
            );
            assert_eq!(
                *wanted.get_or_insert_with(|| seen.clone()),
                seen,
                "round {round}"
            );
            let len = events.len() as u64;
            let mut state = round + 1;
            for at in (1..events.len()).rev() {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                events.swap(at, (state >> 33) as usize % (at + 1));
            }
            assert_eq!(events.len() as u64, len);
        }
    }

    /// The two passes of the dashboard facts, written down plainly.
    fn naive(events: &[(i64, String, String, String)]) -> Vec<(u64, u64, i64)> {
        use std::collections::{BTreeMap, BTreeSet};
        let mut sources: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (_, src, trail, _) in events {
            sources
                .entry(uid::norm(trail).into_owned())
                .or_default()
                .insert(src);
        }
        let mut threats: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
        for (secs, src, trail, info) in events {
            let norm = uid::norm(trail);
            let key = if info.contains(" dns exhaustion ") {
                format!("{info}~>{norm}")
            } else if sources[norm.as_ref()].len() > 50 {
                format!("...~>{norm}")
            } else if info.contains(" dga ") {
                format!("{src}~>{info}")
            } else {
                format!("{src}~>{norm}")
            };
            let threat = threats.entry(uid::threat_id(&key)).or_insert((0, i64::MAX));
            *threat = (threat.0 + 1, threat.1.min(*secs));
        }
        threats
            .into_iter()
            .map(|(id, (count, first))| (id, count, first))
            .collect()
    }

    #[test]
    fn rows_are_those_of_the_two_passes() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..20 {
            let events: Vec<(i64, String, String, String)> = (0..1500)
                .map(|_| {
                    let info = [
                        "lumma (malware)",
                        "x dga (malware)",
                        "potential dns exhaustion (suspicious)",
                    ];
                    // Few trails, so that some become floods and some do not.
                    let trail = random(9);
                    let src = random(12 + trail * 12);
                    (
                        random(86_400) as i64,
                        format!("10.0.0.{src}"),
                        format!(
                            "{}t{trail}.example",
                            ["", "(www).", "(a)."][random(3) as usize]
                        ),
                        info[(random(10) / 8 + random(10) / 9) as usize].to_owned(),
                    )
                })
                .collect();
            let mut table = DayTable::new(FloodRule::Own);
            for (secs, src, trail, info) in &events {
                table.add(&event(*secs, src, trail, info)).unwrap();
            }
            let mut rows: Vec<(u64, u64, i64)> = table
                .threats
                .iter()
                .filter(|threat| threat.is_live())
                .map(|threat| (threat.id, threat.count, threat.first.secs()))
                .collect();
            rows.sort_unstable();
            assert_eq!(rows, naive(&events));
            assert!(!table.flooded.is_empty(), "the sample holds floods");
        }
    }

    #[test]
    fn the_first_event_gives_the_words() {
        let mut table = DayTable::new(FloodRule::Own);
        table
            .add(&event(9, "10.0.0.1", "a.example", "mass scanner"))
            .unwrap();
        table
            .add(&event(8, "10.0.0.1", "(x).a.example", "lumma (malware)"))
            .unwrap();
        let threat = &table.threats[0];
        assert_eq!((threat.severity, threat.count), (Severity::High, 2));
        assert_eq!(
            table.texts.get(table.atoms[threat.head as usize].key.trail),
            "(x).a.example"
        );
    }

    #[test]
    fn the_51st_source_removes_rows_and_tells_streams() {
        let mut table = DayTable::new(FloodRule::Own);
        for n in 0..50 {
            table
                .add(&event(n, &format!("10.0.0.{n}"), "evil.example", "x"))
                .unwrap();
        }
        assert_eq!(
            (table.threat_count(), table.is_flood("evil.example")),
            (50, false)
        );
        table.generation = 1;
        table
            .add(&event(60, "10.0.0.50", "evil.example", "x"))
            .unwrap();
        assert!(table.flooded.len() == 1 && table.is_flood("evil.example"));
        assert_eq!(table.threat_count(), 1);
        assert_eq!(table.removed_since(0).map(|ids| ids.len()), Some(50));
        assert_eq!(table.removed_since(1).map(|ids| ids.len()), Some(0));
        assert_eq!(
            table.threats.iter().find(|t| t.is_live()).map(|t| t.count),
            Some(51)
        );
    }

    #[test]
    fn a_full_table_refuses_new_atoms_and_goes_on_counting_known_ones() {
        let mut table = DayTable::new(FloodRule::Own);
        table.max_atoms = 3;
        for n in 0..5 {
            let added = table.add(&event(n, "10.0.0.1", &format!("x{n}.example"), "i"));
            assert_eq!(added.is_ok(), n < 3);
        }
        assert!(table.add(&event(9, "10.0.0.1", "x0.example", "i")).is_ok());
        assert_eq!((table.events, table.threat_count()), (4, 3));
    }

    #[test]
    fn ipv6_spellings_are_one_source() {
        let mut table = DayTable::new(FloodRule::Own);
        table
            .add(&event(1, "2001:db8::", "a.example", "x"))
            .unwrap();
        table
            .add(&event(2, "2001:0db8:0::0", "a.example", "x"))
            .unwrap();
        assert_eq!(table.threat_count(), 1);
        assert_eq!(
            table.addrs.get(table.atoms[0].src.iter().next().unwrap()),
            "2001:db8::"
        );
    }

    #[test]
    fn forgotten_removals_make_old_streams_reload() {
        let mut table = DayTable::new(FloodRule::Own);
        for n in 0..=MAX_REMOVED as u64 {
            table.generation = n;
            table.live_threats += 1;
            table.forget(n);
        }
        assert!(
            table
                .removed_since(0)
                .is_some_and(|ids| ids.len() == MAX_REMOVED)
        );
        table.generation += 1;
        table.live_threats += 1;
        table.forget(1);
        assert!(table.removed_since(0).is_none());
    }
}
