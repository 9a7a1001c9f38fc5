//! One worker's detection: a frame in, events out.
//!
//! State of its own: decoders, heads of streams, bursts, clean names, reported questions, scans, floods,
//! counters. The trail set and
//! the whitelist are shared and immutable; a new pair is adopted between packets and ends every
//! verdict that was remembered under the old one. Time is what the packets say: a clock that steps
//! back costs nothing but the memory of the current second.

mod answers;
mod asides;
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
pub(crate) use self::report::Report;
use self::report::Seen;
use crate::burst::Bursts;
use crate::counters::Counters;
use crate::decode::Decoders;
use crate::extract::observe;
use crate::finding::Finding;
use crate::flow::Flow;
use crate::heads::Heads;
use crate::hello::{Hello, Hellos};
use crate::heuristics::ddos::{self, Ddos};
use crate::heuristics::dns_exhaustion::Exhaustion;
use crate::heuristics::scans::Scans;
use crate::heuristics::user_agent::UserAgents;
use crate::heuristics::{Enabled, port_scanning};
use crate::matching::{cert, domain, ip};
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
    bursts: Bursts,
    clean_names: CleanNames,
    folds: Folds,
    web: Web,
    answers: Answers,
    scans: Scans,
    ddos: Ddos,
    exhaustion: Exhaustion,
    counters: Counters,
    /// Where the name of the current packet stands.
    name: NameBuf,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: EngineConfig, trails: Arc<TrailSet>, whitelist: Arc<Whitelist>) -> Self {
        let enabled = Enabled::new(&config.detect);
        Self {
            enabled,
            ddos: Ddos::new(&config.detect, &config.home),
            scans: Scans::new(enabled, config.detect.scan_window_secs),
            exhaustion: Exhaustion::new(),
            clean_names: CleanNames::new(config.detect.domain_cache_entries),
            decoders: Decoders::new(),
            heads: Heads::new(),
            hellos: Hellos::new(&config.detect),
            bursts: Bursts::default(),
            folds: Folds::new(),
            web: Web::new(&config),
            answers: Answers::new(&config.detect),
            counters: Counters::default(),
            name: NameBuf::new(),
            config,
            trails,
            whitelist,
        }
    }

    /// Examines one frame and appends its events to `out`, in order.
    pub fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8], out: &mut Vec<Event>) {
        self.counters.packets += 1;
        match self.decoders.decode(link, frame) {
            Ok(packet) => {
                self.sweep(at, out);
                self.ddos.packet(&packet);
                if self.routed(at, &packet, out) {
                    self.decoded(at, &packet, out);
                }
            }
            Err(reason) => {
                // A frame of a network that is read lets time pass, whatever is in it.
                if !matches!(reason, Drop::Link(_)) {
                    self.sweep(at, out);
                }
                self.counters.drop(reason);
            }
        }
        self.counters.link_evictions = self.decoders.evictions();
        self.counters.ddos_evictions = self.ddos.evictions();
        self.counters.hellos(self.hellos.seen());
    }

    /// Lets time pass without packets; live, called once a second. Appends what was due in seconds
    /// that are over, such as scans that ended, and forgets what holds for one second.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.sweep(now, out);
        self.folds.advance(now.secs());
        if self.heads.is_due(now) {
            self.age_heads(now, out);
        }
    }

    /// Examines what waited for more packets, and ends what was going on: nothing more will be seen,
    /// as at the end of a capture. The engine may be used on.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.tick(now, out);
        self.end_heads(out);
        let floods = self.ddos.finish();
        self.floods(now.secs(), floods, out);
    }

    /// Adopts a new trail set and whitelist, and forgets what was judged by the old ones.
    pub fn set_trails(&mut self, trails: Arc<TrailSet>, whitelist: Arc<Whitelist>) {
        (self.trails, self.whitelist) = (trails, whitelist);
        self.clean_names.clear();
        self.bursts.forget_seen();
        self.counters.trail_sets += 1;
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Reports what was due before the second of `at` began.
    #[inline]
    fn sweep(&mut self, at: Timestamp, out: &mut Vec<Event>) {
        let alerts = self.scans.sweep(at.secs());
        for alert in alerts {
            let mut report = Report {
                at: alert
                    .at
                    .unwrap_or_else(|| Timestamp::from_parts(at.secs(), 0)),
                flow: &alert.flow,
                seen: Seen::NOTHING,
                config: &self.config,
                whitelist: &self.whitelist,
                counters: &mut self.counters,
                first: out.len(),
                out,
            };
            report.finding(alert.finding);
        }
        let floods = self.ddos.sweep(at.secs());
        if !floods.is_empty() {
            self.floods(at.secs(), floods, out);
        }
    }

    #[cold]
    fn floods(&mut self, second: i64, alerts: Vec<ddos::Alert>, out: &mut Vec<Event>) {
        for alert in alerts {
            let mut report = Report {
                at: Timestamp::from_parts(second, 0),
                flow: &alert.flow,
                seen: Seen::NOTHING,
                config: &self.config,
                whitelist: &self.whitelist,
                counters: &mut self.counters,
                first: out.len(),
                out,
            };
            report.flood(alert.finding, &alert.sources, &alert.victim);
        }
    }

    #[inline]
    fn decoded(&mut self, at: Timestamp, packet: &Packet<'_>, out: &mut Vec<Event>) {
        let flow = Flow::of(packet);
        let first = out.len();
        let greets = self.greeted(at, &flow, packet, out);
        if repeats(&mut self.bursts, at, &flow, packet) {
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
                self.scans.syn(&flow);
                if let Some(finding) = ip::syn(&self.trails, &flow) {
                    self.bursts.syn_listed();
                    report.finding(finding);
                }
            }
            Observation::Datagram => {
                self.scans.datagram(&flow);
                if let Some(finding) = ip::datagram(&self.trails, &flow) {
                    self.bursts.datagram_listed();
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
                if self.enabled.dns_exhaustion {
                    let white = |domain: &str| self.whitelist.covers_name(domain);
                    let (second, client) = (at.secs(), flow.src.ip);
                    let verdict = self.exhaustion.question(second, client, query.name, white);
                    report.counters.exhaustion_evictions = self.exhaustion.evictions();
                    if let Some(finding) = verdict.finding {
                        report.finding(finding);
                    }
                    // Each name of a flood may be long; one report of the flood is enough.
                    names.enabled.long_domain &= !verdict.exhausted;
                }
                if !query.is_matched() {
                    return;
                }
                let name = query.name.as_str();
                if let Some(finding) = ip::resolver(&self.trails, &flow, name) {
                    report.question(finding, &query, &mut self.folds);
                }
                if let Some(finding) = names.check(query.name, report.counters) {
                    self.answers.reported.note(at.secs(), flow.src.ip, name);
                    report.question(finding, &query, &mut self.folds);
                }
            }
            Observation::HttpRequest(request) => {
                self.web
                    .requests(request, &mut names, &mut self.scans, &mut report);
            }
            Observation::HttpResponse(response) => self.web.response(&response, &mut report),
            Observation::DnsAnswer(answer) => {
                report.seen.question();
                let mut names = Names {
                    trails: &self.trails,
                    whitelist: &self.whitelist,
                    enabled: self.enabled,
                    clean: &mut self.clean_names,
                };
                let exhausted = answer.outcome() == Outcome::NoSuchName
                    && self.exhaustion.is_exhausted(at.secs(), answer.name);
                self.answers
                    .examine(&answer, exhausted, &mut names, &mut report);
            }
        }
        self.count_scan_losses();
    }

    /// A packet without a meaning of its own, which may be one of many that have one together.
    fn unobserved(&mut self, flow: &Flow, packet: &Packet<'_>) {
        self.counters.unobserved += 1;
        if let Transport::Tcp(tcp) = packet.transport
            && port_scanning::is_probe(tcp.flags)
        {
            self.counters.probes += 1;
            self.scans.probe(flow);
            self.count_scan_losses();
        }
    }

    fn count_scan_losses(&mut self) {
        let (evictions, deferrals) = self.scans.losses();
        self.counters.scan_evictions = evictions;
        self.counters.scan_deferrals = deferrals;
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

/// Whether this packet was examined already.
#[inline]
fn repeats(bursts: &mut Bursts, at: Timestamp, flow: &Flow, packet: &Packet<'_>) -> bool {
    match packet.transport {
        Transport::Tcp(tcp) => tcp.flags.is_syn() && bursts.syn_repeats(at.secs(), flow),
        Transport::Udp(udp) => bursts.datagram_repeats(at.secs(), flow, udp.payload),
        Transport::Icmp { .. } | Transport::Other(_) => false,
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
