//! The summary of a connection, for the access log.

use crate::peer::Peer;
use crate::session::{FirstClose, Summary};

use super::Connection;

/// The code of a Close that has none (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;

impl Connection {
    /// Returns the summary of the connection so far.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            subject: self.grant.as_ref().and_then(|grant| grant.subject()),
            client: self.tally.passed(Peer::Client),
            upstream: self.tally.passed(Peer::Upstream),
            close: self.first_close(),
        }
    }

    /// Returns the Close that came first.
    fn first_close(&self) -> Option<FirstClose> {
        let code = match self.closed_by {
            Some(Peer::Client) => self.client.close_code().unwrap_or(NO_CODE),
            Some(Peer::Upstream) => self.upstream.close_code().unwrap_or(NO_CODE),
            None => self.violation()?.reason.consequence().close,
        };
        Some(FirstClose { by: self.closed_by, code })
    }
}
