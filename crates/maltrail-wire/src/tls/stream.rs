//! Records as pieces of one stream, for messages that go on from record to record.
//!
//! A record that is cut, even inside its header, is yielded with what is there of it and ends the
//! walk. Bytes that are no record are yielded as a record of type 0, which is none of TLS.
//!
//! Bound: every step takes five bytes at least.

use crate::cursor::Cursor;

/// Major version of every TLS record.
const MAJOR: u8 = 3;

/// What is there of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The type of the record; 22 for handshake messages.
    pub kind: u8,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether that is all of it.
    pub whole: bool,
}

impl Fragment<'_> {
    /// Type of records with handshake messages.
    pub const HANDSHAKE: u8 = 22;
}

/// The records that `payload` starts with.
pub fn fragments(payload: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    Fragments(Some(Cursor::new(payload)))
}

struct Fragments<'a>(Option<Cursor<'a>>);

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        let mut cursor = self.0.take()?;
        let kind = cursor.u8()?;
        if cursor.rest().first().is_some_and(|&major| major != MAJOR) {
            return Some(Fragment {
                kind: 0,
                bytes: &[],
                whole: false,
            });
        }
        let length = cursor.u16().and_then(|_| cursor.u16());
        let bytes = length.map_or(&[][..], |length| cursor.up_to(length.into()));
        let whole = length.is_some_and(|length| bytes.len() == usize::from(length));
        if whole {
            self.0 = Some(cursor);
        }
        Some(Fragment { kind, bytes, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(payload: &[u8]) -> Vec<(u8, &[u8], bool)> {
        fragments(payload)
            .map(|found| (found.kind, found.bytes, found.whole))
            .collect()
    }

    #[test]
    fn records_follow_each_other_up_to_a_cut_one() {
        let payload = [22, 3, 1, 0, 2, 7, 8, 20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 9];
        let wanted: [(u8, &[u8], bool); 3] =
            [(22, &[7, 8], true), (20, &[1], true), (23, &[9], false)];
        assert_eq!(found(&payload), wanted);
        assert_eq!(found(&payload[..7]), wanted[..1], "at a boundary");
        for cut in 8..12 {
            assert_eq!(
                found(&payload[..cut])[1..],
                [(20, &[][..], false)],
                "in a header"
            );
        }
    }

    #[test]
    fn what_is_no_record_has_type_0() {
        assert_eq!(found(b"GET / HTTP/1.1"), [(0, &[][..], false)]);
        assert_eq!(
            found(&[22, 3, 1, 0, 0, 22, 2, 1]),
            [(22, &[][..], true), (0, &[], false)]
        );
        assert_eq!(found(&[]), []);
    }
}
