//! A server process of our own.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::http::Client;

/// Where measuring happens.
pub(crate) struct Place {
    pub(crate) program: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Place {
    /// Folder of the day files.
    pub(crate) fn logs(&self) -> PathBuf {
        let logs = self.dir.join("log");
        fs::create_dir_all(&logs).unwrap();
        logs
    }

    /// Starts a server without accounts on free ports.
    pub(crate) fn start(&self, more: &str) -> Server {
        let (http, udp) = (free_tcp(), free_udp());
        let conf = self.dir.join("load.conf");
        let text = format!(
            "HTTP_ADDRESS 127.0.0.1\nHTTP_PORT {}\nUSE_SSL false\nUDP_ADDRESS 127.0.0.1\nUDP_PORT {}\nLOG_DIR {}\nTRAILS_FILE {}\nHOME_NETWORKS 10.0.0.0/8\n{more}\n",
            http.port(),
            udp.port(),
            self.logs().display(),
            self.dir.join("trails.csv").display()
        );
        fs::write(&conf, text).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(&conf)
            .env("TZ", "UTC")
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.dir.join("server.log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}; build it with cargo build --release -p maltrail-server", self.program.display()));
        let pid = child.id();
        let panics = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A panic aborts a release build, so nothing is dropped.
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.map(|pid| kill_process(pid, Signal::KILL));
            panics(info);
        }));
        let server = Server { child, http, udp };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Client::new(http).try_get("/ping").is_none() {
            assert!(Instant::now() < deadline, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

fn free_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A running server; ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) udp: SocketAddr,
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// Counters of the intake and the index.
    pub(crate) fn health(&self) -> Value {
        self.client().get("/api/v1/health").json()
    }

    /// Resident memory now and at most, in MiB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(Path::new(&path)).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kilobytes / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
