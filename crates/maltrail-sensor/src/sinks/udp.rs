//! One datagram an event.
//!
//! The address is resolved once. When that or a send fails even with a new socket, it is tried again
//! after 30 s; events of the meantime are lost and counted by the caller.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use maltrail_core::event::Seal;

use super::ending::Ending;
use super::endpoint::{Link, Outcome};

/// Pause before another try to resolve or open (`spec` sensor §13).
const RETRY: Duration = Duration::from_secs(30);

/// Sender of datagrams to one server.
pub(super) struct UdpLink {
    server: String,
    address: Option<SocketAddr>,
    socket: Option<UdpSocket>,
    /// Shows the server who sends.
    seal: Option<Seal>,
    /// Time of the last failed try.
    failed_at: Option<Instant>,
}

impl UdpLink {
    /// Sends to `host:port` or `[v6]:port`; nothing is resolved yet.
    pub(super) fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            address: None,
            socket: None,
            seal: None,
            failed_at: None,
        }
    }

    /// The same, with every datagram sealed.
    pub(super) fn sealed(self, seal: Option<Seal>) -> Self {
        Self { seal, ..self }
    }

    /// Makes sure that there is a socket.
    fn connected(&mut self) -> io::Result<&UdpSocket> {
        let socket = match (self.socket.take(), self.address) {
            (Some(socket), _) => socket,
            (None, Some(address)) => connect(address)?,
            (None, None) => {
                let (address, socket) = resolve(&self.server)?;
                self.address = Some(address);
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }

    fn try_send(&mut self, datagram: &[u8]) -> Result<Outcome, io::Error> {
        let socket = self.connected()?;
        socket.send(datagram)?;
        // A port that nobody listens on answers the datagram with an error; on this machine at once.
        Ok(match socket.take_error()? {
            None => Outcome::Sent,
            Some(error) => Outcome::Lost(error),
        })
    }
}

impl Link for UdpLink {
    fn deliver(&mut self, message: &[u8], _: &Ending) -> Outcome {
        let sealed = self.seal.as_ref().map(|seal| seal.seal(message));
        let message = sealed.as_deref().unwrap_or(message);
        if self.failed_at.is_some_and(|at| at.elapsed() < RETRY) {
            return Outcome::StillLost;
        }
        self.failed_at = None;
        let mut refused = false;
        for last in [false, true] {
            match self.try_send(message) {
                Ok(Outcome::Sent) if refused => return Outcome::SentAfterLoss,
                Ok(outcome) => return outcome,
                Err(error) => {
                    // What a host farther away refused shows at the next send, which is then not made.
                    refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                    self.socket = None;
                    if last || self.address.is_none() {
                        self.address = None;
                        self.failed_at = Some(Instant::now());
                        return Outcome::Lost(error);
                    }
                }
            }
        }
        Outcome::StillLost
    }
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = if address.is_ipv6() {
        ([0u16; 8], 0).into()
    } else {
        ([0u8; 4], 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(address)?;
    Ok(socket)
}

fn resolve(server: &str) -> io::Result<(SocketAddr, UdpSocket)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in without_zone(server).to_socket_addrs()? {
        match connect(address) {
            Ok(socket) => return Ok((address, socket)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// compat: a `%zone` is dropped.
pub(super) fn without_zone(server: &str) -> String {
    match (server.find('%'), server.find(']')) {
        (Some(zone), Some(end)) if zone < end => format!("{}{}", &server[..zone], &server[end..]),
        _ => server.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(link: &mut UdpLink, message: &str) -> Outcome {
        link.deliver(message.as_bytes(), &Ending::never())
    }

    #[test]
    fn datagrams_arrive_as_they_are() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("socket");
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("timeout");
        let mut link = UdpLink::new(&server.local_addr().expect("address").to_string());
        assert!(matches!(
            send(&mut link, "1700000000 line\n"),
            Outcome::Sent
        ));
        let mut buffer = [0; 64];
        let count = server.recv(&mut buffer).expect("datagram");
        assert_eq!(&buffer[..count], b"1700000000 line\n");
    }

    #[test]
    fn a_name_without_address_costs_one_try_in_thirty_seconds() {
        let mut link = UdpLink::new("no-such-host.invalid:8337");
        assert!(matches!(send(&mut link, "x"), Outcome::Lost(_)));
        let first = link.failed_at;
        assert!(first.is_some());
        assert!(matches!(send(&mut link, "x"), Outcome::StillLost));
        assert_eq!(link.failed_at, first, "no second look-up");
    }

    #[test]
    fn what_a_closed_port_refuses_is_lost_and_what_comes_later_arrives() {
        let closed = UdpSocket::bind("127.0.0.1:0").expect("socket");
        let address = closed.local_addr().expect("address");
        drop(closed);
        let mut link = UdpLink::new(&address.to_string());
        for _ in 0..5 {
            assert!(matches!(send(&mut link, "x"), Outcome::Lost(_)));
        }
        let _open = UdpSocket::bind(address).expect("socket");
        assert!(matches!(send(&mut link, "x"), Outcome::Sent), "no pause");
    }

    #[test]
    fn zones_of_ipv6_addresses_are_dropped() {
        assert_eq!(without_zone("[fe80::1%eth0]:514"), "[fe80::1]:514");
        assert_eq!(without_zone("a%b:514"), "a%b:514");
        assert!(resolve("[::1%lo]:8337").is_ok());
    }
}
