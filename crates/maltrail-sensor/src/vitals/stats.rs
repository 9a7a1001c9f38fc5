//! `STATS_ADDRESS`: the metrics over HTTP, for a scraper on a trusted network.
//!
//! One thread, one request at a time: a scrape takes a millisecond, and a client that dawdles is cut
//! off after [`DEADLINE`]. Any path answers 200. Bounds: a request head of [`HEAD_BYTES`]; what
//! follows it is not read.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::metrics::CONTENT_TYPE;

/// Time that a client has for its whole request, and again for taking the answer.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Longest request head.
pub const HEAD_BYTES: usize = 8 * 1024;
/// Pause after a failed accept, such as for want of file descriptors.
const RETRY: Duration = Duration::from_millis(200);

/// The running server; dropping it ends it.
pub struct StatsServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StatsServer {
    /// Answers at `address` with what `text` gives. An address that cannot be used is only worth a
    /// warning: detection goes on without metrics.
    pub fn start(address: SocketAddr, text: impl Fn() -> String + Send + 'static) -> Option<Self> {
        match Self::bind(address, text) {
            Ok(server) => {
                info!("metrics at http://{}/metrics", server.address);
                Some(server)
            }
            Err(error) => {
                warn!("no metrics: STATS_ADDRESS {address} cannot be used: {error}");
                None
            }
        }
    }

    fn bind(address: SocketAddr, text: impl Fn() -> String + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(&listener, &stopped, &text))?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread waits in accept; a connection wakes it. To a wildcard address one connects
        // through loopback.
        let mut wake = self.address;
        if wake.ip().is_unspecified() {
            wake.set_ip(match wake {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&wake, DEADLINE).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool, text: &impl Fn() -> String) {
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match accepted {
            Ok((client, from)) => {
                if let Err(error) = answer(client, text) {
                    debug!("metrics for {from}: {error}");
                }
            }
            Err(error) => {
                debug!("metrics: {error}");
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Other,
}

impl Method {
    fn of(head: &[u8]) -> Self {
        match head.split(|byte| *byte == b' ').next() {
            Some(b"GET") => Self::Get,
            Some(b"HEAD") => Self::Head,
            _ => Self::Other,
        }
    }
}

fn answer(mut client: TcpStream, text: &impl Fn() -> String) -> io::Result<()> {
    let Some(head) = read_head(&mut client)? else {
        return send(
            &mut client,
            "431 Request Header Fields Too Large",
            "",
            "",
            true,
        );
    };
    match Method::of(&head) {
        Method::Get => send(&mut client, "200 OK", "", &text(), true),
        Method::Head => send(&mut client, "200 OK", "", &text(), false),
        Method::Other => {
            let text = "only GET and HEAD are answered\n";
            send(
                &mut client,
                "405 Method Not Allowed",
                "Allow: GET, HEAD\r\n",
                text,
                true,
            )
        }
    }
}

/// The request up to its empty line; `None` when it is too long.
fn read_head(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let started = Instant::now();
    let mut head = Vec::with_capacity(512);
    let mut piece = [0; 512];
    loop {
        if head.windows(4).any(|window| window == b"\r\n\r\n")
            || head.windows(2).any(|window| window == b"\n\n")
        {
            return Ok(Some(head));
        }
        if head.len() >= HEAD_BYTES {
            return Ok(None);
        }
        let left = DEADLINE.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => head.extend(piece.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn send(
    client: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &str,
    with_body: bool,
) -> io::Result<()> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{headers}Connection: close\r\n\r\n",
        body.len()
    );
    if with_body {
        answer.push_str(body);
    }
    let started = Instant::now();
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        let left = DEADLINE.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_write_timeout(Some(left))?;
        match client.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str, text: String) -> StatsServer {
        StatsServer::bind(address.parse().expect("an address"), move || text.clone())
            .expect("a free port")
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut client = TcpStream::connect(address).expect("the server");
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        client.write_all(request).expect("sent");
        let mut answer = Vec::new();
        // A refused request may end in a reset after the answer.
        let _ = client.read_to_end(&mut answer);
        String::from_utf8(answer).expect("text")
    }

    #[test]
    fn any_path_answers_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = server(address, "maltrail_up 1\n".to_owned());
            let answer = ask(
                server.address(),
                b"GET /anything?x HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(
                answer.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
            );
            assert!(answer.contains("\r\nContent-Length: 14\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nmaltrail_up 1\n"), "{answer}");
            let head = ask(server.address(), b"HEAD / HTTP/1.0\r\n\r\n");
            assert!(
                head.contains("Content-Length: 14") && head.ends_with("\r\n\r\n"),
                "{head}"
            );
        }
    }

    #[test]
    fn other_methods_and_endless_heads_are_refused() {
        let server = server("127.0.0.1:0", String::new());
        let answer = ask(server.address(), b"POST / HTTP/1.1\r\n\r\nbody");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        long.extend(vec![b'a'; HEAD_BYTES]);
        let answer = ask(server.address(), &long);
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(),
            "{answer}"
        );
    }

    #[test]
    fn a_slow_client_is_cut_off_and_the_next_one_served() {
        let server = server("127.0.0.1:0", "fine\n".to_owned());
        let mut slow = TcpStream::connect(server.address()).expect("the server");
        let address = server.address();
        let started = Instant::now();
        let drip = std::thread::spawn(move || {
            // A byte now and then would keep a timeout that starts anew with each read alive forever.
            while slow.write_all(b"a").is_ok() && started.elapsed() < Duration::from_secs(15) {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        let answer = ask(address, b"GET / HTTP/1.1\r\n\r\n");
        assert!(answer.ends_with("fine\n"), "{answer}");
        assert!(
            started.elapsed() < DEADLINE + Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
        drip.join().expect("the slow client was cut off");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_off_as_well() {
        // More than all socket buffers take.
        let server = server("127.0.0.1:0", "x".repeat(64 << 20));
        let mut deaf = TcpStream::connect(server.address()).expect("the server");
        deaf.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let started = Instant::now();
        let head = ask(server.address(), b"HEAD / HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            started.elapsed() < DEADLINE + Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
        drop(deaf);
    }

    #[test]
    fn an_address_in_use_is_no_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("an address");
        assert!(StatsServer::start(address, String::new).is_none());
    }

    #[test]
    fn dropping_it_frees_the_port() {
        let first = server("127.0.0.1:0", String::new());
        let address = first.address();
        drop(first);
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    }
}
