//! A house for both programs: a folder of its own, a configuration, free ports, started programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::http::Client;
use crate::programs::{self, Ended, PATIENCE, Running};

/// The shipped account: the SHA-256 of `admin`.
const SHIPPED_ACCOUNT: &str =
    "admin:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918:0:";

/// One installation. Dropping it stops the server and removes the folder.
#[derive(Debug)]
pub struct TestHouse {
    folder: TempDir,
    options: BTreeMap<&'static str, String>,
    http: SocketAddr,
    intake: SocketAddr,
    server: Option<Running>,
}

impl Default for TestHouse {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHouse {
    /// A fresh installation with the shipped account and the embedded trails. Nothing runs yet.
    ///
    /// # Panics
    /// When the system gives no folder or port.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("maltrail-test-").expect("a temporary folder");
        let (http, intake) = (free_port(), free_port());
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let options = BTreeMap::from([
            ("HTTP_ADDRESS", "127.0.0.1".to_owned()),
            ("HTTP_PORT", http.port().to_string()),
            ("UDP_ADDRESS", "127.0.0.1".to_owned()),
            ("UDP_PORT", intake.port().to_string()),
            ("USERS", format!("\n    {SHIPPED_ACCOUNT}")),
            ("LOG_DIR", inside("logs")),
            ("TRAILS_FILE", inside("trails.csv")),
            ("LOG_FORMAT", "both".to_owned()),
            ("MONITOR_INTERFACE", "lo".to_owned()),
            ("SENSOR_NAME", "office".to_owned()),
            ("USE_HEURISTICS", "true".to_owned()),
        ]);
        Self {
            folder,
            options,
            http,
            intake,
            server: None,
        }
    }

    /// Sets an option; an empty text leaves it out.
    pub fn set(&mut self, option: &'static str, value: &str) -> &mut Self {
        if value.is_empty() {
            self.options.remove(option);
        } else {
            self.options.insert(option, value.to_owned());
        }
        self
    }

    /// A path inside the house.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file inside the house.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file inside the house");
        path
    }

    /// Lets every user look into the house.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn open_door(&self) {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.folder.path(), mode).expect("our own folder");
    }

    /// Writes the configuration as it is set now.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        let mut text = String::new();
        for (option, value) in &self.options {
            // A block opens with its name alone on its line.
            let blank = if value.starts_with('\n') { "" } else { " " };
            let _ = writeln!(text, "{option}{blank}{value}");
        }
        self.write("maltrail.conf", text)
    }

    /// The sensor with this house's configuration.
    #[must_use]
    pub fn sensor_command(&self, arguments: &[&str]) -> Command {
        let mut command = programs::sensor();
        command.arg("-c").arg(self.config()).args(arguments);
        command.current_dir(self.folder.path());
        command
    }

    /// Starts the sensor.
    #[must_use]
    pub fn start_sensor(&self, arguments: &[&str]) -> Running {
        Running::start("the sensor", self.sensor_command(arguments))
    }

    /// Runs the sensor until it ends by itself.
    #[must_use]
    pub fn run_sensor(&self, arguments: &[&str]) -> Ended {
        self.start_sensor(arguments).wait()
    }

    /// Replays a capture.
    #[track_caller]
    #[must_use]
    pub fn replay(&self, capture: &Path) -> Ended {
        let path = capture.to_str().expect("a path of UTF-8");
        self.run_sensor(&["-r", path]).expect_success()
    }

    /// The server with this house's configuration.
    #[must_use]
    pub fn server_command(&self, arguments: &[&str]) -> Command {
        let mut command = programs::server();
        command.arg("-c").arg(self.config()).args(arguments);
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the server, which is expected to refuse its work.
    #[must_use]
    pub fn run_server(&self, arguments: &[&str]) -> Ended {
        Running::start("the server", self.server_command(arguments)).wait()
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start_server(&mut self, arguments: &[&str]) {
        let mut running = Running::start("the server", self.server_command(arguments));
        let started = Instant::now();
        while !self.client().answers("/ping") {
            assert!(
                running.runs() && started.elapsed() < PATIENCE,
                "the server does not answer:\n{}",
                running.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(running);
    }

    /// The running server.
    ///
    /// # Panics
    /// When none was started.
    #[track_caller]
    pub fn server(&mut self) -> &mut Running {
        self.server.as_mut().expect("a started server")
    }

    /// Stops the server and says how it ended.
    #[track_caller]
    pub fn stop_server(&mut self) -> Ended {
        self.server.take().expect("a started server").stop()
    }

    /// Ends the server without asking.
    #[track_caller]
    pub fn kill_server(&mut self) {
        self.server.take().expect("a started server").kill();
    }

    /// Address of the dashboard.
    #[must_use]
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Address that takes events.
    #[must_use]
    pub const fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// An HTTP client that is not signed in.
    #[must_use]
    pub const fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// A client that is signed in with the shipped account; the server must run with
    /// `--keep-default-password`.
    #[track_caller]
    #[must_use]
    pub fn signed_in(&self) -> Client {
        let mut client = self.client();
        let body = json!({"username": "admin", "password": "admin"});
        let answer = client.post("/api/v1/login", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        client
    }

    /// Sends datagrams to the intake.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn send(&self, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port");
        for datagram in datagrams {
            socket
                .send_to(datagram.as_ref(), self.intake)
                .expect("a datagram to loopback");
        }
    }

    /// A day file of `LOG_DIR`; empty when there is none.
    #[must_use]
    pub fn day_file(&self, name: &str) -> String {
        fs::read_to_string(self.log_dir().join(name)).unwrap_or_default()
    }

    /// `LOG_DIR`.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.options
            .get("LOG_DIR")
            .map(PathBuf::from)
            .unwrap_or_default()
    }
}

impl Drop for TestHouse {
    fn drop(&mut self) {
        if let (true, Some(server)) = (std::thread::panicking(), &self.server) {
            crate::report::tell(&format!("the server said:\n{}", server.said()));
        }
    }
}

/// A port of loopback that nobody listens on. It lies below the range from which the kernel serves
/// outgoing connections, so that none of those (a browser opens many) takes it before the server.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    // Test processes that run at the same time start at different places.
    let start = std::process::id().wrapping_mul(7919);
    (0..COUNT)
        .find_map(|_| {
            let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let port = u16::try_from(FIRST + at).ok()?;
            let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let free = TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok();
            free.then_some(place)
        })
        .expect("a free port")
}
