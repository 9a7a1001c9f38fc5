//! What is counted over all hosts: scans, floods, names asked for too often; and packets that repeat.
//!
//! One census serves all workers, since what it counts (an outside host against many of ours, a domain,
//! a victim) is spread over them. It is asked in the order of the packets, at once when there is
//! one worker, later when several are merged; the answers are the same.
//!
//! Bounds: those of its parts.

use std::net::IpAddr;

use maltrail_core::name::HostName;
use maltrail_core::trail::Whitelist;

use crate::burst::Bursts;
use crate::counters::Counters;
use crate::engine::EngineConfig;
use crate::finding::Finding;
use crate::heuristics::Enabled;
use crate::heuristics::ddos::{self, Ddos};
use crate::heuristics::dns_exhaustion::{Exhaustion, Verdict};
use crate::heuristics::no_such_domain::{self, NoSuchDomains};
use crate::heuristics::scans::{self, Scans};

/// The counts.
#[derive(Debug)]
pub(crate) struct Census {
    /// What repeats, which is a matter of what came last anywhere.
    pub(crate) bursts: Bursts,
    pub(crate) scans: Scans,
    pub(crate) ddos: Ddos,
    exhaustion: Exhaustion,
    no_such: Option<NoSuchDomains>,
    /// The second of the last packet.
    second: i64,
}

/// What came due with a second.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) scans: Vec<scans::Alert>,
    pub(crate) floods: Vec<ddos::Alert>,
}

impl Due {
    /// Whether there is nothing to report.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.scans.is_empty() && self.floods.is_empty()
    }
}

impl Census {
    /// Nothing counted yet.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let detect = &config.detect;
        Self {
            bursts: Bursts::default(),
            scans: Scans::new(Enabled::new(detect), detect.scan_window_secs),
            ddos: Ddos::new(detect, &config.home),
            exhaustion: Exhaustion::new(),
            no_such: detect.runs(no_such_domain::NAME).then(NoSuchDomains::new),
            second: i64::MIN,
        }
    }

    /// Whether `second` is another one than that of the packet before.
    #[inline]
    pub(crate) const fn turns(&mut self, second: i64) -> bool {
        let turns = self.second != second;
        self.second = second;
        turns
    }

    /// Goes to `second`; what came due before it.
    #[cold]
    pub(crate) fn advance(&mut self, second: i64) -> Due {
        Due {
            scans: self.scans.sweep(second),
            floods: self.ddos.sweep(second),
        }
    }

    /// Notes that `client` asks for `name`.
    #[inline]
    pub(crate) fn question(
        &mut self,
        second: i64,
        client: IpAddr,
        name: HostName<'_>,
        whitelist: &Whitelist,
    ) -> Verdict {
        let white = |domain: &str| whitelist.covers_name(domain);
        self.exhaustion.question(second, client, name, white)
    }

    /// Whether the domain of `name` was reported lately, so that its names mean nothing.
    pub(crate) fn is_exhausted(&mut self, second: i64, name: HostName<'_>) -> bool {
        self.exhaustion.is_exhausted(second, name)
    }

    /// Notes that `name` does not exist; what is to be reported, of the name and of its domain.
    pub(crate) fn missing(
        &mut self,
        second: i64,
        name: HostName<'_>,
    ) -> [Option<Finding<'static>>; 2] {
        let no_such = self.no_such.as_mut();
        no_such.map_or([None, None], |no_such| no_such.answer(second, name))
    }

    /// Takes over what made room.
    pub(crate) fn count(&self, counters: &mut Counters) {
        (counters.scan_evictions, counters.scan_deferrals) = self.scans.losses();
        counters.exhaustion_evictions = self.exhaustion.evictions();
        counters.ddos_evictions = self.ddos.evictions();
        let no_such = self.no_such.as_ref();
        counters.no_such_domain_evictions = no_such.map_or(0, NoSuchDomains::evictions);
    }
}
