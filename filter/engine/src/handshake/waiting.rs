//! A handshake that cannot be judged before something has been fetched.
//!
//! It waits so long as the first time said, however often it is looked at again: then it is what it
//! is without. Nothing is charged while it waits.

use std::time::Duration;

use super::Refusal;
use crate::auth::claims::Claims;
use crate::auth::error::{Cause, TokenError};
use crate::auth::revocation::Bearer;
use crate::csrf::error::CsrfError;
use crate::reason::Reason;
use crate::ruleset::Ruleset;
use crate::source::Content;

/// Why judging goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is over.
    Refuse(Refusal),
    /// It is over unless something comes within this time.
    Await(For, Duration, Refusal),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Keys,
    RevocationList,
}

/// How long the handshake waits for what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    keys: Option<Duration>,
    list: Option<Duration>,
    until: Option<Duration>,
}

impl Waiting {
    /// Whether to wait; the refusal if there is nothing to wait for any more.
    pub(super) fn judge(&mut self, stop: Stop, now: Duration) -> Result<(), Refusal> {
        self.until = None;
        match stop {
            Stop::Refuse(refusal) => Err(refusal),
            Stop::Await(what, patience, refusal) => {
                let until = match what {
                    For::Keys => &mut self.keys,
                    For::RevocationList => &mut self.list,
                };
                let until = *until.get_or_insert(now.saturating_add(patience));
                if until <= now {
                    return Err(refusal);
                }
                self.until = Some(until);
                Ok(())
            }
        }
    }

    /// Until when it waits.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }
}

/// A token that was verified has to be one that is not revoked.
pub(super) fn judge_revocation(ruleset: &Ruleset, claims: &Claims, now: Duration) -> Result<(), Stop> {
    let Some(source) = &ruleset.revocation else { return Ok(()) };
    match source.content(now, Content::revocation) {
        Some(list) if list.names(&Bearer::of(claims)) => Err(Reason::TokenRevoked.into()),
        Some(_) => Ok(()),
        None => {
            let refusal = Refusal::from(Reason::RevocationUnavailable);
            let wait = |patience| Stop::Await(For::RevocationList, patience, refusal);
            Err(source.patience(now).map_or(refusal.into(), wait))
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Refusal::from(reason).into()
    }
}

impl From<CsrfError> for Stop {
    fn from(error: CsrfError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Refusal::from(cause).into()
    }
}

impl From<TokenError> for Stop {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::AwaitsKeys(missing, patience) => {
                Self::Await(For::Keys, patience, missing.after_all().into())
            }
            error => Self::Refuse(error.into()),
        }
    }
}
