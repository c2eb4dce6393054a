//! The judgement of an upgrade request, step by step, in the order of [`steps`]: what goes up of it, and the
//! terms of its connection. The first refusal wins.

mod credentials;
#[cfg(test)]
mod csrf_tests;
mod extensions;
mod response;
#[cfg(test)]
mod single_use_tests;
mod steps;
#[cfg(test)]
mod tests;
mod waiting;
mod witness;

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Compression, Counted, Mode, OnExceed, Per, Rate};

use crate::auth::claims::Claims;
use crate::auth::subject_key::SubjectHash;
use crate::connection::Terms;
use crate::connection::grant::{Admitted, Grant};
use crate::connection::rates::Rates;
use crate::connection::sent_pings::PingKey;
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::http::headers::{Field, HeaderEdit, Headers, Single};
use crate::http::request::{Protocol, RequestHead};
use crate::metrics::{Awaited, Stopped};
use crate::rate::bucket_keys::Buckets;
use crate::rate::live::places::Places;
use crate::rate::slots::KeySpace;
use crate::rate::{BucketRequest, Quota, Shared};
use crate::remote::rate_limit::{Account, Answer, Asking, Question};
use crate::ruleset::Ruleset;

use credentials::{Credentials, Tokens};
use extensions::Offers;
use waiting::Waiting;

pub(crate) use extensions::{Agreement, Deflate};
pub(crate) use response::Expected;
pub(crate) use steps::shape::Kind;
use steps::{Found, Turn, subprotocols};
pub(crate) use steps::{REQUEST, RESPONSE};
pub(crate) use waiting::Stop;
pub(crate) use witness::Witness;

const KEY: &str = "sec-websocket-key";
const PROTOCOL: &str = "sec-websocket-protocol";

/// An upgrade request on its way through the rules.
#[derive(Debug)]
pub(crate) struct Handshake {
    ruleset: Rc<Ruleset>,
    /// The ruleset of the user's tier once the token is known, and the policy's until then.
    limits: Rc<Ruleset>,
    head: RequestHead,
    /// The client's key, or a fresh one if the client sends none.
    key: Vec<u8>,
    credentials: Credentials,
    /// The part of the client's offers of extensions that goes up.
    extensions: Offers,
    refusal: Option<Refusal>,
    /// The violations that do not refuse it.
    findings: Findings,
    /// The hash by which logs name the user of a handshake that is refused, if a genuine token names one.
    refused_subject: Option<SubjectHash>,
    /// The number of steps that are not taken again.
    taken: usize,
    /// The findings of those steps.
    found: Found,
    /// The questions to the rate limit service.
    asking: Asking,
    waiting: Waiting,
    buckets: Buckets,
    /// Says whether there is no memory for what the handshake, or its connection from the start, would hold.
    may_not_hold: bool,
    /// Says whether each message of the connection must be understood without the ones before it.
    messages_alone: bool,
}

/// The next thing to do with a handshake.
#[derive(Debug)]
pub(crate) enum Next {
    /// The request may go up.
    Admit(Box<Admission>),
    /// The request is refused.
    Refuse(Refusal),
    /// The handshake waits for something that is fetched. [`Handshake::next`] must be called again when
    /// something has come, and at [`Handshake::waits_until`] at the latest.
    Wait,
}

/// A handshake that may go up.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// The changes to the request.
    pub(crate) edits: Vec<HeaderEdit>,
    /// The demands on the upstream's 101.
    pub(crate) expected: Expected,
    /// The ruleset that the connection begins under.
    pub(crate) limits: Rc<Ruleset>,
    /// The terms of the connection.
    pub(crate) terms: Terms,
}

/// The reason why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) violation: Violation,
    /// The time to the next token of a rate.
    pub(crate) wait: Option<Duration>,
}

impl Handshake {
    /// Begins a handshake. With `forgets`, inflaters may keep nothing between the messages of the connection.
    pub(crate) fn new(ruleset: Rc<Ruleset>, head: RequestHead, keys: KeySpace, forgets: bool) -> Self {
        let credentials = Credentials::of(&ruleset, head.headers());
        let buckets = Buckets::new(keys, &ruleset, head.connection.client);
        Self {
            limits: Rc::clone(&ruleset),
            ruleset,
            head,
            key: Vec::new(),
            credentials,
            extensions: Offers::default(),
            refusal: None,
            findings: Findings::default(),
            refused_subject: None,
            taken: 0,
            found: Found::default(),
            asking: Asking::default(),
            waiting: Waiting::default(),
            buckets,
            may_not_hold: false,
            messages_alone: forgets,
        }
    }

    /// Judges the handshake at `now`, step by step, before a witness. Must be called again if it waits.
    pub(crate) fn next(
        &mut self,
        shared: &mut dyn Shared,
        now: Duration,
        witness: &mut impl Witness,
    ) -> Next {
        let mut turn =
            Turn { shared, now, places: Places::default(), found: std::mem::take(&mut self.found) };
        let taken = std::mem::replace(&mut self.taken, steps::ONCE);
        for (index, step) in steps::ORDER.iter().enumerate().skip(taken) {
            if self.refusal.is_some() && !step.is_always_taken {
                continue;
            }
            let judged = (step.judge)(self, &mut turn);
            witness.see(index, self, turn.found.claims.as_ref(), &judged);
            let Err(stop) = judged else { continue };
            let (awaited, was_refused) = (stop.awaited(), self.refusal.is_some());
            match self.waiting.judge(stop, now) {
                Ok(()) if self.may_not_hold => self.refusal = Some(no_memory().into()),
                Ok(()) => {
                    if let Some(awaited) = awaited {
                        self.waiting.begin(step.id, awaited, self.ruleset.measures(), now);
                    }
                    if awaited == Some(Awaited::RateLimitService) {
                        (self.taken, self.found) = (index, turn.found);
                    }
                    return Next::Wait;
                }
                Err(refusal) => {
                    if let Err(refusal) = self.enforce(refusal) {
                        self.refusal.get_or_insert(refusal);
                    }
                }
            }
            if !was_refused && self.refusal.is_some() && self.ruleset.policy.mode == Mode::Enforce {
                self.ruleset.measures().stopped(step.id, Stopped::Refused);
            }
        }
        self.waiting.end(self.ruleset.measures(), now);
        match self.refusal.clone() {
            Some(refusal) => {
                let claims = turn.found.claims.as_ref();
                self.refused_subject = claims.and_then(|claims| self.ruleset.subject_key.hash(claims));
                Next::Refuse(self.conclude(refusal, &mut turn))
            }
            None => Next::Admit(Box::new(self.admission(turn))),
        }
    }

    /// Takes a refusal, which stands unless its rule is shadowed.
    pub(super) fn enforce(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let Refusal { violation, wait } = refusal;
        let enforced = self.findings.enforce(violation, &self.ruleset.policy);
        enforced.map_err(|violation| Refusal { violation, wait })
    }

    /// Returns the refusal that the client is told: a client that was refused too often is told nothing else.
    fn conclude(&mut self, refusal: Refusal, turn: &mut Turn<'_>) -> Refusal {
        turn.places.release(turn.shared);
        match refusal.violation.counts_as_refusal() {
            true => steps::rates::charge_refusal(self, turn).unwrap_or(refusal),
            false => refusal,
        }
    }

    /// Counts a refusal that lies not in the request, but comes while the handshake waits.
    pub(crate) fn count_refusal(&self) {
        let step = self.waiting.step().unwrap_or(REQUEST);
        self.ruleset.measures().stopped(step, Stopped::Refused);
    }

    /// Returns the buckets to charge for a client that spoils the handshake in another way than by its request, each
    /// with the place of its rule.
    pub(crate) fn refusals(&self) -> Vec<(usize, BucketRequest)> {
        let rates = self.ruleset.handshake_rates(Counted::Refusals, Per::Ip);
        rates.map(|rate| (rate.index, self.buckets.of_handshake(rate, None))).collect()
    }

    /// Puts the limits of the user's tier in force, now that the token is known.
    fn limit_by(&mut self, claims: &Claims) {
        self.limits = self.ruleset.of_claims(claims);
        self.buckets = self.buckets.under(&self.limits);
    }

    /// Returns the time until which the handshake waits, if it does.
    pub(crate) fn waits_until(&self) -> Option<Duration> {
        self.waiting.until()
    }

    /// Moves the ends of waits with a clock that was set back.
    pub(crate) fn set_back(&mut self, by: Duration) {
        self.waiting.set_back(by);
        self.asking.set_back(by);
    }

    /// Takes the answer to the question of this number, and says whether the handshake waits for it.
    pub(crate) fn take_answer(&mut self, number: u32, answer: Answer) -> bool {
        self.asking.take_answer(number, answer)
    }

    /// Takes the question that must be put to the rate limit service, if there is one.
    pub(crate) fn take_question(&mut self) -> Option<Box<Question>> {
        self.asking.take_question()
    }

    /// Notes that there is no memory for what the handshake, or its connection from the start, would hold: it
    /// is refused if either would hold something.
    pub(crate) fn forbid_holding(&mut self) {
        self.may_not_hold = true;
    }

    /// Returns the memory that is taken for the handshake while it waits, in bytes.
    pub(crate) fn held(&self) -> u64 {
        let fields = &self.head.fields;
        let texts: usize = fields.iter().map(|(name, value)| name.capacity() + value.capacity()).sum();
        let head = fields.capacity() * size_of::<Field>() + texts;
        (head + self.credentials.held()) as u64
    }

    /// Says whether the connection will hold what peers send from the start.
    fn would_hold(&self) -> bool {
        let inspects = self.ruleset.policy.compression != Compression::Pass;
        self.awaits_first_message() || (inspects && !self.extensions.left.is_empty())
    }

    /// Returns the edits that take the secrets out of the request.
    pub(crate) fn removals(&self) -> &[HeaderEdit] {
        &self.credentials.removals
    }

    /// Takes the violations that do not refuse the handshake.
    pub(crate) fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    /// Returns the hash by which logs name the user of a handshake that is refused, if a genuine token names one.
    pub(crate) fn refused_subject(&self) -> Option<SubjectHash> {
        self.refused_subject
    }

    /// Returns the request and the edits that take the secrets out of it, once nothing more is asked of the
    /// handshake.
    pub(crate) fn into_parts(self) -> (RequestHead, Vec<HeaderEdit>) {
        (self.head, self.credentials.removals)
    }

    /// Returns what goes up, and the terms of the connection.
    fn admission(&self, turn: Turn<'_>) -> Admission {
        let Turn { now, places, found, .. } = turn;
        let Found { claims, forwarded, subprotocols: offered, .. } = found;
        let steps::Offered { credentials, allowed, some_denied } = offered;
        let (policy, claims, headers) = (&self.ruleset.policy, claims.as_ref(), self.head.headers());
        let mut edits = self.credentials.removals.clone();
        if some_denied {
            let left = credentials.iter().chain(&allowed).map(Vec::as_slice);
            edits.retain(|edit| edit.name() != PROTOCOL);
            edits.push(subprotocols::edit(PROTOCOL, left));
        }
        edits.extend(self.extensions.edit.clone());
        if headers.single(KEY) != Single::One(&self.key) {
            edits.push(HeaderEdit::Set(KEY.to_owned(), self.key.clone()));
        }
        edits.extend(self.ruleset.forwarded.strip(headers));
        if policy.auth.is_some() {
            edits.extend(self.ruleset.forwarded.keep(headers));
            edits.extend(forwarded);
        }
        // A token that is left in went up as an offer, so the upstream may choose it.
        let subprotocols = credentials.into_iter().chain(allowed).collect();
        let expected = match policy.mode {
            Mode::Enforce => Expected {
                key: self.key.clone(),
                subprotocols,
                echo: self.credentials.echo.clone(),
                extensions: self.extensions.left.clone(),
                client_messages_alone: self.takes_messages_out(),
            },
            Mode::Shadow => self.expected_in_shadow(),
        };
        let grant = policy.auth.as_ref().map(|_| {
            let buckets = self.buckets.clone();
            let admitted = Admitted { at: now, jitter_part: u32::from_be_bytes(self.head.entropy.session) };
            Box::new(Grant::new(Rc::clone(&self.ruleset), buckets, self.asking.clone(), claims, admitted))
        });
        let account = self.account(claims);
        let limits = Rc::clone(&self.limits);
        // Nobody is charged for a user before the user is known.
        let known = |(_, rate): &(usize, &Rate)| rate.per != Per::User || !self.awaits_first_message();
        let key = |rate: &Rate, quota: &Quota| self.buckets.key(rate.count, rate.per, quota, claims);
        let rates = Rates::new(limits.rates().filter(known), key).of_tier(limits.tier_of_rates);
        let session_ends_at = grant.as_ref().and_then(|grant| grant.session_ends_at());
        let entropy = &self.head.entropy;
        let terms = Terms {
            session_ends_at,
            ping_key: PingKey(entropy.ping),
            mask: entropy.mask,
            rates,
            places,
            grant,
            account,
            lets_tunnels: false,
            findings: Findings::default(),
        };
        Admission { edits, expected, limits, terms }
    }

    /// Returns the demands on the answer to a request that went up as it came.
    fn expected_in_shadow(&self) -> Expected {
        let headers = self.head.headers();
        let is_multiplexed = self.head.connection.protocol == Protocol::Multiplexed;
        Expected {
            // Nobody knows which key went up where the client sends none.
            key: if is_multiplexed { Vec::new() } else { self.key.clone() },
            subprotocols: headers.list(PROTOCOL).map(<[u8]>::to_vec).collect(),
            echo: None,
            extensions: self.extensions.left.clone(),
            client_messages_alone: false,
        }
    }

    /// Returns the account of the connection over the mesh; `claims` name the user.
    fn account(&self, claims: Option<&Claims>) -> Option<Rc<Account>> {
        let service = self.ruleset.rate_limit.as_ref()?;
        service.account(self.buckets.descriptor(service, claims))
    }

    /// Returns the subprotocols that the request has once the secrets are out of it.
    fn offers(&self) -> Vec<Vec<u8>> {
        let (headers, removals) = (self.head.headers(), &self.credentials.removals);
        let list = |headers: Headers<'_>| headers.list(PROTOCOL).map(<[u8]>::to_vec).collect();
        if removals.iter().any(|edit| edit.name() == PROTOCOL) {
            list(Headers::new(&headers.edited(removals)))
        } else {
            list(headers)
        }
    }

    /// Says whether messages of the client may be missing for the upstream, so that those after them lack a
    /// part of their history. Whichever tier is in force, a later token may bring any other.
    fn takes_messages_out(&self) -> bool {
        let drops = |Ruleset { policy, .. }: &Ruleset| {
            policy.rates.iter().any(|rate| rate.on_exceed == OnExceed::Drop)
                || policy.messages.content.drops()
        };
        let policy = &self.ruleset.policy;
        self.ruleset.all().any(drops)
            || policy.auth.as_ref().is_some_and(|auth| auth.refresh.is_some())
            || (self.awaits_first_message() && !policy.auth.as_ref().is_some_and(|auth| auth.keep_token))
            || self.messages_alone
    }

    /// Says whether the token comes in the first message.
    pub(crate) fn awaits_first_message(&self) -> bool {
        let auth = self.ruleset.policy.auth.as_ref();
        matches!(self.credentials.tokens, Tokens::Missing)
            && auth.is_some_and(|auth| auth.first_message().is_some())
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self { violation, wait: None }
    }
}

/// Returns the violation of a handshake for which there is no memory.
pub(crate) fn no_memory() -> Violation {
    Violation::new(Rule::MemoryBudget, Reason::MemoryExceeded)
}

/// Returns the edits that take the secrets out of a request that is answered before it is judged.
pub(crate) fn removals(ruleset: &Ruleset, headers: Headers<'_>) -> Vec<HeaderEdit> {
    Credentials::of(ruleset, headers).removals
}

/// Returns the ids of the steps that a handshake is judged by, in their order.
pub fn handshake_order() -> impl Iterator<Item = &'static str> {
    steps::ORDER.iter().map(|step| step.id)
}
