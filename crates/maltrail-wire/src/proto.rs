//! IP protocol numbers and the labels that events print for them.
//!
//! The label table is closed: a protocol without a label is not matched at all, so the table also
//! says which packets beside TCP, UDP and ICMP are of interest.

/// IPv6 hop-by-hop options; as an IPv4 protocol the number is printed as `IP`.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// Authentication header.
pub const AH: u8 = 51;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// IPv6 destination options.
pub const DSTOPTS: u8 = 60;

/// The text that events print for a protocol other than TCP and UDP, or `None` when packets of
/// that protocol are ignored.
#[must_use]
pub const fn proto_label(proto: u8) -> Option<&'static str> {
    Some(match proto {
        HOP_BY_HOP => "IP",
        ICMP => "ICMP",
        2 => "IGMP",
        4 => "IPIP",
        8 => "EGP",
        12 => "PUP",
        22 => "IDP",
        29 => "TP",
        41 => "IPV6",
        ROUTING => "ROUTING",
        FRAGMENT => "FRAGMENT",
        46 => "RSVP",
        47 => "GRE",
        50 => "ESP",
        AH => "AH",
        ICMPV6 => "ICMPV6",
        59 => "NONE",
        DSTOPTS => "DSTOPTS",
        103 => "PIM",
        132 => "SCTP",
        136 => "UDPLITE",
        255 => "RAW",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_exactly_the_documented_rows() {
        let labelled: Vec<u8> = (0..=255).filter(|&p| proto_label(p).is_some()).collect();
        assert_eq!(
            labelled,
            [
                0, 1, 2, 4, 8, 12, 22, 29, 41, 43, 44, 46, 47, 50, 51, 58, 59, 60, 103, 132, 136,
                255
            ]
        );
        assert_eq!(proto_label(47), Some("GRE"));
        assert_eq!(proto_label(0), Some("IP"));
        // compat: OSPF has no label and is ignored.
        assert_eq!(proto_label(89), None);
    }
}
