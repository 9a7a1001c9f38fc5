//! Addresses and networks.
//!
//! Addresses are numbers here (`std::net::IpAddr`); text exists only at the edges. Any valid
//! spelling is read, among them the reference's own compressed form (`2001:0db8:…`, `1::0`); text
//! written is RFC 5952.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// Reads an address in any valid spelling: dotted quad without leading zeros, or IPv6 with or
/// without brackets. A `%zone` is dropped.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if !text.contains(':') {
        return text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Reads `a.b.c.d:port` or `[v6]:port`, port 0..=65535.
pub fn parse_ip_port(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    if port.is_empty() || port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let address = if let Some(inner) = address.strip_prefix('[') {
        IpAddr::V6(inner.strip_suffix(']')?.parse().ok()?)
    } else {
        IpAddr::V4(address.parse().ok()?)
    };
    Some((address, port.parse().ok()?))
}

/// Writes `a.b.c.d:port` or `[v6]:port`.
pub fn ip_port_text(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// Reads `address/bits`; host bits are cleared. A bare address is not a network here.
pub fn parse_net(text: &str) -> Option<IpNet> {
    let (address, bits) = text.split_once('/')?;
    if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNet::new(parse_ip(address)?, bits.parse().ok()?)
        .ok()
        .map(|net| net.trunc())
}

/// A set of networks with one question: is this address inside?
///
/// Overlaps are merged at construction; a lookup is one binary search over disjoint ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl NetworkSet {
    /// Gives the bounds of the set's ranges, in order, for a digest of it.
    pub(crate) fn feed(&self, sink: &mut dyn FnMut(&[u8])) {
        for (first, last) in &self.v4 {
            sink(&first.to_be_bytes());
            sink(&last.to_be_bytes());
        }
        for (first, last) in &self.v6 {
            sink(&first.to_be_bytes());
            sink(&last.to_be_bytes());
        }
    }

    /// The set of all addresses inside any of `networks`.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut set = Self::default();
        for network in networks {
            match network {
                IpNet::V4(net) => set.v4.push(v4_bounds(net)),
                IpNet::V6(net) => set.v6.push(v6_bounds(net)),
            }
        }
        merge(&mut set.v4, |end| end.checked_add(1));
        merge(&mut set.v6, |end| end.checked_add(1));
        set
    }

    /// RFC 1918, loopback and link-local, unique local IPv6: what `HOME_NETWORKS` means when unset.
    pub fn private() -> Self {
        Self::new(
            [
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "fc00::/7",
                "fe80::/10",
            ]
            .iter()
            .filter_map(|text| parse_net(text)),
        )
    }

    /// Whether `address` lies in any network of the set. An IPv4-mapped IPv6 address is IPv4 here.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }

    /// The fewest networks that make up the set, in order.
    pub fn networks(&self) -> Vec<IpNet> {
        let v4 = self
            .v4
            .iter()
            .flat_map(|&(start, end)| Ipv4Subnets::new(start.into(), end.into(), 0).map(IpNet::V4));
        let v6 = self
            .v6
            .iter()
            .flat_map(|&(start, end)| Ipv6Subnets::new(start.into(), end.into(), 0).map(IpNet::V6));
        v4.chain(v6).collect()
    }

    /// Whether the set holds no address.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn v4_bounds(net: Ipv4Net) -> (u32, u32) {
    (net.network().into(), net.broadcast().into())
}

fn v6_bounds(net: Ipv6Net) -> (u128, u128) {
    (net.network().into(), net.broadcast().into())
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(start, end) in ranges.iter() {
        match merged.last_mut() {
            Some(last) if next(last.1).is_none_or(|after| start <= after) => {
                last.1 = last.1.max(end)
            }
            _ => merged.push((start, end)),
        }
    }
    *ranges = merged;
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|&(start, _)| start <= value);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|&(_, end)| value <= end)
}

/// Local in the sense of scan rules: 127/8 and RFC 1918, IPv4 only (`spec` sensor §3).
pub fn is_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_loopback() || v4.is_private())
}

/// Exactly 127.0.0.1 or ::1.
pub fn is_localhost(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_made_of_the_fewest_networks() {
        let nets = [
            "10.0.0.0/9",
            "10.128.0.0/9",
            "192.0.2.7/32",
            "2001:db8::/33",
            "2001:db8:8000::/33",
        ];
        let set = NetworkSet::new(nets.iter().filter_map(|text| parse_net(text)));
        let texts: Vec<String> = set.networks().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    }

    #[test]
    fn every_spelling_is_the_same_number() {
        let wanted = parse_ip("2001:db8::66");
        assert!(wanted.is_some());
        for text in [
            "2001:0db8::0066",
            "2001:DB8:0:0:0:0:0:66",
            "[2001:db8::66]",
            "2001:db8::66%eth0",
        ] {
            assert_eq!(parse_ip(text), wanted, "{text}");
        }
    }

    #[test]
    fn near_addresses_are_refused() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.256",
            "::1::",
            "g::1",
            " 1.2.3.4",
        ] {
            assert_eq!(parse_ip(text), None, "{text:?}");
        }
    }

    #[test]
    fn ports_need_brackets_for_ipv6() {
        assert_eq!(
            parse_ip_port("[2001:db8::1]:443").map(|(_, port)| port),
            Some(443)
        );
        assert_eq!(
            parse_ip_port("203.0.113.7:0").map(|(_, port)| port),
            Some(0)
        );
        for text in [
            "2001:db8::1:443",
            "203.0.113.7:",
            "203.0.113.7:65536",
            "203.0.113.7:+1",
            "[::1]443",
        ] {
            assert_eq!(parse_ip_port(text), None, "{text}");
        }
    }

    #[test]
    fn sets_agree_with_asking_each_network() {
        let nets: Vec<IpNet> = [
            "10.0.0.0/8",
            "10.4.0.0/16",
            "11.0.0.0/8",
            "0.0.0.0/32",
            "255.255.255.255/32",
            "2001:db8::/32",
        ]
        .iter()
        .filter_map(|text| parse_net(text))
        .collect();
        let set = NetworkSet::new(nets.clone());
        for text in [
            "10.0.0.0",
            "11.255.255.255",
            "12.0.0.0",
            "9.255.255.255",
            "0.0.0.0",
            "0.0.0.1",
            "255.255.255.255",
            "255.255.255.254",
            "2001:db8:ffff::",
            "2001:db9::",
        ] {
            let address = parse_ip(text).expect(text);
            let wanted = nets.iter().any(|net| net.contains(&address));
            assert_eq!(set.contains(address), wanted, "{text}");
        }
        assert_eq!(set.v4.len(), 3, "neighbours and overlaps merge");
    }

    #[test]
    fn the_whole_space_is_one_range() {
        let all = NetworkSet::new(parse_net("0.0.0.0/0"));
        assert!(all.contains(Ipv4Addr::new(255, 255, 255, 255).into()));
        assert!(!all.contains(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(
            parse_net("203.0.113.7/24")
                .map(|net| net.to_string())
                .as_deref(),
            Some("203.0.113.0/24")
        );
        assert_eq!(parse_net("203.0.113.0/33"), None);
        assert_eq!(parse_net("203.0.113.0/"), None);
    }
}
