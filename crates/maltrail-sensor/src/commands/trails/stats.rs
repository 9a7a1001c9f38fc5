//! `sensor trails stats`: the published set in numbers.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use maltrail_core::trail::TrailSet;
use maltrail_feeds::catalog::{Catalog, CatalogError, ListKind};
use maltrail_feeds::export::RowKind;
use serde_json::{Map, Value, json};

use crate::commands::clean;

/// Labels and origins that are shown.
const TOP: usize = 15;

pub(super) struct Stats {
    rows: usize,
    /// Seconds since the set was last known to be up to date.
    age: Option<u64>,
    kinds: BTreeMap<RowKind, usize>,
    categories: Vec<(String, usize)>,
    infos: Vec<(String, usize)>,
    all_infos: usize,
    origins: Vec<(String, usize)>,
    /// Lists that the catalog knows, and the keys they name.
    lists: BTreeMap<ListKind, (usize, u64)>,
}

impl Stats {
    pub(super) fn of(set: &TrailSet, file: &Path) -> Result<Self, CatalogError> {
        let mut kinds: BTreeMap<RowKind, usize> = BTreeMap::new();
        let (mut categories, mut infos, mut origins) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for row in set.rows() {
            *kinds.entry(RowKind::of(row)).or_default() += 1;
            *categories.entry(category(row.info)).or_default() += 1;
            *infos.entry(row.info).or_default() += 1;
            let own = row.reference.split(" (+").next().unwrap_or_default();
            *origins.entry(own).or_default() += 1;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        let all_infos = infos.len();
        Ok(Self {
            rows: set.len(),
            age: maltrail_feeds::update::checked(file).map(|at| now.saturating_sub(at)),
            kinds,
            categories: largest(categories),
            infos: largest(infos),
            all_infos,
            origins: largest(origins),
            lists: lists(file)?,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let age = self.age.map_or_else(
            || "never built here".to_owned(),
            |age| format!("{}.{} hours old", age / 3600, age % 3600 / 360),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{} trails, {age}, {} labels",
            self.rows, self.all_infos
        );
        let kinds = self.kinds.iter().map(|(kind, count)| (kind.name(), *count));
        table(&mut out, "kind", kinds);
        let tops = [
            ("category", &self.categories),
            ("label", &self.infos),
            ("origin", &self.origins),
        ];
        for (title, rows) in tops {
            table(
                &mut out,
                title,
                rows.iter().map(|(name, count)| (name.as_str(), *count)),
            );
        }
        for (kind, (lists, entries)) in &self.lists {
            let _ = writeln!(out, "{lists} {} lists name {entries} keys", kind.name());
        }
        out.trim_end().to_owned()
    }

    pub(super) fn json(&self) -> Value {
        let top = |rows: &[(String, usize)]| -> Vec<Value> {
            let row = |(name, count): &(String, usize)| json!({ "name": name, "rows": count });
            rows.iter().map(row).collect()
        };
        let kinds: Map<String, Value> = self
            .kinds
            .iter()
            .map(|(kind, count)| (kind.name().to_owned(), (*count).into()))
            .collect();
        let lists: Map<String, Value> = self
            .lists
            .iter()
            .map(|(kind, (lists, keys))| {
                (
                    kind.name().to_owned(),
                    json!({ "lists": lists, "keys": keys }),
                )
            })
            .collect();
        json!({
            "trails": self.rows, "age_secs": self.age, "kinds": kinds, "labels": self.all_infos,
            "categories": top(&self.categories), "largest_labels": top(&self.infos), "origins": top(&self.origins),
            "lists": lists,
        })
    }
}

fn lists(file: &Path) -> Result<BTreeMap<ListKind, (usize, u64)>, CatalogError> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let mut lists: BTreeMap<ListKind, (usize, u64)> = BTreeMap::new();
    let all = match Catalog::open(folder) {
        Ok(catalog) => catalog.lists()?,
        Err(CatalogError::Missing(_) | CatalogError::Other(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    for list in all.iter().filter(|list| list.last.is_none()) {
        let sum = lists.entry(list.kind).or_default();
        *sum = (sum.0 + 1, sum.1 + list.entries);
    }
    Ok(lists)
}

/// `zeus (malware)` → `malware`.
fn category(info: &str) -> &str {
    info.strip_suffix(')')
        .and_then(|front| front.rsplit_once(" ("))
        .map_or("none", |(_, category)| category)
}

fn largest(counts: HashMap<&str, usize>) -> Vec<(String, usize)> {
    let mut rows: Vec<(&str, usize)> = counts.into_iter().collect();
    rows.sort_unstable_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
    rows.truncate(TOP);
    rows.into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

fn table<'a>(out: &mut String, title: &str, rows: impl Iterator<Item = (&'a str, usize)>) {
    let _ = writeln!(out, "\n{:>10}  {title}", "rows");
    for (name, count) in rows {
        let _ = writeln!(out, "{count:>10}  {}", clean(name));
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::trail::Whitelist;

    use super::*;

    #[test]
    fn rows_are_counted_by_kind_category_label_and_origin() {
        let rows = "a.biz,zeus (malware),(static)\nb.biz,zeus (malware),(static) (+x)\n5.9.9.9,known attacker,x\n/g,y (z) (malicious),x\n";
        let set = TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).expect("set");
        let folder = tempfile::tempdir().expect("folder");
        let stats = Stats::of(&set, &folder.path().join("trails.csv")).expect("stats");
        let json = stats.json();
        assert_eq!(json["kinds"], json!({ "name": 2, "address": 1, "path": 1 }));
        assert_eq!(
            json["categories"][0],
            json!({ "name": "malware", "rows": 2 })
        );
        assert_eq!(
            json["categories"][1],
            json!({ "name": "malicious", "rows": 1 })
        );
        assert_eq!(
            json["origins"],
            json!([{ "name": "(static)", "rows": 2 }, { "name": "x", "rows": 2 }])
        );
        assert_eq!(
            (json["labels"].as_u64(), json["age_secs"].as_u64()),
            (Some(3), None)
        );
        assert!(
            stats
                .text()
                .starts_with("4 trails, never built here, 3 labels\n"),
            "{}",
            stats.text()
        );
    }
}
