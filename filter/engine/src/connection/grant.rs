//! The grant of a connection: whose token opened it, until when, and where the next one comes from.
//!
//! Knows no frames. Decides what a message of the client comes to; [`in_band`](super::in_band) acts on it.

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Auth, Counted, Expiry, OnFull, Per, Rate};

use crate::auth::admit::{Rejected, TokenOwner, admit};
use crate::auth::bearer::without_scheme;
use crate::auth::claims::Claims;
use crate::auth::revocation::RevocationSubject;
use crate::auth::subject_key::SubjectHash;
use crate::auth::token_in_text::{Found, Place};
use crate::decision::cause::{InvalidToken, TokenError};
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::message::Denied;
use crate::moment::Moment;
use crate::peer::Peer;
use crate::rate::bucket_keys::Buckets;
use crate::rate::live::places::{CountedLive, Counts, Places};
use crate::rate::{Bucket, Charged, Outcome, Quota, Shared};
use crate::remote::rate_limit::{Account, Answer, Asking, Question};
use crate::ruleset::Ruleset;
use crate::strict_json::JsonError;

use super::questions::{Questions, Stop};
use super::rates::Rates;

/// The right to one connection, under a policy that asks for tokens.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The ruleset of the policy.
    ruleset: Rc<Ruleset>,
    /// The ruleset by which the client's message that is under way is judged, or the next one if none is.
    limits: Rc<Ruleset>,
    /// The limits that the newest token has brought, for the client's next message.
    new_limits: Option<Box<Upcoming>>,
    /// The time when the handshake was admitted.
    admitted_at: Moment,
    /// The part of the jitter by which the connection ends sooner than it may last, of 2^32.
    jitter_part: u32,
    buckets: Buckets,
    /// The owner of the token; absent before the first.
    token_owner: Option<TokenOwner>,
    /// The name by which a revocation list would know the owner of the token.
    revocation_subject: Option<RevocationSubject>,
    /// The hash by which logs name the user, once a genuine token has.
    subject: Option<SubjectHash>,
    times: Times,
    first: Option<Place>,
    refresh: Option<Place>,
    pending: Option<Box<Pending>>,
    /// The questions about the first message to the rate limit service; absent where there are none.
    questions: Option<Box<Questions>>,
    replies: Bucket,
    /// The messages that the last token does not allow by the limits in force; absent where they say nothing of that.
    denied: Option<Denied>,
}

/// The limits under which the client's next message comes.
#[derive(Clone, Debug)]
struct Upcoming {
    limits: NewLimits,
    /// The messages that the last token does not allow by these limits.
    denied: Option<Denied>,
}

/// The limits of another tier than that in force.
#[derive(Clone, Debug)]
pub(super) struct NewLimits {
    pub(super) ruleset: Rc<Ruleset>,
    /// The rates; absent where they and their buckets stay as they are.
    pub(super) rates: Option<Rates>,
}

/// The number of times that the client is told of an accepted token, per minute in the long run and at once.
const REPLIES: Quota = Quota::per_minute(60);

/// A token that cannot be judged before something has been fetched.
#[derive(Clone, Debug)]
struct Pending {
    found: Found,
    /// The end of the wait, however often the token is judged again in the meantime.
    until: Duration,
}

/// The outcome of a message that comes after authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The message was not meant for Postern.
    Ordinary,
    /// A token has renewed the right, be it that of the message or the one that waited.
    Renewed,
    /// The token of the message waits for something that is fetched.
    Waits,
}

/// The times of the last token, since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The `exp` of the token.
    pub(super) expires_at: Duration,
    /// The time when the connection ends with the token.
    pub(super) end: Option<Duration>,
    /// The time when the client is told that the token ends soon.
    pub(super) notice: Option<Duration>,
}

/// The outcome of a first message.
#[derive(Debug)]
pub(crate) enum Entry {
    Granted,
    Refused(Violation),
    /// The message cannot be judged yet, and waits.
    Wait,
}

/// The admission of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    /// The time of it, since the Unix epoch.
    pub(crate) at: Duration,
    /// A random number.
    pub(crate) jitter_part: u32,
}

impl Grant {
    /// Creates the right of the owner that `claims` name, or of nobody yet, to a connection that was `admitted`.
    /// `asking` has asked the rate limit service what had to be asked before.
    pub(crate) fn new(
        ruleset: Rc<Ruleset>,
        buckets: Buckets,
        asking: Asking,
        claims: Option<&Claims>,
        admitted: Admitted,
    ) -> Self {
        let limits = claims.map_or_else(|| Rc::clone(&ruleset), |claims| ruleset.of_claims(claims));
        let service = ruleset.rate_limit.clone().filter(|_| claims.is_none());
        let questions = service.map(|service| Box::new(Questions::new(service, asking)));
        let auth = ruleset.policy.auth.as_ref();
        let first = auth.and_then(Auth::first_message).map(Place::of_first);
        let refresh = auth.and_then(|auth| auth.refresh.as_ref()).map(Place::new);
        let times = Times::default();
        let (token_owner, revocation_subject, replies) = (None, None, Bucket::default());
        let mut grant = Self {
            ruleset,
            limits,
            new_limits: None,
            admitted_at: admitted.at.into(),
            jitter_part: admitted.jitter_part,
            buckets,
            token_owner,
            revocation_subject,
            subject: None,
            times,
            first,
            refresh,
            pending: None,
            questions,
            replies,
            denied: None,
        };
        if let Some(claims) = claims {
            grant.renew_by_claims(claims);
        }
        grant
    }

    /// Says whether the limits depend on the token.
    pub(super) fn has_tiers(&self) -> bool {
        !self.ruleset.tiers.is_empty()
    }

    /// Returns the ruleset whose limits the newest token has.
    pub(super) fn newest_limits(&self) -> &Rc<Ruleset> {
        self.new_limits.as_ref().map_or(&self.limits, |upcoming| &upcoming.limits.ruleset)
    }

    /// Says whether the newest token has other limits than those in force for the client.
    pub(super) fn changes_limits(&self) -> bool {
        self.new_limits.is_some()
    }

    /// Takes the limits of the newest token, if they are others, to be in force for the client from its next message on.
    pub(super) fn take_limits(&mut self) -> Option<NewLimits> {
        let Upcoming { limits, denied } = *self.new_limits.take()?;
        self.limits = Rc::clone(&limits.ruleset);
        self.denied = denied;
        Some(limits)
    }

    /// Returns the end of the time that the connection may last, by the limits of the newest token.
    pub(crate) fn session_ends_at(&self) -> Option<Moment> {
        let auth = self.newest_limits().policy.auth.as_ref()?;
        let longest = auth.max_session?;
        // A tier, or an override, may have a shorter time than the jitter is.
        let jitter = auth.max_session_jitter.min(longest);
        let sooner = jitter.mul_f64(f64::from(self.jitter_part) / 2_f64.powi(32));
        Some(self.admitted_at.after(longest.saturating_sub(sooner)))
    }

    /// Returns the time that the first message may take, where the token comes in it.
    pub(super) fn first_message_timeout(&self) -> Option<Duration> {
        let is_awaited = self.token_owner.is_none() && self.first.is_some();
        self.auth().filter(|_| is_awaited).map(|auth| auth.first_message_timeout)
    }

    /// Returns the number of bytes that may be sent on the connection before it is authenticated.
    pub(super) fn max_unauthenticated_bytes(&self) -> u64 {
        self.auth().map_or(0, |auth| auth.max_unauthenticated_bytes)
    }

    /// Says whether the service's messages reach the client before it is authenticated.
    pub(super) fn greets(&self) -> bool {
        self.auth().and_then(Auth::first_message).is_some_and(|first| first.greeting)
    }

    /// Says whether the first message goes on once its token is accepted.
    pub(crate) fn keeps_token(&self) -> bool {
        self.auth().is_some_and(|auth| auth.keep_token)
    }

    /// The messages that the last token does not allow.
    pub(crate) fn denied(&self) -> Option<&Denied> {
        self.denied.as_ref()
    }

    /// Says whether messages may renew the right.
    pub(super) fn can_be_renewed(&self) -> bool {
        self.refresh.is_some()
    }

    /// Says whether the client is told of a renewal at `now`: not if it has been too often, since it may read
    /// nothing.
    pub(crate) fn replies(&mut self, now: Duration) -> bool {
        self.auth().is_some_and(|auth| auth.refresh_reply)
            && self.replies.take(REPLIES, 1, now) == Charged::Taken
    }

    /// Returns the owner of the connection as revocation lists name one, once that is known.
    pub(crate) fn revocation_subject(&self) -> Option<&RevocationSubject> {
        self.revocation_subject.as_ref()
    }

    /// Returns the hash by which logs name the user, once a genuine token has.
    pub(crate) fn subject(&self) -> Option<SubjectHash> {
        self.subject
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    /// Judges the client's first message, and grants the right if it has an acceptable token. Must be called
    /// again when what the message waits for may have come.
    pub(crate) fn enter(
        &mut self,
        message: &[u8],
        (rates, places, findings): (&mut Rates, &mut Places, &mut Findings),
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Entry {
        let admitted = match self.questions.as_mut().and_then(|questions| questions.take_admitted()) {
            Some(admitted) => {
                self.pending = None;
                admitted
            }
            None => match self.admit_first(message, (rates, findings), shared, now) {
                Ok(claims) => (claims, 0),
                Err(entry) => return entry,
            },
        };
        let asked = match &mut self.questions {
            Some(questions) => {
                let policy = &self.ruleset.policy;
                let enforce = &mut |violation| findings.enforce(violation, policy);
                questions.ask(admitted, &self.buckets, shared, enforce, now)
            }
            None => Ok(admitted.0),
        };
        let claims = match asked {
            Ok(claims) => claims,
            Err(Stop::Violates(violation)) => return Entry::Refused(violation),
            Err(Stop::Awaits(until)) => {
                self.pending = Some(Box::new(Pending { found: Found::Nothing, until }));
                return Entry::Wait;
            }
        };
        let policy = &self.ruleset.policy;
        let entered = self.spares_others(&claims, shared, now);
        let entered = entered
            .or_else(|violation| findings.enforce(violation, policy))
            .and_then(|()| self.count(&claims, (places, findings), shared, now))
            .and_then(|()| self.spend(&claims, shared, now))
            .or_else(|violation| findings.enforce(violation, policy));
        if let Err(violation) = entered {
            return Entry::Refused(violation);
        }
        places.release_unauthenticated(shared);
        self.renew_by_claims(&claims);
        Entry::Granted
    }

    /// Admits the token of the first message by all that this Envoy can judge by itself, and charges its user,
    /// once.
    fn admit_first(
        &mut self,
        message: &[u8],
        (rates, findings): (&mut Rates, &mut Findings),
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<Claims, Entry> {
        if let Some(violation) = self.refused_too_often(Per::Ip, None, (shared, findings), now) {
            return Err(Entry::Refused(violation));
        }
        let judged = self.judge_first(message, findings, now).ok_or(Entry::Wait)?;
        // A user is known, and counted, also where the claims are not enough.
        let genuine = match &judged {
            Ok(claims) => Some(claims),
            Err(rejected) => rejected.claims.as_ref(),
        };
        let mut exceeded = None;
        if let Some(claims) = genuine {
            self.subject = self.ruleset.subject_key.hash(claims);
            self.add_rates(rates, claims);
            exceeded = self.charge_user(claims, judged.is_ok(), (shared, findings), now);
            if let Some(violation) = self.refused_too_often(Per::User, Some(claims), (shared, findings), now)
            {
                return Err(Entry::Refused(violation));
            }
        }
        let claims = judged.map_err(|rejected| Entry::Refused(rejected.violation))?;
        let exceeded = exceeded.map_or(Ok(()), Err);
        let room = exceeded.and_then(|()| {
            let ruleset = self.ruleset.of_claims(&claims);
            let counts = Counts { ruleset: &ruleset, buckets: &self.buckets, claims: Some(&claims) };
            counts.look(&[CountedLive::PerUser], shared, findings)
        });
        room.map(|()| claims).map_err(Entry::Refused)
    }

    /// Adds the rates by user, or puts those of the user's tier in the place of all.
    fn add_rates(&self, rates: &mut Rates, claims: &Claims) {
        if let Some(new) = self.new_rates(&self.ruleset.of_claims(claims), claims) {
            rates.make_way(new);
            return;
        }
        let of_users = |(_, rate): &(usize, &Rate)| rate.per == Per::User;
        let buckets = self.buckets.under(&self.limits);
        rates.add(self.limits.rates().filter(of_users), |rate, quota| {
            buckets.key(rate.count, rate.per, quota, Some(claims))
        });
    }

    /// Refuses a token that was used before if it would take another connection's place.
    fn spares_others(
        &self,
        claims: &Claims,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Violation> {
        let replaces = self.ruleset.policy.connections.on_full == OnFull::Replace;
        if !replaces || !self.auth().is_some_and(|auth| auth.single_use) {
            return Ok(());
        }
        let ticket = self.buckets.ticket(claims).map_err(TokenError::from)?;
        shared.look_at_ticket(&ticket, now).refusal().map_or(Ok(()), Err)
    }

    /// Counts the connection among those of its user.
    fn count(
        &self,
        claims: &Claims,
        (places, findings): (&mut Places, &mut Findings),
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Violation> {
        let ruleset = self.ruleset.of_claims(claims);
        let counts = Counts { ruleset: &ruleset, buckets: &self.buckets, claims: Some(claims) };
        places.acquire(&[CountedLive::PerUser], counts, shared, findings, now)
    }

    /// Takes the account in which what is sent counts, now that the first message has named the user.
    pub(super) fn take_account(&mut self) -> Option<Rc<Account>> {
        self.questions.take()?.into_account()
    }

    /// Takes the answer to the question of this number, and says whether the first message waits for it.
    pub(crate) fn take_answer(&mut self, number: u32, answer: Answer) -> bool {
        self.questions.as_mut().is_some_and(|questions| questions.asking.take_answer(number, answer))
    }

    /// Says whether there is a question that must be put to the rate limit service.
    pub(crate) fn has_question(&self) -> bool {
        self.questions.as_ref().is_some_and(|questions| questions.asking.has_question())
    }

    /// Takes the question that must be put to the rate limit service, if there is one.
    pub(crate) fn take_question(&mut self) -> Option<Box<Question>> {
        self.questions.as_mut()?.asking.take_question()
    }

    /// Judges the token of the first message, unless it has to wait.
    fn judge_first(
        &mut self,
        message: &[u8],
        findings: &mut Findings,
        now: Duration,
    ) -> Option<Result<Claims, Box<Rejected>>> {
        let (found, until) = match self.pending.take() {
            Some(pending) => (pending.found, Some(pending.until)),
            None => (self.first.as_ref().map_or(Found::Nothing, |place| place.find(message)), None),
        };
        let judged = self.judge(&found, findings, now);
        if let Err(rejected) = &judged {
            self.pending = Pending::of(found, rejected, until, now);
            if self.pending.is_some() {
                return None;
            }
        }
        Some(judged)
    }

    /// Charges a user for a handshake by the rates of its tier: by all if the token is refused anyhow.
    fn charge_user(
        &self,
        claims: &Claims,
        is_accepted: bool,
        (shared, findings): (&mut dyn Shared, &mut Findings),
        now: Duration,
    ) -> Option<Violation> {
        let ruleset = self.ruleset.of_claims(claims);
        let buckets = self.buckets.under(&ruleset);
        let mut exceeded = None;
        for rate in ruleset.handshake_rates(Counted::Handshakes, Per::User) {
            let request = buckets.of_handshake(rate, Some(claims));
            let is_within = shared.charge(&request, now) == Outcome::Charged(Charged::Taken);
            ruleset.measures().decided(Rule::Rates(rate.index), is_within);
            if is_within {
                continue;
            }
            let violation = Violation::by(Peer::Client, Rule::Rates(rate.index), Reason::HandshakeRate);
            exceeded = exceeded.or(findings.enforce(violation, &self.ruleset.policy).err());
            if is_accepted && exceeded.is_some() {
                break;
            }
        }
        exceeded
    }

    /// Returns the violation of an address, or of a user, that was refused too often.
    fn refused_too_often(
        &self,
        per: Per,
        claims: Option<&Claims>,
        (shared, findings): (&mut dyn Shared, &mut Findings),
        now: Duration,
    ) -> Option<Violation> {
        let ruleset =
            claims.map_or_else(|| Rc::clone(&self.ruleset), |claims| self.ruleset.of_claims(claims));
        let buckets = self.buckets.under(&ruleset);
        let mut rates = ruleset.handshake_rates(Counted::Refusals, per).filter(|rate| {
            let request = buckets.of_handshake(rate, claims);
            shared.look(&request, now) != Outcome::Charged(Charged::Taken)
        });
        rates.find_map(|empty| {
            let violation = Violation::by(Peer::Client, Rule::Rates(empty.index), Reason::RefusalRate);
            findings.enforce(violation, &self.ruleset.policy).err()
        })
    }

    /// Spends a token, where it may open one connection only.
    fn spend(&self, claims: &Claims, shared: &mut dyn Shared, now: Duration) -> Result<(), Violation> {
        if !self.auth().is_some_and(|auth| auth.single_use) {
            return Ok(());
        }
        let ticket = match self.buckets.ticket(claims).map_err(TokenError::from) {
            // It has been told that the token has no name of its own.
            Err(_) if Rule::AuthSingleUse.is_shadowed_by(&self.ruleset.policy) => return Ok(()),
            ticket => ticket?,
        };
        shared.spend(&ticket, now).refusal().map_or(Ok(()), Err)
    }

    /// Judges a message that comes after authentication. While its token waits the right stays as it was.
    pub(crate) fn renew(
        &mut self,
        message: &[u8],
        findings: &mut Findings,
        now: Duration,
    ) -> Result<Renewal, Violation> {
        let found = self.refresh.as_ref().map_or(Found::Nothing, |place| place.find(message));
        if found == Found::Nothing {
            return Ok(Renewal::Ordinary);
        }
        let renewed = self.renew_by_pending(findings, now)?;
        // Only one waits at a time: this one takes its place, and waits no longer than that would have.
        let until = self.pending.take().map(|pending| pending.until);
        let is_renewed = self.renew_by(found, until, findings, now)? || renewed;
        Ok(if is_renewed { Renewal::Renewed } else { Renewal::Waits })
    }

    /// Judges the token that waits, if there is one, once more, and says whether it has renewed the right.
    pub(super) fn renew_by_pending(
        &mut self,
        findings: &mut Findings,
        now: Duration,
    ) -> Result<bool, Violation> {
        let Some(pending) = self.pending.take() else { return Ok(false) };
        self.renew_by(pending.found, Some(pending.until), findings, now)
    }

    /// Returns the memory that is taken for the token that waits, in bytes.
    pub(super) fn held(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.found.held())
    }

    /// Forgets the token that waits.
    pub(super) fn give_back(&mut self) {
        self.pending = None;
        if let Some(questions) = &mut self.questions {
            questions.give_back();
        }
    }

    /// Moves the times with a clock that was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.admitted_at = self.admitted_at.before(by);
        if let Some(pending) = &mut self.pending {
            pending.until = pending.until.saturating_sub(by);
        }
        if let Some(questions) = &mut self.questions {
            questions.asking.set_back(by);
        }
    }

    /// Returns the time until which a token waits, if one does.
    pub(super) fn pending_until(&self) -> Option<Duration> {
        self.pending.as_ref().map(|pending| pending.until)
    }

    /// Judges a token, and says whether it has renewed the right; if not, it waits. `until` is the end of its
    /// wait, if it has waited before.
    fn renew_by(
        &mut self,
        found: Found,
        until: Option<Duration>,
        findings: &mut Findings,
        now: Duration,
    ) -> Result<bool, Violation> {
        match self.judge(&found, findings, now) {
            Ok(claims) => {
                self.renew_by_claims(&claims);
                Ok(true)
            }
            Err(rejected) => match Pending::of(found, &rejected, until, now) {
                None => Err(rejected.violation),
                pending => {
                    self.pending = pending;
                    Ok(false)
                }
            },
        }
    }

    fn judge(&self, found: &Found, findings: &mut Findings, now: Duration) -> Result<Claims, Box<Rejected>> {
        let (Found::Token(token), Some(auth)) = (found, self.auth()) else {
            let ambiguous = TokenError::from(InvalidToken::Json(JsonError::Duplicate));
            let missing = || Violation::by(Peer::Client, Rule::Auth, Reason::TokenMissing);
            let violation = if *found == Found::Ambiguous { ambiguous.into() } else { missing() };
            return Err(Box::new(violation.into()));
        };
        let token = without_scheme(token.as_bytes());
        let client = (self.buckets.address(), self.token_owner.as_ref());
        admit(token, auth, &self.ruleset, client, findings, now)
    }

    fn renew_by_claims(&mut self, claims: &Claims) {
        let Some(auth) = self.ruleset.policy.auth.as_ref() else { return };
        let expires_at = claims.expires_at();
        self.times = Times {
            expires_at,
            end: (auth.expiry == Expiry::Close).then(|| claims.ends(auth.expiry_grace)),
            notice: auth.expiry_notice.map(|notice| expires_at.saturating_sub(notice)),
        };
        self.denied = denied(&self.limits, claims);
        let newest = self.ruleset.of_claims(claims);
        self.new_limits = (!Rc::ptr_eq(&newest, &self.limits)).then(|| {
            let (rates, denied) = (self.new_rates(&newest, claims), denied(&newest, claims));
            Box::new(Upcoming { limits: NewLimits { ruleset: newest, rates }, denied })
        });
        // Whatever is a refresh has the same one.
        self.subject = self.subject.or_else(|| self.ruleset.subject_key.hash(claims));
        self.token_owner = Some(TokenOwner::of(claims));
        self.revocation_subject = Some(RevocationSubject::of(claims));
    }

    /// Returns the rates under `newest`, unless they are those in force.
    fn new_rates(&self, newest: &Ruleset, claims: &Claims) -> Option<Rates> {
        let buckets = self.buckets.under(newest);
        (newest.tier_of_rates != self.limits.tier_of_rates).then(|| {
            let key = |rate: &Rate, quota: &Quota| buckets.key(rate.count, rate.per, quota, Some(claims));
            Rates::new(newest.rates(), key).of_tier(newest.tier_of_rates)
        })
    }

    fn auth(&self) -> Option<&Auth> {
        self.ruleset.policy.auth.as_ref()
    }
}

/// Returns what the token with these claims does not allow of messages by `limits`, if they say something of that.
fn denied(limits: &Ruleset, claims: &Claims) -> Option<Denied> {
    let allow = &limits.policy.messages.content.allow;
    (!allow.is_empty()).then(|| Denied::new(allow, claims))
}

impl Pending {
    /// Returns the wait of a rejected token, if what it waits for may still change the verdict. `until` is
    /// the end of its wait, if it has waited before.
    fn of(found: Found, rejected: &Rejected, until: Option<Duration>, now: Duration) -> Option<Box<Self>> {
        let (_, patience) = rejected.awaits?;
        let until = until.unwrap_or_else(|| now.saturating_add(patience));
        (until > now).then(|| Box::new(Self { found, until }))
    }
}
