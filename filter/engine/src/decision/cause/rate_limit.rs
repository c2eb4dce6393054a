//! The reasons why the rate limit service lets nobody in, or lets nobody stay.

use postern_config::GlobalCount;

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;

/// A count over the mesh that is at its limit, or that nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitFault {
    /// The service says that this count is over its limit.
    #[error("the rate limit service says that {} are over the limit", counted(*.0))]
    Over(GlobalCount),
    /// The service did not answer in time, or with what is no answer.
    #[error("the rate limit service did not answer")]
    NoAnswer,
    /// The service was not asked.
    #[error(
        "the rate limit service was not asked, since it has not answered lately or too much is asked at once"
    )]
    NotAsked,
}

/// Returns the word for what is counted, as the policy and the descriptors have it.
pub(crate) fn counted(count: GlobalCount) -> &'static str {
    match count {
        GlobalCount::Bytes => "bytes",
        GlobalCount::Connections => "connections",
        GlobalCount::Handshakes => "handshakes",
        GlobalCount::Messages => "messages",
        GlobalCount::Tickets => "tickets",
    }
}

impl From<RateLimitFault> for Violation {
    fn from(fault: RateLimitFault) -> Self {
        let (side, reason) = match fault {
            RateLimitFault::Over(GlobalCount::Tickets) => (Some(Peer::Client), Reason::TokenReplayed),
            RateLimitFault::Over(GlobalCount::Connections) => (Some(Peer::Client), Reason::ConnectionLimit),
            RateLimitFault::Over(_) => (Some(Peer::Client), Reason::GlobalRate),
            RateLimitFault::NoAnswer | RateLimitFault::NotAsked => (None, Reason::RateLimitUnavailable),
        };
        Self { side, ..Self::new(Rule::GlobalRateLimit, reason) }.because(fault)
    }
}
