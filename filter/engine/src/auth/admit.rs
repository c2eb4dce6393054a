//! The admission of a token: the one way that every token goes, be it in a handshake, in a first message or
//! in a refresh.
//!
//! Owns the order: a token is verified first, then looked up in the revocation list, then held against the
//! claims that the policy requires, then against the owner of the connection. Whoever asks spends a token of
//! single use, as the last step.

use std::time::Duration;

use postern_config::{Auth, Mode, Policy};

use super::claims::Claims;
use super::revocation::RevocationSubject;
use super::verifier;
use crate::decision::cause::{InvalidToken, TokenError};
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::peer::Peer;
use crate::remote::Content;
use crate::ruleset::Ruleset;

/// The owner of the token that opened a connection. Its `Debug` does not show the owner.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenOwner {
    provider: String,
    issuer: Option<String>,
    subject: Option<String>,
}

/// A token that is not accepted.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) violation: Violation,
    /// The time after which it is worth trying again, if that is known.
    pub(crate) wait: Option<Duration>,
    /// The claims of the token, if it is genuine, in force and not revoked all the same.
    pub(crate) claims: Option<Claims>,
    /// The document that may change the verdict once it has been fetched, and the time that is worth waiting
    /// for it.
    pub(crate) awaits: Option<(Awaited, Duration)>,
}

/// A document that a token waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Keys,
    RevocationList,
}

/// Judges `token` by the policy's `auth`; `now` is the time since the Unix epoch. `client` is the address
/// that it came from. On a connection that has a `token_owner` already, the token must be that owner's. What breaks a
/// rule that is shadowed goes to `findings`.
pub(crate) fn admit(
    token: &[u8],
    auth: &Auth,
    ruleset: &Ruleset,
    (client, token_owner): (&[u8], Option<&TokenOwner>),
    findings: &mut Findings,
    now: Duration,
) -> Result<Claims, Box<Rejected>> {
    let providers: Vec<_> = ruleset.providers.iter().collect();
    let in_shadow;
    let client = match ruleset.policy.mode {
        Mode::Enforce => client,
        Mode::Shadow => {
            // The forgeries that nobody is refused for are counted apart.
            in_shadow = [b"shadow", client].concat();
            &in_shadow
        }
    };
    let claims = verifier::verify_from(Some(client), token, &providers, now)?;
    if list(ruleset, findings, now)?.is_some_and(|is_named| is_named(&claims)) {
        findings.enforce(revoked(), &ruleset.policy)?;
    }
    if auth.single_use && claims.token_id().is_none_or(str::is_empty) {
        findings.enforce(no_token_id(&ruleset.policy), &ruleset.policy)?;
    }
    let lines = auth.require.iter().enumerate();
    let lacking = lines.filter(|(_, requirement)| claims.lacks(std::slice::from_ref(requirement)).is_some());
    let mut violations = lacking
        .map(|(line, _)| Violation::by(Peer::Client, Rule::AuthRequire(line), Reason::ClaimsDenied))
        .filter_map(|violation| findings.enforce(violation, &ruleset.policy).err());
    let violation = if let Some(violation) = violations.next() {
        violation
    } else if token_owner.is_some_and(|token_owner| !token_owner.has(&claims)) {
        Violation::by(Peer::Client, Rule::AuthRefresh, Reason::SubjectChanged)
    } else {
        return Ok(claims);
    };
    Err(Box::new(Rejected { claims: Some(claims), ..violation.into() }))
}

/// Returns the violation of a token that could be used again and again. Nothing else is wrong with it where that may be.
fn no_token_id(policy: &Policy) -> Violation {
    let violation = Violation::from(TokenError::from(InvalidToken::NoTokenId));
    match Rule::AuthSingleUse.is_shadowed_by(policy) {
        true => Violation { rule: Rule::AuthSingleUse, ..violation },
        false => violation,
    }
}

/// Says whether a token that has not come yet could be judged: by the keys of one provider at least, and by
/// the revocation list.
pub(crate) fn is_prepared(
    ruleset: &Ruleset,
    findings: &mut Findings,
    now: Duration,
) -> Result<(), Box<Rejected>> {
    let mut lacking = ruleset.providers.iter().map(|provider| provider.lacks_keys(now));
    if let Some(Some(error)) = lacking.next()
        && lacking.all(|error| error.is_some())
    {
        return Err(Box::new(error.into()));
    }
    list(ruleset, findings, now).map(|_| ())
}

/// Returns a function that says whether the policy's revocation list names the owner of some claims, if it
/// has a list. Nobody waits for one that is shadowed.
fn list(
    ruleset: &Ruleset,
    findings: &mut Findings,
    now: Duration,
) -> Result<Option<impl Fn(&Claims) -> bool>, Box<Rejected>> {
    let Some(source) = &ruleset.revocation else { return Ok(None) };
    let Some(list) = source.content(now, Content::revocation) else {
        let awaits = source.patience(now).map(|patience| (Awaited::RevocationList, patience));
        let violation = Violation::new(Rule::AuthRevocation, Reason::RevocationUnavailable);
        let may_come = awaits.is_some() && !source.has_failed();
        if may_come && Rule::AuthRevocation.is_shadowed_by(&ruleset.policy) {
            return Ok(None);
        }
        let enforced = findings.enforce(violation, &ruleset.policy);
        return enforced
            .map(|()| None)
            .map_err(|violation| Box::new(Rejected { awaits, ..violation.into() }));
    };
    Ok(Some(move |claims: &Claims| list.names(&RevocationSubject::of(claims))))
}

impl TokenOwner {
    pub(crate) fn of(claims: &Claims) -> Self {
        Self {
            provider: claims.provider().to_owned(),
            issuer: claims.issuer().map(str::to_owned),
            subject: claims.subject().map(str::to_owned),
        }
    }

    /// Says whether a token with these claims is this owner's. Nobody knows that of two tokens without a
    /// subject.
    fn has(&self, claims: &Claims) -> bool {
        self.subject.is_some() && *self == Self::of(claims)
    }
}

impl std::fmt::Debug for TokenOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenOwner").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Returns the violation of a token that is on the policy's revocation list.
pub(crate) fn revoked() -> Violation {
    Violation::by(Peer::Client, Rule::AuthRevocation, Reason::TokenRevoked)
}

impl From<Violation> for Rejected {
    fn from(violation: Violation) -> Self {
        Self { violation, wait: None, claims: None, awaits: None }
    }
}

impl From<Violation> for Box<Rejected> {
    fn from(violation: Violation) -> Self {
        Self::new(violation.into())
    }
}

impl From<TokenError> for Rejected {
    fn from(error: TokenError) -> Self {
        let (error, awaits) = match error {
            TokenError::AwaitsKeys(missing, patience) => {
                (missing.after_all(), Some((Awaited::Keys, patience)))
            }
            error => (error, None),
        };
        Self { wait: error.wait(), awaits, ..Violation::from(error).into() }
    }
}

impl From<TokenError> for Box<Rejected> {
    fn from(error: TokenError) -> Self {
        Self::new(error.into())
    }
}

#[cfg(test)]
mod tests {
    use postern_config::Provider;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::minting::{self, claim_path, keyring, now, public_provider};
    use crate::auth::revocation::RevocationList;

    /// Returns the claims of a token of the issuer's, whose users the claim `uid` names.
    fn accepted(more: Value) -> Claims {
        let mut payload = minting::claims();
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let keyring = keyring([Provider { subject: claim_path("uid"), ..public_provider() }]);
        Claims::accept(payload, keyring.providers(&["main".into()])[0], now()).unwrap()
    }

    #[test]
    fn a_holder_is_whom_the_claim_names_that_the_provider_says() {
        let token_owner = TokenOwner::of(&accepted(json!({"uid": "alice", "sub": "1"})));
        assert!(token_owner.has(&accepted(json!({"uid": "alice", "sub": "2"}))));
        assert!(!token_owner.has(&accepted(json!({"uid": "bob", "sub": "1"}))));
        assert!(!token_owner.has(&accepted(json!({"sub": "1"}))));
        let nobody = accepted(json!({"sub": "alice"}));
        assert!(!TokenOwner::of(&nobody).has(&nobody), "of two without the claim nobody knows");
        let nameless = accepted(json!({"uid": "", "sub": "alice"}));
        assert!(!TokenOwner::of(&nameless).has(&nameless), "nor of two whose claim says nothing");
    }

    #[test]
    fn a_list_names_subjects_by_the_claim_that_the_provider_says() {
        let list = RevocationList::read(br#"{"sub": {"alice": 5000000000}}"#).unwrap();
        let names = |more: Value| list.names(&RevocationSubject::of(&accepted(more)));
        assert!(names(json!({"uid": "alice", "sub": "bob"})));
        assert!(!names(json!({"uid": "bob", "sub": "alice"})));
        assert!(!names(json!({"sub": "alice"})));
    }
}
