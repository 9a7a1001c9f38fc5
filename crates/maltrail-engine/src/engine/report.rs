//! Where findings of one packet go: they become events, with why and where.
//!
//! Findings of one packet with the same type and trail are one event with several reasons; the first
//! one gives it its info and reference.

use std::net::IpAddr;

use maltrail_core::event::details::{MAX_EVIDENCE, MAX_REASONS};
use maltrail_core::event::{Details, Direction, Event, Evidence, Members};
use maltrail_core::time::Timestamp;
use maltrail_core::trail::Whitelist;
use maltrail_wire::{Packet, Transport};
use memchr::memmem;

use super::EngineConfig;
use crate::counters::Counters;
use crate::extract::dns_over_tcp;
use crate::finding::{Field, Finding};
use crate::flow::Flow;
use crate::observation::DnsQuery;
use crate::policy::whitelist;
use crate::state::folds::Folds;

/// Bytes of a DNS message before its question (RFC 1035 §4.1.1).
const DNS_HEADER: usize = 12;

/// Where findings of one packet go.
pub(crate) struct Report<'a> {
    pub(crate) at: Timestamp,
    pub(crate) flow: &'a Flow,
    /// What is being looked at.
    pub(crate) seen: Seen<'a>,
    pub(crate) config: &'a EngineConfig,
    pub(crate) whitelist: &'a Whitelist,
    pub(crate) counters: &'a mut Counters,
    /// Where the events of this packet begin in `out`.
    pub(crate) first: usize,
    pub(crate) out: &'a mut Vec<Event>,
}

/// A message, and the part of it that is being looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    message: &'a [u8],
    field: Field,
    /// The part, or a copy of it in lower case.
    part: &'a [u8],
}

impl<'a> Seen<'a> {
    /// No message: many packets together say something.
    pub(crate) const NOTHING: Self = Self::message(b"");

    /// A message as a whole.
    pub(crate) const fn message(message: &'a [u8]) -> Self {
        Self {
            message,
            field: Field::Packet,
            part: b"",
        }
    }

    /// What `packet` carries.
    #[inline]
    pub(super) fn of(packet: &Packet<'a>) -> Self {
        Self::message(match packet.transport {
            Transport::Tcp(tcp) => dns_over_tcp(&tcp).unwrap_or(tcp.payload),
            Transport::Udp(udp) => udp.payload,
            Transport::Icmp { .. } | Transport::Other(_) => packet.ip.payload,
        })
    }

    /// What `packet` carries before its connection is encrypted; of QUIC nothing can be shown, as
    /// that is encrypted, too.
    #[inline]
    pub(super) fn hello(packet: &Packet<'a>) -> Self {
        match packet.transport {
            Transport::Udp(_) => Self {
                message: b"",
                field: Field::QuicSni,
                part: b"",
            },
            _ => Self::of(packet),
        }
    }

    /// From here on the server's name in a hello is looked at.
    #[inline]
    pub(super) const fn name(&mut self, name: &'a [u8]) {
        let field = match self.field {
            Field::QuicSni => Field::QuicSni,
            _ => Field::TlsSni,
        };
        self.look(field, name);
    }

    /// From here on `part` is looked at, which is `field`.
    #[inline]
    pub(crate) const fn look(&mut self, field: Field, part: &'a [u8]) {
        (self.field, self.part) = (field, part);
    }

    /// As much of the message as evidence may need, from its start on.
    pub(super) fn short_message(&self) -> &'a [u8] {
        let most = MAX_EVIDENCE + DNS_HEADER;
        self.message.get(..most).unwrap_or(self.message)
    }

    /// From here on the first question of a DNS message is looked at.
    #[inline]
    pub(crate) fn question(&mut self) {
        self.look(
            Field::DnsQuestion,
            self.message.get(DNS_HEADER..).unwrap_or_default(),
        );
    }

    /// Where the part begins in the message. A copy is looked for, letter case aside.
    fn offset(&self) -> Option<usize> {
        let (message, part) = (self.message, self.part);
        if part.is_empty() {
            return None;
        }
        // Addresses are only compared, so a copy that happens to lie before or behind does no harm.
        let apart = part.as_ptr().addr().checked_sub(message.as_ptr().addr());
        if let Some(offset) = apart
            && message
                .get(offset..)
                .and_then(|rest| rest.get(..part.len()))
                == Some(part)
        {
            return Some(offset);
        }
        memmem::find(&message.to_ascii_lowercase(), &part.to_ascii_lowercase())
    }
}

impl Report<'_> {
    /// A finding that stands alone.
    #[cold]
    pub(crate) fn finding(&mut self, finding: Finding<'_>) {
        if !self.is_whitelisted(&finding) {
            self.emit(finding, None);
        }
    }

    /// A finding in what the packet's source forwards for `client`.
    #[cold]
    pub(crate) fn forwarded(&mut self, finding: Finding<'_>, client: IpAddr) {
        if !self.is_whitelisted(&finding) {
            let sources = format!("{},{client}", self.flow.src.ip);
            self.emit(finding, Some(Members::from_text(&sources)));
        }
    }

    /// A finding about many packets of `sources`, `-` when there are too many to name.
    #[cold]
    pub(super) fn flood(&mut self, finding: Finding<'_>, sources: &str, victim: &str) {
        if self.is_whitelisted(&finding) {
            return;
        }
        self.emit(finding, Some(Members::from_text(sources)));
        if let Some(event) = self.out.last_mut() {
            event.dst_ip = Members::from_text(victim);
        }
    }

    /// A finding in a question, which may be the other half of one reported before.
    #[cold]
    pub(super) fn question(
        &mut self,
        finding: Finding<'_>,
        query: &DnsQuery<'_>,
        folds: &mut Folds,
    ) {
        if self.is_whitelisted(&finding) {
            return;
        }
        if let Some(half) = query.address_type() {
            let name = query.name.as_str();
            let folded = folds.folds(self.at.secs(), self.flow, name, half, &finding);
            self.counters.fold_evictions = folds.evictions();
            if folded {
                self.counters.folded += 1;
                return;
            }
        }
        self.emit(finding, None);
    }

    fn is_whitelisted(&mut self, finding: &Finding<'_>) -> bool {
        let dropped = whitelist::drops(self.whitelist, &finding.kind, self.flow);
        self.counters.whitelisted += u64::from(dropped);
        dropped
    }

    fn emit(&mut self, finding: Finding<'_>, sources: Option<Members>) {
        let offset = finding.stands_in_part().then(|| self.seen.offset());
        let (evidence, offset) = Evidence::around(self.seen.message, offset.flatten());
        let same = |event: &&mut Event| event.kind == finding.kind && event.trail == finding.trail;
        let mut of_packet = self.out.iter_mut().skip(self.first);
        if let Some(event) = of_packet.find(same) {
            if event.details.reasons.len() < MAX_REASONS {
                // The evidence is that of the first reason.
                let reason = finding.reason(self.seen.field, None);
                event.details.reasons.push(reason);
            }
            self.counters.merged += 1;
            return;
        }
        let (src, dst) = (self.flow.src.ip, self.flow.dst.ip);
        let details = Details {
            count: 1,
            direction: Some(Direction::of(&self.config.home, src, dst)),
            reasons: vec![finding.reason(self.seen.field, offset)],
            evidence,
        };
        let mut event = finding.into_event(&self.config.sensor, self.at, self.flow, details);
        if let Some(sources) = sources {
            event.src_ip = sources;
        }
        self.counters.event(&event);
        self.out.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_its_place_and_a_copy_by_its_text() {
        let message = b"host: x\r\nHost: Evil.Example\r\n";
        let mut seen = Seen::message(message);
        assert_eq!(seen.offset(), None);
        seen.look(Field::HttpHost, &message[6..7]);
        assert_eq!(seen.offset(), Some(6));
        let copy = b"evil.example".to_vec();
        seen.look(Field::HttpHost, &copy);
        assert_eq!(seen.offset(), Some(15));
        seen.look(Field::HttpHost, b"absent");
        assert_eq!(seen.offset(), None);
        assert_eq!(Seen::NOTHING.offset(), None);
    }
}
