//! What a client asks a SOCKS proxy for: version 5 (RFC 1928 §4) and 4a, with a name as target.
//!
//! Requests are short and come in one segment, behind a handshake of their own. Targets given by
//! address are not read.

/// Longest user name that is passed over in a request of version 4a.
const MAX_USER: usize = 255;

/// The name in a request to connect, to listen or to relay datagrams.
#[inline]
#[must_use]
pub fn target(payload: &[u8]) -> Option<&[u8]> {
    match payload {
        [5, 1..=3, 0, 3, rest @ ..] => version_5(rest),
        [4, 1 | 2, _, _, 0, 0, 0, 1..=255, rest @ ..] => version_4a(rest),
        _ => None,
    }
}

/// Length and name, then nothing but a port.
fn version_5(rest: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = rest.split_first()?;
    let (name, port) = rest.split_at_checked(usize::from(length))?;
    (port.len() == 2 && !name.is_empty()).then_some(name)
}

/// A user and a name, each with a final zero.
fn version_4a(rest: &[u8]) -> Option<&[u8]> {
    let head = rest.get(..=MAX_USER).unwrap_or(rest);
    let user = memchr::memchr(0, head)?;
    let name = rest.get(user.saturating_add(1)..)?.strip_suffix(&[0])?;
    (!name.is_empty() && !name.contains(&0)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: &[u8] = b"\x05\x01\x00\x03\x08evil.com\x01\xbb";
    const FOUR: &[u8] = b"\x04\x01\x01\xbb\0\0\0\x01user\0evil.com\0";

    #[test]
    fn names_of_both_versions_are_read() {
        assert_eq!(target(FIVE), Some(&b"evil.com"[..]));
        assert_eq!(target(FOUR), Some(&b"evil.com"[..]));
        assert_eq!(
            target(b"\x04\x01\0\x50\0\0\0\x09\0a.b\0"),
            Some(&b"a.b"[..])
        );
    }

    #[test]
    fn what_is_no_whole_request_with_a_name_is_not_read() {
        for sound in [FIVE, FOUR] {
            for cut in 0..sound.len() {
                assert_eq!(target(&sound[..cut]), None, "{cut} bytes");
            }
        }
        for other in [
            &b"\x05\x01\x00\x01\x08evil.com\x01\xbb"[..],
            b"\x05\x01\x00\x03\x08evil.com\x01\xbbx",
            b"\x05\x01\x00\x03\x00\x01\xbb",
            b"\x05\x04\x00\x03\x08evil.com\x01\xbb",
            b"\x04\x01\x01\xbb\0\0\0\0user\0evil.com\0",
            b"\x04\x01\x01\xbb\x01\0\0\x01user\0evil.com\0",
            b"\x04\x01\x01\xbb\0\0\0\x01user\0\0",
            b"\x04\x01\x01\xbb\0\0\0\x01user\0a\0b\0",
        ] {
            assert_eq!(target(other), None, "{other:?}");
        }
        let long = [&FOUR[..8], &[b'u'; MAX_USER + 1], b"\0evil.com\0"].concat();
        assert_eq!(target(&long), None);
    }

    #[test]
    fn any_flipped_byte_is_survived() {
        for sound in [FIVE, FOUR] {
            for at in 0..sound.len() {
                for value in 0..=255 {
                    let mut bytes = sound.to_vec();
                    bytes[at] = value;
                    if let Some(name) = target(&bytes) {
                        assert!(!name.is_empty() && name.len() < bytes.len());
                    }
                }
            }
        }
    }
}
