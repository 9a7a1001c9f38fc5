//! Says on the console when a fault begins and when it is over, and not in between.

use tracing::{info, warn};

use super::faults::Fault;

/// Looks without a fault after which it is over: a minute, so that one that comes and goes is said once.
const OVER: u32 = 4;

/// Remembers what was said.
#[derive(Debug, Default)]
pub struct Announcer {
    /// Each fault said, and in how many looks since it was last seen.
    known: Vec<(&'static str, u32)>,
}

impl Announcer {
    /// Faults that are new, and ids of those that are over.
    fn changes<'a>(&mut self, faults: &'a [Fault]) -> (Vec<&'a Fault>, Vec<&'static str>) {
        let seen = |id: &str| faults.iter().any(|fault| fault.id == id);
        for (id, missed) in &mut self.known {
            *missed = if seen(id) { 0 } else { *missed + 1 };
        }
        let over = self
            .known
            .extract_if(.., |(_, missed)| *missed >= OVER)
            .map(|(id, _)| id)
            .collect();
        let mut fresh = Vec::new();
        for fault in faults {
            if !self.known.iter().any(|(id, _)| *id == fault.id) {
                self.known.push((fault.id, 0));
                fresh.push(fault);
            }
        }
        (fresh, over)
    }

    /// Says what has changed.
    pub fn say(&mut self, faults: &[Fault]) {
        let (fresh, over) = self.changes(faults);
        for fault in fresh {
            warn!("{} [{}] {}", fault.text, fault.id, fault.next);
        }
        for id in over {
            info!("over: [{id}]");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_fault_is_said_once_and_its_end_once() {
        let fault = |id| Fault {
            id,
            severity: Severity::Note,
            text: String::new(),
            next: "",
        };
        let mut announcer = Announcer::default();
        let both = [fault("one-direction"), fault("no-packets")];
        assert_eq!(announcer.changes(&both).0.len(), 2);
        assert_eq!(announcer.changes(&both), (vec![], vec![]));
        for _ in 1..OVER {
            assert_eq!(announcer.changes(&both[1..]), (vec![], vec![]));
        }
        assert_eq!(
            announcer.changes(&both),
            (vec![], vec![]),
            "it came back within the minute"
        );
        for _ in 1..OVER {
            assert_eq!(announcer.changes(&both[1..]), (vec![], vec![]));
        }
        assert_eq!(
            announcer.changes(&both[1..]),
            (vec![], vec!["one-direction"])
        );
        assert_eq!(announcer.changes(&both).0, [&both[0]]);
    }

    #[test]
    fn two_interfaces_with_one_fault_are_one_matter() {
        let fault = Fault {
            id: "kernel-drops",
            severity: Severity::Note,
            text: String::new(),
            next: "",
        };
        let mut announcer = Announcer::default();
        assert_eq!(announcer.changes(&[fault.clone(), fault]).0.len(), 1);
    }
}
