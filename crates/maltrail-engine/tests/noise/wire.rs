//! Frames of the benign day: IPv4 over Ethernet, sequence numbers right, checksums left zero (the
//! engine does not look at them, as cards compute them after the capture).

/// An address with a port.
pub(crate) type End = (u32, u16);

pub(crate) const FIN: u8 = 0x11;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const PUSH: u8 = 0x18;

/// An address by its four numbers.
pub(crate) const fn ip(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

fn headers(src: u32, dst: u32, proto: u8, length: usize) -> Vec<u8> {
    let total = u16::try_from(20 + length).expect("length");
    let mut frame = Vec::with_capacity(34 + length);
    frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, proto, 0, 0]);
    frame.extend(src.to_be_bytes());
    frame.extend(dst.to_be_bytes());
    frame
}

/// A TCP segment.
pub(crate) fn tcp(src: End, dst: End, numbers: (u32, u32), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = headers(src.0, dst.0, 6, 20 + payload.len());
    frame.extend(src.1.to_be_bytes());
    frame.extend(dst.1.to_be_bytes());
    frame.extend(numbers.0.to_be_bytes());
    frame.extend(numbers.1.to_be_bytes());
    frame.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// A UDP datagram.
pub(crate) fn udp(src: End, dst: End, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("length");
    let mut frame = headers(src.0, dst.0, 17, 8 + payload.len());
    frame.extend(src.1.to_be_bytes());
    frame.extend(dst.1.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// An echo request or its reply.
pub(crate) fn ping(src: u32, dst: u32, reply: bool) -> Vec<u8> {
    let mut frame = headers(src, dst, 1, 64);
    frame.extend([if reply { 0 } else { 8 }, 0, 0, 0, 0, 7, 0, 1]);
    frame.extend([0x61; 56]);
    frame
}

/// A TLS record.
pub(crate) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("length");
    [&[kind, 3, 3][..], &length.to_be_bytes(), body].concat()
}

/// What a server of TLS 1.3 says first.
pub(crate) fn server_hello() -> Vec<u8> {
    let mut hello = vec![2, 0, 0, 76, 3, 3];
    hello.extend([0x33; 32]);
    hello.push(32);
    hello.extend([0x66; 32]);
    hello.extend([0x13, 1, 0, 0, 0, 0]);
    hello.truncate(80);
    let mut all = record(22, &hello);
    all.extend(record(20, &[1]));
    all.extend(record(23, &[0xa5; 1100]));
    all
}

/// What a resolver says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Address(u32),
    Nothing,
    NoSuchName,
}

/// A question and its answer.
pub(crate) fn dns(id: u16, name: &str, qtype: u16, answer: Answer) -> (Vec<u8>, Vec<u8>) {
    let mut ask = id.to_be_bytes().to_vec();
    ask.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        ask.push(u8::try_from(label.len()).expect("label"));
        ask.extend(label.bytes());
    }
    ask.push(0);
    ask.extend(qtype.to_be_bytes());
    ask.extend([0, 1]);
    let mut reply = ask.clone();
    reply[2] = 0x81;
    reply[3] = 0x80;
    match answer {
        Answer::Address(address) => {
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
            reply.extend(address.to_be_bytes());
        }
        Answer::Nothing => {}
        Answer::NoSuchName => reply[3] = 0x83,
    }
    (ask, reply)
}
