//! Engines in the midst of made-up traffic.
//!
//! The engine begins with the first packet; whitelist and policy are set before. Time is that of the scene:
//! nothing waits for a clock.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use maltrail_core::config::ThrottleMode;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{EngineConfig, IgnoreRules, Policy, PolicyConfig};
use maltrail_wire::LinkType;

use super::engines::Engines;
use super::messages::{QUESTION, question};
use super::wire::{self, DATA, SYN, v4};

/// When scenes begin: 2023-11-14 22:13:20 UTC. An hour does not end within any of them.
const START: i64 = 1_700_000_000;

/// A client, a resolver, a server by its ports, outside of private networks.
pub(super) const CLIENT: SocketAddr = v4([192, 0, 2, 10], 40_000);
pub(super) const RESOLVER: SocketAddr = v4([198, 51, 100, 53], 53);
pub(super) const WEB: SocketAddr = v4([203, 0, 113, 7], 80);
pub(super) const TLS: SocketAddr = v4([203, 0, 113, 7], 443);

/// What a scene begins with.
pub(super) struct Stage<'a> {
    pub(super) config: &'a EngineConfig,
    pub(super) trails: &'a str,
    pub(super) workers: usize,
    pub(super) throttle: ThrottleMode,
}

/// Traffic, and what was found in it.
pub(super) struct Scene<'a> {
    stage: Stage<'a>,
    whitelist: &'static str,
    policy: Option<Policy>,
    engines: Option<Engines>,
    /// Seconds since the start, and microseconds in the present one.
    second: i64,
    micros: u32,
    events: Vec<Event>,
}

impl<'a> Scene<'a> {
    pub(super) const fn new(stage: Stage<'a>) -> Self {
        Self {
            stage,
            whitelist: "",
            policy: None,
            engines: None,
            second: 0,
            micros: 0,
            events: Vec::new(),
        }
    }

    /// Whitelists these.
    pub(super) const fn whitelist(&mut self, entries: &'static str) {
        self.whitelist = entries;
    }

    /// Sends events through policy with this ignore rule and this expression.
    pub(super) fn policy(&mut self, rule: &str, expression: Option<&str>) {
        let mut ignore = IgnoreRules::default();
        let faults = ignore.add(rule);
        if faults.count > 0 || ignore.set_expression(expression).is_err() {
            return;
        }
        let config = PolicyConfig {
            throttle: self.stage.throttle,
            window_secs: 60,
            burst: 3,
            max_keys: 1000,
            workers: 1,
        };
        self.policy = Some(Policy::new(config, Arc::new(ignore)));
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_parts(START + self.second, self.micros)
    }

    /// Lets seconds pass.
    pub(super) const fn wait(&mut self, seconds: i64) {
        self.second += seconds;
        self.micros = 0;
    }

    /// Lets `count` moments of each of `seconds` pass; `each` says what happens in the nth of a second.
    pub(super) fn run(&mut self, seconds: i64, count: u32, mut each: impl FnMut(&mut Self, u32)) {
        for _ in 0..seconds {
            for n in 0..count {
                self.micros = n * (1_000_000 / count);
                each(self, n);
            }
            self.wait(1);
        }
    }

    /// An Ethernet frame.
    pub(super) fn frame(&mut self, frame: &[u8]) {
        self.link(LinkType::ETHERNET, frame);
    }

    /// A frame of any kind of network.
    pub(super) fn link(&mut self, link: LinkType, frame: &[u8]) {
        let now = self.now();
        self.micros = (self.micros + 1).min(999_999);
        if self.engines.is_none() {
            self.engines = Engines::new(&self.stage, self.whitelist);
        }
        if let Some(engines) = &mut self.engines {
            engines.packet(link, now, frame, &mut self.events);
        }
    }

    /// An IP packet.
    pub(super) fn ip(&mut self, src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) {
        self.frame(&wire::frame(src, dst, proto, payload));
    }

    /// A TCP segment with a number.
    pub(super) fn segment(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        (seq, flags): (u32, u8),
        payload: &[u8],
    ) {
        let segment = wire::tcp((src.port(), dst.port()), seq, flags, payload);
        self.ip(src.ip(), dst.ip(), wire::TCP, &segment);
    }

    /// A TCP segment.
    pub(super) fn tcp(&mut self, src: SocketAddr, dst: SocketAddr, flags: u8, payload: &[u8]) {
        self.segment(src, dst, (1, flags), payload);
    }

    /// A SYN.
    pub(super) fn syn(&mut self, src: SocketAddr, dst: SocketAddr) {
        self.tcp(src, dst, SYN, b"");
    }

    /// A UDP datagram.
    pub(super) fn udp(&mut self, src: SocketAddr, dst: SocketAddr, payload: &[u8]) {
        let datagram = wire::udp((src.port(), dst.port()), payload);
        self.ip(src.ip(), dst.ip(), wire::UDP, &datagram);
    }

    /// An echo request.
    pub(super) fn ping(&mut self, src: IpAddr, dst: IpAddr) {
        let (proto, echo) = wire::echo(src, 56);
        self.ip(src, dst, proto, &echo);
    }

    /// A question of the client to the resolver.
    pub(super) fn ask(&mut self, name: &str, qtype: u16) {
        self.udp(CLIENT, RESOLVER, &question(name, qtype, QUESTION));
    }

    /// What the resolver says to the client.
    pub(super) fn resolved(&mut self, message: &[u8]) {
        self.udp(RESOLVER, CLIENT, message);
    }

    /// What the client says to the web server.
    pub(super) fn request(&mut self, message: impl AsRef<[u8]>) {
        self.tcp(CLIENT, WEB, DATA, message.as_ref());
    }

    /// What the web server says to the client.
    pub(super) fn response(&mut self, message: impl AsRef<[u8]>) {
        self.tcp(WEB, CLIENT, DATA, message.as_ref());
    }

    /// A message in two segments, the second only with `whole`.
    pub(super) fn split(&mut self, dst: SocketAddr, message: &[u8], whole: bool) {
        let (first, second) = super::messages::halves(message);
        self.segment(CLIENT, dst, (100, DATA), first);
        if whole {
            let seq = 100 + u32::from(u16::try_from(first.len()).unwrap_or(u16::MAX));
            self.segment(CLIENT, dst, (seq, DATA), second);
        }
    }

    /// How many engines have got packets.
    #[cfg(test)]
    pub(super) fn engines_at_work(&self) -> usize {
        self.engines.as_ref().map_or(0, Engines::at_work)
    }

    /// Ends the scene a second later. What was found, in order, as `KIND trail | info`, with ` ×n` when it
    /// stands for several.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.wait(1);
        let now = self.now();
        if let Some(engines) = &mut self.engines {
            engines.finish(now, &mut self.events);
        }
        let mut written = self.events;
        if let Some(mut policy) = self.policy {
            let events = std::mem::take(&mut written);
            for event in events {
                policy.event(event, &mut written);
            }
            policy.finish(&mut written);
        }
        written.iter().map(brief).collect()
    }
}

fn brief(event: &Event) -> String {
    let brief = format!("{} {} | {}", event.kind, event.trail, event.info);
    match event.details.count() {
        1 => brief,
        count => format!("{brief} ×{count}"),
    }
}
