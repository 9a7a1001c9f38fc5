//! Who may call what. Each row of the route table names one of these.

use crate::auth::{Identity, State};

use super::error::ApiError;

/// Required access of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Whoever may read events: signed in, or anonymous where that is allowed. Events are filtered
    /// by the asker's scope.
    Read,
    /// A signed-in user, even one who has to set a new password first.
    Account,
}

impl Access {
    /// Lets the asker pass or says why not.
    pub(crate) fn check(self, identity: &Identity) -> Result<(), ApiError> {
        match (self, identity.state) {
            (Self::Public, _)
            | (Self::Read, State::Open | State::Anonymous)
            | (Self::Account, State::Open | State::Change) => Ok(()),
            (Self::Read, State::Change) => Err(ApiError::must_change()),
            (Self::Read, State::Login) | (Self::Account, State::Login | State::Anonymous) => {
                Err(ApiError::login())
            }
        }
    }
}
