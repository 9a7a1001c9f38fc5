//! Whole frames of many link types against what must be seen in them.
//!
//! `data/link_layer.tsv`: a frame, how often it is repeated, and in how many of the repetitions a
//! TCP SYN to one of the two listed addresses is seen. Column `basis` says whether the count is
//! that of the reference or one of our improvements over it (VLAN stacks, loopback families,
//! IPv6 extension headers).

use maltrail_wire::{Decoder, Drop, LinkType, Packet, Transport, decode};

struct Row {
    id: &'static str,
    link: LinkType,
    frame: Vec<u8>,
    repeat: usize,
    seen: usize,
}

fn rows() -> Vec<Row> {
    let rows: Vec<Row> = include_str!("data/link_layer.tsv")
        .lines()
        .skip(1)
        .map(row)
        .collect();
    assert_eq!(rows.len(), 44);
    rows
}

fn row(line: &'static str) -> Row {
    let [id, dlt, frame, repeat, seen, _] =
        <[&str; 6]>::try_from(line.split('\t').collect::<Vec<_>>()).expect("six columns");
    Row {
        id,
        link: LinkType(dlt.parse().expect("link type")),
        frame: unhex(frame),
        repeat: repeat.parse().expect("count"),
        seen: seen.parse().expect("count"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Whether the packet is a TCP SYN, 40000 to 443, to a listed address.
fn is_listed_syn(packet: &Packet<'_>) -> bool {
    let listed = ["203.0.113.7", "2001:db8::66"].contains(&packet.ip.dst.to_string().as_str());
    let Transport::Tcp(tcp) = packet.transport else {
        return false;
    };
    listed && tcp.flags.is_syn() && packet.ports() == Some((40000, 443))
}

#[test]
fn every_row_is_seen_as_often_as_it_must_be() {
    for row in rows() {
        let mut decoder = Decoder::new(row.link);
        let mut seen = 0;
        for _ in 0..row.repeat {
            seen += usize::from(decoder.decode(&row.frame).is_ok_and(|p| is_listed_syn(&p)));
        }
        assert_eq!(
            seen,
            row.seen,
            "{}: {:?}",
            row.id,
            decoder.decode(&row.frame)
        );
    }
}

#[test]
fn refused_rows_say_why() {
    let expected = [
        ("eth_arp", "link_arp"),
        ("pppoe_lcp", "link_ppp_control"),
        ("pppoe_discovery", "link_pppoe_discovery"),
        ("mpls_no", "link_mpls"),
        ("ppp9_nohdr_no", "link_ppp_framing"),
        ("frag_later", "ip_fragment_later"),
        ("truncated_ip", "ip_truncated"),
        ("truncated_tcp13", "tcp_truncated"),
        ("ip_version5_no", "ip_version"),
        ("ihl_too_small", "ip_header_length"),
    ];
    let refused: Vec<_> = rows()
        .iter()
        .filter_map(|row| Some((row.id, decode_once(row).err()?.name())))
        .collect();
    assert_eq!(refused, expected);
}

fn decode_once(row: &Row) -> Result<Packet<'_>, Drop> {
    Decoder::new(row.link).decode(&row.frame)
}

#[test]
fn a_tunnel_keeps_its_outer_addresses() {
    let rows = rows();
    let row = rows.iter().find(|row| row.id == "ipip").expect("row");
    let packet = decode_once(row).expect("packet");
    assert_eq!(packet.ip.dst.to_string(), "192.0.2.78");
    assert_eq!(packet.transport, Transport::Other("IPIP"));
}

#[test]
fn a_cut_frame_is_refused_or_says_the_same() {
    for row in rows().iter().filter(|row| row.link.is_known()) {
        let Ok(whole) = decode(row.link, &row.frame) else {
            continue;
        };
        for cut in 0..row.frame.len() {
            let Ok(packet) = decode(row.link, &row.frame[..cut]) else {
                continue;
            };
            let id = row.id;
            assert_eq!(
                (packet.ip.src, packet.ip.dst),
                (whole.ip.src, whole.ip.dst),
                "{id} {cut}"
            );
            if let (Transport::Tcp(part), Transport::Tcp(all)) = (packet.transport, whole.transport)
            {
                assert_eq!(
                    (part.dst_port, part.flags),
                    (all.dst_port, all.flags),
                    "{id} {cut}"
                );
            }
            assert_inside(&row.frame[..cut], &packet);
        }
    }
}

#[test]
fn a_changed_byte_never_leads_outside_the_frame() {
    for row in rows() {
        let mut frame = row.frame.clone();
        let mut decoded = 0;
        for at in 0..frame.len() {
            let original = frame[at];
            for value in (0..=u8::MAX).filter(|&value| value != original) {
                frame[at] = value;
                if let Ok(packet) = Decoder::new(row.link).decode(&frame) {
                    assert_inside(&frame, &packet);
                    decoded += 1;
                }
            }
            frame[at] = original;
        }
        assert!(
            row.seen == 0 || decoded > 0,
            "{}: no change was survivable",
            row.id
        );
    }
}

fn assert_inside(frame: &[u8], packet: &Packet<'_>) {
    let outer = frame.as_ptr_range();
    let payload = match packet.transport {
        Transport::Tcp(tcp) => tcp.payload,
        Transport::Udp(udp) => udp.payload,
        Transport::Icmp { .. } | Transport::Other(_) => packet.ip.payload,
    };
    for inner in [packet.ip.payload, payload]
        .into_iter()
        .filter(|bytes| !bytes.is_empty())
    {
        let inner = inner.as_ptr_range();
        assert!(
            outer.start <= inner.start && inner.end <= outer.end,
            "{packet:?}"
        );
    }
}
