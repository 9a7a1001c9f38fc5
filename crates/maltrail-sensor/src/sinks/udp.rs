//! `LOG_SERVER`: one datagram an event.
//!
//! The address is resolved once; when that or a send fails, it is tried again after 30 s. Failures
//! are counted and said once, not once an event.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// Pause before another try to resolve or open (`spec` sensor §13).
const RETRY: Duration = Duration::from_secs(30);

/// Sender of datagrams to one server.
pub struct UdpSink {
    server: String,
    socket: Option<UdpSocket>,
    /// Time of the last failed try.
    failed_at: Option<Instant>,
    failing: bool,
}

impl UdpSink {
    /// Sends to `host:port` or `[v6]:port`; nothing is resolved yet.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            socket: None,
            failed_at: None,
            failing: false,
        }
    }

    /// Sends one datagram; false when it is lost.
    pub fn send(&mut self, datagram: &str) -> bool {
        // A port that nobody listens on answers the first datagram with an error that shows at the
        // second; the socket is made anew once for such cases.
        for _ in 0..2 {
            let Some(socket) = self.connected() else {
                return false;
            };
            match socket.send(datagram.as_bytes()) {
                Ok(_) => {
                    if std::mem::take(&mut self.failing) {
                        info!("events reach LOG_SERVER `{}` again", self.server);
                    }
                    return true;
                }
                Err(error) => self.fail(&error),
            }
        }
        false
    }

    fn connected(&mut self) -> Option<&UdpSocket> {
        if self.socket.is_none() && self.failed_at.is_none_or(|at| at.elapsed() >= RETRY) {
            match connect(&self.server) {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.failed_at = None;
                }
                Err(error) => {
                    self.fail(&error);
                    self.failed_at = Some(Instant::now());
                }
            }
        }
        self.socket.as_ref()
    }

    fn fail(&mut self, error: &io::Error) {
        self.socket = None;
        if !std::mem::replace(&mut self.failing, true) {
            warn!(
                "cannot send events to LOG_SERVER `{}`: {error}; tried again, losses are counted",
                self.server
            );
        }
    }
}

fn connect(server: &str) -> io::Result<UdpSocket> {
    // compat: a `%zone` is dropped.
    let plain = match (server.find('%'), server.find(']')) {
        (Some(zone), Some(end)) if zone < end => format!("{}{}", &server[..zone], &server[end..]),
        _ => server.to_owned(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in plain.to_socket_addrs()? {
        let local: SocketAddr = if address.is_ipv6() {
            ([0u16; 8], 0).into()
        } else {
            ([0u8; 4], 0).into()
        };
        match UdpSocket::bind(local).and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_as_they_are() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("socket");
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("timeout");
        let mut sink = UdpSink::new(&server.local_addr().expect("address").to_string());
        assert!(sink.send("1700000000 line\n"));
        let mut buffer = [0; 64];
        let count = server.recv(&mut buffer).expect("datagram");
        assert_eq!(&buffer[..count], b"1700000000 line\n");
    }

    #[test]
    fn a_name_without_address_costs_one_try_in_thirty_seconds() {
        let mut sink = UdpSink::new("no-such-host.invalid:8337");
        assert!(!sink.send("x"));
        let first = sink.failed_at;
        assert!(first.is_some() && !sink.send("x"));
        assert_eq!(sink.failed_at, first, "no second look-up");
    }

    #[test]
    fn zones_of_ipv6_addresses_are_dropped() {
        assert!(connect("[::1%lo]:8337").is_ok());
    }
}
