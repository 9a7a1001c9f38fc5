//! Identity of a threat: key text, its 64-bit hash, and the short UID that users know.
//!
//! The key text is the identity; the API id is its hash; the UID (32 bits, collides at 200,000
//! threats) is a label, a search field and the key under which older installations kept notes, so
//! it must never change. IPv6 addresses enter the key in the reference's own spelling.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use maltrail_core::addr::{parse_ip, parse_ip_port};

/// Seed of the UID hash.
const UID_SEED: u32 = 13;

/// How events were grouped into the threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ThreatKind {
    /// One source and one trail.
    Plain,
    /// One trail asked for by more than 50 sources.
    Flood,
    /// One source and one family of generated names.
    Dga,
    /// One victim zone of name exhaustion.
    Exhaustion,
}

impl ThreatKind {
    /// The word in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Flood => "flood",
            Self::Dga => "dga",
            Self::Exhaustion => "exhaustion",
        }
    }
}

/// What the key text is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    /// Source column in key form ([`key_members`]).
    pub(crate) src: &'a str,
    /// [`norm`] of the trail, in key form.
    pub(crate) norm: &'a str,
    /// Info column.
    pub(crate) info: &'a str,
    /// Reference column.
    pub(crate) reference: &'a str,
    /// Whether the trail has more than 50 sources today.
    pub(crate) flood: bool,
}

/// Kind and key text; the first rule that fits (dashboard rules 1 to 5).
pub(crate) fn key_text(parts: KeyParts<'_>) -> (ThreatKind, String) {
    let KeyParts {
        src,
        norm,
        info,
        reference,
        flood,
    } = parts;
    if info.contains(" dns exhaustion ") {
        (ThreatKind::Exhaustion, format!("{info}~>{norm}"))
    } else if flood {
        (ThreatKind::Flood, format!("...~>{norm}"))
    } else if info.contains(" dga ") {
        (ThreatKind::Dga, format!("{src}~>{info}"))
    } else if reference.contains("heuristic") {
        (ThreatKind::Plain, format!("{src}~>{norm}{info}"))
    } else {
        (ThreatKind::Plain, format!("{src}~>{norm}"))
    }
}

/// The API id: first 64 bits of SHA-256 of the key text.
pub(crate) fn threat_id(key: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest
        .as_ref()
        .first_chunk::<8>()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

/// The number behind the UID.
pub(crate) fn uid_hash(key: &str) -> u32 {
    let bytes: Vec<u8> = key.encode_utf16().map(|unit| unit as u8).collect();
    murmur3(&bytes, UID_SEED)
}

/// The UID as shown: eight hex digits, or six and a mark for grouped kinds.
pub(crate) fn uid_text(hash: u32, kind: ThreatKind) -> String {
    let mark = match kind {
        ThreatKind::Plain => return format!("{hash:08x}"),
        ThreatKind::Flood => "F0",
        ThreatKind::Dga => "D0",
        ThreatKind::Exhaustion => "N0",
    };
    let mut text = format!("{hash:06x}");
    text.truncate(6);
    text + mark
}

/// The trail without its variable parts: every `(...)` removed, blanks trimmed, dots trimmed.
pub(crate) fn norm(trail: &str) -> Cow<'_, str> {
    if !trail.contains('(') {
        return Cow::Borrowed(trail.trim_matches(' ').trim_matches('.'));
    }
    let mut out = String::with_capacity(trail.len());
    let mut rest = trail;
    while let Some((before, after)) = rest.split_once('(') {
        let Some((_, after)) = after.split_once(')') else {
            break;
        };
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out.trim_matches(' ').trim_matches('.').to_owned())
}

/// A member list with every IPv6 address in the reference's spelling, comma-joined.
pub(crate) fn key_members(column: &str) -> Cow<'_, str> {
    if !column.contains(':') {
        return Cow::Borrowed(column);
    }
    let members: Vec<Cow<'_, str>> = column
        .split(',')
        .map(|part| key_address(part.trim()))
        .collect();
    Cow::Owned(members.join(","))
}

/// One address (or `[v6]:port`) in the reference's spelling; other text unchanged.
pub(crate) fn key_address(text: &str) -> Cow<'_, str> {
    if !text.contains(':') {
        return Cow::Borrowed(text);
    }
    if let Some(IpAddr::V6(address)) = parse_ip(text) {
        return Cow::Owned(reference_ipv6(address));
    }
    match parse_ip_port(text) {
        Some((IpAddr::V6(address), port)) => {
            Cow::Owned(format!("[{}]:{port}", reference_ipv6(address)))
        }
        _ => Cow::Borrowed(text),
    }
}

/// compat: the reference's own IPv6 text, which is not RFC 5952 (`2001:db8::` is `2001:db8::0`, an
/// address without a zero group keeps all leading zeros).
pub(crate) fn reference_ipv6(address: Ipv6Addr) -> String {
    let groups = address.segments();
    let (mut best, mut best_len, mut run) = (0, 0, 0);
    for (at, &group) in groups.iter().take(7).enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > best_len {
            (best, best_len) = (at + 1 - run, run);
        }
    }
    if best_len == 0 {
        return groups.map(|group| format!("{group:04x}")).join(":");
    }
    let text = |range: &[u16]| {
        range
            .iter()
            .map(|group| format!("{group:x}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    let before = text(groups.get(..best).unwrap_or_default());
    let after = text(groups.get(best + best_len..).unwrap_or_default());
    format!("{before}::{after}")
}

/// MurmurHash3, x86, 32 bits.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |word: u32| word.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (chunks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for chunk in chunks {
        hash ^= mix(u32::from_le_bytes(*chunk));
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let word = tail
            .iter()
            .rev()
            .fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
        hash ^= mix(word);
    }
    hash ^= bytes.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(
        src: &str,
        trail: &str,
        info: &str,
        reference: &str,
        flood: bool,
    ) -> (ThreatKind, String) {
        key_text(KeyParts {
            src,
            norm: &norm(trail),
            info,
            reference,
            flood,
        })
    }

    /// The five verified examples of the dashboard facts.
    #[test]
    fn uids_are_those_users_stored_notes_under() {
        for (kind, text, uid) in [
            (ThreatKind::Plain, "10.0.0.5~>evil.example", "7cc6e889"),
            (
                ThreatKind::Plain,
                "192.168.1.20~>445potential infection",
                "7f2c2b49",
            ),
            (ThreatKind::Flood, "...~>evil.example", "e59c86F0"),
            (
                ThreatKind::Dga,
                "10.0.0.5~>conficker dga (malware)",
                "494ce1D0",
            ),
            (
                ThreatKind::Exhaustion,
                "potential dns exhaustion (suspicious)~>.victim.org",
                "cf904fN0",
            ),
        ] {
            assert_eq!(uid_text(uid_hash(text), kind), uid, "{text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_makes_the_key() {
        assert_eq!(
            key(
                "10.0.0.5",
                "(www).evil.example",
                "lumma (malware)",
                "(static)",
                false
            ),
            (ThreatKind::Plain, "10.0.0.5~>evil.example".into())
        );
        assert_eq!(
            key(
                "192.168.1.20",
                "445",
                "potential infection",
                "(heuristic)",
                false
            ),
            (
                ThreatKind::Plain,
                "192.168.1.20~>445potential infection".into()
            )
        );
        assert_eq!(
            key(
                "10.0.0.5",
                "x.example",
                "conficker dga (malware)",
                "(static)",
                true
            )
            .0,
            ThreatKind::Flood,
            "flood before dga"
        );
        assert_eq!(
            key(
                "10.0.0.5",
                "x.example",
                "conficker dga (malware)",
                "(heuristic)",
                false
            )
            .1,
            "10.0.0.5~>conficker dga (malware)"
        );
        assert_eq!(
            key(
                "10.0.0.5",
                "(a).v.org",
                "potential dns exhaustion (suspicious)",
                "(heuristic)",
                true
            )
            .0,
            ThreatKind::Exhaustion,
            "exhaustion before flood"
        );
    }

    #[test]
    fn variable_parts_do_not_count() {
        for (trail, wanted) in [
            ("(www).evil.example", "evil.example"),
            ("evil.example", "evil.example"),
            ("site.com/bad.php(?x=1)", "site.com/bad.php"),
            ("8.8.8.8 (query)", "8.8.8.8"),
            ("(unclosed", "(unclosed"),
            ("a(b)c(d)", "ac"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(norm(trail), wanted, "{trail}");
        }
    }

    /// Rows of the recorded table of IPv6 spellings.
    #[test]
    fn ipv6_in_keys_is_spelled_as_before() {
        for (hex, text) in [
            ("00010000000000020000000000000003", "1:0:0:2::3"),
            ("00010000000000000002000000000003", "1::2:0:0:3"),
            ("fe800000000000000001000200030004", "fe80::1:2:3:4"),
            ("00000000000100000000000000000000", "0:0:1::0"),
            ("20010000000000000000000000000000", "2001::0"),
            ("abcd0ef0000000010000000200000003", "abcd:ef0::1:0:2:0:3"),
            ("00000000000000000000ffffc0000201", "::ffff:c000:201"),
            ("00000001000000010000000100000001", "::1:0:1:0:1:0:1"),
            ("00010000000100000001000000010000", "1::1:0:1:0:1:0"),
            (
                "20010db8aaaabbbbccccddddeeee0000",
                "2001:0db8:aaaa:bbbb:cccc:dddd:eeee:0000",
            ),
            ("00000000000000000000000000000010", "::10"),
            ("20010db8000000010000000000000000", "2001:db8:0:1::0"),
            ("00000000000000000000000200000000", "::2:0:0"),
            ("000a000b000c000d000e000f00000000", "a:b:c:d:e:f::0"),
            ("00000000000000010000000000000000", "::1:0:0:0:0"),
            ("00000abc00000000000d00000000000e", "0:abc::d:0:0:e"),
            (
                "00090008000700060005000400030002",
                "0009:0008:0007:0006:0005:0004:0003:0002",
            ),
            ("2a000000000000090000000000000007", "2a00:0:0:9::7"),
            ("00070000000000000001000000000000", "7::1:0:0:0"),
        ] {
            let bits = u128::from_str_radix(hex, 16).unwrap();
            assert_eq!(reference_ipv6(Ipv6Addr::from(bits)), text);
        }
        assert_eq!(key_members("10.0.0.1,2001:db8::"), "10.0.0.1,2001:db8::0");
        assert_eq!(key_address("[2001:db8::]:443"), "[2001:db8::0]:443");
    }
}
