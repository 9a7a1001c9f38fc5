//! What a token may do. On the wire these are its scopes.
//!
//! A token has the grants it was made with, as far as its account may still do the same: they are cut
//! down at each use, so an account that loses a right takes it from its tokens too.

use super::Role;

/// One scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Read events and whatever is made of them.
    Read,
    /// Write triage, notes and tags.
    Write,
    /// Accounts and the audit log.
    Admin,
    /// What sensors ask for: the operator's own trails.
    Sensor,
    /// Block lists, from any address.
    Blocklist,
}

impl Grant {
    const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Admin,
        Self::Sensor,
        Self::Blocklist,
    ];

    /// As it is written.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Sensor => "sensor",
            Self::Blocklist => "blocklist",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants(u8);

impl Grants {
    /// What a token without an account may do: nothing that belongs to a person.
    pub(crate) const fn of_the_machine() -> Self {
        Self(Grant::Sensor.bit() | Grant::Blocklist.bit())
    }

    /// What an account may hand to its tokens. Sensors get the names of the operator's own trails, so
    /// that takes an administrator who sees them.
    pub(crate) fn of_account(role: Role, masked: bool) -> Self {
        let mut grants = vec![Grant::Read, Grant::Blocklist];
        if role >= Role::Analyst {
            grants.push(Grant::Write);
        }
        if role == Role::Admin {
            grants.push(Grant::Admin);
            if !masked {
                grants.push(Grant::Sensor);
            }
        }
        grants.into_iter().collect()
    }

    /// Reads words separated by blanks; `Err` is the first unknown one.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        words
            .into_iter()
            .map(|word| {
                let same = |grant: &Grant| grant.word() == word;
                Grant::ALL.into_iter().find(same).ok_or(word)
            })
            .collect()
    }

    pub(crate) fn words(self) -> Vec<&'static str> {
        let all = Grant::ALL.into_iter();
        all.filter(|grant| self.has(*grant))
            .map(Grant::word)
            .collect()
    }

    pub(crate) const fn has(self, grant: Grant) -> bool {
        self.0 & grant.bit() != 0
    }

    /// Those in both sets.
    pub(crate) const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether each of them is in the other set.
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Those that the other set lacks.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it opens nothing but what machines fetch in the clear anyway.
    pub(crate) const fn is_for_machines(self) -> bool {
        self.is_within(Self::of_the_machine())
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<T: IntoIterator<Item = Grant>>(grants: T) -> Self {
        Self(grants.into_iter().fold(0, |set, grant| set | grant.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(text: &str) -> Grants {
        Grants::parse(text.split_whitespace()).unwrap()
    }

    #[test]
    fn words_are_read_and_written() {
        assert_eq!(grants("admin read read").words(), ["read", "admin"]);
        assert_eq!(Grants::parse(["read", "Write"]), Err("Write"));
        assert!(grants("").is_empty() && !grants("write").is_empty());
    }

    #[test]
    fn no_account_hands_out_more_than_it_has() {
        for (role, masked, wanted) in [
            (Role::Viewer, false, "read blocklist"),
            (Role::Viewer, true, "read blocklist"),
            (Role::Analyst, false, "read write blocklist"),
            (Role::Admin, true, "read write admin blocklist"),
            (Role::Admin, false, "read write admin sensor blocklist"),
        ] {
            assert_eq!(Grants::of_account(role, masked), grants(wanted), "{role:?}");
        }
        let wish = grants("read admin sensor");
        assert_eq!(
            wish.within(Grants::of_account(Role::Viewer, false)),
            grants("read")
        );
        assert!(!wish.is_for_machines() && grants("sensor blocklist").is_for_machines());
    }
}
