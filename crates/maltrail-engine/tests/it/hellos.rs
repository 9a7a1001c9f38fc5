//! Names and certificates that are sent in the clear: the table of verified examples, and rules
//! that take more than one packet.

use crate::net::{C, S, Setup, at, check, check_setup, feed, hello_row, segment, udp};
use crate::vectors::{expected, rows, setup, unhex};

type Row = [&'static str; 11];

fn table() -> Vec<Row> {
    rows(include_str!("../data/tls_quic.tsv"), 33)
}

fn row(wanted: &str) -> Row {
    let mut rows = table().into_iter();
    rows.find(|row| row[0] == wanted).expect(wanted)
}

fn frame(row: &Row) -> Vec<u8> {
    let [_, _, _, proto, src, sport, dst, dport, payload, ..] = row;
    let end = |address: &str, port: &str| match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    };
    let (from, to, payload) = (end(src, sport), end(dst, dport), unhex(payload));
    match *proto {
        "tcp" => segment(&from, &to, 0x18, &payload),
        "udp" => udp(&from, &to, &payload),
        other => panic!("{other}"),
    }
}

#[test]
fn hellos_and_certificates() {
    for row in table() {
        let [id, config, trails, .., wanted, basis] = row;
        let mut engine = setup(trails, config).engine();
        let found = feed(&mut engine, &[(at(0), frame(&row))]);
        assert_eq!(found, expected(wanted), "{id} ({basis})");
    }
}

const EVIL: &str = "evil-domain.com,x,r\n";

#[test]
fn a_hello_in_a_syn_leaves_the_syn_to_be_matched() {
    let rows = "203.0.113.7,badnet,r\nevil-domain.com,x,r\n";
    let opened = segment(C, S, 0x02, &hello_row("sni_exact"));
    check(
        rows,
        &[(at(0), opened)],
        &["DNS evil-domain.com", "IP 203.0.113.7"],
    );
}

#[test]
fn a_quic_hello_leaves_the_datagram_to_be_matched() {
    let rows = "203.0.113.7,badnet,r\nevil-domain.com,x,r\n";
    let hello = udp(C, S, &hello_row("quic_any_port"));
    check(
        rows,
        &[(at(0), hello.clone())],
        &["DNS evil-domain.com", "IP 203.0.113.7"],
    );
    let mut engine = Setup::new(rows).engine();
    feed(&mut engine, &[(at(0), hello.clone()), (at(0), hello)]);
    let counters = engine.counters();
    // A hello stands alone: the datagram repeats, the name does not.
    assert_eq!(
        (counters.repeats, counters.quic_names, counters.hellos),
        (1, 2, 0)
    );
}

#[test]
fn whitelisted_ends_drop_certificates_and_leave_names() {
    let certificate = "312d4847c7fb01b562f1d14f79ae8970974f7ba9,c2,r\n";
    let mut setup = Setup::new(&(certificate.to_owned() + EVIL));
    setup.whitelist = "203.0.113.7\n".to_owned();
    let packets = [
        (at(0), segment(S, C, 0x18, &hello_row("cert_match"))),
        (at(0), segment(C, S, 0x18, &hello_row("sni_exact"))),
    ];
    check_setup(&setup, &packets, &["DNS evil-domain.com"]);
}

#[test]
fn every_prefix_and_flipped_byte_of_a_hello_is_survived() {
    for id in [
        "sni_exact",
        "cert_two_records",
        "quic_upper",
        "quic_crypto_out_of_order",
    ] {
        let row = row(id);
        let tcp = row[3] == "tcp";
        let whole = hello_row(id);
        let mut engine = setup(row[2], "-").engine();
        // Each comes on a connection of its own, as together they would be one stream.
        let mut ports = (1024..=u16::MAX).cycle();
        let mut try_one = |payload: &[u8]| {
            let client = format!("192.0.2.10:{}", ports.next().expect("endless"));
            let frame = if tcp {
                segment(&client, S, 0x18, payload)
            } else {
                udp(&client, S, payload)
            };
            feed(&mut engine, &[(at(0), frame)]).len()
        };
        // QUIC packets are whole or nothing, and here nothing follows the name or certificate.
        for cut in 0..whole.len() {
            assert_eq!(try_one(&whole[..cut]), 0, "{id} cut at {cut}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 0x04;
            let events = try_one(&flipped);
            assert!(events <= usize::from(tcp), "{id} byte {place}: {events}");
        }
        assert_eq!(try_one(&whole), 1);
    }
}

#[test]
fn what_is_read_is_counted() {
    let mut engine = Setup::new("").engine();
    let mut damaged = hello_row("quic_v2");
    damaged[700] ^= 1;
    let packets = [
        (at(0), segment(C, S, 0x18, &hello_row("sni_exact"))),
        (
            at(0),
            segment(C, S, 0x18, &hello_row("sni_single_label_no")),
        ),
        (at(0), segment(S, C, 0x18, &hello_row("cert_match"))),
        (at(0), segment(C, S, 0x18, b"\x17\x03\x03\x00\x01x")),
        (at(0), udp(C, S, &hello_row("quic_v1"))),
        (at(0), udp(C, S, &damaged)),
    ];
    feed(&mut engine, &packets);
    let counters = engine.counters();
    let read = (
        counters.tls_names,
        counters.quic_names,
        counters.certificates,
    );
    assert_eq!(read, (1, 1, 1));
    assert_eq!((counters.hellos, counters.unobserved), (2, 2));
    assert_eq!((counters.quic_unread, counters.quic_pieces_lost), (1, 0));
}
