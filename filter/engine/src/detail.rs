//! What the operator's log says of a refused handshake beside its reason. The client never learns it.

use crate::auth::error::TokenError;
use crate::csrf::error::CsrfError;

/// What was wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Detail {
    /// With the CSRF token.
    #[error(transparent)]
    Csrf(#[from] CsrfError),
    /// With the token.
    #[error(transparent)]
    Token(#[from] TokenError),
}
