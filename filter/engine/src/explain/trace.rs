//! The trace of a judgement: what its steps came to.

use std::rc::Rc;

use postern_config::GlobalCount;

use super::tables::Charges;
use super::{ChargedRate, ExplainedStep, Verdict, WaitedFor, asked};
use crate::auth::admit::Awaited;
use crate::auth::claims::Claims;
use crate::decision::Violation;
use crate::handshake::{Handshake, Stop, Witness, handshake_order};
use crate::rate::slots::EntryKey;
use crate::ruleset::Ruleset;
use crate::session::{Output, Session};

/// The trace of one handshake.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) steps: Vec<ExplainedStep>,
    /// The claims of a token that is genuine.
    pub(super) claims: Option<Claims>,
    /// Says whether the token comes in the first message.
    pub(super) awaits_first_message: bool,
    /// The client's address, or its network.
    pub(super) address: Vec<u8>,
    ruleset: Rc<Ruleset>,
    /// The buckets that were charged since they were last looked at.
    charges: Charges,
    /// The rates of those buckets.
    keyed: Vec<(EntryKey, ChargedRate)>,
    /// The place of the step that waits for an answer.
    asking: Option<usize>,
}

impl Trace {
    pub(super) fn new(ruleset: &Rc<Ruleset>, charges: Charges) -> Self {
        Self {
            steps: Vec::new(),
            claims: None,
            awaits_first_message: false,
            address: Vec::new(),
            ruleset: Rc::clone(ruleset),
            charges,
            keyed: Vec::new(),
            asking: None,
        }
    }

    /// Returns the number of the question that the session has just asked, if it waits for its answer.
    pub(super) fn question_of(&mut self, session: &mut Session) -> Option<u32> {
        let at = self.asking.take()?;
        let question = std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
            Output::Ask(question) => Some(question),
            _ => None,
        })?;
        if let Some(step) = self.steps.get_mut(at) {
            step.waited = Some(WaitedFor::RateLimit(question.count));
        }
        Some(question.number)
    }

    /// Takes the rates that were charged since the last call.
    pub(super) fn take_charged(&mut self) -> Vec<ChargedRate> {
        let charged = std::mem::take(&mut *self.charges.borrow_mut());
        let rate = |key: EntryKey| self.keyed.iter().find(|(of, _)| *of == key).map(|(_, rate)| *rate);
        charged.into_iter().filter_map(rate).collect()
    }

    fn note_rates(&mut self, handshake: &Handshake, claims: Option<&Claims>) {
        let limits = handshake.limits();
        let known = |index, counted, per| {
            let mut rates = limits.rates();
            rates.find(|(at, rate)| *at == index && rate.count == counted && rate.per == per)
        };
        self.keyed = handshake
            .keyed_rates(claims)
            .into_iter()
            .filter_map(|(key, of)| {
                let (index, rate) = known(of.index, of.counted, of.per)?;
                Some((key, ChargedRate::new(limits, index, rate)))
            })
            .collect();
    }
}

impl Witness for Trace {
    fn see(
        &mut self,
        index: usize,
        handshake: &Handshake,
        claims: Option<&Claims>,
        judged: &Result<(), Stop>,
    ) {
        if self.steps.is_empty() {
            let unseen = |id| ExplainedStep {
                id,
                verdict: if asked::is_asked(&self.ruleset, id) {
                    Verdict::NotReached
                } else {
                    Verdict::NotSet
                },
                waited: None,
                charged: Vec::new(),
            };
            self.steps = handshake_order().map(unseen).collect();
        }
        if judged.is_err() || !self.charges.borrow().is_empty() {
            self.note_rates(handshake, claims);
        }
        self.claims = claims.cloned();
        self.awaits_first_message = handshake.awaits_first_message();
        handshake.address().clone_into(&mut self.address);
        let charged = self.take_charged();
        let is_tier = !Rc::ptr_eq(handshake.limits(), &self.ruleset);
        let known: Vec<Violation> =
            self.steps.iter().filter_map(|step| step.verdict.violation().cloned()).collect();
        let is_shadowed = |violation: &Violation| violation.rule.is_shadowed_by(&self.ruleset.policy);
        let refused = |violation: &Violation| match is_shadowed(violation) {
            true => Verdict::Shadowed(violation.clone()),
            false => Verdict::Refused(violation.clone()),
        };
        let Some(step) = self.steps.get_mut(index) else { return };
        step.charged.extend(charged);
        let is_told = |violation: &Violation| known.contains(violation);
        if let Some(finding) = handshake.findings().iter().find(|violation| !is_told(violation)) {
            step.verdict = Verdict::Shadowed(finding.clone());
            return;
        }
        match judged {
            Ok(()) if is_tier && asked::is_asked(handshake.limits(), step.id) => {
                step.verdict = Verdict::Passed
            }
            Ok(()) if step.verdict == Verdict::NotSet => {}
            Ok(()) => step.verdict = Verdict::Passed,
            Err(Stop::Refuse(refusal)) => step.verdict = refused(&refusal.violation),
            Err(Stop::Await(what, patience, refusal)) => {
                let waited = match what {
                    Awaited::Keys => WaitedFor::Keys(*patience),
                    Awaited::RevocationList => WaitedFor::RevocationList(*patience),
                };
                step.waited.get_or_insert(waited);
                step.verdict = refused(&refusal.violation);
            }
            Err(Stop::AwaitAnswer(_)) => {
                step.waited = Some(WaitedFor::RateLimit(GlobalCount::Handshakes));
                self.asking = Some(index);
            }
        }
    }
}
