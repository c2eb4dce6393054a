//! Good and bad tokens (RFC 7519, RFC 8725), under every kind of key.

use std::sync::LazyLock;

use postern_e2e::client::token::{edge_claims, jwks, now, tampered};
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, Shared, Signer, Value, json};

const ISSUER: &str = "https://auth.example.com/";

fn edge() -> Value {
    json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"}})
}

fn auth(providers: Value) -> Value {
    json!({"auth": {
        "providers": providers,
        "from": [{"header": "authorization"}],
        "require": [{"claim": "scope", "contains": "chat"}],
    }})
}

fn bearing(policy: &str, token: &str) -> Request {
    Request::upgrade(&format!("/ws/{policy}")).header("Authorization", format!("Bearer {token}"))
}

/// Returns the claims of a good token with some of them changed; null takes a claim out.
fn claims(changes: Value) -> Value {
    let (Value::Object(mut claims), Value::Object(changes)) = (edge_claims("alice"), changes) else {
        return Value::Null;
    };
    claims.extend(changes);
    claims.retain(|_, value| !value.is_null());
    Value::Object(claims)
}

/// The issuer's keys.
static SIGNERS: LazyLock<[Signer; 3]> =
    LazyLock::new(|| [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")]);

fn scene() -> Scene {
    let set = jwks(&SIGNERS.each_ref());
    let provider = |algorithms: Value| {
        let mut provider = json!({"issuer": ISSUER, "audiences": ["chat"], "jwks": {"inline": set}});
        if !algorithms.is_null() {
            provider["algorithms"] = algorithms;
        }
        provider
    };
    let mut text = provider(json!(null));
    text["jwks"]["inline"] = json!(set.to_string());
    let providers = json!({
        "main": provider(json!(null)), "text": text, "rsa": provider(json!(["RS256"])), "edge": edge(),
    });
    let policies = json!({
        "edge": auth(json!(["edge"])),
        "main": auth(json!(["main"])),
        "text": auth(json!(["text"])),
        "rsa": auth(json!(["rsa"])),
        "both": auth(json!(["edge", "main"])),
    });
    Scene::new().document(document(providers, policies))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

#[tokio::test]
async fn a_token_that_does_not_prove_all_that_is_asked_is_refused() {
    let pair = PAIR.alone().await;
    let good = Signer::edge().mint(&claims(json!({})));
    let minted = |changes| Signer::edge().mint(&claims(changes));
    let payload = r#"{"iss":"edge","aud":"chat","sub":"a","sub":"b","scope":"chat","exp":99999999999}"#;
    let cases = [
        ("no token but a scheme", String::new(), "token_invalid"),
        ("no JWT", "opaque".to_owned(), "token_invalid"),
        ("two parts", "a.b".to_owned(), "token_invalid"),
        ("five parts, encrypted", "a.b.c.d.e".to_owned(), "token_invalid"),
        ("bytes that are no base64", "\u{fc}.\u{fc}.\u{fc}".to_owned(), "token_invalid"),
        ("another signature", tampered::signature(&good), "token_invalid"),
        ("no signature", tampered::unsigned(&good), "token_invalid"),
        ("algorithm none", tampered::algorithm_none(&good), "token_invalid"),
        ("other claims", tampered::claims(&good, &claims(json!({"sub": "mallory"}))), "token_invalid"),
        (
            "another key",
            Signer::hs256("another secret, 32 bytes or more.").mint(&claims(json!({}))),
            "token_invalid",
        ),
        ("another header", tampered::header(&good, r#"{"alg":"HS256","alg":"none"}"#), "token_invalid"),
        (
            "an unknown critical header",
            tampered::header(&good, r#"{"alg":"HS256","crit":["x"],"x":1}"#),
            "token_invalid",
        ),
        ("a member twice, properly signed", Signer::edge().sign_text(payload), "token_invalid"),
        ("more than max_token_bytes", minted(json!({"fill": "a".repeat(8 * 1024)})), "token_invalid"),
        ("another issuer", minted(json!({"iss": "somebody"})), "token_invalid"),
        ("no issuer", minted(json!({"iss": null})), "token_invalid"),
        ("another audience", minted(json!({"aud": "mail"})), "token_invalid"),
        ("no audience", minted(json!({"aud": null})), "token_invalid"),
        ("no expiry", minted(json!({"exp": null})), "token_invalid"),
        ("an expiry that is no number", minted(json!({"exp": "tomorrow"})), "token_invalid"),
        ("a subject that is no text", minted(json!({"sub": 7})), "token_invalid"),
        ("not yet good", minted(json!({"nbf": now() + 120})), "token_invalid"),
        ("expired", minted(json!({"exp": now() - 60})), "token_expired"),
        ("long expired", minted(json!({"exp": 0})), "token_expired"),
    ];
    for (name, token, reason) in cases {
        let (request, policy) = (bearing("edge", &token), "edge");
        pair.assert_refused(&Attack { name, request, policy, status: 401, reason }).await;
    }
    let lenient = [
        ("as it should be", minted(json!({}))),
        ("one of several audiences", minted(json!({"aud": ["mail", "chat"]}))),
        ("expired within the clock skew", minted(json!({"exp": now() - 10}))),
        ("good within the clock skew", minted(json!({"nbf": now() + 10}))),
        ("no subject", minted(json!({"sub": null}))),
    ];
    for (name, token) in lenient {
        assert_eq!(pair.guarded.ask(&bearing("edge", &token)).await.status, 101, "{name}");
    }
}

#[tokio::test]
async fn each_algorithm_is_verified_against_a_key_set_written_into_the_policy() {
    let (pair, signers) = (PAIR.alone().await, &*SIGNERS);
    let stranger = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let good = claims(json!({"iss": ISSUER}));

    for (signer, stranger) in signers.iter().zip(&stranger) {
        for policy in ["main", "text", "both"] {
            let response = pair.guarded.ask(&bearing(policy, &signer.mint(&good))).await;
            assert_eq!(response.status, 101, "{signer:?} under {policy}: {}", response.text());
        }
        let token = signer.mint(&good);
        let cases = [
            ("another signature", tampered::signature(&token)),
            ("no signature", tampered::unsigned(&token)),
            ("algorithm none", tampered::algorithm_none(&token)),
            ("other claims", tampered::claims(&token, &claims(json!({"iss": ISSUER, "sub": "mallory"})))),
            ("the same kid, another key", stranger.mint(&good)),
        ];
        for (name, token) in cases {
            let (request, policy) = (bearing("main", &token), "main");
            pair.assert_refused(&Attack { name, request, policy, status: 401, reason: "token_invalid" })
                .await;
        }
    }
    let confused = [
        ("the public key as a secret", "main", tampered::public_key_as_secret(&signers[0], &good)),
        (
            "the public key as a secret, beside a secret",
            "both",
            tampered::public_key_as_secret(&signers[0], &good),
        ),
        ("an algorithm that is not allowed", "rsa", signers[1].mint(&good)),
        ("an unknown kid", "main", Signer::rs256("x").mint(&good)),
        ("one provider's key, another's issuer", "both", signers[0].mint(&claims(json!({"iss": "edge"})))),
        ("one provider's secret, another's issuer", "both", Signer::edge().mint(&good)),
    ];
    for (name, policy, token) in confused {
        let request = bearing(policy, &token);
        pair.assert_refused(&Attack { name, request, policy, status: 401, reason: "token_invalid" }).await;
    }
    assert_eq!(
        pair.guarded.ask(&bearing("both", &Signer::edge().mint(&claims(json!({}))))).await.status,
        101
    );
}
