//! What a session is told.

use std::fmt;
use std::time::Duration;

use crate::decision::cause::HostFault;
use crate::http::headers::{Field, Headers};
use crate::http::request::RequestHead;
use crate::peer::Peer;

#[cfg(doc)]
use super::{Output, Session};

/// What happens to a session.
pub enum Input {
    /// The request, once.
    Request(RequestHead),
    /// Envoy chose another route once the request was changed, under another policy than the
    /// one that judged it; before the response.
    Rerouted,
    /// The response, once: its fields, `:status` included. The others are needed only where
    /// [`Session::reads_response`] says so.
    Response(Vec<Field>),
    /// The host did not do what it was asked, or has to do: nothing can be judged on.
    HostFailed(HostFault),
    /// The policy goes away: the connection is to end by this time, since the Unix epoch.
    Drain(Duration),
    /// The stream is over. The last counts are asked for before. Of what was still to be done only [`Output::Tell`] is left.
    Ended,
    /// A source that the session may wait for, or be ended by, has something new or has failed.
    Fetched,
    /// What is held for peers by all sessions is more than it may be, and this one is to give back its part. From
    /// [`Holdings::next_to_give_back`](crate::memory::Holdings::next_to_give_back).
    MemoryExceeded,
    /// Nobody may begin to hold anything; ahead of the request.
    MemoryFull,
    /// Nothing more may be kept between messages by inflaters; ahead of the request.
    MemoryRests,
    /// The host did not put a frame into a stream that should have been parked.
    NotParked,
    /// The clock was set back by so much since it was last told.
    SetBack(Duration),
    /// Time has passed.
    Timer,
    /// Trailers of this peer's, which HTTP/2 and HTTP/3 can have, where [`Session::passes_trailers`]
    /// says no: they stay with the host.
    Trailers(Peer),
}

impl fmt::Debug for Input {
    /// Shows no value of a field: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(head) => f.debug_tuple("Request").field(head).finish(),
            Self::Rerouted => f.write_str("Rerouted"),
            Self::Response(fields) => f.debug_tuple("Response").field(&Headers::new(fields)).finish(),
            Self::HostFailed(fault) => f.debug_tuple("HostFailed").field(fault).finish(),
            Self::Ended => f.write_str("Ended"),
            Self::Fetched => f.write_str("Fetched"),
            Self::Drain(at) => f.debug_tuple("Drain").field(at).finish(),
            Self::MemoryExceeded => f.write_str("MemoryExceeded"),
            Self::MemoryFull => f.write_str("MemoryFull"),
            Self::MemoryRests => f.write_str("MemoryRests"),
            Self::NotParked => f.write_str("NotParked"),
            Self::SetBack(by) => f.debug_tuple("SetBack").field(by).finish(),
            Self::Timer => f.write_str("Timer"),
            Self::Trailers(sender) => f.debug_tuple("Trailers").field(sender).finish(),
        }
    }
}
