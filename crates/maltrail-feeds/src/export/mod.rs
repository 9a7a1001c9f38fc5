//! A set for other programs: CSV, a hosts file, a DNS response policy zone, nftables.
//!
//! One record a line. A record is made only of a key that the target's own syntax can hold: names of letters,
//! digits, `-` and `_`, addresses that were parsed and are written anew. Labels and references, which feeds
//! choose, appear in CSV alone. Own, local and whitelisted addresses and names never appear.

mod nft;

use std::io::{self, Write};
use std::net::IpAddr;

use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, is_local};
use maltrail_core::limits::LABEL_BYTES;
use maltrail_core::name::HostName;
use maltrail_core::trail::{Key, Trail, Whitelist, csv};
use regex::Regex;

/// Longest name that fits into a zone below which it is written.
const NAME_BYTES: usize = 200;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rows as in `trails.csv`.
    Csv,
    /// `0.0.0.0 name`.
    Hosts,
    /// A zone file for `response-policy`.
    Rpz,
    /// Sets of a table for `nft -f`.
    Nft,
}

/// Kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKind {
    /// A host name.
    Name,
    /// A last label.
    Label,
    /// An address.
    Address,
    /// An address with a port.
    AddressPort,
    /// A network.
    Network,
    /// A URL.
    Url,
    /// A path.
    Path,
    /// An expression.
    Pattern,
    /// A certificate.
    Certificate,
}

impl RowKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::Label,
        Self::Address,
        Self::AddressPort,
        Self::Network,
        Self::Url,
        Self::Path,
        Self::Pattern,
        Self::Certificate,
    ];

    /// Of a row.
    pub fn of(row: Trail<'_>) -> Self {
        match Key::of(row.key, row.reference) {
            Key::Ip(_) => Self::Address,
            Key::IpPort(..) => Self::AddressPort,
            Key::Net(_) => Self::Network,
            Key::Cert(_) => Self::Certificate,
            Key::Pattern(_) => Self::Pattern,
            Key::Text(text) if text.starts_with('/') => Self::Path,
            Key::Text(text) if text.contains(['/', ':']) => Self::Url,
            Key::Text(text) if text.contains('.') => Self::Name,
            Key::Text(_) => Self::Label,
        }
    }

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Label => "label",
            Self::Address => "address",
            Self::AddressPort => "address-port",
            Self::Network => "network",
            Self::Url => "url",
            Self::Path => "path",
            Self::Pattern => "pattern",
            Self::Certificate => "certificate",
        }
    }
}

/// Which rows to write.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Rows whose label this finds.
    pub info: Option<Regex>,
    /// Rows of these kinds; all when empty.
    pub kinds: Vec<RowKind>,
    /// What never appears.
    pub whitelist: Whitelist,
    /// Networks of one's own, which never appear.
    pub own: NetworkSet,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportCounts {
    /// Rows written.
    pub written: usize,
    /// Rows of a kind that the format cannot hold, or with a key that its syntax cannot.
    pub unfit: usize,
    /// Rows about own, local or whitelisted addresses and names.
    pub spared: usize,
}

impl Selection {
    fn wants(&self, row: Trail<'_>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&RowKind::of(row)))
            && self
                .info
                .as_ref()
                .is_none_or(|regex| regex.is_match(row.info))
    }

    /// Whether a row is about what must never be blocked.
    fn spares(&self, row: Trail<'_>) -> bool {
        match Key::of(row.key, row.reference) {
            Key::Ip(address) | Key::IpPort(address, _) => self.spares_address(address),
            Key::Net(net) => self.spares_net(net),
            Key::Pattern(_) | Key::Cert(_) => false,
            Key::Text(text) => {
                let host = text.split('/').next().unwrap_or_default();
                let host = crate::explain::host_of(host);
                match maltrail_core::addr::parse_ip(host) {
                    Some(address) => self.spares_address(address),
                    None => {
                        !host.is_empty() && (self.whitelist.covers_name(host) || is_own_name(host))
                    }
                }
            }
        }
    }

    fn spares_address(&self, address: IpAddr) -> bool {
        is_local(address)
            || address.is_unspecified()
            || address.is_multicast()
            || self.own.contains(address)
            || self.whitelist.covers_address(address)
    }

    /// Either end counts, and an own network inside a large one.
    fn spares_net(&self, net: IpNet) -> bool {
        net.prefix_len() == 0
            || [net.network(), net.broadcast()]
                .iter()
                .any(|address| self.spares_address(*address))
            || self.own.networks().iter().any(|own| net.contains(own))
            || NetworkSet::private()
                .networks()
                .iter()
                .any(|own| net.contains(own))
    }
}

fn is_own_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local")
}

/// A name that zone and hosts files can hold as it is.
fn safe_name(key: &str) -> Option<&str> {
    let label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
            })
    };
    let numeric = HostName::new(key)?.is_numeric();
    (key.len() <= NAME_BYTES && !numeric && key.split('.').all(label)).then_some(key)
}

/// Writes the selected rows.
///
/// # Errors
/// Those of the output.
pub fn export<'a>(
    rows: impl Iterator<Item = Trail<'a>>,
    format: Format,
    selection: &Selection,
    serial: u64,
    mut out: impl Write,
) -> io::Result<ExportCounts> {
    let mut counts = ExportCounts::default();
    let mut kept = rows.filter(|row| selection.wants(*row)).filter(|row| {
        let spared = selection.spares(*row);
        counts.spared += usize::from(spared);
        !spared
    });
    let (written, unfit) = match format {
        Format::Csv => {
            let mut writer = csv::Writer::new(&mut out);
            let mut written = 0;
            for row in kept {
                writer.row(row.key, row.info, row.reference)?;
                written += 1;
            }
            writer.finish()?;
            (written, 0)
        }
        Format::Hosts => names(&mut kept, &mut out, |name, out| {
            writeln!(out, "0.0.0.0 {name}")
        })?,
        Format::Rpz => {
            writeln!(out, "$TTL 300")?;
            writeln!(
                out,
                "@ IN SOA localhost. root.localhost. {serial} 3600 600 86400 300"
            )?;
            writeln!(out, "@ IN NS localhost.")?;
            names(&mut kept, &mut out, |name, out| {
                writeln!(out, "{name} CNAME .\n*.{name} CNAME .")
            })?
        }
        Format::Nft => nft::write(kept, &mut out)?,
    };
    out.flush()?;
    (counts.written, counts.unfit) = (written, unfit);
    Ok(counts)
}

fn names<'a, W: Write>(
    rows: &mut dyn Iterator<Item = Trail<'a>>,
    out: &mut W,
    line: impl Fn(&str, &mut W) -> io::Result<()>,
) -> io::Result<(usize, usize)> {
    let (mut written, mut unfit) = (0, 0);
    for row in rows {
        let name = (RowKind::of(row) == RowKind::Name)
            .then(|| safe_name(row.key))
            .flatten();
        match name {
            Some(name) => {
                line(name, out)?;
                written += 1;
            }
            None => unfit += 1,
        }
    }
    Ok((written, unfit))
}

#[cfg(test)]
mod tests;
