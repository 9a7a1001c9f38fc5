//! Who may call what. Each row of the route table names one of these.

use std::net::IpAddr;

use maltrail_core::addr::NetworkSet;

use crate::auth::{Identity, Peer, State};

use super::error::ApiError;

/// Required access of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Whoever may read events: signed in, or anonymous where that is allowed. Events are filtered
    /// by the asker's scope.
    Read,
    /// Whoever may read the events of all networks.
    ReadAll,
    /// A signed-in user, even one who has to set a new password first.
    Account,
    /// Addresses of `FAIL2BAN_ALLOWLIST`; for others there is nothing here.
    Fail2ban,
    /// Addresses of `BLACKLIST_ALLOWLIST`, and whoever may read.
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
    pub(crate) fn check(self, identity: &Identity) -> Result<(), ApiError> {
        match (self, identity.state) {
            (Self::ReadAll, State::Open | State::Anonymous) if identity.scope.is_filtered() => {
                Err(ApiError::restricted())
            }
            (Self::Public, _)
            | (Self::Read | Self::ReadAll | Self::Blacklist, State::Open | State::Anonymous)
            | (Self::Account, State::Open | State::Change) => Ok(()),
            (Self::Read | Self::ReadAll, State::Change) => Err(ApiError::must_change()),
            (Self::Read | Self::ReadAll, State::Login)
            | (Self::Account, State::Login | State::Anonymous) => Err(ApiError::login()),
            (Self::Fail2ban | Self::Blacklist, _) => Err(ApiError::not_found()),
        }
    }

    /// As [`Access::check`], knowing the asker's address.
    pub(crate) fn admit(
        self,
        identity: &Identity,
        peer: Peer,
        lists: &AllowLists,
    ) -> Result<(), ApiError> {
        let list = match self {
            Self::Fail2ban => &lists.fail2ban,
            Self::Blacklist => &lists.blacklist,
            _ => return self.check(identity),
        };
        if own_address(peer).is_some_and(|address| list.contains(address)) {
            Ok(())
        } else {
            self.check(identity)
        }
    }
}

/// The asker's address, when it is known: what a proxy on this machine forwards is not this machine.
fn own_address(peer: Peer) -> Option<IpAddr> {
    (!(peer.remote && peer.address.is_loopback())).then_some(peer.address)
}
