//! Seeded streams of packets, one workload each, as capture files.
//!
//! The stream of n packets is the start of any longer one of the same workload, so two lengths give a
//! slope without what a start costs. The clock goes on by a second every 100,000 packets. Clients are
//! 1,000 hosts of 10.0.0.0/8; servers are anywhere outside.

use std::io::{self, Write};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// Echo requests of 58 bytes
    Icmp,
    /// TCP SYNs of 54 bytes
    Syn,
    /// DNS questions, each name once
    DnsUnique,
    /// DNS questions for 500 names
    DnsWarm,
    /// Browser-like requests of about 417 bytes
    Http,
    /// Encrypted data in segments of 1,473 bytes
    TlsBulk,
    /// ClientHellos with a name
    TlsHello,
    /// QUIC Initials with a name
    Quic,
    /// 60 % bulk, 15 % SYN, 10 % DNS, 10 % HTTP, 5 % ICMP
    Mixed,
}

impl Workload {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 9] = [
        Self::Icmp,
        Self::Syn,
        Self::DnsUnique,
        Self::DnsWarm,
        Self::Http,
        Self::TlsBulk,
        Self::TlsHello,
        Self::Quic,
        Self::Mixed,
    ];

    /// The name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Syn => "syn",
            Self::DnsUnique => "dns-unique",
            Self::DnsWarm => "dns-warm",
            Self::Http => "http",
            Self::TlsBulk => "tls-bulk",
            Self::TlsHello => "tls-hello",
            Self::Quic => "quic",
            Self::Mixed => "mixed",
        }
    }
}

/// Writes a capture of `count` packets.
pub(crate) fn write(
    workload: Workload,
    count: u64,
    seed: u64,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut stream = Stream::new(seed);
    out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0])?;
    out.write_all(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0])?;
    for number in 0..count {
        let packet = stream.packet(workload)?;
        record(number, &packet.frame(number), out)?;
    }
    Ok(())
}

fn record(number: u64, frame: &[u8], out: &mut impl Write) -> io::Result<()> {
    let secs = 1_700_000_000 + number / 100_000;
    let micros = number % 100_000 * 10;
    let length = frame.len() as u32;
    for word in [secs as u32, micros as u32, length, length] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(frame)
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PSH_ACK: u8 = 0x18;

/// An IPv4 packet without its header.
struct Packet {
    src: u32,
    dst: u32,
    proto: u8,
    body: Vec<u8>,
}

impl Packet {
    /// The Ethernet frame, with right checksums.
    fn frame(mut self, number: u64) -> Vec<u8> {
        let length = self.body.len() as u16;
        let pseudo = u32::from(self.proto)
            + u32::from(length)
            + (self.src >> 16)
            + (self.src & 0xffff)
            + (self.dst >> 16)
            + (self.dst & 0xffff);
        let (at, start) = match self.proto {
            TCP => (16, pseudo),
            UDP => (6, pseudo),
            _ => (2, 0),
        };
        let sum = match !checksum(&self.body, start) {
            0 if self.proto == UDP => 0xffff,
            sum => sum,
        };
        self.body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        let mut header = vec![0x45, 0];
        header.extend((20 + length).to_be_bytes());
        header.extend((number as u16).to_be_bytes());
        header.extend([0x40, 0, 64, self.proto, 0, 0]);
        header.extend(self.src.to_be_bytes());
        header.extend(self.dst.to_be_bytes());
        let sum = !checksum(&header, 0);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(header);
        frame.extend(self.body);
        frame
    }
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const CONSONANTS: [&str; 16] = [
    "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr",
];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ea", "io"];
const SUFFIXES: [&str; 8] = ["com", "net", "org", "de", "fr", "io", "co.uk", "info"];
const HOSTS: [&str; 8] = ["www", "api", "cdn", "mail", "img", "static", "app", "m"];
const SERVICES: [u16; 8] = [443, 80, 22, 25, 8080, 993, 53, 3389];
/// First octets without ordinary servers, or with own hosts.
const NO_SERVERS: [u32; 8] = [127, 172, 192, 169, 100, 198, 203, 255];
/// Names asked for over and over.
const WARM: usize = 500;
const RESOLVER: u32 = 0x0808_0808;

struct Stream {
    state: u64,
    number: u64,
    warm: Vec<String>,
}

impl Stream {
    fn new(seed: u64) -> Self {
        let mut stream = Self {
            state: seed.wrapping_mul(0x2545_F491_4F6C_DD1D),
            number: 0,
            warm: Vec::new(),
        };
        stream.warm = (0..WARM).map(|_| stream.name(3)).collect();
        stream
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        (((self.random() >> 32) * u64::from(limit)) >> 32) as u32
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    fn client(&mut self) -> u32 {
        0x0a00_0000 + self.below(1000) + 256
    }

    fn server(&mut self) -> u32 {
        loop {
            let address = self.random() as u32;
            let first = address >> 24;
            if (11..224).contains(&first) && !NO_SERVERS.contains(&first) {
                return address;
            }
        }
    }

    fn port(&mut self) -> u16 {
        1024 + self.below(60_000) as u16
    }

    fn word(&mut self, syllables: usize) -> String {
        (0..syllables)
            .map(|_| [self.pick(&CONSONANTS), self.pick(&VOWELS)].concat())
            .collect()
    }

    fn name(&mut self, syllables: usize) -> String {
        let host = self.pick(&HOSTS);
        let word = self.word(syllables);
        format!("{host}.{word}.{}", self.pick(&SUFFIXES))
    }

    fn fill(&mut self, out: &mut Vec<u8>, count: usize) {
        let end = out.len() + count;
        while out.len() < end {
            let bytes = self.random().to_le_bytes();
            let take = bytes.len().min(end - out.len());
            out.extend(&bytes[..take]);
        }
    }

    fn packet(&mut self, workload: Workload) -> anyhow::Result<Packet> {
        let packet = match workload {
            Workload::Icmp => self.icmp(),
            Workload::Syn => self.syn(),
            Workload::DnsUnique => self.question(None),
            Workload::DnsWarm => {
                let at = self.below(WARM as u32) as usize;
                self.question(Some(at))
            }
            Workload::Http => self.http(),
            Workload::TlsBulk => self.bulk(),
            Workload::TlsHello => self.hello_segment(),
            Workload::Quic => self.quic()?,
            Workload::Mixed => match self.below(100) {
                0..60 => self.bulk(),
                60..75 => self.syn(),
                75..85 => self.question(None),
                85..95 => self.http(),
                _ => self.icmp(),
            },
        };
        self.number += 1;
        Ok(packet)
    }

    fn segment(&mut self, src: u32, port: u16, flags: u8, payload: &[u8]) -> Packet {
        let dst = self.server();
        let mut body = self.port().to_be_bytes().to_vec();
        body.extend(port.to_be_bytes());
        body.extend((self.random() as u32).to_be_bytes());
        let ack = if flags & ACK == 0 {
            0
        } else {
            self.random() as u32
        };
        body.extend(ack.to_be_bytes());
        body.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        body.extend(payload);
        Packet {
            src,
            dst,
            proto: TCP,
            body,
        }
    }

    fn datagram(&mut self, dst: u32, port: u16, payload: &[u8]) -> Packet {
        let src = self.client();
        let mut body = self.port().to_be_bytes().to_vec();
        body.extend(port.to_be_bytes());
        body.extend((8 + payload.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(payload);
        Packet {
            src,
            dst,
            proto: UDP,
            body,
        }
    }

    fn icmp(&mut self) -> Packet {
        let mut body = vec![8, 0, 0, 0, 0, 1];
        body.extend((self.number as u16).to_be_bytes());
        body.extend(0..16);
        Packet {
            src: self.client(),
            dst: self.server(),
            proto: ICMP,
            body,
        }
    }

    fn syn(&mut self) -> Packet {
        let src = self.client();
        let port = self.pick(&SERVICES);
        self.segment(src, port, SYN, b"")
    }

    fn question(&mut self, warm: Option<usize>) -> Packet {
        let name = match warm {
            Some(at) => self.warm[at].clone(),
            None => self.name(5),
        };
        let mut message = (self.random() as u16).to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        self.datagram(RESOLVER, 53, &message)
    }

    fn http(&mut self) -> Packet {
        let (host, folder, page) = (self.name(3), self.word(3), self.word(2));
        let text = format!(
            "GET /{folder}/{page}.html?id={}&lang=en HTTP/1.1\r\nHost: {host}\r\n\
             User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
             (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
             Accept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n\
             Connection: keep-alive\r\n\r\n",
            self.below(100_000)
        );
        let src = self.client();
        self.segment(src, 80, PSH_ACK, text.as_bytes())
    }

    fn bulk(&mut self) -> Packet {
        const LENGTH: usize = 1419;
        let mut data = vec![0x17, 3, 3];
        data.extend((LENGTH as u16 - 5).to_be_bytes());
        self.fill(&mut data, LENGTH - 5);
        let src = self.client();
        self.segment(src, 443, ACK, &data)
    }

    fn hello_segment(&mut self) -> Packet {
        let name = self.name(5);
        let hello = self.hello(&name, 512);
        let mut record = vec![0x16, 3, 1];
        record.extend((hello.len() as u16).to_be_bytes());
        record.extend(hello);
        let src = self.client();
        self.segment(src, 443, PSH_ACK, &record)
    }

    /// A ClientHello as browsers send it, at least `least` bytes long.
    fn hello(&mut self, name: &str, least: usize) -> Vec<u8> {
        const SUITES: [u16; 15] = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x9c, 0x9d, 0x2f, 0x35,
        ];
        let mut body = vec![3, 3];
        self.fill(&mut body, 32);
        body.push(32);
        self.fill(&mut body, 32);
        body.extend([0, 30]);
        body.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        let mut add = |kind: u16, data: &[u8]| {
            extensions.extend(kind.to_be_bytes());
            extensions.extend((data.len() as u16).to_be_bytes());
            extensions.extend(data);
        };
        add(0x17, b"");
        let length = name.len() as u16;
        let mut sni = (length + 3).to_be_bytes().to_vec();
        sni.push(0);
        sni.extend(length.to_be_bytes());
        sni.extend(name.bytes());
        add(0, &sni);
        add(0x0a, b"\0\x06\0\x1d\0\x17\0\x18");
        add(0x10, b"\0\x0c\x02h2\x08http/1.1");
        add(0x0d, b"\0\x08\x04\x03\x08\x04\x04\x01\x05\x03");
        add(0x2b, b"\x04\x03\x04\x03\x03");
        let mut share = vec![0, 36, 0, 0x1d, 0, 32];
        self.fill(&mut share, 32);
        add(0x33, &share);
        // Type and length of the message, and length of the extensions.
        let written = 4 + body.len() + 2 + extensions.len();
        if let Some(padding) = least.checked_sub(written + 4) {
            extensions.extend([0, 0x15]);
            extensions.extend((padding as u16).to_be_bytes());
            extensions.resize(extensions.len() + padding, 0);
        }
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        message
    }

    /// An Initial of QUIC version 1 (RFC 9001 §5).
    fn quic(&mut self) -> anyhow::Result<Packet> {
        const LENGTH: usize = 1200;
        let dcid = self.random().to_le_bytes();
        let keys = Keys::of_client(&dcid)?;
        let mut header = vec![0xc3, 0, 0, 0, 1, 8];
        header.extend(dcid);
        header.extend([0, 0]);
        let plain = LENGTH - header.len() - 2 - 4 - 16;
        header.extend((0x4000 | (4 + plain as u16 + 16)).to_be_bytes());
        let number_at = header.len();
        header.extend([0; 4]);
        let name = self.name(5);
        let hello = self.hello(&name, 0);
        let mut payload = vec![6, 0];
        payload.extend((0x4000 | hello.len() as u16).to_be_bytes());
        payload.extend(hello);
        payload.resize(plain, 0);
        keys.seal(&header, &mut payload)?;
        let mask = keys.mask(&payload[..16])?;
        header[0] ^= mask[0] & 0x0f;
        for (byte, mask) in header[number_at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        header.extend(payload);
        let dst = self.server();
        Ok(self.datagram(dst, 443, &header))
    }
}

/// What protects an Initial.
struct Keys {
    packet: LessSafeKey,
    iv: [u8; 12],
    header: quic::HeaderProtectionKey,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    fn of_client(dcid: &[u8]) -> anyhow::Result<Self> {
        // RFC 9001 §5.2.
        const SALT: [u8; 20] = [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ];
        let failed = |_| anyhow::anyhow!("the key schedule of QUIC failed");
        let initial = hkdf::Salt::new(hkdf::HKDF_SHA256, &SALT).extract(dcid);
        let expand = |from: &hkdf::Prk, label: &str, out: &mut [u8]| {
            let length = (out.len() as u16).to_be_bytes();
            let label = ["tls13 ", label].concat();
            let info: [&[u8]; 4] = [&length, &[label.len() as u8], label.as_bytes(), &[0]];
            from.expand(&info, Length(out.len()))
                .and_then(|key| key.fill(out))
                .map_err(failed)
        };
        let mut secret = [0; 32];
        expand(&initial, "client in", &mut secret)?;
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &secret);
        let (mut key, mut iv, mut protection) = ([0; 16], [0; 12], [0; 16]);
        expand(&secret, "quic key", &mut key)?;
        expand(&secret, "quic iv", &mut iv)?;
        expand(&secret, "quic hp", &mut protection)?;
        Ok(Self {
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(failed)?),
            iv,
            header: quic::HeaderProtectionKey::new(&quic::AES_128, &protection).map_err(failed)?,
        })
    }

    /// Encrypts packet number 0.
    fn seal(&self, header: &[u8], payload: &mut Vec<u8>) -> anyhow::Result<()> {
        let nonce = Nonce::assume_unique_for_key(self.iv);
        self.packet
            .seal_in_place_append_tag(nonce, Aad::from(header), payload)
            .map_err(|_| anyhow::anyhow!("sealing a QUIC packet failed"))
    }

    fn mask(&self, sample: &[u8]) -> anyhow::Result<[u8; 5]> {
        self.header
            .new_mask(sample)
            .map_err(|_| anyhow::anyhow!("masking a QUIC header failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(workload: Workload, count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write(workload, count, 7, &mut out).expect("stream");
        out
    }

    #[test]
    fn a_shorter_stream_is_the_start_of_a_longer_one() {
        for workload in Workload::ALL {
            let (short, long) = (capture(workload, 20), capture(workload, 50));
            assert!(long.starts_with(&short), "{workload:?}");
            assert!(short.len() > 20 * 54, "{workload:?}");
        }
    }
}
