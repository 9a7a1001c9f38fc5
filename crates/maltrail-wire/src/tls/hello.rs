//! The ClientHello and the name in it (RFC 8446, 4.1.2; RFC 6066, 3).
//!
//! ```text
//! version 2 | random 32 | session id <1> | suites <2> | compression <1> | extensions <2>
//! extension: type 2 | data <2>      server_name: list <2> of: type 1 | name <2>
//! ```

use super::record::{Message, fragment_messages, messages};
use crate::cursor::Cursor;

/// Most extensions looked at. Browsers send about 20.
pub const MAX_EXTENSIONS: usize = 64;
/// Most entries of a server_name list looked at. One type is defined, so lists have one entry.
pub const MAX_NAMES: usize = 4;
/// Longest host name in text form.
pub const MAX_HOST_NAME: usize = 253;
/// Longest label of a host name.
const MAX_LABEL: usize = 63;

const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// A ClientHello whose fixed part and lists are all there; its extensions may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// The ClientHello that `payload`, a TCP payload, starts with.
    #[must_use]
    pub fn in_records(payload: &'a [u8]) -> Option<Self> {
        Self::of(messages(payload).next()?)
    }

    /// The ClientHello that `bytes`, a stream of handshake messages, start with.
    #[must_use]
    pub fn in_messages(bytes: &'a [u8]) -> Option<Self> {
        Self::of(fragment_messages(bytes).next()?)
    }

    fn of(message: Message<'a>) -> Option<Self> {
        if message.kind != Message::CLIENT_HELLO {
            return None;
        }
        let mut body = Cursor::new(message.body);
        body.take(2 + 32)?;
        let session_id = body.u8()?;
        body.take(session_id.into())?;
        let suites = body.u16()?;
        body.take(suites.into())?;
        let compression = body.u8()?;
        body.take(compression.into())?;
        let extensions = body.u16()?;
        Some(Self {
            extensions: body.up_to(extensions.into()),
        })
    }

    /// The name of the server, as sent.
    #[must_use]
    pub fn server_name(&self) -> Option<&'a [u8]> {
        let mut extensions = Cursor::new(self.extensions);
        for _ in 0..MAX_EXTENSIONS {
            let kind = extensions.u16()?;
            let length = extensions.u16()?;
            let data = extensions.take(length.into())?;
            if kind == SERVER_NAME {
                return host_name(data);
            }
        }
        None
    }
}

/// The first host name in the data of a server_name extension.
fn host_name(data: &[u8]) -> Option<&[u8]> {
    let mut data = Cursor::new(data);
    let length = data.u16()?;
    let mut list = Cursor::new(data.take(length.into())?);
    for _ in 0..MAX_NAMES {
        let kind = list.u8()?;
        let length = list.u16()?;
        let name = list.take(length.into())?;
        if kind == HOST_NAME {
            return Some(name);
        }
    }
    None
}

/// Room for one host name in lower case.
#[derive(Clone, Debug)]
pub struct HostNameBuf {
    bytes: [u8; MAX_HOST_NAME],
    len: usize,
}

impl Default for HostNameBuf {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_HOST_NAME],
            len: 0,
        }
    }
}

impl HostNameBuf {
    /// `name` in lower case, if it is a host name: two or more labels of 1 to 63 letters, digits,
    /// `_` and `-`, none starting with `-`.
    pub fn lower(&mut self, name: &[u8]) -> Option<&str> {
        self.len = 0;
        let out = self.bytes.get_mut(..name.len())?;
        let (mut label, mut dots) = (0_usize, 0_usize);
        for (to, &byte) in out.iter_mut().zip(name) {
            *to = byte.to_ascii_lowercase();
            match byte {
                b'.' if label > 0 => (label, dots) = (0, dots.saturating_add(1)),
                b'-' if label == 0 => return None,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' if label < MAX_LABEL => {
                    label = label.saturating_add(1);
                }
                _ => return None,
            }
        }
        if label == 0 || dots == 0 {
            return None;
        }
        self.len = name.len();
        Some(self.text())
    }

    /// The name that was put here last; empty when there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ClientHello message with these extensions.
    pub(crate) fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, data) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(counted(data));
        }
        let mut body = vec![3, 3];
        body.extend([0x11; 32]); // random
        body.extend([1, 9]); // session id
        body.extend([0, 2, 0x13, 1]); // cipher suites
        body.extend([1, 0]); // compression
        body.extend(counted(&list));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn counted(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[..], bytes].concat()
    }

    /// The data of a server_name extension with these entries.
    pub(crate) fn names(entries: &[(u8, &str)]) -> Vec<u8> {
        let entry = |(kind, name): &(u8, &str)| [vec![*kind], counted(name.as_bytes())].concat();
        counted(&entries.iter().flat_map(entry).collect::<Vec<u8>>())
    }

    fn in_record(message: &[u8]) -> Vec<u8> {
        [&[22, 3, 1][..], &counted(message)].concat()
    }

    fn name_in(payload: &[u8]) -> Option<&[u8]> {
        ClientHello::in_records(payload)?.server_name()
    }

    #[test]
    fn the_name_stands_among_other_extensions() {
        let message = hello(&[
            (0x0a0a, vec![]),
            (23, vec![1, 2]),
            (
                0,
                names(&[(7, "other"), (0, "Evil.com"), (0, "second.com")]),
            ),
            (16, vec![]),
        ]);
        assert_eq!(name_in(&in_record(&message)), Some(&b"Evil.com"[..]));
        let bare = ClientHello::in_messages(&message).unwrap();
        assert_eq!(bare.server_name(), Some(&b"Evil.com"[..]));
    }

    #[test]
    fn hellos_without_a_name_and_other_messages() {
        assert_eq!(name_in(&in_record(&hello(&[(23, vec![])]))), None);
        assert_eq!(
            name_in(&in_record(&hello(&[(0, vec![])]))),
            None,
            "as a server sends it"
        );
        assert_eq!(
            name_in(&in_record(&hello(&[(0, names(&[(1, "a.com")]))]))),
            None
        );
        let mut server = hello(&[(0, names(&[(0, "a.com")]))]);
        server[0] = 2;
        assert_eq!(name_in(&in_record(&server)), None);
    }

    #[test]
    fn every_prefix_has_the_whole_name_or_none() {
        let message = hello(&[
            (23, vec![]),
            (0, names(&[(0, "evil.com")])),
            (21, vec![0; 40]),
        ]);
        let payload = in_record(&message);
        let end = payload.len() - 44;
        for cut in 0..=payload.len() {
            let wanted = (cut >= end).then_some(&b"evil.com"[..]);
            assert_eq!(name_in(&payload[..cut]), wanted, "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_byte_is_survived() {
        let payload = in_record(&hello(&[(23, vec![1]), (0, names(&[(0, "evil.com")]))]));
        let mut buffer = HostNameBuf::default();
        for at in 0..payload.len() {
            for bit in 0..8 {
                let mut flipped = payload.clone();
                flipped[at] ^= 1 << bit;
                let text = name_in(&flipped).and_then(|name| buffer.lower(name));
                assert!(text.is_none_or(|name| name.len() <= payload.len()));
            }
        }
    }

    #[test]
    fn the_bounds_hold() {
        let list = |before: usize| {
            let mut extensions = vec![(9, vec![]); before];
            extensions.push((0, names(&[(0, "evil.com")])));
            in_record(&hello(&extensions))
        };
        assert!(name_in(&list(MAX_EXTENSIONS - 1)).is_some());
        assert_eq!(name_in(&list(MAX_EXTENSIONS)), None);
        let entries = |before: usize| {
            let mut entries = vec![(5, "x"); before];
            entries.push((0, "evil.com"));
            in_record(&hello(&[(0, names(&entries))]))
        };
        assert!(name_in(&entries(MAX_NAMES - 1)).is_some());
        assert_eq!(name_in(&entries(MAX_NAMES)), None);
    }

    #[test]
    fn host_names() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        let mut buffer = HostNameBuf::default();
        for name in ["a.b", "WWW.Evil-Domain.COM", "_x.a1-.b", &longest] {
            let wanted = name.to_ascii_lowercase();
            assert_eq!(buffer.lower(name.as_bytes()), Some(wanted.as_str()));
        }
        let (long_label, too_long) = (format!("a{label}.com"), format!("{longest}a"));
        for name in [
            "",
            "a",
            ".",
            ".a.b",
            "a..b",
            "a.b.",
            "-a.b",
            "a.-b",
            "a b.c",
            "a.b\0",
            "\u{e9}.com",
            &long_label,
            &too_long,
        ] {
            assert_eq!(buffer.lower(name.as_bytes()), None, "{name}");
            assert_eq!(buffer.text(), "", "{name}");
        }
    }
}
