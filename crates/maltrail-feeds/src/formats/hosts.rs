//! Hosts files: `0.0.0.0 name …`. Names that every such file gives this machine are no entries.

use std::io;

use maltrail_core::addr::parse_ip;

use super::Sink;

/// Names of this machine.
const OWN: [&str; 9] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-allnodes",
    "ip6-allrouters",
    "0.0.0.0",
];

pub(super) fn line(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    if words.next().and_then(parse_ip).is_none() {
        return Ok(());
    }
    for name in words {
        let is_own =
            OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) || name.starts_with("ip6-");
        if !is_own {
            sink.add(number, name)?;
        }
    }
    Ok(())
}
