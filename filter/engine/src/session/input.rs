//! The inputs of a session.

use std::fmt;
use std::time::Duration;

use crate::decision::cause::HostFault;
use crate::http::headers::{Field, Headers};
use crate::http::request::RequestHead;
use crate::peer::Peer;
use crate::remote::rate_limit::Answer;

#[cfg(doc)]
use super::{Output, Session};

/// An event in the life of a session.
pub enum Input {
    /// The request, once.
    Request(RequestHead),
    /// Envoy chose another route once the request was changed, under another policy than the
    /// one that judged it; before the response.
    Rerouted,
    /// The answer to [`Output::Ask`] of this number.
    RateLimitAnswered(u32, Answer),
    /// The rate limit service has something of the session end, if [`Session::is_condemned`] says so.
    RateLimitExceeded,
    /// The response, once: its fields, `:status` included. The others are needed only where
    /// [`Session::reads_response`] says so.
    Response(Vec<Field>),
    /// The host did not do what it was asked to, or must do: nothing can be judged any more.
    HostFailed(HostFault),
    /// The policy goes away: the connection must end by this time, since the Unix epoch.
    Drain(Duration),
    /// Envoy is about to end: the connection must end by this time, since the Unix epoch.
    DrainWithEnvoy(Duration),
    /// Envoy is not about to end any more: the connection stays, unless its Close was sent.
    StayWithEnvoy,
    /// The stream is over. The last counts are taken before. Only [`Output::Tell`] is left of what was still
    /// to be done.
    Ended,
    /// A source that the session may wait for, or be ended by, has something new or has failed.
    Fetched,
    /// The memory that all sessions hold for peers exceeds the budget, and this one must give back its part.
    /// Comes from [`Holdings::next_to_give_back`](crate::memory::Holdings::next_to_give_back).
    MemoryExceeded,
    /// The memory budget is used up, so that nothing more may be held. Comes ahead of the request.
    MemoryFull,
    /// The part of the memory budget for inflaters is used up, so that they may keep nothing more between
    /// messages. Comes ahead of the request.
    MemoryRests,
    /// A newer connection of the user has taken the place of this one, which must end.
    Replaced,
    /// The host did not put a frame into a stream that should have been parked.
    NotParked,
    /// The clock was set back by so much since the session was last told the time.
    SetBack(Duration),
    /// Time has passed.
    Timer,
    /// Trailers of this peer's, which HTTP/2 and HTTP/3 can have, if [`Session::passes_trailers`] says no:
    /// they stay with the host.
    Trailers(Peer),
}

impl fmt::Debug for Input {
    /// Shows no value of a field, since it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(head) => f.debug_tuple("Request").field(head).finish(),
            Self::RateLimitAnswered(number, answer) => {
                f.debug_tuple("RateLimitAnswered").field(number).field(answer).finish()
            }
            Self::RateLimitExceeded => f.write_str("RateLimitExceeded"),
            Self::Rerouted => f.write_str("Rerouted"),
            Self::Response(fields) => f.debug_tuple("Response").field(&Headers::new(fields)).finish(),
            Self::HostFailed(fault) => f.debug_tuple("HostFailed").field(fault).finish(),
            Self::Ended => f.write_str("Ended"),
            Self::Fetched => f.write_str("Fetched"),
            Self::Drain(at) => f.debug_tuple("Drain").field(at).finish(),
            Self::StayWithEnvoy => f.write_str("StayWithEnvoy"),
            Self::DrainWithEnvoy(at) => f.debug_tuple("DrainWithEnvoy").field(at).finish(),
            Self::MemoryExceeded => f.write_str("MemoryExceeded"),
            Self::MemoryFull => f.write_str("MemoryFull"),
            Self::MemoryRests => f.write_str("MemoryRests"),
            Self::NotParked => f.write_str("NotParked"),
            Self::Replaced => f.write_str("Replaced"),
            Self::SetBack(by) => f.debug_tuple("SetBack").field(by).finish(),
            Self::Timer => f.write_str("Timer"),
            Self::Trailers(sender) => f.debug_tuple("Trailers").field(sender).finish(),
        }
    }
}
