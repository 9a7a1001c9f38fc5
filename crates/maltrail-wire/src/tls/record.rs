//! Records and the handshake messages in them.
//!
//! ```text
//! record   | type 1 | version 2 | length 2 | fragment ...
//! message  | type 1 | length 3  | body ...
//! ```
//!
//! A message that goes on in the next record is yielded with the part in its first one.

use crate::cursor::Cursor;

/// Most records walked in one payload. A server's first flight has two to five.
pub const MAX_RECORDS: usize = 16;
/// Most handshake messages walked in one record. A server's first flight has up to five.
pub const MAX_MESSAGES: usize = 16;

/// Record type of handshake messages.
const HANDSHAKE: u8 = 22;
/// Major version of every TLS record.
const MAJOR: u8 = 3;

/// Whether `payload` may start with a handshake record: all that most packets are asked.
#[inline]
#[must_use]
pub const fn is_handshake(payload: &[u8]) -> bool {
    matches!(payload, [HANDSHAKE, MAJOR, ..])
}

/// A handshake message, or what the record holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What kind it is.
    pub kind: u8,
    /// Its body; shorter than stated when the record or segment ends first.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// The first message of a client.
    pub const CLIENT_HELLO: u8 = 1;
    /// A chain of certificates.
    pub const CERTIFICATE: u8 = 11;
}

/// The handshake messages of a payload that starts with a handshake record, over all its records.
pub fn messages(payload: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let payload = if is_handshake(payload) { payload } else { &[] };
    let fragments = Records(Cursor::new(payload)).take(MAX_RECORDS);
    let handshakes = fragments.filter(|&(kind, _)| kind == HANDSHAKE);
    handshakes.flat_map(|(_, fragment)| fragment_messages(fragment))
}

/// The messages that start in `fragment`.
pub fn fragment_messages(fragment: &[u8]) -> impl Iterator<Item = Message<'_>> {
    Messages(Cursor::new(fragment)).take(MAX_MESSAGES)
}

/// Types and fragments of records.
struct Records<'a>(Cursor<'a>);

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.0.u8()?;
        let [major, _] = self.0.u16()?.to_be_bytes();
        let length = usize::from(self.0.u16()?);
        (major == MAJOR).then(|| (kind, self.0.up_to(length)))
    }
}

struct Messages<'a>(Cursor<'a>);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let kind = self.0.u8()?;
        let length = self.0.u24()?;
        let body = self.0.up_to(length);
        Some(Message { kind, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], fragment].concat()
    }

    fn found(payload: &[u8]) -> Vec<(u8, &[u8])> {
        messages(payload)
            .map(|message| (message.kind, message.body))
            .collect()
    }

    #[test]
    fn messages_of_all_handshake_records_in_order() {
        let payload = [
            record(22, &[2, 0, 0, 1, 7, 11, 0, 0, 0]),
            record(20, &[1]),
            record(22, &[14, 0, 0, 2, 8, 9]),
        ]
        .concat();
        let wanted: [(u8, &[u8]); 3] = [(2, &[7]), (11, &[]), (14, &[8, 9])];
        assert_eq!(found(&payload), wanted);
    }

    #[test]
    fn a_cut_message_keeps_its_start_and_ends_its_record() {
        let payload = record(22, &[1, 0, 0, 9, 5, 6]);
        assert_eq!(found(&payload), [(1, &[5, 6][..])]);
        assert_eq!(found(&payload[..10]), [(1, &[5][..])], "cut by the segment");
        assert_eq!(found(&payload[..8]), []);
    }

    #[test]
    fn another_major_version_ends_the_walk() {
        let mut payload = [record(22, &[1, 0, 0, 0]), record(22, &[2, 0, 0, 0])].concat();
        assert_eq!(found(&payload).len(), 2);
        payload[10] = 2;
        assert_eq!(found(&payload).len(), 1);
        assert!(is_handshake(&payload) && !is_handshake(&payload[1..]) && !is_handshake(&[22]));
    }

    #[test]
    fn another_first_record_is_none_of_a_handshake() {
        let hello = record(22, &[1, 0, 0, 0]);
        assert_eq!(found(&[record(20, &[1]), hello.clone()].concat()), []);
        assert_eq!(found(&hello).len(), 1);
    }

    #[test]
    fn the_bounds_hold() {
        let many = record(22, &[14, 0, 0, 0].repeat(MAX_MESSAGES + 5)).repeat(MAX_RECORDS + 5);
        assert_eq!(found(&many).len(), MAX_RECORDS * MAX_MESSAGES);
    }
}
