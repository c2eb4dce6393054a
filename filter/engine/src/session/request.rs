//! The request of a session: which kind it is, and its handshake as far as that can be judged.

use std::rc::Rc;
use std::time::Duration;

use postern_config::OtherUpgrades;

use super::{Awaiting, Output, Phase, Session};
use crate::decision::cause::{HandshakeFault, Shown};
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::handshake::{self, Admission, Handshake, Kind, Next, Witness};
use crate::http::reply::Instance;
use crate::http::request::RequestHead;
use crate::peer::Peer;
use crate::rate::Shared;
use crate::rate::slots::KeySpace;

impl Session {
    pub(super) fn on_request(&mut self, head: RequestHead, shared: &mut dyn Shared, now: Duration) {
        let Phase::Fresh(keys) = &self.phase else { return };
        let keys = keys.clone();
        self.begin(head, keys);
        self.advance_handshake(shared, now);
    }

    /// Takes the request, up to the judgement of a handshake that is to be judged.
    pub(super) fn begin(&mut self, head: RequestHead, keys: KeySpace) {
        self.instance = Instance::of(&head);
        let kind = Kind::of(head.headers());
        let unjudged = self.passes_unjudged(kind, &head);
        if unjudged && !head.has_host() {
            let removals = handshake::removals(&self.ruleset, head.headers());
            self.refuse_at(handshake::REQUEST, removals, HandshakeFault::Host);
            return;
        }
        if (kind == Kind::Plain && self.takes_plain()) || unjudged {
            self.outputs.push_back(Output::Admit(self.ruleset.forwarded.strip(head.headers())));
            self.phase = Phase::Unjudged { upgrade: unjudged };
            if kind == Kind::Plain {
                self.page =
                    self.ruleset.csrf.as_ref().and_then(|guard| guard.page(head.headers())).map(Box::new);
            }
            return;
        }
        if kind == Kind::Plain {
            let removals = handshake::removals(&self.ruleset, head.headers());
            self.refuse_at(handshake::REQUEST, removals, upgrade_required());
            return;
        }
        let mut handshake = Handshake::new(Rc::clone(&self.ruleset), head, keys, self.memory_rests);
        if self.memory_is_full {
            handshake.forbid_holding();
        }
        self.phase = Phase::Handshake(Box::new(handshake));
    }

    pub(super) fn advance_handshake(&mut self, shared: &mut dyn Shared, now: Duration) {
        self.advance_before(&mut (), shared, now);
    }

    /// Judges the handshake as far as can be, before a witness.
    pub(super) fn advance_before(
        &mut self,
        witness: &mut impl Witness,
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let next = handshake.next(shared, now, witness);
        if let Next::Wait = next {
            self.outputs.extend(handshake.take_question().map(Output::Ask));
            if !std::mem::replace(&mut self.held, true) {
                let removals = handshake.removals().to_vec();
                self.outputs.push_back(Output::HoldHandshake(removals));
            }
            return;
        }
        let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Refused) else {
            return;
        };
        self.let_go_unheld();
        let mut handshake = handshake;
        let mut findings = handshake.take_findings();
        self.subject = handshake.refused_subject();
        let (head, removals) = handshake.into_parts();
        let found = self.tell_found(&mut findings);
        match next {
            Next::Wait => {}
            Next::Refuse(refusal) => self.refuse(removals, refusal),
            Next::Admit(admission) => {
                let Admission { edits, expected, limits, mut terms } = *admission;
                terms.findings = findings;
                self.places = std::mem::take(&mut terms.places);
                self.subject = terms.grant.as_ref().and_then(|grant| grant.subject());
                self.outputs.push_back(Output::Admit(edits));
                if self.held {
                    self.outputs.push_back(Output::ResumeRequest);
                }
                self.phase = Phase::AwaitingResponse(Box::new(Awaiting {
                    expected,
                    limits,
                    terms,
                    protocol: head.connection.protocol,
                    found,
                    held_bytes: 0,
                    parked: false,
                    replaced_by: None,
                }));
            }
        }
    }

    /// Says whether an upgrade to another protocol passes unjudged, be it that this is only told.
    fn passes_unjudged(&mut self, kind: Kind, head: &RequestHead) -> bool {
        if kind != Kind::OtherUpgrade || self.ruleset.policy.other_upgrades == OtherUpgrades::Pass {
            return kind == Kind::OtherUpgrade;
        }
        let protocol = Shown::of(head.headers().all("upgrade"));
        self.tells_only(HandshakeFault::OtherProtocol(protocol).into())
    }

    /// Says whether an ordinary request passes, be it that this is only told.
    fn takes_plain(&mut self) -> bool {
        !self.ruleset.policy.upgrade_only || self.tells_only(upgrade_required())
    }

    /// Takes the violation of a request that passes unjudged where its rule is shadowed, and says whether that is so.
    fn tells_only(&mut self, violation: Violation) -> bool {
        let mut findings = Findings::default();
        let is_shadowed = findings.enforce(violation, &self.ruleset.policy).is_ok();
        self.tell_found(&mut findings);
        is_shadowed
    }
}

fn upgrade_required() -> Violation {
    Violation::by(Peer::Client, Rule::UpgradeOnly, Reason::UpgradeRequired)
}
