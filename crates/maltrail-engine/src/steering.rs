//! Which of several engines a packet goes to.
//!
//! Both directions of a host's packets go to one engine, so that flows and what is counted by host stay
//! whole: the one of the endpoint in `HOME_NETWORKS`; if both or neither are, of the lower address, so
//! that the order of the ends does not matter. The live capture lets the kernel do the same by a program
//! (`maltrail-sensor`), which a test compares with this.

use std::net::IpAddr;

use maltrail_core::addr::NetworkSet;
use maltrail_core::time::Timestamp;
use maltrail_wire::{Drop, LinkType};

use crate::decode::Decoders;

/// The choice among engines.
#[derive(Clone, Debug)]
pub struct Steering {
    home: NetworkSet,
    workers: u32,
}

impl Steering {
    /// The multiplier that spreads neighbours; any odd number without a pattern does.
    pub const SPREAD: u32 = 0x9e37_79b1;
    /// Bits of the product that are left out: all bits of an address reach the high ones.
    pub const SHIFT: u32 = 16;

    /// The choice among `workers` engines, at least one.
    #[must_use]
    pub fn new(home: NetworkSet, workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        Self { home, workers }
    }

    /// The engine of a packet, counted from 0.
    #[inline]
    #[must_use]
    pub fn worker(&self, src: IpAddr, dst: IpAddr) -> usize {
        if self.workers == 1 {
            return 0;
        }
        (spread(self.host(src, dst)) % self.workers) as usize
    }

    /// The address that decides.
    #[inline]
    #[must_use]
    pub fn host(&self, src: IpAddr, dst: IpAddr) -> IpAddr {
        match (self.home.contains(src), self.home.contains(dst)) {
            (true, false) => src,
            (false, true) => dst,
            _ => src.min(dst),
        }
    }
}

/// Hands frames out to several engines, in the order in which they came.
#[derive(Debug)]
pub struct Dispatcher {
    steering: Steering,
    decoders: Decoders,
    second: Option<i64>,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The engine of the frame, counted from 0.
    pub worker: usize,
    /// Whether another second begins with it, which the other engines are to be told before.
    pub turn: bool,
}

impl Dispatcher {
    /// Nothing handed out yet.
    #[must_use]
    pub fn new(steering: Steering) -> Self {
        Self {
            steering,
            decoders: Decoders::new(),
            second: None,
        }
    }

    /// Where `frame` goes. One without addresses goes to the first engine.
    pub fn route(&mut self, link: LinkType, at: Timestamp, frame: &[u8]) -> Route {
        let (worker, counts) = match self.decoders.decode(link, frame) {
            Ok(packet) => (self.steering.worker(packet.ip.src, packet.ip.dst), true),
            Err(reason) => (0, !matches!(reason, Drop::Link(_))),
        };
        let turn = counts && self.second != Some(at.secs());
        if turn {
            self.second = Some(at.secs());
        }
        Route { worker, turn }
    }
}

/// A number that is as good as random for each address.
#[inline]
fn spread(host: IpAddr) -> u32 {
    let word = match host {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let [a, b, c, d] = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
            a ^ b ^ c ^ d
        }
    };
    word.wrapping_mul(Steering::SPREAD) >> Steering::SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_of_an_own_host_go_to_one_engine() {
        let steering = Steering::new(NetworkSet::private(), 4);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for own in ["10.0.0.5", "fd00::5"] {
            let worker = steering.worker(ip(own), ip("203.0.113.7"));
            for other in ["198.51.100.1", "2001:db8::9", "1.1.1.1", "255.0.0.1"] {
                assert_eq!(steering.worker(ip(own), ip(other)), worker);
                assert_eq!(steering.worker(ip(other), ip(own)), worker);
            }
        }
        for (a, b) in [("10.0.0.5", "10.0.0.6"), ("203.0.113.7", "198.51.100.1")] {
            assert_eq!(steering.worker(ip(a), ip(b)), steering.worker(ip(b), ip(a)));
        }
    }

    #[test]
    fn neighbours_are_spread() {
        let steering = Steering::new(NetworkSet::private(), 4);
        let outside = "203.0.113.7".parse().unwrap();
        let mut counts = [0_u32; 4];
        for host in 0..=255 {
            counts[steering.worker(IpAddr::from([192, 168, 1, host]), outside)] += 1;
        }
        assert!(counts.iter().all(|&count| count > 32), "{counts:?}");
    }
}
