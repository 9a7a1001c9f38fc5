//! Machines of an office among themselves, and what they do besides the web.

use crate::day::Day;
use crate::web::{site, vain};
use crate::wire::{Answer, ip, tcp, udp};

/// The domain controllers and file servers.
const DC: u32 = ip(192, 168, 2, 10);
const FILES: u32 = ip(192, 168, 2, 45);
const BACKUPS: u32 = ip(192, 168, 2, 70);
const SUFFIX: &str = "corp.acme-works.com";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";

pub(crate) fn doh(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let name = day.random.pick(&[
        "cloudflare-dns.com",
        "dns.google",
        "mozilla.cloudflare-dns.com",
        "dns.quad9.net",
    ]);
    let segments = day.random.within(2, 20);
    day.tls(at, client, (Day::address(name), 443), name, segments);
}

pub(crate) fn dot(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    day.tls(at, client, (ip(1, 1, 1, 1), 853), "one.one.one.one", 8);
}

/// Sound and picture both ways, after asking for a way through the router.
pub(crate) fn call(day: &mut Day) {
    let (client, at, peer) = (day.client(), day.start(), day.outside());
    let src = (client, day.random.port());
    let dst = (peer, 3478 + day.random.below(4) as u16);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    for n in 0..6 {
        day.exchange(at + n * 50_000, src, dst, &stun, &stun);
    }
    let seconds = day.random.within(60, 1500);
    day.lasting(seconds, src, dst, (50, 172), (50, 172), false, 0x80);
    let video = (client, src.1.wrapping_add(2));
    day.lasting(
        seconds,
        video,
        (peer, dst.1),
        (60, 1000),
        (90, 1000),
        false,
        0x80,
    );
}

pub(crate) fn wireguard(day: &mut Day) {
    let src = (ip(192, 168, 1, 7), 51_820);
    day.lasting(
        3_600,
        src,
        (ip(85, 17, 3, 9), 51_820),
        (8, 500),
        (20, 1200),
        false,
        4,
    );
}

/// One client looks for peers and exchanges pieces with some of them; some of them call.
pub(crate) fn bittorrent(day: &mut Day) {
    let mine = (ip(192, 168, 1, 44), 51_413);
    for _ in 0..150 {
        let (peer, after) = (
            (day.outside(), day.random.port()),
            day.random.within(0, 60_000_000),
        );
        let back: &[u8] = if day.random.below(3) == 0 {
            &[]
        } else {
            &[0x64; 280]
        };
        let ask = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe";
        if day.random.below(2) == 0 {
            day.exchange(after, mine, peer, ask, back);
        } else {
            day.exchange(after, peer, mine, ask, back);
        }
    }
    for _ in 0..8 {
        let (peer, mut at) = (
            (day.outside(), day.random.port()),
            day.random.within(0, 30_000_000),
        );
        for _ in 0..60 {
            day.exchange(at, peer, mine, &[0x01; 1100], &[0x21; 20]);
            at += 12_000;
        }
    }
    for _ in 0..15 {
        let (peer, after) = (
            (day.outside(), day.random.port()),
            day.random.within(0, 60_000_000),
        );
        if day.random.below(2) == 0 {
            // Nobody answers.
            let src = (mine.0, day.random.port());
            for again in [0, 1_000_000, 3_000_000] {
                day.send(after + again, tcp(src, peer, (1, 0), 2, &[]));
            }
        } else {
            let mut conn = day.open(after, mine.0, peer);
            conn.says(b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05aaaaaaaaaaaaaaaaaaaa-TR4050-bbbbbbbbbbbb");
            conn.bulk(40);
            conn.close();
        }
    }
}

pub(crate) fn backup(day: &mut Day) {
    let src = (FILES, day.random.port());
    day.lasting(
        240,
        src,
        (BACKUPS, 873),
        (2_000, 1_448),
        (700, 0),
        true,
        0x5b,
    );
}

/// Ten seconds of eight connections down, then up, one test over UDP.
pub(crate) fn speed_test(day: &mut Day) {
    let (client, server) = (day.client(), day.outside());
    for _ in 0..8 {
        let src = (client, day.random.port());
        day.lasting(10, src, (server, 8080), (300, 0), (900, 1_448), true, 0x61);
    }
    for _ in 0..8 {
        let src = (client, day.random.port());
        day.lasting(10, src, (server, 8080), (400, 1_448), (130, 0), true, 0x61);
    }
    let src = (client, day.random.port());
    day.lasting(
        10,
        src,
        (server, 5201),
        (1_500, 1_400),
        (1, 30),
        false,
        0x62,
    );
}

/// A machine finds its controller and logs on: eight or nine services, some at dynamic ports.
pub(crate) fn logon(day: &mut Day) {
    let (client, mut at) = (day.client(), day.start());
    for name in [
        "_ldap._tcp.dc._msdcs",
        "_ldap._tcp.site1._sites.dc._msdcs",
        "_kerberos._tcp.dc._msdcs",
    ] {
        day.ask(at, client, &format!("{name}.{SUFFIX}"), 33, Answer::Nothing);
        at += 9_000;
    }
    let src = (client, day.random.port());
    day.exchange(at, src, (DC, 389), &[0x30; 180], &[0x30; 200]);
    day.exchange(at, src, (DC, 123), &[0x23; 68], &[0x24; 68]);
    let dynamic = 49_664 + day.random.below(8) as u16;
    for port in [88, 88, 135, dynamic, dynamic + 2, 389, 445, 464, 3268] {
        let mut conn = day.open(at, client, (DC, port));
        conn.says(&[0x05; 220]);
        conn.hears(&[0x05; 900]);
        conn.close();
        at += 60_000;
    }
}

/// Names that only exist inside, looked for with the suffix of the site, and outside it in vain.
pub(crate) fn ad_names(day: &mut Day) {
    let client = day.client();
    let name = match day.random.below(7) {
        0 => format!("wpad.{SUFFIX}"),
        1 => "wpad.acme-works.com".to_owned(),
        2 => format!("printer{}.{SUFFIX}", day.random.within(1, 40)),
        3 => format!("isatap.{SUFFIX}"),
        4 => format!("www.{}.{SUFFIX}", site(day)),
        5 => format!(
            "_ldap._tcp.{}._sites.acme-works.com",
            day.random.pick(&["home", "site2"])
        ),
        _ => format!("teams.microsoft.com.{SUFFIX}"),
    };
    vain(day, client, &name);
}

pub(crate) fn netbios(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let query = [
        &[1, 2, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 32][..],
        &[b'E'; 32],
        &[0, 0, 0x20, 0, 1],
    ]
    .concat();
    for n in 0..3 {
        day.send(
            at + n * 750_000,
            udp((client, 137), (ip(192, 168, 3, 255), 137), &query),
        );
    }
    day.send(
        at,
        udp((client, 138), (ip(192, 168, 3, 255), 138), &[0x11; 180]),
    );
}

pub(crate) fn smb(day: &mut Day) {
    let (client, at, turns) = (day.client(), day.start(), day.random.within(3, 30));
    let mut conn = day.open(at, client, (FILES, 445));
    for _ in 0..turns {
        conn.says(&[&[0, 0, 0, 0xa0, 0xfe, b'S', b'M', b'B'][..], &[0; 156]].concat());
        conn.hears(&[0xfe; 1000]);
    }
    conn.bulk(100);
    conn.close();
}

pub(crate) fn printer(day: &mut Day) {
    let (client, at, printer) = (
        day.client(),
        day.start(),
        ip(192, 168, 2, 90 + day.random.byte(0, 3)),
    );
    for n in 0..3 {
        let src = (client, day.random.port());
        day.exchange(
            at + n * 100_000,
            src,
            (printer, 161),
            &[0x30; 60],
            &[0x30; 90],
        );
    }
    let port = if day.random.below(2) == 0 { 9100 } else { 631 };
    let mut conn = day.open(at + 500_000, client, (printer, port));
    conn.says(&vec![0x1b; 60_000]);
    conn.close();
}

pub(crate) fn multicast(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    match day.random.below(3) {
        0 => {
            let query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x0b_googlecast\x04_tcp\x05local\0\0\x0c\0\x01";
            day.send(at, udp((client, 5353), (ip(224, 0, 0, 251), 5353), query));
        }
        1 => {
            let src = (client, day.random.port());
            let text = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";
            for n in 0..4 {
                day.send(
                    at + n * 1_000_000,
                    udp(src, (ip(239, 255, 255, 250), 1900), text),
                );
            }
            for device in 90..94 {
                day.send(
                    at + 200_000,
                    udp(
                        (ip(192, 168, 2, device), 1900),
                        src,
                        b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n",
                    ),
                );
            }
        }
        _ => {
            let src = (client, day.random.port());
            let query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x04wpad\0\0\x01\0\x01";
            day.send(at, udp(src, (ip(224, 0, 0, 252), 5355), query));
        }
    }
}

pub(crate) fn iot(day: &mut Day) {
    let (at, number) = (day.start(), day.random.byte(1, 30));
    let device = ip(192, 168, 3, number);
    let name = format!("mqtt{}.iot-cloud.tuyaeu.com", number % 4);
    let address = day.resolve(at, device, &name);
    if day.random.below(3) == 0 {
        let mut conn = day.open(at + 50_000, device, (address, 80));
        conn.request(
            &format!("POST /gw.json?a=s.gw.dev.pk.active&t={number}&sign=0f"),
            "a.tuyaeu.com",
            "TUYA_IOT_SDK",
            "Content-Type: application/x-www-form-urlencoded\n\ndata=8A7C6D",
            "application/json",
            1,
        );
        conn.close();
    } else {
        day.tls(at + 50_000, device, (address, 8883), &name, 2);
    }
    day.exchange(
        at,
        (device, 123),
        (ip(162, 159, 200, 1), 123),
        &[0x23; 48],
        &[0x24; 48],
    );
}

/// Questions about files and hosts, asked as names below a vendor's zone.
pub(crate) fn antivirus(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let base32 = "abcdefghijklmnopqrstuvwxyz234567";
    let name = match day.random.below(4) {
        0 => format!(
            "0.0.0.0.1.0.0.4e.{}.avqs.mcafee.com",
            day.random.text(base32, 26)
        ),
        1 => format!(
            "3.1o19sr00n{}.{}.i.03.s.sophosxl.net",
            day.random.text(base32, 40),
            day.random.text(base32, 30)
        ),
        2 => format!("{}.a.e5.sk", day.random.text(base32, 40)),
        _ => format!("{}.hash.trendmicro.com", day.random.hex(32)),
    };
    let answer = if day.random.below(3) == 0 {
        Answer::NoSuchName
    } else {
        Answer::Address(ip(127, 0, 0, 1))
    };
    let qtype = if day.random.below(2) == 0 { 16 } else { 1 };
    day.ask(at, client, &name, qtype, answer);
}

/// Three random names at each start and change of the network, bare and with each suffix.
pub(crate) fn chrome_probes(day: &mut Day) {
    let client = day.client();
    for _ in 0..3 {
        let length = day.random.within(7, 15);
        let name = day.random.text(LOWER, length);
        vain(day, client, &name);
        vain(day, client, &format!("{name}.{SUFFIX}"));
        vain(day, client, &format!("{name}.acme-works.com"));
    }
}

/// Names that do not exist: slips of the hand, links to sites that are gone.
pub(crate) fn mistyped(day: &mut Day) {
    let client = day.client();
    let mut name = site(day);
    let at = day.random.below(name.find('.').unwrap_or(1) as u64) as usize;
    name.insert_str(at, day.random.pick(&["a", "e", "r", "t", "s"]));
    let prefix = day.random.pick(&["www.", ""]);
    vain(day, client, &format!("{prefix}{name}"));
}

/// A folder fetched over FTP: each file over a connection of its own, to a port of its own.
pub(crate) fn ftp(day: &mut Day) {
    let (client, mut at) = (day.client(), day.start());
    let server = day.resolve(at, client, "ftp.gnu.org");
    let mut conn = day.open(at + 40_000, client, (server, 21));
    conn.hears(b"220 GNU FTP server ready.\r\n");
    conn.says(b"USER anonymous\r\n");
    conn.hears(b"230 Login successful.\r\n");
    let files = conn.day.random.within(2, 30);
    for _ in 0..files {
        at += 800_000;
        let port = day.random.port();
        let mut data = day.open(at, client, (server, port));
        data.bulk(50);
        data.close();
    }
}
