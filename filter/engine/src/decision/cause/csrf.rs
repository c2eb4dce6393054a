//! The reasons why a CSRF token is refused.
//!
//! A cause is for the operator's log; the client learns the reason only. No cause carries bytes of a token or
//! of a session.

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;

/// A fault of the CSRF token of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrfError {
    /// The handshake has two tokens, also when they are equal.
    #[error("more than one CSRF token")]
    Ambiguous,
    /// The token's lifetime is over.
    #[error("the CSRF token has expired")]
    Expired,
    /// The token is not of the form `<seconds>.<base64url>`.
    #[error("the CSRF token is malformed")]
    Form,
    /// The token says that it was issued in the future.
    #[error("the CSRF token is not valid yet")]
    Future,
    /// The handshake has no token (`csrf_missing`).
    #[error("no CSRF token")]
    Missing,
    /// The session cookie is not there, or is empty.
    #[error("no session cookie that the CSRF token could be bound to")]
    NoSession,
    /// The proof is by another secret or for another session.
    #[error("the CSRF token is not one of this session")]
    Proof,
    /// The session cookie occurs twice.
    #[error("more than one session cookie")]
    TwoSessions,
}

impl CsrfError {
    /// Every fault.
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
