//! Capture from an interface through libpcap.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, parse_net};
use maltrail_core::config::{CaptureConfig, Config, Origin};
use maltrail_core::time::Timestamp;
use maltrail_wire::LinkType;
use pcap::{Active, Capture, Device};
use tracing::warn;

use super::fanout;

/// Smallest ring of one socket, in bytes.
const MIN_BUFFER: u64 = 2 << 20;

/// An open interface.
pub struct Interface {
    name: String,
    capture: Capture<Active>,
    link: LinkType,
}

/// A frame and what the kernel says about it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When the kernel saw it.
    pub at: Timestamp,
    /// Its bytes, at most CAPTURE_SNAPLEN.
    pub bytes: &'a [u8],
    /// How long it was on the wire.
    pub wire_len: u32,
}

/// Counters of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Packets that passed the filter.
    pub received: u64,
    /// Packets dropped for want of room.
    pub dropped: u64,
    /// Packets dropped by the interface or its driver.
    pub interface_dropped: u64,
}

/// How the sockets of interfaces are opened, at the start and again when an interface comes back.
#[derive(Clone, Debug)]
pub struct Opener {
    config: CaptureConfig,
    workers: usize,
    /// What spreads packets, and the group of the first interface; the next one has the next number.
    program: Arc<[fanout::Instruction]>,
    first_group: u16,
}

impl Opener {
    /// For so many workers in a network where `home` is ours.
    pub fn new(config: &CaptureConfig, home: &NetworkSet, workers: usize) -> Self {
        Self {
            config: config.clone(),
            workers: workers.max(1),
            program: fanout::program(home).into(),
            // compat: of this process.
            first_group: config
                .fanout_group
                .unwrap_or_else(|| std::process::id() as u16),
        }
    }

    /// How many workers there are.
    pub const fn workers(&self) -> usize {
        self.workers
    }

    /// Opens every interface of `MONITOR_INTERFACE`, once for each worker; packets are spread by own
    /// host. When the kernel cannot do so, there is one worker, and that is said.
    ///
    /// # Errors
    /// An unknown interface (with the known ones), no right to capture (with the remedy), a filter
    /// that does not compile, or a socket that does not join the others: a packet would be seen twice.
    pub fn open_all(&mut self) -> anyhow::Result<Vec<Vec<Interface>>> {
        let first = self.open_alone(0)?;
        if self.workers > 1
            && let Err(error) = self.join(&first, 0)
        {
            warn!(
                "the kernel does not spread packets over several sockets ({error}): one worker does all"
            );
            self.workers = 1;
        }
        drop(first);
        let team = |_| {
            let places = 0..self.config.interfaces.len();
            places.map(|at| self.open(at)).collect()
        };
        (0..self.workers).map(team).collect()
    }

    /// Opens the interface that stands at this place of `MONITOR_INTERFACE`, for one worker.
    ///
    /// # Errors
    /// As [`Opener::open_all`].
    pub fn open(&self, at: usize) -> anyhow::Result<Interface> {
        let interface = self.open_alone(at)?;
        if self.workers > 1 {
            self.join(&interface, at)
                .map_err(|error| refused(&interface, &error))?;
        }
        Ok(interface)
    }

    fn open_alone(&self, at: usize) -> anyhow::Result<Interface> {
        let name = self.config.interfaces.get(at);
        let name = name.context("there is no such place in MONITOR_INTERFACE")?;
        let buffer = (self.config.buffer_bytes / self.workers as u64).max(MIN_BUFFER);
        Interface::open(name, &self.config, buffer)
    }

    fn join(&self, interface: &Interface, at: usize) -> io::Result<()> {
        let group = self.first_group.wrapping_add(at as u16);
        fanout::join(interface.socket(), group, &self.program)
    }
}

/// Opens every interface of `MONITOR_INTERFACE` once.
///
/// # Errors
/// As [`Opener::open_all`].
pub fn open_alone(config: &CaptureConfig) -> anyhow::Result<Vec<Interface>> {
    let names = config.interfaces.iter();
    names
        .map(|name| Interface::open(name, config, config.buffer_bytes))
        .collect()
}

fn refused(interface: &Interface, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "a socket of `{}` cannot join the others ({error}): CAPTURE_FANOUT_GROUP may be in use; set \
         another number, or PROCESS_COUNT 1",
        interface.name()
    )
}

/// Names of the interfaces of this machine.
pub fn interface_names() -> Vec<String> {
    Device::list()
        .map(|devices| devices.into_iter().map(|device| device.name).collect())
        .unwrap_or_default()
}

/// Networks that this machine's interfaces are in, as HOME_NETWORKS counts them when it is not set.
/// A prefix shorter than /8 (IPv4) or /32 (IPv6) says nothing about whose network it is.
pub fn interface_networks() -> Vec<IpNet> {
    let addresses = Device::list()
        .unwrap_or_default()
        .into_iter()
        .flat_map(|device| device.addresses);
    addresses
        .filter_map(|address| {
            let net = IpNet::with_netmask(address.addr, address.netmask?)
                .ok()?
                .trunc();
            let shortest = if address.addr.is_ipv4() { 8 } else { 32 };
            (net.prefix_len() >= shortest).then_some(net)
        })
        .collect()
}

/// HOME_NETWORKS; when it is not set, with the networks of this machine's interfaces.
pub fn home_networks(config: &Config) -> NetworkSet {
    if config.settings.origin("HOME_NETWORKS") != Origin::Default {
        return config.home_networks.clone();
    }
    let listed = config.settings.words("HOME_NETWORKS");
    let listed = listed.iter().filter_map(|word| parse_net(word));
    NetworkSet::new(listed.chain(interface_networks()))
}

/// Whether this process may capture: root, or CAP_NET_RAW in its effective set.
pub fn may_capture() -> bool {
    const CAP_NET_RAW: u32 = 13;
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> CAP_NET_RAW & 1 == 1)
}

/// What to do about a missing right.
pub const CAPTURE_RIGHT: &str = "run it with sudo, or give the program the right: sudo setcap cap_net_raw,cap_net_admin=eip \"$(command -v sensor)\"";

impl Interface {
    fn open(name: &str, config: &CaptureConfig, buffer: u64) -> anyhow::Result<Self> {
        let known = interface_names();
        if name != "any" && !known.is_empty() && !known.iter().any(|known| known == name) {
            bail!(
                "there is no interface `{name}` (MONITOR_INTERFACE); this machine has: {}",
                known.join(", ")
            );
        }
        let buffer = i32::try_from(buffer).unwrap_or(i32::MAX);
        let capture = Capture::from_device(name)
            .with_context(|| format!("cannot use the interface `{name}`"))?
            .promisc(name != "any")
            .snaplen(i32::try_from(config.snaplen).unwrap_or(i32::MAX))
            .timeout(i32::try_from(config.timeout_ms).unwrap_or(100))
            .immediate_mode(config.immediate)
            .buffer_size(buffer)
            .open()
            .map_err(|error| match error {
                pcap::Error::PcapError(text) if text.contains("permission") => {
                    anyhow::anyhow!("no right to capture on `{name}`: {CAPTURE_RIGHT}")
                }
                error => anyhow::anyhow!("cannot capture on `{name}`: {error}"),
            })?;
        let mut capture = capture.setnonblock()?;
        if !config.filter.is_empty() {
            capture.filter(&config.filter, true).map_err(|error| {
                anyhow::anyhow!(
                    "CAPTURE_FILTER `{}` does not compile: {error}",
                    config.filter
                )
            })?;
        }
        let link = LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX));
        Ok(Self {
            name: name.to_owned(),
            capture,
            link,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its link type.
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// Its socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }

    /// The next frame, without waiting for one.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, pcap::Error> {
        match self.capture.next_packet() {
            Ok(packet) => {
                let time = packet.header.ts;
                let micros = u32::try_from(time.tv_usec).unwrap_or_default();
                Ok(Some(Frame {
                    at: Timestamp::from_parts(time.tv_sec, micros),
                    bytes: packet.data,
                    wire_len: packet.header.len,
                }))
            }
            Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Counters of the kernel; zero when it gives none.
    pub fn stats(&mut self) -> InterfaceStats {
        self.capture.stats().map_or_else(
            |_| InterfaceStats::default(),
            |stats| InterfaceStats {
                received: stats.received.into(),
                dropped: stats.dropped.into(),
                interface_dropped: stats.if_dropped.into(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_network_is_one_of_this_machine() {
        let networks = interface_networks();
        assert!(
            networks.iter().any(|net| net.to_string() == "127.0.0.0/8"),
            "{networks:?}"
        );
    }
}
