//! Where the [`Census`](crate::census) and events meet: what it is asked about one packet, and what it says of many.

use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::Whitelist;

use super::EngineConfig;
use super::report::{Report, Seen};
use crate::across::{Across, Item, Missing};
use crate::census::{Census, Due};
use crate::counters::Counters;
use crate::flow::Flow;
use maltrail_core::name::HostName;

/// What a report is written with, whatever it is about.
pub(crate) struct Desk<'a> {
    pub(crate) config: &'a EngineConfig,
    pub(crate) whitelist: &'a Whitelist,
    pub(crate) counters: &'a mut Counters,
}

impl Desk<'_> {
    /// Reports what came due with the second of `at`.
    #[cold]
    pub(crate) fn due(&mut self, at: Timestamp, due: Due, out: &mut Vec<Event>) {
        let second = Timestamp::from_parts(at.secs(), 0);
        for alert in due.scans {
            let since = alert.at.unwrap_or(second);
            self.report(since, &alert.flow, out).finding(alert.finding);
        }
        for alert in due.floods {
            let mut report = self.report(second, &alert.flow, out);
            report.flood(alert.finding, &alert.sources, &alert.victim);
        }
    }

    /// A report about no message.
    pub(crate) fn report<'r>(
        &'r mut self,
        at: Timestamp,
        flow: &'r Flow,
        out: &'r mut Vec<Event>,
    ) -> Report<'r> {
        Report {
            at,
            flow,
            seen: Seen::NOTHING,
            config: self.config,
            whitelist: self.whitelist,
            counters: self.counters,
            first: out.len(),
            out,
        }
    }
}

/// Whether the domain of a question is asked for too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Yes,
    No,
    /// The census is elsewhere.
    Unknown,
}

impl Report<'_> {
    /// A question for `name`.
    #[inline]
    pub(super) fn asked(&mut self, across: &mut Across, name: HostName<'_>) -> Exhausted {
        match across {
            Across::Here(census) => self.questioned(census, name),
            Across::Elsewhere(notes) => {
                let item = Item::Question {
                    after: self.told(),
                    at: self.at,
                    flow: Box::new(*self.flow),
                    name: notes.keep(name.as_str().as_bytes()),
                    message: notes.keep(self.seen.short_message()),
                };
                notes.push(item);
                Exhausted::Unknown
            }
        }
    }

    /// What the census says about a question for `name`.
    #[inline]
    pub(crate) fn questioned(&mut self, census: &mut Census, name: HostName<'_>) -> Exhausted {
        let (second, client) = (self.at.secs(), self.flow.src.ip);
        let verdict = census.question(second, client, name, self.whitelist);
        if let Some(finding) = verdict.finding {
            self.finding(finding);
        }
        if verdict.exhausted {
            Exhausted::Yes
        } else {
            Exhausted::No
        }
    }

    /// A name that does not exist.
    pub(super) fn missing(&mut self, across: &mut Across, missing: Missing<'_>) {
        match across {
            Across::Here(census) => {
                if self.counted(census, missing.name, missing.counted)
                    && let Some(finding) = missing.generated
                {
                    self.finding(finding);
                }
            }
            Across::Elsewhere(notes) => {
                let generated = missing.generated;
                let item = Item::Missing {
                    after: self.told(),
                    at: self.at,
                    flow: Box::new(*self.flow),
                    name: notes.keep(missing.name.as_str().as_bytes()),
                    message: notes.keep(self.seen.short_message()),
                    counted: missing.counted,
                    generated: generated
                        .and_then(|finding| self.apart(|report| report.finding(finding)))
                        .map(Box::new),
                };
                notes.push(item);
            }
        }
    }

    /// Whether a name that does not exist means something; if it does, it is counted.
    pub(crate) fn counted(
        &mut self,
        census: &mut Census,
        name: HostName<'_>,
        counts: bool,
    ) -> bool {
        if census.is_exhausted(self.at.secs(), name) {
            return false;
        }
        if counts {
            let found = census.missing(self.at.secs(), name);
            found
                .into_iter()
                .flatten()
                .for_each(|finding| self.finding(finding));
        }
        true
    }

    /// How many events of the packet there are.
    pub(super) fn told(&self) -> u32 {
        u32::try_from(self.out.len()).unwrap_or(u32::MAX)
    }

    /// The event that `report` makes, apart from the others and not counted.
    #[cold]
    pub(super) fn apart(&mut self, report: impl FnOnce(&mut Report<'_>)) -> Option<Event> {
        let mut out = Vec::new();
        report(&mut Report {
            at: self.at,
            flow: self.flow,
            seen: self.seen,
            config: self.config,
            whitelist: self.whitelist,
            counters: self.counters,
            first: 0,
            out: &mut out,
        });
        let event = out.pop()?;
        self.counters.take_back(&event);
        Some(event)
    }
}
