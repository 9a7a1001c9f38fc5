//! Whitelisted endpoints: an event of one is dropped unless it is about a name.
//!
//! DNS events stay, as a whitelisted resolver or client may well ask for a listed name.

use maltrail_core::event::Kind;
use maltrail_core::trail::Whitelist;

use crate::flow::Flow;

/// Whether an event of this kind between these endpoints is dropped.
pub(crate) fn drops(whitelist: &Whitelist, kind: &Kind, flow: &Flow) -> bool {
    *kind != Kind::Dns
        && (whitelist.covers_address(flow.src.ip) || whitelist.covers_address(flow.dst.ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    #[test]
    fn either_end_counts_and_names_do_not() {
        let whitelist = Whitelist::parse(["8.8.8.8\n198.51.100.0/24\n"]);
        let drops = |kind, src, dst| drops(&whitelist, &kind, &flow(src, dst, "UDP"));
        assert!(drops(Kind::Ip, "192.0.2.10:1", "8.8.8.8:53"));
        assert!(drops(Kind::IpPort, "198.51.100.7:1", "203.0.113.7:2"));
        assert!(!drops(Kind::Dns, "192.0.2.10:1", "8.8.8.8:53"));
        assert!(!drops(Kind::Ip, "192.0.2.10:1", "8.8.4.4:53"));
    }
}
