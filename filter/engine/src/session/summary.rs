//! The summary of a stream, for log and access log.

use super::{Phase, Session};
use crate::auth::subject_key::SubjectHash;
use crate::metrics::Passed;
use crate::peer::Peer;

/// The summary of a stream that asked for a WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The hash that stands for the user, if a genuine token names one.
    pub subject: Option<SubjectHash>,
    /// What has passed from the client.
    pub client: Passed,
    /// What has passed from the upstream.
    pub upstream: Passed,
    /// The Close that came first, if any did.
    pub close: Option<FirstClose>,
}

/// The Close that began the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstClose {
    /// The peer that sent it; absent where Postern did.
    pub by: Option<Peer>,
    /// The code; 1005 where a peer sent none.
    pub code: u16,
}

impl Session {
    /// Returns the summary of the stream so far; `None` for ordinary HTTP and upgrades that pass unjudged.
    pub fn summary(&self) -> Option<Summary> {
        match &self.phase {
            Phase::Fresh(_) | Phase::Unjudged { .. } => None,
            Phase::Open(open) => {
                let summary = open.summary();
                Some(Summary { subject: summary.subject.or(self.subject), ..summary })
            }
            _ => {
                let ended = self.ended.as_deref().copied().unwrap_or_default();
                Some(Summary { subject: ended.subject.or(self.subject), ..ended })
            }
        }
    }

    /// Keeps the summary of an open connection, which is about to go.
    pub(super) fn keep_summary(&mut self) {
        if let Phase::Open(open) = &self.phase {
            self.ended = Some(Box::new(open.summary()));
        }
    }
}
