//! Tokens: `mt_` and 43 characters that stand for 256 random bits, for programs that ask in the name of an
//! account, or of the server's operator.
//!
//! Only the SHA-256 is stored. A token is looked up in the state file at each use, so one that another
//! process revoked (`server token revoke`) is gone at once. It is bound to the password that `USERS` has for
//! its account: another one there, or none, ends it. Bounds: [`MAX_TOKENS`], [`MAX_PER_OWNER`],
//! [`MAX_DAYS`]; expired ones make room first.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maltrail_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::grants::{Grant, Grants};
use super::state_file::{StateError, TokenHash};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS token (hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  owner TEXT, entry TEXT, scopes TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER, used INTEGER) WITHOUT ROWID;
";

/// Tokens in all.
pub(crate) const MAX_TOKENS: usize = 200;
/// Tokens of one account.
pub(crate) const MAX_PER_OWNER: usize = 50;
/// A token's life unless said otherwise, in days.
pub(crate) const DEFAULT_DAYS: u32 = 90;
/// Longest life in days.
pub(crate) const MAX_DAYS: u32 = 730;
/// Longest name in characters.
const MAX_NAME: usize = 64;
/// How each begins, so that leaked ones are found by tools that look for such.
const PREFIX: &str = "mt_";
/// Length of the rest.
const SECRET_LEN: usize = 43;
/// `used` is written at most this often.
const SAVE_SECS: i64 = 60;
/// An expired token is listed this long.
const KEEP_EXPIRED_SECS: i64 = 30 * DAY_SECS;
const DAY_SECS: i64 = 24 * 3600;

/// The account that a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    /// Fingerprint of its password in `USERS`.
    pub(crate) entry: String,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `None`: made on the console for a machine.
    pub(crate) owner: Option<Owner>,
    pub(crate) grants: Grants,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) used: Option<Timestamp>,
}

impl Token {
    /// For the audit.
    pub(crate) fn summary(&self) -> String {
        let owner = self.owner.as_ref().map_or("-", |owner| &owner.name);
        let scopes = self.grants.words().join(",");
        format!("{} of {owner}: {scopes}", self.name)
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A wish for a token.
#[derive(Clone, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) owner: Option<Owner>,
    pub(crate) grants: Grants,
    /// Days it lives; `None`: for ever, for sensors only.
    pub(crate) days: Option<u32>,
}

impl Wish<'_> {
    fn check(&self) -> Result<(), TokenError> {
        let hostile = |letter: char| {
            letter.is_control()
                || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        };
        let length = self.name.chars().count();
        if !(1..=MAX_NAME).contains(&length)
            || self.name.trim() != self.name
            || self.name.contains(hostile)
        {
            return Err(TokenError::Name);
        }
        if self.grants.is_empty() {
            return Err(TokenError::Nothing);
        }
        if self.owner.is_none() && !self.grants.is_for_machines() {
            return Err(TokenError::NoOwner);
        }
        match self.days {
            Some(days) if (1..=MAX_DAYS).contains(&days) => Ok(()),
            None if self.grants.words() == [Grant::Sensor.word()] => Ok(()),
            _ => Err(TokenError::Days),
        }
    }
}

/// Makes a token and returns its text, which nothing keeps. Belongs into a transaction.
pub(crate) fn create(
    connection: &Connection,
    wish: &Wish<'_>,
    now: Timestamp,
) -> Result<(String, Token), TokenError> {
    wish.check()?;
    make_room(connection, wish, now)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| TokenError::Random)?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let hash = sha256(&text);
    let life = |days: u32| now.plus_micros(i64::from(days) * DAY_SECS * 1_000_000);
    let token = Token {
        id: short_id(&hash),
        name: wish.name.to_owned(),
        owner: wish.owner.clone(),
        grants: wish.grants,
        created: now,
        expires: wish.days.map(life),
        used: None,
    };
    connection.execute(
        "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)",
        params![
            hash.as_slice(),
            token.id,
            token.name,
            token.owner.as_ref().map(|owner| &owner.name),
            token.owner.as_ref().map(|owner| &owner.entry),
            token.grants.words().join(" "),
            now.micros(),
            token.expires.map(Timestamp::micros),
        ],
    )?;
    Ok((text, token))
}

fn make_room(connection: &Connection, wish: &Wish<'_>, now: Timestamp) -> Result<(), TokenError> {
    let gone = now.plus_micros(-KEEP_EXPIRED_SECS * 1_000_000);
    connection.execute("DELETE FROM token WHERE expires <= ?1", [gone.micros()])?;
    let full = |connection: &Connection| -> rusqlite::Result<bool> {
        let owner = wish.owner.as_ref().map(|owner| &owner.name);
        let (all, own): (i64, i64) = connection.query_row(
            "SELECT count(*), count(*) FILTER (WHERE owner = ?1) FROM token",
            [owner],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(all >= MAX_TOKENS as i64 || own >= MAX_PER_OWNER as i64)
    };
    if full(connection)? {
        connection.execute("DELETE FROM token WHERE expires <= ?1", [now.micros()])?;
    }
    if full(connection)? {
        return Err(TokenError::Full);
    }
    Ok(())
}

/// The token of a text, unless it is unknown or expired. Notes that it was used.
pub(crate) fn find(
    connection: &Connection,
    text: &str,
    now: Timestamp,
) -> Result<Option<Token>, StateError> {
    let secret = text.strip_prefix(PREFIX).unwrap_or_default();
    if secret.len() != SECRET_LEN {
        return Ok(None);
    }
    let hash = sha256(text);
    let mut query = connection.prepare_cached(
        "SELECT id, name, owner, entry, scopes, created, expires, used FROM token WHERE hash = ?1",
    )?;
    let found = query.query_row([hash.as_slice()], read).optional()?;
    let Some(token) = found.filter(|token| !token.is_expired(now)) else {
        return Ok(None);
    };
    if token
        .used
        .is_none_or(|used| now.secs() - used.secs() >= SAVE_SECS)
    {
        let saved = connection
            .prepare_cached("UPDATE token SET used = ?2 WHERE hash = ?1")
            .and_then(|mut update| update.execute(params![hash.as_slice(), now.micros()]));
        if let Err(error) = saved {
            tracing::warn!(%error, "accounts: cannot note in the state file when a token was used");
        }
    }
    Ok(Some(token))
}

/// Every token, newest first.
pub(crate) fn list(connection: &Connection) -> Result<Vec<Token>, StateError> {
    let mut query = connection.prepare(
        "SELECT id, name, owner, entry, scopes, created, expires, used FROM token ORDER BY created DESC, id",
    )?;
    let tokens = query.query_map([], read)?;
    Ok(tokens.collect::<Result<_, _>>()?)
}

/// Ends a token; `None` when there is none of this id. Belongs into a transaction.
pub(crate) fn revoke(connection: &Connection, id: &str) -> Result<Option<Token>, StateError> {
    let mut query = connection.prepare_cached(
        "DELETE FROM token WHERE id = ?1 RETURNING id, name, owner, entry, scopes, created, expires, used",
    )?;
    let mut gone = query.query_map([id], read)?;
    Ok(gone.next().transpose()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    let owner: Option<String> = row.get(2)?;
    let entry: Option<String> = row.get(3)?;
    let scopes: String = row.get(4)?;
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        owner: owner.map(|name| Owner {
            name,
            entry: entry.unwrap_or_default(),
        }),
        grants: Grants::parse(scopes.split_whitespace()).unwrap_or_default(),
        created: Timestamp::from_micros(row.get(5)?),
        expires: time(row.get(6)?),
        used: time(row.get(7)?),
    })
}

/// What is stored of a secret.
pub(crate) fn sha256(text: &str) -> TokenHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// What a secret is called in lists: the first quarter of its hash, which tells nothing about it.
pub(super) fn short_id(hash: &TokenHash) -> String {
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("A token's name has 1 to {MAX_NAME} visible characters.")]
    Name,
    #[error("A token needs a scope: read, write, admin, sensor or blocklist.")]
    Nothing,
    #[error("A token with this scope belongs to an account; name one.")]
    NoOwner,
    #[error(
        "A token lives 1 to {MAX_DAYS} days; only one with the scope sensor alone may be without an end."
    )]
    Days,
    #[error("The account may not do `{0}` itself.")]
    Beyond(String),
    #[error("There are {MAX_TOKENS} tokens, or {MAX_PER_OWNER} of this account; revoke one first.")]
    Full,
    #[error("the system has no random numbers")]
    Random,
    #[error("the state file cannot be used: {0}")]
    State(#[from] StateError),
}

impl From<rusqlite::Error> for TokenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::State(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(1_700_000_000 + secs, 0)
    }

    fn wish<'a>(name: &'a str, owner: Option<&str>, scopes: &str, days: Option<u32>) -> Wish<'a> {
        Wish {
            name,
            owner: owner.map(|name| Owner {
                name: name.into(),
                entry: "e".into(),
            }),
            grants: Grants::parse(scopes.split_whitespace()).unwrap(),
            days,
        }
    }

    #[test]
    fn a_token_is_known_by_its_text_until_it_ends() {
        let file = file();
        let (text, token) =
            create(&file, &wish("siem", Some("a"), "read", Some(1)), at(0)).unwrap();
        assert!(text.len() == 46 && text.starts_with("mt_"), "{text}");
        assert_eq!(find(&file, &text, at(10)).unwrap().as_ref(), Some(&token));
        assert_eq!(list(&file).unwrap()[0].used, Some(at(10)));
        find(&file, &text, at(69)).unwrap().unwrap();
        assert_eq!(
            list(&file).unwrap()[0].used,
            Some(at(10)),
            "written at most once a minute"
        );
        find(&file, &text, at(70)).unwrap().unwrap();
        assert_eq!(list(&file).unwrap()[0].used, Some(at(70)));
        for wrong in [
            "",
            "mt_",
            &text[3..],
            &text[..45],
            &format!("{text}A"),
            &text.to_uppercase(),
        ] {
            assert_eq!(find(&file, wrong, at(10)).unwrap(), None, "{wrong}");
        }
        let stored: Vec<u8> = file
            .query_row("SELECT hash FROM token", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, sha256(&text), "the secret itself is nowhere");
        assert!(find(&file, &text, at(DAY_SECS - 1)).unwrap().is_some());
        assert!(find(&file, &text, at(DAY_SECS)).unwrap().is_none());
        let (text, token) = create(&file, &wish("s", None, "sensor", None), at(0)).unwrap();
        assert!(find(&file, &text, at(1 << 40)).unwrap().is_some());
        assert_eq!(revoke(&file, &token.id).unwrap().unwrap().name, "s");
        assert!(find(&file, &text, at(0)).unwrap().is_none());
        assert!(revoke(&file, &token.id).unwrap().is_none());
    }

    #[test]
    fn impossible_wishes_are_refused() {
        let long = "x".repeat(65);
        for (wish, reason) in [
            (wish("", Some("a"), "read", Some(1)), "name"),
            (wish(&long, Some("a"), "read", Some(1)), "name"),
            (wish(" a", Some("a"), "read", Some(1)), "name"),
            (wish("a\nb", Some("a"), "read", Some(1)), "name"),
            (wish("a\u{1b}[2J", Some("a"), "read", Some(1)), "name"),
            (wish("a\u{202e}b", Some("a"), "read", Some(1)), "name"),
            (wish("a", Some("a"), "", Some(1)), "scope"),
            (wish("a", None, "read", Some(1)), "account"),
            (wish("a", None, "sensor write", Some(1)), "account"),
            (wish("a", Some("a"), "read", Some(0)), "days"),
            (wish("a", Some("a"), "read", Some(731)), "days"),
            (wish("a", Some("a"), "read", None), "days"),
            (wish("a", None, "blocklist", None), "days"),
            (wish("a", Some("a"), "sensor read", None), "days"),
        ] {
            let error = create(&file(), &wish, at(0)).unwrap_err().to_string();
            assert!(error.contains(reason), "{wish:?}: {error}");
        }
    }

    #[test]
    fn tokens_are_bounded_and_expired_ones_make_room() {
        let file = file();
        let mut made = 0;
        for owner in ["a", "b", "c", "d"] {
            for _ in 0..MAX_PER_OWNER {
                create(&file, &wish("x", Some(owner), "read", Some(1)), at(0)).unwrap();
                made += 1;
            }
            let one_more = create(&file, &wish("x", Some(owner), "read", Some(1)), at(0));
            assert!(matches!(one_more, Err(TokenError::Full)));
        }
        assert_eq!(made, MAX_TOKENS);
        let sensor = wish("s", None, "sensor", None);
        assert!(matches!(
            create(&file, &sensor, at(0)),
            Err(TokenError::Full)
        ));
        create(&file, &sensor, at(DAY_SECS)).unwrap();
        assert_eq!(list(&file).unwrap().len(), 1);
    }
}
