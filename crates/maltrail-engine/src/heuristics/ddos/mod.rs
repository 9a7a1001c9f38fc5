//! Floods: on somebody, through one of our servers, or by one of our hosts. See `docs/ddos.md`.
//!
//! ```text
//! packet ─► packets a second of the /24 or /64 ── below the watermark ──► nothing
//!                     │ warm
//!                     ▼
//!           what is it to its receiver? (marks of what receivers sent, and of what waits for an answer)
//!                     │                                          once a second
//!                     ├─► network record ──┐                           │
//!                     └─► address record, if that is warm ── judged ◄──┘ ──► start, end
//! ```
//!
//! Bounds, all fixed: 2 × [`CELL_BITS`] counters (0.5 MiB), marks (1.25 MiB), [`ADDRESSES`] and
//! [`NETWORKS`] records of less than 1.2 KiB; about 8 MiB in all, touched only as traffic needs it. The record
//! not touched for longest goes first, those under attack last, and is counted. Sketches are
//! seeded by the sensor's name, so a replay gives the same events and a stranger does not know them.

mod kind;
mod limits;
mod report;
mod tally;
mod target;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maltrail_core::addr::NetworkSet;
use maltrail_core::config::DetectConfig;
use maltrail_wire::Flags;

use self::kind::service_at;
use self::limits::Limits;
pub(crate) use self::report::Alert;
use self::report::Step;
use self::tally::{Inbound, Met};
use self::target::{Ends, Moment, Subject, Target};
use crate::brief::{Brief, Carries};
use crate::state::clock;
use crate::state::lru::Lru;
use crate::state::marks::{Marks, fold};
use crate::state::rates::Rates;

/// Most addresses looked at.
pub(crate) const ADDRESSES: usize = 4096;
/// Most networks looked at.
pub(crate) const NETWORKS: usize = 1024;
/// Counters of networks and of addresses, as a power of two.
const CELL_BITS: u32 = 15;
/// Marks of what receivers sent, and of what waits for an answer.
const KNOWN_BITS: u32 = 18;
const PENDING_BITS: u32 = 16;
/// How long an exchange counts as going on, and how long an answer may take, in seconds.
const KNOWN_SECS: u32 = 30;
const PENDING_SECS: u32 = 4;
/// Seconds for which both directions count as seen.
const TWO_WAY_SECS: u32 = 600;
/// Packets that tell something about a second.
const ENOUGH: u32 = 16;
/// One packet in so many is asked whether it crosses our border.
const BORDER_SAMPLE: u32 = 16;

/// The search for floods.
#[derive(Debug)]
pub(crate) struct Ddos {
    limits: Limits,
    on: bool,
    home: NetworkSet,
    seed: [u64; 2],
    clock: clock::Clock,
    second: u32,
    networks: Rates,
    addresses: Rates,
    known: Marks,
    pending: Marks,
    network_targets: Lru<Target>,
    address_targets: Lru<Target>,
    view: View,
}

/// What the whole of a second tells about the place of the sensor.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    packets: u32,
    /// Packets whose sender's network receives some, too.
    returned: u32,
    /// IPv4 and IPv6.
    border: [Border; 2],
    two_way: Option<u32>,
}

/// How much crosses our border.
#[derive(Clone, Copy, Debug, Default)]
struct Border {
    sampled: u32,
    at_home: u32,
    seen: Option<u32>,
}

impl View {
    fn end_second(&mut self, second: u32) {
        if self.packets >= ENOUGH && self.returned >= self.packets / 4 {
            self.two_way = Some(second);
        }
        for border in &mut self.border {
            if border.sampled >= ENOUGH / 8 && border.at_home * 10 >= border.sampled * 9 {
                border.seen = Some(second);
            }
            (border.sampled, border.at_home) = (0, 0);
        }
        (self.packets, self.returned) = (0, 0);
    }

    fn moment(&self, second: u32) -> Moment {
        let lately =
            |seen: Option<u32>| seen.is_some_and(|at| second.wrapping_sub(at) < TWO_WAY_SECS);
        Moment {
            second,
            two_way: lately(self.two_way),
            bordered: self.border.map(|border| lately(border.seen)),
        }
    }
}

/// One end of a packet, hashed.
#[derive(Clone, Copy)]
struct Side {
    ip: IpAddr,
    word: u64,
    port: u16,
}

impl Ddos {
    /// Nothing seen.
    pub(crate) fn new(config: &DetectConfig, home: &NetworkSet) -> Self {
        let limits = Limits::new(config);
        let on = limits.any();
        let size = |bits| if on { bits } else { 1 };
        let name = config.sensor_name.bytes();
        let seed = name.fold(0x51ed_270b_9f2f_3a01, |seed, byte| {
            fold(seed ^ u64::from(byte), 0x9e37_79b9_7f4a_7c15)
        });
        let capacity = |records| if on { records } else { 1 };
        Self {
            on,
            home: home.clone(),
            seed: [seed | 1, fold(seed, 0xd6e8_feb8_6659_fd93) | 1],
            clock: clock::Clock::new(60),
            second: 0,
            networks: Rates::new(size(CELL_BITS), limits.watermark()),
            addresses: Rates::new(size(CELL_BITS), limits.watermark()),
            known: Marks::new(size(KNOWN_BITS), KNOWN_SECS),
            pending: Marks::new(size(PENDING_BITS), PENDING_SECS),
            network_targets: Lru::new(capacity(NETWORKS)),
            address_targets: Lru::new(capacity(ADDRESSES)),
            view: View::default(),
            limits,
        }
    }

    /// Records forgotten to make room.
    pub(crate) const fn evictions(&self) -> u64 {
        self.network_targets.evictions() + self.address_targets.evictions()
    }

    /// Notes a packet of the current second; `brief` is asked for when it is to be looked at.
    #[inline]
    pub(crate) fn packet(&mut self, src: IpAddr, dst: IpAddr, brief: impl FnOnce() -> Brief) {
        if !self.on {
            return;
        }
        let ends = (src, dst);
        let src = self.network_cell(src);
        let dst = self.network_cell(dst);
        let warm = self.networks.count(dst, self.second);
        let (receives, sender_warm) = self.networks.look(src, self.second);
        self.view.packets = self.view.packets.wrapping_add(1);
        self.view.returned = self
            .view
            .returned
            .wrapping_add(u32::from(receives && src != dst));
        if self.view.packets % BORDER_SAMPLE == 1 {
            self.sample(ends);
        }
        if warm || sender_warm {
            self.detail(&brief(), sender_warm, warm);
        }
    }

    #[inline]
    fn network_cell(&self, ip: IpAddr) -> usize {
        let [seed, other] = self.seed;
        self.networks.cell(fold(network_word(ip) ^ seed, other))
    }

    #[inline(never)]
    fn sample(&mut self, (src, dst): (IpAddr, IpAddr)) {
        let ours = self.home.contains(src) || self.home.contains(dst);
        let [v4, v6] = &mut self.view.border;
        let border = if dst.is_ipv6() { v6 } else { v4 };
        border.sampled += 1;
        border.at_home += u32::from(ours);
    }

    #[inline(never)]
    fn detail(&mut self, packet: &Brief, sends: bool, receives: bool) {
        if !is_host(packet.dst) || !is_host(packet.src) {
            return;
        }
        let side = |ip, port| Side {
            ip,
            word: self.word(ip),
            port,
        };
        let from = side(packet.src, packet.src_port);
        let to = side(packet.dst, packet.dst_port);
        if sends {
            self.outbound(packet, &from, &to);
        }
        if receives {
            self.inbound(packet, &from, &to);
        }
    }

    fn word(&self, ip: IpAddr) -> u64 {
        let [seed, other] = self.seed;
        match ip {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                fold((bits >> 64) as u64 ^ seed, bits as u64 ^ other)
            }
        }
    }

    /// The hash of an exchange, seen from `local`.
    fn exchange(&self, local: &Side, remote: &Side) -> u64 {
        let [seed, other] = self.seed;
        let ports = (u64::from(local.port) << 48) | (u64::from(remote.port) << 32);
        fold(fold(local.word ^ seed, other), remote.word ^ ports ^ other)
    }

    fn hash(&self, word: u64) -> u64 {
        let [seed, other] = self.seed;
        // Once leaves neighbours alike, which sketches would notice.
        fold(fold(word ^ other, seed), 0xd6e8_feb8_6659_fd93)
    }

    /// A packet that a warm network sends: its exchange goes on, something is answered.
    fn outbound(&mut self, packet: &Brief, from: &Side, to: &Side) {
        let bytes = packet.bytes;
        let key = self.exchange(from, to);
        let (mut answers, mut asks) = (false, false);
        match packet.carries {
            // Refusals and half-open connections prove nothing.
            Carries::Tcp(flags, _) if flags.contains(Flags::RST) || flags.is_syn_ack() => {}
            Carries::Tcp(..) => self.known.set(key, self.second),
            Carries::Udp => {
                answers = self.pending.take(key, self.second);
                asks = service_at(packet.dst_port).is_some();
                self.known.set(key, self.second);
            }
            Carries::Icmp(true) => self.known.set(key, self.second),
            Carries::Icmp(false) | Carries::Other => {}
        }
        let network = Subject::Network(network(from.ip));
        let hash = self.hash(network_word(from.ip));
        if let Some(target) = self
            .network_targets
            .get_mut(hash, |target| target.subject == network)
        {
            target.outbound(self.second, answers, asks, bytes);
        }
        let hash = self.hash(from.word);
        if self
            .addresses
            .look(self.addresses.cell(hash), self.second)
            .1
        {
            let address = Subject::Address(from.ip);
            if let Some(target) = self
                .address_targets
                .get_mut(hash, |target| target.subject == address)
            {
                target.outbound(self.second, answers, asks, bytes);
            }
        }
    }

    /// A packet that a warm network receives.
    fn inbound(&mut self, packet: &Brief, from: &Side, to: &Side) {
        let (met, request) = self.meet(packet, self.exchange(to, from));
        if met == Met::Other {
            return;
        }
        let udp = packet.carries == Carries::Udp;
        let inbound = Inbound {
            met,
            request,
            service: service_at(from.port).filter(|_| udp),
            from_home: self.home.contains(from.ip),
            bytes: packet.bytes,
        };
        let ends = Ends {
            second: self.second,
            tcp: matches!(packet.carries, Carries::Tcp(..)),
            source: from.ip,
            source_hash: self.hash(from.word),
            port: to.port,
            port_hash: self.hash(u64::from(to.port)),
            address_hash: self.hash(to.word),
        };
        let warm = self
            .addresses
            .count(self.addresses.cell(ends.address_hash), self.second);
        if warm {
            let target = self.address_target(to.ip, ends.address_hash);
            if let Some(target) = target {
                target.inbound(&inbound, &ends);
                if target.is_attacked() {
                    return;
                }
            }
        }
        if self.limits.carpets
            && let Some(target) = self.network_target(to)
        {
            target.inbound(&inbound, &ends);
        }
    }

    /// What the packet is to its receiver, and whether an HTTP request starts in it.
    fn meet(&mut self, packet: &Brief, key: u64) -> (Met, bool) {
        let second = self.second;
        match packet.carries {
            Carries::Tcp(flags, _) if flags.is_syn() => {
                self.pending.set(key, second);
                (Met::Syn, false)
            }
            Carries::Tcp(flags, request) => {
                let acknowledges = flags.contains(Flags::ACK)
                    && !flags.contains(Flags::RST)
                    && !flags.contains(Flags::SYN);
                let met = if self.known.has(key, second) {
                    Met::Known
                } else if acknowledges && self.pending.take(key, second) {
                    Met::Completed
                } else {
                    Met::Stray
                };
                if met != Met::Stray {
                    self.known.set(key, second);
                }
                (met, request)
            }
            Carries::Udp => {
                if self.known.has(key, second) {
                    return (Met::Known, false);
                }
                if let Some(service) = service_at(packet.src_port) {
                    return (Met::Answer(service), false);
                }
                self.pending.set(key, second);
                (Met::Datagram, false)
            }
            Carries::Icmp(_) if self.known.has(key, second) => (Met::Known, false),
            Carries::Icmp(_) => (Met::Icmp, false),
            Carries::Other => (Met::Other, false),
        }
    }

    fn address_target(&mut self, ip: IpAddr, hash: u64) -> Option<&mut Target> {
        let subject = Subject::Address(ip);
        let is = |target: &Target| target.subject == subject;
        if !self.address_targets.touch(hash, is) {
            self.address_targets.spare_oldest(8, Target::is_attacked);
            let target = Target::new(subject, self.home.contains(ip), self.second);
            self.address_targets.insert(hash, target);
        }
        self.address_targets.newest_mut()
    }

    fn network_target(&mut self, to: &Side) -> Option<&mut Target> {
        let subject = Subject::Network(network(to.ip));
        let hash = self.hash(network_word(to.ip));
        let is = |target: &Target| target.subject == subject;
        if !self.network_targets.touch(hash, is) {
            self.network_targets.spare_oldest(8, Target::is_attacked);
            let target = Target::new(subject, self.home.contains(to.ip), self.second);
            self.network_targets.insert(hash, target);
        }
        self.network_targets.newest_mut()
    }
}

impl Ddos {
    /// Goes to `second`; what began and ended before it, in the order of its report.
    #[inline]
    pub(crate) fn sweep(&mut self, second: i64) -> Vec<Alert> {
        if !self.on || self.clock.is_at(second) {
            return Vec::new();
        }
        self.next_second(second)
    }

    #[cold]
    fn next_second(&mut self, second: i64) -> Vec<Alert> {
        let alerts = match self.clock.step(second) {
            clock::Step::Same => return Vec::new(),
            clock::Step::Next => {
                let mut alerts = self.judge();
                // Seconds without any packet are over, too.
                let now = second as u32;
                let silent = now.wrapping_sub(self.second) > 1;
                if silent {
                    self.second = now.wrapping_sub(1);
                    alerts.extend(self.judge());
                }
                alerts
            }
            clock::Step::Reset => {
                let alerts = self.finish();
                self.network_targets.clear();
                self.address_targets.clear();
                self.known.clear();
                self.pending.clear();
                self.view = View::default();
                alerts
            }
        };
        self.second = second as u32;
        alerts
    }

    /// Judges the second that ends.
    fn judge(&mut self) -> Vec<Alert> {
        self.view.end_second(self.second);
        let moment = self.view.moment(self.second);
        let mut steps = Vec::new();
        let mut over = Vec::new();
        for target in self.address_targets.iter_mut() {
            if target.is_idle(self.second) {
                continue;
            }
            steps.extend(target.end_second(&self.limits, &moment, false));
            if target.is_over()
                && let Subject::Address(ip) = target.subject
            {
                over.push(network(ip));
            }
        }
        over.sort_unstable();
        for target in self.network_targets.iter_mut() {
            if target.is_idle(self.second) {
                continue;
            }
            let (Subject::Network(ip) | Subject::Address(ip)) = target.subject;
            let hidden = over.binary_search(&ip).is_ok();
            steps.extend(target.end_second(&self.limits, &moment, hidden));
        }
        self.alerts(&steps)
    }

    /// Ends the last second and all attacks: nothing more will be seen.
    pub(crate) fn finish(&mut self) -> Vec<Alert> {
        if !self.on {
            return Vec::new();
        }
        let mut alerts = self.judge();
        let targets = self
            .address_targets
            .iter_mut()
            .chain(self.network_targets.iter_mut());
        let steps: Vec<Step> = targets.flat_map(Target::finish).collect();
        alerts.extend(self.alerts(&steps));
        alerts
    }

    fn alerts(&self, steps: &[Step]) -> Vec<Alert> {
        let reported = steps
            .iter()
            .filter(|step| self.limits.participation || !step.is_own());
        let mut alerts: Vec<Alert> = reported.map(Step::alert).collect();
        alerts.sort_by_key(|alert| alert.order);
        alerts
    }
}

/// Whether the address is that of one host. Groups and broadcasts have no victim of their own.
const fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    }
}

/// The first address of the /24 or /64.
const fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !(u64::MAX as u128))),
    }
}

/// The /24 or /64 as a number.
#[inline]
const fn network_word(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => (ip.to_bits() >> 8) as u64,
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}
