//! The machine's interfaces as the kernel describes them in `/sys/class/net`.

use std::fs;
use std::path::Path;

/// Where the kernel describes interfaces.
const CLASS: &str = "/sys/class/net";
/// Most interfaces that are listed; hosts of many containers have hundreds.
pub const MAX_LISTED: usize = 4096;

const FLAG_UP: u32 = 0x1;
const FLAG_LOOPBACK: u32 = 0x8;
const FLAG_PROMISCUOUS: u32 = 0x100;

/// One interface at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it has a carrier, as far as its driver knows.
    pub carrier: bool,
    /// Whether it takes frames for other machines, too.
    pub promiscuous: bool,
    /// Whether it is the machine's own loop.
    pub loopback: bool,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Packets that it has received.
    pub rx_packets: u64,
}

impl LinkState {
    /// The interface of this name.
    pub fn read(name: &str) -> Option<Self> {
        Self::read_at(Path::new(CLASS), name)
    }

    /// Every interface, by name.
    pub fn all() -> Vec<Self> {
        Self::all_at(Path::new(CLASS))
    }

    fn all_at(class: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(class) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .take(MAX_LISTED)
            .collect();
        names.sort_unstable();
        names
            .iter()
            .filter_map(|name| Self::read_at(class, name))
            .collect()
    }

    fn read_at(class: &Path, name: &str) -> Option<Self> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return None;
        }
        let read = |file: &str| fs::read_to_string(class.join(name).join(file)).unwrap_or_default();
        let flags = read("flags");
        let flags = u32::from_str_radix(flags.trim().strip_prefix("0x")?, 16).ok()?;
        Some(Self {
            name: name.to_owned(),
            up: flags & FLAG_UP != 0,
            // `unknown` is what drivers without a carrier say.
            carrier: !["down", "lowerlayerdown", "notpresent"].contains(&read("operstate").trim()),
            promiscuous: flags & FLAG_PROMISCUOUS != 0,
            loopback: flags & FLAG_LOOPBACK != 0,
            mtu: read("mtu").trim().parse().unwrap_or_default(),
            rx_packets: read("statistics/rx_packets")
                .trim()
                .parse()
                .unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(class: &Path, name: &str, flags: &str, state: &str) {
        let folder = class.join(name);
        fs::create_dir_all(folder.join("statistics")).expect("a folder");
        fs::write(folder.join("flags"), flags).expect("written");
        fs::write(folder.join("operstate"), state).expect("written");
        fs::write(folder.join("mtu"), "9000\n").expect("written");
        fs::write(folder.join("statistics/rx_packets"), "1234\n").expect("written");
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let class = tempfile::tempdir().expect("a folder");
        interface(class.path(), "span0", "0x1103\n", "up\n");
        interface(class.path(), "off0", "0x1002\n", "down\n");
        fs::write(class.path().join("bonding_masters"), "").expect("written");
        let all = LinkState::all_at(class.path());
        let names: Vec<&str> = all.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["off0", "span0"]);
        assert_eq!(
            (all[1].up, all[1].carrier, all[1].promiscuous),
            (true, true, true)
        );
        assert_eq!(
            (all[1].mtu, all[1].rx_packets, all[1].loopback),
            (9000, 1234, false)
        );
        assert_eq!(
            (all[0].up, all[0].carrier, all[0].promiscuous),
            (false, false, false)
        );
        for name in ["", "..", "../span0", "none"] {
            assert_eq!(LinkState::read_at(class.path(), name), None, "{name}");
        }
    }

    #[test]
    fn this_machine_has_a_loop() {
        let link = LinkState::read("lo").expect("lo");
        assert!(link.loopback && link.mtu > 0);
    }
}
