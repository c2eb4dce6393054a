//! The rate limit service of the mesh, asked by Envoy's protocol (`envoy.service.ratelimit.v3`).
//!
//! Owns what is asked and told, what an answer means, and how often a service is called that does not answer.
//! Makes no call and reads no clock: the host sends the bytes, and brings what comes back.

mod account;
mod answer;
mod asking;
mod availability;
mod reports;
mod request;
mod service;

pub(crate) use account::{Account, Membership};
pub use answer::Answer;
pub(crate) use asking::{Asking, Unsettled};
pub use availability::Purpose;
pub use reports::{News, RateLimits, Report};
pub(crate) use service::Descriptor;
pub use service::{Question, RateLimitService};
