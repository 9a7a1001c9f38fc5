//! What a packet says in the clear before its connection is encrypted.
//!
//! A name in a TLS or QUIC ClientHello, else the fingerprint of a server's first certificate. This
//! comes before everything else a packet shows and takes nothing from it: a datagram with a QUIC
//! hello is also a datagram.
//!
//! Most packets cost a look at their first bytes: TLS payloads start with a handshake record, QUIC
//! datagrams with a long header of a known version. Nothing is put together over packets. Buffers
//! have a fixed size and are made once.

use maltrail_core::config::DetectConfig;
use maltrail_core::name::HostName;
use maltrail_wire::quic::{self, Initial};
use maltrail_wire::tls::{self, ClientHello, HostNameBuf, Sha1};
use maltrail_wire::{Packet, Transport};

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
    seen: Seen,
}

/// Where QUIC packets are opened.
#[derive(Debug, Default)]
struct Buffers {
    packet: quic::PacketBuf,
    stream: quic::StreamBuf,
}

impl Hellos {
    /// Reads what the configuration asks for.
    pub(crate) fn new(config: &DetectConfig) -> Self {
        Self {
            names: config.check_sni,
            certificates: config.check_certificates,
            name: HostNameBuf::default(),
            buffers: Box::default(),
            seen: Seen::default(),
        }
    }

    /// What was read so far.
    pub(crate) const fn seen(&self) -> Seen {
        self.seen
    }

    /// What `packet` says.
    #[inline]
    pub(crate) fn read(&mut self, packet: &Packet<'_>) -> Option<Hello<'_>> {
        match packet.transport {
            Transport::Tcp(tcp) if tls::is_handshake(tcp.payload) => self.tls(tcp.payload),
            Transport::Udp(udp) if self.names => {
                let initial = Initial::parse(udp.payload)?;
                self.quic(&initial)
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

    fn quic(&mut self, initial: &Initial<'_>) -> Option<Hello<'_>> {
        let Buffers { packet, stream } = &mut *self.buffers;
        let Ok(frames) = quic::open(initial, packet) else {
            self.seen.quic_unread += 1;
            return None;
        };
        let pieces = quic::crypto_stream(frames, stream);
        self.seen.quic_pieces_lost += u64::from(pieces.lost);
        let sent = ClientHello::in_messages(pieces.bytes)?.server_name()?;
        let name = HostName::new(self.name.lower(sent)?)?;
        self.seen.quic_names += 1;
        Some(Hello::Sni(name))
    }
}
