//! Several days as one table.
//!
//! **A threat of the result is the union of the days' threats with its id**, so the sum over the days is the
//! number of the range, and what a day shows as a flood (or not) stays as that day shows it. All else follows
//! the rules of one day: the first event is the smallest (time, line) of all days, and severity, class and
//! direction are its. The result does not depend on the order of the days. Atoms are kept per threat here,
//! because a trail may be a flood on one day only. Bound: atoms, [`Full`].

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Atom, AtomKey, DayTable, Dict, Full, Hours, Rest, Set, Threat};

/// No text of ours yet.
const UNKNOWN: u32 = u32::MAX;

/// Events of a threat on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayCount {
    /// Place of the threat in the merged table.
    pub(crate) threat: u32,
    /// Number of the day, as given to [`Merger::add`].
    pub(crate) day: u16,
    pub(crate) events: u64,
}

/// Puts days together.
#[derive(Debug)]
pub(crate) struct Merger {
    table: DayTable,
    atoms: HashMap<(u32, AtomKey), u32, RandomState>,
    counts: Vec<DayCount>,
}

impl Merger {
    /// Into an empty table, with at most `max_atoms`.
    pub(crate) fn new(mut empty: DayTable, max_atoms: usize) -> Self {
        empty.max_atoms = max_atoms;
        Self {
            table: empty,
            atoms: HashMap::default(),
            counts: Vec::new(),
        }
    }

    /// Adds a day. Each day once.
    pub(crate) fn add(&mut self, day: u16, other: &DayTable) -> Result<(), Full> {
        let mut ids = Ids::new(other);
        for threat in other.threats.iter().filter(|threat| threat.is_live()) {
            let at = self.threat(threat)?;
            for atom in other.atoms_of(threat).filter(|atom| atom.count > 0) {
                self.atom(at, atom, other, &mut ids)?;
            }
            self.counts.push(DayCount {
                threat: at,
                day,
                events: threat.count,
            });
        }
        self.table.events += other.events;
        self.table.generation += other.generation;
        Ok(())
    }

    /// The table, and the events of each threat on each day.
    pub(crate) fn finish(mut self) -> (DayTable, Vec<DayCount>) {
        for at in 0..self.table.threats.len() as u32 {
            self.table.recount(at);
        }
        (self.table, self.counts)
    }

    /// The place of the threat with the same id.
    fn threat(&mut self, other: &Threat) -> Result<u32, Full> {
        let next = u32::try_from(self.table.threats.len()).map_err(|_| Full)?;
        let at = *self.table.threat_ids.entry(other.id).or_insert(next);
        if at == next {
            self.table.threats.push(Threat {
                atoms: Set::default(),
                count: 0,
                head: UNKNOWN,
                class: 0,
                ..other.clone()
            });
        }
        Ok(at)
    }

    fn atom(&mut self, at: u32, atom: &Atom, other: &DayTable, ids: &mut Ids) -> Result<(), Full> {
        let key = ids.key(&mut self.table, other, atom.key)?;
        let head = ids.rest(&mut self.table, other, atom.head)?;
        if let Some(&known) = self.atoms.get(&(at, key)) {
            let mut merged = match self.table.atoms.get_mut(known as usize) {
                Some(ours) => std::mem::replace(ours, empty_atom(key, head)),
                None => return Ok(()),
            };
            let before = heap_bytes(&merged);
            let later = self.is_earlier(atom, head, &merged);
            ids.sets(&mut self.table, other, atom, &mut merged)?;
            merge(&mut merged, atom);
            if later {
                merged.head = head;
            }
            merged.first = merged.first.min(atom.first);
            self.table.heap += heap_bytes(&merged).saturating_sub(before);
            if let Some(ours) = self.table.atoms.get_mut(known as usize) {
                *ours = merged;
            }
            return Ok(());
        }
        if self.table.atoms.len() >= self.table.max_atoms {
            return Err(Full);
        }
        let mut new = empty_atom(key, head);
        (new.threat, new.count) = (at, atom.count);
        (new.first, new.last) = (atom.first, atom.last);
        new.hours = atom.hours.clone();
        ids.sets(&mut self.table, other, atom, &mut new)?;
        let id = self.table.atoms.len() as u32;
        self.table.push_atom(new);
        self.table
            .trails
            .entry(key.norm)
            .or_default()
            .atoms
            .insert(id);
        self.atoms.insert((at, key), id);
        if let Some(threat) = self.table.threats.get_mut(at as usize) {
            threat.atoms.insert(id);
        }
        Ok(())
    }

    /// Whether the other day's atom begins before ours.
    fn is_earlier(&self, other: &Atom, head: Rest, ours: &Atom) -> bool {
        let by_line = || self.table.compare_rest(ours, head, ours.head);
        other.first.cmp(&ours.first).then_with(by_line) == Ordering::Less
    }
}

fn empty_atom(key: AtomKey, head: Rest) -> Atom {
    Atom {
        key,
        threat: UNKNOWN,
        count: 0,
        first: Default::default(),
        last: Default::default(),
        head,
        hours: Hours::One(0, 0),
        src: Set::default(),
        dst: Set::default(),
        sport: Set::default(),
        dport: Set::default(),
        proto: Set::default(),
        sensor: Set::default(),
    }
}

fn merge(ours: &mut Atom, other: &Atom) {
    ours.count += other.count;
    ours.last = ours.last.max(other.last);
    let mut sum = [0; 24];
    ours.hours.add_to(&mut sum);
    other.hours.add_to(&mut sum);
    let mut busy = (0..).zip(&sum).filter(|(_, count)| **count > 0);
    ours.hours = match (busy.next(), busy.next()) {
        (Some((hour, &count)), None) => Hours::One(hour, count),
        _ => Hours::Many(Box::new(sum)),
    };
}

fn heap_bytes(atom: &Atom) -> usize {
    let sets = [
        &atom.src,
        &atom.dst,
        &atom.sport,
        &atom.dport,
        &atom.proto,
        &atom.sensor,
    ];
    sets.iter().map(|set| set.heap_bytes()).sum()
}

/// Numbers of another day's texts in our dictionaries, filled as they come.
struct Ids {
    texts: Vec<u32>,
    addrs: Vec<u32>,
    ports: Vec<u32>,
}

impl Ids {
    fn new(other: &DayTable) -> Self {
        let of = |dict: &Dict| vec![UNKNOWN; dict.len() as usize];
        Self {
            texts: of(&other.texts),
            addrs: of(&other.addrs),
            ports: of(&other.ports),
        }
    }

    fn key(
        &mut self,
        table: &mut DayTable,
        other: &DayTable,
        key: AtomKey,
    ) -> Result<AtomKey, Full> {
        let mut text = |id| translate(&mut self.texts, &mut table.texts, &other.texts, id);
        Ok(AtomKey {
            src: text(key.src)?,
            norm: text(key.norm)?,
            kind: text(key.kind)?,
            trail: text(key.trail)?,
            info: text(key.info)?,
            reference: text(key.reference)?,
        })
    }

    fn rest(&mut self, table: &mut DayTable, other: &DayTable, rest: Rest) -> Result<Rest, Full> {
        let mut text = |id| translate(&mut self.texts, &mut table.texts, &other.texts, id);
        Ok(Rest {
            sensor: text(rest.sensor)?,
            sport: text(rest.sport)?,
            dst: text(rest.dst)?,
            dport: text(rest.dport)?,
            proto: text(rest.proto)?,
        })
    }

    /// Adds the members of the other's sets to ours.
    fn sets(
        &mut self,
        table: &mut DayTable,
        other: &DayTable,
        from: &Atom,
        to: &mut Atom,
    ) -> Result<(), Full> {
        for (from, to) in [(&from.src, &mut to.src), (&from.dst, &mut to.dst)] {
            for id in from.iter() {
                to.insert(translate(
                    &mut self.addrs,
                    &mut table.addrs,
                    &other.addrs,
                    id,
                )?);
            }
        }
        for (from, to) in [(&from.sport, &mut to.sport), (&from.dport, &mut to.dport)] {
            for id in from.iter() {
                to.insert(translate(
                    &mut self.ports,
                    &mut table.ports,
                    &other.ports,
                    id,
                )?);
            }
        }
        for (from, to) in [(&from.proto, &mut to.proto), (&from.sensor, &mut to.sensor)] {
            for id in from.iter() {
                to.insert(translate(
                    &mut self.texts,
                    &mut table.texts,
                    &other.texts,
                    id,
                )?);
            }
        }
        Ok(())
    }
}

fn translate(known: &mut [u32], ours: &mut Dict, other: &Dict, id: u32) -> Result<u32, Full> {
    let slot = known.get_mut(id as usize).ok_or(Full)?;
    if *slot == UNKNOWN {
        *slot = ours.intern(other.get(id)).ok_or(Full)?;
    }
    Ok(*slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Cases;
    use crate::query::row::Row;
    use crate::store::table::{Fields, FloodRule, tests::event};

    fn day(events: &[Fields<'_>]) -> DayTable {
        let mut table = DayTable::new(FloodRule::Own);
        table.generation = 1;
        for event in events {
            table.add(event).unwrap();
        }
        table
    }

    fn merged(days: &[&DayTable]) -> (DayTable, Vec<DayCount>) {
        let mut merger = Merger::new(DayTable::new(FloodRule::Told), 10_000);
        for (at, day) in (0..).zip(days) {
            merger.add(at, day).unwrap();
        }
        merger.finish()
    }

    fn rows(table: &DayTable) -> Vec<String> {
        let mut rows: Vec<String> = table
            .threats
            .iter()
            .map(|threat| {
                serde_json::to_string(&Row::new(table, threat, &Cases::default())).unwrap()
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    const DAY: i64 = 86_400;

    /// Events of which no trail is a flood, on three days, with texts in another order on each.
    fn events() -> Vec<Vec<Fields<'static>>> {
        let base = |secs, src, trail, info| event(secs, src, trail, info);
        vec![
            vec![
                base(3600, "10.0.0.1", "a.example", "lumma (malware)"),
                base(7200, "10.0.0.1", "(www).a.example", "lumma (malware)"),
                base(7200, "10.0.0.2", "b.example", "x"),
            ],
            vec![
                Fields {
                    dst: "198.51.100.9",
                    dport: "443",
                    sensor: "s2",
                    ..base(DAY + 10, "10.0.0.2", "b.example", "x")
                },
                base(DAY + 20, "2001:db8::1", "a.example", "lumma (malware)"),
                base(DAY + 20, "10.0.0.1", "a.example", "known attacker"),
            ],
            vec![base(
                2 * DAY + 5,
                "10.0.0.1",
                "a.example",
                "lumma (malware)",
            )],
        ]
    }

    #[test]
    fn without_floods_a_range_is_one_long_day() {
        let events = events();
        let days: Vec<DayTable> = events.iter().map(|events| day(events)).collect();
        let (all, counts) = merged(&days.iter().collect::<Vec<_>>());
        let one = day(&events.concat());
        assert_eq!(rows(&all), rows(&one));
        assert_eq!(
            (all.events, all.threat_count()),
            (one.events, one.threat_count())
        );
        let a = all.threats.iter().position(|threat| threat.count == 4);
        let of_a: Vec<u64> = counts
            .iter()
            .filter(|count| Some(count.threat as usize) == a)
            .map(|count| count.events)
            .collect();
        assert_eq!(of_a, [2, 1, 1]);
        let backwards: Vec<&DayTable> = days.iter().rev().collect();
        assert_eq!(rows(&merged(&backwards).0), rows(&one));
    }

    #[test]
    fn a_flood_of_one_day_stays_that_day_s() {
        let sources: Vec<String> = (0..60).map(|n| format!("10.0.1.{n}")).collect();
        let flood: Vec<Fields<'_>> = sources
            .iter()
            .map(|src| event(10, src, "a.example", "x"))
            .collect();
        let quiet = [event(DAY, "10.0.1.7", "a.example", "x")];
        let (first, second) = (day(&flood), day(&quiet));
        let (all, _) = merged(&[&first, &second]);
        assert_eq!((all.threat_count(), all.events), (2, 61));
        let mut counts: Vec<u64> = all.threats.iter().map(|threat| threat.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 60]);
        for day in [&first, &second] {
            for threat in day.threats.iter().filter(|threat| threat.is_live()) {
                assert_eq!(
                    all.threat(threat.id).map(|found| found.count),
                    Some(threat.count)
                );
            }
        }
    }

    #[test]
    fn the_bound_refuses() {
        let events = events();
        let mut merger = Merger::new(DayTable::new(FloodRule::Told), 2);
        assert_eq!(merger.add(0, &day(&events[0])), Err(Full));
    }
}
