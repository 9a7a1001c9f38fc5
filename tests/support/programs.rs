//! The two programs as child processes: built once, started as a user starts them, always ended.
//!
//! A [`Running`] collects both outputs in threads and is killed when dropped, so a failing test
//! leaves nothing behind.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest life of a program that should end by itself. Generous: test machines are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a stop may take; the programs promise 10 s.
const STOP: Duration = Duration::from_secs(15);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// The sensor, without variables of the outer environment that it would heed.
#[must_use]
pub fn sensor() -> Command {
    command("sensor")
}

/// The server.
#[must_use]
pub fn server() -> Command {
    command("server")
}

/// The program that sends the sample over an interface.
#[must_use]
pub fn send_sample() -> Command {
    command("send-sample")
}

fn command(name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("MALTRAIL_") {
            command.env_remove(variable);
        }
    }
    command.env("TZ", "UTC").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

/// Where cargo puts the programs of the profile that this test was built with, which are up to date
/// when this returns.
fn folder() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test
            .ancestors()
            .nth(2)
            .expect("target/<profile>/deps/<test>")
            .to_owned();
        // Everything at once, as `cargo xtask test` does, so that both find the same features built.
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo can be started");
        assert!(status.success(), "the programs do not build");
        folder
    })
}

/// A program that was started.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    out: Reader,
    err: Reader,
}

/// How a program ended and what it said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Both outputs.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Fails unless the program ended well.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails unless the program ended with 1, said each of `words` on standard error, and did not
    /// panic.
    #[track_caller]
    pub fn expect_failure(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in {self:#?}");
        }
        assert!(!self.all().contains("panicked"), "{self:#?}");
        self
    }
}

impl Running {
    /// Starts a program.
    ///
    /// # Panics
    /// When the system refuses.
    #[must_use]
    pub fn start(name: &'static str, command: Command) -> Self {
        match Self::try_start(name, command) {
            Ok(running) => running,
            Err(error) => panic!("cannot start {name}: {error}"),
        }
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When the system refuses, as it does another user who may not reach the program.
    pub fn try_start(name: &'static str, mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = Reader::start(child.stdout.take());
        let err = Reader::start(child.stderr.take());
        Ok(Self {
            name,
            child,
            out,
            err,
        })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, when the command asked for a pipe.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it said so far on both outputs.
    #[must_use]
    pub fn said(&self) -> String {
        self.out.text() + &self.err.text()
    }

    /// Waits until it says `words`.
    #[track_caller]
    pub fn wait_until_said(&mut self, words: &str) {
        let started = Instant::now();
        while !self.said().contains(words) {
            let alive = self.runs();
            assert!(
                alive && started.elapsed() < PATIENCE,
                "{} never said `{words}` (running: {alive}):\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its own end.
    #[track_caller]
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let status = self.wait_at_most(PATIENCE);
        self.ended(status)
    }

    /// Asks it to stop, as service managers do, and waits.
    #[track_caller]
    pub fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        let status = self.wait_at_most(STOP);
        self.ended(status)
    }

    /// Ends it without asking, as a power failure does.
    #[track_caller]
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait_at_most(STOP);
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
    }

    #[track_caller]
    fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(
                started.elapsed() < limit,
                "{} does not end within {limit:?}:\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(LOOK);
        }
    }

    fn ended(mut self, status: ExitStatus) -> Ended {
        self.out.join();
        self.err.join();
        Ended {
            code: status.code(),
            out: self.out.text(),
            err: self.err.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end in a thread.
#[derive(Debug)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let mut pipe = pipe.expect("a piped output");
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let part = buffer.get(..length).unwrap_or_default();
                sink.lock().expect("no panic while held").extend(part);
            }
        });
        Self {
            text,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        let bytes = self.text.lock().expect("no panic while held");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
