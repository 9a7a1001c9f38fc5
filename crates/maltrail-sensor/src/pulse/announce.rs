//! Says on the console when a fault begins and when it is over, and not in between.

use tracing::{info, warn};

use super::faults::Fault;

/// Remembers what was said.
#[derive(Debug, Default)]
pub struct Announcer {
    known: Vec<&'static str>,
}

impl Announcer {
    /// Faults that are new, and ids of those that are over.
    fn changes<'a>(&mut self, faults: &'a [Fault]) -> (Vec<&'a Fault>, Vec<&'static str>) {
        let fresh = faults
            .iter()
            .filter(|fault| !self.known.contains(&fault.id))
            .collect();
        let over = self
            .known
            .iter()
            .filter(|id| !faults.iter().any(|fault| fault.id == **id))
            .copied()
            .collect();
        self.known = faults.iter().map(|fault| fault.id).collect();
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
        assert_eq!(
            announcer.changes(&both[1..]),
            (vec![], vec!["one-direction"])
        );
        assert_eq!(announcer.changes(&both).0, [&both[0]]);
    }
}
