//! Endpoints against address trails.
//!
//! | packet | looked up, first found wins | left out when the row's info says |
//! |---|---|---|
//! | TCP SYN | dst:port, dst; then src:port, src unless dst is this host | dst: `attacker`, or `parking site` off ports 80 and 443; src: `malware` |
//! | UDP outside port 53 | the same, whatever dst is | dst: `attacker`; src: `malware` |
//! | contact | dst; then src | |
//! | DNS query | dst:port, dst; then src | |
//!
//! An attacker as destination, or malware as source, is the listed host's own business. A row left
//! out ends the search, so a destination explains the packet before its source does, with one
//! exception: a UDP row with a port gives way to the bare address, which a datagram matched before
//! rows with ports were looked at.
//!
//! The trail is the address even where a network was found, as events are about hosts.

use maltrail_core::addr::{ip_port_text, is_localhost};
use maltrail_core::event::Kind;
use maltrail_core::trail::{Trail, TrailSet};

use crate::finding::{Field, Finding, address_for};
use crate::flow::{Endpoint, Flow};

/// Ports on which a parking page is visited.
const WEB_PORTS: [u16; 2] = [80, 443];

/// A listed endpoint.
struct Hit<'a> {
    row: Trail<'a>,
    end: Endpoint,
    /// The port the row is about; `None` for a bare address.
    port: Option<u16>,
}

impl<'a> Hit<'a> {
    #[inline]
    fn with_port(trails: &'a TrailSet, end: Endpoint) -> Option<Self> {
        let port = end.port?;
        let row = trails.ip_port(end.ip, port)?;
        let port = Some(port);
        Some(Self { row, end, port })
    }

    #[inline]
    fn bare(trails: &'a TrailSet, end: Endpoint) -> Option<Self> {
        let row = trails.ip(end.ip)?;
        let port = None;
        Some(Self { row, end, port })
    }

    /// The row with the port, else that of the address.
    #[inline]
    fn any(trails: &'a TrailSet, end: Endpoint) -> Option<Self> {
        Self::with_port(trails, end).or_else(|| Self::bare(trails, end))
    }

    fn says(&self, word: &str) -> bool {
        self.row.info.contains(word)
    }

    const fn kind(&self) -> Kind {
        match self.port {
            Some(_) => Kind::IpPort,
            None => Kind::Ip,
        }
    }

    fn finding(self, field: Field) -> Finding<'a> {
        let trail = match self.port {
            Some(port) => ip_port_text(self.end.ip, port),
            None => self.end.ip.to_string(),
        };
        self.finding_as(trail, field)
    }

    fn finding_as(self, trail: String, field: Field) -> Finding<'a> {
        Finding::listed(self.kind(), trail, self.row).at(field)
    }
}

/// A TCP segment that opens a connection.
#[inline]
pub(crate) fn syn<'a>(trails: &'a TrailSet, flow: &Flow) -> Option<Finding<'a>> {
    if let Some(hit) = Hit::any(trails, flow.dst) {
        let off_web = !flow.dst.port.is_some_and(|port| WEB_PORTS.contains(&port));
        let left_out = hit.says("attacker") || (hit.says("parking site") && off_web);
        return (!left_out).then(|| hit.finding(Field::Destination));
    }
    if is_localhost(flow.dst.ip) {
        return None;
    }
    let hit = Hit::any(trails, flow.src)?;
    (!hit.says("malware")).then(|| hit.finding(Field::Source))
}

/// A UDP datagram outside port 53.
#[inline]
pub(crate) fn datagram<'a>(trails: &'a TrailSet, flow: &Flow) -> Option<Finding<'a>> {
    let reported = |end, word| {
        let with_port = Hit::with_port(trails, end).filter(|hit| !hit.says(word));
        with_port.or_else(|| Hit::bare(trails, end))
    };
    let (hit, word, field) = match reported(flow.dst, "attacker") {
        Some(hit) => (hit, "attacker", Field::Destination),
        None => (reported(flow.src, "malware")?, "malware", Field::Source),
    };
    (!hit.says(word)).then(|| hit.finding(field))
}

/// A packet of which only the addresses count.
#[inline]
pub(crate) fn contact<'a>(trails: &'a TrailSet, flow: &Flow) -> Option<Finding<'a>> {
    let found = |end, field| Hit::bare(trails, end).map(|hit| hit.finding(field));
    found(flow.dst, Field::Destination).or_else(|| found(flow.src, Field::Source))
}

/// A question for `name`: a listed resolver is shown with the name, a listed client alone.
#[inline]
pub(crate) fn resolver<'a>(trails: &'a TrailSet, flow: &Flow, name: &str) -> Option<Finding<'a>> {
    match Hit::any(trails, flow.dst) {
        Some(hit) => Some(hit.finding_as(address_for(flow.dst.ip, name), Field::Destination)),
        None => Hit::bare(trails, flow.src).map(|hit| hit.finding(Field::Source)),
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::trail::Whitelist;

    use super::*;
    use crate::flow::tests::flow;

    type Matcher = for<'a> fn(&'a TrailSet, &Flow) -> Option<Finding<'a>>;

    /// What `matcher` finds, as `TYPE trail`.
    #[track_caller]
    fn check(matcher: Matcher, rows: &str, src: &str, dst: &str, wanted: Option<&str>) {
        let trails = TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).unwrap();
        let found = matcher(&trails, &flow(src, dst, "X"));
        let found = found.map(|finding| format!("{} {}", finding.kind, finding.trail));
        assert_eq!(found.as_deref(), wanted, "{rows}: {src} > {dst}");
    }

    const C: &str = "192.0.2.10:40000";
    const S: &str = "203.0.113.7:443";

    #[test]
    fn the_form_with_a_port_wins() {
        let both = "203.0.113.7,a,r\n203.0.113.7:443,b,r\n";
        for matcher in [syn as Matcher, datagram] {
            check(matcher, both, C, S, Some("IPORT 203.0.113.7:443"));
            check(matcher, both, S, C, Some("IPORT 203.0.113.7:443"));
            check(matcher, both, C, "203.0.113.7:80", Some("IP 203.0.113.7"));
            check(matcher, "203.0.113.7:443,b,r\n", C, "203.0.113.7:80", None);
        }
    }

    #[test]
    fn a_destination_explains_the_packet_before_its_source() {
        let rows = "203.0.113.7,a,r\n192.0.2.10,b,r\n";
        for matcher in [syn as Matcher, datagram, contact] {
            check(matcher, rows, C, S, Some("IP 203.0.113.7"));
            check(matcher, rows, S, C, Some("IP 192.0.2.10"));
        }
        let left_out = "203.0.113.7,known attacker,r\n192.0.2.10,b,r\n";
        for matcher in [syn as Matcher, datagram] {
            check(matcher, left_out, C, S, None);
        }
    }

    #[test]
    fn attackers_answered_and_malware_answering_are_left_out() {
        for matcher in [syn as Matcher, datagram] {
            check(matcher, "203.0.113.7,known attacker,r\n", C, S, None);
            check(
                matcher,
                "203.0.113.7,known attacker,r\n",
                S,
                C,
                Some("IP 203.0.113.7"),
            );
            check(matcher, "203.0.113.7,x (malware),r\n", S, C, None);
            check(
                matcher,
                "203.0.113.7,x (malware),r\n",
                C,
                S,
                Some("IP 203.0.113.7"),
            );
        }
        check(
            contact,
            "203.0.113.7,known attacker,r\n",
            C,
            S,
            Some("IP 203.0.113.7"),
        );
        check(
            contact,
            "203.0.113.7,x (malware),r\n",
            S,
            C,
            Some("IP 203.0.113.7"),
        );
    }

    #[test]
    fn a_parking_site_counts_on_web_ports_only_and_for_tcp_only() {
        let rows = "203.0.113.7,parking site (suspicious),r\n";
        for (port, found) in [(80, true), (443, true), (8080, false)] {
            let dst = format!("203.0.113.7:{port}");
            check(syn, rows, C, &dst, found.then_some("IP 203.0.113.7"));
            check(datagram, rows, C, &dst, Some("IP 203.0.113.7"));
        }
    }

    #[test]
    fn a_syn_to_this_host_is_not_matched_by_its_source() {
        let rows = "203.0.113.7,known scanner,r\n::2,x,r\n";
        check(syn, rows, S, "127.0.0.1:443", None);
        check(syn, rows, "[::2]:1", "[::1]:443", None);
        check(syn, rows, S, "127.0.0.2:443", Some("IP 203.0.113.7"));
        check(datagram, rows, S, "127.0.0.1:443", Some("IP 203.0.113.7"));
    }

    #[test]
    fn a_datagram_row_left_out_for_its_port_gives_way_to_the_address() {
        let rows = "203.0.113.7:443,known attacker,r\n203.0.113.7,badnet,r\n";
        check(datagram, rows, C, S, Some("IP 203.0.113.7"));
        check(syn, rows, C, S, None);
        let client = "203.0.113.7:443,known attacker,r\n192.0.2.10,badnet,r\n";
        check(datagram, client, C, S, Some("IP 192.0.2.10"));
    }

    #[test]
    fn addresses_of_ipv6_and_networks_match_by_number() {
        let rows = "2001:0DB8::0066,x,r\n[2001:db8::67]:443,y,r\n198.51.100.0/24,z,r\n";
        check(syn, rows, C, "[2001:db8::66]:443", Some("IP 2001:db8::66"));
        check(
            syn,
            rows,
            C,
            "[2001:db8::67]:443",
            Some("IPORT [2001:db8::67]:443"),
        );
        check(
            contact,
            rows,
            "192.0.2.10",
            "198.51.100.9",
            Some("IP 198.51.100.9"),
        );
        check(contact, rows, "192.0.2.10", "2001:db8::67", None);
    }

    #[test]
    fn a_question_shows_a_listed_resolver_with_its_name() {
        let asked: Matcher = |trails, flow| resolver(trails, flow, "a.com");
        let r = "198.51.100.53:53";
        check(
            asked,
            "198.51.100.53,x,r\n",
            C,
            r,
            Some("IP 198.51.100.53 (a.com)"),
        );
        let both = "198.51.100.53,x,r\n198.51.100.53:53,y,r\n";
        check(asked, both, C, r, Some("IPORT 198.51.100.53 (a.com)"));
        check(
            asked,
            "192.0.2.10,known attacker,r\n",
            C,
            r,
            Some("IP 192.0.2.10"),
        );
        check(asked, "192.0.2.10:40000,x,r\n", C, r, None);
        check(
            asked,
            "2001:db8::53,x,r\n",
            C,
            "[2001:db8::53]:53",
            Some("IP 2001:db8::53 (a.com)"),
        );
    }
}
