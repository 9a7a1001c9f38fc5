//! Two sets compared: what one has more, less, or otherwise than the other.
//!
//! Rows are held in one text each (the full list: 83 MB) and sorted; of a repeated key the last row counts, as
//! for the sensor. Bound: 4 GiB of text a set.

use std::cmp::Ordering;
use std::io;

use maltrail_core::trail::csv;

/// Rows by key.
#[derive(Debug, Default)]
pub struct SortedRows {
    text: String,
    rows: Vec<Span>,
    /// Rows that are not three columns.
    pub malformed: usize,
}

/// Where the columns of a row end.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    key: u32,
    info: u32,
    end: u32,
}

impl SortedRows {
    /// Reads a `trails.csv`.
    ///
    /// # Errors
    /// Those of the input, and more than 4 GiB of text.
    pub fn read(input: impl io::Read) -> io::Result<Self> {
        let mut set = Self::default();
        let mut full = false;
        let counts = csv::read(input, |key, info, reference| {
            full |= set.push(key, info, reference).is_none();
        })?;
        if full {
            return Err(io::Error::other("more than 4 GiB of rows"));
        }
        set.malformed = counts.malformed;
        set.sort();
        Ok(set)
    }

    fn push(&mut self, key: &str, info: &str, reference: &str) -> Option<()> {
        let at = |offset: usize| u32::try_from(offset).ok();
        let start = self.text.len();
        let (key_end, info_end) = (start + key.len(), start + key.len() + info.len());
        let span = Span {
            start: at(start)?,
            key: at(key_end)?,
            info: at(info_end)?,
            end: at(info_end + reference.len())?,
        };
        [key, info, reference]
            .iter()
            .for_each(|part| self.text.push_str(part));
        self.rows.push(span);
        Some(())
    }

    /// By key; of equal ones the last of the file stays.
    fn sort(&mut self) {
        let Self { text, rows, .. } = self;
        rows.sort_by(|left, right| key_of(text, left).cmp(key_of(text, right)));
        rows.reverse();
        rows.dedup_by(|left, right| key_of(text, left) == key_of(text, right));
        rows.reverse();
    }

    /// Number of keys.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn row(&self, at: usize) -> Option<[&str; 3]> {
        let span = self.rows.get(at)?;
        let part = |from: u32, to: u32| {
            self.text
                .get(from as usize..to as usize)
                .unwrap_or_default()
        };
        Some([
            part(span.start, span.key),
            part(span.key, span.info),
            part(span.info, span.end),
        ])
    }
}

fn key_of<'a>(text: &'a str, span: &Span) -> &'a str {
    text.get(span.start as usize..span.key as usize)
        .unwrap_or_default()
}

/// One difference; rows are key, info and reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference<'a> {
    /// Only in the second set.
    Added([&'a str; 3]),
    /// Only in the first set.
    Removed([&'a str; 3]),
    /// In both, with another info or reference.
    Changed([&'a str; 3], [&'a str; 3]),
}

/// Calls `each` for every difference, by key.
pub fn diff<'a>(old: &'a SortedRows, new: &'a SortedRows, mut each: impl FnMut(Difference<'a>)) {
    let (mut left, mut right) = (0, 0);
    loop {
        let order = match (old.row(left), new.row(right)) {
            (None, None) => return,
            (Some(before), Some(after)) => match before[0].cmp(after[0]) {
                Ordering::Equal => {
                    if before != after {
                        each(Difference::Changed(before, after));
                    }
                    Ordering::Equal
                }
                Ordering::Less => {
                    each(Difference::Removed(before));
                    Ordering::Less
                }
                Ordering::Greater => {
                    each(Difference::Added(after));
                    Ordering::Greater
                }
            },
            (Some(before), None) => {
                each(Difference::Removed(before));
                Ordering::Less
            }
            (None, Some(after)) => {
                each(Difference::Added(after));
                Ordering::Greater
            }
        };
        left += usize::from(order != Ordering::Greater);
        right += usize::from(order != Ordering::Less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(old: &str, new: &str) -> Vec<String> {
        let read = |text: &str| SortedRows::read(text.as_bytes()).expect("memory");
        let (old, new) = (read(old), read(new));
        let mut found = Vec::new();
        diff(&old, &new, |difference| {
            found.push(match difference {
                Difference::Added(row) => format!("+{}", row.join(",")),
                Difference::Removed(row) => format!("-{}", row.join(",")),
                Difference::Changed(before, after) => {
                    format!("~{} > {}", before.join(","), after.join(","))
                }
            });
        });
        found
    }

    #[test]
    fn each_kind_of_difference_is_found_whatever_the_order() {
        let old = "c,x,r\na,x,r\nb,x,r\nsame,x,r\n";
        let new = "same,x,r\nb,y,r\nd,x,r\nc,x,q\n";
        assert_eq!(
            differences(old, new),
            ["-a,x,r", "~b,x,r > b,y,r", "~c,x,r > c,x,q", "+d,x,r"]
        );
        assert_eq!(differences("", "a,x,r\n"), ["+a,x,r"]);
        assert_eq!(differences("a,x,r\n", ""), ["-a,x,r"]);
        assert_eq!(differences(old, old), [""; 0]);
    }

    #[test]
    fn the_last_row_of_a_key_counts_and_columns_never_run_together() {
        assert_eq!(differences("a,x,r\na,y,r\n", "a,y,r\n"), [""; 0]);
        assert_eq!(differences("a,bc,d\n", "a,b,cd\n"), ["~a,bc,d > a,b,cd"]);
        let set = SortedRows::read(b"a,b\nc,d,e\n".as_slice()).expect("memory");
        assert_eq!((set.len(), set.malformed, set.is_empty()), (1, 1, false));
    }
}
