use jsonwebtoken::{Algorithm, EncodingKey};
use postern_config::{Algorithm as Allowed, Audiences, Issuer, KeySource, Provider};
use serde_json::json;

use super::*;
use crate::auth::forgeries::FORGERIES_A_MINUTE;
use crate::auth::keys::Keyring;
use crate::auth::minting::*;
use crate::decision::cause::ClaimName;
use crate::strict_json::JsonError;

mod attacks;

/// Returns the verdict of the providers `main` (public keys) and `edge` (a shared secret).
fn verdict(token: impl AsRef<[u8]>) -> Result<Claims, TokenError> {
    thread_local! {
        static KEYS: Keyring = keyring([public_provider(), secret_provider()]);
    }
    KEYS.with(|keys| verify(token.as_ref(), &keys.providers(&["main".into(), "edge".into()]), now()))
}

/// Returns the verdict of these providers, in this order.
fn verdict_of(
    providers: impl IntoIterator<Item = Provider>,
    token: impl AsRef<[u8]>,
    now: Duration,
) -> Result<Claims, TokenError> {
    let providers: Vec<_> = providers.into_iter().collect();
    let names: Vec<_> = providers.iter().map(|p| p.name.clone()).collect();
    verify(token.as_ref(), &keyring(providers).providers(&names), now)
}

fn refused(cause: InvalidToken) -> Option<TokenError> {
    Some(TokenError::Invalid(cause))
}

#[test]
fn a_genuine_token_is_accepted_under_every_algorithm_of_its_provider() {
    use Algorithm::*;
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA] {
        let accepted = verdict(mint(algorithm, &claims())).expect("public keys");
        assert_eq!((accepted.provider(), accepted.subject()), ("main", Some("alice")), "{algorithm:?}");
    }
    for algorithm in [HS256, HS384, HS512] {
        let accepted = verdict(mint(algorithm, &claims_with("iss", json!("edge")))).expect("secret");
        assert_eq!((accepted.provider(), accepted.issuer()), ("edge", Some("edge")), "{algorithm:?}");
    }
}

#[test]
fn header_parameters_that_name_keys_elsewhere_do_not_matter_to_a_genuine_token() {
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"p256","jku":"https://auth.example.com/jwks.json","x5t":"AA"}"#;
    let token = sign(header, &claims().to_string(), &key(Algorithm::ES256), Algorithm::ES256);
    assert!(verdict(token).is_ok());
}

#[test]
fn a_kid_picks_its_key_and_says_nothing_about_a_shared_secret() {
    let token = |header: &str, claims: Value, algorithm| {
        sign(header, &claims.to_string(), &key(algorithm), algorithm)
    };
    assert!(verdict(token(r#"{"alg":"EdDSA","kid":"ed"}"#, claims(), Algorithm::EdDSA)).is_ok());
    assert!(
        verdict(token(
            r#"{"alg":"HS256","kid":"2024"}"#,
            claims_with("iss", json!("edge")),
            Algorithm::HS256
        ))
        .is_ok()
    );
}

#[test]
fn times_are_judged_by_the_clock_that_is_passed_in() {
    let skewed = claims();
    let expired = || Some(TokenError::Expired);
    let early = refused(InvalidToken::NotYetValid);
    let not_before = claims_with("nbf", json!(NOW + 100));
    let fraction = claims_with("exp", json!(NOW as f64 + 0.5));
    for (name, claims, offset_ms, expected) in [
        ("in force", &skewed, 0, None),
        ("at exp", &skewed, 300_000, None),
        ("within the skew", &skewed, 329_999, None),
        ("at the end of the skew", &skewed, 330_000, expired()),
        ("long after", &skewed, 9_999_999, expired()),
        ("before nbf and the skew", &not_before, 69_999, early),
        ("within the skew before nbf", &not_before, 70_000, None),
        ("after nbf", &not_before, 100_000, None),
        ("fraction of exp", &fraction, 30_499, None),
        ("past the fraction", &fraction, 30_500, expired()),
    ] {
        let at = now() + Duration::from_millis(offset_ms);
        let verdict = verdict_of([public_provider()], mint(Algorithm::EdDSA, claims), at);
        assert_eq!(verdict.err(), expected, "{name}");
    }
}

#[test]
fn times_beyond_all_bounds_are_numbers_like_others() {
    for (name, value, expected) in [
        ("exp", json!(0), Some(TokenError::Expired)),
        ("exp", json!(-1), Some(TokenError::Expired)),
        ("exp", json!(-1e300), Some(TokenError::Expired)),
        ("exp", json!(u64::MAX), None),
        ("exp", json!(1e300), None),
        ("nbf", json!(-1e300), None),
        ("nbf", json!(u64::MAX), refused(InvalidToken::NotYetValid)),
        ("nbf", json!(1e300), refused(InvalidToken::NotYetValid)),
        ("iat", json!(1e300), None),
        ("iat", json!(-5), None),
    ] {
        let claims = claims_with(name, value);
        let verdict = verdict(mint(Algorithm::EdDSA, &claims));
        if let Ok(accepted) = &verdict {
            assert!(accepted.ends(Duration::MAX) >= accepted.expires_at(), "{claims}");
        }
        assert_eq!(verdict.err(), expected, "{claims}");
    }
}

#[test]
fn any_audience_of_the_provider_among_those_of_the_token_will_do() {
    for aud in [json!("chat"), json!("video"), json!(["chat"]), json!(["mail", "video"])] {
        assert!(verdict(mint(Algorithm::EdDSA, &claims_with("aud", aud.clone()))).is_ok(), "{aud}");
    }
}

#[test]
fn a_provider_takes_tokens_of_any_of_its_issuers_and_of_tenants_that_are_allowed() {
    let document = json!({
        "providers": {"main": {
            "issuer": ["https://login.example.com/{tenant}/v2.0", "https://sts.example.com/{tenant}/", "https://old.example.com"],
            "issuer_allow": {"tenant": ["one", "two"]},
            "audiences": ["chat"], "algorithms": ["EdDSA"], "jwks": {"inline": {"keys": [issuer_keys()["keys"][3]]}},
        }},
        "policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}},
    });
    let providers = postern_config::Config::from_value(document).unwrap().providers;
    let verdict = |iss: &str| {
        let token = mint(Algorithm::EdDSA, &claims_with("iss", json!(iss)));
        verdict_of(providers.values().cloned(), token, now()).map(|claims| claims.issuer().map(str::to_owned))
    };
    for iss in
        ["https://login.example.com/one/v2.0", "https://sts.example.com/two/", "https://old.example.com"]
    {
        assert_eq!(verdict(iss), Ok(Some(iss.to_owned())));
    }
    for iss in [
        "https://login.example.com/three/v2.0",
        "https://login.example.com/{tenant}/v2.0",
        "https://login.example.com//v2.0",
        "https://login.example.com/one/two/v2.0",
        "https://login.example.com/on%65/v2.0",
        "https://login.example.com/common/v2.0",
        "https://sts.example.com/two",
        "https://old.example.com/",
        "one",
        "",
    ] {
        assert_eq!(verdict(iss).err(), refused(InvalidToken::UnknownIssuer), "{iss}");
    }
}

#[test]
fn of_providers_with_one_issuer_the_algorithm_chooses_and_no_secret_meets_a_public_key() {
    let legacy = Provider {
        name: "legacy".into(),
        issuers: vec![Issuer::exactly(ISSUER)],
        algorithms: vec![Allowed::HS256],
        ..secret_provider()
    };
    let later = Provider { name: "later".into(), algorithms: vec![Allowed::ES256], ..public_provider() };
    let verdict = |token: &str| {
        // The verdict is the same in either order.
        let orders = [[legacy.clone(), later.clone()], [later.clone(), legacy.clone()]];
        let [one, other] =
            orders.map(|order| verdict_of(order, token, now()).map(|claims| claims.provider().to_owned()));
        assert_eq!(one, other);
        one
    };
    assert_eq!(verdict(&mint(Algorithm::HS256, &claims())), Ok("legacy".to_owned()));
    assert_eq!(verdict(&mint(Algorithm::ES256, &claims())), Ok("later".to_owned()));
    for algorithm in [Algorithm::HS512, Algorithm::ES384, Algorithm::RS256, Algorithm::EdDSA] {
        assert_eq!(
            verdict(&mint(algorithm, &claims())).err(),
            refused(InvalidToken::Algorithm),
            "{algorithm:?}"
        );
    }
    let jwk = issuer_keys()["keys"][1].clone();
    let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let point = [&[4][..], &decoded(&text("x")), &decoded(&text("y"))].concat();
    for public in [jwk.to_string().into_bytes(), text("x").into_bytes(), decoded(&text("x")), point] {
        let secret = EncodingKey::from_secret(&public);
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"p256"}"#] {
            let forged = sign(header, &claims().to_string(), &secret, Algorithm::HS256);
            assert_eq!(verdict(&forged).err(), refused(InvalidToken::Signature));
        }
    }
    let by_secret = mint(Algorithm::HS256, &claims());
    let (_, signature) = by_secret.rsplit_once('.').unwrap();
    let renamed = format!("{}.{}.{signature}", encode(r#"{"alg":"ES256"}"#), encode(claims().to_string()));
    assert_eq!(verdict(&renamed).err(), refused(InvalidToken::Signature));
}

#[test]
fn of_providers_without_an_issuer_the_algorithm_chooses_too() {
    let nameless = |name: &str, algorithm| Provider {
        name: name.into(),
        issuers: Vec::new(),
        algorithms: vec![algorithm],
        ..secret_provider()
    };
    let verdict = |algorithm| {
        let providers = [nameless("short", Allowed::HS256), nameless("long", Allowed::HS512)];
        let token = mint(algorithm, &claims_without("iss"));
        verdict_of(providers, token, now()).map(|claims| claims.provider().to_owned())
    };
    assert_eq!(verdict(Algorithm::HS256), Ok("short".to_owned()));
    assert_eq!(verdict(Algorithm::HS512), Ok("long".to_owned()));
    assert_eq!(verdict(Algorithm::HS384).err(), refused(InvalidToken::Algorithm));
}

#[test]
fn another_claim_says_whom_a_token_is_for_where_the_policy_names_it() {
    let verdict = |claim: &str, more: Value| {
        let mut claims = claims_without("aud");
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let provider = Provider { audiences: bound(claim, ["chat", "video"]), ..public_provider() };
        verdict_of([provider], mint(Algorithm::EdDSA, &claims), now()).err()
    };
    let elsewhere = |claim| refused(InvalidToken::Audience(ClaimName::of(claim)));
    let absent = |claim| refused(InvalidToken::NoAudience(ClaimName::of(claim)));
    let wrong_type = |claim| refused(InvalidToken::ClaimType(ClaimName::of(claim)));
    for (claim, said, expected) in [
        ("client_id", json!({"client_id": "chat"}), None),
        ("azp", json!({"azp": "video", "aud": 7}), None),
        ("azp", json!({"azp": ["mail", "chat"]}), None),
        ("/client/id", json!({"client": {"id": "chat"}}), None),
        ("client_id", json!({"client_id": "mail", "aud": "chat"}), elsewhere("client_id")),
        ("client_id", json!({"client_id": "chat "}), elsewhere("client_id")),
        ("client_id", json!({"client_id": []}), elsewhere("client_id")),
        ("client_id", json!({"aud": "chat"}), absent("client_id")),
        ("/client/id", json!({"client": {}, "/client/id": "chat"}), absent("/client/id")),
        ("/client/id", json!({"client": "chat"}), absent("/client/id")),
        ("client_id", json!({"client_id": null}), wrong_type("client_id")),
        ("client_id", json!({"client_id": 7}), wrong_type("client_id")),
        ("client_id", json!({"client_id": ["chat", 7]}), wrong_type("client_id")),
        ("/client/id", json!({"client": {"id": {}}}), wrong_type("/client/id")),
    ] {
        assert_eq!(verdict(claim, said.clone()), expected, "{claim} of {said}");
    }
}

#[test]
fn tokens_for_anybody_pass_only_where_the_policy_says_so() {
    let unbound = || Provider { audiences: Audiences::Unbound, ..public_provider() };
    for claims in [claims_without("aud"), claims_with("aud", json!("mail")), claims()] {
        assert!(verdict_of([unbound()], mint(Algorithm::EdDSA, &claims), now()).is_ok(), "{claims}");
    }
    let elsewhere = claims_with("iss", json!("https://evil.example/"));
    assert_eq!(
        verdict_of([unbound()], mint(Algorithm::EdDSA, &elsewhere), now()).err(),
        refused(InvalidToken::UnknownIssuer)
    );
}

#[test]
fn the_log_names_the_claim_that_is_wrong_and_nothing_that_it_says() {
    let told = |audiences: Audiences, claims: Value| {
        let provider = Provider { audiences, ..public_provider() };
        verdict_of([provider], mint(Algorithm::EdDSA, &claims), now()).unwrap_err().to_string()
    };
    let by_client = || bound("client_id", ["chat"]);
    let expires_oddly = {
        let mut claims = claims_with("exp", json!("hidden"));
        claims["client_id"] = json!("chat");
        claims
    };
    for (audiences, claims, expected) in [
        (
            bound("aud", ["chat"]),
            claims_with("aud", json!("hidden")),
            "meant for another audience, by its claim `aud`",
        ),
        (
            by_client(),
            claims_with("client_id", json!("hidden")),
            "meant for another audience, by its claim `client_id`",
        ),
        (by_client(), claims(), "its claim `client_id`, which should say whom it is for, is absent"),
        (
            by_client(),
            claims_with("client_id", json!({"hidden": 1})),
            "its claim `client_id` has the wrong type",
        ),
        (by_client(), expires_oddly, "its claim `exp` has the wrong type"),
    ] {
        assert_eq!(told(audiences, claims), format!("the token is not valid: {expected}"));
    }
}

#[test]
fn a_provider_without_an_issuer_is_chosen_only_when_no_issuer_matches() {
    let nameless = || Provider { name: "nameless".into(), issuers: Vec::new(), ..secret_provider() };
    let hs256 = |iss: &str| mint(Algorithm::HS256, &claims_with("iss", json!(iss)));
    let chosen = |token: String| {
        verdict_of([nameless(), public_provider(), secret_provider()], token, now())
            .map(|claims| claims.provider().to_owned())
    };
    assert_eq!(chosen(hs256("edge")).unwrap(), "edge");
    assert_eq!(chosen(hs256("elsewhere")).unwrap(), "nameless");
    assert_eq!(chosen(mint(Algorithm::HS256, &claims_without("iss"))).unwrap(), "nameless");
    // An issuer that matches is never passed over, even for a key that would verify.
    assert_eq!(chosen(hs256(ISSUER)).err(), refused(InvalidToken::Algorithm));
}

#[test]
fn the_size_is_bounded_before_and_after_the_provider_is_known() {
    let token = mint(Algorithm::HS256, &claims_with("iss", json!("edge")));
    let length = token.len() as u64;
    let edge = |max| Provider { max_token_bytes: max, ..secret_provider() };
    let main = |max| Provider { max_token_bytes: max, ..public_provider() };
    assert!(verdict_of([edge(length), main(1)], &token, now()).is_ok());
    let too_long = refused(InvalidToken::TooLong);
    assert_eq!(verdict_of([edge(length - 1), main(length)], &token, now()).err(), too_long);
    assert_eq!(verdict_of([edge(length - 1), main(1)], vec![b'.'; token.len()], now()).err(), too_long);
    assert_eq!(verdict_of([], &token, now()).err(), too_long);
}

#[test]
fn a_provider_without_keys_awaits_them_and_refuses_what_they_cannot_help() {
    let uri = "https://auth.example.com/jwks.json".parse().unwrap();
    let remote = postern_config::RemoteJwks {
        cluster: "auth".into(),
        uri,
        timeout: Duration::from_secs(2),
        refresh_interval: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
    };
    let remote = KeySource::Remote(remote);
    let keyring = keyring([Provider { keys: remote, ..public_provider() }]);
    let verdict = |token: String| verify(token.as_bytes(), &keyring.providers(&["main".into()]), now()).err();
    let awaits = TokenError::AwaitsKeys(Missing::Keys, Duration::from_secs(2));
    assert_eq!(verdict(mint(Algorithm::EdDSA, &claims())), Some(awaits));
    assert_eq!(verdict(mint(Algorithm::HS256, &claims())), refused(InvalidToken::Algorithm));
}

#[test]
fn a_token_without_kid_makes_us_try_a_bounded_number_of_keys() {
    let nameless = |i: usize| {
        let mut keys = issuer_keys()["keys"].clone();
        keys[i].as_object_mut().unwrap().remove("kid");
        keys[i].clone()
    };
    let other = || jwk(&other_rsa(), Algorithm::RS256, None);
    let provider =
        |keys: Vec<Value>| Provider { keys: KeySource::Inline(json!({ "keys": keys })), ..public_provider() };
    let token = mint(Algorithm::RS256, &claims());
    let last_of = |count: usize| {
        let mut keys = vec![nameless(1); 20];
        keys.extend(std::iter::repeat_with(other).take(count - 1));
        keys.push(nameless(0));
        verdict_of([provider(keys)], &token, now())
    };
    assert!(last_of(MAX_KEYS_TRIED).is_ok(), "keys of other types do not count");
    assert_eq!(last_of(MAX_KEYS_TRIED + 1).err(), refused(InvalidToken::KeyIdMissing));
    assert_eq!(
        verdict_of([provider(vec![nameless(1)])], &token, now()).err(),
        refused(InvalidToken::KeyMismatch)
    );
    assert_eq!(
        verdict_of([provider(vec![other(); MAX_KEYS_TRIED])], &token, now()).err(),
        refused(InvalidToken::Signature)
    );
}

#[test]
fn of_keys_that_may_have_signed_those_are_tried_that_verified_a_token_last() {
    let keyring = keyring([public_provider()]);
    let mut provider = keyring.providers(&["main".into()])[0].clone();
    let read = |jwk: &Value| VerificationKey::from_jwk(jwk).unwrap();
    let nameless = |key: EncodingKey| read(&jwk(&key, Algorithm::RS256, None));
    let other = || nameless(other_rsa());
    let ours = nameless(key(Algorithm::RS256));
    let before = |count: usize| {
        let others = std::iter::repeat_with(other).take(count);
        Keys::Public(others.chain([ours.clone()]).collect())
    };
    let token = |number: u64| mint(Algorithm::RS256, &claims_with("jti", json!(number.to_string())));
    let verdict =
        |provider: &KeyedProvider, number| verify(token(number).as_bytes(), &[provider], now()).err();
    provider.keys = before(MAX_KEYS_TRIED);
    assert_eq!(verdict(&provider, 1), refused(InvalidToken::KeyIdMissing));
    provider.keys = before(MAX_KEYS_TRIED - 1);
    assert_eq!(verdict(&provider, 2), None);
    provider.keys = before(2 * MAX_KEYS_TRIED);
    assert_eq!(verdict(&provider, 3), None, "it comes last, and verified the last token");
}

#[test]
fn an_address_that_sends_forged_tokens_has_to_wait_and_honest_ones_behind_it_keep_theirs() {
    let keyring = keyring([public_provider(), secret_provider()]);
    let providers = keyring.providers(&["main".into(), "edge".into()]);
    let verdict =
        |client: &[u8], token: &str, now| verify_from(Some(client), token.as_bytes(), &providers, now);
    let (known, fresh) =
        (mint(Algorithm::EdDSA, &claims()), mint(Algorithm::EdDSA, &claims_with("jti", json!("new"))));
    let secret = mint(Algorithm::HS256, &claims_with("iss", json!("edge")));
    let mut forged = known.clone().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    // A genuine signature is never charged for.
    for number in 0..2 * FORGERIES_A_MINUTE {
        let genuine = mint(Algorithm::EdDSA, &claims_with("jti", json!(number.to_string())));
        assert!(verdict(b"a", &genuine, now()).is_ok());
    }
    assert!(verdict(b"a", &known, now()).is_ok());
    for number in 0..FORGERIES_A_MINUTE {
        assert_eq!(verdict(b"a", &forged, now()).err(), refused(InvalidToken::Signature), "{number}");
    }
    let wait = Some(TokenError::TooManyForged(Duration::from_millis(600)));
    assert_eq!(verdict(b"a", &forged, now()).err(), wait);
    assert_eq!(wait.as_ref().map(TokenError::reason), Some(crate::decision::reason::Reason::HandshakeRate));
    assert_eq!(verdict(b"a", &fresh, now()).err(), wait, "nobody knows yet that it is genuine");
    assert!(verdict(b"a", &known, now()).is_ok(), "that is known");
    assert!(verdict(b"a", &secret, now()).is_ok(), "a shared secret costs nothing to speak of");
    assert!(verdict(b"b", &fresh, now()).is_ok(), "another address");
    let later = now() + Duration::from_millis(600);
    assert_eq!(verdict(b"a", &forged, later).err(), refused(InvalidToken::Signature));
    assert!(matches!(verdict(b"a", &forged, later).err(), Some(TokenError::TooManyForged(_))));
}

#[test]
fn no_truncation_of_a_token_is_accepted_or_panics() {
    let token = mint(Algorithm::EdDSA, &claims());
    for end in 0..token.len() {
        assert!(verdict(token.get(..end).unwrap()).is_err(), "{end}");
    }
}

#[test]
fn no_changed_bit_of_a_token_is_accepted_or_panics() {
    let provider = secret_provider();
    let keyring = keyring([provider]);
    let providers = keyring.providers(&["edge".into()]);
    let token = mint(Algorithm::HS256, &claims_with("iss", json!("edge"))).into_bytes();
    assert!(verify(&token, &providers, now()).is_ok());
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut changed = token.clone();
            changed[at] ^= 1 << bit;
            assert!(verify(&changed, &providers, now()).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_key_of_another_issuer_does_not_sign_for_this_one() {
    let theirs = Provider {
        name: "theirs".into(),
        issuers: vec![Issuer::exactly("https://their.example.com/")],
        keys: KeySource::Inline(json!({"keys": [jwk(&other_rsa(), Algorithm::RS256, Some("rsa"))]})),
        ..public_provider()
    };
    let forge = |header: &str, key: &EncodingKey| sign(header, &claims().to_string(), key, Algorithm::RS256);
    let forged = forge(r#"{"alg":"RS256","kid":"rsa"}"#, &other_rsa());
    assert_eq!(
        verdict_of([theirs, public_provider()], forged, now()).err(),
        refused(InvalidToken::Signature)
    );
}

#[test]
fn a_token_that_was_verified_is_judged_anew_in_all_but_its_signature() {
    let keyring = keyring([public_provider()]);
    let providers = keyring.providers(&["main".into()]);
    let token = mint(Algorithm::ES256, &claims_with("nbf", json!(NOW)));
    let verdict = |seconds| verify(token.as_bytes(), &providers, Duration::from_secs(seconds)).err();
    assert_eq!(verdict(NOW), None);
    assert_eq!(verdict(NOW - 31), refused(InvalidToken::NotYetValid));
    assert_eq!(verdict(NOW + 329), None);
    assert_eq!(verdict(NOW + 330), Some(TokenError::Expired));
    assert_eq!(verdict(NOW), None, "also when a clock is set back");
    let mut provider = providers[0].clone();
    provider.audiences = bound("aud", ["mail"]);
    assert_eq!(
        verify(token.as_bytes(), &[&provider], now()).err(),
        refused(InvalidToken::Audience(ClaimName::of("aud")))
    );
    provider.algorithms = vec![Algorithm::RS256];
    assert_eq!(verify(token.as_bytes(), &[&provider], now()).err(), refused(InvalidToken::Algorithm));
    provider.max_token_bytes = 1;
    assert_eq!(verify(token.as_bytes(), &[&provider], now()).err(), refused(InvalidToken::TooLong));
}

#[test]
fn a_token_that_was_verified_is_worth_nothing_once_its_key_is_gone() {
    let keyring = keyring([public_provider()]);
    let mut provider = keyring.providers(&["main".into()])[0].clone();
    let header = r#"{"alg":"RS256","kid":"rsa"}"#;
    let token = sign(header, &claims().to_string(), &key(Algorithm::RS256), Algorithm::RS256);
    let verdict = |provider: &KeyedProvider| verify(token.as_bytes(), &[provider], now()).err();
    let read = |jwk: Value| vec![VerificationKey::from_jwk(&jwk).unwrap()];
    assert_eq!(verdict(&provider), None);
    let theirs = read(jwk(&other_rsa(), Algorithm::RS256, Some("rsa")));
    for (name, keys, expected) in [
        ("another key under its name", theirs, refused(InvalidToken::Signature)),
        ("another name", read(issuer_keys()["keys"][1].clone()), refused(InvalidToken::KeyUnknown)),
        ("no key", Vec::new(), refused(InvalidToken::KeyUnknown)),
        ("the same key, read again", read(issuer_keys()["keys"][0].clone()), None),
    ] {
        provider.keys = Keys::Public(keys);
        assert_eq!(verdict(&provider), expected, "{name}");
    }
}
