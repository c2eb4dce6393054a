use postern_config::Provider;
use serde_json::json;

use super::*;
use crate::auth::minting::{self, NOW, claim_path, keyring, now, public_provider};

/// Returns the claims of a token that says `more` beside what it must.
fn accepted(more: Value) -> Claims {
    let mut payload = minting::claims();
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let keyring = keyring([public_provider()]);
    Claims::accept(payload, keyring.providers(&["main".into()])[0], now()).unwrap()
}

#[test]
fn a_claim_is_found_by_name_or_by_pointer_and_null_is_absent() {
    let claims = accepted(json!({
        "realm": {"tier": "gold", "roles": ["a", "b"], "a/b": 1, "m~n": 2, "none": null},
        "https://example.com/role": "admin", "gone": null,
    }));
    for (text, expected) in [
        ("sub", Some(json!("alice"))),
        ("https://example.com/role", Some(json!("admin"))),
        ("/realm/tier", Some(json!("gold"))),
        ("/realm/roles/1", Some(json!("b"))),
        ("/realm/a~1b", Some(json!(1))),
        ("/realm/m~0n", Some(json!(2))),
        ("/realm/roles/2", None),
        ("/realm/roles/01", None),
        ("/realm/none", None),
        ("realm.tier", None),
        ("gone", None),
        ("absent", None),
    ] {
        assert_eq!(claims.get(&claim_path(text)), expected.as_ref(), "{text}");
    }
}

#[test]
fn contains_looks_for_a_member_of_an_array_or_a_word_of_a_string() {
    for (claim, wanted, holds) in [
        (json!(["mail", "chat"]), json!("chat"), true),
        (json!(["mail", 7]), json!(7), true),
        (json!(["mail", 7]), json!(7.0), true),
        (json!("mail chat"), json!("chat"), true),
        (json!("chat"), json!("chat"), true),
        (json!("chatter"), json!("chat"), false),
        (json!("chat:write"), json!("chat"), false),
        (json!("mail,chat"), json!("chat"), false),
        (json!("mail\tchat"), json!("chat"), false),
        (json!("Chat"), json!("chat"), false),
        (json!(["chat mail"]), json!("chat"), false),
        (json!([["chat"]]), json!("chat"), false),
        (json!("a  b"), json!(""), false),
        (json!("1 2"), json!(1), false),
        (json!(["1"]), json!(1), false),
        (json!({"chat": true}), json!("chat"), false),
        (json!(7), json!(7), false),
        (json!([]), json!("chat"), false),
        (json!(null), json!(null), false),
    ] {
        let line = Requirement { claim: claim_path("claim"), test: Test::Contains(wanted.clone()) };
        assert_eq!(
            accepted(json!({ "claim": claim })).lacks(&[line]),
            (!holds).then_some(0),
            "{claim} contains {wanted}"
        );
    }
}

#[test]
fn one_of_wants_the_whole_value() {
    for (claim, holds) in [
        (json!("gold"), true),
        (json!("silver"), true),
        (json!(1), true),
        (json!(1.0), true),
        (json!(true), true),
        (json!("gold silver"), false),
        (json!(["gold"]), false),
        (json!("1"), false),
        (json!("true"), false),
        (json!(2), false),
        (json!(false), false),
        (json!(null), false),
    ] {
        let scalars = vec![json!("gold"), json!("silver"), json!(1), json!(true)];
        let line = Requirement { claim: claim_path("/realm/tier"), test: Test::OneOf(scalars) };
        assert_eq!(
            accepted(json!({"realm": {"tier": claim}})).lacks(&[line]),
            (!holds).then_some(0),
            "{claim}"
        );
    }
}

#[test]
fn large_integers_are_not_rounded_into_each_other() {
    assert!(!equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
    assert!(equal(&json!(9_007_199_254_740_992_u64), &json!(9_007_199_254_740_992.0)));
}

#[test]
fn every_line_of_require_must_hold() {
    let contains =
        |name: &str, word: &str| Requirement { claim: claim_path(name), test: Test::Contains(word.into()) };
    let claims = accepted(json!({"scope": "chat mail"}));
    assert_eq!(claims.lacks(&[]), None);
    assert_eq!(claims.lacks(&[contains("scope", "chat"), contains("scope", "mail")]), None);
    assert_eq!(claims.lacks(&[contains("scope", "chat"), contains("scope", "admin")]), Some(1));
    assert_eq!(claims.lacks(&[contains("absent", "chat")]), Some(0));
}

#[test]
fn a_connection_ends_at_exp_with_skew_and_grace_and_never_overflows() {
    let second = Duration::from_secs;
    let claims = accepted(json!({"iat": NOW as f64 - 0.5, "jti": "j", "sid": "s"}));
    assert_eq!(claims.expires_at(), second(NOW + 300));
    assert_eq!(claims.accepted_until(), second(NOW + 330));
    assert_eq!(claims.ends(second(25)), second(NOW + 355));
    assert_eq!(claims.ends(Duration::MAX), Duration::MAX);
    assert_eq!(claims.issued_at(), Some(now() - Duration::from_millis(500)));
    assert_eq!((claims.token_id(), claims.session_id()), (Some("j"), Some("s")));
    let unbounded = Provider { clock_skew: Duration::MAX, ..public_provider() };
    let keyring = keyring([unbounded]);
    let provider = keyring.providers(&["main".into()])[0];
    let payload = minting::claims_with("nbf", json!(u64::MAX));
    assert_eq!(Claims::accept(payload, provider, now()).unwrap().ends(second(1)), Duration::MAX);
}

#[test]
fn the_subject_is_the_claim_that_the_provider_names_and_text() {
    let subject = |claim: &str, more: Value| {
        let mut payload = minting::claims();
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let keyring = keyring([Provider { subject: claim_path(claim), ..public_provider() }]);
        let claims = Claims::accept(payload, keyring.providers(&["main".into()])[0], now());
        claims.map(|claims| claims.subject().map(str::to_owned))
    };
    let wrong_type = |claim| Err(InvalidToken::ClaimType(claim).into());
    for (claim, said, expected) in [
        ("sub", json!({}), Ok(Some("alice".to_owned()))),
        ("email", json!({"email": "bob@example.com"}), Ok(Some("bob@example.com".to_owned()))),
        ("/user/id", json!({"user": {"id": "7"}}), Ok(Some("7".to_owned()))),
        ("email", json!({}), Ok(None)),
        ("/user/id", json!({"user": "7", "/user/id": "7"}), Ok(None)),
        ("email", json!({"email": 7}), wrong_type(ClaimName::of("email"))),
        ("email", json!({"email": null}), wrong_type(ClaimName::of("email"))),
        ("/user/id", json!({"user": {"id": ["7"]}}), wrong_type(ClaimName::of("/user/id"))),
        ("email", json!({"email": "bob@example.com", "sub": 7}), wrong_type(ClaimName::of("sub"))),
    ] {
        assert_eq!(subject(claim, said.clone()), expected, "{claim} of {said}");
    }
}

#[test]
fn debug_shows_no_claim() {
    assert!(!format!("{:?}", accepted(json!({}))).contains("alice"));
}
