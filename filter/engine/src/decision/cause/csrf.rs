//! Why a CSRF token is refused.
//!
//! A cause is for the operator's log; the client learns the reason only. No cause carries bytes of
//! a token or of a session.

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;

/// What is wrong with the CSRF token of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrfError {
    /// Two tokens, also when they are equal.
    #[error("more than one CSRF token")]
    Ambiguous,
    /// Its lifetime is over.
    #[error("the CSRF token has expired")]
    Expired,
    /// It is not of the form `<seconds>.<base64url>`.
    #[error("the CSRF token is malformed")]
    Form,
    /// It says that it was issued in the future.
    #[error("the CSRF token is not valid yet")]
    Future,
    /// `csrf_missing`: there is none.
    #[error("no CSRF token")]
    Missing,
    /// The session cookie is not there, or is empty.
    #[error("no session cookie that the CSRF token could be bound to")]
    NoSession,
    /// Another secret or another session.
    #[error("the CSRF token is not one of this session")]
    Proof,
    /// The session cookie occurs twice.
    #[error("more than one session cookie")]
    TwoSessions,
}

impl CsrfError {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Ambiguous,
        Self::Expired,
        Self::Form,
        Self::Future,
        Self::Missing,
        Self::NoSession,
        Self::Proof,
        Self::TwoSessions,
    ];
}

impl From<CsrfError> for Violation {
    fn from(error: CsrfError) -> Self {
        let reason = if error == CsrfError::Missing { Reason::CsrfMissing } else { Reason::CsrfInvalid };
        Self::by(Peer::Client, Rule::Csrf, reason).because(error)
    }
}
