//! What the old endpoints and the distribution of trails share, made once at the start.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, parse_ip, parse_net};
use maltrail_core::config::Config;
use maltrail_feeds::load;
use tokio::sync::Semaphore;

use crate::distribution::Distribution;
use crate::http::access::AllowLists;
use crate::legacy::blocklist::BlockLists;
use crate::legacy::reference::References;
use crate::legacy::ripe::Ripe;
use crate::logo::Logo;

/// Searches through whole days at the same time.
const HUNTS: usize = 2;
/// Look-ups elsewhere at the same time.
const LOOKUPS: usize = 4;

/// The parts.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) allow: AllowLists,
    pub(crate) block_lists: BlockLists,
    pub(crate) references: References,
    /// `None` when look-ups are switched off.
    pub(crate) ripe: Option<Ripe>,
    pub(crate) lookups: Semaphore,
    pub(crate) bad_networks: BadNetworks,
    /// `HUNT_TIME_BUDGET`
    pub(crate) hunt_budget: Duration,
    pub(crate) hunts: Semaphore,
    /// `HOME_LAT`, `HOME_LON`
    pub(crate) home: Option<(f64, f64)>,
    /// `HEADER_LOGO`
    pub(crate) logo: Option<Logo>,
    pub(crate) distribution: Distribution,
    /// For answers about the whole installation.
    pub(crate) config: Config,
}

impl Services {
    pub(crate) fn new(config: &Config) -> Self {
        let networks = |name: &str| -> NetworkSet {
            let words = config.settings.words(name);
            let net = |word: &String| parse_net(word).or_else(|| parse_ip(word).map(IpNet::from));
            NetworkSet::new(words.iter().filter_map(net))
        };
        let fail2ban = networks("FAIL2BAN_ALLOWLIST");
        let mut blacklist = networks("BLACKLIST_ALLOWLIST");
        if config.settings.words("BLACKLIST_ALLOWLIST").is_empty() {
            blacklist = fail2ban.clone();
        }
        let server = &config.server;
        Self {
            allow: AllowLists {
                fail2ban,
                blacklist,
            },
            block_lists: BlockLists::new(config),
            references: References::new(config),
            ripe: (!server.disable_ripe).then(|| Ripe::new(config.proxy.clone())),
            lookups: Semaphore::new(LOOKUPS),
            bad_networks: BadNetworks::read(&load::places(
                &config.trails,
                &config.root,
                "worst_asns.txt",
            )),
            hunt_budget: Duration::from_millis(server.hunt_budget_ms),
            hunts: Semaphore::new(HUNTS),
            home: server.home,
            logo: server.header_logo.as_deref().and_then(Logo::new),
            distribution: Distribution::new(config),
            config: config.clone(),
        }
    }
}

/// Networks of operators with a bad name, from `data/worst_asns.txt` (`network,name` lines).
#[derive(Debug, Default)]
pub(crate) struct BadNetworks(Vec<(IpNet, Box<str>)>);

/// Most networks; the public list has 6,000.
const MAX_NETWORKS: usize = 100_000;

impl BadNetworks {
    /// Reads the first of `places` that is there. None is no error: the list is optional.
    fn read(places: &[impl AsRef<Path>]) -> Self {
        let text = places
            .iter()
            .find_map(|path| std::fs::read(path.as_ref()).ok())
            .unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let row = |line: &str| {
            let (net, name) = line.split_once(',')?;
            Some((parse_net(net.trim())?, name.trim().into()))
        };
        Self(text.lines().filter_map(row).take(MAX_NETWORKS).collect())
    }

    /// The name of the smallest network that holds an address.
    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let holding = self.0.iter().filter(|(net, _)| net.contains(&address));
        holding
            .max_by_key(|(net, _)| net.prefix_len())
            .map(|(_, name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bad_network_names_an_address() {
        let networks = BadNetworks::parse(
            "# AS1 x\n192.0.2.0/24,wide\n192.0.2.128/25, narrow \nno network,x\n2001:db8::/32,six\n",
        );
        let name = |text: &str| networks.name(text.parse().unwrap());
        assert_eq!(name("192.0.2.1"), Some("wide"));
        assert_eq!(name("::ffff:192.0.2.200"), Some("narrow"));
        assert_eq!(name("2001:db8::1"), Some("six"));
        assert_eq!(name("198.51.100.1"), None);
        let many = "192.0.2.0/24,x\n".repeat(MAX_NETWORKS + 1);
        assert_eq!(BadNetworks::parse(&many).0.len(), MAX_NETWORKS);
    }
}
