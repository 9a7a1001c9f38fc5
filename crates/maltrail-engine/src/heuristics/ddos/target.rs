//! One destination that is looked at: its second, its baseline, its attacks.
//!
//! ```text
//! quiet ── over the limit ──► running 1, 2 ── 3 seconds, or one far over ──► attack ── quiet ──► ended
//!   ▲                            │ below                                       │ DDOS_QUIET
//!   └────────────────────────────┴─────────────────────────────────────────────┘
//! ```
//!
//! The baseline is an average of the destination's own seconds, each counted up to the limit, and
//! stands still while the limit is passed. Bound: its own size; an attack adds no memory.

use std::net::IpAddr;

use super::kind::Flood;
use super::limits::{BLIND_SOURCES, Limits, Standing};
use super::report::{End, Start, Step};
use super::tally::{Inbound, Tally};
use crate::state::distinct::{Distinct, Spread};
use crate::state::heavy::Heavy;

/// Seconds over the limit that make an attack.
const STREAK: u8 = 3;
/// So many times the limit makes one at once.
const FAR_OVER: f64 = 20.0;
/// Fewer sources than this on more ports than [`SCANNED_PORTS`] are a scan, up to this rate.
const SCANNERS: f64 = 4.5;
const SCANNED_PORTS: f64 = 48.0;
const SCAN_PPS: f64 = 50_000.0;
/// Addresses of a network that must be hit, and sources if it is not far over its limit.
const CARPET_ADDRESSES: f64 = 12.0;
const CARPET_SOURCES: f64 = 16.0;
const CARPET_FEW: f64 = 10.0;
/// Requests a second of one source, over the whole run, that no browser keeps up.
const REQUESTS_PER_SOURCE: f64 = 10.0;
/// Seconds over which a baseline is averaged: slowly, so that a ramp does not carry it along. That
/// of HTTP follows a crowd that grows.
const AVERAGE_SECS: f64 = 600.0;
/// Downwards it follows sooner.
const AGED_SECS: u32 = 60;
const HTTP_AVERAGE_SECS: f64 = 20.0;
/// How much steeper than usual requests of many sources must be.
const HTTP_STEP: f64 = 6.0;
/// So many times the limit needs no other sign before there is a baseline.
const HTTP_IMMENSE: f64 = 2.0;
/// Seconds for which a destination counts as heard after its last packet.
const HEARD_SECS: u32 = 60;

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// A host.
    Address(IpAddr),
    /// A /24 or /64, by its first address.
    Network(IpAddr),
}

/// Seconds over the limit, and what came in them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    streak: u8,
    /// Whether it was reported.
    pub(crate) attack: bool,
    /// Whether it was reported as our own doing.
    pub(crate) own: bool,
    /// Service of the reflectors.
    pub(crate) service: u8,
    /// First and last second over the limit.
    pub(crate) since: u32,
    pub(crate) last: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What holds for all destinations in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The second that ends.
    pub(crate) second: u32,
    /// Whether both directions of other traffic are seen.
    pub(crate) two_way: bool,
    /// Whether ordinary IPv4 and IPv6 traffic has one end in our networks.
    pub(crate) bordered: [bool; 2],
}

/// A destination.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) subject: Subject,
    /// Whether it is ours.
    pub(crate) home: bool,
    /// When it was last looked at.
    second: u32,
    tally: Tally,
    ports_hit: Spread,
    addresses_hit: Spread,
    pub(crate) sources: Distinct<256>,
    pub(crate) top_sources: Heavy<IpAddr, 4>,
    pub(crate) top_ports: Heavy<u16, 4>,
    http_sources: Distinct<128>,
    usual: [f32; Flood::COUNT],
    age: u32,
    heard: Option<u32>,
    pub(crate) runs: [Run; Flood::COUNT],
}

impl Target {
    /// A destination seen for the first time.
    pub(crate) fn new(subject: Subject, home: bool, second: u32) -> Self {
        Self {
            subject,
            home,
            second,
            tally: Tally::default(),
            ports_hit: Spread::default(),
            addresses_hit: Spread::default(),
            sources: Distinct::new(),
            top_sources: Heavy::new(),
            top_ports: Heavy::new(),
            http_sources: Distinct::new(),
            usual: [0.0; Flood::COUNT],
            age: 0,
            heard: None,
            runs: [Run::default(); Flood::COUNT],
        }
    }

    /// Whether an attack on it is going on.
    pub(crate) fn is_attacked(&self) -> bool {
        self.runs.iter().any(|run| run.attack)
    }

    /// Counts a packet that it receives.
    #[inline]
    pub(crate) fn inbound(&mut self, packet: &Inbound, ends: &Ends) {
        self.second = ends.second;
        if self.tally.inbound(packet, ends.tcp) {
            self.sources.insert(ends.source_hash);
            self.top_sources.add(ends.source, 1);
            self.top_ports.add(ends.port, 1);
            self.ports_hit.insert(ends.port_hash);
            self.addresses_hit.insert(ends.address_hash);
        }
        if packet.request {
            self.http_sources.insert(ends.source_hash);
            self.top_sources.add(ends.source, 1);
            self.top_ports.add(ends.port, 1);
        }
    }

    /// Counts a packet that it sends.
    #[inline]
    pub(crate) fn outbound(&mut self, second: u32, answers: bool, asks: bool, bytes: u32) {
        self.heard = Some(second);
        self.tally.outbound(answers, asks, bytes);
    }

    /// Whether it sent something lately.
    fn is_heard(&self, moment: &Moment) -> bool {
        self.heard
            .is_some_and(|second| moment.second.wrapping_sub(second) <= HEARD_SECS)
    }

    fn standing(&self, kind: Flood, moment: &Moment) -> Standing {
        Standing {
            network: matches!(self.subject, Subject::Network(_)),
            heard: moment.two_way || self.is_heard(moment),
            inside: self.home && self.tally.is_ours(kind),
            age: self.age,
            usual: self
                .usual
                .get(kind as usize)
                .copied()
                .map_or(0.0, f64::from),
        }
    }

    /// Ends the second: what began and what ended. `hidden` when an address of this network is
    /// over its limit by itself.
    pub(crate) fn end_second(
        &mut self,
        limits: &Limits,
        moment: &Moment,
        hidden: bool,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut runs = std::mem::take(&mut self.runs);
        for (kind, run) in Flood::ALL.into_iter().zip(&mut runs) {
            if limits.looks_for(kind) {
                steps.extend(self.judge(kind, run, limits, moment, hidden));
            }
        }
        self.runs = runs;
        self.forget();
        steps
    }

    /// Whether any kind was over its limit in the last second.
    pub(crate) fn is_over(&self) -> bool {
        self.runs.iter().any(|run| run.attack || run.streak > 0)
    }

    /// Whether nothing is left to be done in later seconds.
    pub(crate) fn is_idle(&self, second: u32) -> bool {
        second.wrapping_sub(self.second) > 300 && !self.is_over()
    }

    fn judge(
        &mut self,
        kind: Flood,
        run: &mut Run,
        limits: &Limits,
        moment: &Moment,
        hidden: bool,
    ) -> Option<Step> {
        let (count, like_it) = self.tally.count(kind);
        if count == 0 && run.streak == 0 && !run.attack {
            self.learn(kind, 0.0);
            return None;
        }
        let standing = self.standing(kind, moment);
        let limit = limits.of(kind, &standing);
        let rate = f64::from(count);
        let over = rate >= limit
            && !hidden
            && self.is_hostile(kind, rate, f64::from(like_it), limit, &standing, run);
        if run.attack {
            let still = rate >= limit / 2.0;
            return self.go_on(kind, run, limits, moment.second, still);
        }
        if !over {
            *run = Run::default();
            self.learn(kind, limits.learnt(kind, rate));
            return None;
        }
        if run.streak == 0 {
            run.since = moment.second;
        }
        let weight = if rate >= FAR_OVER * limit && kind != Flood::Http {
            STREAK
        } else {
            1
        };
        run.streak = run.streak.saturating_add(weight);
        self.gather(kind, run, moment.second);
        if run.streak < STREAK {
            return None;
        }
        run.attack = true;
        run.service = self.tally.service(kind);
        run.own = self.is_own(kind, moment);
        Some(Step::Start(self.start(kind, run)))
    }

    /// Whether the excess is an attack and not something ordinary.
    fn is_hostile(
        &self,
        kind: Flood,
        rate: f64,
        like_it: f64,
        limit: f64,
        standing: &Standing,
        run: &Run,
    ) -> bool {
        // Errors of the marks grow with ordinary traffic; a baseline holds them already.
        let share = if standing.age >= super::limits::LEARNT_SECS {
            0.1
        } else {
            0.5
        };
        if rate < share * like_it {
            return false;
        }
        let sources = self.sources.estimate();
        let blind = !standing.heard && matches!(kind, Flood::Ack | Flood::Udp | Flood::Reflection);
        if blind && sources < BLIND_SOURCES {
            return false;
        }
        let spread = self.ports_hit.estimate();
        let tries = matches!(kind, Flood::Syn | Flood::Udp | Flood::Ack);
        if tries && sources < SCANNERS && spread > SCANNED_PORTS && rate < SCAN_PPS {
            return false;
        }
        if standing.network {
            return self.addresses_hit.estimate() >= CARPET_ADDRESSES
                && (sources >= CARPET_SOURCES || rate >= CARPET_FEW * limit);
        }
        match kind {
            Flood::Http => self.requests_are_hostile(rate, limit, standing, run),
            // Between our own hosts a proxy or a poller does the same.
            Flood::Reflector => !self.home,
            _ => true,
        }
    }

    /// Few sources at a rate that nobody clicks, a step that no crowd makes, or more than nearly
    /// every site has where nothing is known.
    fn requests_are_hostile(&self, rate: f64, limit: f64, standing: &Standing, run: &Run) -> bool {
        let requests = run.packets as f64 + rate;
        let seconds = f64::from(run.streak) + 1.0;
        let each = requests / seconds / self.http_sources.estimate().max(1.0);
        let known = standing.age >= super::limits::LEARNT_SECS;
        let step = known && rate >= HTTP_STEP * standing.usual;
        let immense = !known && rate >= HTTP_IMMENSE * limit;
        !standing.inside && (each >= REQUESTS_PER_SOURCE || step || immense)
    }

    /// Whether our own hosts take part: they send, or somebody behind our border does under foreign
    /// names: then neither end is ours although the border is where we look, and the victim's
    /// answers go elsewhere.
    fn is_own(&self, kind: Flood, moment: &Moment) -> bool {
        let (Subject::Address(ip) | Subject::Network(ip)) = self.subject;
        let [v4, v6] = moment.bordered;
        let bordered = if ip.is_ipv6() { v6 } else { v4 };
        let leaves = bordered && !self.is_heard(moment);
        !self.home && kind != Flood::Reflector && (self.tally.is_ours(kind) || leaves)
    }

    fn gather(&self, kind: Flood, run: &mut Run, second: u32) {
        run.last = second;
        run.packets += u64::from(self.tally.count(kind).0);
        run.bytes += self.tally.bytes(kind);
    }

    fn go_on(
        &self,
        kind: Flood,
        run: &mut Run,
        limits: &Limits,
        second: u32,
        still: bool,
    ) -> Option<Step> {
        if still {
            self.gather(kind, run, second);
            return None;
        }
        if second.wrapping_sub(run.last) < limits.quiet_secs() {
            return None;
        }
        let end = self.end(kind, run);
        *run = Run::default();
        Some(Step::End(end))
    }

    /// Ends all attacks now, as nothing more will be seen.
    pub(crate) fn finish(&mut self) -> Vec<Step> {
        let mut runs = std::mem::take(&mut self.runs);
        let attacks = Flood::ALL.into_iter().zip(&mut runs);
        attacks
            .filter(|(_, run)| run.attack)
            .map(|(kind, run)| Step::End(self.end(kind, run)))
            .collect()
    }

    /// About how many sources there were since the limit was passed.
    pub(crate) fn distinct_sources(&self, kind: Flood) -> f64 {
        match kind {
            Flood::Http => self.http_sources.estimate(),
            _ => self.sources.estimate(),
        }
    }

    fn start(&self, kind: Flood, run: &Run) -> Start {
        Start::new(self, kind, run)
    }

    fn end(&self, kind: Flood, run: &Run) -> End {
        End {
            start: self.start(kind, run),
            seconds: run.last.wrapping_sub(run.since).wrapping_add(1),
            packets: run.packets,
            bytes: run.bytes,
            ports: self.top_ports.top(),
            sources: self.distinct_sources(kind),
        }
    }

    fn learn(&mut self, kind: Flood, rate: f64) {
        let Some(usual) = self.usual.get_mut(kind as usize) else {
            return;
        };
        let (rate, old) = (rate as f32, *usual);
        let weight = match kind {
            Flood::Http => f64::from(self.age + 1).min(HTTP_AVERAGE_SECS),
            // The least of the first seconds: a ramp must not pass for what is usual.
            _ if self.age == 0 || rate < old => 1.0 + f64::from(self.age.min(AGED_SECS)),
            _ if self.age < super::limits::LEARNT_SECS => return,
            _ => AVERAGE_SECS,
        };
        *usual = old + (rate - old) / weight as f32;
    }

    /// Forgets the second, and who sent in it unless that goes on.
    fn forget(&mut self) {
        self.age = self.age.saturating_add(1);
        self.tally = Tally::default();
        (self.ports_hit, self.addresses_hit) = Default::default();
        if !self.is_over() {
            self.sources = Distinct::new();
            self.http_sources = Distinct::new();
            self.top_sources = Heavy::new();
            self.top_ports = Heavy::new();
        }
    }
}

/// The ends of an inbound packet, hashed once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) second: u32,
    pub(crate) tcp: bool,
    pub(crate) source: IpAddr,
    pub(crate) source_hash: u64,
    pub(crate) port: u16,
    pub(crate) port_hash: u64,
    pub(crate) address_hash: u64,
}
