//! What was wrong, typed: one variant for each clause that is judged.
//!
//! A cause is for the operator's log. No client learns one, and none has bytes of a token or of a payload.

mod csrf;
mod frame;
mod handshake;
mod host;
mod invalid_policy;
mod limit;
mod shown;
mod token;

pub use csrf::CsrfError;
pub use frame::FrameFault;
pub use handshake::{HandshakeFault, ResponseFault};
pub use host::HostFault;
pub use invalid_policy::InvalidPolicy;
pub use limit::{LimitExceeded, Measure};
pub use shown::Shown;
pub use token::{ClaimName, InvalidToken, Missing, TokenError, Unfit};

/// What was wrong with what a peer sent, with what it may, or with the policy it falls under.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A CSRF token.
    #[error(transparent)]
    Csrf(#[from] CsrfError),
    /// A frame, by RFC 6455 or RFC 7692.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// A client's handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeFault),
    /// What the host did not do.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// A limit of the policy.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// An origin that is not allowed.
    #[error("the origin is {0}")]
    Origin(Shown),
    /// A route's metadata.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// A service's answer to a handshake.
    #[error(transparent)]
    Response(#[from] ResponseFault),
    /// The route that Envoy chose once headers were changed.
    #[error(
        "with the changed headers Envoy takes a route under another policy; match no route on what Postern changes"
    )]
    Rerouted,
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
}
