//! Who may call what. Each row of the route table names one of these.

use std::net::IpAddr;

use axum::http::Method;
use maltrail_core::addr::NetworkSet;

use crate::auth::grants::Grant;
use crate::auth::{Identity, Peer, Role, State};

use super::error::ApiError;

/// Required access of a route. A token needs the scope named here as well, and its account the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Whoever may read events: signed in, or anonymous where that is allowed. Events are filtered
    /// by the asker's scope. Scope `read`.
    Read,
    /// Whoever may read the events of all networks. Scope `read`.
    ReadAll,
    /// Reading (GET, HEAD) as [`Access::Read`]; anything else needs an analyst or an admin, and the scope
    /// `write`.
    Analyst,
    /// Admins. Scope `admin`.
    Admin,
    /// A signed-in user, even one who has to set a new password first. No tokens.
    Account,
    /// A signed-in user. No tokens.
    Person,
    /// Sensors, by a token with the scope `sensor`.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the acknowledged intake will be such a route")
    )]
    Sensor,
    /// Addresses of `FAIL2BAN_ALLOWLIST`, and tokens with the scope `blocklist` of the console or an admin who
    /// sees all networks; for others there is nothing here.
    Fail2ban,
    /// Addresses of `BLACKLIST_ALLOWLIST`, and whoever may read. Scope `read` or `blocklist`.
    Blacklist,
}

/// Addresses that may fetch block lists without a sign-in. Empty lists admit nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowLists {
    pub(crate) fail2ban: NetworkSet,
    pub(crate) blacklist: NetworkSet,
}

impl Access {
    /// Lets the asker pass or says why not. Without addresses: routes with an allow-list refuse.
    pub(crate) fn check(self, identity: &Identity, method: &Method) -> Result<(), ApiError> {
        let writes = !matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Public => Ok(()),
            Self::Analyst if writes => at_least(identity, Role::Analyst, Grant::Write),
            Self::Read | Self::Analyst => reads(identity),
            Self::ReadAll => {
                reads(identity)?;
                if identity.scope.is_filtered() {
                    return Err(ApiError::restricted());
                }
                Ok(())
            }
            Self::Admin => at_least(identity, Role::Admin, Grant::Admin),
            Self::Account | Self::Person => {
                if identity.bearer.is_some() {
                    return Err(ApiError::no_tokens());
                }
                match identity.state {
                    State::Change if self == Self::Person => Err(ApiError::must_change()),
                    State::Open | State::Change => Ok(()),
                    State::Login | State::Anonymous => Err(ApiError::login()),
                }
            }
            Self::Sensor => match identity.bearer {
                Some(_) => granted(identity, Grant::Sensor),
                None => Err(ApiError::login()),
            },
            Self::Fail2ban if gets_fail2ban(identity) => Ok(()),
            Self::Blacklist if gets_blacklist(identity) => Ok(()),
            Self::Fail2ban | Self::Blacklist => Err(ApiError::not_found()),
        }
    }

    /// As [`Access::check`], knowing the asker's address.
    pub(crate) fn admit(
        self,
        identity: &Identity,
        method: &Method,
        peer: Peer,
        lists: &AllowLists,
    ) -> Result<(), ApiError> {
        let list = match self {
            Self::Fail2ban => &lists.fail2ban,
            Self::Blacklist => &lists.blacklist,
            _ => return self.check(identity, method),
        };
        if own_address(peer).is_some_and(|address| list.contains(address)) {
            Ok(())
        } else {
            self.check(identity, method)
        }
    }
}

fn granted(identity: &Identity, grant: Grant) -> Result<(), ApiError> {
    match identity.state {
        State::Change => Err(ApiError::must_change()),
        _ if !identity.grants(grant) => Err(ApiError::scope(grant)),
        _ => Ok(()),
    }
}

fn reads(identity: &Identity) -> Result<(), ApiError> {
    match identity.state {
        State::Login => Err(ApiError::login()),
        State::Open | State::Anonymous | State::Change => granted(identity, Grant::Read),
    }
}

fn at_least(identity: &Identity, role: Role, grant: Grant) -> Result<(), ApiError> {
    match identity.state {
        State::Login | State::Anonymous => Err(ApiError::login()),
        State::Open | State::Change => {
            granted(identity, grant)?;
            if identity.is_at_least(role) {
                Ok(())
            } else {
                Err(ApiError::role())
            }
        }
    }
}

/// The list is about all networks, so a token gets it only from somebody who sees them.
fn gets_fail2ban(identity: &Identity) -> bool {
    let sees_all = identity.user.is_none()
        || (identity.role == Some(Role::Admin) && !identity.scope.is_filtered());
    identity.bearer.is_some()
        && identity.state == State::Open
        && identity.grants(Grant::Blocklist)
        && sees_all
}

fn gets_blacklist(identity: &Identity) -> bool {
    matches!(identity.state, State::Open | State::Anonymous)
        && (identity.grants(Grant::Read) || identity.grants(Grant::Blocklist))
}

/// The asker's address, when it is known: what a proxy on this machine forwards is not this machine.
fn own_address(peer: Peer) -> Option<IpAddr> {
    (!(peer.remote && peer.address.is_loopback())).then_some(peer.address)
}
