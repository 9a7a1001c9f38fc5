//! Entries of `USERS`: `name:hash:uid:filter`.
//!
//! The hash is 64 hex digits (SHA-256 of the password, as the reference writes it) or an argon2id
//! string. The filter names the networks whose events the user may see; it may hold colons.

use std::fmt;

use ipnet::IpNet;

use crate::addr::{parse_ip, parse_net};

/// Password hashes of the shipped accounts: SHA-256 of `admin` (the product's documentation) and of
/// `changeme!` (the reference's file).
const SHIPPED_HASHES: [&str; 2] = [
    "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918",
    "9ab3cd9d67bf49d01f6a2e33d0bd9bc804ddbe6ce1ff5d219c42624851db5dbc",
];

/// From this user id on an account is restricted (`spec` server §5).
pub const RESTRICTED_UID: u32 = 1000;

/// Most addresses an `a-b` range of a filter may span (`spec` config §1).
const MAX_RANGE: u32 = 65_537;

/// How a password is checked.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// SHA-256 of the password, lower-case hex, unsalted; accepted from old files.
    Sha256(String),
    /// A PHC string that starts with `$argon2id$`.
    Argon2id(String),
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "Sha256(…)",
            Self::Argon2id(_) => "Argon2id(…)",
        })
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: String,
    /// How the password is checked.
    pub password: PasswordHash,
    /// 1000 and above: restricted user.
    pub uid: u32,
    /// Networks whose events the user may see; empty means all.
    pub networks: Vec<IpNet>,
}

/// Why a `USERS` item is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Not four fields.
    #[error("invalid USERS entry: expected `name:hash:uid:filter`, got {0} field(s)")]
    Fields(usize),
    /// Empty or unprintable name.
    #[error(
        "invalid USERS entry: the name is empty, longer than 64 bytes or holds control characters"
    )]
    Name,
    /// Neither SHA-256 nor argon2id.
    #[error(
        "invalid USERS entry `{0}`: the hash is neither 64 hex digits (SHA-256) nor `$argon2id$…` \
         (`server passwd {0}` makes one)"
    )]
    Hash(String),
    /// The uid is not a number.
    #[error("invalid USERS entry `{0}`: the uid `{1}` is not a number")]
    Uid(String, String),
    /// The filter holds something that is not a network.
    #[error("invalid USERS entry `{0}`: `{1}` in the filter is not an address, network or range")]
    Filter(String, String),
}

impl UserEntry {
    /// Reads one item.
    ///
    /// # Errors
    /// Names the field that is wrong. An unusable filter is an error, so that a typing mistake never
    /// shows a restricted user everything or nothing.
    pub fn parse(item: &str) -> Result<Self, UserError> {
        let fields: Vec<&str> = item.splitn(4, ':').map(str::trim).collect();
        let &[name, hash, uid, filter] = fields.as_slice() else {
            return Err(UserError::Fields(fields.len()));
        };
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(UserError::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            password: parse_hash(hash).ok_or_else(|| UserError::Hash(name.to_owned()))?,
            uid: uid
                .parse()
                .map_err(|_| UserError::Uid(name.to_owned(), uid.to_owned()))?,
            networks: parse_filter(filter)
                .map_err(|bad| UserError::Filter(name.to_owned(), bad))?,
        })
    }

    /// Whether the account is a restricted one.
    pub const fn is_restricted(&self) -> bool {
        self.uid >= RESTRICTED_UID
    }

    /// Whether the password is one that ships with the product or the reference.
    pub fn has_shipped_password(&self) -> bool {
        matches!(&self.password, PasswordHash::Sha256(hex) if SHIPPED_HASHES.contains(&hex.as_str()))
    }
}

fn parse_hash(text: &str) -> Option<PasswordHash> {
    if text.starts_with("$argon2id$") {
        return Some(PasswordHash::Argon2id(text.to_owned()));
    }
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| PasswordHash::Sha256(text.to_ascii_lowercase()))
}

fn parse_filter(text: &str) -> Result<Vec<IpNet>, String> {
    let everything = ["", "*", "::", "0.0.0.0/0", "::/0"];
    if everything.contains(&text) {
        return Ok(Vec::new());
    }
    let mut networks = Vec::new();
    for item in text
        .split([',', ';'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        match parse_filter_item(item) {
            Some(found) => networks.extend(found),
            None => return Err(item.to_owned()),
        }
    }
    if networks.is_empty() {
        Err(text.to_owned())
    } else {
        Ok(networks)
    }
}

fn parse_filter_item(item: &str) -> Option<Vec<IpNet>> {
    if let Some(address) = parse_ip(item) {
        return Some(vec![address.into()]);
    }
    if item.contains('/') {
        return parse_net(item).map(|net| vec![net]);
    }
    let (first, last) = item.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let span = u32::from(last).checked_sub(u32::from(first))?;
    (span < MAX_RANGE).then(|| {
        ipnet::Ipv4Subnets::new(first, last, 0)
            .map(IpNet::V4)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918";

    #[test]
    fn old_and_new_entries_are_read() {
        let admin = UserEntry::parse(&format!("admin:{SHA}:0:")).expect("entry");
        assert!(
            admin.has_shipped_password() && !admin.is_restricted() && admin.networks.is_empty()
        );
        let entry = UserEntry::parse(
            "a:$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA:1000:10.0.0.0/8;2001:db8::/32",
        )
        .expect("entry");
        assert!(entry.is_restricted() && !entry.has_shipped_password());
        assert_eq!(entry.networks.len(), 2);
    }

    #[test]
    fn ranges_become_networks() {
        let entry = UserEntry::parse(&format!("a:{SHA}:1000:10.0.0.1-10.0.0.4,192.168.1.5"))
            .expect("entry");
        let text: Vec<String> = entry.networks.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "10.0.0.1/32",
                "10.0.0.2/31",
                "10.0.0.4/32",
                "192.168.1.5/32"
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |item: &str| {
            UserEntry::parse(item)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(error("admin:abc:0").contains("3 field(s)"));
        assert!(error("admin:abc:0:").contains("neither 64 hex digits"));
        assert!(error(&format!("admin:{SHA}:root:")).contains("`root` is not a number"));
        assert!(error(&format!("a:{SHA}:1000:10.0.0.0/33")).contains("`10.0.0.0/33`"));
        assert!(error(&format!("a:{SHA}:1000:0.0.0.0-255.255.255.255")).contains("filter"));
        assert!(error(&format!("a:{SHA}:1000:,")).contains("filter"));
        assert!(error(&format!(":{SHA}:0:")).contains("name"));
    }

    #[test]
    fn hashes_never_reach_a_debug_print() {
        let entry = UserEntry::parse(&format!("admin:{SHA}:0:")).expect("entry");
        assert!(!format!("{entry:?}").contains(SHA));
    }
}
