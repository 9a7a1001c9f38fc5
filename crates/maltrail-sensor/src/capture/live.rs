//! Capture from an interface through libpcap.

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use maltrail_core::config::CaptureConfig;
use maltrail_core::time::Timestamp;
use maltrail_wire::LinkType;
use pcap::{Active, Capture, Device};

/// An open interface.
pub struct Interface {
    name: String,
    capture: Capture<Active>,
    link: LinkType,
}

/// What an interface has.
pub enum Polled<'a> {
    /// A frame.
    Packet {
        /// When the kernel saw it.
        at: Timestamp,
        /// Its bytes, at most CAPTURE_SNAPLEN.
        frame: &'a [u8],
    },
    /// Nothing now.
    Nothing,
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
    /// Packets dropped for want of room, or by the interface.
    pub dropped: u64,
    /// Those among them that the interface or its driver dropped.
    pub interface_dropped: u64,
}

/// Opens every interface of `MONITOR_INTERFACE`.
///
/// # Errors
/// An unknown interface (with the known ones), no right to capture (with the remedy), or a filter
/// that does not compile.
pub fn open(config: &CaptureConfig) -> anyhow::Result<Vec<Interface>> {
    config
        .interfaces
        .iter()
        .map(|name| Interface::open(name, config))
        .collect()
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
    fn open(name: &str, config: &CaptureConfig) -> anyhow::Result<Self> {
        let known = interface_names();
        if name != "any" && !known.is_empty() && !known.iter().any(|known| known == name) {
            bail!(
                "there is no interface `{name}` (MONITOR_INTERFACE); this machine has: {}",
                known.join(", ")
            );
        }
        let buffer = i32::try_from(config.buffer_bytes).unwrap_or(i32::MAX);
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

    /// The next frame, without waiting for one.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn poll(&mut self) -> Result<Polled<'_>, pcap::Error> {
        Ok(self
            .next_frame()?
            .map_or(Polled::Nothing, |frame| Polled::Packet {
                at: frame.at,
                frame: frame.bytes,
            }))
    }

    /// The same, with the length on the wire.
    ///
    /// # Errors
    /// As [`Interface::poll`].
    #[inline]
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
                dropped: u64::from(stats.dropped) + u64::from(stats.if_dropped),
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
