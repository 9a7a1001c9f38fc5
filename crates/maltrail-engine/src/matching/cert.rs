//! Certificates of servers against fingerprints: exact, SHA-1 of the whole certificate.

use std::fmt::Write;

use maltrail_core::event::Kind;
use maltrail_core::trail::TrailSet;
use maltrail_wire::tls::Sha1;

use crate::finding::{Field, Finding};

/// What is known about the certificate with this fingerprint.
pub(crate) fn check<'a>(trails: &'a TrailSet, fingerprint: &Sha1) -> Option<Finding<'a>> {
    let row = trails.certificate(fingerprint)?;
    Some(Finding::listed(Kind::Cert, hex(fingerprint), row).at(Field::TlsCertificate))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use maltrail_core::trail::Whitelist;

    use super::*;

    #[test]
    fn all_twenty_bytes_must_be_listed() {
        let listed: Sha1 = std::array::from_fn(|at| at as u8 * 13);
        let rows = format!("{},c2 cert (malware),sslbl\n", hex(&listed));
        let trails = TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).unwrap();
        let found = check(&trails, &listed).unwrap();
        assert_eq!(
            (found.kind, found.info.as_ref()),
            (Kind::Cert, "c2 cert (malware)")
        );
        assert_eq!(found.trail, "000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
        for at in 0..20 {
            let mut other = listed;
            other[at] ^= 1;
            assert_eq!(check(&trails, &other), None, "byte {at}");
        }
    }
}
