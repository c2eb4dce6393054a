//! The refusals and ends of a session, and how they are told.

use super::{Event, Output, Phase, Session};
use crate::decision::cause::HostFault;
use crate::decision::reason::Reason;
use crate::decision::{Findings, Violation};
use crate::handshake;
use crate::http::headers::HeaderEdit;
use crate::http::reply::Reply;
use crate::metrics::Stopped;

impl Session {
    /// Refuses a handshake that went up, and whatever else is answered by the service.
    pub(super) fn refuse_response(&mut self, violation: impl Into<Violation>) {
        self.refuse_at(handshake::RESPONSE, Vec::new(), violation);
    }

    /// Refuses a request outside the steps of the handshake, at the place of this id.
    pub(super) fn refuse_at(
        &mut self,
        step: &'static str,
        edits: Vec<HeaderEdit>,
        violation: impl Into<Violation>,
    ) {
        self.ruleset.measures().stopped(step, Stopped::Refused);
        self.refuse(edits, violation.into().into());
    }

    pub(super) fn refuse(&mut self, edits: Vec<HeaderEdit>, refusal: handshake::Refusal) {
        let handshake::Refusal { violation, wait } = refusal;
        if let Phase::AwaitingResponse(awaiting) = &self.phase
            && violation.counts_as_refusal()
        {
            self.owed = Some(Box::new(awaiting.terms.rates.refusals()));
        }
        let instance = self.instance.to_string();
        let reply = Reply::refusal(violation.reason, &self.instance, wait);
        self.outputs.push_back(Output::Tell(Event::Refused { violation, instance }));
        self.outputs.push_back(Output::Reply(edits, reply));
        self.keep_places();
        self.phase = Phase::Refused;
    }

    /// Cuts the stream, since the host has not done what it must. That is told, unless the stream had an end
    /// before.
    pub(super) fn fail(&mut self, fault: HostFault) {
        let has_ended = match &self.phase {
            Phase::Open(open) => open.violation().is_some(),
            Phase::Refused | Phase::Ended => true,
            _ => false,
        };
        if !has_ended {
            let (violation, instance) = (Violation::from(fault), self.instance.to_string());
            match &self.phase {
                Phase::Handshake(handshake) => handshake.count_refusal(),
                _ if self.was_opened() => {}
                _ => self.ruleset.measures().stopped(handshake::RESPONSE, Stopped::Refused),
            }
            let event = match self.was_opened() {
                true => Event::Closed { violation, instance },
                false => Event::Refused { violation, instance },
            };
            self.outputs.push_back(Output::Tell(event));
        }
        self.outputs.push_back(Output::Reset);
        self.cut();
    }

    /// Tells the violations that are not enforced, and returns the reason of the first.
    pub(super) fn tell_found(&mut self, findings: &mut Findings) -> Option<Reason> {
        let untold = findings.take_untold();
        let first = untold.first().map(|violation| violation.reason);
        for violation in untold {
            let is_first = !std::mem::replace(&mut self.found, true);
            let instance = self.instance.to_string();
            self.outputs.push_back(Output::Tell(Event::Found { violation, instance, is_first }));
        }
        first
    }

    /// Tells what was found on the open connection, and which violation has just ended it, if one has.
    pub(super) fn tell_violation(&mut self, was_ended: bool) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.findings.has_untold() {
            let mut findings = std::mem::take(&mut open.findings);
            self.tell_found(&mut findings);
            let Phase::Open(open) = &mut self.phase else { return };
            open.findings = findings;
        }
        let Phase::Open(open) = &self.phase else { return };
        let Some(violation) = open.violation().filter(|_| !was_ended) else { return };
        if violation.counts_as_refusal() {
            self.owed = Some(Box::new(open.refusals()));
        }
        let (violation, instance) = (violation.clone(), self.instance.to_string());
        self.outputs.push_back(Output::Tell(Event::Closed { violation, instance }));
    }
}
