//! What came to one destination in one second, by what it means.

use super::kind::{Flood, SERVICES};

/// What an inbound packet is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Opens a connection.
    Syn,
    /// Completes one that was being opened.
    Completed,
    /// Belongs to a connection or an exchange in which the receiver takes part.
    Known,
    /// A segment of a connection that does not exist.
    Stray,
    /// A datagram not asked for.
    Datagram,
    /// An answer of the service with this number that was not asked for.
    Answer(u8),
    /// ICMP not asked for.
    Icmp,
    /// Another protocol.
    Other,
}

/// An inbound packet as the counts need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbound {
    /// What it is.
    pub(crate) met: Met,
    /// Whether an HTTP request starts in it.
    pub(crate) request: bool,
    /// The service it comes from, asked for or not.
    pub(crate) service: Option<u8>,
    /// Whether one of our own hosts sends it.
    pub(crate) from_home: bool,
    /// Its length with the IP header.
    pub(crate) bytes: u32,
}

/// Counts of one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    syn: u32,
    completed: u32,
    stray: u32,
    known_tcp: u32,
    datagrams: u32,
    answered: u32,
    known_udp: u32,
    icmp: u32,
    requests: u32,
    answers: [u32; SERVICES],
    amplified: [u32; SERVICES],
    asked_bytes: u64,
    bytes: [u64; Flood::COUNT],
    /// Packets that count against their senders.
    hostile: u32,
    /// Those of them from our own hosts.
    from_home: u32,
    requests_from_home: u32,
}

impl Tally {
    /// Counts an inbound packet; whether it counts against its sender.
    #[inline]
    pub(crate) fn inbound(&mut self, packet: &Inbound, tcp: bool) -> bool {
        let against = match packet.met {
            Met::Syn => bump(&mut self.syn, Flood::Syn),
            Met::Stray => bump(&mut self.stray, Flood::Ack),
            Met::Datagram => bump(&mut self.datagrams, Flood::Udp),
            Met::Icmp => bump(&mut self.icmp, Flood::Icmp),
            Met::Answer(service) => match self.answers.get_mut(usize::from(service)) {
                Some(count) => bump(count, Flood::Reflection),
                None => None,
            },
            Met::Completed => {
                self.completed += 1;
                None
            }
            Met::Known if tcp => {
                self.known_tcp += 1;
                None
            }
            Met::Known => {
                self.known_udp += 1;
                None
            }
            Met::Other => None,
        };
        if packet.request {
            self.requests += 1;
            self.requests_from_home += u32::from(packet.from_home);
            self.weigh(Flood::Http, packet.bytes);
        }
        let amplifies = packet.from_home && matches!(packet.met, Met::Known);
        if let Some(service) = packet.service.filter(|_| amplifies)
            && let Some(count) = self.amplified.get_mut(usize::from(service))
        {
            *count += 1;
            self.weigh(Flood::Reflector, packet.bytes);
            self.from_home += 1;
            self.hostile += 1;
            return true;
        }
        let Some(kind) = against else {
            return false;
        };
        self.weigh(kind, packet.bytes);
        self.hostile += 1;
        self.from_home += u32::from(packet.from_home);
        true
    }

    /// Counts a datagram that the destination sent; `asks` when it goes to one of the services.
    #[inline]
    pub(crate) fn outbound(&mut self, answers: bool, asks: bool, bytes: u32) {
        self.answered += u32::from(answers);
        if asks {
            self.asked_bytes += u64::from(bytes);
        }
    }

    #[inline]
    fn weigh(&mut self, kind: Flood, bytes: u32) {
        if let Some(sum) = self.bytes.get_mut(kind as usize) {
            *sum += u64::from(bytes);
        }
    }

    /// How many packets of this kind count, and out of how many like them.
    pub(crate) fn count(&self, kind: Flood) -> (u32, u32) {
        match kind {
            Flood::Syn => (self.syn.saturating_sub(self.completed), self.syn),
            Flood::Ack => (self.stray, self.stray.saturating_add(self.known_tcp)),
            Flood::Udp => (
                self.datagrams.saturating_sub(self.answered),
                self.datagrams.saturating_add(self.known_udp),
            ),
            Flood::Icmp => (self.icmp, self.icmp),
            Flood::Reflection => (
                self.answers.iter().sum(),
                self.answers
                    .iter()
                    .sum::<u32>()
                    .saturating_add(self.known_udp),
            ),
            Flood::Http => (self.requests, self.requests),
            Flood::Reflector => {
                let count: u32 = self.amplified.iter().sum();
                let much = self.asked_bytes > 0
                    && self.bytes(kind) >= AMPLIFICATION.saturating_mul(self.asked_bytes);
                (if much { count } else { 0 }, count)
            }
        }
    }

    /// Whether most of what counts comes from our own hosts.
    pub(crate) const fn is_ours(&self, kind: Flood) -> bool {
        match kind {
            Flood::Http => self.requests_from_home > self.requests / 2,
            _ => self.from_home > self.hostile / 2,
        }
    }

    /// Bytes of the packets of this kind.
    pub(crate) fn bytes(&self, kind: Flood) -> u64 {
        self.bytes.get(kind as usize).copied().unwrap_or_default()
    }

    /// The service with the most answers of this kind.
    pub(crate) fn service(&self, kind: Flood) -> u8 {
        let counts = if kind == Flood::Reflector {
            self.amplified
        } else {
            self.answers
        };
        let best = (0_u8..).zip(counts).max_by_key(|&(_, count)| count);
        best.map_or(0, |(service, _)| service)
    }
}

/// How much larger answers of an abused server are than what it is asked; ordinary DNS stays below 4.
const AMPLIFICATION: u64 = 5;

#[inline]
const fn bump(count: &mut u32, kind: Flood) -> Option<Flood> {
    *count += 1;
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Inbound = Inbound {
        met: Met::Syn,
        request: false,
        service: None,
        from_home: false,
        bytes: 40,
    };

    #[test]
    fn what_completes_or_is_answered_does_not_count() {
        let mut tally = Tally::default();
        for met in [
            Met::Syn,
            Met::Syn,
            Met::Completed,
            Met::Datagram,
            Met::Datagram,
        ] {
            tally.inbound(&Inbound { met, ..PACKET }, true);
        }
        tally.outbound(true, false, 40);
        assert_eq!(tally.count(Flood::Syn), (1, 2));
        assert_eq!(tally.count(Flood::Udp), (1, 2));
        assert_eq!((tally.bytes(Flood::Syn), tally.hostile), (80, 4));
    }

    #[test]
    fn answers_are_an_abuse_when_much_larger_than_questions() {
        let mut tally = Tally::default();
        let packet = Inbound {
            met: Met::Known,
            service: Some(1),
            from_home: true,
            bytes: 440,
            ..PACKET
        };
        tally.inbound(&packet, false);
        assert_eq!(tally.count(Flood::Reflector), (0, 1), "nobody asked");
        tally.outbound(false, true, 88);
        assert_eq!(tally.count(Flood::Reflector), (1, 1));
        assert_eq!(tally.service(Flood::Reflector), 1);
        tally.outbound(false, true, 1);
        assert_eq!(
            tally.count(Flood::Reflector),
            (0, 1),
            "less than five times"
        );
    }
}
