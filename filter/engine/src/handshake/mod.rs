//! Judges an upgrade request, in the order of the policy language: TLS, shape, rates by address,
//! origin, subprotocols, token, revocation, claims, CSRF token, rates by user. The first refusal wins, yet every
//! handshake takes its tokens from the rates by address: brute force is an attack too.

mod credentials;
#[cfg(test)]
mod csrf_tests;
mod extensions;
mod response;
mod shape;
#[cfg(test)]
mod single_use_tests;
mod subprotocol;
#[cfg(test)]
mod tests;
mod waiting;

use std::rc::Rc;
use std::time::Duration;

use postern_config::{
    Auth, Backlog, Compression, OnExceed, OriginVerdict, Origins, OtherUpgrades, Per, Rate, Tls,
};

use crate::auth::admit::{self, admit};
use crate::auth::claims::Claims;
use crate::auth::single_use::Ticket;
use crate::connection::grant::Grant;
use crate::connection::ping::PingKey;
use crate::connection::rates::Rates;
use crate::connection::{Ends, Terms};
use crate::decision::cause::{HandshakeFault, Shown};
use crate::decision::reason::Reason;
use crate::decision::{Cause, Rule, Violation};
use crate::http::headers::{Field, HeaderEdit, Headers, Single};
use crate::http::request::RequestHead;
use crate::peer::Peer;
use crate::rate::bucket_keys::Buckets;
use crate::rate::slots::KeySpace;
use crate::rate::{Charged, Outcome, Shared};
use crate::ruleset::{HandshakeRate, Ruleset};

use credentials::{Credentials, Tokens, are_credentials};
use extensions::Offers;
use waiting::{Stop, Waiting};

pub(crate) use extensions::{Agreement, Deflate};
pub(crate) use response::Expected;
pub(crate) use shape::Kind;

const KEY: &str = "sec-websocket-key";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const PROTOCOL: &str = "sec-websocket-protocol";

/// An upgrade request on its way through the rules.
#[derive(Debug)]
pub(crate) struct Handshake {
    ruleset: Rc<Ruleset>,
    head: RequestHead,
    /// The client's key, or a fresh one where the client sends none.
    key: Vec<u8>,
    credentials: Credentials,
    /// What goes up of the extensions that the client offers.
    extensions: Offers,
    refusal: Option<Refusal>,
    /// Whether the rates by address have been charged.
    is_charged: bool,
    waiting: Waiting,
    buckets: Buckets,
    /// Whether there is no memory for what it, or its connection from the start, would hold.
    may_not_hold: bool,
    /// Whether each message of the connection has to be understood without the ones before it.
    messages_alone: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// The request may go up.
    Admit(Box<Admission>),
    /// The request is refused.
    Refuse(Refusal),
    /// What it is judged by has to be fetched. To be asked again when something has come, and at
    /// [`Handshake::waits_until`] at the latest.
    Wait,
}

/// A handshake that may go up.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// The changes to the request.
    pub(crate) edits: Vec<HeaderEdit>,
    /// What the upstream's 101 must say.
    pub(crate) expected: Expected,
    /// What holds for the connection.
    pub(crate) terms: Terms,
    /// What is to be spent before.
    ticket: Option<Ticket>,
}

/// Why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) violation: Violation,
    /// The time to the next token of a rate.
    pub(crate) wait: Option<Duration>,
}

impl Handshake {
    /// With `forgets`, inflaters may keep nothing between the messages of the connection.
    pub(crate) fn new(
        ruleset: Rc<Ruleset>,
        head: RequestHead,
        kind: Kind,
        keys: KeySpace,
        forgets: bool,
    ) -> Self {
        let credentials = Credentials::of(&ruleset, head.headers());
        let shape = match kind {
            Kind::WebSocket => shape::judge(&head).map_err(Violation::from),
            Kind::OtherUpgrade | Kind::Plain => {
                let protocol = Shown::of(head.headers().all("upgrade"));
                Err(HandshakeFault::OtherProtocol(protocol).into())
            }
        };
        let shape = judge_tls(ruleset.policy.tls, &head).and(shape);
        // Whatever is wrong with it, the client should try elsewhere.
        let is_draining = ruleset.policy.drain.is_some();
        let shape = if is_draining { Err(Violation::new(Rule::Drain, Reason::Draining)) } else { shape };
        let refusal = shape.as_ref().err().map(|violation| Refusal::from(violation.clone()));
        let backpressure = ruleset.policy.backpressure;
        let drops = backpressure.is_some_and(|limit| limit.on_exceed == Backlog::Drop);
        let messages_alone = forgets && ruleset.policy.compression == Compression::Inspect;
        let extensions = Offers::read(ruleset.policy.compression, drops || messages_alone, head.headers());
        let refusal =
            refusal.or(extensions.as_ref().err().map(|fault| Violation::from(fault.clone()).into()));
        let key = shape.ok().flatten().unwrap_or_else(|| shape::fresh_key(head.entropy.key));
        let buckets = Buckets::new(keys, &ruleset, head.connection.client);
        let mut handshake = Self {
            ruleset,
            head,
            key,
            credentials,
            extensions: extensions.unwrap_or_default(),
            refusal,
            is_charged: false,
            waiting: Waiting::default(),
            buckets,
            may_not_hold: false,
            messages_alone,
        };
        let offers = handshake.head.headers().list(PROTOCOL).take(subprotocol::MOST + 1).count();
        let are_few = offers <= subprotocol::MOST;
        if handshake.refusal.is_none() && !(are_few && handshake.has_sound_offers()) {
            handshake.refusal = Some(Violation::from(HandshakeFault::Offers).into());
        }
        handshake
    }

    /// What becomes of it at `now`. To be asked again where it waits.
    pub(crate) fn next(&mut self, shared: &mut dyn Shared, now: Duration) -> Next {
        if !std::mem::replace(&mut self.is_charged, true) {
            let ruleset = Rc::clone(&self.ruleset);
            self.charge(&ruleset.address_rates, None, shared, now);
        }
        if let Some(refusal) = self.refusal.clone() {
            return Next::Refuse(refusal);
        }
        let mut claims = None;
        let judged = self.judge(&mut claims, now);
        let admission = match judged {
            Ok(admission) => Some(admission),
            Err(stop) => match self.waiting.judge(stop, now) {
                Ok(()) if self.may_not_hold => {
                    self.refusal = Some(no_memory().into());
                    None
                }
                Ok(()) => return Next::Wait,
                Err(refusal) => {
                    self.refusal = Some(refusal);
                    None
                }
            },
        };
        // A user is known, and counted, also where the claims are not enough.
        if claims.is_some() || (admission.is_some() && !self.awaits_first_message()) {
            let ruleset = Rc::clone(&self.ruleset);
            self.charge(&ruleset.user_rates, claims.as_ref(), shared, now);
        }
        match (self.refusal.clone(), admission) {
            (None, Some(admission)) => self.spend(admission, shared, now),
            (refusal, _) => Next::Refuse(refusal.unwrap_or_else(|| no_memory().into())),
        }
    }

    /// Charges `rates`: all of them where it is refused anyhow, and up to the first that has no token left where it is not.
    fn charge(
        &mut self,
        rates: &[HandshakeRate],
        claims: Option<&Claims>,
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        for rate in rates {
            let request = self.buckets.of_handshake(rate, claims);
            let wait = match shared.charge(&request, now) {
                Outcome::Charged(Charged::Taken) => continue,
                Outcome::Charged(Charged::Wait(wait)) => Some(wait),
                Outcome::Full => None,
            };
            if self.refusal.is_none() {
                let violation = Violation::by(Peer::Client, Rule::Rates(rate.index), Reason::HandshakeRate);
                self.refusal = Some(Refusal { violation, wait });
                break;
            }
        }
    }

    /// Spends the token, which is the last question: what is refused for anything else leaves it unspent.
    fn spend(&mut self, admission: Admission, shared: &mut dyn Shared, now: Duration) -> Next {
        match admission.ticket.and_then(|ticket| shared.spend(&ticket, now).refusal()) {
            Some(violation) => Next::Refuse(violation.into()),
            None => Next::Admit(Box::new(admission)),
        }
    }

    /// Until when it waits, if it does.
    pub(crate) fn waits_until(&self) -> Option<Duration> {
        self.waiting.until()
    }

    /// The clock was set back by so much.
    pub(crate) fn set_back(&mut self, by: Duration) {
        self.waiting.set_back(by);
    }

    /// There is no memory for what it, or its connection from the start, would hold: it is refused if either would.
    pub(crate) fn forbid_holding(&mut self) {
        self.may_not_hold = true;
    }

    /// Memory that is taken for it while it waits, in bytes.
    pub(crate) fn held(&self) -> u64 {
        let fields = &self.head.fields;
        let texts: usize = fields.iter().map(|(name, value)| name.capacity() + value.capacity()).sum();
        let head = fields.capacity() * size_of::<Field>() + texts;
        (head + self.credentials.held()) as u64
    }

    /// Whether its connection will hold what peers send from the start.
    fn would_hold(&self) -> bool {
        let inspects = self.ruleset.policy.compression == Compression::Inspect;
        self.awaits_first_message() || (inspects && !self.extensions.left.is_empty())
    }

    /// What takes the secrets out of the request.
    pub(crate) fn removals(&self) -> &[HeaderEdit] {
        &self.credentials.removals
    }

    /// The request, once nothing more is asked of it.
    pub(crate) fn into_parts(self) -> (RequestHead, Vec<HeaderEdit>) {
        (self.head, self.credentials.removals)
    }

    /// Everything that is judged between the rates by address and those by user. `claims` become
    /// those of the token once it is verified.
    fn judge(&self, claims: &mut Option<Claims>, now: Duration) -> Result<Admission, Stop> {
        let policy = &self.ruleset.policy;
        let headers = self.head.headers();
        judge_origin(&policy.origins, headers)?;
        let offers = self.offers();
        let mut is_credential = are_credentials(&self.ruleset);
        let (credentials, offers): (Vec<_>, Vec<_>) =
            offers.iter().map(Vec::as_slice).partition(|offer| is_credential(offer));
        let allowed = subprotocol::judge(&policy.subprotocols, &offers)?;
        let mut ticket = None;
        if let Some(auth) = &policy.auth {
            self.judge_token(auth, claims, now)?;
            if let Some(claims) = claims.as_ref().filter(|_| auth.single_use) {
                ticket = Some(self.buckets.ticket(claims)?);
            }
        }

        if let Some(guard) = &self.ruleset.csrf {
            guard.judge(&self.credentials.csrf, headers, now)?;
        }

        if self.may_not_hold && self.would_hold() {
            return Err(no_memory().into());
        }
        let mut edits = self.credentials.removals.clone();
        if allowed.len() != offers.len() {
            let left = credentials.iter().copied().chain(allowed.iter().copied());
            edits.retain(|edit| edit.name() != PROTOCOL);
            edits.push(subprotocol::edit(PROTOCOL, left));
        }
        edits.extend(self.extensions.edit.clone());
        if headers.single(KEY) != Single::One(&self.key) {
            edits.push(HeaderEdit::Set(KEY.to_owned(), self.key.clone()));
        }
        edits.extend(self.ruleset.forwarded.strip(headers));
        if let Some(auth) = &policy.auth {
            edits.extend(self.ruleset.forwarded.keep(headers));
            if let Some(claims) = claims {
                edits.extend(claims.forward(&auth.forward)?);
            }
        }
        // A token that is left in went up as an offer, so the upstream may choose it.
        let subprotocols = credentials.into_iter().chain(allowed).map(<[u8]>::to_vec).collect();
        let expected = Expected {
            key: self.key.clone(),
            subprotocols,
            echo: self.credentials.echo.clone(),
            extensions: self.extensions.left.clone(),
            client_messages_alone: self.takes_messages_out(),
        };
        let grant = policy.auth.as_ref().map(|_| {
            let buckets = self.buckets.clone();
            Box::new(Grant::new(Rc::clone(&self.ruleset), buckets, claims.as_ref()))
        });
        // Before a user is known nobody is charged for him.
        let known = |(_, rate): &(usize, &Rate)| rate.per != Per::User || !self.awaits_first_message();
        let rates = Rates::new(policy.rates.iter().enumerate().filter(known), |rate, quota| {
            self.buckets.key(rate.count, rate.per, quota, claims.as_ref())
        });
        let session = policy.auth.as_ref().and_then(|auth| auth.max_session);
        let ends =
            Ends { session: session.map(|longest| now.saturating_add(longest).into()), ..Ends::default() };
        let entropy = &self.head.entropy;
        let terms = Terms { ends, ping_key: PingKey(entropy.ping), mask: entropy.mask, rates, grant };
        Ok(Admission { edits, expected, terms, ticket })
    }

    /// The subprotocols that the request has once the secrets are out of it.
    fn offers(&self) -> Vec<Vec<u8>> {
        let (headers, removals) = (self.head.headers(), &self.credentials.removals);
        let list = |headers: Headers<'_>| headers.list(PROTOCOL).map(<[u8]>::to_vec).collect();
        if removals.iter().any(|edit| edit.name() == PROTOCOL) {
            list(Headers::new(&headers.edited(removals)))
        } else {
            list(headers)
        }
    }

    /// Whether what is offered beside tokens is well formed.
    fn has_sound_offers(&self) -> bool {
        let offers = self.offers();
        let mut is_credential = are_credentials(&self.ruleset);
        let offers: Vec<_> = offers.iter().map(Vec::as_slice).filter(|offer| !is_credential(offer)).collect();
        subprotocol::are_well_formed(&offers)
    }

    /// Whether messages of the client may be missing for the upstream, so that those after them lack
    /// a part of their history.
    fn takes_messages_out(&self) -> bool {
        let policy = &self.ruleset.policy;
        policy.rates.iter().any(|rate| rate.on_exceed == OnExceed::Drop)
            || policy.auth.as_ref().is_some_and(|auth| auth.refresh.is_some())
            || (self.awaits_first_message() && !policy.auth.as_ref().is_some_and(|auth| auth.keep_token))
            || self.messages_alone
    }

    /// Whether the token is to come in the first message.
    fn awaits_first_message(&self) -> bool {
        let auth = self.ruleset.policy.auth.as_ref();
        matches!(self.credentials.tokens, Tokens::Missing)
            && auth.is_some_and(|auth| auth.first_message().is_some())
    }

    /// Judges the token, unless it is still to come. `claims` become those of a token that is genuine.
    fn judge_token(&self, auth: &Auth, claims: &mut Option<Claims>, now: Duration) -> Result<(), Stop> {
        let token = match &self.credentials.tokens {
            Tokens::Missing if self.awaits_first_message() => {
                return admit::is_prepared(&self.ruleset, now).map_err(|rejected| Stop::from(*rejected));
            }
            Tokens::Missing => return Err(of_token(Reason::TokenMissing).into()),
            Tokens::Ambiguous => return Err(of_token(Reason::TokenAmbiguous).into()),
            Tokens::One(token) => token,
        };
        match admit(token, auth, &self.ruleset, (self.buckets.address(), None), now) {
            Ok(admitted) => {
                *claims = Some(admitted);
                Ok(())
            }
            Err(mut rejected) => {
                *claims = rejected.claims.take();
                Err(Stop::from(*rejected))
            }
        }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self { violation, wait: None }
    }
}

/// A violation by what the client shows, or does not, in the place of a token.
fn of_token(reason: Reason) -> Violation {
    Violation::by(Peer::Client, Rule::Auth, reason)
}

/// Nobody may hold anything.
pub(crate) fn no_memory() -> Violation {
    Violation::new(Rule::MemoryBudget, Reason::MemoryExceeded)
}

/// What takes the secrets out of a request that is answered before it is judged.
pub(crate) fn removals(ruleset: &Ruleset, headers: Headers<'_>) -> Vec<HeaderEdit> {
    Credentials::of(ruleset, headers).removals
}

/// Whether an upgrade to another protocol than WebSocket passes unjudged.
pub(crate) fn passes_unjudged(ruleset: &Ruleset, kind: Kind) -> bool {
    kind == Kind::OtherUpgrade && ruleset.policy.other_upgrades == OtherUpgrades::Pass
}

fn judge_tls(tls: Tls, head: &RequestHead) -> Result<(), Violation> {
    // Some proxies tell the scheme of the socket (Traefik), which is the same.
    let is_secure =
        |scheme: &[u8]| [&b"https"[..], b"wss"].iter().any(|one| one.eq_ignore_ascii_case(scheme));
    let forwarded =
        || matches!(head.headers().single(FORWARDED_PROTO), Single::One(scheme) if is_secure(scheme));
    let met = match tls {
        Tls::Forwarded => head.connection.tls || forwarded(),
        Tls::Mutual => head.connection.tls && head.connection.mutual_tls,
        Tls::Optional => true,
        Tls::Required => head.connection.tls,
    };
    if met { Ok(()) } else { Err(Violation::by(Peer::Client, Rule::Tls, Reason::TlsRequired)) }
}

fn judge_origin(rule: &Origins, headers: Headers<'_>) -> Result<(), Violation> {
    let violation = |reason| Violation::by(Peer::Client, Rule::Origins, reason);
    match rule.judge(headers.all("origin")) {
        OriginVerdict::Allowed => Ok(()),
        OriginVerdict::Denied => {
            let origin = Shown::of(headers.all("origin"));
            Err(violation(Reason::OriginDenied).because(Cause::Origin(origin)))
        }
        OriginVerdict::Missing => Err(violation(Reason::OriginMissing)),
    }
}
