//! What is said about an attack: once when it begins, once when it is over.
//!
//! Both events have the victim as trail, so they lie side by side in the dashboard; what differs is
//! the info, which holds the figures of the end.

use std::net::IpAddr;

use maltrail_core::event::Kind;

use super::kind::{Flood, SERVICE, Service};
use super::target::{Run, Subject, Target};
use crate::finding::Finding;
use crate::flow::{Endpoint, Flow};
use crate::state::heavy::Held;

/// An attack changes its state.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is found.
    Start(Start),
    /// It is over.
    End(End),
}

/// Whom it hits and who does it.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    subject: Subject,
    kind: Flood,
    own: bool,
    service: Service,
    sources: Vec<IpAddr>,
    port: Option<u16>,
}

/// What it came to.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) start: Start,
    pub(crate) seconds: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) ports: Vec<Held<u16>>,
    pub(crate) sources: f64,
}

/// An event about an attack.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    /// Victim at both ends where there is no single source, for the whitelist.
    pub(crate) flow: Flow,
    /// What was found.
    pub(crate) finding: Finding<'static>,
    /// The source column: addresses, or nothing.
    pub(crate) sources: String,
    /// The victim column.
    pub(crate) victim: String,
    /// Order among the events of a second.
    pub(crate) order: (Subject, Flood, bool),
}

impl Start {
    pub(crate) fn new(target: &Target, kind: Flood, run: &Run) -> Self {
        let service = SERVICE.get(usize::from(run.service)).copied();
        Self {
            subject: target.subject,
            kind,
            own: run.own,
            service: service.unwrap_or(Service {
                name: "udp",
                port: 0,
            }),
            sources: sources(target, kind, run.own),
            port: dominant(&target.top_ports.top()),
        }
    }

    /// Whether it is the doing of our own hosts.
    pub(crate) const fn is_own(&self) -> bool {
        self.own
    }

    /// What is said when it begins.
    fn info(&self) -> String {
        format!("potential {} {}", self.what(), self.class())
    }

    fn what(&self) -> String {
        let text = self.kind.text(self.service);
        let role = if self.own { " participation" } else { "" };
        format!("{text} ddos{role}")
    }

    /// Decides the severity.
    const fn class(&self) -> &'static str {
        if self.own {
            "(malware)"
        } else {
            "(suspicious)"
        }
    }

    fn alert(&self, info: String, ended: bool) -> Alert {
        let (ip, victim) = match self.subject {
            Subject::Address(ip) => (ip, ip.to_string()),
            Subject::Network(ip) if ip.is_ipv4() => (ip, format!("{ip}/24")),
            Subject::Network(ip) => (ip, format!("{ip}/64")),
        };
        let end = |ip, port| Endpoint { ip, port };
        let joined: Vec<String> = self.sources.iter().map(ToString::to_string).collect();
        let src_port = self.kind.is_reflected().then_some(self.service.port);
        Alert {
            flow: Flow {
                src: end(self.sources.first().copied().unwrap_or(ip), src_port),
                dst: end(ip, self.port.filter(|_| self.kind != Flood::Icmp)),
                proto: self.kind.proto(ip.is_ipv6()),
            },
            finding: Finding::heuristic(self.kind.name(), Kind::Ip, victim.clone(), info),
            sources: joined.join(","),
            victim,
            order: (self.subject, self.kind, ended),
        }
    }
}

impl End {
    /// What is said when it is over.
    fn info(&self) -> String {
        let mut info = format!(
            "{} ended: {} s, {} packets, {}B",
            self.start.what(),
            self.seconds,
            short(self.packets).trim_end(),
            short(self.bytes),
        );
        let ports: Vec<String> = self
            .ports
            .iter()
            .filter(|held| held.sure() > 0 && held.key != 0)
            .map(|held| held.key.to_string())
            .collect();
        if !ports.is_empty() {
            info += &format!(", ports {}", ports.join(","));
        }
        info + &format!(
            ", {:.0} sources {}",
            self.sources.max(1.0),
            self.start.class()
        )
    }
}

impl Step {
    /// Whether it is about our own hosts' doing.
    pub(crate) const fn is_own(&self) -> bool {
        match self {
            Self::Start(start) => start.is_own(),
            Self::End(end) => end.start.is_own(),
        }
    }

    /// Its event.
    pub(crate) fn alert(&self) -> Alert {
        match self {
            Self::Start(start) => start.alert(start.info(), false),
            Self::End(end) => end.start.alert(end.info(), true),
        }
    }
}

/// The single source, or those of our own hosts that send most.
fn sources(target: &Target, kind: Flood, own: bool) -> Vec<IpAddr> {
    let top = target.top_sources.top();
    let all: u32 = top.iter().map(Held::sure).sum();
    let distinct = target.distinct_sources(kind);
    if own {
        // Spoofed ones are many, none of them often.
        let many = distinct > 16.5;
        let often = top.iter().filter(|held| !many && held.sure() > all / 16);
        return often.map(|held| held.key).collect();
    }
    let first = top
        .first()
        .filter(|held| u64::from(held.sure()) * 10 > u64::from(all) * 9);
    first
        .filter(|_| distinct < 1.5)
        .map(|held| held.key)
        .into_iter()
        .collect()
}

/// The port that nearly all go to.
fn dominant(ports: &[Held<u16>]) -> Option<u16> {
    let all: u64 = ports.iter().map(|held| u64::from(held.sure())).sum();
    let first = ports.first()?;
    (u64::from(first.sure()) * 10 > all * 9).then_some(first.key)
}

/// `1234567` as `1.2 M`, `123` as `123 `.
fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match UNITS.iter().find(|&&(size, _)| number >= size) {
        Some(&(size, unit)) => format!("{:.1} {unit}", number as f64 / size as f64),
        None => format!("{number} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let text = [0, 999, 1_000, 1_234_567, 5_000_000_000].map(short);
        assert_eq!(text, ["0 ", "999 ", "1.0 k", "1.2 M", "5.0 G"]);
    }
}
