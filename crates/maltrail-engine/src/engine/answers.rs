//! What a resolver answers.
//!
//! | answer | examined |
//! |---|---|
//! | success | the name asked for, unless its question was reported; CNAME targets; with recursion, the addresses |
//! | no such name | [`generated`] names; names and domains asked for too often ([`no_such_domain`], in the census) |
//!
//! A name found in an answer is reported once a client in a while ([`Reported`]); a target is not,
//! when the row that lists it also lists the name asked for. Targets are named by providers, so
//! their length says nothing and [`long_domain`](crate::heuristics::long_domain) is left out.
//!
//! Bound: [`MAX_TARGETS`] targets an answer; further ones are counted.

use std::net::IpAddr;

use maltrail_core::addr::is_local;
use maltrail_core::config::DetectConfig;
use maltrail_core::name::HostName;
use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_wire::dns::{NameBuf, RData};

use super::{Names, Report};
use crate::across::Missing;
use crate::extract::outside_name;
use crate::finding::{Field, Finding};
use crate::heuristics::no_such_domain::is_block_list_look_up;
use crate::heuristics::{generated, no_such_domain, parked, sinkhole};
use crate::observation::{DnsAnswer, Outcome};
use crate::state::reported::Reported;

/// Most CNAME targets examined in one answer. Resolvers follow chains of up to about ten.
const MAX_TARGETS: usize = 16;

/// Memory and switches for answers.
#[derive(Debug)]
pub(super) struct Answers {
    sinkhole: bool,
    parked: bool,
    generated: bool,
    no_such: bool,
    pub(super) reported: Reported,
    target: NameBuf,
}

impl Answers {
    pub(super) fn new(config: &DetectConfig) -> Self {
        Self {
            sinkhole: config.runs(sinkhole::NAME),
            parked: config.runs(parked::NAME),
            generated: config.runs(generated::NAME),
            no_such: config.runs(no_such_domain::NAME),
            reported: Reported::default(),
            target: NameBuf::new(),
        }
    }

    /// Examines one answer.
    pub(super) fn examine(
        &mut self,
        answer: &DnsAnswer<'_>,
        names: &mut Names<'_, '_>,
        report: &mut Report<'_>,
    ) {
        match answer.outcome() {
            Outcome::Success { recursion } => {
                let listed = answer.is_matched() && self.name(answer.name, names, report);
                self.targets(answer, listed, names, report);
                let found = recursion
                    .then(|| self.addresses(answer, names.trails))
                    .flatten();
                if let Some(finding) = found {
                    report.unless_whitelisted(finding, answer.name, names.whitelist);
                }
            }
            Outcome::NoSuchName | Outcome::Other => {}
        }
    }

    /// What a name that does not exist means, unless its zone is flooded. Names of block lists, and what is
    /// listed or whitelisted, do not count.
    pub(super) fn missing<'a>(
        &self,
        name: HostName<'a>,
        names: &Names<'_, '_>,
        client: IpAddr,
    ) -> Option<Missing<'a>> {
        let has_numeric_tld = name.tld().bytes().all(|byte| byte.is_ascii_digit());
        if has_numeric_tld || is_block_list_look_up(name) {
            return None;
        }
        let excluded = || {
            let listed = names
                .trails
                .name_or_parent(name.as_str(), |_, _| true)
                .is_some();
            listed || names.whitelist.covers_name(name.as_str())
        };
        let generated = self.generated.then(|| generated::check(name)).flatten();
        let counted = self.no_such && !is_local(client);
        if generated.is_none() && !counted || excluded() {
            return None;
        }
        Some(Missing {
            name,
            counted,
            generated,
        })
    }

    /// The name asked for; whether it is listed.
    fn name(
        &mut self,
        name: HostName<'_>,
        names: &mut Names<'_, '_>,
        report: &mut Report<'_>,
    ) -> bool {
        let Some(finding) = names.look(name, names.enabled, report.counters) else {
            return false;
        };
        report.answered(finding, name, &mut self.reported);
        true
    }

    /// The names that stand for the one asked for; `listed` says whether that one is known.
    fn targets(
        &mut self,
        answer: &DnsAnswer<'_>,
        listed: bool,
        names: &mut Names<'_, '_>,
        report: &mut Report<'_>,
    ) {
        let mut trails_only = names.enabled;
        trails_only.long_domain = false;
        let cnames = answer
            .message
            .answers()
            .filter_map(|record| match record.rdata {
                RData::Cname(target) => Some(target),
                _ => None,
            });
        for (count, target) in cnames.enumerate() {
            if count >= MAX_TARGETS {
                report.counters.answer_targets_lost += 1;
                continue;
            }
            let Some(target) = outside_name(target, &mut self.target) else {
                continue;
            };
            if let Some(finding) = names.look(target, trails_only, report.counters)
                && !(listed && covers(&finding, answer.name))
            {
                report.answered(finding.at(Field::DnsCname), target, &mut self.reported);
            }
        }
    }

    /// The first address that tells something about the name.
    fn addresses(&self, answer: &DnsAnswer<'_>, trails: &TrailSet) -> Option<Finding<'static>> {
        if !self.sinkhole && !self.parked {
            return None;
        }
        answer.message.answers().find_map(|record| {
            let row = match record.rdata {
                RData::A(address) => trails.ip(address.into()),
                RData::Aaaa(address) => trails.ip(address.into()),
                RData::Cname(_) | RData::Other(_) => None,
            }?;
            let sinkholed = self
                .sinkhole
                .then(|| sinkhole::check(row, answer.name))
                .flatten();
            let found =
                sinkholed.or_else(|| self.parked.then(|| parked::check(row, answer.name))?);
            found.map(|finding| finding.at(Field::DnsAddress))
        })
    }
}

/// Whether what was found lists `name` too: the same row stands for both.
fn covers(finding: &Finding<'_>, name: HostName<'_>) -> bool {
    let listed = finding.trail.rsplit(").").next().unwrap_or_default();
    let above = name.as_str().strip_suffix(listed);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

impl Report<'_> {
    /// A finding in an answer, unless it was reported for this client lately.
    #[cold]
    fn answered(&mut self, finding: Finding<'_>, name: HostName<'_>, reported: &mut Reported) {
        let (second, client) = (self.at.secs(), self.flow.dst.ip);
        if reported.knows(second, client, name.as_str()) {
            self.counters.answers_known += 1;
            return;
        }
        reported.note(second, client, name.as_str());
        self.counters.reported_evictions = reported.evictions();
        self.finding(finding);
    }

    /// A finding about `name`, which may be whitelisted.
    #[cold]
    fn unless_whitelisted(
        &mut self,
        finding: Finding<'_>,
        name: HostName<'_>,
        whitelist: &Whitelist,
    ) {
        if !whitelist.covers_name(name.as_str()) {
            self.finding(finding);
        }
    }
}
