//! Handshakes without the token, and with tokens that are not good, as far as they can be made from a good one.

use crate::audit::attack::{Attack, Severity, Trial, Untried};
use crate::audit::forge::Jwt;
use crate::audit::honest::{Honest, Place};
use crate::audit::request::Request;

const DEDICATED: &str = "ASVS 4.4.3";
const SIGNATURE: &str = "ASVS 9.1.1";
const ALGORITHMS: &str = "ASVS 9.1.2";
const KEYS: &str = "ASVS 9.1.3";
const ALGORITHMS_KEY: &str = "providers.*.algorithms";

const NO_TOKEN: Untried = "it takes a --token";

fn forged<'h>(honest: &'h Honest, forge: fn(&Jwt<'h>) -> Option<String>) -> Result<Request, Untried> {
    let token = honest.token.as_ref().ok_or(NO_TOKEN)?;
    let forged = Jwt::parse(token).as_ref().and_then(forge);
    forged
        .map(|forged| honest.with_token(Some(&forged)))
        .ok_or("it takes a --token that is a JWT, with `exp`")
}

/// Sends the good token and one that is not, in two fields or items of the same place.
fn twice(honest: &Honest) -> Result<Request, Untried> {
    let (Some(place), Some(_)) = (honest.places.first(), &honest.token) else { return Err(NO_TOKEN) };
    Ok(place.put(honest.request(), "postern.audit.token"))
}

/// Sends the good token, and one that is not in another place.
fn two_places(honest: &Honest) -> Result<Request, Untried> {
    let (Some(place), Some(_)) = (honest.places.get(1), &honest.token) else {
        return Err("it takes a --token, and --token-in twice");
    };
    Ok(place.put(honest.request(), "postern.audit.token"))
}

/// Sends the good token in the query, where logs and histories keep it.
fn in_the_query(honest: &Honest) -> Result<Request, Untried> {
    let token = honest.token.as_ref().ok_or(NO_TOKEN)?;
    if honest.places.iter().any(|place| matches!(place, Place::Query(_))) {
        return Err("--token-in says that it is meant to");
    }
    Ok(honest.with_token(None).parameter("access_token", token))
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "token-missing",
        title: "Who has no token opens a WebSocket",
        sends: "no token",
        severity: Severity::High,
        reference: DEDICATED,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| Ok(honest.with_token(None))),
    },
    Attack {
        id: "token-garbage",
        title: "Anything passes for a token",
        sends: "`postern.audit.token` as the token",
        severity: Severity::High,
        reference: SIGNATURE,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| {
            honest.token.as_ref().ok_or(NO_TOKEN)?;
            Ok(honest.with_token(Some("postern.audit.token")))
        }),
    },
    Attack {
        id: "token-expired",
        title: "A token that has expired opens a WebSocket",
        sends: "the --expired-token",
        severity: Severity::High,
        reference: "ASVS 9.2.1",
        closed_by: "auth",
        trial: Trial::Handshake(|honest| {
            let token = honest.expired_token.as_ref().ok_or("it takes an --expired-token")?;
            Ok(honest.with_token(Some(token)))
        }),
    },
    Attack {
        id: "token-audience",
        title: "A token for another service opens a WebSocket",
        sends: "the --foreign-token",
        severity: Severity::High,
        reference: "ASVS 9.2.3",
        closed_by: "providers.*.audiences",
        trial: Trial::Handshake(|honest| {
            let token = honest.foreign_token.as_ref().ok_or("it takes a --foreign-token")?;
            Ok(honest.with_token(Some(token)))
        }),
    },
    Attack {
        id: "token-signature",
        title: "The signature is not verified",
        sends: "the token with a bit of its signature changed",
        severity: Severity::High,
        reference: SIGNATURE,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::tampered_signature)),
    },
    Attack {
        id: "token-claims",
        title: "The signature is not that of the claims",
        sends: "the token with another `sub` under the old signature",
        severity: Severity::High,
        reference: SIGNATURE,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::tampered_claims)),
    },
    Attack {
        id: "token-prolonged",
        title: "A token says itself how long it is good",
        sends: "the token with a later `exp` under the old signature",
        severity: Severity::High,
        reference: SIGNATURE,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::prolonged)),
    },
    Attack {
        id: "token-unsigned",
        title: "A token without a signature opens a WebSocket",
        sends: "the token with an empty signature",
        severity: Severity::High,
        reference: SIGNATURE,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::unsigned)),
    },
    Attack {
        id: "token-alg-none",
        title: "A token may say that it needs no signature",
        sends: "the token with `alg: none`, and no signature",
        severity: Severity::High,
        reference: ALGORITHMS,
        closed_by: ALGORITHMS_KEY,
        trial: Trial::Handshake(|honest| forged(honest, Jwt::algorithm_none)),
    },
    Attack {
        id: "token-alg-none-case",
        title: "A token may say so in other letters",
        sends: "the token with `alg: nOnE`, and no signature",
        severity: Severity::High,
        reference: ALGORITHMS,
        closed_by: ALGORITHMS_KEY,
        trial: Trial::Handshake(|honest| forged(honest, Jwt::algorithm_none_in_capitals)),
    },
    Attack {
        id: "token-alg-twice",
        title: "Of two members of one name in a token another is read than is verified",
        sends: "the token with `alg` twice, `none` first, and no signature",
        severity: Severity::High,
        reference: "RFC 7515 4",
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::algorithm_twice)),
    },
    Attack {
        id: "token-weak-secret",
        title: "The secret is one that everybody knows",
        sends: "the token signed by HS256 with the secret `secret`",
        severity: Severity::High,
        reference: KEYS,
        closed_by: "providers.*.secret",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::weak_secret)),
    },
    Attack {
        id: "token-kid-file",
        title: "The name of a key leads to a file",
        sends: "the token with a `kid` that leads to `/dev/null`, signed with an empty secret",
        severity: Severity::High,
        reference: KEYS,
        closed_by: "auth",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::key_of_a_file)),
    },
    Attack {
        id: "token-jwk",
        title: "A token brings its own key along",
        sends: "the token with a `jwk`, signed by that key",
        severity: Severity::High,
        reference: KEYS,
        closed_by: "providers.*.jwks",
        trial: Trial::Handshake(|honest| forged(honest, Jwt::key_brought_along)),
    },
    Attack {
        id: "token-zeros",
        title: "A signature of zeros passes for one of anything",
        sends: "the token with `alg: ES256` and a signature of 64 zeros",
        severity: Severity::High,
        reference: "CVE-2022-21449",
        closed_by: ALGORITHMS_KEY,
        trial: Trial::Handshake(|honest| forged(honest, Jwt::signature_of_zeros)),
    },
    Attack {
        id: "token-twice",
        title: "A second token in the same place is overlooked",
        sends: "the token, and `postern.audit.token` in the same place",
        severity: Severity::Medium,
        reference: "RFC 6750 2",
        closed_by: "auth.from",
        trial: Trial::Handshake(twice),
    },
    Attack {
        id: "token-two-places",
        title: "A second token in another place is overlooked",
        sends: "the token, and `postern.audit.token` in the second place of --token-in",
        severity: Severity::Medium,
        reference: "RFC 6750 2",
        closed_by: "auth.from",
        trial: Trial::Handshake(two_places),
    },
    Attack {
        id: "token-query",
        title: "A token in the URL, which logs and histories keep, opens a WebSocket",
        sends: "the token as `access_token` in the query alone",
        severity: Severity::Low,
        reference: "ASVS 14.2.1",
        closed_by: "auth.from",
        trial: Trial::Handshake(in_the_query),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::honest::tests::honest;

    fn tried(honest: &Honest) -> Vec<&'static str> {
        let departs = |attack: &&Attack| match &attack.trial {
            Trial::Handshake(departure) => departure(honest).is_ok(),
            _ => false,
        };
        ATTACKS.iter().filter(departs).map(|attack| attack.id).collect()
    }

    #[test]
    fn what_cannot_be_made_of_what_is_given_is_not_tried() {
        let whole = honest();
        assert_eq!(tried(&whole).len(), ATTACKS.len());
        let opaque = Honest { token: Some("opaque".to_owned()), expired_token: None, ..whole.clone() };
        let foreign = [
            "token-missing",
            "token-garbage",
            "token-audience",
            "token-twice",
            "token-two-places",
            "token-query",
        ];
        assert_eq!(tried(&opaque), foreign);
        let none = Honest { token: None, foreign_token: None, ..opaque };
        assert_eq!(tried(&none), ["token-missing"]);
    }

    #[test]
    fn no_good_token_stands_where_the_honest_one_does_but_where_it_is_sent_twice() {
        let honest = honest();
        let good = honest.request().value("authorization").unwrap().to_owned();
        for attack in ATTACKS {
            let Trial::Handshake(departure) = &attack.trial else { panic!("{}", attack.id) };
            let request = departure(&honest).unwrap();
            let has = request.value("authorization") == Some(good.as_str());
            assert_eq!(has, attack.id.starts_with("token-tw"), "{}", attack.id);
        }
    }
}
