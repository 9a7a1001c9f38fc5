//! Passwords: checking old and new hashes, making new ones.
//!
//! New hashes are argon2id (19 MiB, 2 passes, 1 lane: the crate's defaults and OWASP's first choice).
//! Checking an unknown name costs the same as a known one. The work is slow on purpose: callers run
//! it off the async threads, a few at a time.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use maltrail_core::config::PasswordHash;
use subtle::ConstantTimeEq;

/// Shortest new password in characters.
pub(crate) const MIN_CHARS: usize = 8;
/// Longest accepted password in bytes; hashing is linear in it.
pub(crate) const MAX_BYTES: usize = 1024;
/// Passwords that everybody knows because they ship.
const SHIPPED: [&str; 2] = ["admin", "changeme!"];

/// Why a new password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Weak {
    #[error("The new password needs at least {MIN_CHARS} characters.")]
    Short,
    #[error("The new password is longer than {MAX_BYTES} bytes.")]
    Long,
    #[error("The new password must differ from the old one.")]
    Old,
    #[error("The new password must not be the user name.")]
    Name,
    #[error("This password ships with the product; everybody knows it.")]
    Shipped,
}

/// The new password is usable for this user.
pub(crate) fn check_new(name: &str, current: &str, new: &str) -> Result<(), Weak> {
    if SHIPPED.contains(&new) {
        return Err(Weak::Shipped);
    }
    if new.chars().count() < MIN_CHARS {
        return Err(Weak::Short);
    }
    if new.len() > MAX_BYTES {
        return Err(Weak::Long);
    }
    if new == current {
        return Err(Weak::Old);
    }
    if new.to_lowercase() == name.to_lowercase() {
        return Err(Weak::Name);
    }
    Ok(())
}

/// The argon2id hash of a password in PHC form. `None` when the system has no random numbers.
pub(crate) fn hash_new(password: &str) -> Option<String> {
    let hash: Phc = Argon2::default().hash_password(password.as_bytes()).ok()?;
    Some(hash.to_string())
}

/// Whether the password belongs to the hash. `None` (unknown user) costs as much and is never right.
pub(crate) fn verify(hash: Option<&PasswordHash>, password: &str) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    match hash {
        Some(PasswordHash::Argon2id(phc)) => verify_phc(phc, password),
        Some(PasswordHash::Sha256(hex)) => {
            // The slow hash runs here, too, so that an old entry is not told by its speed.
            let same = bool::from(
                sha256_hex(password.as_bytes())
                    .as_bytes()
                    .ct_eq(hex.as_bytes()),
            );
            burn(password);
            same
        }
        None => {
            burn(password);
            false
        }
    }
}

fn verify_phc(phc: &str, password: &str) -> bool {
    Phc::new(phc).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

fn burn(password: &str) {
    let mut out = [0; 32];
    // The result does not matter; an error means bad parameters, and these are the defaults.
    let _ =
        Argon2::default().hash_password_into(password.as_bytes(), b"no such user 123", &mut out);
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hash_are_checked() {
        let new = PasswordHash::Argon2id(hash_new("correct horse").unwrap());
        assert!(verify(Some(&new), "correct horse") && !verify(Some(&new), "wrong horse"));
        // SHA-256 of `admin`, as the product's documentation writes it.
        let old = PasswordHash::Sha256(
            "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918".into(),
        );
        assert!(verify(Some(&old), "admin") && !verify(Some(&old), "Admin"));
        assert!(!verify(None, "admin"));
        assert!(!verify(
            Some(&PasswordHash::Argon2id("$argon2id$garbage".into())),
            "x"
        ));
        assert!(!verify(Some(&old), &"x".repeat(MAX_BYTES + 1)));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash_new("correct horse"), hash_new("correct horse"));
    }

    #[test]
    fn weak_passwords_are_named() {
        for (new, wanted) in [
            ("short", Err(Weak::Short)),
            ("äöüäöü7", Err(Weak::Short)),
            ("changeme!", Err(Weak::Shipped)),
            ("old password", Err(Weak::Old)),
            ("Administrator", Err(Weak::Name)),
            ("correct horse", Ok(())),
        ] {
            assert_eq!(
                check_new("administrator", "old password", new),
                wanted,
                "{new}"
            );
        }
    }
}
