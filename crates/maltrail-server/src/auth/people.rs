//! What signed-in people do with accounts, sign-ins and tokens. Each change is recorded in the audit in the
//! transaction that makes it.

use maltrail_core::config::UserEntry;
use maltrail_core::time::Timestamp;

use super::grants::Grants;
use super::identity::{Identity, Peer};
use super::role::{Role, RoleError, change_role, role_of};
use super::sessions::SessionId;
use super::state_file::{Session, StateError};
use super::tokens::{self, Owner, Token, TokenError, Wish};
use super::{Auth, fingerprint};
use crate::audit;
use crate::store::lock;

/// Who makes a change, from where and when.
#[derive(Clone, Debug)]
pub(crate) struct By {
    actor: String,
    address: String,
    at: Timestamp,
}

impl By {
    pub(crate) fn new(identity: &Identity, peer: Peer, at: Timestamp) -> Self {
        Self::named(identity.actor(), peer, at)
    }

    pub(super) fn named(actor: impl Into<String>, peer: Peer, at: Timestamp) -> Self {
        Self {
            actor: actor.into(),
            address: peer.address.to_string(),
            at,
        }
    }

    pub(super) fn change<'a>(&'a self, action: &'static str, object: &'a str) -> audit::Change<'a> {
        audit::Change {
            actor: &self.actor,
            address: &self.address,
            action,
            object,
            from: None,
            to: None,
            at: self.at,
        }
    }
}

/// An account as administrators see it.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    /// `None` for an account that left `USERS`.
    pub(crate) in_force: Option<InForce>,
    pub(crate) signed_in: Option<Timestamp>,
}

/// What holds for an account of `USERS`.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) uid: u32,
    pub(crate) role: Role,
    pub(crate) networks: Vec<String>,
    pub(crate) must_change: bool,
}

impl Auth {
    /// The accounts of `USERS` in its order, then those that left it.
    pub(crate) fn people(&self) -> Result<Vec<Person>, StateError> {
        let mut signed_in = self.state.signed_in()?;
        let mut people: Vec<Person> = self
            .entries
            .iter()
            .map(|entry| Person {
                name: entry.name.clone(),
                in_force: Some(self.in_force(entry)),
                signed_in: signed_in.get(&entry.name).copied(),
            })
            .collect();
        for entry in &self.entries {
            signed_in.remove(&entry.name);
        }
        people.extend(signed_in.into_iter().map(|(name, at)| Person {
            name,
            in_force: None,
            signed_in: Some(at),
        }));
        Ok(people)
    }

    fn in_force(&self, entry: &UserEntry) -> InForce {
        let role = role_of(&self.state.connection(), entry);
        InForce {
            uid: entry.uid,
            role,
            networks: entry.networks.iter().map(ToString::to_string).collect(),
            must_change: self.account(entry).shipped && !self.keep_default,
        }
    }

    /// Gives an account a role.
    pub(crate) fn set_role(&self, name: &str, role: Role, by: &By) -> Result<(), RoleError> {
        self.state.change(|connection| {
            let before = change_role(connection, &self.entries, name, role)?;
            if before != role {
                let change = audit::Change {
                    from: Some(before.word()),
                    to: Some(role.word()),
                    ..by.change("user.role", name)
                };
                audit::record(connection, &change)?;
            }
            Ok(())
        })
    }

    /// Sign-ins that are good, of one account or of all; newest first.
    pub(crate) fn sign_ins(&self, name: Option<&str>, now: Timestamp) -> Vec<(SessionId, Session)> {
        let mut found = lock(&self.sessions).list(name, now);
        found.retain(|(_, session)| self.account_of(session).is_some());
        found
    }

    /// Ends a sign-in of an account, or of any; false when there is none of this id.
    pub(crate) fn end_sign_in(&self, id: &str, name: Option<&str>, by: &By) -> bool {
        let mut sessions = lock(&self.sessions);
        let found = sessions.list(name, by.at);
        let Some((id, session)) = found.into_iter().find(|(known, _)| known.text() == id) else {
            return false;
        };
        let text = id.text();
        let change = audit::Change {
            from: Some(&session.name),
            ..by.change("session.revoke", &text)
        };
        sessions.remove_id(&id, &self.state, &change);
        true
    }

    /// Ends all sign-ins of the asker but this one; returns how many there were.
    pub(crate) fn end_other_sign_ins(&self, identity: &Identity, by: &By) -> usize {
        let (Some(name), Some(token)) = (&identity.user, &identity.token) else {
            return 0;
        };
        let own = SessionId::of(token);
        let mut sessions = lock(&self.sessions);
        let others: Vec<(SessionId, Session)> = sessions
            .list(Some(name), by.at)
            .into_iter()
            .filter(|(id, _)| *id != own)
            .collect();
        for (id, session) in &others {
            let text = id.text();
            let change = audit::Change {
                from: Some(&session.name),
                ..by.change("session.revoke", &text)
            };
            sessions.remove_id(id, &self.state, &change);
        }
        others.len()
    }

    /// Makes a token for the asker.
    pub(crate) fn add_token(
        &self,
        identity: &Identity,
        wish: &Wish<'_>,
        by: &By,
    ) -> Result<(String, Token), TokenError> {
        let (Some(name), Some(role), Some(entry)) =
            (&identity.user, identity.role, self.entry_of(identity))
        else {
            return Err(TokenError::NoOwner);
        };
        let may = Grants::of_account(role, identity.scope.is_masked());
        if !wish.grants.is_within(may) {
            let beyond = wish.grants.without(may).words().join(", ");
            return Err(TokenError::Beyond(beyond));
        }
        let wish = Wish {
            owner: Some(Owner {
                name: name.clone(),
                entry: fingerprint(entry),
            }),
            ..wish.clone()
        };
        self.state.change(|connection| {
            let (text, token) = tokens::create(connection, &wish, by.at)?;
            let about = token.summary();
            let change = audit::Change {
                to: Some(&about),
                ..by.change("token.add", &token.id)
            };
            audit::record(connection, &change)?;
            Ok((text, token))
        })
    }

    /// Tokens, newest first.
    pub(crate) fn tokens(&self) -> Result<Vec<Token>, StateError> {
        tokens::list(&self.state.connection())
    }

    /// Whether a token's account still is what it was.
    pub(crate) fn has_owner(&self, token: &Token) -> bool {
        token
            .owner
            .as_ref()
            .is_none_or(|owner| self.owner(owner).is_some())
    }

    /// Ends a token of an account, or of any; false when there is none of this id.
    pub(crate) fn revoke_token(
        &self,
        id: &str,
        name: Option<&str>,
        by: &By,
    ) -> Result<bool, StateError> {
        self.state.change(|connection| {
            let known = tokens::list(connection)?;
            let owned = |token: &Token| {
                let owner = token.owner.as_ref().map(|owner| owner.name.as_str());
                token.id == id && (name.is_none() || owner == name)
            };
            let Some(token) = known.into_iter().find(owned) else {
                return Ok(false);
            };
            tokens::revoke(connection, id)?;
            let about = token.summary();
            let change = audit::Change {
                from: Some(&about),
                ..by.change("token.revoke", id)
            };
            audit::record(connection, &change)?;
            Ok(true)
        })
    }

    /// The entries of the audit.
    pub(crate) fn audit(
        &self,
        wanted: &audit::Wanted<'_>,
    ) -> Result<Vec<audit::Entry>, StateError> {
        Ok(audit::entries(&self.state.reader()?, wanted)?)
    }
}
