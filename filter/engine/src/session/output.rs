//! What a session asks its host to do.

use crate::decision::Violation;
use crate::http::headers::HeaderEdit;
use crate::http::reply::Reply;
use crate::memory::blocks::Blocks;
use crate::peer::Peer;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// The request goes up with these changes.
    Admit(Vec<HeaderEdit>),
    /// The response goes down with these changes.
    AdmitResponse(Vec<HeaderEdit>),
    /// These bytes go to the client at once, on the parked stream, which then goes on. They are the
    /// upstream's, so that where they cannot go the stream is to be cut.
    Deliver(Blocks),
    /// The request stays with Envoy until [`Output::ResumeRequest`] or [`Output::Reply`]. The changes
    /// take the secrets out at once: the access log reads it also where the client does not wait.
    HoldHandshake(Vec<HeaderEdit>),
    /// The chunk from the client stays with Envoy, which has it next to all that follow.
    HoldRequest,
    /// What is held, so many bytes, is to be judged as a chunk, and the stream to the upstream
    /// goes on.
    ReleaseRequest(usize),
    /// The handshake is answered in the upstream's place. The changes to the request come first:
    /// the access log reads it.
    Reply(Vec<HeaderEdit>, Reply),
    /// The stream is to be cut.
    Reset,
    /// The stream towards the upstream goes on, which was held, or parked and empty.
    ResumeRequest,
    /// These bytes go to this receiver at once, on the parked stream, which then goes on.
    Send(Peer, Vec<u8>),
    /// For metrics, log and access log.
    Tell(Event),
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An open connection was ended.
    Closed {
        /// Why.
        violation: Violation,
        /// The `instance` that a problem document would have named the request by.
        instance: String,
    },
    /// The upstream agreed: frames are judged from here on.
    Opened,
    /// A handshake was refused.
    Refused {
        /// Why.
        violation: Violation,
        /// The `instance` of the problem document.
        instance: String,
    },
}
