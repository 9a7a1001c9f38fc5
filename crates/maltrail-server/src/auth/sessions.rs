//! Sign-ins: random tokens, known only by their hash, with absolute and idle expiry.
//!
//! A token has 256 random bits and travels in one cookie. A sign-in is bound to the client's address
//! (IPv6: its /64) and to the `USERS` entry it was made with. Kept in memory and in the state file,
//! so a restart signs nobody out. Bounds: [`MAX_PER_USER`], [`MAX_SESSIONS`]; the longest unused goes.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maltrail_core::time::Timestamp;

use super::state_file::{Session, StateError, StateFile, TokenHash};
use super::tokens::{sha256, short_id};
use crate::audit::Change;

/// A sign-in ends after this time in any case.
pub(crate) const ABSOLUTE_SECS: i64 = 24 * 3600;
/// And after this time without a request.
pub(crate) const IDLE_SECS: i64 = 8 * 3600;
/// Sign-ins of one user.
const MAX_PER_USER: usize = 32;
/// Sign-ins in all.
const MAX_SESSIONS: usize = 4096;
/// `used` is written to the file at most this often.
const SAVE_SECS: i64 = 60;

/// Names a sign-in without being its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(TokenHash);

impl SessionId {
    pub(crate) fn of(token: &str) -> Self {
        Self(sha256(token))
    }

    /// As it is shown.
    pub(crate) fn text(&self) -> String {
        short_id(&self.0)
    }
}

/// The sign-ins.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<TokenHash, Session>);

impl Sessions {
    /// Those in the state file.
    pub(crate) fn load(state: &StateFile) -> Result<Self, StateError> {
        Ok(Self(state.sessions()?.into_iter().collect()))
    }

    /// Makes a sign-in and returns its token. `None` when the system has no random numbers.
    pub(crate) fn create(
        &mut self,
        session: Session,
        state: &StateFile,
        change: &Change<'_>,
    ) -> Option<String> {
        let mut token = [0; 32];
        getrandom::fill(&mut token).ok()?;
        let text = URL_SAFE_NO_PAD.encode(token);
        self.expire(session.created, state);
        let of_user = self
            .0
            .values()
            .filter(|known| known.name == session.name)
            .count();
        if of_user >= MAX_PER_USER {
            self.drop_oldest(Some(&session.name), state);
        }
        if self.0.len() >= MAX_SESSIONS {
            self.drop_oldest(None, state);
        }
        let hash = sha256(&text);
        save(state.sign_in(&hash, &session, change));
        self.0.insert(hash, session);
        Some(text)
    }

    /// The sign-in of a token, if it is still good from this address.
    pub(crate) fn find(
        &mut self,
        token: &str,
        address: &str,
        now: Timestamp,
        state: &StateFile,
    ) -> Option<Session> {
        let hash = sha256(token);
        let session = self.0.get_mut(&hash)?;
        if expired(session, now) {
            self.remove_hash(&hash, state, None);
            return None;
        }
        if session.address != address {
            return None;
        }
        if now.secs() - session.used.secs() >= SAVE_SECS {
            session.used = now;
            save(state.put_session(&hash, session));
        }
        Some(session.clone())
    }

    /// Account, address and last use of each.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        self.0
            .values()
            .map(|session| (&*session.name, &*session.address, session.used))
    }

    /// The sign-in of a token that was found a moment ago.
    pub(crate) fn peek(&self, token: &str) -> Option<Session> {
        self.0.get(&sha256(token)).cloned()
    }

    /// Ends one sign-in.
    pub(crate) fn remove(&mut self, token: &str, state: &StateFile, change: &Change<'_>) {
        self.remove_hash(&sha256(token), state, Some(change));
    }

    /// Ends the sign-in of this id.
    pub(crate) fn remove_id(&mut self, id: &SessionId, state: &StateFile, change: &Change<'_>) {
        self.remove_hash(&id.0, state, Some(change));
    }

    /// Those of one user, or all; newest first.
    pub(crate) fn list(&self, name: Option<&str>, now: Timestamp) -> Vec<(SessionId, Session)> {
        let wanted = |session: &Session| {
            name.is_none_or(|name| name == session.name) && !expired(session, now)
        };
        let mut found: Vec<(SessionId, Session)> = self
            .0
            .iter()
            .filter(|(_, session)| wanted(session))
            .map(|(hash, session)| (SessionId(*hash), session.clone()))
            .collect();
        found.sort_by_key(|(id, session)| (std::cmp::Reverse(session.created), id.0));
        found
    }

    /// Ends all sign-ins of a user.
    pub(crate) fn remove_user(&mut self, name: &str, state: &StateFile) {
        self.remove_where(state, |session| session.name == name);
    }

    fn expire(&mut self, now: Timestamp, state: &StateFile) {
        self.remove_where(state, |session| expired(session, now));
    }

    fn remove_where(&mut self, state: &StateFile, test: impl Fn(&Session) -> bool) {
        let gone: Vec<TokenHash> = self
            .0
            .iter()
            .filter(|(_, session)| test(session))
            .map(|(hash, _)| *hash)
            .collect();
        for hash in gone {
            self.remove_hash(&hash, state, None);
        }
    }

    fn drop_oldest(&mut self, name: Option<&str>, state: &StateFile) {
        let ours = self
            .0
            .iter()
            .filter(|(_, session)| name.is_none_or(|name| name == session.name));
        if let Some(oldest) = ours
            .min_by_key(|(_, session)| session.used)
            .map(|(hash, _)| *hash)
        {
            self.remove_hash(&oldest, state, None);
        }
    }

    fn remove_hash(&mut self, hash: &TokenHash, state: &StateFile, change: Option<&Change<'_>>) {
        if self.0.remove(hash).is_some() {
            save(state.drop_session(hash, change));
        }
    }
}

/// A state file that cannot be written costs sign-ins at the next restart, nothing more.
fn save(result: Result<(), StateError>) {
    if let Err(error) = result {
        tracing::error!(%error, "accounts: cannot write the state file; sign-ins will not survive a restart");
    }
}

/// When a sign-in ends if it is not used again.
pub(crate) fn ends(session: &Session) -> Timestamp {
    let after = |from: Timestamp, secs: i64| from.plus_micros(secs * 1_000_000);
    after(session.created, ABSOLUTE_SECS).min(after(session.used, IDLE_SECS))
}

fn expired(session: &Session, now: Timestamp) -> bool {
    now.secs() - session.created.secs() >= ABSOLUTE_SECS
        || now.secs() - session.used.secs() >= IDLE_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, at: i64) -> Session {
        Session {
            name: name.into(),
            entry: "e".into(),
            address: "10.0.0.1".into(),
            created: Timestamp::from_parts(at, 0),
            used: Timestamp::from_parts(at, 0),
        }
    }

    fn change() -> Change<'static> {
        Change {
            actor: "a",
            address: "10.0.0.1",
            action: "session.start",
            object: "",
            from: None,
            to: None,
            at: Timestamp::from_parts(0, 0),
        }
    }

    #[test]
    fn a_sign_in_ends_by_itself_and_from_another_address() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFile::open(&dir.path().join("s")).unwrap();
        let mut sessions = Sessions::default();
        let at = |secs| Timestamp::from_parts(secs, 0);
        let token = sessions.create(session("a", 0), &state, &change()).unwrap();
        assert_eq!(token.len(), 43);
        assert!(sessions.find(&token, "10.0.0.1", at(10), &state).is_some());
        assert!(
            sessions.find(&token, "10.0.0.2", at(10), &state).is_none(),
            "stolen cookie"
        );
        assert!(sessions.find("x", "10.0.0.1", at(10), &state).is_none());
        assert!(
            Sessions::load(&state)
                .unwrap()
                .find(&token, "10.0.0.1", at(10), &state)
                .is_some(),
            "restart"
        );
        for hour in 1..24 {
            assert!(
                sessions
                    .find(&token, "10.0.0.1", at(hour * 3600), &state)
                    .is_some()
            );
        }
        assert!(
            sessions
                .find(&token, "10.0.0.1", at(ABSOLUTE_SECS), &state)
                .is_none()
        );
        assert!(state.sessions().unwrap().is_empty());
        let token = sessions.create(session("a", 0), &state, &change()).unwrap();
        assert!(
            sessions
                .find(&token, "10.0.0.1", at(IDLE_SECS), &state)
                .is_none()
        );
    }

    #[test]
    fn sign_ins_are_bounded_per_user() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFile::open(&dir.path().join("s")).unwrap();
        let mut sessions = Sessions::default();
        let first = sessions.create(session("a", 0), &state, &change()).unwrap();
        let other = sessions.create(session("b", 0), &state, &change()).unwrap();
        for n in 1..=MAX_PER_USER as i64 {
            sessions.create(session("a", n), &state, &change()).unwrap();
        }
        let now = Timestamp::from_parts(60, 0);
        assert!(sessions.find(&first, "10.0.0.1", now, &state).is_none());
        assert!(sessions.find(&other, "10.0.0.1", now, &state).is_some());
        sessions.remove_user("a", &state);
        assert_eq!(sessions.0.len(), 1);
    }
}
