//! Syslog over TCP and TLS: RFC 5424 messages with counted octets (RFC 6587 §3.4.1, RFC 5425 §4.3).
//!
//! ```text
//! connect ─ fails ─► pause 1 s, doubling to 30 s ─► connect …        (events wait in the queue)
//!    └─ works ─► write each frame whole ─ fails or stalls 30 s ─► connect again, same frame anew
//! ```
//!
//! Sockets do not block: each wait has a limit, and the end of the program ends every one of them. A
//! frame counts as sent when the system (and TLS) has taken all of it; what a peer that dies had not
//! read by then is lost without notice, as in all syslog over TCP.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ending::Ending;
use super::endpoint::{Link, Outcome, State};
use super::tls::{Tls, TlsStream};
use super::udp::without_zone;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Longest time in which a peer may take nothing of a frame.
const STALL: Duration = Duration::from_secs(30);
/// Pauses before another connection.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lived this long was good: the next one is tried at once.
const GOOD: Duration = Duration::from_secs(10);
/// Nap while a socket takes nothing.
const NAP: Duration = Duration::from_millis(2);

/// A connection that takes frames.
pub(super) trait Connection: Send {
    /// Passes on what it can of `frame` and of what it kept, and reads what the peer says.
    /// True when it moved anything.
    fn push(&mut self, frame: &mut &[u8]) -> io::Result<bool>;

    /// Whether everything that was passed on has left.
    fn is_flushed(&self) -> bool;

    fn close(&mut self);
}

/// Sender of frames to one receiver.
pub(super) struct StreamLink {
    address: String,
    tls: Option<Tls>,
    state: Arc<State>,
    open: Option<Box<dyn Connection>>,
    opened: Option<Instant>,
    pause: Duration,
    next_try: Option<Instant>,
    /// The one more try at the end was made.
    tried_at_end: bool,
}

impl StreamLink {
    /// Sends to `host:port`; nothing is opened yet.
    pub(super) fn new(address: &str, tls: Option<Tls>, state: Arc<State>) -> Self {
        Self {
            address: address.to_owned(),
            tls,
            state,
            open: None,
            opened: None,
            pause: FIRST_PAUSE,
            next_try: None,
            tried_at_end: false,
        }
    }

    /// Opens a connection, however long that takes; false when the program ends before.
    fn connect(&mut self, ending: &Ending) -> bool {
        while self.open.is_none() {
            if ending.has_come() {
                if ending.is_over() || std::mem::replace(&mut self.tried_at_end, true) {
                    return false;
                }
            } else if let Some(at) = self.next_try {
                let now = Instant::now();
                if now < at {
                    ending.sleep(at - now);
                    continue;
                }
            }
            match self.try_connect(ending) {
                Ok(connection) => {
                    self.open = Some(connection);
                    self.opened = Some(Instant::now());
                }
                Err(error) => self.fail(&error),
            }
        }
        true
    }

    fn try_connect(&self, ending: &Ending) -> io::Result<Box<dyn Connection>> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in without_zone(&self.address)
            .to_socket_addrs()?
            .take(ADDRESSES)
        {
            let limit = ending.left().unwrap_or(CONNECT).min(CONNECT);
            if limit.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let stream = match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            return Ok(match &self.tls {
                Some(tls) => Box::new(TlsStream::new(tls, stream)?),
                None => Box::new(Plain(stream)),
            });
        }
        Err(last)
    }

    /// Drops the connection and says when the next may be tried.
    fn fail(&mut self, error: &io::Error) {
        self.state.trouble(error);
        self.open = None;
        let lived = self.opened.take().map(|opened| opened.elapsed());
        if lived.is_some_and(|lived| lived >= GOOD) {
            self.pause = FIRST_PAUSE;
            self.next_try = None;
        } else {
            self.next_try = Some(Instant::now() + self.pause);
            self.pause = LAST_PAUSE.min(self.pause * 2);
        }
    }
}

impl Link for StreamLink {
    fn deliver(&mut self, message: &[u8], ending: &Ending) -> Outcome {
        let mut frame = format!("{} ", message.len()).into_bytes();
        frame.extend_from_slice(message);
        while self.connect(ending) {
            let Some(connection) = &mut self.open else {
                break;
            };
            match write(connection.as_mut(), &frame, ending) {
                Ok(()) => return Outcome::Sent,
                Err(error) => self.fail(&error),
            }
        }
        Outcome::StillLost
    }

    fn close(&mut self) {
        if let Some(mut connection) = self.open.take() {
            connection.close();
        }
    }
}

/// Writes a whole frame.
fn write(connection: &mut dyn Connection, frame: &[u8], ending: &Ending) -> io::Result<()> {
    let mut rest = frame;
    let mut moved_at = Instant::now();
    loop {
        let moved = connection.push(&mut rest)?;
        if rest.is_empty() && connection.is_flushed() {
            return Ok(());
        }
        if moved {
            moved_at = Instant::now();
        }
        if moved_at.elapsed() >= STALL || ending.is_over() {
            let text = "the receiver takes nothing";
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        if !moved {
            ending.sleep(NAP);
        }
    }
}

/// Whether a read or write may go on: what it moved, or nothing for the moment.
pub(super) fn moved(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The peer has ended the connection.
pub(super) fn ended() -> io::Error {
    io::Error::new(
        ErrorKind::UnexpectedEof,
        "the receiver closed the connection",
    )
}

/// TCP without TLS.
struct Plain(TcpStream);

impl Connection for Plain {
    fn push(&mut self, frame: &mut &[u8]) -> io::Result<bool> {
        // A receiver has nothing to say, but this is how one learns that it has gone.
        let mut scratch = [0; 512];
        let heard = match moved(self.0.read(&mut scratch))? {
            Some(0) => return Err(ended()),
            Some(_) => true,
            None => false,
        };
        let Some(count) = moved(self.0.write(frame))? else {
            return Ok(heard);
        };
        *frame = frame.get(count..).unwrap_or_default();
        Ok(count > 0 || heard)
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn close(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
