//! What never alerts: names, addresses, networks and words of the whitelist files.
//!
//! One entry a line; `#` starts a comment, also behind an entry; letter case does not matter. A name
//! covers its sub-domains when traffic is matched ([`Whitelist::covers_name`]); when trails are built
//! only the entry itself is dropped ([`Whitelist::drops_trail`]).

use std::collections::HashSet;
use std::net::IpAddr;

use crate::addr::{NetworkSet, parse_ip, parse_net};
use crate::name::suffix_starts;

/// The union of all whitelist files.
#[derive(Clone, Debug, Default)]
pub struct Whitelist {
    entries: HashSet<Box<str>>,
    networks: NetworkSet,
}

impl Whitelist {
    /// Reads the text of one or several files.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut entries = HashSet::new();
        let mut networks = Vec::new();
        let lines = texts.into_iter().flat_map(str::lines);
        for line in lines {
            let entry = line
                .split_once('#')
                .map_or(line, |(before, _)| before)
                .trim()
                .to_ascii_lowercase();
            if entry.is_empty() {
                continue;
            }
            if let Some(net) = parse_net(&entry) {
                networks.push(net);
            } else if let Some(address) = parse_ip(&entry) {
                entries.insert(address.to_string().into());
            } else {
                entries.insert(entry.into());
            }
        }
        Self {
            entries,
            networks: NetworkSet::new(networks),
        }
    }

    /// A digest of what is listed, whatever the order and spelling of the files.
    pub fn digest(&self) -> [u8; 32] {
        let mut entries: Vec<&str> = self.entries.iter().map(AsRef::as_ref).collect();
        entries.sort_unstable();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for entry in entries {
            context.update(entry.as_bytes());
            context.update(b"\n");
        }
        self.networks.feed(&mut |bytes| context.update(bytes));
        let digest = context.finish();
        digest.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Whether the name or one of its parents is listed. `name` is lower-case; what follows the
    /// first character that no name has does not count.
    pub fn covers_name(&self, name: &str) -> bool {
        let end = name
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
            .unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        suffix_starts(name).any(|at| {
            name.get(at..)
                .is_some_and(|parent| self.entries.contains(parent))
        })
    }

    /// Whether the address is listed or lies in a listed network.
    pub fn covers_address(&self, address: IpAddr) -> bool {
        self.networks.contains(address) || self.entries.contains(address.to_string().as_str())
    }

    /// Whether a trail with this key is dropped: the key itself is listed, or it is a bare address of
    /// a listed network. Parents do not count here.
    pub fn drops_trail(&self, key: &str) -> bool {
        if self.entries.contains(key) {
            return true;
        }
        !self.networks.is_empty()
            && key.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':')
            && parse_ip(key).is_some_and(|address| self.networks.contains(address))
    }

    /// Number of names, words and single addresses.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.networks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_their_children_and_networks_their_addresses() {
        let list = Whitelist::parse([
            "# mine\nGoogle.com\nwl-three.biz # yes\n8.8.8.8\n5.9.7.0/16\n2001:DB8:0::/32\n",
        ]);
        assert!(list.covers_name("google.com") && list.covers_name("evil.google.com"));
        assert!(!list.covers_name("notgoogle.com") && list.covers_name("wl-three.biz"));
        assert!(list.covers_name("www.google.com/path") && list.covers_name("google.com:80"));
        let covers = |text: &str| list.covers_address(parse_ip(text).expect("address"));
        assert!(
            covers("8.8.8.8")
                && covers("5.9.255.1")
                && covers("2001:db8::1")
                && !covers("5.10.0.1")
        );
        assert!(list.drops_trail("google.com") && !list.drops_trail("evil.google.com"));
        assert!(
            list.drops_trail("5.9.7.7")
                && !list.drops_trail("5.9.8.8:80")
                && !list.drops_trail("5.9.7.7/x")
        );
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn an_empty_list_covers_nothing() {
        let list = Whitelist::default();
        assert!(list.is_empty() && !list.covers_name("") && !list.drops_trail(""));
    }
}
