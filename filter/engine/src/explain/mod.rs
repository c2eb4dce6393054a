//! The explanation of a request: what each step of its judgement comes to, and what holds once it is let in.
//!
//! Owns the trace of a judgement, and the words for it. Decides nothing: the session that judges a stream judges here too,
//! before a witness.

mod asked;
mod first_message;
mod tables;
mod trace;

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Carrier, Expiry, GlobalCount, Policy, Rate};
use serde_json::Value;

use crate::auth::carrier;
use crate::auth::claims::Claims;
use crate::auth::unverified_claims;
use crate::decision::Violation;
use crate::engine::{Choice, Engine, RouteFacts, Selection};
use crate::http::headers::HeaderEdit;
use crate::http::reply::Reply;
use crate::http::request::RequestHead;
use crate::rate::Shared;
use crate::remote::rate_limit::Answer;
use crate::ruleset::{Ruleset, is_early};
use crate::session::{Event, Output, Session};

pub use tables::PlainTables;
use trace::Trace;

/// The explanation of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What chose the policy.
    pub choice: Choice,
    /// The policy that judges, with what the route's metadata lay over it; absent where none does.
    pub policy: Option<Policy>,
    /// The steps of the handshake in their order; empty where none is judged.
    pub steps: Vec<ExplainedStep>,
    /// What became of the request; of a policy in shadow, what would have become of it.
    pub fate: Fate,
    /// The token of the request, if there is one that can be read.
    pub token: Option<ExplainedToken>,
    /// The token that comes in the first message, if it was given and the handshake waits for one.
    pub first_message: Option<FirstMessageVerdict>,
    /// Says whether the token comes in the first message.
    pub awaits_first_message: bool,
    /// What holds of the connection; absent where there is none.
    pub terms: Option<TermsInForce>,
    /// The rates that the refusal is charged to.
    pub refusal_charged: Vec<ChargedRate>,
}

/// A step of the handshake, and what it came to.
#[derive(Clone, Debug)]
pub struct ExplainedStep {
    /// The id of the step.
    pub id: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What it waited for before.
    pub waited: Option<WaitedFor>,
    /// The rates that it charged.
    pub charged: Vec<ChargedRate>,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The policy asks nothing here.
    NotSet,
    /// An earlier step has refused.
    NotReached,
    /// Nothing is wrong.
    Passed,
    /// The request is refused.
    Refused(Violation),
    /// Something is wrong, and is told; the rule stands in `shadow`, so that the judgement goes on.
    Shadowed(Violation),
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitedFor {
    /// The keys of a provider, for this long at most.
    Keys(Duration),
    /// The list of tokens that are taken back, for this long at most.
    RevocationList(Duration),
    /// The answer of the rate limit service; it is taken to be that there is room.
    RateLimit(GlobalCount),
}

/// A rate that was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedRate {
    /// The place of the rate in its list.
    pub index: usize,
    /// The tier whose list that is; absent for the policy's.
    pub tier: Option<usize>,
    /// The rate.
    pub rate: Rate,
}

/// The fate of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The handshake goes up with these changes.
    LetIn(Vec<HeaderEdit>),
    /// The request goes up with these changes, and nobody judges it.
    Unjudged(Vec<HeaderEdit>),
    /// The request is refused with this reply.
    Refused(Violation, Box<Reply>),
}

/// The claims of a token, and where it was. Its `Debug` shows no claim.
#[derive(Clone)]
pub struct ExplainedToken {
    /// The carrier.
    pub carrier: Carrier,
    /// All claims, a JSON object.
    pub claims: Value,
    /// The provider that the token was verified against; absent for one that is not accepted, so that its claims are
    /// anybody's word.
    pub provider: Option<String>,
}

/// What the token in the first message comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstMessageVerdict {
    /// The connection is authenticated.
    Accepted,
    /// The connection is closed.
    Closed(Violation),
}

/// What holds of the connection.
#[derive(Clone, Debug)]
pub struct TermsInForce {
    /// The policy, with what the tier lays over it.
    pub limits: Policy,
    /// The tier of the token's owner.
    pub tier: Option<usize>,
    /// The rates, of the policy or of the tier.
    pub rates: Vec<ChargedRate>,
    /// The time until which the token is good, `exp`, since the Unix epoch.
    pub token_expires_at: Option<Duration>,
    /// The time when the connection ends with its token, since the Unix epoch.
    pub ends_with_token_at: Option<Duration>,
    /// The time when the connection has lasted as long as it may, since the Unix epoch.
    pub session_ends_at: Option<Duration>,
}

impl Verdict {
    /// Returns what is wrong, if anything is.
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Self::Refused(violation) | Self::Shadowed(violation) => Some(violation),
            Self::NotSet | Self::NotReached | Self::Passed => None,
        }
    }
}

impl Engine {
    /// Explains what becomes of a request at `now`, the time since the Unix epoch. What has been counted is in `tables`.
    /// `late_token` is the token that the client sends in its first message. A rate limit service is taken to have room;
    /// what is not at hand of fetched documents does not come.
    pub fn explain(
        &self,
        head: &RequestHead,
        route: &RouteFacts,
        late_token: Option<&[u8]>,
        tables: &mut PlainTables,
        now: Duration,
    ) -> Explanation {
        let choice = self.choice(head, route);
        match self.select(head, route) {
            Selection::Pass(edits) => Explanation::unjudged(choice, Fate::Unjudged(edits)),
            Selection::Refuse(outputs) => {
                let fate = outputs_fate(outputs);
                Explanation::unjudged(choice, fate)
            }
            Selection::Judge(session) => judge(session.judge_of(), choice, head, late_token, tables, now),
        }
    }
}

impl Explanation {
    fn unjudged(choice: Choice, fate: Fate) -> Self {
        Self {
            choice,
            policy: None,
            steps: Vec::new(),
            fate,
            token: None,
            first_message: None,
            awaits_first_message: false,
            terms: None,
            refusal_charged: Vec::new(),
        }
    }
}

fn judge(
    mut session: Session,
    choice: Choice,
    head: &RequestHead,
    late_token: Option<&[u8]>,
    tables: &mut PlainTables,
    now: Duration,
) -> Explanation {
    let ruleset = Rc::clone(session.ruleset());
    let mut trace = Trace::new(&ruleset, tables.charged());
    let settled_at = settle(&mut session, &mut trace, head, tables, now);
    let refusal_charged = trace.take_charged();
    let fate = outputs_fate(std::iter::from_fn(|| session.poll_output()));
    let limits = session.terms().map(|(_, limits)| Rc::clone(limits));
    let mut token = request_token(&ruleset, head, trace.claims.as_ref());
    let mut claims = trace.claims.take();
    let mut first_message = None;
    if let (true, Some(late), Some(_)) = (trace.awaits_first_message, late_token, &limits) {
        let verdict = first_message::judge(&mut session, &ruleset, late, tables, settled_at);
        if verdict == FirstMessageVerdict::Accepted {
            claims = first_message::claims(&ruleset, late, &trace.address, settled_at);
        }
        token = late_token_of(&ruleset, late, claims.as_ref());
        first_message = Some(verdict);
    }
    let limits = limits.map(|limits| claims.as_ref().map_or(limits, |claims| ruleset.of_claims(claims)));
    let terms = limits.map(|limits| TermsInForce::new(&ruleset, &limits, claims.as_ref(), settled_at));
    Explanation {
        choice,
        policy: Some(ruleset.policy.clone()),
        steps: trace.steps,
        fate,
        token,
        first_message,
        awaits_first_message: trace.awaits_first_message,
        terms,
        refusal_charged,
    }
}

/// Judges the handshake to its end, and returns the time when that is. Whatever is fetched does not come; a rate limit
/// service has room.
fn settle(
    session: &mut Session,
    trace: &mut Trace,
    head: &RequestHead,
    shared: &mut dyn Shared,
    mut now: Duration,
) -> Duration {
    session.take_request_before(trace, head.clone(), shared, now);
    for _ in 0..first_message::MOST_WAITS {
        if !session.is_waiting() {
            break;
        }
        match trace.question_of(session) {
            Some(number) => session.take_answer_before(trace, (number, Answer::Within), shared, now),
            None => {
                now = session.deadline().unwrap_or(now).max(now);
                session.go_on_before(trace, shared, now);
            }
        }
    }
    now
}

/// Returns what became of a request by what its host must do.
fn outputs_fate(outputs: impl IntoIterator<Item = Output>) -> Fate {
    let (mut refused, mut fate) = (None, Fate::Unjudged(Vec::new()));
    for output in outputs {
        match output {
            Output::Tell(Event::Refused { violation, .. }) => refused = Some(violation),
            Output::Reply(_, reply) => {
                let violation =
                    refused.take().unwrap_or_else(|| Violation::new(crate::Rule::Protocol, reply.reason));
                return Fate::Refused(violation, Box::new(reply));
            }
            Output::Admit(edits) => fate = Fate::LetIn(edits),
            _ => {}
        }
    }
    fate
}

/// Returns the one token of the request, if it can be read; `claims` are those of a genuine one.
fn request_token(ruleset: &Ruleset, head: &RequestHead, claims: Option<&Claims>) -> Option<ExplainedToken> {
    let auth = ruleset.policy.auth.as_ref()?;
    let found = carrier::extract(head.headers(), &auth.from, true);
    let carrier::Presence::Token(candidate) = carrier::Presence::of(found.candidates) else { return None };
    Some(ExplainedToken {
        carrier: candidate.carrier.clone(),
        claims: claims
            .map_or_else(|| unverified_claims(&candidate.token), |claims| Some(claims.payload().clone()))?,
        provider: claims.map(|claims| claims.provider().to_owned()),
    })
}

fn late_token_of(ruleset: &Ruleset, token: &[u8], claims: Option<&Claims>) -> Option<ExplainedToken> {
    let place = ruleset.policy.auth.as_ref()?.first_message()?;
    Some(ExplainedToken {
        carrier: Carrier::FirstMessage(place.clone()),
        claims: claims.map_or_else(|| unverified_claims(token), |claims| Some(claims.payload().clone()))?,
        provider: claims.map(|claims| claims.provider().to_owned()),
    })
}

impl TermsInForce {
    fn new(ruleset: &Ruleset, limits: &Rc<Ruleset>, claims: Option<&Claims>, now: Duration) -> Self {
        let policy = limits.policy.clone();
        let auth = policy.auth.as_ref();
        let ends = |claims: &Claims| {
            let auth = auth.filter(|auth| auth.expiry == Expiry::Close)?;
            Some(claims.ends(auth.expiry_grace))
        };
        Self {
            tier: ruleset.tiers.iter().position(|tier| Rc::ptr_eq(tier.ruleset(), limits)),
            rates: limits.rates().map(|(index, rate)| ChargedRate::new(limits, index, rate)).collect(),
            token_expires_at: claims.map(Claims::expires_at),
            ends_with_token_at: claims.and_then(ends),
            session_ends_at: auth
                .and_then(|auth| auth.max_session)
                .map(|longest| now.saturating_add(longest)),
            limits: policy,
        }
    }
}

impl ChargedRate {
    fn new(limits: &Ruleset, index: usize, rate: &Rate) -> Self {
        // What counts before a token is known is the policy's.
        let tier = limits.tier_of_rates.filter(|_| !is_early(rate.count, rate.per));
        Self { index, tier, rate: *rate }
    }
}

impl std::fmt::Debug for ExplainedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExplainedToken").field("carrier", &self.carrier).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
