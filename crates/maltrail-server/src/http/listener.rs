//! Accepting connections within bounds.
//!
//! At most [`Limits::connections`] at a time, of which one address (loopback aside) holds at most
//! [`Limits::per_address`]; a connection that moves no byte for [`Limits::idle`], or that takes
//! longer than [`Limits::request`] from the first byte of a request to the first byte of the answer,
//! is closed. When no place is free, the connection that has been longest without a whole request head gives
//! way to a new one. So silent or dripping clients cannot use the server up. A TLS handshake happens in the
//! connection's own task, within the same bounds and [`Limits::handshake`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::wire::Wire;
use crate::store::lock;

/// Pause after a failed accept (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(50);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    pub(crate) idle: Duration,
    pub(crate) request: Duration,
    pub(crate) handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each costs a descriptor and about 20 kB.
            connections: 4096,
            per_address: 256,
            // Streams send a ping every 15 s.
            idle: Duration::from_secs(60),
            request: Duration::from_secs(120),
            handshake: Duration::from_secs(10),
        }
    }
}

/// The client's address as handlers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

/// A listening socket with bounds.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    /// Clients may begin with a TLS handshake.
    tls: Option<Arc<ServerConfig>>,
    limits: Limits,
    places: Arc<Semaphore>,
    /// std lock: held for one count. Bounded by the number of connections.
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    mute: Arc<Mute>,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        Self {
            tcp,
            tls,
            limits,
            places,
            addresses: Arc::default(),
            mute: Arc::default(),
        }
    }

    /// Counts a connection of this address, unless it has too many.
    fn enter(&self, address: IpAddr) -> Option<Entry> {
        let address = address.to_canonical();
        let mut addresses = lock(&self.addresses);
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.limits.per_address && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Entry {
            address,
            addresses: Arc::clone(&self.addresses),
        })
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, address)) => {
                    let Some(entry) = self.enter(address.ip()) else {
                        continue;
                    };
                    if self.places.available_permits() == 0 {
                        self.mute.close_oldest();
                    }
                    // Further clients wait in the kernel's queue until a place is free.
                    let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                        std::future::pending::<()>().await;
                        continue;
                    };
                    let hearing = Hearing::new(&self.mute);
                    let wire = Wire::new(stream, self.tls.clone());
                    let connection = Connection::new(wire, self.limits, (place, entry), hearing);
                    return (connection, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; raise the limit of open files if this repeats");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A counted connection of an address.
#[derive(Debug)]
struct Entry {
    address: IpAddr,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut addresses = lock(&self.addresses);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Connections that have not sent a whole request head yet, in order of their coming. Bounded by the number
/// of connections.
#[derive(Debug, Default)]
struct Mute {
    next: AtomicU64,
    /// std lock: held for map operations only.
    all: Mutex<BTreeMap<u64, Arc<Ticket>>>,
}

#[derive(Debug, Default)]
struct Ticket {
    closed: AtomicBool,
    /// std lock: held to put or take the waker.
    waker: Mutex<Option<Waker>>,
}

impl Mute {
    /// Ends the one that has been silent for longest, if there is any.
    fn close_oldest(&self) {
        let oldest = lock(&self.all).pop_first();
        if let Some((_, ticket)) = oldest {
            ticket.closed.store(true, Ordering::Release);
            if let Some(waker) = lock(&ticket.waker).take() {
                waker.wake();
            }
        }
    }
}

/// Listens for the end of a connection's first request head.
#[derive(Debug)]
struct Hearing {
    id: u64,
    mute: Arc<Mute>,
    /// `None` once the head is complete.
    ticket: Option<Arc<Ticket>>,
    /// Whether the last line so far is empty.
    empty: bool,
}

impl Hearing {
    fn new(mute: &Arc<Mute>) -> Self {
        let (id, ticket) = (mute.next.fetch_add(1, Ordering::Relaxed), Arc::default());
        lock(&mute.all).insert(id, Arc::clone(&ticket));
        Self {
            id,
            mute: Arc::clone(mute),
            ticket: Some(ticket),
            empty: false,
        }
    }

    /// Takes what was read.
    fn hear(&mut self, bytes: &[u8]) {
        if self.ticket.is_none() {
            return;
        }
        for byte in bytes {
            match byte {
                b'\n' if self.empty => {
                    self.end();
                    return;
                }
                b'\n' => self.empty = true,
                b'\r' => {}
                _ => self.empty = false,
            }
        }
    }

    /// Whether the connection has to end; else it is woken when it has to.
    fn is_closed(&self, context: &Context<'_>) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| {
            *lock(&ticket.waker) = Some(context.waker().clone());
            ticket.closed.load(Ordering::Acquire)
        })
    }

    fn end(&mut self) {
        if self.ticket.take().is_some() {
            lock(&self.mute.all).remove(&self.id);
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection that ends by itself when nothing moves.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    /// The wire is a TLS one.
    secure: Arc<AtomicBool>,
    limits: Limits,
    moved: Instant,
    /// When the request that is not answered yet began.
    asked: Option<Instant>,
    /// When the handshake that is not done yet began.
    shaking: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    hearing: Hearing,
    _place: (OwnedSemaphorePermit, Entry),
}

impl Connection {
    fn new(
        wire: Wire,
        limits: Limits,
        place: (OwnedSemaphorePermit, Entry),
        hearing: Hearing,
    ) -> Self {
        let now = Instant::now();
        let alarm = Box::pin(tokio::time::sleep_until(now + limits.idle));
        Self {
            wire,
            secure: Arc::default(),
            limits,
            moved: now,
            asked: None,
            shaking: None,
            alarm,
            hearing,
            _place: place,
        }
    }

    /// Whether its bytes travel through TLS; right when a request has been read.
    pub(crate) fn secure(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.secure)
    }

    fn deadline(&self) -> Instant {
        let idle = self.moved + self.limits.idle;
        let request = self.asked.map(|asked| asked + self.limits.request);
        let handshake = self.shaking.map(|began| began + self.limits.handshake);
        [request, handshake]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    /// Ready when the first byte has said what this is and a handshake, if it is one, is done.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let opened = self.wire.poll_open(context, &self.secure);
        if opened.is_ready() {
            self.shaking = None;
            return opened;
        }
        if self.wire.is_shaking() && self.shaking.is_none() {
            self.shaking = Some(Instant::now());
            let deadline = self.deadline();
            self.alarm.as_mut().reset(deadline);
        }
        self.poll_alarm(context).map(Err)
    }

    /// Pending while the connection may go on.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(deadline);
        }
    }

    fn wrote(&mut self, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(_))) {
            self.moved = Instant::now();
            self.asked = None;
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let asked_too_long = self
            .asked
            .is_some_and(|asked| asked + self.limits.request <= Instant::now());
        if asked_too_long {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.hearing.is_closed(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.poll_open(context))?;
        let before = buffer.filled().len();
        match Pin::new(&mut self.wire).poll_read(context, buffer) {
            Poll::Ready(result) => {
                let read = buffer.filled().get(before..).unwrap_or_default();
                self.hearing.hear(read);
                let now = Instant::now();
                self.moved = now;
                self.asked.get_or_insert(now);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_alarm(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.wire).poll_write(context, bytes);
        self.wrote(&result);
        // A client that does not read ends like one that does not write.
        if result.is_pending() {
            self.poll_alarm(context).map(Err)
        } else {
            result
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.wire).poll_write_vectored(context, slices);
        self.wrote(&result);
        if result.is_pending() {
            self.poll_alarm(context).map(Err)
        } else {
            result
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.wire).poll_flush(context);
        // TLS keeps bytes of its own: a client that does not read holds this up.
        if result.is_pending() {
            self.poll_alarm(context).map(Err)
        } else {
            result
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.wire).poll_shutdown(context);
        if result.is_pending() {
            self.poll_alarm(context).map(Err)
        } else {
            result
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    async fn serve(limits: Limits) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let app = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(axum::serve(Listener::new(tcp, limits, None), app).into_future());
        address
    }

    fn short() -> Limits {
        Limits {
            connections: 2,
            per_address: 1,
            idle: Duration::from_millis(300),
            request: Duration::from_millis(600),
            handshake: Duration::from_millis(300),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_client_is_closed_and_makes_room() {
        let address = serve(short()).await;
        let clients = move || {
            let mut silent: Vec<TcpStream> = (0..3)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            // Two places are taken; the third and this one wait, and are served or closed in turn.
            let mut client = TcpStream::connect(address).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .unwrap();
            let (mut answer, mut rest) = (String::new(), Vec::new());
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            silent[0]
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            silent[0].read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty());
        };
        tokio::task::spawn_blocking(clients).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dripping_client_is_closed() {
        let address = serve(short()).await;
        let client = move || {
            let mut client = TcpStream::connect(address).unwrap();
            let started = Instant::now();
            for byte in b"GET / HTTP/1.1\r\nHost: a-very-long-name-that-never-ends"
                .iter()
                .cycle()
            {
                let closed = client.write_all(&[*byte]).is_err();
                if closed || started.elapsed() > Duration::from_secs(5) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            started.elapsed()
        };
        let elapsed = tokio::task::spawn_blocking(client).await.unwrap();
        assert!(elapsed < Duration::from_secs(4), "open for {elapsed:?}");
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_is_cut() {
        let mute = Arc::new(Mute::default());
        for (head, ends) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: x\n\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\n", false),
            ("\n\rx\r\n", false),
        ] {
            for size in 1..=head.len() {
                let mut hearing = Hearing::new(&mute);
                head.as_bytes()
                    .chunks(size)
                    .for_each(|piece| hearing.hear(piece));
                assert_eq!(hearing.ticket.is_none(), ends, "{head:?} by {size}");
                assert_eq!(lock(&mute.all).is_empty(), ends);
            }
        }
        assert!(lock(&mute.all).is_empty(), "nothing stays behind");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_house_lets_in_whom_has_something_to_say() {
        let limits = Limits {
            connections: 3,
            per_address: 1,
            idle: Duration::from_secs(60),
            request: Duration::from_secs(60),
            handshake: Duration::from_secs(60),
        };
        let address = serve(limits).await;
        let clients = move || {
            let ask = |stream: &mut TcpStream| {
                stream
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                let mut answer = [0; 512];
                let count = stream.read(&mut answer).unwrap();
                assert!(answer[..count].ends_with(b"here"));
            };
            let mut known = TcpStream::connect(address).unwrap();
            ask(&mut known);
            let mut silent: Vec<TcpStream> = Vec::new();
            for _ in 0..20 {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"GET / HT").unwrap();
                silent.push(stream);
                let started = Instant::now();
                ask(&mut TcpStream::connect(address).unwrap());
                assert!(started.elapsed() < Duration::from_secs(2));
            }
            ask(&mut known);
        };
        tokio::task::spawn_blocking(clients).await.unwrap();
    }

    #[tokio::test]
    async fn one_address_has_its_share_only() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = Listener::new(tcp, short(), None);
        let address = IpAddr::from([198, 51, 100, 1]);
        let first = listener.enter(address);
        assert!(first.is_some() && listener.enter(address).is_none());
        assert!(listener.enter([198, 51, 100, 2].into()).is_some());
        drop(first);
        assert!(listener.enter(address).is_some(), "and may come again");
        assert!(lock(&listener.addresses).is_empty(), "nothing stays behind");
    }
}
