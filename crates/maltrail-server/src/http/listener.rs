//! Accepting connections within bounds.
//!
//! At most [`Limits::connections`] at a time, of which one address (loopback aside) holds at most
//! [`Limits::per_address`]; a connection that moves no byte for [`Limits::idle`], or that takes
//! longer than [`Limits::request`] from the first byte of a request to the first byte of the answer,
//! is closed. So silent or dripping clients cannot use the server up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

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
        }
    }
}

/// The client's address as handlers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for ClientAddress {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listening socket with bounds.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    /// std lock: held for one count. Bounded by the number of connections.
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        Self {
            tcp,
            limits,
            places,
            addresses: Arc::default(),
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
            // Beyond the bound new clients wait in the kernel's queue until a place is free.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                std::future::pending::<()>().await;
                continue;
            };
            match self.tcp.accept().await {
                Ok((stream, address)) => {
                    if let Some(entry) = self.enter(address.ip()) {
                        return (Connection::new(stream, self.limits, place, entry), address);
                    }
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

/// A connection that ends by itself when nothing moves.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    limits: Limits,
    moved: Instant,
    /// When the request that is not answered yet began.
    asked: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
    _entry: Entry,
}

impl Connection {
    fn new(stream: TcpStream, limits: Limits, place: OwnedSemaphorePermit, entry: Entry) -> Self {
        let now = Instant::now();
        let alarm = Box::pin(tokio::time::sleep_until(now + limits.idle));
        Self {
            stream,
            limits,
            moved: now,
            asked: None,
            alarm,
            _place: place,
            _entry: entry,
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.moved + self.limits.idle;
        self.asked
            .map_or(idle, |asked| idle.min(asked + self.limits.request))
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
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
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
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
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
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(&result);
        if result.is_pending() {
            self.poll_alarm(context).map(Err)
        } else {
            result
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
        tokio::spawn(axum::serve(Listener::new(tcp, limits), app).into_future());
        address
    }

    fn short() -> Limits {
        Limits {
            connections: 2,
            per_address: 1,
            idle: Duration::from_millis(300),
            request: Duration::from_millis(600),
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

    #[tokio::test]
    async fn one_address_has_its_share_only() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = Listener::new(tcp, short());
        let address = IpAddr::from([198, 51, 100, 1]);
        let first = listener.enter(address);
        assert!(first.is_some() && listener.enter(address).is_none());
        assert!(listener.enter([198, 51, 100, 2].into()).is_some());
        drop(first);
        assert!(listener.enter(address).is_some(), "and may come again");
        assert!(lock(&listener.addresses).is_empty(), "nothing stays behind");
    }
}
