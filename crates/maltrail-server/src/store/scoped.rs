//! What a restricted user may see: a scope, and a day's table built from it.
//!
//! A scope is decided per event: an event is visible when a member of its source or destination
//! lies inside the networks, or its trail is an address that does. Member lists with a visible
//! member lose the others. A masking scope hides the name of the operator's own trails. Whatever a
//! restricted user is shown is computed from events that went through [`Scope::apply`], so counts,
//! facets, streams and details agree. Only whether a trail is a flood is taken from all events, so
//! that a threat has the same id for everybody.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, parse_ip};
use maltrail_core::event::line::split_columns;

use super::Hot;
use super::sql::DayReader;
use super::table::{DayTable, Fields, push_column};

/// Rows taken from the index file at a time, so that the writer never waits long.
const PAGE: usize = 20_000;

/// What a user may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    networks: Vec<IpNet>,
    set: NetworkSet,
    mask: bool,
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.networks == other.networks && self.mask == other.mask
    }
}

impl Eq for Scope {}

impl std::hash::Hash for Scope {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.networks, self.mask).hash(state);
    }
}

/// The columns of an event as a scope shows them.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) src: Cow<'a, str>,
    pub(crate) dst: Cow<'a, str>,
    pub(crate) info: &'a str,
}

impl Scope {
    /// Only events of these networks (empty: all), with or without names of custom trails.
    pub(crate) fn new(networks: &[IpNet], mask: bool) -> Self {
        Self {
            networks: networks.to_vec(),
            set: NetworkSet::new(networks.iter().copied()),
            mask,
        }
    }

    /// Whether nothing is hidden.
    pub(crate) fn is_everything(&self) -> bool {
        self.networks.is_empty() && !self.mask
    }

    /// The columns that this scope changes, or `None` when the event is not visible.
    pub(crate) fn apply<'a>(
        &self,
        src: &'a str,
        dst: &'a str,
        trail: &str,
        info: &'a str,
        reference: &str,
    ) -> Option<Seen<'a>> {
        let info = if self.mask && is_custom(reference, info) {
            "-"
        } else {
            info
        };
        if self.networks.is_empty() {
            return Some(Seen {
                src: src.into(),
                dst: dst.into(),
                info,
            });
        }
        let (seen_src, seen_dst) = (self.visible(src), self.visible(dst));
        let visible = seen_src.is_some() || seen_dst.is_some() || self.contains(trail);
        visible.then(|| Seen {
            src: seen_src.unwrap_or(Cow::Borrowed(src)),
            dst: seen_dst.unwrap_or(Cow::Borrowed(dst)),
            info,
        })
    }

    /// Whether whole events are hidden, not only names.
    pub(crate) const fn is_filtered(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether names of custom trails are hidden.
    pub(crate) const fn is_masked(&self) -> bool {
        self.mask
    }

    /// A line of a day file as this scope shows it; `None` when it is hidden. Lines that are not
    /// events are hidden from restricted users: nobody can say what they hold.
    pub(crate) fn line<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        if self.is_everything() {
            return Some(line.into());
        }
        let columns = split_columns(line).ok()?;
        let [
            time,
            sensor,
            src,
            sport,
            dst,
            dport,
            proto,
            kind,
            trail,
            info,
            reference,
        ] = &columns;
        let seen = self.apply(src, dst, trail, info, reference)?;
        if seen.src == *src && seen.dst == *dst && seen.info == *info {
            return Some(line.into());
        }
        let mut changed = format!("\"{time}\"");
        let columns: [&str; 10] = [
            sensor, &seen.src, sport, &seen.dst, dport, proto, kind, trail, seen.info, reference,
        ];
        for column in columns {
            push_column(column, &mut changed);
        }
        Some(changed.into())
    }

    /// The members of a column that lie inside; `None` when there is none.
    fn visible<'a>(&self, column: &'a str) -> Option<Cow<'a, str>> {
        if !column.contains(',') {
            return self
                .contains(column.trim())
                .then_some(Cow::Borrowed(column));
        }
        let members: Vec<&str> = column
            .split(',')
            .map(str::trim)
            .filter(|part| self.contains(part))
            .collect();
        (!members.is_empty()).then(|| Cow::Owned(members.join(",")))
    }

    fn contains(&self, text: &str) -> bool {
        parse_ip(text).is_some_and(|address: IpAddr| self.set.contains(address))
    }
}

/// Whether an event comes from the operator's own trails, whose names are hidden from masked users.
pub(crate) fn is_custom(reference: &str, info: &str) -> bool {
    reference.contains("custom)") || info.ends_with("(custom)")
}

/// A scope's table of one day. It follows the index file: each use reads the rows that are new.
#[derive(Debug)]
pub(crate) struct ScopedTable {
    pub(crate) table: DayTable,
    row: i64,
    floods: usize,
}

impl ScopedTable {
    /// Nothing read yet; `empty` is told its floods.
    pub(crate) const fn new(empty: DayTable) -> Self {
        Self {
            table: empty,
            row: 0,
            floods: 0,
        }
    }

    /// Takes over what the index has stored since the last call. On a read error the table stays as
    /// it is and the next call tries again.
    pub(crate) fn catch_up(&mut self, hot: &Hot, index_dir: &Path, scope: &Scope) {
        let Ok(reader) = DayReader::open(index_dir, hot.day) else {
            return;
        };
        loop {
            let Ok((rows, last)) = reader.after(self.row, PAGE) else {
                return;
            };
            let all = hot.table();
            let new_floods = all.flooded.get(self.floods..).unwrap_or_default();
            if rows.is_empty() && new_floods.is_empty() {
                return;
            }
            self.table.generation += 1;
            for &norm in new_floods {
                self.table.set_flood(all.texts.get(norm));
            }
            self.floods = all.flooded.len();
            for row in &rows {
                let Some(atom) = all.atoms.get(row.atom as usize) else {
                    continue;
                };
                let fields = all.fields(atom, row.rest, row.time, row.hour);
                add_visible(&mut self.table, scope, &fields);
            }
            self.row = last;
        }
    }
}

fn add_visible(table: &mut DayTable, scope: &Scope, fields: &Fields<'_>) {
    let seen = scope.apply(
        fields.src,
        fields.dst,
        fields.trail,
        fields.info,
        fields.reference,
    );
    if let Some(seen) = seen {
        // Full: the bound of a scoped table is the bound of the day's own, which counts it.
        let _ = table.add(&Fields {
            src: &seen.src,
            dst: &seen.dst,
            info: seen.info,
            ..*fields
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::addr::parse_net;

    fn scope(networks: &[&str], mask: bool) -> Scope {
        let networks: Vec<IpNet> = networks
            .iter()
            .map(|text| parse_net(text).unwrap())
            .collect();
        Scope::new(&networks, mask)
    }

    #[test]
    fn members_and_trails_decide_not_text_elsewhere() {
        let scope = scope(&["10.0.0.0/8", "2001:db8::/32"], false);
        let see = |src, dst, trail| {
            scope
                .apply(src, dst, trail, "i", "r")
                .map(|seen| (seen.src.into_owned(), seen.dst.into_owned()))
        };
        assert_eq!(
            see("10.0.0.5", "8.8.8.8", "x"),
            Some(("10.0.0.5".into(), "8.8.8.8".into()))
        );
        assert_eq!(
            see("8.8.8.8", "2001:db8::1", "x"),
            Some(("8.8.8.8".into(), "2001:db8::1".into()))
        );
        assert_eq!(
            see("8.8.8.8", "1.1.1.1", "10.9.9.9"),
            Some(("8.8.8.8".into(), "1.1.1.1".into()))
        );
        assert_eq!(see("8.8.8.8", "1.1.1.1", "10.9.9.9.evil.example"), None);
        assert_eq!(
            see("10.0.0.5,192.168.0.1,10.9.0.7", "9.9.9.9", "x"),
            Some(("10.0.0.5,10.9.0.7".into(), "9.9.9.9".into())),
            "all visible members stay"
        );
    }

    #[test]
    fn custom_names_are_hidden_only_where_masking_is_on() {
        let seen = scope(&[], true);
        assert_eq!(
            seen.apply("a", "b", "t", "secret (custom)", "(custom)")
                .unwrap()
                .info,
            "-"
        );
        assert_eq!(
            seen.apply("a", "b", "t", "secret", "(remote custom)")
                .unwrap()
                .info,
            "-"
        );
        assert_eq!(
            seen.apply("a", "b", "t", "malware", "(static)")
                .unwrap()
                .info,
            "malware"
        );
        assert!(scope(&[], false).is_everything() && !seen.is_everything());
    }
}
