//! Trailers, which a stream of HTTP/2 or HTTP/3 can end with, and which the host lets go on with all that it holds.

use std::time::Duration;

use super::{Phase, Session};
use crate::decision::cause::{FrameFault, HandshakeFault};
use crate::decision::{Rule, Violation};
use crate::http::headers::{Field, HeaderEdit, Headers};
use crate::peer::Peer;

impl Session {
    /// Says whether trailers of `sender` go on, and with them whatever the host holds of its bytes. If not,
    /// the host must hold them, and bring them as the next input. A WebSocket has none (RFC 8441 §5).
    pub fn passes_trailers(&self, sender: Peer) -> bool {
        match self.phase {
            Phase::Unjudged { .. } | Phase::Shadowed(_) => true,
            Phase::Declined | Phase::Refused => sender == Peer::Upstream,
            _ => false,
        }
    }

    /// Returns the edits that take the headers with claims out of a client's trailers that pass: services
    /// take trailers for headers that should not.
    pub fn strip_trailers(&self, trailers: &[Field]) -> Vec<HeaderEdit> {
        match self.phase {
            Phase::Shadowed(_) => Vec::new(),
            _ => self.ruleset.forwarded.strip(Headers::new(trailers)),
        }
    }

    /// Ends the session: nothing can come behind trailers, and what is held must not go on with them.
    pub(super) fn on_trailers(&mut self, sender: Peer, now: Duration) {
        match &mut self.phase {
            Phase::Handshake(_) => self.refuse_held(HandshakeFault::Trailers),
            Phase::AwaitingResponse(_) => self.refuse_response(HandshakeFault::Trailers),
            Phase::Open(_) => {
                let fault = FrameFault::Trailers;
                let violation = Violation::by(sender, Rule::Protocol, fault.reason()).because(fault);
                self.act(|open| open.refuse(violation, now));
                self.send();
            }
            _ => {}
        }
    }
}
