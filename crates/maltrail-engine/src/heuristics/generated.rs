//! Names that look made by a program and do not exist, as malware tries them in search of its
//! server.
//!
//! A name of two labels whose first one has no `-` and either more than [`ENTROPY`] bits of entropy
//! a character or more than [`CONSONANTS`] consonants.

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;

use crate::finding::{Finding, name_and_tld};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "entropy";

/// Most bits a character that are not reported.
const ENTROPY: f64 = 3.5;
/// Most consonants that are not reported.
const CONSONANTS: usize = 9;

/// The finding for `name`, which does not exist.
pub(crate) fn check(name: HostName<'_>) -> Option<Finding<'static>> {
    let (label, tld) = name.as_str().split_once('.')?;
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if tld.contains('.') || numeric(tld) || label.contains('-') {
        return None;
    }
    let info = if entropy(label) > ENTROPY {
        "entropy threshold no such domain (suspicious)"
    } else if label.bytes().filter(is_consonant).count() > CONSONANTS {
        "consonant threshold no such domain (suspicious)"
    } else {
        return None;
    };
    Some(Finding::heuristic(NAME, Kind::Dns, name_and_tld(name), info).keyed(label.to_owned()))
}

const fn is_consonant(byte: &u8) -> bool {
    byte.is_ascii_lowercase() && !matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u')
}

/// Bits a character, after Shannon.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u16; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count = count.saturating_add(1);
        }
    }
    let length = counts.iter().map(|&count| f64::from(count)).sum::<f64>();
    let used = counts.iter().filter(|&&count| count > 0);
    let bits = |&count: &u16| {
        let share = f64::from(count) / length;
        -share * share.log2()
    };
    used.map(bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> Option<String> {
        let found = check(HostName::new(name).unwrap())?;
        Some(found.info.split(' ').next().unwrap().to_owned())
    }

    #[test]
    fn entropy_of_known_texts() {
        assert!(entropy("").abs() < 1e-9);
        assert!(entropy("aaaa").abs() < 1e-9);
        assert!((entropy("abab") - 1.0).abs() < 1e-9);
        assert!((entropy("abcdefgh") - 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_limits_themselves_are_not_reported() {
        // 3.5 bits: eight characters of 1/16 and four of 1/8.
        let limit = "aaiioouu01234567";
        assert!((entropy(limit) - ENTROPY).abs() < 1e-9);
        assert_eq!(info(&format!("{limit}.com")), None);
        assert_eq!(info("aaiioou012345678.com").as_deref(), Some("entropy"));
        assert_eq!(info("bbbcccddd.com"), None);
        assert_eq!(info("bbbcccdddb.com").as_deref(), Some("consonant"));
        assert_eq!(info("yyyyyyyyyy.com").as_deref(), Some("consonant"));
    }

    #[test]
    fn only_two_labels_without_dash_and_with_a_real_last_one() {
        for name in [
            "qxz7k2vw9p4m.sub.com",
            "qxz7k2-vw9p4m.com",
            "qxz7k2vw9p4m.123",
        ] {
            assert_eq!(info(name), None, "{name}");
        }
        assert_eq!(info("qxz7k2vw9p4m.com").as_deref(), Some("entropy"));
    }
}
