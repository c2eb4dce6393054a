//! The part of fetched documents in a session: its handshake or a later token may wait for one, and a
//! revocation list may end it.

use std::rc::Rc;
use std::time::Duration;

use super::{Phase, Session};
use crate::auth::admit::revoked;
use crate::decision::Violation;
use crate::rate::Shared;
use crate::remote::Source;

impl Session {
    /// Says whether the request is held, or a token waits, until something has been fetched.
    pub fn is_waiting(&self) -> bool {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.waits_until().is_some(),
            Phase::Open(open) => open.is_waiting(),
            Phase::Shadowed(shadowed) => shadowed.observer().is_waiting(),
            _ => false,
        }
    }

    /// Says whether a list from `source` may end the session.
    pub fn is_revocable_by(&self, source: &Rc<Source>) -> bool {
        self.was_opened() && self.ruleset.revocation.as_ref().is_some_and(|own| Rc::ptr_eq(own, source))
    }

    /// Looks again at what waited for a document, and at whom a revocation list names.
    pub(super) fn on_fetched(&mut self, shared: &mut dyn Shared, now: Duration) {
        if self.is_waiting() {
            self.advance_handshake(shared, now);
        }
        let Phase::Open(open) = &self.phase else { return };
        if open.violation().is_some() {
            return;
        }
        let is_revoked =
            open.revocation_subject().is_some_and(|subject| self.ruleset.has_revoked(subject, now));
        self.act(|open| match is_revoked {
            true => open.enforce(revoked(), now),
            false => open.look_again(now),
        });
        if is_revoked {
            // That is no doing of the client's.
            self.owed = None;
        }
        self.send();
    }

    /// Refuses a handshake that waits, with `violation`.
    pub(super) fn refuse_held(&mut self, violation: impl Into<Violation>) {
        if let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Refused) {
            let violation = violation.into();
            handshake.count_refusal();
            if violation.counts_as_refusal() {
                self.owed = Some(Box::new(handshake.refusals()));
            }
            let (_, removals) = handshake.into_parts();
            self.refuse(removals, violation.into());
        }
    }
}
