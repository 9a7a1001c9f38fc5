//! The receive loop: takes datagrams from the socket as fast as it can and hands them on in batches.
//!
//! Bounds: a batch holds at most [`BATCH_BYTES`]; the queue is bounded, and when it is full the loop
//! waits (counted), so that the kernel's buffer, asked to be 8 MiB, takes the burst. What the
//! kernel had to drop is read from `/proc/net/udp*` and counted, too. Sources outside
//! `UDP_ALLOWLIST` are counted and named once each, at most [`MAX_NAMED`] of them. So are those of
//! datagrams without the MAC of `UDP_KEY`, where there is one.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use maltrail_core::addr::NetworkSet;
use maltrail_core::event::Seal;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};

use crate::store::Store;
use crate::store::counters::IntakeCounters;

/// Receive buffer asked of the kernel, as the reference asks.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Largest UDP payload.
const DATAGRAM_BYTES: usize = 65_535;
/// Bytes after which a batch is handed on.
pub(crate) const BATCH_BYTES: usize = 512 << 10;
/// How long the loop waits for a datagram before it looks at the stop flag.
const WAIT: Duration = Duration::from_millis(200);
/// Refused sources that are named in the log.
const MAX_NAMED: usize = 32;
/// How often the kernel's drop counter is read.
const DROPS_PERIOD: Duration = Duration::from_secs(5);

/// Some datagrams, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each datagram ends, and who sent it.
    ends: Vec<(usize, IpAddr)>,
}

impl Batch {
    fn push(&mut self, datagram: &[u8], source: IpAddr) {
        self.bytes.extend_from_slice(datagram);
        self.ends.push((self.bytes.len(), source));
    }

    /// Each datagram with its sender.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (&[u8], IpAddr)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        starts
            .zip(&self.ends)
            .filter_map(|(start, &(end, source))| Some((self.bytes.get(start..end)?, source)))
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct UdpIntake {
    socket: UdpSocket,
    address: SocketAddr,
    allowed: NetworkSet,
    seal: Option<Seal>,
}

impl UdpIntake {
    /// Binds `address`; takes datagrams from `allowed`, with `seal` only those that open.
    pub(crate) fn bind(
        address: SocketAddr,
        allowed: NetworkSet,
        seal: Option<Seal>,
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // The kernel may grant less (net.core.rmem_max); that is said at start, not fatal.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let granted = socket.recv_buffer_size().unwrap_or(0) / 2;
        if granted < RECEIVE_BUFFER {
            tracing::info!(
                granted,
                wanted = RECEIVE_BUFFER,
                "intake: the kernel grants a smaller receive buffer; raise net.core.rmem_max against loss in bursts"
            );
        }
        socket.bind(&address.into())?;
        socket.set_read_timeout(Some(WAIT))?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            allowed,
            seal,
        })
    }

    /// The bound address.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receives until told to stop, or until the writer is gone.
    pub(crate) fn run(self, stop: &AtomicBool, store: &Store, batches: &SyncSender<Batch>) {
        let counters = store.intake();
        let mut gate = Gate {
            allowed: &self.allowed,
            seal: self.seal.as_ref(),
            named: HashSet::new(),
            forgers: HashSet::new(),
        };
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut drops = Instant::now();
        while !stop.load(Ordering::Acquire) {
            if drops.elapsed() >= DROPS_PERIOD {
                drops = Instant::now();
                if let Some(count) = kernel_drops(self.address.port()) {
                    counters.kernel_drops.set(count);
                }
            }
            let Ok((len, source)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let mut batch = Batch::default();
            gate.take(
                &mut batch,
                buffer.get(..len).unwrap_or_default(),
                source.ip(),
                counters,
            );
            self.drain(&mut buffer, &mut batch, &mut gate, counters);
            if !batch.ends.is_empty() && !hand_on(batch, batches, counters) {
                return;
            }
        }
    }

    /// Takes what is there without waiting, up to one batch.
    fn drain(
        &self,
        buffer: &mut [u8],
        batch: &mut Batch,
        gate: &mut Gate<'_>,
        counters: &IntakeCounters,
    ) {
        while batch.bytes.len() < BATCH_BYTES {
            let Ok((_, len, source)) =
                rustix::net::recvfrom(&self.socket, &mut *buffer, RecvFlags::DONTWAIT)
            else {
                return;
            };
            let Some(source) = source.and_then(|source| SocketAddr::try_from(source).ok()) else {
                continue;
            };
            gate.take(
                batch,
                buffer.get(..len).unwrap_or_default(),
                source.ip(),
                counters,
            );
        }
    }
}

fn hand_on(batch: Batch, batches: &SyncSender<Batch>, counters: &IntakeCounters) -> bool {
    match batches.try_send(batch) {
        Ok(()) => true,
        Err(TrySendError::Full(batch)) => {
            counters.queue_waits.add(1);
            batches.send(batch).is_ok()
        }
        Err(TrySendError::Disconnected(_)) => false,
    }
}

struct Gate<'a> {
    allowed: &'a NetworkSet,
    seal: Option<&'a Seal>,
    /// Sources that were named because they are not allowed.
    named: HashSet<IpAddr>,
    /// Sources that were named because what they send does not open.
    forgers: HashSet<IpAddr>,
}

impl Gate<'_> {
    fn take(
        &mut self,
        batch: &mut Batch,
        datagram: &[u8],
        source: IpAddr,
        counters: &IntakeCounters,
    ) {
        counters.received.add(1);
        counters.bytes.add(datagram.len() as u64);
        let allowed = self.allowed.contains(source);
        let source = source.to_canonical();
        if allowed {
            match self.seal.map_or(Some(datagram), |seal| seal.open(datagram)) {
                Some(datagram) => batch.push(datagram, source),
                None => self.note_forgery(source, counters),
            }
            return;
        }
        counters.refused.add(1);
        if self.named.len() < MAX_NAMED && self.named.insert(source) {
            tracing::warn!(%source, "intake: events refused from this address; to accept them add it to UDP_ALLOWLIST, for example `UDP_ALLOWLIST {source}`");
        }
    }
}

impl Gate<'_> {
    fn note_forgery(&mut self, source: IpAddr, counters: &IntakeCounters) {
        counters.forged.add(1);
        if self.forgers.len() < MAX_NAMED && self.forgers.insert(source) {
            tracing::warn!(%source, "intake: datagrams without the MAC of UDP_KEY from this address; give its sensor the same UDP_KEY");
        }
    }
}

/// Drops of the UDP sockets on this port, from the kernel's tables.
fn kernel_drops(port: u16) -> Option<u64> {
    let wanted = format!(":{port:04X}");
    let mut drops = None;
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        for line in text.lines().skip(1) {
            let mut columns = line.split_whitespace();
            if columns.nth(1).is_some_and(|local| local.ends_with(&wanted))
                && let Some(count) = columns.last().and_then(|count| count.parse::<u64>().ok())
            {
                drops = Some(drops.unwrap_or(0) + count);
            }
        }
    }
    drops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_datagrams_apart() {
        let mut batch = Batch::default();
        for datagram in [b"one".as_slice(), b"", b"three"] {
            batch.push(datagram, IpAddr::from([192, 0, 2, 1]));
        }
        assert_eq!(
            batch
                .datagrams()
                .map(|(bytes, _)| bytes)
                .collect::<Vec<_>>(),
            [b"one".as_slice(), b"", b"three"]
        );
    }

    #[test]
    fn strangers_are_counted_and_the_list_of_names_is_bounded() {
        let allowed = NetworkSet::private();
        let mut gate = Gate {
            allowed: &allowed,
            seal: None,
            named: HashSet::new(),
            forgers: HashSet::new(),
        };
        let (counters, mut batch) = (IntakeCounters::default(), Batch::default());
        for last in 0..100 {
            gate.take(
                &mut batch,
                b"x",
                IpAddr::from([203, 0, 113, last]),
                &counters,
            );
        }
        gate.take(&mut batch, b"x", IpAddr::from([10, 0, 0, 1]), &counters);
        assert_eq!(
            (counters.refused.get(), counters.received.get()),
            (100, 101)
        );
        assert_eq!((gate.named.len(), batch.ends.len()), (MAX_NAMED, 1));
    }

    #[test]
    fn what_does_not_open_is_counted_and_goes_no_further() {
        let (allowed, seal) = (NetworkSet::private(), Seal::new("key"));
        let mut gate = Gate {
            allowed: &allowed,
            seal: Some(&seal),
            named: HashSet::new(),
            forgers: HashSet::new(),
        };
        let (counters, mut batch) = (IntakeCounters::default(), Batch::default());
        for last in 0..100 {
            let source = IpAddr::from([10, 0, 0, last]);
            gate.take(&mut batch, b"x", source, &counters);
            gate.take(
                &mut batch,
                &Seal::new("other").seal(b"x"),
                source,
                &counters,
            );
        }
        gate.take(
            &mut batch,
            &seal.seal(b"right"),
            IpAddr::from([10, 0, 0, 1]),
            &counters,
        );
        gate.take(
            &mut batch,
            &seal.seal(b"right"),
            IpAddr::from([203, 0, 113, 1]),
            &counters,
        );
        let taken: Vec<&[u8]> = batch.datagrams().map(|(bytes, _)| bytes).collect();
        assert_eq!(taken, [b"right"]);
        assert_eq!((counters.forged.get(), counters.refused.get()), (200, 1));
        assert_eq!(gate.forgers.len(), MAX_NAMED);
    }

    #[test]
    fn the_kernel_s_counter_of_a_bound_socket_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(kernel_drops(socket.local_addr().unwrap().port()), Some(0));
    }
}
