//! Tables of verified examples. Column `basis` says `reference` where the expected line is that of
//! the reference sensor, and else which improvement over it the row shows, and why.

use maltrail_engine::Engine;
use maltrail_wire::LinkType;

use crate::net::{self, Setup, at, ip, lines, question, tcp, udp};

/// Rows of a table, each with `N` columns, the header left out.
pub(crate) fn rows<const N: usize>(table: &'static str, count: usize) -> Vec<[&'static str; N]> {
    let columns = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        <[&str; N]>::try_from(columns).unwrap_or_else(|row| panic!("{row:?}"))
    };
    let rows: Vec<[&str; N]> = table.lines().skip(1).map(columns).collect();
    assert_eq!(rows.len(), count);
    rows
}

/// The lines of an `expected` column: joined by `\n`, escaped; `-` for none.
pub(crate) fn expected(text: &str) -> Vec<String> {
    if text == "-" {
        return Vec::new();
    }
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        out.push(match first {
            '\\' => match rest.next() {
                Some('\\') => '\\',
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                other => panic!("escape {other:?} in {text}"),
            },
            plain => plain,
        });
    }
    out.lines().map(str::to_owned).collect()
}

pub(crate) fn setup(trails: &str, config: &str) -> Setup {
    let trails = if trails == "-" { "" } else { trails };
    Setup::new(&trails.replace(" || ", "\n")).with(config)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(pair).collect()
}

#[test]
fn dns_queries() {
    for row in rows::<9>(include_str!("../data/dns_query.tsv"), 81) {
        let [
            id,
            config,
            trails,
            name,
            qtype,
            qclass,
            flags,
            wanted,
            basis,
        ] = row;
        let flags = u16::from_str_radix(flags.trim_start_matches("0x"), 16).expect("flags");
        let payload = question(
            name,
            qtype.parse().expect("type"),
            qclass.parse().expect("class"),
            flags,
        );
        let frame = udp(net::C, net::R, &payload);
        let found = setup(trails, config).feed(&[(at(0), frame)]);
        assert_eq!(found, expected(wanted), "{id} ({basis})");
    }
}

/// What the packet column of `ip_match.tsv` says: `key=value` words, or `-`.
#[derive(Default)]
struct PacketColumn {
    flags: u8,
    payload: Vec<u8>,
    repeat: i64,
    every: i64,
}

impl PacketColumn {
    fn parse(text: &str) -> Self {
        let mut column = Self {
            repeat: 1,
            ..Self::default()
        };
        for word in text.split(' ').filter(|&word| word != "-") {
            match word.split_once('=').expect(word) {
                ("flags", value) => {
                    column.flags =
                        u8::from_str_radix(value.trim_start_matches("0x"), 16).expect(value);
                }
                ("payload_hex" | "icmp_hex", value) => column.payload = unhex(value),
                ("repeat", value) => column.repeat = value.parse().expect(value),
                ("every", value) => {
                    column.every = value.trim_end_matches('s').parse().expect(value);
                }
                _ => panic!("{word}"),
            }
        }
        column
    }
}

#[test]
fn addresses() {
    for row in rows::<11>(include_str!("../data/ip_match.tsv"), 46) {
        let [
            id,
            config,
            trails,
            proto,
            src,
            sport,
            dst,
            dport,
            packet,
            wanted,
            basis,
        ] = row;
        let packet = PacketColumn::parse(packet);
        let end = |address: &str, port: &str| match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let (from, to) = (end(src, sport), end(dst, dport));
        let frame = match proto {
            "tcp" => tcp(&from, &to, packet.flags),
            "udp" => udp(&from, &to, &packet.payload),
            "icmp" => ip(src, dst, 1, &packet.payload),
            "icmp6" => ip(src, dst, 58, &packet.payload),
            number => ip(src, dst, number.parse().expect(number), &packet.payload),
        };
        let packets: Vec<_> = (0..packet.repeat)
            .map(|n| (at(n * packet.every), frame.clone()))
            .collect();
        let found = setup(trails, config).feed(&packets);
        assert_eq!(found, expected(wanted), "{id} ({basis})");
    }
}

#[test]
fn link_layers() {
    let setup = Setup::new("203.0.113.7,badnet,r\n2001:db8::66,bad6,r\n");
    for row in rows::<7>(include_str!("../data/link_layer.tsv"), 44) {
        let [id, link, frame, repeat, count, first, basis] = row;
        let link = LinkType(link.parse().expect(link));
        let mut events = Vec::new();
        let mut engine: Engine = setup.engine();
        let frame = unhex(frame);
        for second in 0..repeat.parse().expect(repeat) {
            engine.packet(link, at(second), &frame, &mut events);
        }
        let found = lines(&events);
        assert_eq!(found.len().to_string(), count, "{id} ({basis})");
        let first: Vec<String> = expected(first);
        assert_eq!(found.first(), first.first(), "{id} ({basis})");
    }
}
