//! The service's response: a WebSocket is open with it, declined, or refused.

use std::time::Duration;

use super::{Event, Output, Phase, Session};
use crate::auth::admit::revoked;
use crate::connection::{Connection, Early, Terms};
use crate::decision::cause::{HostFault, ResponseFault};
use crate::handshake::Agreement;
use crate::http::headers::{Field, HeaderEdit, Headers, Single};
use crate::http::request::Protocol;

impl Session {
    pub(super) fn on_response(&mut self, fields: &[Field], now: Duration) {
        let headers = Headers::new(fields);
        let switching = headers.single(":status") == Single::One(b"101");
        match std::mem::replace(&mut self.phase, Phase::Refused) {
            Phase::Refused => {}
            Phase::AwaitingResponse(mut awaiting) if switching => {
                let Agreement { deflate, edit } = match awaiting.expected.agreement(headers) {
                    Ok(agreement) => agreement,
                    Err(fault) => return self.refuse_response(fault),
                };
                let subject = awaiting.terms.grant.as_ref().and_then(|grant| grant.revocation_subject());
                if subject.is_some_and(|subject| self.ruleset.has_revoked(subject, now))
                    && let Err(violation) = awaiting.terms.findings.enforce(revoked(), &self.ruleset.policy)
                {
                    self.owed = Some(Box::new(awaiting.terms.rates.refusals()));
                    self.refuse_response(violation);
                    return;
                }
                let mut edits = Vec::from_iter(edit);
                edits.extend(awaiting.expected.choice(headers));
                if awaiting.protocol == Protocol::Multiplexed {
                    // The key was Postern's, so the client has nothing to hold its hash against.
                    edits.push(HeaderEdit::Remove("sec-websocket-accept".to_owned()));
                }
                self.outputs.push_back(Output::AdmitResponse(edits));
                let found = self.tell_found(&mut awaiting.terms.findings);
                let opened = awaiting.found.or(found).map_or(Event::Opened, Event::OpenedInShadow);
                self.outputs.push_back(Output::Tell(opened));
                let early = match (awaiting.held_bytes, awaiting.parked) {
                    (1.., _) => Early::Held,
                    (0, true) => Early::Parked,
                    (0, false) => Early::Flowing,
                };
                let lets_tunnels = awaiting.expected.chooses_tunnel(headers);
                let places = std::mem::take(&mut self.places);
                let terms = Terms { lets_tunnels, places, ..awaiting.terms };
                let open = Connection::new(&awaiting.limits, terms, deflate, early, now);
                self.phase = Phase::Open(Box::new(open));
                self.opened_at = Some(now.into());
                if awaiting.replaced_by.is_some() {
                    self.make_way(now);
                }
                if awaiting.held_bytes > 0 {
                    self.outputs.push_back(Output::ReleaseRequest(awaiting.held_bytes));
                }
            }
            // An HTTP/2 client takes any success for an open tunnel (RFC 8441 §5), which nobody would judge.
            Phase::AwaitingResponse(awaiting)
                if awaiting.protocol == Protocol::Multiplexed && is_success(headers) =>
            {
                self.refuse_response(ResponseFault::Tunnel);
            }
            Phase::AwaitingResponse(awaiting) => {
                if awaiting.parked {
                    self.outputs.push_back(Output::ResumeRequest);
                }
                self.outputs.push_back(Output::AdmitResponse(Vec::new()));
                self.phase = Phase::Declined;
            }
            // A service that answers so takes any upgrade for one to WebSocket, which nobody would judge.
            Phase::Unjudged { upgrade: true } if switching && is_to_websocket(headers) => {
                self.refuse_response(ResponseFault::WebSocket);
            }
            Phase::Unjudged { upgrade } if upgrade || !switching => {
                let guard = self.ruleset.csrf.as_ref().zip(self.page.take());
                let edit = guard.and_then(|(guard, page)| guard.issue(&page, headers, now));
                self.pass_response(upgrade, edit);
            }
            // The upstream answers 101 though nobody asked for another protocol.
            Phase::Unjudged { .. } => self.refuse_response(ResponseFault::Unasked),
            phase @ (Phase::Ended
            | Phase::Open(_)
            | Phase::Handshake(_)
            | Phase::Fresh(_)
            | Phase::Declined
            | Phase::Shadowed(_)) => {
                self.phase = phase;
                self.fail(HostFault::Response);
            }
        }
    }

    fn pass_response(&mut self, upgrade: bool, edit: Option<HeaderEdit>) {
        self.outputs.push_back(Output::AdmitResponse(Vec::from_iter(edit)));
        self.phase = Phase::Unjudged { upgrade };
    }
}

fn is_to_websocket(headers: Headers<'_>) -> bool {
    headers.list_has("upgrade", b"websocket") || headers.has("sec-websocket-accept")
}

fn is_success(headers: Headers<'_>) -> bool {
    matches!(headers.single(":status"), Single::One([b'2', ..]))
}
