//! `sensor trails diff`: what changed between two sets.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use maltrail_feeds::diff::{Difference, SortedRows, diff};
use serde_json::{Value, json};

use super::open;
use crate::commands::clean;

/// Prints the differences, at most `limit` of each kind; whether there is none.
pub(super) fn run(old: &Path, new: &Path, limit: usize, as_json: bool) -> anyhow::Result<bool> {
    let read = |path: &Path| {
        SortedRows::read(open(path)?).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let (before, after) = (read(old)?, read(new)?);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut counts = [0usize; 3];
    let mut rows: [Vec<Value>; 3] = Default::default();
    diff(&before, &after, |difference| {
        let at = match difference {
            Difference::Added(_) => 0,
            Difference::Removed(_) => 1,
            Difference::Changed(..) => 2,
        };
        counts[at] += 1;
        if counts[at] > limit {
            return;
        }
        if as_json {
            rows[at].push(value(difference));
        } else {
            // A closed pipe ends the listing, not the count.
            let _ = writeln!(out, "{}", clean(&line(difference)));
        }
    });
    let [added, removed, changed] = counts;
    let text = if as_json {
        let [plus, minus, other] = rows;
        json!({
            "old": before.len(), "new": after.len(), "added": added, "removed": removed, "changed": changed,
            "rows": { "added": plus, "removed": minus, "changed": other },
        })
        .to_string()
    } else {
        format!(
            "+{added} -{removed} ~{changed} ({} rows, then {})",
            before.len(),
            after.len()
        )
    };
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    Ok(counts == [0; 3])
}

fn line(difference: Difference<'_>) -> String {
    match difference {
        Difference::Added([key, info, reference]) => format!("+ {key}  {info}  {reference}"),
        Difference::Removed([key, info, reference]) => format!("- {key}  {info}  {reference}"),
        Difference::Changed([key, info, reference], [_, other, origin]) => {
            format!("~ {key}  {info}  {reference}  ->  {other}  {origin}")
        }
    }
}

fn value(difference: Difference<'_>) -> Value {
    match difference {
        Difference::Added(row) | Difference::Removed(row) => json!(row),
        Difference::Changed(before, after) => json!([before, after]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_changed() {
        let row = ["a.biz", "x", "r"];
        assert_eq!(line(Difference::Added(row)), "+ a.biz  x  r");
        assert_eq!(line(Difference::Removed(row)), "- a.biz  x  r");
        assert_eq!(
            line(Difference::Changed(row, ["a.biz", "y", "q"])),
            "~ a.biz  x  r  ->  y  q"
        );
    }

    #[test]
    fn equal_sets_have_no_difference() {
        let folder = tempfile::tempdir().expect("folder");
        let [one, two] = ["1.csv", "2.csv"].map(|name| folder.path().join(name));
        std::fs::write(&one, "a.biz,x,r\n").expect("file");
        std::fs::write(&two, "a.biz,y,r\n").expect("file");
        assert!(run(&one, &one, 10, true).expect("diff"));
        assert!(!run(&one, &two, 0, false).expect("diff"));
        assert!(run(&one, &folder.path().join("none"), 10, false).is_err());
    }
}
