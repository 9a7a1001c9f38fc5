//! One worker's detection: a frame in, events out.
//!
//! State of its own: decoders, heads of streams, clean names, reported questions, counters.
//! What is counted over all hosts is in the [`Census`], its own or one shared by several engines
//! ([`Across`]). The trail set and the whitelist are shared and immutable; a new pair is adopted between packets and ends every
//! verdict that was remembered under the old one. Time is what the packets say: a clock that steps
//! back costs nothing but the memory of the current second.

mod answers;
mod asides;
mod desk;
mod report;
mod streams;

use std::sync::Arc;

use maltrail_core::addr::NetworkSet;
use maltrail_core::config::DetectConfig;
use maltrail_core::event::Event;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_wire::LinkType;
use maltrail_wire::dns::NameBuf;
use maltrail_wire::{Drop, Packet, Transport};

use self::answers::Answers;
pub(crate) use self::desk::{Desk, Exhausted};
pub(crate) use self::report::{Report, Seen};
use crate::across::{Across, Item, Notes};
use crate::brief::Brief;
use crate::census::{Census, Due};
use crate::counters::Counters;
use crate::decode::Decoders;
use crate::extract::observe;
use crate::finding::Finding;
use crate::flow::Flow;
use crate::heads::Heads;
use crate::hello::{Hello, Hellos};
use crate::heuristics::user_agent::UserAgents;
use crate::heuristics::{Enabled, long_domain, port_scanning};
use crate::matching::{cert, domain, ip};
use crate::observables::{Observables, Window};
use crate::observation::{Observation, Outcome};
use crate::state::clean_names::CleanNames;
use crate::state::folds::Folds;
use crate::web::Web;

/// What an engine is told once.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Name of the sensor, as events carry it.
    pub sensor: String,
    /// What is detected.
    pub detect: DetectConfig,
    /// What "ours" means.
    pub home: NetworkSet,
    /// Suspicious user agents.
    pub user_agents: Arc<UserAgents>,
}

/// Detection of one worker.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    enabled: Enabled,
    trails: Arc<TrailSet>,
    whitelist: Arc<Whitelist>,
    decoders: Decoders,
    heads: Heads,
    hellos: Hellos,
    clean_names: CleanNames,
    folds: Folds,
    web: Web,
    answers: Answers,
    across: Across,
    counters: Counters,
    /// Who was seen, when that is kept.
    seen: Option<Box<Observables>>,
    /// Events of the packet at hand, when this engine is one of several.
    scratch: Vec<Event>,
    /// Where the name of the current packet stands.
    name: NameBuf,
}

impl Engine {
    /// An engine that works alone and has seen nothing.
    #[must_use]
    pub fn new(config: EngineConfig, trails: Arc<TrailSet>, whitelist: Arc<Whitelist>) -> Self {
        let across = Across::Here(Box::new(Census::new(&config)));
        Self::with(across, config, trails, whitelist, 1)
    }

    /// One of `workers` engines that share a census ([`Merger`](crate::Merger)) and the memory of one.
    #[must_use]
    pub fn scout(
        config: EngineConfig,
        trails: Arc<TrailSet>,
        whitelist: Arc<Whitelist>,
        workers: usize,
    ) -> Self {
        let across = Across::Elsewhere(Notes::default());
        Self::with(across, config, trails, whitelist, workers.max(1))
    }

    fn with(
        across: Across,
        config: EngineConfig,
        trails: Arc<TrailSet>,
        whitelist: Arc<Whitelist>,
        workers: usize,
    ) -> Self {
        Self {
            enabled: Enabled::new(&config.detect),
            across,
            clean_names: CleanNames::new(config.detect.domain_cache_entries.div_ceil(workers)),
            decoders: Decoders::new(),
            heads: Heads::new(workers),
            hellos: Hellos::new(&config.detect, workers),
            folds: Folds::new(),
            web: Web::new(&config),
            answers: Answers::new(&config.detect),
            counters: Counters::default(),
            seen: None,
            scratch: Vec::new(),
            name: NameBuf::new(),
            config,
            trails,
            whitelist,
        }
    }

    /// Keeps who was seen from now on, for [`Engine::take_seen`].
    pub fn watch(&mut self) {
        self.seen.get_or_insert_with(Box::default);
    }

    /// Who was seen since the last call; nothing unless that is [kept](Engine::watch).
    pub fn take_seen(&mut self) -> Option<Window> {
        self.seen.as_mut().map(|seen| seen.take())
    }

    /// Examines one frame and appends its events to `out`, in order.
    pub fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8], out: &mut Vec<Event>) {
        self.counters.packets += 1;
        match self.decoders.decode(link, frame) {
            Ok(packet) => {
                self.sweep(at, out);
                if let Some(seen) = &mut self.seen {
                    seen.packet(at, packet.ip.src, packet.ip.dst);
                }
                match &mut self.across {
                    Across::Here(census) => {
                        let (src, dst) = (packet.ip.src, packet.ip.dst);
                        census.ddos.packet(src, dst, || Brief::of(&packet));
                    }
                    Across::Elsewhere(notes) => notes.push(Item::Packet(at, Brief::of(&packet))),
                }
                if self.routed(at, &packet, out) {
                    self.decoded(at, &packet, out);
                }
            }
            Err(reason) => {
                // A frame of a network that is read lets time pass, whatever is in it.
                if !matches!(reason, Drop::Link(_)) {
                    self.sweep(at, out);
                    if let Across::Elsewhere(notes) = &mut self.across {
                        notes.push(Item::Time(at));
                    }
                }
                self.counters.drop(reason);
            }
        }
    }

    /// Examines one frame as one of several engines: what it says goes into the notes, under the
    /// number `order`.
    pub fn note(&mut self, order: u64, link: LinkType, at: Timestamp, frame: &[u8]) {
        self.noting(order, |engine, out| engine.packet(link, at, frame, out));
    }

    /// Lets time pass as one of several engines; see [`Engine::tick`].
    pub fn note_time(&mut self, order: u64, now: Timestamp) {
        self.noting(order, |engine, out| engine.tick(now, out));
    }

    /// Examines what waited for more packets, as one of several engines; see [`Engine::finish`].
    pub fn note_end(&mut self, order: u64, now: Timestamp) {
        self.noting(order, |engine, out| engine.finish(now, out));
    }

    #[inline]
    fn noting(&mut self, order: u64, act: impl FnOnce(&mut Self, &mut Vec<Event>)) {
        let mut out = std::mem::take(&mut self.scratch);
        if let Across::Elsewhere(notes) = &mut self.across {
            notes.begin(order);
        }
        act(self, &mut out);
        if let Across::Elsewhere(notes) = &mut self.across {
            notes.settle(&mut out);
        }
        out.clear();
        self.scratch = out;
    }

    /// How much was noted since [`Engine::take_notes`].
    #[inline]
    #[must_use]
    pub fn noted(&self) -> usize {
        match &self.across {
            Across::Here(_) => 0,
            Across::Elsewhere(notes) => notes.len(),
        }
    }

    /// What was noted since the last call; nothing for an engine that works alone.
    pub fn take_notes(&mut self) -> Notes {
        match &mut self.across {
            Across::Here(_) => Notes::default(),
            Across::Elsewhere(notes) => notes.take(),
        }
    }

    /// Lets time pass without packets; live, called once a second. Appends what was due in seconds
    /// that are over, such as scans that ended, and forgets what holds for one second.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.sweep(now, out);
        if let Across::Elsewhere(notes) = &mut self.across {
            notes.push(Item::Time(now));
        }
        self.folds.advance(now.secs());
    }

    /// Examines what waited for more packets, and ends what was going on: nothing more will be seen,
    /// as at the end of a capture. The engine may be used on.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.tick(now, out);
        self.end_heads(out);
        if let Across::Here(census) = &mut self.across {
            let floods = census.ddos.finish();
            let due = Due {
                floods,
                ..Due::default()
            };
            self.due(now, due, out);
        }
    }

    /// Adopts a new trail set and whitelist, and forgets what was judged by the old ones.
    pub fn set_trails(&mut self, trails: Arc<TrailSet>, whitelist: Arc<Whitelist>) {
        (self.trails, self.whitelist) = (trails, whitelist);
        self.clean_names.clear();
        if let Across::Here(census) = &mut self.across {
            census.bursts.forget_seen();
        }
        self.counters.trail_sets += 1;
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.link_evictions = self.decoders.evictions();
        counters.hellos(self.hellos.seen());
        match &self.across {
            Across::Here(census) => census.count(&mut counters),
            // Some of them are repetitions; whoever merges counts events.
            Across::Elsewhere(_) => counters.forget_events(),
        }
        if let Some(seen) = &self.seen {
            counters.observables_refused = seen.refused();
        }
        counters
    }

    /// Reports what was due before the second of `at` began, here or in what waits.
    #[inline]
    fn sweep(&mut self, at: Timestamp, out: &mut Vec<Event>) {
        if let Across::Here(census) = &mut self.across
            && census.turns(at.secs())
        {
            let due = census.advance(at.secs());
            if !due.is_empty() {
                self.due(at, due, out);
            }
        }
        if self.heads.is_due(at) {
            self.age_heads(at, out);
        }
    }

    #[cold]
    fn due(&mut self, at: Timestamp, due: Due, out: &mut Vec<Event>) {
        let mut desk = Desk {
            config: &self.config,
            whitelist: &self.whitelist,
            counters: &mut self.counters,
        };
        desk.due(at, due, out);
    }

    #[inline]
    fn decoded(&mut self, at: Timestamp, packet: &Packet<'_>, out: &mut Vec<Event>) {
        let flow = Flow::of(packet);
        let first = out.len();
        self.across.message(first);
        let greets = self.greeted(at, &flow, packet, out);
        if self.across.repeats(at, &flow, packet, out.len()) {
            self.counters.repeats += 1;
            return;
        }
        self.asides(at, &flow, packet, out);
        let Some(observation) = observe(packet, self.config.detect.heuristics, &mut self.name)
        else {
            if greets {
                self.counters.hellos += 1;
            } else {
                self.unobserved(&flow, packet);
            }
            return;
        };
        self.counters.observe(&observation);
        let mut names = Names {
            trails: &self.trails,
            whitelist: &self.whitelist,
            enabled: self.enabled,
            clean: &mut self.clean_names,
        };
        let mut report = Report {
            at,
            flow: &flow,
            seen: Seen::of(packet),
            config: &self.config,
            whitelist: &self.whitelist,
            counters: &mut self.counters,
            first,
            out,
        };
        match observation {
            Observation::Syn => {
                self.across.syn(&flow);
                if let Some(finding) = ip::syn(&self.trails, &flow) {
                    self.across.listed(true);
                    report.finding(finding);
                }
            }
            Observation::Datagram => {
                self.across.datagram(&flow);
                if let Some(finding) = ip::datagram(&self.trails, &flow) {
                    self.across.listed(false);
                    report.finding(finding);
                }
            }
            Observation::Contact => {
                if let Some(finding) = ip::contact(&self.trails, &flow) {
                    report.finding(finding);
                }
            }
            Observation::DnsQuery(query) => {
                report.seen.question();
                if let Some(seen) = &mut self.seen {
                    seen.name(at, query.name.as_str());
                }
                let mut exhausted = Exhausted::No;
                if self.enabled.dns_exhaustion {
                    exhausted = report.asked(&mut self.across, query.name);
                }
                if !query.is_matched() {
                    return;
                }
                let name = query.name.as_str();
                if let Some(finding) = ip::resolver(&self.trails, &flow, name) {
                    report.question(finding, &query, &mut self.folds);
                }
                let Some(finding) = names.check(query.name, report.counters) else {
                    return;
                };
                self.answers.reported.note(at.secs(), flow.src.ip, name);
                // Each name of a flood may be long; one report of the flood is enough.
                if exhausted == Exhausted::No || !finding.is_of(long_domain::NAME) {
                    report.question(finding, &query, &mut self.folds);
                    return;
                }
                let instead = names.check_without_length(query.name);
                if exhausted == Exhausted::Yes {
                    if let Some(finding) = instead {
                        report.question(finding, &query, &mut self.folds);
                    }
                    return;
                }
                if let Across::Elsewhere(notes) = &mut self.across {
                    let after = report.told();
                    let mut apart = |finding: Option<Finding<'_>>, folds: &mut Folds| {
                        report.apart(|report| {
                            if let Some(finding) = finding {
                                report.question(finding, &query, folds);
                            }
                        })
                    };
                    let events = (
                        apart(Some(finding), &mut self.folds),
                        apart(instead, &mut self.folds),
                    );
                    notes.push(Item::Long(after, Box::new(events)));
                }
            }
            Observation::HttpRequest(request) => {
                self.web
                    .requests(request, &mut names, &mut self.across, &mut report);
            }
            Observation::HttpResponse(response) => self.web.response(&response, &mut report),
            Observation::DnsAnswer(answer) => {
                report.seen.question();
                if let Some(seen) = &mut self.seen {
                    seen.name(at, answer.name.as_str());
                }
                if answer.outcome() == Outcome::NoSuchName {
                    let client = flow.dst.ip;
                    if let Some(missing) = self.answers.missing(answer.name, &names, client) {
                        report.missing(&mut self.across, missing);
                    }
                    return;
                }
                self.answers.examine(&answer, &mut names, &mut report);
            }
        }
    }

    /// A packet without a meaning of its own, which may be one of many that have one together.
    fn unobserved(&mut self, flow: &Flow, packet: &Packet<'_>) {
        self.counters.unobserved += 1;
        if let Transport::Tcp(tcp) = packet.transport
            && port_scanning::is_probe(tcp.flags)
        {
            self.counters.probes += 1;
            self.across.probe(flow);
        }
    }
}

impl Engine {
    /// Examines what the packet says before its connection is encrypted; whether it says anything.
    #[inline]
    fn greeted(
        &mut self,
        at: Timestamp,
        flow: &Flow,
        packet: &Packet<'_>,
        out: &mut Vec<Event>,
    ) -> bool {
        let greeting = self.hellos.read(at, packet);
        let since = greeting.map_or(at, |(since, _)| since);
        let hello = greeting.map(|(_, hello)| hello);
        let mut seen = Seen::hello(packet);
        let finding = match hello {
            Some(Hello::Sni(name)) => {
                seen.name(name.as_str().as_bytes());
                let mut names = Names {
                    trails: &self.trails,
                    whitelist: &self.whitelist,
                    enabled: self.enabled,
                    clean: &mut self.clean_names,
                };
                names.check(name, &mut self.counters)
            }
            Some(Hello::Cert(fingerprint)) => cert::check(&self.trails, &fingerprint),
            None => None,
        };
        let greets = hello.is_some();
        if let Some(finding) = finding {
            let mut report = Report {
                at: since,
                flow,
                seen,
                config: &self.config,
                whitelist: &self.whitelist,
                counters: &mut self.counters,
                first: out.len(),
                out,
            };
            report.finding(finding);
        }
        greets
    }
}

/// The name check and its memory.
pub(crate) struct Names<'t, 's> {
    pub(crate) trails: &'t TrailSet,
    pub(crate) whitelist: &'s Whitelist,
    enabled: Enabled,
    clean: &'s mut CleanNames,
}

impl<'t> Names<'t, '_> {
    #[inline]
    pub(crate) fn check(
        &mut self,
        name: HostName<'_>,
        counters: &mut Counters,
    ) -> Option<Finding<'t>> {
        let Some(unknown) = self.clean.unknown(name.as_str()) else {
            counters.clean_names += 1;
            return None;
        };
        let found = domain::check(self.trails, self.whitelist, self.enabled, name);
        if found.is_none() {
            self.clean.admit(name.as_str(), unknown);
            counters.clean_name_evictions = self.clean.evictions();
        }
        found
    }

    /// As [`Names::check`], whatever the length of the name, and whether or not it is known.
    #[cold]
    fn check_without_length(&self, name: HostName<'_>) -> Option<Finding<'t>> {
        let mut enabled = self.enabled;
        enabled.long_domain = false;
        domain::check(self.trails, self.whitelist, enabled, name)
    }

    /// As [`Names::check`], but a clean name is not remembered: names of answers were asked for, and
    /// counting them twice would let in what is asked for once.
    #[inline]
    fn look(
        &mut self,
        name: HostName<'_>,
        enabled: Enabled,
        counters: &mut Counters,
    ) -> Option<Finding<'t>> {
        if self.clean.unknown(name.as_str()).is_none() {
            counters.clean_names += 1;
            return None;
        }
        domain::check(self.trails, self.whitelist, enabled, name)
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;

    #[test]
    fn an_engine_may_move_to_its_worker() {
        fn movable<T: Send + 'static>() {}
        movable::<Engine>();
    }
}
