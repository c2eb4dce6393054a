//! Handshakes that are wrong. A WebSocket that one opens is used, since many services refuse by a Close behind the 101.

use crate::audit::answer::Answer;
use crate::audit::attack::{Departure, Verdict};
use crate::audit::client::Opened;
use crate::audit::honest::{Honest, SUBPROTOCOL};
use crate::audit::request::Request;

use super::{Field, seconds};

/// The name of the offers of extensions, and of the answer to them.
pub(super) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The extension by which messages are compressed (RFC 7692).
pub(super) const DEFLATE: &str = "permessage-deflate";

impl Field {
    pub(super) fn handshake(&self, departure: Departure) -> Verdict {
        match departure(&self.client.honest) {
            Ok(request) => self.judge_handshake(self.client.open(&request)),
            Err(untried) => Verdict::NotTried(untried.to_owned()),
        }
    }

    pub(super) fn cleartext(&self) -> Verdict {
        match self.client.open_in_the_clear(&self.client.honest.request()) {
            // What speaks TLS answers the bytes of a handshake by an alert, or by 400.
            Opened::Silent if self.client.tls.is_some() => {
                Verdict::Closed("no answer without TLS".to_owned())
            }
            opened => self.judge_handshake(opened),
        }
    }

    pub(super) fn upgrade(&self, departure: Departure) -> Verdict {
        match departure(&self.client.honest).map(|request| self.client.open(&request)) {
            Ok(Opened::Socket(..)) => Verdict::Open("answered by 101".to_owned()),
            Ok(other) => self.judge_handshake(other),
            Err(untried) => Verdict::NotTried(untried.to_owned()),
        }
    }

    pub(super) fn subprotocol(&self, name: &'static str) -> Verdict {
        let honest = Honest { subprotocols: vec![name.to_owned()], ..self.client.honest.clone() };
        self.judge_agreed(&honest.request(), SUBPROTOCOL, name)
    }

    pub(super) fn compression(&self) -> Verdict {
        self.judge_agreed(&self.client.honest.request().field(EXTENSIONS, DEFLATE), EXTENSIONS, DEFLATE)
    }

    /// Judges a handshake with an offer that must not be taken up.
    fn judge_agreed(&self, request: &Request, field: &str, offer: &str) -> Verdict {
        match self.client.open(request) {
            Opened::Socket(_, answer) if agrees(&answer, field, offer) => {
                Verdict::Open(format!("answered by 101 with {offer}"))
            }
            Opened::Socket(..) => Verdict::Closed(format!("answered by 101 without {offer}")),
            other => self.judge_handshake(other),
        }
    }

    fn judge_handshake(&self, opened: Opened) -> Verdict {
        let seen = self.seen_of(&opened);
        match opened {
            Opened::Socket(mut socket, _) => {
                let used = self.probe(&mut socket, None, self.client.deadline());
                match &used.end {
                    Some(end) => Self::judge_end(&used, &format!("{seen}, then {end}")),
                    None if used.message => Verdict::Open(format!("{seen}, and a message came back")),
                    None if used.pong => Verdict::Open(format!("{seen}, and a Ping was answered")),
                    None if self.habits.pongs || self.habits.echoes => {
                        Verdict::Undetermined(format!("{seen}, but nothing behind it was answered"))
                    }
                    None => Verdict::Open(format!("{seen}, and open for {}", seconds(self.client.timeout))),
                }
            }
            Opened::Refused(answer) if answer.is_for_now() => {
                Verdict::Undetermined(format!("{seen}, which says nothing of this handshake"))
            }
            Opened::Refused(_) | Opened::Ended => Verdict::Closed(seen),
            Opened::Silent => Verdict::Undetermined(seen),
        }
    }
}

/// Says whether an answer has `offer` in a list.
pub(super) fn agrees(answer: &Answer, field: &str, offer: &str) -> bool {
    let items = answer.field(field).unwrap_or_default().split(',');
    items.filter_map(|item| item.split(';').next()).any(|item| item.trim().eq_ignore_ascii_case(offer))
}
