//! HTTP as far as a handshake and its answers need it.
//!
//! Owns requests with the facts of their connections, header fields, cookies, the headers that carry claims,
//! and the replies of refusals. Judges nothing.

pub(crate) mod cookies;
pub(crate) mod forwarded;
pub mod headers;
pub(crate) mod reply;
pub(crate) mod request;

pub use reply::Reply;
pub use request::{ConnectionFacts, Entropy, Protocol, RequestHead, is_upgrade};
