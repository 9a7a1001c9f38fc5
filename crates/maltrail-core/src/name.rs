//! Host names as traffic carries them.
//!
//! [`HostName`] is a borrowed, validated, lower-case name. It never allocates; parents are slices of
//! it. Valid means what the domain check of `spec` sensor §5.1 asks for: labels of letters, digits,
//! `_` and `-`, at least one dot, and a last label without `_`.

use crate::limits::NAME_BYTES;

/// A lower-case name with at least one dot. Construction is the only check; afterwards nobody
/// re-checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostName<'a>(&'a str);

const LABEL: u8 = 0;
const INNER: u8 = 1;
const OTHER: u8 = 2;

/// What a byte may be: part of any label, only of what stands before the last one, or of no name.
#[inline]
const fn class(byte: u8) -> u8 {
    const CLASSES: [u8; 256] = {
        let mut classes = [OTHER; 256];
        let mut byte = 0;
        while byte < 256 {
            classes[byte] = match byte as u8 {
                b'a'..=b'z' | b'0'..=b'9' | b'-' => LABEL,
                b'.' | b'_' => INNER,
                _ => OTHER,
            };
            byte += 1;
        }
        classes
    };
    CLASSES[byte as usize]
}

impl<'a> HostName<'a> {
    /// The name in `text` when it is valid and already lower-case.
    pub fn new(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let all = bytes.iter().fold(0, |all, &byte| all | class(byte));
        let dot = bytes.iter().rposition(|&byte| byte == b'.')?;
        let last = bytes.get(dot + 1..)?;
        (text.len() <= NAME_BYTES
            && all & OTHER == 0
            && dot != 0
            && !last.is_empty()
            && last.iter().all(|&byte| class(byte) == LABEL))
        .then_some(Self(text))
    }

    /// The name's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The first label.
    pub fn first_label(self) -> &'a str {
        self.0.split('.').next().unwrap_or(self.0)
    }

    /// The last label.
    pub fn tld(self) -> &'a str {
        self.0.rsplit('.').next().unwrap_or(self.0)
    }

    /// Byte offsets at which the name itself and each of its parents start, longest first.
    pub fn suffix_starts(self) -> impl Iterator<Item = usize> + 'a {
        suffix_starts(self.0)
    }

    /// Whether the name is only digits and dots, as an address is.
    pub fn is_numeric(self) -> bool {
        self.0
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    }
}

/// Byte offsets of `name` and of what follows each of its dots, longest first.
pub fn suffix_starts(name: &str) -> impl Iterator<Item = usize> + '_ {
    std::iter::once(0).chain(memchr::memchr_iter(b'.', name.as_bytes()).map(|at| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_spec_are_told_apart() {
        for good in [
            "evil-domain.com",
            "_x.evil-domain.com",
            "a..b.com",
            "1.2.3.4",
            "xn--p1ai.xn--p1ai",
        ] {
            assert!(HostName::new(good).is_some(), "{good}");
        }
        for bad in [
            "evilhost", "evil.c_m", "a b.com", "A.com", ".com", "com.", "", "ä.com",
        ] {
            assert!(HostName::new(bad).is_none(), "{bad}");
        }
        assert!(HostName::new(&format!("{}.com", "a".repeat(250))).is_none());
    }

    #[test]
    fn parents_are_slices() {
        let name = HostName::new("a.b.example.com").expect("name");
        let parents: Vec<&str> = name
            .suffix_starts()
            .map(|at| &name.as_str()[at..])
            .collect();
        assert_eq!(
            parents,
            ["a.b.example.com", "b.example.com", "example.com", "com"]
        );
        assert_eq!((name.first_label(), name.tld()), ("a", "com"));
    }
}
