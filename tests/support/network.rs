//! Network namespaces with virtual cables, and a thread inside of them.
//!
//! A namespace lives as long as its [`Net`]. It is made by `unshare` and `ip`, as an administrator would;
//! where that is impossible a test says so and does nothing. IPv6 is off on the cables, so that nothing but
//! a test's own frames is on them.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs::{PATIENCE, Running};
use crate::report;

/// Frames that are sent before a pause of the pace.
const BATCH: usize = 20;

/// A network namespace.
#[derive(Debug)]
pub struct Net {
    holder: Running,
    space: File,
}

impl Net {
    /// A namespace whose loopback is up. Where there can be none, the `test` is reported as skipped.
    #[must_use]
    pub fn new(test: &str) -> Option<Self> {
        match Self::try_new() {
            Ok(net) => Some(net),
            Err(reason) => {
                report::skipped(test, &format!("no network namespace here: {reason}"));
                None
            }
        }
    }

    fn try_new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        let setup = "ip link set lo up && echo ready && exec sleep 600";
        command.args(["-n", "sh", "-c", setup]);
        let mut holder = Running::try_start("the namespace", command)
            .map_err(|error| format!("unshare: {error}"))?;
        let started = Instant::now();
        while !holder.said().contains("ready") {
            if !holder.runs() {
                return Err(holder.wait().err.trim().to_owned());
            }
            if started.elapsed() > PATIENCE {
                return Err("unshare hangs".to_owned());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let space = File::open(format!("/proc/{}/ns/net", holder.pid()))
            .map_err(|error| error.to_string())?;
        Ok(Self { holder, space })
    }

    /// Does `work` in a thread inside. What it starts is inside as well.
    ///
    /// # Panics
    /// As `work` does.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.space.as_fd(), kind).expect("the namespace is open");
            work()
        };
        match std::thread::scope(|scope| scope.spawn(entered).join()) {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs `ip` inside with these words.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        let mut command = Command::new("ip");
        command.args(words.split(' '));
        let ended = self.inside(|| Running::start("ip", command).wait());
        let _ = ended.expect_success();
    }

    /// A cable: this end `in0`, the other end `out0` in `other`. Both are up.
    #[track_caller]
    pub fn cable_to(&self, other: &Self) {
        let to = other.holder.pid();
        self.ip(&format!("link add in0 type veth peer name out0 netns {to}"));
        for (net, end) in [(self, "in0"), (other, "out0")] {
            net.quiet(end);
            net.ip(&format!("link set {end} up"));
        }
    }

    /// A cable with both ends inside.
    #[track_caller]
    pub fn cable(&self) {
        self.ip("link add in0 type veth peer name out0");
        for end in ["in0", "out0"] {
            self.quiet(end);
            self.ip(&format!("link set {end} up"));
        }
    }

    /// No neighbour discovery on this end.
    fn quiet(&self, end: &str) {
        self.inside(|| {
            // Without IPv6 there is no such file, and nothing to switch off.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
        });
        self.ip(&format!("link set {end} addrgenmode none"));
    }
}

/// Sends frames over an interface of the namespace that the caller is in, about `per_second` of
/// them, or as fast as it goes for 0.
///
/// # Errors
/// As libpcap does.
pub fn play(
    interface: &str,
    frames: impl IntoIterator<Item = impl AsRef<[u8]>>,
    per_second: usize,
) -> Result<usize, pcap::Error> {
    let mut link = pcap::Capture::from_device(interface)?.open()?;
    let started = Instant::now();
    let mut sent = 0;
    for frame in frames {
        link.sendpacket(frame.as_ref())?;
        sent += 1;
        if per_second > 0 && sent % BATCH == 0 {
            let due = Duration::from_secs_f64(sent as f64 / per_second as f64);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    Ok(sent)
}
