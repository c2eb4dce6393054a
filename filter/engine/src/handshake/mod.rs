//! Judges an upgrade request, in the order of the policy language: TLS, shape, rates by address,
//! origin, subprotocols, token, revocation, claims, rates by user. The first refusal wins, yet every
//! handshake takes its tokens from the rates by address: brute force is an attack too.

mod extensions;
mod response;
mod shape;
mod subprotocol;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use postern_config::{
    Auth, Backlog, Carrier, Counted, Expiry, OnExceed, OriginVerdict, Origins, OtherUpgrades, Per, Tls,
};

use crate::auth::carrier::{self, Presence};
use crate::auth::claims::Claims;
use crate::auth::error::{Cause, TokenError};
use crate::auth::revocation::Bearer;
use crate::auth::verifier;
use crate::headers::{HeaderEdit, Headers, Single, is_same_to_a_gateway};
use crate::open::ping::PingKey;
use crate::open::rates::Rates;
use crate::open::{Ends, Terms};
use crate::rate::{BucketKey, Charge, Charged, KeySpace, Outcome, Quota};
use crate::reason::Reason;
use crate::request::RequestHead;
use crate::ruleset::{HandshakeRate, Ruleset};

use extensions::Offers;
use waiting::{Stop, Waiting};

pub(crate) use extensions::{Agreement, Deflate};
pub(crate) use response::Expected;
pub(crate) use shape::Kind;

const CONNECTION: &str = "connection";
const KEY: &str = "sec-websocket-key";
const PROTOCOL: &str = "sec-websocket-protocol";

/// An upgrade request on its way through the rules.
#[derive(Debug)]
pub(crate) struct Handshake {
    ruleset: Rc<Ruleset>,
    head: RequestHead,
    /// The client's key, or a fresh one where the client sends none.
    key: Vec<u8>,
    tokens: Tokens,
    /// What goes up of the extensions that the client offers.
    extensions: Offers,
    /// What takes the tokens out of the request, whatever becomes of it.
    removals: Vec<HeaderEdit>,
    refusal: Option<Refusal>,
    pending: VecDeque<Charge>,
    admission: Option<Box<Admission>>,
    waiting: Waiting,
    keys: KeySpace,
}

/// The tokens of a request.
enum Tokens {
    Ambiguous,
    Missing,
    One(Vec<u8>),
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// The request may go up.
    Admit(Box<Admission>),
    /// A bucket has to be asked; its answer goes to [`Handshake::answer`].
    Ask(Charge),
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
}

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// The time to the next token of a rate.
    pub(crate) wait: Option<Duration>,
    /// For the log.
    pub(crate) detail: Option<TokenError>,
}

impl Handshake {
    pub(crate) fn new(ruleset: Rc<Ruleset>, head: RequestHead, kind: Kind, keys: KeySpace) -> Self {
        let (tokens, removals) = match &ruleset.policy.auth {
            Some(auth) => {
                let found = carrier::extract(head.headers(), &auth.from, auth.keep_token);
                (Tokens::from(Presence::of(found.candidates)), found.edits)
            }
            None => (Tokens::Missing, Vec::new()),
        };
        let shape = match kind {
            Kind::WebSocket => shape::judge(&head),
            Kind::OtherUpgrade | Kind::Plain => Err(Reason::UpgradeDenied),
        };
        let shape = judge_tls(ruleset.policy.tls, &head).and(shape);
        // Whatever is wrong with it, the client should try elsewhere.
        let shape = if ruleset.policy.drain.is_some() { Err(Reason::Draining) } else { shape };
        let refusal = shape.as_ref().err().map(|reason| Refusal::from(*reason));
        let backpressure = ruleset.policy.backpressure;
        let drops = backpressure.is_some_and(|limit| limit.on_exceed == Backlog::Drop);
        let extensions = Offers::read(ruleset.policy.compression, drops, head.headers());
        let refusal = refusal.or(extensions.as_ref().err().map(|reason| Refusal::from(*reason)));
        let key = shape.ok().flatten().unwrap_or_else(|| shape::fresh_key(head.entropy.key));
        let mut handshake = Self {
            ruleset,
            head,
            key,
            tokens,
            extensions: extensions.unwrap_or_default(),
            removals,
            refusal,
            pending: VecDeque::new(),
            admission: None,
            waiting: Waiting::default(),
            keys,
        };
        if handshake.refusal.is_none() && !handshake.has_sound_offers() {
            handshake.refusal = Some(Reason::MalformedHandshake.into());
        }
        handshake.pending = handshake.charges(&handshake.ruleset.address_rates, None);
        handshake
    }

    /// What is to be done next, at `now`.
    pub(crate) fn next(&mut self, now: Duration) -> Next {
        loop {
            if let Some(charge) = self.pending.front() {
                return Next::Ask(*charge);
            }
            if let Some(refusal) = self.refusal {
                return Next::Refuse(refusal);
            }
            if let Some(admission) = self.admission.take() {
                return Next::Admit(admission);
            }
            let mut claims = None;
            match self.judge(&mut claims, now) {
                Ok(admission) => self.admission = Some(Box::new(admission)),
                Err(stop) => match self.waiting.judge(stop, now) {
                    Ok(()) => return Next::Wait,
                    Err(refusal) => self.refusal = Some(refusal),
                },
            }
            // A user is known, and counted, also where the claims are not enough.
            if self.admission.is_some() || claims.is_some() {
                self.pending = self.charges(&self.ruleset.user_rates, claims.as_ref());
            }
        }
    }

    /// Takes the answer to the bucket that [`Handshake::next`] asked for.
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        self.pending.pop_front();
        let wait = match outcome {
            Outcome::Charged(Charged::Taken) => return,
            Outcome::Charged(Charged::Wait(wait)) => Some(wait),
            Outcome::Full => None,
        };
        if self.refusal.is_none() {
            self.pending.clear();
            self.refusal = Some(Refusal { wait, ..Reason::HandshakeRate.into() });
        }
    }

    /// Until when it waits, if it does.
    pub(crate) fn waits_until(&self) -> Option<Duration> {
        self.waiting.until()
    }

    /// The request, once nothing more is asked of it.
    pub(crate) fn into_parts(self) -> (RequestHead, Vec<HeaderEdit>) {
        (self.head, self.removals)
    }

    fn charges(&self, rates: &[HandshakeRate], claims: Option<&Claims>) -> VecDeque<Charge> {
        let charge = |rate: &HandshakeRate| {
            let key = self.bucket(Counted::Handshakes, rate.per, &rate.quota, claims);
            Charge { key, quota: rate.quota, tokens: 1 }
        };
        rates.iter().map(charge).collect()
    }

    /// The shared bucket of a rule for whoever makes this handshake.
    fn bucket(&self, counted: Counted, per: Per, quota: &Quota, claims: Option<&Claims>) -> BucketKey {
        let policy = self.ruleset.name().as_bytes();
        let counted: &[u8] = match counted {
            Counted::Bytes => b"bytes",
            Counted::ControlFrames => b"control frames",
            Counted::Handshakes => b"handshakes",
            Counted::Messages => b"messages",
        };
        let address = || client_subject(self.head.connection.client, self.ruleset.policy.ipv6_prefix);
        let (per, subject) = match (per, claims.and_then(user_subject)) {
            (Per::User, Some(user)) => (b"user".as_slice(), user),
            (Per::Policy, _) => (b"policy".as_slice(), Vec::new()),
            (Per::User, None) => (b"user without a subject".as_slice(), address()),
            (Per::Ip | Per::Connection, _) => (b"ip".as_slice(), address()),
        };
        self.keys.key(&[counted, policy, per], quota, &subject)
    }

    /// Everything that is judged between the rates by address and those by user. `claims` become
    /// those of the token once it is verified.
    fn judge(&self, claims: &mut Option<Claims>, now: Duration) -> Result<Admission, Stop> {
        let policy = &self.ruleset.policy;
        let headers = self.head.headers();
        judge_origin(&policy.origins, headers)?;
        let offers = self.offers();
        let (credentials, offers): (Vec<_>, Vec<_>) =
            offers.iter().map(Vec::as_slice).partition(|offer| self.is_credential(offer));
        let allowed = subprotocol::judge(&policy.subprotocols, &offers)?;
        if let Some(auth) = &policy.auth {
            let verified = self.verify_token(now)?;
            waiting::judge_revocation(&self.ruleset, &verified, now)?;
            let verified = claims.insert(verified);
            if !verified.meet(&auth.require) {
                return Err(Reason::ClaimsDenied.into());
            }
        }

        let mut edits = self.removals.clone();
        if allowed.len() != offers.len() {
            let left = credentials.iter().copied().chain(allowed.iter().copied());
            edits.retain(|edit| edit.name() != PROTOCOL);
            edits.push(subprotocol::edit(PROTOCOL, left));
        }
        edits.extend(self.extensions.edit.clone());
        if headers.single(KEY) != Single::One(&self.key) {
            edits.push(HeaderEdit::Set(KEY.to_owned(), self.key.clone()));
        }
        if let Some(auth) = &policy.auth {
            edits.extend(strip_forwarded(auth, headers));
            edits.extend(keep_forwarded(auth, headers));
            if let Some(claims) = claims {
                edits.extend(claims.forward(&auth.forward)?);
            }
        }
        let expires_at = match (&policy.auth, &*claims) {
            (Some(auth), Some(claims)) if auth.expiry == Expiry::Close => {
                Some(claims.ends(auth.expiry_grace))
            }
            _ => None,
        };
        // A token that is left in went up as an offer, so the upstream may choose it.
        let subprotocols = credentials.into_iter().chain(allowed).map(<[u8]>::to_vec).collect();
        let expected = Expected {
            key: self.key.clone(),
            subprotocols,
            extensions: self.extensions.left.clone(),
            // A message that is discarded is missing in the history of those after it.
            client_messages_alone: policy.rates.iter().any(|rate| rate.on_exceed == OnExceed::Drop),
        };
        let rates = Rates::new(&policy.rates, |rate, quota| {
            self.bucket(rate.count, rate.per, quota, claims.as_ref())
        });
        let session = policy.auth.as_ref().and_then(|auth| auth.max_session);
        let ends = Ends {
            expiry: expires_at,
            session: session.map(|longest| now.saturating_add(longest)),
            drain: None,
        };
        let entropy = &self.head.entropy;
        let bearer = claims.as_ref().map(Bearer::of).unwrap_or_default();
        let terms = Terms { ends, ping_key: PingKey(entropy.ping), mask: entropy.mask, rates, bearer };
        Ok(Admission { edits, expected, terms })
    }

    /// The subprotocols that the request has once the token is out of it.
    fn offers(&self) -> Vec<Vec<u8>> {
        let edited = self.removals.iter().find(|edit| edit.name() == PROTOCOL);
        match edited {
            Some(HeaderEdit::Remove(_)) => Vec::new(),
            Some(HeaderEdit::Set(name, value)) => {
                let fields = [(name.clone(), value.clone())];
                Headers::new(&fields).list(PROTOCOL).map(<[u8]>::to_vec).collect()
            }
            None => self.head.headers().list(PROTOCOL).map(<[u8]>::to_vec).collect(),
        }
    }

    /// Whether what is offered beside tokens is well formed.
    fn has_sound_offers(&self) -> bool {
        let offers = self.offers();
        let offers: Vec<_> =
            offers.iter().map(Vec::as_slice).filter(|offer| !self.is_credential(offer)).collect();
        subprotocol::are_well_formed(&offers)
    }

    /// Whether an offer is a token that the policy leaves in.
    fn is_credential(&self, offer: &[u8]) -> bool {
        self.ruleset.policy.auth.as_ref().is_some_and(|auth| {
            auth.from.iter().any(|carrier| match carrier {
                Carrier::Subprotocol(prefix) => offer.starts_with(prefix.as_bytes()),
                _ => false,
            })
        })
    }

    fn verify_token(&self, now: Duration) -> Result<Claims, Stop> {
        let token = match &self.tokens {
            Tokens::Missing => return Err(Reason::TokenMissing.into()),
            Tokens::Ambiguous => return Err(Reason::TokenAmbiguous.into()),
            Tokens::One(token) => token,
        };
        let providers: Vec<_> = self.ruleset.providers.iter().collect();
        Ok(verifier::verify(token, &providers, now)?)
    }
}

impl From<Presence<'_>> for Tokens {
    fn from(presence: Presence<'_>) -> Self {
        match presence {
            Presence::Ambiguous => Self::Ambiguous,
            Presence::Missing => Self::Missing,
            Presence::Token(candidate) => Self::One(candidate.token),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        TokenError::Invalid(cause).into()
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, wait: None, detail: None }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        let reason = match error {
            TokenError::Expired => Reason::TokenExpired,
            TokenError::Invalid(_) => Reason::TokenInvalid,
            TokenError::KeysUnavailable | TokenError::AwaitsKeys(..) => Reason::KeysUnavailable,
        };
        Self { reason, wait: None, detail: Some(error) }
    }
}

/// What becomes of ordinary HTTP, and of upgrades the policy lets pass unjudged: the headers that
/// carry claims are the upstream's to trust, so a client's own never reach it.
pub(crate) fn strip_forwarded(auth: &Auth, headers: Headers<'_>) -> Vec<HeaderEdit> {
    let spoofed = headers
        .fields()
        .filter(|(name, _)| auth.forward.keys().any(|forwarded| is_same_to_a_gateway(name, forwarded)))
        .map(|(name, _)| name.to_ascii_lowercase());
    let mut names: Vec<_> = spoofed.collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(HeaderEdit::Remove).collect()
}

/// A client may not have a hop behind Envoy take a header with claims for one of its own hop
/// (RFC 9110 §7.6.1).
fn keep_forwarded(auth: &Auth, headers: Headers<'_>) -> Option<HeaderEdit> {
    let nominated = headers
        .list(CONNECTION)
        .filter_map(|option| std::str::from_utf8(option).ok())
        .any(|option| auth.forward.keys().any(|forwarded| is_same_to_a_gateway(option, forwarded)));
    nominated.then(|| HeaderEdit::Set(CONNECTION.to_owned(), b"Upgrade".to_vec()))
}

/// What takes the tokens out of a request that is answered before it is judged.
pub(crate) fn removals(ruleset: &Ruleset, headers: Headers<'_>) -> Vec<HeaderEdit> {
    let auth = ruleset.policy.auth.as_ref();
    auth.map(|auth| carrier::extract(headers, &auth.from, auth.keep_token).edits).unwrap_or_default()
}

/// Whether an upgrade to another protocol than WebSocket passes unjudged.
pub(crate) fn passes_unjudged(ruleset: &Ruleset, kind: Kind) -> bool {
    kind == Kind::OtherUpgrade && ruleset.policy.other_upgrades == OtherUpgrades::Pass
}

fn judge_tls(tls: Tls, head: &RequestHead) -> Result<(), Reason> {
    let forwarded = || head.headers().single("x-forwarded-proto") == Single::One(b"https");
    let met = match tls {
        Tls::Forwarded => head.connection.tls || forwarded(),
        Tls::Mutual => head.connection.tls && head.connection.mutual_tls,
        Tls::Optional => true,
        Tls::Required => head.connection.tls,
    };
    if met { Ok(()) } else { Err(Reason::TlsRequired) }
}

fn judge_origin(rule: &Origins, headers: Headers<'_>) -> Result<(), Reason> {
    match rule.judge(headers.all("origin")) {
        OriginVerdict::Allowed => Ok(()),
        OriginVerdict::Denied => Err(Reason::OriginDenied),
        OriginVerdict::Missing => Err(Reason::OriginMissing),
    }
}

/// The bytes that name a client among addresses: an IPv6 client by its network.
fn client_subject(client: Option<IpAddr>, ipv6_prefix: u8) -> Vec<u8> {
    match client.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => {
            let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
            let network = address.to_bits().checked_shr(host_bits).unwrap_or(0);
            network.to_be_bytes().to_vec()
        }
        // Peers without an address, as on a Unix socket, share one bucket.
        None => Vec::new(),
    }
}

/// The bytes that name a user: a subject means something only together with its issuer.
fn user_subject(claims: &Claims) -> Option<Vec<u8>> {
    let subject = claims.subject()?;
    let issuer = claims.issuer().unwrap_or_default();
    Some([&(issuer.len() as u64).to_be_bytes(), issuer.as_bytes(), subject.as_bytes()].concat())
}
