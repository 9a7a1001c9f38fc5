//! Slowing down guesses, by address and by account.
//!
//! An attempt counts as failed when it begins and is forgiven when it succeeds, so parallel guesses
//! gain nothing. Waits double from one second; an address waits at most a minute, an account at most
//! ten seconds, and an address that has signed in to the account before (or the machine itself) does
//! not wait for the account at all: nobody can lock the owner out. IPv6 counts by /64. Time is an
//! argument. Bound: [`MAX_ENTRIES`] per table; the entry with the oldest failure goes first.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use maltrail_core::time::Timestamp;

/// Entries of each table.
pub(crate) const MAX_ENTRIES: usize = 4096;
/// Failures of an address that cost nothing.
const FREE_ADDRESS: u32 = 5;
/// Longest wait of an address in seconds.
const MAX_ADDRESS_SECS: i64 = 60;
/// Failures of an account that cost nothing.
const FREE_ACCOUNT: u32 = 10;
/// Longest wait of an account in seconds.
const MAX_ACCOUNT_SECS: i64 = 10;
/// Failures are forgotten after this time without another.
const FORGET_SECS: i64 = 15 * 60;

/// An address as far as guesses and sign-ins are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey(IpAddr);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
            v4 => v4,
        })
    }
}

impl std::fmt::Display for AddressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

/// Failed attempts.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    addresses: HashMap<AddressKey, Failures>,
    accounts: HashMap<String, Failures>,
    trusted: HashMap<(String, AddressKey), Timestamp>,
    /// Entries that made room for others.
    pub(crate) evicted: u64,
}

impl Backoff {
    /// Begins an attempt, or says how many seconds to wait. A refused attempt prolongs nothing.
    pub(crate) fn begin(
        &mut self,
        address: IpAddr,
        account: &str,
        now: Timestamp,
    ) -> Result<(), u64> {
        let key = AddressKey::from(address);
        let account = cut(account);
        let mut wait = remaining(self.addresses.get(&key), now);
        let known = address.to_canonical().is_loopback()
            || self.trusted.contains_key(&(account.clone(), key));
        if !known {
            wait = wait.max(remaining(self.accounts.get(&account), now));
        }
        if wait > 0 {
            return Err(wait);
        }
        self.evicted += fail(
            &mut self.addresses,
            key,
            now,
            FREE_ADDRESS,
            MAX_ADDRESS_SECS,
        );
        if !known {
            self.evicted += fail(
                &mut self.accounts,
                account,
                now,
                FREE_ACCOUNT,
                MAX_ACCOUNT_SECS,
            );
        }
        Ok(())
    }

    /// Begins an attempt that names no account.
    pub(crate) fn begin_address(&mut self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let key = AddressKey::from(address);
        match remaining(self.addresses.get(&key), now) {
            0 => {
                self.evicted += fail(
                    &mut self.addresses,
                    key,
                    now,
                    FREE_ADDRESS,
                    MAX_ADDRESS_SECS,
                );
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// The attempt that began was right.
    pub(crate) fn succeed(&mut self, address: IpAddr, account: &str, now: Timestamp) {
        let key = AddressKey::from(address);
        let account = cut(account);
        self.addresses.remove(&key);
        self.accounts.remove(&account);
        self.trust(account, key, now);
    }

    /// As [`Self::succeed`] for a sign-in of before the start, which forgives nothing.
    pub(crate) fn remember(&mut self, account: &str, address: &str, at: Timestamp) {
        if let Ok(address) = address.parse::<IpAddr>() {
            self.trust(cut(account), address.into(), at);
        }
    }

    fn trust(&mut self, account: String, key: AddressKey, now: Timestamp) {
        if self.trusted.len() >= MAX_ENTRIES {
            let oldest = self
                .trusted
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(key, _)| key.clone());
            oldest.map(|key| self.trusted.remove(&key));
            self.evicted += 1;
        }
        self.trusted.insert((account, key), now);
    }
}

/// Accounts are keyed by at most 64 bytes of the name that was tried.
fn cut(account: &str) -> String {
    account.chars().take(64).collect()
}

fn remaining(failures: Option<&Failures>, now: Timestamp) -> u64 {
    let micros = failures.map_or(0, |failures| failures.until.micros() - now.micros());
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000_000)
}

/// Counts a failure; returns the number of entries that had to go.
fn fail<K: Eq + Hash + Clone>(
    table: &mut HashMap<K, Failures>,
    key: K,
    now: Timestamp,
    free: u32,
    longest: i64,
) -> u64 {
    let mut gone = 0;
    if table.len() >= MAX_ENTRIES && !table.contains_key(&key) {
        let oldest = table
            .iter()
            .min_by_key(|(_, failures)| failures.last)
            .map(|(key, _)| key.clone());
        oldest.map(|key| table.remove(&key));
        gone = 1;
    }
    let entry = table.entry(key).or_insert(Failures {
        count: 0,
        last: now,
        until: now,
    });
    if now.secs() - entry.last.secs() > FORGET_SECS {
        entry.count = 0;
    }
    entry.count = entry.count.saturating_add(1);
    entry.last = now;
    if let Some(beyond) = entry.count.checked_sub(free) {
        let secs = 1_i64
            .checked_shl(beyond.min(16))
            .map_or(longest, |secs| secs.min(longest));
        entry.until = now.plus_micros(secs * 1_000_000);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(1_700_000_000 + secs, 0)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_sixth_guess_waits_and_waiting_ends() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            assert_eq!(backoff.begin(ip("203.0.113.1"), "admin", at(0)), Ok(()));
        }
        assert_eq!(backoff.begin(ip("203.0.113.1"), "admin", at(0)), Err(1));
        assert_eq!(
            backoff.begin(ip("203.0.113.2"), "admin", at(0)),
            Ok(()),
            "another address is free"
        );
        assert_eq!(backoff.begin(ip("203.0.113.1"), "admin", at(1)), Ok(()));
        assert_eq!(
            backoff.begin(ip("203.0.113.1"), "admin", at(1)),
            Err(2),
            "the wait doubles"
        );
        backoff.succeed(ip("203.0.113.1"), "admin", at(2));
        assert_eq!(backoff.begin(ip("203.0.113.1"), "admin", at(2)), Ok(()));
    }

    #[test]
    fn a_thousand_addresses_do_not_lock_the_owner_out() {
        let mut backoff = Backoff::default();
        backoff.begin(ip("198.51.100.7"), "admin", at(0)).unwrap();
        backoff.succeed(ip("198.51.100.7"), "admin", at(0));
        for n in 0..1000_u16 {
            let [high, low] = n.to_be_bytes();
            let _ = backoff.begin(IpAddr::from([203, 0, high, low]), "admin", at(1));
        }
        assert!(
            backoff.begin(ip("203.0.114.1"), "admin", at(1)).is_err(),
            "strangers wait for the account"
        );
        assert_eq!(
            backoff.begin(ip("198.51.100.7"), "admin", at(1)),
            Ok(()),
            "the owner does not"
        );
        assert_eq!(
            backoff.begin(ip("127.0.0.1"), "admin", at(1)),
            Ok(()),
            "nor the machine itself"
        );
        assert_eq!(
            backoff.begin(ip("203.0.114.1"), "admin", at(20)),
            Ok(()),
            "the longest wait is short"
        );
    }

    #[test]
    fn an_owner_who_was_signed_in_before_a_restart_is_known() {
        let mut backoff = Backoff::default();
        backoff.remember("admin", "198.51.100.7", at(0));
        backoff.remember("admin", "2001:db8::", at(0));
        backoff.remember("admin", "no address", at(0));
        for n in 0..100 {
            let _ = backoff.begin(IpAddr::from([203, 0, 113, n]), "admin", at(1));
        }
        for (from, wanted) in [
            ("198.51.100.7", true),
            ("2001:db8::99", true),
            ("2001:db8:1::", false),
        ] {
            let begun = backoff.begin(ip(from), "admin", at(1));
            assert_eq!(begun.is_ok(), wanted, "{from}");
        }
    }

    #[test]
    fn rotating_inside_an_ipv6_network_gains_nothing() {
        let mut backoff = Backoff::default();
        for n in 0..5 {
            backoff
                .begin(ip(&format!("2001:db8::{n}")), "a", at(0))
                .unwrap();
        }
        assert!(backoff.begin(ip("2001:db8::99"), "b", at(0)).is_err());
        assert!(backoff.begin(ip("2001:db8:1::1"), "b", at(0)).is_ok());
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut backoff = Backoff::default();
        for n in 0..MAX_ENTRIES as u32 + 100 {
            let _ = backoff.begin(
                IpAddr::from((0xcb00_0000 + n).to_be_bytes()),
                &format!("user{n}"),
                at(n.into()),
            );
        }
        assert_eq!(backoff.addresses.len(), MAX_ENTRIES);
        assert_eq!(backoff.accounts.len(), MAX_ENTRIES);
        assert_eq!(backoff.evicted, 200);
    }
}
