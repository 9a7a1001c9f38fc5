//! What a packet says in the clear before its connection is encrypted.
//!
//! A name in a TLS or QUIC ClientHello, else the fingerprint of a server's first certificate. This
//! comes before everything else a packet shows and takes nothing from it: a datagram with a QUIC
//! hello is also a datagram.
//!
//! Most packets cost a look at their first bytes: TLS payloads start with a handshake record, QUIC
//! datagrams with a long header of a known version. TLS messages over several segments arrive here
//! put together ([`heads`](crate::heads)); QUIC hellos over several packets are put together here
//! ([`flights`](crate::flights)) and have the time of their first. Buffers have a fixed size and are
//! made once.
//!
//! Bound: [`MAX_COALESCED`] packets of a datagram.

use maltrail_core::config::DetectConfig;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_wire::quic::{self, Initial, InitialDrop};
use maltrail_wire::tls::{self, ClientHello, HostNameBuf, Sha1};
use maltrail_wire::{Packet, Transport};

use crate::flights::{Flights, is_whole};
use crate::flow::Flow;

/// Most packets of one datagram that are opened. Clients send one or two.
const MAX_COALESCED: usize = 4;

/// What stands in a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hello<'a> {
    /// The name of the server that a client asks for.
    Sni(HostName<'a>),
    /// The fingerprint of the first certificate of a server.
    Cert(Sha1),
}

/// What was read in hellos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Names in TLS hellos.
    pub(crate) tls_names: u64,
    /// Names in QUIC hellos.
    pub(crate) quic_names: u64,
    /// Certificates.
    pub(crate) certificates: u64,
    /// QUIC packets that look like the first of a client and could not be opened.
    pub(crate) quic_unread: u64,
    /// Pieces of QUIC hellos left out because there were too many.
    pub(crate) quic_pieces_lost: u64,
    /// QUIC hellos that did not come in one packet.
    pub(crate) quic_flights: u64,
    /// Such hellos forgotten to make room.
    pub(crate) quic_flight_evictions: u64,
}

/// Reads hellos.
#[derive(Debug)]
pub(crate) struct Hellos {
    /// `CHECK_TLS_SNI`.
    names: bool,
    /// `CHECK_TLS_CERTIFICATES`.
    certificates: bool,
    name: HostNameBuf,
    buffers: Box<Buffers>,
    flights: Flights,
    seen: Seen,
}

/// Where QUIC packets are opened.
#[derive(Debug, Default)]
struct Buffers {
    packet: quic::PacketBuf,
    stream: quic::StreamBuf,
}

impl Hellos {
    /// Reads what the configuration asks for, with the memory of one of `workers`.
    pub(crate) fn new(config: &DetectConfig, workers: usize) -> Self {
        Self {
            names: config.check_sni,
            certificates: config.check_certificates,
            name: HostNameBuf::default(),
            buffers: Box::default(),
            flights: Flights::new(workers),
            seen: Seen::default(),
        }
    }

    /// What was read so far.
    pub(crate) const fn seen(&self) -> Seen {
        let mut seen = self.seen;
        seen.quic_flights = self.flights.begun();
        seen.quic_flight_evictions = self.flights.evictions();
        seen
    }

    /// What `packet` says, and since when: `at`, or when its first part came.
    #[inline]
    pub(crate) fn read(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
    ) -> Option<(Timestamp, Hello<'_>)> {
        match packet.transport {
            Transport::Tcp(tcp) if tls::is_handshake(tcp.payload) => {
                Some((at, self.tls(tcp.payload)?))
            }
            Transport::Udp(udp) if self.names => {
                let initial = Initial::parse(udp.payload)?;
                self.datagram(at, packet, initial, udp.payload)
            }
            _ => None,
        }
    }

    fn tls(&mut self, payload: &[u8]) -> Option<Hello<'_>> {
        let hello = if self.names {
            ClientHello::in_records(payload)
        } else {
            None
        };
        if let Some(sent) = hello.and_then(|hello| hello.server_name()) {
            let name = HostName::new(self.name.lower(sent)?)?;
            self.seen.tls_names += 1;
            return Some(Hello::Sni(name));
        }
        if !self.certificates {
            return None;
        }
        let certificate = tls::first_certificate(payload)?;
        self.seen.certificates += 1;
        Some(Hello::Cert(tls::sha1(certificate)))
    }

    /// The packets of a datagram, up to the one that completes a hello.
    fn datagram<'d>(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        first: Initial<'d>,
        datagram: &'d [u8],
    ) -> Option<(Timestamp, Hello<'_>)> {
        let (mut initial, mut rest) = (first, datagram);
        let mut since = None;
        for _ in 0..MAX_COALESCED {
            since = self.quic(at, packet, &initial);
            if since.is_some() {
                break;
            }
            match initial.next(rest) {
                Some(next) => (initial, rest) = next,
                None => break,
            }
        }
        let name = HostName::new(self.name.text())?;
        Some((since?, Hello::Sni(name)))
    }

    /// Reads one packet; since when there is a hello whose name is noted, if there is one now.
    fn quic(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        initial: &Initial<'_>,
    ) -> Option<Timestamp> {
        let Buffers {
            packet: opened,
            stream,
        } = &mut *self.buffers;
        let mut id = initial.dcid;
        // After an answer, clients use the id of the server, and the keys of their first one.
        let first_id = self.flights.awaited(packet).filter(|first| *first != id);
        let mut frames = quic::open(initial, opened);
        if let (Err(InitialDrop::Tag), Some(first)) = (frames, &first_id) {
            id = first;
            let again = Initial {
                dcid: id,
                ..*initial
            };
            frames = quic::open(&again, opened);
        }
        let Ok(frames) = frames else {
            self.seen.quic_unread += 1;
            return None;
        };
        let pieces = quic::crypto_stream(frames, stream);
        self.seen.quic_pieces_lost += u64::from(pieces.lost);
        let hello = ClientHello::in_messages(pieces.bytes);
        let (since, sent) = match hello.and_then(|hello| hello.server_name()) {
            Some(sent) => (at, sent),
            None if is_whole(pieces.bytes) => return None,
            None => {
                let flight = self.flights.add(at, Flow::of(packet), id, frames)?;
                let hello = ClientHello::in_messages(flight.bytes);
                (flight.since, hello.and_then(|hello| hello.server_name())?)
            }
        };
        HostName::new(self.name.lower(sent)?)?;
        self.seen.quic_names += 1;
        Some(since)
    }
}
