//! The causes of violations, typed: one variant for each clause that is judged.
//!
//! A cause is for the operator's log. No client learns one, and none has bytes of a token or of a payload.

mod content;
mod csrf;
mod frame;
mod handshake;
mod host;
mod invalid_policy;
mod limit;
mod rate_limit;
mod shown;
mod token;

pub use content::ContentFault;
pub use csrf::CsrfError;
pub use frame::FrameFault;
pub use handshake::{HandshakeFault, ResponseFault};
pub use host::HostFault;
pub use invalid_policy::InvalidPolicy;
pub use limit::{LimitExceeded, Measure};
pub use rate_limit::RateLimitFault;
pub(crate) use rate_limit::counted;
pub use shown::Shown;
pub use token::{ClaimName, InvalidToken, Missing, TokenError, Unfit};

/// The cause of a violation: a fault of something that a peer sent, of the host, or of the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A fault of what a message says.
    #[error(transparent)]
    Content(#[from] ContentFault),
    /// A fault of a CSRF token.
    #[error(transparent)]
    Csrf(#[from] CsrfError),
    /// A fault of a frame, by RFC 6455 or RFC 7692.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// A fault of a client's handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeFault),
    /// A failure of the host.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// A limit of the policy that was exceeded.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// An origin that is not allowed.
    #[error("the origin is {0}")]
    Origin(Shown),
    /// A fault of a route's metadata.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// A count over the mesh.
    #[error(transparent)]
    RateLimit(#[from] RateLimitFault),
    /// A fault of a service's answer to a handshake.
    #[error(transparent)]
    Response(#[from] ResponseFault),
    /// A route under another policy, which Envoy chose once headers were changed.
    #[error(
        "with the changed headers Envoy takes a route under another policy; match no route on what Postern changes"
    )]
    Rerouted,
    /// The opening of another protocol.
    #[error("it opens {0}")]
    Tunnel(&'static str),
    /// A fault of a token.
    #[error(transparent)]
    Token(#[from] TokenError),
}
