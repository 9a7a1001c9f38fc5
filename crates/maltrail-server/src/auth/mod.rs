//! Accounts and sign-ins: who is asking, and what may they see.
//!
//! ```text
//! USERS (truth) + state file (replaced passwords, roles) ─► account ─► sign-in or token ─► Identity {state, role, scope}
//! ```
//!
//! A shipped password opens nothing but the form that replaces it ([`State::Change`]); from
//! anywhere but this machine that form also asks for the one-time code of this start, so no stranger
//! can be first. Slow hashing runs a few at a time ([`HASHES`]).

pub(crate) mod auth_log;
pub(crate) mod backoff;
mod code;
pub(crate) mod console;
pub(crate) mod grants;
mod identity;
pub(crate) mod password;
mod people;
pub(crate) mod role;
pub(crate) mod sessions;
pub(crate) mod state_file;
pub(crate) mod tokens;

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use maltrail_core::config::{Config, PasswordHash, UserEntry};
use maltrail_core::time::Timestamp;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::store::lock;
use crate::store::scoped::Scope;
use backoff::{AddressKey, Backoff};
use code::OneTimeCode;
use grants::Grants;
pub(crate) use identity::{Bearer, Identity, Peer, State};
use password::sha256_hex;
pub(crate) use people::{By, Person};
pub(crate) use role::Role;
use role::role_of;
use sessions::Sessions;
use state_file::{Replaced, Session, StateError, StateFile};

/// Password checks at the same time; each takes 19 MiB and a core for a moment.
const HASHES: usize = 2;
/// Attempts that wait for one of them; more are told to come back.
const WAITING: usize = 32;
/// Nonces of the old login that are remembered against replay.
const NONCES: usize = 10_000;

/// Why a sign-in or a change of password is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Denied,
    /// Seconds to wait.
    Wait(u64),
    Weak(password::Weak),
    Code,
    /// Not a token, or one that ended.
    Token,
    Unavailable,
}

/// A `USERS` entry with the password in force.
struct Account<'a> {
    entry: &'a UserEntry,
    password: PasswordHash,
    fingerprint: String,
    /// What a sign-in is bound to: changes with the entry and with a chosen password.
    binding: String,
    /// The password in force ships with the product.
    shipped: bool,
    /// The user chose another password than the one in `USERS`.
    changed: bool,
}

/// Accounts and sign-ins.
#[derive(Debug)]
pub(crate) struct Auth {
    entries: Vec<UserEntry>,
    mask_custom: bool,
    legacy: bool,
    allow_anonymous: bool,
    keep_default: bool,
    state: Arc<StateFile>,
    code: Option<OneTimeCode>,
    backoff: Mutex<Backoff>,
    /// Wrong tokens, by address. Apart from wrong passwords: a machine with an old token must not keep
    /// the people behind the same address from signing in.
    wrong_tokens: Mutex<Backoff>,
    sessions: Mutex<Sessions>,
    nonces: Mutex<(HashSet<String>, VecDeque<String>)>,
    hashing: Semaphore,
    waiting: Semaphore,
}

impl Auth {
    /// Reads accounts and sign-ins. With a shipped password in force it makes the one-time code.
    pub(crate) fn open(config: &Config, keep_default: bool) -> Result<Self, StateError> {
        let state = Arc::new(StateFile::open(&state_path(&config.log_dir))?);
        let sessions = Sessions::load(&state)?;
        let mut backoff = Backoff::default();
        for (name, address, at) in sessions.places() {
            backoff.remember(name, address, at);
        }
        let mut auth = Self {
            entries: config.server.users.clone(),
            mask_custom: config.server.mask_custom,
            legacy: config.server.legacy_login,
            allow_anonymous: config.server.allow_anonymous,
            keep_default,
            state,
            code: None,
            backoff: Mutex::new(backoff),
            wrong_tokens: Mutex::default(),
            sessions: Mutex::new(sessions),
            nonces: Mutex::default(),
            hashing: Semaphore::new(HASHES),
            waiting: Semaphore::new(WAITING),
        };
        if auth.has_shipped_account() && !keep_default {
            auth.code = Some(OneTimeCode::create(&config.log_dir)?);
        } else {
            OneTimeCode::remove(&config.log_dir);
        }
        Ok(auth)
    }

    /// The file that keeps accounts, and what people do with threats.
    pub(crate) const fn state_file(&self) -> &Arc<StateFile> {
        &self.state
    }

    /// Whether a shipped password is in force.
    pub(crate) fn has_shipped_account(&self) -> bool {
        self.entries.iter().any(|entry| self.account(entry).shipped)
    }

    /// Whether admin:admin may stay.
    pub(crate) const fn keeps_default(&self) -> bool {
        self.keep_default
    }

    /// Whether there are accounts at all.
    pub(crate) const fn has_accounts(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Names of the accounts in `USERS`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The one-time code of this start, while it is needed.
    pub(crate) fn code(&self) -> Option<&OneTimeCode> {
        self.code.as_ref().filter(|_| self.has_shipped_account())
    }

    /// Whether the form for the first password asks this client for the code.
    pub(crate) fn asks_code(&self, peer: Peer) -> bool {
        peer.remote && self.code().is_some()
    }

    /// Who asks.
    pub(crate) fn identify(&self, token: Option<&str>, peer: Peer, now: Timestamp) -> Identity {
        if self.entries.is_empty() {
            let readable = !peer.remote || self.allow_anonymous;
            return Identity::nobody(if readable {
                State::Anonymous
            } else {
                State::Login
            });
        }
        let session = token.and_then(|token| {
            let address = AddressKey::from(peer.address).to_string();
            lock(&self.sessions).find(token, &address, now, &self.state)
        });
        let account = session.and_then(|session| self.account_of(&session));
        let Some(account) = account else {
            return Identity::nobody(State::Login);
        };
        Identity {
            token: token.map(str::to_owned),
            ..self.identity(&account)
        }
    }

    /// Who asks with a token. A wrong one is never taken for nobody: it is refused, and slowed down by
    /// address. A right one is never slowed down.
    pub(crate) fn identify_token(
        &self,
        text: &str,
        peer: Peer,
        now: Timestamp,
    ) -> Result<Identity, Refused> {
        let token = tokens::find(&self.state.connection(), text, now);
        let token = token.map_err(|error| {
            tracing::error!(%error, "accounts: cannot read tokens from the state file");
            Refused::Unavailable
        })?;
        if let Some(identity) = token.and_then(|token| self.bearer(token, text)) {
            return Ok(identity);
        }
        lock(&self.wrong_tokens)
            .begin_address(peer.address, now)
            .map_err(Refused::Wait)?;
        Err(Refused::Token)
    }

    /// Who asks now with what the asker has shown before; for streams.
    pub(crate) fn identify_again(
        &self,
        identity: &Identity,
        peer: Peer,
        now: Timestamp,
    ) -> Identity {
        match &identity.bearer {
            None => self.identify(identity.token.as_deref(), peer, now),
            Some(bearer) => self
                .identify_token(&bearer.text, peer, now)
                .unwrap_or_else(|_| Identity::nobody(State::Login)),
        }
    }

    fn bearer(&self, token: tokens::Token, text: &str) -> Option<Identity> {
        let (identity, may) = match &token.owner {
            None => (Identity::nobody(State::Open), Grants::of_the_machine()),
            Some(owner) => {
                let identity = self.identity(&self.account(self.owner(owner)?));
                let masked = identity.scope.is_masked();
                let may = identity.role.map(|role| Grants::of_account(role, masked));
                (identity, may.unwrap_or_default())
            }
        };
        Some(Identity {
            bearer: Some(Bearer {
                text: text.to_owned(),
                name: token.name,
                grants: token.grants.within(may),
            }),
            ..identity
        })
    }

    /// The `USERS` entry of a token's account, if that still is what it was.
    fn owner(&self, owner: &tokens::Owner) -> Option<&UserEntry> {
        self.entries
            .iter()
            .find(|entry| entry.name == owner.name && fingerprint(entry) == owner.entry)
    }

    /// The `USERS` entry of a signed-in asker.
    fn entry_of(&self, identity: &Identity) -> Option<&UserEntry> {
        let token = identity.token.as_deref()?;
        let session = lock(&self.sessions).peek(token)?;
        Some(self.account_of(&session)?.entry)
    }

    /// The account of a sign-in, if its password still is the one of the sign-in.
    fn account_of(&self, session: &Session) -> Option<Account<'_>> {
        self.accounts(&session.name)
            .find(|account| account.binding == session.entry)
    }

    /// What an account may.
    fn identity(&self, account: &Account<'_>) -> Identity {
        let entry = account.entry;
        let must_change = account.shipped && !self.keep_default;
        let role = role_of(&self.state.connection(), entry);
        Identity {
            user: Some(entry.name.clone()),
            role: Some(role),
            networks: entry.networks.clone(),
            scope: Scope::new(&entry.networks, self.mask_custom && entry.is_restricted()),
            ..Identity::nobody(if must_change {
                State::Change
            } else {
                State::Open
            })
        }
    }

    /// Signs in with a password; returns the token.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: &str,
        peer: Peer,
        now: Timestamp,
    ) -> Result<String, Refused> {
        lock(&self.backoff)
            .begin(peer.address, name, now)
            .map_err(Refused::Wait)?;
        let account = self.verify(name, password).await?;
        lock(&self.backoff).succeed(peer.address, name, now);
        if matches!(account.password, PasswordHash::Sha256(_)) && !account.shipped {
            self.upgrade(&account, password).await;
        }
        self.sign_in(&account, peer, now)
    }

    /// Signs in with the old hash-and-nonce form; returns the token.
    pub(crate) fn legacy_login(
        &self,
        name: &str,
        hash: &str,
        nonce: &str,
        peer: Peer,
        now: Timestamp,
    ) -> Result<String, Refused> {
        lock(&self.backoff)
            .begin(peer.address, name, now)
            .map_err(Refused::Wait)?;
        if !self.legacy || nonce.is_empty() || nonce.len() > 256 || !self.first_use(nonce) {
            return Err(Refused::Denied);
        }
        // Every account is asked, so an unknown name takes as long as a known one.
        let account = self.entries.iter().fold(None, |found, entry| {
            let account = self.account(entry);
            let PasswordHash::Sha256(stored) = &entry.password else {
                return found;
            };
            let wanted = sha256_hex(format!("{stored}{nonce}").as_bytes());
            let same = bool::from(wanted.as_bytes().ct_eq(hash.as_bytes()));
            let right = same && !account.changed && entry.name == name;
            if right && found.is_none() {
                Some(account)
            } else {
                found
            }
        });
        let account = account.ok_or(Refused::Denied)?;
        lock(&self.backoff).succeed(peer.address, name, now);
        self.sign_in(&account, peer, now)
    }

    /// Replaces the password of a signed-in user; ends all their sign-ins and returns a new token.
    pub(crate) async fn change_password(
        &self,
        identity: &Identity,
        change: Change<'_>,
        peer: Peer,
        now: Timestamp,
    ) -> Result<String, Refused> {
        let name = identity.user.as_deref().ok_or(Refused::Denied)?;
        lock(&self.backoff)
            .begin(peer.address, name, now)
            .map_err(Refused::Wait)?;
        if identity.state == State::Change && self.asks_code(peer) {
            let right = self
                .code()
                .is_some_and(|code| code.is(change.code.unwrap_or_default()));
            if !right {
                return Err(Refused::Code);
            }
        }
        let account = self.verify(name, change.current).await?;
        lock(&self.backoff).succeed(peer.address, name, now);
        password::check_new(name, change.current, change.new).map_err(Refused::Weak)?;
        let new = self.hash(change.new).await?;
        let replaced = Replaced {
            hash: new,
            changed: true,
        };
        let by = By::named(name, peer, now);
        let change = by.change("user.password", name);
        let stored =
            self.state
                .replace_password(name, &account.fingerprint, &replaced, Some(&change));
        if let Err(error) = stored {
            tracing::error!(%error, "accounts: cannot store the new password");
            return Err(Refused::Unavailable);
        }
        lock(&self.sessions).remove_user(name, &self.state);
        if let Some(code) = self.code.as_ref().filter(|_| !self.has_shipped_account()) {
            code.forget();
        }
        self.sign_in(&self.account(account.entry), peer, now)
    }

    /// Ends the asker's sign-in.
    pub(crate) fn logout(&self, identity: &Identity, peer: Peer, now: Timestamp) {
        if let Some(token) = &identity.token {
            let by = By::new(identity, peer, now);
            let change = by.change("session.end", identity.user.as_deref().unwrap_or_default());
            lock(&self.sessions).remove(token, &self.state, &change);
        }
    }

    /// The account whose password this is. Tries every entry of that name, as the reference does. A wrong
    /// password costs the same for every name, known or not: as many checks as the name with most entries
    /// needs, and those that are left over go to the first account, whose answer then does not count.
    async fn verify(&self, name: &str, password: &str) -> Result<Account<'_>, Refused> {
        let accounts: Vec<Account<'_>> = self.accounts(name).collect();
        let left_over = self.most_entries().saturating_sub(accounts.len());
        for account in accounts {
            let hash = account.password.clone();
            if self.check(password, Some(hash)).await? {
                return Ok(account);
            }
        }
        let decoy = self.entries.first();
        let decoy = decoy.map(|entry| self.account(entry).password);
        for _ in 0..left_over {
            self.check(password, decoy.clone()).await?;
        }
        Err(Refused::Denied)
    }

    async fn check(&self, password: &str, hash: Option<PasswordHash>) -> Result<bool, Refused> {
        self.slowly(password, move |password| {
            password::verify(hash.as_ref(), &password)
        })
        .await
    }

    /// Entries of the name that has most.
    fn most_entries(&self) -> usize {
        let of = |name: &str| {
            self.entries
                .iter()
                .filter(|entry| entry.name == name)
                .count()
        };
        self.entries
            .iter()
            .map(|entry| of(&entry.name))
            .max()
            .unwrap_or(1)
    }

    async fn hash(&self, password: &str) -> Result<String, Refused> {
        let hash = self
            .slowly(password, |password| password::hash_new(&password))
            .await?;
        hash.ok_or(Refused::Unavailable)
    }

    /// Stores an old entry's password better. The sign-in goes on when that fails.
    async fn upgrade(&self, account: &Account<'_>, password: &str) {
        let Ok(hash) = self.hash(password).await else {
            return;
        };
        let replaced = Replaced {
            hash,
            changed: false,
        };
        let name = &account.entry.name;
        let stored = self
            .state
            .replace_password(name, &account.fingerprint, &replaced, None);
        if let Err(error) = stored {
            tracing::warn!(%error, "accounts: cannot store the upgraded password hash");
        }
    }

    /// Runs slow hashing off the async threads, [`HASHES`] at a time.
    async fn slowly<T: Send + 'static>(
        &self,
        password: &str,
        work: impl FnOnce(String) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let _place = self.waiting.try_acquire().map_err(|_| Refused::Wait(1))?;
        let _turn = self
            .hashing
            .acquire()
            .await
            .map_err(|_| Refused::Unavailable)?;
        let password = password.to_owned();
        tokio::task::spawn_blocking(move || work(password))
            .await
            .map_err(|_| Refused::Unavailable)
    }

    fn sign_in(
        &self,
        account: &Account<'_>,
        peer: Peer,
        now: Timestamp,
    ) -> Result<String, Refused> {
        let name = &account.entry.name;
        let session = Session {
            name: name.clone(),
            entry: account.binding.clone(),
            address: AddressKey::from(peer.address).to_string(),
            created: now,
            used: now,
        };
        let by = By::named(name.as_str(), peer, now);
        lock(&self.sessions)
            .create(session, &self.state, &by.change("session.start", name))
            .ok_or(Refused::Unavailable)
    }

    fn accounts(&self, name: &str) -> impl Iterator<Item = Account<'_>> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .map(|entry| self.account(entry))
    }

    fn account<'a>(&self, entry: &'a UserEntry) -> Account<'a> {
        let fingerprint = fingerprint(entry);
        let replaced = self
            .state
            .replaced(&entry.name, &fingerprint)
            .unwrap_or_else(|error| {
                tracing::error!(%error, "accounts: cannot read the state file");
                // Fail closed: without the file nobody knows whether the shipped password was replaced.
                Some(Replaced {
                    hash: String::new(),
                    changed: true,
                })
            });
        let (password, changed) = match replaced {
            Some(replaced) => (PasswordHash::Argon2id(replaced.hash), replaced.changed),
            None => (entry.password.clone(), false),
        };
        let binding = match &password {
            PasswordHash::Argon2id(hash) if changed => {
                sha256_hex(format!("{fingerprint}{hash}").as_bytes())
            }
            _ => fingerprint.clone(),
        };
        Account {
            entry,
            password,
            fingerprint,
            binding,
            shipped: entry.has_shipped_password() && !changed,
            changed,
        }
    }

    /// Remembers a nonce; false when it was used before.
    fn first_use(&self, nonce: &str) -> bool {
        let mut nonces = lock(&self.nonces);
        let (known, order) = &mut *nonces;
        if !known.insert(nonce.to_owned()) {
            return false;
        }
        order.push_back(nonce.to_owned());
        if order.len() > NONCES
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }
}

/// A wish for another password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) current: &'a str,
    pub(crate) new: &'a str,
    pub(crate) code: Option<&'a str>,
}

fn state_path(log_dir: &Path) -> std::path::PathBuf {
    log_dir.join("state.sqlite")
}

/// Identifies what `USERS` says about an account's password.
fn fingerprint(entry: &UserEntry) -> String {
    let hash = match &entry.password {
        PasswordHash::Sha256(text) | PasswordHash::Argon2id(text) => text,
    };
    sha256_hex(hash.as_bytes())
}
