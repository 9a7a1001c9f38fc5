//! A server for the files of one folder, for pages that need no other one.
//!
//! One thread, one request at a time, `GET` only, nothing above the folder, until dropped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The running server.
#[derive(Debug)]
pub struct StaticFiles {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StaticFiles {
    /// Serves `root` on a free port of loopback.
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use]
    pub fn start(root: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free TCP port");
        let address = listener.local_addr().expect("its address");
        let stop = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                // A browser that hangs up early is no concern of ours.
                let _ = stream.and_then(|stream| answer(stream, &root));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StaticFiles {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection wakes the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, root: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut first = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    lines.read_line(&mut first)?;
    let mut rest = String::new();
    while lines.read_line(&mut rest)? > 2 {
        rest.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match file(root, path).map(std::fs::read) {
        Some(Ok(body)) => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        media_type(path),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// The file that a path names, inside the folder only.
fn file(root: &Path, path: &str) -> Option<PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    let inside = inner
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    inside.then(|| root.join(inner))
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Client;

    #[test]
    fn files_are_served_and_nothing_above_them() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("a.js"), "let a;").unwrap();
        let server = StaticFiles::start(folder.path().to_owned());
        let mut client = Client::new(server.address());
        let answer = client.get("/a.js?v=1");
        assert_eq!((answer.status, answer.body.as_str()), (200, "let a;"));
        assert_eq!(answer.header("content-type"), Some("text/javascript"));
        for path in ["/b.js", "/../a.js", "//etc/passwd", "/"] {
            assert_eq!(client.get(path).status, 404, "{path}");
        }
    }
}
