//! The outputs of a session: what it asks its host to do.

use crate::decision::{Reason, Violation};
use crate::http::headers::HeaderEdit;
use crate::http::reply::Reply;
use crate::memory::blocks::Blocks;
use crate::peer::Peer;
use crate::remote::rate_limit::Question;

/// A thing for the host to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// The request goes up with these changes.
    Admit(Vec<HeaderEdit>),
    /// The response goes down with these changes.
    AdmitResponse(Vec<HeaderEdit>),
    /// The rate limit service must be asked; [`Input::RateLimitAnswered`](super::Input) brings its answer. The question counts
    /// as asked.
    Ask(Box<Question>),
    /// The bytes go to the client at once, on the parked stream, which then goes on. They are the
    /// upstream's, so that the host must cut the stream if they cannot go.
    Deliver(Blocks),
    /// The request stays with Envoy until [`Output::ResumeRequest`] or [`Output::Reply`]. The changes take
    /// the secrets out at once: the access log reads the request also if the client does not wait.
    HoldHandshake(Vec<HeaderEdit>),
    /// The chunk from the client stays with Envoy, which has it next to all that follow.
    HoldRequest,
    /// The bytes that are held, of this number, must be judged as a chunk, and the stream to the upstream
    /// goes on.
    ReleaseRequest(usize),
    /// The reply answers the handshake in the upstream's place. The changes to the request come first: the
    /// access log reads it.
    Reply(Vec<HeaderEdit>, Reply),
    /// The host must cut the stream.
    Reset,
    /// The stream towards the upstream goes on, which was held, or parked and empty.
    ResumeRequest,
    /// The bytes go to this receiver at once, on the parked stream, which then goes on.
    Send(Peer, Vec<u8>),
    /// An event for metrics, log and access log.
    Tell(Event),
}

impl Event {
    /// Says whether the upstream has agreed.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opened | Self::OpenedInShadow(_))
    }
}

/// An event worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An open connection was ended.
    Closed {
        /// The reason for the end.
        violation: Violation,
        /// The `instance` by which a problem document would have named the request.
        instance: String,
    },
    /// A rule that is shadowed does not hold: nothing comes of it.
    Found {
        /// The violation that would have been enforced.
        violation: Violation,
        /// The `instance` by which a problem document would have named the request.
        instance: String,
        /// Says whether it is the first that was found on the stream.
        is_first: bool,
    },
    /// The upstream agreed: frames are judged from here on.
    Opened,
    /// The upstream agreed to a handshake that would have been refused for this reason, were no rule shadowed.
    OpenedInShadow(Reason),
    /// A handshake was refused.
    Refused {
        /// The reason for the refusal.
        violation: Violation,
        /// The `instance` of the problem document.
        instance: String,
    },
}
