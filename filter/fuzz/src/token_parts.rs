//! A token of a malicious issuer, whose signature is right.
//!
//! Input: a byte for the signing algorithm, the header, a line feed, the payload. Of what is
//! accepted the registered claims hold, and what is forwarded is a header field.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use postern_config::Config;
use postern_engine::auth::verifier::verify;
use postern_engine::http::headers::HeaderEdit;
use serde_json::{Value, json};

use crate::fixture::{ISSUER, NOW, document, key, with_keys};

thread_local! {
    static CONFIG: Config = Config::from_value(document()).expect("the fixture is sound");
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((choice, parts)) = input.split_first() else { return };
    let (algorithm, name) = match choice % 4 {
        0 => (Algorithm::ES256, "main"),
        1 => (Algorithm::EdDSA, "main"),
        _ => (Algorithm::HS256, "edge"),
    };
    let mut parts = parts.splitn(2, |&b| b == b'\n');
    let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let Some(key) = key(algorithm) else { return };
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).expect("the key signs");
    let token = format!("{signed}.{signature}");

    let names = ["main".to_owned(), "edge".to_owned()];
    let Ok(claims) = with_keys(|keys| verify(token.as_bytes(), &keys.providers(&names), NOW)) else { return };
    let said: Value = serde_json::from_slice(payload).expect("the claims are JSON");
    assert_eq!(claims.provider(), name, "the keys of another provider verified it");
    assert_eq!(said["iss"], json!(if name == "main" { ISSUER } else { "edge" }));
    let audiences = [said["aud"].clone()];
    let audiences = said["aud"].as_array().map_or(&audiences[..], Vec::as_slice);
    assert!(audiences.contains(&json!("chat")));
    assert!(said["exp"].is_number() && claims.accepted_until() > NOW);

    CONFIG.with(|config| {
        let auth = config.policies["chat"].auth.as_ref().expect("chat asks for tokens");
        claims.lacks(&auth.require);
        for edit in claims.forward(&auth.forward).unwrap_or_default() {
            assert!(auth.forward.contains_key(edit.name()));
            if let HeaderEdit::Set(_, value) = edit {
                assert!(!value.iter().any(|b| b"\r\n\0".contains(b)), "it ends the field");
            }
        }
    });
}
