//! A table with sets of addresses, networks and addresses with a port, and no rule: what is done with them is
//! the operator's choice.

use std::io::{self, Write};
use std::net::IpAddr;

use maltrail_core::trail::{Key, Trail};

/// Writes the table; rows written, and rows it cannot hold.
pub(super) fn write<'a>(
    rows: impl Iterator<Item = Trail<'a>>,
    out: &mut impl Write,
) -> io::Result<(usize, usize)> {
    let mut sets: [Vec<String>; 4] = Default::default();
    let [v4, v6, v4_ports, v6_ports] = &mut sets;
    let (mut written, mut unfit) = (0, 0);
    for row in rows {
        written += 1;
        match Key::of(row.key, row.reference) {
            Key::Ip(IpAddr::V4(address)) => v4.push(address.to_string()),
            Key::Ip(IpAddr::V6(address)) => v6.push(address.to_string()),
            Key::Net(net) if net.addr().is_ipv4() => v4.push(net.trunc().to_string()),
            Key::Net(net) => v6.push(net.trunc().to_string()),
            Key::IpPort(address, port) if port > 0 => match address {
                IpAddr::V4(address) => v4_ports.push(format!("{address} . {port}")),
                IpAddr::V6(address) => v6_ports.push(format!("{address} . {port}")),
            },
            _ => {
                written -= 1;
                unfit += 1;
            }
        }
    }
    writeln!(out, "table inet maltrail {{")?;
    let [v4, v6, v4_ports, v6_ports] = sets;
    set(out, "addresses4", "ipv4_addr", true, v4)?;
    set(out, "addresses6", "ipv6_addr", true, v6)?;
    set(out, "ports4", "ipv4_addr . inet_service", false, v4_ports)?;
    set(out, "ports6", "ipv6_addr . inet_service", false, v6_ports)?;
    writeln!(out, "}}")?;
    Ok((written, unfit))
}

fn set(
    out: &mut impl Write,
    name: &str,
    kind: &str,
    intervals: bool,
    mut elements: Vec<String>,
) -> io::Result<()> {
    elements.sort_unstable();
    elements.dedup();
    writeln!(out, "  set {name} {{")?;
    writeln!(out, "    type {kind}")?;
    if intervals {
        writeln!(out, "    flags interval")?;
        writeln!(out, "    auto-merge")?;
    }
    if !elements.is_empty() {
        writeln!(out, "    elements = {{")?;
        for element in elements {
            writeln!(out, "      {element},")?;
        }
        writeln!(out, "    }}")?;
    }
    writeln!(out, "  }}")
}
