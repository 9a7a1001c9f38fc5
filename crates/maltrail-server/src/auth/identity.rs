//! Who asks, and how far they may go.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Role;
use super::grants::{Grant, Grants};
use crate::store::scoped::Scope;

/// Who sends a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's address, behind a trusted proxy the one it names.
    pub(crate) address: IpAddr,
    /// The client's port; unknown behind a trusted proxy.
    pub(crate) port: Option<u16>,
    /// The request did not come straight from this machine.
    pub(crate) remote: bool,
    /// What it sends crosses a network unencrypted: from another machine, and not through a trusted
    /// proxy that took it by HTTPS.
    pub(crate) clear: bool,
}

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Signed in, or with a token.
    Open,
    /// No accounts exist and reading is allowed.
    Anonymous,
    /// Has to sign in.
    Login,
    /// Signed in with a shipped password that must be replaced first.
    Change,
}

/// A token that was shown.
#[derive(Clone)]
pub(crate) struct Bearer {
    /// Its text, to look it up again while a stream goes on.
    pub(super) text: String,
    pub(crate) name: String,
    /// What it may do now.
    pub(crate) grants: Grants,
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bearer({:?}, {:?})", self.name, self.grants)
    }
}

/// The asker.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) state: State,
    pub(crate) user: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) scope: Scope,
    /// The secret of the sign-in.
    pub(crate) token: Option<String>,
    /// The token that was shown instead of a sign-in.
    pub(crate) bearer: Option<Bearer>,
}

impl Identity {
    pub(super) fn nobody(state: State) -> Self {
        Self {
            state,
            user: None,
            role: None,
            networks: Vec::new(),
            scope: Scope::default(),
            token: None,
            bearer: None,
        }
    }

    /// Whether the asker's credential covers this: a sign-in covers all that its account may.
    pub(crate) fn grants(&self, grant: Grant) -> bool {
        self.bearer
            .as_ref()
            .is_none_or(|bearer| bearer.grants.has(grant))
    }

    /// Whether the asker acts in this role or a higher one. A token acts as an analyst or an admin only with
    /// the scope of that, whatever its account is.
    pub(crate) fn is_at_least(&self, role: Role) -> bool {
        let granted = match role {
            Role::Viewer => true,
            Role::Analyst => self.grants(Grant::Write) || self.grants(Grant::Admin),
            Role::Admin => self.grants(Grant::Admin),
        };
        granted && self.state == State::Open && self.role.is_some_and(|has| has >= role)
    }

    /// Whether the names of the operator's own trails are for the asker.
    pub(crate) fn knows_custom(&self) -> bool {
        self.state == State::Open
            && !self.scope.is_masked()
            && (self.grants(Grant::Read) || self.grants(Grant::Sensor))
    }

    /// The name under which changes are recorded.
    pub(crate) fn actor(&self) -> String {
        let user = self.user.as_deref();
        match &self.bearer {
            None => user.unwrap_or_default().to_owned(),
            Some(bearer) => match user {
                Some(user) => format!("token {} of {user}", bearer.name),
                None => format!("token {}", bearer.name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_acts_in_the_role_of_its_scopes() {
        let act = |scopes: &str, has: Role, role: Role| {
            let mut identity = Identity::nobody(State::Open);
            identity.role = Some(has);
            identity.bearer = Some(Bearer {
                text: "mt_secret".into(),
                name: "t".into(),
                grants: Grants::parse(scopes.split_whitespace()).unwrap(),
            });
            assert!(!format!("{identity:?}").contains("secret"));
            identity.is_at_least(role)
        };
        for (scopes, has, role, wanted) in [
            ("write", Role::Admin, Role::Analyst, true),
            ("write", Role::Admin, Role::Admin, false),
            ("read", Role::Admin, Role::Analyst, false),
            ("admin", Role::Admin, Role::Admin, true),
            ("admin write", Role::Analyst, Role::Admin, false),
            ("write", Role::Viewer, Role::Analyst, false),
        ] {
            assert_eq!(act(scopes, has, role), wanted, "{scopes} {has:?} {role:?}");
        }
    }

    #[test]
    fn changes_are_recorded_under_the_account_and_the_token() {
        let mut identity = Identity::nobody(State::Open);
        identity.user = Some("ann".into());
        assert_eq!(identity.actor(), "ann");
        identity.bearer = Some(Bearer {
            text: String::new(),
            name: "siem".into(),
            grants: Grants::default(),
        });
        assert_eq!(identity.actor(), "token siem of ann");
        identity.user = None;
        assert_eq!(identity.actor(), "token siem");
    }
}
