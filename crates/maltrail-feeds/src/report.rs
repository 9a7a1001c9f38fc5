//! What a build refused and why, line by line, within bounds.

use std::collections::BTreeMap;
use std::fmt;

use maltrail_core::trail::KeyError;
use maltrail_core::trail::build::Dropped;

/// Lines kept with their place; beyond it they are only counted. Enough to mend a list by hand.
const KEPT: usize = 1000;

/// One refused line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// File within the collection.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Why.
    pub reason: Reason,
    /// The line, shortened.
    pub text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: `{}`: {}",
            self.file, self.line, self.text, self.reason
        )
    }
}

/// Why a line gives no trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It can never match.
    Key(KeyError),
    /// It is not UTF-8.
    Encoding,
    /// A row of a CSV list without two columns.
    Columns,
    /// What follows could not be read.
    Unreadable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Encoding => f.write_str("not UTF-8"),
            Self::Columns => f.write_str("not `entry,info`"),
            Self::Unreadable => f.write_str("the rest could not be read"),
        }
    }
}

/// Counters and refused lines of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// List files read.
    pub files: usize,
    /// Entries read, repeats included.
    pub entries: usize,
    /// Refused lines by reason.
    pub refused: BTreeMap<Reason, usize>,
    /// The first thousand refused lines.
    pub lines: Vec<Refused>,
    /// Rows dropped after the merge, by reason.
    pub dropped: BTreeMap<Dropped, usize>,
}

impl Report {
    /// Notes a refused line.
    pub(crate) fn refuse(&mut self, file: &str, line: usize, reason: Reason, text: &str) {
        *self.refused.entry(reason).or_default() += 1;
        if self.lines.len() < KEPT {
            let text = text
                .chars()
                .take(80)
                .map(|letter| {
                    if letter.is_control() {
                        '\u{fffd}'
                    } else {
                        letter
                    }
                })
                .collect();
            self.lines.push(Refused {
                file: file.to_owned(),
                line,
                reason,
                text,
            });
        }
    }

    /// Number of refused lines.
    pub fn refused_total(&self) -> usize {
        self.refused.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_lines_are_kept_up_to_the_bound_and_counted_beyond() {
        let mut report = Report::default();
        for line in 0..KEPT + 5 {
            report.refuse(
                "malware/x.txt",
                line,
                Reason::Key(KeyError::LoneSlash),
                "/\u{1b}",
            );
        }
        assert_eq!(
            (report.lines.len(), report.refused_total()),
            (KEPT, KEPT + 5)
        );
        assert_eq!(
            report.lines[7].to_string(),
            "malware/x.txt:7: `/\u{fffd}`: a lone slash would match every request"
        );
    }
}
