//! What people decided about a threat.

use std::collections::{HashMap, VecDeque};

use maltrail_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::table::Threat;

/// Most tags of a threat.
pub(crate) const MAX_TAGS: usize = 20;
/// Longest tag in characters (as in the reference's page).
pub(crate) const TAG_CHARS: usize = 24;
/// Changes that are remembered for streams; one further behind loads anew.
const MAX_TOUCHED: usize = 10_000;

/// Where the work on a threat stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    New,
    Investigating,
    Resolved,
    FalsePositive,
}

impl Status {
    /// The word in the API and in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Investigating => "investigating",
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
        }
    }

    /// By a word of the search language (spec dashboard §6, `status`), in lower case.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "new" | "open" | "untriaged" => Self::New,
            "investigating" => Self::Investigating,
            "resolved" => Self::Resolved,
            "fp" | "false-positive" | "false-pos" | "false_positive" => Self::FalsePositive,
            _ => return None,
        })
    }
}

/// One threat's file. What nobody touched has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) status: Status,
    /// When the status was set.
    pub(crate) decided: Timestamp,
    /// Account that works on it; empty for nobody.
    pub(crate) assignee: String,
    /// Why, in a few words.
    pub(crate) reason: String,
    /// Lower-case, sorted, each once.
    pub(crate) tags: Vec<String>,
    pub(crate) hidden: bool,
    /// Number of notes.
    pub(crate) notes: u32,
}

impl Case {
    /// Whether it says nothing, so that it need not be kept.
    pub(crate) fn is_blank(&self) -> bool {
        self.status == Status::New
            && self.assignee.is_empty()
            && self.reason.is_empty()
            && self.tags.is_empty()
            && !self.hidden
    }
}

/// All cases in memory, by the threat's id. Bounded by [`super::MAX_CASES`].
#[derive(Debug, Default)]
pub(crate) struct Cases {
    all: HashMap<u64, Case>,
    /// Grows with each change.
    pub(crate) generation: u64,
    touched: VecDeque<(u64, u64)>,
    /// An event after the decision makes a resolved threat new again.
    pub(crate) reopen: bool,
}

impl Cases {
    /// Those of the file.
    pub(super) fn new(all: HashMap<u64, Case>, reopen: bool) -> Self {
        Self {
            all,
            reopen,
            ..Self::default()
        }
    }

    /// The case of a threat.
    pub(crate) fn get(&self, threat: u64) -> Option<&Case> {
        self.all.get(&threat)
    }

    /// Number of cases.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Every case.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Case)> {
        self.all.iter().map(|(&threat, case)| (threat, case))
    }

    /// The status of a threat as of its last event.
    pub(crate) fn status(&self, threat: &Threat) -> Status {
        self.get(threat.id)
            .map_or(Status::New, |case| self.status_of(case, threat.last))
    }

    /// The status of a case whose threat had its last event then.
    pub(crate) fn status_of(&self, case: &Case, last: Timestamp) -> Status {
        let reopened = self.reopen && case.status == Status::Resolved && last > case.decided;
        if reopened { Status::New } else { case.status }
    }

    /// Whether somebody hid the threat.
    pub(crate) fn is_hidden(&self, threat: u64) -> bool {
        self.get(threat).is_some_and(|case| case.hidden)
    }

    /// Takes changed cases; blank ones without notes are forgotten.
    pub(super) fn put(&mut self, changed: impl IntoIterator<Item = (u64, Case)>) {
        self.generation += 1;
        for (threat, case) in changed {
            if self.touched.len() == MAX_TOUCHED {
                self.touched.pop_front();
            }
            self.touched.push_back((self.generation, threat));
            if case.is_blank() && case.notes == 0 {
                self.all.remove(&threat);
            } else {
                self.all.insert(threat, case);
            }
        }
    }

    /// Threats changed after generation `told`, or `None` when that is too long ago.
    pub(crate) fn touched_since(&self, told: u64) -> Option<Vec<u64>> {
        let reaches_back = self.touched.len() < MAX_TOUCHED
            || self.touched.front().is_some_and(|&(at, _)| at <= told + 1);
        if told > self.generation || !reaches_back {
            return None;
        }
        let newer = self.touched.iter().rev().take_while(|&&(at, _)| at > told);
        let mut threats: Vec<u64> = newer.map(|&(_, threat)| threat).collect();
        threats.sort_unstable();
        threats.dedup();
        Some(threats)
    }
}

/// A tag as it is kept, or why it is none: lower case, no comma and no bar.
pub(crate) fn tag(text: &str) -> Result<String, String> {
    let tag = text.trim().to_lowercase();
    let bad = |letter: char| matches!(letter, ',' | '|') || letter.is_control();
    if tag.is_empty() || tag.chars().count() > TAG_CHARS || tag.contains(bad) {
        return Err(format!(
            "A tag has 1 to {TAG_CHARS} characters and neither comma nor bar: `{}`.",
            text.chars().take(40).collect::<String>()
        ));
    }
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(at: i64) -> Case {
        Case {
            status: Status::Resolved,
            decided: Timestamp::from_micros(at),
            ..Case::default()
        }
    }

    #[test]
    fn a_resolved_threat_is_new_again_after_its_next_event() {
        let at = Timestamp::from_micros;
        let mut cases = Cases::new(HashMap::new(), true);
        assert_eq!(cases.status_of(&resolved(10), at(10)), Status::Resolved);
        assert_eq!(cases.status_of(&resolved(10), at(11)), Status::New);
        let wrong = Case {
            status: Status::FalsePositive,
            ..resolved(10)
        };
        assert_eq!(cases.status_of(&wrong, at(11)), Status::FalsePositive);
        cases.reopen = false;
        assert_eq!(cases.status_of(&resolved(10), at(11)), Status::Resolved);
    }

    #[test]
    fn changes_are_told_as_far_back_as_they_are_known() {
        let mut cases = Cases::default();
        cases.put([(1, resolved(1)), (2, resolved(1))]);
        cases.put([(1, Case::default())]);
        assert_eq!(cases.len(), 1, "a blank case is forgotten");
        assert_eq!(cases.touched_since(0), Some(vec![1, 2]));
        assert_eq!(cases.touched_since(1), Some(vec![1]));
        assert_eq!(cases.touched_since(2), Some(vec![]));
        assert_eq!(
            cases.touched_since(3),
            None,
            "the server was started anew since"
        );
        for _ in 0..MAX_TOUCHED {
            cases.put([(7, resolved(1))]);
        }
        assert_eq!(cases.touched.len(), MAX_TOUCHED);
        assert_eq!(cases.touched_since(1), None);
        assert_eq!(cases.touched_since(2), Some(vec![7]));
    }

    #[test]
    fn tags_are_kept_in_one_spelling() {
        assert_eq!(tag(" APT "), Ok("apt".into()));
        for bad in ["", "  ", "a,b", "a|b", "a\nb", &"x".repeat(25)] {
            assert!(tag(bad).is_err(), "{bad:?}");
        }
        assert!(tag(&"ä".repeat(24)).is_ok());
    }

    #[test]
    fn every_status_is_found_by_its_word() {
        use Status::{FalsePositive, Investigating, New, Resolved};
        for status in [New, Investigating, Resolved, FalsePositive] {
            assert_eq!(Status::named(status.as_str()), Some(status));
        }
    }
}
